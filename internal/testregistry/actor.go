package testregistry

import (
	htmltemplate "html/template"
	"net"
	"net/http"
	"strings"

	"github.com/impound/impound"
)

// scanners are user agents that phishing kits turn away, so that what a
// scanner sees is not what a victim sees.
var scanners = []string{"curl", "wget", "python", "go-http-client", "nmap", "zgrab", "masscan", "bot", "spider", "crawl", "scan", "headless"}

// mark is the comment that tells what the page is; the template would drop it
// if it stood there as text.
const mark = htmltemplate.HTML("<!-- PRACTICE PAGE of Impound's test registry. Not a real sign-in: the form posts nowhere. -->")

// page looks like a sign-in page so that there is something to observe. It is
// for practice and catches nothing: its form has no target and no names, so a
// browser has nothing to send, and the server takes no POST.
var page = htmltemplate.Must(htmltemplate.New("").Parse(`<!DOCTYPE html>
{{.Mark}}
<html lang="en"><head><meta charset="utf-8"><title>Sign in to your account</title><meta name="robots" content="noindex">
<style>body{font-family:sans-serif;background:#eef;display:grid;place-items:center;height:100vh;margin:0}form{background:#fff;padding:2em;width:20em}input{display:block;width:95%;margin:.5em 0;padding:.5em}</style></head>
<body><form onsubmit="return false"><h1>Sign in</h1><p>to continue to Mail at {{.Host}}</p>
<input type="email" placeholder="someone@example.com" autocomplete="off"><input type="password" placeholder="Password" autocomplete="off">
<button type="button">Next</button><p><small>{{.Path}}</small></p></form></body></html>
`))

// actorPage is the actor's web host. It shows the page for names that are
// delegated to the actor, and nothing for those that were taken away.
func (r *Registry) actorPage(w http.ResponseWriter, q *http.Request) {
	h := w.Header()
	h.Set("Server", "nginx/1.18.0 (Ubuntu)")
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		h.Set("Connection", "close") // whatever the body holds is not read
		http.Error(w, "405 Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	host := q.Host
	if s, _, err := net.SplitHostPort(host); err == nil {
		host = s
	}
	n, err := impound.ParseName(host)
	ours := false
	if err == nil {
		if name, ok := r.domainOf(n); ok {
			r.mu.RLock()
			d := r.st.domains[name]
			ours = d != nil && d.withActor()
			r.mu.RUnlock()
		}
	}
	agent := strings.ToLower(q.UserAgent())
	for _, s := range scanners {
		ours = ours && agent != "" && !strings.Contains(agent, s)
	}
	switch path := q.URL.Path; {
	case !ours:
		http.Error(w, "404 Not Found", http.StatusNotFound)
	case path == "/":
		http.Redirect(w, q, "/owa/auth/logon.aspx", http.StatusFound)
	case strings.HasPrefix(path, "/owa/"), strings.HasPrefix(path, "/login"), strings.HasPrefix(path, "/adfs/"):
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		_ = page.Execute(w, struct {
			Mark       htmltemplate.HTML
			Host, Path string
		}{mark, n.String(), path}) // the client may be gone
	default:
		http.Error(w, "404 Not Found", http.StatusNotFound)
	}
}
