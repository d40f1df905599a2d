package impound

import "time"

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
	ID      string       `json:"id"`
	Title   string       `json:"title"`
	Actor   string       `json:"actor,omitempty"` // id of an Actor
	TLP     TLP          `json:"tlp"`
	Owner   string       `json:"owner"` // person id
	Opened  time.Time    `json:"opened"`
	Domains []CaseDomain `json:"domains"`
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
}

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
	Name    Name      `json:"name"`
	Source  string    `json:"source"`
	Seen    time.Time `json:"seen"`
	Score   float64   `json:"score"` // 0 to 1
	Brand   string    `json:"brand,omitempty"`
	Reasons []Reason  `json:"reasons"`
	Status  string    `json:"status"` // "open" | "promoted" | "dismissed"
	Case    string    `json:"case,omitempty"`
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
