package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/doh"
	"github.com/impound/impound/internal/mmdbtest"
	"github.com/impound/impound/internal/peertest"
)

// twistWorld is a name server, three web servers and two mail servers on loopback,
// and a state folder that leads there: see twistZone. sample.org is the original,
// sampl.org nearly its page with a server that takes any mail, smple.org another
// page with one that takes none.
type twistWorld struct {
	t     *testing.T
	state string
	dns   string

	mu     sync.Mutex
	first  map[string]string // what the log said when a server was asked first, by server
	agents map[string]bool   // what web servers were told the visitor is
	mail   map[string][]string
}

// entries gives what the evidence log says of names looked at, "name level asks".
func (w *twistWorld) entries() ([]impound.Entry, error) {
	code, out, errs := call(w.t, w.state, "evidence", "list", "--what", "watch.look", "--json")
	if code != 0 {
		return nil, fmt.Errorf("exit %d: %s", code, errs)
	}
	var es []struct{ Entry impound.Entry }
	if err := json.Unmarshal([]byte(out), &es); err != nil {
		return nil, err
	}
	var list []impound.Entry
	for _, e := range es {
		list = append(list, e.Entry)
	}
	return list, nil
}

// asked is called when a server is asked, before it answers. It keeps what stands
// in the log of the name: level and what is asked.
func (w *twistWorld) asked(server, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.first[server]; ok {
		return
	}
	es, err := w.entries()
	said := []string{}
	if err != nil {
		said = append(said, err.Error())
	}
	for _, e := range es {
		if e.Name.String() == name || slices.Contains(strings.Fields(e.Detail["names"]), name) {
			said = append(said, strings.TrimSpace(e.Detail["level"]+": "+e.Detail["asks"]+" "+e.Detail["mail"]))
		}
	}
	w.first[server] = strings.Join(said, ", ")
}

var twistPage = func() string {
	page := "<html><title>Sign in</title><body>"
	for i := range 400 {
		page += fmt.Sprintf("<p>paragraph %d of our page, which says %x</p>\n", i, i*i*7919)
	}
	return page
}()

func newTwistWorld(t *testing.T) *twistWorld {
	t.Helper()
	w := &twistWorld{t: t, state: t.TempDir(), first: map[string]string{}, agents: map[string]bool{}, mail: map[string][]string{}}
	var err error
	w.dns, err = twistServer(t, "127.0.0.1:0", func(name string) {
		if name != "localhost" {
			w.asked("dns "+name, name)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	routes := ""
	for name, body := range map[string]string{"sample.org": twistPage, "sampl.org": strings.Replace(twistPage, "paragraph 7 ", "paragraph seven, now changed ", 1), "smple.org": strings.Repeat("something else entirely ", 90), "reference.example": twistPage} {
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
			w.asked("web "+name, name)
			w.mu.Lock()
			w.agents[q.UserAgent()] = true
			w.mu.Unlock()
			rw.Header().Set("Server", "Practice/"+name[:4])
			rw.Header().Set("Content-Type", "text/html")
			fmt.Fprint(rw, body)
		}))
		t.Cleanup(srv.Close)
		routes += fmt.Sprintf("  %q: %q\n", name+":80", srv.Listener.Addr())
	}
	for addr, name := range map[string]string{"127.0.0.74": "sampl.org", "127.0.0.75": "smple.org"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go w.serveMail(c, name)
			}
		}()
		routes += fmt.Sprintf("  %q: %q\n", addr+":25", ln.Addr())
	}
	rdap := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		name := filepath.Base(q.URL.Path)
		w.asked("rdap "+name, name)
		fmt.Fprintf(rw, `{"objectClassName":"domain","ldhName":%q,"events":[{"eventAction":"registration","eventDate":"2026-11-01T10:00:00Z"}],
"entities":[{"roles":["registrar"],"vcardArray":["vcard",[["fn",{},"text","Registrar, Inc."]]]}]}`, name)
	}))
	t.Cleanup(rdap.Close)
	write(t, filepath.Join(w.state, "dns.json"), fmt.Appendf(nil, `{"version":"1.0","publication":"2026-11-01T00:00:00Z","services":[[["org"],[%q]]]}`, rdap.URL+"/"))
	write(t, filepath.Join(w.state, "countries.mmdb"), mmdbtest.File("Test-Country", netip.MustParsePrefix("127.0.0.74/32"), map[string]any{
		"country": map[string]any{"iso_code": "NL", "names": map[string]any{"en": "Netherlands, Kingdom of the"}},
	}))
	write(t, filepath.Join(w.state, app.ConfigFile), []byte("capture: {every: \"off\"}\nrdap_bootstrap: dns.json\ncountries_mmdb: countries.mmdb\nroutes:\n"+routes))
	for _, c := range [][]string{
		{"people", "add", "ada", "--role", "admin", "--role", "analyst"},
		{"case", "open", "C-1", "--title", "A case", "--as", "ada"},
	} {
		if code, _, errs := call(t, w.state, c...); code != 0 {
			t.Fatalf("%v: %d %s", c, code, errs)
		}
	}
	return w
}

