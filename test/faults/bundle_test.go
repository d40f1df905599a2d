package faults

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	site "github.com/impound/impound/internal/app/sensor"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// A sensor apart from its hub is handed bundles under load: with a signature
// that does not fit, of another key, cut short, older than the one it has, dated
// in the future, ended. Each is refused and reported, and not one question is
// answered otherwise than by the bundle before.
func TestBadBundles(t *testing.T) {
	besides(t)
	hub := tour(t)
	read := func(path ...string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(path...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old := read(hub, "policy", "bundle")
	// The hub makes the next one when it is started on an evidence log that
	// grew, as it did by being stopped.
	s := serve(t, hub)
	for range 400 {
		if string(read(hub, "policy", "bundle")) != string(old) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.kill()
	good := read(hub, "policy", "bundle")
	if string(good) == string(old) {
		t.Fatal("the hub made no second bundle")
	}
	key := ed25519.NewKeyFromSeed(read(hub, "keys", "policy.key"))
	made := func(key ed25519.PrivateKey, opt policy.Options) []byte {
		t.Helper()
		opt.Key, opt.Serial, opt.Sensor = key, 1000, "practice-1"
		b, err := policy.Build(nil, opt)
		if err != nil {
			t.Fatal(err)
		}
		return b.Data
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 1
	now := time.Now()

	pub := exec.Command(os.Args[0], "--state", hub, "sensor", "key")
	pub.Env = append(os.Environ(), "FAULTS_CLI=1")
	hubKey, err := pub.Output()
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "site")
	in := filepath.Join(state, "in")
	if err := os.MkdirAll(in, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(in, name+".new"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(in, name+".new"), filepath.Join(in, name+".policy")); err != nil {
			t.Fatal(err)
		}
	}
	put("0", good)
	conf := fmt.Sprintf("role: sensor\nsinkhole:\n  sensor: practice-1\n  listen: [\"dns://127.0.0.1:0\"]\n  answer: [127.53.0.53]\ncontrol:\n  hub_key: %s\n  policy_file: in\n", strings.TrimSpace(string(hubKey)))
	if err := os.WriteFile(filepath.Join(state, "impound.yaml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(state, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "keys", "lure.key"), read(hub, "keys", "lure.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = serve(t, state)
	l := &load{tag: "b", sources: 4, window: 4}
	l.start(t, s.addr("dns"))
	bad := []struct {
		name string
		data []byte
	}{
		{"bad signature", flipped},
		{"another key", made(ed25519.NewKeyFromSeed(make([]byte, 32)), policy.Options{Now: now})},
		{"cut short", good[:len(good)-10]},
		{"empty", nil},
		{"old", old},
		{"future", made(key, policy.Options{Now: now.Add(48 * time.Hour)})},
		{"ended", made(key, policy.Options{Now: now.Add(-48 * time.Hour), Valid: time.Hour})},
	}
	status := func(refused uint64) (st site.Status) {
		t.Helper()
		for range 600 {
			if st, err = site.ReadStatus(state); err == nil && st.Refused >= refused {
				return st
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d bundles were refused, want %d: %v", st.Refused, refused, err)
		return st
	}
	before := status(0)
	for i, b := range bad {
		put(fmt.Sprint(i+1, "-", b.name), b.data)
	}
	st := status(uint64(len(bad)))
	if st.Serial != before.Serial || st.Names != before.Names || st.Names == 0 {
		t.Errorf("policy %d with %d names became %d with %d", before.Serial, before.Names, st.Serial, st.Names)
	}
	l.stop()
	var why []string
	for _, r := range st.Refusals {
		why = append(why, filepath.Base(r.From)+": "+r.Why)
	}
	sent, answered := l.counts()
	for _, x := range l.socks {
		if n := x.answers() - x.outcome[0]; n > 0 {
			t.Errorf("%d questions were answered otherwise than by the bundle in force: %v", n, x.outcome)
		}
	}
	// Nor after a restart, with all of them lying there.
	s.kill()
	s = serve(t, state)
	if got := rcode(t, s.addr("dns"), zone); got != 0 {
		t.Errorf("after a restart: rcode %d", got)
	}
	s.kill()
	got := compare(t, filepath.Join(state, "spool"), l)
	if got.lost > 0 || got.twice > 0 {
		t.Errorf("%d answered are lost, %d twice", got.lost, got.twice)
	}
	t.Logf("%d bad bundles, %d refused; meanwhile %d asked, %d answered, all by policy %d; lost %d\n%s", len(bad), st.Refused, sent, answered, st.Serial, got.lost, strings.Join(why, "\n"))
}

func (s *sock) answers() (n uint64) {
	for _, k := range s.outcome {
		n += k
	}
	return n
}
