package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/sinkhole"
	"github.com/impound/impound/internal/sinkhole/policy"
)

type ring map[string]impound.Person

func (r ring) Person(id string) (impound.Person, bool) { p, ok := r[id]; return p, ok }

// inForce opens a policy with an order over the names that begins now and ends
// in an hour.
func inForce(t testing.TB, certs impound.Certificates, names ...string) *policy.Policy {
	t.Helper()
	from := time.Now().UTC().Truncate(time.Second)
	o := &impound.Order{
		Format: impound.OrderFormat, ID: "O-1", Case: "C1", Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Court", Docket: "1:26-cv-1", CallBack: "+1 555 0100"},
		Issued:    from.Add(-time.Hour), From: from, Until: from.Add(time.Hour), AtEnd: "release",
		Parties:   impound.Parties{Requesting: "Us", Technical: "tech@example.com"},
		Recipient: impound.Recipient{Name: "Registry", Role: "registry"},
		Acts:      impound.Acts{Sinkhole: true, RemoveDS: true, Nameservers: []impound.Name{impound.MustName("ns1.sink.example"), impound.MustName("ns2.sink.example")}},
		Sinkhole:  impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 30, Certificates: certs},
	}
	a := impound.Appendix{ID: "A", Count: len(names)}
	for _, n := range names {
		a.Names = append(a.Names, impound.OrderName{Name: impound.MustName(n)})
	}
	o.Appendices = []impound.Appendix{a}
	keys := ring{}
	for i, who := range []string{"ann", "bob"} {
		k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		keys[who] = impound.Person{ID: who, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(k.Public().(ed25519.PublicKey))}
		o.Signatures = append(o.Signatures, impound.Sign(k, impound.SignOrder, o.Hash(), who, from))
	}
	m, err := o.Authorize(keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	hub := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	b, err := policy.Build([]*impound.Mandate{m}, policy.Options{Key: hub, Serial: 1, Now: from, Answer: policy.Answer{A: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Open(b.Data, impound.NewPublicKey(hub.Public().(ed25519.PublicKey)), 0, from)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type nothing struct{}

func (nothing) Append(*impound.Event) error { return nil }

type acts struct {
	mu   sync.Mutex
	all  []Act
	fail string
}

func (a *acts) on(_ context.Context, x Act) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !x.Result && x.What == a.fail {
		return errors.New("the log is gone")
	}
	a.all = append(a.all, x)
	return nil
}

func (a *acts) take() (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.all {
		s := x.What + " " + x.Name
		if x.Result {
			s += " done"
			if x.Err != "" {
				s += " badly"
			}
		}
		out = append(out, s)
	}
	a.all = nil
	return out
}

// pebble starts a real authority that asks our DNS and our web server.
func pebble(t testing.TB, dnsAddr, httpPort string) (directory, manage string, c *http.Client) {
	t.Helper()
	bin := peertest.Need(t, "pebble", "pebble")
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pebble"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := keyPEM(key)
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	at, manageAt := free(), free()
	var port int
	fmt.Sscan(httpPort, &port)
	cfg, _ := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": at, "managementListenAddress": manageAt, "certificate": filepath.Join(dir, "cert.pem"), "privateKey": filepath.Join(dir, "key.pem"), "httpPort": port, "tlsPort": 1,
	}})
	for name, b := range map[string][]byte{"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "key.pem": k, "config.json": cfg} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	cmd := exec.Command(bin, "-config", filepath.Join(dir, "config.json"), "-dnsserver", dnsAddr)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("pebble said:\n%s", out.String())
		}
	})
	pool := x509.NewCertPool()
	cert, _ := x509.ParseCertificate(der)
	pool.AddCert(cert)
	c = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	directory = "https://" + at + "/dir"
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		res, err := c.Get(directory)
		if err == nil {
			res.Body.Close()
			return directory, "https://" + manageAt, c
		}
		if time.Now().After(end) {
			t.Fatalf("pebble doesn't answer: %v\n%s", err, out.String())
		}
	}
}

