package seizure_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

func n(s string) impound.Name { return impound.MustName(s) }

func ns(ss ...string) []impound.Name {
	var out []impound.Name
	for _, s := range ss {
		out = append(out, n(s))
	}
	return out
}

func TestPlanName(t *testing.T) {
	sink := ns("ns1.sinkhole.example", "ns2.sinkhole.example")
	evil := n("outlook-verify.net")
	redirect := impound.Acts{Nameservers: sink, RemoveDS: true, Sinkhole: true, Lock: []string{"clientTransferProhibited", "clientUpdateProhibited", "serverUpdateProhibited"}}
	actor := seizure.State{Exists: true, NS: ns("ns1.actor.test", "ns2.actor.test"), DS: []string{"1 13 2 AA"}, Status: []string{"clientTransferProhibited"}}
	for name, tt := range map[string]struct {
		acts    impound.Acts
		role    string
		state   seizure.State
		steps   [][]string
		blocked string
		warn    string
	}{
		"redirect in one command": {redirect, "registry", actor, [][]string{{
			"+ ns ns1[.]sinkhole[.]example", "+ ns ns2[.]sinkhole[.]example", "- ns ns1[.]actor[.]test", "- ns ns2[.]actor[.]test", "- ds (all)",
			"+ status clientUpdateProhibited", "+ status serverUpdateProhibited"}}, "", ""},
		"already as ordered": {redirect, "registry", seizure.State{Exists: true, NS: sink, Status: []string{"clientTransferProhibited", "clientUpdateProhibited", "serverUpdateProhibited", "autoRenewPeriod"}}, nil, "", ""},
		"one name server is right already": {impound.Acts{Nameservers: sink, RemoveDS: true}, "registry", seizure.State{Exists: true, NS: ns("ns1.sinkhole.example", "x.test")}, [][]string{{
			"+ ns ns2[.]sinkhole[.]example", "- ns x[.]test"}}, "", ""},
		"an update lock stands before": {redirect, "registry", seizure.State{Exists: true, NS: ns("x.test"), Status: []string{"serverUpdateProhibited"}}, [][]string{
			{"+ ns ns1[.]sinkhole[.]example", "+ ns ns2[.]sinkhole[.]example", "- ns x[.]test", "- status serverUpdateProhibited", "+ status clientTransferProhibited", "+ status clientUpdateProhibited"},
			{"+ status serverUpdateProhibited"}}, "", "lifted with it, then put back"},
		"only the registry can lift":  {impound.Acts{Nameservers: sink, RemoveDS: true, Lock: []string{"clientUpdateProhibited"}}, "registrar", seizure.State{Exists: true, Status: []string{"serverUpdateProhibited"}}, nil, "only the registry can lift", ""},
		"no act on locks ordered":     {impound.Acts{Nameservers: sink, RemoveDS: true}, "registry", seizure.State{Exists: true, Status: []string{"clientUpdateProhibited"}}, nil, "allows no act on locks", ""},
		"server status as registrar":  {redirect, "registrar", actor, nil, "by the registry only", ""},
		"hold with redirect":          {impound.Acts{Hold: true, Nameservers: sink}, "registry", actor, nil, "contradicts itself", ""},
		"hold with sinkhole":          {impound.Acts{Hold: true, Sinkhole: true}, "registry", actor, nil, "contradicts itself", ""},
		"hold at the registry":        {impound.Acts{Hold: true}, "registry", actor, [][]string{{"+ status serverHold"}}, "", ""},
		"hold at the registrar":       {impound.Acts{Hold: true, Lock: []string{"clientUpdateProhibited"}}, "registrar", actor, [][]string{{"+ status clientHold", "+ status clientUpdateProhibited"}}, "", ""},
		"redirect of a held name":     {redirect, "registry", seizure.State{Exists: true, Status: []string{"clientHold"}}, nil, "on hold", ""},
		"DS left behind":              {impound.Acts{Nameservers: sink}, "registry", actor, nil, "SERVFAIL", ""},
		"DS only":                     {impound.Acts{RemoveDS: true}, "registry", actor, [][]string{{"- ds (all)"}}, "", ""},
		"lock only":                   {impound.Acts{Lock: []string{"serverTransferProhibited"}}, "registry", actor, [][]string{{"+ status serverTransferProhibited"}}, "", ""},
		"name server inside the name": {impound.Acts{Nameservers: ns("ns1.outlook-verify.net", "ns2.sinkhole.example"), RemoveDS: true}, "registry", actor, nil, "inside the name", ""},
		"not registered":              {redirect, "registry", seizure.State{}, nil, "not registered", ""},
		"being deleted":               {redirect, "registry", seizure.State{Exists: true, Status: []string{"pendingDelete"}}, nil, "being deleted", ""},
		"being transferred":           {redirect, "registry", seizure.State{Exists: true, Status: []string{"pendingTransfer"}}, nil, "transfer", ""},
		"registrant":                  {impound.Acts{Registrant: "IMP-1", Lock: []string{"clientTransferProhibited"}}, "registry", actor, [][]string{{"~ registrant IMP-1"}}, "", ""},
		"a status that is none":       {impound.Acts{Lock: []string{"linked"}}, "registry", actor, nil, "no status that locks", ""},
		"no delegation at all":        {impound.Acts{Nameservers: sink, RemoveDS: true}, "registry", seizure.State{Exists: true}, [][]string{{"+ ns ns1[.]sinkhole[.]example", "+ ns ns2[.]sinkhole[.]example"}}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			steps, blocked, warn := seizure.PlanName(evil, tt.acts, tt.role, tt.state, false)
			var got [][]string
			for _, s := range steps {
				got = append(got, s.Lines)
				if len(s.Acts) == 0 || s.Change.Name != evil {
					t.Errorf("a step without acts or name: %+v", s)
				}
			}
			if d := cmp.Diff(tt.steps, got); d != "" {
				t.Errorf("steps (-want +got):\n%s", d)
			}
			if (blocked == "") != (tt.blocked == "") || !strings.Contains(blocked, tt.blocked) {
				t.Errorf("blocked %q, want %q", blocked, tt.blocked)
			}
			if w := strings.Join(warn, "\n"); (w == "") != (tt.warn == "") || !strings.Contains(w, tt.warn) {
				t.Errorf("warnings %q, want %q", w, tt.warn)
			}
		})
	}
}

