package laws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/web"
)

// A token opens what its scopes are for and nothing else, over a real connection
// to a real server: each scope is tried on each address, and so are tokens that
// are revoked, over, cut, somebody else's or of somebody without a role.
func TestTokensOpenTheirScopesAlone(t *testing.T) {
	w := newWorld(t)
	w.did(t, "people", "add", "eve", "--role", "analyst", "--as", "ada")
	w.did(t, "account", "add", "ada", "--as", "ada")
	type made struct {
		id, secret string
		scopes     []impound.Scope
	}
	token := func(args ...string) made {
		t.Helper()
		var m struct {
			ID     string `json:"id"`
			Secret string `json:"secret"`
		}
		must(t, json.Unmarshal([]byte(w.did(t, append([]string{"token", "add", "--json", "--as", "eve"}, args...)...)), &m))
		if m.ID == "" || m.Secret == "" {
			t.Fatalf("no token was made: %+v", m)
		}
		return made{id: m.ID, secret: m.Secret}
	}
	var tokens []made
	for i, x := range impound.Scopes {
		one := token("--scope", string(x))
		one.scopes = []impound.Scope{x}
		tokens = append(tokens, one)
		if i > 0 { // and with the one before it
			two := token("--scope", string(x), "--scope", string(impound.Scopes[i-1]))
			two.scopes = []impound.Scope{x, impound.Scopes[i-1]}
			tokens = append(tokens, two)
		}
	}
	s := w.serve(t)
	base := "http://" + s.Addrs()["web"][0]
	c := &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, path, authorization string) (int, string, http.Header) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
		must(t, err)
		if authorization != "" {
			q.Header.Set("Authorization", authorization)
		}
		p, err := c.Do(q)
		must(t, err)
		defer p.Body.Close()
		b, err := io.ReadAll(p.Body)
		must(t, err)
		return p.StatusCode, string(b), p.Header
	}
	fill := strings.NewReplacer("{$}", "", "{id}", caseID, "{name}", live.String()).Replace
	// What each address of the API takes; one that is new must be put here.
	takes := map[string]impound.Scope{
		"/api/v1/cases": impound.ScopeCases, "/api/v1/cases/{id}": impound.ScopeCases, "/api/v1/orders": impound.ScopeCases, "/api/v1/letters": impound.ScopeCases, "/api/v1/contacts": impound.ScopeContacts,
		"/api/v1/series": impound.ScopeContacts, "/api/v1/victims": impound.ScopeContacts, "/api/v1/candidates": impound.ScopeCandidates, "/api/v1/log": impound.ScopeLog,
	}
	var pages, api []string
	for _, r := range append(web.Routes(), "/intake", "/cases/{id}/edit") {
		if strings.HasPrefix(r, "/api/") {
			api = append(api, r)
		} else {
			pages = append(pages, r)
		}
	}
	held := func(code int, body string) bool { // nothing of a case in it
		return code >= 400 && !strings.Contains(body, caseID+`"`) && !strings.Contains(body, live.String()) && !strings.Contains(body, "APT35")
	}
	for _, k := range tokens {
		for _, r := range api {
			need, known := takes[r]
			if !known {
				t.Errorf("%s: nobody said which scope it takes", r)
			}
			for _, method := range []string{"GET", "HEAD"} {
				code, body, _ := ask(method, fill(r), "Bearer "+k.secret)
				switch {
				case slices.Contains(k.scopes, need):
					if code != http.StatusOK {
						t.Errorf("%s %s with %v: %d %.200s", method, r, k.scopes, code, body)
					}
				case code != http.StatusForbidden || !held(code, body) || method == "GET" && !strings.Contains(body, string(need)):
					t.Errorf("%s %s with %v: %d %.200s", method, r, k.scopes, code, body)
				}
			}
		}
		for _, r := range pages { // tokens are for programs
			if code, body, _ := ask("GET", fill(r), "Bearer "+k.secret); code != http.StatusUnauthorized || !held(code, body) {
				t.Errorf("GET %s with %v: %d %.200s", r, k.scopes, code, body)
			}
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			if code, body, _ := ask(method, "/api/v1/cases", "Bearer "+k.secret); code != http.StatusMethodNotAllowed || !held(code, body) {
				t.Errorf("%s with %v: %d %.200s", method, k.scopes, code, body)
			}
		}
		if code, body, _ := ask("POST", fill("/cases/{id}/edit"), "Bearer "+k.secret); code != http.StatusUnauthorized && code != http.StatusForbidden || !held(code, body) {
			t.Errorf("POST to a case with %v: %d %.200s", k.scopes, code, body)
		}
	}

	// What is no token of anybody's.
	all := token("--scope", "cases", "--scope", "contacts", "--scope", "candidates", "--scope", "log")
	refused := func(why, authorization, query string) {
		t.Helper()
		for _, r := range api {
			path := fill(r)
			if query != "" {
				path += "?" + query
			}
			code, body, h := ask("GET", path, authorization)
			if code != http.StatusUnauthorized || !held(code, body) || !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s: GET %s: %d %.200s", why, r, code, body)
			}
		}
	}
	opens := func(k made) bool {
		t.Helper()
		code, _, _ := ask("GET", "/api/v1/cases", "Bearer "+k.secret)
		return code == http.StatusOK
	}
	if !opens(all) {
		t.Fatal("a good token opens nothing")
	}
	refused("without any", "", "")
	refused("as a parameter", "", url.Values{"token": {all.secret}}.Encode())
	refused("as a password", "Basic "+basic("eve", all.secret), "")
	refused("cut", "Bearer "+all.secret[:len(all.secret)-1], "")
	refused("longer", "Bearer "+all.secret+"A", "")
	refused("its name", "Bearer "+all.id, "")
	refused("another's prefix", "Bearer impound_", "")

	// Revoked: at once, by its owner; not by somebody else.
	if code, _, errs := w.cli(t, "token", "revoke", all.id, "--as", "nora"); code == 0 || !strings.Contains(errs, "there is no token") {
		t.Errorf("nora revokes eve's token: %d %s", code, errs)
	}
	if !opens(all) {
		t.Error("a revocation that was refused counts")
	}
	w.did(t, "token", "revoke", all.id, "--as", "eve")
	refused("revoked", "Bearer "+all.secret, "")

	// Over.
	short, long := token("--scope", "cases", "--for", "1h"), token("--scope", "cases", "--for", "30d")
	w.clock.turn(time.Hour + time.Second)
	if opens(short) {
		t.Error("a token that is over opens")
	}
	if !opens(long) {
		t.Error("one that isn't doesn't")
	}
	w.clock.set(0)

	// Of somebody who holds no role any more, or less: the person's sight counts.
	w.did(t, "case", "open", quietCase, "--title", "Quiet", "--as", "ada")
	w.did(t, "case", "seal", quietCase, "--party", "ada", "--why", "quiet", "--as", "ada")
	if _, body, _ := ask("GET", "/api/v1/cases", "Bearer "+long.secret); strings.Contains(strings.ToLower(body), "quiet") {
		t.Error("eve's token sees a sealed case that she is no party to")
	}
	if code, _, _ := ask("GET", "/api/v1/cases/"+quietCase, "Bearer "+long.secret); code != http.StatusNotFound {
		t.Errorf("a sealed case: %d", code)
	}
	// The secret stands in no file.
	searchFiles(t, w.state, all.secret, long.secret, short.secret)
}

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// searchFiles fails for each file below root that holds one of words.
func searchFiles(t *testing.T, root string, words ...string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, x := range words {
			if bytes.Contains(b, []byte(x)) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return err
	}))
}
