package observe

import (
	"crypto/x509"

	"github.com/impound/impound/internal/doh"
)

// TrustHTTPS makes c believe resolvers over HTTPS for whom roots vouch.
func TrustHTTPS(c *Observer, roots *x509.CertPool) {
	c.https = doh.New(c.dialHTTPS, c.cfg.Timeout, roots)
	c.quick.https = c.https
}
