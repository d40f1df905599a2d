package seizure_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

const (
	tsigName   = "impound."
	tsigSecret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="
)

// hostileDNS answers each message as script says, which is given the proper
// answer, not yet signed; sign signs one as it should be. Nil hangs up.
type hostileDNS struct {
	addr    string
	updates atomic.Int32 // that came with changes in them
	mu      sync.Mutex
	script  func(q, proper *dns.Msg, sign func(*dns.Msg) []byte) []byte
}

// answer sets how it answers from now on.
func (h *hostileDNS) answer(f func(q, proper *dns.Msg, sign func(*dns.Msg) []byte) []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script = f
}

// proper is what an honest server of the zone "example" says.
func proper(t *testing.T, q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	rr := func(s string) dns.RR {
		r, err := dns.NewRR(s)
		if err != nil {
			t.Error(err)
		}
		return r
	}
	if q.Opcode == dns.OpcodeUpdate {
		return m
	}
	switch q.Question[0].Qtype {
	case dns.TypeNS:
		m.Ns = []dns.RR{rr("evil.example. 60 IN NS ns1.actor.test."), rr("evil.example. 60 IN NS ns2.actor.test.")}
	case dns.TypeDS:
		m.Authoritative = true
		m.Answer = []dns.RR{rr("evil.example. 60 IN DS 1 13 2 " + strings.Repeat("AB", 32))}
	case dns.TypeSOA:
		m.Authoritative = true
		m.Answer = []dns.RR{rr("example. 60 IN SOA a.example. b.example. 1 2 3 4 5")}
	}
	return m
}

func newHostileDNS(t *testing.T) *hostileDNS {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h := &hostileDNS{addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				co := &dns.Conn{Conn: c}
				for {
					raw, err := co.ReadMsgHeader(nil)
					if err != nil {
						return
					}
					q := new(dns.Msg)
					if err := q.Unpack(raw); err != nil {
						return
					}
					ts := q.IsTsig()
					if ts == nil || dns.TsigVerify(raw, tsigSecret, "", false) != nil {
						t.Error("a message that is not signed")
						return
					}
					if q.Opcode == dns.OpcodeUpdate && len(q.Ns) > 0 {
						h.updates.Add(1)
					}
					sign := func(m *dns.Msg) []byte {
						m.SetTsig(tsigName, dns.HmacSHA256, 300, time.Now().Unix())
						b, _, err := dns.TsigGenerate(m, tsigSecret, ts.MAC, false)
						if err != nil {
							t.Error(err)
						}
						return b
					}
					p := proper(t, q)
					h.mu.Lock()
					script := h.script
					h.mu.Unlock()
					out := script(q, p, sign)
					if out == nil {
						return
					}
					if _, err := co.Write(out); err != nil {
						return
					}
				}
			}()
		}
	}()
	return h
}

func pack(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return b
}

