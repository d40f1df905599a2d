package sinkhole

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

const okHead = "GET / HTTP/1.1\r\nHost: a.example\r\n"

// What could be understood in two ways is refused, whatever else is fine.
func TestHeadRefuses(t *testing.T) {
	for _, tt := range []struct {
		what, send string
		status     int
	}{
		{"length and coding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"coding and length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400},
		{"two lengths", okHead + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		{"the same length twice", okHead + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
		{"a list of lengths", okHead + "Content-Length: 1, 1\r\n\r\n", 400},
		{"length with plus", okHead + "Content-Length: +1\r\n\r\n", 400},
		{"length with minus", okHead + "Content-Length: -1\r\n\r\n", 400},
		{"length in hex", okHead + "Content-Length: 0x1\r\n\r\n", 400},
		{"no length", okHead + "Content-Length:\r\n\r\n", 400},
		{"endless length", okHead + "Content-Length: 99999999999999999999\r\n\r\n", 400},
		{"another coding", okHead + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{"coding twice", okHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"coding with a tab inside", okHead + "Transfer-Encoding: chun\tked\r\n\r\n", 501},
		{"coding with a vertical tab", okHead + "Transfer-Encoding: \x0bchunked\r\n\r\n", 400},
		{"coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"folded line", okHead + "X: a\r\n b\r\n\r\n", 400},
		{"folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
		{"bare LF in the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
		{"bare LF after a field", okHead + "X: a\nY: b\r\n\r\n", 400},
		{"bare LF at the end", okHead + "\n", 400},
		{"bare CR", okHead + "X: a\rY: b\r\n\r\n", 400},
		{"CR CR LF", okHead + "X: a\r\r\n\r\n", 400},
		{"space before the colon", okHead + "Content-Length : 4\r\n\r\n", 400},
		{"tab before the colon", okHead + "Transfer-Encoding\t: chunked\r\n\r\n", 400},
		{"no colon", okHead + "X\r\n\r\n", 400},
		{"no name", okHead + ": x\r\n\r\n", 400},
		{"NUL in a name", okHead + "X\x00: y\r\n\r\n", 400},
		{"NUL in a value", okHead + "X: \x00y\r\n\r\n", 400},
		{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"two hosts", okHead + "Host: b.example\r\n\r\n", 400},
		{"two hosts, absolute", "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
		{"no host", "GET / HTTP/1.1\r\nX: y\r\n\r\n", 400},
		{"no host, absolute", "GET http://a/ HTTP/1.1\r\n\r\n", 400},
		{"a user in the host", "GET / HTTP/1.1\r\nHost: u:p@a\r\n\r\n", 400},
		{"a user in the target", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
		{"a path in the host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"a backslash in the host", "GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"an escape in the host", "GET http://a%2eb/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"no port number", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
		{"empty authority", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"star", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a broken escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"an escape cut off", "GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"HTTP/0.9", "GET /\r\n", 400},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
		{"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
		{"a tab for the space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"an empty line first", "\r\n" + okHead + "\r\n", 400},
		{"an endless method", strings.Repeat("A", 40) + " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"TLS", "\x16\x03\x01", 400},
		{"a huge head", okHead + "X: " + strings.Repeat("x", maxHead) + "\r\n\r\n", 431},
		{"a huge line", "GET /" + strings.Repeat("x", maxHead), 431},
	} {
		var h head
		if n, status := parseHead([]byte(tt.send), &h); n != 0 || status != tt.status {
			t.Errorf("%s: %d octets taken, status %d; want %d", tt.what, n, status, tt.status)
		}
	}
}

func TestHeadTakes(t *testing.T) {
	for _, tt := range []struct {
		send string
		want head
	}{
		{okHead + "\r\n", head{method: "GET", host: "a.example", path: "/", minor: 1}},
		{"GET http://b.example:8080/x?y=z HTTP/1.1\r\nhOST: a\r\n\r\n", head{method: "GET", host: "b.example:8080", path: "/x", query: "y=z", minor: 1}},
		{"GET HTTPS://b?y HTTP/1.1\r\nHost: a\r\n\r\n", head{method: "GET", host: "b", query: "y", minor: 1}},
		{"GET //x/%2e%2E/[1] HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", head{method: "GET", host: "[::1]:80", path: "//x/%2e%2E/[1]", minor: 1}},
		{"GET /\xe4\xbd\xa0\"%2f HTTP/1.1\r\nHost:\t a \r\n\r\n", head{method: "GET", host: "a", path: "/%E4%BD%A0%22/", minor: 1}},
		{"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", head{method: "OPTIONS", path: "*", minor: 1}},
		{"CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n", head{method: "CONNECT", host: "a:443", minor: 1}},
		{"GET / HTTP/1.0\r\n\r\n", head{method: "GET", path: "/", close: true}},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", head{method: "GET", path: "/", keep10: true}},
		{okHead + "Connection: x , Close\r\nUpgrade: h2c\r\nExpect: y\r\n\r\n", head{method: "GET", host: "a.example", path: "/", minor: 1, close: true, upgrade: true, expect: true}},
		{okHead + "User-Agent: \r\nUser-Agent: b\r\nReferer: r\r\nAccept-Language: fr\r\nAccept-Language: de\r\n\r\n", head{method: "GET", host: "a.example", path: "/", minor: 1, referer: "r", lang: "fr"}},
		{okHead + "Content-Length: 00\r\n\r\n", head{method: "GET", host: "a.example", path: "/", minor: 1}},
		{okHead + "Content-Length: 10\r\n\r\n", head{method: "GET", host: "a.example", path: "/", minor: 1, body: true}},
		{okHead + "Transfer-Encoding: ChunkeD\r\n\r\n", head{method: "GET", host: "a.example", path: "/", minor: 1, body: true}},
	} {
		var h head
		n, status := parseHead([]byte(tt.send+"GET /next"), &h)
		if n != len(tt.send) || status != 0 || h != tt.want {
			t.Errorf("%q: %d of %d octets, status %d\n got %+v\nwant %+v", tt.send, n, len(tt.send), status, h, tt.want)
		}
		// However it is cut, nothing is said before the end.
		for i := range len(tt.send) {
			if n, status := parseHead([]byte(tt.send[:i]), &h); n != 0 || status != 0 {
				t.Errorf("%q: %d, %d", tt.send[:i], n, status)
			}
		}
	}
}

// Whatever our reader takes, net/http's takes with the same meaning.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		okHead + "\r\n", okHead + "Content-Length: 3\r\n\r\nabc", okHead + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET http://u:p@a:80/x?y#z HTTP/1.1\r\nHost: b\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.0\r\n\r\n",
		"GET /%41\xff\"<> HTTP/1.0\r\nConnection: keep-alive, close\r\nExpect: 100-continue\r\n\r\n", okHead + "Upgrade: h2c\r\nUser-Agent: a\tb\xff \r\n\r\n",
		"GET http://[::1]:80/ HTTP/1.1\r\nHost: [::1]\r\nReferer: x\r\nAccept-Language: de\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		okHead + "X : y\r\n\r\n", okHead + "X: y\r\n z\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", "GET http://a:/ HTTP/1.1\r\nHost: a:\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		n, status := parseHead(b, &h)
		if n == 0 {
			if status == 0 && len(b) >= maxHead {
				t.Fatal("it would wait for ever")
			}
			return
		}
		if status != 0 || n > maxHead || n > len(b) || !bytes.HasSuffix(b[:n], []byte("\r\n\r\n")) {
			t.Fatalf("%d octets, status %d", n, status)
		}
		in := bufio.NewReader(bytes.NewReader(b[:n]))
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("net/http: %v", err)
		}
		if left := in.Buffered(); left != 0 {
			t.Fatalf("net/http leaves %d octets", left)
		}
		get := func(k string) string { return r.Header.Get(k) }
		path := r.URL.EscapedPath()
		if r.Method != h.method || r.Host != h.host || path != h.path || r.URL.RawQuery != h.query || r.ProtoMajor != 1 || r.ProtoMinor != int(h.minor) ||
			get("User-Agent") != h.agent || get("Referer") != h.referer || get("Accept-Language") != h.lang ||
			(r.ContentLength != 0) != h.body || get("Expect") != "" && !h.expect || r.Close != h.close {
			t.Fatalf("net/http reads %+v (path %q)\nwe read %+v", r, path, h)
		}
		// More octets after it change nothing; fewer are never enough.
		var again head
		if m, _ := parseHead(append(b[:n:n], "GET"...), &again); m != n || again != h {
			t.Fatalf("%d and then %d octets", n, m)
		}
		if m, _ := parseHead(b[:n-1], &again); m != 0 {
			t.Fatalf("%d octets were enough", m)
		}
	})
}
