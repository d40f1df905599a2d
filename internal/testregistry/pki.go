package testregistry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// pki is the registry's own certificate authority, made once in its folder, with
// the key by which the actor signs its zones.
type pki struct {
	pool           *x509.CertPool
	server, client tls.Certificate
	short          func(life time.Duration) (tls.Certificate, error) // another server certificate, not kept
	dnskey         *dns.DNSKEY                                       // the actor's
	signer         crypto.Signer
	parent         *dns.DNSKEY // the parent zones'
	parentSigner   crypto.Signer
}

func openPKI(dir string, now time.Time) (*pki, error) {
	p := &pki{pool: x509.NewCertPool()}
	caCert, caKey, err := pair(dir, "ca", func(key *ecdsa.PrivateKey) ([]byte, error) {
		t := template("Practice registry CA, NOT FOR PRODUCTION", now)
		t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
		// Whoever gets this CA trusted by accident trusts it for nothing but
		// the names of a practice registry.
		t.PermittedDNSDomainsCritical, t.PermittedDNSDomains = true, []string{"localhost", "practice.example"}
		t.PermittedIPRanges = []*net.IPNet{{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}, {IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)}}
		return x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	})
	if err != nil {
		return nil, err
	}
	p.pool.AddCert(caCert)
	p.short = func(life time.Duration) (tls.Certificate, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		t := serverTemplate(now)
		t.NotAfter = now.Add(life)
		der, err := x509.CreateCertificate(rand.Reader, t, caCert, key.Public(), caKey)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
	}
	leaf := func(file, cn string, usage x509.ExtKeyUsage) (tls.Certificate, error) {
		cert, key, err := pair(dir, file, func(key *ecdsa.PrivateKey) ([]byte, error) {
			t := serverTemplate(now)
			if usage == x509.ExtKeyUsageClientAuth {
				t = template(cn, now)
				t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{usage}
			}
			return x509.CreateCertificate(rand.Reader, t, caCert, key.Public(), caKey)
		})
		if err != nil {
			return tls.Certificate{}, err
		}
		return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
	}
	if p.server, err = leaf("server", "", x509.ExtKeyUsageServerAuth); err != nil {
		return nil, err
	}
	if p.client, err = leaf("client", "Practice registry EPP client", x509.ExtKeyUsageClientAuth); err != nil {
		return nil, err
	}
	zone := func(file string) (*dns.DNSKEY, crypto.Signer, error) {
		key, err := keyFile(filepath.Join(dir, file))
		if err != nil {
			return nil, nil, err
		}
		pub, err := ecdsaKey(key)
		if err != nil {
			return nil, nil, err
		}
		return &dns.DNSKEY{Hdr: head(".", dns.TypeDNSKEY), Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256, PublicKey: base64.StdEncoding.EncodeToString(pub)}, key, nil
	}
	if p.dnskey, p.signer, err = zone("actor-zone.key"); err != nil {
		return nil, err
	}
	if p.parent, p.parentSigner, err = zone("parent-zone.key"); err != nil {
		return nil, err
	}
	return p, nil
}

// actorKey gives the DNSKEY of one of the actor's zones.
func (p *pki) actorKey(n impound.Name) *dns.DNSKEY {
	k := *p.dnskey
	k.Hdr.Name = n.FQDN()
	return &k
}

func (p *pki) actorDS(n impound.Name) DS {
	ds := p.actorKey(n).ToDS(dns.SHA256)
	return DS{KeyTag: ds.KeyTag, Alg: ds.Algorithm, DigestType: ds.DigestType, Digest: ds.Digest}
}

func template(cn string, now time.Time) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: cn}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0)}
}

func serverTemplate(now time.Time) *x509.Certificate {
	t := template("Practice registry EPP server", now)
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.DNSNames = []string{"localhost", "epp.practice.example"}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
	return t
}

// pair reads dir/name.pem and name.key, or makes them.
func pair(dir, name string, make func(*ecdsa.PrivateKey) ([]byte, error)) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := keyFile(filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(dir, name+".pem")
	if b, err := os.ReadFile(path); err == nil {
		blk, _ := pem.Decode(b)
		if blk == nil {
			return nil, nil, fmt.Errorf("%s holds no certificate: move the folder away to begin anew", path)
		}
		cert, err := x509.ParseCertificate(blk.Bytes)
		return cert, key, err
	} else if !os.IsNotExist(err) {
		return nil, nil, err
	}
	der, err := make(key)
	if err != nil {
		return nil, nil, fmt.Errorf("couldn't make certificate %s: %w", name, err)
	}
	if err := writeOnce(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func keyFile(path string) (*ecdsa.PrivateKey, error) {
	if b, err := os.ReadFile(path); err == nil {
		blk, _ := pem.Decode(b)
		if blk == nil {
			return nil, fmt.Errorf("%s holds no key: move the folder away to begin anew", path)
		}
		k, err := x509.ParsePKCS8PrivateKey(blk.Bytes)
		if err != nil {
			return nil, err
		}
		ec, ok := k.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%s holds another kind of key", path)
		}
		return ec, nil
	} else if !os.IsNotExist(err) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeOnce(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// writeOnce writes a file so that it is whole or not there.
func writeOnce(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// LoadClientTLS gives what a client needs to talk to the registry whose folder
// is dir, which may run in another process.
func LoadClientTLS(dir string) (*tls.Config, error) {
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("couldn't read the practice registry's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", filepath.Join(dir, "ca.pem"))
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"))
	if err != nil {
		return nil, fmt.Errorf("couldn't read the practice client's certificate: %w", err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: "localhost", MinVersion: tls.VersionTLS12}, nil
}
