package profile

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/impound/impound/internal/watch/boost"
	"github.com/impound/impound/internal/watch/dga"
	"github.com/impound/impound/internal/watch/match"
)

func TestTogetherIsBuiltIn(t *testing.T) {
	if _, err := boost.Decode(togetherBin, nFeatures); err != nil {
		t.Error(err)
	}
	if _, err := dga.NewModel(hostPriorBin); err != nil {
		t.Error(err)
	}
	for d, s := range common.Manners {
		sum := 0.0
		for _, x := range s {
			sum += x
		}
		if len(s) != dimSizes[d] || math.Abs(sum-1) > .01 {
			t.Errorf("manner %d: %d shares that come to %v", d, len(s), sum)
		}
	}
}

// mixedStyle is an actor of bare names and hosts.
func mixedStyle() []Example {
	var ex []Example
	for i := range 30 {
		ex = append(ex, Example{Name: fmt.Sprintf("secure-docs-%c%c.top", 'a'+i%26, 'b'+i/26)}, Example{Name: fmt.Sprintf("mail%d.drive-%c.duckdns.org", i, 'a'+i%26)})
	}
	return ex
}

// The reasons come to the score, whatever the name is.
func TestReasonsComeToTheScore(t *testing.T) {
	p, err := Learn("TEST", mixedStyle())
	if err != nil {
		t.Fatal(err)
	}
	said := false
	for _, n := range []string{"secure-docs-q.top", "mail7.drive-q.duckdns.org", "garden.se", "a.b.c.example.co.uk", "qx7z91.lol", "com"} {
		_, rs := p.Score(n)
		sum := 0.0
		for _, r := range rs {
			sum += r.Weight
			said = said || r.Code == "actor-together"
		}
		if d := sum - p.Bits([]byte(n)); math.Abs(d) > .05 {
			t.Errorf("%s: the reasons give %.2f bits more than the score", n, d)
		}
	}
	if !said {
		t.Error("no score says how things go together")
	}
}

// Where a program puts words in a row, what people do says nothing.
func TestTogetherLeavesWordListsAlone(t *testing.T) {
	var ex []Example
	ws := []string{"garden", "flower", "river", "stone", "copper", "silver", "forest", "winter"}
	for i := range 40 {
		ex = append(ex, Example{Name: ws[i%8] + ws[(i*3+1)%8] + ".net"})
	}
	p, err := Learn("TEST", ex)
	if err != nil {
		t.Fatal(err)
	}
	if w := p.bits(look([]byte("stoneforest.net"))); p.row == nil || w.whole != 0 {
		t.Errorf("a row of words %v, and %.1f bits of the whole", p.row != nil, w.whole)
	}
}

// A name made as one of the examples is fits better than one that is made of two
// of them: the top-level domain of one, the length of another.
func TestManner(t *testing.T) {
	var ms manners
	for range 5 {
		ms.add(look([]byte("mail-drive-share.top")).extra.manner, 1)
		ms.add(look([]byte("kx4.pw")).extra.manner, 1)
	}
	if len(ms.list) != 2 || ms.n != 10 {
		t.Errorf("%d manners of %v names, not 2 of 10", len(ms.list), ms.n)
	}
	bits := func(n string) float64 {
		v := look([]byte(n))
		o := v.mannerOdds()
		return ms.bits(&v.extra.manner, &o)
	}
	same, mix, other := bits("mail-share-drive.top"), bits("mail-share-drive.pw"), bits("bakery.se")
	if same < mix+.5 || mix < other+.5 {
		t.Errorf("as an example %.1f, of two examples %.1f, of none %.1f bits", same, mix, other)
	}
}

func TestExtra(t *testing.T) {
	a, b := look([]byte("ns1.mail.verify.co.uk")), look([]byte("ns22.verify.co.uk"))
	if a.extra.reg != b.extra.reg || a.extra.first != b.extra.first || a.extra.reg == look([]byte("ns1.other.co.uk")).extra.reg {
		t.Errorf("%+v\n%+v", a.extra, b.extra)
	}
	if x := look([]byte("verify.duckdns.org")).extra.suffix; x == 0 || x != look([]byte("a.b.duckdns.org")).extra.suffix || a.extra.suffix != 0 {
		t.Errorf("private suffixes: %x, %x", x, a.extra.suffix)
	}
}

