package share_test

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/share"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func opts() share.Options {
	return share.Options{Org: "Example CSIRT", Domain: "csirt.example", Now: func() time.Time { return t0 }}
}

func item(name string, tlp impound.TLP, state impound.DomainState) share.Item {
	return share.Item{Name: impound.MustName(name), Case: "C-1", TLP: tlp, State: state, FirstSeen: t0.Add(-48 * time.Hour), Updated: t0.Add(-time.Hour)}
}

var levels = []impound.TLP{impound.TLPClear, impound.TLPGreen, impound.TLPAmber, impound.TLPAmberStrict, impound.TLPRed}

func export(t testing.TB, f share.Format, c impound.TLP, items []share.Item, o share.Options) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := share.Export(&b, f, c, items, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestExport(t *testing.T) {
	items := []share.Item{
		item("yahoo-verify.net", impound.TLPGreen, impound.StateSinkholed),
		item("outlook-verify.net", impound.TLPAmber, impound.StateHeld),
		item("outlook-verify.net", impound.TLPClear, impound.StateHeld),
		item("xn--google-yri.com", impound.TLPClear, impound.StateSeized),
		item("secret.example", impound.TLPRed, impound.StateSeized),
		item("candidate.example", impound.TLPClear, impound.StateCandidate),
		item("blocked.example", impound.TLPClear, impound.StateBlocked),
		item("released.example", impound.TLPClear, impound.StateReleased),
	}
	sealed := item("sealed.example", impound.TLPClear, impound.StateSeized)
	sealed.SealedUntil = t0.Add(time.Hour)
	items = append(items, sealed)
	items[2].Case = "C-2"
	for f, want := range map[share.Format]string{
		share.FormatList:     "# TLP:AMBER\n# names taken over by court order or agreement, from Example CSIRT, 2026-11-21T12:00:00Z\noutlook-verify.net\nxn--google-yri.com\nyahoo-verify.net\n",
		share.FormatDefanged: "# TLP:AMBER\n# names taken over by court order or agreement, from Example CSIRT, 2026-11-21T12:00:00Z\noutlook-verify[.]net\nxn--google-yri[.]com\nyahoo-verify[.]net\n",
		share.FormatHosts:    "# TLP:AMBER\n# from Example CSIRT, 2026-11-21T12:00:00Z; a hosts file can't cover names below these\n0.0.0.0 outlook-verify.net\n:: outlook-verify.net\n0.0.0.0 xn--google-yri.com\n:: xn--google-yri.com\n0.0.0.0 yahoo-verify.net\n:: yahoo-verify.net\n",
		share.FormatRPZ:      "; TLP:AMBER\n; names taken over by court order or agreement, from Example CSIRT\n$TTL 300\n$ORIGIN rpz.impound.example.\n@ SOA localhost. hostmaster.localhost. 1795262400 3600 600 604800 300\n@ NS localhost.\noutlook-verify.net CNAME .\n*.outlook-verify.net CNAME .\nxn--google-yri.com CNAME .\n*.xn--google-yri.com CNAME .\nyahoo-verify.net CNAME .\n*.yahoo-verify.net CNAME .\n",
		share.FormatCSV:      "name,unicode,state,first_seen,updated,tlp,case\noutlook-verify.net,,held,2026-11-19T12:00:00Z,2026-11-21T11:00:00Z,clear," + opts().Ref("C-2") + "\noutlook-verify.net,,held,2026-11-19T12:00:00Z,2026-11-21T11:00:00Z,amber," + opts().Ref("C-1") + "\nxn--google-yri.com,goog" + "łe.com,seized,2026-11-19T12:00:00Z,2026-11-21T11:00:00Z,clear," + opts().Ref("C-1") + "\nyahoo-verify.net,,sinkholed,2026-11-19T12:00:00Z,2026-11-21T11:00:00Z,green," + opts().Ref("C-1") + "\n",
	} {
		got := export(t, f, impound.TLPAmber, items, opts())
		if f == share.FormatCSV { // the Unicode form is the name's business
			want = regexp.MustCompile(`com,[^,]+,seized`).ReplaceAllString(want, "com,"+impound.MustName("xn--google-yri.com").Unicode()+",seized")
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", f, d)
		}
	}
	_, n := share.Choose(items, impound.TLPAmber, opts())
	if d := cmp.Diff(share.Count{Written: 4, Above: 1, Sealed: 1, NotTaken: 3}, n); d != "" {
		t.Error(d)
	}
	var j struct {
		TLP   string
		Names []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(export(t, share.FormatJSON, impound.TLPGreen, items, opts())), &j); err != nil || j.TLP != "green" || len(j.Names) != 3 {
		t.Error(err, j)
	}
	for _, c := range []struct {
		f    share.Format
		clr  impound.TLP
		edit func(*share.Options)
	}{
		{"pdf", impound.TLPClear, nil},
		{share.FormatList, "white", nil},
		{share.FormatRPZ, impound.TLPClear, func(o *share.Options) { o.Origin = "a b" }},
		{share.FormatRPZ, impound.TLPClear, func(o *share.Options) { o.Action = "; evil" }},
		{share.FormatRPZ, impound.TLPClear, func(o *share.Options) { o.Origin = strings.Repeat("a.", 118) + "example" }},
	} {
		o := opts()
		if c.edit != nil {
			c.edit(&o)
		}
		if _, err := share.Export(io.Discard, c.f, c.clr, items, o); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%s %s: %v", c.f, c.clr, err)
		}
	}
}

