package telemetry_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/telemetry"
	"github.com/impound/impound/internal/telemetry/telemetrytest"
)

const (
	browser = telemetrytest.Browser
	lure    = "/s/9f8a7b6c5d4e3f21/login"
)

type step struct {
	after              time.Duration
	method, zone, path string
	agent              string
	edit               func(*impound.Event)
}

func window(kind telemetry.NetworkKind, steps ...step) telemetry.Window {
	w := telemetry.Window{Kind: kind}
	for i, s := range steps {
		zone := s.zone
		if zone == "" {
			zone = "a.example"
		}
		e := telemetrytest.Event(uint64(i+1), telemetrytest.T0.Add(s.after), "198.51.100.7", zone, s.path, s.agent)
		if s.method != "" {
			e.Method = s.method
		}
		if s.edit != nil {
			s.edit(&e)
		}
		w.Events = append(w.Events, e)
	}
	return w
}

func TestClassify(t *testing.T) {
	dns := func(qtype uint16, zone string) func(*impound.Event) {
		return func(e *impound.Event) {
			*e = impound.Event{Sensor: "s1", Seq: e.Seq, At: e.At, Proto: impound.ProtoDNS, Src: e.Src, Name: e.Name, Zone: zone, Capture: impound.CaptureContact, QType: qtype}
		}
	}
	survey := func(gap time.Duration, path, agent string) []step {
		var out []step
		for i := range 6 {
			out = append(out, step{after: time.Duration(i) * gap, zone: fmt.Sprintf("n%d.example", i), path: path, agent: agent})
		}
		return out
	}
	known := &telemetry.Classifier{LurePath: func(zone, path string) bool { return zone == "a.example" && path == "/verify" }}
	sent := &telemetry.Classifier{LureSent: func(string) time.Time { return telemetrytest.T0.Add(time.Hour) }}
	for _, c := range []struct {
		name  string
		cl    *telemetry.Classifier
		w     telemetry.Window
		want  impound.Class // of the last event
		code  string        // a reason that must be given
		below float64       // the confidence must lie below, when set
	}{
		{"a lure's path in a browser", nil, window(telemetry.KindAccess, step{path: lure, agent: browser}), impound.ClassVictim, "lure-path", 1},
		{"and the page is shown", nil, window(telemetry.KindUnknown, step{path: lure, agent: browser}, step{after: time.Second, path: "/favicon.ico", agent: browser}), impound.ClassVictim, "page-rendered", 1},
		{"a known lure", known, window(telemetry.KindUnknown, step{path: "/verify", agent: browser}), impound.ClassVictim, "lure-known", 1},
		{"the same path for another name", known, window(telemetry.KindUnknown, step{zone: "b.example", path: "/verify", agent: browser}), impound.ClassUnclear, "no-strong-sign", 1},
		{"a form is sent", nil, window(telemetry.KindAccess, step{path: "/login", agent: browser}, step{after: time.Minute, method: "POST", path: "/login", agent: browser}, step{after: 61 * time.Second, path: "/favicon.ico", agent: browser}), impound.ClassVictim, "form-sent", 1},
		{"from webmail", nil, window(telemetry.KindAccess, step{path: "/doc", agent: browser, edit: func(e *impound.Event) { e.Referer = "outlook.live.com" }}, step{after: time.Second, path: "/favicon.ico", agent: browser}), impound.ClassVictim, "from-webmail", 1},
		{"front page only", nil, window(telemetry.KindAccess, step{path: "/", agent: browser}, step{path: "/favicon.ico", agent: browser}), impound.ClassUnclear, "root-only", 1},
		{"some page, no strong sign", nil, window(telemetry.KindAccess, step{path: "/doc", agent: browser}), impound.ClassUnclear, "no-strong-sign", 1},
		{"a token from no known program", nil, window(telemetry.KindAccess, step{path: lure, agent: "Foo"}), impound.ClassUnclear, "agent-unknown", 1},
		{"before the lure was sent", sent, window(telemetry.KindAccess, step{path: lure, agent: browser}), impound.ClassUnclear, "before-lure", 1},
		{"a browser in Tor", nil, window(telemetry.KindTor, step{path: lure, agent: browser}), impound.ClassUnclear, "network-tor", 1},

		{"a path as the sensor leaves it", nil, window(telemetry.KindAccess, step{path: "/owa/auth/{token}/logon.aspx", agent: browser}), impound.ClassVictim, "lure-path", 1},
		{"a mailbox as the sensor leaves it", nil, window(telemetry.KindAccess, step{path: "/v/{mail}", agent: browser}), impound.ClassVictim, "lure-path", 1},
		{"a login page that an actor imitates", nil, window(telemetry.KindAccess, step{path: "/remote/login", agent: browser}), impound.ClassUnclear, "no-strong-sign", 1},
		{"SafeLinks with a browser's name", nil, window(telemetry.KindMailSecurity, step{method: "HEAD", path: "/a/{token}", agent: browser}, step{path: "/a/{token}", agent: browser}), impound.ClassMailGate, "prefetch", 1},
		{"Mimecast", nil, window(telemetry.KindUnknown, step{path: lure, agent: "Mozilla/5.0 (compatible; Mimecast)"}), impound.ClassMailGate, "agent-mail-gateway", 1},
		{"mail security network with a browser's name", nil, window(telemetry.KindMailSecurity, step{path: lure, agent: browser}), impound.ClassMailGate, "prefetch", 1},
		{"a person behind a mail security service", nil, window(telemetry.KindMailSecurity, step{path: lure, agent: browser}, step{after: time.Second, path: "/favicon.ico", agent: browser}), impound.ClassUnclear, "isolated", 1},
		{"mail security network on the front page", nil, window(telemetry.KindMailSecurity, step{path: "/", agent: browser}), impound.ClassMailGate, "network-mail-security", 1},
		{"HEAD from a data centre", nil, window(telemetry.KindHosting, step{method: "HEAD", path: lure, agent: browser}), impound.ClassMailGate, "head-only", 1},
		{"prefetch from a data centre", nil, window(telemetry.KindHosting, step{path: lure, agent: browser}), impound.ClassMailGate, "prefetch", 0.6},

		{"zgrab", nil, window(telemetry.KindUnknown, step{path: "/", agent: "Mozilla/5.0 zgrab/0.x"}), impound.ClassScanner, "agent-scanner", 1},
		{"curl", nil, window(telemetry.KindAccess, step{path: "/", agent: "curl/8.5.0"}), impound.ClassScanner, "agent-scanner", 1},
		{"curl on a lure's path", nil, window(telemetry.KindAccess, step{path: lure, agent: "curl/8.5.0"}), impound.ClassUnclear, "signs-conflict", 1},
		{"no agent", nil, window(telemetry.KindUnknown, step{path: "/"}), impound.ClassScanner, "agent-none", 1},
		{"odd path", nil, window(telemetry.KindAccess, step{path: "/.env", agent: browser}), impound.ClassScanner, "scanner-path", 1},
		{"a lure's path after an odd one", nil, window(telemetry.KindAccess, step{path: "/wp-login.php", agent: browser}, step{path: lure, agent: browser}), impound.ClassUnclear, "scanner-path", 1},
		{"many names quickly", nil, window(telemetry.KindAccess, survey(time.Second, "/", browser)...), impound.ClassScanner, "scanner-many-names", 1},
		{"data centre on the front page", nil, window(telemetry.KindHosting, step{path: "/", agent: browser}), impound.ClassScanner, "hosting-root", 0.6},
		{"TLS without a name", nil, window(telemetry.KindUnknown, step{edit: func(e *impound.Event) { e.Proto, e.Method, e.UserAgent = impound.ProtoTLS, "", "" }}), impound.ClassScanner, "tls-no-name", 1},
		{"a TCP port", nil, window(telemetry.KindUnknown, step{edit: func(e *impound.Event) { e.Proto, e.Method = impound.ProtoTCP, "" }}), impound.ClassScanner, "tcp-probe", 1},

		{"TLS only", nil, window(telemetry.KindAccess, step{edit: func(e *impound.Event) {
			e.Proto, e.Method, e.UserAgent, e.SNI = impound.ProtoTLS, "", "", "a.example"
		}}), impound.ClassUnclear, "tls-only", 1},
		{"a mail server", nil, window(telemetry.KindAccess, step{edit: func(e *impound.Event) { e.Proto, e.Method = impound.ProtoSMTP, "" }}), impound.ClassUnclear, "smtp", 1},

		{"declared research", nil, window(telemetry.KindUnknown, step{path: "/", agent: "ExampleResearch/1.0 (+https://example.org; abuse@example.org)"}), impound.ClassResearcher, "agent-research", 1},
		{"research network with a scanner's tool", nil, window(telemetry.KindResearch, step{path: "/", agent: "zgrab/0.x"}), impound.ClassResearcher, "network-research", 1},
		{"slow survey of notices", nil, window(telemetry.KindUnknown, survey(30*time.Minute, "/", browser)...), impound.ClassResearcher, "researcher-survey", 1},
		{"told by the operator", &telemetry.Classifier{Agents: map[string]impound.Class{"ourprobe": impound.ClassResearcher}}, window(telemetry.KindUnknown, step{path: "/", agent: "OurProbe curl/8"}), impound.ClassResearcher, "agent-research", 1},

		{"DNS", nil, window(telemetry.KindAccess, step{edit: dns(1, "a.example")}), impound.ClassResolver, "dns", 1},
		{"DNS over TCP", nil, window(telemetry.KindAccess, step{edit: func(e *impound.Event) { dns(1, "a.example")(e); e.Proto = impound.ProtoDNST }}), impound.ClassResolver, "dns", 1},
		{"DNS ANY", nil, window(telemetry.KindAccess, step{edit: dns(255, "a.example")}), impound.ClassScanner, "dns-probe", 1},
		{"DNS for a name that isn't ours", nil, window(telemetry.KindAccess, step{edit: dns(1, "")}), impound.ClassResolver, "dns-outside", 0.7},
		{"no DNS at all", nil, window(telemetry.KindAccess, step{edit: func(e *impound.Event) { dns(0, "")(e); e.Outcome = "malformed" }}), impound.ClassScanner, "dns-malformed", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			vs := c.cl.Classify(c.w)
			v := vs[len(vs)-1]
			if v.Class != c.want {
				t.Errorf("%s (%.2f), want %s\n%+v", v.Class, v.Confidence, c.want, v.Reasons)
			}
			if !slices.ContainsFunc(v.Reasons, func(r impound.Reason) bool { return r.Code == c.code }) {
				t.Errorf("no reason %s in %+v", c.code, v.Reasons)
			}
			if v.Confidence >= c.below {
				t.Errorf("confidence %.2f, want below %.2f", v.Confidence, c.below)
			}
		})
	}
}

