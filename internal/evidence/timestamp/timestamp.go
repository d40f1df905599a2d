// Package timestamp makes RFC 3161 requests and proves answers offline: that
// the authority signed, when, and over which bytes.
//
// What lives here: encoding and verification. What must not: a network client,
// or a list of authorities that are trusted: whoever verifies brings the roots.
package timestamp

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/digitorus/pkcs7"
	ts "github.com/digitorus/timestamp"
)

// MaxAnswer bounds an answer in octets; real ones are 2 to 10 kB.
const MaxAnswer = 64 << 10

// Stamp is what a proven answer says.
type Stamp struct {
	At      time.Time `json:"at"`      // by the authority's clock
	SHA256  string    `json:"sha256"`  // hex of the bytes that were stamped
	Signer  string    `json:"signer"`  // subject of the signing certificate
	Serial  string    `json:"serial"`  // of the stamp
	Trusted bool      `json:"trusted"` // the chain leads to a root that was given
}

// Request gives a DER request for a stamp over data, which also asks for the
// authority's certificate, and the nonce that the answer must repeat.
func Request(data []byte) (der []byte, nonce *big.Int, err error) {
	if nonce, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63)); err != nil {
		return nil, nil, fmt.Errorf("couldn't make a nonce: %w", err)
	}
	sum := sha256.Sum256(data)
	r := ts.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Certificates: true, Nonce: nonce}
	if der, err = r.Marshal(); err != nil {
		return nil, nil, fmt.Errorf("couldn't make a timestamp request: %w", err)
	}
	return der, nonce, nil
}

var oidTimeStampingEKU = asn1.ObjectIdentifier{2, 5, 29, 37}

// Verify proves an answer (DER TimeStampResp) that holds its signing
// certificate: it was granted, the signature holds, the certificate is for time
// stamping alone and critically so (RFC 3161 2.3) and was valid at that time.
// Where roots is not nil, the chain must lead to one of them; otherwise the
// stamp proves only that whoever has that certificate's key made it. A nonce
// that is not nil must be repeated. It never panics, whatever the bytes are.
func Verify(answer []byte, roots *x509.CertPool, nonce *big.Int) (s Stamp, err error) {
	defer func() {
		// The ASN.1 readers beneath are other people's, and the bytes hostile.
		if r := recover(); r != nil {
			s, err = Stamp{}, errors.New("the timestamp is malformed")
		}
	}()
	if len(answer) > MaxAnswer {
		return Stamp{}, fmt.Errorf("the timestamp is %d octets long, at most %d can be right", len(answer), MaxAnswer)
	}
	t, err := ts.ParseResponse(answer)
	if err != nil {
		return Stamp{}, fmt.Errorf("the timestamp does not verify: %w", err)
	}
	if t.HashAlgorithm != crypto.SHA256 || len(t.HashedMessage) != sha256.Size {
		return Stamp{}, errors.New("the timestamp is not over a SHA-256 hash")
	}
	if nonce != nil && (t.Nonce == nil || t.Nonce.Cmp(nonce) != 0) {
		return Stamp{}, errors.New("the timestamp repeats another nonce: it is no answer to this request")
	}
	p7, err := pkcs7.Parse(t.RawToken)
	if err != nil {
		return Stamp{}, fmt.Errorf("the timestamp does not verify: %w", err)
	}
	// ParseResponse checks no signature when there is no certificate.
	cert := p7.GetOnlySigner()
	if cert == nil {
		return Stamp{}, errors.New("the timestamp does not hold its one signer's certificate")
	}
	if err := p7.Verify(); err != nil {
		return Stamp{}, fmt.Errorf("the timestamp's signature does not verify: %w", err)
	}
	critical := false
	for _, e := range cert.Extensions {
		critical = critical || e.Id.Equal(oidTimeStampingEKU) && e.Critical
	}
	if !critical || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(cert.UnknownExtKeyUsage) > 0 {
		return Stamp{}, errors.New("the signer's certificate is not one for time stamping alone")
	}
	at := t.Time.UTC()
	if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
		return Stamp{}, errors.New("the signer's certificate was not valid at the time of the timestamp")
	}
	s = Stamp{At: at, SHA256: hex.EncodeToString(t.HashedMessage), Signer: cert.Subject.String()}
	if t.SerialNumber != nil {
		s.Serial = t.SerialNumber.String()
	}
	if roots != nil {
		inter := x509.NewCertPool()
		for _, c := range p7.Certificates {
			inter.AddCert(c)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: inter, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}); err != nil {
			return Stamp{}, fmt.Errorf("the timestamp's signer is not one of the authorities given: %w", err)
		}
		s.Trusted = true
	}
	return s, nil
}
