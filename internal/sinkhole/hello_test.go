package sinkhole

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/impound/impound"
)

// helloBytes makes a ClientHello without its header.
func helloBytes(version uint16, ciphers []uint16, exts ...[]byte) []byte {
	out := binary.BigEndian.AppendUint16(nil, version)
	out = append(out, make([]byte, 32)...)
	out = append(out, 0)
	out = append(out, list16(u16s(ciphers...))...)
	out = append(out, 1, 0)
	if exts != nil {
		out = append(out, list16(slices.Concat(exts...))...)
	}
	return out
}

func u16s(vs ...uint16) []byte {
	var out []byte
	for _, v := range vs {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return out
}

func list16(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
func list8(b []byte) []byte  { return append([]byte{byte(len(b))}, b...) }
func ext(id uint16, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, id), list16(data)...)
}

func sniExt(name string) []byte {
	return ext(extSNI, list16(append([]byte{0}, list16([]byte(name))...)))
}

// records puts a hello into records of at most size octets.
func records(hello []byte, size int) []byte {
	msg := append([]byte{1, byte(len(hello) >> 16), byte(len(hello) >> 8), byte(len(hello))}, hello...)
	var out []byte
	for part := range slices.Chunk(msg, size) {
		out = append(append(out, recordHello, 3, 1), list16(part)...)
	}
	return out
}

func factsOf(t testing.TB, hello []byte) helloFacts {
	t.Helper()
	h, ok := parseHello(hello)
	if !ok {
		t.Fatal("not read")
	}
	f, ok := h.facts()
	if !ok {
		t.Fatal("no facts")
	}
	return f
}

// The example of the JA4 specification (Chrome), and the two of JA3's.
func TestFingerprints(t *testing.T) {
	chrome := []uint16{0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x2a2a}
	var exts [][]byte
	for _, id := range chrome {
		switch id {
		case extSNI:
			exts = append(exts, sniExt("outlook-verify.net"))
		case extALPN:
			exts = append(exts, ext(id, list16(append(list8([]byte("h2")), list8([]byte("http/1.1"))...))))
		case extSigs:
			exts = append(exts, ext(id, list16(u16s(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601))))
		case extVersions:
			exts = append(exts, ext(id, list8(u16s(0x2a2a, 0x0304, 0x0303))))
		case extGroups:
			exts = append(exts, ext(id, list16(u16s(0x3a3a, 29, 23, 24))))
		case extPoints:
			exts = append(exts, ext(id, list8([]byte{0})))
		default:
			exts = append(exts, ext(id, nil))
		}
	}
	f := factsOf(t, helloBytes(0x0303, []uint16{0x8a8a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035}, exts...))
	if f.ja4 != "t13d1516h2_8daaf6152771_e5627efa2ab1" || f.tls != "1.3,1.2" || f.alpn != "h2,http/1.1" || f.sni != "outlook-verify.net" {
		t.Errorf("%+v", f)
	}
	// 769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0
	f = factsOf(t, helloBytes(769, []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4},
		sniExt("a.example"), ext(extGroups, list16(u16s(23, 24, 25))), ext(extPoints, list8([]byte{0}))))
	if f.ja3 != "ada70206e40642a3e4461f35503241d5" || f.tls != "1.0" || !strings.HasPrefix(f.ja4, "t10d120300_") {
		t.Errorf("%+v", f)
	}
	// 769,4-5-10-9-100-98-3-6-19-18-99,,,
	f = factsOf(t, helloBytes(769, []uint16{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}))
	if f.ja3 != "de350869b8c85de67a350c8d186f11e6" || !strings.HasPrefix(f.ja4, "t10i110000_") || !strings.HasSuffix(f.ja4, "_000000000000") {
		t.Errorf("%+v", f)
	}
}

// captured is a connection that gives octets and keeps what is answered.
type captured struct {
	io.Reader
	out bytes.Buffer
}

func (c *captured) Write(b []byte) (int, error)      { return c.out.Write(b) }
func (c *captured) Close() error                     { return nil }
func (c *captured) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *captured) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *captured) SetDeadline(time.Time) error      { return nil }
func (c *captured) SetReadDeadline(time.Time) error  { return nil }
func (c *captured) SetWriteDeadline(time.Time) error { return nil }

// clientHelloOf is what crypto/tls sends as a client.
func clientHelloOf(cfg *tls.Config) []byte {
	c := &captured{Reader: strings.NewReader("")}
	tls.Client(c, cfg).Handshake()
	return c.out.Bytes()
}

