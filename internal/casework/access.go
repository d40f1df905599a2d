package casework

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// Need is what it takes to call an exported method of [Service].
type Need struct {
	// Roles that may call it; any one of them. None: see the other fields.
	Roles []impound.Role
	// Reads: it changes nothing, and gives what the asker's [Sight] holds.
	Reads bool
	// Signed: its argument carries its own authority, a signature that is proven
	// against the keyring.
	Signed bool
	// System: the house itself may call it too.
	System bool
	// Unnamed: it takes nobody's name; the context says who asks, and whoever
	// sits at the machine may do it by the roles of its configuration.
	Unnamed bool
}

var (
	analyst  = impound.RoleAnalyst
	counsel  = impound.RoleCounsel
	operator = impound.RoleOperator
	// workers are all who do something for a case.
	workers = []impound.Role{analyst, counsel, impound.RoleApprover, operator, impound.RoleNotifier, impound.RoleAdmin}
)

// Needs says what every exported method of [Service] takes. It is not a comment:
// the methods ask it, and a method that is missing here can't be called (and
// fails a test).
var Needs = map[string]Need{
	"OpenCase":        {Roles: []impound.Role{analyst}},
	"AddNames":        {Roles: []impound.Role{analyst}},
	"AddNamesFrom":    {Roles: []impound.Role{analyst}},
	"SetState":        {Roles: []impound.Role{analyst, operator}, System: true}, // outcomes; the rest takes an analyst
	"AttachEvidence":  {Roles: []impound.Role{analyst}, System: true},
	"MoveState":       {Roles: []impound.Role{analyst}},
	"SaveCandidates":  {Roles: []impound.Role{analyst, operator}, Unnamed: true},
	"QueueCandidates": {Roles: []impound.Role{analyst, operator}, Unnamed: true},
	"RankSeen":        {Roles: []impound.Role{analyst, operator}, Unnamed: true},
	"Promote":         {Roles: []impound.Role{analyst}},
	"Dismiss":         {Roles: []impound.Role{analyst}},
	"Triage":          {Roles: []impound.Role{analyst}},
	"SwitchLesson":    {Roles: []impound.Role{analyst}},
	"SaveActor":       {Roles: []impound.Role{analyst}},
	"DropActorNames":  {Roles: []impound.Role{analyst}},
	"ImportActors":    {Roles: []impound.Role{analyst}},
	"FileOrder":       {Roles: []impound.Role{analyst, counsel}},
	"Override":        {Roles: []impound.Role{analyst, counsel, impound.RoleApprover}},

	"EditCase": {Roles: []impound.Role{analyst, counsel}},
	"MarkCase": {Roles: []impound.Role{analyst, counsel}},
	"MarkName": {Roles: []impound.Role{analyst, counsel}},
	"AddParty": {Roles: []impound.Role{analyst, counsel, impound.RoleNotifier}},
	"AddTask":  {Roles: workers, System: true},
	"DoneTask": {Roles: workers},

	"AddAccount":     {Roles: []impound.Role{impound.RoleAdmin}},
	"DisableAccount": {Roles: []impound.Role{impound.RoleAdmin}},
	"SetPassword":    {Roles: impound.Roles}, // one's own; another's takes an admin
	"AddToken":       {Roles: impound.Roles}, // the same
	"RevokeToken":    {Roles: impound.Roles}, // the same

	"Decide":   {Signed: true},
	"Withdraw": {Signed: true},
	"Enrol":    {Signed: true},
	"SealCase": {Signed: true},

	"Accounts":        {Reads: true},
	"Actors":          {Reads: true},
	"ActorsByAlias":   {Reads: true},
	"Appendix":        {Reads: true},
	"Asking":          {Reads: true},
	"Blocked":         {Reads: true},
	"Candidate":       {Reads: true},
	"Candidates":      {Reads: true},
	"Case":            {Reads: true},
	"CaseHeads":       {Reads: true},
	"CasePart":        {Reads: true},
	"CaseRev":         {Reads: true},
	"Cases":           {Reads: true},
	"Collisions":      {Reads: true}, // the house alone is answered
	"CheckOrder":      {Reads: true},
	"Consented":       {Reads: true},
	"CountNames":      {Reads: true},
	"Decisions":       {Reads: true},
	"DecisionsOf":     {Reads: true},
	"Domain":          {Reads: true},
	"DraftOrder":      {Reads: true},
	"Ended":           {Reads: true},
	"Guarded":         {Reads: true},
	"Halted":          {Reads: true},
	"Head":            {Reads: true},
	"Keyring":         {Reads: true},
	"Login":           {Reads: true},
	"Mandates":        {Reads: true},
	"Markings":        {Reads: true},
	"May":             {Reads: true},
	"MayUnnamed":      {Reads: true},
	"Order":           {Reads: true},
	"Orders":          {Reads: true},
	"People":          {Reads: true},
	"Lessons":         {Reads: true},
	"Queue":           {Reads: true},
	"QueueCounts":     {Reads: true},
	"Rerank":          {Reads: true}, // it orders what is there by what was decided
	"Recheck":         {Reads: true},
	"Seal":            {Reads: true},
	"SealedConflicts": {Reads: true},
	"Session":         {Reads: true},
	"SightingMarks":   {Reads: true},
	"Sight":           {Reads: true},
	"SightOf":         {Reads: true},
	"Supplement":      {Reads: true},
	"TokenPrincipal":  {Reads: true},
	"Tokens":          {Reads: true},
	"Unsettled":       {Reads: true}, // the house alone is answered
	"Verdicts":        {Reads: true},
	"Word":            {Reads: true},
}

