package impound

import (
	"crypto/ed25519"
	"crypto/sha256"
	"strings"
	"testing"
	"time"
)

type ring map[string]Person

func (r ring) Person(id string) (Person, bool) { p, ok := r[id]; return p, ok }

func testKey(seed string) ed25519.PrivateKey {
	h := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(h[:])
}

func enrol(r ring, id string, key ed25519.PrivateKey, roles ...Role) {
	r[id] = Person{ID: id, Roles: roles, Key: NewPublicKey(key.Public().(ed25519.PublicKey))}
}

var (
	t0    = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	alice = testKey("alice")
	bob   = testKey("bob")
)

func testOrder() *Order {
	return &Order{
		Format: OrderFormat, ID: "O-1", Case: "C-1", Kind: KindWarrant,
		Authority: Authority{Court: "Practice Court", Docket: "26-mj-1", CallBack: "+1 555 0100"},
		Issued:    t0.Add(-time.Hour), From: t0, Until: t0.Add(24 * time.Hour), AtEnd: "restore",
		Parties:   Parties{Requesting: "Practice Crimes Unit", Technical: "desk@unit.example"},
		Recipient: Recipient{Name: "Practice Registry", Role: "registry"},
		Acts: Acts{Lock: []string{"serverTransferProhibited"}, RemoveDS: true, Sinkhole: true,
			Nameservers: []Name{MustName("ns1.sinkhole.example"), MustName("ns2.sinkhole.example")}},
		Sinkhole: SinkTerms{Capture: CaptureContact, RetentionDays: 30},
		Appendices: []Appendix{{ID: "A", Count: 2, Names: []OrderName{
			{Name: MustName("outlook-verify.net")}, {Name: MustName("yahoo-verify.net"), Acts: &Acts{Lock: []string{"serverDeleteProhibited"}}},
		}}},
	}
}

func signed(o *Order) *Order {
	o.Signatures = []Signature{Sign(alice, SignOrder, o.Hash(), "alice", t0), Sign(bob, SignOrder, o.Hash(), "bob", t0)}
	return o
}

func people() ring {
	r := ring{}
	enrol(r, "alice", alice, RoleApprover)
	enrol(r, "bob", bob, RoleApprover)
	return r
}

func TestPermit(t *testing.T) {
	m, err := signed(testOrder()).Authorize(people(), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := MustName("outlook-verify.net")
	for _, c := range []struct {
		act  Act
		name string
		at   time.Time
		part string // of the refusal, "" for permitted
	}{
		{ActNameservers, "outlook-verify.net", t0, ""},
		{ActSinkhole, "outlook-verify.net", t0.Add(24*time.Hour - 1), ""},
		{ActSinkhole, "outlook-verify.net", t0.Add(24 * time.Hour), "lapsed"},
		{ActSinkhole, "outlook-verify.net", t0.Add(-1), "not yet in force"},
		{ActHold, "outlook-verify.net", t0, "does not order hold"},
		{ActSinkhole, "yahoo-verify.net", t0, "does not order sinkhole"},
		{ActLock, "yahoo-verify.net", t0, ""},
		{ActLock, "verification-live.com", t0, "no appendix"},
		{ActLock, "a.outlook-verify.net", t0, "no appendix"},
	} {
		p, err := m.Permit(c.act, MustName(c.name), c.at)
		if (err == nil) != (c.part == "") || err != nil && !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s of %s at %s: %v, want %q", c.act, c.name, c.at, err, c.part)
		}
		if err != nil && (KindOf(err) != KindRefused || p != (Permit{})) {
			t.Errorf("%s of %s: kind %s, permit %v", c.act, c.name, KindOf(err), p)
		}
	}
	p, _ := m.Permit(ActNameservers, n, t0)
	for _, err := range []error{
		p.Check(ActLock, n, t0), p.Check(ActNameservers, MustName("yahoo-verify.net"), t0), p.Check(ActNameservers, n, t0.Add(48*time.Hour)),
		Permit{}.Check(ActNameservers, n, t0),
	} {
		if KindOf(err) != KindRefused {
			t.Errorf("a permit was stretched: %v", err)
		}
	}
	var zero *Mandate
	if _, err := zero.Permit(ActLock, n, t0); KindOf(err) != KindRefused {
		t.Errorf("nil mandate: %v", err)
	}
	if _, err := new(Mandate).Permit(ActLock, n, t0); KindOf(err) != KindRefused {
		t.Errorf("zero mandate: %v", err)
	}
}

