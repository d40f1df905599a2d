package laws

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
)

// Two sealed cases want the same name for different actors. Who has an order over
// it learns that it is held elsewhere and whom to ask; who merely put it into a
// case learns nothing, or guessed names would be answered; the officer learns
// which two sides must talk, and no name; everybody else nothing.
func TestTwoSealedCasesCollide(t *testing.T) {
	w := newWorld(t)
	w.did(t, "people", "add", "ola", "--role", "auditor", "--as", "ada")
	w.did(t, "people", "add", "otto", "--role", "auditor", "--as", "ada")
	w.did(t, "people", "add", "eve", "--role", "analyst", "--as", "ada")
	w.did(t, "people", "add", "frank", "--role", "counsel", "--role", "analyst", "--as", "ada")
	w.did(t, "account", "add", "ada", "--as", "ada")
	w.did(t, "actor", "add", "APT42", "--as", "ada")
	w.cfg.Deconfliction = []string{"ola", "eve"} // eve is no auditor
	w.writeConfig(t)
	for _, k := range []struct{ id, actor, by, also string }{{"LEFT-1", "APT35", "ada", "carla"}, {"RIGHT-1", "APT42", "eve", "frank"}} {
		w.did(t, "case", "open", k.id, "--title", k.id, "--actor", k.actor, "--as", k.by)
		w.did(t, "case", "seal", k.id, "--party", k.by, "--party", k.also, "--why", "court", "--as", k.by)
		w.did(t, "case", "add", k.id, w.text(t, spare.String()+" "+time.Now().UTC().AddDate(0, 0, -3).Format(time.DateOnly)+"\n"), "--as", k.by)
	}
	s := w.open(t)
	alarms := func(who string) map[string]string {
		t.Helper()
		as, err := s.Alarms(impound.WithPrincipal(t.Context(), impound.Principal{ID: who}))
		must(t, err)
		out := map[string]string{}
		for _, a := range as {
			out[a.Kind] += fmt.Sprintln(a.Text, a.Cure, a.Cmd, a.Order, a.Case, a.Name)
		}
		return out
	}
	told := func(who, kind string, words, never []string) {
		t.Helper()
		got := alarms(who)
		for _, k := range []string{app.AlarmHeld, app.AlarmCollide, app.AlarmClaim} {
			if (got[k] != "") != (k == kind) {
				t.Errorf("%s is told %q: %q", who, k, got[k])
			}
		}
		for _, x := range words {
			if !strings.Contains(got[kind], x) {
				t.Errorf("%s is not told %q: %s", who, x, got[kind])
			}
		}
		for _, x := range never {
			if strings.Contains(fmt.Sprint(got), x) {
				t.Errorf("%s is told %q: %s", who, x, got)
			}
		}
	}
	everybody := []string{"ada", "carla", "eve", "frank", "ola", "otto", "ben", ""}
	for _, who := range everybody { // nobody has signed anything yet
		told(who, "", nil, nil)
	}
	w.fileFor(t, s, "LEFT-1", terms{id: "O-LEFT", names: []impound.Name{spare}, from: time.Now().Add(-time.Minute), until: time.Now().Add(time.Hour)})
	right := []string{"RIGHT", "APT42", "frank"}
	name := []string{spare.String(), spare.Defanged()}
	told("ada", app.AlarmHeld, []string{spare.Defanged(), "O-LEFT", "ola"}, right)
	told("carla", app.AlarmHeld, []string{spare.Defanged()}, right)
	told("ola", app.AlarmCollide, []string{"LEFT-1", "RIGHT-1", "ada, carla", "eve, frank", "O-LEFT"}, name)
	for _, who := range []string{"eve", "frank", "otto", "ben", ""} {
		told(who, "", nil, nil)
	}
	// A plan says no more than that.
	_, out, errs := w.cli(t, "seize", "plan", "O-LEFT", "--as", "ada")
	if !strings.Contains(out, "whose it is must be settled by counsel") || strings.Contains(out+errs, "RIGHT") {
		t.Errorf("a plan says %s%s", out, errs)
	}
	// The other side files an order as well: now both know, and the officer once.
	fileAs := func(by, id string, o terms) {
		t.Helper()
		path := strings.TrimSuffix(w.draft(t, s, o), "")
		data := strings.Replace(string(mustRead(t, path)), "case: "+caseID+"\n", "case: "+id+"\n", 1)
		path = w.text(t, data)
		w.sign(t, s, path, "ben", "dora")
		_, err := s.Casework.FileOrder(impound.WithPrincipal(t.Context(), impound.Principal{ID: by}), by, path, mustRead(t, path))
		must(t, err)
	}
	fileAs("frank", "RIGHT-1", terms{id: "O-RIGHT", names: []impound.Name{spare}, from: time.Now().Add(-time.Minute), until: time.Now().Add(time.Hour)})
	told("eve", app.AlarmHeld, []string{spare.Defanged(), "O-RIGHT"}, []string{"LEFT", "ada"})
	told("ada", app.AlarmHeld, []string{spare.Defanged(), "O-LEFT"}, right)
	told("ola", app.AlarmCollide, []string{"LEFT-1", "RIGHT-1"}, name)
	if n := strings.Count(alarms("ola")[app.AlarmCollide], "hold 1 of the same names"); n != 1 {
		t.Errorf("the officer is told %d times", n)
	}
	// They talk; one side gives it back.
	must(t, s.Casework.SetState(impound.WithPrincipal(t.Context(), impound.Principal{ID: "eve"}), "eve", "RIGHT-1", spare, impound.StateReleased, "theirs: exhibit 4"))
	w.did(t, "order", "withdraw", "O-RIGHT", "--why", "given back", "--as", "frank")
	for _, who := range everybody {
		told(who, "", nil, nil)
	}
}
