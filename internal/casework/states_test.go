package casework_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// Whatever people try in whatever order: nobody makes a name ordered by saying
// so, a refusal changes nothing, and the history tells every step and no other.
func TestStatesOfAName(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	states := []impound.DomainState{impound.StateCandidate, impound.StateEvidenced, impound.StateProposed, impound.StateBlocked, impound.StateOrdered,
		impound.StateSeized, impound.StateSinkholed, impound.StateHeld, impound.StateReleased, impound.StateContested, "", "nonsense"}
	outside := map[impound.DomainState]bool{impound.StateSeized: true, impound.StateSinkholed: true, impound.StateHeld: true, impound.StateReleased: true, impound.StateContested: true}
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		name := impound.MustName(fmt.Sprintf("n%d-verify.com", n))
		if _, err := d.AddNames(ctx, "ann", "C-1", []casework.AddName{{Name: name}}); err != nil {
			r.Fatal(err)
		}
		at := impound.StateCandidate
		steps := 1
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			to := rapid.SampledFrom(states).Draw(r, "state")
			by := rapid.SampledFrom([]string{"ann", "olga", "system", "alice", "nobody"}).Draw(r, "by")
			err := d.SetState(ctx, by, "C-1", name, to, "because")
			may := by == "ann" || outside[to] && (by == "olga" || by == "system")
			switch {
			case !may && impound.KindOf(err) != impound.KindAuth:
				r.Fatalf("%s may set %s: %v", by, to, err)
			case may && to == at && err != nil:
				r.Fatalf("setting the state it has: %v", err)
			case may && to == impound.StateOrdered && err == nil:
				r.Fatalf("ordered by hand")
			case err == nil && to != at:
				at = to
				steps++
			case err != nil && may && impound.KindOf(err) != impound.KindRefused:
				r.Fatal(err)
			}
		}
		c, err := d.Case(ctx, "C-1")
		if err != nil {
			r.Fatal(err)
		}
		for _, x := range c.Domains {
			if x.Name == name && (x.State != at || len(x.History) != steps || x.History[steps-1].State != at) {
				r.Fatalf("want %s after %d steps, have %+v", at, steps, x)
			}
		}
	})
}

func FuzzReadNames(f *testing.F) {
	f.Add([]byte("\ufeffoutlook-verify[.]net\r\n# x\nyahoo-verify.net, 2019-03-27\n\n"))
	f.Add([]byte("a b c\n\x00\xff\n" + strings.Repeat("x", 9000)))
	f.Add([]byte("com\nx.com\t2019-01-01T00:00:00Z"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, ps := casework.ReadNames("list.txt", bytes.NewReader(data))
		seen := map[impound.Name]bool{}
		for _, a := range names {
			if a.Name.Labels() < 2 || seen[a.Name] {
				t.Fatalf("%q: %v", data, a)
			}
			seen[a.Name] = true
		}
		for _, p := range ps {
			var n int
			if _, err := fmt.Sscanf(p.Where, "list.txt:%d", &n); err != nil || n < 1 || n > bytes.Count(data, []byte("\n"))+1 || p.Cure == "" {
				t.Fatalf("%q: %v", data, p)
			}
		}
		if lines := bytes.Count(data, []byte("\n")) + 1; len(names)+len(ps) > lines {
			t.Fatalf("%q: %d findings on %d lines", data, len(names)+len(ps), lines)
		}
	})
}
