package app

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/notify"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/telemetry"
)

// Everything that is shown to somebody comes through a door in this file, or
// through casework's own: each asks the same [casework.Sight], and what that
// doesn't hold is answered as what does not exist, with the same words for about
// the same work. The command line and the pages use doors alone (a test of
// archtest sees to it); what the house does on its own reads the rooms as they
// are, in the system's name.

// noSuch is a case that can't exist: a question about a sealed case becomes one
// about it, so that it costs what a question about a missing case costs.
const noSuch = "\x00"

// Log gives the entries that fit f. Index is the entry's line in the log; as soon as
// accounts exist, in the log as far as it is shown to whoever asks: the log's own
// numbers would tell how much is not.
func (s *System) Log(ctx context.Context, f evidence.Filter) ([]evidence.Indexed, error) {
	var es []evidence.Indexed
	err := s.LogEach(ctx, f, func(e evidence.Indexed) error {
		es = append(es, e)
		return nil
	})
	return es, err
}

// LogEach calls fn for the entries that Log gives, as they are read: a log can be
// longer than what fits into memory. An error of fn ends it and is returned.
func (s *System) LogEach(ctx context.Context, f evidence.Filter, fn func(evidence.Indexed) error) error {
	x, number, _, err := s.numbers(ctx)
	if err != nil {
		return err
	}
	if !x.Case(f.Case) || !x.Order(f.Order) {
		f.Case = noSuch
	}
	limit, n := f.Limit, 0
	f.Limit = 0
	enough := errors.New("enough")
	err = s.Evidence.Each(ctx, f, func(e evidence.Indexed) error {
		if !x.Entry(e.Entry) {
			return nil
		}
		number(&e)
		if err := fn(e); err != nil {
			return err
		}
		if n++; n == limit {
			return enough
		}
		return nil
	})
	if err == enough {
		return nil
	}
	return err
}

// numbers gives what whoever asks may see, how entries are shown to him, and the
// lines that he may not see.
func (s *System) numbers(ctx context.Context) (x casework.Sight, number func(*evidence.Indexed), but []int64, err error) {
	if x, err = s.Casework.Sight(ctx); err != nil {
		return x, nil, nil, err
	}
	guarded, err := s.Guarded(ctx)
	if err != nil {
		return x, nil, nil, err
	}
	if len(x.Hidden()) > 0 {
		if but, err = s.hiddenLines(ctx, x); err != nil {
			return x, nil, nil, err
		}
	}
	return x, func(e *evidence.Indexed) {
		if guarded || len(x.Hidden()) > 0 {
			hidden, _ := slices.BinarySearch(but, e.Index)
			e.Index, e.Entry = e.Index-int64(hidden), veil(e.Entry)
		}
	}, but, nil
}

// LogPage gives a page of the entries that fit f, the newest first, after leaving
// offset out, and how many fit; Index is as Log gives it. It reads no more than the
// page.
func (s *System) LogPage(ctx context.Context, f evidence.Filter, offset int) ([]evidence.Indexed, int, error) {
	x, number, but, err := s.numbers(ctx)
	if err != nil {
		return nil, 0, err
	}
	var es []evidence.Indexed
	var n int
	if len(x.Hidden()) == 0 {
		es, n, err = s.Evidence.Newest(ctx, f, offset)
	} else {
		if !x.Case(f.Case) || !x.Order(f.Order) {
			f.Case = noSuch
		}
		es, n, err = s.Evidence.NewestBut(ctx, f, offset, but, x.Entry)
	}
	for i := range es {
		number(&es[i])
	}
	return es, n, err
}

