package match

import "math/bits"

// Most occurrences are chance and score low. What an occurrence can score at
// most is cheaper to say than what it scores: few need to be weighed in full.

// Rows of weights that hold together, behind those of the model: what is the
// same for all names of letters with one dot, and what goes with a count.
const (
	rowPlain  = nWeights        // no digits, hyphens, further labels
	rowWay    = rowPlain + 1    // way, length of the token, sub-domain or not, whole label or not: 12*8*4
	rowDigits = rowWay + 12*8*4 // 0 to 8
	rowHyphen = rowDigits + 9   // 0 to 5
	rowLabels = rowHyphen + 6   // 1 to 6
	rowRest   = rowLabels + 6   // letters beside the token that are in no lure word, 0 to 20
	rowLures  = rowRest + 21    // as gLures
	rowLength = rowLures + 10   // 0 to maxAround
	rowRarity = rowLength + 49  // letters on no side, one, or both; misspelt or not
	rowSpan   = rowRarity + 6   // rarity of what stands there, if it is misspelt
	rowCommon = rowSpan + 1     // misspelt or not
	nRows     = rowCommon + 2   // of weights.sum and weights.hidden
	boundSlip = 1e-3            // what adding up in another order may change
	_         = 48 - maxAround  // rowLength has room
)

// fillRows makes the rows from the weights in front of them.
func (w *weights) fillRows() {
	add := func(row, of int, v float32) {
		w.sum[row] += float32(v * w.sum[of])
		for k := range w.hidden[row] {
			w.hidden[row][k] += float32(v * w.hidden[of][k])
		}
	}
	one := func(row int, of ...int) {
		for _, i := range of {
			add(row, wCross+i, 1)
		}
	}
	add(rowPlain, fBias, 1)
	one(rowPlain, gCross, gHyphens, gDigits, gLabels, gTail)
	for way := range 12 {
		for tl := range 8 {
			for where := range 4 {
				one(rowWay+(way*8+tl)*4+where, gHow+way, gHowLen+way*8+tl, gWhere+where*12+way)
			}
		}
	}
	for i := range 9 {
		add(rowDigits+i, fDigits, float32(i)/2)
		one(rowDigits+i, gDigits+min(i, 7))
	}
	for i := range 6 {
		add(rowHyphen+i, fHyphens, float32(i))
		one(rowHyphen+i, gHyphens+i)
		add(rowLabels+i, fLabels, float32(i))
		one(rowLabels+i, gLabels+i)
	}
	for i := range 21 {
		add(rowRest+i, fRest, float32(i)/5)
		one(rowRest+i, gRest+min(i, 15))
	}
	for i := range 10 {
		add(rowLures+i, fLures, float32(i/2))
		one(rowLures+i, gLures+i)
	}
	for n := range maxAround + 1 {
		add(rowLength+n, fLength, float32(min(n, 60))/20)
	}
	for fuzzy := range 2 {
		for letters := range 3 {
			row := rowRarity + letters*2 + fuzzy
			add(row, fRarity, 1)
			if letters == 1 {
				add(row, fRarityHalf, 1)
			} else if letters == 2 {
				add(row, fRarityInside, 1)
			}
			if fuzzy == 1 {
				add(row, fWindow, -2)
			}
		}
		add(rowCommon+fuzzy, fCommon, 1)
		if fuzzy == 1 {
			add(rowCommon+fuzzy, fCommonFuzzy, 1)
		}
	}
	add(rowSpan, fWindow, 2)
	add(rowSpan, fWindowRarity, 1)
}

