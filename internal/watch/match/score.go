package match

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/impound/impound"
)

// What is measured of one occurrence. The order is that of the weights.
const (
	fBias = iota
	fExact
	fHomoglyph
	fMerged
	fIDN
	fSub
	fIns
	fDel
	fSwap
	fMany
	fFar // edits of a garbled word as a share of the token
	fLen2
	fLen3
	fLen4
	fLen5
	fLen6
	fLen7
	fLen8
	fRarity
	fLeftEdge
	fLeftHyphen
	fLeftDigit
	fLeftLetter
	fRightEdge
	fRightHyphen
	fRightDigit
	fRightLetter
	fSubdomain
	fCrossDot
	fCrossHyphen
	fLures
	fLureShare
	fRest
	fNoRest
	fHyphens
	fDigits
	fLength
	fLabels
	fTLD
	nFeatures
)

type features struct {
	v     [nFeatures]float32
	lures int
}

// weights are set by hand for a start.
var weights = [nFeatures]float32{
	fBias: -3.2, fExact: 1.2, fHomoglyph: 2.2, fMerged: 1.5, fIDN: 3,
	fSub: -0.8, fIns: -0.6, fDel: -1, fSwap: -0.3, fMany: -1.2, fFar: -6,
	fLen2: -3, fLen3: -2, fLen4: -0.8, fLen5: -0.3, fLen6: 0.4, fLen7: 0.8, fLen8: 1.2,
	fRarity:   0.5,
	fLeftEdge: 0.6, fLeftHyphen: 0.5, fLeftDigit: 0, fLeftLetter: -0.4,
	fRightEdge: 0.6, fRightHyphen: 0.7, fRightDigit: 0.3, fRightLetter: -0.3,
	fSubdomain: 0.2, fCrossDot: -1, fCrossHyphen: -0.2,
	fLures: 0.9, fLureShare: 1.5, fRest: -0.6, fNoRest: 0.6,
	fHyphens: 0.3, fDigits: 0.1, fLength: 0, fLabels: 0.2, fTLD: 1,
}

func (x *features) logit() float64 {
	var sum float32
	for i, v := range x.v {
		sum += v * weights[i]
	}
	return float64(sum)
}

// features measures occurrence f of s; false when it can't be meant.
func (ix *index) features(s *scan, f found, x *features, noTLD bool) bool {
	t := &ix.tokens[f.tok]
	v := &x.v
	from, to := int(s.pos[f.at]), s.rawEnd(f.end)
	span := s.raw[from:to]
	hyphens, dots, glyphs := 0, 0, 0
	for i, c := range span {
		switch class[c] {
		case clsHyphen, clsOther:
			hyphens++
		case clsDot:
			dots++
		case clsDigit:
			if i > 0 || f.dist == 0 { // a digit in front may belong to what stands before
				glyphs++
			}
		}
	}
	if dots > 0 && (f.dist > 0 || len(t.codes) < 5 || dots > 2) {
		return false
	}
	if hyphens > 0 && len(t.codes) < 4 {
		return false
	}
	for i := range len(t.text) {
		if class[t.text[i]] == clsDigit {
			glyphs--
		}
	}
	v[fBias] = 1
	switch {
	case f.edit == editMany && f.dist > t.edits:
		v[fFar] = float32(f.dist) / float32(len(t.codes))
	case f.edit == editMany:
		v[fMany] = 1
	case f.edit == editSub:
		v[fSub] = 1
	case f.edit == editIns:
		v[fIns] = 1
	case f.edit == editDel:
		v[fDel] = 1
	case f.edit == editSwap:
		v[fSwap] = 1
	case s.idn:
		v[fIDN] = 1
	case s.merged && !t.merged && to-from-hyphens-dots != len(t.text):
		v[fMerged] = 1
	case plainEqual(span, t.text):
		v[fExact] = 1
	default:
		v[fHomoglyph] = 1
	}
	v[fLen2+min(len(t.text), 8)-2] = 1
	v[fRarity] = float32(t.rarity) / 4
	switch edgeOf(s, from-1) {
	case clsDot:
		v[fLeftEdge] = 1
	case clsHyphen:
		v[fLeftHyphen] = 1
	case clsDigit:
		v[fLeftDigit] = 1
	default:
		v[fLeftLetter] = 1
	}
	switch edgeOf(s, to) {
	case clsDot:
		v[fRightEdge] = 1
	case clsHyphen:
		v[fRightHyphen] = 1
	case clsDigit:
		v[fRightDigit] = 1
	default:
		v[fRightLetter] = 1
	}
	labels := 1
	lastLabel := 0
	for i := range s.rawN {
		if s.raw[i] == '.' {
			labels++
			lastLabel = i + 1
		}
	}
	if to <= lastLabel {
		v[fSubdomain] = 1
	}
	if dots > 0 {
		v[fCrossDot] = 1
	}
	if hyphens > 0 {
		v[fCrossHyphen] = 1
	}
	lureN, covered, rest, digits, hy := 0, 0, 0, 0, 0
	for i := 0; i < s.rawN; {
		if i == from {
			i = to
			continue
		}
		switch class[s.raw[i]] {
		case clsLetter:
			end := s.rawN
			if i < from {
				end = from
			}
			if n := lureWord(s.raw[i:end]); n > 0 {
				lureN++
				covered += n
				rest += n
				i += n
				continue
			}
			rest++
		case clsDigit:
			digits++
		case clsHyphen:
			hy++
		}
		i++
	}
	x.lures = lureN
	v[fLures] = float32(min(lureN, 4))
	if rest > 0 {
		v[fLureShare] = float32(covered) / float32(rest)
	} else {
		v[fNoRest] = 1
	}
	v[fRest] = float32(min(rest-covered, 20)) / 5
	v[fHyphens] = float32(min(hy, 5))
	v[fDigits] = float32(min(digits, 8)) / 2
	v[fLength] = float32(min(s.rawN, 60)) / 20
	v[fLabels] = float32(min(labels, 6) - 1)
	if !noTLD {
		v[fTLD] = tldWeight(s.raw[min(s.rawN+1, s.allN):s.allN])
	}
	_ = glyphs
	return true
}

