package sinkhole

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
)

// tlsConfig records each ClientHello before anything is answered to it, and has
// a certificate only for names in force.
func (s *Sinkhole) tlsConfig() *tls.Config {
	base := &tls.Config{MinVersion: tls.VersionTLS10, SessionTicketsDisabled: true, NextProtos: []string{"h2", "http/1.1"}}
	none := base.Clone() // without a certificate, crypto/tls answers unrecognized_name
	base.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if h.HelloRetryRequest {
			return nil, nil // the first one was recorded
		}
		now := s.cfg.Now()
		name := hostName(h.ServerName)
		ev := contact(impound.ProtoTLS, addrPort(h.Conn.RemoteAddr()), addrPort(h.Conn.LocalAddr()), now)
		ab := about{named: name != ""}
		ab.match, ab.ok = s.policy.Load().Lookup(name, now)
		ev.Name, ev.SNI, ev.JA4 = name, name, ja4(h)
		ev.ALPN = alpnText(h.SupportedProtos)
		ev.Outcome = answered
		if !ab.ok || s.cfg.NoCerts {
			ev.Outcome = refused
		}
		if wc := webConnOf(h.Conn); wc != nil {
			wc.sni, wc.alpn, wc.ja4 = ev.SNI, ev.ALPN, ev.JA4
			wc.recorded.Store(true)
		}
		s.n.hellos.Add(1)
		s.record(&ev, ab)
		if !ab.ok || s.cfg.NoCerts {
			return none, nil
		}
		cert, err := s.certs.get(name, ab.match.Until())
		if err != nil {
			return none, nil
		}
		c := none.Clone()
		c.Certificates = []tls.Certificate{*cert}
		return c, nil
	}
	// Never used, since GetConfigForClient always answers; net/http wants one.
	base.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	return base
}

func alpnText(protos []string) string {
	if len(protos) > 8 {
		protos = protos[:8]
	}
	return scrubText(strings.Join(protos, ","), 64)
}

// certs makes self-signed certificates, all with one key that is drawn at start
// and never stored.
type certs struct {
	now  func() time.Time
	once sync.Once
	key  *ecdsa.PrivateKey
	err  error

	mu   sync.Mutex
	made map[string]*tls.Certificate
}

func newCerts(now func() time.Time) *certs {
	return &certs{now: now, made: map[string]*tls.Certificate{}}
}

const maxCerts = 4096

// get gives a certificate for name that ends with the order, or within a week.
func (c *certs) get(name string, until time.Time) (*tls.Certificate, error) {
	c.once.Do(func() { c.key, c.err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if c.err != nil {
		return nil, c.err
	}
	now := c.now()
	c.mu.Lock()
	have := c.made[name]
	c.mu.Unlock()
	if have != nil && have.Leaf.NotAfter.After(now) && !have.Leaf.NotAfter.After(until) {
		return have, nil
	}
	end := now.Add(7 * 24 * time.Hour)
	if until.Before(end) {
		end = until
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	cn := name
	if len(cn) > 64 {
		cn = ""
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: cn, Organization: []string{"Sinkhole of a seized name"}},
		DNSNames: []string{name}, NotBefore: now.Add(-time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &c.key.PublicKey, c.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: c.key, Leaf: leaf}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.made) >= maxCerts { // an actor asks for many names: begin anew
		clear(c.made)
	}
	c.made[name] = cert
	return cert, nil
}

// ja4 is the JA4 fingerprint of a TLS client (FoxIO, BSD licence).
func ja4(h *tls.ClientHelloInfo) string {
	version := uint16(0)
	for _, v := range h.SupportedVersions {
		if !grease(v) && v > version {
			version = v
		}
	}
	vs := map[uint16]string{tls.VersionTLS13: "13", tls.VersionTLS12: "12", tls.VersionTLS11: "11", tls.VersionTLS10: "10", 0x0300: "s3"}[version]
	if vs == "" {
		vs = "00"
	}
	var ciphers, exts []string
	for _, c := range h.CipherSuites {
		if !grease(c) {
			ciphers = append(ciphers, fmt.Sprintf("%04x", c))
		}
	}
	sni, nExts := "i", 0
	for _, e := range h.Extensions {
		if grease(e) {
			continue
		}
		nExts++
		switch e {
		case 0:
			sni = "d"
		case 16:
		default:
			exts = append(exts, fmt.Sprintf("%04x", e))
		}
	}
	var sigs []string
	for _, x := range h.SignatureSchemes {
		if !grease(uint16(x)) {
			sigs = append(sigs, fmt.Sprintf("%04x", uint16(x)))
		}
	}
	alpn := "00"
	if len(h.SupportedProtos) > 0 && h.SupportedProtos[0] != "" {
		p := h.SupportedProtos[0]
		first, last := p[0], p[len(p)-1]
		if alnum(first) && alnum(last) {
			alpn = string([]byte{first, last})
		} else {
			x := hex.EncodeToString([]byte{first, last})
			alpn = string([]byte{x[0], x[3]})
		}
	}
	nCiphers := len(ciphers)
	slices.Sort(ciphers)
	slices.Sort(exts)
	ext := strings.Join(exts, ",")
	if len(sigs) > 0 {
		ext += "_" + strings.Join(sigs, ",")
	}
	c := "000000000000"
	if len(exts) > 0 {
		c = hash12(ext)
	}
	b := "000000000000"
	if nCiphers > 0 {
		b = hash12(strings.Join(ciphers, ","))
	}
	return fmt.Sprintf("t%s%s%02d%02d%s_%s_%s", vs, sni, min(nCiphers, 99), min(nExts, 99), alpn, b, c)
}

func hash12(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:6])
}

func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