// hiddenLines gives the numbers of the lines of the log that x doesn't hold, as
// far as the index tells, so that a page costs those from whom something is hidden
// what it costs others. They are kept until the log grows.
func (s *System) hiddenLines(ctx context.Context, x casework.Sight) ([]int64, error) {
	size := s.Evidence.Size()
	s.hidden.mu.Lock()
	k, ok := s.hidden.m[x.Who()]
	s.hidden.mu.Unlock()
	if ok && k.size == size && k.seen == x.Seen() {
		return k.lines, nil
	}
	var fs []evidence.Filter
	for _, c := range x.Hidden() {
		fs = append(fs, evidence.Filter{Case: c})
	}
	for _, o := range x.HiddenOrders() {
		fs = append(fs, evidence.Filter{Order: o})
	}
	var lines []int64
	for _, f := range fs {
		ls, err := s.Evidence.Places(f)
		if err != nil {
			return nil, err
		}
		lines = append(lines, ls...)
	}
	free, err := s.caseless(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range free {
		if !x.Caseless(c.by, c.names...) {
			lines = append(lines, c.at)
		}
	}
	if !slices.IsSorted(lines) { // one case is hidden as a rule, and its lines come in order
		slices.Sort(lines)
	}
	lines = slices.Compact(lines)
	s.hidden.mu.Lock()
	defer s.hidden.mu.Unlock()
	if s.hidden.m == nil || len(s.hidden.m) > 100 {
		s.hidden.m = map[string]hiddenLines{}
	}
	s.hidden.m[x.Who()] = hiddenLines{size, x.Seen(), lines}
	return lines, nil
}

// caseless gives the lines that name names and no case: whether one is hidden
// hangs on those, on the names above them, and on who wrote it. The lines of cases are told by
// the index; the others are read, each once.
func (s *System) caseless(ctx context.Context) ([]caselessLine, error) {
	size := s.Evidence.Size()
	s.hidden.mu.Lock()
	from, have := s.hidden.read, s.hidden.free
	s.hidden.mu.Unlock()
	if from == size {
		return have, nil
	}
	cases, err := s.Casework.Cases(impound.AsSystem(ctx))
	if err != nil {
		return nil, err
	}
	of := make([]bool, size-from)
	for _, c := range cases {
		ls, err := s.Evidence.Places(evidence.Filter{Case: c.ID})
		if err != nil {
			return nil, err
		}
		first, _ := slices.BinarySearch(ls, from)
		for _, l := range ls[first:] {
			if l < size {
				of[l-from] = true
			}
		}
	}
	out := slices.Clip(have)
	for i, known := range of {
		if known {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, impound.Errorf(impound.KindUnavailable, "couldn't read the evidence log: %w", err)
		}
		e, err := s.Evidence.At(from + int64(i))
		if err != nil {
			return nil, err
		}
		if e.Case != "" {
			continue
		}
		if names := casework.Mentioned(e); len(names) > 0 {
			out = append(out, caselessLine{from + int64(i), e.By, names})
		}
	}
	s.hidden.mu.Lock()
	defer s.hidden.mu.Unlock()
	if s.hidden.read == from { // else another was faster
		s.hidden.read, s.hidden.free = size, out
	}
	return out, nil
}

type caselessLine struct {
	at    int64
	by    string
	names []impound.Name
}

type hiddenLines struct {
	size  int64 // of the log
	seen  int64 // what the sight rests on
	lines []int64
}

// housewide are entries that count over all cases.
var housewide = map[string]string{
	"sinkhole.policy": "a policy was made", "sensor.status": "a sensor said which policy it obeys",
	"telemetry.purge": "contacts were deleted: their orders' retention has ended", "sinkhole.import": "a spool was imported",
}

// veil takes out of an entry what counts over all cases: with accounts, nobody
// is shown how much there is beyond his own.
func veil(e impound.Entry) impound.Entry {
	text, ok := housewide[e.What]
	if !ok {
		return e
	}
	d := map[string]string{"text": text}
	if v := e.Detail["sensor"]; v != "" {
		d["sensor"] = v
	}
	e.Detail = d
	return e
}

// Checkpoint is the log's signed head, for those who may know how long the log
// is: everybody while there is no account, and the machine itself.
func (s *System) Checkpoint(ctx context.Context) ([]byte, error) {
	p := impound.PrincipalOf(ctx)
	if guarded, err := s.Guarded(ctx); err != nil || guarded && !p.System && len(p.Local) == 0 {
		return nil, err
	}
	return s.Evidence.Checkpoint(), nil
}

// Artefact gives the octets of an artefact.
func (s *System) Artefact(ctx context.Context, hash string) ([]byte, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	b, err := s.Evidence.Read(hash)
	if err == nil {
		err = s.seesArtefact(ctx, x, hash)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// seesArtefact gives KindNotFound, in the log's words, for an artefact that x
// doesn't hold: every entry that names it is of a case that x doesn't hold.
func (s *System) seesArtefact(ctx context.Context, x casework.Sight, hash string) error {
	if len(x.Hidden()) == 0 {
		return nil
	}
	as, err := s.Evidence.Artefacts(hash)
	if err != nil {
		return err
	}
	for _, a := range as {
		if x.Entry(impound.Entry{Case: a.Case, Name: a.Name}) {
			return nil
		}
	}
	return impound.Errorf(impound.KindNotFound, "no such artefact: %.80s", hash)
}

// ExportCase writes the bundle of a case, which verifies offline.
func (s *System) ExportCase(ctx context.Context, w io.Writer, caseID string) error {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return err
	}
	if !x.Case(caseID) {
		if err := s.Evidence.Export(ctx, io.Discard, noSuch); impound.KindOf(err) != impound.KindNotFound {
			return err
		}
		return evidence.NothingOf(caseID)
	}
	return s.Evidence.Export(ctx, w, caseID)
}

// PlanInfo gives a plan with where it stands.
func (s *System) PlanInfo(ctx context.Context, planID string) (seizure.PlanInfo, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return seizure.PlanInfo{}, err
	}
	return s.planInfo(ctx, x, planID)
}

func (s *System) planInfo(ctx context.Context, x casework.Sight, planID string) (seizure.PlanInfo, error) {
	p, err := s.Seizure.Get(ctx, planID)
	if err == nil && (!x.Case(p.Plan.Case) || !x.Order(p.Plan.Order)) {
		return seizure.PlanInfo{}, seizure.NoPlan(planID)
	}
	return p, err
}

// Plans lists the plans of an order, newest first; of all orders for "".
func (s *System) Plans(ctx context.Context, orderID string) ([]seizure.PlanInfo, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	if !x.Order(orderID) {
		orderID = noSuch
	}
	ps, err := s.Seizure.Plans(ctx, orderID)
	return slices.DeleteFunc(ps, func(p seizure.PlanInfo) bool { return !x.Case(p.Plan.Case) || !x.Order(p.Plan.Order) }), err
}

// SeizureStatusPart gives the newest word on a part of an order's names, with how
// many there are; limit 0 is all.
func (s *System) SeizureStatusPart(ctx context.Context, orderID string, offset, limit int) ([]seizure.Seizure, int, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, 0, err
	}
	if !x.Order(orderID) {
		orderID = noSuch
	}
	return s.Seizure.StatusPart(ctx, orderID, offset, limit)
}

