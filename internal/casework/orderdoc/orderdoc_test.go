package orderdoc

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/impound/impound"
)

const good = `# a warrant
impound: order/v1
id: PHOS-2019
case: C-1
kind: warrant
authority:
  court: Practice Court
  docket: 1:19-mj-7
  call_back: +1 555 0100
issued: 2026-11-21
from: 2026-11-21T12:00:00Z
until: 2026-12-21T12:00:00+01:00
at_end: restore
parties:
  requesting: Practice Crimes Unit
  technical_contact: desk@unit.example
recipient:
  name: Practice Registry
  role: registry
acts:
  nameservers:
    - ns1.sinkhole[.]example
    - ns2.sinkhole[.]example
  remove_ds: true
  lock: [serverTransferProhibited, serverDeleteProhibited]
  sinkhole: true
sinkhole:
  capture: contact
  retention_days: 30
  notice: |
    Seized: by order of the court.

    Ask the desk.
appendices:
  - id: A
    count: 3
    names:
      - name: outlook-verify[.]net # first
        exhibit: "7"
      - name: yahoo-verify[.]net
      - name: bücher-verify[.]com
        acts:
          hold: true
...
`

type ring map[string]impound.Person

func (r ring) Person(id string) (impound.Person, bool) { p, ok := r[id]; return p, ok }

func key(seed string) ed25519.PrivateKey {
	h := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(h[:])
}

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func people() ring {
	r := ring{}
	for _, id := range []string{"alice", "bob"} {
		r[id] = impound.Person{ID: id, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(key(id).Public().(ed25519.PublicKey))}
	}
	// the same key under two ids: one person
	r["alice2"] = impound.Person{ID: "alice2", Roles: []impound.Role{impound.RoleApprover}, Key: r["alice"].Key}
	r["carol"] = impound.Person{ID: "carol", Roles: []impound.Role{impound.RoleAnalyst}, Key: impound.NewPublicKey(key("carol").Public().(ed25519.PublicKey))}
	return r
}

