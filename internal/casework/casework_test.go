package casework_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/casework/orderdoc"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/store/sqlite"
)

// The real log and the real engine: both start in milliseconds. Only tests may
// know them here.

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func key(seed string) ed25519.PrivateKey {
	h := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(h[:])
}

func person(id string, roles ...impound.Role) impound.Person {
	return impound.Person{ID: id, Name: strings.ToUpper(id), Roles: roles, Key: impound.NewPublicKey(key(id).Public().(ed25519.PublicKey)), Enrolled: t0}
}

type desk struct {
	*casework.Service
	t   testing.TB
	dir string
	db  store.Store
	log *evidence.Log
	cfg casework.Config
}

func openDesk(t testing.TB, dir string) *desk {
	t.Helper()
	now := func() time.Time { return t0 }
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "impound.db"), sqlite.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	log, err := evidence.Open(filepath.Join(dir, "evidence"), evidence.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(); log.Close() })
	cfg := casework.Config{Store: db, Evidence: log, Now: now}
	s, err := casework.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &desk{s, t, dir, db, log, cfg}
}

// newDesk has root (admin), ann (analyst), carl (counsel), alice and bob
// (approvers), olga (operator).
func newDesk(t testing.TB) *desk {
	d := openDesk(t, t.TempDir())
	d.ok(d.Enrol(t.Context(), casework.SignEnrolment(person("root", impound.RoleAdmin), "root", key("root"))))
	for _, p := range []impound.Person{
		person("ann", impound.RoleAnalyst), person("carl", impound.RoleCounsel), person("alice", impound.RoleApprover), person("bob", impound.RoleApprover), person("olga", impound.RoleOperator),
	} {
		d.ok(d.Enrol(t.Context(), casework.SignEnrolment(p, "root", key("root"))))
	}
	return d
}

func (d *desk) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) refuses(err error, kind impound.Kind, words ...string) {
	d.t.Helper()
	if impound.KindOf(err) != kind {
		d.t.Fatalf("want an error of kind %s, got %v", kind, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			d.t.Errorf("want %q in: %v", w, err)
		}
	}
}

func names(ss ...string) []impound.Name {
	out := make([]impound.Name, len(ss))
	for i, s := range ss {
		out[i] = impound.MustName(s)
	}
	return out
}

func add(ss ...string) []casework.AddName {
	var out []casework.AddName
	for _, n := range names(ss...) {
		out = append(out, casework.AddName{Name: n, FirstSeen: t0.AddDate(0, 0, -30)})
	}
	return out
}

func template(id string) impound.Order {
	return impound.Order{
		ID: id, Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Practice Court", Docket: "26-mj-1", CallBack: "+1 555 0100"},
		Issued:    t0.Add(-time.Hour), From: t0.Add(-time.Hour), Until: t0.Add(24 * time.Hour), AtEnd: "restore",
		Parties:   impound.Parties{Requesting: "Practice Crimes Unit", Technical: "desk@unit.example"},
		Recipient: impound.Recipient{Name: "Practice Registry", Role: "registry"},
		Acts:      impound.Acts{Lock: []string{"serverTransferProhibited"}, RemoveDS: true, Sinkhole: true, Nameservers: names("ns1.sinkhole.example", "ns2.sinkhole.example")},
		Sinkhole:  impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 30},
	}
}