func TestChangePermitted(t *testing.T) {
	w := newWorld(t)
	m := w.authorize(w.order())
	a, b := w.names[0], w.names[1]
	permit := func(act impound.Act, x impound.Name) impound.Permit {
		p, err := m.Permit(act, x, w.now())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	redirect := seizure.Change{Name: a, AddNS: ns("ns1.sinkhole.example")}
	both := seizure.Change{Name: a, AddNS: ns("ns1.sinkhole.example"), RemAllDS: true, AddStatus: []string{"serverUpdateProhibited"}}
	host := seizure.Change{Name: a, CreateHost: n("ns1.sinkhole.example")}
	for name, tt := range map[string]struct {
		permits []impound.Permit
		c       seizure.Change
		ok      bool
	}{
		"covered":              {[]impound.Permit{permit(impound.ActNameservers, a)}, redirect, true},
		"host covered":         {[]impound.Permit{permit(impound.ActNameservers, a)}, host, true},
		"all three":            {[]impound.Permit{permit(impound.ActLock, a), permit(impound.ActRemoveDS, a), permit(impound.ActNameservers, a)}, both, true},
		"one missing":          {[]impound.Permit{permit(impound.ActLock, a), permit(impound.ActNameservers, a)}, both, false},
		"another name's":       {[]impound.Permit{permit(impound.ActNameservers, b)}, redirect, false},
		"another act's":        {[]impound.Permit{permit(impound.ActLock, a)}, redirect, false},
		"none":                 {nil, redirect, false},
		"the zero permit":      {[]impound.Permit{{}}, redirect, false},
		"a hold needs its own": {[]impound.Permit{permit(impound.ActLock, a)}, seizure.Change{Name: a, AddStatus: []string{"serverHold"}}, false},
		"nothing to do":        {[]impound.Permit{permit(impound.ActLock, a)}, seizure.Change{Name: a}, false},
	} {
		if err := tt.c.Permitted(tt.permits, w.now()); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, until := m.Window()
	if err := redirect.Permitted([]impound.Permit{permit(impound.ActNameservers, a)}, until); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("a permit must lapse with its order: %v", err)
	}
}

// What warns at every name that changes is said once, above them; what warns at one
// stays beside it.
func TestSharedWarningsAreSaidOnce(t *testing.T) {
	step := seizure.Step{Lines: []string{"- ds (all)"}}
	p := &seizure.Plan{ID: "plan-1", Names: []seizure.NamePlan{
		{Name: impound.MustName("a.example"), Provider: "reg", Steps: []seizure.Step{step}, Warnings: []string{"all", "some"}},
		{Name: impound.MustName("b.example"), Provider: "reg", Steps: []seizure.Step{step}, Warnings: []string{"one", "all"}},
		{Name: impound.MustName("c.example"), Provider: "reg", Blocked: "held", Warnings: []string{"kept"}},
	}}
	text := p.String()
	for want, times := range map[string]int{"! every name that changes: all\n": 1, "! all\n": 0, "    ! some\n": 1, "    ! one\n": 1, "    ! kept\n": 1} {
		if n := strings.Count(text, want); n != times {
			t.Errorf("%q stands %d times in the plan, want %d:\n%s", want, n, times, text)
		}
	}
	p.Names = p.Names[1:]
	if w := p.CommonWarnings(); len(w) != 0 {
		t.Errorf("one name shares %q with nobody", w)
	}
}
