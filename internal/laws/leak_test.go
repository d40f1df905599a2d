package laws

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/share"
	"github.com/impound/impound/internal/web"
)

// lockedBuffer takes what several goroutines log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Names of sealed cases, personal data, and names that may not leave the house
// (TLP:RED, PAP:RED, without their originator's consent) are planted in every
// room. Then all that goes out is read for them: exports in every format for every
// clearance, by a party too; feeds; reports; letters; papers and bundles of other
// cases; the sinkhole's and the contest form's own pages; what the server logs at
// its most talkative (--verbose), and every page and error.
func TestNothingLeaksFromAnyOutput(t *testing.T) {
	var logged lockedBuffer
	w := newSealedWorldLogging(t, slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelInfo})))
	read := 0
	look := func(what, got string, words ...string) {
		t.Helper()
		read++
		low := strings.ToLower(got)
		for _, x := range words {
			if i := strings.Index(low, strings.ToLower(x)); i >= 0 {
				t.Errorf("%s holds %q: %q", what, x, low[max(0, i-100):min(len(low), i+100)])
			}
		}
	}
	has := func(what, got string, words ...string) {
		t.Helper()
		for _, x := range words {
			if !strings.Contains(strings.ToLower(got), strings.ToLower(x)) {
				t.Errorf("%s lacks %q, so nothing is shown by what it leaves out: %.300s", what, x, got)
			}
		}
	}
	sealed := []string{"quiet"}
	kept := []string{redName.String(), redName.Defanged(), lentName.String(), lentName.Defanged(), papName.String(), papName.Defanged(), "Example Bank"}
	secret := append(append([]string{}, personal...), w.password, w.token)
	join := func(ws ...[]string) (out []string) {
		for _, x := range ws {
			out = append(out, x...)
		}
		return out
	}

	// For partners' machines.
	for _, as := range []string{"ada", "eve", ""} {
		for _, f := range share.Formats {
			for _, clearance := range []impound.TLP{impound.TLPClear, impound.TLPGreen, impound.TLPAmber, impound.TLPAmberStrict, impound.TLPRed} {
				args := []string{"share", "export", "--format", string(f), "--clearance", string(clearance)}
				if as != "" {
					args = append(args, "--as", as)
				}
				_, out, errs := w.cli(t, args...)
				what := fmt.Sprintf("impound %v", args)
				words := join(sealed, secret, kept[2:], []string{caseID + "\"", "APT35", openOrder})
				if clearance != impound.TLPRed {
					words = append(words, kept[:2]...)
				}
				if f == share.FormatMISP {
					out = opened(t, []byte(out))
				}
				look(what, out+errs, words...)
				if clearance == impound.TLPAmber && f != share.FormatDefanged {
					has(what, out, live.String())
				}
			}
		}
		dir := filepath.Join(t.TempDir(), "feed")
		args := []string{"share", "export", "--format", "misp", "--dir", dir, "--clearance", "amber"}
		if as != "" {
			args = append(args, "--as", as)
		}
		_, out, errs := w.cli(t, args...)
		look("the MISP feed", out+errs+folder(t, dir), join(sealed, secret, kept)...)
		has("the MISP feed", folder(t, dir), live.String())
	}

	// For network owners.
	if code, _, errs := w.cli(t, "notify", "prepare", quietCase, "--as", "nora"); code == 0 {
		t.Errorf("a report of a sealed case is written: %s", errs)
	}
	w.cli(t, "notify", "prepare", caseID, "--as", "nora")
	reports := folder(t, filepath.Join(w.state, "reports"))
	look("a report", reports, join(sealed, secret, kept, []string{"APT35"})...)
	has("a report", reports, live.Defanged(), victimOf(live).String())
	for _, args := range [][]string{{"notify", "list"}, {"notify", "list", "--json"}} {
		_, out, errs := w.cli(t, append(args, "--as", "eve")...)
		look(fmt.Sprint(args), out+errs, join(sealed, secret, kept)...)
	}

	// For registries and courts: of the order they are for, and nothing else.
	_, out, errs := w.cli(t, "seize", "letter", w.letter, "--as", "olaf")
	look("a letter of the sealed order", out+errs, join(secret, kept, []string{live.String(), live.Defanged(), caseID + " "})...)
	has("a letter of the sealed order", out, quietLetter.Defanged())
	for _, f := range []string{"csv", "json", "pdf", "docx"} {
		path := filepath.Join(t.TempDir(), "appendix."+f)
		w.did(t, "order", "appendix", openOrder, "--out", path, "--as", "ada")
		look("an appendix as "+f, opened(t, mustRead(t, path)), join(sealed, secret)...)
	}
	for _, f := range []string{"md", "pdf", "docx"} {
		path := filepath.Join(t.TempDir(), "affidavit."+f)
		if code, _, errs := w.cli(t, "order", "affidavit", openOrder, "--out", path, "--as", "ada"); code == 0 {
			look("an affidavit as "+f, opened(t, mustRead(t, path)), join(sealed, secret)...)
		} else if f != "md" {
			t.Errorf("no affidavit as %s: %s", f, errs)
		}
	}
	bundle := filepath.Join(t.TempDir(), "bundle.zip")
	w.did(t, "evidence", "export", caseID, "--out", bundle, "--as", "ada")
	look("the open case's bundle", opened(t, mustRead(t, bundle)), join(sealed, secret)...)
	has("the open case's bundle", opened(t, mustRead(t, bundle)), live.String())
	bundle = filepath.Join(t.TempDir(), "quiet.zip")
	w.did(t, "evidence", "export", quietCase, "--out", bundle, "--as", "ada")
	look("the sealed case's bundle", opened(t, mustRead(t, bundle)), secret...) // its lure is sealed

	// For everybody: the sinkhole's answers, and the contest form.
	tell := browser(w.srv.Addrs()["http"][0])
	for _, path := range []string{"/", "/login", "/robots.txt", "/impound", "/.well-known/security.txt"} {
		p, err := tell.Get("http://" + quietName.String() + path)
		must(t, err)
		b, err := io.ReadAll(p.Body)
		p.Body.Close()
		must(t, err)
		look("the sinkhole's page "+path, strings.NewReplacer(quietName.String(), "", quietName.Defanged(), "").Replace(fmt.Sprint(string(b), p.Header)), join(sealed, secret, []string{"APT35", "26-mj"})...)
	}
	p, err := http.Get("http://" + w.srv.Addrs()["contest"][0] + "/contest")
	must(t, err)
	b, err := io.ReadAll(p.Body)
	p.Body.Close()
	must(t, err)
	look("the contest form", string(b), join(sealed, secret, kept)...)
	for _, path := range []string{"/healthz", "/readyz", "/login", "/api/v1/cases", "/cases", "/nowhere"} {
		p, err := http.Get("http://" + w.srv.Addrs()["web"][0] + path)
		must(t, err)
		b, err := io.ReadAll(p.Body)
		p.Body.Close()
		must(t, err)
		look("without a login "+path, fmt.Sprint(string(b), p.Header), join(sealed, secret, kept, []string{live.String(), caseID + "\""})...)
	}

	// Inside, personal data is shown to nobody, a party neither.
	jar, err := cookiejar.New(nil)
	must(t, err)
	c := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	base := "http://" + w.srv.Addrs()["web"][0]
	password := w.did(t, "account", "password", "ada", "--as", "ada")
	logIn(t, c, base, "ada", password)
	for _, pattern := range web.Routes() {
		for id, n := range map[string]impound.Name{caseID: live, quietCase: quietName} {
			order := map[string]string{caseID: openOrder, quietCase: quietOrder}[id]
			if strings.Contains(pattern, "/orders/") {
				id = order
			} else if strings.Contains(pattern, "/plans/") {
				id = w.plan
			}
			path := strings.NewReplacer("{$}", "", "{id}", id, "{name}", n.String()).Replace(pattern)
			for _, v := range []string{"", "?format=csv", "?format=json"} {
				p, err := c.Get(base + path + v)
				must(t, err)
				b, err := io.ReadAll(p.Body)
				p.Body.Close()
				must(t, err)
				look("GET "+path+v+" by ada", string(b), secret...)
			}
		}
	}
	for _, args := range [][]string{{"evidence", "list", "--limit", "1000", "--json"}, {"contacts", "list", "--json"}, {"sinkhole", "events"}, {"contest", "list"}, {"case", "show", quietCase, "--json"}, {"evidence", "list", "--limit", "1000"}} {
		_, out, errs := w.cli(t, append(args, "--as", "ada")...)
		look(fmt.Sprint(args), out+errs, secret...)
	}

	// What is wrong is told to whoever did it, and no more than he may know.
	for _, args := range [][]string{{"case", "show", quietCase}, {"order", "show", quietOrder}, {"seize", "apply", w.plan}, {"evidence", "show", w.hash}, {"seize", "plan", openOrder}, {"order", "gates", openOrder}, {"seize", "verify", openOrder}} {
		_, out, errs := w.cli(t, append(append([]string{"--verbose"}, args...), "--as", "eve")...)
		own := strings.NewReplacer(quietCase, "", quietOrder, "", w.plan, "", w.hash, "")
		look(fmt.Sprint(args), own.Replace(out+errs), join(sealed, secret)...)
	}

	// The server's own log goes to a journal that others read.
	must(t, w.srv.Close())
	look("the server's log", logged.String(), join(sealed, secret)...)
	t.Logf("%d outputs read; the server logged %d octets", read, len(logged.String()))
}

// folder gives every file below dir, one behind the other.
func folder(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		out.WriteString(path + "\n" + opened(t, b) + "\n")
		return err
	}))
	return out.String()
}

var streams = regexp.MustCompile(`(?s)stream\r?\n(.*?)endstream`)

// opened gives data, and what is packed in it: a zip's files (a DOCX is one), a
// PDF's streams.
func opened(t *testing.T, data []byte) string {
	t.Helper()
	out := string(data)
	if z, err := zip.NewReader(bytes.NewReader(data), int64(len(data))); err == nil {
		for _, f := range z.File {
			r, err := f.Open()
			must(t, err)
			b, err := io.ReadAll(r)
			must(t, err)
			out += "\n" + f.Name + "\n" + opened(t, b)
		}
	}
	if bytes.HasPrefix(data, []byte("%PDF")) {
		for _, m := range streams.FindAllSubmatch(data, -1) {
			if r, err := zlib.NewReader(bytes.NewReader(m[1])); err == nil {
				b, _ := io.ReadAll(r)
				out += "\n" + string(b)
			}
		}
	}
	return out
}