// signAs signs doc as the person, with the key of that seed.
func signAs(t testing.TB, doc string, person, seed string) string {
	t.Helper()
	o, err := Parse("o.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	out, err := Sign("o.yaml", []byte(doc), impound.Sign(key(seed), impound.SignOrder, o.Hash(), person, t0))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestParseGood(t *testing.T) {
	o, err := Parse("o.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if got := o.Names()[2].Name.String(); got != "xn--bcher-verify-dlb.com" {
		t.Errorf("IDN: %s", got)
	}
	if want := time.Date(2026, 12, 21, 11, 0, 0, 0, time.UTC); !o.Until.Equal(want) || o.Until.Location() != time.UTC {
		t.Errorf("until: %v", o.Until)
	}
	if o.Authority.Docket != "1:19-mj-7" || o.Authority.CallBack != "+1 555 0100" || o.Names()[0].Exhibit != "7" || !o.Names()[2].Acts.Hold {
		t.Errorf("fields: %+v", o)
	}
	// The hash must not depend on how dates or names are spelled.
	same := strings.NewReplacer("2026-12-21T12:00:00+01:00", "2026-12-21T11:00:00Z", "bücher-verify[.]com", "XN--bcher-verify-dlb.COM", "# a warrant\n", "").Replace(good)
	p, err := Parse("p.yaml", []byte(same))
	if err != nil {
		t.Fatal(err)
	}
	if p.Hash() != o.Hash() {
		t.Error("two spellings of one order have two hashes")
	}
}

func edit(old, new string) string {
	if !strings.Contains(good, old) {
		panic("the good document holds no " + old)
	}
	return strings.Replace(good, old, new, 1)
}

func TestBadDocuments(t *testing.T) {
	lineOf := func(doc, needle string) int {
		i := strings.Index(doc, needle)
		if i < 0 {
			t.Fatalf("no %q in the document", needle)
		}
		return strings.Count(doc[:i], "\n") + 1
	}
	for _, c := range []struct {
		name, doc string
		line      string // needle that stands in the line of the fault
		msg, cure string
	}{
		{"hold and nameservers", edit("  remove_ds: true\n", "  remove_ds: true\n  hold: true\n"), "  hold: true", "contradicts itself: hold together with nameservers", "choose one"},
		{"hold and sinkhole", edit("          hold: true\n", "          hold: true\n          sinkhole: true\n"), "          sinkhole: true", "hold together with sinkhole", "choose one"},
		{"name twice", edit("name: yahoo-verify[.]net", "name: OUTLOOK-verify.net."), "OUTLOOK-verify.net.", "listed twice", "remove one"},
		{"no dates", edit("from: 2026-11-21T12:00:00Z\nuntil: 2026-12-21T12:00:00+01:00\n", ""), "impound: order/v1", "from when until when", "from: and until:"},
		{"no acts", good[:strings.Index(good, "acts:")] + good[strings.Index(good, "sinkhole:\n  capture"):], "impound: order/v1", "no act is ordered for outlook-verify[.]net and 1 more names", "to each name"},
		{"no issue date", edit("issued: 2026-11-21\n", ""), "impound: order/v1", "no date of issue", "2026-11-21"},
		{"wrong date", edit("until: 2026-12-21T12:00:00+01:00", "until: 21.12.2026"), "until: 21.12.2026", "no date that can be read", "2026-11-21T12:00:00Z"},
		{"ends before it begins", edit("until: 2026-12-21T12:00:00+01:00", "until: 2026-11-21"), "until: 2026-11-21", "before it begins", "after from"},
		{"public suffix", edit("name: yahoo-verify[.]net", "name: co[.]uk"), "name: co[.]uk", "public suffix", "below it"},
		{"private suffix", edit("name: yahoo-verify[.]net", "name: blogspot[.]com"), "name: blogspot[.]com", "public suffix", "below it"},
		{"subdomain", edit("name: yahoo-verify[.]net", "name: login.yahoo-verify[.]net"), "login.yahoo-verify", "not a registrable domain", "yahoo-verify[.]net"},
		{"unreadable name", edit("name: yahoo-verify[.]net", "name: yahoo-verify..net"), "yahoo-verify..net", "empty label", "outlook-verify[.]net"},
		{"URL for a name", edit("name: yahoo-verify[.]net", "name: hxxps://yahoo-verify[.]net/login"), "hxxps://", "more than a name", "name alone"},
		{"wildcard for a name", edit("name: yahoo-verify[.]net", `name: "*.yahoo-verify.net"`), "*.yahoo", "more than a name", "name alone"},
		{"address for a name", edit("name: yahoo-verify[.]net", `name: 192.0.2.1`), "192.0.2.1", "IP address", "outlook-verify[.]net"},
		{"no name", edit("name: yahoo-verify[.]net", "name:"), "      - name:\n", "without a name", "name: outlook-verify[.]net"},
		{"name without its key", edit("- name: yahoo-verify[.]net", "- yahoo-verify[.]net"), "- yahoo-verify", "must hold keys and values", "- name:"},
		{"unknown key", edit("at_end: restore", "at-end: restore"), "at-end: restore", "unknown key", "did you mean at_end?"},
		{"unknown key below", edit("        exhibit: \"7\"", "        exibit: \"7\""), "exibit", "unknown key", "did you mean exhibit?"},
		{"unknown key, no idea", edit("at_end: restore", "at_end: restore\nzzzzzzzzz: 1"), "zzzzzzzzz", "unknown key", "known here"},
		{"key twice", edit("at_end: restore", "at_end: restore\nat_end: release"), "at_end: release", "given twice", "remove one"},
		{"tab", edit("  requesting: Practice", "\trequesting: Practice"), "\trequesting", "tab", "spaces"},
		{"count", edit("count: 3", "count: 4"), "count: 4", "it may have been cut", "count"},
		{"bool", edit("remove_ds: true", "remove_ds: yes"), "remove_ds: yes", "true or false", "true or false"},
		{"number", edit("retention_days: 30", "retention_days: a month"), "retention_days: a", "whole number", "digits"},
		{"list", edit("lock: [serverTransferProhibited, serverDeleteProhibited]", "lock: serverTransferProhibited"), "lock: server", "must be a list", "hyphen"},
		{"lock", edit("serverTransferProhibited,", "serverTransferForbidden,"), "serverTransferForbidden", "no status that locks", "Prohibited"},
		{"alias", edit("at_end: restore", "at_end: &a restore"), "at_end: &a", "anchors", "write the value out"},
		{"tag", edit("at_end: restore", "at_end: !!binary restore"), "at_end: !!", "tag", "tag"},
		{"two documents", good + "---\nid: x\n...\n", "---", "second document", "file of its own"},
		{"not YAML", edit("at_end: restore", "at_end: [restore"), "at_end: [restore", "not YAML", "the one before"},
		{"a list", "- a\n...\n", "- a", "no order", "impound: order/v1"},
		{"empty", " \n", " \n", "empty", "draft"},
		{"no end marker", strings.TrimSuffix(good, "...\n"), "          hold: true", "stops at line", "three dots"},
		{"end marker without line end", strings.TrimSuffix(good, "\n"), "...", "stops at line", "three dots"},
		{"another format", edit("order/v1", "order/v2"), "impound:", "not an order that this version reads", "order/v1"},
		{"instrument", edit("  call_back:", "  instrument: sha256:12\n  call_back:"), "  instrument:", "no hash of a paper", "64 hex"},
		{"confirmed before", edit("at_end: restore", "at_end: restore\nconfirm_by: 2026-11-21"), "confirm_by:", "before anything can have been done", "after from"},
		{"deadline without date", edit("at_end: restore", "at_end: restore\ndeadlines:\n  - what: TRO ends"), "  - what: TRO", "no date", "2026-11-21"},
		{"deadline for nothing", edit("at_end: restore", "at_end: restore\ndeadlines:\n  - due: 2026-12-05"), "  - due:", "for nothing", "what is due"},
		{"names below stay", edit("at_end: restore", "at_end: restore\ndns:\n  subdomains: none"), "subdomains:", "takes them along", "write all"},
		{"mail elsewhere", edit("at_end: restore", "at_end: restore\ndns:\n  mx: mail.example"), "mx:", "no policy for mail", "write null"},
		{"ds set and removed", edit("at_end: restore", "at_end: restore\ndns:\n  ds: [12345 13 2 "+strings.Repeat("ab", 32)+"]"), "ds:", "contradicts itself", "leave remove_ds out"},
		{"no ds", edit("at_end: restore", "at_end: restore\ndns:\n  ds: [12345 13 2 ab]"), "ds:", "is no DS record", "digest in hex"},
		{"glue of a stranger", edit("at_end: restore", "at_end: restore\ndns:\n  glue: [{host: ns1.stranger.example, addrs: [192.0.2.1]}]"), "glue:", "none of the order's name servers", "alone"},
		{"a suffix to be blocked", edit("at_end: restore", "at_end: restore\nblock_create: [co.uk]"), "block_create:", "could keep from registration", "somebody could register"},
		{"seized and blocked", edit("at_end: restore", "at_end: restore\nblock_create: [outlook-verify.net]"), "block_create:", "is to be seized and", "one of the two"},
		{"an empty step", edit("at_end: restore", "at_end: restore\nsequence: [\" \"]"), "sequence:", "an empty step", "who does what"},
		{"nobody renews", edit("at_end: restore", "at_end: restore\ncustody:\n  no_release: true"), "custody:", "nobody renews", "who pays"},
		{"transfer to nobody", edit("at_end: restore", "at_end: restore\ncustody:\n  transfer_iana_id: 2482"), "custody:", "to nobody", "name the registrar"},
		{"time to contest and no way", edit("at_end: restore", "at_end: restore\nrights:\n  contest_days: 14"), "rights:", "no way", "how to contest"},
		{"object id", edit("        exhibit: \"7\"", "        roid: D 1"), "roid: D 1", "no repository object id", "RDAP"},
		{"expires before created", edit("        exhibit: \"7\"", "        created: 2026-01-01\n        expires: 2025-01-01"), "        expires:", "before it was created", "after it was made"},
		{"confidence", edit("        exhibit: \"7\"", "        confidence: sure"), "confidence: sure", "no confidence", "moderate"},
		{"provider asked afterwards", edit("        exhibit: \"7\"", "        provider_asked: 2026-11-30"), "provider_asked:", "after the order was issued", "leave it out"},
		{"nameserver inside", edit("ns1.sinkhole[.]example", "ns1.outlook-verify[.]net"), "ns1.outlook", "lies inside", "not seized"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("dir/o.yaml", []byte(c.doc))
			if impound.KindOf(err) != impound.KindInvalid {
				t.Fatalf("want a fault of the input, got: %v", err)
			}
			where := fmt.Sprintf("dir/o.yaml:%d", lineOf(c.doc, c.line))
			for _, e := range err.(impound.Problems) {
				if e.Where == where && strings.Contains(e.Msg, c.msg) && strings.Contains(e.Cure, c.cure) {
					return
				}
			}
			t.Errorf("want %s: ...%s... (...%s...), got:\n%v", where, c.msg, c.cure, err)
		})
	}
}

