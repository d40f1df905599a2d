package seizure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/crashpoint"
	"github.com/impound/impound/internal/seizure/epp"
	"github.com/impound/impound/internal/store"
)

// How a name ended in an apply.
const (
	Done    = "done"    // as ordered at its provider, by this plan
	Already = "already" // it was as ordered before
	Blocked = "blocked" // a gate or a contradiction keeps it out
	Stale   = "stale"   // it is no longer as the plan says: plan again
	Pending = "pending" // the registry took the change and has not done it yet
	Asked   = "asked"   // somebody was asked and has not done it yet: looking says when
	Failed  = "failed"  // the registry or its connection said no
	Refused = "refused" // the order does not cover it at this moment
	Skipped = "skipped" // stopped before it was begun, or another apply is at work
)

// NameResult is how one name went.
type NameResult struct {
	Name     impound.Name `json:"name"`
	Provider string       `json:"provider"`
	Outcome  string       `json:"outcome"`
	Msg      string       `json:"msg,omitempty"`
	Status   *NameStatus  `json:"status,omitempty"` // what the three views showed afterwards
	err      error
	acted    time.Time // when it was done, by this run
	turns    []Turn    // what the looks of this run showed
}

// Result is how an apply went.
type Result struct {
	Plan  string       `json:"plan"`
	Order string       `json:"order"`
	Names []NameResult `json:"names"`

	Revert  bool   `json:"revert,omitempty"`  // the plan undid what the order had done
	Release string `json:"release,omitempty"` // the plan let the names go, in this way

	Barrier *Barrier `json:"barrier,omitempty"` // where all providers began at one instant
}

// Count gives how many names ended with one of outcomes.
func (r Result) Count(outcomes ...string) int {
	n := 0
	for _, x := range r.Names {
		if slices.Contains(outcomes, x.Outcome) {
			n++
		}
	}
	return n
}

// crash is where tests kill the process.
var crash = crashpoint.Pass

// actTime bounds one act, also when the caller has gone: once a command is sent,
// its answer is waited for.
const actTime = time.Minute

// Apply does what a plan says, name by name, providers at the same time. It
// proves the order, its dates, the approvals and the steps first, and runs the
// gates again on each name. Each act has its intent in the evidence log before
// it and its result after it. Before acting it looks: what is done already is
// recorded and not done again, so an apply that was cut off anywhere is simply
// run again. When ctx ends, the act under way is finished and recorded, and
// nothing new is begun.
//
// The error is nil when every name that is not blocked is as ordered at its
// provider; KindRefused when nothing may be done; KindConflict when every name is
// stale; otherwise KindPartial, and Result says how each name went.
func (e *Engine) Apply(ctx context.Context, planID string) (Result, error) {
	r, err := e.load(ctx, planID)
	if err != nil {
		return Result{}, err
	}
	m, hash, err := e.prove(ctx, r, time.Time{})
	if err != nil {
		return Result{Plan: planID, Order: r.Plan.Order, Revert: r.Plan.Revert, Release: r.Plan.Release}, err
	}
	return e.apply(ctx, m, &r.Plan, hash, nil)
}

// apply does a proven plan. g is nil where nobody waits for the others.
func (e *Engine) apply(ctx context.Context, m *impound.Mandate, p *Plan, hash string, g *gate) (Result, error) {
	res := Result{Plan: p.ID, Order: p.Order, Revert: p.Revert, Release: p.Release, Names: make([]NameResult, len(p.Names))}
	providers := p.providers()
	stand := &standing{e: e, p: p, m: m, at: e.now()}
	_ = parallel(context.WithoutCancel(ctx), max(e.cfg.Parallel, len(providers)), len(providers), func(i int) error {
		defer g.arrive(providers[i]) // whoever ends without a change holds nobody up
		e.applyProvider(ctx, m, stand, p, hash, providers[i], res.Names, g)
		return nil
	})
	e.settle(ctx, m, p, res.Names)
	return res, e.finish(ctx, p, &res)
}