// plainEqual says whether span, hyphens and dots dropped, spells text.
func plainEqual(span []byte, text string) bool {
	j := 0
	for _, c := range span {
		if class[c] >= clsHyphen {
			continue
		}
		if j >= len(text) || text[j] != c {
			return false
		}
		j++
	}
	return j == len(text)
}

// edgeOf gives the class of the octet at i, with the ends of the name and
// underscores as dots.
func edgeOf(s *scan, i int) uint8 {
	if i < 0 || i >= s.rawN || class[s.raw[i]] == clsOther {
		return clsDot
	}
	return class[s.raw[i]]
}

// tldWeight is how much a top-level domain adds.
func tldWeight(tld []byte) float32 {
	switch string(tld) {
	case "top", "xyz", "icu", "buzz", "club", "cyou", "monster", "shop", "tk", "ml", "ga", "cf", "gq", "cn", "cc", "info", "vip", "online", "site", "live", "click", "link", "work", "support", "services", "rest", "fit", "cam", "bar", "sbs", "cfd":
		return 1
	case "edu", "gov", "mil", "int", "de", "fr", "it", "se", "ee", "sk", "nu", "ch", "nl":
		return -0.7
	}
	return 0
}

// rarity is how surprising text would be in an ordinary name.
func rarity(text string) float64 {
	sum := 0.0
	for i := range len(text) {
		f := letterFreq[foldCode[text[i]]]
		sum -= math.Log10(f / 100)
	}
	return sum
}

// lureOnly is the answer for a name without a brand: two strong lure words are
// a reason to look.
func (m *Matcher) lureOnly(s *scan) (Hit, bool) {
	if s.allN == 0 || m.isOwn(s) {
		return Hit{}, false
	}
	last := strings.LastIndexByte(string(s.raw[:s.rawN]), '.') + 1
	label := s.raw[last:s.rawN]
	var words []string
	rest := 0
	for i := 0; i < len(label); {
		if n := lureWord(label[i:]); n > 0 {
			if w := string(label[i : i+n]); strongLures[w] {
				words = append(words, w)
				i += n
				continue
			}
		}
		if class[label[i]] == clsLetter {
			rest++
		}
		i++
	}
	if len(words) < 2 || rest > 3 {
		return Hit{}, false
	}
	base, each := -3.0, 0.8*float64(min(len(words), 4))
	return Hit{How: HowLures, Score: squash(base + each), Reasons: []impound.Reason{
		{Code: "base", Text: "before looking at anything: few names are of interest", Weight: base},
		{Code: "lures", Text: "lure words " + quoteAll(words) + " together, and no brand", Weight: each},
	}}, true
}

func quoteAll(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = `"` + w + `"`
	}
	return strings.Join(q, " and ")
}

