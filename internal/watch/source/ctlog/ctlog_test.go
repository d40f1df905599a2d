package ctlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/impound/impound/internal/watch/polite"
	"github.com/impound/impound/internal/watch/source/ctlog"
	"github.com/impound/impound/internal/watch/source/ctlog/ctlogtest"
)

var kinds = []ctlog.Kind{ctlog.Static, ctlog.RFC6962}

func client() *polite.Client {
	return polite.New(polite.Config{UserAgent: "test", Rate: -1, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
}

func open(t *testing.T, l *ctlogtest.Log) ctlog.Log {
	t.Helper()
	c, err := ctlog.Open(l.Info(), client(), 3)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func each(t *testing.T, f func(*testing.T, *ctlogtest.Log, ctlog.Log)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(string(k), func(t *testing.T) {
			l := ctlogtest.New(t, k)
			f(t, l, open(t, l))
		})
	}
}

func head(t *testing.T, c ctlog.Log) ctlog.Head {
	t.Helper()
	h, err := c.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// read gives the names by entry.
func read(t *testing.T, c ctlog.Log, from, to int64, f *ctlog.Frontier) (out []string) {
	t.Helper()
	next := from
	err := c.Read(t.Context(), from, to, nil, func(b *ctlog.Batch) error {
		for _, e := range b.Entries {
			if e.Index != next {
				t.Fatalf("entry %d where %d should be", e.Index, next)
			}
			next++
			s := ""
			for _, n := range e.Names {
				s += string(n) + " "
			}
			if e.Err != nil {
				s += "!"
			}
			out = append(out, strings.TrimSpace(s))
			if f != nil {
				f.Add(e.Hash)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if next != to {
		t.Fatalf("read up to %d, want %d", next, to)
	}
	return out
}

func TestEverySizeIsProven(t *testing.T) {
	each(t, func(t *testing.T, l *ctlogtest.Log, c ctlog.Log) {
		f := &ctlog.Frontier{}
		var want []string
		size := int64(0)
		var heads []ctlog.Head
		for i, n := range []int{1, 1, 2, 3, 249, 1, 255, 30, 700} {
			for j := range n {
				name := fmt.Sprintf("n%d-%d.example", i, j)
				want = append(want, name)
				if j%2 == 0 {
					l.Add(false, ctlogtest.Cert("", name))
				} else {
					l.Add(true, ctlogtest.Precert("", name))
				}
			}
			l.NoPartial = i%2 == 1
			l.Publish()
			h := head(t, c)
			if h.Size != size+int64(n) {
				t.Fatalf("size %d", h.Size)
			}
			got := read(t, c, size, h.Size, f)
			if d := cmp.Diff(want[size:], got); d != "" {
				t.Fatal(d)
			}
			if f.Root() != h.Root {
				t.Fatalf("at %d: the root of what was read is another", h.Size)
			}
			size = h.Size
			for _, old := range heads {
				g, err := c.Frontier(t.Context(), old.Size, h, &old.Root)
				if err != nil || g.Root() != old.Root {
					t.Fatalf("%d in %d: %v", old.Size, h.Size, err)
				}
				// And adding to it what follows gives the newer root.
				read(t, c, old.Size, h.Size, g)
				if g.Root() != h.Root {
					t.Fatalf("%d in %d: another root", old.Size, h.Size)
				}
				// Without knowing the root.
				if _, err := c.Frontier(t.Context(), old.Size, h, nil); err != nil && (!errors.Is(err, ctlog.ErrNoFrontier) || old.Size&(old.Size-1) != 0) {
					t.Fatal(err)
				}
			}
			heads = append(heads, h)
		}
		// All of it at once, in many pages; and a part from the middle.
		if d := cmp.Diff(want, read(t, c, 0, size, nil)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(want[300:513], read(t, c, 300, 513, nil)); d != "" {
			t.Error(d)
		}
	})
}

func TestNamesOfCertificates(t *testing.T) {
	many := make([]string, 10000)
	for i := range many {
		many[i] = fmt.Sprintf("host-%d.example", i)
	}
	each(t, func(t *testing.T, l *ctlogtest.Log, c ctlog.Log) {
		l.Add(false, ctlogtest.Cert("old.example", "*.wild.example", "192.0.2.1", "2001:db8::1", "a.example", "a.example"))
		l.Add(true, ctlogtest.Precert("Some Company", "b.example"))
		l.Add(false, []byte("no certificate at all"), nil, ctlogtest.Cert("", "cut.example")[:200])
		l.Add(true, ctlogtest.Precert("", many...))
		l.Add(false, ctlogtest.Cert("only.cn.example"))
		l.Publish()
		got := read(t, c, 0, 7, nil)
		want := []string{"*.wild.example a.example a.example old.example", "b.example", "!", "!", "!", strings.Join(many, " "), "only.cn.example"}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

func TestForkIsProven(t *testing.T) {
	for _, size := range []int{5, 64, 300} { // 64 is a complete tree
		each(t, func(t *testing.T, l *ctlogtest.Log, c ctlog.Log) {
			for i := range size {
				l.Add(false, ctlogtest.Cert("", fmt.Sprint(i, ".example")))
			}
			l.Publish()
			old := head(t, c)
			l.Cut(size - 2)
			for i := range 20 {
				l.Add(false, ctlogtest.Cert("", fmt.Sprint("other", i, ".example")))
			}
			l.Publish()
			now := head(t, c)
			f, err := c.Frontier(t.Context(), old.Size, now, &old.Root)
			var pe *ctlog.ProofError
			if err == nil && f.Root() == old.Root || err != nil && !errors.As(err, &pe) {
				t.Fatalf("the fork was not seen: %v", err)
			}
			m := &ctlog.Misconduct{What: ctlog.Fork, Log: "test log", Kind: c.Info().Kind, URL: c.Info().URL, Key: c.Info().Key, Older: old, Newer: now}
			if f != nil {
				m.Found = f.Root()
			}
			if m.Proof, err = c.Proof(t.Context(), old.Size, now); err != nil {
				t.Fatal(err)
			}
			if err := m.Check(); err != nil {
				t.Fatal(err)
			}
			// What was not signed proves nothing.
			bad := *m
			bad.Newer.Root[0] ^= 1
			if bad.Check() == nil {
				t.Error("a changed head passed")
			}
			bad = *m
			bad.Proof = bad.Proof[1:]
			if size != 64 && bad.Check() == nil {
				t.Error("a short proof passed")
			}
		})
	}
}

func TestHonestLogCannotBeAccused(t *testing.T) {
	each(t, func(t *testing.T, l *ctlogtest.Log, c ctlog.Log) {
		for range 5 {
			l.Add(false, ctlogtest.Cert("", "a.example"))
		}
		l.Publish()
		old := head(t, c)
		l.Add(false, ctlogtest.Cert("", "b.example"))
		l.Publish()
		now := head(t, c)
		p, err := c.Proof(t.Context(), 5, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range []tlog.Hash{old.Root, {1}} {
			for _, what := range []string{ctlog.Fork, ctlog.Rollback} {
				m := &ctlog.Misconduct{What: what, Log: "x", Kind: c.Info().Kind, URL: c.Info().URL, Key: c.Info().Key, Older: old, Newer: now, Proof: p, Found: found}
				if m.Check() == nil {
					t.Errorf("an honest log is proven guilty of a %s", what)
				}
			}
		}
	})
}

func TestLiesAreSeen(t *testing.T) {
	each(t, func(t *testing.T, l *ctlogtest.Log, c ctlog.Log) {
		for i := range 10 {
			l.Add(false, ctlogtest.Cert("", fmt.Sprint(i, ".example")))
		}
		l.Publish()
		h := head(t, c)
		l.Damage(7)
		f := &ctlog.Frontier{}
		read(t, c, 0, 10, f)
		if f.Root() == h.Root {
			t.Error("a changed entry leads to the same root")
		}
		other := ctlogtest.New(t, c.Info().Kind)
		info := other.Info()
		info.Key = l.Info().Key
		x, err := ctlog.Open(info, client(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Head(t.Context()); err == nil {
			t.Error("a head with another log's signature passed")
		}
	})
}

func TestRubbishIsAnError(t *testing.T) {
	each(t, func(t *testing.T, l *ctlogtest.Log, c ctlog.Log) {
		l.Add(false, ctlogtest.Cert("", "a.example"))
		l.Publish()
		h := head(t, c)
		for _, body := range []string{"", "{}", "x", `{"entries":[]}`, `{"entries":[{"leaf_input":"AAAA"}]}`, strings.Repeat("\x00", 400), "\u2014 sig"} {
			l.Lock()
			l.Hook = func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte(body)); return true }
			l.Unlock()
			if _, err := c.Head(t.Context()); err == nil {
				t.Errorf("%q passed as a head", body)
			}
			if err := c.Read(t.Context(), 0, h.Size, nil, func(*ctlog.Batch) error { return nil }); err == nil {
				t.Errorf("%q passed as entries", body)
			}
		}
	})
}

func TestReadList(t *testing.T) {
	info := ctlogtest.New(t, ctlog.Static).Info()
	log := func(desc, state, extra string) string {
		return fmt.Sprintf(`{"description":%q,"log_id":%q,"key":%s,"url":"https://a.example/log/","submission_url":"https://s.example/","monitoring_url":"https://m.example/","mmd":86400,"state":{%q:{"timestamp":"2024-01-01T00:00:00Z"}}%s}`, desc, info.ID(), must(json.Marshal(info.Key)), state, extra)
	}
	read := func(s string) ([]ctlog.Info, int, error) {
		logs, ps, err := ctlog.ReadList(strings.NewReader(s), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))
		return logs, len(ps), err
	}
	wrap := func(logs, tiled string) string {
		return `{"version":"1","operators":[{"name":"op","email":["x"],"logs":[` + logs + `],"tiled_logs":[` + tiled + `]}]}`
	}
	want := []ctlog.Info{{Name: "A", Kind: ctlog.RFC6962, URL: "https://a.example/log/", Key: info.Key, State: "usable"}}
	got, bad, err := read(wrap(log("A", "usable", "")+","+log("A again", "usable", ""), ""))
	if d := cmp.Diff(want, got); d != "" || bad != 0 || err != nil {
		t.Error(d, bad, err)
	}
	got, _, _ = read(wrap("", log("T", "qualified", `,"temporal_interval":{"start_inclusive":"2026-01-01T00:00:00Z","end_exclusive":"2026-07-01T00:00:00Z"}`)))
	want = []ctlog.Info{{Name: "T", Kind: ctlog.Static, URL: "https://s.example/", Monitor: "https://m.example/", Key: info.Key, State: "qualified"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, s := range []string{log("P", "pending", ""), log("R", "retired", ""), log("X", "usable", `,"log_type":"test"`),
		log("O", "usable", `,"temporal_interval":{"start_inclusive":"2025-01-01T00:00:00Z","end_exclusive":"2026-01-01T00:00:00Z"}`)} {
		if got, _, err := read(wrap(s, "")); len(got) != 0 || err != nil {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
	if got, bad, err := read(wrap(strings.Replace(log("K", "usable", ""), info.ID(), "AAAA", 1), "")); len(got) != 0 || bad != 1 || err != nil {
		t.Error("another log's id passed", got, bad, err)
	}
	for _, s := range []string{"", "{}", "[]", `{"operators":3}`} {
		if _, _, err := read(s); err == nil {
			t.Errorf("%q passed as a log list", s)
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
