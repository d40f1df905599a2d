package seizure

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
)

// A DS that a seizure removed is put back where a plan gives a name its former
// name servers back, and where those still sign with a key that the DS names: a DS
// that nothing bears out would break the name for everybody who validates. It is
// looked at when the plan is made, and once more right before the act.

// ChainObserver is an [Observer] that can see whether servers bear out a DS that is
// not there. Without one no DS is put back.
type ChainObserver interface {
	// Chain asks hosts whether the name is signed there so that ds hold.
	Chain(ctx context.Context, name impound.Name, hosts, ds []string) observe.ChainView
}

// chain says whether the former name servers of n bear out its former DS now.
func (e *Engine) chain(ctx context.Context, n impound.Name, former State) observe.ChainView {
	o, ok := e.cfg.Observe.(ChainObserver)
	if !ok {
		return observe.ChainView{Kind: observe.KindChain, Name: n, At: e.now(), DS: former.DS, Why: "nobody can look at its former name servers"}
	}
	return o.Chain(ctx, n, texts(former.NS), former.DS)
}

// wantsDSBack says whether the plan for np is about a DS that the order removed,
// and none is there.
func (np NamePlan) wantsDSBack(acts impound.Acts) bool {
	return np.Restore != nil && (np.Release == "" || np.Release == impound.ReleaseRestore) && acts.RemoveDS &&
		np.Restore.Exists && len(np.Restore.DS) > 0 && len(np.Former.DS) == 0 && len(np.Restore.NS) > 0
}

// lookDSBack looks whether the DS of np can be put back, and keeps what was seen.
func (e *Engine) lookDSBack(ctx context.Context, m *impound.Mandate, np *NamePlan, acts impound.Acts) error {
	if !np.wantsDSBack(acts) {
		return nil
	}
	v := e.chain(ctx, np.Name, *np.Restore)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	np.DSBack, np.DSWhy = v.OK, v.Why
	h, err := e.keepChain(ctx, m.Case(), m.ID(), np.Name, v)
	np.dsSeen = h
	return err
}

// keepChain keeps a look at a name's former servers as evidence.
func (e *Engine) keepChain(ctx context.Context, caseID, order string, n impound.Name, v observe.ChainView) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("couldn't encode a look: %w", err)
	}
	a, err := e.cfg.Evidence.Capture(ctx, impound.Artefact{Kind: v.Kind, Media: "application/json", Name: n, Case: caseID, Source: "the former name servers of " + n.String(), Tool: Tool, By: e.cfg.By, At: v.At}, b)
	if err != nil {
		return "", fmt.Errorf("couldn't keep a look as evidence: %w", err)
	}
	_, err = e.cfg.Evidence.Append(ctx, impound.Entry{Type: impound.EntrySystem, At: e.now(), By: e.cfg.By, What: "seize.chain", Case: caseID, Order: order, Name: n,
		Detail: map[string]string{"ok": fmt.Sprint(v.OK), "why": clip(v.Why), "artefact": a.Hash}})
	if err != nil {
		return "", fmt.Errorf("couldn't record a look: %w", err)
	}
	return a.Hash, nil
}

// withDSBack adds to c, which leads from s to target, that ds come back: after the
// name servers' step, and under no update lock. It is pure.
func withDSBack(c Change, acts impound.Acts, role string, s State, ds []string, warnings []string) (steps []Step, blocked string, _ []string) {
	if len(c.AddNS)+len(c.RemNS) == 0 {
		c.BackDS = ds
		return aroundLocks(c, acts, role, s, warnings)
	}
	last := Change{Name: c.Name, BackDS: ds, HostAttr: c.HostAttr, AddStatus: without(c.AddStatus, without(c.AddStatus, updateLocks))}
	if c.AddStatus = without(c.AddStatus, updateLocks); len(c.AddStatus) == 0 {
		c.AddStatus = nil
	}
	if steps, blocked, warnings = aroundLocks(c, acts, role, s, warnings); blocked != "" {
		return nil, blocked, warnings
	}
	if len(steps) > 1 { // what was lifted comes back with the DS
		last.AddStatus = append(last.AddStatus, steps[1].Change.AddStatus...)
	}
	if len(last.AddStatus) > 0 {
		last.AddStatus = sorted(last.AddStatus)
	}
	return []Step{steps[0], {Acts: last.Acts(), Change: last, Lines: last.Lines()}}, "", warnings
}

// dsStays says why a DS is not put back, and what to do.
func dsStays(gone []string, why string) string {
	if why == "" {
		why = "its name servers or its DS would not be the former ones"
	}
	return "the DS that was removed is not put back: " + why + ". Without it the name works, unsigned; with one that nothing bears out it would be SERVFAIL for all who validate. When its zone is signed with these keys again, plan again, or do it by hand: " + strings.Join(gone, "; ")
}

// backDS says whether a step of steps puts a DS back.
func backDS(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return len(s.Change.BackDS) > 0 })
}

// bornOut looks once more whether c's DS is borne out, right before it is put back;
// an error means that it must not be.
func (e *Engine) bornOut(ctx context.Context, j *job) error {
	if len(j.step.Change.BackDS) == 0 {
		return nil
	}
	np := j.p.of(j.name)
	if np.Restore == nil {
		return impound.Errorf(impound.KindRefused, "a DS is put back by giving a name back only")
	}
	v := e.chain(ctx, j.name, *np.Restore)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, err := e.keepChain(context.WithoutCancel(ctx), j.p.Case, j.p.Order, j.name, v); err != nil {
		return err
	}
	if !v.OK {
		return impound.Errorf(impound.KindConflict, "the DS is not put back, since its keys are no longer at its former name servers: %s", v.Why).WithCure(j.p.again())
	}
	return nil
}

// judgeDSBack adds to what the parent shows whether the DS that was put back is
// there.
func judgeDSBack(ds []string, v observe.View, out ViewStatus) ViewStatus {
	if len(ds) == 0 || out.State == Unknown {
		return out
	}
	canon := func(in []string) []string {
		var o []string
		for _, x := range in {
			o = append(o, strings.ToUpper(strings.Join(strings.Fields(x), " ")))
		}
		return o
	}
	for _, s := range v.Servers {
		if s.Err == "" && len(without(canon(ds), canon(s.DS))) > 0 {
			out.State, out.Why = worse(out.State, NotYet), out.Why+"; the DS that was put back does not show"
			return out
		}
	}
	out.Why += "; with its former DS"
	return out
}
