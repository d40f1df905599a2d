package casework

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/casework/orderdoc"
	"github.com/impound/impound/internal/parallel"
	"github.com/impound/impound/internal/quickjson"
	"github.com/impound/impound/internal/store"
)

// NameReport is what the gates say of one name of an order.
type NameReport struct {
	Name     impound.Name          `json:"name"`
	Exhibit  string                `json:"exhibit,omitempty"`
	Acts     []impound.Act         `json:"acts"`
	Verdicts []impound.GateVerdict `json:"verdicts"`
	// Blocked holds the verdicts that keep the name out of effect. Unknown
	// keeps it out on G1 and G12 alone.
	Blocked    []impound.GateVerdict `json:"blocked,omitempty"`
	Overridden []string              `json:"overridden,omitempty"` // gates that two approvers let it through
	Facts      Facts                 `json:"-"`                    // what the gates were told
}

// Missing is something that the recipient of an order will ask for.
type Missing struct {
	Field string `json:"field"`
	Where string `json:"where"` // file:line
	Why   string `json:"why"`
}

// OrderReport is what there is to say about an order document.
type OrderReport struct {
	File     string           `json:"file"`
	Order    *impound.Order   `json:"order,omitempty"` // nil when the document is not valid
	Hash     string           `json:"hash,omitempty"`  // what people sign
	Problems impound.Problems `json:"problems,omitempty"`
	Signers  []string         `json:"signers,omitempty"` // proven
	Unsigned impound.Problems `json:"unsigned,omitempty"`
	Names    []NameReport     `json:"names,omitempty"`
	Missing  []Missing        `json:"missing,omitempty"`
	Omitted  []LeftOut        `json:"omitted,omitempty"` // names of the actor's set that the order leaves out, with why
	Filed    bool             `json:"filed"`             // this order, by its hash, is filed
}

// Err gives the faults that keep the order from being filed: those of the
// document, else those of its signatures. A blocked name is none: it is filed as
// blocked and stays out of effect.
func (r OrderReport) Err() error {
	if err := r.Problems.Err(); err != nil {
		return err
	}
	if len(r.Unsigned) > 0 {
		e := *r.Unsigned[0] // refused rather than invalid: it may be a good order
		if len(r.Unsigned) > 1 {
			e.Err = errors.Join(e.Err, r.Unsigned[1:])
		}
		return &e
	}
	return nil
}

// BlockedNames gives the names that a gate keeps out.
func (r OrderReport) BlockedNames() []impound.Name {
	var out []impound.Name
	for _, n := range r.Names {
		if len(n.Blocked) > 0 {
			out = append(out, n.Name)
		}
	}
	return out
}

// CheckOrder reads an order document, runs the gates on each of its names, and
// says what is missing for a recipient to act. It changes nothing, and anybody
// may ask. Faults of the document are in the report, not in the error.
func (s *Service) CheckOrder(ctx context.Context, filename string, data []byte) (OrderReport, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return OrderReport{}, err
	}
	rep, _, err := s.check(ctx, view, s.sightFor(view, ctx), filename, data)
	return rep, err
}

func (s *Service) check(ctx context.Context, view ledgerView, x Sight, filename string, data []byte) (OrderReport, *orderdoc.Document, error) {
	rep := OrderReport{File: filename}
	doc, ps := orderdoc.Read(filename, data)
	if rep.Problems = ps; len(ps) > 0 {
		return rep, doc, nil
	}
	o := doc.Order
	rep.Order, rep.Hash = o, o.Hash()
	if err := checkID("order", o.ID); err != nil {
		rep.Problems = append(rep.Problems, located(err, doc.Where("id")))
	}
	rep.Signers, rep.Unsigned = orderdoc.CheckSignatures(doc, view.ring)
	// An order that can't be seen is none here; filing says that its id is taken.
	if f, ok := view.orders[o.ID]; ok && x.Order(o.ID) {
		if rep.Filed = f.hash == rep.Hash; !rep.Filed {
			rep.Problems = append(rep.Problems, changed(o.ID, f, doc))
		}
	}
	from, until := o.From, o.Until
	if o.Parent != nil {
		parent, err := s.seen(view, x, o.Parent.ID)
		switch {
		case err != nil:
			rep.Problems = append(rep.Problems, impound.Errorf(impound.KindInvalid, "the parent order %.64q is not proven here: %w", o.Parent.ID, err).At(doc.Where("parent.id")).WithCure("file the parent first"))
		case parent.Hash() != o.Parent.Hash:
			rep.Problems = append(rep.Problems, impound.Errorf(impound.KindInvalid, "the parent's hash is %s, not %.80q", parent.Hash(), o.Parent.Hash).At(doc.Where("parent.hash")).WithCure("copy the hash from: impound order show "+o.Parent.ID))
		default:
			pf, pu := parent.Window()
			if pf.After(from) {
				from = pf
			}
			if pu.Before(until) {
				until = pu
			}
		}
	}
	if !rep.Filed { // what is filed counts as it is; the plan says it again
		rep.Problems = append(rep.Problems, s.unpaid(view, x, doc, until)...)
	}
	c, claims, err := s.caseFor(ctx, x, o)
	if impound.KindOf(err) == impound.KindNotFound {
		rep.Problems = append(rep.Problems, located(err, doc.Where("case")))
	} else if err != nil {
		return rep, doc, err
	}
	if err := s.runGates(ctx, x, x.narrow(namesOf(o)), &rep, c, from, until, claims); err != nil {
		return rep, doc, err
	}
	rep.Missing = missing(doc)
	if !s.paid(view, x, o) {
		rep.Missing = append(rep.Missing, unpaidNow(doc, rep.Names, until)...)
	}
	return rep, doc, nil
}

