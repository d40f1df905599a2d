package match

// Most occurrences are chance and score low. What an occurrence can score at
// most is cheaper to say than what it scores: few need to be weighed in full.

// Rows of weights that hold together, behind those of the model: what is the
// same for all names of letters with one dot, and what goes with a count.
const (
	rowPlain  = nWeights        // no digits, hyphens, further labels
	rowWay    = rowPlain + 1    // way, length of the token, whole label or not: 12*8*2
	rowRest   = rowWay + 12*8*2 // letters beside the token that are in no lure word, 0 to 20
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
		w.sum[row] += v * w.sum[of]
		for k := range w.hidden[row] {
			w.hidden[row][k] += v * w.hidden[of][k]
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
			for whole := range 2 {
				row := rowWay + (way*8+tl)*2 + whole
				one(row, gHow+way, gHowLen+way*8+tl, gWhere+whole*12+way)
				if way == wGlyph {
					one(row, gGlyphs)
				}
			}
		}
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
	if !s.plain || s.idn || s.rawN > maxAround || w == nil || w.of != m.model {
		return 0, false
	}
	a := &s.near
	if !a.ready {
		m.survey(s)
	}
	t := &m.ix.hot[f.tok]
	n, from, to := s.rawN, f.at, f.end // each letter stands where it is in the name
	way := wExact
	switch {
	case f.edit == editMany && f.dist > int(t.edits):
		way = wFar
	case f.edit != editNone:
		way = wayOf[f.edit]
	case !m.plainIs(s, f, t, from, to, 0):
		way = wGlyph
	}
	fuzzy := int(uint(wSub-1-way) >> 63)
	left, right := int(uint(-from)>>63), int(uint(to-n)>>63)
	whole := (left | right) ^ 1
	place := (left*4 + right) * 3
	kind := runKind[place&15] & 3

	g := gramsIn(a.sum[from])
	y := a.sym[4+from-3 : 4+from : 4+from]
	g += w.grams(y[0], y[1], y[2], 30, 0)
	g3, g2 := y[1], y[2]
	if to+3 <= n {
		y := a.sym[4+to : 4+to+3 : 4+to+3]
		g += w.grams(g3, g2, 30, y[0], 0) + w.grams(g2, 30, y[0], y[1], 0) + w.grams(30, y[0], y[1], y[2], 0) +
			gramsIn(a.sum[n]-a.sum[to+3]) + a.end
	} else {
		g1 := uint32(30)
		for i := to; i < n; i++ {
			sym := a.sym[4+i]
			g += w.grams(g3, g2, g1, sym, 0)
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
	val[0], at[0] = t.rarity/32, uint16(rowRarity+(left+right)*2+fuzzy)
	val[1], at[1] = t.common[runAny]/bgFloor, uint16(rowCommon+fuzzy)
	val[2], at[2] = t.common[kind]/bgFloor, fCommonHere
	lab := float32(max(1, n))
	val[3], at[3] = float32(min(to-from, n))/lab, fCover
	k := 4
	rest := n - (to - from)
	if rest > 0 {
		val[k], at[k] = (float32(surprise)/8/float32(rest)-3)/2, fRestBits
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
			val[k], at[k] = float32(f.dist)/float32(t.codes), fFar
			k++
		}
	}
	lureN, covered, all := 0, 0, 0
	if a.lures|a.luresTo(from)|a.luresTo(n) != 0 {
		lureN, covered = a.countLures(s, 0, from)
		n2, c2 := a.countLures(s, to, n)
		lureN, covered = lureN+n2, covered+c2
		if covered > 0 {
			val[k], at[k] = float32(covered)/float32(rest), fLureShare
			k++
			if covered*4 >= rest*3 {
				all = 1
			}
		}
	}
	ones := at[k : k+8 : k+8]
	ones[0] = rowPlain
	ones[1] = uint16(rowWay + (way*8+min(int(t.text), 9)-2)*2 + whole)
	ones[2] = uint16(wCross + gPlace + place*4 + int(lengthClass[min(t.text, 9)&15]))
	ones[3] = uint16(wCross + gCommon + min(int(t.common[kind]/2), 9))
	ones[4] = uint16(rowRest + min(rest-covered, 20))
	ones[5] = uint16(rowLures + min(lureN, 4)*2 + all)
	ones[6] = uint16(rowLength + n)
	ones[7] = uint16(wTok) + t.hash
	h := w.hBias
	sum := w.sums(&h, at[:k+8], val[:k]) + w.tok[t.hash] + float32(g)*w.scale
	if a.tld >= 0 {
		sum += w.tld[a.tld]
	}
	var up float32
	if fuzzy != 0 {
		sum += max(w.sum[fCommonWin], 0)
		for i, v := range h {
			up += max(v+w.winMost[i], 0) * w.hOut[i]
		}
	} else {
		for i, v := range h {
			up += max(v, 0) * w.hOut[i]
		}
	}
	return float64(sum+up) + boundSlip, true
}
