package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/store/sqlite"
	"github.com/impound/impound/internal/store/storetest"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SQLITE_TEST_FULL"); dir != "" {
		exit(fullDisk(dir))
	}
	if path := os.Getenv("SQLITE_TEST_OPEN"); path != "" {
		s, err := sqlite.Open(ctx, path, sqlite.Options{})
		if err == nil {
			s.Close()
		}
		exit(err)
	}
	storetest.Main(m, func(place string) (store.Store, error) { return sqlite.Open(ctx, place, sqlite.Options{}) })
}

func exit(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

var ctx = context.Background()

func place(t testing.TB) string { return filepath.Join(t.TempDir(), "im%20 pound?.db") }

func open(t testing.TB, path string, now func() time.Time) store.Store {
	t.Helper()
	s, err := sqlite.Open(ctx, path, sqlite.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s store.Store, d store.Doc) {
	t.Helper()
	if err := s.Update(ctx, func(tx store.Tx) error { _, err := tx.Put(d); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T)   { storetest.Run(t, place, open) }
func TestDurability(t *testing.T) { storetest.Durability(t, place(t), open) }

// raw opens the file past the store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", strings.NewReplacer("%", "%25", "?", "%3f").Replace("file:"+path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec1(t testing.TB, path string, stmts ...string) {
	t.Helper()
	db := raw(t, path)
	for _, s := range stmts {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	db.Close()
}

func schema(t testing.TB, path string) map[string]string {
	t.Helper()
	rows, err := raw(t, path).Query("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var name, def string
		if err := rows.Scan(&name, &def); err != nil {
			t.Fatal(err)
		}
		out[name] = def
	}
	return out
}

// TestFrozen opens databases as older versions wrote them. Their dumps in
// testdata never change; a new schema adds one.
func TestFrozen(t *testing.T) {
	fresh := place(t)
	open(t, fresh, nil).Close()
	dumps, err := filepath.Glob("testdata/v*.sql")
	if err != nil || len(dumps) == 0 {
		t.Fatal("no dumps", err)
	}
	steps, _ := filepath.Glob("migrations/*.sql")
	if len(dumps) != len(steps) {
		t.Errorf("%d dumps for %d migrations: each schema that was ever released has one", len(dumps), len(steps))
	}
	for _, dump := range dumps {
		t.Run(filepath.Base(dump), func(t *testing.T) {
			b, err := os.ReadFile(dump)
			if err != nil {
				t.Fatal(err)
			}
			path := place(t)
			exec1(t, path, string(b))
			s := open(t, path, nil)
			err = s.View(ctx, func(tx store.Tx) error {
				docs, err := tx.List(store.Query{Kind: "case", Field: "owner", Value: "ana"})
				want := []store.Doc{{Kind: "case", ID: "C-1", Rev: 3, Body: []byte(`{"title":"Ж"}`), Index: map[string]string{"owner": "ana", "tlp": ""}, Updated: time.Date(2026, 3, 27, 9, 30, 0, 123456000, time.UTC)}}
				if d := cmp.Diff(want, docs); d != "" {
					t.Errorf("documents (-want +got):\n%s", d)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if v, err := s.Version(ctx); v != 41 || err != nil {
				t.Errorf("version is %d, %v; want 41", v, err)
			}
			put(t, s, store.Doc{Kind: "case", ID: "C-1", Rev: 3})
			s.Close()
			if d := cmp.Diff(schema(t, fresh), schema(t, path)); d != "" {
				t.Errorf("a migrated schema differs from a new one (-new +migrated):\n%s", d)
			}
		})
	}
}

func TestNewerSchema(t *testing.T) {
	path := place(t)
	s := open(t, path, nil)
	put(t, s, store.Doc{Kind: "k", ID: "1"})
	s.Close()
	exec1(t, path, "UPDATE meta SET value=99 WHERE key='schema'")
	before, _ := os.ReadFile(path)
	_, err := sqlite.Open(ctx, path, sqlite.Options{})
	storetest.WantError(t, err, impound.KindInvalid, "newer", "99", path)
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the refused database was changed")
	}
}

func TestOtherProgram(t *testing.T) {
	path := place(t)
	exec1(t, path, "CREATE TABLE moz_places (id INTEGER)")
	_, err := sqlite.Open(ctx, path, sqlite.Options{})
	storetest.WantError(t, err, impound.KindInvalid, "some other program")
}

func TestDamaged(t *testing.T) {
	fill := func(t *testing.T) string {
		path := place(t)
		s := open(t, path, nil)
		for i := range 200 {
			put(t, s, store.Doc{Kind: "k", ID: fmt.Sprint(i), Body: make([]byte, 500), Index: map[string]string{"f": fmt.Sprint(i)}})
		}
		s.Close()
		return path
	}
	t.Run("no database", func(t *testing.T) {
		path := place(t)
		os.WriteFile(path, []byte(strings.Repeat("This is a letter to a court. ", 400)), 0o600)
		_, err := sqlite.Open(ctx, path, sqlite.Options{})
		storetest.WantError(t, err, impound.KindInternal, "damaged or is no database", "backup")
	})
	t.Run("pages overwritten", func(t *testing.T) {
		path := fill(t)
		f, _ := os.OpenFile(path, os.O_WRONLY, 0)
		st, _ := f.Stat()
		f.WriteAt([]byte(strings.Repeat("\xa5", int(st.Size())-8192)), 8192)
		f.Close()
		err := func() error {
			s, err := sqlite.Open(ctx, path, sqlite.Options{})
			if err != nil {
				return err
			}
			defer s.Close()
			if s.Check(ctx) == nil {
				t.Error("Check finds the file sound")
			}
			return s.View(ctx, func(tx store.Tx) error { _, err := tx.List(store.Query{Kind: "k"}); return err })
		}()
		storetest.WantError(t, err, impound.KindInternal, "damaged", "backup")
	})
	t.Run("cut", func(t *testing.T) {
		path := fill(t)
		os.Truncate(path, 20000)
		s, err := sqlite.Open(ctx, path, sqlite.Options{})
		if err == nil {
			err = s.Check(ctx)
			s.Close()
		}
		storetest.WantError(t, err, impound.KindInternal, "damaged", "backup")
	})
	t.Run("sound", func(t *testing.T) {
		s, err := sqlite.Open(ctx, fill(t), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Check(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestCantOpen(t *testing.T) {
	dir := t.TempDir()
	_, err := sqlite.Open(ctx, filepath.Join(dir, "none", "impound.db"), sqlite.Options{})
	storetest.WantError(t, err, impound.KindUnavailable, "mkdir -p")
	os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
	_, err = sqlite.Open(ctx, filepath.Join(dir, "file", "impound.db"), sqlite.Options{})
	storetest.WantError(t, err, impound.KindUnavailable)
	_, err = sqlite.Open(ctx, dir, sqlite.Options{})
	storetest.WantError(t, err, impound.KindUnavailable)
}

// TestReadOnly opens databases in folders and files that can't be written, as
// a user that the modes hold for.
func TestReadOnly(t *testing.T) {
	base := t.TempDir()
	for d := base; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	exe := filepath.Join(base, "test.bin")
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	tryOpen := func(path string) string {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "SQLITE_TEST_OPEN="+path)
		if os.Getuid() == 0 { // root may write anything
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s was opened", path)
		}
		return string(out)
	}
	made := func(dir string, fileMode, dirMode os.FileMode) string {
		dir = filepath.Join(base, dir)
		os.Mkdir(dir, 0o755)
		t.Cleanup(func() { os.Chmod(dir, 0o755) })
		path := filepath.Join(dir, "impound.db")
		open(t, path, nil).Close()
		os.Chmod(path, fileMode)
		os.Chmod(dir, dirMode)
		return path
	}
	empty := filepath.Join(base, "empty")
	os.Mkdir(empty, 0o555)
	for name, path := range map[string]string{
		"folder":          filepath.Join(empty, "impound.db"),
		"folder and file": made("both", 0o444, 0o555),
		"folder only":     made("dir", 0o666, 0o555),
		"file":            made("file", 0o444, 0o777),
	} {
		if out := tryOpen(path); !strings.Contains(out, "can't be written") && !strings.Contains(out, "can't be opened") {
			t.Errorf("read-only %s: %s", name, out)
		}
	}
}

// fullDisk runs in a mount namespace of its own.
func fullDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=600k"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	s, err := sqlite.Open(ctx, filepath.Join(dir, "impound.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	n := 0
	write := func() error {
		return s.Update(ctx, func(tx store.Tx) error {
			_, err := tx.Put(store.Doc{Kind: "k", ID: fmt.Sprint(n), Body: make([]byte, 5000)})
			return err
		})
	}
	for ; n < 1000; n++ {
		if err = write(); err != nil {
			break
		}
	}
	var e *impound.Error
	if !errors.As(err, &e) || e.Kind != impound.KindUnavailable || !strings.Contains(e.Cure, "disk is full") {
		return fmt.Errorf("full disk: %w", err)
	}
	fmt.Printf("full after %d: %v\n", n, err)
	count := func() error {
		return s.View(ctx, func(tx store.Tx) error {
			c, err := tx.Count(store.Query{Kind: "k"})
			if c != n {
				return fmt.Errorf("%d documents, want %d", c, n)
			}
			return err
		})
	}
	if err := count(); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=2m"); err != nil {
		return err
	}
	if err := write(); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	n++
	return errors.Join(count(), s.Check(ctx), s.Close())
}

// TestFullDisk fills a real file system, in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SQLITE_TEST_FULL="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || strings.HasPrefix(string(out), "mount: ") {
		t.Skipf("this machine gives no mount namespace: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestOpenTogether opens a new database from many sides at once.
func TestOpenTogether(t *testing.T) {
	path := place(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := sqlite.Open(ctx, path, sqlite.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			err = s.Update(ctx, func(tx store.Tx) error {
				_, err := tx.Put(store.Doc{Kind: "k", ID: fmt.Sprint(i)})
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := open(t, path, nil)
	defer s.Close()
	if v, err := s.Version(ctx); v != 8 || err != nil {
		t.Errorf("version is %d, %v; want 8", v, err)
	}
}

func TestMode(t *testing.T) {
	path := place(t)
	s := open(t, path, nil)
	defer s.Close()
	put(t, s, store.Doc{Kind: "k", ID: "1"})
	for _, p := range []string{path, path + "-wal", path + "-shm"} {
		st, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if m := st.Mode().Perm(); m != 0o600 {
			t.Errorf("%s has mode %o: others can read it", filepath.Base(p), m)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := open(b, place(b), nil)
	defer s.Close()
	for i := 0; b.Loop(); i++ {
		put(b, s, store.Doc{Kind: "k", ID: fmt.Sprint(i), Body: make([]byte, 500), Index: map[string]string{"case": "C-1", "state": "open"}})
	}
}

func BenchmarkList(b *testing.B) {
	s := open(b, place(b), nil)
	defer s.Close()
	err := s.Update(ctx, func(tx store.Tx) error {
		for i := range 1000 {
			if _, err := tx.Put(store.Doc{Kind: "k", ID: fmt.Sprint(i), Body: make([]byte, 500), Index: map[string]string{"case": "C-1", "state": "open"}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		err := s.View(ctx, func(tx store.Tx) error {
			docs, err := tx.List(store.Query{Kind: "k", Field: "case", Value: "C-1"})
			if len(docs) != 1000 {
				b.Fatal(len(docs))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// TestVersionOfOlderWriter: a program that notes no kinds wrote in between; what
// was kept of any kind is stale then.
func TestVersionOfOlderWriter(t *testing.T) {
	path := place(t)
	s := open(t, path, nil)
	defer s.Close()
	put(t, s, store.Doc{Kind: "k", ID: "1"})
	of := func() string {
		v, err := store.VersionOf(ctx, s, "k")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	was := of()
	if _, err := raw(t, path).Exec("UPDATE meta SET value=value+1 WHERE key='version'"); err != nil {
		t.Fatal(err)
	}
	if of() == was {
		t.Error("the older program's change doesn't show")
	}
	put(t, s, store.Doc{Kind: "other", ID: "1"})
	if of() == was {
		t.Error("the older program's change is forgotten after the next of ours")
	}
	now := of()
	put(t, s, store.Doc{Kind: "other", ID: "2"})
	if of() != now {
		t.Error("every change counts as one of every kind")
	}
}