// serveMail is a mail server: sampl.org's takes mail to anybody.
func (w *twistWorld) serveMail(c net.Conn, name string) {
	defer c.Close()
	w.asked("mail "+name, name)
	fmt.Fprintf(c, "220 mx.%s ESMTP\r\n", name)
	for s := bufio.NewScanner(c); s.Scan(); {
		verb, _, _ := strings.Cut(strings.ToUpper(s.Text()), " ")
		w.mu.Lock()
		w.mail[name] = append(w.mail[name], verb)
		w.mu.Unlock()
		switch {
		case verb == "RCPT" && name != "sampl.org":
			fmt.Fprint(c, "550 5.1.1 no such person\r\n")
		case verb == "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			fmt.Fprint(c, "250 ok\r\n")
		}
	}
}

// twist runs the command on sample.org and its omissions; it gives its rows by name.
func (w *twistWorld) twist(args ...string) map[string]map[string]any {
	w.t.Helper()
	args = append([]string{"twist", "-r", "-f", "json", "--fuzzers", "*original,omission", "--nameservers", w.dns}, args...)
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasSuffix(a, "sample.org") }) {
		args = append(args, "sample.org")
	}
	code, out, errs := call(w.t, w.state, args...)
	if code != 0 {
		w.t.Fatalf("%v: exit %d: %s", args, code, errs)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	rows := map[string]map[string]any{}
	for _, x := range list {
		row := map[string]any{}
		for k, v := range x {
			if !strings.HasPrefix(k, "dns_") && k != "fuzzer" && k != "domain" {
				row[k] = v
			}
		}
		rows[x["domain"].(string)] = row
	}
	return rows
}

// When the first packet comes to a server, the log says already of whom it is asked:
// of the original too, whose page is what the others are compared with.
func TestTwistNotesBeforeItAsks(t *testing.T) {
	t.Parallel()
	w := newTwistWorld(t)
	w.twist("-b", "-m", "-s", "-w")
	w.mu.Lock()
	defer w.mu.Unlock()
	dns := "dns: dns registration"
	want := map[string]string{
		"web sample.org": dns + ", web: text", // its page as what others are compared with comes first
		"web sampl.org":  dns + ", web: banner text mail-banner mail-check 127.0.0.74",
		"web smple.org":  dns + ", web: banner text mail-banner mail-check 127.0.0.75",
	}
	for _, n := range []string{"sampl.org", "smple.org"} {
		want["mail "+n], want["rdap "+n] = want["web "+n], want["web "+n]
	}
	want["rdap sample.org"] = dns + ", web: text, web: banner text"
	for _, n := range []string{"sample.org", "ample.org", "smple.org", "saple.org", "samle.org", "sampe.org", "sampl.org"} {
		want["dns "+n] = dns
	}
	if d := cmp.Diff(want, w.first); d != "" {
		t.Errorf("what the log said at the first packet:\n%s", d)
	}
}

