package testregistry

import (
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
)

func fuzzed(f *testing.F) *Registry {
	f.Helper()
	r, err := Start(f.Context(), Config{Dir: f.TempDir(), Sign: true, EPP: Off, RDAP: Off, DNS: Off, Resolver: Off, ActorDNS: Off, ActorHTTP: Off,
		Clients: map[string]Client{"registry": {Password: "registry-pw", RegistryRole: true}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { r.Close() })
	if err := r.Register(Domain{Name: impound.MustName("bad.example"), Registrar: "registry", Signed: true, NS: []impound.Name{impound.MustName("ns1.bad.example")}}); err != nil {
		f.Fatal(err)
	}
	return r
}

// FuzzCommand: whatever a client sends gets one answer that is XML with a
// result code that EPP has.
func FuzzCommand(f *testing.F) {
	r := fuzzed(f)
	cmd := func(s string) string {
		return `<epp xmlns="` + epp.NSEPP + `"><command>` + s + `<clTRID>abc-1</clTRID></command></epp>`
	}
	d := `xmlns:d="` + epp.NSDomain + `"`
	for _, s := range []string{"", "<", "<epp/>", `<epp xmlns="` + epp.NSEPP + `"><hello/></epp>`, cmd(`<logout/>`), cmd(`<poll op="req"/>`), cmd(`<poll op="ack" msgID="1"/>`),
		cmd(`<info><d:info ` + d + `><d:name hosts="all">bad.example</d:name></d:info></info>`), cmd(`<check><d:check ` + d + `><d:name>bad.example</d:name></d:check></check>`),
		cmd(`<update><d:update ` + d + `><d:name>bad.example</d:name><d:add><d:ns><d:hostObj>ns1.bad.example</d:hostObj></d:ns><d:status s="serverHold"/></d:add><d:rem><d:status s="clientHold"/></d:rem><d:chg><d:registrant>abc</d:registrant></d:chg></d:update></update><extension><s:update xmlns:s="` + epp.NSSecDNS + `"><s:rem><s:all>true</s:all></s:rem><s:add><s:dsData><s:keyTag>1</s:keyTag><s:alg>13</s:alg><s:digestType>2</s:digestType><s:digest>AB</s:digest></s:dsData></s:add></s:update></extension>`),
		cmd(`<create><h:create xmlns:h="` + epp.NSHost + `"><h:name>ns1.sink.invalid</h:name><h:addr ip="v4">192.0.2.1</h:addr></h:create></create>`),
		cmd(`<login><clID>registry</clID><pw>registry-pw</pw><options><version>1.0</version><lang>en</lang></options><svcs><objURI>` + epp.NSDomain + `</objURI></svcs></login>`)} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, in bool) {
		conn, far := net.Pipe()
		defer r.sessions.Delete(conn)
		defer conn.Close()
		defer far.Close()
		s := &session{r: r, conn: conn}
		if in {
			s.client, s.objs, s.exts = "registry", objURIs, extURIs
		}
		reply, _ := s.handle(raw)
		root, err := epp.ParseXML(reply)
		if err != nil {
			t.Fatalf("%v: %s", err, reply)
		}
		if root.First(epp.NSEPP, "greeting") != nil {
			return
		}
		code, _ := root.First(epp.NSEPP, "response").First(epp.NSEPP, "result").Attr("code")
		if len(code) != 4 || !strings.Contains("12", code[:1]) || root.First(epp.NSEPP, "response").First(epp.NSEPP, "trID").First(epp.NSEPP, "svTRID").Token() == "" {
			t.Fatalf("%s", reply)
		}
	})
}

// FuzzQuestion: whatever is asked, the servers answer with a message that packs.
func FuzzQuestion(f *testing.F) {
	r := fuzzed(f)
	for _, s := range []string{".", "example.", "bad.example.", "www.bad.example.", "nic.example.", "ns1.nic.example.", "x.ns1.nic.example.", `a\.b.example.`, `\000.example.`, "nope.example.", strings.Repeat("a", 63) + ".example.", "org."} {
		for _, q := range []uint16{dns.TypeA, dns.TypeDS, dns.TypeNS, dns.TypeSOA, dns.TypeDNSKEY, dns.TypeANY} {
			f.Add(s, q, true)
		}
	}
	f.Fuzz(func(t *testing.T, name string, qtype uint16, do bool) {
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
		q.SetEdns0(1232, do)
		b, err := q.Pack()
		if err != nil || q.Unpack(b) != nil || len(q.Question) != 1 {
			return
		}
		for _, h := range []dnsHandler{r.screen, r.answerParent, r.answerActor} {
			if m := h(q); m != nil {
				if _, err := m.Pack(); err != nil || m.Id != q.Id || !m.Response {
					t.Fatalf("%v: %s", err, m)
				}
			}
		}
	})
}
