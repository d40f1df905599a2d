package walkthrough

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/watch/source/ctlog/sunlighttest"
)

// From a name that nobody has seen to the papers that take it.
func TestWatch(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	for bin, pkg := range map[string]string{"curl": "curl", "awk": "mawk"} {
		peertest.Need(t, bin, pkg)
	}
	log, ok := sunlighttest.Find()
	peertest.NeedThat(t, "sunlight", ok, sunlighttest.How)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/bin/", "github.com/impound/impound/cmd/impound", "github.com/impound/impound/cmd/testregistry", "github.com/impound/impound/test/walkthrough/ctlog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, "sh", "watch.sh", dir+"/bin", filepath.Join(dir, "work"))
	cmd.Env = append(os.Environ(), "IMPOUND_CTLOG="+log, fmt.Sprint("IMPOUND_WALK_WEB=", peertest.Port(t)))
	cmd.WaitDelay = 5 * time.Second
	// Asked to end, the script ends what it started.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"80 names of 80, each once, after two kills", "under clause 7", "unsigned, it is refused", ": done"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the script does not say %q:\n%s", want, out)
		}
	}
	t.Logf("%s", out)
}
