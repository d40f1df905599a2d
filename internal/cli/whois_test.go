package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/testregistry"
)

// Where RDAP gives nothing, WHOIS is asked, from IANA's server to the
// registrar's, and what a registrant wrote into it stays text.
func TestCaptureFallsBackToWHOIS(t *testing.T) {
	for name, c := range map[string]struct {
		thin bool
		f    testregistry.Faults
		want string // in the list of what was kept
	}{
		"thick":    {false, testregistry.Faults{WHOISInject: true}, "asked 2 servers"},
		"thin":     {true, testregistry.Faults{WHOISInject: true}, "asked 3 servers"},
		"bad days": {true, testregistry.Faults{WHOISFail: 1, WHOISInject: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			off := testregistry.Off
			reg, err := testregistry.Start(t.Context(), testregistry.Config{Dir: t.TempDir(), EPP: off, RDAP: off, ActorHTTP: off, TLDs: []string{"example"}, ThinWHOIS: c.thin, Faults: c.f,
				Clients: map[string]testregistry.Client{"registrar-a": {Password: "registrar-pw"}}, Registrars: map[string]testregistry.Registrar{"registrar-a": {Name: "Practice Names", IANAID: 9995, AbuseEmail: "abuse@practice.example"}}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { reg.Close() })
			if err := reg.Register(testregistry.Domain{Name: impound.MustName("outlook-verify.example"), Registrar: "registrar-a", NS: []impound.Name{impound.MustName("ns1.outlook-verify.example")}}); err != nil {
				t.Fatal(err)
			}
			a := reg.Addrs()
			state := t.TempDir()
			write(t, filepath.Join(state, app.ConfigFile), fmt.Appendf(nil, "resolvers: [%q]\nroutes: {%q: %q, %q: %q, %q: %q}\ncapture: {every: \"off\", timeout: 3s}\n",
				a.Resolver, testregistry.WHOISRoot+":43", a.WHOIS, testregistry.WHOISRegistry+":43", a.WHOIS, testregistry.WHOISRegistrar+":43", a.RegistrarWHOIS))
			names := filepath.Join(state, "names.txt")
			write(t, names, []byte("outlook-verify.example\n"))
			for _, args := range [][]string{{"people", "add", "ada", "--role", "admin", "--role", "analyst"}, {"case", "open", "C", "--title", "t", "--as", "ada"}, {"case", "add", "C", names, "--as", "ada"}} {
				if code, _, errs := call(t, state, args...); code != 0 {
					t.Fatal(errs)
				}
			}
			_, out, errs := call(t, state, "evidence", "capture", "outlook-verify.example", "--case", "C", "--no-screenshot", "--as", "ada")
			line := ""
			for l := range strings.Lines(out) {
				if strings.Contains(l, "\twhois\t") {
					line = l
				}
			}
			if line == "" || !strings.Contains(line, c.want) || c.want != "" && !strings.Contains(line, "registrar Practice Names, since 20") {
				t.Fatalf("%q\n%s%s", line, out, errs)
			}
			shown := out + errs
			for _, args := range [][]string{{"case", "show", "C", "--json"}, {"evidence", "list", "--case", "C"}, {"evidence", "list", "--case", "C", "--json"}} {
				_, o, e := call(t, state, append(args, "--as", "ada")...)
				shown += o + e
			}
			if strings.ContainsAny(shown, "\x1b\x07\u202e\u200b") || strings.Contains(shown, `\u202e`) || strings.Contains(shown, "<script>") {
				t.Errorf("what a registrant wrote drives the terminal:\n%q", shown)
			}
			if r, err := evidence.Verify(filepath.Join(state, "evidence")); err != nil || !r.OK() {
				t.Errorf("%v %+v", err, r.Problems)
			}
			if c.want == "" {
				return
			}
			// As it came, for whoever must prove it; and inert beside it.
			raw, inert := false, false
			err = filepath.WalkDir(filepath.Join(state, "evidence", "artefacts"), func(p string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := os.ReadFile(p)
				raw = raw || strings.HasPrefix(string(b), "Domain Name: ") && strings.Contains(string(b), testregistry.WHOISHostile)
				inert = inert || strings.HasPrefix(string(b), "{") && strings.Contains(string(b), `alert(1)`)
				if strings.HasPrefix(string(b), "{") && strings.ContainsAny(string(b), "\x1b\u202e<") {
					t.Errorf("%s is not inert", p)
				}
				return err
			})
			if err != nil || !raw || !inert {
				t.Errorf("kept as it came: %v, inert: %v, %v", raw, inert, err)
			}
		})
	}
}
