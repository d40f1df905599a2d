package impound

import (
	"slices"
	"strings"
	"time"
)

// TLP is a Traffic Light Protocol 2.0 level.
type TLP string

// The levels.
const (
	TLPClear       TLP = "clear"
	TLPGreen       TLP = "green"
	TLPAmber       TLP = "amber"
	TLPAmberStrict TLP = "amber+strict"
	TLPRed         TLP = "red"
)

var tlpRank = map[TLP]int{TLPClear: 1, TLPGreen: 2, TLPAmber: 3, TLPAmberStrict: 4, TLPRed: 5}

// Valid says whether t is one of the levels.
func (t TLP) Valid() bool { return tlpRank[t] > 0 }

// Within says whether something marked t may go to somebody cleared for c. An
// unknown level is treated as red.
func (t TLP) Within(c TLP) bool {
	r := tlpRank[t]
	if r == 0 {
		r = tlpRank[TLPRed]
	}
	return r <= tlpRank[c]
}

// PAP is a Permissible Actions Protocol level: what may be done with something,
// where TLP says who may know it.
type PAP string

// The levels.
const (
	PAPClear PAP = "clear" // anything
	PAPGreen PAP = "green" // active use: ask its servers, block it
	PAPAmber PAP = "amber" // passive checks: third parties may be asked, its owner's servers not
	PAPRed   PAP = "red"   // nothing on a network: nobody may be able to notice
)

var papRank = map[PAP]int{PAPClear: 1, PAPGreen: 2, PAPAmber: 3, PAPRed: 4}

// Valid says whether p is one of the levels.
func (p PAP) Valid() bool { return papRank[p] > 0 }

// Within says whether something marked p allows what takes level c. No level
// allows everything; an unknown one is treated as red.
func (p PAP) Within(c PAP) bool {
	if p == "" {
		return true
	}
	r := papRank[p]
	if r == 0 {
		r = papRank[PAPRed]
	}
	return r <= papRank[c]
}

// Marking is who may know something, what may be done with it, and whose it is.
// Zero fields leave it to what it is part of.
type Marking struct {
	TLP        TLP    `json:"tlp,omitempty"`
	PAP        PAP    `json:"pap,omitempty"`
	Originator string `json:"originator,omitempty"` // who gave it to us; it goes no further until they consent
}

// In gives m with what it leaves open taken from what it is part of.
func (m Marking) In(whole Marking) Marking {
	if m.TLP == "" {
		m.TLP = whole.TLP
	}
	if m.PAP == "" {
		m.PAP = whole.PAP
	}
	if m.Originator == "" {
		m.Originator = whole.Originator
	}
	return m
}

// String gives m for people, "TLP:AMBER PAP:RED from CERT Example"; "" for none.
func (m Marking) String() string {
	var out []string
	if m.TLP != "" {
		out = append(out, "TLP:"+strings.ToUpper(string(m.TLP)))
	}
	if m.PAP != "" {
		out = append(out, "PAP:"+strings.ToUpper(string(m.PAP)))
	}
	if m.Originator != "" {
		out = append(out, "from "+m.Originator)
	}
	return strings.Join(out, " ")
}

// Strictest gives m with the stricter of each level, and both originators. A level
// that is not known is stricter than all; one that is not given is none.
func (m Marking) Strictest(o Marking) Marking {
	if o.TLP != "" && (m.TLP == "" || !o.TLP.Within(m.TLP)) {
		m.TLP = o.TLP
	}
	if o.PAP != "" && (m.PAP == "" || !o.PAP.Within(m.PAP)) {
		m.PAP = o.PAP
	}
	switch {
	case m.Originator == "":
		m.Originator = o.Originator
	case o.Originator != "" && !slices.Contains(strings.Split(m.Originator, "; "), o.Originator):
		m.Originator += "; " + o.Originator
	}
	return m
}