func helloSeeds() [][]byte {
	var out [][]byte
	for _, cfg := range []*tls.Config{
		{ServerName: "outlook-verify.net"},
		{ServerName: "a.b.outlook-verify.net", NextProtos: []string{"h2", "http/1.1"}},
		{InsecureSkipVerify: true},
		{ServerName: "x.example", MaxVersion: tls.VersionTLS12},
		{ServerName: "x.example", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, NextProtos: []string{"\x0a\x0a"}},
	} {
		out = append(out, clientHelloOf(cfg))
	}
	body := helloBytes(0x0303, []uint16{0x1301, 0xc02f}, sniExt("outlook-verify.net"), ext(extVersions, list8(u16s(0x0304))))
	warning := []byte{recordAlert, 3, 1, 0, 2, 1, 112}
	return append(out, records(body, 1<<14), records(body, 7), records(body, 1),
		slices.Concat(warning, warning, records(body, 50)), slices.Concat(records(body, 30)[:35], warning, records(body, 30)[35:]),
		[]byte("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80"), []byte("GET / HTTP/1.1\r\n\r\n"), []byte{recordHello, 3, 1, 0, 0},
		records(helloBytes(0x0303, nil), 1<<14), records(helloBytes(0x0303, []uint16{1}, sniExt("a."), sniExt("b")), 1<<14),
		records(append(body, 0), 1<<14), records(body[:len(body)-1], 1<<14),
		records(helloBytes(0x0303, []uint16{1}, ext(0x7777, nil), ext(0x7777, nil)), 1<<14))
}

// heldTogether gives the same octets to crypto/tls and to our reader, and sees
// to it that ours has all that crypto/tls goes on with.
func heldTogether(t *testing.T, sent []byte, pieces func(io.Reader) io.Reader) {
	t.Helper()
	var calls int
	var ours helloFacts
	var ok bool
	in := &captured{Reader: pieces(bytes.NewReader(sent))}
	hc := newHelloConn(in, func(f helloFacts, good bool) {
		calls++
		ours, ok = f, good
		if in.out.Len() > 0 {
			t.Fatal("seen after something was answered")
		}
	})
	var theirs *tls.ClientHelloInfo
	enough := errors.New("enough")
	tls.Server(hc, &tls.Config{MinVersion: tls.VersionTLS10, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		theirs = h
		return nil, enough
	}}).Handshake()
	if calls > 1 || calls == 0 && len(sent) > 0 {
		t.Fatalf("seen %d times", calls)
	}
	if in.out.Len() > 0 && calls == 0 {
		t.Fatal("answered unseen")
	}
	if theirs == nil {
		return
	}
	if !ok {
		t.Fatalf("crypto/tls takes %x, and we don't", sent)
	}
	var h helloReader
	msg, err := h.feed(sent)
	if err != nil || msg == nil {
		t.Fatalf("at once: %v", err)
	}
	p, _ := parseHello(msg)
	var protos []string
	for l := octets(p.alpn); len(l) > 0; {
		x, _ := l.list8()
		protos = append(protos, string(x))
	}
	if p.sni != theirs.ServerName || !slices.Equal(protos, theirs.SupportedProtos) || !bytes.Equal(p.ciphers, u16s(theirs.CipherSuites...)) || !slices.Equal(p.exts, theirs.Extensions) {
		t.Fatalf("%+v\ncrypto/tls: %+v", p, theirs)
	}
	if f, _ := p.facts(); f != ours {
		t.Fatalf("%+v in pieces, %+v at once", ours, f)
	}
	if len(ours.ja3) != 32 || len(ours.ja4) != 36 {
		t.Fatalf("%+v", ours)
	}
}

func TestHelloAsCryptoTLSReadsIt(t *testing.T) {
	took := 0
	for _, s := range helloSeeds() {
		heldTogether(t, s, func(r io.Reader) io.Reader { return r })
		heldTogether(t, s, iotest.OneByteReader)
		heldTogether(t, s, iotest.DataErrReader)
		for cut := range len(s) {
			heldTogether(t, s[:cut], iotest.HalfReader)
		}
		var h helloReader
		if m, _ := h.feed(s); m != nil {
			if p, ok := parseHello(m); ok {
				if _, ok := p.facts(); ok {
					took++
				}
			}
		}
	}
	if took != 11 {
		t.Errorf("%d of the seeds are read, want 11", took)
	}
}

func FuzzClientHello(f *testing.F) {
	for _, s := range helloSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		heldTogether(t, sent, func(r io.Reader) io.Reader { return r })
		heldTogether(t, sent, iotest.HalfReader)
	})
}

