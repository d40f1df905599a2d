package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
)

// TestPasswordFile: a registry's password that others can read is not used.
func TestPasswordFile(t *testing.T) {
	state := t.TempDir()
	path := filepath.Join(state, "registry.password")
	if err := os.WriteFile(path, []byte("a-practice-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &System{opt: Options{State: state}}
	r := RegistryConfig{Provider: "practice", PasswordFile: "registry.password"}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		c, err := s.registryConfig(r)
		var e *impound.Error
		errors.As(err, &e)
		switch {
		case ok && (err != nil || string(c.Password) != "a-practice-password"):
			t.Errorf("mode %04o: password %q, %v", mode, c.Password, err)
		case !ok && (e == nil || e.Kind != impound.KindRefused || len(c.Password) != 0):
			t.Errorf("mode %04o: password %q, %v", mode, c.Password, err)
		case !ok && (!strings.Contains(e.Cure, "chmod 600 "+path) || !strings.Contains(err.Error(), "practice") || strings.Contains(err.Error(), "a-practice-password")):
			t.Errorf("mode %04o: %v; cure %q", mode, err, e.Cure)
		}
	}
}