// The whole way with a real authority: it asks our DNS where the seized name
// is, comes to our web server, and our HTTPS shows what it gave; when the order
// ends, key and certificate are gone.
func TestWithPebble(t *testing.T) {
	const zone = "outlook-verify.net"
	var shift atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
	p := inForce(t, impound.CertsACME, zone)
	var cur atomic.Pointer[Manager] // the sinkhole asks while it is made anew
	s, err := sinkhole.New(sinkhole.Config{
		Sensor: "s1", Listeners: []string{"dns://127.0.0.1:0", "http://127.0.0.1:0", "https://127.0.0.1:0"}, Recorder: nothing{}, Policy: p, Now: now,
		Challenge: func(host, token string) (string, bool) { return cur.Load().Challenge(host, token) },
		Certs: certsOf(func(z string, u time.Time) *tls.Certificate {
			if m := cur.Load(); m != nil {
				return m.Certificate(z, u)
			}
			return nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	_, port, _ := net.SplitHostPort(s.Addrs()["http"][0])
	directory, manage, client := pebble(t, s.Addrs()["dns"][0], port)
	var log acts
	dir := t.TempDir()
	cfg := Config{
		Dir: dir, Directory: directory, Contact: []string{"mailto:desk@unit.example"}, HTTP: client, OnAct: log.on, Now: now, Timeout: 30 * time.Second,
		InForce: func(name string, now time.Time) (time.Time, bool) {
			x, ok := p.Lookup(name, now)
			if !ok || x.Zone != name || x.Order.Certificates != impound.CertsACME {
				return time.Time{}, false
			}
			return x.Until(), true
		},
	}
	m, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cur.Store(m)
	issuer := func() string {
		c, err := tls.Dial("tcp", s.Addrs()["https"][0], &tls.Config{InsecureSkipVerify: true, ServerName: zone})
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Issuer.String()
	}
	if got := issuer(); !strings.Contains(got, zone) {
		t.Errorf("before: issued by %s", got)
	}
	if err := m.Tick(t.Context(), []string{zone, "not-in-force.net"}); err != nil {
		t.Fatal(err)
	}
	if got := log.take(); !slices.Equal(got, []string{"acme.account ", "acme.account  done", "acme.certificate " + zone, "acme.certificate " + zone + " done"}) {
		t.Errorf("acts: %q", got)
	}
	if got := issuer(); !strings.Contains(got, "Pebble") {
		t.Errorf("after: issued by %s", got)
	}
	c := m.Certificate(zone, now().Add(time.Hour))
	if err := c.Leaf.VerifyHostname("www." + zone); err != nil {
		t.Error(err)
	}
	// It is not asked for again, also not after a restart.
	if m, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	cur.Store(m)
	if err := m.Tick(t.Context(), []string{zone}); err != nil || log.take() != nil || !strings.Contains(issuer(), "Pebble") {
		t.Errorf("after a restart: %v, issued by %s", err, issuer())
	}
	for _, f := range []string{"account.key", "certs/" + zone + ".pem"} {
		if fi, err := os.Stat(filepath.Join(dir, f)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, fi.Mode(), err)
		}
	}
	status := func(c *tls.Certificate) string {
		res, err := client.Get(manage + "/cert-status-by-serial/" + c.Leaf.SerialNumber.Text(16))
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return string(b)
	}
	// It is renewed when two thirds of its life are over. The old key is gone, and
	// the old certificate is revoked: it could outlive the order.
	held, err := os.Open(filepath.Join(dir, "certs", zone+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	for _, tt := range []struct {
		part   time.Duration
		renews bool
	}{{life / 2, false}, {life * 3 / 4, true}} {
		later, at := cfg, c.Leaf.NotBefore.Add(tt.part) // of this round: the web server still asks the last one's
		later.Now = func() time.Time { return at }
		later.InForce = func(string, time.Time) (time.Time, bool) { return at.Add(time.Hour), true }
		n, err := Open(later)
		if err != nil {
			t.Fatal(err)
		}
		cur.Store(n)
		err = n.Tick(t.Context(), []string{zone})
		if got := len(log.take()); err != nil || got != map[bool]int{true: 4}[tt.renews] {
			t.Errorf("after %s of %s: %d acts, %v", tt.part, life, got, err)
		}
	}
	if b, err := io.ReadAll(held); err != nil || len(b) == 0 || len(bytes.Trim(b, "0")) > 0 {
		t.Errorf("the old key can still be read: %v, %.60q", err, b)
	}
	if err := m.Tick(t.Context(), []string{zone}); err != nil || !strings.Contains(status(c), `"Revoked"`) {
		t.Errorf("the old one: %v, %s", err, status(c))
	}
	if got := log.take(); !slices.Equal(got, []string{"acme.revoke " + zone, "acme.revoke " + zone + " done"}) {
		t.Errorf("acts: %q", got)
	}
	old := c.Leaf.SerialNumber
	if m, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	cur.Store(m)
	if c = m.Certificate(zone, now().Add(time.Hour)); c == nil || c.Leaf.SerialNumber.Cmp(old) == 0 || !strings.Contains(status(c), `"Valid"`) {
		t.Fatalf("the new one: %v", c)
	}
	// The order ends.
	shift.Store(int64(time.Hour))
	if got := issuer(); !strings.Contains(got, "unrecognized name") {
		t.Errorf("at the end: %s", got)
	}
	if err := m.Tick(t.Context(), []string{zone}); err != nil {
		t.Fatal(err)
	}
	if got := log.take(); !slices.Equal(got, []string{"acme.destroy " + zone, "acme.destroy " + zone + " done", "acme.revoke " + zone, "acme.revoke " + zone + " done"}) {
		t.Errorf("acts: %q", got)
	}
	if got := status(c); !strings.Contains(got, `"Revoked"`) {
		t.Errorf("at the end: %s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "revoke", "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "certs", zone+".pem")); !os.IsNotExist(err) {
		t.Errorf("the key is still there: %v", err)
	}
}

type certsOf func(string, time.Time) *tls.Certificate

func (f certsOf) Certificate(z string, u time.Time) *tls.Certificate { return f(z, u) }

// An authority that must not be reached.
func unreachable(t *testing.T, asked *atomic.Int64) *http.Client {
	return &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		asked.Add(1)
		return nil, errors.New("no authority")
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNothingIsAskedWithoutOrderOrRecord(t *testing.T) {
	var asked atomic.Int64
	var log acts
	in := false
	clock := time.Now()
	cfg := Config{Dir: t.TempDir(), Directory: "https://ca.invalid/dir", HTTP: unreachable(t, &asked), OnAct: log.on, PerHour: 3, Now: func() time.Time { return clock },
		InForce: func(string, time.Time) (time.Time, bool) { return clock.Add(time.Hour), in }}
	m, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Tick(t.Context(), []string{"a.net"}); err != nil || asked.Load() != 0 || log.take() != nil {
		t.Errorf("without an order: %v, asked %d times", err, asked.Load())
	}
	in, log.fail = true, "acme.account"
	if err := m.Tick(t.Context(), []string{"a.net"}); err == nil || asked.Load() != 0 {
		t.Errorf("without a record: %v, asked %d times", err, asked.Load())
	}
	log.fail = ""
	// It waits longer each time, and asks no more often than it may.
	if err := m.Tick(t.Context(), []string{"a.net"}); err != nil || asked.Load() != 0 {
		t.Errorf("at once again: %v, asked %d times", err, asked.Load())
	}
	for range 6 {
		clock = clock.Add(5 * time.Minute)
		m.Tick(t.Context(), []string{"a.net"})
	}
	if n := len(m.began); n != 3 {
		t.Errorf("asked %d times within an hour, allowed are 3", n)
	}
	if m, err = Open(cfg); err != nil || m.budget(clock) {
		t.Errorf("a restart forgets how often it asked (%v)", err)
	}
	if _, ok := m.Challenge("a.net", "token"); ok {
		t.Error("a token that nobody was given is answered")
	}
	m.tokens[[2]string{"www.a.net", "token"}] = "proof"
	if p, ok := m.Challenge("www.a.net", "token"); !ok || p != "proof" {
		t.Errorf("%q %v", p, ok)
	}
	in = false
	if _, ok := m.Challenge("www.a.net", "token"); ok {
		t.Error("a challenge is answered with no order in force")
	}
}

// Keys are destroyed also when that can't be recorded, and acts stand in the
// folder when nobody else records them.
func TestDestroyedAtTheEnd(t *testing.T) {
	for _, fail := range []bool{false, true} {
		dir := t.TempDir()
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.net"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		k, _ := keyPEM(key)
		os.MkdirAll(filepath.Join(dir, "certs"), 0o700)
		file := filepath.Join(dir, "certs", "a.net.pem")
		os.WriteFile(file, append(k, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), 0o600)
		os.WriteFile(filepath.Join(dir, "certs", "b.net.pem"), []byte("cut"), 0o600)
		in := true
		var asked atomic.Int64
		clock := time.Now()
		cfg := Config{Dir: dir, Directory: "https://ca.invalid/dir", HTTP: unreachable(t, &asked), Now: func() time.Time { return clock }, InForce: func(string, time.Time) (time.Time, bool) { return time.Time{}, in }}
		if fail {
			cfg.OnAct = func(context.Context, Act) error { return io.ErrShortWrite }
		}
		m, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		until := time.Now().Add(time.Minute)
		if m.Certificate("a.net", until) == nil || m.Certificate("b.net", until) != nil || m.Certificate("a.net", clock.Add(-1)) != nil {
			t.Error("certificates are not as the folder holds them")
		}
		in = false
		if err := m.Tick(t.Context(), nil); err == nil || strings.Contains(err.Error(), "destroy") != fail || !strings.Contains(err.Error(), "couldn't revoke a certificate of a[.]net") {
			t.Errorf("%v", err)
		}
		// The authority can't be reached: what is public of it waits.
		waits, _ := filepath.Glob(filepath.Join(dir, "revoke", "*"))
		if len(waits) != 1 {
			t.Fatalf("to be revoked: %v", waits)
		}
		if b, _ := os.ReadFile(waits[0]); bytes.Contains(b, []byte("KEY")) || !bytes.Contains(b, []byte("CERTIFICATE")) {
			t.Errorf("%s", b)
		}
		before := asked.Load()
		if fail != (before == 0) { // without a record the authority isn't asked either
			t.Errorf("asked %d times", before)
		}
		if err := m.Tick(t.Context(), nil); err != nil || asked.Load() != before {
			t.Errorf("at once again: %v, asked %d times", err, asked.Load())
		}
		left, _ := filepath.Glob(filepath.Join(dir, "certs", "*"))
		if len(left) > 0 || m.Certificate("a.net", until) != nil {
			t.Errorf("left: %v", left)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "acts.jsonl"))
		if n := bytes.Count(b, []byte("\n")); !fail && n != 6 {
			t.Errorf("%d acts are written down, want 6:\n%s", n, b)
		}
		// It ends by itself at last.
		clock = clock.Add(2 * time.Hour)
		n := asked.Load()
		if err := m.Tick(t.Context(), nil); err != nil || asked.Load() != n {
			t.Errorf("after its end: %v", err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "revoke", "*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}
