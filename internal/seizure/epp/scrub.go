package epp

import (
	"bytes"
	"html"
	"regexp"
	"strings"
)

const stars = "********" // as long as a password must be, so that the frame stays valid

// secretElement finds <pw>, <newPW> and authInfo's <ext> with any prefix: login
// passwords, and the transfer codes that info answers can hold.
var secretElement = regexp.MustCompile(`(?s)(<(?:[A-Za-z_][\w.-]*:)?(?:pw|newPW)(?:\s[^<>]*)?>).*?(</(?:[A-Za-z_][\w.-]*:)?(?:pw|newPW)\s*>)`)

// quoted finds the values of attributes.
var quoted = regexp.MustCompile(`"[^"]*"|'[^']*'`)

// scrub gives the frame as it may be kept: without the text of password
// elements, and without the session's password anywhere else, as in the <value>
// of an answer that echoes a bad login.
func scrub(frame, pw []byte) []byte {
	out := frame
	if bytes.Contains(frame, []byte("pw")) || bytes.Contains(frame, []byte("newPW")) {
		out = secretElement.ReplaceAll(frame, []byte("${1}"+stars+"${2}"))
	}
	// Most frames hold neither the password nor anything that could spell it.
	if len(pw) == 0 || !bytes.Contains(out, pw) && !bytes.Contains(out, []byte("&")) {
		return out
	}
	var b bytes.Buffer
	b.Grow(len(out))
	for len(out) > 0 {
		// A tag is kept as it is: names of elements can't be the secret, and
		// must not be cut when the password happens to be such a word.
		if out[0] == '<' && !bytes.HasPrefix(out, []byte("<!")) {
			end := bytes.IndexByte(out, '>') + 1
			if end <= 0 {
				end = len(out)
			}
			if bytes.Contains(tagNames, pw) {
				b.Write(out[:end])
			} else {
				b.Write(quoted.ReplaceAllFunc(out[:end], func(v []byte) []byte {
					if hides(v, pw) {
						return []byte(`"` + stars + `"`)
					}
					return v
				}))
			}
			out = out[end:]
			continue
		}
		end := bytes.IndexByte(out[1:], '<') + 1
		if end <= 0 {
			end = len(out)
		}
		if hides(out[:end], pw) {
			b.WriteString(stars)
		} else {
			b.Write(out[:end])
		}
		out = out[end:]
	}
	return b.Bytes()
}

// tagNames holds what stands in the tags of honest frames.
var tagNames = []byte(`xml version encoding standalone xmlns urn:ietf:params:xml:ns:epp-1.0 domain-1.0 host-1.0 contact-1.0 secDNS-1.1 rgp-1.0 loginSec-1.0`)

func hides(text, pw []byte) bool {
	return bytes.Contains(text, pw) || strings.Contains(html.UnescapeString(string(text)), string(pw))
}

// scrubText is scrub for words that go into errors and logs.
func scrubText(s string, pw []byte) string {
	if len(pw) == 0 {
		return s
	}
	return strings.ReplaceAll(s, string(pw), stars)
}
