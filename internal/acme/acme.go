// Package acme gets certificates of a public authority (RFC 8555) for seized
// names, while an order in force says so.
//
// What lives here: the account's key, one order per seized zone (the zone and
// www below it) proven over http-01, renewal, and the destruction of keys and
// the revocation of certificates when the order ends. It stands outside the sinkhole, which has
// no network client. What must not: a way to ask for a name that InForce does
// not vouch for, which is asked again right before every step (law 1), an act
// without an entry made before it (law 4), or a listener.
package acme

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	xacme "golang.org/x/crypto/acme"

	"github.com/impound/impound"
)

// Act is one act towards the authority, or one of destruction: first as an
// intent, then with its result.
type Act struct {
	ID     string // of the intent; the result has the same
	What   string // acme.account | acme.certificate | acme.destroy | acme.revoke
	Name   string // the seized zone; "" for the account
	Result bool
	Err    string // of a result: what went wrong; "" for well
}

// Config is what a manager needs. Dir, Directory and InForce are required.
type Config struct {
	Dir       string   // holds account.key, certificates with their keys, and acts.jsonl; made with mode 0700
	Directory string   // the authority's directory URL
	Contact   []string // such as mailto:desk@unit.example

	// InForce says until when an order in force has ACME certificates for a
	// seized name. It is asked right before every step.
	InForce func(name string, now time.Time) (until time.Time, ok bool)
	// OnAct records acts. An error on an intent stops the act. Without it they
	// are written to acts.jsonl in Dir, fsynced.
	OnAct func(context.Context, Act) error

	PerHour int           // certificates asked for within an hour, over restarts; 0 means 10
	Timeout time.Duration // for one certificate; 0 means 2 minutes
	HTTP    *http.Client  // nil means one with a timeout of 30 s
	Now     func() time.Time
	Log     *slog.Logger
}

// Manager holds certificates. Certificate and Challenge are safe for concurrent
// use and never wait for the network; Tick is for one goroutine.
type Manager struct {
	cfg    Config
	client *xacme.Client

	registered bool
	tries      map[string]*backoff
	began      []time.Time

	mu     sync.RWMutex
	certs  map[string]*tls.Certificate // by zone
	tokens map[[2]string]string        // host and token to key authorization
}

type backoff struct {
	failures int
	next     time.Time
}

const (
	firstWait = time.Minute
	maxWait   = 24 * time.Hour
)

func (t *backoff) failed(now time.Time) {
	t.next = now.Add(min(maxWait, firstWait<<min(t.failures, 12)))
	t.failures++
}

func (m *Manager) try(what string) *backoff {
	t := m.tries[what]
	if t == nil {
		t = &backoff{}
		m.tries[what] = t
	}
	return t
}

// Open reads what the folder holds and makes the account's key when it has
// none. It asks nobody anything.
func Open(cfg Config) (*Manager, error) {
	if cfg.InForce == nil {
		return nil, impound.Errorf(impound.KindInvalid, "certificates need somebody who says what is in force")
	}
	if !strings.HasPrefix(cfg.Directory, "https://") {
		return nil, impound.Errorf(impound.KindInvalid, "“%.80s” is no directory of an ACME authority", cfg.Directory).At("acme.directory").WithCure("write its https:// address, such as https://acme-v02.api.letsencrypt.org/directory")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 30 * time.Second}
	}
	if cfg.PerHour <= 0 {
		cfg.PerHour = 10
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 2 * time.Minute
	}
	for _, d := range []string{"certs", "revoke"} {
		if err := os.MkdirAll(filepath.Join(cfg.Dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("couldn't make the folder for certificates: %w", err)
		}
	}
	key, err := accountKey(filepath.Join(cfg.Dir, "account.key"))
	if err != nil {
		return nil, err
	}
	m := &Manager{
		cfg: cfg, client: &xacme.Client{Key: key, DirectoryURL: cfg.Directory, HTTPClient: cfg.HTTP, UserAgent: "impound"},
		tries: map[string]*backoff{}, certs: map[string]*tls.Certificate{}, tokens: map[[2]string]string{},
	}
	if m.cfg.OnAct == nil {
		m.cfg.OnAct = m.note
	}
	if b, err := os.ReadFile(filepath.Join(cfg.Dir, "began.json")); err == nil {
		if err := json.Unmarshal(b, &m.began); err != nil {
			return nil, fmt.Errorf("couldn't read when certificates were asked for: %w", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("couldn't read when certificates were asked for: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "certs", "*.pem"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		zone := strings.TrimSuffix(filepath.Base(f), ".pem")
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("couldn't read a certificate: %w", err)
		}
		c, err := readCert(b)
		if err != nil { // cut by a crash: another is asked for
			cfg.Log.Warn("acme: a certificate's file can't be read; another is asked for", "zone", zone, "err", err)
			c = nil
		}
		m.certs[zone] = c // nil: to be destroyed or renewed
	}
	return m, nil
}

func accountKey(path string) (crypto.Signer, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		p, err := keyPEM(k)
		if err != nil {
			return nil, err
		}
		return k, writeFile(path, p)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read the account's key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, impound.Errorf(impound.KindInvalid, "the account's key is no PEM").At(path).WithCure("put it back from a copy, or delete it to register anew")
	}
	k, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "the account's key can't be read: %w", err).At(path).WithCure("put it back from a copy, or delete it to register anew")
	}
	return k, nil
}

