package web

import (
	"context"
	"time"

	impound "github.com/impound/impound"
)

// Desk is everything that the pages read. All methods are safe for concurrent
// use, change nothing, and return promptly when ctx ends. A thing that does not
// exist is an [impound.Error] of KindNotFound; an empty list is no error.
// Slices that a Desk returns are the page's to sort but not to change in depth.
type Desk interface {
	// Cases lists every case, newest first, without names but with how many
	// there are.
	Cases(ctx context.Context) ([]CaseHead, error)
	Case(ctx context.Context, id string) (impound.Case, error)
	Actor(ctx context.Context, id string) (impound.Actor, error)

	// Candidates lists what watch found, best score first. Status "" means all.
	Candidates(ctx context.Context, status string) ([]impound.Candidate, error)
	// Queue gives a part of the triage queue, the highest rank first.
	Queue(ctx context.Context, q QueueQuery) (QueuePage, error)
	// QueueCounts counts the queue's rows by status.
	QueueCounts(ctx context.Context) (map[string]int, error)
	// Lessons lists what decisions taught, what weighs most first.
	Lessons(ctx context.Context) ([]LessonView, error)
	// Watching says whether this process reads the sources, and how it goes.
	Watching(ctx context.Context) (WatchView, error)
	// Sources says how the sources of new names go, by name.
	Sources(ctx context.Context) ([]SourceView, error)

	// Orders lists orders, newest first; a case id of "" means every case.
	Orders(ctx context.Context, caseID string) ([]OrderView, error)
	Order(ctx context.Context, id string) (OrderView, error)

	// Plans lists plans, newest first; empty ids mean every one.
	Plans(ctx context.Context, caseID, orderID string) ([]PlanView, error)
	Plan(ctx context.Context, id string) (PlanView, error)

	// Contacts gives the matching contacts, newest first, and how many match
	// in all.
	Contacts(ctx context.Context, q ContactQuery) ([]impound.Contact, int, error)
	// Totals counts contacts; a case id of "" means every case.
	Totals(ctx context.Context, caseID string) (Totals, error)
	// Series counts contacts in buckets. Buckets without contacts may be left
	// out; a bucket outside [From, Until) is ignored.
	Series(ctx context.Context, q SeriesQuery) ([]SeriesPoint, error)
	// Victims counts per network, most victims first; "" means every case.
	Victims(ctx context.Context, caseID string) ([]NetworkCount, error)

	// Reports lists what was prepared for network owners, newest first; "" means
	// every case.
	Reports(ctx context.Context, caseID string) ([]ReportView, error)

	// Log gives matching lines of the evidence log, newest first, each proven
	// against the tree, and how many match in all.
	Log(ctx context.Context, q LogQuery) ([]LogEntry, int, error)
	// Checkpoint is the log's newest signed checkpoint, as text.
	Checkpoint(ctx context.Context) (string, error)

	Sensors(ctx context.Context) ([]SensorView, error)

	// Gaps lists the times in which a sensor answered but could not record,
	// oldest first; one that is still open has no end.
	Gaps(ctx context.Context) ([]impound.Gap, error)

	// Alarms lists what custody found when it last looked at each order.
	Alarms(ctx context.Context) ([]AlarmView, error)

	// Supplement drafts the next appendix to an order of a case. It looks at what is
	// known, and changes nothing.
	Supplement(ctx context.Context, ask SupplementAsk) (SupplementView, error)

	// Ready says why the house can't serve, nil when it can. It must be cheap.
	Ready(ctx context.Context) error
}

// CaseHead is a case without its names.
type CaseHead struct {
	impound.Case                             // Domains is empty
	Count        map[impound.DomainState]int `json:"count"` // names by state
	// Blocked and Contested name up to three of those that need a look.
	Blocked   []impound.Name `json:"-"`
	Contested []impound.Name `json:"-"`
}

// Names is how many names the case has.
func (h CaseHead) Names() (n int) {
	for _, k := range h.Count {
		n += k
	}
	return n
}