// unpaid refuses names whose registrations, as the order itself says, end before
// the order does, and of which nobody is said to pay the renewal: they would come
// free while the order runs.
func (s *Service) unpaid(view ledgerView, x Sight, doc *orderdoc.Document, until time.Time) impound.Problems {
	o := doc.Order
	if s.paid(view, x, o) {
		return nil
	}
	var first *impound.Error
	n := 0
	for i, a := range o.Appendices {
		for j, on := range a.Names {
			if on.Expires.IsZero() || !on.Expires.Before(until) || cmp.Or(on.Acts, &o.Acts).Renew {
				continue
			}
			if n++; first == nil {
				first = impound.Errorf(impound.KindInvalid, "the registration of %s ends on %s, before the order does, and the order names nobody who pays the renewal: it would come free", on.Name.Defanged(), on.Expires.UTC().Format(time.DateOnly)).
					At(doc.Where(fmt.Sprintf("appendices[%d].names[%d].expires", i, j))).WithCure("say who pays (custody: renewal_by), order it (acts: renew: true), or set renewal_by: in the configuration")
			}
		}
	}
	switch {
	case n == 0:
		return nil
	case n > 1: // said once: there may be thousands
		first.Msg += fmt.Sprintf("; so would %d more", n-1)
	}
	return impound.Problems{first}
}

// paid says whether somebody is named who pays renewals under o.
func (s *Service) paid(view ledgerView, x Sight, o *impound.Order) bool {
	if s.cfg.RenewalBy != "" || o.Custody != nil && o.Custody.RenewalBy != "" {
		return true
	}
	if o.Parent == nil {
		return false
	}
	parent, err := s.seen(view, x, o.Parent.ID)
	return err == nil && parent.Payer() != ""
}

// unpaidNow tells of the names whose registrations end before the order does, as
// registries publish it now, and of which nobody pays the renewal: the plan will
// leave them out. It is no fault of the document, since dates move.
func unpaidNow(doc *orderdoc.Document, names []NameReport, until time.Time) []Missing {
	told := map[impound.Name]bool{} // by the order itself: a fault
	for _, on := range doc.Order.Names() {
		told[on.Name] = !on.Expires.IsZero() && on.Expires.Before(until)
	}
	var first NameReport
	n := 0
	for _, r := range names {
		ends := r.Facts.Registration.Expires
		if told[r.Name] || ends.IsZero() || !ends.Before(until) || slices.Contains(r.Acts, impound.ActRenew) {
			continue
		}
		if n++; n == 1 || ends.Before(first.Facts.Registration.Expires) {
			first = r
		}
	}
	if n == 0 {
		return nil
	}
	who := "the registration of " + first.Name.Defanged() + " ends"
	if n > 1 {
		who = fmt.Sprintf("%d registrations end before the order does, the first, of %s,", n, first.Name.Defanged())
	}
	return []Missing{{"custody.renewal_by", doc.Where("custody.renewal_by"), fmt.Sprintf("%s on %s, and nobody is named who pays the renewal: seize plan will leave out what would come free; say who pays (custody: renewal_by), order it (acts: renew: true), or set renewal_by: in the configuration",
		who, first.Facts.Registration.Expires.UTC().Format(time.DateOnly))}}
}

// located puts a place on err.
func located(err error, where string) *impound.Error {
	var e *impound.Error
	if errors.As(err, &e) {
		c := *e
		return c.At(where)
	}
	return impound.Errorf(impound.KindOf(err), "%w", err).At(where)
}

func changed(id string, f filing, doc *orderdoc.Document) *impound.Error {
	return impound.Errorf(impound.KindConflict, "another order is filed as %s (by %s on %s, %s)", id, f.entry.By, f.entry.At.UTC().Format(time.DateOnly), f.hash).
		At(doc.Where("id")).WithCure("a filed order is not changed: file a supplement under an id of its own, with parent: id, hash and clause")
}

// seen gives the mandate of an order that x holds.
func (s *Service) seen(view ledgerView, x Sight, id string) (*impound.Mandate, error) {
	if !x.Order(id) {
		return nil, noOrder(id)
	}
	return s.mandate(view, id, 0)
}

func noOrder(id string) error {
	return impound.Errorf(impound.KindNotFound, "no order %.64q is filed", id)
}