func (e *Engine) applyProvider(ctx context.Context, m *impound.Mandate, stand *standing, p *Plan, hash, provider string, out []NameResult, g *gate) {
	work := false
	for i, np := range p.Names {
		if np.Provider != provider {
			continue
		}
		out[i] = NameResult{Name: np.Name, Provider: provider, Outcome: Skipped, Msg: errDrained.Error(), err: errDrained}
		if np.Blocked != "" {
			out[i] = NameResult{Name: np.Name, Provider: provider, Outcome: Blocked, Msg: np.Blocked}
		} else {
			work = true
		}
	}
	if !work {
		return
	}
	all := func(err error) {
		for i, np := range p.Names {
			if np.Provider == provider && np.Blocked == "" {
				out[i].Msg, out[i].err = err.Error(), err
			}
		}
	}
	if ctx.Err() != nil {
		return
	}
	l, err := e.take(ctx, provider)
	if err != nil {
		all(err)
		return
	}
	defer l.release(context.WithoutCancel(ctx))
	crash("leased")
	base := job{m: m, stand: stand, p: p, hash: hash, conn: e.cfg.Connectors[provider], lease: l, gate: g}
	if base.conn == nil {
		all(impound.Errorf(impound.KindInvalid, "provider %s is not configured", provider))
		return
	}
	if a, ok := base.conn.(Asker); ok {
		e.applyAsked(ctx, base, a, out)
		return
	}
	hostErr := map[string]error{}
	for _, hp := range p.Hosts {
		if hp.Provider == provider && ctx.Err() == nil {
			if _, err := e.applyHost(ctx, base, hp.Step); err != nil {
				hostErr[hp.Step.Change.object()] = err
			}
		}
	}
	// Where the registry puts changes off, the others are not kept waiting: a
	// second round waits for those.
	var late []int
	for i, np := range p.Names {
		if np.Provider != provider || np.Blocked != "" || ctx.Err() != nil {
			continue
		}
		if out[i] = e.applyName(ctx, base, np, hostErr); out[i].Outcome == Pending {
			late = append(late, i)
			continue
		}
		e.sayEnd(p.ID, out[i])
	}
	base.patient = true
	for _, i := range late {
		if ctx.Err() == nil {
			out[i] = e.applyName(ctx, base, p.Names[i], hostErr)
		}
		e.sayEnd(p.ID, out[i])
	}
}

func (e *Engine) sayEnd(plan string, r NameResult) {
	phase := map[string]string{Done: "done", Already: "done", Stale: "stale", Pending: "pending", Asked: "asked"}[r.Outcome]
	if phase == "" {
		phase = "failed"
	}
	e.say(Event{Plan: plan, Provider: r.Provider, Name: r.Name, Phase: phase, Text: r.Msg})
}

// job is one step to be done.
type job struct {
	m     *impound.Mandate // as last proven
	stand *standing
	p     *Plan
	hash  string
	conn  Connector
	lease *held
	gate  *gate

	name  impound.Name
	step  Step
	id    string // of the step, the same in every run
	no    int
	gates string
	gated time.Time // when they were run
	what  string
	mark  *string // when the registry last changed it, as of the look before; nil where it doesn't tell
	try   int     // the number of this attempt; each has a transaction id of its own

	letter string // by which it is asked for; "" where it is done

	patient bool // wait for what the registry puts off
	look    func(ctx context.Context) (sight, string, error)
}

// sight is what looking before an act shows.
type sight int

const (
	sightReady   sight = iota // as it was before the step
	sightDone                 // as the step would leave it, or as ordered
	sightPending              // the registry is at it
	sightOther                // neither: the plan is stale
)

// stepID is the same for the same step of the same plan, whoever runs it.
func stepID(hash string, n fmt.Stringer, what string, no int) string {
	h := impound.HashBytes(fmt.Appendf(nil, "%s\n%s\n%s\n%d\n", hash, n, what, no))
	return strings.TrimPrefix(h, "sha256:")[:40]
}

func (j *job) entry(part string) string { return "seize/act/" + j.id + "/" + part }

