package sinkhole

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strconv"
)

// What a TLS client says first is read here, by a reader of our own, on its way
// to crypto/tls: so it is recorded before anything is answered to it, also when
// it is broken, cut off, or something that crypto/tls refuses. The reader takes
// whatever crypto/tls takes (a test holds it to that) and nothing is decided by
// it alone: which certificate is shown follows from what crypto/tls read.

const (
	helloMax       = 32 << 10 // octets of a ClientHello that are kept; browsers send 2 KiB
	helloAlerts    = 16       // warnings in a row before it; crypto/tls takes as many
	recordMax      = 16 << 10 // octets in a TLS record, RFC 8446 5.1
	recordAlert    = 21
	recordHello    = 22
	extSNI         = 0
	extGroups      = 10
	extPoints      = 11
	extSigs        = 13
	extALPN        = 16
	extVersions    = 43
	helloHeaderLen = 4
)

var errHello = errors.New("not a ClientHello")

// helloReader puts a ClientHello together out of records and segments.
type helloReader struct {
	hdr    [5]byte
	nhdr   int
	left   int // octets of the record that are still to come
	alert  [2]byte
	alerts int
	buf    []byte
}

// feed takes the next octets. It gives the ClientHello without its header when
// it is complete, which shares memory with b or the reader, and until then
// neither that nor an error.
func (h *helloReader) feed(b []byte) ([]byte, error) {
	// Nearly always it comes at once, in one record.
	if h.nhdr == 0 && h.buf == nil && len(b) > 9 && b[0] == recordHello && b[1] < 0x10 && b[5] == 1 {
		n, m := int(b[3])<<8|int(b[4]), int(b[6])<<16|int(b[7])<<8|int(b[8])
		if n <= recordMax && m+helloHeaderLen <= n && len(b) >= 9+m {
			return b[9 : 9+m], nil
		}
	}
	for len(b) > 0 {
		if h.nhdr < len(h.hdr) {
			k := copy(h.hdr[h.nhdr:], b)
			h.nhdr, b = h.nhdr+k, b[k:]
			if h.hdr[0] != recordHello && h.hdr[0] != recordAlert || h.nhdr > 1 && h.hdr[1] >= 0x10 {
				return nil, errHello
			}
			if h.nhdr < len(h.hdr) {
				return nil, nil
			}
			h.left = int(h.hdr[3])<<8 | int(h.hdr[4])
			if h.left == 0 || h.left > recordMax || h.hdr[0] == recordAlert && h.left != len(h.alert) {
				return nil, errHello
			}
			continue
		}
		k := min(h.left, len(b))
		part := b[:k]
		b = b[k:]
		if h.hdr[0] == recordAlert {
			copy(h.alert[len(h.alert)-h.left:], part)
		}
		h.left -= k
		if h.left == 0 {
			h.nhdr = 0
		}
		if h.hdr[0] == recordAlert {
			if h.left == 0 {
				// A warning changes nothing; the end, or a failure, is the end.
				if h.alerts++; h.alert[0] != 1 || h.alert[1] == 0 || h.alerts > helloAlerts {
					return nil, errHello
				}
			}
			continue
		}
		h.alerts = 0
		h.buf = append(h.buf, part...)
		if h.buf[0] != 1 {
			return nil, errHello
		}
		if len(h.buf) < helloHeaderLen {
			continue
		}
		n := helloHeaderLen + (int(h.buf[1])<<16 | int(h.buf[2])<<8 | int(h.buf[3]))
		if n > helloMax {
			return nil, errHello
		}
		if len(h.buf) >= n {
			return h.buf[helloHeaderLen:n], nil
		}
	}
	return nil, nil
}

// clientHello is what of a ClientHello tells clients apart. All lists are as
// they came, in network order.
type clientHello struct {
	version                         uint16
	ciphers, groups, sigs, versions []byte // of two octets each
	points                          []byte
	alpn                            []byte // with a length before each
	sni                             string // as it came
	exts                            []uint16
	hasVersions                     bool
}

// octets is a reader of length-prefixed lists.
type octets []byte

func (o *octets) take(n int) (octets, bool) {
	if n > len(*o) {
		return nil, false
	}
	out := (*o)[:n]
	*o = (*o)[n:]
	return out, true
}

func (o *octets) list8() (octets, bool) {
	n, ok := o.take(1)
	if !ok {
		return nil, false
	}
	return o.take(int(n[0]))
}

func (o *octets) u16() (uint16, bool) {
	b, ok := o.take(2)
	if !ok {
		return 0, false
	}
	return uint16(b[0])<<8 | uint16(b[1]), true
}

func (o *octets) list16() (octets, bool) {
	n, ok := o.u16()
	if !ok {
		return nil, false
	}
	return o.take(int(n))
}