// claims finds the actors of other cases that claim names of o. A sealed case
// claims nothing towards those who are no party to it, the house included: its
// words are kept and shown with the order. See [Service.Unsettled] for what
// follows of such a claim.
func (s *Service) claims(tx store.Tx, x Sight, c impound.Case, o *impound.Order, out map[impound.Name][]string) error {
	cases, err := store.Values[impound.Case](tx, store.Query{Kind: kindCase})
	if err != nil {
		return err
	}
	for _, other := range cases {
		if other.ID == c.ID || other.Actor == c.Actor || other.Actor == "" || len(x.view.seals[other.ID].Parties) > 0 && !slices.Contains(x.view.seals[other.ID].Parties, x.id) {
			continue
		}
		ds, err := readDomains(tx, other.ID, 0, 0)
		if err != nil {
			return err
		}
		in := make(map[impound.Name]bool, len(ds))
		for _, d := range ds {
			in[d.Name] = d.State != impound.StateReleased
		}
		for _, on := range o.Names() {
			if in[on.Name] && !slices.Contains(out[on.Name], other.Actor) {
				out[on.Name] = append(out[on.Name], other.Actor)
			}
		}
	}
	return nil
}

// runGates fills rep.Names and rep.Omitted.
func (s *Service) runGates(ctx context.Context, x Sight, view ledgerView, rep *OrderReport, c impound.Case, from, until time.Time, claims map[impound.Name][]string) error {
	a, err := s.asking(ctx, view, rep.Order, c, from, until, claims)
	if err != nil {
		return err
	}
	facts, err := a.look(ctx, a.names)
	if err != nil {
		return err
	}
	a.fleet = s.fleet(ctx, facts, a.taken, a.names)
	rep.Names = a.judge(ctx, view, a.names, facts)
	rep.Omitted, err = s.leftOut(ctx, view, x, a, c)
	return err
}

func namesOf(o *impound.Order) []impound.Name {
	ons := o.Names()
	out := make([]impound.Name, len(ons))
	for i, on := range ons {
		out[i] = on.Name
	}
	return out
}

// orderOf gives o with the one name alone, so that a gate finds it at once in an
// order of 100,000.
func orderOf(o *impound.Order, on impound.OrderName) *impound.Order {
	c := *o
	c.Appendices = []impound.Appendix{{ID: "A", Count: 1, Names: []impound.OrderName{on}}}
	return &c
}

// missing lists what recipients ask for and the document leaves open.
func missing(doc *orderdoc.Document) []Missing {
	o := doc.Order
	var out []Missing
	need := func(absent bool, field, why string) {
		if absent {
			out = append(out, Missing{field, doc.Where(field), why})
		}
	}
	court := o.Authority.Court != ""
	need(court && o.Authority.Judge == "", "authority.judge", "a registry's counsel asks who signed the order")
	need(o.Authority.Jurisdiction == "", "authority.jurisdiction", "a registry acts when it knows why the court reaches it")
	need(o.Parties.Counsel == "", "parties.counsel", "questions about the order go to counsel")
	need(court && len(o.Parties.Defendants) == 0, "parties.defendants", "an order is against somebody, John Does at least")
	need(o.Recipient.Contact == "", "recipient.contact", "it must be served on a desk that takes orders")
	need(o.Recipient.Role == "registrar" && o.Recipient.IANAID == 0, "recipient.iana_id", "the IANA number says which registrar is meant")
	need(o.ExecuteAt.IsZero(), "execute_at", "without an instant each recipient acts when it likes, and the actor is warned by the first")
	need(o.Acts.Sinkhole && o.Sinkhole.Notice == "", "sinkhole.notice", "visitors are told nothing of the court and of how to contest")
	n := 0
	first := ""
	for i, a := range o.Appendices {
		for j, on := range a.Names {
			if on.Exhibit == "" {
				if n++; first == "" {
					first = fmt.Sprintf("appendices[%d].names[%d]", i, j)
				}
			}
		}
	}
	if n > 0 {
		out = append(out, Missing{"exhibit", doc.Where(first), fmt.Sprintf("%d of %d names have no exhibit: the judge is asked to believe them", n, len(o.Names()))})
	}
	return out
}

// gateReport is the artefact that an order.file entry names: what the gates said.
type gateReport struct {
	Order string          `json:"order"`
	Hash  string          `json:"hash"`
	Names []gateReportRow `json:"names"`
}

type gateReportRow struct {
	Name     impound.Name          `json:"name"`
	Verdicts []impound.GateVerdict `json:"verdicts"`
}

// FileOrder files an order document: from then on [Service.Mandates] gives it.
// It refuses one that is not valid, that two enrolled approvers have not signed,
// or whose id stands for another order already. Names that a gate blocks are
// filed as blocked: no mandate permits anything for them until two approvers
// override that gate. Filing the same order again changes nothing and finishes
// what a crash cut short.
//
// The order counts from its entry in the evidence log on, which is on the disk
// when FileOrder returns. Role: analyst or counsel. The report is given with an
// error too.
func (s *Service) FileOrder(ctx context.Context, by, filename string, data []byte) (OrderReport, error) {
	if _, err := s.act(ctx, "FileOrder", by); err != nil {
		return OrderReport{File: filename}, err
	}
	s.filing.Lock()
	defer s.filing.Unlock()
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return OrderReport{File: filename}, err
	}
	x := s.sight(view, by)
	rep, doc, err := s.check(ctx, view, x, filename, data)
	if err != nil {
		return rep, err
	}
	if err := rep.Err(); err != nil {
		// A conflict is told apart, so that callers need not read the text.
		if len(rep.Problems) == 1 {
			return rep, rep.Problems[0]
		}
		return rep, err
	}
	o := rep.Order
	if !x.Order(o.ID) {
		return rep, impound.Errorf(impound.KindConflict, "the id %q can't be had", o.ID).At(doc.Where("id")).WithCure("choose another id")
	}
	if !rep.Filed {
		if err := s.record(ctx, by, view, rep, doc, data); err != nil {
			return rep, err
		}
		if view, err = s.ledger.sync(ctx); err != nil {
			return rep, err
		}
		f, ok := view.orders[o.ID]
		if !ok {
			return rep, impound.Errorf(impound.KindInternal, "order %s was recorded, but the evidence log doesn't give it back", o.ID)
		}
		if f.hash != rep.Hash { // another process filed first
			return rep, changed(o.ID, f, doc)
		}
		rep.Filed = true
	}
	return rep, s.noteFiled(ctx, view.orders[o.ID], rep)
}

