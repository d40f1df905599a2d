package notify_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/notify"
)

var update = flag.Bool("update", false, "write the golden files anew")

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC)

const browser = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"

var accessNet = impound.Network{Prefix: netip.MustParsePrefix("198.51.100.0/24"), ASN: 64500, Name: "Example Access", Country: "DE", Abuse: "abuse@access.example", Sector: "academia"}
var reporter = notify.Reporter{Org: "Example CSIRT", Mail: "desk@csirt.example", Phone: "+49 30 555 0100", Domain: "csirt.example"}

func contact(seq uint64, src string, n impound.Network) impound.Contact {
	a := netip.MustParseAddr(src)
	dst := "203.0.113.5:443"
	if a.Is6() {
		dst = "[2001:db8:ffff::5]:443"
	}
	return impound.Contact{Event: impound.Event{Sensor: "s1", Seq: seq, At: t0.Add(time.Duration(seq) * time.Minute), Proto: impound.ProtoTLS, Src: netip.AddrPortFrom(a, 40000+uint16(seq)), Dst: netip.MustParseAddrPort(dst),
		Name: "www.outlook-verify.net", Zone: "outlook-verify.net", Order: "PHOS-2019", Capture: impound.CaptureContact, Method: "GET", Path: "/s/9f8a7b6c5d4e3f21", Status: 200, UserAgent: browser, SNI: "www.outlook-verify.net"},
		Case: "C-1", Class: impound.ClassVictim, Confidence: 0.7, Reasons: []impound.Reason{{Code: "lure-path"}}, Network: n}
}

