package cli

import (
	"fmt"

	"github.com/impound/impound/internal/seizure"
)

// nextStep says what is to be done with a new plan: nobody is asked to approve one
// that changes nothing.
func (e *env) nextStep(p *seizure.Plan) {
	change, already, blocked := p.Count()
	switch {
	case change > 0:
		fmt.Fprintf(e.Err, "two approvers are needed: impound seize approve %s --as NAME\nthen: impound seize apply %s\n", p.ID, p.ID)
	case blocked > 0:
		fmt.Fprintf(e.Err, "nothing to approve: see to what blocks the names, then plan again\n")
	case already > 0:
		fmt.Fprintf(e.Err, "nothing to approve: nothing would change\n")
	}
}