// record makes the entries that an order counts by.
func (s *Service) record(ctx context.Context, by string, view ledgerView, rep OrderReport, doc *orderdoc.Document, data []byte) error {
	o := rep.Order
	var parent *impound.Mandate
	if o.Parent != nil {
		var err error
		if parent, err = s.mandate(view, o.Parent.ID, 0); err != nil {
			return err
		}
	}
	// The same proof that Mandates makes later: what can't be proven is not filed.
	if _, err := o.Authorize(view.ring, parent); err != nil {
		return located(err, doc.Where("signatures"))
	}
	now := s.now()
	art, err := s.cfg.Evidence.Capture(ctx, impound.Artefact{Kind: "order", Media: "application/yaml", Case: o.Case, Source: filepathBase(rep.File), Tool: s.cfg.Tool, By: by, At: now}, data)
	if err != nil {
		return impound.Errorf(impound.KindOf(err), "couldn't keep the order's document: %w", err)
	}
	signed, err := s.keepSigned(ctx, o, rep.Hash, impound.Artefact{Kind: "order-signed", Media: "application/json", Case: o.Case, Source: "what was signed of " + o.ID, Tool: s.cfg.Tool, By: by, At: now})
	if err != nil {
		return err
	}
	gr := gateReport{Order: o.ID, Hash: rep.Hash}
	for _, n := range rep.Names {
		gr.Names = append(gr.Names, gateReportRow{n.Name, n.Verdicts})
	}
	b, err := json.Marshal(gr)
	if err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't encode the gates' verdicts: %w", err)
	}
	gates, err := s.cfg.Evidence.Capture(ctx, impound.Artefact{Kind: "gates", Media: "application/json", Case: o.Case, Source: "gates of " + o.ID, Tool: s.cfg.Tool, By: by, At: now}, b)
	if err != nil {
		return impound.Errorf(impound.KindOf(err), "couldn't keep the gates' verdicts: %w", err)
	}
	// What keeps names out, apart: it is read at each start, and the whole report
	// of a large order is a hundred times as long.
	sr := gateReport{Order: o.ID, Hash: rep.Hash}
	for _, n := range rep.Names {
		sr.Names = append(sr.Names, gateReportRow{n.Name, gate.Blocking(n.Verdicts)})
	}
	if b, err = json.Marshal(sr); err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't encode the gates' verdicts: %w", err)
	}
	stops, err := s.cfg.Evidence.Capture(ctx, impound.Artefact{Kind: "gates-blocking", Media: "application/json", Case: o.Case, Source: "gates of " + o.ID, Tool: s.cfg.Tool, By: by, At: now}, b)
	if err != nil {
		return impound.Errorf(impound.KindOf(err), "couldn't keep the gates' verdicts: %w", err)
	}
	blocked := rep.BlockedNames()
	var shown []string
	for _, n := range blocked[:min(len(blocked), 50)] {
		shown = append(shown, n.String())
	}
	e := impound.Entry{
		ID: WhatOrderFile + ":" + o.ID, By: by, At: now, What: WhatOrderFile, Case: o.Case, Order: o.ID,
		Detail: map[string]string{
			"document": art.Hash, "hash": rep.Hash, "gates": gates.Hash, "gates_blocking": stops.Hash, "signers": strings.Join(rep.Signers, " "),
			"names": fmt.Sprint(len(rep.Names)), "blocked": fmt.Sprint(len(blocked)), "blocked_names": strings.Join(shown, " "),
			"from": o.From.Format(time.RFC3339), "until": o.Until.Format(time.RFC3339),
		},
	}
	if signed != "" {
		e.Detail["signatures"] = signed
	}
	return s.decide(ctx, e)
}

// maxSignatures bounds what an entry says of signatures (octets).
const maxSignatures = 16 << 10

