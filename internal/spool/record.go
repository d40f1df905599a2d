package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"time"

	"github.com/impound/impound"
)

// A record in the journal, little-endian, begins at a multiple of eight:
//
//	0  u32 length of the body; written last, so that what has one is whole
//	4  u32 CRC32C over body, sequence number and length
//	8  u64 sequence number
//	16 body, padded with zeros to a multiple of eight
const (
	recHead = 16
	maxBody = 24 << 10
	bodyV1  = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errBody = errors.New("the body of the record can't be read")

// The order of these is part of the format: add at the end only.
var (
	protos   = []string{"", string(impound.ProtoDNS), string(impound.ProtoDNST), string(impound.ProtoHTTP), string(impound.ProtoTLS), string(impound.ProtoSMTP), string(impound.ProtoTCP), string(impound.ProtoDoT), string(impound.ProtoUDP)}
	captures = []string{"", string(impound.CaptureCount), string(impound.CaptureContact), string(impound.CaptureLure)}
	outcomes = []string{"", "answered", "refused", "malformed", "limited", OutcomeGap}
)

const spelled = 0xff // the word is not in the list and follows as a string

// Flags say which strings follow, in this order.
const (
	fZone = 1 << iota
	fZoneIsTail
	fOrder
	fMethod
	fPath
	fUserAgent
	fReferer
	fSNI
	fALPN
	fJA4
	fHelo
	fFromDomain
	fLureHash
	fLure
	fGuess
	fStatus
	fLen
	fJA3
	fTLS
	fSenderHash
	fRcptHash
	fOpcode
)

func put16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }

func putWord(b []byte, list []string, w string) (out []byte, spell bool) {
	for i, x := range list {
		if x == w {
			return append(b, byte(i)), false
		}
	}
	return append(b, spelled), true
}

func putString(b []byte, s string, limit int) []byte {
	if len(s) > limit {
		s = s[:limit]
	}
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func putAddr(b []byte, a netip.AddrPort) []byte {
	switch ip := a.Addr().Unmap(); {
	case ip.Is4():
		x := ip.As4()
		b = append(append(b, 4), x[:]...)
	case ip.Is6():
		x := ip.As16()
		b = append(append(b, 16), x[:]...)
	default:
		return append(b, 0)
	}
	return put16(b, a.Port())
}

// The longest string of each kind that is kept: a record is bounded, whatever
// it is given.
const (
	limWord = 256
	limName = 1100 // 255 octets, each escaped to four
	limText = 2048
	limLure = 8192
)

// encode adds the body of e's record to b.
func encode(b []byte, e *impound.Event) []byte {
	b = append(b, bodyV1)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.At.UnixMicro()))
	var s1, s2, s3 bool
	b, s1 = putWord(b, protos, string(e.Proto))
	b, s2 = putWord(b, captures, string(e.Capture))
	b, s3 = putWord(b, outcomes, e.Outcome)
	b = append(b, e.RCode)
	b = put16(b, e.QType)
	name := e.Name
	if len(name) > limName {
		name = name[:limName]
	}
	lure := e.Lure
	if len(lure) > limLure { // half a sealed token opens nothing
		lure = ""
	}
	var f uint32
	set := func(bit uint32, s string) {
		if s != "" {
			f |= bit
		}
	}
	set(fZone, e.Zone)
	if e.Zone != "" && len(e.Zone) < 256 && strings.HasSuffix(name, e.Zone) {
		f |= fZoneIsTail
	}
	set(fOrder, e.Order)
	set(fMethod, e.Method)
	set(fPath, e.Path)
	set(fUserAgent, e.UserAgent)
	set(fReferer, e.Referer)
	set(fSNI, e.SNI)
	set(fALPN, e.ALPN)
	set(fJA4, e.JA4)
	set(fHelo, e.Helo)
	set(fFromDomain, e.FromDomain)
	set(fLureHash, e.LureHash)
	set(fLure, lure)
	set(fGuess, e.Guess)
	set(fJA3, e.JA3)
	set(fTLS, e.TLS)
	set(fSenderHash, e.SenderHash)
	set(fRcptHash, e.RcptHash)
	if e.Opcode > 0 {
		f |= fOpcode
	}
	if e.Status > 0 {
		f |= fStatus
	}
	if e.Len > 0 {
		f |= fLen
	}
	b = binary.LittleEndian.AppendUint32(b, f)
	b = putAddr(b, e.Src)
	b = putAddr(b, e.Dst)
	if s1 {
		b = putString(b, string(e.Proto), limWord)
	}
	if s2 {
		b = putString(b, string(e.Capture), limWord)
	}
	if s3 {
		b = putString(b, e.Outcome, limWord)
	}
	b = putString(b, name, limName)
	if f&fZoneIsTail != 0 {
		b = append(b, byte(len(e.Zone)))
	} else if f&fZone != 0 {
		b = putString(b, e.Zone, limName)
	}
	if f&(fOrder|fMethod|fPath|fUserAgent|fReferer|fSNI|fALPN|fJA4|fHelo|fFromDomain|fLureHash|fLure|fGuess|fJA3|fTLS|fSenderHash|fRcptHash) != 0 {
		opt := func(bit uint32, s string, limit int) {
			if f&bit != 0 {
				b = putString(b, s, limit)
			}
		}
		opt(fOrder, e.Order, limWord)
		opt(fMethod, e.Method, limWord)
		opt(fPath, e.Path, limText)
		opt(fUserAgent, e.UserAgent, limText)
		opt(fReferer, e.Referer, limName)
		opt(fSNI, e.SNI, limName)
		opt(fALPN, e.ALPN, limWord)
		opt(fJA4, e.JA4, limWord)
		opt(fHelo, e.Helo, limName)
		opt(fFromDomain, e.FromDomain, limName)
		opt(fLureHash, e.LureHash, limWord)
		opt(fLure, lure, limLure)
		opt(fGuess, e.Guess, limWord)
		opt(fJA3, e.JA3, limWord)
		opt(fTLS, e.TLS, limWord)
		opt(fSenderHash, e.SenderHash, limWord)
		opt(fRcptHash, e.RcptHash, limWord)
	}
	if f&fStatus != 0 {
		b = binary.AppendUvarint(b, uint64(e.Status))
	}
	if f&fLen != 0 {
		b = binary.AppendUvarint(b, uint64(e.Len))
	}
	if f&fOpcode != 0 {
		b = append(b, e.Opcode)
	}
	return b
}

