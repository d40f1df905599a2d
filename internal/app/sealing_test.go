package app

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/peertest"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// testWitness does what C2SP tlog-witness asks of a witness, for one log.
type testWitness struct {
	mu   sync.Mutex
	log  note.Verifier
	key  ed25519.PrivateKey
	size int64
	root tlog.Hash
	at   uint64
}

const witnessName = "witness.example/w1"

func (w *testWitness) hash() []byte {
	sum := sha256.Sum256(append([]byte(witnessName+"\n\x04"), w.key.Public().(ed25519.PublicKey)...))
	return sum[:4]
}

func (w *testWitness) vkey() string {
	return fmt.Sprintf("%s+%08x+%s", witnessName, w.hash(), base64.StdEncoding.EncodeToString(append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)))
}

func (w *testWitness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	head, cp, _ := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	old, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64)
	n, err2 := note.Open([]byte(cp), note.VerifierList(w.log))
	if r.Method != http.MethodPost || r.URL.Path != "/add-checkpoint" || err != nil || err2 != nil {
		http.Error(rw, "bad request or signature", http.StatusForbidden)
		return
	}
	f := strings.Split(n.Text, "\n")
	size, _ := strconv.ParseInt(f[1], 10, 64)
	root, _ := tlog.ParseHash(f[2])
	if old != w.size || old == size && w.size > 0 && root != w.root {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", w.size)
		return
	}
	var proof tlog.TreeProof
	for _, l := range lines[1:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			http.Error(rw, "bad proof", http.StatusBadRequest)
			return
		}
		proof = append(proof, h)
	}
	if old > 0 && old < size && tlog.CheckTree(proof, size, root, old, w.root) != nil || (old == 0 || old == size) && len(proof) > 0 {
		http.Error(rw, "inconsistent", http.StatusUnprocessableEntity)
		return
	}
	w.size, w.root = size, root
	w.at++
	sig := binary.BigEndian.AppendUint64(w.hash(), w.at)
	sig = append(sig, ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", w.at, n.Text))...)
	fmt.Fprintf(rw, "— other.example AAAAAAAA\n— %s %s\n", witnessName, base64.StdEncoding.EncodeToString(sig))
}