// act lets by call method, or says which role it takes. It gives what by may see:
// a case that he may not see is no case to him, to change no more than to read.
func (s *Service) act(ctx context.Context, method, by string) (Sight, error) {
	need, ok := Needs[method]
	if !ok || need.Reads || need.Signed {
		return Sight{}, impound.Errorf(impound.KindInternal, "nobody said who may call %s", method)
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return Sight{}, err
	}
	p := impound.PrincipalOf(ctx)
	if by == System && need.System {
		// A person's request may note an outcome in the house's name, but can't
		// reach what he can't see that way.
		if p.ID != "" {
			return s.sight(view, p.ID), nil
		}
		return Sight{all: true, view: view}, nil
	}
	if need.Unnamed {
		err = s.mayUnnamed(view, p, need.Roles...)
		return s.sightFor(view, ctx), err
	}
	if err := s.may(view, p, by, need.Roles...); err != nil {
		return Sight{}, err
	}
	return s.sight(view, by), nil
}

// MayUnnamed says whether whoever asks with ctx holds one of roles: a person, the
// house itself, or whoever sits at the machine.
func (s *Service) MayUnnamed(ctx context.Context, roles ...impound.Role) error {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	return s.mayUnnamed(view, impound.PrincipalOf(ctx), roles...)
}

func (s *Service) mayUnnamed(view ledgerView, p impound.Principal, roles ...impound.Role) error {
	switch {
	case p.System, p.ID == "" && slices.ContainsFunc(roles, func(r impound.Role) bool { return slices.Contains(p.Local, r) }):
		return nil
	case p.ID == "":
		return impound.Errorf(impound.KindAuth, "nobody says who does this: it takes the role %s", rolesInWords(roles)).WithCure("say who you are with --as NAME")
	}
	return s.may(view, p, p.ID, roles...)
}

// May says whether by holds one of roles and is who asks.
func (s *Service) May(ctx context.Context, by string, roles ...impound.Role) error {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	return s.may(view, impound.PrincipalOf(ctx), by, roles...)
}

