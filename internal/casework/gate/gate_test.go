package gate

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func name(s string) impound.Name { return impound.MustName(s) }

func order(n string) *impound.Order {
	return &impound.Order{ID: "O-1", From: t0.Add(-time.Hour), Until: t0.Add(time.Hour),
		Acts:       impound.Acts{Sinkhole: true, Nameservers: []impound.Name{name("ns1.a.example"), name("ns2.b.example")}},
		Sinkhole:   impound.SinkTerms{Capture: impound.CaptureCount, RetentionDays: 1},
		Appendices: []impound.Appendix{{ID: "A", Count: 1, Names: []impound.OrderName{{Name: name(n)}}}}}
}

// fine is a name that no gate has anything against.
func fine() Input {
	return Input{Name: name("outlook-verify.net"), Now: t0, Order: order("outlook-verify.net"), InCase: true, Evidence: 2,
		FirstSeen: t0.AddDate(0, -1, 0), Created: t0.AddDate(0, -3, 0), CreatedAsOf: t0, ProviderContacted: t0,
		NS: []impound.Name{name("ns1.hosting.example")}, NSAsOf: t0}
}

func TestSharedSuffix(t *testing.T) {
	for n, want := range map[string]impound.Outcome{
		// mooo.com 2011 and No-IP 2014
		"mooo.com": impound.GateBlock, "evil.mooo.com": impound.GateBlock, "ddns.net": impound.GateBlock, "zapto.org": impound.GateBlock,
		"blogspot.com": impound.GateBlock, "evil.blogspot.com": impound.GateBlock, "azurewebsites.net": impound.GateBlock, "duckdns.org": impound.GateBlock,
		"google.com": impound.GateBlock, "mail.google.com": impound.GateBlock, "github.io": impound.GateBlock, "bit.ly": impound.GateBlock,
		"co.uk": impound.GateBlock, "com": impound.GateBlock, "amazonaws.com": impound.GateBlock, "s3.amazonaws.com": impound.GateBlock,
		// no list of ours holds it: the public suffix list has rules below it
		"nic.in": impound.GateBlock, "0emm.com": impound.GateBlock,
		// lookalikes are nobody's service
		"outlook-verify.net": impound.GatePass, "google-verify.com": impound.GatePass, "mooo.co": impound.GatePass, "amooo.com": impound.GatePass,
		"xn--google-yri.com": impound.GatePass, "verification-live.com": impound.GatePass,
	} {
		vs := Offline(name(n), nil)
		if vs[0].Gate != G1 || vs[0].Outcome != want || vs[0].Reason == "" || vs[0].AsOf.IsZero() {
			t.Errorf("%s: %+v", n, vs[0])
		}
		if blocked := len(Blocking(vs)) > 0; blocked != (want != impound.GatePass) {
			t.Errorf("%s: blocked %v", n, blocked)
		}
	}
	if vs := Offline(impound.Name{}, nil); len(Blocking(vs)) == 0 {
		t.Error("no name passes")
	}
}

