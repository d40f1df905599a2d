// Package casework keeps cases, candidates, actors, people and orders, and is
// the one place where an order document becomes an [impound.Mandate].
//
// Two memories stand behind it. The evidence log is the one that counts: who is
// enrolled, which orders were filed, what the gates said of each name, who overrode
// them, and what was decided of a name (contested, whose it is) is replayed from the log, every signature verified anew, so a
// database edited by hand gains nothing. The store holds what is convenient and
// may be lost or forged without harm to anybody outside: cases, their names with
// history, candidates, actors, and a row per order for lists.
//
// Sub-packages: orderdoc reads and writes order documents, gate holds the safety
// gates, intake finds names in reports.
//
// What must not live here: an act on the outside world, a network client, SQL,
// or a clock other than the injected one.
package casework

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/turns"
)

// System is who acts when no person does: the observer that attaches what it
// captured, the verifier that saw a name seized. It can note outcomes, never
// decide.
const System = "system"

// Evidence is what casework needs of the evidence log. Append is idempotent by
// Entry.ID and on the disk when it returns; Entries gives the entries from index
// from on, each proven against the log's tree.
type Evidence interface {
	Append(ctx context.Context, e impound.Entry) (int64, error)
	Capture(ctx context.Context, a impound.Artefact, body []byte) (impound.Artefact, error)
	Read(hash string) ([]byte, error)
	Entry(id string) (impound.Entry, bool, error)
	Entries(ctx context.Context, from int64, fn func(i int64, e impound.Entry) error) error
}

// Facts is what was observed of a name for its gates. Zero fields are unknown.
type Facts struct {
	Created, CreatedAsOf time.Time      // registration, from RDAP
	NS                   []impound.Name // at the parent
	NSAsOf               time.Time
	HTTP                 *gate.HTTPSummary
	ProviderContacted    time.Time
	Addrs                []netip.Addr // from resolvers
	AddrsAsOf            time.Time
	Demand               *gate.Demand  // what the name draws; nil: not known
	Tenants              *gate.Tenants // who else lives below the name; nil: not counted
	// CreatedWhy and NSWhy say why these are not known, where somebody was to be
	// asked.
	CreatedWhy, NSWhy string
	// Registration is what the registry publishes; zero AsOf: nobody could be
	// asked.
	Registration Registration
}

// Taken is that a name was taken under an order, and what was seen of it since.
type Taken struct {
	At    time.Time
	Views []gate.View
}

// Registration is a registry's public word on a name, for appendices.
type Registration struct {
	AsOf          time.Time `json:"as_of"`  // when RDAP was asked
	Exists        bool      `json:"exists"` // false: the registry says that nobody holds it
	Handle        string    `json:"handle,omitempty"`
	Registrar     string    `json:"registrar,omitempty"`
	RegistrarIANA string    `json:"registrar_iana,omitempty"`
	Status        []string  `json:"status,omitempty"` // EPP names
	Created       time.Time `json:"created,omitzero"`
	Expires       time.Time `json:"expires,omitzero"`
	Signed        bool      `json:"signed"` // the parent zone holds DS
}

// Config is what a Service needs.
type Config struct {
	Store    store.Store
	Evidence Evidence
	Now      func() time.Time   // nil: time.Now
	Gates    *gate.Lists        // nil: the built-in facts
	GatesNow func() *gate.Lists // where they can change while this runs; nil, or nil given: Gates
	// Facts looks at a name for the gates; nil means that nothing is known. It
	// is called for up to 8 names of each registry at once. Its errors make facts
	// unknown.
	Facts func(ctx context.Context, n impound.Name) (Facts, error)
	// Registry says whose answers Facts waits for, in any word; nil: one registry
	// has all names.
	Registry func(n impound.Name) string
	// Passive is what is known of a name without asking anybody; nil: nothing.
	Passive func(n impound.Name) Facts
	// Capacity is what the sinkhole fleet bears (Measured, Servers, At) and what it
	// serves already (Expected); nil means that nobody knows.
	Capacity func(ctx context.Context) *gate.Capacity
	// Taken gives which names of an order were taken, and what was seen of them
	// since; nil: nobody says.
	Taken func(ctx context.Context, order string) (map[impound.Name]Taken, error)
	// Neighbours tells from the evidence that a case holds on a name who else its
	// servers' certificates name; nil, or nil from it: the evidence says nothing.
	Neighbours func(n impound.Name, evidence []impound.Artefact, read func(hash string) ([]byte, error)) *gate.CertTenants
	// RenewalBy is who pays renewals of names whose order names nobody; "" is nobody.
	RenewalBy string
	Log       *slog.Logger // nil: discarded
	Tool      string       // named in artefacts; "" is "impound"
	// SeesArtefact says KindNotFound, in the log's own words, of an artefact that
	// x may not see; nil: every artefact that is there may be attached.
	SeesArtefact func(ctx context.Context, x Sight, hash string) error
}

// Service is the casework desk. It is safe for concurrent use, and several
// processes may run one over the same store and log.
type Service struct {
	cfg    Config
	ledger *ledger
	filing sync.Mutex // one order is filed at a time in this process

	mu     sync.Mutex
	cache  map[string]*impound.Mandate // proven orders; key: document and keyring
	docs   map[string]*filedOrder      // by the hashes of their artefacts
	turns  turns.Turns                 // of those who are about to fill these, and whole
	sights map[string]*keptSight       // hidden names by person

	listsNow *gate.Lists // what [Service.gates] gave last
	listsRev int         // and how many there were

	whole memo[wholeCase]
	heads memo[[]CaseHead]
	cands memo[[]impound.Candidate]

	queueBuilt atomic.Bool // the queue's rows are made

	locks locks
	used  sync.Map // token id -> the minute that was noted last
}

// New makes a Service. It reads nothing yet.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Evidence == nil {
		return nil, impound.Errorf(impound.KindInternal, "casework needs a store and an evidence log")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Gates == nil {
		cfg.Gates = gate.BuiltIn()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Tool == "" {
		cfg.Tool = "impound"
	}
	return &Service{cfg: cfg, ledger: newLedger(cfg.Evidence), cache: map[string]*impound.Mandate{}, docs: map[string]*filedOrder{},
		whole: memo[wholeCase]{kinds: []string{kindCase, kindDomain}, most: mostNames},
		heads: memo[[]CaseHead]{kinds: []string{kindCase, kindDomain}, most: 1},
		cands: memo[[]impound.Candidate]{kinds: []string{kindCandidate}, most: mostNames}}, nil
}

func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

var idRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func checkID(what, id string) error {
	if !idRule.MatchString(id) {
		return impound.Errorf(impound.KindInvalid, "%.80q is no id for a %s", id, what).WithCure("use 1 to 64 letters, digits, dots, hyphens or underscores, such as PHOS-2019")
	}
	return nil
}

// entryID makes an id that is the same when the same decision is recorded again,
// so that what was cut short can be run again without a second entry.
func entryID(what string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return what + ":" + hex.EncodeToString(h.Sum(nil)[:16])
}

// decide appends a decision to the evidence log. It is called inside a store
// update, after every check: so the log never speaks of what was refused, and a
// crash before the store's commit leaves an entry that the next run, with the
// same id, finds there already.
func (s *Service) decide(ctx context.Context, e impound.Entry) error {
	if e.Type == "" {
		e.Type = impound.EntryDecision
	}
	if e.At.IsZero() {
		e.At = s.now()
	}
	if _, err := s.cfg.Evidence.Append(ctx, e); err != nil {
		return impound.Errorf(impound.KindOf(err), "couldn't record %s in the evidence log: %w", e.What, err)
	}
	return nil
}