func TestBadOctets(t *testing.T) {
	for name, data := range map[string][]byte{
		"10 MB":          bytes.Repeat([]byte("# nothing\n"), 1<<20),
		"binary":         []byte("impound: order/v1\nid: \x00\x01\n...\n"),
		"not UTF-8":      []byte("impound: order/v1\nid: \xff\xfe\n...\n"),
		"hidden key":     []byte(edit("# a warrant\n", "# a warrant\rtlp: red\n")),
		"hidden line":    []byte(edit("# a warrant\n", "# a warrant\u2028tlp: red\n")),
		"next line":      []byte(edit("# a warrant\n", "# a warrant\u0085tlp: red\n")),
		"turned around":  []byte(edit("docket: 1:19-mj-7", "docket: 1:19\u202e-mj-7")),
		"nothing there":  []byte(edit("docket: 1:19-mj-7", "docket: 1:19\u200b-mj-7")),
		"a mark":         []byte(edit("docket: 1:19-mj-7", "docket: 1:19\u200f-mj-7")),
		"a tag":          []byte(edit("docket: 1:19-mj-7", "docket: 1:19\U000e0041-mj-7")),
		"PDF":            []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
		"DOCX":           []byte("PK\x03\x04\x14\x00"),
		"deep":           []byte(strings.Repeat("[", 200000) + "\n...\n"),
		"deep mapping":   []byte(strings.Repeat("? ", 200000) + "\n...\n"),
		"alias to self":  []byte("a: &x [*x]\n...\n"),
		"billion laughs": []byte("a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n...\n"),
		"merge":          []byte("<<: {id: x}\n...\n"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("o.yaml", data)
			ps, ok := err.(impound.Problems)
			if !ok || len(ps) == 0 {
				t.Fatalf("got %v", err)
			}
			for _, e := range ps {
				if !strings.HasPrefix(e.Where, "o.yaml:") || e.Cure == "" {
					t.Errorf("no place or no cure: %v", e)
				}
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	doc := strings.NewReplacer("name: yahoo-verify[.]net", "name: a..b", "kind: warrant", "kind: wish", "at_end: restore", "at_end: whatever", "exhibit:", "exibit:").Replace(good)
	_, err := Parse("o.yaml", []byte(doc))
	ps, _ := err.(impound.Problems)
	if len(ps) != 4 {
		t.Fatalf("want 4 problems, got:\n%v", err)
	}
	last := 0
	for _, p := range ps {
		var n int
		if _, err := fmt.Sscanf(p.Where, "o.yaml:%d", &n); err != nil || n < last {
			t.Errorf("not in the order of lines:\n%v", ps)
		}
		last = n
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "k%d: x\n", i)
	}
	_, ps := Read("o.yaml", []byte(b.String()+"...\n"))
	if len(ps) != maxProblems+1 {
		t.Errorf("%d problems", len(ps))
	}
}

// A document that was cut must never pass for a whole one, wherever the cut is.
func TestCutAtEveryOctet(t *testing.T) {
	for _, doc := range []string{good, signAs(t, signAs(t, good, "alice", "alice"), "bob", "bob"), strings.ReplaceAll(good, "\n", "\r\n")} {
		if _, err := Parse("o.yaml", []byte(doc)); err != nil {
			t.Fatal(err)
		}
		for i := range len(doc) {
			_, err := Parse("o.yaml", []byte(doc[:i]))
			ps, _ := err.(impound.Problems)
			if len(ps) == 0 {
				t.Fatalf("the first %d octets pass for an order", i)
			}
			for _, p := range ps {
				if !strings.HasPrefix(p.Where, "o.yaml:") || p.Cure == "" {
					t.Fatalf("cut at %d: no place or no cure: %v", i, p)
				}
			}
		}
	}
}

func TestSign(t *testing.T) {
	for name, doc := range map[string]string{
		"plain":              good,
		"CRLF":               strings.ReplaceAll(good, "\n", "\r\n"),
		"blank lines behind": good + "\n\n",
		"empty section":      edit("...\n", "signatures:\n...\n"),
		"dots in a text":     edit("    Ask the desk.\n", "    Ask the desk.\n    ...\n"),
	} {
		t.Run(name, func(t *testing.T) {
			before, err := Parse("o.yaml", []byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			one := signAs(t, doc, "alice", "alice")
			two := signAs(t, one, "bob", "bob")
			d, ps := Read("o.yaml", []byte(two))
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			if d.Order.Hash() != before.Hash() {
				t.Error("signing changed the hash")
			}
			signers, ps := CheckSignatures(d, people())
			if len(ps) > 0 || !cmp.Equal(signers, []string{"alice", "bob"}) {
				t.Errorf("signers %v, problems %v", signers, ps)
			}
			// What was there is still there, octet for octet.
			i := strings.Index(two, "- person: alice")
			j := strings.LastIndex(two, "...")
			head := two[:i]
			head = head[:strings.LastIndexByte(head, '\n')+1]
			if !strings.Contains(doc, "signatures:") {
				head = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(head, "\n"), "\r"), "signatures:")
			}
			if head+two[j:] != doc {
				t.Errorf("other octets changed:\n%s", cmp.Diff(doc, head+two[j:]))
			}
		})
	}
}

func TestSignOwnIndent(t *testing.T) {
	one := signAs(t, good, "alice", "alice")
	i := strings.Index(one, "signatures:\n") + len("signatures:\n")
	one = one[:i] + strings.ReplaceAll(one[i:], "\n  ", "\n")
	one = strings.Replace(one, "signatures:\n  - person", "signatures:\n- person", 1)
	one = one[:i] + strings.NewReplacer("\n  key", "\n  key", "\nkey", "\n  key", "\nat:", "\n  at:", "\nsig:", "\n  sig:").Replace(one[i:])
	two := signAs(t, one, "bob", "bob")
	d, ps := Read("o.yaml", []byte(two))
	if signers, more := CheckSignatures(d, people()); len(ps)+len(more) > 0 || len(signers) != 2 {
		t.Errorf("%v %v %v\n%s", signers, ps, more, two)
	}
}

func TestSignRefuses(t *testing.T) {
	o, err := Parse("o.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	sig := func(person, seed string) impound.Signature {
		return impound.Sign(key(seed), impound.SignOrder, o.Hash(), person, t0)
	}
	one := signAs(t, good, "alice", "alice")
	for name, c := range map[string]struct {
		doc  string
		sig  impound.Signature
		kind impound.Kind
	}{
		"twice the person": {one, sig("alice", "alice"), impound.KindConflict},
		"twice the key":    {one, sig("alice2", "alice"), impound.KindConflict},
		"another document": {good, impound.Sign(key("bob"), impound.SignOrder, "sha256:00", "bob", t0), impound.KindInvalid},
		"a plan's":         {good, impound.Sign(key("bob"), impound.SignPlan, o.Hash(), "bob", t0), impound.KindInvalid},
		"a bad document":   {good + "x", sig("bob", "bob"), impound.KindInvalid},
		"not at the end":   {strings.Replace(good, "appendices:", "signatures: []\nappendices:", 1), sig("bob", "bob"), impound.KindInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := Sign("o.yaml", []byte(c.doc), c.sig)
			if impound.KindOf(err) != c.kind || out != nil {
				t.Errorf("want %s, got %v", c.kind, err)
			}
		})
	}
}