// keepSigned keeps the octets whose hash people signed, the order's canonical
// JSON, as an artefact: its name in the evidence log is that very hash. It gives
// the signatures for the order's entry. Reading an order back from the two takes
// a tenth of what its document takes, and needs no more faith: the hash is the
// signed one, and the signatures are proven anew each time. It gives "" where
// that would not give the same order back; then the document is read.
func (s *Service) keepSigned(ctx context.Context, o *impound.Order, hash string, a impound.Artefact) (string, error) {
	b, err := impound.CanonicalJSON(o)
	if err != nil {
		return "", err
	}
	sigs, err := json.Marshal(o.Signatures)
	if err != nil {
		return "", impound.Errorf(impound.KindInternal, "couldn't encode the signatures: %w", err)
	}
	back, err := readSigned(b, string(sigs))
	if err != nil || len(sigs) > maxSignatures || impound.HashBytes(b) != hash || back.Hash() != hash || len(back.Signatures) != len(o.Signatures) {
		s.cfg.Log.Warn("an order is read from its document each time: what was signed doesn't give it back", "order", o.ID, "err", err)
		return "", nil
	}
	if _, err := s.cfg.Evidence.Capture(ctx, a, b); err != nil {
		return "", impound.Errorf(impound.KindOf(err), "couldn't keep what was signed of the order: %w", err)
	}
	return string(sigs), nil
}

// readSigned reads an order from what [Service.keepSigned] kept. It is as strict
// as the reader of documents: a field that this version doesn't know could forbid
// something.
func readSigned(data []byte, signatures string) (*impound.Order, error) {
	o := &impound.Order{}
	if !quickjson.Strict(data, o) {
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(o); err != nil {
			return nil, err
		}
		if _, err := d.Token(); err != io.EOF {
			return nil, errors.New("something follows the order")
		}
	}
	return o, json.Unmarshal([]byte(signatures), &o.Signatures)
}

