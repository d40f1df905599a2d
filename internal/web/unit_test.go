package web

import (
	"context"
	"math"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	impound "github.com/impound/impound"
	"github.com/impound/impound/internal/plot"
)

func TestGuard(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "=1+1": "'=1+1", "+49": "'+49", "-1": "'-1", "@SUM": "'@SUM", "\tx": "'\tx", "\r=x": "'\r=x", " =x": "' =x", "＝x": "'＝x", "a=b": "a=b",
		"\ufeff=x": "'\ufeff=x", "|cmd": "'|cmd", "%0A": "'%0A", "\n": "'\n",
	} {
		if got := guard(in); got != want {
			t.Errorf("guard(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzGuard(f *testing.F) {
	for _, s := range []string{"=1", " \t=1", "\u3000＝1", "ok", "'=1", "\xff=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g := guard(s)
		if strings.TrimPrefix(g, "'") != s && g != s {
			t.Fatalf("guard(%q) = %q: more than a quote was changed", s, g)
		}
		if r := strings.TrimSpace(g); r != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(r)[0]) {
			t.Fatalf("guard(%q) = %q: still a formula", s, g)
		}
	})
}

// Whatever the query string, the filters are refused with an invalid error or
// hold only what they may, and write back to themselves.
func FuzzFilters(f *testing.F) {
	for _, s := range []string{"", "class=victim", "case=a&case=b", "zone=outlook-verify[.]net", "zone=%FF", "limit=1&offset=9", "limit=-1", "proto=dns&class=", "type=intent&order=x", "name=*.example.org", "format=csv", "class=%3Cscript%3E"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		if c, err := parseContacts(q); err != nil {
			if impound.KindOf(err) != impound.KindInvalid {
				t.Fatalf("%q: error of kind %s: %v", raw, impound.KindOf(err), err)
			}
		} else {
			if c.Limit < 1 || c.Limit > exportRows || c.Offset < 0 {
				t.Fatalf("%q: %+v", raw, c)
			}
			again, err := parseContacts(c.encode())
			if err != nil {
				t.Fatalf("%q: its own words are refused: %v", raw, err)
			}
			if diff := cmp.Diff(c, again, cmp.AllowUnexported(impound.Name{})); diff != "" {
				t.Fatalf("%q: %s", raw, diff)
			}
		}
		if l, err := parseLog(q); err != nil {
			if impound.KindOf(err) != impound.KindInvalid {
				t.Fatalf("%q: error of kind %s: %v", raw, impound.KindOf(err), err)
			}
		} else if again, err := parseLog(l.encode()); err != nil || !cmp.Equal(l, again, cmp.AllowUnexported(impound.Name{})) {
			t.Fatalf("%q: %+v became %+v, %v", raw, l, again, err)
		}
	})
}

func FuzzSafeText(f *testing.F) {
	for _, s := range []string{"see http://evil.example/x", "/a/user@host.example/b", "ns1.a.example, ns2.b.example.", "order.yaml", "10.0.0.1", "user%40x.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if out := defangHosts(s); strings.Contains(out, "http://") || strings.Contains(out, "https://") {
			t.Fatalf("defangHosts(%q) = %q", s, out)
		}
		if out := safePath(s); regexp.MustCompile(`[a-zA-Z0-9](@|%40)`).MatchString(out) {
			t.Fatalf("safePath(%q) = %q", s, out)
		}
	})
}

