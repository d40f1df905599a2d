package profile

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestLexiconIsBuiltIn(t *testing.T) {
	w, err := decodeWords(lexiconBin)
	if err != nil {
		t.Fatal(err)
	}
	if w.table.n < 20_000 || len(lexiconBin) > 300_000 {
		t.Errorf("%d words in %d octets", w.table.n, len(lexiconBin))
	}
	shop, therefore := w.table.find(hashWord([]byte("shop"))), w.table.find(hashWord([]byte("therefore")))
	if shop == nil || therefore == nil || shop.bits >= therefore.bits {
		t.Errorf("shop %v, therefore %v: names hold more shops", shop, therefore)
	}
	for _, bad := range [][]byte{nil, []byte(wordsMagic), lexiconBin[:len(lexiconBin)-1], append([]byte("x"), lexiconBin...)} {
		if _, err := decodeWords(bad); err == nil {
			t.Errorf("%d octets were taken", len(bad))
		}
	}
}

// toyWords learns from names made of a few words.
func toyWords(t *testing.T) *Words {
	t.Helper()
	w, err := decodeWords(TrainWords(strings.Fields("garden flower flowers gar den"), func(yield func([]byte) bool) {
		for i := range 200 {
			if !yield([]byte([]string{"garden-flower", "flowersgarden", "garden", "den-gar", "hus-stuga", "qxq"}[i%6])) {
				return
			}
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func tokensOf(w *Words, o *own, in string) string {
	var got []string
	for _, p := range w.split([]byte(in), o, nil) {
		s := in[p.from:p.to]
		if p.class == strangeClass {
			s = "?" + s
		}
		got = append(got, s)
	}
	return strings.Join(got, " ")
}

func TestSplit(t *testing.T) {
	w := toyWords(t)
	for in, want := range map[string]string{
		"gardenflowers": "garden flowers", "garden-flower2": "garden flower", "xqgardenz": "?xq garden ?z", "": "", "---": "", "den": "den", "x": "?x", "9a9": "?a",
		"gardenflowerx": "garden flower ?x", "stugagarden": "stuga garden", strings.Repeat("garden", 20): strings.Repeat("garden ", 10) + "gar ?d",
	} {
		if g := tokensOf(w, nil, in); g != want {
			t.Errorf("%s: %q, want %q", in, g, want)
		}
	}
	// What comes back is a word to whoever uses it.
	old := words
	words = w
	defer func() { words = old }()
	vs := make([]seen, 4)
	for i, n := range []string{"zorbgarden.example", "gardenzorb.example", "zorbflower.example", "xflower.example"} {
		vs[i].register([]byte(n))
	}
	var o own
	o.learn(vs)
	if g := tokensOf(w, &o, "zorbden"); g != "?zorb den" || w.split([]byte("zorbden"), &o, nil)[0].own != true {
		t.Errorf("got %q", g)
	}
}

func TestTrainWordsIsTheSameEachTime(t *testing.T) {
	a, b := toyWords(t).encode(), toyWords(t).encode()
	if !bytes.Equal(a, b) {
		t.Error("the same names teach other words")
	}
}

// A word list is known by few of its names: those of other words of it come
// before what people register.
func TestWordListFromFewNames(t *testing.T) {
	list := strings.Fields("mountain therefore journey winter opinion children settle doctor butter fifteen twelve follow foreign animal window partial sudden cover present angry modern strength machine against possible")
	var ex []Example
	for i := range 24 {
		ex = append(ex, Example{Name: list[i%12] + list[(i*7+12)%25] + ".net"})
	}
	p, err := Learn("TEST", ex)
	if err != nil {
		t.Fatal(err)
	}
	if p.row == nil || p.row.trust != 1 {
		t.Fatal("not seen to be words in a row")
	}
	worst := 1e9
	for _, n := range []string{"machineopinion.net", "againstwindow.net", "possibledoctor.net", "prettyquiet.net"} {
		b := p.Bits([]byte(n))
		worst = min(worst, b)
		if s := Look(n).Bits(p); s != b {
			t.Errorf("%s: %g looked at before, %g at once", n, s, b)
		}
	}
	for _, n := range []string{"cloudshop.net", "bestseo24.net", "marketinghub.com", "xk3v9.top", "photo-studio-berlin.de"} {
		if b := p.Bits([]byte(n)); b >= worst {
			t.Errorf("%s: %.1f bits, the list's names from %.1f", n, b, worst)
		}
	}
	found := false
	_, rs := p.Score("machineopinion.net")
	for _, r := range rs {
		found = found || r.Code == "actor-word-list"
	}
	if !found {
		t.Errorf("the reasons don't say it: %v", rs)
	}
}

// People make exceptions: a host below a name, a number.
func TestPeopleAreNoWordList(t *testing.T) {
	var ex []Example
	for i := range 30 {
		n := fmt.Sprintf("secure-%cdocs.top", 'a'+i%26)
		if i%8 == 0 {
			n = fmt.Sprintf("login%d.secure-docs.top", i)
		}
		ex = append(ex, Example{Name: n})
	}
	p, err := Learn("TEST", ex)
	if err != nil {
		t.Fatal(err)
	}
	if p.row != nil {
		t.Errorf("trusted by %g", p.row.trust)
	}
	if p, err = Learn("TEST", examples("a-docs.top", "b-docs.top")); err != nil || p.row != nil {
		t.Error("two names are taken for a word list")
	}
}

// One name that got among twenty by mistake doesn't undo what the others say.
func TestOneSlipInAWordList(t *testing.T) {
	list := strings.Fields("mountain therefore journey winter opinion children settle doctor butter fifteen")
	var ex []Example
	for i := range 20 {
		ex = append(ex, Example{Name: list[i%10] + list[(i*3+1)%10] + ".net"})
	}
	ex[7].Name = "www.update-12.example.com"
	p, err := Learn("TEST", ex)
	if err != nil {
		t.Fatal(err)
	}
	if p.row == nil || p.row.trust != 1 {
		t.Fatal("one slip undoes nineteen names")
	}
	ex[8].Name, ex[9].Name = "mail.example.com", "a1b2.example"
	if p, err = Learn("TEST", ex); err != nil || p.row != nil {
		t.Error("three exceptions among twenty are no slip")
	}
}

func TestRowPartsComeToTheScore(t *testing.T) {
	var ex []Example
	for i := range 20 {
		ex = append(ex, Example{Name: "garden" + strings.Repeat("flower", 1+i%2) + string(rune('a'+i)) + ".net"})
	}
	p, err := Learn("TEST", ex)
	if err != nil {
		t.Fatal(err)
	}
	s := Look("gardenwindow.net")
	sum := 0.0
	for i, x := range p.RowParts(s) {
		sum += x * RowWeights()[i]
	}
	if b := s.Bits(p); math.Abs(sum-b) > 1e-9 {
		t.Errorf("the parts come to %g, the score is %g", sum, b)
	}
	if p, _ = Learn("TEST", examples("a-docs.top", "b-docs.top")); p.RowParts(s) != nil {
		t.Error("no row of words has parts")
	}
}

func FuzzDecodeWords(f *testing.F) {
	f.Add(lexiconBin[:min(len(lexiconBin), 4000)])
	f.Add([]byte(wordsMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := decodeWords(b)
		if err != nil {
			return
		}
		w.split([]byte("gardenflowers-9x"), nil, nil)
	})
}

func FuzzWordList(f *testing.F) {
	f.Add("mountainjourney.net", "a.b.c", "xn--a.example")
	f.Add("", ".", strings.Repeat("a", 300)+".com")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ex := examples(a, b, c, a+b, b+c, c+a, "one.example", "two.example", "three.example")
		p, err := Learn("x", ex)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{a, b, c, "four.example"} {
			if x := p.Bits([]byte(n)); x != x {
				t.Fatalf("%q: no number", n)
			}
		}
	})
}
