package sinkhole

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/impound/impound"
)

// A hostmaster is told as it is configured: as a mailbox, or as the name that
// stands for one.
func TestMailboxName(t *testing.T) {
	for in, want := range map[string]string{
		"": ".", "hostmaster.unit.example": "hostmaster.unit.example.", "Host.Master@unit.example": `Host\.Master.unit.example.`,
		"@unit.example": ".", "a b@unit.example": ".", "no name": ".", "a@": ".",
	} {
		if got := mailboxName(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// A client of HTTP/2 may send 64 KiB before it hears how much it may send (RFC
// 9113 6.9.2). It gets its answer all the same, and never leave to go on.
func TestEarlyBodyOverHTTP2(t *testing.T) {
	r := start(t, usual(t))
	c, err := tls.Dial("tcp", r.addr("https"), &tls.Config{ServerName: "outlook-verify.net", InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&out, c)
	f.WriteSettings()
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "outlook-verify.net"}, {":path", "/"}, {"expect", "100-continue"}} {
		enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	for left := 65535; left > 0; left -= 16384 {
		f.WriteData(1, false, bytes.Repeat([]byte("x"), min(left, 16384)))
	}
	if _, err := c.Write(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		fr, err := f.ReadFrame()
		if errors.Is(err, io.EOF) {
			t.Fatal("it hung up without an answer")
		} else if err != nil {
			t.Fatal(err)
		}
		switch fr := fr.(type) {
		case *http2.GoAwayFrame, *http2.RSTStreamFrame:
			t.Fatalf("in place of an answer: %v", fr)
		case *http2.MetaHeadersFrame:
			if got := fr.PseudoValue("status"); got != "200" {
				t.Fatalf("status %s", got)
			}
			es := r.rec.take() // the handshake, the request
			if len(es) != 2 || es[1].Method != "POST" || es[1].Status != 200 || es[1].Proto != impound.ProtoTLS {
				t.Errorf("%+v", es)
			}
			return
		}
	}
}