// What many actors do is learnt: here each keeps to its numbers and none to its
// letters, in which the habits believe.
func TestTrainTogether(t *testing.T) {
	old := together
	defer func() { together = old }()
	if err := UseTogether(nil); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "aeioubdgklmnprst"[rnd.IntN(16)]
		}
		return string(b)
	}
	var others []Seen
	for i := range 3000 {
		n := word(4+i%8) + []string{".com", ".se", ".top", ".net"}[i%4]
		if i%10 == 0 {
			n = fmt.Sprintf("%s%d%s", word(3), rnd.IntN(900), ".com")
		}
		others = append(others, Look(n))
	}
	actor := func(n int) (out []string) {
		for range n {
			out = append(out, fmt.Sprintf("%s%d.com", word(9), 1000+rnd.IntN(9000)))
		}
		return out
	}
	var ws []*Went
	for a := range 8 {
		if w := Gather(fmt.Sprint("actor ", a), examples(actor(20)...), actor(30), others); w != nil {
			ws = append(ws, w)
		}
	}
	if len(ws) != 8 {
		t.Fatalf("%d of 8 went on", len(ws))
	}
	b, err := TrainTogether(ws, 20)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := TrainTogether(ws, 20); !bytes.Equal(b, again) {
		t.Error("the same lessons gave other trees")
	}
	p, err := Learn("new", examples(actor(20)...))
	if err != nil {
		t.Fatal(err)
	}
	lead := func() float64 {
		least, most := math.Inf(1), math.Inf(-1)
		rnd = rand.New(rand.NewPCG(7, 8))
		for _, n := range actor(30) {
			least = min(least, p.Bits([]byte(n)))
		}
		for _, o := range others[:500] {
			most = max(most, o.Bits(p))
		}
		return least - most
	}
	before := lead()
	if err := UseTogether(b); err != nil {
		t.Fatal(err)
	}
	if after := lead(); after < before+1 {
		t.Errorf("the actor's least name leads others by %.1f bits, and by %.1f before", after, before)
	}
	if UseTogether(b[:len(b)-1]) == nil {
		t.Error("trees that were cut short were taken")
	}
	if _, err := TrainTogether(nil, 0); err == nil {
		t.Error("trees of nothing")
	}
	if Gather("x", nil, []string{"a.com"}, others) != nil || Gather("x", examples("a.com"), []string{"a.com"}, others[:10]) != nil {
		t.Error("learnt from nothing")
	}
}

// Scores tell names apart far up, where the hundred highest stand.
func TestSquashFarUp(t *testing.T) {
	for b := 0.0; b < 85; b++ {
		if lo, hi := fmt.Sprintf("%.9g", squash(b)), fmt.Sprintf("%.9g", squash(b+1)); lo == hi {
			t.Errorf("%v and %v bits are both %s", b, b+1, lo)
		}
	}
}

// Where the parts stand is where they are put.
func TestWherePartsStand(t *testing.T) {
	ex := mixedStyle()
	p, err := Learn("TEST", ex)
	if err != nil {
		t.Fatal(err)
	}
	var x [nFeatures]float32
	v := look([]byte("mail31.drive-c.duckdns.org"))
	p.measure(v, &x)
	var os [len(recent) + 1]odds
	p.apart(v, &os, match.BuiltinBackground())
	mo := v.mannerOdds()
	for _, c := range []struct {
		what string
		at   int
		want float64
	}{
		{"letters", atParts + perPart, os[1].letters},
		{"words", atParts + 1, os[0].words},
		{"the last shape", atParts + perPart + 2 + nShapes, os[1].shapes[nShapes-1]},
		{"of no third part the first", atParts + 2*perPart, os[0].letters},
		{"manner", atManner, p.whole.all.bits(&v.extra.manner, &mo)},
		{"what is registered", atReg, math.Log2(1 + float64(p.whole.reg[v.extra.reg]))},
		{"the first label", atFirst, math.Log2((30 + .05) / (30 + .5))},
		{"the suffix", atFirst + 1, math.Log2((30 + .05) / (30 + .5))},
		{"the prior of hosts", atHost, v.extra.hostBits},
		{"letters a letter", atMean, os[0].letters / float64(v.length+3)},
		{"most of the words", atMost + 1, max(os[0].words, os[1].words, os[2].words)},
		{"host", atMost + 3, float64(v.extra.manner.host)},
	} {
		if math.Abs(float64(x[c.at])-c.want) > 1e-4*math.Max(1, math.Abs(c.want)) {
			t.Errorf("%s: %v, want %v", c.what, x[c.at], c.want)
		}
	}
}
