package capture

import (
	"encoding/json"
	"fmt"
	"net/url"
)

// Tell says in one inert line what an artefact of this package shows, from its
// own octets, for papers and lists; "" for a kind that has no words of its own,
// and for octets that can't be read. It states what was seen and judges nothing.
func Tell(kind string, body []byte) string {
	var s string
	switch kind {
	case KindWHOIS:
		var v WHOISView
		if json.Unmarshal(body, &v) == nil && !v.Name.IsZero() {
			s = "whois of " + v.Name.Defanged() + ": " + v.summary()
		}
	case KindTLS:
		var v TLSView
		if json.Unmarshal(body, &v) == nil && v.ServerName != "" {
			s = "tls of " + defang(v.ServerName) + ": " + v.summary()
		}
	case KindLooks:
		var fs []LookFacts
		if json.Unmarshal(body, &fs) == nil && len(fs) > 0 {
			s = fs[0].tell()
		}
	case KindGating:
		var g Gating
		if json.Unmarshal(body, &g) == nil && g.Verdict != "" {
			s = "what different visitors of " + defang(g.Name) + " are shown: " + g.Summary()
		}
	case KindBrowser:
		var v BrowserView
		if json.Unmarshal(body, &v) == nil && v.URL != "" {
			s = fmt.Sprintf("%s as %s shows it: title “%s”", defang(hostOf(v.URL)), v.Browser, v.Title)
			if v.Password {
				s += ", with a field for a password"
			}
			if v.Err != "" {
				s = defang(hostOf(v.URL)) + " in a browser: " + v.Err
			}
		}
	case KindManifest:
		var m Manifest
		if json.Unmarshal(body, &m) == nil && !m.Name.IsZero() {
			s = fmt.Sprintf("list of the %s captured of %s with their hashes", plural(len(m.Parts), "part"), m.Name.Defanged())
		}
	}
	return inert(s, 1000)
}

// tell words the first look.
func (f LookFacts) tell() string {
	if len(f.Steps) == 0 {
		return ""
	}
	s := "http of " + defang(hostOf(f.Steps[0].URL)) + ": "
	if f.Status == 0 {
		return s + "not seen: " + f.Err
	}
	s += fmt.Sprintf("answers %d", f.Status)
	if f.Title != "" {
		s += ", title “" + f.Title + "”"
	}
	if f.Password {
		s += ", with a field for a password"
	}
	if f.Left != "" {
		s += ", and sends visitors on to " + defang(f.Left)
	}
	if u, err := url.Parse(f.Steps[len(f.Steps)-1].URL); err == nil && len(f.Steps) > 1 && f.Left == "" {
		s += ", at the path " + u.Path
	}
	return s
}
