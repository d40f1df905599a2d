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
)

// Made-up lists of 98 and 50 names, as many as PHOSPHORUS's and Thallium's.
// IMPOUND_WALK_ORDER and IMPOUND_WALK_SUPPLEMENT name other lists.
func TestSeizure(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	for bin, pkg := range map[string]string{"openssl": "openssl", "dig": "bind9-dnsutils", "awk": "mawk", "timeout": "coreutils"} {
		peertest.Need(t, bin, pkg)
	}
	lists := []string{"testdata/order.txt", "testdata/supplement.txt"}
	for i, env := range []string{"IMPOUND_WALK_ORDER", "IMPOUND_WALK_SUPPLEMENT"} {
		if f := os.Getenv(env); f != "" {
			lists[i] = f
		}
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/bin/", "github.com/impound/impound/cmd/impound", "github.com/impound/impound/cmd/testregistry")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, "sh", "seizure.sh", dir+"/bin", lists[0], lists[1], filepath.Join(dir, "work"))
	cmd.Env = append(os.Environ(), fmt.Sprint("IMPOUND_WALK_DNS=", peertest.Port(t)), fmt.Sprint("IMPOUND_WALK_WEB=", peertest.Port(t)))
	cmd.WaitDelay = 5 * time.Second
	// Asked to end, the script ends what it started.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"show order O-1 for", "show order O-1-S1 for", "what was begun is finished", "mended: three changes", "the sinkhole is silent for it", "is back at its former name servers", ": done"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the script does not say %q:\n%s", want, out)
		}
	}
	t.Logf("%s", out)
}
