package app

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound/internal/watch/polite"
)

// A log list whose key is given counts with its signature alone, from a server
// and from a file; what was had before is used meanwhile.
func TestLogListIsSigned(t *testing.T) {
	t.Parallel()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(der)
	b64 := base64.StdEncoding.EncodeToString
	list := []byte(`{"operators": [{"name": "o", "logs": [{"description": "l", "log_id": "` + b64(id[:]) + `", "key": "` + b64(der) + `", "url": "https://log.example/", "state": {"usable": {}}}]}]}`)
	h := sha256.Sum256(list)
	sig, err := priv.Sign(rand.Reader, h[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	given := sig
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/log_list.json":
			_, _ = w.Write(list)
		case "/log_list.sig":
			_, _ = w.Write(given)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "watch"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &System{opt: Options{State: dir}, log: slog.New(slog.DiscardHandler), now: time.Now}
	c := polite.New(polite.Config{UserAgent: "test (test@unit.example)", Rate: -1})
	from := func(where, key string) (int, error) {
		infos, _, err := s.logList(t.Context(), c, WatchSource{LogList: where, Key: key}, 0)
		return len(infos), err
	}
	url, key := srv.URL+"/log_list.json", b64(der)
	given = []byte("forged")
	if n, err := from(url, key); err == nil || !strings.Contains(err.Error(), "not what its key signed") {
		t.Fatalf("%d logs of a list with a forged signature: %v", n, err)
	}
	if n, err := from(url, ""); n != 1 || err != nil {
		t.Fatalf("without a key: %d, %v", n, err)
	}
	if n, err := from(url, key); err == nil {
		t.Fatalf("%d logs of what was kept without a signature", n)
	}
	given = sig
	if n, err := from(url, key); n != 1 || err != nil {
		t.Fatalf("signed: %d, %v", n, err)
	}
	given = nil
	if n, err := from(url, key); n != 1 || err != nil {
		t.Fatalf("the last good one is not used: %d, %v", n, err)
	}
	file := filepath.Join(dir, "l.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := from(file, key); err == nil {
		t.Fatalf("%d logs of a file without signature", n)
	}
	if err := os.WriteFile(filepath.Join(dir, "l.sig"), sig, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := from(file, key); n != 1 || err != nil {
		t.Fatalf("signed file: %d, %v", n, err)
	}
}
