package laws

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/testregistry"
)

// From a new name in a list to what links it: watch finds it, looks at it from
// outside (RDAP, the parent zone, a resolver, nginx over TLS), ranks it anew by
// what it shares with a case's name, and an analyst walks the links. What only a
// sealed case knows moves no rank and is shown to its parties alone.
func TestWhatLinksACandidate(t *testing.T) {
	nginx := peertest.Need(t, "nginx", "nginx-light")
	w := newWorld(t)
	at := netip.MustParseAddr("127.53.0.67") // of the sealed case's name and one candidate
	created := time.Now().UTC().AddDate(0, 0, -2).Truncate(time.Minute).Add(7 * time.Second)
	ns := func(s string) []impound.Name {
		return []impound.Name{impound.MustName("ns1." + s), impound.MustName("ns2." + s)}
	}
	must(t, w.reg.Register(
		testregistry.Domain{Name: impound.MustName("outlook-signin.net"), Registrar: "CHEAP-NAMES", Created: created, Expiry: created.AddDate(1, 0, 0), NS: ns("bulk-host.example")},
		testregistry.Domain{Name: impound.MustName("outlook-login-secure.net"), Registrar: "CHEAP-NAMES", Created: created.Add(time.Hour), Expiry: created.AddDate(1, 0, 0), NS: ns("quiet-host.example"), A: at},
		testregistry.Domain{Name: impound.MustName("quiet-base.net"), Registrar: "CHEAP-NAMES", Created: created.Add(-time.Hour), Expiry: created.AddDate(1, 0, 0), NS: ns("quiet-host.example"), A: at},
	))
	front := serveTLS(t, nginx, w.reg.Addrs().ActorHTTP.String())
	w.cfg.Routes["127.53.0.66:443"] = front
	w.cfg.Networks = w.text(t, "prefix,asn,name,country,abuse,sector,kind\n127.53.0.64/26,64500,Practice Hosting,NL,abuse@hosting.example,hosting,hosting\n")
	w.cfg.Watch = app.WatchConfig{
		Sources: []app.WatchSource{{Name: "nrd", List: w.text(t, "outlook-signin.net\noutlook-login-secure.net\nbakery-around-the-corner.net\n")}},
		Enrich:  app.EnrichConfig{Level: "web", RegistryEvery: "1ms", HostEvery: "1ms"},
	}
	w.cfg.Capture.Every = "off"
	w.writeConfig(t)
	args := []string{"people", "add", "eve", "--as", "ada"}
	for _, r := range impound.Roles {
		args = append(args, "--role", string(r))
	}
	w.did(t, args...)
	w.did(t, "account", "add", "ada", "--as", "ada")
	w.did(t, "case", "open", quietCase, "--title", "Quiet work", "--actor", "APT35", "--as", "ada")
	w.did(t, "case", "seal", quietCase, "--why", "quiet court", "--party", "ada", "--as", "ada")
	w.did(t, "case", "add", quietCase, w.text(t, "quiet-base.net\n"), "--as", "ada")
	w.did(t, "evidence", "capture", "quiet-base.net", "--light", "--case", quietCase, "--as", "ada")
	w.did(t, "evidence", "capture", live.String(), spare.String(), lapsed.String(), "--light", "--case", caseID, "--as", "ada")

	w.did(t, "watch", "run", "--once", "--as", "ada")
	cand := func(n string) impound.Candidate {
		t.Helper()
		s := w.open(t)
		defer s.Close()
		c, err := s.Casework.Candidate(t.Context(), impound.MustName(n))
		must(t, err)
		return c
	}
	c := cand("outlook-signin.net")
	said := fmt.Sprint(c.Reasons)
	for _, want := range []string{"seen-link", "127.53.0.66", caseID, "APT35", "seen-age", "seen-gated", "seen-page", "seen-actor"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q among its reasons: %s", want, said)
		}
	}
	if c.Observed.IsZero() || c.Score <= c.NameScore {
		t.Errorf("its score is %g, by the name %g", c.Score, c.NameScore)
	}
	if h := cand("outlook-login-secure.net"); h.Observed.IsZero() || strings.Contains(fmt.Sprint(h.Reasons), "quiet-base") || strings.Contains(fmt.Sprint(h.Reasons), quietCase) {
		t.Errorf("a rank tells of a sealed case: %+v", h)
	}

	type sub struct {
		Nodes []struct{ ID, Kind, Case, Hub string }
		Edges []struct{ Name, To string }
	}
	walk := func(as string, args ...string) (s sub) {
		t.Helper()
		must(t, json.Unmarshal([]byte(w.did(t, append([]string{"watch", "graph", "--json", "--as", as}, args...)...)), &s))
		return s
	}
	has := func(s sub, id, caseID string) bool {
		return slices.ContainsFunc(s.Nodes, func(n struct{ ID, Kind, Case, Hub string }) bool { return n.ID == id && n.Case == caseID })
	}
	g := walk("eve", "outlook-signin.net")
	if !has(g, "name:"+live.String(), caseID) || !has(g, "address:127.53.0.66", "") || !slices.ContainsFunc(g.Nodes, func(n struct{ ID, Kind, Case, Hub string }) bool { return n.Kind == "certificate" }) {
		t.Errorf("the walk: %+v", g)
	}
	if g = walk("ada", "outlook-login-secure.net"); !has(g, "name:quiet-base.net", quietCase) {
		t.Errorf("a party doesn't see what links it: %+v", g)
	}
	for _, start := range []string{"outlook-login-secure.net", "address:127.53.0.67", "ns:ns1.quiet-host.example"} {
		if g := walk("eve", start); strings.Contains(fmt.Sprint(g), "quiet-base") || strings.Contains(fmt.Sprint(g), quietCase) {
			t.Errorf("eve walks from %s to a sealed case: %+v", start, g)
		}
	}
	for _, format := range []string{"text", "dot", "graphml", "csv"} {
		for _, as := range []string{"eve", "ada"} {
			out := w.did(t, "watch", "graph", "outlook-login-secure.net", "--steps", "3", "--hubs", "--format", format, "--as", as)
			if strings.Contains(out, "quiet-base[.]net") != (as == "ada") {
				t.Errorf("%s to %s:\n%s", format, as, out)
			}
			if strings.Contains(out, "outlook-login-secure.net") {
				t.Errorf("%s is not defanged:\n%s", format, out)
			}
		}
	}
	code, _, errs := w.cli(t, "watch", "graph", "quiet-base.net", "--as", "eve")
	_, _, ghost := w.cli(t, "watch", "graph", "ghost-base.net", "--as", "eve")
	if code == 0 || strings.ReplaceAll(errs, "quiet-base", "ghost-base") != ghost {
		t.Errorf("a sealed name is answered otherwise than one that isn't there:\n%s\n%s", errs, ghost)
	}
	// That servers were asked is on record, each name by itself.
	if log := w.did(t, "evidence", "list", "--name", "outlook-signin.net", "--as", "ada"); !strings.Contains(log, "watch.look") {
		t.Errorf("nothing tells that its servers were asked:\n%s", log)
	}
	s := w.open(t)
	defer s.Close()
	h, err := s.ActorHabits(t.Context(), "APT35")
	must(t, err)
	if h.Names() != 3 { // the sealed case's name teaches those alone who may see it
		t.Errorf("habits of %d names", h.Names())
	}
}

// serveTLS has nginx answer over TLS for the practice actor's web host.
func serveTLS(t *testing.T, nginx, behind string) string {
	t.Helper()
	dir := t.TempDir()
	openssl := peertest.Need(t, "openssl", "openssl")
	if out, err := exec.Command(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=outlook-signin.net", "-addext", "subjectAltName=DNS:outlook-signin.net,DNS:"+live.String(),
		"-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := freePort(t)
	conf := filepath.Join(dir, "nginx.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 64; }
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]d ssl; ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem; location / { proxy_pass http://%[3]s; proxy_set_header Host $host; proxy_set_header User-Agent $http_user_agent; } }
}`, dir, port, behind), 0o600))
	cmd := exec.Command(nginx, "-p", dir, "-c", conf)
	var log strings.Builder
	cmd.Stderr = &log
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	at := fmt.Sprintf("127.0.0.1:%d", port)
	waitFor(t, at, &log)
	return at
}

func freePort(t *testing.T) int { return peertest.Port(t) }

func waitFor(t *testing.T, at string, log fmt.Stringer) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nothing listens at %s: %v\n%s", at, err, log)
		}
	}
}