func TestGates(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Input)
		gate   string
		want   impound.Outcome
		words  string
	}{
		{"fine", func(*Input) {}, G1, impound.GatePass, ""},
		{"provider never asked", func(in *Input) { in.ProviderContacted = time.Time{} }, G2, impound.GateUnknown, "no record"},
		{"citadel: another's sinkhole", func(in *Input) { in.NS = []impound.Name{name("ns102a.microsoftinternetsafety.net")} }, G5, impound.GateBlock, "agree with them"},
		{"sinkhole by its header", func(in *Input) {
			in.HTTP = &HTTPSummary{Headers: map[string]string{"x-sinkhole": "malware"}, At: t0}
		}, G5, impound.GateBlock, "x-sinkhole"},
		{"sinkhole by its server", func(in *Input) { in.HTTP = &HTTPSummary{Server: "malware-sinkhole", At: t0} }, G5, impound.GateBlock, "Server"},
		{"seized already", func(in *Input) { in.HTTP = &HTTPSummary{Title: "This Domain Has Been Seized", At: t0} }, G5, impound.GateBlock, "title"},
		{"name servers unknown", func(in *Input) { in.NS, in.NSAsOf = nil, time.Time{} }, G5, impound.GateUnknown, "not looked up"},
		{"name servers unseen", func(in *Input) { in.NS, in.NSAsOf, in.NSWhy = nil, time.Time{}, "timeout" }, G5, impound.GateUnknown, "timeout"},
		{"held by somebody", func(in *Input) { in.NS = nil }, G5, impound.GateUnknown, "on hold"},
		{"parked", func(in *Input) { in.NS = []impound.Name{name("ns1.sedoparking.com")} }, G5, impound.GateWarn, "parking"},
		{"not in the case", func(in *Input) { in.InCase = false }, G6, impound.GateWarn, "doesn't hold"},
		{"no evidence", func(in *Input) { in.Evidence = 0 }, G6, impound.GateWarn, "capture"},
		{"no capture level", func(in *Input) { in.Order.Sinkhole = impound.SinkTerms{} }, G8, impound.GateBlock, "what may be recorded"},
		{"avalanche: twelve years old", func(in *Input) { in.Created = t0.AddDate(-12, 0, 0) }, G9, impound.GateBlock, "broken into"},
		{"just inside", func(in *Input) { in.Created = in.FirstSeen.Add(-MaxAgeBeforeSighting) }, G9, impound.GatePass, "730 days"},
		{"just outside", func(in *Input) { in.Created = in.FirstSeen.Add(-MaxAgeBeforeSighting - time.Second) }, G9, impound.GateBlock, "730 days"},
		{"registered afterwards", func(in *Input) { in.Created = in.FirstSeen.AddDate(0, 0, 2) }, G9, impound.GateWarn, "anew"},
		{"registration unknown", func(in *Input) { in.Created = time.Time{} }, G9, impound.GateUnknown, "not known"},
		{"sighting unknown", func(in *Input) { in.FirstSeen = time.Time{} }, G9, impound.GateUnknown, "no first malicious sighting"},
		{"cirfu: one domain of name servers", func(in *Input) {
			in.Order.Acts.Nameservers = []impound.Name{name("ns1.a.example"), name("ns2.a.example")}
		}, G11, impound.GateWarn, "lapses"},
		{"no order", func(in *Input) { in.Order = nil }, G12, impound.GateUnknown, "no order"},
		{"lapsed", func(in *Input) { in.Now = t0.Add(2 * time.Hour) }, G12, impound.GateBlock, "lapsed"},
		{"lapsed by its parent", func(in *Input) { in.From, in.Until = t0.Add(-2*time.Hour), t0 }, G12, impound.GateBlock, "lapsed"},
		{"not yet", func(in *Input) { in.Now = t0.Add(-2 * time.Hour) }, G12, impound.GateWarn, "begins only"},
		{"not listed", func(in *Input) { in.Order = order("other.net") }, G12, impound.GateBlock, "no appendix"},
		{"no dates", func(in *Input) { in.Order.From, in.Order.Until = time.Time{}, time.Time{} }, G12, impound.GateUnknown, "no dates"},
		{"strontium: another actor's", func(in *Input) { in.Conflicts = []string{"PHOSPHORUS"} }, G15, impound.GateBlock, "PHOSPHORUS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := fine()
			c.change(&in)
			vs := Run(context.Background(), in, nil)
			if len(vs) != len(Gates) {
				t.Fatalf("%d verdicts", len(vs))
			}
			for i, v := range vs {
				if v.Gate != Gates[i] || v.Reason == "" {
					t.Errorf("verdict %d: %+v", i, v)
				}
				if v.Gate == c.gate && (v.Outcome != c.want || !strings.Contains(v.Reason, c.words)) {
					t.Errorf("want %s ...%s..., got %+v", c.want, c.words, v)
				}
			}
			bl := Blocking(vs)
			if stops := c.want == impound.GateBlock || c.want == impound.GateUnknown && c.gate == G12; stops != (len(bl) > 0) {
				t.Errorf("blocking: %+v", bl)
			}
			if c.gate != G12 && len(Blocking(vs, c.gate)) > 0 {
				t.Error("an override of the gate doesn't help")
			}
			if c.gate == G12 && len(Blocking(vs, c.gate)) != len(bl) {
				t.Error("G12 was overridden")
			}
		})
	}
}

