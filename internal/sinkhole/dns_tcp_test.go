package sinkhole

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
)

func onlyDNS(c *Config) { c.Listeners = []string{"dns://127.0.0.1:0", "dns+tls://127.0.0.1:0"} }

func TestDoT(t *testing.T) {
	r := start(t, usual(t), onlyDNS)
	m := new(dns.Msg)
	m.SetQuestion("www.outlook-verify.net.", dns.TypeTXT)
	c := dns.Client{Net: "tcp-tls", Timeout: 5 * time.Second, TLSConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}}}
	in, _, err := c.Exchange(m, r.addr("dns+tls"))
	if err != nil || len(in.Answer) != 2 {
		t.Fatalf("%v, %v", in, err)
	}
	if e := one(t, r.rec.take()); e.Proto != impound.ProtoDoT || e.Outcome != answered || !e.Src.IsValid() || e.Dst.String() != r.addr("dns+tls") {
		t.Errorf("event %+v", e)
	}
	kdig := peertest.Need(t, "kdig", "knot-dnsutils")
	if out := run(t, "", kdig, "@127.0.0.1", "-p", r.port("dns+tls"), "+tls", "outlook-verify.net", "MX"); !strings.Contains(out, "0 .") || !strings.Contains(out, "TLS") || strings.Contains(out, "WARNING") {
		t.Errorf("kdig +tls: %s", out)
	}
	if r.Stats().DNSTCP != 2 {
		t.Errorf("stats %+v", r.Stats())
	}
}

// framed gives questions for www.outlook-verify.net as a stream carries them.
func framed(t testing.TB, ids ...uint16) (out []byte) {
	for _, id := range ids {
		m := new(dns.Msg)
		m.SetQuestion("www.outlook-verify.net.", dns.TypeA)
		m.Id = id
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(b))), b...)
	}
	return out
}

func readFramed(t testing.TB, c net.Conn) *dns.Msg {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	m, err := (&dns.Conn{Conn: c}).ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// However the octets of a stream come, each question is answered once, in turn.
func TestDNSStreamPieces(t *testing.T) {
	r := start(t, usual(t), onlyDNS)
	var ids []uint16
	for i := range 40 {
		ids = append(ids, uint16(i))
	}
	all := framed(t, ids...)
	for _, piece := range []int{1, 7, 513, len(all)} {
		c, err := net.Dial("tcp", r.addr("dns"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			for rest := all; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				c.Write(rest[:min(piece, len(rest))])
			}
		}()
		for _, id := range ids {
			if m := readFramed(t, c); m.Id != id || len(m.Answer) != 1 {
				t.Fatalf("in pieces of %d: %v, want id %d", piece, m, id)
			}
		}
		if n := len(r.rec.take()); n != len(ids) {
			t.Errorf("in pieces of %d: %d events, want %d", piece, n, len(ids))
		}
	}
	// A question longer than any is counted, and ends the connection.
	c, err := net.Dial("tcp", r.addr("dns"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte{0xff, 0xff, 0})
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 10)); n > 0 || err == nil {
		t.Errorf("an endless question: %d, %v", n, err)
	}
	if e := one(t, r.rec.take()); e.Outcome != malformed {
		t.Errorf("event %+v", e)
	}
}

// A client may be silent between questions for longer than within one.
func TestDNSStreamTimeouts(t *testing.T) {
	t.Parallel()
	r := start(t, usual(t), onlyDNS, func(c *Config) { c.Limits.HeadTimeout, c.Limits.IdleTimeout = time.Second, time.Hour })
	c, err := net.Dial("tcp", r.addr("dns"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := framed(t, 1)
	c.Write(q)
	readFramed(t, c)
	time.Sleep(1500 * time.Millisecond)
	c.Write(q)
	readFramed(t, c)
	// But whoever begins must go on.
	c.Write(q[:5])
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("half a question is waited for without end: %v", err)
	}
	// And the first must come soon.
	silent, err := net.Dial("tcp", r.addr("dns"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	silent.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("who never asks is waited for without end: %v", err)
	}
	if n := len(r.rec.take()); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}