type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.b) {
		c.bad = true
		return nil
	}
	x := c.b[:n]
	c.b = c.b[n:]
	return x
}

func (c *cursor) u8() byte {
	if x := c.take(1); x != nil {
		return x[0]
	}
	return 0
}

func (c *cursor) uvarint() uint64 {
	if c.bad {
		return 0
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 || v > 1<<31 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) str(in *interner) string {
	n := c.uvarint()
	if n > maxBody {
		c.bad = true
		return ""
	}
	return in.str(c.take(int(n)))
}

func (c *cursor) addr() netip.AddrPort {
	var ip netip.Addr
	switch c.u8() {
	case 0:
		return netip.AddrPort{}
	case 4:
		if x := c.take(4); x != nil {
			ip = netip.AddrFrom4([4]byte(x))
		}
	case 16:
		if x := c.take(16); x != nil {
			ip = netip.AddrFrom16([16]byte(x))
		}
	default:
		c.bad = true
	}
	p := c.take(2)
	if c.bad {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, binary.LittleEndian.Uint16(p))
}

func (c *cursor) word(list []string, w byte, in *interner) string {
	if w == spelled {
		return c.str(in)
	}
	if int(w) >= len(list) {
		c.bad = true
		return ""
	}
	return list[w]
}

// interner keeps one copy of words that come again and again in a read.
type interner struct{ m map[string]string }

func (in *interner) str(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if in == nil || len(b) > 64 {
		return string(b)
	}
	if s, ok := in.m[string(b)]; ok {
		return s
	}
	if in.m == nil || len(in.m) > 4096 {
		in.m = map[string]string{}
	}
	s := string(b)
	in.m[s] = s
	return s
}

// decode reads a body. It keeps no reference to b.
func decode(b []byte, e *impound.Event, in *interner) error {
	c := cursor{b: b}
	if c.u8() != bodyV1 {
		return errBody
	}
	at := c.take(8)
	w := c.take(3)
	if c.bad {
		return errBody
	}
	e.At = time.UnixMicro(int64(binary.LittleEndian.Uint64(at))).UTC()
	e.RCode = c.u8()
	q := c.take(2)
	fb := c.take(4)
	if c.bad {
		return errBody
	}
	e.QType = binary.LittleEndian.Uint16(q)
	f := binary.LittleEndian.Uint32(fb)
	e.Src = c.addr()
	e.Dst = c.addr()
	e.Proto = impound.Proto(c.word(protos, w[0], in))
	e.Capture = impound.CaptureLevel(c.word(captures, w[1], in))
	e.Outcome = c.word(outcomes, w[2], in)
	e.Name = c.str(in)
	if f&fZoneIsTail != 0 {
		n := int(c.u8())
		if n > len(e.Name) {
			return errBody
		}
		e.Zone = e.Name[len(e.Name)-n:]
	} else if f&fZone != 0 {
		e.Zone = c.str(in)
	}
	opt := func(bit uint32, s *string) {
		if f&bit != 0 {
			*s = c.str(in)
		}
	}
	opt(fOrder, &e.Order)
	opt(fMethod, &e.Method)
	opt(fPath, &e.Path)
	opt(fUserAgent, &e.UserAgent)
	opt(fReferer, &e.Referer)
	opt(fSNI, &e.SNI)
	opt(fALPN, &e.ALPN)
	opt(fJA4, &e.JA4)
	opt(fHelo, &e.Helo)
	opt(fFromDomain, &e.FromDomain)
	opt(fLureHash, &e.LureHash)
	opt(fLure, &e.Lure)
	opt(fGuess, &e.Guess)
	opt(fJA3, &e.JA3)
	opt(fTLS, &e.TLS)
	opt(fSenderHash, &e.SenderHash)
	opt(fRcptHash, &e.RcptHash)
	if f&fStatus != 0 {
		e.Status = int(c.uvarint())
	}
	if f&fLen != 0 {
		e.Len = int(c.uvarint())
	}
	if f&fOpcode != 0 {
		e.Opcode = c.u8()
	}
	if c.bad {
		return errBody
	}
	return nil
}

func recSize(body int) int { return recHead + (body+7)&^7 }

// crcOf is the checksum of a record. tail holds sequence number and length.
func crcOf(body, tail []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, body), castagnoli, tail)
}