func grow(t *testing.T, s *System, n int) {
	t.Helper()
	for range n {
		if _, err := s.Evidence.Append(t.Context(), impound.Entry{Type: impound.EntryDecision, By: "ada", What: "case.note", Case: "C-1"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWitnessesCosignTheLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")
	l, err := evidence.Open(dir, evidence.Options{Origin: "impound/test"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := staffed(t, &System{Evidence: l})
	v, err := note.NewVerifier(l.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	w := &testWitness{log: v, key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))}
	srv := httptest.NewServer(w)
	defer srv.Close()
	who := Sealers{Witnesses: []Witness{{srv.URL + "/", w.vkey()}}}
	var sizes []int64
	for _, n := range []int{3, 5, 0} {
		grow(t, s, n)
		size := l.Size()
		seals, err := s.SealEvidence(t.Context(), "ada", who)
		if err != nil || len(seals) != 1 || seals[0].Size != size || !seals[0].Trusted || seals[0].Who != witnessName {
			t.Fatalf("sealing %d entries gave %+v, %v", size, seals, err)
		}
		sizes = append(sizes, size)
	}
	r, err := evidence.VerifyWith(dir, evidence.VerifyOptions{Witnesses: []string{w.vkey()}})
	if err != nil || !r.OK() || len(r.Seals) != 3 {
		t.Fatalf("Verify gave %+v, %v", r, err)
	}
	for i, seal := range r.Seals {
		if seal.Size != sizes[i] || seal.At.Unix() != int64(i+1) {
			t.Errorf("seal %d is %+v, want one of %d entries", i, seal, sizes[i])
		}
	}
	// By another key of the same name nothing counts, neither now nor later.
	other := &testWitness{key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32))}
	if r, err := evidence.VerifyWith(dir, evidence.VerifyOptions{Witnesses: []string{other.vkey()}}); err != nil || !r.OK() || len(r.Seals) != 0 {
		t.Errorf("with a stranger's key Verify gave %+v, %v", r.Seals, err)
	}
	before := l.Size()
	if _, err := s.SealEvidence(t.Context(), "ada", Sealers{Witnesses: []Witness{{srv.URL, other.vkey()}}}); impound.KindOf(err) != impound.KindAuth {
		t.Errorf("an answer by another key gave %v", err)
	}
	// A witness that saw more than the log has: set back, or two of them.
	w.size += 100
	if _, err := s.SealEvidence(t.Context(), "ada", who); err == nil || !strings.Contains(err.Error(), "set back") {
		t.Errorf("a witness who saw more gave %v", err)
	}
	// One that saw another log by this name.
	w.size, w.root[0] = before-1, w.root[0]^1
	if _, err := s.SealEvidence(t.Context(), "ada", who); err == nil || !strings.Contains(err.Error(), "422") {
		t.Errorf("a witness who saw another log gave %v", err)
	}
	if l.Size() != before {
		t.Errorf("refused answers were kept")
	}
	for _, u := range []string{"http://192.0.2.1/", "ftp://127.0.0.1/", "https://u:p@witness.example/", ""} {
		if _, err := s.SealEvidence(t.Context(), "ada", Sealers{Witnesses: []Witness{{u, w.vkey()}}}); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%q gave %v", u, err)
		}
	}
}

// openSSLAuthority serves openssl ts as an RFC 3161 authority.
func openSSLAuthority(t *testing.T) (url, rootFile string) {
	t.Helper()
	openssl := peertest.Need(t, "openssl", "openssl")
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		c := exec.Command(openssl, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	for name, text := range map[string]string{
		"serial":  "01\n",
		"ext.cnf": "extendedKeyUsage=critical,timeStamping\n",
		"ts.cnf": `[tsa]
default_tsa = it
[it]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ec := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"}
	run(append([]string{"req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test Root"}, ec...)...)
	run(append([]string{"req", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test TSA"}, ec...)...)
	run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext.cnf", "-out", "tsa.pem")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, _ := io.ReadAll(r.Body)
		os.WriteFile(filepath.Join(dir, "q.tsq"), q, 0o600)
		c := exec.Command(openssl, "ts", "-reply", "-config", "ts.cnf", "-queryfile", "q.tsq", "-signer", "tsa.pem", "-inkey", "tsa.key", "-chain", "ca.pem")
		c.Dir = dir
		out, err := c.Output()
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write(out)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, filepath.Join(dir, "ca.pem")
}

func roots(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(file)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(b) {
		t.Fatal(err)
	}
	return pool
}

// TestServeHasTheLogSealed is what a serving process does by its configuration:
// seals come without a person, and a fault is in the log once a day.
func TestServeHasTheLogSealed(t *testing.T) {
	l, err := evidence.Open(filepath.Join(t.TempDir(), "evidence"), evidence.Options{Origin: "impound/test"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	v, err := note.NewVerifier(l.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	w := &testWitness{log: v, key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))}
	srv := httptest.NewServer(w)
	defer srv.Close()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := staffed(t, &System{Evidence: l, log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }})
	if _, err := s.Sealers(); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("with nobody configured: %v", err)
	}
	s.cfg.Seal.Witnesses = []string{srv.URL + "/=" + w.vkey()}
	grow(t, s, 3)
	s.sealOnce(impound.AsSystem(t.Context()))
	if got, err := l.Select(t.Context(), evidence.Filter{What: "capture." + evidence.KindCosigned}); err != nil || len(got) != 1 || got[0].Entry.By != "system" {
		t.Fatalf("seals %+v, %v", got, err)
	}
	srv.Close()
	for range 3 {
		s.sealOnce(impound.AsSystem(t.Context()))
	}
	faults := func() int {
		got, err := l.Select(t.Context(), evidence.Filter{What: "evidence.seal-fault"})
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	if n := faults(); n != 1 {
		t.Errorf("%d faults told on one day", n)
	}
	now = now.AddDate(0, 0, 1)
	s.sealOnce(impound.AsSystem(t.Context()))
	if n := faults(); n != 2 {
		t.Errorf("%d faults told in two days", n)
	}
	for _, c := range []SealConfig{{Witnesses: []string{"https://witness.example"}}, {TSAs: []string{"http://192.0.2.1/"}}, {TSACA: "none.pem"}, {Every: "5s"}, {Every: "soon"}} {
		cfg := Config{Seal: c}
		_, err1 := every(c.Every, time.Hour)
		_, err2 := cfg.sealers(t.TempDir())
		if err1 == nil && err2 == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func TestTimestampsOfTheLog(t *testing.T) {
	u, ca := openSSLAuthority(t)
	_, strangers := openSSLAuthority(t)
	dir := filepath.Join(t.TempDir(), "evidence")
	l, err := evidence.Open(dir, evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := staffed(t, &System{Evidence: l})
	grow(t, s, 4)
	cp := l.Checkpoint()
	if _, err := s.SealEvidence(t.Context(), "ada", Sealers{TSAs: []string{u}, TSARoots: roots(t, strangers)}); impound.KindOf(err) != impound.KindAuth {
		t.Fatalf("an authority that isn't trusted gave %v", err)
	}
	seals, err := s.SealEvidence(t.Context(), "ada", Sealers{TSAs: []string{u}, TSARoots: roots(t, ca)})
	if err != nil || len(seals) != 1 || seals[0].Size != 4 || !seals[0].Trusted {
		t.Fatalf("SealEvidence gave %+v, %v", seals, err)
	}
	for _, tt := range []struct {
		roots   *x509.CertPool
		ok      bool
		trusted bool
	}{{nil, true, false}, {roots(t, ca), true, true}, {roots(t, strangers), false, false}} {
		r, err := evidence.VerifyWith(dir, evidence.VerifyOptions{TSARoots: tt.roots})
		if err != nil || r.OK() != tt.ok || tt.ok && (len(r.Seals) != 1 || r.Seals[0].Size != 4 || r.Seals[0].Trusted != tt.trusted) {
			t.Errorf("Verify gave %v %+v, %v", r.Problems, r.Seals, err)
		}
	}
	// And by openssl alone.
	var answer []byte
	err = l.Entries(context.Background(), 0, func(_ int64, e impound.Entry) error {
		if a := e.Artefact; a != nil && a.Kind == evidence.KindTimestamp {
			answer, err = l.Read(a.Hash)
		}
		return err
	})
	if err != nil || answer == nil {
		t.Fatalf("no timestamp was kept: %v", err)
	}
	tmp := t.TempDir()
	for name, b := range map[string][]byte{"checkpoint": cp, "other": append(bytes.Clone(cp), '\n'), "tsr": answer} {
		if err := os.WriteFile(filepath.Join(tmp, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for data, ok := range map[string]bool{"checkpoint": true, "other": false} {
		c := exec.Command("openssl", "ts", "-verify", "-data", data, "-in", "tsr", "-CAfile", ca)
		c.Dir = tmp
		if out, err := c.CombinedOutput(); (err == nil) != ok {
			t.Errorf("openssl ts -verify of %s: %v\n%s", data, err, out)
		}
	}
}

// byHand gives the commands of docs/verify-by-hand.md.
func byHand(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/verify-by-hand.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "set -eu\n"
	blocks := strings.Split(string(b), "```")
	for _, block := range blocks[1:] {
		if code, ok := strings.CutPrefix(block, "sh\n"); ok {
			script += code
		}
	}
	return script
}

func TestABundleVerifiesByHand(t *testing.T) {
	u, ca := openSSLAuthority(t)
	l, err := evidence.Open(filepath.Join(t.TempDir(), "evidence"), evidence.Options{Origin: "impound/test"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := staffed(t, &System{Evidence: l})
	v, err := note.NewVerifier(l.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	w := &testWitness{log: v, key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)), at: 1_790_000_000}
	srv := httptest.NewServer(w)
	defer srv.Close()
	grow(t, s, 5)
	if _, err := l.Capture(t.Context(), impound.Artefact{Kind: "dns", Case: "C-1", Source: "192.0.2.1", Tool: "test", By: "ada"}, []byte("bytes")); err != nil {
		t.Fatal(err)
	}
	opt := evidence.VerifyOptions{Witnesses: []string{w.vkey()}, TSARoots: roots(t, ca)}
	script := byHand(t)
	for _, sealed := range []bool{false, true} {
		if sealed {
			if seals, err := s.SealEvidence(t.Context(), "ada", Sealers{Witnesses: []Witness{{srv.URL, w.vkey()}}, TSAs: []string{u}}); err != nil || len(seals) != 2 {
				t.Fatalf("SealEvidence gave %+v, %v", seals, err)
			}
			// What follows belongs to another case, and leaves the seal good.
			if _, err := l.Append(t.Context(), impound.Entry{Type: impound.EntryDecision, By: "ada", What: "case.note", Case: "C-2"}); err != nil {
				t.Fatal(err)
			}
		}
		var bundle bytes.Buffer
		if err := l.Export(t.Context(), &bundle, "C-1"); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "c1.zip")
		if err := os.WriteFile(path, bundle.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := evidence.VerifyBundleWith(path, opt)
		if err != nil || !r.OK() || sealed != (len(r.Seals) == 2) {
			t.Fatalf("sealed %v: VerifyBundle gave %v %+v, %v", sealed, r.Problems, r.Seals, err)
		}
		for _, seal := range r.Seals {
			if !seal.Trusted || seal.Size != 6 {
				t.Errorf("the bundle is sealed by %+v", seal)
			}
		}
		dir := unzip(t, bundle.Bytes())
		run := func() (string, error) {
			c := exec.Command("sh", "-c", script)
			c.Dir = dir
			out, err := c.CombinedOutput()
			return string(out), err
		}
		rootPEM, _ := os.ReadFile(ca)
		for name, b := range map[string][]byte{"tsa-root.pem": rootPEM, "witness.vkey": []byte(w.vkey() + "\n")} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := run()
		if err != nil || strings.Count(out, ": in the log") != 6 || strings.Count(out, "Verified Successfully") != map[bool]int{false: 1, true: 2}[sealed] || strings.Contains(out, "saw it at") != sealed || strings.Contains(out, "Verification: OK") != sealed {
			t.Fatalf("sealed %v: by hand: %v\n%s", sealed, err, out)
		}
		// One octet of any file, with a manifest that fits again, is found.
		for _, name := range []string{"checkpoint", "entries.jsonl", "proofs.txt", "checkpoint.cosigned", "checkpoint.tsr"} {
			file := filepath.Join(dir, name)
			good, err := os.ReadFile(file)
			if err != nil && !sealed {
				continue
			}
			bad := bytes.Clone(good)
			at := len(bad) / 2
			switch name {
			case "checkpoint.cosigned":
				at = len(bad) - 40 // in the witness's signature
			case "checkpoint.tsr":
				at = len(bad) - 5 // in the authority's; the root beside it is not looked at
			}
			if bad[at]++; bad[at] == '\n' || bad[at] > 'z' {
				bad[at] -= 2
			}
			sums, _ := os.ReadFile(filepath.Join(dir, "MANIFEST"))
			forged := strings.ReplaceAll(string(sums), fmt.Sprintf("%x", sha256.Sum256(good)), fmt.Sprintf("%x", sha256.Sum256(bad)))
			os.WriteFile(file, bad, 0o600)
			os.WriteFile(filepath.Join(dir, "MANIFEST"), []byte(forged), 0o600)
			if out, err := run(); err == nil {
				t.Errorf("a change of %s was not found by hand:\n%s", name, out)
			}
			os.WriteFile(file, good, 0o600)
			os.WriteFile(filepath.Join(dir, "MANIFEST"), sums, 0o600)
		}
	}
}

func unzip(t *testing.T, b []byte) string {
	t.Helper()
	dir := t.TempDir()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err == nil {
		err = os.CopyFS(dir, z)
	}
	if err != nil {
		t.Fatal(err)
	}
	filepath.WalkDir(dir, func(p string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			os.Chmod(p, 0o600)
		}
		return nil
	})
	return dir
}
