package sinkhole

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"unsafe"
)

// The head of a request is read here, by a reader of our own, since it faces
// the actor at every contact and net/http's reads on into the body. It takes
// less than net/http's: what it takes, that takes with the same meaning (tests
// and a fuzzer hold it to that). Whatever two readers could understand
// differently is refused.

// maxHead bounds a request head, in octets.
const maxHead = 16 << 10

// head is what of a request's head is looked at; cookies, credentials and other
// fields are passed over, and never pointed at. The strings share memory with
// the buffer that was read: they are good only until it is used again.
type head struct {
	method  string
	host    string
	path    string // as http.Request.URL.EscapedPath gives it
	query   string
	agent   string
	referer string
	lang    string
	minor   byte // of HTTP/1.x
	body    bool // a body is announced
	expect  bool
	upgrade bool
	close   bool // the client wants the connection closed, or can't keep it
	keep10  bool // HTTP/1.0 with keep-alive
}

// parseHead reads one request head (RFC 9112) from the beginning of b. n is its
// length, 0 when it isn't all there yet. status is 0, or what to answer: 400,
// 431, 501, 505; then the connection must end.
func parseHead(b []byte, h *head) (n, status int) {
	*h = head{}
	all := b
	if len(b) > maxHead {
		b = b[:maxHead]
	}
	more := func() (int, int) {
		if len(all) >= maxHead {
			return 0, http.StatusRequestHeaderFieldsTooLarge
		}
		return 0, 0
	}
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		// What can't become a request line is refused before it ends: TLS to
		// this port, and other protocols.
		for _, c := range b {
			if c < ' ' && c != '\r' || c == 0x7f {
				return 0, http.StatusBadRequest
			}
		}
		if len(b) > 0 && !tokenByte[b[0]] {
			return 0, http.StatusBadRequest
		}
		return more()
	}
	if status := h.requestLine(b[:i]); status != 0 {
		return 0, status
	}
	at := i + 1
	var host []byte
	hosts, lengths, codings := 0, 0, 0
	for {
		rest := b[at:]
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return more()
		}
		at += i + 1
		if i == 0 || rest[i-1] != '\r' { // a bare LF
			return 0, http.StatusBadRequest
		}
		line := rest[:i-1]
		if len(line) == 0 {
			break
		}
		colon := 0
		for colon < len(line) && tokenByte[line[colon]] {
			colon++
		}
		// Also a line that goes on the last one (obs-fold), and space before the colon.
		if colon == 0 || colon == len(line) || line[colon] != ':' {
			return 0, http.StatusBadRequest
		}
		value := line[colon+1:]
		for _, c := range value {
			if c < ' ' && c != '\t' || c == 0x7f { // NUL, bare CR
				return 0, http.StatusBadRequest
			}
		}
		name := line[:colon]
		switch colon {
		case 4:
			if fold(name, "host") {
				hosts++
				host = trim(value)
			}
		case 6:
			if fold(name, "expect") {
				h.expect = h.expect || len(trim(value)) > 0
			}
		case 7:
			if fold(name, "referer") {
				first(&h.referer, value)
			} else if fold(name, "upgrade") {
				h.upgrade = true
			}
		case 10:
			if fold(name, "user-agent") {
				first(&h.agent, value)
			} else if fold(name, "connection") {
				h.connection(value)
			}
		case 14:
			if fold(name, "content-length") {
				v := trim(value)
				if lengths++; lengths > 1 || len(v) == 0 || len(v) > 18 {
					return 0, http.StatusBadRequest
				}
				for _, c := range v {
					if c < '0' || c > '9' { // a sign, a list
						return 0, http.StatusBadRequest
					}
					h.body = h.body || c != '0'
				}
			}
		case 15:
			if fold(name, "accept-language") {
				first(&h.lang, value)
			}
		case 17:
			if fold(name, "transfer-encoding") {
				if codings++; codings > 1 {
					return 0, http.StatusBadRequest
				}
				if !fold(trim(value), "chunked") {
					return 0, http.StatusNotImplemented
				}
				h.body = true
			}
		}
	}
	switch {
	case hosts > 1, hosts == 0 && h.minor == 1:
		return 0, http.StatusBadRequest
	case codings > 0 && (lengths > 0 || h.minor == 0):
		return 0, http.StatusBadRequest
	case !validHost(host):
		return 0, http.StatusBadRequest
	}
	if h.host == "" { // the URI's host wins
		h.host = str(host)
	}
	if h.minor == 0 {
		h.close = h.close || !h.keep10
	} else {
		h.keep10 = false
	}
	return at, 0
}

