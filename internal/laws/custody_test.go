package laws

import (
	"bufio"
	"crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/seizure/epp"
)

// somebodyElse sends one EPP command with the registry's own account, as its
// staff or a thief there would.
func (w *world) somebodyElse(t testing.TB, command string) {
	t.Helper()
	conn, err := tls.Dial("tcp", w.reg.Addrs().EPP.String(), w.reg.ClientTLS())
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	in := bufio.NewReader(conn)
	read := func() string {
		b, err := epp.ReadFrame(in, epp.MaxFrame)
		must(t, err)
		return string(b)
	}
	read() // the greeting
	for _, c := range []string{
		`<login><clID>IMPOUND</clID><pw>` + password + `</pw><options><version>1.0</version><lang>en</lang></options><svcs><objURI>urn:ietf:params:xml:ns:domain-1.0</objURI><objURI>urn:ietf:params:xml:ns:host-1.0</objURI><svcExtension><extURI>urn:ietf:params:xml:ns:secDNS-1.1</extURI></svcExtension></svcs></login>`,
		command,
	} {
		_, err := conn.Write(epp.Frame([]byte(`<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><command>` + c + `<clTRID>else-1</clTRID></command></epp>`)))
		must(t, err)
		if got := read(); !strings.Contains(got, `code="1000"`) {
			t.Fatalf("%s\n%s", c, got)
		}
	}
}

// kinds gives what custody found of n, in order; of orders where n is zero.
func kinds(alarms []app.Alarm, n impound.Name) []string {
	var out []string
	for _, a := range alarms {
		if a.Name == n && a.Kind != app.AlarmUnseen && a.Kind != app.AlarmLame { // there is no sinkhole to ask here
			out = append(out, a.Kind)
		}
	}
	return out
}

// Custody notices by itself what changes, says it once a day, and names given
// back by a plan with two approvers are no drift.
func TestCustody(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	now := time.Now()
	w.file(t, s, terms{id: liveOrder, names: []impound.Name{live, spare}, from: now.Add(-time.Hour), until: now.AddDate(0, 0, 400)})
	look := func() []app.Alarm {
		t.Helper()
		a, err := s.Custody(impound.AsSystem(t.Context()))
		must(t, err)
		return a
	}
	recorded := func() int {
		t.Helper()
		x, err := s.Evidence.Select(t.Context(), evidence.Filter{What: "custody.alarm"})
		must(t, err)
		return len(x)
	}
	if a := look(); len(a) != 0 {
		t.Errorf("nobody has taken the names yet, and custody says %+v", a)
	}
	_, err := s.Apply(t.Context(), w.me(t, s, "olaf"), w.plan(t, s, liveOrder, "ben", "dora"))
	must(t, err)
	if a := look(); len(kinds(a, live))+len(kinds(a, spare)) != 0 {
		t.Errorf("all is well, and custody says %+v", a)
	}

	// A thief takes one away and signs it.
	w.somebodyElse(t, `<update><d:update xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>`+live.String()+`</d:name>`+
		`<d:add><d:ns><d:hostObj>ns1.bulk-host.example</d:hostObj></d:ns></d:add>`+
		`<d:rem><d:ns><d:hostObj>`+sinkNS[0].String()+`</d:hostObj></d:ns><d:status s="serverUpdateProhibited"/></d:rem></d:update></update>`+
		`<extension><s:update xmlns:s="urn:ietf:params:xml:ns:secDNS-1.1"><s:add><s:dsData><s:keyTag>12345</s:keyTag><s:alg>13</s:alg><s:digestType>2</s:digestType><s:digest>`+strings.Repeat("AB", 32)+`</s:digest></s:dsData></s:add></s:update></extension>`)
	a := look()
	if got := kinds(a, live); !slices.Equal(got, []string{app.AlarmDrift, app.AlarmDSBack, app.AlarmStatus}) {
		t.Errorf("stolen: %v", got)
	}
	if got := kinds(a, spare); len(got) != 0 {
		t.Errorf("untouched: %v", got)
	}
	for _, x := range a {
		if strings.Contains(x.Text, live.String()) {
			t.Errorf("a live name is shown: %s", x.Text)
		}
	}
	n := recorded()
	if look(); recorded() != n {
		t.Error("the same finding is recorded twice in a day")
	}
	shown, err := s.Desk().Alarms(t.Context())
	if err != nil || len(shown) != len(a) || shown[0].Order != liveOrder {
		t.Errorf("the pages get %+v, %v", shown, err)
	}
	code, out, errs := w.cli(t, "seize", "drift", liveOrder)
	if code != 6 || !strings.Contains(out, live.Defanged()) {
		t.Errorf("seize drift: %d\n%s%s", code, out, errs)
	}
	w.clock.turn(24 * time.Hour)
	if again := look(); recorded() != n+len(again) || len(again) != len(a) {
		t.Errorf("the next day %d are recorded, want %d and %d", recorded(), n, len(a))
	}
	w.clock.set(0)

	// The other one is given back: a plan, two approvers, an apply.
	code, out, errs = w.cli(t, "seize", "revert", liveOrder, spare.Defanged(), "--as", "olaf", "--json")
	if code != 0 {
		t.Fatalf("seize revert: %d %s%s", code, out, errs)
	}
	_, id, _ := strings.Cut(out, `"id": "plan-`)
	id = "plan-" + id[:12]
	w.refused(t, "approved by 0 of 2", "seize", "apply", id, "--as", "olaf")
	for _, who := range []string{"ben", "dora"} {
		_, err := s.Approve(t.Context(), w.me(t, s, who), id)
		must(t, err)
	}
	for range 2 { // the second time it looks and does nothing
		acts := len(w.acts())
		if res, err := s.Apply(t.Context(), w.me(t, s, "olaf"), id); err != nil {
			t.Errorf("%v %+v", err, res)
		}
		if d, _ := w.reg.Domain(spare); slices.Contains(d.NS, sinkNS[0]) || !slices.Contains(d.NS, impound.MustName("ns1.bulk-host.example")) || len(d.Statuses) != 0 {
			t.Errorf("given back: %+v", d)
		}
		if did := len(w.acts()) - acts; did > 1 {
			t.Errorf("%d acts", did)
		}
	}
	k, err := s.Casework.Case(t.Context(), caseID)
	must(t, err)
	for _, d := range k.Domains {
		if d.Name == spare && d.State != impound.StateContested {
			t.Errorf("the case has %s as %s", spare, d.State)
		}
	}
	if got := kinds(look(), spare); len(got) != 0 {
		t.Errorf("given back, and custody says %v", got)
	}

	// Time goes by: the registration ends, the order ends.
	w.clock.setTo(now.AddDate(0, 0, 330)) // registered 20 days ago for a year
	a = look()
	if got := kinds(a, live); !slices.Contains(got, app.AlarmExpiry) || len(kinds(a, impound.Name{})) != 0 {
		t.Errorf("15 days before the registration ends: %v", a)
	}
	w.clock.setTo(now.AddDate(0, 0, 395))
	if got := kinds(look(), impound.Name{}); !slices.Equal(got, []string{app.AlarmLapsing}) {
		t.Errorf("5 days before the order lapses: %v", got)
	}
	w.clock.setTo(now.AddDate(0, 0, 401))
	a = look()
	if got := kinds(a, live); !slices.Equal(got, []string{app.AlarmDelegated}) || len(a) != 1 {
		t.Errorf("lapsed: %+v", a)
	}
	w.clock.set(0)
	if _, err := s.Drift(t.Context(), "O-NONE"); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("no such order: %v", err)
	}
}