func (s *Service) may(view ledgerView, p impound.Principal, by string, roles ...impound.Role) error {
	switch {
	case p.ID != "" && p.ID != by:
		return impound.Errorf(impound.KindAuth, "%.64q asks in the name of %.64q", p.ID, by).WithCure("act in your own name")
	case p.Scopes != nil:
		return impound.Errorf(impound.KindAuth, "a token only reads: this takes a person with the role %s", rolesInWords(roles)).WithCure("use the command line with --as " + by)
	}
	q, ok := view.ring.Person(by)
	if !ok {
		return impound.Errorf(impound.KindAuth, "%.64q is not enrolled here", by).WithCure("have an admin run: impound people add " + by + " --role " + string(roles[0]))
	}
	if !slices.ContainsFunc(roles, q.Has) {
		return impound.Errorf(impound.KindAuth, "%s may not do this: it takes the role %s", by, rolesInWords(roles)).WithCure("ask somebody who holds it, or have an admin add the role")
	}
	return nil
}

// Sight is what one person may see at one moment: the door that every list,
// count, search and error goes through. What it doesn't hold does not exist for
// that person. It is immutable and safe for concurrent use.
type Sight struct {
	s      *Service
	all    bool
	id     string
	view   ledgerView
	hidden map[string]bool // sealed cases to which id is no party
}

// Sight gives what whoever asks with ctx may see.
func (s *Service) Sight(ctx context.Context) (Sight, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return Sight{}, err
	}
	return s.sightFor(view, ctx), nil
}

// SightOf gives what a person may see.
func (s *Service) SightOf(ctx context.Context, id string) (Sight, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return Sight{}, err
	}
	return s.sight(view, id), nil
}

func (s *Service) sightFor(view ledgerView, ctx context.Context) Sight {
	p := impound.PrincipalOf(ctx)
	if p.System {
		return Sight{s: s, all: true, view: view}
	}
	return s.sight(view, p.ID)
}

func (s *Service) sight(view ledgerView, id string) Sight {
	x := Sight{s: s, id: id, view: view}
	for c, seal := range view.seals {
		if len(seal.Parties) > 0 && (id == "" || !slices.Contains(seal.Parties, id)) {
			if x.hidden == nil {
				x.hidden = map[string]bool{}
			}
			x.hidden[c] = true
		}
	}
	return x
}

// Who is the person whose sight it is; "" for nobody or the house.
func (x Sight) Who() string { return x.id }

// Case says whether the case of this id can be seen, if there is one.
func (x Sight) Case(id string) bool { return x.all || !x.hidden[id] }

// Order says whether the order of this id can be seen, if there is one.
func (x Sight) Order(id string) bool {
	if x.all || len(x.hidden) == 0 {
		return true
	}
	f, ok := x.view.orders[id]
	return !ok || !x.hidden[f.entry.Case]
}