// Whatever the items, no export tells a partner of a name that is above its
// clearance, sealed, or not taken over; and it holds every other one.
func TestNothingLeaks(t *testing.T) {
	states := []impound.DomainState{impound.StateCandidate, impound.StateBlocked, impound.StateOrdered, impound.StateSeized, impound.StateSinkholed, impound.StateHeld, impound.StateReleased, impound.StateContested, ""}
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		var items []share.Item
		may, mayNot := map[string]bool{}, map[string]bool{}
		clearance := rapid.SampledFrom(levels).Draw(rt, "clearance")
		for i := range rapid.IntRange(0, 12).Draw(rt, "n") {
			name := fmt.Sprintf("n%02d.example", rapid.IntRange(0, 8).Draw(rt, "name"))
			// A case's id may name the actor: it is in no export.
			it := share.Item{Name: impound.MustName(name), Case: "CASE" + name, TLP: rapid.SampledFrom(append(slices.Clone(levels), "", "white", "AMBER")).Draw(rt, "tlp"), State: rapid.SampledFrom(states).Draw(rt, "state"), Updated: t0.Add(time.Duration(i) * time.Second)}
			if rapid.Bool().Draw(rt, "sealed") {
				it.SealedUntil = t0.Add(time.Duration(rapid.IntRange(-1, 1).Draw(rt, "until")) * time.Second)
			}
			items = append(items, it)
			level := slices.Index(levels, it.TLP)
			if level < 0 {
				level = 4
			}
			if level <= slices.Index(levels, clearance) && !it.SealedUntil.After(t0) && slices.Contains([]impound.DomainState{impound.StateSeized, impound.StateSinkholed, impound.StateHeld}, it.State) {
				may[name] = true
			} else {
				mayNot[name] = true
			}
		}
		check := func(f, text string) {
			plain := strings.ReplaceAll(text, "[.]", ".")
			if strings.Contains(plain, "CASE") {
				rt.Fatalf("%s tells a case's id: %s", f, text)
			}
			for n := range mayNot {
				if !may[n] && (strings.Contains(plain, n) || strings.Contains(plain, strings.TrimSuffix(n, ".example"))) {
					rt.Fatalf("%s for %s holds %s:\n%s", f, clearance, n, text)
				}
				h := md5.Sum([]byte(n))
				if !may[n] && strings.Contains(plain, hex.EncodeToString(h[:])) {
					rt.Fatalf("%s for %s holds the hash of %s", f, clearance, n)
				}
			}
			for n := range may {
				if !strings.Contains(plain, n) {
					rt.Fatalf("%s for %s lacks %s:\n%s", f, clearance, n, text)
				}
			}
		}
		for _, f := range share.Formats {
			text := export(t, f, clearance, items, opts())
			if f == share.FormatMISP {
				text = unzip(t, text)
			}
			check(string(f), text)
		}
		// A folder that served a higher clearance, or earlier items, before.
		run++
		d := filepath.Join(dir, strconv.Itoa(run%3))
		if _, err := share.WriteFeed(d, clearance, items, opts()); err != nil {
			rt.Fatal(err)
		}
		var all strings.Builder
		files, _ := filepath.Glob(filepath.Join(d, "*"))
		hidden, _ := filepath.Glob(filepath.Join(d, ".*"))
		for _, p := range append(files, hidden...) {
			b, err := os.ReadFile(p)
			if err != nil {
				rt.Fatal(err)
			}
			all.Write(b)
		}
		check("feed", all.String())
	})
}

