package match

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/impound/impound"
)

func log2(x float32) float32 { return float32(math.Log2(float64(x))) }

// What is measured of one occurrence, by number. The order is that of the
// weights.
const (
	fBias = iota
	fRarity
	fWindow // how much commoner the misspelt form is than the token
	fFar    // edits of a garbled word as a share of the token
	fLures
	fLureShare
	fRest
	fRestBits // how surprising the rest is, a letter
	fHyphens
	fDigits
	fLength
	fLabels
	fCover // share of the label that the token covers
	fRarityInside
	fRarityHalf
	fWindowRarity
	fCommon      // how many ordinary names hold the token anywhere
	fCommonHere  // ... in this place
	fCommonWin   // ... the misspelt form
	fCommonFuzzy // the token's, where it is misspelt
	nFeatures
)

// And what is either so or not: groups of which one member holds.
const (
	gHow     = 0              // 12 ways
	gHowLen  = gHow + 12      // way and length of the token: 12*8
	gPlace   = gHowLen + 12*8 // left and right neighbour, length class: 4*4*4
	gWhere   = gPlace + 64    // sub-domain or not, whole label or not, and way: 4*12
	gRest    = gWhere + 48    // letters of the rest, 0 to 15
	gDigits  = gRest + 16     // digits, 0 to 7
	gHyphens = gDigits + 8    // hyphens, 0 to 5
	gLures   = gHyphens + 6   // lure words, 0 to 4, and whether they are all
	gLabels  = gLures + 10    // 1 to 6
	gCross   = gLabels + 6    // dots or hyphens inside: 4
	gGlyphs  = gCross + 4     // digits that stand for letters: 0 to 3
	gTail    = gGlyphs + 4    // what the label ends in: letters, digits, and how many: 6
	gCommon  = gTail + 6      // how common the token is: 10
	nCross   = gCommon + 10
)

// nGrams is the size of the table of weights of letter sequences beside the
// token, nSuffix that of top-level domains.
const (
	nGrams   = 1 << 14
	nSuffix  = 1 << 9
	nTokens  = 1 << 10
	maxGrams = 160
)

type features struct {
	v     [nFeatures]float32
	cross [16]uint16
	nC    int
	gram  [maxGrams]uint16
	nG    int
	tld   int // -1: not looked at
	tok   int // -1: not looked at
	lures int
	how   int
}

func (x *features) set(i int) { x.cross[x.nC] = uint16(i); x.nC++ }

// nHidden is how many pairs-finding units the model has. Each sums the weights
// of what is so and passes on what is above zero, which lets the model say
// "short token, but alone between hyphens".
const nHidden = 8

type units [nHidden]float32

// model is the learnt weights: a logistic regression, and a few hidden units
// over the dense and crossed features.
type model struct {
	hDense [nFeatures]units
	hCross [nCross]units
	hTok   [nTokens]units
	hBias  units
	hOut   units
	dense  [nFeatures]float32
	cross  [nCross]float32
	gram   [nGrams]int8
	tld    [nSuffix]int8
	tok    [nTokens]int8
	scale  float32 // of gram and tld
}

// weights.bin holds two models, with and without top-level domains, made by:
// evalwatch -train match -data FOLDER.
//
//go:embed weights.bin
var weightsBin []byte

var withTLD, withoutTLD = func() (*model, *model) {
	a, b := &model{}, &model{}
	n := modelSize
	if len(weightsBin) != 2*n {
		return byHand(), byHand() // before the first training
	}
	if a.decode(weightsBin[:n]) != nil || b.decode(weightsBin[n:]) != nil {
		return byHand(), byHand()
	}
	return a, b
}()

// modelSize is the length of an encoded model.
const modelSize = 4*(nFeatures+nCross+1) + 4*nHidden*(nFeatures+nCross+nTokens+2) + nGrams + nSuffix + nTokens

func (m *model) encode() []byte {
	b := make([]byte, 0, modelSize)
	put := func(f float32) { b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f)) }
	for _, f := range m.dense {
		put(f)
	}
	for _, f := range m.cross {
		put(f)
	}
	put(m.scale)
	for _, us := range [][]units{m.hDense[:], m.hCross[:], m.hTok[:], {m.hBias, m.hOut}} {
		for _, u := range us {
			for _, f := range u {
				put(f)
			}
		}
	}
	for _, w := range m.gram {
		b = append(b, byte(w))
	}
	for _, w := range m.tld {
		b = append(b, byte(w))
	}
	for _, w := range m.tok {
		b = append(b, byte(w))
	}
	return b
}