func TestCheckSignatures(t *testing.T) {
	one := signAs(t, good, "alice", "alice")
	two := signAs(t, one, "bob", "bob")
	for _, c := range []struct {
		name, doc string
		line      string // needle; "" the last line
		msg       string
		signers   int
	}{
		{"nobody", good, "", "signed by 0 of 2", 0},
		{"one person", one, "signatures:", "signed by one person (alice)", 1},
		{"two people, one key", strings.Replace(two, two[strings.Index(two, "  - person: bob"):], signedBlock(t, "alice2", "alice")+"...\n", 1), "signatures:", "signed by one person", 1},
		{"changed afterwards", strings.Replace(two, "retention_days: 30", "retention_days: 3000", 1), "  - person: alice", "changed after it was signed", 0},
		{"stranger", signAs(t, one, "mallory", "mallory"), "  - person: mallory", "not enrolled", 1},
		{"no approver", signAs(t, one, "carol", "carol"), "  - person: carol", "no approver", 1},
		{"another's key", signAs(t, one, "bob", "mallory"), "  - person: bob", "another key", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, ps := Read("dir/o.yaml", []byte(c.doc))
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			signers, ps := CheckSignatures(d, people())
			n := strings.Count(c.doc, "\n")
			if c.line != "" {
				n = strings.Count(c.doc[:strings.Index(c.doc, c.line)], "\n") + 1
			}
			where := fmt.Sprintf("dir/o.yaml:%d", n)
			found := false
			for _, p := range ps {
				found = found || p.Where == where && strings.Contains(p.Msg, c.msg) && p.Cure != ""
			}
			if !found {
				t.Errorf("want %s: ...%s..., got:\n%v", where, c.msg, ps)
			}
			if len(signers) != c.signers {
				t.Errorf("signers: %v", signers)
			}
		})
	}
}

