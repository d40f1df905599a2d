package seizure

import (
	"os"
	"strconv"
	"syscall"
)

// PlanName opens the pure planner to tests.
var PlanName = planName

// JudgeParent opens the judge of the parent zone's view to tests.
var JudgeParent = judgeParent

// Edit opens the stored record to tests that forge one.
type Record = record

// DocPlan is the kind under which plans are stored.
const DocPlan = docPlan

// The test binary can be told to die at the nth point it passes.
func init() {
	n, err := strconv.Atoi(os.Getenv("IMPOUND_TEST_DIE_AT"))
	if err != nil {
		return
	}
	crash = func(string) {
		if n--; n == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}
