package conntest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/libdns/libdns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/conntest"
)

// fileHost is a libdns provider whose zone is a file, so that several processes
// can be at it. It breaks as a file beside it says.
type fileHost struct{ path string }

type fileZone struct {
	Calls   int         // that changed something
	Records []libdns.RR // names relative to the zone
}

var errLost = errors.New("the connection was lost")

func (h fileHost) with(change bool, f func(z *fileZone) bool) error {
	lock, err := os.OpenFile(h.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	b, err := os.ReadFile(h.path)
	if err != nil {
		return err
	}
	var z fileZone
	if err := json.Unmarshal(b, &z); err != nil {
		return err
	}
	how := ""
	if change {
		if b, err := os.ReadFile(h.path + ".break"); err == nil {
			how = string(b)
			os.Remove(h.path + ".break")
		}
		if how == fmt.Sprint(conntest.BeforeAct) {
			return errLost
		}
	}
	if f(&z) {
		z.Calls++
		b, err := json.Marshal(z)
		if err != nil {
			return err
		}
		if err := os.WriteFile(h.path+".new", b, 0o600); err != nil {
			return err
		}
		if err := os.Rename(h.path+".new", h.path); err != nil {
			return err
		}
	}
	switch how {
	case fmt.Sprint(conntest.AfterAct):
		return errLost
	case fmt.Sprint(conntest.Silent):
		_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN)
		select {} // as if there were no ctx: some providers know none
	}
	return nil
}

func (h fileHost) GetRecords(_ context.Context, _ string) (out []libdns.Record, err error) {
	err = h.with(false, func(z *fileZone) bool {
		for _, r := range z.Records {
			p, err := r.Parse()
			if err != nil {
				panic(err)
			}
			out = append(out, p)
		}
		return false
	})
	return out, err
}

func (h fileHost) SetRecords(_ context.Context, _ string, recs []libdns.Record) ([]libdns.Record, error) {
	return recs, h.with(true, func(z *fileZone) bool {
		for _, r := range recs {
			z.Records = slices.DeleteFunc(z.Records, func(x libdns.RR) bool { return x.Name == r.RR().Name && x.Type == r.RR().Type })
		}
		for _, r := range recs {
			z.Records = append(z.Records, r.RR())
		}
		return true
	})
}

func (h fileHost) DeleteRecords(_ context.Context, _ string, recs []libdns.Record) ([]libdns.Record, error) {
	return recs, h.with(true, func(z *fileZone) bool {
		n := len(z.Records)
		for _, r := range recs {
			z.Records = slices.DeleteFunc(z.Records, func(x libdns.RR) bool { return x == r.RR() })
		}
		return len(z.Records) != n
	})
}

// leftDir is a folder that goes when the test ends. What was called off may write
// into it a little longer: such calls are left to themselves, as with any provider
// that knows no context.
func leftDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "libdns")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 100 {
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	return dir
}

// libdnsStage is a zone at a host: a file, or BIND by libdns's own code for
// dynamic updates.
func libdnsStage(t testing.TB, host string) *conntest.Stage {
	t.Helper()
	s := &conntest.Stage{
		Names: names("evil-%d.example"), Missing: impound.MustName("not-there.example"), Foreign: impound.MustName("evil.test"),
		Former: former, Sink: sink, NewHost: impound.MustName("ns9.nic.example"), HostAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
		Clock: conntest.NewClock(),
	}
	m := maker{Kind: "libdns", Zone: "example"}
	if host == "file" {
		m.File = filepath.Join(leftDir(t), "zone.json")
		z := fileZone{Records: []libdns.RR{{Name: "@", TTL: time.Hour, Type: "NS", Data: "ns1.nic.example."}, {Name: "ns1.nic", TTL: time.Hour, Type: "A", Data: "127.0.0.1"}}}
		for i, n := range s.Names {
			rel := libdns.RelativeName(n.FQDN(), "example.")
			for _, h := range former {
				z.Records = append(z.Records, libdns.RR{Name: rel, TTL: time.Minute, Type: "NS", Data: h.FQDN()})
			}
			z.Records = append(z.Records, libdns.RR{Name: rel, TTL: time.Minute, Type: "DS", Data: fmt.Sprintf("%d 13 2 %064X", 1000+i, i+1)})
		}
		b, err := json.Marshal(z)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.File, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s.Did = func() int {
			var z fileZone
			if b, err := os.ReadFile(m.File); err != nil || json.Unmarshal(b, &z) != nil {
				t.Errorf("%v", err)
			}
			return z.Calls
		}
		s.Break = func(t testing.TB, when conntest.When) {
			if err := os.WriteFile(m.File+".break", []byte(fmt.Sprint(when)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.Child = m.String()
		s.Conn, s.Second = m.must(t, s.Clock.Now), m.must(t, s.Clock.Now)
		m.File += ".not-there"
		s.Dead = m.must(t, s.Clock.Now)
		m.File = strings.TrimSuffix(m.File, ".not-there")
		return s
	}
	srv := conntest.Serve(t, host, parentZone(s.Names))
	way := conntest.NewWay(t, srv.Addr, isUpdate)
	m.KeyFile, m.Addr = srv.KeyFile, way.Addr()
	s.Secrets = []string{srv.Secret}
	s.Child, s.Break = m.String(), way.Break
	s.Conn = m.must(t, s.Clock.Now)
	m.Addr = srv.Addr
	s.Second = m.must(t, s.Clock.Now)
	m.Addr = dead
	s.Dead = m.must(t, s.Clock.Now)
	first := srv.Serial(t, "example")
	s.Did = func() int { return srv.Serial(t, "example") - first }
	return s
}

func TestLibDNS(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"file", "bind", "knot"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			conntest.Run(t, func(t testing.TB) *conntest.Stage { return libdnsStage(t, host) })
		})
	}
}

func (m maker) libdns(now func() time.Time) (seizure.Connector, error) {
	cfg := seizure.LibDNSConfig{Zone: impound.MustName(m.Zone), Now: now, Name: "file", Host: fileHost{m.File}}
	if m.File == "" {
		var err error
		if cfg.Host, cfg.Secrets, err = seizure.NewZoneHost("rfc2136", m.Addr, m.KeyFile); err != nil {
			return nil, err
		}
		cfg.Name = "rfc2136"
	}
	return seizure.NewLibDNS("hosted", cfg)
}
