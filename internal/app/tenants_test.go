package app

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/observe"
)

// Who else is named by the certificates that a name's server showed, with the
// views as capture and observe write them.
func TestNeighboursAreCountedInCertificates(t *testing.T) {
	n := impound.MustName("login.outlook-verify.net")
	t0 := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	bodies := map[string][]byte{}
	art := func(kind string, of impound.Name, day int, v any) impound.Artefact {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		h := impound.HashBytes(b)
		bodies[h] = b
		return impound.Artefact{Hash: h, Size: int64(len(b)), Kind: kind, Name: of, At: t0.AddDate(0, 0, day)}
	}
	read := func(h string) ([]byte, error) {
		if b := bodies[h]; b != nil {
			return b, nil
		}
		return nil, fmt.Errorf("gone")
	}
	chain := func(names ...string) capture.TLSView {
		return capture.TLSView{Chain: []capture.Certificate{{Names: names, NameCount: len(names)}, {Names: []string{"ca.example"}}}}
	}
	own := chain("login.outlook-verify.net", "*.login.outlook-verify.net", "a.login.outlook-verify.net", "outlook-verify.net", "shop.example.org", "www.shop.example.org", "not a name", "dyn.duckdns.org")
	many := chain("stranger1.example", "stranger2.example")
	many.Chain[0].NameCount = 150
	look := observe.HTTPView{Looks: []observe.HTTPLook{{Hops: []observe.HTTPHop{{TLS: []observe.Cert{{Names: []string{"fourth.example"}, NameCount: 1}}}, {TLS: []observe.Cert{{Names: []string{"elsewhere.example"}}}}}}}}
	for name, c := range map[string]struct {
		have []impound.Artefact
		want *gate.CertTenants
	}{
		"no evidence":      {},
		"nothing of TLS":   {[]impound.Artefact{art("dns-parent", n, 0, own)}, nil},
		"of another name":  {[]impound.Artefact{art(capture.KindTLS, impound.MustName("x.example"), 0, own)}, nil},
		"no TLS there":     {[]impound.Artefact{art(capture.KindTLS, n, 0, capture.TLSView{Err: "refused"})}, nil},
		"gone":             {[]impound.Artefact{{Hash: "sha256:00", Kind: capture.KindTLS, Name: n}}, nil},
		"its own":          {[]impound.Artefact{art(capture.KindTLS, n, 0, own)}, &gate.CertTenants{Hosts: 1, Others: 2, Shown: []string{"dyn[.]duckdns[.]org", "example[.]org"}, At: t0}},
		"the newest alone": {[]impound.Artefact{art(capture.KindTLS, n, 1, chain("login.outlook-verify.net")), art(capture.KindTLS, n, 0, own)}, &gate.CertTenants{At: t0.AddDate(0, 0, 1)}},
		"the server's default, of which 148 names were cut": {[]impound.Artefact{art(capture.KindTLS, n, 1, chain("login.outlook-verify.net")), art(capture.KindTLSDefault, n, 0, many)},
			&gate.CertTenants{Others: 150, Shown: []string{"stranger1[.]example", "stranger2[.]example"}, At: t0}},
		"a light look": {[]impound.Artefact{art(observe.KindHTTP, n, 0, look)}, &gate.CertTenants{Others: 1, Shown: []string{"fourth[.]example"}, At: t0}},
	} {
		if d := cmp.Diff(c.want, neighbours(n, c.have, read)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
