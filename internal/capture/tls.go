package capture

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net"
	"strings"
	"time"
)

// maxChain bounds how many certificates of one chain are kept.
const maxChain = 10

// TLSView is what a server shows when it is asked for a name.
type TLSView struct {
	ServerName string        `json:"server_name"`
	Addr       string        `json:"addr,omitempty"`
	At         time.Time     `json:"at"`
	Version    string        `json:"version,omitempty"`
	Cipher     string        `json:"cipher,omitempty"`
	ALPN       string        `json:"alpn,omitempty"`
	Chain      []Certificate `json:"chain,omitempty"` // as presented, the server's own first
	Valid      bool          `json:"valid"`           // leads to one of this system's roots, for the name, now
	Fault      string        `json:"fault,omitempty"` // why it doesn't
	Notes      []string      `json:"notes,omitempty"` // "expired", "self-signed", ...
	Err        string        `json:"err,omitempty"`
}

// Certificate is one of a chain. Text from it is a stranger's.
type Certificate struct {
	SHA256    string    `json:"sha256"` // of the DER
	Size      int       `json:"size"`
	Serial    string    `json:"serial"`
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Names     []string  `json:"names,omitempty"`
	NameCount int       `json:"name_count,omitempty"` // of all its names: Names holds the first 100

	der []byte
}

// handshake speaks TLS on conn, without asking that the chain be valid.
func (t *take) handshake(ctx context.Context, conn net.Conn, host string, alpn []string) (*tls.Conn, *TLSView, error) {
	v := &TLSView{ServerName: host, At: t.now().UTC()}
	if a := conn.RemoteAddr(); a != nil {
		v.Addr = a.String()
	}
	c := tls.Client(conn, &tls.Config{
		// It is the actor's server that is looked at, as it is; what is wrong
		// with its chain is written down.
		InsecureSkipVerify: true, //nolint:gosec
		ServerName:         host, NextProtos: alpn, MinVersion: tls.VersionTLS10,
	})
	if err := c.HandshakeContext(ctx); err != nil {
		v.Err = t.why(err)
		return nil, v, err
	}
	s := c.ConnectionState()
	v.Version, v.Cipher, v.ALPN = tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.NegotiatedProtocol
	v.judge(s.PeerCertificates, host, v.At, t.cfg.Roots)
	return c, v, nil
}

func (v *TLSView) judge(chain []*x509.Certificate, host string, now time.Time, roots *x509.CertPool) {
	if len(chain) == 0 {
		return
	}
	pool := x509.NewCertPool()
	for i, k := range chain {
		if i == maxChain {
			v.Notes = append(v.Notes, "more certificates than are kept")
			break
		}
		sum := sha256.Sum256(k.Raw)
		c := Certificate{
			SHA256: hex.EncodeToString(sum[:]), Size: len(k.Raw), Serial: k.SerialNumber.Text(16),
			Subject: inert(k.Subject.String(), 300), Issuer: inert(k.Issuer.String(), 300), NotBefore: k.NotBefore.UTC(), NotAfter: k.NotAfter.UTC(), der: k.Raw,
		}
		c.NameCount = len(k.DNSNames)
		for _, n := range k.DNSNames[:min(len(k.DNSNames), 100)] {
			c.Names = append(c.Names, inert(n, 255))
		}
		v.Chain = append(v.Chain, c)
		pool.AddCert(k)
	}
	leaf := chain[0]
	switch {
	case now.After(leaf.NotAfter):
		v.Notes = append(v.Notes, "expired")
	case now.Before(leaf.NotBefore):
		v.Notes = append(v.Notes, "not valid yet")
	}
	if leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
		v.Notes = append(v.Notes, "self-signed")
	}
	if err := leaf.VerifyHostname(host); err != nil && host != "" {
		v.Notes = append(v.Notes, "for another name")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Intermediates: pool, CurrentTime: now, Roots: roots}); err != nil {
		v.Fault = inert(err.Error(), 300)
		return
	}
	v.Valid = true
}

// tlsChain asks for the chain alone, as a browser would: with h2 on offer. sni is
// the name that is asked for, "" for none.
func (t *take) tlsChain(ctx context.Context, host string, port uint16, sni string) *TLSView {
	ctx, cancel := context.WithTimeout(ctx, t.bounds.Time)
	defer cancel()
	if err := t.pace.wait(ctx, host); err != nil {
		return &TLSView{ServerName: sni, At: t.now().UTC(), Err: t.why(err)}
	}
	conn, addr, err := t.main.dial(ctx, host, port)
	if err != nil {
		return &TLSView{ServerName: sni, At: t.now().UTC(), Err: t.why(err)}
	}
	defer conn.Close()
	in := &onlySoMuch{Conn: conn, left: 256 << 10}
	c, v, err := t.handshake(ctx, in, sni, []string{"h2", "http/1.1"})
	if addr.IsValid() {
		v.Addr = addr.String()
	}
	if err == nil {
		c.Close()
	}
	return v
}

// onlySoMuch bounds what a handshake may read.
type onlySoMuch struct {
	net.Conn
	left int
}

func (c *onlySoMuch) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errBound
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (v *TLSView) summary() string {
	if v.Err != "" {
		return "no TLS: " + v.Err
	}
	s := v.Version + ", " + plural(len(v.Chain), "certificate")
	if len(v.Chain) > 0 {
		s += " by " + v.Chain[0].Issuer
	}
	if v.Valid {
		return s + ", valid"
	}
	if len(v.Notes) > 0 {
		return s + ", " + strings.Join(v.Notes, ", ")
	}
	return s + ", not valid"
}
