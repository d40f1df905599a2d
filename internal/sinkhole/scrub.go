package sinkhole

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What stands in place of what may not be kept.
const (
	tokenMark = "{token}"
	mailMark  = "{mail}"
	maxPath   = 256
	maxAgent  = 256
)

// Where a query, a parameter or a field's value begins, also when the mark was
// escaped, once or more often: a link that was pasted wrongly, or a fragment
// that net/http took for a part of the path, holds what a query would.
var (
	queryStart = regexp.MustCompile(`[?#]|%(?:25)*(?:3[fF]|23)`)
	paramStart = regexp.MustCompile(`[;&]|%(?:25)*(?:3[bB]|26)`)
	valueStart = regexp.MustCompile(`=|%(?:25)*3[dD]`)
)

// scrubPath gives the path as it may be kept: without query and parameters, and
// with each segment that looks like a token or holds a mailbox replaced. lure
// is the segment that was most likely the lure's, as it was sent; it must not
// be kept but hashed and sealed.
func scrubPath(escaped string) (path, lure string) {
	if strings.ContainsAny(escaped, "?#%") {
		if at := queryStart.FindStringIndex(escaped); at != nil {
			escaped = escaped[:at[0]]
		}
	}
	var b strings.Builder
	cutShort := false
	for i, seg := range strings.Split(escaped, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		if strings.ContainsAny(seg, ";&%") {
			if at := paramStart.FindStringIndex(seg); at != nil { // ;jsessionid=...
				seg = seg[:at[0]]
			}
		}
		switch kind(seg) {
		case isMail:
			b.WriteString(mailMark)
			lure = longer(lure, seg)
		case isToken:
			b.WriteString(tokenMark)
			lure = longer(lure, seg)
		default:
			if at := valueStart.FindStringIndex(seg); at != nil { // password=...
				seg = seg[:at[0]]
			}
			b.WriteString(printable(seg))
		}
		if b.Len() > maxPath {
			cutShort = true
			break
		}
	}
	path = b.String()
	if cutShort {
		path = strings.ToValidUTF8(path[:maxPath], "")
		// A mark or an escape that the cut went through must not look like text.
		if i := strings.LastIndexByte(path, '/'); i > 0 {
			path = path[:i]
		}
		path += "/..."
	}
	return path, lure
}

func longer(a, b string) string {
	if len(b) > len(a) {
		return b
	}
	return a
}

type segKind int

const (
	isPlain segKind = iota
	isToken
	isMail
)

// kind judges one segment of a path, or one value of a query.
func kind(seg string) segKind {
	plain := unescape(seg)
	if strings.Contains(plain, "@") || hasMail(plain) { // a handle says as much
		return isMail
	}
	for _, run := range strings.FieldsFunc(plain, notTokenRune) {
		if mailInside(run) {
			return isMail
		}
	}
	if !utf8.ValidString(plain) {
		return isToken
	}
	for _, run := range strings.FieldsFunc(plain, notTokenRune) {
		if tokenLike(run) {
			return isToken
		}
	}
	// Words of another script, a sentence: longer than any page's name.
	if len(plain) > 64 {
		return isToken
	}
	return isPlain
}

// unescape undoes percent escapes, also such that were escaped again.
func unescape(s string) string {
	for range 4 {
		u, err := url.PathUnescape(s)
		if err != nil || u == s {
			break
		}
		s = u
	}
	return s
}

func notTokenRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '=' || r == '_' || r == '-' || r == '~')
}

// tokenLike says whether a run of letters of base64, base64url or hex was made
// by a machine: 16 or more of them, unless they are plain words joined by
// hyphens; or 8 and more that mix upper case, lower case and digits.
func tokenLike(run string) bool {
	var upper, lower, digit bool
	for i := range len(run) {
		switch c := run[i]; {
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= 'a' && c <= 'z':
			lower = true
		case c >= '0' && c <= '9':
			digit = true
		}
	}
	if len(run) >= 8 && upper && lower && digit {
		return true
	}
	if len(run) < 16 {
		return false
	}
	if upper || digit {
		return true
	}
	for word := range strings.SplitSeq(run, "-") {
		if len(word) > 12 || strings.ContainsAny(word, "+=_~") {
			return true
		}
	}
	return false
}

// hasMail says whether s holds a mailbox.
func hasMail(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '@' {
			continue
		}
		if i > 0 && i+1 < len(s) && !strings.ContainsRune(" /<>", rune(s[i-1])) && !strings.ContainsRune(" /<>", rune(s[i+1])) {
			return true
		}
	}
	return strings.Contains(s, "＠") || strings.Contains(strings.ToLower(s), "(at)")
}

// mailInside says whether a run is base64 or hex of a mailbox.
func mailInside(run string) bool {
	if len(run) < 8 || len(run) > 2048 {
		return false
	}
	raw := strings.TrimRight(run, "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(raw); err == nil && mailBytes(b) {
			return true
		}
	}
	if b, err := hex.DecodeString(run); err == nil && mailBytes(b) {
		return true
	}
	return false
}

func mailBytes(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return hasMail(string(b))
}

// printable keeps what a path holds in its escaped form; the rest becomes dots.
func printable(s string) string {
	ok := true
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			ok = false
		}
	}
	if ok {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r <= 0x20 || r >= 0x7f {
			return '.'
		}
		return r
	}, s)
}

// scrubText makes a user agent or the like fit to be kept: no mailbox, no
// control characters, no long token, bounded.
func scrubText(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	words := strings.Fields(s)
	for i, w := range words {
		switch {
		case hasMail(unescape(w)):
			words[i] = mailMark
		case len(w) > 40 && tokenLike(strings.TrimFunc(w, notTokenRune)):
			words[i] = tokenMark
		}
	}
	return strings.Join(words, " ")
}

// refererHost gives the host of a referer, and nothing else of it.
func refererHost(ref string) string {
	if ref == "" || len(ref) > 4096 {
		return ""
	}
	u, err := url.Parse(ref)
	if err != nil {
		return ""
	}
	return hostName(u.Host)
}

// secretKeys are parts of query keys whose values are never a lure's token.
var secretKeys = []string{"pass", "pwd", "pin", "otp", "code", "secret", "auth", "sid", "session", "jwt", "access", "refresh", "id_token", "credential", "card", "cvv", "saml", "assertion", "login", "user"}

// queryLure finds the lure's token among the values of a query, in memory only:
// the longest that looks like a token or a mailbox. A query with a key that
// speaks of secrets gives none.
func queryLure(raw string) string {
	if raw == "" || len(raw) > 8192 {
		return ""
	}
	best := ""
	for pair := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(pair, "=")
		low := strings.ToLower(unescape(key))
		for _, k := range secretKeys {
			if strings.Contains(low, k) {
				return ""
			}
		}
		if v, err := url.QueryUnescape(value); err == nil && len(v) <= 512 && kind(v) != isPlain {
			best = longer(best, v)
		}
	}
	return best
}
