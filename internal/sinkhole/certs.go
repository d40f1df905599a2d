package sinkhole

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"sync/atomic"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// CertSource has certificates of a public authority for seized names whose
// order says so. Certificate gives the one for a zone, or nil where there is
// none yet: then a self-signed one is shown. It is asked within the handshake,
// concurrently, and must not wait. What it gives is shown only while an order
// is in force; until is when that ends.
type CertSource interface {
	Certificate(zone string, until time.Time) *tls.Certificate
}

// certificate is what is shown for a zone; nil for nothing.
func (s *Sinkhole) certificate(m policy.Match, now time.Time) *tls.Certificate {
	if s.cfg.NoCerts || m.Order.Certificates == impound.CertsNone || !now.Before(m.Until()) {
		return nil
	}
	if m.Order.Certificates == impound.CertsACME && s.cfg.Certs != nil {
		if c := s.cfg.Certs.Certificate(m.Zone, m.Until()); c != nil && (c.Leaf == nil || now.Before(c.Leaf.NotAfter)) {
			return c
		}
	}
	return s.certs.get(m.Zone, m.Until())
}

// certs makes self-signed certificates, one for each zone and the names right
// below it, all with one key that is drawn at start and never stored.
type certs struct {
	now  func() time.Time
	once sync.Once
	key  *ecdsa.PrivateKey
	err  error

	smtpOnce sync.Once
	smtp     *tls.Config

	made  sync.Map // zone to *tls.Certificate; read without a lock
	count atomic.Int64
}

// smtpTLS is the one configuration of all mail connections.
func (c *certs) smtpTLS(s *Sinkhole) *tls.Config {
	c.smtpOnce.Do(func() { c.smtp = s.smtpTLSConfig() })
	return c.smtp
}

func newCerts(now func() time.Time) *certs { return &certs{now: now} }

const (
	// maxCerts bounds the memory at about 100 MB, however many names an actor
	// asks for.
	maxCerts = 50_000
	certLife = 7 * 24 * time.Hour
)

// get gives the certificate for zone, which ends with the order, or within a
// week. Of zone "" it names nobody. It gives nil when none can be made.
func (c *certs) get(zone string, until time.Time) *tls.Certificate {
	now := c.now()
	if have, ok := c.made.Load(zone); ok {
		have := have.(*tls.Certificate)
		if have.Leaf.NotAfter.After(now) && !have.Leaf.NotAfter.After(until) {
			return have
		}
	}
	cert, err := c.make(zone, now, until)
	if err != nil {
		return nil
	}
	if _, had := c.made.Swap(zone, cert); !had && c.count.Add(1) > maxCerts {
		c.made.Clear()
		c.count.Store(0)
	}
	return cert
}

func (c *certs) make(zone string, now, until time.Time) (*tls.Certificate, error) {
	c.once.Do(func() { c.key, c.err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if c.err != nil {
		return nil, c.err
	}
	end := now.Add(certLife)
	if until.Before(end) {
		end = until
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Sinkhole of a seized name"}},
		NotBefore: now.Add(-time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if zone == "" {
		tmpl.Subject.Organization = []string{"Sinkhole"}
	} else {
		tmpl.DNSNames = []string{zone, "*." + zone}
		if len(zone) <= 64 {
			tmpl.Subject.CommonName = zone
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &c.key.PublicKey, c.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: c.key, Leaf: leaf}, nil
}