// clTRID names attempt try at the registry: the same in every run.
func (j *job) clTRID(try int) string {
	if try == 1 {
		return "IMP-" + j.id
	}
	return fmt.Sprintf("IMP-%s-%d", j.id, try)
}

func (e *Engine) applyHost(ctx context.Context, j job, s Step) (string, error) {
	h := s.Change.object()
	j.name, j.step, j.what, j.patient = s.Change.Name, s, "seize.host", true
	// Each registry has host objects of its own: the same name server may have to
	// be made at many.
	j.id = stepID(j.hash, object(h), j.what+"\n"+j.conn.Provider(), 0)
	if vs, why := e.gates(ctx, j.m, j.name); why != "" {
		return Blocked, impound.Errorf(impound.KindRefused, "%s", why)
	} else {
		j.gates, j.gated = gateWords(vs), e.now()
	}
	// A host of ours shows nobody anything: where the order allows it already, it
	// is made before the common instant, so that the names can follow at once.
	if _, err := e.permits(&j); err == nil && !j.p.ExecuteAt.After(e.now()) {
		j.gate = nil
	}
	j.look = func(ctx context.Context) (sight, string, error) {
		ok, err := j.conn.Host(ctx, s.Change.CreateHost)
		if ok {
			return sightDone, "the host exists", err
		}
		return sightReady, "the host does not exist", err
	}
	if c := s.Change.CreateContact; c != nil {
		keeper, ok := j.conn.(ContactKeeper)
		if !ok {
			return Failed, impound.Errorf(impound.KindInvalid, "provider %s has no contacts", j.conn.Provider())
		}
		j.look = func(ctx context.Context) (sight, string, error) {
			has, ok, err := keeper.Contact(ctx, h)
			switch {
			case ok && has.Email != "" && has.Email != c.Email:
				return sightOther, "the provider has another contact under that id", err
			case ok:
				return sightDone, "the contact exists", err
			}
			return sightReady, "the contact does not exist", err
		}
	}
	return e.runStep(ctx, j)
}