func TestDefangHosts(t *testing.T) {
	for in, want := range map[string]string{
		"to ns1.sinkhole.example, ns2.sinkhole.example.": "to ns1[.]sinkhole[.]example, ns2[.]sinkhole[.]example.",
		"https://rdap.example/domain/x-y.net":            "hxxps://rdap[.]example/domain/x-y[.]net",
		"file order.yaml":                                "file order.yaml", "Mozilla/5.0 (X11)": "Mozilla/5.0 (X11)", "127.0.0.1:53": "127.0.0.1:53", "done.": "done.", "e.g. this": "e.g. this",
		"xn--google-yri.com": "xn--google-yri[.]com", "outlook-verify[.]net": "outlook-verify[.]net",
	} {
		if got := defangHosts(in); got != want {
			t.Errorf("defangHosts(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.77:1": "192.0.2.0/24", "[2001:db8:1:2:3::4]:5": "2001:db8:1::/48", "[::ffff:192.0.2.9]:5": "192.0.2.0/24", "[fe80::1%eth0]:5": "fe80::/48",
	} {
		if got := cut(netip.MustParseAddrPort(in)); got != want {
			t.Errorf("cut(%s) = %s, want %s", in, got, want)
		}
	}
	if got := cut(netip.AddrPort{}); got != "" {
		t.Errorf("no address is cut to %q", got)
	}
}

func TestWords(t *testing.T) {
	n := names[0]
	for _, c := range []struct {
		e    impound.Entry
		want string
	}{
		{impound.Entry{Type: impound.EntryDecision, What: "order.sign"}, "sign the order"},
		{impound.Entry{Type: impound.EntryIntent, What: "seize.update", Name: n}, "about to change the name at the registry (outlook-verify[.]net)"},
		{impound.Entry{Type: impound.EntryResult, What: "seize.update", Name: n, Detail: map[string]string{"error": "2304 status prohibits"}}, "change the name at the registry: 2304 status prohibits (outlook-verify[.]net)"},
		{impound.Entry{Type: impound.EntrySystem, What: "never.heard-of"}, "never: heard of"},
		{impound.Entry{Type: impound.EntrySystem}, "system"},
		{impound.Entry{Type: impound.EntrySystem, What: "serve.start", Detail: map[string]string{"text": "on sink.example"}}, "start serving: on sink[.]example"},
		{impound.Entry{Type: impound.EntryDecision, What: "case.state", Name: n, Detail: map[string]string{"from": "seized", "to": "sinkholed"}}, "state seized → sinkholed (outlook-verify[.]net)"},
		{impound.Entry{Type: impound.EntryArtefact, What: "x", Artefact: &impound.Artefact{Kind: "rdap", Name: n, Source: "rdap.example"}}, "captured rdap of outlook-verify[.]net from rdap[.]example"},
		{impound.Entry{Type: impound.EntryArtefact, What: "evidence.torn"}, "keep a torn line of the log"},
	} {
		if got := words(c.e); got != c.want {
			t.Errorf("%+v: %q, want %q", c.e, got, c.want)
		}
	}
}

// The page says what a person reads; the export has all of it.
func TestBrief(t *testing.T) {
	h := "sha256:" + strings.Repeat("ab", 32)
	e := impound.Entry{Type: impound.EntryResult, What: "seize.update", Detail: map[string]string{"outcome": "done", "answer": "1000 command completed", "frames": h + " " + h, "hash": h, "plan": "P-1", "other": h + " and " + h, "note": strings.Repeat("ö", 300)}}
	want := []string{"note: " + strings.Repeat("ö", 240) + "…", "other: sha256:abababababab… and sha256:abababababab…", "answer: 1000 command completed · plan: P-1"}
	if diff := cmp.Diff(want, brief(e)); diff != "" {
		t.Error(diff)
	}
	if got := details(e); len(got) != 7 || got[1] != "frames: "+h+" "+h {
		t.Errorf("the export lost something: %q", got)
	}
	if got := brief(impound.Entry{Detail: map[string]string{"sig": "x", "key": "y"}}); len(got) != 1 || got[0] != "2 particulars in the export" {
		t.Errorf("%q", got)
	}
}

func TestMainReasons(t *testing.T) {
	rs := []impound.Reason{{Text: "a", Weight: 0.1}, {Text: "b", Weight: -0.9}, {Text: "c", Weight: 0.5}, {Text: "d", Weight: 0.2}}
	c := mainReasons(rs)
	if diff := cmp.Diff([]string{"b", "c"}, c.Lines()); diff != "" || c.Sub != "and 2 more" {
		t.Errorf("%s %q", diff, c.Sub)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, c.Value); diff != "" {
		t.Errorf("the export lost or moved some: %s", diff)
	}
	if c := mainReasons(rs[:3]); len(c.Lines()) != 3 || c.Sub != "" {
		t.Errorf("three fit: %q", c.Lines())
	}
}

func TestBriefIsShown(t *testing.T) {
	h := handler(newFixture())
	if body := get(t, h, "/log?type=result").Body.String(); strings.Contains(body, "frames: sha256:") || !strings.Contains(body, "answer: 1000 command completed") {
		t.Error("the page shows what only a machine reads, or not what a person does")
	}
	if body := get(t, h, "/log?type=result&format=csv").Body.String(); !strings.Contains(body, "frames: sha256:") {
		t.Error("the export doesn't hold it all")
	}
}

// A request asks each question once; polls share answers for a moment, a page
// that is loaded anew never takes an old one.
func TestMemo(t *testing.T) {
	d := &counting{fixture: newFixture()}
	h := New(Config{Desk: d, Now: func() time.Time { return now }})
	get(t, h, "/cases/PHOS-2019")
	if n := d.orders.Load(); n != 1 {
		t.Errorf("one page asked %d times for the orders", n)
	}
	get(t, h, "/cases/PHOS-2019")
	if n := d.orders.Load(); n != 2 {
		t.Errorf("a page loaded anew took an old answer: %d", n)
	}
	for range 5 {
		get(t, h, "/cases/PHOS-2019?live=1")
	}
	if n := d.orders.Load(); n > 4 { // a slow machine may take longer than the moment
		t.Errorf("five polls asked %d times more", n-2)
	}
	d.fixture.orders[0].InForce = false
	if body := get(t, h, "/orders").Body.String(); strings.Contains(body, "in force, 9 days left") {
		t.Error("a lapsed order is shown in force")
	}
}

type counting struct {
	*fixture
	orders atomic.Int32
}

func (c *counting) Orders(ctx context.Context, caseID string) ([]OrderView, error) {
	c.orders.Add(1)
	out, err := c.fixture.Orders(ctx, caseID)
	return slices.Clone(out), err
}

func TestAttention(t *testing.T) {
	f := newFixture()
	says := func(orders []OrderView, plans []PlanView, sensors []SensorView) string {
		var out []string
		for _, a := range attention(now, nil, orders, plans, 0, sensors, f.alarms) {
			out = append(out, a.Tone+" "+a.Text)
		}
		return strings.Join(out, "\n")
	}
	o := f.orders[0]
	for _, c := range []struct {
		left time.Duration
		want string
	}{
		{20 * 24 * time.Hour, ""}, {13 * 24 * time.Hour, "warn order PHOS-WDC-1 lapses in 13 days"}, {3 * time.Hour, "bad order PHOS-WDC-1 lapses in 3 h: its names will no longer be answered"},
	} {
		o.Until = now.Add(c.left)
		if got := says([]OrderView{o}, nil, nil); got != c.want {
			t.Errorf("%v left: %q, want %q", c.left, got, c.want)
		}
	}
	o.InForce, o.Until = false, now.Add(-time.Hour)
	if got := says([]OrderView{o}, nil, nil); got != "" {
		t.Errorf("a lapsed order still calls: %q", got)
	}
	p := f.plans[0]
	p.Names = append([]PlanName(nil), p.Names...)
	p.Names[0].RDAP.Verdict, p.Names[0].Parent.Verdict = Otherwise, Otherwise
	if got, want := says(nil, []PlanView{p}, nil), "bad plan P-1: 1 name is not as ordered (outlook-verify[.]net)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p = PlanView{ID: "P-2", State: "approved", Needed: 2, Names: []PlanName{{Name: names[0], Result: "failed: EPP 2303"}, {Name: names[1], Result: "done"}}}
	if got, want := says(nil, []PlanView{p}, nil), "bad plan P-2: 1 name failed (outlook-verify[.]net)\ninfo plan P-2 is approved and not yet applied"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p = PlanView{ID: "P-2", State: "proposed", Needed: 2, Approvals: []Approval{{"a", now}}}
	if got, want := says(nil, []PlanView{p}, nil), "info plan P-2 waits for approval: 1 of 2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := says([]OrderView{f.orders[1]}, nil, []SensorView{{ID: "s", Missing: 3}}), "bad sensor s: 3 events never came\nwarn order DRAFT-2 is no mandate yet: signed by 1 of 2 people"; got != want {
		t.Errorf("worst not first: %q, want %q", got, want)
	}
	f.alarms = []AlarmView{
		{Order: "O-1", Kind: "expiry", Text: "the registration of outlook-verify[.]net ends on 2026-12-01", Cure: "renew"},
		{Order: "O-1", Kind: "drift", Text: "outlook-verify[.]net does not show order O-1: parent: x", Cmd: "impound seize plan O-1"},
		{Order: "O-1", Kind: "drift", Name: names[1], Text: "yahoo-verify[.]net does not show order O-1"},
		{Order: "O-2", Kind: "drift", Text: "else[.]net does not show order O-2"},
	}
	if got, want := says(nil, nil, nil), "bad custody: outlook-verify[.]net does not show order O-1: parent: x, and 1 name like it\nbad custody: else[.]net does not show order O-2\nwarn custody: the registration of outlook-verify[.]net ends on 2026-12-01"; got != want {
		t.Errorf("alarms: %q, want %q", got, want)
	}
	f.alarms = []AlarmView{{Order: "O-1", Kind: "contest", Text: "claim CL-1"}, {Order: "O-1", Kind: "contest", Text: "claim CL-2"}}
	for i := len(f.alarms); i < fewNames+2; i++ {
		f.alarms = append(f.alarms, AlarmView{Kind: "contest", Text: "claim"})
	}
	if got := says(nil, nil, nil); !strings.HasPrefix(got, "bad claim CL-1\nbad claim CL-2\n") || !strings.Contains(got, "bad 2 more claims by the public form wait") {
		t.Errorf("each claim of somebody outside: %q", got)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"PHOS-2019": "PHOS-2019", "": "''", "a b": "'a b'", "x'; rm -rf /": `'x'\''; rm -rf /'`, "a\x1b[2Jb": "'a[2Jb'", "$(id)": "'$(id)'"} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestCLIFilter(t *testing.T) {
	q := ContactQuery{Case: "PHOS 1", Class: impound.ClassVictim, Zone: names[0], Proto: impound.ProtoDNS, Limit: 7, Offset: 3}.encode()
	if got, want := cliFilter([]string{"contacts", "list"}, q), "impound contacts list --case 'PHOS 1' --class victim --name 'outlook-verify[.]net'"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestWindow(t *testing.T) {
	for age, want := range map[time.Duration]string{0: "15m", 10 * time.Minute: "15m", 16 * time.Minute: "1h", 40 * time.Hour: "7d", 10000 * time.Hour: "1y", -time.Hour: "15m"} {
		w, err := pickWindow(url.Values{}, now.Add(-age), now)
		if err != nil || w.Key != want {
			t.Errorf("age %v: %s, %v; want %s", age, w.Key, err, want)
		}
	}
	for _, w := range windows {
		from, until := w.bounds(now)
		if w.Step%time.Minute != 0 || from.Unix()%int64(w.Step/time.Second) != 0 || until.Sub(from) != w.Len || until.Before(now) || w.Len%w.Step != 0 || w.Len/w.Step > 80 {
			t.Errorf("%s: %v to %v in steps of %v", w.Key, from, until, w.Step)
		}
	}
}

// Text has a contrast of 4.5 and shapes of 3 on their ground (WCAG 2.2 AA), in
// light and in dark.
func TestContrast(t *testing.T) {
	b, err := os.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	roots := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(b), -1)
	if len(roots) < 2 {
		t.Fatal("no colours found")
	}
	for i, mode := range []string{"light", "dark"} {
		c := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6})`).FindAllStringSubmatch(roots[i][1], -1) {
			c[m[1]] = m[2]
		}
		need := func(fore, back string, min float64) {
			if c[fore] == "" || c[back] == "" {
				t.Errorf("%s: no colour %s or %s", mode, fore, back)
			} else if r := contrast(c[fore], c[back]); r < min {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", mode, fore, back, r, min)
			}
		}
		for _, back := range []string{"bg", "panel"} {
			for _, fore := range []string{"text", "dim", "accent"} {
				need(fore, back, 4.5)
			}
			for _, k := range classes {
				need("k-"+string(k), back, 3)
			}
		}
		for _, l := range plot.ContactLayers {
			if mode == "light" && c["k-"+l.Key] != l.Color {
				t.Errorf("%s is %s in the page and %s in the plot", l.Key, c["k-"+l.Key], l.Color)
			}
		}
		for _, tone := range []string{"good", "warn", "bad", "info"} {
			need(tone, tone+"-bg", 4.5)
		}
		need("text", "plain-bg", 4.5)
		need("text", "fresh", 4.5)
	}
}

func contrast(a, b string) float64 {
	la, lb := luminance(a), luminance(b)
	return (math.Max(la, lb) + 0.05) / (math.Min(la, lb) + 0.05)
}

func luminance(hex string) float64 {
	hex = hex[1:]
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, _ := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		v := float64(n) / 255
		if v <= 0.03928 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

// The dot that ends a sentence is no part of a name, and what people wrote into
// a task or a party is defanged like everything else.
func TestTexts(t *testing.T) {
	for in, want := range map[string]string{
		"Mail to university.example. Then wait.": "Mail to university[.]example. Then wait.",
		"see https://a.example/x, ns1.b.example": "see hxxps://a[.]example/x, ns1[.]b[.]example",
		"order.yaml":                             "order.yaml",
	} {
		if got := defangHosts(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	s := &server{now: time.Now}
	c := impound.Case{ID: "C-1", Tasks: []impound.Task{{ID: "T1", Title: "renew verification-live.com"}}, Parties: []impound.CaseParty{{ID: "P1", Name: "owner of outlook-verify.net"}}}
	if got := s.taskTable(c).Rows[0].Cells[1].Value; got != "renew verification-live[.]com" {
		t.Errorf("the task says %v", got)
	}
	if got := s.partyTable(c).Rows[0].Cells[2].Value; got != "owner of outlook-verify[.]net" {
		t.Errorf("the party says %v", got)
	}
	e := impound.Entry{What: "seize.change", Detail: map[string]string{"updated": "0001-01-01T00:00:00Z", "signatures": `[{"key":"AAAA"}]`, "step": "1"}}
	if got := strings.Join(brief(e), "|"); got != "step: 1" {
		t.Errorf("the log's line says %q", got)
	}
}

type reasoned struct{ Desk }

func (reasoned) Verdicts(context.Context, string, impound.Name) ([]impound.GateVerdict, error) {
	return []impound.GateVerdict{{Gate: "G3-capacity", Outcome: impound.GateUnknown, Reason: "nobody measured the spare sinkhole"}}, nil
}

func (reasoned) Alarms(context.Context) ([]AlarmView, error) {
	return []AlarmView{{Order: "PHOS-WDC-1", Text: `rdap: no answer: Get "http://127.0.0.1:1/domain/verification-live.com": refused`}}, nil
}

// What another program said of a failure is defanged too.
func TestAlarmsAreDefanged(t *testing.T) {
	f := newFixture()
	h := New(Config{Desk: reasoned{f}, Addr: "127.0.0.1:8080", Version: "test", Now: func() time.Time { return f.now }})
	body := get(t, h, "/").Body.String()
	if !strings.Contains(body, "/domain/verification-live[.]com") || strings.Contains(body, "verification-live.com&#34;") || strings.Contains(body, "http://127.0.0.1:1") {
		t.Error("the alarm is not on the overview, or not defanged")
	}
}

// The page of a name says why a gate said what it did.
func TestGateReasons(t *testing.T) {
	f := newFixture()
	h := New(Config{Desk: reasoned{f}, Addr: "127.0.0.1:8080", Version: "test", Now: func() time.Time { return f.now }})
	w := get(t, h, "/cases/PHOS-2019/names/outlook-verify.net")
	if !strings.Contains(w.Body.String(), "nobody measured the spare sinkhole") {
		t.Errorf("%d: the gate's reason is not on the page", w.Code)
	}
}

// A plan's page says all that its approvers have to think of: until when it is good,
// what is made first, and what warns, once where it is the same for every name.
func TestPlanPageTellsWhatWarns(t *testing.T) {
	f := newFixture()
	f.plans[0].By, f.plans[0].Expires = "olga", f.plans[0].Made.Add(24*time.Hour)
	f.plans[0].Warnings = []string{"G3-capacity warns: nobody says what the sinkhole bears"}
	f.plans[0].Hosts = []PlanHost{{Provider: "practice registry (EPP)", Diff: []string{"+ host ns1.sinkhole.example"}}}
	f.plans[0].Names[1].Diff = append(f.plans[0].Names[1].Diff, "! G9-age warns: registered after <its> first sighting")
	w := get(t, handler(f), "/plans/P-1")
	for want, times := range map[string]int{
		"by olga": 1, "Good until": 1, "<li>G3-capacity warns: nobody says what the sinkhole bears</li>": 1,
		`<li class="add">&#43; host ns1[.]sinkhole[.]example</li>`:                               1,
		`<li class="warn">! G9-age warns: registered after &lt;its&gt; first sighting</li></ul>`: 1,
	} {
		if n := strings.Count(w.Body.String(), want); n != times {
			t.Errorf("%q stands %d times on the page, want %d", want, n, times)
		}
	}
}