// atMost gives what [Matcher.logitOf] can't be above for an occurrence, and is
// cheaper; false when it doesn't know. All is in it but how common the misspelt
// form is.
func (m *Matcher) atMost(s *scan, f *found) (float64, bool) {
	w := m.weights
	if s.merged || s.idn || s.rawN > maxAround || w == nil || w.of != m.model {
		return 0, false
	}
	a := &s.near
	if !a.ready {
		m.survey(s)
	}
	t := &m.ix.hot[f.tok]
	n, from, to := s.rawN, f.at, f.end // each letter stands where it is in the name
	var left, right, labelled int      // labelled: in front of the registered label
	if s.plain {
		left, right = 3*int(uint(-from)>>63), 3*int(uint(to-n)>>63)
	} else {
		from, to = int(s.pos[f.at]), int(s.pos[f.end-1])+1
		if (a.hyphens|a.others|a.dots)>>from<<(64-(to-from)) != 0 || from >= a.lastTo {
			return 0, false
		}
		left, right, labelled = a.edge(s, from-1), a.edge(s, to), a.lastFrom
	}
	way := wExact
	switch {
	case f.edit == editMany && f.dist > t.edits():
		way = wFar
	case f.edit != editNone:
		way = wayOf[f.edit]
	case !m.plainIs(s, f, t, from, to, 0):
		way = wGlyph
	}
	fuzzy := int(uint(wSub-1-way) >> 63)
	whole := int(uint((left|right)-1) >> 63)
	place := left*4 + right
	kind := runKind[place&15] & 3

	label := func(i int) uint32 { return uint32(uint(i-labelled)>>63) << 20 }
	g := gramsIn(a.sum[from])
	y := a.sym[4+from-3 : 4+from : 4+from]
	g += w.grams(y[0], y[1], y[2], 30, label(from))
	g3, g2 := y[1], y[2]
	if to+3 <= n {
		y := a.sym[4+to : 4+to+3 : 4+to+3]
		g += w.grams(g3, g2, 30, y[0], label(to)) + w.grams(g2, 30, y[0], y[1], label(to+1)) + w.grams(30, y[0], y[1], y[2], label(to+2)) +
			gramsIn(a.sum[n]-a.sum[to+3]) + a.end
	} else {
		g1 := uint32(30)
		for i := to; i < n; i++ {
			sym := a.sym[4+i]
			g += w.grams(g3, g2, g1, sym, label(i))
			g3, g2, g1 = g2, g1, sym
		}
		g += w.grams(g3, g2, g1, 0, 0)
	}

	surprise := surpriseIn(a.sum[from])
	if to < n {
		y0 := a.sym[4+to]
		surprise += int32(m.ix.bg.tri[y0])
		if to+1 < n {
			surprise += int32(m.ix.bg.tri[y0*bgLetters+a.sym[4+to+1]]) + surpriseIn(a.sum[n]-a.sum[to+2])
		}
	}
	var val [16]float32
	var at [32]uint16
	val[0], at[0] = t.rarity/32, uint16(rowRarity+(left/3+right/3)*2+fuzzy)
	val[1], at[1] = t.common[runAny]/bgFloor, uint16(rowCommon+fuzzy)
	val[2], at[2] = t.common[kind]/bgFloor, fCommonHere
	k := 4
	beside := n - (to - from)
	if beside > 0 {
		val[k], at[k] = (float32(surprise)/8/float32(beside)-3)/2, fRestBits
		k++
	}
	if fuzzy != 0 {
		r := firstBits[a.sym[4+from]]
		if to-from > 1 {
			r += firstBits[a.sym[4+from+1]] + float32(surpriseIn(a.sum[to]-a.sum[from+2]))/8
		}
		val[k], at[k] = r/32, rowSpan
		k++
		if way == wFar {
			val[k], at[k] = float32(f.dist)/float32(t.codes()), fFar
			k++
		}
	}
	rest, lab0, lab1, sub := beside, 0, n, 0
	in := uint64(1)<<to - 1<<from
	if !s.plain {
		rest = bits.OnesCount64(a.letters &^ in)
		if lab0, lab1 = a.lastFrom, a.lastTo; to <= a.lastFrom {
			sub, lab0, lab1 = 1, 0, a.lastFrom-1
		}
	}
	val[3], at[3] = float32(min(to-from, lab1-lab0))/float32(max(1, lab1-lab0)), fCover
	lureN, covered, all := 0, 0, 0
	if a.lures|a.luresTo(from)|a.luresTo(n) != 0 {
		lureN, covered = a.countLures(s, 0, from)
		n2, c2 := a.countLures(s, to, n)
		lureN, covered = lureN+n2, covered+c2
		if covered > 0 {
			val[k], at[k] = float32(covered)/float32(rest), fLureShare
			k++
		}
	}
	if rest > 0 && covered*4 >= rest*3 {
		all = 1
	}
	i := k
	one := func(row int) { at[i&31] = uint16(row); i++ }
	one(rowWay + (way*8+min(t.text(), 9)-2)*4 + sub*2 + whole)
	one(wCross + gPlace + place*4 + int(lengthClass[min(t.text(), 9)&15]))
	one(wCross + gCommon + min(int(t.common[kind]/2), 9))
	one(rowRest + min(rest-covered, 20))
	one(rowLures + min(lureN, 4)*2 + all)
	one(rowLength + n)
	one(wTok + int(t.hash))
	if way == wGlyph {
		one(wCross + gGlyphs + min(bits.OnesCount64(a.digits&in), 3))
	}
	if s.plain {
		one(rowPlain)
	} else {
		one(fBias)
		one(wCross + gCross)
		one(rowDigits + min(bits.OnesCount64(a.digits&^in), 8))
		one(rowHyphen + min(bits.OnesCount64(a.hyphens&^in), 5))
		one(rowLabels + min(a.labels, 6) - 1)
		one(wCross + gTail + a.tail(to))
	}
	h := w.hBias
	sum := w.sums(&h, at[:i], val[:k]) + w.tok[t.hash] + float32(float32(g)*w.scale)
	if a.tld >= 0 {
		sum += w.tld[a.tld]
	}
	var up float32
	if fuzzy != 0 {
		sum += max(w.sum[fCommonWin], 0)
		for i, v := range h {
			up += float32(max(v+w.winMost[i], 0) * w.hOut[i])
		}
	} else {
		for i, v := range h {
			up += float32(max(v, 0) * w.hOut[i])
		}
	}
	return float64(sum+up) + boundSlip, true
}

// tail is how many digits the registered label ends in, behind octet to; 5 at
// most.
func (a *around) tail(to int) int {
	from := max(a.lastFrom, to)
	if from >= a.lastTo {
		return 0
	}
	return min(bits.LeadingZeros64(^(a.digits << (64 - a.lastTo))), a.lastTo-from, 5)
}