// statusToShow gives the newest word on each name of an order, for pages: see [seizure.Engine.StatusToShow].
func (s *System) statusToShow(ctx context.Context, orderID string) ([]seizure.Seizure, string, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, "", err
	}
	if !x.Order(orderID) {
		orderID = noSuch
	}
	return s.Seizure.StatusToShow(ctx, orderID)
}

// seen gives f without what whoever asks may not see.
func (s *System) seen(ctx context.Context, f telemetry.Filter) (telemetry.Filter, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return f, err
	}
	if !x.Case(f.Case) || !x.Order(f.Order) {
		f.Case, f.Order = noSuch, ""
	}
	f.NotCases = x.Hidden()
	return f, nil
}

// Contacts gives the contacts that f chooses. As soon as accounts exist, a
// contact's sequence number is a keyed hash of it, the same each time: the
// sensor's own numbers would tell how many contacts are not shown. f.After takes
// the numbers as they are given here no more; pages go by time.
func (s *System) Contacts(ctx context.Context, f telemetry.Filter) ([]impound.Contact, error) {
	f, err := s.seen(ctx, f)
	if err != nil {
		return nil, err
	}
	cs, err := s.Telemetry.Contacts(ctx, f)
	if err != nil || len(cs) == 0 {
		return cs, err
	}
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	veil, err := s.veil(ctx, x)
	if err != nil {
		return nil, err
	}
	for i := range cs {
		veil(&cs[i].Event)
	}
	return cs, nil
}

// Events gives those of evs, raw events of the sinkhole, that whoever asks may
// see, in place, as [System.Contacts] gives them.
func (s *System) Events(ctx context.Context, evs []impound.Event) ([]impound.Event, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	evs = slices.DeleteFunc(evs, func(e impound.Event) bool { return !x.Order(e.Order) })
	veil, err := s.veil(ctx, x)
	if err == nil {
		for i := range evs {
			veil(&evs[i])
		}
	}
	return evs, err
}