func TestBlockingFailsClosed(t *testing.T) {
	for o, want := range map[impound.Outcome]bool{impound.GatePass: false, impound.GateWarn: false, impound.GateUnknown: true, impound.GateBlock: true, "": true, "passs": true} {
		if got := len(Blocking([]impound.GateVerdict{{Gate: G1, Outcome: o}})) > 0; got != want {
			t.Errorf("outcome %q: blocked %v", o, got)
		}
	}
}

func TestBuiltInFactsAreNames(t *testing.T) {
	for kind, text := range builtInShared {
		for _, s := range strings.Fields(text) {
			if n, err := impound.ParseName(s); err != nil || n.String() != s || n.Labels() < 2 {
				t.Errorf("%s: %q is no name in its canonical spelling: %v", kind, s, err)
			}
		}
	}
	for _, s := range append(strings.Fields(builtInSinkholes), strings.Fields(builtInParking)...) {
		if n, err := impound.ParseName(s); err != nil || n.String() != s {
			t.Errorf("%q: %v", s, err)
		}
	}
	// A name in two kinds would be blocked with a reason that changes from run
	// to run.
	seen := map[string]string{}
	for kind, text := range builtInShared {
		for _, s := range strings.Fields(text) {
			if k, dup := seen[s]; dup {
				t.Errorf("%s stands in %q and %q", s, k, kind)
			}
			seen[s] = kind
		}
	}
}

func write(t *testing.T, dir, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadLists(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "dynamic-dns.json", `{"name":"List of known dynamic DNS domains","type":"hostname","version":20250115,"list":[".dyn-one.test.example","DYN-TWO.example.","10.0.0.1","*"]}`)
	write(t, dir, "my-hosting.txt", "# ours\nhost-one.example # a comment\n\n")
	write(t, dir, "sinkholes.json", `{"name":"List of known sinkholes","type":"cidr","version":2,"list":["192.0.2.1"]}`)
	write(t, dir, "sinkhole-names.list", "sink.example\n")
	write(t, dir, "parking-domain.json", `{"type":"hostname","list":["parked-actor.example"]}`)
	write(t, dir, "vpn.json", `{"type":"hostname","list":["unrelated.example"]}`)
	write(t, dir, "notes.md", "nothing")
	l, err := LoadLists(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dynamic-dns.json", "my-hosting.txt", "sinkhole-names.list", "sinkholes.json"}, l.Files()); diff != "" {
		t.Error(diff)
	}
	for n, want := range map[string]impound.Outcome{
		"dyn-one.test.example": impound.GateBlock, "x.dyn-two.example": impound.GateBlock, "host-one.example": impound.GateBlock,
		"mooo.com": impound.GateBlock, "parked-actor.example": impound.GatePass, "unrelated.example": impound.GatePass,
	} {
		if v := sharedSuffix(Input{Name: name(n)}, l); v.Outcome != want {
			t.Errorf("%s: %+v", n, v)
		}
	}
	if v := sharedSuffix(Input{Name: name("dyn-two.example")}, l); v.Data != "dynamic-dns.json" || v.AsOf.Year() != 2025 {
		t.Errorf("source and age: %+v", v)
	}
	if v := alreadySinkholed(Input{Name: name("a.example"), NS: []impound.Name{name("ns1.sink.example")}}, l); v.Outcome != impound.GateBlock {
		t.Errorf("%+v", v)
	}
	if _, ok := BuiltIn().shared["host-one.example"]; ok {
		t.Error("loading changed the built-in facts")
	}
	write(t, dir, "broken.json", `{"list":`)
	if _, err := LoadLists(dir); impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), "broken.json") {
		t.Errorf("%v", err)
	}
	if _, err := LoadLists(filepath.Join(dir, "none")); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("%v", err)
	}
}