// One address, several things: a scanner's probe beside a person's browser,
// as behind a carrier's NAT.
func TestMixedSource(t *testing.T) {
	w := window(telemetry.KindAccess, step{path: lure, agent: browser}, step{after: time.Hour, path: "/", agent: "curl/8"})
	vs := (*telemetry.Classifier)(nil).Classify(w)
	if vs[0].Class != impound.ClassVictim || vs[1].Class != impound.ClassScanner {
		t.Fatalf("%+v", vs)
	}
	for _, v := range vs {
		if !slices.ContainsFunc(v.Reasons, func(r impound.Reason) bool { return r.Code == "source-mixed" }) {
			t.Errorf("not said: %+v", v.Reasons)
		}
	}
	alone := (*telemetry.Classifier)(nil).Classify(window(telemetry.KindAccess, step{path: lure, agent: browser}))
	if vs[0].Confidence >= alone[0].Confidence {
		t.Errorf("as sure as alone: %.2f", vs[0].Confidence)
	}
}

// What must hold for whatever a stranger sends.
func TestClassifyProperties(t *testing.T) {
	kinds := []telemetry.NetworkKind{telemetry.KindUnknown, telemetry.KindAccess, telemetry.KindHosting, telemetry.KindMailSecurity, telemetry.KindResearch, telemetry.KindScanner, telemetry.KindTor}
	protos := []impound.Proto{impound.ProtoDNS, impound.ProtoDNST, impound.ProtoHTTP, impound.ProtoTLS, impound.ProtoSMTP, impound.ProtoTCP, "odd"}
	rapid.Check(t, func(rt *rapid.T) {
		w := telemetry.Window{Kind: rapid.SampledFrom(kinds).Draw(rt, "kind"), Truncated: rapid.Bool().Draw(rt, "truncated")}
		at := telemetrytest.T0
		for i := range rapid.IntRange(0, 12).Draw(rt, "n") {
			at = at.Add(time.Duration(rapid.IntRange(0, 4000).Draw(rt, "s")) * time.Second)
			e := impound.Event{Sensor: "s", Seq: uint64(i), At: at, Proto: rapid.SampledFrom(protos).Draw(rt, "proto"),
				Zone:      rapid.SampledFrom([]string{"", "a.example", "b.example", "c.example", "d.example", "e.example"}).Draw(rt, "zone"),
				Path:      rapid.OneOf(rapid.SampledFrom([]string{"/", lure, "/.env", "/favicon.ico", ""}), rapid.String()).Draw(rt, "path"),
				Method:    rapid.SampledFrom([]string{"", "GET", "HEAD", "POST"}).Draw(rt, "method"),
				UserAgent: rapid.OneOf(rapid.SampledFrom([]string{browser, "", "curl/8", "Mimecast"}), rapid.String()).Draw(rt, "ua")}
			if rapid.Bool().Draw(rt, "src") {
				e.Src = netip.MustParseAddrPort("198.51.100.7:4000")
			}
			w.Events = append(w.Events, e)
		}
		vs := (&telemetry.Classifier{}).Classify(w)
		if d := cmp.Diff(vs, (&telemetry.Classifier{}).Classify(w)); d != "" {
			rt.Fatal("not the same twice: ", d)
		}
		for i, v := range vs {
			e := w.Events[i]
			if v.Class == "" || len(v.Reasons) == 0 || v.Confidence < 0 || v.Confidence > 1 || math.IsNaN(v.Confidence) {
				rt.Fatalf("%+v of %+v", v, e)
			}
			if v.Class != impound.ClassVictim {
				continue
			}
			if (e.Proto != impound.ProtoHTTP && e.Proto != impound.ProtoTLS) || e.Method == "" || !e.Src.IsValid() {
				rt.Fatalf("a victim without an HTTP request: %+v", e)
			}
			if v.Confidence < 0.5 {
				rt.Fatalf("a victim with confidence %.2f", v.Confidence)
			}
			strong := slices.ContainsFunc(v.Reasons, func(r impound.Reason) bool {
				return slices.Contains([]string{"lure-known", "lure-path", "form-sent", "from-webmail"}, r.Code)
			})
			if !strong {
				rt.Fatalf("a victim without a strong sign: %+v", v)
			}
		}
	})
}