func sign(t testing.TB, data []byte, who ...string) []byte {
	t.Helper()
	for _, p := range who {
		o, err := orderdoc.Parse("order.yaml", data)
		if err != nil {
			t.Fatal(err)
		}
		if data, err = orderdoc.Sign("order.yaml", data, impound.Sign(key(p), impound.SignOrder, o.Hash(), p, t0)); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// draft opens case C-1 with names and gives an unsigned order for it.
func (d *desk) draft(id string, ns ...string) []byte {
	d.t.Helper()
	ctx := d.t.Context()
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice", Actor: "APT35"}))
	_, err := d.AddNames(ctx, "ann", "C-1", add(ns...))
	d.ok(err)
	o := template(id)
	a := impound.Appendix{ID: "A", Count: len(ns)}
	for _, n := range names(ns...) {
		a.Names = append(a.Names, impound.OrderName{Name: n})
	}
	o.Appendices = []impound.Appendix{a}
	b, err := d.DraftOrder(ctx, "C-1", o)
	d.ok(err)
	return b
}

func (d *desk) state(n string) impound.DomainState {
	d.t.Helper()
	c, err := d.Case(d.t.Context(), "C-1")
	d.ok(err)
	for _, x := range c.Domains {
		if x.Name == impound.MustName(n) {
			return x.State
		}
	}
	return ""
}

func (d *desk) entries(what string) int {
	d.t.Helper()
	n := 0
	d.ok(d.log.Entries(d.t.Context(), 0, func(_ int64, e impound.Entry) error {
		if e.What == what {
			n++
		}
		return nil
	}))
	return n
}

func TestEnrol(t *testing.T) {
	ctx := t.Context()
	d := openDesk(t, t.TempDir())
	root := casework.SignEnrolment(person("root", impound.RoleAdmin), "root", key("root"))
	d.refuses(d.Enrol(ctx, casework.SignEnrolment(person("ann", impound.RoleAnalyst), "ann", key("ann"))), impound.KindRefused, "must be an admin")
	d.refuses(d.Enrol(ctx, casework.SignEnrolment(person("root", impound.RoleAdmin), "other", key("other"))), impound.KindRefused, "sign for himself")
	d.refuses(d.Enrol(ctx, casework.SignEnrolment(person("root", impound.RoleAdmin), "root", key("other"))), impound.KindRefused, "sign for himself")
	d.ok(d.Enrol(ctx, root))
	d.ok(d.Enrol(ctx, root)) // again: nothing
	if n := d.entries(casework.WhatEnrol); n != 1 {
		t.Errorf("%d entries", n)
	}
	ann := casework.SignEnrolment(person("ann", impound.RoleAnalyst), "root", key("root"))
	d.ok(d.Enrol(ctx, ann))
	for name, e := range map[string]casework.Enrolment{
		"self-signed":        casework.SignEnrolment(person("eve", impound.RoleAdmin), "eve", key("eve")),
		"signed by no admin": casework.SignEnrolment(person("eve", impound.RoleAdmin), "ann", key("ann")),
		"forged":             casework.SignEnrolment(person("eve", impound.RoleAdmin), "root", key("eve")),
	} {
		t.Run(name, func(t *testing.T) { d.refuses(d.Enrol(ctx, e), impound.KindRefused) })
	}
	more := ann
	more.Roles = append(more.Roles, impound.RoleApprover)
	d.refuses(d.Enrol(ctx, more), impound.KindRefused, "does not fit")
	p := person("ann2", impound.RoleApprover)
	p.Key = person("ann").Key
	d.refuses(d.Enrol(ctx, casework.SignEnrolment(p, "root", key("root"))), impound.KindConflict, "one key is one person")
	p = person("ann", impound.RoleAnalyst)
	p.Key = person("eve").Key
	d.refuses(d.Enrol(ctx, casework.SignEnrolment(p, "root", key("root"))), impound.KindConflict, "another key")
	d.refuses(d.Enrol(ctx, casework.SignEnrolment(person("system", impound.RoleAdmin), "root", key("root"))), impound.KindInvalid)
	d.refuses(d.Enrol(ctx, casework.SignEnrolment(person("a b", impound.RoleAdmin), "root", key("root"))), impound.KindInvalid)
	d.refuses(d.Enrol(ctx, casework.SignEnrolment(person("eve", "king"), "root", key("root"))), impound.KindInvalid, "no role")
	d.refuses(d.Enrol(ctx, casework.SignEnrolment(person("root", impound.RoleAnalyst), "root", key("root"))), impound.KindRefused, "last admin")

	// Roles are taken away, and the old enrolment doesn't bring them back.
	gone := person("ann")
	gone.Enrolled = t0.Add(time.Hour)
	d.ok(d.Enrol(ctx, casework.SignEnrolment(gone, "root", key("root"))))
	d.refuses(d.Enrol(ctx, ann), impound.KindRefused, "used before")

	// Another process sees the same, from the log alone.
	e := openDesk(t, d.dir)
	a, err := d.People(ctx)
	d.ok(err)
	b, err := e.People(ctx)
	d.ok(err)
	if diff := cmp.Diff(a, b); diff != "" || len(a) != 2 || len(a[0].Roles) != 0 {
		t.Errorf("people: %v\n%s", a, diff)
	}
	// An entry that somebody slips into the log enrols nobody.
	bad := casework.SignEnrolment(person("eve", impound.RoleAdmin), "root", key("eve"))
	_, err = d.log.Append(ctx, impound.Entry{Type: impound.EntrySystem, By: "root", What: casework.WhatEnrol, Detail: map[string]string{
		"id": "eve", "name": "EVE", "roles": "admin", "key": string(bad.Key), "enrolled": "2026-11-21T12:00:00Z", "signer": "root", "signer_key": string(person("root").Key), "signed_at": "2026-11-21T12:00:00Z", "sig": bad.Signature.Sig}})
	d.ok(err)
	r, err := d.Keyring(ctx)
	d.ok(err)
	if _, ok := r.Person("eve"); ok {
		t.Error("a forged entry enrolled somebody")
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "alice.pem")
	k, err := casework.NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := casework.ReadKey(path)
	if err != nil || !got.Equal(k) {
		t.Fatalf("%v", err)
	}
	if _, err := casework.NewKey(path); impound.KindOf(err) != impound.KindConflict {
		t.Errorf("overwriting: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := casework.ReadKey(path); impound.KindOf(err) != impound.KindRefused || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	if _, err := casework.ReadKey(path + "x"); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("no key: %v", err)
	}
	if err := os.WriteFile(path+"y", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := casework.ReadKey(path + "y"); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("garbage: %v", err)
	}
}

func TestRoles(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	c := impound.Case{ID: "C-1", Title: "x"}
	for _, by := range []string{"root", "alice", "olga", "carl"} {
		d.refuses(d.OpenCase(ctx, by, c), impound.KindAuth, by+" may not do this", "analyst")
	}
	for _, by := range []string{"nobody", "", "system"} {
		d.refuses(d.OpenCase(ctx, by, c), impound.KindAuth, "not enrolled")
	}
	d.ok(d.OpenCase(ctx, "ann", c))
	_, err := d.AddNames(ctx, "alice", "C-1", add("a-verify.com"))
	d.refuses(err, impound.KindAuth)
	_, err = d.FileOrder(ctx, "olga", "o.yaml", nil)
	d.refuses(err, impound.KindAuth, "analyst or counsel")
	_, err = d.SaveActor(ctx, "olga", impound.Actor{ID: "x", Names: []string{"x"}})
	d.refuses(err, impound.KindAuth)
	d.refuses(d.Promote(ctx, "olga", impound.MustName("a-verify.com"), "C-1"), impound.KindAuth)
	d.refuses(d.Dismiss(ctx, "olga", impound.MustName("a-verify.com"), ""), impound.KindAuth)
	d.refuses(d.Override(ctx, "olga", impound.Override{}), impound.KindAuth)
	d.refuses(d.AttachEvidence(ctx, "olga", "C-1", impound.MustName("a-verify.com")), impound.KindAuth)
	d.refuses(d.SetState(ctx, "system", "C-1", impound.MustName("a-verify.com"), impound.StateProposed, ""), impound.KindAuth)
	if n := d.entries("case.open"); n != 1 {
		t.Errorf("%d entries: what was refused must leave none", n)
	}
}

func TestCaseLife(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice", Actor: "APT35"}))
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice", Actor: "APT35"}))
	d.refuses(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Another"}), impound.KindConflict)
	d.refuses(d.OpenCase(ctx, "ann", impound.Case{ID: "../x", Title: "x"}), impound.KindInvalid)
	d.refuses(d.OpenCase(ctx, "ann", impound.Case{ID: "C-2"}), impound.KindInvalid, "title")
	_, err := d.AddNames(ctx, "ann", "C-9", add("a-verify.com"))
	d.refuses(err, impound.KindNotFound)
	n, err := d.AddNames(ctx, "ann", "C-1", add("a-verify.com", "b-verify.com"))
	d.ok(err)
	if n != 2 {
		t.Errorf("added %d", n)
	}
	n, err = d.AddNames(ctx, "ann", "C-1", []casework.AddName{{Name: impound.MustName("a-verify.com"), FirstSeen: t0.AddDate(-1, 0, 0), Reasons: []impound.Reason{{Code: "x", Text: "y"}}}})
	d.ok(err)
	if n != 0 {
		t.Errorf("added %d", n)
	}
	before := d.log.Size()
	_, err = d.AddNames(ctx, "ann", "C-1", add("a-verify.com", "b-verify.com")) // again: no entry
	d.ok(err)
	if d.log.Size() != before {
		t.Error("adding what is there wrote to the log")
	}
	a := impound.MustName("a-verify.com")
	art, err := d.log.Capture(ctx, impound.Artefact{Kind: "dns", Source: "test", Tool: "test", By: "ann", Case: "C-1", Name: a}, []byte("answer"))
	d.ok(err)
	d.refuses(d.AttachEvidence(ctx, "ann", "C-1", a, "sha256:00"), impound.KindInvalid)
	if err := d.AttachEvidence(ctx, "ann", "C-1", a, "sha256:"+strings.Repeat("0", 64)); err == nil {
		t.Error("evidence that is not there was attached")
	}
	d.ok(d.AttachEvidence(ctx, "system", "C-1", a, art.Hash))
	d.ok(d.AttachEvidence(ctx, "system", "C-1", a, art.Hash))
	if got := d.state("a-verify.com"); got != impound.StateEvidenced {
		t.Errorf("state %s", got)
	}
	d.refuses(d.SetState(ctx, "ann", "C-1", a, impound.StateOrdered, "because"), impound.KindRefused, "file an order")
	d.refuses(d.SetState(ctx, "olga", "C-1", a, impound.StateSinkholed, "because"), impound.KindRefused)
	d.ok(d.SetState(ctx, "ann", "C-1", a, impound.StateProposed, "looks right"))
	d.ok(d.SetState(ctx, "ann", "C-1", a, impound.StateProposed, "looks right"))
	c, err := d.Case(ctx, "C-1")
	d.ok(err)
	var got []string
	for _, h := range c.Domains[0].History {
		got = append(got, h.By+" "+string(h.State))
	}
	if diff := cmp.Diff([]string{"ann candidate", "system evidenced", "ann proposed"}, got); diff != "" {
		t.Error(diff)
	}
	if !c.Domains[0].FirstSeen.Equal(t0.AddDate(-1, 0, 0)) || len(c.Domains) != 2 {
		t.Errorf("%+v", c.Domains)
	}
}

func TestNameLists(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	list := "\ufeff# names\r\noutlook-verify[.]net\r\n\nnot a name\nyahoo-verify.net, 2019-03-27 # seen\n192.0.2.1\nOUTLOOK-VERIFY.NET\ncom\n" + strings.Repeat("x", 20000) + "\nhxxp://verification-live[.]com/login\tx\nmyaccount-services.net 2019-03-01"
	rep, err := d.AddNamesFrom(ctx, "ann", "C-1", "dir/list.txt", strings.NewReader(list))
	d.refuses(err, impound.KindPartial, "5 lines", "3 names")
	var where []string
	for _, p := range rep.Problems {
		where = append(where, p.Where)
		if p.Cure == "" {
			t.Errorf("no cure: %v", p)
		}
	}
	if diff := cmp.Diff([]string{"dir/list.txt:4", "dir/list.txt:6", "dir/list.txt:8", "dir/list.txt:9", "dir/list.txt:10"}, where); diff != "" {
		t.Error(diff)
	}
	if rep.Added != 3 || rep.Known != 0 {
		t.Errorf("%+v", rep)
	}
	rep, err = d.AddNamesFrom(ctx, "ann", "C-1", "list.txt", strings.NewReader("outlook-verify.net\nnew-verify.net\n"))
	d.ok(err)
	if rep.Added != 1 || rep.Known != 1 {
		t.Errorf("%+v", rep)
	}
	_, err = d.AddNamesFrom(ctx, "ann", "C-1", "list.txt", strings.NewReader("no name\n"))
	d.refuses(err, impound.KindInvalid, "list.txt:1")
	_, err = d.AddNamesFrom(ctx, "ann", "C-1", "list.txt", broken{})
	d.refuses(err, impound.KindInvalid)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func TestCandidatesAndActors(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-2", Title: "Practice"}))
	cand := func(n string, score float64) impound.Candidate {
		return impound.Candidate{Name: impound.MustName(n), Source: "nrd", Seen: t0, Score: score, Brand: "outlook", Status: "promoted", Case: "C-9", Reasons: []impound.Reason{{Code: "brand", Text: fmt.Sprint(score)}}}
	}
	n, err := d.SaveCandidates(impound.AsSystem(ctx), []impound.Candidate{cand("a-verify.com", .5), cand("b-verify.com", .9), cand("c-verify.com", .1)})
	d.ok(err)
	if n != 3 {
		t.Errorf("new: %d", n)
	}
	got, err := d.Candidates(ctx, casework.CandidateFilter{Status: casework.CandidateOpen, MinScore: .2})
	d.ok(err)
	if len(got) != 2 || got[0].Name != impound.MustName("b-verify.com") || got[0].Case != "" {
		t.Errorf("%+v", got)
	}
	a, b := impound.MustName("a-verify.com"), impound.MustName("b-verify.com")
	d.ok(d.Promote(ctx, "ann", a, "C-1"))
	d.ok(d.Promote(ctx, "ann", a, "C-1"))
	d.refuses(d.Promote(ctx, "ann", a, "C-2"), impound.KindConflict)
	d.refuses(d.Promote(ctx, "ann", impound.MustName("zzz.com"), "C-1"), impound.KindNotFound)
	d.refuses(d.Promote(ctx, "ann", b, "C-9"), impound.KindNotFound)
	d.ok(d.Dismiss(ctx, "ann", b, "a customer's own"))
	d.refuses(d.Dismiss(ctx, "ann", a, "x"), impound.KindConflict)
	// What a person decided survives the next finding.
	n, err = d.SaveCandidates(impound.AsSystem(ctx), []impound.Candidate{cand("a-verify.com", .99), cand("b-verify.com", .1)})
	d.ok(err)
	c, err := d.Candidate(ctx, a)
	d.ok(err)
	if n != 0 || c.Status != casework.CandidatePromoted || c.Case != "C-1" || c.Score != .99 {
		t.Errorf("%d %+v", n, c)
	}
	if d.state("a-verify.com") != impound.StateCandidate {
		t.Error("promoted, but not in the case")
	}

	shared, err := d.SaveActor(ctx, "ann", impound.Actor{ID: "APT35", Names: []string{"Charming Kitten", "Mint Sandstorm"}})
	d.ok(err)
	if len(shared) != 0 {
		t.Errorf("%v", shared)
	}
	shared, err = d.SaveActor(ctx, "ann", impound.Actor{ID: "Magic-Hound", Names: []string{"Magic Hound", "MINT-SANDSTORM"}})
	d.ok(err)
	if diff := cmp.Diff(map[string][]string{"MINT-SANDSTORM": {"APT35"}}, shared); diff != "" {
		t.Error(diff)
	}
	as, err := d.ActorsByAlias(ctx, "“mint sandstorm”")
	d.ok(err)
	if len(as) != 2 {
		t.Errorf("%v", as)
	}
}

func TestFileOrder(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	doc := d.draft("O-1", "outlook-verify.net", "yahoo-verify.net", "mooo.com")
	if !strings.Contains(string(doc), "mooo[.]com") {
		t.Fatal(string(doc))
	}
	size := d.log.Size()
	rep, err := d.CheckOrder(ctx, "o.yaml", doc)
	d.ok(err)
	if len(rep.Problems) > 0 || len(rep.Unsigned) != 1 || len(rep.Missing) == 0 || rep.Filed {
		t.Errorf("%+v", rep)
	}
	if got := rep.BlockedNames(); len(got) != 1 || got[0].String() != "mooo.com" {
		t.Errorf("blocked: %v", got)
	}
	for name, bad := range map[string][]byte{"unsigned": doc, "one person": sign(t, doc, "alice")} {
		_, err = d.FileOrder(ctx, "ann", "o.yaml", bad)
		d.refuses(err, impound.KindRefused, "o.yaml:", "signed by", "order sign")
		_ = name
	}
	signed := sign(t, doc, "alice", "bob")
	_, err = d.FileOrder(ctx, "ann", "o.yaml", signed[:len(signed)-10])
	d.refuses(err, impound.KindInvalid, "cut")
	_, err = d.FileOrder(ctx, "ann", "o.yaml", []byte(strings.Replace(string(signed), "retention_days: 30", "retention_days: 999", 1)))
	d.refuses(err, impound.KindRefused, "does not fit")
	_, err = d.FileOrder(ctx, "ann", "o.yaml", sign(t, []byte(strings.Replace(string(doc), "case: C-1", "case: C-404", 1)), "alice", "bob"))
	d.refuses(err, impound.KindNotFound, "o.yaml:", "C-404")
	if d.log.Size() != size {
		t.Error("checks and refusals wrote to the log")
	}
	if ms, err := d.Mandates(ctx); err != nil || len(ms) != 0 {
		t.Errorf("mandates before filing: %v %v", ms, err)
	}

	rep, err = d.FileOrder(ctx, "carl", "dir/o.yaml", signed)
	d.ok(err)
	if !rep.Filed {
		t.Error("not filed")
	}
	if d.state("mooo.com") != impound.StateBlocked || d.state("yahoo-verify.net") != impound.StateOrdered {
		t.Error("states")
	}
	size = d.log.Size()
	_, err = d.FileOrder(ctx, "carl", "dir/o.yaml", signed) // again
	d.ok(err)
	if d.log.Size() != size {
		t.Error("filing again wrote to the log")
	}
	other := sign(t, []byte(strings.Replace(string(doc), "retention_days: 30", "retention_days: 31", 1)), "alice", "bob")
	_, err = d.FileOrder(ctx, "carl", "dir/o.yaml", other)
	d.refuses(err, impound.KindConflict, "dir/o.yaml:", "another order is filed as O-1", "supplement")

	ms, err := d.Mandates(ctx)
	d.ok(err)
	if len(ms) != 1 || ms[0].ID() != "O-1" {
		t.Fatalf("mandates: %v", ms)
	}
	m := ms[0]
	if _, err := m.Permit(impound.ActSinkhole, impound.MustName("outlook-verify.net"), t0); err != nil {
		t.Error(err)
	}
	if _, err := m.Permit(impound.ActSinkhole, impound.MustName("mooo.com"), t0); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("a blocked name is permitted: %v", err)
	}
	if _, err := m.Permit(impound.ActSinkhole, impound.MustName("outlook-verify.net"), t0.Add(25*time.Hour)); err == nil {
		t.Error("a lapsed order permits")
	}
	bl, err := d.Blocked(ctx, m)
	d.ok(err)
	if v := bl[impound.MustName("mooo.com")]; len(bl) != 1 || v[0].Gate != gate.G1 {
		t.Errorf("%v", bl)
	}
	row, _, data, err := d.Order(ctx, "O-1")
	d.ok(err)
	if string(data) != string(signed) || row.By != "carl" || len(row.Blocked) != 1 || !cmp.Equal(row.Signers, []string{"alice", "bob"}) {
		t.Errorf("%+v", row)
	}
	// A second process, from the folder alone.
	ms, err = openDesk(t, d.dir).Mandates(ctx)
	d.ok(err)
	if len(ms) != 1 || len(ms[0].Names()) != 2 || len(ms[0].Withheld()) != 1 {
		t.Errorf("%v", ms)
	}
}

// Law 1 against a database edited by hand: whatever is written there, the same
// mandates come out, and the difference is said.
func TestDatabaseEditedByHand(t *testing.T) {
	ctx := t.Context()
	put := func(d *desk, id string, change func(*casework.OrderRow)) {
		d.t.Helper()
		d.ok(d.db.Update(ctx, func(tx store.Tx) error {
			row, rev, err := store.Get[casework.OrderRow](tx, "order", id)
			if err != nil && impound.KindOf(err) != impound.KindNotFound {
				return err
			}
			change(&row)
			_, err = store.Put(tx, "order", id, rev, row, nil)
			return err
		}))
	}
	for name, edit := range map[string]func(*desk){
		"row altered": func(d *desk) { put(d, "O-1", func(r *casework.OrderRow) { r.Hash = "sha256:00" }) },
		"hash swapped": func(d *desk) {
			evil := sign(d.t, []byte(strings.Replace(string(d.draft("O-1", "outlook-verify.net")), "outlook-verify", "evil-verify", 1)), "alice", "alice2")
			a, err := d.log.Capture(ctx, impound.Artefact{Kind: "order", Source: "x", Tool: "x", By: "x"}, evil)
			d.ok(err)
			put(d, "O-1", func(r *casework.OrderRow) { r.Document = a.Hash })
		},
		"row inserted": func(d *desk) {
			put(d, "O-2", func(r *casework.OrderRow) { *r = casework.OrderRow{ID: "O-2", Case: "C-1", Names: 1} })
		},
		"garbage": func(d *desk) {
			d.ok(d.db.Update(ctx, func(tx store.Tx) error {
				x, err := tx.Get("order", "O-1")
				if err != nil {
					return err
				}
				x.Body = []byte("{")
				_, err = tx.Put(x)
				return err
			}))
		},
		"row deleted": func(d *desk) {
			d.ok(d.db.Update(ctx, func(tx store.Tx) error {
				x, err := tx.Get("order", "O-1")
				if err != nil {
					return err
				}
				return tx.Delete("order", "O-1", x.Rev)
			}))
		},
		"block lifted": func(d *desk) {
			d.ok(d.db.Update(ctx, func(tx store.Tx) error {
				x, rev, err := store.Get[impound.CaseDomain](tx, "domain", "C-1/mooo.com")
				if err != nil {
					return err
				}
				x.State, x.Verdicts = impound.StateSinkholed, nil
				_, err = store.Put(tx, "domain", "C-1/mooo.com", rev, x, map[string]string{"case": "C-1"})
				return err
			}))
			put(d, "O-1", func(r *casework.OrderRow) { r.Blocked = nil })
		},
		"people inserted": func(d *desk) {
			d.ok(d.db.Update(ctx, func(tx store.Tx) error {
				_, err := store.Put(tx, "person", "eve", 0, person("eve", impound.Roles...), nil)
				return err
			}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.ok(d.Enrol(ctx, casework.SignEnrolment(person("alice2", impound.RoleApprover), "root", key("root"))))
			_, err := d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-1", "outlook-verify.net", "mooo.com"), "alice", "bob"))
			d.ok(err)
			want := "O-1 [outlook-verify.net]"
			for i := range 2 {
				s := d.Service
				if i == 1 {
					edit(d)
					if s, err = casework.New(d.cfg); err != nil {
						t.Fatal(err)
					}
				}
				for _, s := range []*casework.Service{d.Service, s} {
					ms, err := s.Mandates(ctx)
					if err != nil && impound.KindOf(err) != impound.KindPartial {
						t.Fatal(err)
					}
					if i == 1 && err == nil && !strings.HasPrefix(name, "block") && name != "row deleted" && name != "people inserted" {
						t.Error("the edit was not noticed")
					}
					var got []string
					for _, m := range ms {
						got = append(got, m.ID()+" "+fmt.Sprint(m.Names()))
					}
					if len(got) != 1 || got[0] != want {
						t.Errorf("mandates: %v (%v)", got, err)
					}
				}
			}
		})
	}
}

// An entry slipped into the log (by somebody with the evidence folder's key)
// still needs the approvers' signatures.
func TestEntrySlippedIn(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	doc := sign(t, d.draft("O-1", "outlook-verify.net"), "alice")
	a, err := d.log.Capture(ctx, impound.Artefact{Kind: "order", Source: "x", Tool: "x", By: "x"}, doc)
	d.ok(err)
	o, err := orderdoc.Parse("x", doc)
	d.ok(err)
	_, err = d.log.Append(ctx, impound.Entry{Type: impound.EntryDecision, By: "ann", What: casework.WhatOrderFile, Order: "O-1", Detail: map[string]string{"document": a.Hash, "hash": o.Hash()}})
	d.ok(err)
	ms, err := d.Mandates(ctx)
	d.refuses(err, impound.KindPartial, "O-1 is out of effect")
	if len(ms) != 0 {
		t.Error("an order signed by one person is in effect")
	}
	// It doesn't keep others from being filed, listed and in effect.
	_, err = d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-2", "outlook-verify.net"), "alice", "bob"))
	d.ok(err)
	ms, err = d.Mandates(ctx)
	d.refuses(err, impound.KindPartial)
	rows, err := d.Orders(ctx)
	d.ok(err)
	if len(ms) != 1 || ms[0].ID() != "O-2" || len(rows) != 1 || rows[0].ID != "O-2" {
		t.Errorf("%v %v", ms, rows)
	}
}

func TestSupplement(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	_, err := d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-1", "outlook-verify.net"), "alice", "bob"))
	d.ok(err)
	row, _, _, err := d.Order(ctx, "O-1")
	d.ok(err)
	supp := func(hash string) []byte {
		o := template("O-1-S1")
		o.Until = t0.AddDate(1, 0, 0)
		o.Parent = &impound.ParentRef{ID: "O-1", Hash: hash, Clause: "7"}
		o.Appendices = []impound.Appendix{{ID: "B", Count: 1, Names: []impound.OrderName{{Name: impound.MustName("new-verify.net")}}}}
		b, err := d.DraftOrder(ctx, "C-1", o)
		d.ok(err)
		return sign(t, b, "alice", "bob")
	}
	_, err = d.FileOrder(ctx, "ann", "s.yaml", supp("sha256:00"))
	d.refuses(err, impound.KindInvalid, "s.yaml:", "hash")
	_, err = d.FileOrder(ctx, "ann", "s.yaml", supp(row.Hash))
	d.ok(err)
	ms, err := d.Mandates(ctx)
	d.ok(err)
	if len(ms) != 2 {
		t.Fatal(ms)
	}
	if _, until := ms[1].Window(); !until.Equal(t0.Add(24 * time.Hour)) {
		t.Errorf("the supplement outlives its parent: %v", until)
	}
	if d.state("new-verify.net") != impound.StateOrdered {
		t.Error("the new name is not in the case")
	}
}

func TestOverride(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	_, err := d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-1", "outlook-verify.net", "mooo.com"), "alice", "bob"))
	d.ok(err)
	o := impound.Override{Name: impound.MustName("mooo.com"), Gate: gate.G1, Reason: "its owner asked for it in writing"}
	with := func(o impound.Override, who ...string) impound.Override {
		for _, p := range who {
			o.Signatures = append(o.Signatures, impound.Sign(key(p), impound.SignOverride, o.Hash(), p, t0))
		}
		return o
	}
	d.refuses(d.Override(ctx, "ann", with(o)), impound.KindRefused, "0 of 2")
	d.refuses(d.Override(ctx, "ann", with(o, "alice")), impound.KindRefused, "1 of 2")
	d.refuses(d.Override(ctx, "ann", with(o, "alice", "alice")), impound.KindRefused, "1 of 2")
	d.refuses(d.Override(ctx, "ann", with(o, "alice", "ann")), impound.KindRefused, "no approver")
	noReason, g12 := o, o
	noReason.Reason, g12.Gate = " ", gate.G12
	d.refuses(d.Override(ctx, "ann", with(noReason, "alice", "bob")), impound.KindInvalid, "reason")
	d.refuses(d.Override(ctx, "ann", with(g12, "alice", "bob")), impound.KindRefused, "can't be overridden")
	// Signatures over another reason don't count.
	moved := with(o, "alice", "bob")
	moved.Reason = "no reason at all"
	d.refuses(d.Override(ctx, "ann", moved), impound.KindRefused, "does not fit")
	check := func(want int) {
		t.Helper()
		ms, err := d.Mandates(ctx)
		d.ok(err)
		if got := len(ms[0].Names()); got != want {
			t.Fatalf("%d names in effect, want %d", got, want)
		}
	}
	check(1)
	g5 := o
	g5.Gate = gate.G5
	d.ok(d.Override(ctx, "ann", with(g5, "alice", "bob"))) // of another gate
	check(1)
	d.ok(d.Override(ctx, "ann", with(o, "alice", "bob")))
	d.ok(d.Override(ctx, "ann", with(o, "alice", "bob")))
	check(2)
	// An approver who is no approver any more takes his word with him.
	gone := person("bob")
	gone.Enrolled = t0.Add(time.Hour)
	d.ok(d.Enrol(ctx, casework.SignEnrolment(gone, "root", key("root"))))
	ms, err := d.Mandates(ctx)
	d.refuses(err, impound.KindPartial, "no approver")
	if len(ms) != 0 {
		t.Error("the order stayed in effect")
	}
}

func TestGatesUseFactsAndClaims(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	doc := d.draft("O-1", "old-site.com", "claimed.com", "sunk.com", "fine.com", "unseen.com")
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-2", Title: "Other", Actor: "STRONTIUM"}))
	_, err := d.AddNames(ctx, "ann", "C-2", add("claimed.com"))
	d.ok(err)
	d.cfg.Facts = func(_ context.Context, n impound.Name) (casework.Facts, error) {
		f := casework.Facts{Created: t0.AddDate(0, -2, 0), CreatedAsOf: t0, NS: names("ns1.host.example"), NSAsOf: t0, ProviderContacted: t0}
		switch n.String() {
		case "old-site.com":
			f.Created = t0.AddDate(-12, 0, 0)
		case "sunk.com":
			f.NS = names("ns1.microsoftinternetsafety.net")
		case "unseen.com":
			return casework.Facts{}, errors.New("RDAP is down")
		}
		return f, nil
	}
	s, err := casework.New(d.cfg)
	d.ok(err)
	rep, err := s.CheckOrder(ctx, "o.yaml", doc)
	d.ok(err)
	got := map[string]string{}
	for _, n := range rep.Names {
		for _, b := range n.Blocked {
			got[n.Name.String()] += b.Gate
		}
	}
	if diff := cmp.Diff(map[string]string{"old-site.com": gate.G9, "claimed.com": gate.G15, "sunk.com": gate.G5}, got); diff != "" {
		t.Error(diff)
	}
}

// Many at once, over two services: nobody's work is lost.
func TestConcurrentEdits(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	e := openDesk(t, d.dir)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	n := impound.MustName("a-verify.com")
	var wg sync.WaitGroup
	for i := range 8 {
		s := d.Service
		if i%2 == 1 {
			s = e.Service
		}
		wg.Go(func() {
			for j := range 5 {
				if _, err := s.AddNames(ctx, "ann", "C-1", []casework.AddName{{Name: n, Reasons: []impound.Reason{{Code: "r", Text: fmt.Sprint(i, j)}}}, {Name: impound.MustName(fmt.Sprintf("n%d-%d.com", i, j))}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	c, err := d.Case(ctx, "C-1")
	d.ok(err)
	if len(c.Domains) != 41 || len(c.Domains[0].Reasons) != 40 {
		t.Errorf("%d names, %d reasons", len(c.Domains), len(c.Domains[0].Reasons))
	}
}

// faulty is an evidence log that can be made to misbehave.
type faulty struct {
	*evidence.Log
	left   int  // writes until the crash; negative: none
	after  bool // the crash comes when the write is done
	before func(impound.Entry)
	read   func(hash string, b []byte) []byte
}

var errCrash = errors.New("crash")

func (c *faulty) die(write func() error) error {
	c.left--
	if c.left == -1 && !c.after {
		return errCrash
	}
	if err := write(); err != nil {
		return err
	}
	if c.left == -1 {
		return errCrash
	}
	return nil
}

func (c *faulty) Append(ctx context.Context, e impound.Entry) (i int64, err error) {
	if c.before != nil {
		c.before(e)
	}
	err = c.die(func() (err error) { i, err = c.Log.Append(ctx, e); return err })
	return i, err
}

func (c *faulty) Capture(ctx context.Context, a impound.Artefact, b []byte) (out impound.Artefact, err error) {
	err = c.die(func() (err error) { out, err = c.Log.Capture(ctx, a, b); return err })
	return out, err
}

func (c *faulty) Read(hash string) ([]byte, error) {
	b, err := c.Log.Read(hash)
	if c.read != nil && err == nil {
		b = c.read(hash, b)
	}
	return b, err
}

func (d *desk) faulty(f *faulty) *casework.Service {
	d.t.Helper()
	f.Log = d.log
	cfg := d.cfg
	cfg.Evidence = f
	s, err := casework.New(cfg)
	d.ok(err)
	return s
}

// A run that dies at any write, before it or just after it, and is run again
// ends as one that didn't, with each decision once in the log.
func TestCrashAtEveryWrite(t *testing.T) {
	ctx := t.Context()
	run := func(s *casework.Service, doc []byte) error {
		if err := s.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice", Actor: "APT35"}); err != nil {
			return err
		}
		if _, err := s.AddNames(ctx, "ann", "C-1", add("outlook-verify.net", "mooo.com")); err != nil {
			return err
		}
		if err := s.SetState(ctx, "ann", "C-1", impound.MustName("outlook-verify.net"), impound.StateProposed, "x"); err != nil && impound.KindOf(err) != impound.KindRefused {
			return err
		}
		_, err := s.FileOrder(ctx, "ann", "o.yaml", doc)
		return err
	}
	src := newDesk(t)
	doc := sign(t, src.draft("O-1", "outlook-verify.net", "mooo.com"), "alice", "bob")
	for _, after := range []bool{false, true} {
		done := false
		for n := 0; !done; n++ {
			if n > 50 {
				t.Fatal("no end")
			}
			d := newDesk(t)
			err := run(d.faulty(&faulty{left: n, after: after}), doc)
			done = err == nil
			if !done && !errors.Is(err, errCrash) {
				t.Fatalf("crash at %d: %v", n, err)
			}
			d.ok(run(d.Service, doc))
			ms, err := d.Mandates(ctx)
			d.ok(err)
			if len(ms) != 1 || len(ms[0].Names()) != 1 || d.state("mooo.com") != impound.StateBlocked || d.state("outlook-verify.net") != impound.StateOrdered {
				t.Fatalf("crash at %d: another end", n)
			}
			for _, what := range []string{"case.open", "case.names", "case.state", casework.WhatOrderFile} {
				if got := d.entries(what); got != 1 {
					t.Fatalf("crash at %d (after: %v): %d entries of %s", n, after, got, what)
				}
			}
		}
	}
}

// Two processes file different orders under one id: the log says who was first,
// and the other is told.
func TestTwoFileAtOnce(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	doc := d.draft("O-1", "outlook-verify.net")
	first, second := sign(t, doc, "alice", "bob"), sign(t, []byte(strings.Replace(string(doc), "retention_days: 30", "retention_days: 31", 1)), "alice", "bob")
	once := false
	s := d.faulty(&faulty{left: -10, before: func(e impound.Entry) {
		if e.What == casework.WhatOrderFile && !once {
			once = true
			_, err := d.FileOrder(ctx, "carl", "first.yaml", first)
			d.ok(err)
		}
	}})
	_, err := s.FileOrder(ctx, "ann", "second.yaml", second)
	d.refuses(err, impound.KindConflict, "second.yaml:", "filed as O-1 (by carl")
	_, _, data, err := s.Order(ctx, "O-1")
	d.ok(err)
	if !once || string(data) != string(first) {
		t.Error("the second replaced the first")
	}
}

// Whatever the log's folder gives back is held against the hash in the entry.
func TestArtefactsAreProven(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	_, err := d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-1", "outlook-verify.net", "mooo.com"), "alice", "bob"))
	d.ok(err)
	for name, change := range map[string][2]string{
		"document": {"# An order", "# An Order"},
		"gates":    {`"outcome":"block"`, `"outcome":"pass"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := d.faulty(&faulty{left: -10, read: func(_ string, b []byte) []byte {
				return []byte(strings.ReplaceAll(string(b), change[0], change[1]))
			}})
			ms, err := s.Mandates(ctx)
			d.refuses(err, impound.KindPartial, "was changed")
			if len(ms) != 0 {
				t.Error("a changed artefact is in effect")
			}
		})
	}
}

// An override slipped into the log counts as little as one that is handed in.
func TestOverrideSlippedIn(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	_, err := d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-1", "outlook-verify.net", "mooo.com"), "alice", "bob"))
	d.ok(err)
	o := impound.Override{Name: impound.MustName("mooo.com"), Gate: gate.G1, Reason: "because"}
	o.Signatures = []impound.Signature{impound.Sign(key("alice"), impound.SignOverride, o.Hash(), "alice", t0)}
	b, err := json.Marshal(o)
	d.ok(err)
	_, err = d.log.Append(ctx, impound.Entry{Type: impound.EntryDecision, By: "alice", What: casework.WhatOverride, Name: o.Name, Detail: map[string]string{"override": string(b)}})
	d.ok(err)
	ms, err := d.Mandates(ctx)
	d.ok(err)
	if len(ms[0].Withheld()) != 1 {
		t.Error("an override by one person let a name through")
	}
}
