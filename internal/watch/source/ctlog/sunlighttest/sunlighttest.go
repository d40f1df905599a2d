// Package sunlighttest runs a real Certificate Transparency log on loopback, for
// tests and benchmarks: Sunlight, which takes certificates, and Skylight, which
// serves the tiles, as for public
// logs.
//
// What lives here: starting, stopping and killing them, and a certificate
// authority that the log accepts. What must not: anything that the product
// needs.
package sunlighttest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the log's table of checkpoints must be there first

	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/watch/source/ctlog"
)

// Find looks for the two programs on the path and in bin/ctlog of the working
// tree, where make ctlog puts them.
func Find() (dir string, ok bool) {
	dirs := append([]string{os.Getenv("IMPOUND_CTLOG")}, filepath.SplitList(os.Getenv("PATH"))...)
	if at, err := os.Getwd(); err == nil { // tests run in their package's folder
		for ; at != filepath.Dir(at); at = filepath.Dir(at) {
			dirs = append(dirs, filepath.Join(at, "bin", "ctlog"))
		}
	}
	for _, d := range dirs {
		if d == "" {
			continue
		}
		found := true
		for _, p := range []string{"sunlight", "skylight"} {
			if fi, err := os.Stat(filepath.Join(d, p)); err != nil || fi.IsDir() {
				found = false
			}
		}
		if found {
			return d, true
		}
	}
	return "", false
}

// How says how to get them.
const How = "make ctlog builds Sunlight into bin/ctlog (needs a C compiler)"

// Log is a running log.
type Log struct {
	bin, dir       string
	takes, shows   int // ports
	sunlight, skyl *exec.Cmd
	key            *ecdsa.PrivateKey
	root           *x509.Certificate
	leaf           *rsa.PrivateKey
	info           ctlog.Info
	out            *os.File
	notAfter       int64
}

// Start starts a log with its own folder under dir.
func Start(ctx context.Context, bin, dir string) (*Log, error) {
	l := &Log{bin: bin, dir: dir, notAfter: time.Now().Add(90 * 24 * time.Hour).Unix()}
	if err := l.prepare(); err != nil {
		return nil, err
	}
	if err := l.StartWriter(ctx); err != nil {
		l.Stop()
		return nil, err
	}
	l.skyl = l.command("skylight")
	if err := l.skyl.Start(); err != nil {
		l.Stop()
		return nil, fmt.Errorf("couldn't start Skylight: %w", err)
	}
	err := l.until(ctx, func() error {
		resp, err := http.Get(l.info.Monitor + "/checkpoint")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("skylight answered %d", resp.StatusCode)
		}
		return nil
	})
	if err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

func port() (int, error) { return peertest.FreePort() }

