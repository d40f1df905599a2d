package sinkhole

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"net"
	"time"

	"github.com/impound/impound"
)

// listenDoT listens for DNS over TLS (RFC 7858).
func (s *Sinkhole) listenDoT(addr string) (start func(), err error) {
	get := s.cfg.DoTCert
	if get == nil {
		// Whoever asks us over TLS can't know our name: this hides what they
		// ask from those in between, and proves nothing (RFC 7858 4.1).
		cert, err := dotCert(s.cfg.Now())
		if err != nil {
			return nil, err
		}
		get = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
	}
	conf := &tls.Config{GetCertificate: get, NextProtos: []string{"dot"}, MinVersion: tls.VersionTLS12, Time: s.cfg.Now}
	return s.listenStream(addr, dotScheme, func(c net.Conn) {
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Limits.HeadTimeout)
		defer cancel()
		// Who gets through is recorded by what he asks; who doesn't, by his hello.
		var facts helloFacts
		whole := false
		tc := tls.Server(newHelloConn(c, func(f helloFacts, ok bool) {
			facts, whole = f, ok
			if !ok {
				s.recordDoT(c, f, malformed)
			}
		}), conf)
		if tc.HandshakeContext(ctx) != nil {
			if whole {
				s.recordDoT(c, facts, refused)
			}
			return
		}
		s.serveDNSStream(tc, impound.ProtoDoT)
		tc.SetWriteDeadline(time.Now().Add(grace))
		tc.Close()
	})
}

// recordDoT records whom no handshake was made with. The name in his hello is
// this server's, not one that was asked for.
func (s *Sinkhole) recordDoT(c net.Conn, f helloFacts, outcome string) {
	ev := contact(impound.ProtoDoT, addrPort(c.RemoteAddr()), addrPort(c.LocalAddr()), s.cfg.Now())
	if f.silent {
		s.recordSilent(&ev)
		return
	}
	f.into(&ev)
	ev.Outcome = outcome
	s.record(&ev, about{})
}

const dotScheme = "dns+tls"

// dotCert makes a certificate that nobody vouches for.
func dotCert(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "sinkhole.invalid"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"sinkhole.invalid"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func (s *Sinkhole) serveDNSTCP(c net.Conn) { s.serveDNSStream(c, impound.ProtoDNST) }

// maxQuestion is how long a question over a stream may be: none is that long.
const maxQuestion = 4096

// serveDNSStream answers one question after the other (RFC 7766): a client may
// be silent for the idle timeout between two, but must say one within the head
// timeout once it began, and the first one from when it came.
func (s *Sinkhole) serveDNSStream(c net.Conn, proto impound.Proto) {
	src, dst := addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	in := make([]byte, 0, 512) // what was read and not yet answered
	out := make([]byte, 0, 512)
	var ev impound.Event
	idle := s.cfg.Limits.HeadTimeout
	for range 1000 { // then they may connect again
		req, rest, whole := dnsMessage(in)
		if !whole {
			wait := idle
			if len(in) > 0 {
				wait = s.cfg.Limits.HeadTimeout
			}
			c.SetReadDeadline(time.Now().Add(wait))
		}
		for ; !whole; req, rest, whole = dnsMessage(in) {
			if len(in) >= 2 {
				need := 2 + int(binary.BigEndian.Uint16(in))
				if need-2 > maxQuestion {
					q := question{outcome: malformed}
					s.dnsEvent(&ev, proto, src, dst, s.cfg.Now(), &q)
					return
				}
				if need > cap(in) {
					in = append(make([]byte, 0, need), in...)
				}
			}
			n, err := c.Read(in[len(in):cap(in)])
			if n == 0 && err != nil {
				return
			}
			if len(in) == 0 { // it begins now
				c.SetReadDeadline(time.Now().Add(s.cfg.Limits.HeadTimeout))
			}
			in = in[:len(in)+n]
		}
		idle = s.cfg.Limits.IdleTimeout
		now := s.cfg.Now()
		env := dnsEnv{policy: s.policy.Load(), now: now, src: src.Addr(), tcp: true}
		var q question
		out = s.dns.answer(append(out[:0], 0, 0), req, &env, &q)
		s.dnsEvent(&ev, proto, src, dst, now, &q)
		if len(out) <= 2 || len(out)-2 > maxReply {
			return
		}
		out = s.streamOptions(out, req, proto)
		binary.BigEndian.PutUint16(out, uint16(len(out)-2))
		c.SetWriteDeadline(time.Now().Add(s.cfg.Limits.HeadTimeout))
		if _, err := c.Write(out); err != nil {
			return
		}
		in = in[:copy(in[:cap(in)], rest)]
	}
}

// dnsMessage cuts the first message off what a stream brought.
func dnsMessage(in []byte) (msg, rest []byte, whole bool) {
	if len(in) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(in))
	if n-2 > maxQuestion || len(in) < n {
		return nil, nil, false
	}
	return in[2:n], in[n:], true
}