// TestTakedowns runs the gates over the names of real takedowns, where a folder
// with them is given: none that the actor registered may be blocked.
func TestTakedowns(t *testing.T) {
	dir := os.Getenv("IMPOUND_DATA")
	if dir == "" {
		t.Skip("set IMPOUND_DATA to a folder with takedowns/ and lists/")
	}
	lists := map[string]*Lists{"built in": BuiltIn()}
	if l, err := LoadLists(filepath.Join(dir, "lists")); err != nil {
		t.Error(err)
	} else {
		lists["with lists"] = l
	}
	files, _ := filepath.Glob(filepath.Join(dir, "takedowns", "*"))
	for kind, l := range lists {
		t.Logf("%s: %d names, %d files", kind, l.Len(), len(l.Files()))
		for _, f := range files {
			var all, blocked int
			var why []string
			for _, n := range read(t, f) {
				all++
				if bl := Blocking(Offline(n, l)); len(bl) > 0 {
					blocked++
					why = append(why, n.Defanged()+": "+bl[0].Reason+" ("+bl[0].Data+")")
				}
			}
			t.Logf("%s: %s: %d of %d blocked", kind, filepath.Base(f), blocked, all)
			for _, w := range why[:min(len(why), 12)] {
				t.Log("   ", w)
			}
			if strings.HasPrefix(filepath.Base(f), "PHOSPHORUS") && blocked > 0 {
				t.Errorf("%s: %d of the actor's own names are blocked", kind, blocked)
			}
		}
	}
}

func read(t *testing.T, path string) []impound.Name {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []impound.Name
	if strings.HasSuffix(path, ".csv") {
		rows, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows[1:] {
			if n, err := impound.ParseName(r[1]); err == nil {
				out = append(out, n)
			}
		}
		return out
	}
	for s := bufio.NewScanner(f); s.Scan(); {
		if n, err := impound.ParseName(s.Text()); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func BenchmarkRun100000(b *testing.B) {
	ns := make([]impound.Name, 100_000)
	for i := range ns {
		ns[i] = name(fmt.Sprintf("account-%d.service-verify.com", i))
	}
	l := BuiltIn()
	for b.Loop() {
		for _, n := range ns {
			in := fine()
			in.Name = n
			if len(Run(b.Context(), in, l)) == 0 {
				b.Fatal("no verdicts")
			}
		}
	}
}

func FuzzLoadLists(f *testing.F) {
	f.Add("x-sinkhole.json", []byte(`{"name":"x","type":"hostname","version":20250115,"list":[".a.example","*",""]}`))
	f.Add("dynamic.txt", []byte("a.example # x\n#\n\xff\n"))
	f.Add("top.list", []byte("com\n..\n"))
	f.Fuzz(func(t *testing.T, file string, data []byte) {
		if file != filepath.Base(file) || len(file) > 100 || strings.ContainsAny(file, "/\x00") || file == "." || file == ".." {
			return
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			return
		}
		l, err := LoadLists(dir)
		if err != nil {
			if impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), file) {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		if v := sharedSuffix(Input{Name: name("outlook-verify.net")}, l); v.Outcome == impound.GateBlock && !strings.Contains(strings.ToLower(string(data)), "verify") {
			t.Fatalf("%q blocks a name that it doesn't hold", data)
		}
		if v := sharedSuffix(Input{Name: name("mooo.com")}, l); v.Outcome != impound.GateBlock {
			t.Fatalf("%q took a built-in fact away", data)
		}
	})
}