func (l *Log) prepare() (err error) {
	if l.takes, err = port(); err != nil {
		return err
	}
	if l.shows, err = port(); err != nil {
		return err
	}
	if l.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	if l.leaf, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &l.key.PublicKey, l.key)
	if err != nil {
		return err
	}
	if l.root, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	seed := make([]byte, 32)
	rand.Read(seed)
	now := time.Now().UTC()
	monitor := fmt.Sprintf("http://127.0.0.1:%d/log", l.shows)
	files := map[string]string{
		"roots.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"seed.bin":  string(seed),
		// Both look for the host without its port.
		"sunlight.yaml": fmt.Sprintf("listen: [\"127.0.0.1:%d\"]\ncheckpoints: %s\nlogs:\n- shortname: test\n  inception: %s\n  period: 200\n  submissionprefix: https://127.0.0.1/log\n  monitoringprefix: %s\n  roots: %s\n  secret: %s\n  cache: %s\n  localdirectory: %s\n  notafterstart: %s\n  notafterlimit: %s\n",
			l.takes, l.path("checkpoints.db"), now.Format(time.DateOnly), monitor, l.path("roots.pem"), l.path("seed.bin"), l.path("cache.db"), l.path("data"), now.AddDate(0, -1, 0).Format(time.RFC3339), now.AddDate(1, 0, 0).Format(time.RFC3339)),
		"skylight.yaml": fmt.Sprintf("listen: [\"127.0.0.1:%d\"]\nlogs:\n- shortname: test\n  monitoringprefix: https://127.0.0.1/log\n  localdirectory: %s\n", l.shows, l.path("data")),
	}
	for name, text := range files {
		if err := os.WriteFile(l.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if l.out, err = os.Create(l.path("log.txt")); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", l.path("checkpoints.db"))
	if err != nil {
		return err
	}
	_, err = db.Exec("CREATE TABLE checkpoints (logID BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT")
	l.info = ctlog.Info{Name: "sunlight", Kind: ctlog.Static, URL: "https://127.0.0.1/log", Monitor: monitor}
	return errors.Join(err, db.Close())
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

func (l *Log) command(name string) *exec.Cmd {
	c := exec.Command(filepath.Join(l.bin, name), "-c", l.path(name+".yaml"))
	c.Dir, c.Stdout, c.Stderr = l.dir, l.out, l.out
	return c
}

func (l *Log) until(ctx context.Context, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(l.path("log.txt"))
			return fmt.Errorf("the log didn't come up: %w\n%s", err, said[max(0, len(said)-3000):])
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// StartWriter starts Sunlight, at first or after KillWriter.
func (l *Log) StartWriter(ctx context.Context) error {
	l.sunlight = l.command("sunlight")
	if err := l.sunlight.Start(); err != nil {
		return fmt.Errorf("couldn't start Sunlight: %w", err)
	}
	return l.until(ctx, func() error {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/log/log.v3.json", l.takes))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var info struct {
			Key []byte `json:"key"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
			return err
		}
		l.info.Key = info.Key
		return nil
	})
}

// KillWriter kills Sunlight as the kernel would.
func (l *Log) KillWriter() {
	_ = l.sunlight.Process.Kill()
	_ = l.sunlight.Wait()
}

// Stop ends both and takes the immutable flag off the tiles, so that the folder
// can be deleted.
func (l *Log) Stop() {
	for _, c := range []*exec.Cmd{l.sunlight, l.skyl} {
		if c != nil && c.Process != nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	l.out.Close()
	_ = filepath.WalkDir(l.path("data"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if f, err := os.Open(path); err == nil {
				_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
				f.Close()
			}
		}
		return nil
	})
}

// Info is what a log list would say of it.
func (l *Log) Info() ctlog.Info { return l.info }

// Cert makes a certificate that the log takes.
func (l *Log) Cert(names ...string) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Unix(l.notAfter, 0),
		// With what certificates of public authorities have, for their size.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature, OCSPServer: []string{"http://ocsp.ca.example"}, IssuingCertificateURL: []string{"http://ca.example/issuer.cer"}, CRLDistributionPoints: []string{"http://crl.ca.example/57.crl"}, PolicyIdentifiers: []asn1.ObjectIdentifier{{2, 23, 140, 1, 2, 1}}, AuthorityKeyId: l.root.SubjectKeyId}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	scts := make([]byte, 250) // as long as two
	rand.Read(scts)
	t.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 99999, 1}, Value: scts}}
	return x509.CreateCertificate(rand.Reader, t, l.root, &l.leaf.PublicKey, l.key)
}

// PreCert makes a precertificate: one with the poison extension (RFC 6962 3.1).
func (l *Log) PreCert(names ...string) ([]byte, error) {
	sum := sha256.Sum256([]byte(names[0] + time.Now().String()))
	t := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(sum[:12]), Subject: pkix.Name{CommonName: names[0]}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Unix(l.notAfter, 0),
		// With what certificates of public authorities have, for their size.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature, OCSPServer: []string{"http://ocsp.ca.example"}, IssuingCertificateURL: []string{"http://ca.example/issuer.cer"}, CRLDistributionPoints: []string{"http://crl.ca.example/57.crl"}, PolicyIdentifiers: []asn1.ObjectIdentifier{{2, 23, 140, 1, 2, 1}}, DNSNames: names,
		ExtraExtensions: []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}, Critical: true, Value: []byte{5, 0}}}}
	return x509.CreateCertificate(rand.Reader, t, l.root, &l.leaf.PublicKey, l.key)
}

var poster = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// Submit shows a certificate to the log. It returns when the log has promised to
// hold it, which Sunlight does when it is in the tree.
func (l *Log) Submit(ctx context.Context, der []byte, pre bool) error {
	body, err := json.Marshal(map[string][][]byte{"chain": {der, l.root.Raw}})
	if err != nil {
		return err
	}
	path := "add-chain"
	if pre {
		path = "add-pre-chain"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/log/ct/v1/%s", l.takes, path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := poster.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the log answered %d: %s", resp.StatusCode, text)
	}
	return nil
}