// Deadlines are listed by date and told in time: a contest has its own clock, and
// stops when it is settled.
func TestDeadlines(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	now := time.Now()
	day := func(n int) time.Time { return now.AddDate(0, 0, n).UTC().Truncate(time.Second) }
	w.file(t, s, terms{id: liveOrder, names: []impound.Name{live, spare}, from: now.Add(-time.Hour), until: day(40),
		deadlines: []impound.Deadline{{What: "TRO ends: move for an injunction", Due: day(20), Who: "counsel"}},
		rights:    &impound.Rights{Contest: "write to the clerk", ContestDays: 10}})
	decide := func(flags ...string) {
		t.Helper()
		code, out, errs := w.cli(t, append([]string{"case", "contest", live.Defanged(), "--why", "a bakery in Leeds says that it is theirs", "--as", "carla"}, flags...)...)
		if code != 0 {
			t.Fatalf("case contest %v: %d %s%s", flags, code, out, errs)
		}
	}
	listed := func() []string {
		t.Helper()
		ds, err := s.Deadlines(t.Context(), time.Time{})
		must(t, err)
		var out []string
		for _, d := range ds {
			out = append(out, d.Kind)
		}
		return out
	}
	told := func(after time.Duration) []string {
		t.Helper()
		w.clock.set(after)
		defer w.clock.set(0)
		a, err := s.Custody(impound.AsSystem(t.Context()))
		must(t, err)
		var out []string
		for _, x := range a {
			if x.Kind == app.AlarmDeadline {
				out = append(out, x.Text)
			}
		}
		return out
	}
	decide()
	if got, want := listed(), []string{app.DueContest, app.DueOrder, app.DueLapse}; !slices.Equal(got, want) {
		t.Errorf("deadlines %v; want %v", got, want)
	}
	code, out, errs := w.cli(t, "order", "deadlines", liveOrder)
	if code != 0 || !strings.Contains(out, "move for an injunction") || !strings.Contains(out, live.Defanged()) || strings.Contains(out, live.String()) {
		t.Errorf("order deadlines: %d\n%s%s", code, out, errs)
	}
	if code, out, _ := w.cli(t, "order", "deadlines", "--days", "15"); code != 0 || strings.Contains(out, "injunction") || !strings.Contains(out, "contest") {
		t.Errorf("order deadlines --days 15: %d\n%s", code, out)
	}
	const d = 24 * time.Hour
	for _, c := range []struct {
		after time.Duration
		want  []string // parts of what is told
	}{
		{0, nil},
		{4 * d, []string{"contest of " + live.Defanged()}},
		{14 * d, []string{"move for an injunction (counsel): it is due on", "it was due on"}},
		{21 * d, []string{"it was due on"}},
		{30 * d, nil},
	} {
		got := told(c.after)
		ok := len(got) == len(c.want)
		for i := range c.want {
			ok = ok && slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, c.want[i]) })
		}
		if !ok {
			t.Errorf("after %v custody tells %q; want %q", c.after, got, c.want)
		}
	}
	decide("--end")
	if got := listed(); slices.Contains(got, app.DueContest) {
		t.Errorf("a settled contest is still due: %v", got)
	}
}