const (
	optKeepalive = 11 // RFC 7828
	optPadding   = 12 // RFC 7830

	// padBlock is what answers are padded to a multiple of, RFC 8467 4.1.
	padBlock = 468
)

// streamOptions adds to an answer, which begins behind its length, the options
// that make sense over a stream only, where the question had them: for how long
// it stays open (RFC 7828 3.3.2), and, where nobody may read along, padding that
// hides what was asked (RFC 7830 4).
func (s *Sinkhole) streamOptions(out, req []byte, proto impound.Proto) []byte {
	_, asked, ok := optOf(req)
	if !ok {
		return out
	}
	keep, pad := false, false
	for len(asked) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(asked[2:]))
		if n > len(asked) {
			return out
		}
		switch binary.BigEndian.Uint16(asked) {
		case optKeepalive:
			keep = n == 4 // a client gives no time
		case optPadding:
			pad = proto == impound.ProtoDoT
		}
		asked = asked[n:]
	}
	if !keep && !pad {
		return out
	}
	at, had, ok := optOf(out[2:])
	if !ok || 2+at+2+len(had) != len(out) { // ours is the last record, where there is one
		return out
	}
	if keep {
		units := min(s.cfg.Limits.IdleTimeout/(100*time.Millisecond), 65535)
		out = append(out, 0, optKeepalive, 0, 2, byte(units>>8), byte(units))
	}
	if pad {
		n := (padBlock - (len(out)-2+4)%padBlock) % padBlock
		out = append(out, 0, optPadding, byte(n>>8), byte(n))
		out = append(out, make([]byte, n)...)
	}
	binary.BigEndian.PutUint16(out[2+at:], uint16(len(out)-2-at-2))
	return out
}

// optOf finds the options of a message's OPT record (RFC 6891): at is where their
// length stands.
func optOf(m []byte) (at int, options []byte, ok bool) {
	if len(m) < 12 {
		return 0, nil, false
	}
	i := 12
	name := func() bool {
		for i < len(m) {
			switch l := int(m[i]); {
			case l == 0:
				i++
				return true
			case l >= 0xc0:
				i += 2
				return true
			default:
				i += 1 + l
			}
		}
		return false
	}
	for range int(binary.BigEndian.Uint16(m[4:])) {
		if !name() {
			return 0, nil, false
		}
		i += 4
	}
	rrs := int(binary.BigEndian.Uint16(m[6:])) + int(binary.BigEndian.Uint16(m[8:])) + int(binary.BigEndian.Uint16(m[10:]))
	for range rrs {
		start := i
		if !name() || i+10 > len(m) {
			return 0, nil, false
		}
		n := int(binary.BigEndian.Uint16(m[i+8:]))
		if i+10+n > len(m) {
			return 0, nil, false
		}
		if m[start] == 0 && binary.BigEndian.Uint16(m[i:]) == 41 {
			return i + 8, m[i+10 : i+10+n], true
		}
		i += 10 + n
	}
	return 0, nil, false
}
