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
	"github.com/impound/impound/internal/sinkhole/policy"
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

// Over TLS an answer is padded for who padded his question, and over any stream
// told how long it stays open; over UDP and TCP nothing is padded.
func TestStreamOptions(t *testing.T) {
	for _, plain := range []bool{false, true} {
		r := start(t, usual(t), onlyDNS, func(c *Config) { c.Plain = plain; c.Limits.IdleTimeout = 7 * time.Second })
		ask := func(network string, options ...dns.EDNS0) (size, padding int, keep *dns.EDNS0_TCP_KEEPALIVE) {
			t.Helper()
			m := new(dns.Msg)
			m.SetQuestion("www.outlook-verify.net.", dns.TypeTXT)
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = options
			c := dns.Client{Net: network, Timeout: 5 * time.Second, TLSConfig: &tls.Config{InsecureSkipVerify: true}}
			addr := r.addr("dns")
			if network == "tcp-tls" {
				addr = r.addr("dns+tls")
			}
			conn, err := c.Dial(addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			if err := conn.WriteMsg(m); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 4096)
			size, err = conn.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			in := new(dns.Msg)
			if err := in.Unpack(b[:size]); err != nil || in.IsEdns0() == nil || network != "udp" && len(in.Answer) != 2 {
				t.Fatalf("%v, %v", in, err)
			}
			padding = -1
			for _, o := range in.IsEdns0().Option {
				switch o := o.(type) {
				case *dns.EDNS0_PADDING:
					padding = len(o.Padding)
				case *dns.EDNS0_TCP_KEEPALIVE:
					keep = o
				}
			}
			return size, padding, keep
		}
		pad, ka := &dns.EDNS0_PADDING{Padding: make([]byte, 40)}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}
		if size, padding, keep := ask("tcp-tls", pad, ka); size != 468 || padding < 0 || keep == nil || keep.Timeout != 70 {
			t.Errorf("DoT, both: %d octets, %d of padding, %v", size, padding, keep)
		}
		if size, padding, keep := ask("tcp-tls"); size >= 468 || padding >= 0 || keep != nil {
			t.Errorf("DoT, neither: %d octets, %d of padding, %v", size, padding, keep)
		}
		if _, padding, keep := ask("tcp", pad, ka); padding >= 0 || keep == nil || keep.Timeout != 70 {
			t.Errorf("TCP: %d of padding, %v", padding, keep)
		}
		if _, padding, keep := ask("udp", pad, ka); padding >= 0 || keep != nil {
			t.Errorf("UDP: %d of padding, %v", padding, keep)
		}
	}
	r := start(t, usual(t), onlyDNS)
	kdig := peertest.Need(t, "kdig", "knot-dnsutils")
	out := run(t, "", kdig, "@127.0.0.1", "-p", r.port("dns+tls"), "+tls", "+padding", "+ednsopt=11", "www.outlook-verify.net", "A")
	if !strings.Contains(out, "PADDING") || !strings.Contains(strings.ToUpper(out), "KEEPALIVE") && !strings.Contains(out, "EDNS: 11") && !strings.Contains(out, "Option (11)") || !strings.Contains(out, "468 B") || strings.Contains(out, "WARNING") {
		t.Errorf("kdig says %s", out)
	}
}

// Who comes for DNS over TLS and gets no handshake is recorded all the same.
func TestFailedDoTIsRecorded(t *testing.T) {
	for _, c := range []struct {
		what, outcome, guess string
		say                  func(net.Conn)
	}{
		{"no TLS", malformed, "", func(c net.Conn) { c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }},
		{"silence", refused, "silent", func(c net.Conn) {}},
		{"an old version", refused, "", func(c net.Conn) {
			tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}).Handshake()
		}},
		{"another protocol", refused, "", func(c net.Conn) {
			tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}).Handshake()
		}},
	} {
		r := start(t, opened(t, t0, policy.Options{}, mandate(t, "O-contact", nil, "outlook-verify.net")), onlyDNS)
		conn, err := net.Dial("tcp", r.addr("dns+tls"))
		if err != nil {
			t.Fatal(err)
		}
		c.say(conn)
		conn.Close()
		var es []impound.Event
		for try := 0; try < 1000 && len(es) == 0; try++ {
			time.Sleep(2 * time.Millisecond)
			es = r.rec.take()
		}
		if e := one(t, es); e.Proto != impound.ProtoDoT || e.Outcome != c.outcome || e.Guess != c.guess || c.outcome == refused && c.guess == "" && e.TLS == "" {
			t.Errorf("%s: event %+v", c.what, e)
		}
	}
}
