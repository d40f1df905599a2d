package seizure_test

import (
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/seizure"
)

// Where a parent's servers disagree, the view says so, and which of them say what.
func TestParentsThatDisagreeAreNamed(t *testing.T) {
	acts := impound.Acts{Nameservers: ns("ns1.sink.example", "ns2.sink.example"), RemoveDS: true}
	former := &seizure.State{NS: ns("ns1.actor.example"), DS: []string{"1 13 2 AA"}}
	good := func(addr string) observe.ServerView {
		return observe.ServerView{Addr: addr, Exists: true, NS: []string{"ns1.sink.example", "ns2.sink.example"}}
	}
	old := observe.ServerView{Addr: "192.0.2.3:53", Exists: true, NS: []string{"ns1.actor.example"}, DS: []string{"1 13 2 AA"}}
	for name, c := range map[string]struct {
		servers    []observe.ServerView
		state, why string
	}{
		"all agree": {[]observe.ServerView{good("192.0.2.1:53"), good("192.0.2.2:53")}, seizure.AsOrdered, "the ordered name servers"},
		"one is behind": {[]observe.ServerView{good("192.0.2.1:53"), good("192.0.2.2:53"), old}, seizure.NotYet,
			"its servers disagree: the ordered name servers (192.0.2.1:53, 192.0.2.2:53); still the former name servers: ns1[.]actor[.]example, a DS is there (192.0.2.3:53)"},
		"one is silent": {[]observe.ServerView{good("192.0.2.1:53"), good("192.0.2.2:53"), {Addr: "192.0.2.4:53", Err: "no answer"}}, seizure.AsOrdered,
			"the ordered name servers; 2 of 3 servers answered"},
	} {
		v := seizure.JudgeParent(acts, former, observe.View{Servers: c.servers})
		if v.State != c.state || v.Why != c.why {
			t.Errorf("%s: %s, %q; want %s, %q", name, v.State, v.Why, c.state, c.why)
		}
	}
}