// parseHello reads a ClientHello (RFC 8446 4.1.2, RFC 5246 7.4.1.2) without its
// header. What it gives shares memory with msg, except for sni.
func parseHello(msg []byte) (h clientHello, ok bool) {
	s := octets(msg)
	if h.version, ok = s.u16(); !ok {
		return h, false
	}
	if _, ok = s.take(32); !ok { // random
		return h, false
	}
	if _, ok = s.list8(); !ok { // session id
		return h, false
	}
	var part octets
	if part, ok = s.list16(); !ok || len(part)%2 != 0 {
		return h, false
	}
	h.ciphers = part
	if _, ok = s.list8(); !ok { // compression methods
		return h, false
	}
	if len(s) == 0 {
		return h, true
	}
	exts, ok := s.list16()
	if !ok || len(s) != 0 {
		return h, false
	}
	h.exts = make([]uint16, 0, 24)
	for len(exts) > 0 {
		id, ok1 := exts.u16()
		data, ok2 := exts.list16()
		if !ok1 || !ok2 {
			return h, false
		}
		h.exts = append(h.exts, id)
		pairs := func() ([]byte, bool) {
			l, ok := data.list16()
			return l, ok && len(l) > 0 && len(l)%2 == 0 && len(data) == 0
		}
		switch id {
		case extSNI:
			h.sni, ok = parseSNI(data)
		case extGroups:
			h.groups, ok = pairs()
		case extSigs:
			h.sigs, ok = pairs()
		case extPoints:
			var l octets
			l, ok = data.list8()
			ok = ok && len(l) > 0 && len(data) == 0
			h.points = l
		case extALPN:
			var l octets
			l, ok = data.list16()
			ok = ok && len(l) > 0 && len(data) == 0
			h.alpn = l
			for ok && len(l) > 0 {
				var p octets
				p, ok = l.list8()
				ok = ok && len(p) > 0
			}
		case extVersions:
			var l octets
			l, ok = data.list8()
			ok = ok && len(l) > 0 && len(l)%2 == 0 && len(data) == 0
			h.versions, h.hasVersions = l, true
		}
		if !ok {
			return h, false
		}
	}
	return h, true
}

// parseSNI reads server_name (RFC 6066 3).
func parseSNI(data octets) (string, bool) {
	names, ok := data.list16()
	if !ok || len(names) == 0 || len(data) != 0 {
		return "", false
	}
	sni := ""
	for len(names) > 0 {
		kind, ok1 := names.take(1)
		name, ok2 := names.list16()
		if !ok1 || !ok2 || len(name) == 0 {
			return "", false
		}
		if kind[0] != 0 {
			continue
		}
		if sni != "" || name[len(name)-1] == '.' {
			return "", false
		}
		sni = string(name)
	}
	return sni, true
}

// helloFacts are what may be kept of a ClientHello.
type helloFacts struct {
	sni, alpn, ja4, ja3, tls string

	silent bool // there is none: not an octet came
}

// facts gives them; ok is false when an extension came twice.
func (h *clientHello) facts() (f helloFacts, ok bool) {
	var room [32]uint16
	sorted := append(room[:0], h.exts...)
	slices.Sort(sorted)
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return f, false
		}
	}
	f.sni = hostName(h.sni)
	f.ja4, f.ja3 = h.ja4(sorted), h.ja3()
	f.tls = h.versionsText()
	var protos []string
	for l := octets(h.alpn); len(l) > 0 && len(protos) < 8; {
		p, _ := l.list8()
		protos = append(protos, string(p))
	}
	if len(protos) > 0 {
		f.alpn = alpnText(protos)
	}
	return f, true
}