func (m *model) decode(b []byte) error {
	if len(b) != modelSize {
		return impound.Errorf(impound.KindInvalid, "weights of another version: %d octets, want %d", len(b), modelSize)
	}
	get := func() float32 {
		f := math.Float32frombits(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return f
	}
	for i := range m.dense {
		m.dense[i] = get()
	}
	for i := range m.cross {
		m.cross[i] = get()
	}
	m.scale = get()
	last := []units{{}, {}}
	for _, us := range [][]units{m.hDense[:], m.hCross[:], m.hTok[:], last} {
		for i := range us {
			for j := range us[i] {
				us[i][j] = get()
			}
		}
	}
	m.hBias, m.hOut = last[0], last[1]
	for i := range m.gram {
		m.gram[i], b = int8(b[0]), b[1:]
	}
	for i := range m.tld {
		m.tld[i], b = int8(b[0]), b[1:]
	}
	for i := range m.tok {
		m.tok[i], b = int8(b[0]), b[1:]
	}
	return nil
}

// byHand is a model to begin training from.
func byHand() *model {
	m := &model{scale: 1}
	m.dense[fBias], m.dense[fRarity], m.dense[fLures], m.dense[fLureShare], m.dense[fRest] = -5, 2, 0.9, 1.5, -0.5
	m.dense[fFar] = -6
	for i := range 12 {
		if i >= wSub {
			m.cross[gHow+i] = -1
		}
	}
	return m
}

func (m *model) logit(x *features) float64 {
	sum := m.base(x)
	var g int32
	for _, i := range x.gram[:x.nG] {
		g += int32(m.gram[i])
	}
	return float64(sum + float32(float32(g)*m.scale) + m.hidden(x))
}

// hidden gives what the hidden units add.
func (m *model) hidden(x *features) float32 {
	h := m.hBias
	for i, v := range x.v {
		if v != 0 {
			w := &m.hDense[i]
			for k := range h {
				h[k] += float32(v * w[k])
			}
		}
	}
	for _, i := range x.cross[:x.nC] {
		w := &m.hCross[i]
		for k := range h {
			h[k] += w[k]
		}
	}
	if x.tok >= 0 {
		w := &m.hTok[x.tok]
		for k := range h {
			h[k] += w[k]
		}
	}
	var sum float32
	for k := range h {
		sum += float32(max(h[k], 0) * m.hOut[k])
	}
	return sum
}

func (m *model) base(x *features) float32 {
	var sum float32
	for i := range x.v {
		sum += float32(x.v[i] * m.dense[i])
	}
	for _, i := range x.cross[:x.nC] {
		sum += m.cross[i]
	}
	if x.tld >= 0 {
		sum += float32(float32(m.tld[x.tld]) * m.scale)
	}
	if x.tok >= 0 {
		sum += float32(float32(m.tok[x.tok]) * m.scale)
	}
	return sum
}

// Ways, for the weights.
const (
	wExact = iota
	wGlyph
	wMerged
	wIDN
	wCrossHyphen
	wCrossDot
	wSub
	wIns
	wDel
	wSwap
	wMany
	wFar
)

// secondLevel are labels under which a country's registry sells names.
func secondLevel(l []byte) bool {
	switch string(l) {
	case "co", "com", "ne", "net", "or", "org", "ac", "go", "gov", "edu", "gr", "lg", "ad", "ed", "mil", "in", "web", "nom":
		return true
	}
	return false
}

// features measures occurrence f of s; false when it can't be meant.
func (ix *index) features(s *scan, f found, x *features, noTLD bool) bool {
	t := &ix.tokens[f.tok]
	v := &x.v
	from, to := int(s.pos[f.at]), s.rawEnd(f.end)
	span := s.raw[from:to]
	hyphens, dots, digitsIn, looks := 0, 0, 0, false
	for i, c := range span {
		looks = looks || s.idn && s.looks[from+i]
		switch class[c] {
		case clsHyphen, clsOther:
			hyphens++
		case clsDot:
			dots++
		case clsDigit:
			digitsIn++
		}
	}
	far := f.edit == editMany && f.dist > t.edits
	if dots > 0 && (f.dist > 0 || len(t.codes) < 5 || dots > 2) {
		return false
	}
	if hyphens > 0 && len(t.codes) < 4 {
		return false
	}
	// Where the labels lie: the registered one is that before the suffix.
	lastFrom, lastTo, labels := 0, s.rawN, 1
	for i := range s.rawN {
		if s.raw[i] == '.' {
			labels++
			lastFrom = i + 1
		}
	}
	if labels > 1 && s.allN-s.rawN == 3 && secondLevel(s.raw[lastFrom:s.rawN]) {
		lastTo = lastFrom - 1
		lastFrom = 0
		for i := lastTo - 1; i >= 0; i-- {
			if s.raw[i] == '.' {
				lastFrom = i + 1
				break
			}
		}
	}
	if from >= lastTo {
		return false // in the suffix
	}
	way := wExact
	switch {
	case far:
		way = wFar
		v[fFar] = float32(f.dist) / float32(len(t.codes))
	case f.edit == editMany:
		way = wMany
	case f.edit == editSub:
		way = wSub
	case f.edit == editIns:
		way = wIns
	case f.edit == editDel:
		way = wDel
	case f.edit == editSwap:
		way = wSwap
	case looks:
		way = wIDN
	case s.merged && to-from-hyphens-dots != len(t.text):
		way = wMerged
	case !plainEqual(span, t.text):
		way = wGlyph
	case dots > 0:
		way = wCrossDot
	case hyphens > 0:
		way = wCrossHyphen
	}
	x.how = way
	v[fBias] = 1
	tl := min(len(t.text), 9) - 2
	x.set(gHow + way)
	x.set(gHowLen + way*8 + tl)
	left, right := edgeOf(s, from-1), edgeOf(s, to)
	lc := 3
	switch {
	case len(t.text) <= 2:
		lc = 0
	case len(t.text) == 3:
		lc = 1
	case len(t.text) == 4:
		lc = 2
	}
	x.set(gPlace + (edgeNum(left)*4+edgeNum(right))*4 + lc)
	sub, whole := 0, 0
	if to <= lastFrom {
		sub = 1
	}
	if edgeNum(left) == 0 && edgeNum(right) == 0 {
		whole = 1
	}
	x.set(gWhere + (sub*2+whole)*12 + way)
	v[fRarity] = t.rarity / 32
	if edgeNum(left) == 3 && edgeNum(right) == 3 {
		v[fRarityInside] = t.rarity / 32
	} else if edgeNum(left) == 3 || edgeNum(right) == 3 {
		v[fRarityHalf] = t.rarity / 32
	}
	kind := runAny
	switch {
	case edgeNum(left) <= 1 && edgeNum(right) <= 1:
		kind = runWhole
	case edgeNum(left) <= 1:
		kind = runStart
	case edgeNum(right) <= 1:
		kind = runEnd
	}
	v[fCommon] = t.common[runAny] / bgFloor
	v[fCommonHere] = t.common[kind] / bgFloor
	x.set(gCommon + min(int(t.common[kind]/2), 9))
	if way >= wSub {
		v[fCommonFuzzy] = t.common[runAny] / bgFloor
		v[fCommonWin] = ix.bg.commonness(kind, span) / bgFloor
		r := ix.bg.rarity(span)
		v[fWindow] = (r - t.rarity) / 16
		v[fWindowRarity] = r / 32
	}
	c := 0
	if dots > 0 {
		c |= 1
	}
	if hyphens > 0 {
		c |= 2
	}
	x.set(gCross + c)
	if way == wGlyph {
		x.set(gGlyphs + min(digitsIn, 3))
	}

	// What stands beside the token.
	lureN, covered, rest, digits, hy := 0, 0, 0, 0, 0
	var bits float32
	var a, b uint8
	bitN := 0
	var g1, g2, g3 uint32 // the last three symbols
	start := 0
	// Of a long host only what is near the token says something.
	if from-start > 48 {
		start = from - 48
	}
	stop := min(s.rawN, to+48)
	skip := 0
	ns := func(i int) uint32 { // the registered label has weights of its own
		if i < lastFrom {
			return 1 << 20
		}
		return 0
	}
	gramOf := func(sym, n uint32) {
		if x.nG+2 <= maxGrams {
			x.gram[x.nG] = gramHash((g2<<5|g1)<<5 | sym | n | 1<<21)
			x.gram[x.nG+1] = gramHash(((g3<<5|g2)<<5|g1)<<5 | sym | n<<1 | 1<<22)
			x.nG += 2
		}
		g3, g2, g1 = g2, g1, sym
	}
	for i := start; i < stop; i++ {
		if i == from {
			gramOf(30, ns(i))
			i = to - 1
			a, b = 0, 0
			continue
		}
		ch := s.raw[i]
		sym := uint32(bgCode[ch])
		gramOf(sym, ns(i))
		bits += ix.bg.surprise(a, b, uint8(sym))
		bitN++
		a, b = b, uint8(sym)
		switch class[ch] {
		case clsLetter:
			if skip > 0 {
				skip--
				rest++
				continue
			}
			end := stop
			if i < from {
				end = from
			}
			if n := lureWord(s.raw[i:end]); n > 0 {
				lureN++
				covered += n
				skip = n - 1
			}
			rest++
		case clsDigit:
			digits++
		case clsHyphen:
			hy++
		case clsDot:
			a, b = 0, 0
		}
	}
	gramOf(0, ns(stop))
	x.lures = lureN
	v[fLures] = float32(min(lureN, 4))
	all := 0
	if rest > 0 {
		v[fLureShare] = float32(covered) / float32(rest)
		if covered*4 >= rest*3 {
			all = 1
		}
	}
	if bitN > 0 {
		v[fRestBits] = (bits/float32(bitN) - 3) / 2
	}
	x.set(gLures + min(lureN, 4)*2 + all)
	v[fRest] = float32(min(rest-covered, 20)) / 5
	x.set(gRest + min(rest-covered, 15))
	v[fHyphens] = float32(min(hy, 5))
	x.set(gHyphens + min(hy, 5))
	v[fDigits] = float32(min(digits, 8)) / 2
	x.set(gDigits + min(digits, 7))
	v[fLength] = float32(min(s.rawN, 60)) / 20
	v[fLabels] = float32(min(labels, 6) - 1)
	x.set(gLabels + min(labels, 6) - 1)
	lab0, lab1 := lastFrom, lastTo
	if sub == 1 {
		lab0, lab1 = 0, lastFrom-1
	}
	v[fCover] = float32(min(to-from, lab1-lab0)) / float32(max(1, lab1-lab0))
	tail := 0
	for i := lastTo - 1; i >= max(lastFrom, to) && class[s.raw[i]] == clsDigit; i-- {
		tail++
	}
	x.set(gTail + min(tail, 5))
	x.tok = int(t.hash)
	x.tld = -1
	if !noTLD {
		h := uint32(2166136261)
		for _, c := range s.raw[min(s.rawN+1, s.allN):s.allN] {
			h = (h ^ uint32(c)) * 16777619
		}
		x.tld = int(h >> 23)
	}
	return true
}

func gramHash(k uint32) uint16 { return uint16(k * 2654435761 >> 18) }

func edgeNum(cls uint8) int {
	switch cls {
	case clsDot:
		return 0
	case clsHyphen:
		return 1
	case clsDigit:
		return 2
	}
	return 3
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

// lureOnly is the answer for a name without a brand: two strong lure words are
// a reason to look.
func (m *Matcher) lureOnly(s *scan) (Hit, bool) {
	if s.allN == 0 {
		return Hit{}, false
	}
	last := bytes.LastIndexByte(s.raw[:s.rawN], '.') + 1
	label := s.raw[last:s.rawN]
	var words []string
	rest := 0
	for i := 0; i < len(label); {
		if pair, ok := lurePair(label[i:]); ok && strongBy[pair] {
			if n := lureWord(label[i:]); strongLures[string(label[i:i+n])] {
				words = append(words, string(label[i:i+n]))
				i += n
				continue
			}
		}
		if class[label[i]] == clsLetter {
			if rest++; rest > 3 { // most names end here
				return Hit{}, false
			}
		}
		i++
	}
	if len(words) < 2 || m.isOwn(s) {
		return Hit{}, false
	}
	base, each := -3.0, 0.8*float64(min(len(words), 4))
	return Hit{How: HowLures, Score: squash(base + each), Reasons: []impound.Reason{
		{Code: "base", Text: "to begin with: few names are of interest", Weight: base},
		{Code: "lures", Text: "lure words " + quoteAll(words) + " together, and no brand", Weight: each},
	}}, true
}

func quoteAll(words []string) string {
	var q []string
	for _, w := range words {
		if w = `"` + w + `"`; !slices.Contains(q, w) {
			q = append(q, w)
		}
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
	h := Hit{Brand: m.brandOf(f.tok), How: how, Token: t.text, Distance: f.dist, Score: squash(v.logit), Reasons: make([]impound.Reason, 0, 12)}
	from, to := int(s.pos[f.at]), s.rawEnd(f.end)
	span := string(s.raw[from:to])
	if how == HowOmission {
		how, span = onwards(s, t, f, span)
		h.How = how
	}
	w := m.model
	var group [nCross]bool
	add := func(code, text string, dense []int, ranges ...[2]int) {
		sum := float32(0)
		for _, i := range dense {
			sum += x.v[i] * w.dense[i]
		}
		for _, i := range x.cross[:x.nC] {
			for _, r := range ranges {
				if int(i) >= r[0] && int(i) < r[1] && !group[i] {
					group[i] = true
					sum += w.cross[i]
				}
			}
		}
		if r := math.Round(float64(sum)*1000) / 1000; r != 0 || len(h.Reasons) == 0 {
			h.Reasons = append(h.Reasons, impound.Reason{Code: code, Text: text, Weight: r})
		}
	}
	add("base", "to begin with: few names are of interest", []int{fBias})
	add("brand-"+string(how), howText(how, span, t.text, h.Brand), []int{fFar, fWindow, fWindowRarity, fCommonWin, fCommonFuzzy}, [2]int{gHow, gPlace}, [2]int{gGlyphs, gTail}, [2]int{gCross, gGlyphs})
	add("token", fmt.Sprintf("%q stands in about one of %s names by chance", t.text, oneIn(float64(t.rarity))), []int{fRarity, fRarityInside, fRarityHalf, fCommon, fCommonHere}, [2]int{gCommon, nCross})
	last := &h.Reasons[len(h.Reasons)-1]
	last.Weight = math.Round((last.Weight+float64(w.tok[x.tok])*float64(w.scale))*1000) / 1000
	add("place", "the brand stands "+placeText(s, from, to), []int{fCover}, [2]int{gPlace, gRest})
	text := "no lure words"
	if words := luresIn(s, from, to); len(words) > 0 {
		text = "with lure words " + quoteAll(words)
	}
	add("lures", text, []int{fLures, fLureShare}, [2]int{gLures, gLabels})
	add("shape", "its shape: hyphens, digits, length, labels, and what is left beside the brand", []int{fRest, fRestBits, fHyphens, fDigits, fLength, fLabels},
		[2]int{gRest, gLures}, [2]int{gLabels, gCross}, [2]int{gTail, gCommon})
	g := 0
	for _, i := range x.gram[:x.nG] {
		g += int(w.gram[i])
	}
	if g != 0 {
		say := "the letters beside the token are more like those of phishing names than of others"
		if g < 0 {
			say = "the letters beside the token are more like those of ordinary names"
		}
		h.Reasons = append(h.Reasons, impound.Reason{Code: "context", Text: say, Weight: math.Round(float64(g)*float64(w.scale)*1000) / 1000})
	}
	if u := math.Round(float64(w.hidden(&x))*1000) / 1000; u != 0 {
		h.Reasons = append(h.Reasons, impound.Reason{Code: "together", Text: "how brand, place, shape and lure words go together", Weight: u})
	}
	if x.tld >= 0 && w.tld[x.tld] != 0 {
		h.Reasons = append(h.Reasons, impound.Reason{Code: "tld", Text: "top-level domain ." + string(s.raw[min(s.rawN+1, s.allN):s.allN]), Weight: math.Round(float64(w.tld[x.tld])*float64(w.scale)*1000) / 1000})
	}
	if c := math.Round(m.chance*1000) / 1000; c != 0 {
		h.Reasons = append(h.Reasons, impound.Reason{Code: "chance", Text: fmt.Sprintf("with %d brands more names resemble one by chance", len(m.brands)), Weight: -c})
	}
	if d := math.Round((v.logit+m.chance-w.logit(&x))*1000) / 1000; d != 0 {
		h.Reasons = append(h.Reasons, impound.Reason{Code: "second-look", Text: "what stands around it: whether it is part of an ordinary word, more of the brand's own name, other finds", Weight: d})
	}
	// What it is about comes first; the rest by weight.
	slices.SortStableFunc(h.Reasons, func(a, b impound.Reason) int {
		ra, rb := reasonRank(a.Code), reasonRank(b.Code)
		if ra != rb {
			return ra - rb
		}
		if math.Abs(a.Weight) > math.Abs(b.Weight) {
			return -1
		}
		return 1
	})
	return h
}

func reasonRank(code string) int {
	switch {
	case strings.HasPrefix(code, "brand-"):
		return 0
	case code == "lures":
		return 1
	case code == "base":
		return 3
	}
	return 2
}

func oneIn(bits float64) string {
	n := math.Exp2(bits) / 12 // a name has about a dozen places
	switch {
	case n < 2:
		return "two"
	case n < 1e4:
		return fmt.Sprintf("%.0f", n)
	case n < 1e6:
		return fmt.Sprintf("%.0f thousand", n/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.0f million", n/1e6)
	}
	return "many millions of"
}

func luresIn(s *scan, from, to int) []string {
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
	switch x.how {
	case wIDN:
		return HowIDN
	case wFar:
		return HowGarbled
	case wMany:
		return HowEdits
	case wSwap:
		return HowTransposition
	case wDel:
		return HowOmission
	case wIns:
		for i := f.at + 1; i < f.end; i++ {
			if s.code[padLeft+i] == s.code[padLeft+i-1] {
				return HowRepetition
			}
		}
		return HowInsertion
	case wSub:
		for i, c := range t.codes {
			if f.at+i < f.end && s.code[padLeft+f.at+i] != c {
				return subKind(t, i, s.raw[s.pos[f.at+i]])
			}
		}
		return HowReplacement
	case wGlyph, wMerged:
		return HowHomoglyph
	case wCrossDot:
		return HowDot
	case wCrossHyphen:
		return HowHyphen
	}
	from, to := int(s.pos[f.at]), s.rawEnd(f.end)
	last := strings.LastIndexByte(string(s.raw[:s.rawN]), '.')
	l, r := edgeNum(edgeOf(s, from-1)), edgeNum(edgeOf(s, to))
	switch {
	case to <= last && !(s.allN-s.rawN == 3 && secondLevel(s.raw[last+1:s.rawN])):
		return HowSubdomain
	case x.lures > 0:
		return HowCombo
	case l == 0 && r == 0:
		return HowTLD
	case l == 3 || r == 3:
		return HowInside
	}
	return HowExact
}

// onwards says what a token without its last letter is when that letter stands
// one further on: "microsofft" is a letter too many, not one too few.
func onwards(s *scan, t *token, f found, span string) (How, string) {
	n := len(t.codes)
	if f.end-f.at != n-1 || f.end+1 >= s.n || s.code[padLeft+f.end+1] != t.codes[n-1] {
		return HowOmission, span
	}
	for i := range n - 1 {
		if s.code[padLeft+f.at+i] != t.codes[i] {
			return HowOmission, span // another letter is the one that is missing
		}
	}
	span = string(s.raw[s.pos[f.at]:s.rawEnd(f.end+2)])
	if s.code[padLeft+f.end] == s.code[padLeft+f.end-1] {
		return HowRepetition, span
	}
	return HowInsertion, span
}

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
	case HowExact:
		return fmt.Sprintf("holds the word %q%s, and is not one of the brand's own domains", span, of)
	case HowTLD:
		return fmt.Sprintf("is %q%s under another suffix, and not one of the brand's own domains", span, of)
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

func placeText(s *scan, from, to int) string {
	l := [4]string{"at the start of a label", "after a hyphen", "after a digit", "after a letter"}[edgeNum(edgeOf(s, from-1))]
	r := [4]string{"at the end of a label", "before a hyphen", "before a digit", "before a letter"}[edgeNum(edgeOf(s, to))]
	return l + ", " + r
}