func keyPEM(k *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func readCert(b []byte) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, err
	}
	if c.Leaf == nil {
		c.Leaf, err = x509.ParseCertificate(c.Certificate[0])
	}
	return &c, err
}

// writeFile writes a file of mode 0600 that is whole or absent after a crash.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("couldn't write %s: %w", filepath.Base(path), err)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// note is OnAct without one.
func (m *Manager) note(_ context.Context, a Act) error {
	b, err := json.Marshal(struct {
		At time.Time
		Act
	}{m.cfg.Now().UTC(), a})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(m.cfg.Dir, "acts.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// Certificate gives the certificate for a seized zone that may be shown until
// then; nil when there is none that holds now.
func (m *Manager) Certificate(zone string, until time.Time) *tls.Certificate {
	m.mu.RLock()
	c := m.certs[zone]
	m.mu.RUnlock()
	if now := m.cfg.Now(); c == nil || !now.Before(until) || !now.Before(c.Leaf.NotAfter) {
		return nil
	}
	return c
}

// Challenge answers the authority's http-01 request for a host; ok is false for
// tokens that we did not ask to be tried, and when no order is in force.
func (m *Manager) Challenge(host, token string) (keyAuth string, ok bool) {
	m.mu.RLock()
	keyAuth, ok = m.tokens[[2]string{host, token}]
	m.mu.RUnlock()
	if ok {
		_, ok = m.cfg.InForce(strings.TrimPrefix(host, "www."), m.cfg.Now())
		if !ok {
			_, ok = m.cfg.InForce(host, m.cfg.Now())
		}
	}
	if !ok {
		return "", false
	}
	return keyAuth, true
}

// Tick destroys the keys of names that are no longer in force and has their
// certificates revoked, and gets those that are missing or near their end, for the
// zones given. What fails is tried again later, twice as late each time; the error
// joins what failed now.
func (m *Manager) Tick(ctx context.Context, zones []string) error {
	var errs []error
	m.mu.RLock()
	var held []string
	for z := range m.certs {
		held = append(held, z)
	}
	m.mu.RUnlock()
	slices.Sort(held)
	for _, z := range held {
		if _, ok := m.cfg.InForce(z, m.cfg.Now()); !ok {
			if err := m.destroy(ctx, z); err != nil {
				errs = append(errs, err)
			}
		}
	}
	errs = append(errs, m.revokeAll(ctx)...)
	for _, z := range zones {
		if ctx.Err() != nil {
			break
		}
		now := m.cfg.Now()
		if _, ok := m.cfg.InForce(z, now); !ok {
			delete(m.tries, z)
			continue
		}
		if m.fresh(z, now) {
			continue
		}
		t := m.try(z)
		if now.Before(t.next) {
			continue
		}
		if !m.budget(now) {
			break
		}
		if err := m.get(ctx, z); err != nil {
			t.failed(now)
			errs = append(errs, fmt.Errorf("couldn't get a certificate for %s: %w", defanged(z), err))
			continue
		}
		delete(m.tries, z)
	}
	return errors.Join(errs...)
}

func defanged(z string) string { return strings.ReplaceAll(z, ".", "[.]") }

// fresh says whether more than a third of the certificate's life is left.
func (m *Manager) fresh(zone string, now time.Time) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.certs[zone]
	return c != nil && c.Leaf.NotAfter.Sub(now) > c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)/3
}