func TestMandateDoesNotFollowTheDocument(t *testing.T) {
	o := signed(testOrder())
	m, err := o.Authorize(people(), nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Until = t0.Add(1000 * time.Hour)
	o.Appendices[0].Names[0].Name = MustName("google.com")
	o.Acts.Hold = true
	c := m.Order()
	c.Appendices[0].Names[0].Name = MustName("google.com")
	if _, err := m.Permit(ActSinkhole, MustName("outlook-verify.net"), t0.Add(100*time.Hour)); err == nil {
		t.Error("the window grew with the document")
	}
	if _, err := m.Permit(ActSinkhole, MustName("google.com"), t0); err == nil {
		t.Error("a name came in after the signatures")
	}
	if m.Names()[0] != MustName("outlook-verify.net") {
		t.Errorf("names changed: %v", m.Names())
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		order func() *Order
		ring  func() ring
		part  string
	}{
		"unsigned":         {testOrder, people, "signed by 0 of 2"},
		"one signature":    {func() *Order { o := signed(testOrder()); o.Signatures = o.Signatures[:1]; return o }, people, "signed by 1 of 2"},
		"one person twice": {func() *Order { o := signed(testOrder()); o.Signatures[1] = o.Signatures[0]; return o }, people, "signed by 1 of 2"},
		"one key, two names": {func() *Order {
			o := testOrder()
			o.Signatures = []Signature{Sign(alice, SignOrder, o.Hash(), "alice", t0), Sign(alice, SignOrder, o.Hash(), "bob", t0)}
			return o
		}, func() ring { r := people(); enrol(r, "bob", alice, RoleApprover); return r }, "signed by 1 of 2"},
		"key of another": {func() *Order {
			o := testOrder()
			o.Signatures = []Signature{Sign(alice, SignOrder, o.Hash(), "alice", t0), Sign(alice, SignOrder, o.Hash(), "bob", t0)}
			return o
		}, people, "another key"},
		"not enrolled":  {func() *Order { return signed(testOrder()) }, func() ring { r := people(); delete(r, "bob"); return r }, "not enrolled"},
		"wrong role":    {func() *Order { return signed(testOrder()) }, func() ring { r := people(); enrol(r, "bob", bob, RoleAnalyst); return r }, "no approver"},
		"changed after": {func() *Order { o := signed(testOrder()); o.Until = o.Until.Add(time.Second); return o }, people, "does not fit"},
		"signed as a plan": {func() *Order {
			o := signed(testOrder())
			o.Signatures[1] = Sign(bob, SignPlan, o.Hash(), "bob", t0)
			return o
		}, people, "does not fit"},
		"invalid": {func() *Order { o := testOrder(); o.Until = time.Time{}; return signed(o) }, people, "from when until when"},
		"orphan":  {func() *Order { o := testOrder(); o.Parent = &ParentRef{"O-0", "sha256:0", "7"}; return signed(o) }, people, "not proven"},
	} {
		if m, err := c.order().Authorize(c.ring(), nil); err == nil || m != nil || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v, want %q", name, err, c.part)
		}
	}
}

