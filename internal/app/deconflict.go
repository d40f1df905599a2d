package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/impound/impound"
)

// AlarmHeld is the kind of an alarm that a name of an order is held elsewhere, by
// what the reader may not see; AlarmCollide tells who brings the two together.
const (
	AlarmHeld    = "held-elsewhere"
	AlarmCollide = "collision"
)

// collisionAlarms tells of two sealed cases that want the same name. Who signed
// and filed an order over it is told that it is held elsewhere, which a plan
// would tell him too; whoever merely holds it is not, since anybody can seal a case
// and put guessed names into it. The officers are told the ids of both cases and
// whom to call, and no name. docs/trust.md has the reasons.
func (s *System) collisionAlarms(ctx context.Context) ([]Alarm, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	who := x.Who()
	if who == "" {
		return nil, nil // to nobody, the house neither
	}
	cs, err := s.Casework.Collisions(impound.AsSystem(ctx))
	if err != nil || len(cs) == 0 {
		return nil, err
	}
	officer := slices.Contains(s.cfg.Deconfliction, who) && s.Casework.May(ctx, who, impound.RoleAuditor) == nil
	ask := "no deconfliction officer is named here: have one named under deconfliction: in " + ConfigFile
	if len(s.cfg.Deconfliction) > 0 {
		ask = "ask " + strings.Join(s.cfg.Deconfliction, " or ") + ", who can tell both sides to talk"
	}
	at := s.now().UTC()
	var out []Alarm
	for _, c := range cs {
		if x.Case(c.Case) && x.Case(c.Other) {
			continue // SealedConflicts tells those who may see both
		}
		if x.Case(c.Case) {
			for _, n := range c.Names {
				out = append(out, Alarm{Order: c.Order, Case: c.Case, Name: n, Kind: AlarmHeld, At: at, Text: fmt.Sprintf("%s of order %s is held elsewhere, for another actor: it is kept out of every plan until that is settled", n.Defanged(), c.Order),
					Cure: ask, Cmd: "impound order show " + c.Order})
			}
		}
		if officer && !(c.Ordered && c.Other < c.Case) { // of two orders that collide, once
			out = append(out, Alarm{Kind: AlarmCollide, At: at, Text: fmt.Sprintf("the sealed cases %s (%s) and %s (%s) hold %d of the same names for different actors, and order %s names them: neither side may know of the other", c.Case, strings.Join(c.Parties, ", "), c.Other, strings.Join(c.Others, ", "), len(c.Names), c.Order),
				Cure: "have one party of each talk: either side then gives the names back or decides whose they are", Cmd: "impound case attribute NAME --actor ACTOR --why ... --as PARTY"})
		}
	}
	return out, nil
}
