package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/evidence"
)

// call runs one command line in this process.
func call(t *testing.T, state string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(t.Context(), append([]string{"--state", state}, args...), Stdio{In: strings.NewReader(""), Out: &o, Err: &e, Getenv: func(string) string { return "" }})
	return code, o.String(), e.String()
}

// desk is a state folder with ada, a case, and an actor's server that shows bots
// another page.
func captureDesk(t *testing.T) (state string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.Contains(q.UserAgent(), "Googlebot") {
			http.NotFound(w, q)
			return
		}
		fmt.Fprint(w, "<title>Sign in\x1b[31m</title><form><input type=password></form>")
	}))
	t.Cleanup(srv.Close)
	state = t.TempDir()
	cfg := fmt.Sprintf("routes:\n  \"outlook-verify.example:80\": \"%s\"\ncapture:\n  every: \"off\"\n  timeout: 3s\n  browser: /nowhere/chromium\n", srv.Listener.Addr())
	write(t, filepath.Join(state, app.ConfigFile), []byte(cfg))
	for _, c := range [][]string{
		{"people", "add", "ada", "--role", "admin", "--role", "analyst"},
		{"people", "add", "ben", "--role", "approver", "--as", "ada"},
		{"case", "open", "C-1", "--title", "A case", "--as", "ada"},
	} {
		if code, _, errs := call(t, state, c...); code != 0 {
			t.Fatalf("%v: %d %s", c, code, errs)
		}
	}
	names := filepath.Join(t.TempDir(), "names.txt")
	write(t, names, []byte("outlook-verify.example\n"))
	if code, _, errs := call(t, state, "case", "add", "C-1", names, "--as", "ada"); code != 0 {
		t.Fatal(errs)
	}
	return state
}

func TestEvidenceCapture(t *testing.T) {
	state := captureDesk(t)
	code, out, errs := call(t, state, "evidence", "capture", "outlook-verify[.]example", "--case", "C-1", "--as", "ada")
	if code != ExitPartial || !strings.Contains(errs, "no screenshot: the configured browser /nowhere/chromium is not there") {
		t.Fatalf("without its browser: exit %d: %s", code, errs)
	}
	if !strings.Contains(errs, "gating: gated: by user-agent: bot is answered 404, not 200") {
		t.Errorf("the verdict: %s", errs)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("the page drives the terminal")
	}
	for _, kind := range []string{"dns-parent", "dns-child", "dns-resolver", "rdap", "whois", "tls", "http-looks", "warc", "screenshot", "gating", "capture"} {
		if !strings.Contains(out, "\t"+kind+"\t") {
			t.Errorf("no %s in:\n%s", kind, out)
		}
	}
	_, notes, _ := call(t, state, "evidence", "list", "--what", "observe.gating", "--as", "ada")
	if !strings.Contains(notes, "gated: by user-agent") {
		t.Errorf("the log does not note it: %q", notes)
	}
	code, out, errs = call(t, state, "evidence", "capture", "outlook-verify[.]example", "--no-screenshot", "--json", "--as", "ada")
	var fs []app.FullCapture
	if err := json.Unmarshal([]byte(out), &fs); code != ExitOK || err != nil || len(fs) != 1 || fs[0].Gating != "gated" || fs[0].Manifest == "" {
		t.Fatalf("as JSON: exit %d, %v, %s: %s", code, err, errs, out)
	}
	if r, err := evidence.Verify(filepath.Join(state, "evidence")); err != nil || !r.OK() {
		t.Errorf("the log does not verify: %v %+v", err, r.Problems)
	}
	code, out, errs = call(t, state, "evidence", "capture", "outlook-verify[.]example", "--case", "C-1", "--light", "--as", "ada")
	if code != ExitOK || strings.Count(out, "\n") < 5 || strings.Contains(out, "\twarc\t") {
		t.Errorf("light: exit %d: %s%s", code, out, errs)
	}
}

func TestEvidenceCaptureRefuses(t *testing.T) {
	state := captureDesk(t)
	size := func() int64 {
		st, err := os.Stat(filepath.Join(state, "evidence", "entries.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	before := size()
	for _, c := range []struct {
		code int
		say  string
		args []string
	}{
		{ExitUsage, "no names", []string{"--as", "ada"}},
		{ExitAuth, "who are you", []string{"outlook-verify.example"}},
		{ExitAuth, "takes the role", []string{"outlook-verify.example", "--as", "ben"}},
		{ExitUsage, "not at outlook-verify[.]example", []string{"outlook-verify.example", "--url", "https://other.example/", "--as", "ada"}},
		{ExitUsage, "name their victims", []string{"outlook-verify.example", "--url", "http://outlook-verify.example/?e=ann", "--as", "ada"}},
		{ExitUsage, "belongs to one name", []string{"a.example", "b.example", "--url", "http://a.example/", "--as", "ada"}},
		{ExitUsage, "--light", []string{"outlook-verify.example", "--light", "--no-screenshot", "--as", "ada"}},
		{ExitFailure, "C-9", []string{"outlook-verify.example", "--case", "C-9", "--as", "ada"}},
		{ExitFailure, "other[.]example", []string{"other.example", "--case", "C-1", "--as", "ada"}},
	} {
		code, _, errs := call(t, state, append([]string{"evidence", "capture"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.say) {
			t.Errorf("%v: exit %d, want %d: %s", c.args, code, c.code, errs)
		}
	}
	if size() != before {
		t.Error("a refused capture left something in the log")
	}
	if code, _, errs := call(t, state, "capture-jail"); code != ExitUsage || !strings.Contains(errs, "for impound evidence capture alone") {
		t.Errorf("the jail's command by hand: exit %d: %s", code, errs)
	}
	write(t, filepath.Join(state, app.ConfigFile), []byte("capture:\n  proxy: socks5://u:secret@127.0.0.1:9050\n  second_proxy: ftp://x\n  max_mb: 100\n  every: soon\n  timeout: x\n"))
	code, _, errs := call(t, state, "config", "check")
	for _, want := range []string{"capture.proxy: it holds a name or password", "capture.second_proxy", "capture.max_mb", "capture.every", "capture.timeout"} {
		if code != ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("exit %d, no %q in: %s", code, want, errs)
		}
	}
	if strings.Contains(errs, "secret") {
		t.Error("the proxy's password is shown")
	}
}
