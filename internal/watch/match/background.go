package match

import (
	_ "embed"
)

// background.bin is how surprising a letter is after the two before it in
// ordinary host names, in eighths of a bit, for each of 29^3 triples. It was
// made by: evalwatch -train background -data FOLDER.
//
//go:embed background.bin
var background []byte

// The background's alphabet: 0 a boundary, 1-26 letters, 27 any digit, 28 a
// hyphen.
const bgLetters = 29

var bgCode = func() (t [256]uint8) {
	for c := range 256 {
		switch class[c] {
		case clsLetter:
			t[c] = lower[c] - 'a' + 1
		case clsDigit:
			t[c] = 27
		case clsHyphen, clsOther:
			t[c] = 28
		}
	}
	return t
}()

// surprise gives the bits of c after a and b.
func surprise(a, b, c uint8) float32 {
	i := (int(a)*bgLetters+int(b))*bgLetters + int(c)
	if i >= len(background) {
		return 5
	}
	return float32(background[i]) / 8
}

// rarity is how surprising text would be somewhere inside an ordinary name, in
// bits: its first two letters cost what they cost on average.
func rarity(text []byte) float32 {
	var sum float32
	var a, b uint8
	for i, c := range text {
		d := bgCode[c]
		switch i {
		case 0, 1:
			sum += firstBits[d]
		default:
			sum += surprise(a, b, d)
		}
		a, b = b, d
	}
	return sum
}

// firstBits is the surprise of a letter without knowing those before it.
var firstBits = func() (t [bgLetters]float32) {
	freq := [27]float32{0, 8.2, 1.5, 2.8, 4.3, 12.7, 2.2, 2.0, 6.1, 7, 0.2, 0.8, 4, 2.4, 6.7, 7.5, 1.9, 0.1, 6.0, 6.3, 9.1, 2.8, 1.0, 2.4, 0.2, 2.0, 0.1}
	for i := range t {
		t[i] = 5
		if i > 0 && i < 27 {
			t[i] = log2(100 / freq[i])
		}
	}
	return t
}()

// TrainBackground counts names (top-level domains apart) and gives the content
// of background.bin.
func TrainBackground(names func(yield func(name string) bool)) []byte {
	n := bgLetters * bgLetters * bgLetters
	tri := make([]float64, n)
	bi := make([]float64, n/bgLetters)
	uni := make([]float64, bgLetters)
	total := 0.0
	for name := range names {
		var s scan
		if !s.fill([]byte(name)) {
			continue
		}
		var a, b uint8
		for i := 0; i <= s.rawN; i++ {
			var c uint8
			if i < s.rawN {
				c = bgCode[s.raw[i]]
			}
			tri[(int(a)*bgLetters+int(b))*bgLetters+int(c)]++
			bi[int(b)*bgLetters+int(c)]++
			uni[c]++
			total++
			a, b = b, c
			if c == 0 {
				a, b = 0, 0
			}
		}
	}
	out := make([]byte, n)
	for a := range bgLetters {
		for b := range bgLetters {
			ctx, mid := 0.0, 0.0
			for c := range bgLetters {
				ctx += tri[(a*bgLetters+b)*bgLetters+c]
				mid += bi[b*bgLetters+c]
			}
			for c := range bgLetters {
				p1 := (uni[c] + 1) / (total + bgLetters)
				p2 := (bi[b*bgLetters+c] + 20*p1) / (mid + 20)
				p3 := (tri[(a*bgLetters+b)*bgLetters+c] + 20*p2) / (ctx + 20)
				out[(a*bgLetters+b)*bgLetters+c] = uint8(min(255, log2(float32(1/p3))*8+0.5))
			}
		}
	}
	return out
}
