package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app/sensor"
	"github.com/impound/impound/internal/sinkhole"
	"github.com/impound/impound/internal/spool"
)

// sinkConfig is what the configuration says of the listeners. lure may be nil.
func (c *Config) sinkConfig(state string, lure []byte) (sinkhole.Config, error) {
	k := c.Sinkhole
	cfg := sinkhole.Config{
		Sensor: k.Sensor, Listeners: k.Listen, Contact: k.Contact, LureKey: lure, NS: k.NS, NSID: k.NSID, CAIssuer: k.CAIssuer,
		Limits: sinkhole.Limits{
			DNSPerSecond: k.Limits.DNSPerSecond, Conns: k.Limits.Conns, ConnsPerSource: k.Limits.ConnsPerSource, AllConns: k.Limits.AllConns, UDPPerSecond: k.Limits.UDPPerSecond,
			HeadTimeout: span(k.Limits.HeadTimeout), IdleTimeout: span(k.Limits.IdleTimeout),
		},
	}
	if cfg.Sensor == "" {
		cfg.Sensor = "local"
	}
	if !k.Hostmaster.IsZero() {
		cfg.Hostmaster = k.Hostmaster.String()
	}
	for _, a := range k.Answer {
		if a.Is4() {
			cfg.A = append(cfg.A, a)
		} else {
			cfg.AAAA = append(cfg.AAAA, a)
		}
	}
	if k.DoTCert != "" {
		cert, err := tls.LoadX509KeyPair(c.Path(state, k.DoTCert), c.Path(state, k.DoTKey))
		if err != nil {
			return cfg, impound.Errorf(impound.KindInvalid, "couldn't read the certificate for dns+tls: %w", err).At("sinkhole.dot_cert")
		}
		cfg.DoTCert = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	for i, r := range k.SealTo {
		x, err := age.ParseX25519Recipient(r)
		if err != nil {
			return cfg, impound.Errorf(impound.KindInvalid, "couldn't read the age recipient: %w", err).At(fmt.Sprintf("sinkhole.seal_to[%d]", i)).WithCure("age-keygen -y prints the public half, age1...")
		}
		cfg.Recipients = append(cfg.Recipients, x)
	}
	return cfg, nil
}

// acme is what the configuration says of certificates; nil for none.
func (c *Config) acme(state string) *sensor.ACME {
	a := c.Sinkhole.ACME
	if a.Directory == "" {
		return nil
	}
	out := &sensor.ACME{Dir: filepath.Join(state, "acme"), Directory: a.Directory, CA: c.Path(state, a.CA), PerHour: a.PerHour}
	if a.Contact != "" {
		out.Contact = []string{"mailto:" + strings.TrimPrefix(a.Contact, "mailto:")}
	}
	return out
}

// spoolOptions is what the configuration says of the spool.
func (c *Config) spoolOptions() spool.Options {
	mb := c.Sinkhole.MaxSpoolMB
	if mb == 0 {
		mb = 1024
	}
	return spool.Options{MaxBytes: int64(mb) << 20, SegmentBytes: c.Sinkhole.SegmentKB << 10, SyncEvery: span(c.Sinkhole.SyncEvery)}
}

// OpenSensor runs the sinkhole alone, for impound serve --role sensor. It opens
// the policy folder, the spool and keys/lure.key of the state folder, and
// nothing else there: no database, no evidence log.
func OpenSensor(ctx context.Context, opt Options) (*sensor.Site, error) {
	cfg := opt.Config
	if ps := cfg.checkSensor(); len(ps) > 0 {
		return nil, ps
	}
	if err := writableDir(opt.State); err != nil {
		return nil, err
	}
	lurePath := filepath.Join(opt.State, "keys", "lure.key")
	lure, err := readSecret(lurePath)
	if errors.Is(err, os.ErrNotExist) {
		// One of its own would work, but what it hashed could not be compared
		// with what other sensors saw, and nobody would notice.
		return nil, impound.Errorf(impound.KindInvalid, "the key for lure hashes is not there").At(lurePath).WithCure("it must be the same on every sensor: impound sensor enrol on the hub gives it, or copy keys/lure.key from the hub")
	} else if err != nil {
		return nil, err
	}
	sink, err := cfg.sinkConfig(opt.State, lure)
	if err != nil {
		return nil, err
	}
	o := sensor.Options{State: opt.State, HubKey: cfg.Control.HubKey, Sink: sink, Spool: cfg.spoolOptions(), PolicyFile: cfg.Path(opt.State, cfg.Control.PolicyFile), ACME: cfg.acme(opt.State), Now: opt.Now, Log: opt.Log}
	if cfg.Control.URL != "" {
		if o.Control, err = cfg.control(opt.State, opt.Log); err != nil {
			return nil, err
		}
	}
	return sensor.Open(ctx, o)
}

func (c *Config) control(state string, _ *slog.Logger) (*sensor.Control, error) {
	out := &sensor.Control{URL: c.Control.URL, TLS: &tls.Config{MinVersion: tls.VersionTLS13}}
	path := c.Path(state, c.Control.TokenFile)
	out.Token = func() (string, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", impound.Errorf(impound.KindUnavailable, "couldn't read the token: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	if _, err := out.Token(); err != nil {
		return nil, err
	}
	if c.Control.CA != "" {
		pem, err := os.ReadFile(c.Path(state, c.Control.CA))
		if err != nil {
			return nil, impound.Errorf(impound.KindInvalid, "couldn't read the hub's certificate: %w", err).At("control.ca")
		}
		out.TLS.RootCAs = x509.NewCertPool()
		if !out.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, impound.Errorf(impound.KindInvalid, "%s holds no certificate", c.Control.CA).At("control.ca")
		}
	}
	return out, nil
}

func (c *Config) policyValid() time.Duration {
	if d := span(c.Hub.PolicyValid); d > 0 {
		return d
	}
	return policyValid
}
