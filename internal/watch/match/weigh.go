package match

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// weights is a model laid out for its use: of each thing that may be so, what it
// adds to the sum and what to the hidden units. In the order of features.v,
// features.cross and the tokens.
type weights struct {
	of      *model
	sum     [nRows]float32 // and more rows, see bound.go
	hidden  [nRows]units
	winMost units            // the most of a misspelt form's commonness
	tok     [nTokens]float32 // token and suffix go to the sum last
	tld     [nSuffix]float32
	gram    [nGrams]int8
	scale   float32
	hBias   units
	hOut    units
}

const (
	wCross   = nFeatures
	wTok     = nFeatures + nCross
	nWeights = wTok + nTokens
)

func (m *model) weights() *weights {
	w := &weights{of: m, gram: m.gram, scale: m.scale, hBias: m.hBias, hOut: m.hOut}
	copy(w.sum[:], m.dense[:])
	copy(w.sum[wCross:], m.cross[:])
	copy(w.hidden[:], m.hDense[:])
	copy(w.hidden[wCross:], m.hCross[:])
	copy(w.hidden[wTok:], m.hTok[:])
	for i, v := range m.tok {
		w.tok[i] = float32(v) * m.scale
	}
	for i, v := range m.tld {
		w.tld[i] = float32(v) * m.scale
	}
	w.fillRows()
	for i, v := range w.hidden[fCommonWin] {
		if (v > 0) == (w.hOut[i] > 0) {
			w.winMost[i] = v
		}
	}
	return w
}

// sums adds up what things give: each of at times its val, those beyond val
// once. It adds in that order: the result is that of [model.logit] to the bit, on
// every processor: a product turned into a float32 is rounded before it is added,
// where Go might do both at once (arm64, GOAMD64=v3).
func (w *weights) sums(h *units, at []uint16, val []float32) float32 {
	if fastSums {
		return sumsAVX2(h, &w.sum[0], &w.hidden[0], &at[0], &val[0], len(val), len(at))
	}
	return w.sumsPlain(h, at, val)
}

func (w *weights) sumsPlain(h *units, at []uint16, val []float32) (sum float32) {
	for i, v := range val {
		sum += float32(v * w.sum[at[i]])
		u := &w.hidden[at[i]]
		for k := range h {
			h[k] += float32(v * u[k])
		}
	}
	for _, i := range at[len(val):] {
		sum += w.sum[i]
		u := &w.hidden[i]
		for k := range h {
			h[k] += u[k]
		}
	}
	return sum
}

// hot is what weighing an occurrence asks of its token, together: half a line of the
// cache.
type hot struct {
	first      uint64 // octets of its text
	rarity     float32
	common     [runKinds]float32
	hash       uint16
	textMay    uint8 // how long its text is, and what obviousTokens says
	codesEdits uint8 // how many letters, and how many edits it may have
}

func (t *hot) text() int  { return int(t.textMay & 63) }
func (t *hot) may() uint8 { return t.textMay >> 6 }
func (t *hot) codes() int { return int(t.codesEdits & 63) }
func (t *hot) edits() int { return int(t.codesEdits >> 6) }

var _ [0]struct{} = [unsafe.Sizeof(hot{}) - 32]struct{}{} // as fetchHot takes it
var _ [63 - maxToken]struct{}

func hotOf(t *token) hot {
	return hot{rarity: t.rarity, common: t.common, first: pack([]uint8(t.text)), hash: t.hash,
		textMay: uint8(len(t.text)), codesEdits: uint8(len(t.codes)) | uint8(t.edits)<<6}
}

// maxAround is how many octets a name may have in front of its suffix for
// weighing it the fast way. Beyond, not all of it is looked at, and there is
// [index.features].
const maxAround = 48

