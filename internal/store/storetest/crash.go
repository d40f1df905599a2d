package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// childEnv tells a test binary that it is the child of [Durability].
const childEnv = "STORETEST_CHILD_PLACE"

// Main is for TestMain: in a child process it writes until it is killed, and
// never returns; otherwise it runs the tests.
func Main(m *testing.M, open func(place string) (store.Store, error)) {
	place := os.Getenv(childEnv)
	if place == "" {
		os.Exit(m.Run())
	}
	s, err := open(place)
	if err == nil {
		err = writeForever(s)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// writeForever moves a counter and a document for each of its values in one
// transaction, and says each value once it is committed.
func writeForever(s store.Store) error {
	for {
		var n int
		err := s.Update(context.Background(), func(tx store.Tx) error {
			_, err := store.Modify(tx, "crash", "counter", func(c *int) (map[string]string, error) {
				*c++
				n = *c
				return map[string]string{"n": fmt.Sprint(n)}, nil
			})
			if err != nil {
				return err
			}
			for _, half := range []string{"a", "b"} {
				body := strings.Repeat(half, rand.IntN(20000))
				if _, err := store.Put(tx, "crash-doc", fmt.Sprintf("%09d-%s", n, half), 0, body, map[string]string{"n": fmt.Sprint(n)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// Durability kills a writing process at random moments, over and over: what it
// was told is there, and of what it was not told all or nothing. The test
// binary must call [Main].
func Durability(t *testing.T, place string, open Opener) {
	told := 0
	for range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+place)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		r.Peek(1) // it runs
		time.Sleep(time.Duration(rand.IntN(30000)) * time.Microsecond)
		cmd.Process.Kill()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		for line := range strings.Lines(string(b)) {
			var n int
			if c, _ := fmt.Sscanf(line, "%d\n", &n); c == 1 && strings.HasSuffix(line, "\n") {
				told = max(told, n)
			}
		}
		s := open(t, place, nil)
		err = s.View(ctx, func(tx store.Tx) error {
			n, rev, err := store.Get[int](tx, "crash", "counter")
			if err != nil {
				return err
			}
			if n < told {
				t.Errorf("the child was told %d, and the counter stands at %d", told, n)
			}
			if rev != int64(n) {
				t.Errorf("the counter stands at %d with revision %d", n, rev)
			}
			if docs, err := tx.Count(store.Query{Kind: "crash-doc"}); docs != 2*n || err != nil {
				t.Errorf("the counter stands at %d, with %d documents, %v; want two each", n, docs, err)
			}
			for _, q := range []store.Query{{Kind: "crash", Field: "n", Value: fmt.Sprint(n)}, {Kind: "crash-doc", Field: "n", Value: fmt.Sprint(n)}} {
				if c, err := tx.Count(q); c == 0 || err != nil {
					t.Errorf("index and documents differ: %+v finds %d, %v", q, c, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := s.Version(ctx); v < int64(told) || err != nil {
			t.Errorf("version is %d, %v, after %d updates", v, err, told)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if told < 10 {
		t.Errorf("only %d updates were told: the test tests nothing", told)
	}
}

// WantError fails unless err is an [impound.Error] of kind k with words in what
// it says, and with a cure.
func WantError(t testing.TB, err error, k impound.Kind, words ...string) {
	t.Helper()
	var e *impound.Error
	if !errors.As(err, &e) || e.Kind != k || e.Cure == "" {
		t.Errorf("error %v is of kind %q; want %q, with a cure", err, impound.KindOf(err), k)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}