func (e *Engine) applyName(ctx context.Context, j job, np NamePlan, hostErr map[string]error) NameResult {
	r := NameResult{Name: np.Name, Provider: np.Provider}
	j.name = np.Name
	if m, err := j.stand.mandate(ctx); err == nil {
		j.m = m // else the act is what it fails at
	}
	acts, _ := j.m.Acts(np.Name)
	vs, why := e.check(ctx, j.m, np)
	if why != "" {
		// What was done needs no leave any more, as long as it stands.
		if e.didAll(&j, np) {
			if v, err := e.ask(ctx, j.conn, j.p.Case, j.p.Order, np.Name); err == nil && np.reached(acts, v.State()) && np.renewed(v) {
				r.Outcome, r.Msg = Done, "done earlier; now "+why
				return r
			}
		}
		r.Outcome, r.Msg = Blocked, why
		r.err = impound.Errorf(impound.KindRefused, "%s", why)
		return r
	}
	j.gates, j.gated = gateWords(vs), e.now()
	if len(np.Steps) == 0 {
		v, err := e.ask(ctx, j.conn, j.p.Case, j.p.Order, np.Name)
		switch {
		case err != nil:
			r.Outcome, r.Msg, r.err = Failed, err.Error(), err
		case !np.reached(acts, v.State()):
			r.Outcome, r.Msg = Stale, "it was as "+j.p.wanted()+" when the plan was made and is no longer: "+v.State().diff(np.Former)
			r.err = impound.Errorf(impound.KindConflict, "%s", r.Msg)
		default:
			r.Outcome, r.Msg = Already, "it is as "+j.p.wanted()
		}
		return r
	}
	for _, h := range np.newHosts() {
		if err := hostErr[h.String()]; err != nil {
			r.Outcome, r.Msg, r.err = Failed, "host "+h.Defanged()+": "+err.Error(), err
			return r
		}
	}
	if err := hostErr[np.Registrant]; err != nil && np.Registrant != "" {
		r.Outcome, r.Msg, r.err = Failed, "contact "+np.Registrant+": "+err.Error(), err
		return r
	}
	expect, mark := np.Former, new(string)
	j.mark = mark
	for k, s := range np.Steps {
		before, after := expect, expect.after(s.Change)
		j.step, j.no, j.what, j.id = s, k, updateWhat, stepID(j.hash, np.Name, updateWhat, k)
		j.look = func(ctx context.Context) (sight, string, error) {
			v, err := e.ask(ctx, j.conn, j.p.Case, j.p.Order, np.Name)
			if err != nil {
				return sightOther, "", err
			}
			st := v.State()
			*mark = v.Updated.UTC().Format(time.RFC3339Nano)
			switch {
			case v.Pending():
				return sightPending, "the registry says that a change is pending", nil
			case s.Change.Renew != nil:
				saw, words := lookRenewed(v, before, s.Change.Renew)
				return saw, words, nil
			case st.Equal(after), (st.ID == before.ID || !st.Exists) && np.reached(acts, st):
				return sightDone, "it is as the step leaves it", nil
			case st.Equal(before):
				return sightReady, "it is as the plan says", nil
			}
			return sightOther, st.diff(before), nil
		}
		r.Outcome, r.err = e.runStep(ctx, j)
		if r.err != nil {
			r.Msg = r.err.Error()
			return r
		}
		expect = after
	}
	already := r.Outcome == Already
	if already {
		// The last step was done by an earlier run: it may have been undone
		// since, which is a matter for a new plan.
		v, err := e.ask(ctx, j.conn, j.p.Case, j.p.Order, np.Name)
		switch {
		case err != nil:
			r.Outcome, r.Msg, r.err = Failed, "couldn't look at it: "+err.Error(), err
			return r
		case !np.reached(acts, v.State()):
			r.err = impound.Errorf(impound.KindConflict, "this plan did it earlier, and it has changed since: %s", v.State().diff(expect)).WithCure(j.p.again())
			r.Outcome, r.Msg = Stale, r.err.Error()
			return r
		}
		r.Outcome = Done
	}
	if r.Outcome == Done && !already {
		r.acted = e.now()
	}
	r.Msg = strings.Join(np.Steps[0].Lines, "; ")
	if last := np.Steps[len(np.Steps)-1]; last.Change.Delete && len(np.Steps) > 1 {
		r.Msg += "; " + strings.Join(last.Lines, "; ")
	}
	return r
}

// didAll says whether the evidence log has the result of np's last step.
func (e *Engine) didAll(j *job, np NamePlan) bool {
	if len(np.Steps) == 0 {
		return false
	}
	done := *j
	done.id = stepID(j.hash, np.Name, updateWhat, len(np.Steps)-1)
	x, _, err := e.cfg.Evidence.Entry(done.entry("result"))
	return err == nil && x.ID != ""
}

func gateWords(vs []impound.GateVerdict) string {
	var out []string
	for _, v := range vs {
		out = append(out, v.Gate+"="+string(v.Outcome))
	}
	return strings.Join(out, " ")
}