// around is what weighing asks of a name, whatever was found in it.
type around struct {
	ready                         bool
	letters, digits, hyphens      uint64 // a bit for each octet in front of the suffix
	dots, others                  uint64
	lures                         uint64 // where a lure word may begin, wherever it may have to end
	labels, lastFrom, lastTo, tld int
	sym                           [4 + maxAround + 8]uint32 // after four boundaries
	sum                           [maxAround + 8]int32      // to there: weights of letters<<16 + their surprise
	end                           int32                     // weights of the boundary behind it
}

// gramsIn and surpriseIn take apart what lies between two places of around.sum.
func gramsIn(sum int32) int32    { return sum >> 16 }
func surpriseIn(sum int32) int32 { return int32(uint16(sum)) }

// pairOf and tripleOf number the letters beside a token; label is 1 << 20 in
// front of the registered label.
func pairOf(g2, g1, sym, label uint32) uint16 { return gramHash((g2<<5|g1)<<5 | sym | label | 1<<21) }
func tripleOf(g3, g2, g1, sym, label uint32) uint16 {
	return gramHash(((g3<<5|g2)<<5|g1)<<5 | sym | label<<1 | 1<<22)
}

func (w *weights) grams(g3, g2, g1, sym, label uint32) int32 {
	return int32(w.gram[pairOf(g2, g1, sym, label)]) + int32(w.gram[tripleOf(g3, g2, g1, sym, label)])
}

// survey fills s.near.
func (m *Matcher) survey(s *scan) {
	a, n, raw := &s.near, s.rawN, &s.raw
	w, bg := m.weights, m.ix.bg
	a.ready, a.labels, a.lastFrom, a.lastTo, a.tld, a.lures = true, 1, 0, n, -1, 0
	if s.is.known {
		a.letters, a.digits, a.hyphens, a.dots, a.others = s.is.letters, s.is.digits, s.is.hyphens, s.is.dots, s.is.others
	} else {
		var by [clsOther + 1]uint64
		for i, c := range raw[:n] {
			by[class[c]] |= 1 << i
		}
		a.letters, a.digits, a.hyphens, a.dots, a.others = by[clsLetter], by[clsDigit], by[clsHyphen], by[clsDot], by[clsOther]
	}
	if a.dots != 0 {
		a.labels += bits.OnesCount64(a.dots)
		a.lastFrom = 64 - bits.LeadingZeros64(a.dots)
		if s.allN-n == 3 && secondLevel(raw[a.lastFrom:n]) {
			a.lastTo = a.lastFrom - 1
			a.lastFrom = 64 - bits.LeadingZeros64(a.dots&(1<<a.lastTo-1))
		}
	}
	if !m.opt.NoTLD {
		h := uint32(2166136261)
		for _, c := range raw[min(n+1, s.allN):s.allN] {
			h = (h ^ uint32(c)) * 16777619
		}
		a.tld = int(h >> 23)
	}
	if fastSurvey {
		a.lures = surveyAVX2(&raw[0], n, a.lastFrom, &w.gram[0], &bg.tri[0], &lureHeads[0], &a.sym[0], &a.sum[0])
	} else {
		a.surveyPlain(s, w, bg)
	}
	a.lures = a.lures & (1<<n - 1) >> 3 // it was noted at the fourth letter
	// Short ones count in front of what is no letter.
	for m := ^a.letters & (1<<n - 1); m != 0; m &= m - 1 {
		a.lures |= a.luresTo(bits.TrailingZeros64(m))
	}
	y := a.sym[4+n-3 : 4+n : 4+n]
	a.end = w.grams(y[0], y[1], y[2], 0, 0)
}

func (a *around) surveyPlain(s *scan, w *weights, bg *Background) {
	var g1, g2, g3, p1, p2 uint32
	var sum int32
	for i, c := range s.raw[:s.rawN] {
		sym := uint32(bgCode[c])
		a.sym[4+i], a.sum[i] = sym, sum
		label := uint32(0)
		if i < a.lastFrom {
			label = 1 << 20
		}
		h := lureHash(g3, g2, g1, sym)
		a.lures |= lureHeads[h>>6] >> (h & 63) & 1 << i
		sum += w.grams(g3, g2, g1, sym, label)<<16 + int32(bg.tri[(p2*bgLetters+p1)*bgLetters+sym])
		g3, g2, g1 = g2, g1, sym
		p2, p1 = p1, sym
		if c == '.' {
			p2 = 0
		}
	}
	a.sum[s.rawN] = sum
}

