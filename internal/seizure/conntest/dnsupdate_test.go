package conntest_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/conntest"
)

// parentZone is a zone "example" whose names are delegated to the actor, each
// with a DS.
func parentZone(list []impound.Name) conntest.Zone {
	var b strings.Builder
	b.WriteString("$ORIGIN example.\n$TTL 300\n@ IN SOA ns1.nic hostmaster.nic 1 3600 900 604800 60\n@ IN NS ns1.nic\nns1.nic IN A 127.0.0.1\n")
	for i, n := range list {
		for _, h := range former {
			fmt.Fprintf(&b, "%s IN NS %s\n", n.FQDN(), h.FQDN())
		}
		fmt.Fprintf(&b, "%s IN DS %d 13 2 %064X\n", n.FQDN(), 1000+i, i+1)
	}
	return conntest.Zone{Name: "example", Text: b.String()}
}

func isUpdate(frame []byte) bool { return len(frame) > 2 && int(frame[2]>>3&0xf) == dns.OpcodeUpdate }

func dnsStage(t testing.TB, kind string) *conntest.Stage {
	t.Helper()
	s := &conntest.Stage{
		Names: names("evil-%d.example"), Missing: impound.MustName("not-there.example"), Foreign: impound.MustName("evil.test"),
		Former: former, Sink: sink, NewHost: impound.MustName("ns9.nic.example"), HostAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")},
		Clock: conntest.NewClock(),
	}
	srv := conntest.Serve(t, kind, parentZone(s.Names))
	way := conntest.NewWay(t, srv.Addr, isUpdate)
	m := maker{Kind: "dnsupdate", Addr: way.Addr(), Zone: "example", KeyFile: srv.KeyFile}
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

func TestDNSUpdate(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"bind", "knot"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			conntest.Run(t, func(t testing.TB) *conntest.Stage { return dnsStage(t, kind) })
		})
	}
}