// veil gives what takes out of an event what tells of others: the sensor's own
// number, and the name of a question that no order answers, unless a case that x
// holds has it. What is asked for under no order is so shown, or not, whether a
// sealed case has it or none. It changes nothing while there is no account.
func (s *System) veil(ctx context.Context, x casework.Sight) (func(*impound.Event), error) {
	guarded, err := s.Guarded(ctx)
	if err != nil || !guarded {
		return func(*impound.Event) {}, err
	}
	key, err := s.secretKey("contact-ids.key")
	if err != nil {
		return nil, err
	}
	return func(e *impound.Event) {
		m := hmac.New(sha256.New, key)
		fmt.Fprintf(m, "contact v1\n%s\n%d\n", e.Sensor, e.Seq)
		e.Seq = binary.BigEndian.Uint64(m.Sum(nil)) >> 11 // what JSON's readers keep exact
		if e.Order == "" && e.Name != "" {
			if n, err := impound.ParseName(e.Name); err != nil || !x.Holds(n) {
				e.Name, e.SNI, e.Zone = "", "", ""
			}
		}
	}, nil
}

// Counts counts contacts by class.
func (s *System) Counts(ctx context.Context, f telemetry.Filter) (map[impound.Class]int, error) {
	f, err := s.seen(ctx, f)
	if err != nil {
		return nil, err
	}
	return s.Telemetry.Counts(ctx, f)
}

// Victims counts victims by network.
func (s *System) Victims(ctx context.Context, f telemetry.Filter) ([]telemetry.NetworkCount, error) {
	f, err := s.seen(ctx, f)
	if err != nil {
		return nil, err
	}
	return s.Telemetry.Victims(ctx, f)
}

// Series counts contacts over time.
func (s *System) Series(ctx context.Context, f telemetry.Filter, step time.Duration) ([]telemetry.Bucket, error) {
	f, err := s.seen(ctx, f)
	if err != nil {
		return nil, err
	}
	return s.Telemetry.Series(ctx, f, step)
}

// Reports is the door to the room that warns people.
type Reports struct {
	s   *System
	svc *notify.Service
}

// Notifier gives the room that warns people, or says why it is shut.
func (s *System) Notifier() (Reports, error) {
	if s.Notify == nil {
		return Reports{}, impound.Errorf(impound.KindInvalid, "the configuration doesn't say who reports").At("report").WithCure("fill in report: organisation, from, phone and domain in " + ConfigFile)
	}
	return Reports{s, s.Notify}, nil
}

// Prepare writes the reports of a case. A sealed one is refused: whom a report
// is written to is no party to it.
func (r Reports) Prepare(ctx context.Context, by, caseID string) ([]notify.Prepared, error) {
	if err := r.s.Casework.May(ctx, by, impound.RoleNotifier); err != nil {
		return nil, err
	}
	return r.svc.Prepare(r.inNameOf(ctx, by), by, caseID)
}

func (r Reports) inNameOf(ctx context.Context, by string) context.Context {
	if p := impound.PrincipalOf(ctx); p.ID == "" && !p.System {
		return impound.WithPrincipal(ctx, impound.Principal{ID: by})
	}
	return ctx
}

// List gives the prepared reports of a case, of all for "".
func (r Reports) List(ctx context.Context, caseID string) ([]notify.Prepared, error) {
	x, err := r.s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	if !x.Case(caseID) {
		caseID = noSuch
	}
	ps, err := r.svc.List(ctx, caseID)
	return slices.DeleteFunc(ps, func(p notify.Prepared) bool { return !x.Case(p.Case) }), err
}

// Get gives one report.
func (r Reports) Get(ctx context.Context, id string) (notify.Prepared, error) {
	x, err := r.s.Casework.Sight(ctx)
	if err != nil {
		return notify.Prepared{}, err
	}
	p, err := r.svc.Get(ctx, id)
	if err == nil && !x.Case(p.Case) {
		return notify.Prepared{}, notify.NoReport(id)
	}
	return p, err
}

// MarkSent records that a person sent a report.
func (r Reports) MarkSent(ctx context.Context, by, id, how string) (notify.Prepared, error) {
	if err := r.outside(ctx, by, id); err != nil {
		return notify.Prepared{}, err
	}
	return r.svc.MarkSent(ctx, by, id, how)
}

// Send gives a report to a relay.
func (r Reports) Send(ctx context.Context, by, id string, relay notify.Relay, again bool) (notify.Prepared, error) {
	if err := r.outside(ctx, by, id); err != nil {
		return notify.Prepared{}, err
	}
	return r.svc.Send(ctx, by, id, relay, again)
}

// outside says whether by may tell people outside of a report.
func (r Reports) outside(ctx context.Context, by, id string) error {
	if err := r.s.Casework.May(ctx, by, impound.RoleNotifier); err != nil {
		return err
	}
	ctx = r.inNameOf(ctx, by)
	p, err := r.Get(ctx, id)
	if err != nil {
		return err
	}
	x, err := r.s.Casework.Sight(ctx)
	if err != nil {
		return err
	}
	return sealedToOutside(x, p.Case)
}

