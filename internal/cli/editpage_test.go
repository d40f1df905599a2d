package cli

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
)

var hiddenField = regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`)

// The page that changes a case, over a real server: who may, what becomes of two
// who write at once, and what it tells of a sealed case.
func TestEditPage(t *testing.T) {
	d, password, token := newSealedDesk(t)
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
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	read := func(p *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Body.Close()
		b, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		return p.StatusCode, string(b)
	}
	page := func(path string) string {
		t.Helper()
		code, b := read(c.Get(base + path))
		if code != 200 {
			t.Fatalf("%s: %d %.300s", path, code, b)
		}
		return b
	}
	post := func(path string, f url.Values) (int, string) {
		t.Helper()
		return read(c.PostForm(base+path, f))
	}
	if code, b := post("/cases/OPEN/edit", url.Values{"do": {"task"}, "title": {"x"}}); code != 401 {
		t.Errorf("nobody posts: %d %.200s", code, b)
	}
	login(t, c, base, "eve", password)
	edit := page("/cases/OPEN/edit")
	fields := map[string]string{}
	for _, m := range hiddenField.FindAllStringSubmatch(edit[strings.Index(edit, `class="edit"`):], -1) {
		if fields[m[1]] == "" {
			fields[m[1]] = m[2]
		}
	}
	form := func(do string, more ...string) url.Values {
		v := url.Values{"form": {fields["form"]}, "do": {do}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	show := func() string { return d.must("case", "show", "OPEN", "--json", "--as", "eve") }

	// A form that is not ours, or none at all, changes nothing.
	was := show()
	for what, v := range map[string]url.Values{
		"no token": {"do": {"task"}, "title": {"x"}}, "another's token": {"do": {"task"}, "title": {"x"}, "form": {"AAAA"}}, "no deed": form("drop"), "no version": form("words", "title", "x"),
	} {
		if code, b := post("/cases/OPEN/edit", v); code != 403 && code != 400 {
			t.Errorf("%s: %d %.200s", what, code, b)
		}
	}
	q, _ := http.NewRequest("POST", base+"/cases/OPEN/edit", strings.NewReader(form("task", "title", "x").Encode()))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("Origin", "https://evil.example")
	q.Header.Set("Sec-Fetch-Site", "cross-site")
	if code, _ := read(c.Do(q)); code != 403 {
		t.Errorf("from another site: %d", code)
	}
	q, _ = http.NewRequest("POST", base+"/cases/OPEN/edit", strings.NewReader(form("task", "title", "x").Encode()))
	q.Header.Set("Authorization", "Bearer "+token)
	if code, _ := read((&http.Client{}).Do(q)); code != 401 {
		t.Errorf("with a token: %d", code)
	}
	if now := show(); now != was {
		t.Errorf("something changed:\n%s\n%s", was, now)
	}

	// Tasks and words.
	if _, b := post("/cases/OPEN/edit", form("task", "title", "call the registrar at open-verify.net", "owner", "eve", "due", "2027-01-31")); !strings.Contains(b, "The task is noted") || !strings.Contains(b, "due 2027-01-31") {
		t.Errorf("a task: %.400s", b)
	}
	if _, b := post("/cases/OPEN/edit", form("done", "task", "T1")); !strings.Contains(b, "The task is done") || strings.Contains(b, `value="T1"`) {
		t.Errorf("done: %.400s", b)
	}
	if code, b := post("/cases/OPEN/edit", form("task", "title", "x", "owner", "nobody", "due", "31.1.2027")); code != 400 || !strings.Contains(b, "is no date") || !strings.Contains(b, `value="nobody"`) {
		t.Errorf("a bad date: %d %.300s", code, b)
	}
	// The page was read before the tasks: they don't stand in the way of words.
	if _, b := post("/cases/OPEN/edit", form("words", "rev", fields["rev"], "was_title", "Open", "was_summary", "", "title", "Open", "summary", "first\r\nline")); !strings.Contains(b, "words are saved") {
		t.Errorf("words: %.400s", b)
	}
	code, b := post("/cases/OPEN/edit", form("words", "rev", fields["rev"], "was_title", "Open", "was_summary", "", "title", "Open II", "summary", "mine, and long"))
	if code != 409 || !strings.Contains(b, "first") || !strings.Contains(b, "mine, and long") || !strings.Contains(b, `value="Open II"`) {
		t.Errorf("two who write: %d %.600s", code, b)
	}
	if !strings.Contains(show(), `first\nline`) || strings.Contains(show(), "Open II") {
		t.Errorf("after the conflict: %s", show())
	}
	// Names: moved by one, decided by another who saw it before.
	if b := page("/cases/OPEN/edit?name=open-verify[.]net"); !strings.Contains(b, "open-verify[.]net") || strings.Contains(b, `href="http://open`) || !strings.Contains(b, "<option>proposed") {
		t.Errorf("a name: %.600s", b)
	}
	now := string(impound.StateEvidenced) // its file was attached
	if _, b := post("/cases/OPEN/edit", form("state", "name", "open-verify[.]net", "from", now, "to", "proposed", "why", "exhibit 1")); !strings.Contains(b, "The name is moved") {
		t.Errorf("moved: %.600s", b)
	}
	code, b = post("/cases/OPEN/edit", form("state", "name", "open-verify[.]net", "from", now, "to", "blocked", "why", "a hospital&#39;s"))
	if code != 409 || !strings.Contains(b, "exhibit 1") || !strings.Contains(b, "a hospital") || !strings.Contains(b, "by eve") {
		t.Errorf("two who decide: %d %.600s", code, b)
	}
	for _, to := range []string{"ordered", "seized", "released", ""} {
		if code, _ := post("/cases/OPEN/edit", form("state", "name", "open-verify.net", "from", "proposed", "to", to, "why", "x")); code == 200 {
			t.Errorf("a page makes a name %q", to)
		}
	}
	// A sealed case is a missing one, to every form.
	for _, v := range []url.Values{
		form("words", "rev", "1", "title", "x", "was_title", "y"), form("task", "title", "x", "owner", "eve"), form("done", "task", "T1"), form("state", "name", quietName, "from", "candidate", "to", "proposed", "why", "x"),
	} {
		c1, b1 := post("/cases/QUIET/edit", v)
		if v.Get("name") != "" {
			v.Set("name", plainly(quietName))
		}
		c2, b2 := post("/cases/GHOST/edit", v)
		if c1 != c2 || plainly(b1) != plainly(b2) || c1 < 400 {
			t.Errorf("%v tells: %d %d\n%.300s\n%.300s", v, c1, c2, plainly(b1), plainly(b2))
		}
	}
	for _, p := range []string{"/edit", "/edit?name=" + quietName} {
		_, b1 := read(c.Get(base + "/cases/QUIET" + p))
		_, b2 := read(c.Get(base + "/cases/GHOST" + plainly(p)))
		if plainly(b1) != plainly(b2) {
			t.Errorf("%s tells:\n%.300s\n%.300s", p, plainly(b1), plainly(b2))
		}
	}
	// A name of the sealed case, looked up in her own: as any that isn't there.
	_, b1 := read(c.Get(base + "/cases/OPEN/edit?name=" + quietName))
	_, b2 := read(c.Get(base + "/cases/OPEN/edit?name=" + plainly(quietName)))
	if plainly(b1) != plainly(b2) {
		t.Error("a sealed name tells in another case's form")
	}
	if out := d.must("evidence", "verify"); !strings.Contains(out, "verifies") {
		t.Error(out)
	}
}