// requestLine reads the first line, with its CR.
func (h *head) requestLine(line []byte) (status int) {
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return http.StatusBadRequest
	}
	line = line[:len(line)-1]
	i := 0
	for i < len(line) && tokenByte[line[i]] {
		i++
	}
	if i == 0 || i > 32 || i == len(line) || line[i] != ' ' {
		return http.StatusBadRequest
	}
	h.method = str(line[:i])
	line = line[i+1:]
	i = bytes.IndexByte(line, ' ')
	if i <= 0 { // also HTTP/0.9
		return http.StatusBadRequest
	}
	target, version := line[:i], line[i+1:]
	switch string(version) {
	case "HTTP/1.1":
		h.minor = 1
	case "HTTP/1.0":
	default:
		if len(version) == 8 && string(version[:5]) == "HTTP/" && version[6] == '.' && digit(version[5]) && digit(version[7]) {
			return http.StatusHTTPVersionNotSupported // with HTTP/2's preface
		}
		return http.StatusBadRequest
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return http.StatusBadRequest
		}
	}
	if h.method == http.MethodConnect {
		if !validHost(target) {
			return http.StatusBadRequest
		}
		h.host = str(target)
		return 0
	}
	if target[0] != '/' {
		if string(target) == "*" && h.method == http.MethodOptions {
			h.path = "*"
			return 0
		}
		n := 0
		switch {
		case len(target) > 7 && fold(target[:7], "http://"):
			n = 7
		case len(target) > 8 && fold(target[:8], "https://"):
			n = 8
		default:
			return http.StatusBadRequest
		}
		target = target[n:]
		i := bytes.IndexAny(target, "/?")
		if i < 0 {
			i = len(target)
		}
		if i == 0 || !validHost(target[:i]) { // also a user before the host
			return http.StatusBadRequest
		}
		h.host, target = str(target[:i]), target[i:]
	}
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		h.query, target = str(target[i+1:]), target[:i]
	}
	return h.setPath(target)
}

func (h *head) setPath(p []byte) (status int) {
	plain := true
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '%' {
			if i+2 >= len(p) || !hexDigit(p[i+1]) || !hexDigit(p[i+2]) {
				return http.StatusBadRequest
			}
			i += 2
			continue
		}
		plain = plain && pathByte[c]
	}
	h.path = str(p)
	if plain {
		return 0
	}
	u, err := url.PathUnescape(h.path)
	if err != nil {
		return http.StatusBadRequest
	}
	h.path = (&url.URL{Path: u}).EscapedPath()
	return 0
}

// connection reads the words of a Connection field.
func (h *head) connection(v []byte) {
	for len(v) > 0 {
		word := v
		if i := bytes.IndexByte(v, ','); i >= 0 {
			word, v = v[:i], v[i+1:]
		} else {
			v = nil
		}
		word = trim(word)
		if fold(word, "close") {
			h.close = true
		} else if fold(word, "keep-alive") {
			h.keep10 = true
		}
	}
}

// validHost says whether b is HOST or HOST:PORT with a name or an address, as
// far as no two readers could take it for different ones. Nothing is fine: it
// names nobody.
func validHost(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	rest := b
	if b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 3 {
			return false
		}
		if a, err := netip.ParseAddr(string(b[1:i])); err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
		rest = b[i+1:]
	} else {
		i := 0
		for i < len(b) && hostByte[b[i]] {
			i++
		}
		if i == 0 {
			return false
		}
		rest = b[i:]
	}
	if len(rest) == 0 {
		return true
	}
	if rest[0] != ':' || len(rest) > 6 {
		return false
	}
	for _, c := range rest[1:] {
		if !digit(c) {
			return false
		}
	}
	return true
}

// str is b as a string that shares its memory.
func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// first keeps the first of several fields of a name, as http.Header.Get does.
func first(s *string, v []byte) {
	if *s == "" && unsafe.StringData(*s) == nil {
		v = trim(v)
		*s = unsafe.String(unsafe.SliceData(v), len(v))
	}
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// fold says whether b is lower, in any case; lower is of letters and marks that
// no letter is 0x20 from.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(b) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func digit(c byte) bool    { return c >= '0' && c <= '9' }
func hexDigit(c byte) bool { return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func bytesOf(more string) (t [256]bool) {
	for c := range t {
		t[c] = alnum(byte(c))
	}
	for i := range len(more) {
		t[more[i]] = true
	}
	return t
}

var (
	tokenByte = bytesOf("!#$%&'*+-.^_`|~")      // RFC 9110 5.6.2
	pathByte  = bytesOf("-_.~/!$&'()*+,;=:@[]") // what a path holds unescaped
	hostByte  = bytesOf("-_.")
)
