package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/app/sensor"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/sinkhole/policy"
)

const seized = "outlook-verify.net."

func freePort(t *testing.T) string { return peertest.Addr(t) }

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := start(t, dir, args...)
	if err := <-c.end; err != nil {
		t.Fatalf("%v: %v\n%s", args, err, c.text())
	}
	return c.text()
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// askDNS gives the rcode, and the first address of the answer.
func askDNS(addr string) (int, string) { return askWithin(2*time.Second, addr) }

func askWithin(d time.Duration, addr string) (int, string) {
	m := new(dns.Msg)
	m.SetQuestion(seized, dns.TypeA)
	r, _, err := (&dns.Client{Timeout: d}).Exchange(m, addr)
	if err != nil {
		return -1, err.Error()
	}
	for _, rr := range r.Answer {
		if a, ok := rr.(*dns.A); ok {
			return r.Rcode, a.A.String()
		}
	}
	return r.Rcode, ""
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); time.Sleep(25 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// A hub and a sensor as two processes: orders reach the sensor, which goes on
// without its hub, keeps its policy over SIGKILL, lets nothing but good bundles
// in, and stops by itself when the policy's date has come.
func TestSensorApartFromItsHub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run(t, dir, "--state", "tour", "demo", "--once", "--any-ports")
	control := freePort(t)
	cfg, err := app.LoadConfig(filepath.Join(dir, "tour"), "")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(control)
	cfg.Web, cfg.Sinkhole.Listen = "", nil
	cfg.Hub = app.HubConfig{Listen: "https://" + control, URL: "https://localhost:" + port}
	write(t, filepath.Join(dir, "tour", app.ConfigFile), cfg.YAML())
	run(t, dir, "--state", "tour", "sensor", "enrol", "paris", "--answer", "127.53.0.77", "--listen", "dns://127.0.0.1:0", "--listen", "http://127.0.0.1:0", "--out", "paris", "--as", "ada")
	state := filepath.Join(dir, "paris")
	for _, args := range [][]string{{"case", "list"}, {"serve", "--role", "hub"}} {
		c := start(t, dir, append([]string{"--state", "paris"}, args...)...)
		if err := <-c.end; err == nil || !strings.Contains(c.text(), "sensor") {
			t.Errorf("%v on a sensor's folder: %v, %s", args, err, c.text())
		}
	}

	var dnsAt string
	begin := func() *child {
		s := start(t, dir, "--state", "paris", "serve", "--role", "sensor")
		s.waitFor(t, "stops in order")
		dnsAt = regexp.MustCompile(`listening: dns (\S+)`).FindStringSubmatch(s.text())[1]
		return s
	}
	paris := begin()
	if rcode, _ := askDNS(dnsAt); rcode != dns.RcodeRefused {
		t.Fatalf("without a policy it answers %d", rcode)
	}
	hub := start(t, dir, "--state", "tour", "serve", "--role", "hub")
	hub.waitFor(t, "stops in order")
	eventually(t, "the sensor answers as ordered", func() bool { _, a := askDNS(dnsAt); return a == "127.53.0.77" })

	eventually(t, "the hub records what the sensor says that it obeys", func() bool {
		return strings.Contains(run(t, dir, "--state", "tour", "evidence", "list", "--what", "sensor.status"), "obeys policy 1,")
	})

	// What the process has open, and what lies in its folder.
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", paris.cmd.Process.Pid))
	if err != nil || len(fds) == 0 {
		t.Skipf("its open files can't be seen: %v", err)
	}
	if err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".db") || strings.Contains(name, "evidence") || strings.Contains(name, "policy.key") || name == "people" || name == "reports" {
			t.Errorf("a sensor's folder holds %s", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, _ := os.Readlink(fd)
		if strings.Contains(to, "tour") || strings.HasSuffix(to, ".db") {
			t.Errorf("the sensor has %s open", to)
		}
	}

	// The hub dies. SIGKILL of the sensor under load, and a restart without hub.
	if err := hub.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-hub.end
	if _, a := askDNS(dnsAt); a != "127.53.0.77" {
		t.Error("it stopped with its hub")
	}
	var got atomic.Int64
	stop := make(chan struct{})
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, a := askWithin(200*time.Millisecond, dnsAt); a == "127.53.0.77" {
					got.Add(1)
				}
			}
		}()
	}
	eventually(t, "load", func() bool { return got.Load() > 300 })
	if err := paris.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-paris.end
	close(stop)
	for range 4 {
		<-done
	}
	n := strings.Count(run(t, dir, "--state", "paris", "sinkhole", "events"), `"outcome":"answered"`)
	if int64(n) < got.Load() {
		t.Errorf("%d were answered, and %d are in the journal", got.Load(), n)
	}
	paris = begin()
	if _, a := askDNS(dnsAt); a != "127.53.0.77" {
		t.Error("it forgot its policy over a restart")
	}
	paris.stop(t)

	// A false hub sends what must not be taken.
	sys, err := app.Open(t.Context(), app.Options{State: filepath.Join(dir, "tour"), Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	ms, err := sys.Casework.Mandates(context.Background())
	sys.Close()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := os.ReadFile(filepath.Join(dir, "tour", "keys", "policy.key"))
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	bundle := func(o policy.Options) []byte {
		b, err := policy.Build(ms, o)
		if err != nil {
			t.Fatal(err)
		}
		return b.Data
	}
	now := time.Now()
	bad := map[string][]byte{
		"another key": bundle(policy.Options{Key: stranger, Serial: 1000, Now: now, Sensor: "paris"}),
		"old one":     bundle(policy.Options{Key: key, Serial: 1, Now: now, Valid: time.Hour, Sensor: "paris"}),
		"future":      bundle(policy.Options{Key: key, Serial: 1001, Now: now.Add(time.Hour), Sensor: "paris"}),
		"for sensor":  bundle(policy.Options{Key: key, Serial: 1002, Now: now, Sensor: "rome"}),
		"no policy":   []byte("hello"),
	}
	var send atomic.Value
	send.Store([]byte(nil))
	var wrongToken atomic.Bool
	token, _ := os.ReadFile(filepath.Join(state, "control.token"))
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q sensor.Poll
		if json.NewDecoder(r.Body).Decode(&q) != nil || q.Sensor != "paris" || r.Header.Get("Authorization") != "Bearer "+strings.TrimSpace(string(token)) {
			wrongToken.Store(true)
		}
		b := send.Load().([]byte)
		if b == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Write(b)
	}))
	defer fake.Close()
	scfg, err := app.LoadConfig(state, "")
	if err != nil {
		t.Fatal(err)
	}
	scfg.Control.URL, scfg.Control.CA = fake.URL, ""
	write(t, filepath.Join(state, app.ConfigFile), scfg.YAML())
	paris = begin()
	status := func() (st sensor.Status) {
		st, _ = sensor.ReadStatus(state)
		return st
	}
	was := status().Serial
	for why, b := range bad {
		before := status().Refused
		send.Store(b)
		eventually(t, "refused: "+why, func() bool {
			st := status()
			return st.Refused == before+1 && strings.Contains(st.Refusals[len(st.Refusals)-1].Why, why)
		})
		if st := status(); st.Serial != was {
			t.Errorf("%s: policy %d took the place of %d", why, st.Serial, was)
		}
		if _, a := askDNS(dnsAt); a != "127.53.0.77" {
			t.Errorf("%s: the old policy went", why)
		}
	}
	if wrongToken.Load() {
		t.Error("the sensor didn't say who it is")
	}
	// The date comes and nobody renews.
	lapse := time.Now()
	send.Store(bundle(policy.Options{Key: key, Serial: 2000, Now: lapse, Valid: 3 * time.Second, Sensor: "paris"}))
	eventually(t, "the short one is in force", func() bool { return status().Serial == 2000 })
	eventually(t, "it lapses", func() bool { rcode, _ := askDNS(dnsAt); return rcode == dns.RcodeRefused })
	if time.Now().Before(lapse.Truncate(time.Second).Add(3 * time.Second)) {
		t.Error("it lapsed before its date")
	}
	eventually(t, "it says so", func() bool { return status().Lapsed })
	paris.stop(t)
	out := run(t, dir, "--state", "paris", "sinkhole", "status")
	if !strings.Contains(out, "2000 ended") || !strings.Contains(out, "another key") {
		t.Errorf("status: %s", out)
	}
	run(t, dir, "--state", "tour", "evidence", "verify")
}