// TestGolden holds the report's octets. Look at a change with the eyes of a
// reader who parses by header.
func TestGolden(t *testing.T) {
	hostile := contact(2, "198.51.100.8", accessNet)
	hostile.UserAgent = "=cmd|' /C calc'!A0,\"x\"\r\n\u202e"
	hostile.Proto, hostile.SNI, hostile.Referer = impound.ProtoHTTP, "", "mail.google.com"
	scanner := contact(3, "198.51.100.9", accessNet)
	scanner.Class = impound.ClassScanner
	unclear := contact(4, "198.51.100.10", accessNet)
	unclear.Class = impound.ClassUnclear
	six := contact(5, "2001:db8::7", impound.Network{})
	cs := []impound.Contact{contact(1, "198.51.100.7", accessNet), hostile, scanner, unclear, six}
	for name, i := range map[string]notify.ReportInfo{
		"event4.csv": {Unclear: true, Source: "Example CSIRT", Sink: impound.Network{ASN: 64599, Country: "NL"}},
		"event6.csv": {V6: true},
	} {
		var b bytes.Buffer
		if _, err := notify.Report(&b, cs, i); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			os.MkdirAll("testdata", 0o755)
			os.WriteFile(path, b.Bytes(), 0o644)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// The columns that IntelMQ's parser of these reports needs or maps, as a reader
// by header sees them.
func TestReadByHeader(t *testing.T) {
	var b bytes.Buffer
	n, err := notify.Report(&b, []impound.Contact{contact(1, "198.51.100.7", accessNet)}, notify.ReportInfo{})
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if s := b.String(); !regexp.MustCompile(`^("[^"]*",){38}"[^"]*"\n("[^"]*",){38}"[^"]*"\n$`).MatchString(s) {
		t.Errorf("not 39 quoted fields a line: %s", s)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i, h := range rows[0] {
		if v := rows[1][i]; v != "" {
			got[h] = v
		}
	}
	want := map[string]string{
		"timestamp": "2026-11-21 12:01:00", "protocol": "tcp", "src_ip": "198.51.100.7", "src_port": "40001", "src_asn": "64500", "src_geo": "DE", "src_sector": "academia",
		"severity": "high", "dst_ip": "203.0.113.5", "dst_port": "443", "infection": "phishing-visit", "tag": "phishing-visit;not-infected;class:victim", "application": "https",
		"event_id": got["event_id"], "http_url": "/s/9f8a7b6c5d4e3f21", "http_host": "www.outlook-verify.net", "http_agent": browser, "ssl_servername": "www.outlook-verify.net",
	}
	if d := cmp.Diff(want, got); d != "" || len(got["event_id"]) != 16 {
		t.Error(d)
	}
	// Every column that older and newer readers ask for by name.
	for _, h := range strings.Fields("timestamp protocol src_ip src_port src_asn src_geo src_region src_city src_hostname src_naics src_sector device_vendor device_type device_model dst_ip dst_port dst_asn dst_geo dst_region dst_city dst_hostname dst_naics dst_sector public_source infection family tag application version event_id http_url http_host http_agent forwarded_by ssl_cipher http_referer severity ssl_servername machine_name") {
		if !slices.Contains(rows[0], h) {
			t.Errorf("no column %s", h)
		}
	}
}

func TestFileName(t *testing.T) {
	rule := regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})-([^-]+)-(.+)\.csv$`)
	for _, c := range []struct {
		info  notify.ReportInfo
		parts []string
		want  string
	}{
		{notify.ReportInfo{}, []string{"Example Access", "as64500", "C-1"}, "2026-11-21-event4_sinkhole_http-example_access-as64500-c_1.csv"},
		{notify.ReportInfo{V6: true}, []string{"../../é/x", ""}, "2026-11-21-event6_sinkhole_http-x.csv"},
		{notify.ReportInfo{}, nil, "2026-11-21-event4_sinkhole_http-unknown.csv"},
	} {
		got := c.info.FileName(t0, c.parts...)
		m := rule.FindStringSubmatch(got)
		if got != c.want || m == nil || m[2] != c.info.ReportName() {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add("UA \"quoted\", and\nlines", "/path", "host.example", "=1+1")
	f.Add("@SUM(A1)", "'=x", " =x", "\x00\xff\u2028")
	f.Fuzz(func(t *testing.T, ua, path, name, sni string) {
		c := contact(1, "198.51.100.7", accessNet)
		c.UserAgent, c.Path, c.Name, c.SNI = ua, path, name, sni
		var b bytes.Buffer
		if _, err := notify.Report(&b, []impound.Contact{c}, notify.ReportInfo{}); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b.Bytes(), []byte("\n")); n != 2 {
			t.Fatalf("%d lines", n)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for col, in := range map[string]string{"http_agent": ua, "http_url": path, "http_host": name, "ssl_servername": sni} {
			cell := rows[1][slices.Index(rows[0], col)]
			if cell != notify.Guard(in) {
				t.Errorf("%s: %q came back as %q", col, notify.Guard(in), cell)
			}
			if s := strings.TrimLeft(cell, " "); s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
				t.Errorf("%s: %q is a formula", col, cell)
			}
			clean := strings.IndexFunc(in, func(r rune) bool { return r < 0x20 || r > 0x7e }) < 0
			if clean && notify.Unguard(cell) != in {
				t.Errorf("%q became %q and back %q", in, cell, notify.Unguard(cell))
			}
		}
	})
}

func facts() notify.Facts {
	return notify.Facts{
		Case: impound.Case{ID: "C-1", Title: "Charming Kitten 2019", Actor: "apt35", TLP: impound.TLPGreen, Domains: []impound.CaseDomain{{Name: impound.MustName("outlook-verify.net")}, {Name: impound.MustName("phosphorus-mail.com")}}},
		Orders: []impound.Order{{ID: "PHOS-2019", Authority: impound.Authority{Court: "D.D.C.", Docket: "1:19-cv-00716", CallBack: "clerk, +1 202 555 0100"}, From: t0.Add(-time.Hour), Until: t0.Add(24 * time.Hour),
			Sinkhole: impound.SinkTerms{RetentionDays: 30}}},
		Actors: []string{"Charming Kitten", "APT35", "Phosphorus", "Mint Sandstorm"}, Phished: []string{"dean@access.example"},
	}
}

func TestMessage(t *testing.T) {
	f := facts()
	c := contact(1, "198.51.100.7", accessNet)
	c.Zone = "phosphorus-mail.com"
	m := notify.Compose("R-1", reporter, accessNet, []impound.Contact{c, contact(2, "198.51.100.8", accessNet)}, f, t0)
	if ps := notify.Check(m, f); len(ps) > 0 {
		t.Errorf("our own message breaks the rules:\n%v\n%s", ps, m.Text)
	}
	for _, want := range []string{"TLP:AMBER", "outlook-verify[.]net", "phosphorus-mail[.]com", "R-1", "docket 1:19-cv-00716", "forwarding rules", "passkeys", "+49 30 555 0100", "does not mean that a machine is infected", "followed a lure:  2"} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("lacks %q:\n%s", want, m.Text)
		}
	}
	for _, not := range []string{"198.51.100", "Kitten", "Charming", "APT35", "http", "outlook-verify.net"} {
		if strings.Contains(m.Text+m.Subject, not) {
			t.Errorf("holds %q:\n%s", not, m.Text)
		}
	}
	for i, line := range strings.Split(m.Text, "\n") {
		if len(line) > 76 {
			t.Errorf("line %d is %d octets long", i+1, len(line))
		}
	}
	// A sealed order is not spoken of; an ended one is said to have ended.
	f.Orders[0].SealedUntil = t0.Add(time.Hour)
	if m := notify.Compose("R-1", reporter, accessNet, []impound.Contact{c}, f, t0); strings.Contains(m.Text, "docket") {
		t.Error("tells of a sealed order")
	}
	if m := notify.Compose("R-1", reporter, accessNet, []impound.Contact{c}, f, t0.Add(48*time.Hour)); !strings.Contains(m.Text, "It ended 2026-11-22") {
		t.Error("does not say that the order ended")
	}
}

func TestCheck(t *testing.T) {
	f := facts()
	good := notify.Compose("R-1", reporter, accessNet, []impound.Contact{contact(1, "198.51.100.7", accessNet)}, f, t0)
	for _, c := range []struct {
		name, want string
		edit       func(*notify.Message)
	}{
		{"link", "live link", func(m *notify.Message) { m.Text += "see https://192.0.2.1/" }},
		{"www", "live link", func(m *notify.Message) { m.Text += "www.foo" }},
		{"seized name", "seized name outlook-verify[.]net", func(m *notify.Message) { m.Text += "OUTLOOK-verify.net" }},
		{"any live name", "makes a link", func(m *notify.Message) { m.Text += "go to somewhere.org now" }},
		{"live name in the subject", "makes a link", func(m *notify.Message) { m.Subject += " x.com" }},
		{"actor", "names the actor", func(m *notify.Message) { m.Text += "This is CHARMING-KITTEN." }},
		{"actor in one word", "names the actor", func(m *notify.Message) { m.Text += "by mintsandstorm" }},
		{"actor in the subject", "names the actor", func(m *notify.Message) { m.Subject += " (APT35)" }},
		{"phished", "was phished", func(m *notify.Message) { m.To = []string{"Dean@access.example"} }},
		{"seized mailbox", "under the seized name", func(m *notify.Message) { m.To = []string{"abuse@mail.outlook-verify.net"} }},
		{"two mailboxes in one", "is no mailbox", func(m *notify.Message) { m.To = []string{"a@b.example, c@d.example"} }},
		{"header injection", "is no mailbox", func(m *notify.Message) { m.To = []string{"a@b.example\r\nBcc: x@y.example"} }},
		{"subject injection", "line break", func(m *notify.Message) { m.Subject += "\r\nBcc: x@y.example" }},
		{"nobody", "nobody to send it to", func(m *notify.Message) { m.To = nil }},
		{"no marking", "no TLP marking", func(m *notify.Message) { m.Text = strings.ReplaceAll(m.Text, "TLP:AMBER", "") }},
		{"too open", "passed on", func(m *notify.Message) { m.TLP = impound.TLPGreen; m.Text += "TLP:GREEN" }},
		{"a program", "is of type", func(m *notify.Message) {
			m.Attachments = append(m.Attachments, notify.Attachment{Name: "x.exe", Media: "application/octet-stream"})
		}},
	} {
		m := good
		c.edit(&m)
		ps := notify.Check(m, f)
		if !slices.ContainsFunc(ps, func(e *impound.Error) bool { return strings.Contains(e.Msg, c.want) && e.Cure != "" }) {
			t.Errorf("%s: %v", c.name, ps)
		}
	}
	if ps := notify.Check(good, f); len(ps) > 0 {
		t.Error(ps)
	}
	// A network may be called what it likes.
	evil := accessNet
	evil.Name = "Visit https://evil.com/x now\r\nBcc: a@b.com"
	m := notify.Compose("R-1", reporter, evil, []impound.Contact{contact(1, "198.51.100.7", evil)}, f, t0)
	if ps := notify.Check(m, f); len(ps) > 0 {
		t.Error(ps)
	}
}

func TestRender(t *testing.T) {
	f := facts()
	n := accessNet
	n.Name = "Universität Beispiel"
	m := notify.Compose("R-1", reporter, n, []impound.Contact{contact(1, "198.51.100.7", n)}, f, t0)
	m.Subject += " für"
	data := []byte("\"a\",\"b\"\n" + strings.Repeat("x", 300))
	m.Attachments = []notify.Attachment{{Name: "r.csv", Media: "text/csv", Data: data}}
	b, err := m.Render(t0)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\r\n")), []byte("\r\n")) {
		if bytes.ContainsAny(line, "\r\n") || len(line) > 998 {
			t.Fatalf("line %d: %q", i+1, line)
		}
	}
	msg, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	dec := new(mime.WordDecoder)
	subject, err := dec.DecodeHeader(msg.Header.Get("Subject"))
	if err != nil || subject != m.Subject {
		t.Errorf("%q %v", subject, err)
	}
	if d, err := msg.Header.Date(); err != nil || !d.Equal(t0.Truncate(time.Second)) {
		t.Error(d, err)
	}
	if to, err := msg.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != "abuse@access.example" {
		t.Error(to, err)
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	mr := multipart.NewReader(msg.Body, params["boundary"])
	p, err := mr.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(p))
	if err != nil || strings.ReplaceAll(string(text), "\r\n", "\n") != m.Text {
		t.Errorf("the text came back as %q, %v", text, err)
	}
	p, err = mr.NextRawPart()
	if err != nil || p.FileName() != "r.csv" {
		t.Fatal(err)
	}
	got, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, p))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("the report came back as %q, %v", got, err)
	}
}

// The fields that XARF's core schema demands, with its patterns.
func TestXARF(t *testing.T) {
	again := contact(3, "198.51.100.7", accessNet)
	scanner := contact(4, "198.51.100.9", accessNet)
	scanner.Class = impound.ClassScanner
	var b bytes.Buffer
	n, err := notify.XARF(&b, []impound.Contact{contact(1, "198.51.100.7", accessNet), contact(2, "2001:db8::7", accessNet), again, scanner}, reporter)
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
	dec := json.NewDecoder(&b)
	for i := range n {
		var r map[string]any
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		for k, re := range map[string]string{
			"xarf_version": `^4\.[0-9]+\.[0-9]+$`, "report_id": `^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, "timestamp": `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`,
			"source_identifier": `^(198\.51\.100\.7|2001:db8::7)$`, "category": `^reputation$`, "type": `^threat_intelligence$`, "threat_type": `^phishing_victim$`, "description": `do not block`,
		} {
			if s, _ := r[k].(string); !regexp.MustCompile(re).MatchString(s) {
				t.Errorf("%s: %v", k, r[k])
			}
		}
		for _, k := range []string{"reporter", "sender"} {
			if d := cmp.Diff(map[string]any{"org": "Example CSIRT", "contact": "desk@csirt.example", "domain": "csirt.example"}, r[k]); d != "" {
				t.Error(d)
			}
		}
		for _, tag := range r["tags"].([]any) {
			if !regexp.MustCompile(`^[a-z0-9][a-z0-9_+-]*:[a-z0-9][a-z0-9_+-]*$`).MatchString(tag.(string)) {
				t.Error(tag)
			}
		}
		ev := r["evidence"].([]any)[0].(map[string]any)
		raw, err := base64.StdEncoding.DecodeString(ev["payload"].(string))
		if err != nil || impound.HashBytes(raw) != ev["hash"] || float64(len(raw)) != ev["size"] {
			t.Errorf("%v %v", ev, err)
		}
		if i == 0 && r["source_port"] != 40003.0 {
			t.Errorf("not the newest: %v", r["source_port"])
		}
	}
}

