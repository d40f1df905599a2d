package sensor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/acme"
	"github.com/impound/impound/internal/sinkhole"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// ACME says where certificates of a public authority come from.
type ACME struct {
	Dir       string // for the account's key and the certificates
	Directory string
	Contact   []string
	CA        string // PEM file of who signed the authority's own certificate; "" for the machine's list
	PerHour   int
	OnAct     func(context.Context, acme.Act) error // nil: acts.jsonl in Dir
}

// What certificates are missing or must go is looked at acmeEvery, and within
// acmeLook of a new policy or an order's end.
const (
	acmeEvery = 5 * time.Second
	acmeLook  = 250 * time.Millisecond
)

// Certs keeps certificates for the names of the policy in use whose order says
// acme.
type Certs struct {
	m    *acme.Manager
	sink atomic.Pointer[sinkhole.Sinkhole]
	now  func() time.Time
	log  *slog.Logger
}

// OpenCerts opens the folder; it asks nobody anything until Run. It wires itself
// into cfg.
func OpenCerts(a ACME, cfg *sinkhole.Config, now func() time.Time, log *slog.Logger) (*Certs, error) {
	c := &Certs{now: now, log: log}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: nil, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}}
	if a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, impound.Errorf(impound.KindInvalid, "couldn't read the authority's certificate: %w", err).At("acme.ca")
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, impound.Errorf(impound.KindInvalid, "%s holds no certificate", a.CA).At("acme.ca")
		}
		client.Transport.(*http.Transport).TLSClientConfig.RootCAs = pool
	}
	var err error
	c.m, err = acme.Open(acme.Config{Dir: a.Dir, Directory: a.Directory, Contact: a.Contact, PerHour: a.PerHour, OnAct: a.OnAct, InForce: c.inForce, HTTP: client, Now: now, Log: log})
	if err != nil {
		return nil, err
	}
	cfg.Certs, cfg.Challenge = c.m, c.m.Challenge
	return c, nil
}

// inForce is asked by the manager right before every step (law 1).
func (c *Certs) inForce(name string, now time.Time) (time.Time, bool) {
	x, ok := c.policy().Lookup(name, now)
	if !ok || x.Zone != name || x.Order.Certificates != impound.CertsACME {
		return time.Time{}, false
	}
	return x.Until(), true
}

func (c *Certs) policy() *policy.Policy {
	if s := c.sink.Load(); s != nil {
		return s.Policy()
	}
	return nil
}

// Run gets and destroys until ctx is done.
func (c *Certs) Run(ctx context.Context, sink *sinkhole.Sinkhole) {
	c.sink.Store(sink)
	t := time.NewTicker(acmeLook)
	defer t.Stop()
	var last *policy.Policy
	var ticked, end time.Time
	for {
		now, p := c.now(), c.policy()
		if p != last || time.Since(ticked) >= acmeEvery || !end.IsZero() && !now.Before(end) {
			var zones []string
			if end = nextEnd(p, now); !end.IsZero() {
				p.Names(func(z string) bool {
					if _, ok := c.inForce(z, now); ok {
						zones = append(zones, z)
					}
					return true
				})
			}
			if err := c.m.Tick(ctx, zones); err != nil && ctx.Err() == nil {
				c.log.Error("acme: not all certificates could be had, destroyed or revoked", "err", err)
			}
			last, ticked = p, time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// nextEnd is when the next of the orders with ACME certificates ends, or the
// policy if that is sooner; zero when there is none.
func nextEnd(p *policy.Policy, now time.Time) (end time.Time) {
	if p == nil {
		return end
	}
	for _, o := range p.Orders() {
		until := o.Until
		if p.NotAfter().Before(until) {
			until = p.NotAfter()
		}
		if o.Certificates == impound.CertsACME && now.Before(until) && (end.IsZero() || until.Before(end)) {
			end = until
		}
	}
	return end
}
