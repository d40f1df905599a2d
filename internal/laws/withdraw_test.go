package laws

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// A court dissolves an order before its date: the sinkhole stops at once, and an
// approved plan is refused.
func TestLaw1Withdrawn(t *testing.T) {
	w := newWorld(t)
	s := w.serve(t)
	now := time.Now()
	w.file(t, s, terms{id: "O-1", names: []impound.Name{live}, from: now.Add(-time.Minute), until: now.Add(time.Hour)})
	plan := w.plan(t, s, "O-1", "ben", "dora")
	eventually(t, "the sinkhole to answer", func() bool { return ask(t, s, live) == dns.RcodeSuccess })
	w.refused(t, "takes the role", "order", "withdraw", "O-1", "--why", "x", "--as", "olaf")
	if ask(t, s, live) != dns.RcodeSuccess {
		t.Fatal("a withdrawal that was refused took effect")
	}
	if code, _, errs := w.cli(t, "order", "withdraw", "O-1", "--why", "dissolved by the court", "--as", "ben"); code != 0 {
		t.Fatalf("%d: %s", code, errs)
	}
	eventually(t, "the sinkhole to stop", func() bool { return ask(t, s, live) == dns.RcodeRefused })
	w.refused(t, "not in force", "seize", "apply", plan, "--as", "olaf")
	if n := w.acts(); len(n) > 0 {
		t.Errorf("acts at the registry: %+v", n)
	}
	if code, out, _ := w.cli(t, "order", "list"); code != 0 || !strings.Contains(out, "withdrawn") {
		t.Errorf("the list says: %s", out)
	}
}