// A page to compare with that is somebody else's is on record as well, and the
// original, which is not asked then, is not.
func TestTwistNotesTheOtherPage(t *testing.T) {
	t.Parallel()
	w := newTwistWorld(t)
	if got := w.twist("-s", "--ssdeep-url", "http://reference.example/login?user=1"); got["sampl.org"]["ssdeep"] == nil {
		t.Errorf("%v", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := w.first["web reference.example"]; got != "web: text" {
		t.Errorf("at its first packet the log said %q", got)
	}
}

// The page of a name that a case keeps to itself is not fetched, and a mail server
// by such a name is not asked: the others are.
func TestTwistKeepsOffTheMarked(t *testing.T) {
	t.Parallel()
	w := newTwistWorld(t)
	names := filepath.Join(t.TempDir(), "names.txt")
	write(t, names, []byte("sample.org\n"))
	for _, c := range [][]string{{"case", "mark", "C-1", "--pap", "amber", "--as", "ada"}, {"case", "add", "C-1", names, "--as", "ada"}} {
		if code, _, errs := call(t, w.state, c...); code != 0 {
			t.Fatalf("%v: %d %s", c, code, errs)
		}
	}
	args := []string{"twist", "-s", "-f", "json", "--fuzzers", "omission", "--nameservers", w.dns, "sample.org"}
	code, _, errs := call(t, w.state, args...)
	if code != ExitRefused || !strings.Contains(errs, "PAP:AMBER forbids to ask sample[.]org") || !strings.Contains(errs, "--ssdeep-url") {
		t.Errorf("exit %d: %s", code, errs)
	}
	w.twist("-s", "--ssdeep-url", "http://reference.example/")
	w.mu.Lock()
	defer w.mu.Unlock()
	for server := range w.first {
		if strings.HasSuffix(server, " sample.org") {
			t.Errorf("%s was asked", server)
		}
	}
	if _, ok := w.first["web sampl.org"]; !ok {
		t.Error("sampl.org was not asked")
	}
}

// -m tells who would get mail that goes astray, and sends none.
func TestTwistMail(t *testing.T) {
	t.Parallel()
	w := newTwistWorld(t)
	want := map[string]map[string]any{"sample.org": {}, "sampl.org": {"mx_spy": true}, "smple.org": {}}
	if d := cmp.Diff(want, w.twist("-m")); d != "" {
		t.Error(d)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range []string{"sampl.org", "smple.org"} {
		// What it says at the end may be lost, as it doesn't wait for the answer.
		if got := strings.Join(w.mail[n], " "); !strings.HasPrefix(got, "EHLO MAIL RCPT") || strings.Contains(got, "DATA") {
			t.Errorf("%s was told %s", n, got)
		}
	}
}

// -b tells what servers call themselves.
func TestTwistBanners(t *testing.T) {
	t.Parallel()
	want := map[string]map[string]any{
		"sample.org": {"banner_http": "Practice/samp"},
		"sampl.org":  {"banner_http": "Practice/samp", "banner_smtp": "mx.sampl.org ESMTP"},
		"smple.org":  {"banner_http": "Practice/smpl", "banner_smtp": "mx.smple.org ESMTP"},
	}
	if d := cmp.Diff(want, newTwistWorld(t).twist("-b")); d != "" {
		t.Error(d)
	}
}

// -p has a browser show the pages, the original's first and on record before, and
// keeps what it saw where it is told to.
func TestTwistPictures(t *testing.T) {
	t.Parallel()
	w := newTwistWorld(t)
	peertest.Need(t, "chromium", "chromium")
	shots := t.TempDir()
	got := w.twist("-p", "--screenshots", shots)
	for n, most := range map[string]float64{"sample.org": 100, "sampl.org": 100, "smple.org": 99} {
		if p, ok := got[n]["phash"].(float64); !ok || p > most || n != "smple.org" && p < 90 {
			t.Errorf("%s: %v", n, got[n])
		}
		b, err := os.ReadFile(filepath.Join(shots, n+".png"))
		if err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) {
			t.Errorf("%s: %v, %d octets", n, err, len(b))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range []string{"sample.org", "sampl.org"} {
		if said := w.first["web "+n]; said != "dns: dns, web: picture" {
			t.Errorf("when %s was asked the log said %q", n, said)
		}
	}
}

// --useragent is what every web server is told, the original's too, and it is on
// record; without it they see a common browser.
func TestTwistUserAgent(t *testing.T) {
	t.Parallel()
	w := newTwistWorld(t)
	args := []string{"-b", "-s"}
	if _, err := exec.LookPath("chromium"); err == nil {
		args = append(args, "-p")
	}
	w.twist(args...)
	w.mu.Lock()
	if d := cmp.Diff(map[string]bool{capture.AgentDesktop: true}, w.agents); d != "" {
		t.Errorf("without: %s", d)
	}
	clear(w.agents)
	w.mu.Unlock()
	const agent = "Example-Research/1.0 (+https://cert.example/about)"
	w.twist(append(args, "--useragent", agent)...)
	w.mu.Lock()
	if d := cmp.Diff(map[string]bool{agent: true}, w.agents); d != "" {
		t.Errorf("with: %s", d)
	}
	w.mu.Unlock()
	es, err := w.entries()
	if err != nil {
		t.Fatal(err)
	}
	as := map[string]int{}
	for _, e := range es {
		if e.Detail["level"] == "web" {
			as[e.Detail["agent"]]++
		}
	}
	if as[agent] == 0 || as[agent] != as[""] {
		t.Errorf("entries by what servers are told: %v", as)
	}
}

// Resolvers over HTTPS are asked for the names, and for what is looked at then.
func TestTwistOverHTTPS(t *testing.T) {
	t.Parallel()
	w := newTwistWorld(t)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		b, err := io.ReadAll(q.Body)
		m := new(dns.Msg)
		if err == nil {
			err = m.Unpack(b)
		}
		if err == nil {
			m, err = dns.Exchange(m, w.dns)
		}
		if err == nil {
			b, err = m.Pack()
		}
		if err != nil || q.URL.Path != "/dns-query" {
			http.Error(rw, fmt.Sprint(err), http.StatusBadRequest)
			return
		}
		rw.Header().Set("Content-Type", doh.Media)
		rw.Write(b)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	write(t, roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	run := func(args ...string) (string, string, error) {
		c := exec.CommandContext(t.Context(), os.Args[0], append([]string{"--state", w.state, "twist"}, args...)...)
		c.Env = append(os.Environ(), "IMPOUND_TEST_CLI=1", "SSL_CERT_FILE="+roots)
		var out, errs strings.Builder
		c.Stdout, c.Stderr = &out, &errs
		err := c.Run()
		return out.String(), errs.String(), err
	}
	args := []string{"-r", "-s", "-f", "csv", "--fuzzers", "omission", "--nameservers", srv.URL + "/dns-query", "sample.org"}
	got, errs, err := run(args...)
	if err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	for _, s := range []string{"omission,smple.org,127.0.0.75,127.0.0.75,ns1.host.example,0\n", "omission,sampl.org,127.0.0.74,127.0.0.74,ns1.host.example,"} {
		if !strings.Contains(got, s) {
			t.Errorf("%q lacks %q", got, s)
		}
	}
	// One whose certificate nobody vouches for is not believed.
	roots = "/dev/null"
	if _, errs, err := run(args...); err == nil || !strings.Contains(errs, "no name server answers") || !strings.Contains(errs, "certificate") {
		t.Errorf("%v: %s", err, errs)
	}
	// Through a proxy the resolver's own name would be asked for beside it.
	write(t, filepath.Join(w.state, app.ConfigFile), []byte("capture: {proxy: \"socks5://127.0.0.1:9\", resolvers: [192.0.2.53]}\n"))
	if _, errs, err := run("-r", "--nameservers", "https://dns.example/dns-query", "sample.org"); err == nil || !strings.Contains(errs, "can't be asked for through capture.proxy") {
		t.Errorf("%v: %s", err, errs)
	}
}

// -s compares the pages' texts; the original is not compared with itself.
func TestTwistText(t *testing.T) {
	t.Parallel()
	got := newTwistWorld(t).twist("-s")
	near, _ := got["sampl.org"]["ssdeep"].(float64)
	if near < 50 || near > 99 || got["smple.org"]["ssdeep"] != 0.0 || len(got["sample.org"]) > 0 {
		t.Errorf("%v", got)
	}
}

// -g tells the country from a file, and asks no server.
func TestTwistCountry(t *testing.T) {
	t.Parallel()
	w := newTwistWorld(t)
	want := map[string]map[string]any{"sample.org": {}, "sampl.org": {"geoip": "Netherlands"}, "smple.org": {}}
	if d := cmp.Diff(want, w.twist("-g")); d != "" {
		t.Error(d)
	}
	if code, out, errs := call(t, w.state, "twist", "-r", "-g", "--fuzzers", "omission", "--nameservers", w.dns, "sample.org"); code != 0 || !strings.Contains(out, "127.0.0.74/Netherlands NS:") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for server := range w.first {
		if !strings.HasPrefix(server, "dns ") {
			t.Errorf("%s was asked", server)
		}
	}
	if err := os.WriteFile(filepath.Join(w.state, "countries.mmdb"), []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := call(t, w.state, "twist", "-g", "--fuzzers", "omission", "--nameservers", w.dns, "sample.org")
	if code != ExitUsage || !strings.Contains(errs, "countries.mmdb") || !strings.Contains(errs, "MaxMind-format") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
