package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/peertest"
)

// pebble starts a real authority in dir that asks our DNS and our web server. Its
// own certificate is pebble.pem.
func pebble(t *testing.T, dir, dnsAt, httpAt string) (directory, manage string, c *http.Client) {
	t.Helper()
	bin := peertest.Need(t, "pebble", "pebble")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pebble"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	at, manageAt := freePort(t), freePort(t)
	_, p, _ := net.SplitHostPort(httpAt)
	port, _ := strconv.Atoi(p)
	cert := filepath.Join(dir, "pebble.pem")
	cfg, _ := json.Marshal(map[string]any{"pebble": map[string]any{"listenAddress": at, "managementListenAddress": manageAt, "certificate": cert, "privateKey": filepath.Join(dir, "pebble.key"), "httpPort": port, "tlsPort": 1}})
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, filepath.Join(dir, "pebble.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k}))
	write(t, filepath.Join(dir, "pebble.json"), cfg)
	var out bytes.Buffer
	cmd := exec.Command(bin, "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", dnsAt)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pebble said:\n%s", out.String())
		}
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	c = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	eventually(t, "pebble answers", func() bool {
		res, err := c.Get("https://" + at + "/dir")
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	return "https://" + at + "/dir", "https://" + manageAt, c
}

// From an order that says acme to a certificate of a real authority, and at the
// order's end to its revocation, by the configuration and the command line alone.
// Every act towards the authority stands in the evidence log.
func TestCertificateFromOrderToRevocation(t *testing.T) {
	t.Parallel()
	peertest.Need(t, "pebble", "pebble")
	d := newDesk(t)
	dnsAt, httpAt, httpsAt := freePort(t), freePort(t), freePort(t)
	directory, manage, client := pebble(t, d.dir, dnsAt, httpAt)
	d.configure(app.Config{Sinkhole: app.SinkholeConfig{
		Listen: []string{"dns://" + dnsAt, "http://" + httpAt, "https://" + httpsAt}, Answer: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		ACME: app.ACMEConfig{Directory: directory, AgreeTOS: true, CA: filepath.Join(d.dir, "pebble.pem"), Contact: "desk@unit.example"},
	}})
	s := start(t, d.dir, "--state", "hub", "serve")
	s.waitFor(t, "stops in order")
	shown := func(name string) (*x509.Certificate, error) {
		c, err := tls.Dial("tcp", httpsAt, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0], nil
	}
	d.order("O-1", "outlook-verify.net", "self", time.Now().AddDate(1, 0, 0))
	// A machine that is busy for longer than the order lasts shows nothing: then
	// with a longer one.
	var cert *x509.Certificate
	var until time.Time
	for n, long := 2, 4*time.Second+12*d.took; cert == nil; n, long = n+1, 2*long {
		if long > 2*time.Minute {
			t.Fatalf("none came before the order's end:\n%s", s.text())
		}
		until = time.Now().Add(long).Truncate(time.Second)
		d.order(fmt.Sprint("O-", n), "yahoo-verify.net", "acme", until)
		eventually(t, "the authority's certificate is shown", func() bool {
			c, err := shown("www.yahoo-verify.net")
			if err == nil && strings.Contains(c.Issuer.String(), "Pebble") {
				cert = c
			}
			return cert != nil || time.Now().After(until)
		})
	}
	if err := cert.VerifyHostname("www.yahoo-verify.net"); err != nil {
		t.Error(err)
	}
	if c, err := shown("outlook-verify.net"); err != nil || strings.Contains(c.Issuer.String(), "Pebble") {
		t.Errorf("an order that says self: %v", err)
	}
	file := filepath.Join(d.dir, "hub", "acme", "certs", "yahoo-verify.net.pem")
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("its key: %v", err)
	}
	status := func() string {
		res, err := client.Get(manage + "/cert-status-by-serial/" + cert.SerialNumber.Text(16))
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return string(b)
	}
	eventually(t, "the authority holds it to be good, or the order ended", func() bool {
		return strings.Contains(status(), `"Valid"`) || time.Now().After(until)
	})
	eventually(t, "it is revoked", func() bool { return strings.Contains(status(), `"Revoked"`) })
	if time.Now().Before(until) {
		t.Error("it was revoked before the order's end")
	}
	if _, err := shown("yahoo-verify.net"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("after the end: %v", err)
	}
	eventually(t, "the key is gone", func() bool { _, err := os.Stat(file); return os.IsNotExist(err) })
	waits := func() []string {
		left, _ := filepath.Glob(filepath.Join(d.dir, "hub", "acme", "revoke", "*"))
		return left
	}
	eventually(t, "nothing waits to be revoked", func() bool { return len(waits()) == 0 })
	s.stop(t)
	for _, what := range []string{"acme.account", "acme.certificate", "acme.destroy", "acme.revoke"} {
		if out := d.run("evidence", "list", "--what", what); strings.Count(out, what) < 2 || !strings.Contains(out, "done") || what != "acme.account" && !strings.Contains(out, "yahoo-verify[.]net") {
			t.Errorf("%s: intent and result are not both there: %s", what, out)
		}
	}
	d.run("evidence", "verify")
}
