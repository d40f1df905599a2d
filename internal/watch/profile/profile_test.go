package profile

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/impound/impound"
)

func examples(names ...string) (out []Example) {
	for _, n := range names {
		out = append(out, Example{Name: n})
	}
	return out
}

func TestProfileRanksItsOwnStyle(t *testing.T) {
	p, err := Learn("TEST", examples("secure-docs-view.top", "secure-mail-docs.top", "docs-secure-share.top", "mail-view-secure.top", "share-docs-mail.top"))
	if err != nil {
		t.Fatal(err)
	}
	own := p.Bits([]byte("view-docs-secure.top"))
	for _, other := range []string{"gardenflowers.com", "bakery.se", "qx7z91.lol"} {
		if b := p.Bits([]byte(other)); b >= own {
			t.Errorf("%s: %.1f bits, the actor's style %.1f", other, b, own)
		}
	}
	score, reasons := p.Score("view-docs-secure.top")
	if score <= 0 || score >= 1 || len(reasons) < 3 {
		t.Errorf("score %g, reasons %v", score, reasons)
	}
	if _, rs := p.Score("secure-docs-view.top"); rs[0].Code != "actor-known" {
		t.Errorf("a known name is not said to be known: %v", rs)
	}
	if s, _ := p.Score("no name!"); s != 0 {
		t.Errorf("no name scores %g", s)
	}
}

func TestProfileAdaptsToANewStyle(t *testing.T) {
	var ex []Example
	for i := range 60 {
		ex = append(ex, Example{Name: fmt.Sprintf("secure-docs-%c%c.top", 'a'+i%26, 'a'+i/26)})
	}
	fresh := "copperriver.org"
	before, err := Learn("TEST", ex)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Learn("TEST", append(ex, examples("silverforest.org", "copperforest.org", "silverriver.org", "goldenforest.org", "goldenriver.org")...))
	if err != nil {
		t.Fatal(err)
	}
	if b, a := before.Bits([]byte(fresh)), after.Bits([]byte(fresh)); a < b+5 {
		t.Errorf("five names of a new style moved %s from %.1f to %.1f bits only", fresh, b, a)
	}
}

func TestReadExamples(t *testing.T) {
	ex, err := ReadExamples(strings.NewReader("# own\nA-b[.]example\t2026-01-02\n\nc.example\n"))
	if err != nil || len(ex) != 2 || ex[0].Name != "a-b.example" || ex[0].At.Year() != 2026 {
		t.Errorf("got %+v, %v", ex, err)
	}
	for in, say := range map[string]string{"": "no name", "a.example\nbad!\n": "line 2"} {
		if _, err := ReadExamples(strings.NewReader(in)); impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestScores(t *testing.T) {
	var out bytes.Buffer
	if err := Scores(context.Background(), strings.NewReader("a-secure.top\nb-secure.top\n"), strings.NewReader("c-secure.top\t2026\n\nbad name\nGarden.com.\n"), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "c-secure.top\t0.") || lines[1] != "\t0" || lines[2] != "bad name\t0" || !strings.HasPrefix(lines[3], "Garden.com.\t0.") {
		t.Errorf("got %q", lines)
	}
}

func TestOrdinaryIsRead(t *testing.T) {
	if tldShare([]byte("com")) < .3 || tldShare([]byte("zz")) != rareTLD {
		t.Errorf("com has a share of %v, a domain that isn't there %v", tldShare([]byte("com")), tldShare([]byte("zz")))
	}
	for k := range nShapes {
		sum := 0.0
		for _, s := range common.Shapes[k] {
			sum += s
		}
		if sum < .99 || sum > 1.01 {
			t.Errorf("the shares of shape %d come to %v", k, sum)
		}
	}
}

// Hosts below a name are told from what can be registered, whatever the suffix.
func TestDepth(t *testing.T) {
	for name, want := range map[string]struct {
		depth  int
		server bool
		length int
	}{
		"verify.com": {1, false, 6}, "verify.co.uk": {1, false, 6}, "mail.verify.com": {2, false, 6}, "a.b.verify.co.uk": {3, false, 6},
		"ns1.verify.com": {2, true, 6}, "a.ns.verify.se": {3, true, 6}, "verify.duckdns.org": {2, false, 7}, "nsa.com": {1, false, 3}, "com": {1, false, 0},
	} {
		if v := look([]byte(name)); v.depth != want.depth || v.server != want.server || v.length != want.length {
			t.Errorf("%s: depth %d, server %v, length %d; want %v", name, v.depth, v.server, v.length, want)
		}
	}
}

// Who uses many top-level domains will use another; who kept to one won't.
func TestNewTopLevelDomain(t *testing.T) {
	var one, many []Example
	for i := range 24 {
		n := fmt.Sprintf("secure-docs-%c.", 'a'+i)
		one = append(one, Example{Name: n + "top"})
		many = append(many, Example{Name: n + []string{"top", "site", "space", "online", "icu", "pw", "fun", "live"}[i%8]})
	}
	bits := func(ex []Example) float64 {
		p, err := Learn("TEST", ex)
		if err != nil {
			t.Fatal(err)
		}
		var v seen
		v.look([]byte("secure-docs-z.info"))
		return p.bits(&v).odds.tld
	}
	if o, m := bits(one), bits(many); m < o+.5 {
		t.Errorf("a new one: %.2f bits after many, %.2f after one", m, o)
	}
}