func pair(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

// versionsText is which versions of TLS the client offers, the best first.
func (h *clientHello) versionsText() string {
	var seen [5]bool
	note := func(v uint16) {
		if v >= 0x0300 && v <= 0x0304 {
			seen[v-0x0300] = true
		}
	}
	for l := h.versions; len(l) > 1; l = l[2:] {
		note(pair(l))
	}
	if !h.hasVersions {
		note(h.version)
	}
	var room [32]byte
	out := room[:0]
	for i := len(seen) - 1; i >= 0; i-- {
		if seen[i] {
			if len(out) > 0 {
				out = append(out, ',')
			}
			out = append(out, [...]string{"ssl3", "1.0", "1.1", "1.2", "1.3"}[i]...)
		}
	}
	return string(out)
}

// ja3 is the JA3 fingerprint: the MD5 of version, ciphers, extensions, groups
// and point formats, in the order in which they came, without GREASE.
func (h *clientHello) ja3() string {
	var room [1024]byte
	out := strconv.AppendUint(room[:0], uint64(h.version), 10)
	list := func(b []byte) {
		out = append(out, ',')
		first := true
		for ; len(b) > 1; b = b[2:] {
			if v := pair(b); !grease(v) {
				if !first {
					out = append(out, '-')
				}
				out, first = strconv.AppendUint(out, uint64(v), 10), false
			}
		}
	}
	list(h.ciphers)
	out = append(out, ',')
	first := true
	for _, e := range h.exts {
		if !grease(e) {
			if !first {
				out = append(out, '-')
			}
			out, first = strconv.AppendUint(out, uint64(e), 10), false
		}
	}
	list(h.groups)
	out = append(out, ',')
	for i, p := range h.points {
		if i > 0 {
			out = append(out, '-')
		}
		out = strconv.AppendUint(out, uint64(p), 10)
	}
	sum := md5.Sum(out) // the fingerprint is defined so; nothing rests on it
	var x [2 * md5.Size]byte
	hex.Encode(x[:], sum[:])
	return string(x[:])
}

// ja4 is the JA4 fingerprint of a TLS client over TCP (FoxIO, BSD licence).
// exts are the extensions in the order of their numbers.
func (h *clientHello) ja4(exts []uint16) string {
	version := h.version
	if h.hasVersions {
		version = 0
		for l := h.versions; len(l) > 1; l = l[2:] {
			if v := pair(l); !grease(v) && v > version {
				version = v
			}
		}
	}
	var room [64]byte
	out := append(room[:0], 't')
	switch version {
	case 0x0304:
		out = append(out, "13"...)
	case 0x0303:
		out = append(out, "12"...)
	case 0x0302:
		out = append(out, "11"...)
	case 0x0301:
		out = append(out, "10"...)
	case 0x0300:
		out = append(out, "s3"...)
	case 0x0002:
		out = append(out, "s2"...)
	default:
		out = append(out, "00"...)
	}
	var croom [64]uint16
	ciphers := croom[:0]
	for l := h.ciphers; len(l) > 1; l = l[2:] {
		if v := pair(l); !grease(v) {
			ciphers = append(ciphers, v)
		}
	}
	slices.Sort(ciphers)
	sni, nExts := byte('i'), 0
	var text [1024]byte
	ext := text[:0]
	any := false
	for _, e := range exts {
		if grease(e) {
			continue
		}
		nExts++
		switch e {
		case extSNI:
			sni = 'd'
		case extALPN:
		default:
			ext, any = appendHex(ext, e, any), true
		}
	}
	out = append(out, sni)
	out = append2(out, len(ciphers))
	out = append2(out, nExts)
	alpn := [2]byte{'0', '0'}
	if l := octets(h.alpn); len(l) > 0 {
		p, _ := l.list8()
		alpn = [2]byte{p[0], p[len(p)-1]}
		if !alnum(alpn[0]) || !alnum(alpn[1]) {
			const digits = "0123456789abcdef"
			alpn = [2]byte{digits[alpn[0]>>4], digits[alpn[1]&15]}
		}
	}
	out = append(out, alpn[:]...)
	if any {
		sep := byte('_')
		for l := h.sigs; len(l) > 1; l = l[2:] {
			if v := pair(l); !grease(v) {
				ext = append(ext, sep)
				ext = appendHex(ext, v, false)
				sep = ','
			}
		}
	}
	out = append(out, '_')
	var ctext [512]byte
	c := ctext[:0]
	for i, v := range ciphers {
		c = appendHex(c, v, i > 0)
	}
	out = appendHash12(out, c)
	out = append(out, '_')
	return string(appendHash12(out, ext))
}

func appendHex(out []byte, v uint16, comma bool) []byte {
	const digits = "0123456789abcdef"
	if comma {
		out = append(out, ',')
	}
	return append(out, digits[v>>12], digits[v>>8&15], digits[v>>4&15], digits[v&15])
}

func append2(out []byte, n int) []byte {
	n = min(n, 99)
	return append(out, byte('0'+n/10), byte('0'+n%10))
}

func appendHash12(out, b []byte) []byte {
	if len(b) == 0 {
		return append(out, "000000000000"...)
	}
	h := sha256.Sum256(b)
	return hex.AppendEncode(out, h[:6])
}

func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// helloConn is a connection on which a ClientHello comes next. It calls seen
// once, from Read and before Read gives the last octet of it away: with what
// the client said, or with ok false when that is no ClientHello or was cut off.
// A client that says nothing at all is not seen.
type helloConn struct {
	net.Conn
	seen   func(f helloFacts, ok bool)
	reader *helloReader // nil when the hello was seen
	some   bool
	ok     bool // a whole ClientHello was seen
}

func newHelloConn(c net.Conn, seen func(helloFacts, bool)) *helloConn {
	return &helloConn{Conn: c, seen: seen, reader: &helloReader{}}
}

func (c *helloConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.reader != nil {
		c.look(b[:n], err)
	}
	return n, err
}

func (c *helloConn) look(b []byte, err error) {
	c.some = c.some || len(b) > 0
	msg, herr := c.reader.feed(b)
	var f helloFacts
	switch {
	case msg != nil:
		var h clientHello
		if h, c.ok = parseHello(msg); c.ok {
			f, c.ok = h.facts()
		}
	case herr != nil, err != nil:
		f.silent = herr == nil && !c.some
	default:
		return
	}
	seen := c.seen
	c.reader, c.seen = nil, nil // their memory goes with them
	if seen != nil {
		seen(f, c.ok)
	}
}

// CloseWrite ends our side while the other may still send.
func (c *helloConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return c.Conn.Close()
}

// helloConnOf finds the hello's connection under one that crypto/tls was given.
func helloConnOf(c net.Conn) *helloConn {
	if wc, ok := c.(*webConn); ok {
		c = wc.Conn
	}
	hc, _ := c.(*helloConn)
	return hc
}