// lureHeads holds the first four letters of lure words, by lureHash; lureShort
// what ends in one of two or three, by three letters.
var lureHeads, lureShort = func() (heads, short [1 << 15 / 64]uint64) {
	for w := range lures {
		var y [4]uint32
		for i := range min(len(w), 4) {
			y[i] = uint32(bgCode[w[i]])
		}
		switch len(w) {
		case 2:
			for first := range uint32(32) {
				i := first<<10 | y[0]<<5 | y[1]
				short[i>>6] |= 1 << (i & 63)
			}
		case 3:
			i := y[0]<<10 | y[1]<<5 | y[2]
			short[i>>6] |= 1 << (i & 63)
		default:
			i := lureHash(y[0], y[1], y[2], y[3])
			heads[i>>6] |= 1 << (i & 63)
		}
	}
	return heads, short
}()

func lureHash(a, b, c, d uint32) uint32 { return (a<<15 | b<<10 | c<<5 | d) * 2654435761 >> 17 }

// luresTo gives where lure words of two or three letters may begin that end in
// front of octet to.
func (a *around) luresTo(to int) uint64 {
	y := a.sym[4+to-3 : 4+to : 4+to]
	i := y[0]<<10 | y[1]<<5 | y[2]
	return (lureShort[i>>6&511] >> (i & 63) & 1) * 3 << to >> 3
}

// countLures gives how many lure words there are one after the other in the
// octets from..to, and how many letters they have.
func (a *around) countLures(s *scan, from, to int) (n, covered int) {
	for m := (a.lures | a.luresTo(to)) & (1<<to - 1) &^ (1<<from - 1); m != 0; {
		i := bits.TrailingZeros64(m)
		m &= m - 1
		if k := lureWord(s.raw[i:to]); k > 0 {
			n++
			covered += k
			m &^= 1<<(i+k) - 1
		}
	}
	return n, covered
}

// logitOf is the score of an occurrence before it is squashed; false when it
// can't be meant. It is [index.features] and [model.logit] in one, to the bit,
// with what does not depend on the occurrence done once a name.
func (m *Matcher) logitOf(s *scan, f *found) (float64, bool) { return m.firstOf(s, f, nil) }

