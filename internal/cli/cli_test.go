package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
)

func TestMain(m *testing.M) {
	if os.Getenv("IMPOUND_TEST_CLI") != "" { // a child of TestServe
		os.Exit(Main(context.Background(), os.Args[1:], OS()))
	}
	// The long tests mostly wait for other processes.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"impound": func() { os.Exit(Main(context.Background(), os.Args[1:], OS())) },
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// exits CODE COMMAND... runs impound and wants that exit code.
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: exits CODE impound ARGS...")
				}
				err := ts.Exec(args[1], args[2:]...)
				got := 0
				var x interface{ ExitCode() int }
				if errors.As(err, &x) {
					got = x.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if fmt.Sprint(got) != args[0] {
					ts.Fatalf("exit code %d, want %s", got, args[0])
				}
			},
			// flip FILE flips one bit in the middle of a file.
			"flip": func(ts *testscript.TestScript, _ bool, args []string) {
				path := ts.MkAbs(args[0])
				b, err := os.ReadFile(path)
				ts.Check(err)
				b[len(b)/2] ^= 1
				ts.Check(os.WriteFile(path, b, 0o600))
			},
			// wait-for FILE TEXT waits until a file holds a text.
			"wait-for": func(ts *testscript.TestScript, _ bool, args []string) {
				for range 200 {
					b, _ := os.ReadFile(ts.MkAbs(args[0]))
					if bytes.Contains(b, []byte(args[1])) {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
				ts.Fatalf("%s never held %q", args[0], args[1])
			},
		},
	})
}

// Every command that does something has help that leads with examples, and what
// the examples begin with is a command.
func TestHelpLeadsWithExamples(t *testing.T) {
	e := &env{Stdio: Stdio{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}}
	root := e.root()
	var walk func(c *cobra.Command)
	n := 0
	walk = func(c *cobra.Command) {
		if c.Name() != "help" && c.Name() != "completion" {
			n++
			if !strings.HasPrefix(c.Long, "Examples:\n  ") || c.Short == "" || c.RunE == nil {
				t.Errorf("%s: help does not lead with examples, or it does nothing", c.CommandPath())
			}
			for line := range strings.Lines(c.Long) {
				words := strings.Fields(line)
				if len(words) > 2 && words[0] == "impound" && !strings.HasPrefix(words[1], "-") {
					if found, _, err := root.Find(words[1:]); err != nil || found == root {
						t.Errorf("%s: its help names %q, which is no command", c.CommandPath(), strings.TrimSpace(line))
					}
				}
			}
		}
		names := map[string]bool{}
		for _, s := range c.Commands() {
			if names[s.Name()] {
				t.Errorf("%s has %s twice", c.CommandPath(), s.Name())
			}
			names[s.Name()] = true
			walk(s)
		}
	}
	walk(root)
	if n < 40 {
		t.Errorf("only %d commands", n)
	}
}

func TestExitCodes(t *testing.T) {
	for kind, want := range map[impound.Kind]int{
		impound.KindInvalid: 2, impound.KindNotFound: 1, impound.KindConflict: 1, impound.KindRefused: 5, impound.KindAuth: 4, impound.KindPartial: 6, impound.KindUnavailable: 1, impound.KindInternal: 1,
	} {
		if got := exitCode(fmt.Errorf("wrapped: %w", impound.Errorf(kind, "x"))); got != want {
			t.Errorf("%s: exit code %d, want %d", kind, got, want)
		}
	}
	if exitCode(impound.Problems{impound.Errorf(impound.KindInvalid, "x")}) != 2 || exitCode(usageError{errors.New("x")}) != 2 || exitCode(errors.New("x")) != 1 || exitCode(nil) != 0 {
		t.Error("exit codes of other errors")
	}
}

func TestPrintErrorSaysWhatWhereAndCure(t *testing.T) {
	var b bytes.Buffer
	printError(&b, fmt.Errorf("couldn't file: %w", impound.Errorf(impound.KindInvalid, "no dates").At("o.yaml:3").WithCure("write from:")))
	if got := b.String(); !strings.Contains(got, "couldn't file") || !strings.Contains(got, "o.yaml:3") || !strings.Contains(got, "no dates") || !strings.Contains(got, "\n         write from:") {
		t.Errorf("%q", got)
	}
}

func TestTableIsTSVInAPipe(t *testing.T) {
	var b bytes.Buffer
	s := Stdio{Out: &b}
	s.table([]string{"a", "b"}, [][]string{{"x\ty", "\x1b[2Jz\u202e"}})
	if got := b.String(); got != "x y\t[U+001B][2Jz[U+202E]\n" {
		t.Errorf("%q", got)
	}
}

// A full disk is said plainly at the start, and nothing is begun.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	mount := peertest.Need(t, "mount", "mount")
	full := filepath.Join(dir, "full")
	if err := os.Mkdir(full, 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) error { return exec.Command(name, args...).Run() }
	peertest.NeedThat(t, "a small file system of our own (root)", run(mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", full) == nil, "run the tests as root")
	t.Cleanup(func() { _ = run("umount", full) })
	if err := os.WriteFile(filepath.Join(full, "fill"), make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := Main(t.Context(), []string{"--state", full, "case", "list"}, Stdio{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" }})
	if code != ExitFailure || !strings.Contains(errs.String(), "no space left on device") || !strings.Contains(errs.String(), "make room on the disk") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}