// explain takes a verdict apart.
func (m *Matcher) explain(s *scan, v verdict) Hit {
	f := v.found
	t := &m.ix.tokens[f.tok]
	var x features
	m.ix.features(s, f, &x, m.opt.NoTLD)
	how := howOf(s, t, f, &x)
	h := Hit{Brand: m.brandOf(f.tok), How: how, Token: t.text, Distance: f.dist, Score: squash(v.logit)}
	from, to := int(s.pos[f.at]), s.rawEnd(f.end)
	span := string(s.raw[from:to])
	group := func(code, text string, idx ...int) {
		w := 0.0
		for _, i := range idx {
			w += float64(x.v[i] * weights[i])
		}
		if w != 0 {
			h.Reasons = append(h.Reasons, impound.Reason{Code: code, Text: text, Weight: math.Round(w*1000) / 1000})
		}
	}
	group("base", "before looking at anything: few names are of interest", fBias)
	group("brand-"+string(how), howText(how, span, t.text, h.Brand), fExact, fHomoglyph, fMerged, fIDN, fSub, fIns, fDel, fSwap, fMany, fFar)
	group("token", fmt.Sprintf("%q has %d letters: the shorter and commoner, the more names hold it by chance", t.text, len(t.text)), fLen2, fLen3, fLen4, fLen5, fLen6, fLen7, fLen8, fRarity)
	group("place", "where it stands: "+placeText(&x), fLeftEdge, fLeftHyphen, fLeftDigit, fLeftLetter, fRightEdge, fRightHyphen, fRightDigit, fRightLetter, fSubdomain, fCrossDot, fCrossHyphen)
	if words := m.luresIn(s, from, to); len(words) > 0 {
		group("lures", "with lure words "+quoteAll(words), fLures, fLureShare)
	}
	group("rest", "what else the name holds", fRest, fNoRest)
	group("shape", "hyphens, digits, length, labels", fHyphens, fDigits, fLength, fLabels)
	group("tld", "top-level domain ."+string(s.raw[min(s.rawN+1, s.allN):s.allN]), fTLD)
	slices.SortStableFunc(h.Reasons[1:], func(a, b impound.Reason) int {
		if math.Abs(a.Weight) > math.Abs(b.Weight) {
			return -1
		}
		return 1
	})
	return h
}

func (m *Matcher) luresIn(s *scan, from, to int) []string {
	var words []string
	for i := 0; i < s.rawN; {
		if i == from {
			i = to
			continue
		}
		end := s.rawN
		if i < from {
			end = from
		}
		if n := lureWord(s.raw[i:end]); n > 0 {
			words = append(words, string(s.raw[i:i+n]))
			i += n
			continue
		}
		i++
	}
	return words
}

func howOf(s *scan, t *token, f found, x *features) How {
	v := &x.v
	switch {
	case s.idn:
		return HowIDN
	case v[fFar] > 0:
		return HowGarbled
	case v[fMany] > 0:
		return HowEdits
	case v[fSwap] > 0:
		return HowTransposition
	case v[fDel] > 0:
		return HowOmission
	case v[fIns] > 0:
		from, to := f.at, f.end
		for i := from + 1; i < to; i++ {
			if s.code[padLeft+i] == s.code[padLeft+i-1] {
				return HowRepetition
			}
		}
		return HowInsertion
	case v[fSub] > 0:
		for i, c := range t.codes {
			if d := s.code[padLeft+f.at+i]; d != c {
				return subKind(t, i, s.raw[s.pos[f.at+i]])
			}
		}
		return HowReplacement
	case v[fHomoglyph] > 0, v[fMerged] > 0:
		return HowHomoglyph
	case v[fCrossDot] > 0:
		return HowDot
	case v[fCrossHyphen] > 0 && hyphenInside(t):
		return HowHyphen
	case v[fSubdomain] > 0:
		return HowSubdomain
	case x.lures > 0:
		return HowCombo
	case v[fLeftEdge] > 0 && v[fRightEdge] > 0:
		return HowTLD
	case v[fLeftLetter] > 0 || v[fRightLetter] > 0:
		return HowInside
	}
	return HowExact
}

func hyphenInside(t *token) bool { return len(t.text) > 1 }

func subKind(t *token, i int, got byte) How {
	if i >= len(t.text) || t.merged {
		return HowReplacement
	}
	want := t.text[i]
	if strings.IndexByte("aeiou", want) >= 0 && strings.IndexByte("aeiou", got) >= 0 {
		return HowVowel
	}
	if d := want ^ got; d&(d-1) == 0 {
		return HowBitflip
	}
	return HowReplacement
}

func howText(how How, span, token, brand string) string {
	of := ""
	if brand != token {
		of = " (" + brand + ")"
	}
	switch how {
	case HowExact, HowTLD:
		return fmt.Sprintf("is %q%s, and not one of the brand's own domains", span, of)
	case HowCombo, HowInside:
		return fmt.Sprintf("contains %q%s", span, of)
	case HowSubdomain:
		return fmt.Sprintf("contains %q%s in a label in front of the registered name", span, of)
	case HowHyphen, HowDot:
		return fmt.Sprintf("spells %q%s as %q", token, of, span)
	case HowIDN, HowHomoglyph:
		return fmt.Sprintf("%q looks like %q%s", span, token, of)
	case HowGarbled:
		return fmt.Sprintf("%q resembles %q%s", span, token, of)
	default:
		return fmt.Sprintf("%q is %q%s with a typing error (%s)", span, token, of, how)
	}
}

func placeText(x *features) string {
	v := &x.v
	l, r := "after a letter", "before a letter"
	switch {
	case v[fLeftEdge] > 0:
		l = "at the start of a label"
	case v[fLeftHyphen] > 0:
		l = "after a hyphen"
	case v[fLeftDigit] > 0:
		l = "after a digit"
	}
	switch {
	case v[fRightEdge] > 0:
		r = "at the end of a label"
	case v[fRightHyphen] > 0:
		r = "before a hyphen"
	case v[fRightDigit] > 0:
		r = "before a digit"
	}
	return l + ", " + r
}