// budget says whether one more may be asked for in this hour.
func (m *Manager) budget(now time.Time) bool {
	m.began = slices.DeleteFunc(m.began, func(t time.Time) bool { return now.Sub(t) >= time.Hour })
	return len(m.began) < m.cfg.PerHour
}

// act records an intent, does it, and records its result.
func (m *Manager) act(ctx context.Context, what, zone string, do func() error) error {
	var id [12]byte
	rand.Read(id[:])
	a := Act{ID: what + ":" + hex.EncodeToString(id[:]), What: what, Name: zone}
	if err := m.cfg.OnAct(ctx, a); err != nil {
		return fmt.Errorf("couldn't record the intent, so it was not done: %w", err)
	}
	err := do()
	a.Result = true
	if err != nil {
		a.Err = err.Error()
	}
	// The act is done: its result is recorded also when ctx has ended.
	if rerr := m.cfg.OnAct(context.WithoutCancel(ctx), a); rerr != nil {
		err = errors.Join(err, fmt.Errorf("couldn't record the result: %w", rerr))
	}
	return err
}

// may asks anew whether an order is in force.
func (m *Manager) may(zone string) error {
	if _, ok := m.cfg.InForce(zone, m.cfg.Now()); !ok {
		return impound.Errorf(impound.KindRefused, "no order in force has certificates for %s", defanged(zone))
	}
	return nil
}

func (m *Manager) get(ctx context.Context, zone string) error {
	if n, err := impound.ParseName(zone); err != nil || n.String() != zone {
		return impound.Errorf(impound.KindInvalid, "“%.80s” is no name that a certificate can be for", zone)
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	m.began = append(m.began, m.cfg.Now().UTC())
	b, err := json.Marshal(m.began)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(m.cfg.Dir, "began.json"), b); err != nil {
		return err
	}
	if !m.registered {
		err := m.act(ctx, "acme.account", "", func() error {
			if err := m.may(zone); err != nil {
				return err
			}
			_, err := m.client.Register(ctx, &xacme.Account{Contact: m.cfg.Contact}, xacme.AcceptTOS)
			if errors.Is(err, xacme.ErrAccountAlreadyExists) {
				err = nil
			}
			return err
		})
		if err != nil {
			return err
		}
		m.registered = true
	}
	return m.act(ctx, "acme.certificate", zone, func() error { return m.issue(ctx, zone) })
}

func (m *Manager) issue(ctx context.Context, zone string) error {
	names := []string{zone, "www." + zone}
	if err := m.may(zone); err != nil {
		return err
	}
	o, err := m.client.AuthorizeOrder(ctx, xacme.DomainIDs(names...))
	if err != nil {
		return fmt.Errorf("couldn't open an order: %w", err)
	}
	for _, u := range o.AuthzURLs {
		if err := m.prove(ctx, zone, names, u); err != nil {
			return err
		}
	}
	if err := m.may(zone); err != nil {
		return err
	}
	if o, err = m.client.WaitOrder(ctx, o.URI); err != nil {
		return fmt.Errorf("couldn't see the order ready: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return err
	}
	if err := m.may(zone); err != nil {
		return err
	}
	der, _, err := m.client.CreateOrderCert(ctx, o.FinalizeURL, csr, true)
	if err != nil {
		return fmt.Errorf("couldn't fetch the certificate: %w", err)
	}
	out, err := keyPEM(key)
	if err != nil {
		return err
	}
	for _, d := range der {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d})...)
	}
	c, err := readCert(out) // sees to it that key and certificate belong together
	if err != nil {
		return fmt.Errorf("couldn't use the certificate: %w", err)
	}
	if err := c.Leaf.VerifyHostname(zone); err != nil {
		return fmt.Errorf("couldn't use the certificate: %w", err)
	}
	if err := m.may(zone); err != nil { // the order ended meanwhile: the key is dropped unused
		return err
	}
	return m.replace(zone, c, out)
}