func TestCut(t *testing.T) {
	full := telemetrytest.Event(1, telemetrytest.T0, "198.51.100.7", "a.example", "/x/dXNlckBleGFtcGxlLm9yZw==/y?token=SECRET#f", browser)
	full.Referer, full.FromDomain, full.LureHash = "https://user:pw@mail.example/inbox?id=SECRET", "user@example.org", "h"
	got := telemetry.Cut(full)
	if got.Path != "/x/{mail}/y" || got.Referer != "mail.example" || got.FromDomain != "example.org" || got.LureHash != "" {
		t.Errorf("%+v", got)
	}
	for in, want := range map[string]string{
		"/user@example.org/a": "/{mail}/a", "/user%40example.org": "/{mail}", "/a%2540b": "/{mail}", "/plain/path.html": "/plain/path.html", "": "", "/" + lure: "/" + lure, "/dXNlckBleGFtcGxlLm9yZw": "/{mail}",
	} {
		if got := telemetry.CleanPath(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	count := full
	count.Capture, count.Name, count.Zone, count.QType = impound.CaptureCount, "token.a.example", "a.example", 1
	want := impound.Event{Sensor: "s1", Seq: 1, At: telemetrytest.T0, Proto: impound.ProtoHTTP, Name: "a.example", Zone: "a.example", Order: "O-1", Capture: impound.CaptureCount, Outcome: "answered"}
	if d := cmp.Diff(want, telemetry.Cut(count), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
		t.Error(d)
	}
	odd := full
	odd.Capture = "everything"
	if got := telemetry.Cut(odd); got.Src.IsValid() || got.Path != "" || got.Capture != impound.CaptureCount {
		t.Errorf("an unknown level kept %+v", got)
	}
}

func FuzzCut(f *testing.F) {
	f.Add("/a?b=c", "UA", "https://u:p@h/x?y", "a@b.example", "lure")
	f.Add("/dXNlckBleGFtcGxlLm9yZw==", "\xff\x00", "@", "@@", "count")
	f.Fuzz(func(t *testing.T, path, ua, ref, from, level string) {
		e := impound.Event{Sensor: "s", At: telemetrytest.T0, Path: path, UserAgent: ua, Referer: ref, FromDomain: from, Capture: impound.CaptureLevel(level), Src: netip.MustParseAddrPort("192.0.2.1:1")}
		got := telemetry.Cut(e)
		for _, s := range []string{got.Path, got.Referer, got.FromDomain} {
			if slices.ContainsFunc([]byte(s), func(b byte) bool { return b == '?' || b == '#' }) && s != got.FromDomain {
				t.Errorf("a query is left: %q", s)
			}
		}
		if d := cmp.Diff(got, telemetry.Cut(got), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
			t.Error("cutting twice differs: ", d)
		}
	})
}