// firstOf is logitOf; first is told what was measured, if it is not nil. The token's
// own weights are left out of it then.
func (m *Matcher) firstOf(s *scan, f *found, first *firstLook) (float64, bool) {
	if s.rawN > maxAround || m.weights == nil || m.weights.of != m.model {
		var x features
		if !m.ix.features(s, *f, &x, m.opt.NoTLD) {
			return 0, false
		}
		if first != nil {
			x.tok = -1
			*first = m.model.first(&x)
			return 0, true
		}
		return m.model.logit(&x), true
	}
	a := &s.near
	if !a.ready {
		m.survey(s)
	}
	t := &m.ix.hot[f.tok]
	from, to := int(s.pos[f.at]), s.rawEnd(f.end)
	in := uint64(1)<<to - 1<<from
	dots := bits.OnesCount64(a.dots & in)
	hyphens := bits.OnesCount64((a.hyphens | a.others) & in)
	if dots > 0 && (f.dist > 0 || t.codes() < 5 || dots > 2) || hyphens > 0 && t.codes() < 4 || from >= a.lastTo {
		return 0, false
	}
	var val [32]float32
	var at [64]uint16
	nv := 0
	add := func(i int, v float32) { at[nv&31], val[nv&31] = uint16(i), v; nv++ }
	way := wExact
	switch far := f.edit == editMany && f.dist > t.edits(); {
	case far:
		way = wFar
	case f.edit != editNone:
		way = wayOf[f.edit]
	case s.idn && slices.Contains(s.looks[from:to], true):
		way = wIDN
	case s.merged && to-from-hyphens-dots != t.text():
		way = wMerged
	case !m.plainIs(s, f, t, from, to, hyphens+dots):
		way = wGlyph
	case dots > 0:
		way = wCrossDot
	case hyphens > 0:
		way = wCrossHyphen
	}
	l, r := a.edge(s, from-1), a.edge(s, to)
	kind := runKind[l*4+r]
	tl := min(t.text(), 9) - 2
	lc := lengthClass[min(t.text(), 9)&15]
	whole, sub := 0, 0
	if l|r == 0 {
		whole = 1
	}
	if to <= a.lastFrom {
		sub = 1
	}

	// What stands beside the token.
	n := s.rawN
	g := gramsIn(a.sum[from])
	y := a.sym[4+from-3 : 4+from : 4+from]
	g3, g2, g1 := y[0], y[1], y[2]
	label := func(i int) uint32 {
		if i < a.lastFrom {
			return 1 << 20
		}
		return 0
	}
	g += m.weights.grams(g3, g2, g1, 30, label(from))
	g3, g2, g1 = g2, g1, 30
	surprise := surpriseIn(a.sum[from])
	if to+3 <= n {
		y := a.sym[4+to : 4+to+3 : 4+to+3]
		g += m.weights.grams(g3, g2, 30, y[0], label(to)) +
			m.weights.grams(g2, 30, y[0], y[1], label(to+1)) +
			m.weights.grams(30, y[0], y[1], y[2], label(to+2)) +
			gramsIn(a.sum[n]-a.sum[to+3]) + a.end
	} else {
		for i := to; i < n; i++ {
			sym := a.sym[4+i]
			g += m.weights.grams(g3, g2, g1, sym, label(i))
			g3, g2, g1 = g2, g1, sym
		}
		g += m.weights.grams(g3, g2, g1, 0, label(n))
	}
	if to < n {
		y0 := a.sym[4+to]
		surprise += int32(m.ix.bg.tri[y0])
		if to+1 < n {
			surprise += int32(m.ix.bg.tri[y0*bgLetters+a.sym[4+to+1]])
			surprise += surpriseIn(a.sum[n] - a.sum[to+2])
		}
	}
	lureN, covered := a.countLures(s, 0, from)
	if n2, c2 := a.countLures(s, to, n); n2 > 0 {
		lureN, covered = lureN+n2, covered+c2
	}
	rest := bits.OnesCount64(a.letters &^ in)
	digits, hy := bits.OnesCount64(a.digits&^in), bits.OnesCount64(a.hyphens&^in)
	all := 0

	add(fBias, 1)
	add(fRarity, t.rarity/32)
	fuzzy := way >= wSub
	var win, spanRarity float32
	if fuzzy {
		span := s.raw[from:to]
		spanRarity, win = m.ix.bg.rarity(span), m.ix.bg.commonness(int(kind), span)
		add(fWindow, (spanRarity-t.rarity)/16)
		if way == wFar {
			add(fFar, float32(f.dist)/float32(t.codes()))
		}
	}
	add(fLures, float32(min(lureN, 4)))
	if rest > 0 {
		add(fLureShare, float32(covered)/float32(rest))
		if covered*4 >= rest*3 {
			all = 1
		}
	}
	add(fRest, float32(min(rest-covered, 20))/5)
	if k := n - (to - from); k > 0 {
		add(fRestBits, (float32(surprise)/8/float32(k)-3)/2)
	}
	add(fHyphens, float32(min(hy, 5)))
	add(fDigits, float32(min(digits, 8))/2)
	add(fLength, float32(min(n, 60))/20)
	add(fLabels, float32(min(a.labels, 6)-1))
	lab0, lab1 := a.lastFrom, a.lastTo
	if sub == 1 {
		lab0, lab1 = 0, a.lastFrom-1
	}
	add(fCover, float32(min(to-from, lab1-lab0))/float32(max(1, lab1-lab0)))
	switch {
	case l == 3 && r == 3:
		add(fRarityInside, t.rarity/32)
	case l == 3 || r == 3:
		add(fRarityHalf, t.rarity/32)
	}
	if fuzzy {
		add(fWindowRarity, spanRarity/32)
	}
	add(fCommon, t.common[runAny]/bgFloor)
	add(fCommonHere, t.common[kind&3]/bgFloor)
	if fuzzy {
		add(fCommonWin, win/bgFloor)
		add(fCommonFuzzy, t.common[runAny]/bgFloor)
	}
	k := nv
	set := func(i int) { at[k&63] = uint16(wCross + i); k++ }
	set(gHow + way)
	set(gHowLen + way*8 + tl)
	set(gPlace + (l*4+r)*4 + int(lc))
	set(gWhere + (sub*2+whole)*12 + way)
	set(gCommon + min(int(t.common[kind&3]/2), 9))
	c := 0
	if dots > 0 {
		c = 1
	}
	if hyphens > 0 {
		c |= 2
	}
	set(gCross + c)
	if way == wGlyph {
		set(gGlyphs + min(bits.OnesCount64(a.digits&in), 3))
	}
	set(gLures + min(lureN, 4)*2 + all)
	set(gRest + min(rest-covered, 15))
	set(gHyphens + min(hy, 5))
	set(gDigits + min(digits, 7))
	set(gLabels + min(a.labels, 6) - 1)
	set(gTail + a.tail(to)) // digits at the end of the label, behind the token
	if first == nil {
		at[k&63] = uint16(wTok) + t.hash
		k++
	}

	w := m.weights
	h := w.hBias
	sum := w.sums(&h, at[:k], val[:nv])
	if a.tld >= 0 {
		sum += w.tld[a.tld]
	}
	if first == nil {
		sum += w.tok[t.hash]
	}
	var up float32
	for i := range h {
		up += float32(max(h[i], 0) * w.hOut[i])
	}
	gram := float32(float32(g) * w.scale)
	if first != nil {
		*first = firstLook{how: way, tld: a.tld, parts: [3]float32{sum + gram + up, gram, up}}
		for i, j := range at[:nv] {
			first.v[j] = val[i]
		}
	}
	return float64(sum + gram + up), true
}