// sealedToOutside refuses to tell the outside of a sealed case.
func sealedToOutside(x casework.Sight, caseID string) error {
	if len(x.Sealed(caseID)) > 0 {
		return impound.Errorf(impound.KindRefused, "case %s is sealed: nobody outside may be told of it", caseID).WithCure("have a party lift the seal first: impound case unseal " + caseID)
	}
	return nil
}

// open gives the orders that x holds out of ids.
func open(x casework.Sight, ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !x.Order(id) })
}

// Needs says what every exported method of [System] takes, as
// [casework.Needs] does for casework: the roles of who does it, or that it
// reads, or that somebody's proven key comes with it.
var Needs = func() map[string]casework.Need {
	m := map[string]casework.Need{}
	reads := func(names ...string) {
		for _, n := range names {
			m[n] = casework.Need{Reads: true}
		}
	}
	roles := func(n string, rs ...impound.Role) { m[n] = casework.Need{Roles: rs} }
	reads("Appendix", "RegistryMap", "WhomToAsk", "Risks", "Statement", "Deadlines", "Sealers", "ActorNames", "Addrs", "Alarms", "Artefact", "CaughtUp", "Checkpoint", "Claims", "Config", "Contacts", "Counts", "Desk", "Drift", "Events", "EnrolledSensors", "ExportCase",
		"Gaps", "GapsIn", "Guarded", "HubKey", "Identify", "KeyPath", "Lists", "Log", "LogEach", "LogPage", "Mandate", "Notifier", "PlanInfo", "Plans", "PolicyStatus", "ReadReport", "SeizureStatusPart", "Series", "ShareItems", "State", "Victims", "WatchStatus")
	reads("LetterText", "Letters")
	roles("AddFile", impound.RoleAnalyst, impound.RoleCounsel)
	roles("Apply", impound.RoleOperator)
	roles("ApplyTogether", impound.RoleOperator)
	roles("Approve", impound.RoleApprover)
	roles("Capture", impound.RoleAnalyst, impound.RoleOperator)
	roles("CaptureFull", impound.RoleAnalyst, impound.RoleOperator)
	roles("DismissClaim", impound.RoleCounsel)
	roles("DraftSupplement", impound.RoleAnalyst)
	roles("EnrolSensor", impound.RoleAdmin)
	roles("FileAnswer", impound.RoleAnalyst, impound.RoleCounsel, impound.RoleOperator)
	m["ReadInbox"] = casework.Need{Roles: []impound.Role{impound.RoleAnalyst, impound.RoleCounsel, impound.RoleOperator}, System: true}
	m["Follow"] = casework.Need{Roles: []impound.Role{impound.RoleOperator}, System: true}
	roles("OpenSealed", impound.RoleAnalyst)
	roles("Plan", impound.RoleAnalyst, impound.RoleCounsel, impound.RoleApprover, impound.RoleOperator)
	roles("Redact", impound.RoleAnalyst, impound.RoleCounsel)
	roles("Revert", impound.RoleAnalyst, impound.RoleCounsel, impound.RoleApprover, impound.RoleOperator)
	roles("Release", impound.RoleAnalyst, impound.RoleCounsel, impound.RoleApprover, impound.RoleOperator)
	roles("RevokeSensor", impound.RoleAdmin)
	m["SealEvidence"] = casework.Need{Roles: []impound.Role{impound.RoleAnalyst, impound.RoleCounsel, impound.RoleAuditor, impound.RoleAdmin}, System: true}
	roles("SettleLetter", impound.RoleOperator)
	roles("SignOrderFile", impound.RoleApprover)
	roles("TakeAliases", impound.RoleAnalyst)
	roles("TakeIn", impound.RoleAnalyst)
	roles("UpdateBootstrap", impound.RoleAnalyst, impound.RoleAdmin, impound.RoleOperator)
	roles("UpdateLists", impound.RoleAnalyst, impound.RoleAdmin)
	unnamed := func(n string, rs ...impound.Role) { m[n] = casework.Need{Roles: rs, Unnamed: true} }
	unnamed("Custody", impound.RoleOperator, impound.RoleAnalyst, impound.RoleAuditor)
	unnamed("ExportPolicy", impound.RoleOperator, impound.RoleAdmin)
	unnamed("ImportSpool", impound.RoleOperator, impound.RoleAdmin)
	unnamed("Nightly", impound.RoleOperator, impound.RoleAnalyst, impound.RoleAuditor)
	unnamed("Poll", impound.RoleOperator, impound.RoleAnalyst, impound.RoleAuditor)
	unnamed("Share", impound.RoleNotifier, impound.RoleAnalyst, impound.RoleOperator)
	unnamed("ShareFeed", impound.RoleNotifier, impound.RoleAnalyst, impound.RoleOperator)
	reads("ActorHabits", "ForTwist", "Observed", "Seen", "WatchGraph", "WatchShared")
	unnamed("Enrich", impound.RoleAnalyst, impound.RoleOperator)
	unnamed("Twist", impound.RoleAnalyst, impound.RoleOperator)
	unnamed("NoteTwist", impound.RoleAnalyst, impound.RoleOperator)
	unnamed("Watch", impound.RoleAnalyst, impound.RoleOperator)
	unnamed("WatchRelease", impound.RoleAnalyst, impound.RoleOperator)
	unnamed("Verify", impound.Roles...) // to look is everybody's; it notes an outcome in the house's name
	// The process itself, before anybody asks.
	unnamed("Start", impound.RoleOperator, impound.RoleAdmin)
	m["Close"] = casework.Need{Reads: true}
	m["Enrol"] = casework.Need{Signed: true}
	return m
}()