func signedBlock(t *testing.T, person, seed string) string {
	s := signAs(t, good, person, seed)
	i := strings.Index(s, "  - person:")
	return s[i:strings.LastIndex(s, "...")]
}

func TestDraftRoundTrip(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[ -~]{0,20}`), rapid.StringMatching(`[a-zé日: #"'\\\[\]{}\n-]{0,12}`), rapid.SampledFrom([]string{"null", "~", "true", "12", "1:20", "", "2026-01-01", "- x", "? y", "&a", "*b", "!c", "%d", "@e", "`f", "a: b", "a #b"}))
	rapid.Check(t, func(r *rapid.T) {
		o, err := Parse("o.yaml", []byte(good))
		if err != nil {
			r.Fatal(err)
		}
		filled := func(old, label string) string {
			if s := text.Draw(r, label); strings.TrimSpace(s) != "" {
				return s
			}
			return old
		}
		o.Authority.Docket = filled(o.Authority.Docket, "docket")
		o.Authority.Judge = text.Draw(r, "judge")
		o.Parties.Requesting = filled(o.Parties.Requesting, "requesting")
		o.Parties.Defendants = rapid.SliceOfN(text, 0, 3).Draw(r, "defendants")
		o.Sinkhole.Notice = text.Draw(r, "notice")
		o.Recipient.Contact = text.Draw(r, "contact")
		o.Appendices[0].Names[0].Exhibit = text.Draw(r, "exhibit")
		o.From = o.From.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(r, "ns")))
		b := Draft(impound.Case{ID: o.Case}, *o)
		p, err := Parse("d.yaml", b)
		if err != nil {
			r.Fatalf("%v\n%s", err, b)
		}
		if d := cmp.Diff(o, p, cmp.Comparer(func(a, b impound.Name) bool { return a == b }), cmpopts.EquateEmpty()); d != "" {
			r.Fatalf("%s\n%s", d, b)
		}
	})
}

