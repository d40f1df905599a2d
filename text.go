package impound

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// maxMarks is how many combining marks may stand on one letter: living scripts
// need up to three, and more of them cover the lines above and below.
const maxMarks = 4

// Hidden says whether r shows a reader another text than is there: it turns the
// direction of writing, has no width, or drives a terminal. White space is not
// hidden.
func Hidden(r rune) bool {
	switch {
	case r < 0x20:
		return r != '\t' && r != '\n' && r != '\r'
	case r < 0x7f:
		return false
	case r < 0xa0, r == 0xad, r == 0x34f, r == 0x61c, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r >= 0x180b && r <= 0x180f,
		r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0x3164, r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff, r == 0xffa0,
		r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe0fff:
		return true
	}
	return false
}

// Show makes UTF-8 text fit to be shown: each hidden character, and each
// combining mark beyond four on one letter, becomes its code point in brackets
// ([U+202E]). All else stays as it is, so it may be used on HTML; b is not
// changed, and given back when there is nothing to do. Octets that are no UTF-8
// become [U+FFFD]; a carriage return alone becomes [U+000D].
func Show(b []byte) []byte {
	return rewrite(b, func(out *bytes.Buffer, r rune) { fmt.Fprintf(out, "[U+%04X]", r) })
}

// ShowJSON is Show for JSON, where the same characters become escapes: whoever
// reads it as JSON gets what was there.
func ShowJSON(b []byte) []byte {
	return rewrite(b, func(out *bytes.Buffer, r rune) {
		if r > 0xffff {
			r -= 0x10000
			fmt.Fprintf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			return
		}
		fmt.Fprintf(out, `\u%04x`, r)
	})
}

// harmless are the ASCII characters that are shown as they are wherever they stand:
// nearly all of a long text.
var harmless = func() (t [256]bool) {
	for c := range utf8.RuneSelf {
		t[c] = c != '\r' && !Hidden(rune(c))
	}
	return t
}()

func rewrite(b []byte, instead func(*bytes.Buffer, rune)) []byte {
	var out *bytes.Buffer
	marks, from := 0, 0
	for i := 0; i < len(b); {
		if harmless[b[i]] {
			marks = 0
			i++
			continue
		}
		r, size := rune(b[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(b[i:])
		}
		bad := false
		switch {
		case r == utf8.RuneError && size == 1: // no UTF-8; a C1 control to some terminals
			marks, bad, r = 0, true, 0xfffd
		case r == '\r': // alone it goes back and writes over the line
			marks, bad = 0, i+1 < len(b) && b[i+1] != '\n'
		case r < utf8.RuneSelf:
			marks, bad = 0, Hidden(r)
		case unicode.In(r, unicode.Mn, unicode.Me):
			marks++
			bad = marks > maxMarks || Hidden(r)
		default:
			marks, bad = 0, Hidden(r)
		}
		if bad {
			if out == nil {
				out = &bytes.Buffer{}
			}
			out.Write(b[from:i])
			instead(out, r)
			from = i + size
		}
		i += size
	}
	if out == nil {
		return b
	}
	out.Write(b[from:])
	return out.Bytes()
}

var hostLike = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)+(?:[a-z]{2,24}|xn--[a-z0-9-]{2,59})\.?`)
})

// Endings of files, which look like names but are none that anybody visits.
var fileEndings = []string{"yaml", "yml", "json", "csv", "xml", "txt", "zip", "html", "pem", "warc", "parquet", "eml", "svg", "pdf", "db", "gz", "tar"}

// DefangText defangs what looks like a host name or a web address inside free
// text, so that no reader of a page, a print or a paste gets a link to it.
func DefangText(s string) string {
	if !strings.Contains(s, ".") && !strings.Contains(s, "://") {
		return s
	}
	s = strings.ReplaceAll(s, "http://", "hxxp://")
	s = strings.ReplaceAll(s, "https://", "hxxps://")
	// What is no part of any name ends one: the expression is tried on what is
	// between alone, where a dot stands before a letter. Two letters that are not
	// ASCII are, to it, another case of one that is.
	if strings.ContainsAny(s, "\u212a\u017f") {
		return hostLike().ReplaceAllStringFunc(s, defangHost)
	}
	var out strings.Builder
	from := 0
	for i := 0; i < len(s); {
		if !hostOctet(s[i]) {
			i++
			continue
		}
		end, dotted := i, false
		for end < len(s) && hostOctet(s[end]) {
			if s[end] == '.' && end > i && end+1 < len(s) && s[end+1]|0x20 >= 'a' && s[end+1]|0x20 <= 'z' {
				dotted = true
			}
			end++
		}
		if dotted {
			out.WriteString(s[from:i])
			out.WriteString(hostLike().ReplaceAllStringFunc(s[i:end], defangHost))
			from = end
		}
		i = end
	}
	if from == 0 {
		return s
	}
	out.WriteString(s[from:])
	return out.String()
}

func hostOctet(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
}

func defangHost(h string) string {
	if i := strings.LastIndexByte(h, '.'); slices.Contains(fileEndings, strings.ToLower(h[i+1:])) {
		return h
	}
	bare, end := h, ""
	if strings.HasSuffix(h, ".") { // the root's dot, or the end of a sentence
		bare, end = h[:len(h)-1], "."
	}
	return strings.ReplaceAll(bare, ".", "[.]") + end
}
