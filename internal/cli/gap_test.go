package cli

import (
	"encoding/json"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/app/sensor"
)

// A sensor whose spool is full goes on answering and stops recording. What is
// missing is counted and said: on the sensor, on the hub, and after the spool was
// taken in, in every list, picture, report and message of that time.
func TestGapIsToldEverywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run(t, dir, "--state", "tour", "demo", "--once", "--any-ports")
	control := freePort(t)
	tour := filepath.Join(dir, "tour")
	cfg, err := app.LoadConfig(tour, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Web, cfg.Sinkhole.Listen = freePort(t), nil
	cfg.Hub = app.HubConfig{Listen: "http://" + control}
	write(t, filepath.Join(tour, app.ConfigFile), cfg.YAML())
	run(t, dir, "--state", "tour", "sensor", "enrol", "paris", "--answer", "127.53.0.77", "--listen", "dns://127.0.0.1:0", "--out", "paris", "--as", "ada")
	state := filepath.Join(dir, "paris")
	scfg, err := app.LoadConfig(state, "")
	if err != nil {
		t.Fatal(err)
	}
	scfg.Sinkhole.MaxSpoolMB, scfg.Sinkhole.SegmentKB, scfg.Sinkhole.Limits.DNSPerSecond = 1, 256, -1
	write(t, filepath.Join(state, app.ConfigFile), scfg.YAML())

	hub := start(t, dir, "--state", "tour", "serve", "--role", "hub")
	hub.waitFor(t, "stops in order")
	paris := start(t, dir, "--state", "paris", "serve")
	paris.waitFor(t, "stops in order")
	dnsAt := regexp.MustCompile(`listening: dns (\S+)`).FindStringSubmatch(paris.text())[1]
	eventually(t, "it answers", func() bool { _, a := askDNS(dnsAt); return a == "127.53.0.77" })
	status := func() (st sensor.Status) {
		st, _ = sensor.ReadStatus(state)
		return st
	}

	// Full: it answers and doesn't record.
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			// Long names that no compression helps: a few thousand fill it.
			const label = 60
			long := seized
			for range 3 {
				long = strings.Repeat("x", label) + "." + long
			}
			m := new(dns.Msg)
			m.SetQuestion(long, dns.TypeA)
			q, _ := m.Pack()
			c, err := net.Dial("udp", dnsAt)
			if err != nil {
				return
			}
			defer c.Close()
			buf := make([]byte, 1500)
			for {
				select {
				case <-stop:
					return
				default:
				}
				for i := range 3 * (label + 1) {
					if i%(label+1) < label {
						q[13+i] = "0123456789abcdefghijklmnopqrstuvwxyz"[rand.IntN(36)]
					}
				}
				c.Write(q)
				c.SetReadDeadline(time.Now().Add(time.Second))
				c.Read(buf)
			}
		})
	}
	eventually(t, "the spool is full", func() bool { return status().Spool.Gap })
	if _, a := askDNS(dnsAt); a != "127.53.0.77" {
		t.Error("with a full spool it doesn't answer")
	}
	close(stop)
	wg.Wait()
	eventually(t, "its status tells the loss", func() bool { return status().Spool.GapLost > 0 })
	out := run(t, dir, "--state", "paris", "sinkhole", "status")
	if !strings.Contains(out, "recording stopped at") {
		t.Errorf("status: %s", out)
	}
	if !strings.Contains(paris.text(), "RECORDING STOPPED") {
		t.Errorf("its log: %s", paris.text())
	}
	page := func(path string) (s string) {
		get(t, "http://"+cfg.Web+path, &s)
		return s
	}
	eventually(t, "the hub tells the open gap", func() bool { return strings.Contains(page("/"), "RECORDS NOTHING since") })
	eventually(t, "the hub's log has it", func() bool {
		return strings.Contains(run(t, dir, "--state", "tour", "evidence", "list", "--what", "sensor.status"), "could not be recorded there")
	})

	// Shipped by hand; the hub tells the sensor, which makes room and goes on.
	ship := func() {
		t.Helper()
		copied := filepath.Join(dir, "copied")
		// A journal that is sealed meanwhile is gone under cp: then once more.
		for try := 0; ; try++ {
			b, err := exec.Command("cp", "-r", filepath.Join(state, "spool")+"/.", copied).CombinedOutput()
			if err == nil {
				break
			}
			if try > 5 || !strings.Contains(string(b), "No such file") {
				t.Fatalf("%v %s", err, b)
			}
		}
		t.Log(run(t, dir, "--state", "tour", "sinkhole", "import", "copied"))
	}
	if err := os.Mkdir(filepath.Join(dir, "copied"), 0o700); err != nil {
		t.Fatal(err)
	}
	ship()
	eventually(t, "it records again", func() bool { askDNS(dnsAt); return !status().Spool.Gap })
	ship()
	ship() // again: nothing is new

	var gaps []impound.Gap
	if err := json.Unmarshal([]byte(run(t, dir, "--state", "tour", "contacts", "gaps", "--json")), &gaps); err != nil || len(gaps) != 1 {
		t.Fatalf("%v: %+v", err, gaps)
	}
	if g := gaps[0]; uint64(g.Missing) != status().Spool.Dropped || g.To.IsZero() || !g.To.After(g.From) || g.Sensor != "paris" {
		t.Errorf("%+v, and the sensor lost %d", g, status().Spool.Dropped)
	}
	if out := run(t, dir, "--state", "tour", "contacts", "count"); !strings.Contains(out, "INCOMPLETE: at least") {
		t.Errorf("count: %s", out)
	}
	if out := run(t, dir, "--state", "tour", "share", "export", "--clearance", "amber"); !strings.Contains(out, "INCOMPLETE: at least") {
		t.Errorf("share: %s", out)
	}
	eventually(t, "the page tells what is over", func() bool { return strings.Contains(page("/"), "could not record from") })
	for path, want := range map[string]string{
		"/about": "Gaps in the record", "/?window=1h": "answered but could not record", "/?format=svg&plot=over-time&window=1h": "url(#over-time-gap)",
		"/api/v1/series?window=1h": `"missing":`, "/cases/APT35-2019?window=1h": "url(#over-time-gap)",
	} {
		if s := page(path); !strings.Contains(s, want) {
			t.Errorf("%s lacks %q: %.300s", path, want, s)
		}
	}
	var reps []struct {
		ID   string        `json:"id"`
		Gaps []impound.Gap `json:"gaps"`
	}
	raw := run(t, dir, "--state", "tour", "notify", "prepare", "APT35-2019", "--as", "nora", "--json")
	if err := json.Unmarshal([]byte(raw), &reps); err != nil || len(reps) == 0 || len(reps[0].Gaps) != 1 {
		t.Fatalf("%v: %.500s", err, raw)
	}
	for _, r := range reps {
		msg := run(t, dir, "--state", "tour", "notify", "show", r.ID)
		if !strings.Contains(msg, "THE RECORD HAS GAPS") || !strings.Contains(msg, "gaps.csv") || strings.Contains(msg, "paris") {
			t.Errorf("message: %s", msg)
		}
		files, _ := filepath.Glob(filepath.Join(tour, "reports", "*", r.ID, "*"))
		have := map[string]string{}
		for _, f := range files {
			b, _ := os.ReadFile(f)
			have[filepath.Base(f)] = string(b)
		}
		if strings.Count(have["gaps.csv"], "\n") != 2 || !strings.HasPrefix(have["gaps.csv"], `"from","until","missing_at_least"`) {
			t.Errorf("gaps.csv: %q", have["gaps.csv"])
		}
		if x, ok := have["xarf.jsonl"]; ok && (!strings.Contains(x, "record:incomplete") || !strings.Contains(x, "THE RECORD HAS GAPS")) {
			t.Errorf("xarf: %.300s", x)
		}
	}
	run(t, dir, "--state", "tour", "evidence", "verify")
	paris.stop(t)
	hub.stop(t)
}
