package match

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What the index is held against: every key of every token, one after the other,
// each in full.
type plainIndex struct {
	ix   *index
	keys []keyed
}

func newPlain(ix *index) *plainIndex { return &plainIndex{ix, keys(ix.tokens)} }

func (p *plainIndex) find(s *scan, fs []found) []found {
	s.digraph = false
	at := func(kind uint32, c []uint8, i int, six []uint8) {
		key := keyOf(kind, c)
		for j := range p.keys {
			e := &p.keys[j]
			if e.key != key {
				continue
			}
			codes := slices.Clone(p.ix.tokens[e.tok()].codes)
			if kind&keyTo != 0 {
				slices.Reverse(codes)
			}
			if six != nil && string(codes[:6]) == string(six) {
				continue
			}
			switch {
			case kind == keySpelt5 || kind == keySpelt4:
				fs = p.ix.speltAt(s, fs, &e.entry, i)
			case kind&keyTo != 0:
				fs = p.ix.nearTo(s, fs, &e.entry, i)
			default:
				fs = p.ix.nearFrom(s, fs, &e.entry, i)
			}
		}
	}
	run := func(from, n, dir int) []uint8 { // n letters from one on, nothing behind the ends
		out := make([]uint8, n)
		for j := range out {
			if i := from + j*dir; i >= 0 && i < s.n {
				out[j] = s.code[padLeft+i]
			}
		}
		return out
	}
	for i := 0; i+1 < s.n; i++ {
		d := string(s.raw[s.pos[i] : s.pos[i]+2])
		s.digraph = s.digraph || s.pos[i+1] == s.pos[i]+1 && (d == "rn" || d == "vv")
	}
	for part := 0; part < s.n; part += 64 {
		for _, n := range []int{5, 4} {
			for i := part; i < min(part+64, s.n); i++ {
				at(map[int]uint32{5: keySpelt5, 4: keySpelt4}[n], run(i, n, 1), i, nil)
			}
		}
	}
	from := 0
	for to := 1; to <= s.n; to++ {
		if to < s.n && !s.wordEnd(to) {
			continue
		}
		edges := []struct {
			side         uint32
			i, from, dir int
		}{{keyFrom, from, from, 1}, {keyTo, to, to - 1, -1}}
		for _, e := range edges {
			for off := range 2 {
				for j := range 6 {
					six := run(e.from+off*e.dir, 6, e.dir)
					key := without(six, j)
					if j == 5 { // where tokens are found whose first six letters stand there
						six = nil
					}
					at(keyNear6|e.side, key, e.i+off*e.dir, six)
				}
				if off == 0 {
					at(keyThree|e.side, run(e.from, 3, e.dir), e.i, nil)
					at(keyTwo|e.side, run(e.from, 2, e.dir), e.i, nil)
				}
			}
		}
		for j := range 5 {
			at(keyNear5, without(run(from, 5, 1), j), from, nil)
		}
		from = to
	}
	return fs
}

func (p *plainIndex) findLoose(s *scan) (best found, ok bool) {
	bestRatio := float32(1)
	for i := 0; i < s.n; {
		j := i + 1
		for j < s.n && s.pos[j] == s.pos[j-1]+1 {
			j++
		}
		var peq [32]uint64
		if n := j - i; n >= 3 && n <= 3*maxToken/2 {
			for k, c := range s.code[padLeft+i : padLeft+j] {
				peq[c] |= 1 << k
			}
			for tn := 4; tn <= maxToken; tn++ {
				for tok := range p.ix.tokens {
					t := &p.ix.tokens[tok]
					if len(t.codes) != tn || t.merged || t.codes[0] != s.code[padLeft+i] {
						continue
					}
					d := wordEdits(&peq, n, t.codes)
					if d > 2*tn/5 {
						continue
					}
					if r := float32(d) / float32(tn); r < bestRatio || r == bestRatio && best.at == i && int32(tok) < best.tok {
						bestRatio, ok = r, true
						best = found{tok: int32(tok), at: i, end: j, dist: d, edit: editMany}
					}
				}
			}
		}
		i = j
	}
	return best, ok
}