// Hidden gives the cases that can't be seen, for queries that must leave them
// out. It is for queries, never for people.
func (x Sight) Hidden() []string {
	if x.all {
		return nil
	}
	out := make([]string, 0, len(x.hidden))
	for c := range x.hidden {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// Seen is how much of the log x rests on.
func (x Sight) Seen() int64 { return x.view.next }

// HiddenOrders gives the orders that can't be seen, for queries, never for people.
func (x Sight) HiddenOrders() []string {
	if x.all || len(x.hidden) == 0 {
		return nil
	}
	var out []string
	for id := range x.view.orders {
		if !x.Order(id) {
			out = append(out, id)
		}
	}
	return out
}

// Sealed says whether the case is sealed, and who its parties are; never to
// others than them.
func (x Sight) Sealed(id string) []string {
	if !x.Case(id) {
		return nil
	}
	return slices.Clone(x.view.seals[id].Parties)
}

// Name says whether what is said of n alone, without a case, can be seen: not
// when only cases that can't be seen hold n, or a name above it.
func (x Sight) Name(n impound.Name) bool {
	if x.all || len(x.hidden) == 0 || n.IsZero() {
		return true
	}
	names := x.names()
	for {
		if hid, ok := names[n]; ok {
			return !hid
		}
		if n = n.Parent(); n.IsZero() {
			return true
		}
	}
}

// Holds says whether a case or an order that can be seen holds n, or a name above
// it.
func (x Sight) Holds(n impound.Name) bool {
	names := x.kept().held
	for ; !n.IsZero(); n = n.Parent() {
		if names[n] {
			return true
		}
	}
	return false
}

// names says of each name that a case that can't be seen holds, whether no other
// case holds it: true is hidden.
func (x Sight) names() map[impound.Name]bool { return x.kept().names }

// kept gives what names are held by which side. It is asked for each line of a
// log, so it is kept until the log grows.
func (x Sight) kept() *keptSight {
	who := x.id
	if x.all {
		who = "\x00" // the house
	}
	x.s.mu.Lock()
	k := x.s.sights[who]
	x.s.mu.Unlock()
	if k != nil && k.next == x.view.next {
		return k
	}
	held := map[string][]impound.Name{}
	for c, ns := range x.view.names {
		held[c] = ns
	}
	for _, f := range x.view.orders { // an order may list what its case didn't hold
		if d, err := x.s.filed(f); err == nil {
			held[f.entry.Case] = append(slices.Clip(held[f.entry.Case]), d.names...)
		}
	}
	k = &keptSight{x.view.next, map[impound.Name]bool{}, map[impound.Name]bool{}}
	for c := range x.hidden {
		for _, n := range held[c] {
			k.names[n] = true
		}
	}
	for c, ns := range held {
		if !x.hidden[c] {
			for _, n := range ns {
				k.held[n] = true
				if k.names[n] {
					k.names[n] = false
				}
			}
		}
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if x.s.sights == nil || len(x.s.sights) > 100 {
		x.s.sights = map[string]*keptSight{}
	}
	x.s.sights[who] = k
	return k
}

type keptSight struct {
	next  int64
	names map[impound.Name]bool // of hidden cases; true: of no other
	held  map[impound.Name]bool // of cases that can be seen
}

// Entry says whether a line of the evidence log can be seen.
func (x Sight) Entry(e impound.Entry) bool {
	if x.all || len(x.hidden) == 0 {
		return true
	}
	if !x.Case(e.Case) || e.Order != "" && !x.Order(e.Order) {
		return false
	}
	if a := e.Artefact; a != nil && !x.Case(a.Case) {
		return false
	}
	return e.Case != "" || x.Caseless(e.By, Mentioned(e)...)
}

// Caseless says whether what by wrote of names, without a case, can be seen: not
// where only cases that can't be seen hold one of them; but what others than
// their parties wrote can, as if no case held it. Else whoever guesses a name
// could write something of it, and look whether that is shown.
func (x Sight) Caseless(by string, names ...impound.Name) bool {
	if x.all || len(x.hidden) == 0 {
		return true
	}
	return x.outside(by) || !slices.ContainsFunc(names, func(n impound.Name) bool { return !x.Name(n) })
}

// outside says whether somebody is a person, and party to no case that x hides.
func (x Sight) outside(id string) bool {
	if _, ok := x.view.ring.Person(id); !ok {
		return false
	}
	for c := range x.hidden {
		if slices.Contains(x.view.seals[c].Parties, id) {
			return false
		}
	}
	return true
}

// narrow gives x's view with what x may know of names alone: not what parties to
// cases that it hides decided of names that only those hold.
func (x Sight) narrow(names []impound.Name) ledgerView {
	v := x.view
	if x.all || len(x.hidden) == 0 {
		return v
	}
	copied := false
	for _, n := range names {
		if len(v.decisions[n])+len(v.overrides[n]) == 0 || x.Name(n) {
			continue
		}
		if !copied {
			copied = true
			v.decisions, v.overrides = cloneMap(v.decisions), cloneMap(v.overrides)
		}
		v.decisions[n] = x.decisions(n)
		v.overrides[n] = slices.DeleteFunc(slices.Clone(v.overrides[n]), func(o impound.Override) bool {
			return slices.ContainsFunc(o.Signatures, func(s impound.Signature) bool { return !x.outside(s.Person) })
		})
	}
	return v
}

// decisions gives what was decided of n, as far as x may know of it.
func (x Sight) decisions(n impound.Name) []Decision {
	return slices.DeleteFunc(slices.Clone(x.view.decisions[n]), func(d Decision) bool { return !x.Caseless(d.Signature.Person, n) })
}

// Mentioned gives the names that an entry is of: its own, or, where it has
// neither that nor a case, those in its text: a registry's message, say.
func Mentioned(e impound.Entry) []impound.Name {
	switch {
	case !e.Name.IsZero():
		return []impound.Name{e.Name}
	case e.Case != "":
		return nil
	}
	var out []impound.Name
	for _, v := range e.Detail {
		for word := range strings.FieldsFuncSeq(v, func(r rune) bool {
			return r < 0x80 && r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			if word = strings.Trim(word, ".-"); !strings.Contains(word, ".") {
				continue
			}
			if n, err := impound.ParseName(word); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// candidate gives c as it is seen: one that went into a case that can't be seen
// is as it was before.
func (x Sight) candidate(c impound.Candidate) impound.Candidate {
	if c.Case != "" && !x.Case(c.Case) {
		c.Status, c.Case = CandidateOpen, ""
	}
	return c
}

// WhatSeal is the What of an entry that seals or unseals a case.
const WhatSeal = "case.seal"

// SignSeal is what the signature of a [Seal] is about.
const SignSeal = "seal"

// Seal closes a case to everybody but its parties, or, with no parties, opens it
// again. It is signed by one of them, and proven anew from the evidence log each
// time: who edits the database unseals nothing.
type Seal struct {
	Case      string            `json:"case"`
	Parties   []string          `json:"parties"` // person ids, sorted; none: the seal is lifted
	Why       string            `json:"why"`
	At        time.Time         `json:"at"` // UTC, seconds
	Signature impound.Signature `json:"-"`
}

// NewSeal makes a seal to be signed; at is cut to seconds.
func NewSeal(caseID string, parties []string, why string, at time.Time) Seal {
	parties = slices.Clone(parties)
	slices.Sort(parties)
	return Seal{Case: caseID, Parties: append([]string{}, slices.Compact(parties)...), Why: strings.TrimSpace(why), At: at.UTC().Truncate(time.Second)}
}

// Hash is what the person signs, about [SignSeal].
func (z Seal) Hash() string {
	h, err := impound.HashOf(z)
	if err != nil { // it holds nothing that can't be encoded
		panic(err)
	}
	return h
}

func (z Seal) entry() impound.Entry {
	return impound.Entry{ID: entryID(WhatSeal, z.Hash(), z.Signature.Person), Type: impound.EntryDecision, At: z.At, By: z.Signature.Person, What: WhatSeal, Case: z.Case,
		Detail: map[string]string{"parties": strings.Join(z.Parties, " "), "why": z.Why, "sealed_at": z.At.Format(time.RFC3339), "person": z.Signature.Person,
			"key": string(z.Signature.Key), "signed_at": z.Signature.At.Format(time.RFC3339), "sig": z.Signature.Sig}}
}

func sealOf(e impound.Entry) (Seal, error) {
	at, err := time.Parse(time.RFC3339, e.Detail["sealed_at"])
	if err != nil {
		return Seal{}, impound.Errorf(impound.KindInvalid, "the seal's date can't be read: %w", err)
	}
	z := NewSeal(e.Case, strings.Fields(e.Detail["parties"]), e.Detail["why"], at)
	z.Signature = impound.Signature{Person: e.Detail["person"], Key: impound.PublicKey(e.Detail["key"]), Sig: e.Detail["sig"]}
	if z.Signature.At, err = time.Parse(time.RFC3339, e.Detail["signed_at"]); err != nil {
		return Seal{}, impound.Errorf(impound.KindInvalid, "the signature's date can't be read: %w", err)
	}
	z.Signature.At = z.Signature.At.UTC()
	return z, nil
}

// admit proves z against what is believed so far. Who is no party to the seal
// that stands gets the answer for a case that does not exist.
func (v ledgerView) admit(z Seal) error {
	now, sealed := v.seals[z.Case]
	if _, ok := v.actors[z.Case]; !ok || sealed && len(now.Parties) > 0 && !slices.Contains(now.Parties, z.Signature.Person) {
		return noCase(z.Case)
	}
	if z.Why == "" || len(z.Why) > 4<<10 {
		return impound.Errorf(impound.KindInvalid, "the seal gives no reason, or one of more than 4 KB").At(z.Case).WithCure("say why with --why; it is recorded")
	}
	if err := z.Signature.Verify(SignSeal, z.Hash()); err != nil {
		return err
	}
	p, ok := v.ring.Person(z.Signature.Person)
	switch {
	case !ok || p.Key != z.Signature.Key:
		return impound.Errorf(impound.KindAuth, "%.64q is not enrolled with this key", z.Signature.Person)
	case !p.Has(impound.RoleAnalyst) && !p.Has(impound.RoleCounsel):
		return impound.Errorf(impound.KindAuth, "%s may not do this: it takes the role analyst or counsel", p.ID).WithCure("ask somebody who holds it, or have an admin add the role")
	case len(z.Parties) > 0 && !slices.Contains(z.Parties, p.ID):
		return impound.Errorf(impound.KindInvalid, "%s seals the case and is no party to it: he could not open it again", p.ID).At(z.Case).WithCure("add --party " + p.ID)
	case slices.Contains(v.sealed, z.Hash()):
		// Copied back, an old seal must not replace a newer one.
		return impound.Errorf(impound.KindRefused, "this seal was recorded before: it counts once")
	}
	for _, id := range z.Parties {
		if _, ok := v.ring.Person(id); !ok {
			return impound.Errorf(impound.KindInvalid, "%.64q is not enrolled here: a party to a seal must be a person with a key", id).At(z.Case).WithCure("impound people list shows who is enrolled")
		}
	}
	return nil
}

// SealCase records a seal; it holds when SealCase returns. A name that was a
// candidate and went into the case looks like an open candidate to others again.
func (s *Service) SealCase(ctx context.Context, z Seal) error {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	if p := impound.PrincipalOf(ctx); p.ID != "" && p.ID != z.Signature.Person {
		return impound.Errorf(impound.KindAuth, "%.64q asks in the name of %.64q", p.ID, z.Signature.Person)
	}
	if now, ok := view.seals[z.Case]; ok && slices.Equal(now.Parties, z.Parties) && slices.Contains(z.Parties, z.Signature.Person) {
		return nil
	}
	if err := view.admit(z); err != nil {
		return err
	}
	if len(z.Parties) > 0 && len(view.accounts) == 0 {
		return impound.Errorf(impound.KindRefused, "there is no account: the pages show everything to whoever opens them, and would show that something is missing").At(z.Case).WithCure("make accounts first: impound account add NAME --as ADMIN")
	}
	if len(z.Parties) == 0 && len(view.seals[z.Case].Parties) == 0 {
		return nil // open as it is
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if len(z.Parties) > 0 {
			if err := newBook(tx, s.now()).forgetCase(z.Case); err != nil {
				return err
			}
		}
		return s.decide(ctx, z.entry())
	})
}

// Seal gives who the parties to a case's seal are; none when it is not sealed.
func (s *Service) Seal(ctx context.Context, caseID string) ([]string, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		_, err := getCase(tx, x, caseID)
		return err
	})
	return x.Sealed(caseID), err
}

func noCase(id string) error {
	return impound.Errorf(impound.KindNotFound, "there is no case %.64q", id).WithCure("impound case list shows them; impound case open makes one")
}
