package plot

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func lint(t *testing.T, svg string) error {
	t.Helper()
	cmd := exec.Command("xmllint", "--noout", "--nonet", "-")
	cmd.Stdin = strings.NewReader(svg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
