package seizure_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libdns/libdns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// oddHost is a libdns provider that does as the test says.
type oddHost struct {
	get func() ([]libdns.Record, error)
	set func() ([]libdns.Record, error)
}

func (h oddHost) GetRecords(context.Context, string) ([]libdns.Record, error) { return h.get() }
func (h oddHost) SetRecords(context.Context, string, []libdns.Record) ([]libdns.Record, error) {
	return h.set()
}
func (h oddHost) DeleteRecords(context.Context, string, []libdns.Record) ([]libdns.Record, error) {
	return h.set()
}

// A host's code is somebody else's: whatever it does is bounded, said without its
// secrets, and never read as success.
func TestOddHosts(t *testing.T) {
	evil := n("evil.example")
	w := newWorld(t)
	w.names = []impound.Name{evil}
	m := w.authorize(w.order())
	p, err := m.Permit(impound.ActNameservers, evil, w.now())
	if err != nil {
		t.Fatal(err)
	}
	honest := func() ([]libdns.Record, error) {
		return []libdns.Record{libdns.NS{Name: "evil", TTL: time.Minute, Target: "ns1.actor.test."}, nil, libdns.RR{Name: "@", Type: "SOA", Data: "junk"}}, nil
	}
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	const token = "tok-0123456789"
	change := seizure.Change{Name: evil, AddNS: ns("ns1.sinkhole.test"), RemNS: ns("ns1.actor.test")}
	for what, odd := range map[string]func() ([]libdns.Record, error){
		"panics":         func() ([]libdns.Record, error) { panic("index out of range, Authorization: Bearer " + token) },
		"fails":          func() ([]libdns.Record, error) { return nil, errors.New("GET https://api/?token=" + token + ": 500") },
		"never returns":  func() ([]libdns.Record, error) { <-never; return nil, nil },
		"a long story":   func() ([]libdns.Record, error) { return nil, errors.New(strings.Repeat("x"+token, 100000)) },
		"invalid UTF-8":  func() ([]libdns.Record, error) { return nil, errors.New("\xff\xfe" + token) },
		"half and error": func() ([]libdns.Record, error) { r, _ := honest(); return r, errors.New("page 2 failed") },
	} {
		t.Run(what, func(t *testing.T) {
			make := func(h oddHost) *seizure.LibDNS {
				l, err := seizure.NewLibDNS("hosted", seizure.LibDNSConfig{Zone: n("example"), Host: h, Name: "odd", Timeout: 50 * time.Millisecond, Secrets: []string{token}, Now: w.now})
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
			clean := func(text string) {
				t.Helper()
				if strings.Contains(text, token) || len(text) > 5000 {
					t.Errorf("%d octets said: %.200s", len(text), text)
				}
			}
			v, err := make(oddHost{get: odd}).Info(t.Context(), evil)
			if impound.KindOf(err) != impound.KindUnavailable || v.Exists || len(v.NS) > 0 {
				t.Errorf("look: %v %+v", err, v.State())
			}
			clean(fmt.Sprint(err))
			acted := false
			a, err := make(oddHost{get: odd, set: func() ([]libdns.Record, error) { acted = true; return nil, nil }}).Do(t.Context(), []impound.Permit{p}, change)
			if err == nil || acted || errors.Is(err, seizure.ErrUnknownOutcome) || len(a.Frames) > 0 {
				t.Errorf("acted on a look that failed: %v", err)
			}
			a, err = make(oddHost{get: honest, set: odd}).Do(t.Context(), []impound.Permit{p}, change)
			if !errors.Is(err, seizure.ErrUnknownOutcome) || impound.KindOf(err) != impound.KindUnavailable || len(a.Frames) != 2 {
				t.Errorf("act: %v, %d frames", err, len(a.Frames))
			}
			clean(fmt.Sprint(err))
			for _, f := range a.Frames {
				clean(string(f.Body))
			}
		})
	}
	// Records that make no sense.
	for what, rec := range map[string]libdns.Record{
		"a name that is none": libdns.NS{Name: "evil", Target: "a\\000b.test."},
		"two words":           libdns.NS{Name: "evil", Target: "ns1.actor.test ns2.actor.test"},
		"a DS that is none":   libdns.RR{Name: "evil", Type: "DS", Data: "many"},
		"a cut above":         libdns.NS{Name: "b.evil"[2:], Target: ""},
	} {
		l, err := seizure.NewLibDNS("hosted", seizure.LibDNSConfig{Zone: n("example"), Host: oddHost{get: func() ([]libdns.Record, error) { return []libdns.Record{rec}, nil }}})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := l.Info(t.Context(), evil); err == nil || v.Exists {
			t.Errorf("%s: %v %+v", what, err, v.State())
		}
	}
}
