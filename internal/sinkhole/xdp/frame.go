package xdp

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

const (
	ethLen = 14
	ip4Len = 20
	ip6Len = 40
	udpLen = 8

	// HeadRoom4 and HeadRoom6 are the octets before a datagram's payload in a
	// frame.
	HeadRoom4 = ethLen + ip4Len + udpLen
	HeadRoom6 = ethLen + ip6Len + udpLen

	ttl = 64 // of what we send, as the kernel's
)

// Packet is one UDP datagram in an Ethernet frame. Payload points into the
// frame.
type Packet struct {
	Src, Dst netip.AddrPort
	Payload  []byte
	frame    []byte
}

// HeadRoom is where the payload of the answer begins in its frame.
func (p *Packet) HeadRoom() int {
	if p.Dst.Addr().Is4() {
		return HeadRoom4
	}
	return HeadRoom6
}

// Parse reads a frame that holds one whole UDP datagram over IPv4 without
// options or IPv6 without extension headers, and says whether it does. It is as
// strict as the kernel is before a socket gets to see a datagram: lengths,
// checksums, and sources that nobody can have (RFC 1122 3.2.1.3, RFC 4291 2.7).
//
// A checksum that is only begun is taken too: so do datagrams look that came
// from this machine over a virtual cable, where nothing can damage them.
func Parse(frame []byte, p *Packet) bool {
	if len(frame) < HeadRoom4 || frame[6]&1 != 0 { // a group sends nothing
		return false
	}
	var udp []byte
	var src, dst netip.Addr
	var pseudo uint64 // sum of the pseudo header, without the length
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		ip := frame[ethLen:]
		total := int(binary.BigEndian.Uint16(ip[2:]))
		if ip[0] != 0x45 || ip[6]&0x3f|ip[7] != 0 || ip[9] != 17 || total < ip4Len+udpLen || total > len(ip) || fold(sum(ip[:ip4Len], 0)) != 0xffff {
			return false
		}
		s, d := [4]byte(ip[12:16]), [4]byte(ip[16:20])
		if s[0] == 0 || s[0] == 127 || s[0] >= 224 || s == d {
			return false
		}
		src, dst = netip.AddrFrom4(s), netip.AddrFrom4(d)
		udp = ip[ip4Len:total]
		pseudo = sum(ip[12:20], 17<<8)
	case 0x86dd:
		if len(frame) < HeadRoom6 {
			return false
		}
		ip := frame[ethLen:]
		n := int(binary.BigEndian.Uint16(ip[4:]))
		if ip[0]>>4 != 6 || ip[6] != 17 || n < udpLen || n > len(ip)-ip6Len {
			return false
		}
		s, d := [16]byte(ip[8:24]), [16]byte(ip[24:40])
		src, dst = netip.AddrFrom16(s), netip.AddrFrom16(d)
		if s[0] == 0xff || s == d || src.IsUnspecified() || src.IsLoopback() || src.Is4In6() {
			return false
		}
		udp = ip[ip6Len : ip6Len+n]
		pseudo = sum(ip[8:40], 17<<8)
	default:
		return false
	}
	n := int(binary.BigEndian.Uint16(udp[4:]))
	if n < udpLen || n > len(udp) {
		return false
	}
	udp = udp[:n]
	pseudo = sum(udp[4:6], pseudo)
	if check := binary.LittleEndian.Uint16(udp[6:]); check == 0 {
		if src.Is6() { // RFC 8200 8.1
			return false
		}
	} else if check != fold(pseudo) && fold(sum(udp, pseudo)) != 0xffff {
		return false
	}
	p.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(udp))
	p.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(udp[2:]))
	p.Payload = udp[udpLen:]
	p.frame = frame
	return true
}

// Reply writes the heads of the answer, whose payload of n octets stands in out
// at HeadRoom, and gives the frame's length: the way back, with all checksums.
func (p *Packet) Reply(out []byte, n int) int {
	in := p.frame
	copy(out[0:6], in[6:12])
	copy(out[6:12], in[0:6])
	out[12], out[13] = in[12], in[13]
	ip := out[ethLen:]
	var udp []byte
	var pseudo uint64
	if p.Dst.Addr().Is4() {
		udp = ip[ip4Len : ip4Len+udpLen+n]
		// Don't Fragment, and so no identification (RFC 6864 4.1).
		copy(ip, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, 17, 0, 0})
		binary.BigEndian.PutUint16(ip[2:], uint16(ip4Len+len(udp)))
		copy(ip[12:16], in[ethLen+16:ethLen+20])
		copy(ip[16:20], in[ethLen+12:ethLen+16])
		binary.LittleEndian.PutUint16(ip[10:], ^fold(sum(ip[:ip4Len], 0)))
		pseudo = sum(ip[12:20], 17<<8)
	} else {
		udp = ip[ip6Len : ip6Len+udpLen+n]
		copy(ip, []byte{0x60, 0, 0, 0, 0, 0, 17, ttl})
		binary.BigEndian.PutUint16(ip[4:], uint16(len(udp)))
		copy(ip[8:24], in[ethLen+24:ethLen+40])
		copy(ip[24:40], in[ethLen+8:ethLen+24])
		pseudo = sum(ip[8:40], 17<<8)
	}
	binary.BigEndian.PutUint16(udp, p.Dst.Port())
	binary.BigEndian.PutUint16(udp[2:], p.Src.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	udp[6], udp[7] = 0, 0
	check := ^fold(sum(udp, sum(udp[4:6], pseudo)))
	if check == 0 { // which would mean none
		check = 0xffff
	}
	binary.LittleEndian.PutUint16(udp[6:], check)
	return p.HeadRoom() + n
}

// sum adds b to a sum of 16-bit words in little-endian order: the sum of RFC
// 1071 does not mind the order.
func sum(b []byte, s uint64) uint64 {
	var c uint64
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
		b = b[8:]
	}
	if len(b) >= 4 {
		s, c = bits.Add64(s, uint64(binary.LittleEndian.Uint32(b)), c)
		b = b[4:]
	}
	if len(b) >= 2 {
		s, c = bits.Add64(s, uint64(binary.LittleEndian.Uint16(b)), c)
		b = b[2:]
	}
	if len(b) == 1 {
		s, c = bits.Add64(s, uint64(b[0]), c)
	}
	s, c = bits.Add64(s, 0, c)
	return s + c
}

func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}
