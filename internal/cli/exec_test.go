package cli

import (
	"os/exec"
	"testing"
)

func execRun(t *testing.T, name string, args ...string) error {
	t.Helper()
	return exec.Command(name, args...).Run()
}
