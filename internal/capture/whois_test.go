package capture

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
)

// whoisServer says what it is given and remembers what it was asked.
type whoisServer struct {
	addr string
	mu   sync.Mutex
	asks []string
}

func newWhois(t testing.TB, say func(q string) string) *whoisServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	s := &whoisServer{addr: ln.Addr().String()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				q, err := bufio.NewReader(c).ReadString('\n')
				if err != nil || !strings.HasSuffix(q, "\r\n") {
					return
				}
				q = strings.TrimSuffix(q, "\r\n")
				s.mu.Lock()
				s.asks = append(s.asks, q)
				s.mu.Unlock()
				_, _ = io.WriteString(c, say(q))
			}()
		}
	}()
	return s
}

const registryAnswer = "Domain Name: OUTLOOK-VERIFY.EXAMPLE\r\nRegistry Domain ID: 1_DOMAIN\r\nRegistrar WHOIS Server: whois.registrar.example\r\nUpdated Date: 2026-03-02T10:00:00Z\r\nCreation Date: 2026-01-05T09:08:07Z\r\nRegistry Expiry Date: 2027-01-05T09:08:07Z\r\nRegistrar: Cheap Names <script>alert(1)</script> Ltd\r\nRegistrar IANA ID: 9999\r\nRegistrar Abuse Contact Email: abuse@registrar.example\r\nDomain Status: clientTransferProhibited https://icann.org/epp#clientTransferProhibited\r\nDomain Status: serverHold https://icann.org/epp#serverHold\r\nName Server: NS2.ACTOR.EXAMPLE\r\nName Server: NS1.ACTOR.EXAMPLE\r\nDNSSEC: unsigned\r\n>>> Last update of whois database: 2026-03-03T00:00:00Z <<<\r\n"

func TestWHOISIsTheFallback(t *testing.T) {
	root := newWhois(t, func(string) string {
		return "% IANA\n\nrefer:        whois.nic.example\n\ndomain:       EXAMPLE\nstatus:       ACTIVE\n"
	})
	registry := newWhois(t, func(string) string { return registryAnswer })
	registrar := newWhois(t, func(string) string {
		return "Domain Name: outlook-verify.example\nRegistrar: Somebody Else\nRegistrar WHOIS Server: whois.nic.example\nRegistrant Name: \x1b]0;owned\x07\u202eLTR\n"
	})
	w := newWorld(t, nil)
	w.routes["whois.iana.org:43"], w.routes["whois.nic.example:43"], w.routes["whois.registrar.example:43"] = root.addr, registry.addr, registrar.addr
	r := noPicture(t, w)
	var v WHOISView
	must(t, json.Unmarshal(r.find(t, KindWHOIS).Body, &v))
	if len(v.Answers) != 3 {
		t.Fatalf("%d servers asked: %+v", len(v.Answers), v)
	}
	got := v
	got.Answers, got.At = nil, time.Time{}
	want := WHOISView{
		Name: name, Exists: true, Registrar: "Cheap Names <script>alert(1)</script> Ltd", IANA: "9999", Abuse: "abuse@registrar.example",
		Created: time.Date(2026, 1, 5, 9, 8, 7, 0, time.UTC), Updated: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), Expires: time.Date(2027, 1, 5, 9, 8, 7, 0, time.UTC),
		Status: []string{"clientTransferProhibited", "serverHold"}, NS: []string{"ns1.actor.example", "ns2.actor.example"},
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if root.asks[0] != "example" || registry.asks[0] != name.String() || registrar.asks[0] != name.String() {
		t.Errorf("asked %q, %q, %q", root.asks, registry.asks, registrar.asks)
	}
	body := string(r.find(t, KindWHOIS).Body)
	if strings.ContainsAny(body, "\x1b\x07\u202e<>") || strings.Contains(body, `\u001b`) || strings.Contains(body, `\u202e`) {
		t.Errorf("what the servers said is not inert: %s", body)
	}
	for _, it := range r.Items { // and as it came, for whoever must prove it
		if it.Artefact.Kind == KindWHOIS+"-raw" && it.Artefact.Source == "whois.registrar.example" && strings.Contains(string(it.Body), "\x1b]0;owned") {
			return
		}
	}
	t.Error("the registrar's answer is not kept as it came")
}

func TestWHOISIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	endless := newWhois(t, func(string) string { return strings.Repeat("a: b\n", 100_000) })
	loop := newWhois(t, func(string) string { return "refer: whois.b.example\n" })
	w.routes["whois.a.example:43"], w.routes["whois.b.example:43"] = endless.addr, loop.addr
	c := w.capturer(t)
	tk := &take{Capturer: c, obs: c.cfg.Observe, bounds: c.cfg.Bounds, now: time.Now}
	if a := tk.askWHOIS(t.Context(), "whois.a.example", name); a.Cut != cutLength || a.Size != whoisAnswer {
		t.Errorf("cut %q at %d octets", a.Cut, a.Size)
	}
	tk.Capturer.cfg.WHOIS = "whois.b.example"
	if v := tk.whois(t.Context(), name); len(v.Answers) != 1 || v.Exists {
		t.Errorf("a loop of referrals: %+v", v)
	}
}

func TestWHOISReferrals(t *testing.T) {
	for in, want := range map[string]string{
		"whois.nic.example": "whois.nic.example", "whois://whois.nic.example": "whois.nic.example", "WHOIS.NIC.EXAMPLE:43": "whois.nic.example",
		"whois.nic.example:25": "", "127.0.0.1": "", "[::1]": "", "127.0.0.1:43": "", "localhost": "", "http://whois.nic.example/x": "", "a b.example": "", "root@host.example": "",
	} {
		if got := referral(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzWHOIS(f *testing.F) {
	f.Add([]byte(registryAnswer))
	f.Add([]byte("refer: whois.nic.example\nwhois: x\n\xff\xfe\x00Name Server: ns1.a.example 192.0.2.1\n"))
	f.Add([]byte("domain: outlook-verify.example\ncreated: 02.01.2006\nexpires: 20270101\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text := WHOISText(b)
		if !utf8.ValidString(text) {
			t.Fatal("text that is no UTF-8")
		}
		for _, r := range text {
			if r < 0x20 && r != '\n' && r != ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e {
				t.Fatalf("%U went through", r)
			}
		}
		next, v := parseWHOIS(b, name)
		if next != "" {
			if n, err := impound.ParseName(next); err != nil || n.String() != next {
				t.Fatalf("refers to %q", next)
			}
		}
		for _, s := range append(append([]string{v.Registrar, v.IANA, v.Abuse}, v.Status...), v.NS...) {
			if len(s) > 400 || strings.ContainsAny(s, "\n\r\x1b\u202e") {
				t.Fatalf("%q", s)
			}
		}
		if len(v.NS) > 32 || len(v.Status) > 32 {
			t.Fatal("too much")
		}
	})
}