// head1Plain is head1 as one would write it first.
func head1Plain(name, tok []uint8) (dist, length int, how edit) {
	n := len(tok)
	eq := func(a, b []uint8) bool { return string(a) == string(b) }
	at := func(from, to int) []uint8 { // with nothing behind the end
		out := make([]uint8, to-from)
		if from < len(name) {
			copy(out, name[from:])
		}
		return out
	}
	p := 0
	for p < n && at(p, p+1)[0] == tok[p] {
		p++
	}
	switch {
	case p == n:
		return 0, n, editNone
	case p == n-1 && p >= len(name):
		return 1, n - 1, editDel
	case eq(at(p+1, n), tok[p+1:]):
		return 1, n, editSub
	case eq(at(p+1, n+1), tok[p:]):
		return 1, n + 1, editIns
	case eq(at(p, n-1), tok[p+1:]):
		return 1, n - 1, editDel
	case p+1 < n && at(p, p+1)[0] == tok[p+1] && at(p+1, p+2)[0] == tok[p] && eq(at(p+2, n), tok[p+2:]):
		return 1, n, editSwap
	}
	return 2, 0, editMany
}

func scanOf(codes []uint8) *scan {
	var s scan
	copy(s.code[padLeft:], codes)
	s.n = len(codes)
	return &s
}

// few letters, so that much is alike
func drawCodes(t *rapid.T, min, max int, label string) []uint8 {
	return rapid.SliceOfN(rapid.SampledFrom([]uint8{1, 2, 3, 9, 31}), min, max).Draw(t, label)
}

func TestOneEdit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tok, name := drawCodes(t, 5, 8, "token"), drawCodes(t, 1, 11, "name")
		if rapid.Bool().Draw(t, "near") { // a name that is not far from it
			name = slices.Clone(tok)
			i := rapid.IntRange(0, len(name)-1).Draw(t, "at")
			switch rapid.IntRange(0, 3).Draw(t, "edit") {
			case 0:
				name[i] = 2
			case 1:
				name = slices.Insert(name, i, 3)
			case 2:
				name = slices.Delete(name, i, i+1)
			case 3:
				if i > 0 {
					name[i], name[i-1] = name[i-1], name[i]
				}
			}
		}
		type res struct {
			D, L int
			H    edit
		}
		one := func(d, l int, h edit) res {
			if d > 1 {
				return res{D: 2}
			}
			return res{d, l, h}
		}
		want := one(head1Plain(name, tok))
		if d := cmp.Diff(want, one(head1(scanOf(name), 0, pack(tok), uint(len(tok))))); d != "" {
			t.Errorf("from the left: %s", d)
		}
		rn, rt := slices.Clone(name), slices.Clone(tok)
		slices.Reverse(rn)
		slices.Reverse(rt)
		if d := cmp.Diff(want, one(tail1(scanOf(rn), len(rn), packRight(rt), uint(len(rt))))); d != "" {
			t.Errorf("from the right: %s", d)
		}
	})
}

// sideEditsPlain is sideEdits as a table: it gives the least edits (insert, delete, replace, swap) that turn tok
// into a stretch of the name that begins at i and goes in direction dir, and
// how long that stretch is; k+1 when it takes more than k.
func sideEditsPlain(s *scan, tok []uint8, i, dir, k int) (dist, length int) {
	n := len(tok)
	if n == 0 {
		return 0, 0
	}
	avail := s.n - i
	if dir < 0 {
		avail = i
	}
	m := min(avail, n+k)
	get := func(j int) uint8 { // j-th letter of the name going outwards
		if dir > 0 {
			return s.code[padLeft+i+j]
		}
		return s.code[padLeft+i-1-j]
	}
	tk := func(j int) uint8 {
		if dir > 0 {
			return tok[j]
		}
		return tok[n-1-j]
	}
	const w = maxToken + 4
	var rows [3][w]uint8
	prev2, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := 0; j <= m; j++ {
		prev[j] = uint8(j)
	}
	for a := 1; a <= n; a++ {
		cur[0] = uint8(a)
		lowest := cur[0]
		ta := tk(a - 1)
		lo, hi := max(1, a-k), min(m, a+k)
		if lo > 1 {
			cur[lo-1] = uint8(k + 1)
		}
		for b := lo; b <= hi; b++ {
			g := get(b - 1)
			v := prev[b-1]
			if g != ta {
				v++
			}
			if b < a+k { // inside the band above
				v = min(v, prev[b]+1)
			}
			v = min(v, cur[b-1]+1)
			if a > 1 && b > 1 && g == tk(a-2) && get(b-2) == ta {
				v = min(v, prev2[b-2]+1)
			}
			cur[b] = v
			lowest = min(lowest, v)
		}
		if hi < m {
			cur[hi+1] = uint8(k + 1)
		}
		if int(lowest) > k {
			return k + 1, 0
		}
		prev2, prev, cur = prev, cur, prev2
	}
	best, at := k+1, 0
	for b := max(0, n-k); b <= min(m, n+k); b++ {
		if int(prev[b]) < best {
			best, at = int(prev[b]), b
		}
	}
	return best, at
}

func TestSideEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tok, name := drawCodes(t, 0, 20, "token"), drawCodes(t, 1, 24, "name")
		if rapid.Bool().Draw(t, "near") {
			name = slices.Concat(name[:len(name)/2], tok)
			for range rapid.IntRange(0, 3).Draw(t, "edits") {
				i := rapid.IntRange(0, len(name)).Draw(t, "at")
				switch j := min(i+1, len(name)); rapid.IntRange(0, 2).Draw(t, "edit") {
				case 0:
					name = slices.Delete(name, i, j)
				case 1:
					name = slices.Insert(name, i, 2)
				default:
					if i > 0 && i < len(name) {
						name[i], name[i-1] = name[i-1], name[i]
					}
				}
			}
		}
		s := scanOf(name)
		i, k := rapid.IntRange(0, len(name)).Draw(t, "from"), rapid.IntRange(0, 2).Draw(t, "k")
		for _, dir := range []int{-1, 1} {
			d, l := sideEdits(s, tok, i, dir, k)
			if dp, lp := sideEditsPlain(s, tok, i, dir, k); d != dp || l != lp {
				t.Errorf("direction %d: %d, %d; want %d, %d", dir, d, l, dp, lp)
			}
			// What is the same to begin with changes nothing.
			same := 0
			for same < len(tok) && i+dir*same < len(name) && i+dir*same >= 0 && same < 8 && len(tok)-same > 2 {
				if dir > 0 && name[i+same] != tok[same] || dir < 0 && (i-1-same < 0 || name[i-1-same] != tok[len(tok)-1-same]) {
					break
				}
				same++
			}
			rest := tok[same:]
			if dir < 0 {
				rest = tok[:len(tok)-same]
			}
			d, l = sideEdits(s, rest, i+dir*same, dir, k)
			if dp, lp := sideEditsPlain(s, tok, i, dir, k); d != dp || d <= k && l+same != lp {
				t.Errorf("direction %d without %d that are the same: %d, %d; want %d, %d", dir, same, d, l, dp, lp)
			}
		}
	})
}

