package testregistry

import (
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
)

func ask(t *testing.T, a netip.AddrPort, q string) string {
	t.Helper()
	c, err := net.Dial("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, q+"\r\n")
	b, _ := io.ReadAll(c)
	return string(b)
}

func TestWHOIS(t *testing.T) {
	for _, thin := range []bool{false, true} {
		cfg := Config{Dir: t.TempDir(), EPP: Off, RDAP: Off, DNS: Off, Resolver: Off, ActorDNS: Off, ActorHTTP: Off, TLDs: []string{"example"}, ThinWHOIS: thin,
			Clients: map[string]Client{"registrar-a": {Password: "registrar-pw"}}, Registrars: map[string]Registrar{"registrar-a": {Name: "Practice & Co", IANAID: 9995, AbuseEmail: "abuse@registrar-a.example"}}}
		r, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		if err := r.Register(Domain{Name: impound.MustName("evil-login.example"), Registrar: "registrar-a", NS: []impound.Name{impound.MustName("ns1.evil-login.example")}}); err != nil {
			t.Fatal(err)
		}
		at := r.Addrs().WHOIS
		got := ask(t, at, "evil-login.example")
		for _, want := range []string{"Domain Name: EVIL-LOGIN.EXAMPLE\r\n", "Registrar IANA ID: 9995\r\n", "Name Server: NS1.EVIL-LOGIN.EXAMPLE\r\n", "Creation Date: 20"} {
			if !strings.Contains(got, want) {
				t.Errorf("thin %v: no %q in\n%s", thin, want, got)
			}
		}
		if strings.Contains(got, "Registrant") == thin || strings.Contains(got, "Registrar WHOIS Server: "+WHOISRegistrar) != thin {
			t.Errorf("thin %v:\n%s", thin, got)
		}
		if got := ask(t, r.Addrs().RegistrarWHOIS, "domain EVIL-LOGIN.EXAMPLE"); !strings.Contains(got, "Registrant Name: ") || strings.Contains(got, "Registrar WHOIS Server") {
			t.Errorf("the registrar's:\n%s", got)
		}
		for q, want := range map[string]string{"example": "refer:        " + WHOISRegistry, "nobody.example": "No match", "a b": "Not a domain name", "": "Not a domain name"} {
			if got := ask(t, at, q); !strings.Contains(got, want) {
				t.Errorf("%q: %s", q, got)
			}
		}
		t.Run("the client that people use", func(t *testing.T) {
			peertest.Need(t, "whois", "whois")
			out, err := exec.Command("whois", "-h", "127.0.0.1", "-p", strings.Split(at.String(), ":")[1], "evil-login.example").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "EVIL-LOGIN.EXAMPLE") {
				t.Errorf("%v %s", err, out)
			}
		})
	}
}

// Each way to fail comes up, and the server goes on.
func TestWHOISFails(t *testing.T) {
	r, err := Start(t.Context(), Config{Dir: t.TempDir(), EPP: Off, RDAP: Off, DNS: Off, Resolver: Off, ActorDNS: Off, ActorHTTP: Off, TLDs: []string{"example"},
		Clients: map[string]Client{"registrar-a": {Password: "registrar-pw"}}, Faults: Faults{WHOISFail: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seen := map[string]bool{}
	for range 8 {
		switch got := ask(t, r.Addrs().WHOIS, "x.example"); {
		case got == "":
			seen["silence"] = true
		case len(got) > 8_000_000:
			seen["huge"] = true
		case strings.Contains(got, "slow down"):
			seen["slow down"] = true
		case strings.Contains(got, "refer: "):
			seen["loop"] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%v", seen)
	}
}