// Task is something that a person has to do for a case.
type Task struct {
	ID     string    `json:"id"`
	Title  string    `json:"title"`
	Owner  string    `json:"owner"` // person id
	Due    time.Time `json:"due,omitzero"`
	Made   time.Time `json:"made"`
	By     string    `json:"by"`
	Done   time.Time `json:"done,omitzero"`
	DoneBy string    `json:"done_by,omitempty"`
	Ref    string    `json:"ref,omitempty"` // what it belongs to, such as a letter; of one ref there is one task
}

// What a party to a case can be.
const (
	PartyVictim    = "victim"
	PartyPlaintiff = "plaintiff"
	PartyCounsel   = "counsel"
	PartyDefendant = "defendant"
	PartyAgency    = "agency"
	PartyProvider  = "provider" // a registry, registrar or host
	PartyPartner   = "partner"
)

// PartyKinds lists them.
var PartyKinds = []string{PartyVictim, PartyPlaintiff, PartyCounsel, PartyDefendant, PartyAgency, PartyProvider, PartyPartner}

// CaseParty is an organisation or a person that a case concerns: a victim, a
// plaintiff, somebody's counsel. What is written of it stays in the store; the
// evidence log knows its id and kind alone.
type CaseParty struct {
	ID      string  `json:"id"`
	Kind    string  `json:"kind"`
	Name    string  `json:"name"`
	Contact string  `json:"contact,omitempty"` // a desk, not a person's own mailbox
	Marking Marking `json:"marking,omitzero"`
}

// DomainState is where a name stands in its life.
type DomainState string

// The states, in the order of the way.
const (
	StateCandidate DomainState = "candidate"
	StateEvidenced DomainState = "evidenced"
	StateProposed  DomainState = "proposed"
	StateBlocked   DomainState = "blocked" // a gate keeps it out
	StateOrdered   DomainState = "ordered"
	StateSeized    DomainState = "seized"
	StateSinkholed DomainState = "sinkholed"
	StateHeld      DomainState = "held"
	StateReleased  DomainState = "released"
	StateContested DomainState = "contested"
)

// Case holds an actor's names with evidence.
type Case struct {
	ID      string    `json:"id"`
	Title   string    `json:"title"`
	Actor   string    `json:"actor,omitempty"` // id of an Actor
	TLP     TLP       `json:"tlp"`
	Owner   string    `json:"owner"` // person id
	Opened  time.Time `json:"opened"`
	Summary string    `json:"summary,omitempty"`
	PAP     PAP       `json:"pap,omitempty"`
	// Originator gave us the case's names, where no name says otherwise.
	Originator string      `json:"originator,omitempty"`
	Parties    []CaseParty `json:"parties,omitempty"`
	Tasks      []Task      `json:"tasks,omitempty"`
	// SealedFor are the parties to the seal; none: the case is not sealed. It is
	// read from the evidence log, never from the stored case.
	SealedFor []string     `json:"sealed_for,omitempty"`
	Domains   []CaseDomain `json:"domains"`
}

// CaseDomain is one name of a case with its history.
type CaseDomain struct {
	Name      Name          `json:"name"`
	State     DomainState   `json:"state"`
	FirstSeen time.Time     `json:"first_seen,omitzero"` // first malicious sighting
	Order     string        `json:"order,omitempty"`
	Verdicts  []GateVerdict `json:"verdicts,omitempty"` // newest gate run
	Evidence  []string      `json:"evidence,omitempty"` // artefact hashes
	Reasons   []Reason      `json:"reasons,omitempty"`  // why it became a candidate
	History   []StateChange `json:"history"`
	Marking   Marking       `json:"marking,omitzero"` // where it is another than the case's
}

// Marking is the artefact's own.
func (a Artefact) Marking() Marking { return Marking{a.TLP, a.PAP, a.Originator} }

// Mark marks a.
func (a Artefact) Mark(m Marking) Artefact {
	a.TLP, a.PAP, a.Originator = m.TLP, m.PAP, m.Originator
	return a
}