// runStep brings one step about: look, intent, act, look, result. It never acts
// unless the look right before says that the step is not done, and never twice
// on an outcome that is unknown without looking in between.
func (e *Engine) runStep(ctx context.Context, j job) (string, error) {
	keep := context.WithoutCancel(ctx) // what was done must be recorded, drained or not
	done, _, err := e.cfg.Evidence.Entry(j.entry("result"))
	if err != nil {
		return Failed, fmt.Errorf("couldn't read the evidence log: %w", err)
	}
	if done.ID != "" {
		// Done by an earlier run. Whether it still is, the next step's look
		// says, or the caller's.
		return Already, nil
	}
	wait := e.cfg.Backoff
	again := func(try int, why error) error {
		if try+1 >= e.cfg.Tries {
			return why
		}
		e.say(Event{Plan: j.p.ID, Provider: j.conn.Provider(), Name: j.name, Phase: "retry", Text: why.Error()})
		if err := e.cfg.Sleep(ctx, wait); err != nil {
			return why
		}
		wait = min(2*wait, 30*time.Second)
		return nil
	}
	for try := 0; ; try++ {
		e.say(Event{Plan: j.p.ID, Provider: j.conn.Provider(), Name: j.name, Phase: "look"})
		seen, words, err := j.look(ctx)
		if err != nil {
			if impound.KindOf(err) == impound.KindUnavailable && ctx.Err() == nil {
				if err = again(try, err); err == nil {
					continue
				}
			}
			return Failed, fmt.Errorf("couldn't look at it: %w", err)
		}
		if seen == sightReady {
			// A registry that took the change and doesn't show pendingUpdate.
			if j.try, err = e.tries(&j); err != nil {
				return Failed, err
			}
			if p, _, err := e.cfg.Evidence.Entry(j.entry(fmt.Sprintf("pending/%d", j.try))); err != nil {
				return Failed, err
			} else if p.ID != "" {
				seen = sightPending
			}
			// It looks as before, but the registry says that it was changed
			// since we were about to act: perhaps by us, and then back.
			if i, _, err := e.cfg.Evidence.Entry(j.entry("intent")); err != nil {
				return Failed, err
			} else if seen == sightReady && j.mark != nil && i.ID != "" && i.Detail["updated"] != *j.mark {
				seen, words = sightOther, "it was changed and changed back since the intent was recorded"
			}
		}
		switch seen {
		case sightDone:
			return e.record(keep, &j, Done, "found done: "+words, nil)
		case sightPending:
			if i, _, err := e.cfg.Evidence.Entry(j.entry("intent")); err != nil {
				return Failed, err
			} else if i.ID == "" {
				return Stale, impound.Errorf(impound.KindConflict, "somebody else's change of it is pending at the registry").WithCure("wait for it, then plan again")
			}
			return e.awaitPending(ctx, &j)
		case sightOther:
			return Stale, impound.Errorf(impound.KindConflict, "it is no longer as the plan says: %s", words).WithCure(j.p.again())
		}
		if ctx.Err() != nil || j.gate.pass(ctx, j.conn.Provider(), func() { _, _, _ = e.allowed(ctx, &j) }) != nil {
			return Skipped, errDrained
		}
		permits, outcome, err := e.allowed(ctx, &j)
		if err != nil {
			return outcome, err
		}
		if err := e.bornOut(ctx, &j); err != nil {
			if ctx.Err() != nil {
				return Skipped, errDrained
			}
			return Stale, err
		}
		if err := j.lease.renew(ctx); err != nil {
			return Skipped, err
		}
		if err := e.intend(ctx, &j); err != nil {
			return Failed, err
		}
		crash("intended")
		e.say(Event{Plan: j.p.ID, Provider: j.conn.Provider(), Name: j.name, Phase: "act", Text: strings.Join(j.step.Lines, "; ")})
		c := j.step.Change
		c.ClTRID = j.clTRID(j.try)
		held := false
		c.Still = func() error {
			err := e.halted(keep, &j)
			held = err != nil
			return err
		}
		actx, cancel := context.WithTimeout(keep, actTime)
		j.gate.begin(j.conn.Provider())
		a, err := j.conn.Do(actx, permits, c)
		cancel()
		crash("acted")
		frames, ferr := e.keepFrames(keep, j.p.Case, j.name, j.conn.Provider(), a.Frames, "")
		if ferr != nil {
			return Failed, ferr
		}
		crash("framed")
		switch {
		case err == nil && a.Pending:
			if err := e.note(keep, &j, fmt.Sprintf("pending/%d", j.try), Pending, a.Text, frames); err != nil {
				return Failed, err
			}
			return e.awaitPending(ctx, &j)
		case err == nil:
			// The answer is a claim; what the registry shows is the fact.
			if s, w, lerr := j.look(keep); lerr == nil && s != sightDone {
				err = impound.Errorf(impound.KindUnavailable, "the provider says that it did it (%s), but %s", a.Text, w)
				break
			}
			return e.record(keep, &j, Done, a.Text, frames)
		}
		if err := e.note(keep, &j, fmt.Sprintf("try/%d", j.try), "failed", err.Error(), frames); err != nil {
			return Failed, err
		}
		switch kind := impound.KindOf(err); {
		case held && kind == impound.KindRefused:
			return Blocked, err
		case errors.Is(err, ErrUnknownOutcome), kind == impound.KindUnavailable:
			if rerr := again(try, err); rerr != nil {
				// Out of tries: one last look, so that what was done isn't
				// reported as failed.
				if s, w, lerr := j.look(keep); lerr == nil && s == sightDone {
					return e.record(keep, &j, Done, "found done: "+w, nil)
				}
				return Failed, rerr
			}
		case kind == impound.KindConflict && try == 0:
			// It exists, or a status forbids it: the next look tells which.
		case kind == impound.KindRefused && epp.Code(err) == 0:
			return Refused, err
		default:
			return Failed, err
		}
	}
}