// Whatever a server says that our key did not sign, or that is no answer to this
// very message, is never success: of an update the outcome is unknown, of a look
// nothing is believed.
func TestBadDNSAnswersAreNeverSuccess(t *testing.T) {
	evil := n("evil.example")
	key, err := seizure.ParseTSIGKey([]byte("hmac-sha256:" + tsigName + ":" + tsigSecret))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.names = []impound.Name{evil}
	m := w.authorize(w.order())
	var permits []impound.Permit
	for _, a := range []impound.Act{impound.ActNameservers, impound.ActRemoveDS} {
		p, err := m.Permit(a, evil, w.now())
		if err != nil {
			t.Fatal(err)
		}
		permits = append(permits, p)
	}
	change := seizure.Change{Name: evil, AddNS: ns("ns1.sinkhole.test"), RemNS: ns("ns1.actor.test", "ns2.actor.test"), RemAllDS: true}
	wrong := base64.StdEncoding.EncodeToString([]byte("another secret of 32 octets here"))
	rcode := func(code int) func(q, p *dns.Msg, sign func(*dns.Msg) []byte) []byte {
		return func(_, p *dns.Msg, sign func(*dns.Msg) []byte) []byte { p.Rcode = code; return sign(p) }
	}
	tsigErr := func(code uint16) func(q, p *dns.Msg, sign func(*dns.Msg) []byte) []byte {
		return func(q, p *dns.Msg, _ func(*dns.Msg) []byte) []byte {
			p.Rcode = dns.RcodeNotAuth
			p.Extra = append(p.Extra, &dns.TSIG{Hdr: dns.RR_Header{Name: tsigName, Rrtype: dns.TypeTSIG, Class: dns.ClassANY}, Algorithm: dns.HmacSHA256, TimeSigned: uint64(time.Now().Unix()), Fudge: 300, OrigId: q.Id, Error: code})
			return pack(t, p)
		}
	}
	for what, tt := range map[string]struct {
		answer  func(q, p *dns.Msg, sign func(*dns.Msg) []byte) []byte
		kind    impound.Kind // of the update's error
		unknown bool
		say     string
	}{
		"hangs up":         {func(_, _ *dns.Msg, _ func(*dns.Msg) []byte) []byte { return nil }, impound.KindUnavailable, true, ""},
		"unsigned":         {func(_, p *dns.Msg, _ func(*dns.Msg) []byte) []byte { return pack(t, p) }, impound.KindUnavailable, true, "not signed"},
		"unsigned refusal": {func(_, p *dns.Msg, _ func(*dns.Msg) []byte) []byte { p.Rcode = dns.RcodeRefused; return pack(t, p) }, impound.KindUnavailable, true, "not signed"},
		"signed by another key": {func(q, p *dns.Msg, _ func(*dns.Msg) []byte) []byte {
			p.SetTsig(tsigName, dns.HmacSHA256, 300, time.Now().Unix())
			b, _, _ := dns.TsigGenerate(p, wrong, q.IsTsig().MAC, false)
			return b
		}, impound.KindUnavailable, true, "not signed"},
		"signed under another name": {func(q, p *dns.Msg, _ func(*dns.Msg) []byte) []byte {
			p.SetTsig("other.", dns.HmacSHA256, 300, time.Now().Unix())
			b, _, _ := dns.TsigGenerate(p, tsigSecret, q.IsTsig().MAC, false)
			return b
		}, impound.KindUnavailable, true, "not signed"},
		"signed for another message": {func(_, p *dns.Msg, _ func(*dns.Msg) []byte) []byte {
			p.SetTsig(tsigName, dns.HmacSHA256, 300, time.Now().Unix())
			b, _, _ := dns.TsigGenerate(p, tsigSecret, strings.Repeat("00", 32), false)
			return b
		}, impound.KindUnavailable, true, "not signed"},
		"changed after signing": {func(_, p *dns.Msg, sign func(*dns.Msg) []byte) []byte {
			p.Rcode = dns.RcodeServerFailure
			b := sign(p)
			b[3] &^= 0xf // now it says NOERROR
			return b
		}, impound.KindUnavailable, true, "not signed"},
		"another's id":    {func(_, p *dns.Msg, sign func(*dns.Msg) []byte) []byte { p.Id++; return sign(p) }, impound.KindUnavailable, true, "another question"},
		"a question back": {func(_, p *dns.Msg, sign func(*dns.Msg) []byte) []byte { p.Response = false; return sign(p) }, impound.KindUnavailable, true, "another question"},
		"garbage":         {func(_, _ *dns.Msg, _ func(*dns.Msg) []byte) []byte { return []byte(strings.Repeat("\xff", 40)) }, impound.KindUnavailable, true, "can't be read"},
		"64 kB of it":     {func(_, _ *dns.Msg, _ func(*dns.Msg) []byte) []byte { return []byte(strings.Repeat("\xc0\x0c", 32000)) }, impound.KindUnavailable, true, "can't be read"},
		"cut":             {func(_, p *dns.Msg, sign func(*dns.Msg) []byte) []byte { b := sign(p); return b[:len(b)-9] }, impound.KindUnavailable, true, "can't be read"},
		"SERVFAIL":        {rcode(dns.RcodeServerFailure), impound.KindUnavailable, true, "SERVFAIL"},
		"NXRRSET":         {rcode(dns.RcodeNXRrset), impound.KindConflict, false, "nothing was done"},
		"YXRRSET":         {rcode(dns.RcodeYXRrset), impound.KindConflict, false, "nothing was done"},
		"REFUSED":         {rcode(dns.RcodeRefused), impound.KindAuth, false, "nothing was done"},
		"NOTZONE":         {rcode(dns.RcodeNotZone), impound.KindInvalid, false, "nothing was done"},
		"NOTIMP":          {rcode(dns.RcodeNotImplemented), impound.KindInvalid, false, "nothing was done"},
		"BADKEY":          {tsigErr(dns.RcodeBadKey), impound.KindAuth, false, "does not know our key"},
		"BADSIG":          {tsigErr(dns.RcodeBadSig), impound.KindAuth, false, "does not fit"},
		"BADTIME":         {tsigErr(dns.RcodeBadTime), impound.KindAuth, false, "clock"},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHostileDNS(t)
			conn, err := seizure.NewDNSUpdate("ours", seizure.DNSUpdateConfig{Zone: n("example"), Server: h.addr, Key: key, Timeout: 2 * time.Second, Now: w.now})
			if err != nil {
				t.Fatal(err)
			}
			// Only the update is answered so; the look before it was honest.
			h.answer(func(q, p *dns.Msg, sign func(*dns.Msg) []byte) []byte {
				if q.Opcode == dns.OpcodeUpdate {
					return tt.answer(q, p, sign)
				}
				return sign(p)
			})
			a, err := conn.Do(t.Context(), permits, change)
			if impound.KindOf(err) != tt.kind || errors.Is(err, seizure.ErrUnknownOutcome) != tt.unknown || !strings.Contains(fmt.Sprint(err), tt.say) || h.updates.Load() != 1 {
				t.Errorf("update: %v (%s), %d sent; want %s, unknown %v, saying %q", err, impound.KindOf(err), h.updates.Load(), tt.kind, tt.unknown, tt.say)
			}
			if len(a.Frames) < 5 || strings.Contains(fmt.Sprint(err), tsigSecret) {
				t.Errorf("%d frames to keep; %v", len(a.Frames), err)
			}
			// Now the look: nothing is believed, and no update is sent.
			h.updates.Store(0)
			h.answer(tt.answer)
			v, err := conn.Info(t.Context(), evil)
			if err == nil || errors.Is(err, seizure.ErrUnknownOutcome) || v.Exists || len(v.NS)+len(v.DS) > 0 {
				t.Errorf("look: %v %+v", err, v.State())
			}
			if err := conn.Ready(t.Context()); err == nil {
				t.Error("ready")
			}
			if _, err := conn.Do(t.Context(), permits, change); err == nil || errors.Is(err, seizure.ErrUnknownOutcome) || h.updates.Load() != 0 {
				t.Errorf("acted on a look that failed: %v", err)
			}
		})
	}
}

