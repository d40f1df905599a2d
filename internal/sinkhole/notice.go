package sinkhole

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"strings"
	"sync"

	"github.com/impound/impound/internal/sinkhole/policy"
)

const noticeStyle = `:root{color-scheme:light dark}body{font:1.05rem/1.55 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem}h1{line-height:1.25}.name,.court{overflow-wrap:anywhere}.court{white-space:pre-wrap;border-inline-start:.3rem solid;padding-inline-start:1rem}li{margin:.4rem 0}`

var noticeCSP = func() string {
	h := sha256.Sum256([]byte(noticeStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// zoneMark stands where the page names the seized name; no text can hold it.
const zoneMark = "\x1fZONE\x1f"

var noticeTemplate = template.Must(template.New("notice").Parse(`<!DOCTYPE html>
<html lang="{{.W.Lang}}" dir="{{.W.Dir}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.W.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
<h1>{{.W.Title}}</h1>
<p class="name">{{.W.Name}}: <strong dir="ltr">{{.Mark}}</strong></p>
<h2>{{.W.What}}</h2>
<p>{{.W.Happened}}</p>
<p>{{.W.Kept}}</p>
{{if .Notice}}<h2>{{.W.Court}}</h2>
<p class="court" dir="auto">{{.Notice}}</p>
{{end}}<h2>{{.W.Now}}</h2>
<p>{{.W.Entered}}</p>
<ol>
{{range .W.Steps}}<li>{{.}}</li>
{{end}}</ol>
<p>{{.W.Safe}}</p>
<h2>{{.W.Call}}</h2>
<p>{{.W.NoCall}}</p>
{{if .Contact}}<p class="name"><strong><bdi>{{.Contact}}</bdi></strong></p>
{{end}}</main>
</body>
</html>
`))

// noticePages holds the pages of each order, made when first asked for.
type noticePages struct {
	contact string
	mu      sync.RWMutex
	made    map[pageKey]*page
}

type pageKey struct {
	order string // hash
	lang  int
}

func newNoticePages(contact string) *noticePages {
	return &noticePages{contact: contact, made: map[pageKey]*page{}}
}

// page gives the order's notice in the language that suits the Accept-Language
// header best, English when none does.
func (n *noticePages) page(m policy.Match, accept string) *page {
	i := pickLang(accept)
	k := pageKey{m.Order.Hash, i}
	n.mu.RLock()
	p := n.made[k]
	n.mu.RUnlock()
	if p != nil {
		return p
	}
	p = &page{lang: notices[i].Lang}
	var b bytes.Buffer
	err := noticeTemplate.Execute(&b, map[string]any{
		"W": notices[i], "Style": template.CSS(noticeStyle), "Mark": zoneMark,
		"Notice": clean(m.Order.Notice), "Contact": clean(n.contact),
	})
	if err != nil { // a template that the tests run
		b.Reset()
	}
	p.before, p.after, _ = bytes.Cut(b.Bytes(), []byte(zoneMark))
	v := verdict{ours: true, page: p}
	v.header(func(k, value string) {
		p.fields = append(p.fields, k+": "+value+"\r\n"...)
	})
	n.mu.Lock()
	if len(n.made) > 1024 {
		clear(n.made)
	}
	n.made[k] = p
	n.mu.Unlock()
	return p
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// languages finds a notice by its primary language subtag (RFC 5646 2.2.1); the
// old codes for Hebrew and Indonesian are still sent.
var languages = func() map[string]int {
	m := map[string]int{}
	for i, w := range notices {
		m[w.Lang] = i
	}
	m["iw"], m["in"] = m["he"], m["id"]
	return m
}()

// pickLang chooses a notice by an Accept-Language header: the range with the
// highest weight (RFC 9110 12.4.2, 12.5.4), of equal ones the first, by lookup
// (RFC 4647 3.4): a range matches by its beginning, and every notice's tag is but
// a primary subtag. What can't be read is passed over.
func pickLang(accept string) int {
	if len(accept) > 500 {
		accept = accept[:500]
	}
	best, bestQ := 0, 0
	for part := range strings.SplitSeq(accept, ",") {
		tag, params, _ := strings.Cut(part, ";")
		primary, _, _ := strings.Cut(strings.TrimSpace(tag), "-")
		if len(primary) != 2 {
			continue
		}
		i, ok := languages[strings.ToLower(primary)]
		if !ok {
			continue
		}
		if q := weight(params); q > bestQ {
			best, bestQ = i, q
		}
	}
	return best
}

// weight reads a weight in thousandths; 0, which is not acceptable, for what is
// none.
func weight(params string) int {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1000
	}
	if len(params) < 3 || params[0]|0x20 != 'q' || params[1] != '=' || params[2] != '0' && params[2] != '1' {
		return 0
	}
	n, frac, unit := int(params[2]-'0')*1000, params[3:], 100
	if frac == "" {
		return n
	}
	if frac[0] != '.' || len(frac) > 4 {
		return 0
	}
	for _, c := range []byte(frac[1:]) {
		if c < '0' || c > '9' {
			return 0
		}
		n, unit = n+int(c-'0')*unit, unit/10
	}
	if n > 1000 {
		return 0
	}
	return n
}