// HeadOf makes the head of a case that is at hand with its names.
func HeadOf(c impound.Case) CaseHead {
	h := CaseHead{Case: c, Count: map[impound.DomainState]int{}}
	h.Domains = nil
	some := func(to *[]impound.Name, n impound.Name) {
		if len(*to) < fewNames {
			*to = append(*to, n)
		}
	}
	for _, d := range c.Domains {
		h.Count[d.State]++
		switch d.State {
		case impound.StateBlocked:
			some(&h.Blocked, d.Name)
		case impound.StateContested:
			some(&h.Contested, d.Name)
		}
	}
	return h
}

// fewNames is how many names an alert gives as examples.
const fewNames = 3

// ContactQuery chooses contacts. Zero fields choose everything.
type ContactQuery struct {
	Case   string
	Class  impound.Class
	Zone   impound.Name // the seized name
	Proto  impound.Proto
	Limit  int // > 0
	Offset int
}

// SeriesQuery chooses buckets of contacts. Step is whole minutes, and From and
// Until are multiples of it since the Unix epoch.
type SeriesQuery struct {
	Case  string
	Zone  impound.Name
	From  time.Time // included
	Until time.Time // not included
	Step  time.Duration
}

// LogQuery chooses lines of the evidence log. Zero fields choose everything.
type LogQuery struct {
	Case, Order string
	Name        impound.Name
	Type        impound.EntryType
	Limit       int // > 0
	Offset      int
}

// Totals is contacts counted.
type Totals struct {
	ByClass map[impound.Class]int `json:"by_class"`
	Victims int                   `json:"victims"`        // distinct sources of class victim, as far as the capture level can tell them apart
	First   time.Time             `json:"first,omitzero"` // zero: none yet
	Last    time.Time             `json:"last,omitzero"`
}

// All sums the classes.
func (t Totals) All() (n int) {
	for _, c := range t.ByClass {
		n += c
	}
	return n
}

// SeriesPoint is one bucket. At is its beginning.
type SeriesPoint struct {
	At    time.Time             `json:"at"`
	Count map[impound.Class]int `json:"count"`
}

// NetworkCount is the victims of one network.
type NetworkCount struct {
	Network  impound.Network `json:"network"`
	Victims  int             `json:"victims"` // distinct sources
	Contacts int             `json:"contacts"`
	First    time.Time       `json:"first"`
	Last     time.Time       `json:"last"`
}

// OrderView is an order as people look at it.
type OrderView struct {
	ID        string      `json:"id"`
	Hash      string      `json:"hash"`
	Case      string      `json:"case"`
	Kind      string      `json:"kind"`
	Parent    string      `json:"parent,omitempty"` // id of the order that it supplements
	Court     string      `json:"court"`            // or the agreement
	Docket    string      `json:"docket"`
	Issued    time.Time   `json:"issued"`
	From      time.Time   `json:"from"`
	Until     time.Time   `json:"until"`
	InForce   bool        `json:"in_force"`           // proven, and now lies within its dates
	Withdrawn time.Time   `json:"withdrawn,omitzero"` // ended before its date
	Unproven  string      `json:"unproven,omitempty"` // why it is no mandate: "signed by 1 of 2 people"; "" when proven
	Signers   []string    `json:"signers"`
	Needed    int         `json:"needed"`  // signers that it takes
	Capture   string      `json:"capture"` // what the sinkhole may keep
	AtEnd     string      `json:"at_end"`
	TLP       impound.TLP `json:"tlp"`
	Names     []OrderName `json:"names"`
}

// OrderName is one name of an order.
type OrderName struct {
	Name    impound.Name         `json:"name"`
	Acts    []string             `json:"acts"` // in words
	State   impound.DomainState  `json:"state"`
	Blocked *impound.GateVerdict `json:"blocked,omitempty"` // the gate that keeps it out
}

// PlanView is a plan as people look at it.
type PlanView struct {
	ID        string     `json:"id"`
	Hash      string     `json:"hash"`
	Order     string     `json:"order"`
	Case      string     `json:"case"`
	Made      time.Time  `json:"made"`
	State     string     `json:"state"` // "proposed" | "approved" | "applying" | "applied" | "partial" | "failed" ...
	Approvals []Approval `json:"approvals"`
	Needed    int        `json:"needed"`
	Names     []PlanName `json:"names"`

	By       string     `json:"by,omitempty"`       // who made it
	Expires  time.Time  `json:"expires,omitzero"`   // no approval and no apply from then on
	Warnings []string   `json:"warnings,omitempty"` // what is to be thought of at every name that changes
	Hosts    []PlanHost `json:"hosts,omitempty"`    // made before the names change
}

