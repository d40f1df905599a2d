package app

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
)

func listDesk(t *testing.T) (*System, Identity) {
	state := t.TempDir()
	l, err := evidence.Open(filepath.Join(state, "evidence"), evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s := staffed(t, &System{Evidence: l, now: func() time.Time { return now }, opt: Options{State: state, Version: "test"}})
	return s, Identity{Person: impound.Person{ID: "ada"}, key: testKey("ada")}
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	z.Close()
	return b.String()
}

func lines(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+"\n", i+1)
	}
	return b.String()
}

func done(cs []ListChange) map[string]string {
	m := map[string]string{}
	for _, c := range cs {
		m[c.File] = fmt.Sprint(c.Done, " ", c.Kind, " ", c.Was, ">", c.Names)
	}
	return m
}

// The shapes in which lists are published, from a real server whose content types
// are wrong as often as right.
func TestListsComeFromURLs(t *testing.T) {
	s, ada := listDesk(t)
	misp := `{"name":"List of known dynamic DNS domains","type":"hostname","version":2,"matching_attributes":["domain"],"list":[".dyn1.example","dyn2.example","dyn3.example","dyn4.example"]}`
	var routes sync.Map
	set := func(path string, h func(w http.ResponseWriter, r *http.Request)) { routes.Store(path, h) }
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, _ := routes.Load(r.URL.Path); h != nil && h.(func(http.ResponseWriter, *http.Request)) != nil {
			h.(func(http.ResponseWriter, *http.Request))(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	defer srv.Close()
	says := func(media, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", media)
			w.Header().Set("Last-Modified", "Wed, 15 Jan 2025 08:00:00 GMT")
			w.Write([]byte(body))
		}
	}
	set("/lists/dynamic-dns/list.json", says("text/plain", misp))
	set("/top/tranco.csv.gz", says("application/json", gzipped(lines("%d,top%[1]d.example", 30))))
	set("/top/majestic.csv", says("application/octet-stream", "GlobalRank,TldRank,Domain,TLD\r\n1,1,big1.example,example\r\n2,2,big2.example,example\r\n"))
	set("/hosting-hosts", says("text/html", "# hosts\n0.0.0.0 host1.example\n0.0.0.0 host2.example # two\n"))
	set("/shorteners.txt", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/moved-url-shortener.txt", http.StatusFound)
	})
	set("/moved-url-shortener.txt", says("binary/octet-stream", "s.example\n||t.example^\n*.u.example\n"))
	urls := []string{srv.URL + "/lists/dynamic-dns/list.json", srv.URL + "/top/tranco.csv.gz", srv.URL + "/top/majestic.csv", srv.URL + "/hosting-hosts?key=s3cr3t"}
	got, err := s.UpdateLists(t.Context(), ada, ListSources{From: urls})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"dynamic-dns.json": "new a dynamic DNS zone 0>4", "tranco.csv": "new among the most used names of the world 0>30",
		"majestic.csv": "new among the most used names of the world 0>2", "hosting-hosts.txt": "new a hosting service's zone 0>2",
	}
	if d := cmp.Diff(want, done(got)); d != "" {
		t.Error(d)
	}
	if got, err = s.UpdateLists(t.Context(), ada, ListSources{From: []string{srv.URL + "/shorteners.txt"}, Name: "url-shortener.txt"}); err != nil || done(got)["url-shortener.txt"] != "new a link shortener 0>3" {
		t.Errorf("%v %v", done(got), err)
	}
	ls, err := s.Lists(t.Context())
	if err != nil || len(ls) != 5 {
		t.Fatalf("%v %+v", err, ls)
	}
	for _, l := range ls {
		if l.Recorded != "yes" || !strings.HasPrefix(l.From, srv.URL) || l.AsOf.Format(time.DateOnly) != "2025-01-15" {
			t.Errorf("%+v", l)
		}
		if strings.Contains(l.From, "s3cr3t") {
			t.Error("the log holds a query")
		}
	}
	// Again, from where they came: the one with a query can't be asked again.
	set("/top/majestic.csv", says("text/csv", "GlobalRank,TldRank,Domain,TLD\n1,1,big1.example,example\n2,2,big2.example,example\n3,3,big3.example,example\n"))
	if got, err = s.UpdateLists(t.Context(), ada, ListSources{}); err != nil {
		t.Fatal(err)
	}
	want = map[string]string{"dynamic-dns.json": "same a dynamic DNS zone 4>4", "tranco.csv": "same among the most used names of the world 30>30",
		"majestic.csv": "changed among the most used names of the world 2>3", "shorteners.txt": "new a link shortener 0>3"}
	if d := cmp.Diff(want, done(got)); d != "" {
		t.Error(d)
	}

	// What is damaged, cut, moved, endless or of something else leaves the old one.
	was, err := os.ReadFile(filepath.Join(s.listsDir(), "dynamic-dns.json"))
	if err != nil {
		t.Fatal(err)
	}
	dyn := "/lists/dynamic-dns/list.json"
	for name, c := range map[string]struct {
		h    func(http.ResponseWriter, *http.Request)
		says string
	}{
		"gone":     {nil, "answers 404"},
		"no list":  {says("application/json", "<!doctype html><title>Moved</title>"), "is a page"},
		"broken":   {says("application/json", misp[:60]), "no MISP warning list"},
		"shrunk":   {says("application/json", `{"name":"dynamic","type":"hostname","version":3,"list":["dyn1.example"]}`), "holds 1 names, the list that is there 4: it stays"},
		"emptied":  {says("application/json", `{"name":"dynamic","type":"hostname","version":3,"list":[]}`), "holds no name"},
		"empty":    {says("application/json", ""), "is empty"},
		"poem":     {says("application/json", "{\"name\":\"dynamic\",\"type\":\"hostname\",\"list\":[\"shall i compare\",\"thee to a\",\"a.example\"]}"), "only 1 of its 3 entries"},
		"cut gzip": {says("application/gzip", gzipped(misp)[:40]), "is cut"},
		"bomb":     {says("application/gzip", gzipped(strings.Repeat("\x20", 65<<20))), "unpacked, the list is longer"},
		"loop":     {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, "more than 5 redirects"},
		"cut short": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9999")
			w.Write([]byte(misp))
		}, "it was cut short"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for b := bytes.Repeat([]byte("a.example\n"), 1<<17); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, "longer than 64 MB"},
	} {
		set(dyn, c.h)
		entries := s.Evidence.Size()
		got, err := s.UpdateLists(t.Context(), ada, ListSources{From: []string{srv.URL + dyn}})
		if err == nil || !strings.Contains(err.Error(), c.says) || len(got) > 0 || s.Evidence.Size() != entries {
			t.Errorf("%s: %v %v", name, err, got)
		}
		if now, err := os.ReadFile(filepath.Join(s.listsDir(), "dynamic-dns.json")); err != nil || !bytes.Equal(now, was) {
			t.Errorf("%s: the old list is gone", name)
		}
	}
	// A server that never answers: the client's own patience, or ours, ends it.
	hang := make(chan struct{})
	defer close(hang)
	set("/hang-dynamic", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	s.opt.Fetch = &http.Client{Timeout: 50 * time.Millisecond}
	if _, err := s.UpdateLists(t.Context(), ada, ListSources{From: []string{srv.URL + "/hang-dynamic?key=s3cr3t"}}); impound.KindOf(err) == "" || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("hanging: %v", err)
	}
	s.opt.Fetch = nil

	// One bad source of two: the other is taken, and it is said.
	set(dyn, says("text/plain", `{"name":"dynamic","type":"hostname","version":3,"list":["dyn1.example"]}`))
	set("/hosting-hosts", says("text/plain", "host1.example\nhost2.example\nhost3.example\n"))
	got, err = s.UpdateLists(t.Context(), ada, ListSources{From: []string{srv.URL + dyn, srv.URL + "/hosting-hosts"}})
	if impound.KindOf(err) != impound.KindPartial || !strings.Contains(err.Error(), "1 of 2 sources") || done(got)["hosting-hosts.txt"] != "changed a hosting service's zone 2>3" {
		t.Errorf("%v %v", err, done(got))
	}
	if got, err = s.UpdateLists(t.Context(), ada, ListSources{From: []string{srv.URL + dyn}, Force: true}); err != nil || done(got)["dynamic-dns.json"] != "changed a dynamic DNS zone 4>1" {
		t.Errorf("forced: %v %v", err, done(got))
	}
	for _, bad := range []string{"https://user:pw@lists.example/dynamic", "http://"} {
		if _, err := s.UpdateLists(t.Context(), ada, ListSources{From: []string{bad}}); impound.KindOf(err) != impound.KindInvalid || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestListsComeFromACheckout(t *testing.T) {
	s, ada := listDesk(t)
	dir := t.TempDir()
	for f, text := range map[string]string{
		"README.md":                     "# lists",
		"schema.json":                   `{"$schema":"http://json-schema.org/schema#"}`,
		"requirements.txt":              "jsonschema\n",
		".git/config.json":              "{",
		"lists/dynamic-dns/list.json":   `{"name":"List of known dynamic DNS domains","type":"hostname","version":2,"list":["dyn1.example"]}`,
		"lists/sinkholes/list.json":     `{"name":"List of known sinkholes","type":"cidr","version":2,"list":["192.0.2.1","198.51.100.0/28"]}`,
		"lists/tlds/list.json":          `{"name":"TLDs as known by IANA","type":"string","version":20250115,"list":["com","net"]}`,
		"lists/tranco/list.json":        `{"name":"Top 1,000,000 most-used sites","type":"hostname","version":1,"list":["` + strings.Join(strings.Fields(lines("top%d.example", 20_001)), `","`) + `"]}`,
		"lists/phone/list.json":         `{"name":"phone numbers","type":"regex","version":2,"list":["/x/"]}`,
		"tools/deeper/still/list.json5": "{",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.UpdateLists(t.Context(), ada, ListSources{From: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"dynamic-dns.json": "new a dynamic DNS zone 0>1", "sinkholes.json": "new a sinkhole 0>2", "tlds.json": "of no use  0>0",
		"tranco.json": "of no use  0>0", "phone.json": "of no use  0>0"}
	if d := cmp.Diff(want, done(got)); d != "" {
		t.Error(d)
	}
	if _, err := s.UpdateLists(t.Context(), Identity{Person: impound.Person{ID: "mallory"}}, ListSources{From: []string{dir}}); impound.KindOf(err) != impound.KindAuth {
		t.Errorf("mallory: %v", err)
	}
}
