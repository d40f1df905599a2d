package sinkhole

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"
)

// cookieMaker makes and checks DNS server cookies (RFC 7873, in the format of
// RFC 9018). The secret is drawn at start: after a restart, clients get a new
// cookie with their next answer.
type cookieMaker struct{ k0, k1 uint64 }

func newCookieMaker() cookieMaker {
	var b [16]byte
	rand.Read(b[:])
	return cookieMaker{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

// fill puts the client's cookie and the server's for it into full.
func (c cookieMaker) fill(full *[24]byte, client [8]byte, src netip.Addr, now time.Time) {
	copy(full[:], client[:])
	copy(full[8:], []byte{1, 0, 0, 0})
	binary.BigEndian.PutUint32(full[12:], uint32(now.Unix()))
	binary.LittleEndian.PutUint64(full[16:], c.hash(full, src))
}

// check says whether raw ends in a server cookie that was made here for src
// within the last hour.
func (c cookieMaker) check(raw []byte, src netip.Addr, now time.Time) bool {
	if len(raw) != 24 || raw[8] != 1 || raw[9]|raw[10]|raw[11] != 0 {
		return false
	}
	age := int32(uint32(now.Unix()) - binary.BigEndian.Uint32(raw[12:])) // serial arithmetic, RFC 1982
	if age > 3600 || age < -300 {
		return false
	}
	var full [24]byte
	copy(full[:], raw[:16])
	return c.hash(&full, src) == binary.LittleEndian.Uint64(raw[16:])
}

func (c cookieMaker) hash(full *[24]byte, src netip.Addr) uint64 {
	var b [32]byte
	copy(b[:], full[:16])
	if src.Is4() {
		a := src.As4()
		copy(b[16:], a[:])
		return sipHash(c.k0, c.k1, b[:20])
	}
	a := src.As16()
	copy(b[16:], a[:])
	return sipHash(c.k0, c.k1, b[:])
}

// sipHash is SipHash-2-4.
func sipHash(k0, k1 uint64, p []byte) uint64 {
	v0, v1, v2, v3 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d, k0^0x6c7967656e657261, k1^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	last := uint64(len(p)) << 56
	for len(p) >= 8 {
		m := binary.LittleEndian.Uint64(p)
		v3 ^= m
		round()
		round()
		v0 ^= m
		p = p[8:]
	}
	for i, x := range p {
		last |= uint64(x) << (8 * i)
	}
	v3 ^= last
	round()
	round()
	v0 ^= last
	v2 ^= 0xff
	for range 4 {
		round()
	}
	return v0 ^ v1 ^ v2 ^ v3
}
