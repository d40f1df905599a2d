package laws

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/testregistry"
)

// Where RDAP fails, WHOIS is read, and said to be it; a list of RDAP servers is
// fetched and used; and whom to ask is known.
func TestRegistrationIsFound(t *testing.T) {
	t.Run("whois", func(t *testing.T) {
		w := newWorld(t, func(c *testregistry.Config) { c.Faults.RDAPFail = 1 })
		w.cfg.Registries[0].WHOIS = testregistry.WHOISRegistry
		w.cfg.Routes[testregistry.WHOISRegistry+":43"] = w.reg.Addrs().WHOIS.String()
		w.cfg.Routes[testregistry.WHOISRegistrar+":43"] = w.reg.Addrs().RegistrarWHOIS.String()
		w.writeConfig(t)
		s := w.serve(t)
		now := time.Now()
		w.file(t, s, terms{id: liveOrder, names: []impound.Name{live}, from: now.Add(-time.Hour), until: now.AddDate(0, 0, 300)})
		_, err := s.Apply(t.Context(), w.me(t, s, "olaf"), w.plan(t, s, liveOrder, "ben", "dora"))
		if err != nil {
			t.Log(err) // G9 may want more than WHOIS knows; the look is what counts here
		}
		st, err := s.Verify(impound.AsSystem(t.Context()), liveOrder)
		must(t, err)
		for _, v := range st[0].Views {
			if v.View == "rdap" && (v.State == seizure.Unknown || !strings.Contains(v.Why, "by whois, which tells of no DS (RDAP: ")) {
				t.Errorf("%+v", v)
			}
		}
		code, out, errs := w.cli(t, "registry", "show", live.Defanged())
		if code != 0 || !strings.Contains(out, "VeriSign") || !strings.Contains(out, "reached as practice (registry)") || !strings.Contains(out, "Practice Cheap Names Ltd (IANA 9995)") {
			t.Errorf("%d\n%s%s", code, out, errs)
		}
		// A name that WHOIS doesn't show is not thereby free.
		who, err := s.WhomToAsk(t.Context(), impound.MustName("nobody-has-it.net"))
		if err != nil || !strings.Contains(who.Err, "not believed") {
			t.Errorf("%+v %v", who, err)
		}
	})
	t.Run("bootstrap", func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Registries[0].RDAP = ""
		w.cfg.RegistryMap = filepath.Join(w.state, "map.csv")
		must(t, os.WriteFile(w.cfg.RegistryMap, []byte("kind,key,name,channel,contact\nregistry,net,Practice Registry,mail,orders@registry.example\nregistry,co.uk,Nominet,mail,\nnonsense\n"), 0o600))
		w.writeConfig(t)
		code, _, errs := w.cli(t, "registry", "update", "http://"+w.reg.Addrs().RDAP.String()+"/dns.json", "--as", "ada")
		if code != 0 || !strings.Contains(errs, "RDAP servers of 2 suffixes") {
			t.Fatalf("%d %s", code, errs)
		}
		w.refused(t, "names no servers", "registry", "update", "http://"+w.reg.Addrs().RDAP.String()+"/help", "--as", "ada")
		s := w.open(t)
		who, err := s.WhomToAsk(t.Context(), live)
		if err != nil || who.Registrar != "Practice Cheap Names Ltd" || who.IANAID != "9995" || who.Registry == nil || who.Registry.Contact != "orders@registry.example" {
			t.Errorf("%+v %v", who, err)
		}
		code, out, errs := w.cli(t, "registry", "list", "co.uk")
		if code != 0 || !strings.Contains(out, "Nominet") || !strings.Contains(errs, "map.csv:4") {
			t.Errorf("%d %s%s", code, out, errs)
		}
		// A name whose registry no connector reaches: the plan says whom to ask.
		must(t, func() error { s.Close(); return nil }())
		w.cfg.Registries[0].TLDs = []string{"com"}
		w.writeConfig(t)
		s = w.open(t)
		now := time.Now()
		w.file(t, s, terms{id: liveOrder, names: []impound.Name{live}, from: now.Add(-time.Hour), until: now.AddDate(0, 0, 300)})
		p, err := s.Plan(t.Context(), "olaf", liveOrder)
		if err != nil || !strings.Contains(p.String(), "ask the registry, Practice Registry, by mail: orders@registry.example") {
			t.Errorf("%v\n%s", err, p)
		}
	})
}
