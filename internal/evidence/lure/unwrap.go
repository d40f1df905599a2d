// Package lure reads mail lures as evidence, without executing or fetching
// anything: which servers handed a mail over, what they stated of its sender,
// which service sent it, where its links, QR codes and attached PDF files lead,
// taken out of the wrappers that mail gateways put around links.
//
// What lives here: pure reading of hostile bytes, bounded. What must not: a
// network client, a file, or keeping whom a mail was sent to.
package lure

import (
	"encoding/base64"
	"html"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxLink bounds a link in octets; longer ones are given back as they are.
const maxLink = 16 << 10

// maxWraps bounds how many wrappers around each other are taken off: gateways
// wrap what other gateways wrapped.
const maxWraps = 8

// Unwrap takes a link out of Microsoft's Safelinks and Proofpoint's urldefense
// (v1 to v3), as often as it is wrapped, offline. by names the wrappers, the
// outermost first; it is empty, and the link as it was, when there is none or
// it can't be read. A wrapper's own parameters, which name the recipient, are
// dropped with it.
func Unwrap(link string) (inner string, by []string) {
	for range maxWraps {
		next, name, ok := unwrapOnce(link)
		if !ok || next == link {
			break
		}
		link, by = next, append(by, name)
	}
	return link, by
}

func unwrapOnce(link string) (string, string, bool) {
	if len(link) > maxLink {
		return "", "", false
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", "", false
	}
	host := strings.ToLower(u.Hostname())
	var out, name string
	switch {
	case host == "safelinks.protection.outlook.com" || strings.HasSuffix(host, ".safelinks.protection.outlook.com"):
		out, name = u.Query().Get("url"), "safelinks"
	case host != "urldefense.com" && host != "urldefense.proofpoint.com" && host != "urldefense.us":
		return "", "", false
	case strings.HasPrefix(u.Path, "/v1/"):
		out, name = u.Query().Get("u"), "urldefense-v1"
		out = html.UnescapeString(out)
	case strings.HasPrefix(u.Path, "/v2/"):
		// - stands for %, and _ for /, before the percent decoding.
		s, err := url.PathUnescape(strings.NewReplacer("-", "%", "_", "/").Replace(u.Query().Get("u")))
		if err != nil {
			return "", "", false
		}
		out, name = html.UnescapeString(s), "urldefense-v2"
	case strings.HasPrefix(u.Path, "/v3/"):
		var ok bool
		if out, ok = v3(link); !ok {
			return "", "", false
		}
		name = "urldefense-v3"
	default:
		return "", "", false
	}
	in, err := url.Parse(out)
	if err != nil || in.Host == "" || !utf8.ValidString(out) || in.Scheme != "https" && in.Scheme != "http" {
		return "", "", false
	}
	return out, name, true
}

// runs are the characters that say how long a run of replaced octets is: A is
// 2, and so on.
const runs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// v3 reads .../v3/__LINK__;CHARS!TOKEN: each * of LINK is the next character of
// CHARS (base64 of UTF-8), and ** with a character is a run of them.
func v3(link string) (string, bool) {
	_, rest, ok := strings.Cut(link, "/v3/__")
	if !ok {
		return "", false
	}
	end := strings.Index(rest, "__;")
	if end < 1 {
		return "", false
	}
	text, tail := rest[:end], rest[end+3:]
	b64, _, ok := strings.Cut(tail, "!")
	if !ok {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(b64, "="))
	if err != nil || !utf8.Valid(raw) {
		return "", false
	}
	chars := []rune(string(raw))
	// A proxy on the way may have merged the slashes behind the scheme.
	for _, s := range []string{"https:/", "http:/"} {
		if r, ok := strings.CutPrefix(text, s); ok && !strings.HasPrefix(r, "/") {
			text = s + "/" + r
		}
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '*' {
			b.WriteByte(text[i])
			continue
		}
		n := 1
		if i+2 < len(text) && text[i+1] == '*' {
			k := strings.IndexByte(runs, text[i+2])
			if k < 0 {
				return "", false
			}
			n = k + 2
			i += 2
		}
		if n > len(chars) {
			return "", false
		}
		b.WriteString(string(chars[:n]))
		chars = chars[n:]
	}
	return b.String(), true
}
