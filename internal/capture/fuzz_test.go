package capture

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What the browser sends comes from where a hostile page runs.
func FuzzRequestHead(f *testing.F) {
	f.Add([]byte("GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nProxy-Connection: keep-alive\r\n\r\n"))
	f.Add([]byte("CONNECT a.example:443 HTTP/1.1\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"))
	f.Add([]byte("GET / HTTP/1.1\nX\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		br := bufio.NewReader(bytes.NewReader(b))
		h, err := readHead(br)
		if err != nil {
			return
		}
		body, err := h.body(br)
		if err != nil {
			return
		}
		if len(body) > proxyBody {
			t.Fatal("too long a body")
		}
		u := &url.URL{Scheme: "https", Host: "a.example", Path: "/"}
		out := h.forward(u, len(body))
		// What is sent on must be one request with the headers of this one:
		// no line may be smuggled in.
		got, err := readHead(bufio.NewReader(bytes.NewReader(out)))
		if err != nil {
			t.Fatalf("what is sent on can't be read: %v: %q", err, out)
		}
		if len(got.lines) > len(h.lines)+3 || bytes.Count(out, []byte("\r\n\r\n")) != 1 {
			t.Fatalf("%d lines became %d: %q", len(h.lines), len(got.lines), out)
		}
		if got.get("Host") != "a.example" || got.get("Connection") != "close" || got.get("Proxy-Authorization") != "" {
			t.Fatalf("%q", out)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add("gzip", []byte("\x1f\x8b\x08\x00"))
	f.Add("deflate", []byte("x\x9c"))
	f.Add("br", []byte("x"))
	f.Fuzz(func(t *testing.T, enc string, b []byte) {
		out, _, _ := unpack(http.Header{"Content-Encoding": {enc}}, b, 1<<16)
		if len(out) > max(1<<16, len(b)) {
			t.Fatalf("%d octets", len(out))
		}
	})
}

// The jail's answer comes from where a hostile page runs.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"png":"iVBORw==","dom":"<html>","url":"https://a.example/","notes":["x"]}`))
	f.Add([]byte(`{"png":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readReply(bytes.NewReader(b))
		if err != nil {
			return
		}
		_ = readPage([]byte(r.DOM))
	})
}

func FuzzInert(f *testing.F) {
	f.Add("a\x1b[31m\u202eb\u200b")
	f.Fuzz(func(t *testing.T, s string) {
		got := inert(s, 100)
		if len(got) > 400 || strings.ContainsAny(got, "\x00\x1b\r\n\u202e\u2066\u200b\ufeff") {
			t.Fatalf("%q", got)
		}
		if strings.ContainsAny(oneLine(s), "\r\n\x00") {
			t.Fatal("a line became two")
		}
	})
}
