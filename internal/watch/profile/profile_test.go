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
	for _, c := range []struct {
		in, want, bad, fails string
	}{
		{in: "# own\nA-b[.]example\t2026-01-02\n\nc.example\n", want: "a-b.example 2026, c.example 1"},
		{in: "\ufeffa.example\t2026-01-02\tseen by us\r\nb.example 2025-01-02\r\nc.example,2024-01-02\r\nd.example\tnever", want: "a.example 2026, b.example 2025, c.example 2024, d.example 1"},
		{in: "a.example\nbad!\nb.example\n192.0.2.1", want: "a.example 1, b.example 1", bad: "line 2, line 4"},
		{in: "a.example\n" + strings.Repeat("x", 100_000) + "\n", want: "a.example 1", bad: "line 2"},
		{in: "a.example some words\nb.example", want: "b.example 1", bad: "line 1"},
		{in: "", fails: "no name"},
		{in: "bad!\n", fails: "line 1"},
		{in: "a.example\nbad!\nworse!\n", fails: "2 of 3 lines", bad: "line 2, line 3"},
	} {
		ex, bad, err := ReadExamples(strings.NewReader(c.in))
		if c.fails != "" {
			if impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%.40q: %v", c.in, err)
			}
			continue
		}
		var got, lines []string
		for _, e := range ex {
			got = append(got, fmt.Sprintf("%s %d", e.Name, e.At.Year()))
		}
		for _, b := range bad {
			lines = append(lines, b.Where)
		}
		if err != nil || strings.Join(got, ", ") != c.want || strings.Join(lines, ", ") != c.bad {
			t.Errorf("%.40q: got %q, bad %q, %v", c.in, got, lines, err)
		}
	}
}

func TestScores(t *testing.T) {
	var out bytes.Buffer
	if err := Scores(context.Background(), []Example{{Name: "a-secure.top"}, {Name: "b-secure.top"}}, strings.NewReader("c-secure.top\t2026\n\nbad name\nGarden.com.\n c-secure[.]top \nhxxps://c-secure.top/x?y\n192.0.2.1\n"), &out, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 7 || !strings.HasPrefix(lines[0], "c-secure.top\t0.") || lines[1] != "\t0" || lines[2] != "bad name\t0" || !strings.HasPrefix(lines[3], "Garden.com.\t0.") {
		t.Fatalf("got %q", lines)
	}
	_, score, _ := strings.Cut(lines[0], "\t")
	if want := " c-secure[.]top \t" + score; lines[4] != want {
		t.Errorf("got %q, want %q", lines[4], want)
	}
	if want := "hxxps://c-secure.top/x?y\t" + score; lines[5] != want {
		t.Errorf("got %q, want %q", lines[5], want)
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