// The index gives what the plain one does, in its order.
func TestIndexIsPlain(t *testing.T) {
	same := func(t interface{ Errorf(string, ...any) }, ix *index, p *plainIndex, name string) {
		var a, b scan
		ok := a.fill([]byte(name))
		var slow scan
		if slow.fillAny([]byte(name)) != ok {
			t.Errorf("%s: read by one of two ways only", name)
		}
		if !ok {
			return
		}
		if slow.n != a.n || slow.rawN != a.rawN || slow.allN != a.allN || slow.hasA != a.hasA ||
			slow.raw != a.raw && string(slow.raw[:slow.allN]) != string(a.raw[:a.allN]) ||
			string(slow.pos[:slow.n+1]) != string(a.pos[:a.n+1]) || string(slow.code[padLeft-8:padLeft+slow.n+padRight]) != string(a.code[padLeft-8:padLeft+a.n+padRight]) {
			t.Errorf("%s: folded otherwise", name)
		}
		b.fill([]byte(name))
		for from := 0; from+4 <= a.n; from += 64 {
			five, four := ix.spelt(&a, from)
			if x, y := ix.speltPlain(&a, from); x != five || y != four {
				t.Errorf("%s: spelt at %b, %b, want %b, %b", name, five, four, x, y)
			}
		}
		for i := range a.n {
			var x [4]uint32
			for j := range x {
				x[j] = uint32(letters8(load8(&a.code, padLeft-8+i+4*j)) >> 10)
			}
			if got, want := ix.edges(&x), ix.edgesPlain(&x); got != want {
				t.Errorf("%s: keys at an edge %b, want %b", name, got, want)
			}
		}
		siftBoth(t, ix, name)
		got, want := ix.find(&a, make([]found, 0, maxFound)), p.find(&b, make([]found, 0, maxFound))
		if d := cmp.Diff(want, got, cmp.AllowUnexported(found{})); d != "" || a.digraph != b.digraph {
			t.Errorf("%s: digraph %v, want %v; found %s", name, a.digraph, b.digraph, d)
		}
		l, ok := ix.findLoose(&a)
		lp, okp := p.findLoose(&b)
		if ok != okp || l != lp {
			t.Errorf("%s: garbled %v %+v, want %v %+v", name, ok, l, okp, lp)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SampledFrom([]string{"abl", "abcdefghi", "aeirnvtsol0"}).Draw(t, "letters")
		word := func(min, max int, label string) string {
			return string(rapid.SliceOfN(rapid.SampledFrom([]byte(letters)), min, max).Draw(t, label))
		}
		var bs []Brand
		for range rapid.IntRange(1, 30).Draw(t, "brands") {
			w := word(2, 14, "token")
			bs = append(bs, Brand{ID: w, Tokens: []string{w}})
		}
		m, err := New(bs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := newPlain(m.ix)
		for range 5 {
			name := word(0, 5, "front") + bs[rapid.IntRange(0, len(bs)-1).Draw(t, "brand")].ID + word(0, 5, "end")
			for range rapid.IntRange(0, 3).Draw(t, "edits") {
				i := rapid.IntRange(0, len(name)).Draw(t, "at")
				j := min(len(name), i+rapid.IntRange(0, 1).Draw(t, "cut"))
				name = name[:i] + word(0, 1, "put") + name[j:]
			}
			if rapid.IntRange(0, 3).Draw(t, "sep") == 0 {
				i := rapid.IntRange(0, len(name)).Draw(t, "at")
				name = name[:i] + rapid.SampledFrom([]string{"-", ".", "_"}).Draw(t, "sep") + name[i:]
			}
			same(t, m.ix, p, word(40, 63, "long")+".com")
			same(t, m.ix, p, name+rapid.SampledFrom([]string{".com", "", ".co.jp", ".x"}).Draw(t, "tld"))
		}
	})

	// Many tokens that are alike, and long names: the lists overflow.
	rnd := rand.New(rand.NewPCG(3, 3))
	var bs []Brand
	for range 3000 {
		b := []byte("paypaypaypay")[:5+rnd.IntN(7)]
		for range 2 {
			b[rnd.IntN(len(b))] = "abcdefghijklmnopqrstuvwxyz"[rnd.IntN(26)]
		}
		bs = append(bs, Brand{ID: string(b), Tokens: []string{string(b)}})
	}
	m, err := New(bs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := newPlain(m.ix)
	for range 20 {
		same(t, m.ix, p, strings.Repeat(bs[rnd.IntN(len(bs))].ID, 1+rnd.IntN(15))+".com")
		same(t, m.ix, p, bs[rnd.IntN(len(bs))].ID+strings.Repeat("-vvrn", rnd.IntN(30))+"pay.example.com")
	}
}

// siftBoth puts down the jobs of name and sifts them, in vectors and plainly.
func siftBoth(t interface{ Errorf(string, ...any) }, ix *index, name string) {
	var a, b scan
	if a.fill([]byte(name)); !fastFind || a.n == 0 || a.n > 64 {
		return
	}
	b.fill([]byte(name))
	if bits.OnesCount64(a.wordStarts()) > 2 {
		return // both do jobs in between
	}
	ix.probe(&a, nil)
	ix.probePlain(&b, nil)
	job := func(j *jobs) (out [][2]uint32) {
		for i := range j.n {
			out = append(out, [2]uint32{j.product[i], j.about[i]})
		}
		return out
	}
	if d := cmp.Diff(job(&b.jobs), job(&a.jobs)); d != "" {
		t.Errorf("%s: other jobs: %s", name, d)
		return
	}
	sift := func(s *scan, f func() int) (out []uint64) {
		for s.jobs.job, s.jobs.entry = 0, 0; s.jobs.job < s.jobs.n; {
			out = append(out, s.jobs.hits[:f()]...)
		}
		return out
	}
	if d := cmp.Diff(sift(&b, func() int { return ix.siftPlain(&b) }), sift(&a, func() int { return siftAVX512(ix, &a) })); d != "" {
		t.Errorf("%s: other hits: %s", name, d)
	}
}

// What is within an edit of a token, at most a letter from the edge of a word, is
// found: the keys promise it.
func TestNoEditIsMissedAtEdges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tok := drawCodes(t, 5, 8, "token")
		text := make([]byte, len(tok))
		for i, c := range tok {
			text[i] = "?abc?????i?????????????????????9"[c]
		}
		m, err := New([]Brand{{ID: "b", Tokens: []string{string(text)}}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		name := slices.Clone(text)
		i := rapid.IntRange(0, len(name)-1).Draw(t, "at")
		switch rapid.IntRange(0, 3).Draw(t, "edit") {
		case 0:
			name[i] = 'b'
		case 1:
			name = slices.Insert(name, i, 'c')
		case 2:
			name = slices.Delete(name, i, i+1)
		case 3:
			if i > 0 {
				name[i], name[i-1] = name[i-1], name[i]
			}
		}
		forms := []string{"%s.com", "%sb.com", "%sabab.com", "c-%s.com", "c-%sc-b.com", "b.%sc.com", "%s"}
		if len(tok) > 5 {
			forms = append(forms, "a%s.com", "abab%s.com", "bbb%s-c.com", "a%sabab.com", "abab%sb.com", "c-a%saba.com", "abb%sa-c.com")
		}
		for _, form := range forms {
			var s scan
			n := fmt.Sprintf(form, name)
			if !s.fill([]byte(n)) || len(m.ix.find(&s, make([]found, 0, maxFound))) == 0 {
				t.Errorf("%s is not found in %s", text, n)
			}
		}
	})
}

// Weighing gives what measuring and the model give, to the bit.
func TestWeighIsPlain(t *testing.T) {
	for _, opt := range []Options{{}, {NoTLD: true}} {
		m, err := New(Builtin(), opt)
		if err != nil {
			t.Fatal(err)
		}
		weighed, bounded := 0, 0
		each := func(t interface{ Errorf(string, ...any) }, s *scan, name string) {
			fs := m.ix.find(s, make([]found, 0, maxFound))
			if f, ok := m.ix.findLoose(s); ok && !s.merged {
				fs = append(fs, f)
			}
			for _, f := range fs {
				var x features
				ok := m.ix.features(s, f, &x, opt.NoTLD)
				got, gotOK := m.logitOf(s, &f)
				if ok != gotOK || ok && got != m.model.logit(&x) {
					t.Errorf("%s, %s: got %v %v, want %v %v", name, m.ix.tokens[f.tok].text, gotOK, got, ok, m.model.logit(&x))
				}
				if most, known := m.atMost(s, &f); known {
					bounded++
					if !ok || got > most {
						t.Errorf("%s, %s: %v is above %v", name, m.ix.tokens[f.tok].text, got, most)
					}
				}
				weighed++
			}
		}
		rapid.Check(t, func(t *rapid.T) {
			part := rapid.SampledFrom([]string{"google", "gogle", "go0gle", "paypal", "paypa1", "payqal", "rnicrosoft", "micosofft", "yah-oo", "pay.pal", "id", "my", "login", "secure",
				"co", "zoomus", "apple", "aple", "verify", "x", "support", "1", "42", "-", "--", "_", ".", ".", "telegrarn", "lnstagram", "insta_gram", "vvhatsapp", "outlookk", "b", "service"})
			name := strings.Join(rapid.SliceOfN(part, 1, 9).Draw(t, "parts"), "") +
				rapid.SampledFrom([]string{".com", ".top", ".co.jp", ".com.br", "", ".x", ".or.id"}).Draw(t, "suffix")
			var s, u scan
			if s.fill([]byte(name)) {
				each(t, &s, name)
				u.mergeOf(&s)
				each(t, &u, name)
				u.fill([]byte(name))
				u.idn = true
				for i := range u.looks {
					u.looks[i] = i%3 == 0
				}
				u.near.ready = false
				each(t, &u, name)
			}
			r := m.Scorer()
			want, brand := r.Score([]byte(name))
			for _, least := range []float64{0.01, 0.1, 0.5, want} {
				got, b := r.AtLeast([]byte(name), least)
				if want >= least && (got != want || b != brand) || want < least && got != 0 {
					t.Errorf("%s at least %v: %v %s, want %v %s", name, least, got, b, want, brand)
				}
			}
		})
		if weighed == 0 || bounded == 0 {
			t.Error("nothing was weighed")
		}
		w := m.weights
		rnd := rand.New(rand.NewPCG(9, 9))
		for range 200 {
			val := make([]float32, 1+rnd.IntN(20))
			at := make([]uint16, len(val)+1+rnd.IntN(15))
			for i := range val {
				val[i] = rnd.Float32()*4 - 2
			}
			for i := range at {
				at[i] = uint16(rnd.IntN(nWeights))
			}
			h, plain := w.hBias, w.hBias
			if got, want := w.sums(&h, at, val), w.sumsPlain(&plain, at, val); got != want || h != plain {
				t.Fatalf("sums %v %v, want %v %v", got, h, want, plain)
			}
		}
	}
}

// isOwn looks into a table of ends first; it must let none through.
func TestOwnEnds(t *testing.T) {
	own := []string{"a.me", "bb.me", "t.co", "fb.com", "me.com", "example.com", "xample.com", "long-name.example.org"}
	m, err := New([]Brand{{ID: "paypal", Tokens: []string{"paypal"}, Domains: own}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range own {
		for _, front := range []string{"", "paypal.", "my-paypal.www."} {
			if p, _ := m.Score([]byte(front + d)); p != 0 {
				t.Errorf("%s%s is flagged", front, d)
			}
		}
		if p, _ := m.Score([]byte("paypal" + d)); p == 0 {
			t.Errorf("paypal%s is not", d)
		}
	}
}