// TestDraftHoldsEveryField writes an order in which no field is empty and reads
// it again: a field that Draft forgets is a term of the court that is lost.
func TestDraftHoldsEveryField(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }
	acts := impound.Acts{Lock: []string{"serverDeleteProhibited"}, Nameservers: []impound.Name{impound.MustName("ns1.sinkhole.example"), impound.MustName("ns2.sinkhole.example")},
		RemoveDS: true, Registrant: "C-9", Renew: true, Sinkhole: true}
	o := &impound.Order{
		Format: impound.OrderFormat, ID: "O-1", Case: "C-1", Kind: impound.KindInjunction, Parent: &impound.ParentRef{ID: "O-0", Hash: "sha256:x", Clause: "7"},
		Authority: impound.Authority{Court: "a court", Agreement: "an agreement", Docket: "1:26-cv-1", Judge: "J", Jurisdiction: "here", CallBack: "+1 555 0100",
			Instrument: impound.HashBytes([]byte("paper")), Gag: true, Cost: "requesting party"},
		Issued: day(0), From: day(1), Until: day(40), SealedUntil: day(3), ExecuteAt: day(2), ConfirmBy: day(4), AtEnd: "restore",
		Deadlines: []impound.Deadline{{What: "TRO ends: move for an injunction", Due: day(14), Who: "counsel"}}, TLP: impound.TLPAmber,
		Parties:   impound.Parties{Requesting: "R", Defendants: []string{"John Does 1-2"}, Counsel: "C", Technical: "T"},
		Recipient: impound.Recipient{Name: "Registry", Role: "registry", IANAID: 9, Contact: "desk"}, Acts: acts,
		Custody:  &impound.Custody{TransferTo: "Registrar of last resort", TransferID: 2482, RenewalBy: "requesting party", NoRelease: true, Escrow: "exhibit 3", Shown: "court order"},
		DNS:      &impound.DNSTerms{Subdomains: "all", MX: "null", TTL: 3600, Glue: []impound.Glue{{Host: impound.MustName("ns1.sinkhole.example"), Addrs: []string{"192.0.2.1", "2001:db8::1"}}}},
		Sequence: []string{"com: locks first", "then net"}, BlockCreate: []impound.Name{impound.MustName("next-verify.net")},
		Release:  &impound.ReleaseTerms{How: []string{"restore"}, Until: day(60), Clause: "9"},
		Rights:   &impound.Rights{Contest: "write to the clerk: 14 days", ContestDays: 14, Notice: "by mail", Bond: "10,000"},
		Sinkhole: impound.SinkTerms{Capture: impound.CaptureContact, Notice: "text", RetentionDays: 90, Certificates: impound.CertsACME, KeepBits4: 24, KeepBits6: 48, DMARCReports: "dmarc@unit.example"},
		Appendices: []impound.Appendix{{ID: "A", Count: 1, Names: []impound.OrderName{{Name: impound.MustName("outlook-verify.net"), Exhibit: "7", Acts: &acts,
			ROID: "D123_A-LRMS", Registrar: "A Registrar", RegistrarID: 1234, Created: day(-90), Expires: day(275), Affiant: "A. Ffiant", Harm: "imitates a bank", Confidence: "high", Asked: day(-9), Variants: []impound.Name{impound.MustName("xn--outlok-verify-4pb.net")}, Decision: "M-2"}}}},
	}
	var empty func(path string, v reflect.Value)
	empty = func(path string, v reflect.Value) {
		switch {
		case v.Type() == reflect.TypeFor[impound.Name]() || v.Type() == reflect.TypeFor[time.Time]() || v.Kind() != reflect.Struct && v.Kind() != reflect.Pointer && v.Kind() != reflect.Slice:
			if v.IsZero() && !strings.HasSuffix(path, ".Hold") { // hold contradicts name servers, and so does ds
				t.Errorf("%s is empty: give it a value here, and a line in Draft", path)
			}
		case v.Kind() == reflect.Pointer:
			empty(path, v.Elem())
		case v.Kind() == reflect.Slice:
			if v.Len() == 0 && !strings.HasSuffix(path, ".DS") {
				t.Errorf("%s is empty: give it a value here, and a line in Draft", path)
			}
			for i := range v.Len() {
				empty(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
			}
		default:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.Name != "Signatures" {
					empty(path+"."+f.Name, v.Field(i))
				}
			}
		}
	}
	empty("Order", reflect.ValueOf(o).Elem())
	b := Draft(impound.Case{ID: o.Case}, *o)
	p, err := Parse("d.yaml", b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if d := cmp.Diff(o, p, cmp.Comparer(func(a, b impound.Name) bool { return a == b }), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s\n%s", d, b)
	}
	if d := cmp.Diff(o, o.Clone(), cmp.Comparer(func(a, b impound.Name) bool { return a == b }), cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	c := o.Clone()
	c.Custody.Escrow, c.Rights.Bond, c.Deadlines[0].Who = "", "", ""
	c.DNS.Glue[0].Addrs[0], c.Sequence[0], c.BlockCreate[0], c.Appendices[0].Names[0].Variants[0] = "", "", impound.Name{}, impound.Name{}
	if o.DNS.Glue[0].Addrs[0] == "" || o.Sequence[0] == "" || o.BlockCreate[0].IsZero() || o.Appendices[0].Names[0].Variants[0].IsZero() {
		t.Error("a change of the clone changed the order")
	}
	if o.Custody.Escrow == "" || o.Rights.Bond == "" || o.Deadlines[0].Who == "" {
		t.Error("a change of the clone changed the order")
	}
}

func TestDraftFromCase(t *testing.T) {
	c := impound.Case{ID: "C-1", Domains: []impound.CaseDomain{
		{Name: impound.MustName("yahoo-verify.net"), State: impound.StateEvidenced, FirstSeen: t0},
		{Name: impound.MustName("mooo.com"), State: impound.StateBlocked},
		{Name: impound.MustName("xn--bcher-verify-dlb.com"), State: impound.StateCandidate},
		{Name: impound.MustName("gone.com"), State: impound.StateReleased},
	}}
	b := string(Draft(c, impound.Order{}))
	if strings.Contains(b, "mooo") || strings.Contains(b, "gone") || strings.Contains(b, "yahoo-verify.net") {
		t.Errorf("a name that must not be there, or not like this:\n%s", b)
	}
	for _, want := range []string{"count: 2\n", "- name: yahoo-verify[.]net   # first seen 2026-11-21\n", `shown as "bücher-verify[.]com"`, "\n...\n"} {
		if !strings.Contains(b, want) {
			t.Errorf("no %q in:\n%s", want, b)
		}
	}
	// What is open is named by its line.
	_, err := Parse("d.yaml", []byte(b))
	line := strings.Count(b[:strings.Index(b, "\nissued:")], "\n") + 2
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("d.yaml:%d: the order has no date of issue", line)) {
		t.Errorf("open fields: %v", err)
	}
	if bytes.Contains([]byte(err.Error()), []byte("not YAML")) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(strings.ReplaceAll(good, "\n", "\r\n")))
	f.Add([]byte("a: &x [*x]\n...\n"))
	f.Add([]byte("impound: order/v1\n\tid: x\n...\n"))
	f.Add([]byte("? {a: b}\n: c\n...\n"))
	f.Add([]byte("--- !!map\n<<: *a\n...\n"))
	f.Add([]byte("\ufeff...\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, ps := Read("o.yaml", data)
		for _, p := range ps {
			var n int
			if _, err := fmt.Sscanf(p.Where, "o.yaml:%d", &n); err != nil || n < 1 || n > bytes.Count(data, []byte("\n"))+1 {
				t.Fatalf("%q: no line of the document: %v", data, p)
			}
			if p.Cure == "" {
				t.Fatalf("%q: no cure: %v", data, p)
			}
		}
		if len(ps) > 0 {
			return
		}
		if len(d.Order.Validate()) > 0 {
			t.Fatalf("%q passed, but is not valid", data)
		}
		out, err := Sign("o.yaml", data, impound.Sign(key("alice"), impound.SignOrder, d.Order.Hash(), "alice", t0))
		if err != nil {
			if k := impound.KindOf(err); k != impound.KindConflict && k != impound.KindInvalid {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		o, err := Parse("o.yaml", out)
		if err != nil || o.Hash() != d.Order.Hash() {
			t.Fatalf("%q signed: %v", data, err)
		}
	})
}
