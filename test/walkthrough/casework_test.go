// Package walkthrough runs the scripts beside it, as a reader would, on names of
// this package's making. What lives here: whole ways through the program as shell
// scripts that people can run on lists of their own. What must not: assertions
// that a script does not make itself.
package walkthrough

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound/internal/peertest"
)

const names = `# made up for this test
outlook-verify[.]example
mail-login-check.example
account-secure.test  2026-01-01
xn--bcher-verify-dlb.test
`

func TestCasework(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	for bin, pkg := range map[string]string{"openssl": "openssl", "unzip": "unzip", "awk": "mawk", "basenc": "coreutils", "pdftotext": "poppler-utils"} {
		peertest.Need(t, bin, pkg)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/bin/", "github.com/impound/impound/cmd/impound", "github.com/impound/impound/cmd/testregistry")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	list := filepath.Join(dir, "names.txt")
	if err := os.WriteFile(list, []byte(names), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "sh", "casework.sh", dir+"/bin", list, filepath.Join(dir, "work"))
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"4 names below example, test", "Signature Verified Successfully", "a changed artefact is found", ": done"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the script does not say %q:\n%s", want, out)
		}
	}
}