// Honest signatures on what makes no sense: said, and nothing is done.
func TestDNSLooksThatMakeNoSense(t *testing.T) {
	evil := n("evil.example")
	key, err := seizure.ParseTSIGKey([]byte("hmac-sha256:" + tsigName + ":" + tsigSecret))
	if err != nil {
		t.Fatal(err)
	}
	rr := func(s string) dns.RR {
		r, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for what, tt := range map[string]struct {
		answer func(m *dns.Msg)
		say    string
	}{
		"the server has the child too": {func(m *dns.Msg) { m.Authoritative, m.Ns, m.Answer = true, nil, m.Ns }, "also serves the zone"},
		"refers upward":                {func(m *dns.Msg) { m.Ns = []dns.RR{rr(". 60 IN NS a.root-servers.net.")} }, "does not hold the zone"},
		"refers in between":            {func(m *dns.Msg) { m.Ns = []dns.RR{rr("b.example. 60 IN NS x.test.")} }, "below another delegation"},
		"another zone":                 {func(m *dns.Msg) { m.Authoritative, m.Ns = true, []dns.RR{rr("test. 60 IN SOA a. b. 1 2 3 4 5")} }, "answers for the zone"},
		"lame":                         {func(m *dns.Msg) { m.Ns, m.Rcode = nil, dns.RcodeNameError }, "lame"},
		"a name that is none":          {func(m *dns.Msg) { m.Ns = []dns.RR{rr(`evil.example. 60 IN NS a\000b.test.`)} }, "can't be written down"},
		"another question":             {func(m *dns.Msg) { m.Question[0].Name = "bank.example." }, "another question"},
		"NOTAUTH":                      {func(m *dns.Msg) { m.Rcode = dns.RcodeNotAuth }, "NOTAUTH"},
		"FORMERR":                      {func(m *dns.Msg) { m.Rcode = dns.RcodeFormatError }, "FORMERR"},
	} {
		h := newHostileDNS(t)
		h.script = func(q, p *dns.Msg, sign func(*dns.Msg) []byte) []byte {
			if q.Question[0].Qtype == dns.TypeNS {
				tt.answer(p)
			}
			return sign(p)
		}
		conn, err := seizure.NewDNSUpdate("ours", seizure.DNSUpdateConfig{Zone: n("example"), Server: h.addr, Key: key, Timeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		v, err := conn.Info(t.Context(), evil)
		if err == nil || !strings.Contains(err.Error(), tt.say) || v.Exists || len(v.NS) > 0 {
			t.Errorf("%s: %v %+v", what, err, v.State())
		}
		if len(v.Frames) < 2 {
			t.Errorf("%s: nothing to keep of it", what)
		}
	}
}

func TestParseTSIGKey(t *testing.T) {
	for _, good := range []string{
		"key \"impound\" {\n\talgorithm hmac-sha256;\n\tsecret \"" + tsigSecret + "\";\n};\n",
		"# hmac-sha256:impound:x\nkey:\n  - id: impound\n    algorithm: hmac-sha256\n    secret: " + tsigSecret + "\n",
		"hmac-sha512:IMPOUND.:" + tsigSecret,
		"// a remark\nkey impound { algorithm HMAC-SHA384; secret " + tsigSecret + "; };",
	} {
		k, err := seizure.ParseTSIGKey([]byte(good))
		if err != nil || k.Name() != tsigName || k.IsZero() || !strings.HasPrefix(k.Algorithm(), "hmac-sha") {
			t.Errorf("%q: %v %v", good, err, k)
		}
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", k, k, k, k), fmt.Sprintf("%+v %#v", struct{ k seizure.TSIGKey }{k}, &struct{ K any }{k})} {
			if strings.Contains(text, tsigSecret[:12]) || strings.Contains(text, "secret-secret") || strings.Contains(text, "115 101 99") {
				t.Errorf("shown: %s", text)
			}
		}
	}
	for bad, say := range map[string]string{
		"":                                "no TSIG key",
		"hmac-md5:impound:" + tsigSecret:  "none of hmac-sha224",
		"hmac-sha1:impound:" + tsigSecret: "none of hmac-sha224",
		"hmac-sha256:impound:c2hvcnQ=":    "shorter",
		"hmac-sha256:impound:%%%":         "not base64",
		"hmac-sha256:..:" + tsigSecret:    "no domain name",
		"key a { algorithm hmac-sha256; secret \"" + tsigSecret + "\"; };\nkey b { algorithm hmac-sha256; secret \"" + tsigSecret + "\"; };": "more than one",
	} {
		_, err := seizure.ParseTSIGKey([]byte(bad))
		if impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), say) || strings.Contains(err.Error(), "c2") {
			t.Errorf("%q: %v, want %q", bad, err, say)
		}
	}
}

func FuzzParseTSIGKey(f *testing.F) {
	f.Add([]byte("key \"impound\" { algorithm hmac-sha256; secret \"" + tsigSecret + "\"; };"))
	f.Add([]byte("hmac-sha256:impound:" + tsigSecret))
	f.Add([]byte("key:\n- id: a\n  algorithm: hmac-sha256\n  secret: " + tsigSecret))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := seizure.ParseTSIGKey(b)
		if err == nil && (k.IsZero() || k.Name() == "" || len(k.Algorithm()) < 8) {
			t.Errorf("%q gives %v", b, k)
		}
	})
}