// lengthClass is that of a token's length.
var lengthClass = [16]uint8{0, 0, 0, 1, 2, 3, 3, 3, 3, 3}

// wayOf is the way of an occurrence with edits.
var wayOf = [8]int{editSub: wSub, editIns: wIns, editDel: wDel, editSwap: wSwap, editMany: wMany}

// runKind is the place by the edges left and right.
var runKind = func() (t [16]uint8) {
	for l := range 4 {
		for r := range 4 {
			switch {
			case l <= 1 && r <= 1:
				t[l*4+r] = runWhole
			case l <= 1:
				t[l*4+r] = runStart
			case r <= 1:
				t[l*4+r] = runEnd
			}
		}
	}
	return t
}()

// edge is edgeNum of edgeOf.
func (a *around) edge(s *scan, i int) int {
	if uint(i) >= uint(s.rawN) {
		return 0
	}
	return int(edgeBy[s.raw[i]])
}

var edgeBy = func() (t [256]uint8) {
	for c := range t {
		cls := class[c]
		if cls == clsOther {
			cls = clsDot
		}
		t[c] = uint8(edgeNum(cls))
	}
	return t
}()

// plainIs is plainEqual for an occurrence.
func (m *Matcher) plainIs(s *scan, f *found, t *hot, from, to, seps int) bool {
	if seps == 0 && to-from <= 8 {
		return to-from == t.text() && (binary.LittleEndian.Uint64(s.raw[from:])^t.first)<<(64-8*uint(t.text())) == 0
	}
	return plainEqual(s.raw[from:to], m.ix.tokens[f.tok].text)
}