// Guarded says whether the pages ask who is there.
func (s *System) Guarded(ctx context.Context) (bool, error) { return s.Casework.Guarded(ctx) }

// knows says whether there is a case of this id to by; "" is no case.
func (s *System) knows(ctx context.Context, by, caseID string) error {
	if caseID == "" {
		return nil
	}
	_, err := s.Casework.Seal(impound.WithPrincipal(ctx, impound.Principal{ID: by}), caseID)
	return err
}

// may lets by call method of [System], or says which role it takes.
func (s *System) may(ctx context.Context, method, by string) error {
	need, ok := Needs[method]
	if !ok || len(need.Roles) == 0 {
		return impound.Errorf(impound.KindInternal, "nobody said who may call %s: %v", method, slices.Sorted(maps.Keys(Needs)))
	}
	if need.Unnamed {
		return s.Casework.MayUnnamed(ctx, need.Roles...)
	}
	if need.System && by == casework.System && impound.PrincipalOf(ctx).System {
		return nil
	}
	return s.Casework.May(ctx, by, need.Roles...)
}

// UnguessableID gives id with a tail of 50 bits.
func UnguessableID(id string) string {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789" // 32
	b := make([]byte, 10)
	rand.Read(b)
	for i := range b {
		b[i] = letters[b[i]&31]
	}
	return id + "-" + string(b)
}

// OpenSealed opens a case and seals it before anything is put into it.
func (s *System) OpenSealed(ctx context.Context, by Identity, c impound.Case, parties []string) error {
	if err := s.may(ctx, "OpenSealed", by.ID); err != nil {
		return err
	}
	if guarded, err := s.Guarded(ctx); err != nil || !guarded {
		if err == nil {
			err = impound.Errorf(impound.KindRefused, "there is no account, so the pages show everything to whoever opens them").WithCure("make accounts first: impound account add NAME --as ADMIN")
		}
		return err
	}
	title := c.Title
	c.Title = "Sealed" // until it is: others may look in between
	if err := s.Casework.OpenCase(ctx, by.ID, c); err != nil {
		return err
	}
	z := casework.NewSeal(c.ID, parties, "opened sealed", s.now())
	z.Signature = by.Sign(casework.SignSeal, z.Hash(), s.now())
	if err := s.Casework.SealCase(ctx, z); err != nil {
		return err
	}
	return s.Casework.EditCase(ctx, by.ID, c.ID, 0, casework.Edit{Title: &title}, c)
}

// doorman lets people in at the pages.
type doorman struct{ s *System }

func (d doorman) Guarded(ctx context.Context) (bool, error) { return d.s.Guarded(ctx) }

func (d doorman) Login(ctx context.Context, name, password string) (string, string, error) {
	p, stamp, err := d.s.Casework.Login(ctx, name, password)
	return p.ID, stamp, err
}

func (d doorman) Session(ctx context.Context, person, stamp string) error {
	_, err := d.s.Casework.Session(ctx, person, stamp)
	return err
}

func (d doorman) Token(ctx context.Context, secret string) (impound.Principal, error) {
	return d.s.Casework.TokenPrincipal(ctx, secret)
}