// Marking is the case's own.
func (c Case) Marking() Marking { return Marking{c.TLP, c.PAP, c.Originator} }

// StateChange is one step of a name's life.
type StateChange struct {
	At    time.Time   `json:"at"`
	By    string      `json:"by"`
	State DomainState `json:"state"`
	Why   string      `json:"why,omitempty"`
}

// Actor is whom the names belong to. Names are many-to-many: one alias can
// stand in two actors.
type Actor struct {
	ID      string   `json:"id"`
	Names   []string `json:"names"` // the first is shown
	Sources []string `json:"sources,omitempty"`
	Brands  []string `json:"brands,omitempty"`  // whom it imitates
	Aliases []Alias  `json:"aliases,omitempty"` // who says which of the names
}

// Alias is one source's word that an actor goes by a name.
type Alias struct {
	Name       string `json:"name"`
	Source     string `json:"source"`
	Confidence int    `json:"confidence,omitempty"` // of the source in its attribution, 1 to 100; 0 is not said
}

// Reason is one part of a score or a verdict, in words a person can check.
type Reason struct {
	Code   string  `json:"code"`             // stable, for machines: "brand-exact"
	Text   string  `json:"text"`             // for people: `contains "outlook"`
	Weight float64 `json:"weight,omitempty"` // its share of the score
}

// Candidate is a name that watch found worth a look, with why.
type Candidate struct {
	Name   Name      `json:"name"`
	Source string    `json:"source"`
	Seen   time.Time `json:"seen"`
	Score  float64   `json:"score"` // 0 to 1
	Brand  string    `json:"brand,omitempty"`
	// How says in which way it imitates Brand: "exact", "homoglyph" ..., and
	// Distance how many edits lie between the brand's word and the name's. Both are
	// of the name alone.
	How      string   `json:"how,omitempty"`
	Distance int      `json:"distance,omitempty"`
	Reasons  []Reason `json:"reasons"`
	Status   string   `json:"status"` // "open" | "promoted" | "dismissed" | "snoozed"
	Case     string   `json:"case,omitempty"`
	// Actors are those whose habits it fits, by id.
	Actors []string `json:"actors,omitempty"`
	// Scope is the sealed case whose names alone taught what to look for: the
	// candidate is for its parties. Empty: for everybody.
	Scope string `json:"scope,omitempty"`
	// Observed is when it was looked at from outside; Score and Reasons then hold
	// what was seen too, and NameScore is what the name alone gave.
	Observed  time.Time `json:"observed,omitzero"`
	NameScore float64   `json:"name_score,omitempty"`
	// Mark is the strictest of what the sources that saw it say of what they give.
	Mark Marking `json:"mark,omitzero"`
}

// Outcome is a gate's answer. Unknown is not pass.
type Outcome string

// The outcomes.
const (
	GatePass    Outcome = "pass"
	GateWarn    Outcome = "warn"
	GateUnknown Outcome = "unknown"
	GateBlock   Outcome = "block"
)

// GateVerdict is one gate's answer on one name.
type GateVerdict struct {
	Gate    string    `json:"gate"` // "G1-shared-suffix"
	Outcome Outcome   `json:"outcome"`
	Reason  string    `json:"reason"`
	Data    string    `json:"data,omitempty"` // what the verdict rests on
	AsOf    time.Time `json:"as_of"`          // age of that data
}

// Override lets a blocked name through one gate. It takes two named approvers.
type Override struct {
	Name       Name        `json:"name"`
	Gate       string      `json:"gate"`
	Reason     string      `json:"reason"`
	Signatures []Signature `json:"signatures"`
}

// Hash is what the two approvers sign.
func (o Override) Hash() string {
	o.Signatures = nil
	h, err := HashOf(o)
	if err != nil {
		panic(err)
	}
	return h
}
