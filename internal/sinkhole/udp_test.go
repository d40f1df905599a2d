package sinkhole

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
)

func TestUDPCatchAll(t *testing.T) {
	for _, addr := range []string{"udp://127.0.0.1:0", "udp://0.0.0.0:0"} {
		r := start(t, opened(t, t0, policyOptions(), mandate(t, "O1", nil, "outlook-verify.net")), func(c *Config) { c.Listeners = []string{addr} })
		c, err := net.Dial("udp", "127.0.0.1:"+r.port("udp"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, tt := range []struct{ send, guess string }{
			{"", "empty"}, {"hello", "text"}, {"\x00\x01\x02\xff", "binary"}, {strings.Repeat("x", 3000), "text"},
			{"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01", "dns"},
			{"\x1b" + strings.Repeat("\x00", 47), "ntp"}, {"\xc0" + strings.Repeat("\x00", 1199), "quic"}, {"M-SEARCH * HTTP/1.1\r\n\r\n", "ssdp"},
			{"\x00\x01\x00\x00\x21\x12\xa4\x42" + strings.Repeat("\x07", 12), "stun"}, {"OPTIONS sip:a@b SIP/2.0\r\n", "sip"},
			{"\x30\x26\x02\x01\x01\x04\x06public", "snmp"},
		} {
			if _, err := c.Write([]byte(tt.send)); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(5 * time.Second); r.rec.len() == 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			e := one(t, r.rec.take())
			if e.Proto != impound.ProtoUDP || e.Guess != tt.guess || e.Len != len(tt.send) || e.Outcome != refused || e.Src.String() != c.LocalAddr().String() || e.Dst.String() != "127.0.0.1:"+r.port("udp") {
				t.Errorf("%q: %+v", tt.send, e)
			}
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := c.Read(make([]byte, 10)); err == nil {
			t.Errorf("%d octets came back", n)
		}
	}
}

func TestPortRanges(t *testing.T) {
	// Five ports in a row that are free in both protocols.
	var ports string
	for try := 20000; ports == "" && try < 30000; try += 7 {
		ok := true
		for p := try; p < try+5 && ok; p++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
			if ok = err == nil; ok {
				l.Close()
				u, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", p))
				if ok = err == nil; ok {
					u.Close()
				}
			}
		}
		if ok {
			ports = fmt.Sprintf("%d-%d", try, try+4)
		}
	}
	r := start(t, usual(t), func(c *Config) { c.Listeners = []string{"tcp://127.0.0.1:" + ports, "udp://127.0.0.1:" + ports} })
	if len(r.addrs["tcp"]) != 5 || len(r.addrs["udp"]) != 5 {
		t.Fatalf("%v", r.addrs)
	}
	for _, a := range r.addrs["tcp"] {
		raw(t, a, "SSH-2.0-x\r\n")
		if e := one(t, r.rec.take()); e.Proto != impound.ProtoTCP {
			t.Errorf("%s: %+v", a, e)
		}
	}
	// All or none: a port that is taken leaves none of the others bound.
	s, err := New(Config{Sensor: "s1", Listeners: []string{"tcp://127.0.0.1:" + ports}, Recorder: r.rec})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); impound.KindOf(err) != impound.KindUnavailable {
		t.Errorf("%v", err)
	}
	for _, l := range []string{"tcp://127.0.0.1:1-1001", "udp://127.0.0.1:9-8", "tcp://127.0.0.1:0-5", "tcp://127.0.0.1:1-70000", "tcp://127.0.0.1:-", "http://127.0.0.1:80-81", "tcp://u@127.0.0.1:1-2", "tcp://:x:1-2/"} {
		if err := CheckListener(l); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%s: %v", l, err)
		}
	}
	for _, l := range []string{"tcp://127.0.0.1:1-1000", "udp://[::1]:5-5", "udp://0.0.0.0:65535"} {
		if err := CheckListener(l); err != nil {
			t.Errorf("%s: %v", l, err)
		}
	}
}

// Datagrams above the rate are not recorded one by one, but none is missing from
// the count.
func TestUDPFlood(t *testing.T) {
	r := start(t, opened(t, t0, policyOptions(), mandate(t, "O1", nil, "outlook-verify.net")), func(c *Config) {
		c.Listeners = []string{"udp://127.0.0.1:0"}
		c.Limits.UDPPerSecond = 10
	})
	c, err := net.Dial("udp", r.addr("udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const sent = 100
	for range sent {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	single, counted, events := 0, 0, 0
	for end := time.Now().Add(10 * time.Second); single+counted < sent && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, e := range r.rec.take() {
			events++
			if e.Outcome == limited {
				counted += e.Len
				if e.Guess != "flood" || e.Src.Addr().String() != "127.0.0.0" {
					t.Errorf("event %+v", e)
				}
			} else {
				single++
			}
		}
	}
	if single != 10 || single+counted != sent || events > 20 {
		t.Errorf("%d recorded one by one, %d counted, %d events, of %d sent", single, counted, events, sent)
	}
}