type memLog struct {
	mu      sync.Mutex
	entries []impound.Entry
	fail    string // What+Type that fails
}

func (l *memLog) Append(_ context.Context, e impound.Entry) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail == e.What+"/"+string(e.Type) {
		return 0, errors.New("no room")
	}
	for i, o := range l.entries {
		if o.ID == e.ID {
			return int64(i), nil
		}
	}
	l.entries = append(l.entries, e)
	return int64(len(l.entries) - 1), nil
}

type memSource struct {
	f  notify.Facts
	cs []impound.Contact
}

func (s *memSource) Facts(_ context.Context, id string) (notify.Facts, error) {
	if id != s.f.Case.ID {
		return notify.Facts{}, impound.Errorf(impound.KindNotFound, "no case %s", id)
	}
	return s.f, nil
}

func (s *memSource) Contacts(_ context.Context, _ string, fn func(impound.Contact) error) error {
	for _, c := range s.cs {
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}

func service(t *testing.T) (*notify.Service, *memSource, *memLog, *time.Time, string) {
	now := t0.Add(time.Hour)
	src, log := &memSource{f: facts()}, &memLog{}
	dir := filepath.Join(t.TempDir(), "reports")
	s, err := notify.New(notify.Options{Dir: dir, Source: src, Log: log, Reporter: reporter, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return s, src, log, &now, dir
}

func TestPrepare(t *testing.T) {
	ctx := context.Background()
	s, src, log, now, dir := service(t)
	other := impound.Network{ASN: 64501, Name: "No Desk", Country: "FR"}
	outside := contact(7, "198.51.100.30", accessNet)
	outside.At = t0.Add(-2 * time.Hour) // before the order
	foreign := contact(8, "198.51.100.31", accessNet)
	foreign.Order = "OTHER"
	scanner := contact(9, "198.51.100.32", accessNet)
	scanner.Class = impound.ClassScanner
	src.cs = []impound.Contact{contact(2, "198.51.100.8", accessNet), contact(1, "198.51.100.7", accessNet), contact(3, "2001:db8::7", accessNet), contact(4, "203.0.113.77", other), outside, foreign, scanner}

	got, err := s.Prepare(ctx, "nora", "C-1")
	if err != nil || len(got) != 2 {
		t.Fatalf("%d reports, %v", len(got), err)
	}
	a, b := got[0], got[1]
	if a.Network.Name != "Example Access" || a.Victims != 3 || a.Contacts != 3 || !slices.Equal(a.To, []string{"abuse@access.example"}) || len(a.Problems) != 0 || a.TLP != impound.TLPAmber {
		t.Errorf("%+v", a)
	}
	if b.Network.Name != "No Desk" || len(b.To) != 0 || len(b.Problems) != 1 {
		t.Errorf("%+v", b)
	}
	var names []string
	for _, f := range a.Files {
		body, err := os.ReadFile(filepath.Join(a.Dir, f.Name))
		if err != nil || impound.HashBytes(body) != f.Hash {
			t.Error(f.Name, err)
		}
		if strings.Contains(string(body), "198.51.100.3") {
			t.Errorf("%s holds an address that must not be reported", f.Name)
		}
		names = append(names, f.Name)
	}
	if d := cmp.Diff([]string{"2026-11-21-event4_sinkhole_http-example_access-as64500-r" + a.ID[len(a.ID)-12:] + ".csv", "2026-11-21-event6_sinkhole_http-example_access-as64500-r" + a.ID[len(a.ID)-12:] + ".csv", "xarf.jsonl", "message.eml"}, names); d != "" {
		t.Error(d)
	}
	// The log has intent before result, hashes, and no address.
	if len(log.entries) != 4 || log.entries[0].Type != impound.EntryIntent || log.entries[1].Type != impound.EntryResult || log.entries[1].Intent != log.entries[0].ID {
		t.Errorf("%+v", log.entries)
	}
	j, _ := json.Marshal(log.entries)
	for _, secret := range []string{"198.51.100", "2001:db8::7", "203.0.113.77", "Kitten"} {
		if strings.Contains(string(j), secret) {
			t.Errorf("the evidence log holds %s: %s", secret, j)
		}
	}
	if !strings.Contains(string(j), a.Files[0].Hash) {
		t.Error("the log lacks the report's hash")
	}
	meta, _ := os.ReadFile(filepath.Join(a.Dir, "report.json"))
	if strings.Contains(string(meta), "198.51.100.7") {
		t.Error("the description holds an address")
	}
	err = filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		if err == nil && fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", p, fi.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	// Again, later: the same.
	*now = now.Add(time.Hour)
	again, err := s.Prepare(ctx, "nora", "C-1")
	if d := cmp.Diff(got, again, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || d != "" || len(log.entries) != 4 {
		t.Error(err, d, len(log.entries))
	}

	// A damaged file is written again.
	os.WriteFile(filepath.Join(a.Dir, a.Files[0].Name), []byte("x"), 0o600)
	if again, err := s.Prepare(ctx, "nora", "C-1"); err != nil || again[0].ID != a.ID {
		t.Error(err)
	}
	if body, _ := os.ReadFile(filepath.Join(a.Dir, a.Files[0].Name)); impound.HashBytes(body) != a.Files[0].Hash {
		t.Error("the damaged file was left")
	}

	// A new contact replaces the waiting report ...
	src.cs = append(src.cs, contact(10, "198.51.100.11", accessNet))
	newer, err := s.Prepare(ctx, "nora", "C-1")
	if err != nil || newer[0].ID == a.ID || newer[0].Contacts != 4 {
		t.Fatalf("%+v %v", newer, err)
	}
	if list, _ := s.List(ctx, "C-1"); len(list) != 2 {
		t.Errorf("%d reports wait", len(list))
	}
	// ... and after it was sent, another one is a report of its own.
	if _, err := s.MarkSent(ctx, "nora", newer[0].ID, "mail"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MarkSent(ctx, "nora", newer[0].ID, "mail"); err != nil {
		t.Fatal(err)
	}
	src.cs = append(src.cs, contact(11, "198.51.100.12", accessNet))
	last, err := s.Prepare(ctx, "nora", "C-1")
	if err != nil || last[0].Contacts != 1 || last[0].Victims != 1 {
		t.Fatalf("%+v %v", last, err)
	}
	if p, err := s.Get(ctx, newer[0].ID); err != nil || p.Sent == nil || p.Sent.By != "nora" {
		t.Errorf("%+v %v", p, err)
	}

	// Retention: addresses go, and nothing is told twice.
	n, err := s.Purge(ctx, t0.Add(40*24*time.Hour), func(o string) (int, bool) { return 30, o == "PHOS-2019" })
	if err != nil || n != 3 {
		t.Error(n, err)
	}
	err = filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		if err == nil && fi.Mode().IsRegular() {
			if b, _ := os.ReadFile(p); strings.Contains(string(b), "198.51.100") {
				t.Errorf("%s still holds addresses", p)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if after, err := s.Prepare(ctx, "nora", "C-1"); err != nil || after[0].Contacts != 1 {
		t.Errorf("%+v %v", after, err)
	}
}

func TestPrepareRefuses(t *testing.T) {
	ctx := context.Background()
	s, src, log, now, dir := service(t)
	src.cs = []impound.Contact{contact(1, "198.51.100.7", accessNet)}

	src.f.Case.TLP = impound.TLPRed
	if _, err := s.Prepare(ctx, "nora", "C-1"); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("TLP:RED: %v", err)
	}
	src.f.Case.TLP = impound.TLPAmber
	src.f.Orders[0].SealedUntil = now.Add(time.Hour)
	if got, err := s.Prepare(ctx, "nora", "C-1"); err != nil || len(got) != 0 {
		t.Errorf("sealed: %v %v", got, err)
	}
	src.f.Orders[0].SealedUntil = time.Time{}
	src.f.Phished = append(src.f.Phished, "abuse@access.example")
	got, err := s.Prepare(ctx, "nora", "C-1")
	if impound.KindOf(err) != impound.KindPartial || len(got) != 0 || !strings.Contains(err.Error(), "phished") {
		t.Errorf("phished mailbox: %v %v", got, err)
	}
	if len(log.entries) != 0 {
		t.Errorf("%+v", log.entries)
	}
	if _, err := s.Prepare(ctx, "", "C-1"); impound.KindOf(err) != impound.KindAuth {
		t.Errorf("nobody: %v", err)
	}
	if _, err := s.Prepare(ctx, "nora", "../x"); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("no such case: %v", err)
	}
	if _, err := s.Get(ctx, "R-x"); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("no such report: %v", err)
	}
	src.f.Phished = nil

	// No intent in the log, no file; no result, and it is made up for.
	log.fail = "notify.prepare/intent"
	if _, err := s.Prepare(ctx, "nora", "C-1"); err == nil {
		t.Error("went on without an intent")
	}
	if m, _ := filepath.Glob(filepath.Join(dir, "*", "R-*")); len(m) != 0 {
		t.Errorf("wrote %v", m)
	}
	log.fail = "notify.prepare/result"
	if _, err := s.Prepare(ctx, "nora", "C-1"); err == nil {
		t.Error("went on without a result")
	}
	log.fail = ""
	if got, err := s.Prepare(ctx, "nora", "C-1"); err != nil || len(got) != 1 || len(log.entries) != 2 {
		t.Errorf("%v %v %+v", got, err, log.entries)
	}

	// An order that lapsed does not stand in the way of what it covered.
	*now = src.f.Orders[0].Until.Add(time.Hour)
	src.cs = append(src.cs, contact(2, "198.51.100.8", accessNet))
	if got, err := s.Prepare(ctx, "nora", "C-1"); err != nil || len(got) != 1 || got[0].Contacts != 2 {
		t.Errorf("%v %v", got, err)
	}
}

type keyring map[string]impound.Person

func (k keyring) Person(id string) (impound.Person, bool) { p, ok := k[id]; return p, ok }

func TestRole(t *testing.T) {
	s, err := notify.New(notify.Options{Dir: t.TempDir(), Source: &memSource{f: facts()}, Log: &memLog{}, Reporter: reporter,
		People: keyring{"ann": {ID: "ann", Roles: []impound.Role{impound.RoleAnalyst}}, "nora": {ID: "nora", Roles: []impound.Role{impound.RoleNotifier}}}})
	if err != nil {
		t.Fatal(err)
	}
	for by, want := range map[string]impound.Kind{"ann": impound.KindAuth, "eve": impound.KindAuth, "nora": ""} {
		if _, err := s.Prepare(context.Background(), by, "C-1"); impound.KindOf(err) != want {
			t.Errorf("%s: %v", by, err)
		}
	}
	if _, err := notify.New(notify.Options{Dir: "x", Source: &memSource{}, Log: &memLog{}}); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("no reporter: %v", err)
	}
}

// A case's id may name the actor: neither the message nor a file's name tells it.
func TestCaseIDStaysIn(t *testing.T) {
	s, src, _, _, _ := service(t)
	src.f.Case.ID = "Charming-Kitten 2019"
	c := contact(1, "198.51.100.7", accessNet)
	c.Case = src.f.Case.ID
	src.cs = []impound.Contact{c}
	got, err := s.Prepare(context.Background(), "nora", src.f.Case.ID)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	for _, f := range got[0].Files {
		b, err := os.ReadFile(filepath.Join(got[0].Dir, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		if low := strings.ToLower(f.Name + string(b)); strings.Contains(low, "kitten") || strings.Contains(low, "charming") {
			t.Errorf("%s tells the case's id", f.Name)
		}
	}
}