// permits asks the mandate for every act of the step, now.
func (e *Engine) permits(j *job) ([]impound.Permit, error) {
	var out []impound.Permit
	now := e.cfg.Now()
	for _, act := range j.step.Change.Acts() {
		p, err := j.m.Permit(act, j.name, now)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (e *Engine) intend(ctx context.Context, j *job) error {
	acts := make([]string, 0, len(j.step.Acts))
	for _, a := range j.step.Acts {
		acts = append(acts, string(a))
	}
	d := map[string]string{
		"plan": j.p.ID, "plan_hash": j.hash, "order_hash": j.m.Hash(), "provider": j.conn.Provider(), "step": fmt.Sprint(j.no + 1),
		"acts": strings.Join(acts, " "), "change": strings.Join(j.step.Lines, "; "), "cltrid": j.clTRID(1), "gates": j.gates,
	}
	if j.mark != nil {
		d["updated"] = *j.mark
	}
	if j.letter != "" {
		d["letter"] = j.letter
	}
	_, err := e.cfg.Evidence.Append(ctx, impound.Entry{
		ID: j.entry("intent"), Type: impound.EntryIntent, At: e.now(), By: e.cfg.By, What: j.what, Case: j.p.Case, Order: j.p.Order, Name: j.name, Detail: d,
	})
	if err != nil {
		return fmt.Errorf("couldn't record the intent, nothing was done: %w", err)
	}
	return nil
}

// note appends a result entry to the step's intent; more are details, key and
// value in turn.
func (e *Engine) note(ctx context.Context, j *job, part, outcome, words string, frames []string, more ...string) error {
	d := map[string]string{"plan": j.p.ID, "provider": j.conn.Provider(), "step": fmt.Sprint(j.no + 1), "outcome": outcome, "answer": clip(words), "frames": strings.Join(frames, " ")}
	for i := 0; i+1 < len(more); i += 2 {
		d[more[i]] = more[i+1]
	}
	_, err := e.cfg.Evidence.Append(ctx, impound.Entry{
		ID: j.entry(part), Type: impound.EntryResult, At: e.now(), By: e.cfg.By, What: j.what, Case: j.p.Case, Order: j.p.Order, Name: j.name, Intent: j.entry("intent"), Detail: d,
	})
	if err != nil {
		return fmt.Errorf("couldn't record how it went: %w", err)
	}
	return nil
}

// record ends a step: its intent (there already, unless somebody else did it)
// and its result.
func (e *Engine) record(ctx context.Context, j *job, outcome, words string, frames []string) (string, error) {
	if err := e.intend(ctx, j); err != nil {
		return Failed, err
	}
	crash("result")
	if err := e.note(ctx, j, "result", outcome, words, frames); err != nil {
		return Failed, err
	}
	crash("recorded")
	return outcome, nil
}

// tries gives the number of the attempt that is under way or comes next.
func (e *Engine) tries(j *job) (int, error) {
	for n := 1; ; n++ {
		if _, ok, err := e.cfg.Evidence.Entry(j.entry(fmt.Sprintf("try/%d", n))); err != nil || !ok {
			return n, err
		}
	}
}

// denied says whether the registry has said that an attempt which it put off
// was not done, and that was not known before. The attempt is then over. Its
// transaction id may be that of an earlier attempt, whose answer was lost.
func (e *Engine) denied(ctx context.Context, j *job) (bool, error) {
	now, err := e.tries(j)
	if err != nil {
		return false, err
	}
	for n := 1; n <= now; n++ {
		m, ok, err := e.cfg.Evidence.Entry("seize/pending/" + j.conn.Provider() + "/" + j.clTRID(n))
		if err != nil {
			return false, err
		}
		if !ok || m.Detail["done"] != "false" {
			continue
		}
		known := false
		for k := 1; k < now; k++ {
			t, _, err := e.cfg.Evidence.Entry(j.entry(fmt.Sprintf("try/%d", k)))
			if err != nil {
				return false, err
			}
			known = known || t.Detail["denied"] == j.clTRID(n)
		}
		if !known {
			return true, e.note(ctx, j, fmt.Sprintf("try/%d", now), "denied", m.Detail["text"], nil, "denied", j.clTRID(n))
		}
	}
	return false, nil
}

// awaitPending waits until the registry has done or denied a change that it
// took. It never acts.
func (e *Engine) awaitPending(ctx context.Context, j *job) (string, error) {
	pause := min(e.cfg.Backoff, 5*time.Second)
	for waited := time.Duration(0); ; waited += pause {
		perr := j.conn.Poll(ctx, func(m Message) error { return e.keepMessage(context.WithoutCancel(ctx), j.conn.Provider(), m) })
		seen, words, err := j.look(ctx)
		switch {
		case err == nil && seen == sightDone:
			return e.record(context.WithoutCancel(ctx), j, Done, "pending at first, then done: "+words, nil)
		case err == nil && seen == sightOther:
			return Stale, impound.Errorf(impound.KindConflict, "while the change was pending, it became otherwise: %s", words).WithCure(j.p.again())
		}
		if no, derr := e.denied(context.WithoutCancel(ctx), j); derr != nil {
			return Failed, derr
		} else if no {
			return Failed, impound.Errorf(impound.KindRefused, "the registry took the change and then denied it").WithCure("ask the registry why; its message is in the evidence")
		}
		if !j.patient || waited >= e.cfg.Pending || e.cfg.Sleep(ctx, pause) != nil {
			msg := "the registry took the change and has not done it yet"
			if perr != nil {
				msg += "; its messages could not be read: " + perr.Error()
			}
			return Pending, impound.Errorf(impound.KindUnavailable, "%s", msg).WithCure("apply again later: it will look first")
		}
		e.say(Event{Plan: j.p.ID, Provider: j.conn.Provider(), Name: j.name, Phase: "pending"})
	}
}

// keepMessage writes a provider's message down, before it is acknowledged.
func (e *Engine) keepMessage(ctx context.Context, provider string, m Message) error {
	frames, err := e.keepFrames(ctx, "", m.Name, provider, m.Frames, "received")
	if err != nil {
		return err
	}
	// A provider may use its ids again, after a restart or for another queue: what
	// a message says is part of who it is, or the second one would be lost.
	sum := impound.HashBytes(fmt.Appendf(nil, "%s\n%s\n%s\n%s\n%t", m.At.UTC().Format(time.RFC3339Nano), m.Text, m.Name, m.ClTRID, m.Done))
	id := "seize/message/" + provider + "/" + m.ID + "/" + strings.TrimPrefix(sum, "sha256:")[:16]
	d := map[string]string{"provider": provider, "message": m.ID, "text": clip(m.Text), "frames": strings.Join(frames, " ")}
	if m.Pending {
		d["cltrid"], d["done"] = m.ClTRID, fmt.Sprint(m.Done)
		// The first word on a change is the one that counts; another is kept as
		// a message.
		end := "seize/pending/" + provider + "/" + m.ClTRID
		if was, ok, err := e.cfg.Evidence.Entry(end); err != nil {
			return err
		} else if !ok || was.Detail["message"] == m.ID && was.Detail["done"] == d["done"] {
			id = end
		}
	}
	_, err = e.cfg.Evidence.Append(ctx, impound.Entry{ID: id, Type: impound.EntrySystem, At: e.now(), By: "system", What: "seize.message", Name: m.Name, Detail: d})
	if err != nil {
		return fmt.Errorf("couldn't record a message of %s: %w", provider, err)
	}
	return nil
}

// finish stores how it went and gives the error that it amounts to.
func (e *Engine) finish(ctx context.Context, p *Plan, res *Result) error {
	keep := context.WithoutCancel(ctx)
	blockedInPlan := 0
	for _, np := range p.Names {
		if np.Blocked != "" {
			blockedInPlan++
		}
	}
	good, work := res.Count(Done, Already), len(res.Names)-blockedInPlan
	if err := e.noteReleased(keep, p, res.Names); err != nil {
		return err
	}
	err := e.cfg.Store.Update(keep, func(tx store.Tx) error {
		for i, x := range res.Names {
			if x.Outcome == Skipped {
				continue
			}
			_, err := store.Modify(tx, docSeizure, p.Order+"/"+x.Name.String(), func(v *Seizure) (map[string]string, error) {
				v.Order, v.Name, v.Provider, v.Plan, v.Outcome, v.Msg, v.At = p.Order, x.Name, x.Provider, p.ID, x.Outcome, x.Msg, e.now()
				if !p.undoes() && len(p.Names[i].Steps) > 0 && (v.FormerPlan == "" || v.Reverted != "") {
					v.Former, v.FormerPlan = p.Names[i].Former, p.ID // the state before the first plan that changes it
				}
				if x.Outcome == Done || x.Outcome == Already {
					if v.Reverted, v.Released = "", ""; p.undoes() {
						v.Reverted, v.Released = p.ID, p.Release
					}
				}
				v.note(x)
				return map[string]string{"order": p.Order, "name": x.Name.String(), "outcome": x.Outcome}, nil
			})
			if err != nil {
				return err
			}
		}
		_, err := store.Modify(tx, docPlan, p.ID, func(r *record) (map[string]string, error) {
			if good == work {
				r.Applied = e.now()
			}
			return map[string]string{"order": p.Order, "case": p.Case}, nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("couldn't store how it went (the evidence log has it): %w", err)
	}
	if good == work {
		return nil
	}
	var first error
	for _, x := range res.Names {
		if x.err != nil && first == nil {
			first = x.err
		}
	}
	kind := impound.KindPartial
	switch {
	case good > 0:
	case res.Count(Stale) == work:
		kind = impound.KindConflict
	case res.Count(Refused, Blocked)-blockedInPlan == work:
		kind = impound.KindRefused
	case res.Count(Skipped) == work && impound.KindOf(first) == impound.KindConflict:
		kind = impound.KindConflict
	}
	cure := "apply again: it looks first and does nothing twice"
	if n := res.Count(Stale); n > 0 {
		cure = p.again()
	}
	if n := res.Count(Asked); n > 0 && good+n == work {
		cure = "it is waited for: impound seize follow " + p.Order + " looks, and reminds when that is due"
	}
	if kind == impound.KindConflict && res.Count(Stale) == 0 {
		cure = "wait until the other apply ends, then apply again"
	}
	return &impound.Error{Kind: kind, Where: "plan " + p.ID, Msg: fmt.Sprintf("%d of %d names are as %s; %d stale, %d pending, %d asked, %d failed, %d refused, %d not begun", good, work, p.wanted(), res.Count(Stale), res.Count(Pending), res.Count(Asked), res.Count(Failed), res.Count(Refused, Blocked)-blockedInPlan, res.Count(Skipped)), Cure: cure, Err: first}
}

// clip bounds a peer's words in an entry.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > 2000 {
		s = strings.ToValidUTF8(s[:2000], "") + "..."
	}
	return s
}
