package model

import (
	"math"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// What a name is seen as: hashed letter sequences, which point into the first
// table, and measures of its shape, each one cell of the second.
const (
	gramBits = 13
	nGrams   = 1 << gramBits // rows of the first table
	idBits   = 24            // of a letter sequence's hash
	nShapes  = 1216          // rows of the second
	maxLabel = 63
	maxGrams = 9 * (maxLabel + 2)
)

// groups of the second table
const (
	shLen      = 0    // 64: length
	shDigits   = 64   // 16: digits
	shHyphens  = 80   // 8: hyphens
	shCons     = 88   // 16: longest run of consonants
	shVow      = 104  // 16: longest run of vowels
	shRatio    = 120  // 32: vowels among letters
	shEntropy  = 152  // 32: entropy of the letters
	shDistinct = 184  // 32: distinct letters
	shSwitch   = 216  // 16: changes between letters and digits
	shOdd      = 232  // 8: octets that no host name may have
	shHex      = 240  // 64: hexadecimal alone, by length
	shMean     = 304  // 64: mean surprise of the letters
	shWorst    = 368  // 32: least expected letter
	shBest     = 400  // 64: sum of surprise
	shRare     = 464  // 32: share of letter pairs that are rare
	shLabels   = 496  // 8: labels in front of the one judged
	shLenMean  = 512  // 512: length (32) by mean surprise (16)
	shTLD      = 1024 // 192: generic top-level domain, the last for those that don't exist
)

// Sample is a name as the model sees it. The zero value is ready; it can be
// used again. It is not safe for concurrent use.
type Sample struct {
	ids    [maxGrams]uint32 // of all letter sequences
	nI     int
	grams  [maxGrams]uint16 // rows of those that the model knows
	nG     int
	shapes [32]uint16
	nS     int
	norm   float32

	NoTLD bool // leave the top-level domain out

	Label                              string // the label that is judged
	Digits, Cons, Hyphens, Odd, Length int
	Mean                               float64 // bits a letter
	Ratio                              float64 // vowels among letters
}

// judged gives the label that an algorithm would have made: the longest in
// front of the public suffix, of several equally long the last. Dynamic-DNS
// providers that the public suffix list knows count as suffixes.
func judged(name, suffix string) (string, int) {
	rest := strings.TrimSuffix(strings.TrimSuffix(name, suffix), ".")
	if rest == "" { // the name is itself a suffix, such as one of a dynamic-DNS provider
		i := strings.LastIndexByte(name, '.')
		if i < 0 {
			return "", 0
		}
		rest = name[:i]
	}
	best, at, n := "", 0, 0
	for l := range strings.SplitSeq(rest, ".") {
		if len(l) >= len(best) {
			best, at = l, n
		}
		n++
	}
	return best, at
}

// canonical lower-cases a name and takes off a trailing dot and a wildcard
// label. It is not ok for what is no name in the DNS or has one label. Octets
// that a host name may not have are let through if they are printable: one
// known algorithm makes them.
func canonical(dst *[256]byte, in string) (string, bool) {
	in = strings.TrimSuffix(in, ".")
	in = strings.TrimPrefix(in, "*.")
	if len(in) < 3 || len(in) > 253 {
		return "", false
	}
	label, dots := 0, 0
	for i := range len(in) {
		c := in[i]
		switch {
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
			dots++
			dst[i] = c
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c <= ' ' || c >= 0x7f || c == '/' || c == ':' || c == '@':
			return "", false
		}
		if label++; label > maxLabel {
			return "", false
		}
		dst[i] = c
	}
	if label == 0 || dots == 0 {
		return "", false
	}
	numeric := true // an address is no name
	for i := range len(in) {
		numeric = numeric && (dst[i] == '.' || dst[i] >= '0' && dst[i] <= '9')
	}
	return string(dst[:len(in)]), !numeric || dots != 3
}

const (
	kVowel = iota
	kCons
	kDigit
	kHyphen
	kOdd
)

var kind = func() (t [256]uint8) {
	for i := range t {
		switch c := byte(i); {
		case strings.IndexByte("aeiouy", c) >= 0:
			t[i] = kVowel
		case c >= 'a' && c <= 'z':
			t[i] = kCons
		case c >= '0' && c <= '9':
			t[i] = kDigit
		case c == '-':
			t[i] = kHyphen
		default:
			t[i] = kOdd
		}
	}
	return t
}()

// letter gives a letter's place in the background: 0 a boundary, 1-26 letters,
// 27 any digit, 28 anything else.
func letter(c byte) int {
	switch kind[c] {
	case kVowel, kCons:
		return int(c-'a') + 1
	case kDigit:
		return 27
	}
	return 28
}

func (s *Sample) gram(h uint32) {
	h ^= h >> 15
	h *= 0x85ebca6b
	h ^= h >> 13
	s.ids[s.nI] = h & (1<<idBits - 1)
	s.nI++
}

func (s *Sample) shape(group, v, size int) {
	s.shapes[s.nS] = uint16(group + min(max(v, 0), size-1))
	s.nS++
}

// measure fills s; it is false for what can't be judged.
func (s *Sample) measure(name string, bg *background) bool {
	var buf [256]byte
	name, ok := canonical(&buf, name)
	if !ok {
		return false
	}
	suffix, icann := publicsuffix.PublicSuffix(name)
	l, at := judged(name, suffix)
	n := len(l)
	if n == 0 {
		return false
	}
	s.nI, s.nG, s.nS = 0, 0, 0
	s.Label = l

	// Shape.
	var count [128]uint8
	digits, hyphens, odd, vowels, letters := 0, 0, 0, 0, 0
	cRun, cMax, vRun, vMax, switches := 0, 0, 0, 0, 0
	hex := true
	for i := range n {
		c := l[i]
		count[c&127]++
		k := kind[c]
		if i > 0 && (k == kDigit) != (kind[l[i-1]] == kDigit) {
			switches++
		}
		switch k {
		case kVowel:
			vowels++
			letters++
			vRun++
			cRun = 0
		case kCons:
			letters++
			cRun++
			vRun = 0
		case kDigit:
			digits++
			cRun, vRun = 0, 0
		case kHyphen:
			hyphens++
			cRun, vRun = 0, 0
		default:
			odd++
			cRun, vRun = 0, 0
		}
		cMax, vMax = max(cMax, cRun), max(vMax, vRun)
		hex = hex && (k == kDigit || c >= 'a' && c <= 'f')
	}
	distinct, ent := 0, 0.0
	for _, c := range count {
		if c > 0 {
			distinct++
			p := float64(c) / float64(n)
			ent -= p * math.Log2(p)
		}
	}
	// Surprise.
	sum, worst, rare := 0, 0, 0
	a, b := 0, 0
	for i := range n + 1 {
		c := 0
		if i < n {
			c = letter(l[i])
		}
		v := int(bg[(a*29+b)*29+c]) // eighths of a bit
		sum += v
		worst = max(worst, v)
		if v > 7*8 {
			rare++
		}
		a, b = b, c
	}
	mean := float64(sum) / 8 / float64(n+1)
	ratio := 0.0
	if letters > 0 {
		ratio = float64(vowels) / float64(letters)
	}
	s.Length, s.Digits, s.Cons, s.Hyphens, s.Odd, s.Mean, s.Ratio = n, digits, cMax, hyphens, odd, mean, ratio
	s.shape(shLen, n, 64)
	s.shape(shDigits, digits, 16)
	s.shape(shHyphens, hyphens, 8)
	s.shape(shCons, cMax, 16)
	s.shape(shVow, vMax, 16)
	s.shape(shRatio, int(ratio*31+.5), 32)
	s.shape(shEntropy, int(ent*6), 32)
	s.shape(shDistinct, distinct, 32)
	s.shape(shSwitch, switches, 16)
	s.shape(shOdd, odd, 8)
	if hex {
		s.shape(shHex, n, 64)
	}
	s.shape(shMean, int((mean-2)*9), 64)
	s.shape(shWorst, int(float64(worst)/8*2), 32)
	s.shape(shBest, sum/8/3, 64)
	s.shape(shRare, rare*31/(n+1), 32)
	s.shape(shLabels, at, 8)
	s.shape(shLenMean, min(n, 31)*16+min(max(int((mean-2)*2.5), 0), 15), 512)

	// Country codes are not looked at: what is known of ordinary registrations
	// holds some in full and others not at all.
	if tld := name[strings.LastIndexByte(name, '.')+1:]; !s.NoTLD && len(tld) > 2 && !strings.HasPrefix(tld, "xn--") {
		h := uint32(2166136261)
		for i := range len(tld) {
			h = (h ^ uint32(tld[i])) * 16777619
		}
		h ^= h >> 15
		if !icann && !strings.Contains(suffix, ".") {
			s.shape(shTLD, 191, 192)
		} else {
			s.shape(shTLD, int(h%191), 192)
		}
	}

	// Letter sequences, boundaries included.
	var sym [maxLabel + 2]byte
	sym[0] = '^'
	copy(sym[1:], l)
	sym[n+1] = '$'
	w := sym[:n+2]
	const fnv = 16777619
	for i := range w {
		h := uint32(2166136261)
		for k := 0; k < 5 && i+k < len(w); k++ {
			h = (h ^ uint32(w[i+k])) * fnv
			if k != 0 || i > 0 && i <= n {
				s.gram(h)
			}
		}
	}
	// Beginnings and ends, which are where words are sure to begin and end.
	h, e := uint32(77), uint32(78)
	for k := range min(n, 10) {
		h = (h ^ uint32(l[k])) * fnv
		e = (e ^ uint32(l[n-1-k])) * fnv
		if k >= 4 {
			s.gram(h)
			s.gram(e)
		}
	}
	// Kinds of letters, four and six in a row.
	for i := 0; i < len(w); i++ {
		h := uint32(99)
		for k := 0; k < 6 && i+k < len(w); k++ {
			x := uint32(7)
			if c := w[i+k]; c != '^' && c != '$' || i+k > 0 && i+k <= n {
				x = uint32(kind[c])
			}
			h = (h ^ x) * fnv
			if k == 3 || k == 5 {
				s.gram(h)
			}
		}
	}
	s.norm = float32(1 / math.Sqrt(float64(n+1)))
	return true
}

// background is how surprising a letter is behind two others in ordinary names,
// in eighths of a bit.
type background [29 * 29 * 29]uint8

func learnBackground(names []string) *background {
	tri := make([]float64, 29*29*29)
	bi := make([]float64, 29*29)
	var buf [256]byte
	uni := [29]float64{}
	total := 0.0
	for _, n := range names {
		n, ok := canonical(&buf, n)
		if !ok {
			continue
		}
		suffix, _ := publicsuffix.PublicSuffix(n)
		l, _ := judged(n, suffix)
		if l == "" || strings.HasPrefix(l, "xn--") {
			continue
		}
		a, b := 0, 0
		for i := range len(l) + 1 {
			c := 0
			if i < len(l) {
				c = letter(l[i])
			}
			tri[(a*29+b)*29+c]++
			bi[b*29+c]++
			uni[c]++
			total++
			a, b = b, c
		}
	}
	out := &background{}
	for a := range 29 {
		for b := range 29 {
			t, s := 0.0, 0.0
			for c := range 29 {
				t += tri[(a*29+b)*29+c]
				s += bi[b*29+c]
			}
			for c := range 29 {
				p1 := (uni[c] + 1) / (total + 29)
				p2 := (bi[b*29+c] + 5*p1) / (s + 5)
				p3 := (tri[(a*29+b)*29+c] + 8*p2) / (t + 8)
				out[(a*29+b)*29+c] = uint8(min(-math.Log2(p3)*8, 255))
			}
		}
	}
	return out
}
