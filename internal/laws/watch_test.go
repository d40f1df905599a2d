package laws

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/testregistry"
)

// What custody keeps an eye on beside drift: the domain that our name servers
// live under, who sponsors a name, whether it is being deleted, the registry's
// clock and certificate, and who has what was let go.
func TestCustodyWatches(t *testing.T) {
	home := impound.MustName("sinkhole-home.net")
	ours := []impound.Name{impound.MustName("ns1.sinkhole-home.net"), impound.MustName("ns2.sinkhole-home.net")}
	was := sinkNS
	sinkNS = ours
	defer func() { sinkNS = was }()
	w := newWorld(t, func(c *testregistry.Config) {
		c.Redemption = 24 * time.Hour
		c.Faults.CertFor = 10 * 24 * time.Hour
		c.Faults.ClockSkew = 2 * time.Minute
	})
	must(t, w.reg.Register(testregistry.Domain{Name: home, Registrar: "CHEAP-NAMES", NS: []impound.Name{impound.MustName("ns1.bulk-host.example")}, Expiry: time.Now().AddDate(0, 0, 60)}))
	s := w.open(t)
	now := time.Now()
	w.file(t, s, terms{id: liveOrder, names: []impound.Name{live, spare}, from: now.Add(-time.Hour), until: now.AddDate(0, 0, 300)})
	_, err := s.Apply(t.Context(), w.me(t, s, "olaf"), w.plan(t, s, liveOrder, "ben", "dora"))
	must(t, err)
	found := func() map[string][]app.Alarm {
		t.Helper()
		as, err := s.Custody(impound.AsSystem(t.Context()))
		must(t, err)
		out := map[string][]app.Alarm{}
		for _, a := range as {
			out[a.Kind] = append(out[a.Kind], a)
			if strings.Contains(a.Text, live.String()) || strings.Contains(a.Text, home.String()) {
				t.Errorf("a live name is shown: %s", a.Text)
			}
			if a.Cure == "" || a.Cmd == "" {
				t.Errorf("nobody is told what to do: %+v", a)
			}
		}
		return out
	}
	says := func(got map[string][]app.Alarm, kind, words string, n int) {
		t.Helper()
		k := 0
		for _, a := range got[kind] {
			if strings.Contains(a.Text, words) {
				k++
			}
		}
		if k != n {
			t.Errorf("%s with %q: %d, want %d: %+v", kind, words, k, n, got[kind])
		}
	}
	got := found()
	says(got, app.AlarmNSExpiry, "sinkhole-home[.]net, under which ns1[.]sinkhole-home[.]net, ns2[.]sinkhole-home[.]net live, ends on", 1)
	says(got, app.AlarmProvider, "the certificate of provider practice ends on", 1)
	says(got, app.AlarmProvider, "the clock of provider practice is 2m0s ahead of ours", 1)
	says(got, app.AlarmLame, "does not answer for 2 of 2 names", 2) // nothing listens here
	for _, kind := range []string{app.AlarmDrift, app.AlarmStatus, app.AlarmSponsor, app.AlarmDeleting, app.AlarmDangling} {
		says(got, kind, "", 0)
	}

	must(t, w.reg.Transfer(live, "IMPOUND"))
	must(t, w.reg.Expire(spare))
	must(t, w.reg.Expire(home))
	got = found()
	says(got, app.AlarmSponsor, "is sponsored by IMPOUND, and was by CHEAP-NAMES", 1)
	says(got, app.AlarmDeleting, "is being deleted", 1)
	says(got, app.AlarmDangling, "is being deleted: whoever buys it has all 2 names", 1)
	w.clock.turn(25 * time.Hour)
	got = found()
	says(got, app.AlarmDangling, "is not registered: whoever buys it has all 2 names", 1)
	says(got, app.AlarmDeleting, "is not registered any more", 1)
	code, out, errs := w.cli(t, "seize", "watch", liveOrder)
	if code != 6 || !strings.Contains(out, "dangling") || !strings.Contains(out, "impound registry show") {
		t.Errorf("seize watch: %d\n%s%s", code, out, errs)
	}
	code, _, errs = w.cli(t, "seize", "watch", "O-NONE")
	if code == 0 {
		t.Errorf("an order that is not there: %s", errs)
	}
}

// Messages of the registry are evidence before they are gone from there.
func TestPollFiles(t *testing.T) {
	w := newWorld(t, func(c *testregistry.Config) {
		c.Faults = testregistry.Faults{Seed: 3, ReorderPoll: 0.5, DropBefore: 0.3, Split: 0.5}
	})
	s := w.open(t)
	for _, text := range []string{"Domain will be deleted.", "Maintenance on Sunday.", "Domain will be deleted."} {
		must(t, w.reg.Notify("IMPOUND", text))
	}
	n, err := s.Poll(impound.AsSystem(t.Context()))
	if err != nil || n != 3 {
		t.Errorf("%d messages, %v", n, err)
	}
	es, err := s.Evidence.Select(t.Context(), evidence.Filter{What: "seize.message"})
	must(t, err)
	var texts []string
	for _, e := range es {
		texts = append(texts, e.Entry.Detail["text"])
		if e.Entry.Detail["frames"] == "" {
			t.Error("without the frame")
		}
	}
	slices.Sort(texts)
	if !slices.Equal(texts, []string{"Domain will be deleted.", "Domain will be deleted.", "Maintenance on Sunday."}) {
		t.Errorf("%q", texts)
	}
	code, _, errs := w.cli(t, "seize", "poll")
	if code != 0 || !strings.Contains(errs, "0 messages") {
		t.Errorf("seize poll: %d %s", code, errs)
	}
}