func filepathBase(p string) string {
	if i := strings.LastIndexAny(p, `/\`); i >= 0 {
		return p[i+1:]
	}
	return p
}

// OrderRow is a filed order in a list.
type OrderRow struct {
	ID       string            `json:"id"`
	Case     string            `json:"case"`
	Kind     impound.OrderKind `json:"kind"`
	Parent   string            `json:"parent,omitempty"`
	Docket   string            `json:"docket"`
	From     time.Time         `json:"from"`
	Until    time.Time         `json:"until"`
	Filed    time.Time         `json:"filed"`
	Ended    time.Time         `json:"withdrawn,omitzero"` // before its date
	By       string            `json:"by"`
	Signers  []string          `json:"signers"`
	Names    int               `json:"names"`
	Blocked  []impound.Name    `json:"blocked,omitempty"`
	Hash     string            `json:"hash"`     // of the order: what was signed
	Document string            `json:"document"` // of the document's octets
}

// noteFiled writes what the store holds of a filed order: its row, and the states
// of its names. Nothing takes effect by it.
func (s *Service) noteFiled(ctx context.Context, f filing, rep OrderReport) error {
	o, by, now := rep.Order, f.entry.By, s.now()
	row := OrderRow{ID: o.ID, Case: o.Case, Kind: o.Kind, Docket: o.Authority.Docket, From: o.From, Until: o.Until, Filed: f.entry.At, By: by,
		Signers: rep.Signers, Names: len(rep.Names), Blocked: rep.BlockedNames(), Hash: rep.Hash, Document: f.document}
	if o.Parent != nil {
		row.Parent = o.Parent.ID
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, rev, err := store.Get[OrderRow](tx, kindOrder, o.ID)
		if err != nil && impound.KindOf(err) != impound.KindNotFound {
			return err
		}
		if _, err := store.Put(tx, kindOrder, o.ID, rev, row, map[string]string{"case": o.Case}); err != nil {
			return err
		}
		for _, n := range rep.Names {
			d, rev, err := readDomain(tx, o.Case, n.Name)
			if impound.KindOf(err) == impound.KindNotFound {
				d = impound.CaseDomain{Name: n.Name, State: impound.StateCandidate, History: []impound.StateChange{{At: now, By: by, State: impound.StateCandidate, Why: "listed in order " + o.ID}}}
			} else if err != nil {
				return err
			}
			state, why := impound.StateOrdered, "order "+o.ID
			if len(n.Blocked) > 0 {
				state, why = impound.StateBlocked, "order "+o.ID+": "+n.Blocked[0].Gate+": "+n.Blocked[0].Reason
			}
			d.Verdicts = n.Verdicts
			switch d.State {
			case impound.StateSeized, impound.StateSinkholed, impound.StateHeld, impound.StateContested:
				// further on its way already: a supplement, or a second filing
				state = d.State
			}
			if d.State == state && d.Order == o.ID && rev > 0 {
				continue
			}
			d.Order = o.ID
			if d.State == state && rev > 0 {
				if err := putDomain(tx, o.Case, rev, d); err != nil {
					return err
				}
				continue
			}
			if err := s.step(ctx, tx, by, o.Case, rev, d, state, why, false); err != nil { // the order's entry speaks of it
				return err
			}
		}
		return nil
	})
}

// Orders gives every filed order as the evidence log has it, the oldest first.
// One whose document can't be proven is left out, so that it can't hide the
// others; [Service.Mandates] says which and why.
func (s *Service) Orders(ctx context.Context) ([]OrderRow, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	var out []OrderRow
	x := s.sightFor(view, ctx)
	for _, id := range view.orderIDs {
		if !x.Order(id) {
			continue
		}
		row, _, err := s.rowOf(view, id)
		if err != nil {
			s.cfg.Log.Error("an order can't be proven and is not listed", "order", id, "err", err)
			continue
		}
		out = append(out, row)
	}
	return out, nil
}

// Order gives a filed order: its row, the order, and the document's octets.
func (s *Service) Order(ctx context.Context, id string) (OrderRow, *impound.Order, []byte, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return OrderRow{}, nil, nil, err
	}
	if !s.sightFor(view, ctx).Order(id) {
		return OrderRow{}, nil, nil, unfiled(id)
	}
	return s.order(view, id)
}

func unfiled(id string) error {
	return impound.Errorf(impound.KindNotFound, "no order %.64q is filed", id).WithCure("impound order list shows those that are")
}

func (s *Service) order(view ledgerView, id string) (OrderRow, *impound.Order, []byte, error) {
	row, d, err := s.rowOf(view, id)
	if err != nil {
		return row, nil, nil, err
	}
	return row, d.order.Clone(), slices.Clone(d.data), nil
}

func (s *Service) rowOf(view ledgerView, id string) (OrderRow, *filedOrder, error) {
	f, ok := view.orders[id]
	if !ok {
		return OrderRow{}, nil, unfiled(id)
	}
	d, err := s.filed(f)
	if err != nil {
		return OrderRow{}, nil, err
	}
	o := d.order
	row := OrderRow{ID: o.ID, Case: o.Case, Kind: o.Kind, Docket: o.Authority.Docket, From: o.From, Until: o.Until, Filed: f.entry.At, By: f.entry.By,
		Signers: strings.Fields(f.entry.Detail["signers"]), Names: len(d.names), Hash: f.hash, Document: f.document}
	if o.Parent != nil {
		row.Parent = o.Parent.ID
	}
	if _, row.Ended, err = s.endedBy(view, id); err != nil {
		return OrderRow{}, nil, err
	}
	blocked := d.blocked(view)
	for _, n := range d.names {
		if len(blocked[n]) > 0 {
			row.Blocked = append(row.Blocked, n)
		}
	}
	return row, d, nil
}

// filedOrder is a filed order as the log's artefacts have it, each proven by the
// hash that the order's entry gives. It is never changed.
type filedOrder struct {
	order *impound.Order
	data  []byte
	names []impound.Name
	stops map[impound.Name][]impound.GateVerdict // verdicts that keep names out, overrides apart
}

// gatesSaid reads what the gates said of an order's names when it was filed.
func (s *Service) gatesSaid(f filing) (map[impound.Name][]impound.GateVerdict, error) {
	hash := f.gates
	if f.stops != "" {
		hash = f.stops
	}
	b, err := s.artefact(hash, "what the gates said of order "+f.entry.Order)
	if err != nil {
		return nil, err
	}
	var gr gateReport
	if err := quickjson.Unmarshal(b, &gr); err != nil || gr.Hash != f.hash {
		return nil, impound.Errorf(impound.KindInternal, "what the gates said can't be read, or is of another order").At(f.gates)
	}
	said := make(map[impound.Name][]impound.GateVerdict, len(gr.Names))
	for _, r := range gr.Names {
		said[r.Name] = r.Verdicts
	}
	return said, nil
}

// offlineOf asks the gates that need no facts, with all processors.
func offlineOf(ons []impound.OrderName, lists *gate.Lists) [][]impound.GateVerdict {
	out := make([][]impound.GateVerdict, len(ons))
	_ = parallel.Each(len(ons), func(i int) error { // which never fails
		out[i] = gate.Offline(ons[i].Name, lists)
		return nil
	})
	return out
}

// filed reads and proves what an entry filed. What hashes name never changes, so
// it is kept; the gates that need no facts are asked once for each set of lists. It
// fails when the gates' record can't be read: then nobody knows what was blocked.
func (s *Service) filed(f filing) (*filedOrder, error) {
	lists, rev := s.gates()
	key := fmt.Sprint(f.document, " ", f.hash, " ", f.gates, " ", f.stops, " ", rev)
	kept := func() *filedOrder {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.docs[key]
	}
	d := kept()
	if d != nil {
		return d, nil
	}
	// A server that just started is asked for the same by many at once.
	defer s.turns.Take("filed " + key)()
	if d = kept(); d != nil {
		return d, nil
	}
	data, err := s.artefact(f.document, "the document of order "+f.entry.Order)
	if err != nil {
		return nil, err
	}
	// What the gates said is read beside what was ordered: both can be of 10,000
	// names.
	var said map[impound.Name][]impound.GateVerdict
	var gateErr error
	read := make(chan struct{})
	go func() {
		defer close(read)
		said, gateErr = s.gatesSaid(f)
	}()
	o := s.signed(f)
	if o == nil {
		if o, err = orderdoc.Parse(f.entry.Order, data); err == nil && (o.ID != f.entry.Order || o.Hash() != f.hash) {
			err = impound.Errorf(impound.KindInternal, "the entry of order %s names the document of another order (%s)", f.entry.Order, o.ID)
		}
	}
	if <-read; err != nil {
		return nil, err
	}
	if gateErr != nil {
		return nil, gateErr
	}
	d = &filedOrder{order: o, data: data, stops: map[impound.Name][]impound.GateVerdict{}}
	ons := o.Names()
	offline := offlineOf(ons, lists)
	for i, on := range ons {
		d.names = append(d.names, on.Name)
		vs, ok := said[on.Name]
		if !ok {
			vs = []impound.GateVerdict{{Gate: gate.G1, Outcome: impound.GateUnknown, Reason: "the gates were never run on it"}}
		}
		for _, v := range offline[i] {
			if !slices.ContainsFunc(vs, func(x impound.GateVerdict) bool { return x.Gate == v.Gate && x.Outcome == v.Outcome }) {
				vs = append(slices.Clone(vs), v)
			}
		}
		if bl := gate.Blocking(vs); len(bl) > 0 {
			d.stops[on.Name] = bl
		}
	}
	s.mu.Lock()
	if len(s.docs) > 1000 {
		clear(s.docs)
	}
	s.docs[key] = d
	s.mu.Unlock()
	return d, nil
}

// signed gives the order from the octets whose hash people signed; nil where they
// were not kept, or are damaged: then its document says the same. The signatures
// are proven by whoever makes a mandate of it.
func (s *Service) signed(f filing) *impound.Order {
	sigs := f.entry.Detail["signatures"]
	if sigs == "" {
		return nil
	}
	b, err := s.artefact(f.hash, "what was signed of order "+f.entry.Order)
	if err == nil {
		var o *impound.Order
		if o, err = readSigned(b, sigs); err == nil && o.ID == f.entry.Order {
			return o
		}
	}
	s.cfg.Log.Warn("what was signed of an order can't be read; its document is", "order", f.entry.Order, "err", err)
	return nil
}

// artefact reads an artefact and proves that it is what hash names.
func (s *Service) artefact(hash, what string) ([]byte, error) {
	data, err := s.cfg.Evidence.Read(hash)
	if err != nil {
		return nil, impound.Errorf(impound.KindOf(err), "couldn't read %s: %w", what, err)
	}
	if h := impound.HashBytes(data); h != hash {
		return nil, impound.Errorf(impound.KindInternal, "%s was changed: its hash is %s, the evidence log says %s", what, h, hash).WithCure("run impound evidence verify, and restore the folder from a backup")
	}
	return data, nil
}

// blocked gives the verdicts that keep names out: those recorded when the order
// was filed, those of the gates that need no facts, and those that rest on what
// people decided since, less the overrides.
func (d *filedOrder) blocked(view ledgerView) map[impound.Name][]impound.GateVerdict {
	out := make(map[impound.Name][]impound.GateVerdict, len(d.stops))
	stop := func(n impound.Name, vs []impound.GateVerdict) {
		if bl := gate.Blocking(view.decided(n, d.order.Case, vs), view.overridden(n)...); len(bl) > 0 {
			out[n] = bl
		}
	}
	for n, vs := range d.stops {
		stop(n, vs)
	}
	if len(view.decisions) > 0 {
		for _, n := range d.names {
			if _, stopped := d.stops[n]; !stopped && len(view.decisions[n]) > 0 {
				stop(n, nil)
			}
		}
	}
	return out
}

// Mandates proves every filed order anew, from the evidence log alone, and gives
// their mandates without the names that a gate keeps out. Dates are judged at use:
// an order that lapsed is still given. What the store says of orders is compared
// and has no say.
//
// The mandates are good even when the error is not nil: one of KindPartial lists
// the orders that could not be proven (they are out of effect) and what in the
// store differs from the log.
func (s *Service) Mandates(ctx context.Context) ([]*impound.Mandate, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	var out []*impound.Mandate
	var bad []string
	x := s.sightFor(view, ctx)
	for _, id := range view.orderIDs {
		if !x.Order(id) {
			continue
		}
		m, err := s.mandate(view, id, 0)
		if err != nil {
			bad = append(bad, fmt.Sprintf("order %s is out of effect: %v", id, err))
			continue
		}
		d, err := s.filed(view.orders[id])
		if err != nil {
			bad = append(bad, fmt.Sprintf("order %s is out of effect: %v", id, err))
			continue
		}
		blocked := d.blocked(view)
		names := make([]impound.Name, 0, len(blocked))
		for n := range blocked {
			names = append(names, n)
		}
		out = append(out, m.Without(names...))
	}
	bad = append(bad, s.differences(ctx, view, x)...)
	if len(bad) > 0 {
		for _, b := range bad {
			s.cfg.Log.Error("order", "problem", b)
		}
		return out, impound.Errorf(impound.KindPartial, "%s", strings.Join(bad, "; ")).WithCure("the evidence log counts, not the database: run impound evidence verify, then restore the database from a backup")
	}
	return out, nil
}

// mandate proves the order id; depth bounds the chain of parents.
func (s *Service) mandate(view ledgerView, id string, depth int) (*impound.Mandate, error) {
	f, ok := view.orders[id]
	if !ok {
		return nil, noOrder(id)
	}
	if depth > 16 {
		return nil, impound.Errorf(impound.KindRefused, "supplements of supplements, more than 16 deep").At(id)
	}
	// The document is named by its hash, so the proof holds for as long as the
	// keyring is the same.
	key := fmt.Sprintf("%d %d %s %s", view.ringRev, len(view.withdrawn), f.document, f.hash)
	kept := func() *impound.Mandate {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.cache[key]
	}
	m := kept()
	if m != nil {
		return m, nil
	}
	d, err := s.filed(f)
	if err != nil {
		return nil, err
	}
	o := d.order
	var parent *impound.Mandate
	if o.Parent != nil {
		if parent, err = s.mandate(view, o.Parent.ID, depth+1); err != nil {
			return nil, impound.Errorf(impound.KindOf(err), "its parent is not proven: %w", err)
		}
	}
	defer s.turns.Take("mandate " + key)() // no other is taken from here on
	if m = kept(); m != nil {
		return m, nil
	}
	if m, err = o.Authorize(view.ring, parent); err != nil {
		return nil, err
	}
	if at, ok := view.ended(id); ok {
		m = m.EndedAt(at)
	}
	s.mu.Lock()
	if len(s.cache) > 1000 {
		clear(s.cache)
	}
	s.cache[key] = m
	s.mu.Unlock()
	return m, nil
}

// Blocked says which names of a filed order gates keep out, and why. The mandates
// that [Service.Mandates] gives have these names taken out already.
func (s *Service) Blocked(ctx context.Context, m *impound.Mandate) (map[impound.Name][]impound.GateVerdict, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	f, ok := view.orders[m.ID()]
	if !ok || f.hash != m.Hash() || !s.sightFor(view, ctx).Order(m.ID()) {
		return nil, impound.Errorf(impound.KindNotFound, "no such order is filed").At(m.ID())
	}
	d, err := s.filed(f)
	if err != nil {
		return nil, err
	}
	return d.blocked(view), nil
}

// differences says where the store's rows of orders tell another story than the
// log.
func (s *Service) differences(ctx context.Context, view ledgerView, x Sight) []string {
	var bad []string
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		rows, err := tx.List(store.Query{Kind: kindOrder})
		if err != nil {
			return err
		}
		for _, d := range rows {
			var row OrderRow
			f, ok := view.orders[d.ID]
			if !x.Order(d.ID) {
				continue
			}
			switch err := quickjson.Unmarshal(d.Body, &row); {
			case err != nil:
				bad = append(bad, fmt.Sprintf("the database's row of order %.64q can't be read: %v", d.ID, err))
			case !ok:
				bad = append(bad, fmt.Sprintf("the database holds an order %.64q that was never filed: it has no effect", d.ID))
			case row.ID != d.ID || row.Hash != f.hash || row.Document != f.document:
				bad = append(bad, fmt.Sprintf("the database's row of order %.64q was changed: the order as filed stays in effect", d.ID))
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil { // whoever was stopped found nothing wrong
		bad = append(bad, fmt.Sprintf("couldn't compare the database with the log: %v", err))
	}
	return bad
}

// Override records that two approvers let a name through a gate, with why. What
// they sign is [impound.Override.Hash] (about [impound.SignOverride]). G12 can't
// be overridden. Recording the same again changes nothing. Role of by, who hands
// it in: analyst, counsel or approver.
func (s *Service) Override(ctx context.Context, by string, o impound.Override) error {
	if _, err := s.act(ctx, "Override", by); err != nil {
		return err
	}
	ring, err := s.Keyring(ctx)
	if err != nil {
		return err
	}
	if err := checkOverride(o, ring); err != nil {
		return err
	}
	b, err := json.Marshal(o)
	if err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't encode the override: %w", err)
	}
	return s.decide(ctx, impound.Entry{ID: entryID(WhatOverride, o.Hash()), By: by, What: WhatOverride, Name: o.Name,
		Detail: map[string]string{"gate": o.Gate, "reason": o.Reason, "hash": o.Hash(), "override": string(b)}})
}

func checkOverride(o impound.Override, keys impound.Keyring) error {
	if o.Name.IsZero() {
		return impound.Errorf(impound.KindInvalid, "the override names no name")
	}
	if !gate.Overridable(o.Gate) {
		return impound.Errorf(impound.KindRefused, "%.64q can't be overridden", o.Gate).At(o.Name.Defanged()).WithCure("G12 needs an order in force; the other gates are " + strings.Join(gate.Gates, ", "))
	}
	if strings.TrimSpace(o.Reason) == "" {
		return impound.Errorf(impound.KindInvalid, "the override gives no reason").At(o.Name.Defanged()).WithCure("say why acting harms nobody else; a judge may read it")
	}
	people, err := impound.Signers(o.Signatures, impound.SignOverride, o.Hash(), keys, impound.RoleApprover)
	if err != nil {
		return err
	}
	if len(people) < impound.MinSigners {
		return impound.Errorf(impound.KindRefused, "the override is signed by %d of %d people", len(people), impound.MinSigners).At(o.Name.Defanged()).WithCure("have another approver sign it")
	}
	return nil
}

// DraftOrder writes an order document for the names of a case, see
// [orderdoc.Draft].
func (s *Service) DraftOrder(ctx context.Context, caseID string, o impound.Order) ([]byte, error) {
	c, err := s.Case(ctx, caseID)
	if err != nil {
		return nil, err
	}
	return orderdoc.Draft(c, o), nil
}
