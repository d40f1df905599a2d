// Package likeness says how alike two web pages are: their text by ssdeep's fuzzy
// hash, their picture by the average hash that dnstwist calls phash. Both give the
// numbers that dnstwist gives.
//
// What lives here: pure computing over octets that were fetched elsewhere. What
// must not: fetching, or keeping a page.
package likeness

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"math"
	"math/bits"
	"regexp"
	"strconv"
	"strings"

	"github.com/impound/impound/internal/edits"
)

// What dnstwist leaves out of a page before it hashes it: where links lead, and
// how the text is broken into lines.
var (
	attributes = regexp.MustCompile(`(?i)(action|src|href)="[^"]+"`)
	urls       = regexp.MustCompile(`(?i)url\([^)]+\)`)
)

// Normal gives the page as it is compared.
func Normal(page []byte) []byte {
	page = bytes.Join(bytes.FieldsFunc(page, func(r rune) bool {
		return r == ' ' || r >= '\t' && r <= '\r'
	}), []byte(" "))
	page = attributes.ReplaceAllFunc(page, func(b []byte) []byte {
		name, _, _ := bytes.Cut(b, []byte("="))
		return append(bytes.Clone(name), `=""`...)
	})
	return urls.ReplaceAll(page, []byte("url()"))
}

// Of ssdeep's format (Kornblum, "Identifying almost identical files using context
// triggered piecewise hashing", 2006; libfuzzy 2.14).
const (
	window    = 7
	minBlock  = 3
	maxLength = 64
	hashPrime = 0x01000193
	hashInit  = 0x28021967
	maxDoubly = 31 // blocks are 3 << 0 ... 3 << 30 octets

	base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

// piece is one signature under way.
type piece struct {
	sig  []byte
	h    uint32
	last byte // what stands after sig if the text ends at a block's end
	max  int
}

func (p *piece) cut() {
	c := base64[p.h%64]
	if len(p.sig) < p.max-1 {
		p.sig, p.h, p.last = append(p.sig, c), hashInit, 0
		return
	}
	p.last = c
}

func (p *piece) end(sum uint32) string {
	switch {
	case sum != 0:
		return string(p.sig) + string(base64[p.h%64])
	case p.last != 0:
		return string(p.sig) + string(p.last)
	}
	return string(p.sig)
}

// Fuzzy gives ssdeep's hash of b, "block:signature:signature".
func Fuzzy(b []byte) string {
	n := 0
	for n < maxDoubly-1 && uint64(minBlock<<n)*maxLength < uint64(len(b)) {
		n++
	}
	for ; ; n-- {
		size := uint32(minBlock) << n
		one, two := piece{h: hashInit, max: maxLength}, piece{h: hashInit, max: maxLength / 2}
		var h1, h2, h3 uint32
		var win [window]uint32
		for i, x := range b {
			c := uint32(x)
			h2 += window*c - h1
			h1 += c - win[i%window]
			win[i%window] = c
			h3 = h3<<5 ^ c
			one.h, two.h = one.h*hashPrime^c, two.h*hashPrime^c
			sum := h1 + h2 + h3
			if sum%size != size-1 {
				continue
			}
			one.cut()
			if sum%(2*size) == 2*size-1 {
				two.cut()
			}
		}
		if n > 0 && len(one.sig) < maxLength/2 {
			continue
		}
		sum := h1 + h2 + h3
		return strconv.FormatUint(uint64(size), 10) + ":" + one.end(sum) + ":" + two.end(sum)
	}
}

// FuzzyAlike compares two of ssdeep's hashes, from 0 for nothing alike to 100. What
// is no such hash is like nothing.
func FuzzyAlike(a, b string) int {
	n1, s1, t1, ok1 := parts(a)
	n2, s2, t2, ok2 := parts(b)
	switch {
	case !ok1 || !ok2:
		return 0
	case n1 == n2 && s1 == s2 && t1 == t2:
		return 100
	case n1 == n2:
		return max(score(s1, s2, n1), score(t1, t2, 2*n1))
	case n1 == 2*n2:
		return score(s1, t2, n1)
	case n2 == 2*n1:
		return score(t1, s2, n2)
	}
	return 0
}

// parts takes a hash apart; more than three of the same in a row say nothing and
// are left out.
func parts(s string) (block uint64, one, two string, ok bool) {
	f := strings.SplitN(s, ":", 3)
	if len(f) != 3 {
		return 0, "", "", false
	}
	block, err := strconv.ParseUint(f[0], 10, 32)
	if err != nil || block < minBlock {
		return 0, "", "", false
	}
	short := func(s string) string {
		var out []byte
		for i := range len(s) {
			if n := len(out); i >= 3 && n >= 3 && s[i] == s[i-1] && s[i] == s[i-2] && s[i] == s[i-3] {
				continue
			}
			out = append(out, s[i])
		}
		return string(out)
	}
	name, _, _ := strings.Cut(f[2], ",") // a file's name may stand behind it
	one, two = short(f[1]), short(name)
	return block, one, two, len(one) <= maxLength && len(two) <= maxLength
}

func score(a, b string, block uint64) int {
	common := false
	for i := 0; i+window <= len(a) && !common; i++ {
		common = strings.Contains(b, a[i:i+window])
	}
	if !common {
		return 0
	}
	s := edits.Distance(a, b, 2) * maxLength / (len(a) + len(b))
	s = 100 - 100*s/maxLength
	// Of short blocks little can be said.
	if most := int(block) / minBlock * min(len(a), len(b)); block < (99+window)/window*minBlock && s > most { //nolint:gosec // a block has 32 bits
		s = most
	}
	return max(s, 0)
}

// The window of a browser as dnstwist opens it, in pixels: of a picture of the
// whole page as much is compared.
const (
	viewWidth  = 1366
	viewHeight = 768
	side       = 8
)

// Picture gives the average hash of a picture in PNG: which of 8 x 8 parts are
// lighter than the mean.
func Picture(b []byte) (uint64, error) {
	conf, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	if conf.Width < 1 || conf.Height < 1 || conf.Width*conf.Height > 64<<20 {
		return 0, errors.New("the picture is too large")
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	r := img.Bounds().Intersect(image.Rect(0, 0, viewWidth, viewHeight).Add(img.Bounds().Min))
	grey := make([]uint8, r.Dx()*r.Dy())
	for y := range r.Dy() {
		for x := range r.Dx() {
			rr, g, b, _ := img.At(r.Min.X+x, r.Min.Y+y).RGBA()
			// ITU-R 601-2, in the fixed point of the imaging library that dnstwist uses.
			grey[y*r.Dx()+x] = uint8(((rr>>8)*19595 + (g>>8)*38470 + (b>>8)*7471 + 0x8000) >> 16) //nolint:gosec // it is below 256
		}
	}
	wide := shrink(grey, r.Dx(), r.Dy())            // rows of 8
	small := shrink(turn(wide, side), r.Dy(), side) // columns of 8, lying
	small = turn(small, side)
	mean := 0.0
	for _, p := range small {
		mean += float64(p)
	}
	mean /= side * side
	var h uint64
	for _, p := range small {
		h <<= 1
		if float64(p) > mean {
			h |= 1
		}
	}
	return h, nil
}

// turn swaps the rows and the columns of a picture with so many columns.
func turn(p []uint8, cols int) []uint8 {
	rows := len(p) / cols
	out := make([]uint8, len(p))
	for y := range rows {
		for x := range cols {
			out[x*rows+y] = p[y*cols+x]
		}
	}
	return out
}

// shrink makes each row 8 wide by Lanczos' window of three lobes.
func shrink(p []uint8, cols, rows int) []uint8 {
	const one = 1 << 22
	scale := float64(cols) / side
	filter := max(scale, 1)
	support := 3 * filter
	out := make([]uint8, rows*side)
	for x := range side {
		centre := (float64(x) + 0.5) * scale
		from, to := max(int(centre-support+0.5), 0), min(int(centre+support+0.5), cols)
		k, sum := make([]float64, to-from), 0.0
		for i := range k {
			k[i] = lanczos((float64(from+i) - centre + 0.5) / filter)
			sum += k[i]
		}
		for y := range rows {
			acc := one / 2
			for i := range k {
				acc += int(math.Round(k[i]/sum*one)) * int(p[y*cols+from+i])
			}
			out[y*side+x] = uint8(max(0, min(255, acc>>22))) //nolint:gosec // it is held below 256
		}
	}
	return out
}

func lanczos(x float64) float64 {
	sinc := func(x float64) float64 {
		if x == 0 {
			return 1
		}
		return math.Sin(math.Pi*x) / (math.Pi * x)
	}
	if x < -3 || x >= 3 {
		return 0
	}
	return sinc(x) * sinc(x/3)
}

// PicturesAlike compares two hashes of pictures, from 0 to 100, as dnstwist does.
func PicturesAlike(a, b uint64) int {
	differ := float64(bits.OnesCount64(a ^ b))
	return max(int((1+math.Exp((64-differ)/64)-math.E)*100), 0)
}
