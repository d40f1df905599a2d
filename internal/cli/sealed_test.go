package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
)

// desk is a state folder with two cases: one that eve is an analyst of, and one
// that is sealed for ada and carla. Every word of the sealed one has "quiet" in
// it, or is its name.
type sealedDesk struct {
	t   *testing.T
	dir string
}

func (d sealedDesk) run(args ...string) (out, errs string, code int) {
	d.t.Helper()
	var o, e bytes.Buffer
	code = Main(context.Background(), append([]string{"--state", d.dir}, args...), Stdio{In: strings.NewReader(""), Out: &o, Err: &e, Getenv: func(string) string { return "" }})
	return o.String(), e.String(), code
}

func (d sealedDesk) must(args ...string) string {
	d.t.Helper()
	out, errs, code := d.run(args...)
	if code != 0 {
		d.t.Fatalf("impound %v: exit %d\n%s%s", args, code, out, errs)
	}
	return strings.TrimSpace(out)
}

const quietName, openName = "quiet-verify.net", "open-verify.net"

func newSealedDesk(t *testing.T) (d sealedDesk, password, token string) {
	d = sealedDesk{t, t.TempDir()}
	if err := os.WriteFile(filepath.Join(d.dir, app.ConfigFile), []byte("web: 127.0.0.1:0\nreport: {organisation: Unit, from: desk@unit.example, phone: \"+1 555 0100\", domain: unit.example}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.must("people", "add", "ada", "--role", "admin", "--role", "analyst")
	d.must("people", "add", "carla", "--role", "counsel", "--as", "ada")
	roles := []string{"people", "add", "eve", "--as", "ada"}
	for _, r := range impound.Roles { // she may do everything, but is no party
		roles = append(roles, "--role", string(r))
	}
	d.must(roles...)
	d.must("account", "add", "ada", "--as", "ada")
	password = d.must("account", "add", "eve", "--as", "ada")
	token = d.must("token", "add", "--scope", "cases", "--scope", "contacts", "--scope", "candidates", "--scope", "log", "--as", "eve")
	d.must("case", "open", "OPEN", "--title", "Open", "--as", "eve")
	d.must("case", "open", "QUIET", "--title", "The quiet one", "--as", "ada")
	for c, n := range map[string]string{"OPEN": openName, "QUIET": quietName} {
		f := filepath.Join(t.TempDir(), "names")
		if err := os.WriteFile(f, []byte(n+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		by := map[string]string{"OPEN": "eve", "QUIET": "ada"}[c]
		d.must("case", "add", c, f, "--as", by)
		d.must("evidence", "add", f, "--case", c, "--name", n, "--as", by)
		d.must("case", "task", "add", c, c+" task", "--as", by)
		d.must("case", "party", "add", c, c+" Institute", "--kind", "victim", "--as", by)
	}
	d.must("case", "seal", "QUIET", "--party", "ada", "--party", "carla", "--why", "quiet court", "--as", "ada")
	return d, password, token
}

// same makes what was answered of the sealed case what is answered of a missing
// one, where nothing but the asker's own words differ.
var stamps = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?Z?)?|\d+ (seconds?|minutes?) ago|as of [^<]*`)

func plainly(s string) string {
	for _, w := range []string{"QUIET", quietName, strings.ReplaceAll(quietName, ".", "[.]")} {
		miss := map[string]string{"QUIET": "GHOST"}[w]
		if miss == "" {
			miss = strings.Replace(w, "quiet", "ghost", 1)
		}
		s = strings.ReplaceAll(s, w, miss)
	}
	return stamps.ReplaceAllString(s, "T")
}

// Eve, who holds every role and is no party, tries to see a sealed case. Each way
// is tried on the sealed one and on one that isn't there: the answers must be the
// same, and none may hold a word of the sealed one.
func TestWaysToSeeASealedCase(t *testing.T) {
	d, password, token := newSealedDesk(t)
	tries := 0
	leak := func(way, got string) {
		t.Helper()
		tries++
		if low := strings.ToLower(got); strings.Contains(low, "quiet") {
			t.Errorf("%s shows %q", way, excerpt(low, "quiet"))
		}
	}
	// alike compares what was answered of both, in which the asker's own words
	// come back.
	alike := func(way, sealed, missing string) {
		t.Helper()
		tries++
		if plainly(sealed) != plainly(missing) {
			t.Errorf("%s tells a sealed case from a missing one:\nsealed:  %.600s\nmissing: %.600s", way, plainly(sealed), plainly(missing))
		}
	}
	quietFile := filepath.Join(t.TempDir(), "n")
	if err := os.WriteFile(quietFile, []byte("x-verify.net\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hash := ""
	var es []struct{ Entry impound.Entry }
	if err := json.Unmarshal([]byte(d.must("evidence", "list", "--case", "QUIET", "--json", "--as", "ada")), &es); err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if e.Entry.Artefact != nil {
			hash = e.Entry.Artefact.Hash
		}
	}
	if len(es) < 4 || hash == "" {
		t.Fatalf("ada, a party, sees %d entries and the artefact %q", len(es), hash)
	}
	if got := d.must("case", "list", "--as", "ada"); !strings.Contains(got, "QUIET") {
		t.Fatalf("ada, a party, does not see it: %s", got)
	}

	// The command line: lists, as eve and as whoever sits there.
	for _, who := range [][]string{{"--as", "eve"}, nil} {
		for _, cmd := range [][]string{
			{"case", "list"}, {"case", "list", "--json"}, {"order", "list"}, {"seize", "list"}, {"evidence", "list"}, {"evidence", "list", "--json"}, {"evidence", "list", "--what", "case."},
			{"evidence", "list", "--name", quietName}, {"contacts", "list", "--json"}, {"contacts", "count"}, {"contacts", "victims"}, {"notify", "list"}, {"watch", "list"}, {"share", "export", "--format", "json", "--clearance", "red"},
			{"share", "export", "--format", "stix", "--clearance", "red"}, {"share", "export", "--format", "rpz", "--clearance", "red"}, {"share", "export", "--format", "csv", "--clearance", "red"}, {"share", "export", "--format", "list", "--clearance", "red"},
		} {
			out, errs, _ := d.run(append(append([]string{}, cmd...), who...)...)
			leak(fmt.Sprint("impound ", cmd, who), out+errs)
		}
		// Questions about it.
		for _, cmd := range [][]string{
			{"case", "show", "QUIET"}, {"case", "show", "QUIET", "--json"}, {"case", "task", "list", "QUIET"}, {"case", "party", "list", "QUIET"}, {"order", "draft", "QUIET"},
			{"evidence", "export", "QUIET", "--out", filepath.Join(t.TempDir(), "x.zip")}, {"evidence", "list", "--case", "QUIET"}, {"evidence", "list", "--case", "QUIET", "--json"}, {"contacts", "list", "--case", "QUIET"}, {"contacts", "count", "--case", "QUIET"}, {"notify", "list", "QUIET"},
			{"case", "decisions", quietName},
		} {
			miss := make([]string, len(cmd))
			for i, a := range cmd {
				miss[i] = plainly(a)
			}
			o1, e1, c1 := d.run(append(append([]string{}, cmd...), who...)...)
			o2, e2, c2 := d.run(append(miss, who...)...)
			alike(fmt.Sprint("impound ", cmd, who), fmt.Sprint(c1, o1, e1), fmt.Sprint(c2, o2, e2))
		}
	}
	// Changing it, as eve.
	for _, cmd := range [][]string{
		{"case", "add", "QUIET", quietFile}, {"case", "task", "add", "QUIET", "x"}, {"case", "task", "done", "QUIET", "T1"}, {"case", "party", "add", "QUIET", "x", "--kind", "victim"}, {"case", "mark", "QUIET", "--tlp", "clear"},
		{"case", "edit", "QUIET", "--title", "x"}, {"case", "seal", "QUIET", "--party", "eve", "--why", "x"}, {"case", "unseal", "QUIET", "--why", "x"}, {"evidence", "add", quietFile, "--case", "QUIET"}, {"notify", "prepare", "QUIET"},
		{"case", "mark", "QUIET", quietName, "--tlp", "clear"}, {"evidence", "capture", quietName, "--case", "QUIET"},
	} {
		miss := make([]string, len(cmd))
		for i, a := range cmd {
			miss[i] = plainly(a)
		}
		o1, e1, c1 := d.run(append(append([]string{}, cmd...), "--as", "eve")...)
		o2, e2, c2 := d.run(append(miss, "--as", "eve")...)
		if c1 == 0 {
			t.Errorf("eve may: impound %v", cmd)
		}
		alike(fmt.Sprint("impound ", cmd), fmt.Sprint(c1, o1, e1), fmt.Sprint(c2, o2, e2))
	}
	// An artefact by its hash.
	ghost := "sha256:" + strings.Repeat("0", 64)
	_, e1, c1 := d.run("evidence", "show", hash, "--as", "eve")
	_, e2, c2 := d.run("evidence", "show", ghost, "--as", "eve")
	alike("evidence show", fmt.Sprint(c1, strings.ReplaceAll(e1, hash, ghost)), fmt.Sprint(c2, e2))

	// The pages and the API.
	cfg, err := app.LoadConfig(d.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.Open(t.Context(), app.Options{State: d.dir, Config: cfg, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	base := "http://" + s.Addrs()["web"][0]
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	get := func(path, bearer string) string {
		t.Helper()
		q, err := http.NewRequest("GET", base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if bearer != "" {
			q.Header.Set("Authorization", "Bearer "+bearer)
		}
		p, err := c.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Body.Close()
		b, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		return p.Status + " " + p.Request.URL.Path + "\n" + string(b)
	}
	if got := get("/cases", ""); !strings.Contains(got, "/login") || strings.Contains(got, "OPEN") {
		t.Errorf("without a login: %.300s", got)
	}
	if got := get("/api/v1/cases", "impound_wrong"); !strings.HasPrefix(got, "401") {
		t.Errorf("with a wrong token: %.300s", got)
	}
	login(t, c, base, "eve", password)
	pages := []string{"/", "/?live=1", "/cases", "/contacts", "/orders", "/candidates", "/log", "/about", "/?format=json&table=cases", "/cases?format=csv", "/log?format=csv", "/log?format=json", "/contacts?format=csv", "/?format=svg&plot=over-time", "/log?type=decision"}
	for _, p := range pages {
		got := get(p, "")
		if !strings.HasPrefix(got, "200") {
			t.Errorf("%s: %.200s", p, got)
		}
		leak("GET "+p, got)
	}
	if got := get("/log", ""); !strings.Contains(got, "OPEN") {
		t.Error("eve does not see her own case in the log")
	}
	for _, p := range []string{"/cases/QUIET", "/cases/QUIET?live=1", "/cases/QUIET?format=json", "/cases/QUIET/names", "/cases/QUIET/names/" + quietName, "/contacts?case=QUIET", "/log?case=QUIET", "/log?case=QUIET&format=json", "/log?name=" + quietName, "/contacts?zone=" + quietName, "/cases/QUIET?format=svg&plot=over-time", "/orders/QUIET", "/plans/QUIET"} {
		alike("GET "+p, get(p, ""), get(plainly(p), ""))
	}
	for _, p := range []string{"/api/v1/cases", "/api/v1/orders", "/api/v1/contacts", "/api/v1/series", "/api/v1/victims", "/api/v1/candidates", "/api/v1/log"} {
		got := get(p, token)
		if !strings.HasPrefix(got, "200") {
			t.Errorf("%s: %.200s", p, got)
		}
		leak("GET "+p+" with a token", got)
	}
	for _, p := range []string{"/api/v1/cases/QUIET", "/api/v1/orders?case=QUIET", "/api/v1/contacts?case=QUIET", "/api/v1/series?case=QUIET", "/api/v1/victims?case=QUIET", "/api/v1/log?case=QUIET", "/api/v1/log?name=" + quietName} {
		alike("GET "+p+" with a token", get(p, token), get(plainly(p), token))
	}
	// What counts over everything: numbers of the log, its length.
	var log struct {
		Checkpoint string
		Total      int
		Log        []struct{ Index int64 }
	}
	if _, body, _ := strings.Cut(get("/api/v1/log", token), "\n"); json.Unmarshal([]byte(body), &log) != nil || log.Checkpoint != "" || len(log.Log) == 0 {
		t.Errorf("the log tells its length: %+v", log)
	}
	for _, e := range log.Log {
		if e.Index < 0 || e.Index >= int64(log.Total) {
			t.Errorf("line %d of %d: a number of the whole log", e.Index, log.Total)
		}
	}
	tries += 2
	if tries < 90 {
		t.Errorf("only %d ways were tried", tries)
	}
	t.Logf("%d ways tried", tries)

	// The same cookie, after the account is disabled: out at once.
	d.must("account", "disable", "eve", "--as", "ada")
	if got := get("/cases", ""); !strings.Contains(got, "/login") {
		t.Errorf("after the account was disabled: %.200s", got)
	}
	// No password, no token, no cookie in any file of the state folder.
	u, _ := url.Parse(base)
	secrets := []string{password, token}
	for _, k := range jar.Cookies(u) {
		secrets = append(secrets, k.Value)
	}
	err = filepath.Walk(d.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, x := range secrets {
			if bytes.Contains(b, []byte(x)) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func excerpt(s, word string) string {
	i := strings.Index(s, word)
	return s[max(0, i-80):min(len(s), i+80)]
}

var formToken = regexp.MustCompile(`name="form" value="([^"]+)"`)

func login(t *testing.T, c *http.Client, base, name, password string) {
	t.Helper()
	p, err := c.Get(base + "/login")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(p.Body)
	p.Body.Close()
	m := formToken.FindSubmatch(b)
	if m == nil {
		t.Fatalf("the login page has no form: %.300s", b)
	}
	p, err = c.PostForm(base+"/login", url.Values{"form": {string(m[1])}, "name": {name}, "password": {password}, "next": {"/cases"}})
	if err != nil {
		t.Fatal(err)
	}
	p.Body.Close()
	if p.StatusCode != 200 || p.Request.URL.Path != "/cases" {
		t.Fatalf("the login of %s ended at %s with %s", name, p.Request.URL.Path, p.Status)
	}
}