func TestSupplementIsCutToItsParent(t *testing.T) {
	parent, err := signed(testOrder()).Authorize(people(), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := testOrder()
	o.ID, o.Until = "O-1-S1", t0.Add(1000*time.Hour)
	o.Parent = &ParentRef{ID: "O-1", Hash: parent.Hash(), Clause: "12"}
	m, err := signed(o).Authorize(people(), parent)
	if err != nil {
		t.Fatal(err)
	}
	if _, until := m.Window(); !until.Equal(t0.Add(24 * time.Hour)) {
		t.Errorf("the supplement outlives its parent: %s", until)
	}
	o = testOrder()
	o.ID, o.Parent = "O-1-S2", &ParentRef{ID: "O-1", Hash: "sha256:00", Clause: "12"}
	if _, err := signed(o).Authorize(people(), parent); err == nil {
		t.Error("a supplement to another document was accepted")
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Order){
		"hold together with nameservers": func(o *Order) { o.Acts.Hold = true },
		"twice":                          func(o *Order) { o.Appendices[0].Names[1].Name = o.Appendices[0].Names[0].Name },
		"public suffix":                  func(o *Order) { o.Appendices[0].Names[0].Name = MustName("blogspot.com") },
		"not a registrable domain":       func(o *Order) { o.Appendices[0].Names[0].Name = MustName("a.outlook-verify.net") },
		"it may have been cut":           func(o *Order) { o.Appendices[0].Count = 3 },
		"ends (":                         func(o *Order) { o.Until = o.From },
		"before it was issued":           func(o *Order) { o.Issued = o.From.Add(1) },
		"the DS stays":                   func(o *Order) { o.Acts.RemoveDS = false },
		"single point of failure":        func(o *Order) { o.Acts.Nameservers = o.Acts.Nameservers[:1] },
		"nobody would ever reach it":     func(o *Order) { o.Acts.Nameservers = nil },
		"set by a registry only":         func(o *Order) { o.Recipient.Role = "registrar" },
		"no status that locks":           func(o *Order) { o.Acts.Lock = []string{"locked"} },
		"what may be recorded":           func(o *Order) { o.Sinkhole.Capture = "" },
		"which this order seizes":        func(o *Order) { o.Acts.Nameservers[0] = MustName("ns.yahoo-verify.net") },
		"lists no names":                 func(o *Order) { o.Appendices = nil },
		"nobody ordered it":              func(o *Order) { o.Authority.Court = "" },
		"belongs to no case":             func(o *Order) { o.Case = "" },
		"no TLP level":                   func(o *Order) { o.TLP = "purple" },
	} {
		o := testOrder()
		change(o)
		ps := o.Validate()
		if err := ps.Err(); err == nil || !strings.Contains(err.Error(), want) || KindOf(err) != KindInvalid {
			t.Errorf("want %q, got %v", want, err)
		}
		for _, p := range ps {
			if p.Where == "" || p.Cure == "" {
				t.Errorf("%q lacks a place or a cure", p)
			}
		}
	}
	if ps := testOrder().Validate(); len(ps) > 0 {
		t.Errorf("a good order: %v", ps)
	}
}

func TestWithoutPermitsNothingForNamesKeptOut(t *testing.T) {
	m, err := signed(testOrder()).Authorize(people(), nil)
	if err != nil {
		t.Fatal(err)
	}
	out, stays := MustName("outlook-verify.net"), MustName("yahoo-verify.net")
	w := m.Without(out, MustName("never-listed.example"))
	if _, err := w.Permit(ActSinkhole, out, t0); KindOf(err) != KindRefused || !strings.Contains(err.Error(), "gate") {
		t.Errorf("permit for a name kept out: %v", err)
	}
	if _, ok := w.Acts(out); ok {
		t.Error("acts for a name kept out")
	}
	if got := w.Names(); len(got) != 1 || got[0] != stays {
		t.Errorf("names: %v", got)
	}
	if got := w.Withheld(); len(got) != 1 || got[0] != out {
		t.Errorf("withheld: %v", got)
	}
	if _, err := w.Permit(ActLock, stays, t0); err != nil {
		t.Errorf("the other name: %v", err)
	}
	if w.Hash() != m.Hash() {
		t.Error("the document's hash changed")
	}
	if _, err := m.Permit(ActSinkhole, out, t0); err != nil {
		t.Errorf("the mandate it was made from changed: %v", err)
	}
	if (*Mandate)(nil).Without(out) != nil {
		t.Error("nil mandate")
	}
	if got := w.Without(stays).Without(stays).Names(); len(got) != 0 {
		t.Errorf("all kept out: %v", got)
	}
}
