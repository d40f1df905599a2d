package profile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/watch/match"
)

func TestBeside(t *testing.T) {
	var b Beside
	for _, x := range []struct {
		name string
		bits float64
	}{
		{"m.verify.top", 10}, {"a.b.deep.co.uk", 5}, {"tenant.duckdns.org", 12}, {"x.tenant2.duckdns.org", 7},
		{"a.provider.net", 10}, {"b.provider.net", -5}, {"c.provider.net", -5}, {"d.provider.net", -5},
		{"bare.top", 9}, {"top", 3}, {".", 3}, {"", 3}, {"a..b.com", 1},
	} {
		b.Add(x.name, x.bits)
	}
	for _, x := range []struct {
		name      string
		own, want float64
		host      string
	}{
		{"verify.top", -6, 10, "m.verify.top"},
		{"verify.top", 11, 11, ""}, // fits better by itself
		{"other.top", -6, -6, ""},
		{"b.deep.co.uk", 0, 5, "a.b.deep.co.uk"},
		{"deep.co.uk", 0, 5, "a.b.deep.co.uk"},
		{"co.uk", 0, 0, ""}, // nobody's
		{"duckdns.org", 0, 0, ""},
		{"tenant.duckdns.org", 0, 0, ""},
		{"tenant2.duckdns.org", 0, 7, "x.tenant2.duckdns.org"},
		{"top", 0, 0, ""},
		{"provider.net", -6, 8.0002, "a.provider.net"}, // of four hosts one fits
		{"m.verify.top", 10, 10, ""},
		{"b.provider.net", -5, 8.0002, "a.provider.net"}, // beside it
		{"login.verify.top", -9, 10, "m.verify.top"},     // so is what was not in the list
		{"other.duckdns.org", -9, -9, ""},                // a neighbour at a provider is somebody else
	} {
		got, host := b.Bits(x.name, x.own)
		if math.Abs(got-x.want) > .001 || host != x.host {
			t.Errorf("%s of %v bits: %v by %q, not %v by %q", x.name, x.own, got, host, x.want, x.host)
		}
	}
}

// listed is a list of names, and how it comes out.
func listed(t *testing.T, p *Profile, in string) (out []string, byHost map[string]Ranked) {
	t.Helper()
	byHost = map[string]Ranked{}
	err := p.List(context.Background(), strings.NewReader(in), match.Canonical, nil, func(x *Ranked) error {
		out = append(out, fmt.Sprintf("%s=%s", x.Line, x.Name))
		byHost[string(x.Line)] = Ranked{Bits: x.Bits, Own: x.Own, Host: x.Host, Name: bytes.Clone(x.Name)}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, byHost
}

// A host speaks for what it stands below, wherever both stand in the list, and
// whether the list waits in memory or not.
func TestListOfNames(t *testing.T) {
	p, err := Learn("TEST", mixedStyle())
	if err != nil {
		t.Fatal(err)
	}
	in := "kq.example\n\nMail7.kq.example.\t2026-11-22\r\nno name\nGarden.se\nother.garden2.se"
	old := spoolMemory
	defer func() { spoolMemory = old }()
	var before map[string]Ranked
	for _, spoolMemory = range []int{1 << 20, 0} {
		lines, by := listed(t, p, in)
		want := []string{"kq.example=kq.example", "=", "Mail7.kq.example.=mail7.kq.example", "no name=", "Garden.se=garden.se", "other.garden2.se=other.garden2.se"}
		if d := cmp.Diff(want, lines); d != "" {
			t.Error(d)
		}
		x := by["kq.example"]
		if own := p.Bits([]byte("kq.example")); x.Own != own || x.Bits != p.Bits([]byte("mail7.kq.example")) || x.Bits <= own || x.Host != "mail7.kq.example" {
			t.Errorf("of %v bits by itself: %+v", own, x)
		}
		if g := by["Garden.se"]; g.Bits != p.Bits([]byte("garden.se")) || g.Host != "" {
			t.Errorf("%+v", g)
		}
		if before != nil {
			if d := cmp.Diff(before, by); d != "" {
				t.Errorf("in a file not as in memory: %s", d)
			}
		}
		before = by
	}
	// The reasons come to the score.
	_, rs := p.Score("kq.example")
	x := before["kq.example"]
	sum, said := 0.0, false
	for _, r := range x.Reasons(p, rs) {
		sum += r.Weight
		said = said || r.Code == "actor-host" && strings.Contains(r.Text, "mail7[.]kq[.]example")
	}
	if math.Abs(sum-x.Bits) > .05 || !said {
		t.Errorf("reasons that come to %.2f, not %.2f bits: %+v", sum, x.Bits, x.Reasons(p, rs))
	}
}

func TestListThatFails(t *testing.T) {
	p, err := Learn("TEST", mixedStyle())
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := p.List(context.Background(), failing{broken}, match.Canonical, nil, func(*Ranked) error { return nil }); !errors.Is(err, broken) {
		t.Errorf("a source that fails: %v", err)
	}
	if err := p.List(context.Background(), strings.NewReader("a.top\n"), match.Canonical, nil, func(*Ranked) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a taker that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.List(ctx, strings.NewReader("a.top\n"), match.Canonical, nil, func(*Ranked) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Whom a program names has no hosts.
func TestBesideLeavesWordListsAlone(t *testing.T) {
	p := &Profile{apply: .2}
	b := p.Beside()
	b.Add("m.verify.top", 10)
	if bits, host := b.Bits("verify.top", -6); bits != -6 || host != "" {
		t.Errorf("%v bits by %q", bits, host)
	}
	b = (&Profile{apply: 1}).Beside()
	b.Add("m.verify.top", 10)
	if bits, _ := b.Bits("verify.top", -6); bits != 10 {
		t.Errorf("%v bits", bits)
	}
}

// Alone, a name is what it is by itself, and is written at once.
func TestScoresAlone(t *testing.T) {
	ex := []Example{{Name: "mail1.drive-a.duckdns.org"}, {Name: "mail2.drive-b.duckdns.org"}, {Name: "mail3.kd.top"}, {Name: "mail4.ks.top"}}
	score := func(alone bool) []string {
		var out bytes.Buffer
		if err := Scores(context.Background(), ex, strings.NewReader("kq.top\nmail9.kq.top\n"), &out, alone); err != nil {
			t.Fatal(err)
		}
		var s []string
		for l := range strings.Lines(out.String()) {
			_, x, _ := strings.Cut(strings.TrimSpace(l), "\t")
			s = append(s, x)
		}
		return s
	}
	if s := score(false); len(s) != 2 || s[0] != s[1] {
		t.Errorf("beside its host: %v", s)
	}
	if s := score(true); len(s) != 2 || s[0] == s[1] {
		t.Errorf("alone: %v", s)
	}
}
