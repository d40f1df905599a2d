package xdp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// words is the sum of RFC 1071, as the RFC writes it.
func words(b []byte) uint32 {
	var s uint32
	for i, c := range b {
		if i%2 == 0 {
			s += uint32(c) << 8
		} else {
			s += uint32(c)
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return s
}

func pseudo(src, dst netip.Addr, n int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	return append(b, 0, 0, byte(n>>8), byte(n), 0, 0, 0, 17)
}

// datagram builds a frame in the plainest way.
func datagram(src, dst netip.AddrPort, payload []byte) []byte {
	f := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	n := udpLen + len(payload)
	if src.Addr().Is4() {
		ip := []byte{0x45, 0, byte((ip4Len + n) >> 8), byte(ip4Len + n), 0, 7, 0, 0, 61, 17, 0, 0}
		ip = append(append(ip, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(ip[10:], ^uint16(words(ip)))
		f = append(append(f, 8, 0), ip...)
	} else {
		f = append(f, 0x86, 0xdd, 0x60, 1, 2, 3, byte(n>>8), byte(n), 17, 61)
		f = append(append(f, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	}
	u := binary.BigEndian.AppendUint16(nil, src.Port())
	u = binary.BigEndian.AppendUint16(u, dst.Port())
	u = append(u, byte(n>>8), byte(n), 0, 0)
	u = append(u, payload...)
	sum := ^uint16(words(append(pseudo(src.Addr(), dst.Addr(), n), u...)))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(u[6:], sum)
	return append(f, u...)
}

var (
	src4 = netip.MustParseAddrPort("198.51.100.7:5353")
	dst4 = netip.MustParseAddrPort("192.0.2.1:53")
	src6 = netip.MustParseAddrPort("[2001:db8::7]:5353")
	dst6 = netip.MustParseAddrPort("[2001:db8:1::1]:53")
)

func TestParseTakesWholeDatagramsAndNothingElse(t *testing.T) {
	const (
		ip  = ethLen
		u4  = ethLen + ip4Len
		u6  = ethLen + ip6Len
		odd = "seven.."
	)
	resum := func(f []byte) []byte { // the IPv4 head's checksum
		f[ip+10], f[ip+11] = 0, 0
		binary.BigEndian.PutUint16(f[ip+10:], ^uint16(words(f[ip:ip+ip4Len])))
		return f
	}
	set := func(at int, v ...byte) func([]byte) []byte {
		return func(f []byte) []byte { copy(f[at:], v); return f }
	}
	fixed := func(at int, v ...byte) func([]byte) []byte {
		return func(f []byte) []byte { copy(f[at:], v); return resum(f) }
	}
	from := func(s string) func([]byte) []byte {
		return func([]byte) []byte {
			a := netip.MustParseAddr(s)
			if a.Is4() {
				return datagram(netip.AddrPortFrom(a, 9), dst4, []byte(odd))
			}
			return datagram(netip.AddrPortFrom(a, 9), dst6, []byte(odd))
		}
	}
	for _, tt := range []struct {
		name string
		v6   bool
		edit func([]byte) []byte
		ok   bool
	}{
		{"IPv4", false, set(0), true},
		{"IPv6", true, set(0), true},
		{"padding behind it", false, func(f []byte) []byte { return append(f, 1, 2, 3) }, true},
		{"padding behind it, IPv6", true, func(f []byte) []byte { return append(f, 1, 2, 3) }, true},
		{"cut", false, func(f []byte) []byte { return f[:len(f)-1] }, false},
		{"cut, IPv6", true, func(f []byte) []byte { return f[:len(f)-1] }, false},
		{"cut to the head", true, func(f []byte) []byte { return f[:HeadRoom4] }, false},
		{"empty", false, func(f []byte) []byte { return nil }, false},
		{"ARP", false, set(12, 8, 6), false},
		{"from a group", false, set(6, 3), false},
		{"IPv4 options", false, fixed(ip, 0x46), false},
		{"IPv4 that says IPv6", false, fixed(ip, 0x65), false},
		{"IPv6 that says IPv4", true, set(ip, 0x40), false},
		{"head damaged", false, set(ip+8, 1), false},
		{"first fragment", false, fixed(ip+6, 0x20), false},
		{"later fragment", false, fixed(ip+6, 0, 1), false},
		{"don't fragment", false, fixed(ip+6, 0x40), true},
		{"TCP", false, fixed(ip+9, 6), false},
		{"TCP, IPv6", true, set(ip+6, 6), false},
		{"total length too short for UDP", false, fixed(ip+2, 0, 27), false},
		{"UDP longer than IP", false, set(u4+4, 0, 99), false},
		{"UDP shorter than its head", false, set(u4+4, 0, 7), false},
		{"UDP longer than IP, IPv6", true, set(u6+4, 0, 99), false},
		{"IPv6 length 0", true, set(ip+4, 0, 0), false},
		{"payload damaged", false, set(u4+8, 'S'), false},
		{"payload damaged, IPv6", true, set(u6+8, 'S'), false},
		{"port damaged", false, set(u4, 99), false},
		{"address damaged, IPv6", true, set(ip+8+5, 99), false},
		{"no checksum", false, set(u4+6, 0, 0), true},
		{"no checksum, IPv6", true, set(u6+6, 0, 0), false},
		{"checksum only begun", false, func(f []byte) []byte {
			binary.BigEndian.PutUint16(f[u4+6:], uint16(words(pseudo(src4.Addr(), dst4.Addr(), udpLen+len(odd)))))
			return f
		}, true},
		{"checksum only begun, IPv6", true, func(f []byte) []byte {
			binary.BigEndian.PutUint16(f[u6+6:], uint16(words(pseudo(src6.Addr(), dst6.Addr(), udpLen+len(odd)))))
			return f
		}, true},
		{"from 0/8", false, from("0.1.2.3"), false},
		{"from 127/8", false, from("127.0.0.1"), false},
		{"from a group's address", false, from("224.0.0.251"), false},
		{"from the broadcast address", false, from("255.255.255.255"), false},
		{"from ourselves", false, from("192.0.2.1"), false},
		{"from ::", true, from("::"), false},
		{"from ::1", true, from("::1"), false},
		{"from a group's address, IPv6", true, from("ff02::fb"), false},
		{"from a mapped address", true, from("::ffff:1.2.3.4"), false},
		{"from ourselves, IPv6", true, from("2001:db8:1::1"), false},
		{"from a link-local address", true, from("fe80::1"), true},
	} {
		src, dst := src4, dst4
		if tt.v6 {
			src, dst = src6, dst6
		}
		f := tt.edit(datagram(src, dst, []byte(odd)))
		var p Packet
		if ok := Parse(f, &p); ok != tt.ok {
			t.Errorf("%s: %v", tt.name, ok)
		} else if ok && (p.Dst != dst || string(p.Payload) != odd) {
			t.Errorf("%s: %v %q", tt.name, p.Dst, p.Payload)
		}
	}
}

// checkReply holds the answer to p, made of payload, against the plain code.
func checkReply(t *testing.T, p *Packet, payload []byte) {
	t.Helper()
	out := bytes.Repeat([]byte{0xaa}, frameSize) // what another answer left there
	copy(out[p.HeadRoom():], payload)
	n := p.Reply(out, len(payload))
	want := datagram(p.Dst, p.Src, payload)
	copy(want, p.frame[6:12])
	copy(want[6:], p.frame[:6])
	if p.Dst.Addr().Is4() {
		ip := want[ethLen:]
		copy(ip[4:], []byte{0, 0, 0x40, 0, 64, 17, 0, 0})
		binary.BigEndian.PutUint16(ip[10:], ^uint16(words(ip[:ip4Len])))
	} else {
		copy(want[ethLen+1:], []byte{0, 0, 0})
		want[ethLen+7] = 64
	}
	if !bytes.Equal(out[:n], want) {
		t.Errorf("answer to %v from %v:\n% x, not\n% x", p.Src, p.Dst, out[:n], want)
	}
}

func TestReplyGoesBackWithGoodChecksums(t *testing.T) {
	for n := range 300 {
		payload := bytes.Repeat([]byte{byte(n), 0xff, 3}, n)[:n]
		for _, f := range [][]byte{datagram(src4, dst4, payload), datagram(src6, dst6, payload)} {
			var p Packet
			if !Parse(f, &p) {
				t.Fatalf("%d octets: not taken", n)
			}
			checkReply(t, &p, payload)
		}
	}
	// The checksum that comes out as 0 is sent as ffff.
	zero := make([]byte, 2)
	for i := range 1 << 16 {
		binary.BigEndian.PutUint16(zero, uint16(i))
		f := datagram(src4, dst4, zero)
		if f[40] == 0xff && f[41] == 0xff {
			var p Packet
			if !Parse(f, &p) {
				t.Fatal("a checksum of ffff is not taken")
			}
			checkReply(t, &p, zero)
			return
		}
	}
	t.Fatal("no payload has that sum")
}

func FuzzFrame(f *testing.F) {
	q := []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x00\x00\x01\x00\x01")
	f.Add(datagram(src4, dst4, q))
	f.Add(datagram(src6, dst6, q))
	f.Add(append(datagram(src4, dst4, nil), 0, 0, 0))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > maxFrame {
			return
		}
		var p Packet
		before := bytes.Clone(frame)
		if !Parse(frame, &p) {
			return
		}
		if !bytes.Equal(before, frame) {
			t.Fatal("it wrote to the frame")
		}
		if len(p.Payload)+p.HeadRoom() > len(frame) {
			t.Fatal("a payload longer than the frame has")
		}
		checkReply(t, &p, p.Payload)
	})
}

func BenchmarkFrame(b *testing.B) {
	f := datagram(src4, dst4, make([]byte, 40))
	out := make([]byte, frameSize)
	var p Packet
	for b.Loop() {
		if !Parse(f, &p) {
			b.Fatal()
		}
		p.Reply(out, 56)
	}
}