// PlanHost is host objects that a provider is given first.
type PlanHost struct {
	Provider string   `json:"provider"`
	Diff     []string `json:"diff"`
}

// Approval is one person's word.
type Approval struct {
	Person string    `json:"person"`
	At     time.Time `json:"at"`
}

// PlanName is what a plan does to one name, and what came of it.
type PlanName struct {
	Name     impound.Name `json:"name"`
	Provider string       `json:"provider"`
	Diff     []string     `json:"diff"`   // lines beginning with "+", "-" or " "; with "!" what warns
	Result   string       `json:"result"` // in words; "" = not applied yet
	Parent   Look         `json:"parent"`
	RDAP     Look         `json:"rdap"`
	Resolver Look         `json:"resolver"`
	Child    Look         `json:"child"` // its own servers: for information, no order is judged by it

	Acted time.Time `json:"acted,omitzero"`  // when it was done at its provider
	Turns []Turn    `json:"turns,omitempty"` // how the views came to show it since, oldest first
}

// Turn is that a view came to show something else.
type Turn struct {
	At      time.Time `json:"at"`
	View    string    `json:"view"` // "parent" | "rdap" | "resolver"
	Verdict string    `json:"verdict"`
	Detail  string    `json:"detail,omitempty"`
}

// What a look found.
const (
	AsOrdered = "as-ordered"
	NotYet    = "not-yet"
	Otherwise = "otherwise"
	Unknown   = "unknown" // could not look, or never did
)

// Look is what one of the three views found.
type Look struct {
	Verdict string    `json:"verdict"` // AsOrdered, NotYet, Otherwise, Unknown
	Detail  string    `json:"detail,omitempty"`
	At      time.Time `json:"at,omitzero"`
}

// ReportView is a report or a message that was prepared for somebody.
type ReportView struct {
	ID        string    `json:"id"`
	Case      string    `json:"case"`
	Recipient string    `json:"recipient"` // the network or team
	Format    string    `json:"format"`
	Rows      int       `json:"rows"`
	Hash      string    `json:"hash"`
	File      string    `json:"file,omitempty"` // name within the reports folder
	State     string    `json:"state"`          // "prepared" | "sent" | ...
	At        time.Time `json:"at"`
}

// LogEntry is one line of the evidence log.
type LogEntry struct {
	Index int64         `json:"index"`
	Entry impound.Entry `json:"entry"`
}

// AlarmView is one thing that custody found.
type AlarmView struct {
	Order string       `json:"order"`
	Case  string       `json:"case"`
	Name  impound.Name `json:"name,omitzero"` // zero: about the order
	Kind  string       `json:"kind"`
	Text  string       `json:"text"` // names defanged
	Cure  string       `json:"cure,omitempty"`
	Cmd   string       `json:"cmd,omitempty"`
	At    time.Time    `json:"at"`
}

// SourceView is where new names come from, and how far it was read.
type SourceView struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`
	Where      string    `json:"where"`
	Position   int64     `json:"position"` // what is before it was screened
	Verified   int64     `json:"verified"` // and what is before this is proven to be the log's
	Lag        int64     `json:"lag"`      // -1: not known
	Rate       float64   `json:"rate"`     // a second
	Names      int64     `json:"names"`
	Hits       int64     `json:"hits"`
	Unreadable int64     `json:"unreadable"`
	Errors     int64     `json:"errors"`
	Read       time.Time `json:"read"` // last time that it could be
	Fault      string    `json:"fault,omitempty"`
	Held       string    `json:"held,omitempty"`
}

// SensorView is the state of one sensor.
type SensorView struct {
	ID        string    `json:"id"`
	Listeners []string  `json:"listeners"` // "dns 127.0.0.1:5353"
	Serial    uint64    `json:"serial"`    // of the policy bundle that it obeys
	Orders    []string  `json:"orders"`    // in force there
	SpoolSeq  uint64    `json:"spool_seq"` // newest event in its journal
	Read      uint64    `json:"read"`      // newest event that telemetry has
	Missing   uint64    `json:"missing"`   // sequence numbers that never came
	Seen      time.Time `json:"seen"`      // last sign of life
	Fault     string    `json:"fault,omitempty"`
}
