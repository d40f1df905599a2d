package app

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// Zones of the configuration become connectors, names find the way to them, and
// the keys are shown nowhere.
func TestZones(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("ours.tsig", "key \"impound\" {\n\talgorithm hmac-sha256;\n\tsecret \""+secret+"\";\n};\n", 0o600)
	write("token", "token-token-token\n", 0o600)
	write(ConfigFile, `zones:
  - {provider: ours, zone: example, via: dnsupdate, server: "127.0.0.1:1", secret_file: ours.tsig, ttl: 5m, parents: ["127.0.0.1:1"]}
  - {provider: plain, zone: test, via: libdns, host: rfc2136, server: "127.0.0.1:1", secret_file: ours.tsig}
  - {provider: cloud, zone: net, via: libdns, host: cloudflare, secret_file: token}
  - {provider: desec, zone: co.uk, via: libdns, host: desec, secret_file: token, rdap: "https://rdap.example/"}
`, 0o600)
	cfg, err := LoadConfig(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	s, err := Open(t.Context(), Options{State: dir, Config: cfg, Log: slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// Nobody listens: the look fails by the connector that was chosen, and says so.
	for name, want := range map[string]string{"evil.example": "zone example at 127.0.0.1:1", "evil.test": "zone test at rfc2136"} {
		if _, err := s.Seizure.Look(t.Context(), impound.MustName(name)); impound.KindOf(err) != impound.KindUnavailable || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	kinds := map[string]string{}
	for _, c := range s.conns {
		kinds[c.Provider()] = c.Capabilities().Kind
		s.log.Info("connector", "it", c)
		for _, text := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), logged.String()} {
			if strings.Contains(text, secret) || strings.Contains(text, "token-token") {
				t.Errorf("%s shows its secret: %s", c.Provider(), text)
			}
		}
	}
	if want := map[string]string{"ours": "dnsupdate", "plain": "libdns", "cloud": "libdns", "desec": "libdns"}; fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
	if _, err := s.Seizure.Look(t.Context(), impound.MustName("evil.org")); err == nil {
		t.Error("a zone that nobody claims")
	}
	for name, mode := range map[string]os.FileMode{"group": 0o640, "all": 0o604, "write": 0o602} {
		write(name, secret, mode)
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seizure.ReadTSIGKey(filepath.Join(dir, name)); impound.KindOf(err) != impound.KindRefused || strings.Contains(err.Error(), secret) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}