// replace puts a certificate in the place of the one before, whose key is
// destroyed, and which is to be revoked: it may outlive the order.
func (m *Manager) replace(zone string, c *tls.Certificate, file []byte) error {
	old, err := os.OpenFile(m.file(zone), os.O_RDWR, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != nil {
		defer old.Close()
		m.mu.RLock()
		was := m.certs[zone]
		m.mu.RUnlock()
		if err := m.toRevoke(zone, was); err != nil {
			return err
		}
	}
	if err := writeFile(m.file(zone), file); err != nil {
		return err
	}
	m.mu.Lock()
	m.certs[zone] = c
	m.mu.Unlock()
	if old != nil { // it has no name any more, but its octets are there
		return overwrite(old)
	}
	return nil
}

// overwrite writes over what a file holds. Disks that write elsewhere keep it.
func overwrite(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{'0'}, int(fi.Size())), 0)
	return errors.Join(err, f.Sync())
}

func (m *Manager) file(zone string) string { return filepath.Join(m.cfg.Dir, "certs", zone+".pem") }

// prove answers one authorization over http-01.
func (m *Manager) prove(ctx context.Context, zone string, names []string, url string) error {
	if err := m.may(zone); err != nil {
		return err
	}
	z, err := m.client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("couldn't read an authorization: %w", err)
	}
	if z.Status == xacme.StatusValid {
		return nil
	}
	host := z.Identifier.Value
	if !slices.Contains(names, host) {
		return impound.Errorf(impound.KindRefused, "the authority asks for a proof of a name that we did not ask for")
	}
	i := slices.IndexFunc(z.Challenges, func(c *xacme.Challenge) bool { return c.Type == "http-01" })
	if i < 0 {
		return impound.Errorf(impound.KindUnavailable, "the authority offers no http-01 for %s", defanged(host))
	}
	ch := z.Challenges[i]
	proof, err := m.client.HTTP01ChallengeResponse(ch.Token)
	if err != nil {
		return err
	}
	k := [2]string{host, ch.Token}
	m.mu.Lock()
	m.tokens[k] = proof
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.tokens, k)
		m.mu.Unlock()
	}()
	if err := m.may(zone); err != nil {
		return err
	}
	if _, err := m.client.Accept(ctx, ch); err != nil {
		return fmt.Errorf("couldn't have %s tried: %w", defanged(host), err)
	}
	if _, err := m.client.WaitAuthorization(ctx, z.URI); err != nil {
		return fmt.Errorf("couldn't prove %s: %w", defanged(host), err)
	}
	return nil
}

// destroy takes the certificate away at once, and then its key off the disk:
// also when that can't be recorded, since nobody ordered that it be kept. What is
// public of it stays until it was revoked.
func (m *Manager) destroy(ctx context.Context, zone string) error {
	m.mu.Lock()
	was := m.certs[zone]
	m.certs[zone] = nil
	m.mu.Unlock()
	noted := m.toRevoke(zone, was)
	var done bool
	erase := func() error {
		done = true
		p := m.file(zone)
		if f, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil {
			if err := errors.Join(overwrite(f), f.Close()); err != nil {
				return err
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDir(filepath.Dir(p))
	}
	err := m.act(ctx, "acme.destroy", zone, erase)
	if !done {
		err = errors.Join(err, erase())
	}
	err = errors.Join(err, noted)
	if _, serr := os.Stat(m.file(zone)); errors.Is(serr, fs.ErrNotExist) {
		m.mu.Lock()
		if m.certs[zone] == nil {
			delete(m.certs, zone)
		}
		m.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("couldn't destroy the certificate of %s in order: %w", defanged(zone), err)
	}
	return nil
}
