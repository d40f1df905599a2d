package sinkhole

import (
	"crypto/tls"
	"net"
	"strings"

	"github.com/impound/impound"
)

// tlsConfig is for a connection that is, or lies right above, a helloConn. One
// is for all connections of a listener. It has a certificate only for names in
// force whose order allows one: to others crypto/tls says unrecognized_name.
func (s *Sinkhole) tlsConfig() *tls.Config {
	c := s.tlsBase()
	c.NextProtos = []string{"h2", "http/1.1"}
	c.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return s.shown(h, false) }
	return c
}

// smtpTLSConfig is tlsConfig for mail: many who send it name nobody in the
// handshake, and are shown a certificate that names nobody.
func (s *Sinkhole) smtpTLSConfig() *tls.Config {
	c := s.tlsBase()
	c.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return s.shown(h, true) }
	return c
}

func (s *Sinkhole) tlsBase() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS10, SessionTicketsDisabled: true}
}

func (s *Sinkhole) shown(h *tls.ClientHelloInfo, nobody bool) (*tls.Certificate, error) {
	if hc := helloConnOf(h.Conn); hc == nil || !hc.ok {
		return nil, nil // nobody is answered who wasn't recorded
	}
	now := s.cfg.Now()
	p := s.policy.Load()
	if h.ServerName == "" && nobody {
		if _, ok := p.Floor(now); !ok || s.cfg.NoCerts {
			return nil, nil
		}
		return s.certs.get("", now.Add(certLife)), nil
	}
	m, ok := p.Lookup(hostName(h.ServerName), now)
	if !ok {
		return nil, nil
	}
	return s.certificate(m, now), nil
}

// recordHello records a TLS client's hello. It is called before anything is
// answered to it.
func (s *Sinkhole) recordHello(c net.Conn, f helloFacts, ok bool) {
	now := s.cfg.Now()
	ev := contact(impound.ProtoTLS, addrPort(c.RemoteAddr()), addrPort(c.LocalAddr()), now)
	if f.silent {
		s.recordSilent(&ev)
		return
	}
	ab := about{named: f.sni != ""}
	ab.match, ab.ok = s.policy.Load().Lookup(f.sni, now)
	ev.Name = f.sni
	f.into(&ev)
	switch {
	case !ok:
		ev.Outcome = malformed
	case !ab.ok || s.certificate(ab.match, now) == nil:
		ev.Outcome = refused
	default:
		ev.Outcome = answered
	}
	s.n.hellos.Add(1)
	s.record(&ev, ab)
}

// recordSilent records who connected where a client speaks first, and left
// without a word, as whoever comes so to a port on which nothing is served.
func (s *Sinkhole) recordSilent(ev *impound.Event) {
	ev.Outcome, ev.Guess = refused, guess(nil)
	s.record(ev, about{})
}

func (f *helloFacts) into(ev *impound.Event) {
	ev.SNI, ev.ALPN, ev.JA4, ev.JA3, ev.TLS = f.sni, f.alpn, f.ja4, f.ja3, f.tls
}

func alpnText(protos []string) string {
	if len(protos) > 8 {
		protos = protos[:8]
	}
	return scrubText(strings.Join(protos, ","), 64)
}
