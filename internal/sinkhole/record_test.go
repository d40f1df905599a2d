package sinkhole

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

func TestKeepBits(t *testing.T) {
	for _, tt := range []struct {
		in     string
		v4, v6 int
		want   string
	}{
		{"192.0.2.77:4711", 0, 48, "192.0.2.77:4711"},
		{"192.0.2.77:4711", 24, 0, "192.0.2.0:0"},
		{"192.0.2.77:4711", 32, 0, "192.0.2.77:4711"},
		{"[2001:db8:1:2:3::4]:4711", 24, 48, "[2001:db8:1::]:0"},
		{"[2001:db8:1:2:3::4]:4711", 24, 0, "[2001:db8:1:2:3::4]:4711"},
		{"[::ffff:192.0.2.77]:4711", 16, 128, "192.0.0.0:0"},
	} {
		if got := keepBits(netip.MustParseAddrPort(tt.in), tt.v4, tt.v6); got != netip.MustParseAddrPort(tt.want) {
			t.Errorf("keepBits(%s, %d, %d) = %s, want %s", tt.in, tt.v4, tt.v6, got, tt.want)
		}
	}
	if got := keepBits(netip.AddrPort{}, 24, 48); got.IsValid() {
		t.Errorf("of no address: %s", got)
	}
}

// An address is cut as the order says, and of a contact that names nobody as
// the strictest of the orders in force says.
func TestAddressesAreCut(t *testing.T) {
	cutting := mandate(t, "O-cut", func(o *impound.Order) { o.Sinkhole.KeepBits4, o.Sinkhole.KeepBits6 = 4, 48 }, "cut-here.net")
	other := mandate(t, "O-other", func(o *impound.Order) { o.Sinkhole.KeepBits4 = 24 }, "cut-less.net")
	whole := mandate(t, "O-whole", nil, "outlook-verify.net")
	r := start(t, opened(t, t0, policy.Options{}, cutting, other, whole))
	src := func() netip.AddrPort { return one(t, r.rec.take()).Src }
	for host, want := range map[string]string{"cut-here.net": "112.0.0.0:0", "a.cut-less.net": "127.0.0.0:0"} {
		raw(t, r.addr("http"), "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if got := src(); got.String() != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	raw(t, r.addr("http"), "GET / HTTP/1.1\r\nHost: outlook-verify.net\r\nConnection: close\r\n\r\n")
	if got := src(); got.Addr().String() != "127.0.0.1" || got.Port() == 0 {
		t.Errorf("an order that cuts nothing: %s", got)
	}
	for what, send := range map[string]func(){
		"tcp":            func() { raw(t, r.addr("tcp"), "SSH-2.0-x\r\n") },
		"malformed http": func() { raw(t, r.addr("http"), "nonsense\r\n\r\n") },
		"smtp":           func() { raw(t, r.addr("smtp"), "EHLO a.example\r\nQUIT\r\n") },
		"malformed dns": func() {
			c, err := net.Dial("udp", r.addr("dns"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff")
			for end := time.Now().Add(5 * time.Second); r.rec.len() == 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
		},
	} {
		send()
		if got := src(); got.String() != "112.0.0.0:0" {
			t.Errorf("%s: %s is kept, though an order in force cuts addresses", what, got)
		}
	}
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.events)
}
