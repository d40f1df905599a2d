package web

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	impound "github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
)

// browse opens the page in Chromium, lets its clock run for budget, and gives
// the document as it then is and what the console said.
func browse(t *testing.T, url string, budget time.Duration, flags ...string) (*html.Node, []string) {
	t.Helper()
	chromium := peertest.Need(t, "chromium", "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := append(chromiumArgs(t), "--enable-logging=stderr", "--v=0", "--virtual-time-budget="+plain(int(budget/time.Millisecond)), "--dump-dom")
	cmd := exec.CommandContext(ctx, chromium, append(append(args, flags...), url)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	var console []string
	for l := range strings.Lines(errs.String()) {
		if strings.Contains(l, "CONSOLE") || strings.Contains(l, "Content Security Policy") {
			console = append(console, strings.TrimSpace(l))
		}
	}
	return parse(t, &out), console
}

func rowKeys(doc *html.Node, table string) (keys []string) {
	walk(doc, func(n *html.Node) {
		if attr(n, "id") == table {
			walk(n, func(m *html.Node) {
				if k := attr(m, "data-key"); k != "" {
					keys = append(keys, k)
				}
			})
		}
	})
	return keys
}

// A real browser loads the case page; a contact that comes afterwards appears
// in the open page, and neither the policy nor the script complains.
func TestChromiumFollows(t *testing.T) {
	f := newFixture()
	var once sync.Once
	f.onSeries = func(n int) {
		if n >= 3 { // the page itself, a poll that finds nothing new, and now
			once.Do(func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.add(impound.ClassVictim, impound.ProtoHTTP, "198.51.100.200", 1, hostile, "came while somebody looked", f.now)
			})
		}
	}
	srv := httptest.NewServer(handler(f))
	defer srv.Close()
	doc, console := browse(t, srv.URL+"/cases/PHOS-2019", 6*time.Second)
	if len(console) > 0 {
		t.Errorf("the console says:\n%s", strings.Join(console, "\n"))
	}
	keys := rowKeys(doc, "newest")
	if len(keys) == 0 || keys[0] != "demo/181" {
		t.Errorf("the new contact is not on the open page: %v", keys)
	}
	text := textOf(doc)
	for _, want := range []string{"181", "came while somebody looked", "1 new contact", "live"} {
		if !strings.Contains(text, want) {
			t.Errorf("the open page doesn't say %q", want)
		}
	}
}

// Pages are quiet: no error, no violation, hostile strings included.
func TestChromiumIsQuiet(t *testing.T) {
	if testing.Short() {
		t.Skip("opens every page in a browser")
	}
	srv := httptest.NewServer(handler(newFixture()))
	defer srv.Close()
	for _, p := range []string{"/", "/contacts?class=researcher", "/contacts?class=victm"} {
		doc, console := browse(t, srv.URL+p, 1200*time.Millisecond)
		for _, l := range console {
			if !strings.Contains(p, "victm") || !strings.Contains(l, "status of 400") {
				t.Errorf("%s: %s", p, l)
			}
		}
		if !strings.Contains(textOf(doc), "impound test") {
			t.Errorf("%s: no footer, the page is cut", p)
		}
	}
}