func TestHelloIsBounded(t *testing.T) {
	var h helloReader
	if _, err := h.feed([]byte{recordHello, 3, 1, 0, 4, 1, 0, 0xff, 0xff}); err == nil {
		t.Error("a hello of 64 KiB is waited for")
	}
	h = helloReader{}
	big := records(helloBytes(0x0303, []uint16{1}, ext(0x7777, make([]byte, 31<<10))), 1<<14)
	if m, err := h.feed(big); m == nil || err != nil || cap(h.buf) > 2*helloMax {
		t.Errorf("a hello of 31 KiB: %v, %d octets held", err, cap(h.buf))
	}
	h = helloReader{}
	var err error
	for range 20 {
		if _, err = h.feed([]byte{recordAlert, 3, 1, 0, 2, 1, 112}); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("warnings without end")
	}
}

// Broken and cut hellos are recorded too, before anything is answered, once.
func TestBrokenHellosAreRecorded(t *testing.T) {
	r := start(t, usual(t), func(c *Config) { c.Limits.HeadTimeout = 300 * time.Millisecond })
	whole := clientHelloOf(&tls.Config{ServerName: "outlook-verify.net"})
	for what, send := range map[string]string{
		"SSLv2": "\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80\x00\x00\x03", "cut": string(whole[:len(whole)-5]), "one octet": "\x16",
		"other message": "\x16\x03\x01\x00\x04\x02\x00\x00\x00", "noise": "hunter2\r\n",
	} {
		raw(t, r.addr("https"), send)
		e := one(t, r.rec.take())
		if e.Outcome != malformed || e.Proto != impound.ProtoTLS || e.SNI != "" {
			t.Errorf("%s: %+v", what, e)
		}
	}
	// One in many small segments is a good one.
	c, err := net.Dial("tcp", r.addr("https"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for part := range slices.Chunk(whole, 60) {
		c.Write(part)
		time.Sleep(time.Millisecond)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if e := one(t, r.rec.take()); e.SNI != "outlook-verify.net" || e.Outcome != answered || len(e.JA3) != 32 || e.TLS != "1.3,1.2" {
		t.Errorf("%+v", e)
	}
}

func TestCertificatesAsTheOrderSays(t *testing.T) {
	terms := func(c impound.Certificates) func(*impound.Order) {
		return func(o *impound.Order) { o.Sinkhole.Certificates = c }
	}
	src := certSource{}
	ms := append(mandates(t), mandate(t, "O-none", terms(impound.CertsNone), "no-certs.net"), mandate(t, "O-acme", terms(impound.CertsACME), "acme-certs.net", "acme-later.net"))
	ca, err := newCerts(func() time.Time { return t0 }).make("from-acme.net", t0, t0.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	src["acme-certs.net"] = ca
	r := start(t, opened(t, t0, policyOptions(), ms...), func(c *Config) { c.Certs = src })
	shown := func(sni string) []string {
		c, err := tls.Dial("tcp", r.addr("https"), &tls.Config{InsecureSkipVerify: true, ServerName: sni})
		if err != nil {
			if !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("%s: %v", sni, err)
			}
			return nil
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames
	}
	for sni, want := range map[string][]string{
		"outlook-verify.net": {"outlook-verify.net", "*.outlook-verify.net"}, "a.b.outlook-verify.net": {"outlook-verify.net", "*.outlook-verify.net"},
		"no-certs.net": nil, "www.no-certs.net": nil, "example.org": nil, "": nil,
		"acme-certs.net": {"from-acme.net", "*.from-acme.net"}, "acme-later.net": {"acme-later.net", "*.acme-later.net"},
	} {
		if got := shown(sni); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", sni, got, want)
		}
		want := answered
		if shown(sni) == nil {
			want = refused
		}
		for _, e := range r.rec.take() {
			if e.Outcome != want {
				t.Errorf("%q: %+v", sni, e)
			}
		}
	}
	r.clock.after(time.Hour)
	for _, sni := range []string{"outlook-verify.net", "acme-certs.net"} {
		if got := shown(sni); got != nil {
			t.Errorf("%s after the order's end: %v", sni, got)
		}
	}
}

type certSource map[string]*tls.Certificate

func (c certSource) Certificate(zone string, _ time.Time) *tls.Certificate { return c[zone] }

func BenchmarkHello(b *testing.B) {
	hello := clientHelloOf(&tls.Config{ServerName: "outlook-verify.net", NextProtos: []string{"h2", "http/1.1"}})
	b.ReportAllocs()
	for b.Loop() {
		var r helloReader
		m, _ := r.feed(hello)
		h, _ := parseHello(m)
		if _, ok := h.facts(); !ok {
			b.Fatal("not read")
		}
	}
}
