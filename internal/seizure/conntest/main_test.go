package conntest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/conntest"
	"github.com/impound/impound/internal/seizure/epp"
)

// maker is what a connector under test is made from, here and in a child.
type maker struct {
	Kind, Addr, Role string
	Zone, KeyFile    string
	CA, Cert, Key    string
	ClientID, Pass   string
	File, Dir        string
}

func (m maker) String() string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (m maker) make(now func() time.Time) (seizure.Connector, error) {
	switch m.Kind {
	case "epp":
		ca, err := os.ReadFile(m.CA)
		if err != nil {
			return nil, err
		}
		cert, err := tls.LoadX509KeyPair(m.Cert, m.Key)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		return seizure.NewEPP("practice", m.Role, epp.Config{Addr: m.Addr, ServerName: "localhost", TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}, ClientID: m.ClientID, Password: []byte(m.Pass), Now: now})
	case "dnsupdate":
		key, err := seizure.ReadTSIGKey(m.KeyFile)
		if err != nil {
			return nil, err
		}
		return seizure.NewDNSUpdate("ours", seizure.DNSUpdateConfig{Zone: impound.MustName(m.Zone), Server: m.Addr, Key: key, Now: now})
	case "libdns":
		return m.libdns(now)
	case "mail", "manual":
		return m.asked(now)
	}
	return nil, fmt.Errorf("no connector of kind %q", m.Kind)
}

func (m maker) must(t testing.TB, now func() time.Time) seizure.Connector {
	t.Helper()
	c, err := m.make(now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestMain(m *testing.M) {
	conntest.Main(func(child string, now func() time.Time) (seizure.Connector, error) {
		var mk maker
		if err := json.Unmarshal([]byte(child), &mk); err != nil {
			return nil, err
		}
		return mk.make(now)
	})
	os.Exit(m.Run())
}

// dead is an address of this machine where nobody listens.
const dead = "127.0.0.1:1"

func names(format string) []impound.Name {
	var out []impound.Name
	for i := range conntest.Needed {
		out = append(out, impound.MustName(fmt.Sprintf(format, i)))
	}
	return out
}

var (
	former = []impound.Name{impound.MustName("ns1.actor-dns.net"), impound.MustName("ns2.actor-dns.net")}
	sink   = []impound.Name{impound.MustName("ns1.sinkhole.net"), impound.MustName("ns2.sinkhole.net")}
)