func unzip(t testing.TB, s string) string {
	z, err := zip.NewReader(strings.NewReader(s), int64(len(s)))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(&b, r)
		b.WriteString(f.Name + "\n")
	}
	return b.String()
}

func TestSTIX(t *testing.T) {
	items := []share.Item{item("outlook-verify.net", impound.TLPAmberStrict, impound.StateSinkholed), item("yahoo-verify.net", impound.TLPClear, impound.StateHeld)}
	text := export(t, share.FormatSTIX, impound.TLPRed, items, opts())
	type object map[string]any
	var b struct {
		Type, ID string
		Objects  []object
	}
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	ids := map[string]object{}
	idRule := regexp.MustCompile(`^[a-z][a-z0-9-]+--[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	timeRule := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	if b.Type != "bundle" || !idRule.MatchString(b.ID) {
		t.Error(b.Type, b.ID)
	}
	for _, o := range b.Objects {
		id := o["id"].(string)
		if !idRule.MatchString(id) || !strings.HasPrefix(id, o["type"].(string)+"--") || o["spec_version"] != "2.1" || ids[id] != nil {
			t.Errorf("%v", o)
		}
		ids[id] = o
		for k, v := range o {
			if s, ok := v.(string); ok && (k == "created" || k == "modified" || k == "valid_from") && !timeRule.MatchString(s) {
				t.Errorf("%s: %s", k, s)
			}
		}
		if m, ok := o["modified"].(string); ok && m < o["created"].(string) {
			t.Errorf("modified before created: %v", o)
		}
	}
	n := 0
	for _, o := range b.Objects {
		refs, _ := o["object_marking_refs"].([]any)
		if c, ok := o["created_by_ref"].(string); ok {
			refs = append(refs, c)
		}
		for _, r := range refs {
			if ids[r.(string)] == nil {
				t.Errorf("%s refers to %s, which is not in the bundle", o["id"], r)
			}
		}
		if o["type"] != "indicator" {
			continue
		}
		n++
		want := map[string]string{"[domain-name:value = 'outlook-verify.net']": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003", "[domain-name:value = 'yahoo-verify.net']": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"}[o["pattern"].(string)]
		if want == "" || fmt.Sprint(o["object_marking_refs"]) != "["+want+"]" || o["created_by_ref"] == nil || o["pattern_type"] != "stix" || o["valid_from"] == nil {
			t.Errorf("%v", o)
		}
	}
	if n != 2 {
		t.Errorf("%d indicators", n)
	}
	later := opts()
	later.Now = func() time.Time { return t0.Add(time.Hour) }
	if again := export(t, share.FormatSTIX, impound.TLPRed, []share.Item{items[1], items[0]}, later); again != text {
		t.Error("not the same an hour later: ", cmp.Diff(text, again))
	}
}

func TestMISPFeed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "feed")
	items := []share.Item{item("outlook-verify.net", impound.TLPGreen, impound.StateSinkholed), item("yahoo-verify.net", impound.TLPClear, impound.StateHeld), item("secret.example", impound.TLPRed, impound.StateHeld)}
	read := func() (map[string]map[string]any, map[string]map[string]any) {
		t.Helper()
		var man map[string]map[string]any
		b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &man); err != nil {
			t.Fatal(err)
		}
		events := map[string]map[string]any{}
		for uuid, m := range man {
			b, err := os.ReadFile(filepath.Join(dir, uuid+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var e map[string]map[string]any
			if err := json.Unmarshal(b, &e); err != nil {
				t.Fatal(err)
			}
			ev := e["Event"]
			if len(e) != 1 || ev["uuid"] != uuid || ev["timestamp"] != m["timestamp"] || ev["info"] != m["info"] {
				t.Errorf("%v, manifest %v", ev, m)
			}
			events[uuid] = ev
		}
		return man, events
	}
	n, err := share.WriteFeed(dir, impound.TLPGreen, items, opts())
	if err != nil || n.Written != 2 {
		t.Fatal(n, err)
	}
	man, events := read()
	if len(man) != 2 {
		t.Fatalf("%d events", len(man))
	}
	// hashes.csv finds each value's event.
	rows, err := csv.NewReader(mustOpen(t, filepath.Join(dir, "hashes.csv"))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	for _, r := range rows {
		ok := false
		for _, a := range events[r[1]]["Attribute"].([]any) {
			h := md5.Sum([]byte(a.(map[string]any)["value"].(string)))
			ok = ok || hex.EncodeToString(h[:]) == r[0]
		}
		if !ok {
			t.Errorf("%v finds nothing", r)
		}
	}
	var green string
	for uuid, e := range events {
		if strings.Contains(fmt.Sprint(e["Tag"]), "tlp:green") {
			green = uuid
		}
		if e["published"] != true || !regexp.MustCompile(`^\d+$`).MatchString(e["timestamp"].(string)) {
			t.Errorf("%v", e)
		}
	}
	// The same again: no file is touched, no timestamp grows.
	before, _ := os.Stat(filepath.Join(dir, "manifest.json"))
	if _, err := share.WriteFeed(dir, impound.TLPGreen, items, opts()); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(filepath.Join(dir, "manifest.json")); !os.SameFile(before, after) {
		t.Error("an unchanged manifest was written anew")
	}
	// A name more with an old date, and a name less: each must make MISP look again.
	stamp := func(m map[string]map[string]any) int {
		s, _ := m[green]["timestamp"].(string)
		i, _ := strconv.Atoi(s)
		return i
	}
	old := item("aaa.example", impound.TLPGreen, impound.StateHeld)
	old.Updated = t0.Add(-1000 * time.Hour)
	if _, err := share.WriteFeed(dir, impound.TLPGreen, append(slices.Clone(items), old), opts()); err != nil {
		t.Fatal(err)
	}
	more, _ := read()
	if _, err := share.WriteFeed(dir, impound.TLPGreen, items, opts()); err != nil {
		t.Fatal(err)
	}
	less, _ := read()
	if !(stamp(man) < stamp(more) && stamp(more) < stamp(less)) {
		t.Errorf("timestamps %d, %d, %d", stamp(man), stamp(more), stamp(less))
	}
	// A raised level takes the event away.
	items[0].TLP = impound.TLPRed
	if _, err := share.WriteFeed(dir, impound.TLPGreen, items, opts()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, green+".json")); !os.IsNotExist(err) {
		t.Error("the event still lies there: ", err)
	}
	if got := unzip(t, export(t, share.FormatMISP, impound.TLPGreen, items, opts())); !strings.Contains(got, "manifest.json\n") || !strings.Contains(got, "hashes.csv\n") {
		t.Error("the zip lacks files")
	}
}

func mustOpen(t *testing.T, path string) io.Reader {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b)
}
