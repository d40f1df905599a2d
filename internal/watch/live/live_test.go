package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/store/sqlite"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/live"
	"github.com/impound/impound/internal/watch/match"
	"github.com/impound/impound/internal/watch/polite"
	"github.com/impound/impound/internal/watch/source/ctlog"
	"github.com/impound/impound/internal/watch/source/ctlog/ctlogtest"
)

// bench is a store with a queue that counts how often a name was put into it.
type bench struct {
	t      *testing.T
	st     *sqlite.Store
	mu     sync.Mutex
	put    map[string]int
	alarms []live.Alarm
	fail   func() error // before a commit
	now    func() time.Time
	locks  string
	twice  bool // names may be put twice: the queue knows them
}

func newBench(t *testing.T) *bench {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return &bench{t: t, st: st, put: map[string]int{}}
}

var matcher = sync.OnceValue(func() *match.Matcher {
	m, err := match.New(match.Builtin(), match.Options{})
	if err != nil {
		panic(err)
	}
	return m
})

// run reads the sources to their ends once.
func (b *bench) run(srcs ...live.Source) error {
	b.t.Helper()
	r, err := live.New(live.Config{Store: b.st, Watch: watch.Options{Matcher: matcher()}, Once: true, Now: b.now, Locks: b.locks,
		Save: func(ctx context.Context, cs []impound.Candidate, also func(store.Tx, int) error) error {
			err := b.st.Update(ctx, func(tx store.Tx) error {
				if b.fail != nil {
					if err := b.fail(); err != nil {
						return err
					}
				}
				return also(tx, len(cs))
			})
			if err == nil {
				b.mu.Lock()
				for _, c := range cs {
					b.put[c.Name.String()]++
				}
				b.mu.Unlock()
			}
			return err
		},
		Alarm: func(_ context.Context, a live.Alarm) error { b.alarms = append(b.alarms, a); return nil },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Run(b.t.Context(), srcs)
}

func (b *bench) ok(srcs ...live.Source) {
	b.t.Helper()
	if err := b.run(srcs...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) state(id string) live.State {
	b.t.Helper()
	all, err := live.Status(b.t.Context(), b.st)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range all {
		if s.ID == id {
			return s
		}
	}
	b.t.Fatalf("no state of %s", id)
	return live.State{}
}

// queued gives what was put, and fails on what was put twice.
func (b *bench) queued() []string {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for n, c := range b.put {
		if c != 1 && !b.twice {
			b.t.Fatalf("%s was queued %d times", n, c)
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func (b *bench) events(id string) string {
	b.t.Helper()
	evs, err := live.Events(b.t.Context(), b.st, id)
	if err != nil {
		b.t.Fatal(err)
	}
	s := ""
	for _, e := range evs {
		s += fmt.Sprintf("%d %s %s\n", e.Position, e.What, e.Text)
	}
	return s
}

func client() *polite.Client {
	return polite.New(polite.Config{UserAgent: "test", Rate: -1, Tries: 1})
}

func ct(t *testing.T, l *ctlogtest.Log, from live.From) *live.CT {
	t.Helper()
	c, err := ctlog.Open(l.Info(), client(), 3)
	if err != nil {
		t.Fatal(err)
	}
	return live.NewCT("log", c, from)
}

// each runs f against both kinds of log, read in one piece and in many.
func each(t *testing.T, f func(*testing.T, *ctlogtest.Log, *bench)) {
	t.Helper()
	for _, k := range []ctlog.Kind{ctlog.Static, ctlog.RFC6962} {
		stretches := []int64{16384, 17}
		if raceEnabled {
			stretches = stretches[1:] // the database is slow under the race detector
		}
		for _, stretch := range stretches {
			t.Run(fmt.Sprintf("%s/%d", k, stretch), func(t *testing.T) {
				live.SetStretch(t, stretch)
				f(t, ctlogtest.New(t, k), newBench(t))
			})
		}
	}
}

func phish(i int) string { return fmt.Sprintf("paypal-login-%d.example", i) }

var ders sync.Map // certificates by number, made once

func add(l *ctlogtest.Log, from, to int) (names []string) {
	for i := from; i < to; i++ {
		n := phish(i)
		names = append(names, n)
		der, ok := ders.Load(i)
		if !ok && i%2 == 0 {
			der = ctlogtest.Cert(n, "*."+n, n)
		} else if !ok {
			der = ctlogtest.Precert("", n, "www."+n)
		}
		ders.Store(i, der)
		l.Add(i%2 == 1, der.([]byte))
	}
	l.Publish()
	return names
}

// registered gives the names without www in front.
func registered(names []string) []string {
	out := []string{}
	for _, n := range names {
		if n = strings.TrimPrefix(n, "www."); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

func TestCTBeginsNowAndGoesOn(t *testing.T) {
	each(t, func(t *testing.T, l *ctlogtest.Log, b *bench) {
		add(l, 0, 7)
		b.ok(ct(t, l, live.Now))
		if q := b.queued(); len(q) != 0 {
			t.Fatal("what was there before was read:", q)
		}
		var want []string
		for i, n := range []int{1, 300, 5, 0, 2} {
			want = append(want, add(l, 1000*i, 1000*i+n)...)
			b.ok(ct(t, l, live.Now))
		}
		slices.Sort(want)
		if d := cmp.Diff(want, registered(b.queued())); d != "" {
			t.Error(d)
		}
		s := b.state("log")
		if s.Position != int64(l.Size()) || s.Verified != s.Position || s.Target != s.Position || s.Lag() != 0 || s.Items != 308 || s.Added != s.Hits || s.Held != "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestCTFromAnywhere(t *testing.T) {
	for _, from := range []int{0, 64, 100, 299, 5000} {
		each(t, func(t *testing.T, l *ctlogtest.Log, b *bench) {
			add(l, 0, 300)
			b.ok(ct(t, l, live.From(from)))
			add(l, 300, 310)
			b.ok(ct(t, l, live.From(from)))
			got := registered(b.queued())
			if n := 310 - min(from, 300); len(got) != n && (from&(from-1) != 0 || len(got) != n+1) {
				t.Errorf("from %d: %d names, want %d", from, len(got), n)
			}
			if s := b.state("log"); s.Verified != 310 {
				t.Errorf("from %d: verified %d", from, s.Verified)
			}
		})
	}
}

// A commit that fails, at any place, leaves nothing skipped and nothing twice.
func TestCTSurvivesFailures(t *testing.T) {
	each(t, func(t *testing.T, l *ctlogtest.Log, b *bench) {
		n := 0
		b.fail = func() error {
			if n++; n%2 == 1 {
				return io.ErrClosedPipe
			}
			return nil
		}
		var want []string
		for i := range 6 {
			want = append(want, add(l, 100*i, 100*i+40)...)
			if i == 3 { // the log itself fails in between
				l.Lock()
				k := 0
				l.Hook = func(w http.ResponseWriter, _ *http.Request) bool {
					if k++; k%3 == 0 {
						w.WriteHeader(500)
						return true
					}
					return false
				}
				l.Unlock()
			}
			_ = b.run(ct(t, l, 0))
		}
		l.Lock()
		l.Hook = nil
		l.Unlock()
		for range 40 {
			_ = b.run(ct(t, l, 0))
		}
		slices.Sort(want)
		if d := cmp.Diff(want, registered(b.queued())); d != "" {
			t.Error(d)
		}
		if s := b.state("log"); s.Verified != 240 || s.Items != 240 || s.Errors == 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestCTMisconductIsAlarmedWithProof(t *testing.T) {
	for name, lie := range map[string]func(*ctlogtest.Log){
		"fork":                func(l *ctlogtest.Log) { l.Cut(98); add(l, 500, 540) },
		"fork to much more":   func(l *ctlogtest.Log) { l.Cut(98); add(l, 500, 900) },
		"fork of one size":    func(l *ctlogtest.Log) { l.Cut(98); add(l, 500, 502) },
		"fork, and a smaller": func(l *ctlogtest.Log) { l.Cut(90); add(l, 500, 505) },
		"rollback":            func(l *ctlogtest.Log) { l.Cut(90) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, l *ctlogtest.Log, b *bench) {
				add(l, 0, 100)
				b.ok(ct(t, l, 0))
				before := b.queued()
				lie(l)
				if err := b.run(ct(t, l, 0)); err == nil {
					t.Error("nobody was told")
				}
				if len(b.alarms) != 1 {
					t.Fatalf("%d alarms", len(b.alarms))
				}
				m, err := ctlog.ReadMisconduct(bytes.NewReader(b.alarms[0].Evidence))
				if err != nil {
					t.Fatal(err)
				}
				if m.Older.Size != 100 {
					t.Errorf("of the tree of %d", m.Older.Size)
				}
				s := b.state("log")
				if s.Held == "" || s.Position != 100 {
					t.Errorf("%+v", s)
				}
				// Held: nothing is taken, and there is no second alarm.
				add(l, 2000, 2010)
				_ = b.run(ct(t, l, 0))
				if d := cmp.Diff(before, b.queued()); d != "" || len(b.alarms) != 1 {
					t.Error(d, len(b.alarms))
				}
				// Somebody has looked: it begins anew.
				b.twice = true
				if err := live.Release(t.Context(), b.st, "log", live.ResumeHere); err != nil {
					t.Fatal(err)
				}
				b.ok(ct(t, l, 0))
				add(l, 3000, 3003)
				b.ok(ct(t, l, 0))
				// What it showed instead, and what came while it was held, is not skipped.
				got := registered(b.queued())
				for _, i := range []int{2000, 2009, 3000, 3002} {
					if !slices.Contains(got, phish(i)) {
						t.Errorf("%s was skipped", phish(i))
					}
				}
				if strings.HasPrefix(name, "fork") && !slices.Contains(got, phish(500)) {
					t.Errorf("%s, which stands where another one stood, was skipped", phish(500))
				}
			})
		})
	}
}

func TestCTOlderHeadIsNoAlarm(t *testing.T) {
	each(t, func(t *testing.T, l *ctlogtest.Log, b *bench) {
		add(l, 0, 50)
		b.ok(ct(t, l, 0))
		// A cache gives the head of a while ago.
		var old []byte
		c, _ := ctlog.Open(l.Info(), client(), 1)
		h, err := c.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		old = h.Raw
		add(l, 50, 60)
		b.ok(ct(t, l, 0))
		l.Lock()
		l.Hook = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "checkpoint") || strings.HasSuffix(r.URL.Path, "get-sth") {
				_, _ = w.Write(old)
				return true
			}
			return false
		}
		l.Unlock()
		b.ok(ct(t, l, 0))
		if s := b.state("log"); s.Held != "" || s.Position != 60 || len(b.alarms) != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestCTEntriesThatAreNotTheTrees(t *testing.T) {
	each(t, func(t *testing.T, l *ctlogtest.Log, b *bench) {
		add(l, 0, 30)
		b.ok(ct(t, l, 0))
		add(l, 30, 60)
		l.Damage(45)
		src := ct(t, l, 0)
		for i := range 3 {
			if err := b.run(src); err == nil {
				t.Fatal("changed entries were taken")
			}
			if n := len(registered(b.queued())); n != 30 {
				t.Fatalf("%d names", n)
			}
			if got := len(b.alarms); got != i/2 {
				t.Fatalf("%d alarms after %d", got, i)
			}
		}
		var ev struct {
			Head ctlog.Head
			From int64
		}
		if err := json.Unmarshal(b.alarms[0].Evidence, &ev); err != nil || ev.Head.Size != 60 || ev.From != 30 {
			t.Errorf("%v %s", err, b.alarms[0].Evidence)
		}
	})
}

func TestCTBadInput(t *testing.T) {
	many := make([]string, 10000)
	for i := range many {
		many[i] = fmt.Sprintf("host-%d.example", i)
	}
	many[9999] = "paypal-verify.example"
	each(t, func(t *testing.T, l *ctlogtest.Log, b *bench) {
		l.Add(false, []byte("rubbish"),
			ctlogtest.Cert("", "paypal-login.example", "PayPal-Login.example", "192.0.2.1", "2001:db8::1"),
			ctlogtest.Cert("", "xn--pypl-zz9.example", "paypal-\x00.example", strings.Repeat("paypal.", 1500)+"example"),
			ctlogtest.Cert("", "*.xn--pypal-4ve.example"),
			ctlogtest.Cert("", many...))
		l.Publish()
		b.ok(ct(t, l, 0))
		got := b.queued()
		want := []string{"paypal-login.example", "paypal-verify.example", "xn--pypal-4ve.example"}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		s := b.state("log")
		if s.Unreadable != 1 || s.IPs != 2 || s.BadNames < 3 || s.Names < 10000 {
			t.Errorf("%+v", s)
		}
		ev := b.events("log")
		for _, w := range []string{"0 certificate the certificate is no ASN.1 sequence", `2 name "paypal-\x00.example": holds a NUL`, "10507 octets long", "xn--pypl-zz9"} {
			if !strings.Contains(ev, w) {
				t.Errorf("no event %q among:\n%s", w, ev)
			}
		}
	})
}

// Two places: what is screened, and what is proven. Where the log answers with
// entries and not with proofs, the second waits, and catches up.
func TestCTDownloadedAndVerifiedAreKeptApart(t *testing.T) {
	for _, k := range []ctlog.Kind{ctlog.Static, ctlog.RFC6962} {
		t.Run(string(k), func(t *testing.T) {
			live.SetStretch(t, 20)
			l, b := ctlogtest.New(t, k), newBench(t)
			add(l, 0, 3)
			b.ok(ct(t, l, live.Now))
			add(l, 3, 101)
			// One consistency proof is had, and no entry from 63 on.
			proofs := 0
			l.Lock()
			l.Hook = func(w http.ResponseWriter, r *http.Request) bool {
				p := r.URL.Path + "?" + r.URL.RawQuery
				switch {
				case strings.Contains(p, "tile/data/") && !strings.HasSuffix(p, "/23?") && !strings.HasSuffix(p, "/43?") && !strings.HasSuffix(p, "/63?"),
					strings.Contains(p, "get-entries?start=63") || strings.Contains(p, "get-entries?start=64") || strings.Contains(p, "get-entries?start=8"):
					w.WriteHeader(http.StatusNotFound)
					return true
				case strings.Contains(p, "tile/0/") || strings.Contains(p, "get-sth-consistency"):
					if proofs++; proofs > 1 {
						w.WriteHeader(http.StatusNotFound)
						return true
					}
				}
				return false
			}
			l.Unlock()
			if err := b.run(ct(t, l, live.Now)); err == nil {
				t.Error("no error")
			}
			if st := b.state("log"); st.Position != 63 || st.Verified != 3 {
				t.Errorf("%+v", st)
			}
			l.Lock()
			l.Hook = nil
			l.Unlock()
			b.ok(ct(t, l, live.Now))
			if st := b.state("log"); st.Position != 101 || st.Verified != 101 {
				t.Errorf("%+v", st)
			}
			if n := len(registered(b.queued())); n != 98 {
				t.Errorf("%d names, want 98", n)
			}
		})
	}
}

// meddled is a source that another process reads while it is being read.
type meddled struct {
	live.Source
	meddle func()
}

func (m meddled) Pass(ctx context.Context, s *live.Session) error {
	m.meddle()
	return m.Source.Pass(ctx, s)
}

func TestOneProcessOnly(t *testing.T) {
	l := ctlogtest.New(t, ctlog.Static)
	b := newBench(t)
	add(l, 0, 10)
	b.ok(ct(t, l, 0))
	add(l, 10, 20)
	other := &bench{t: t, st: b.st, put: b.put}
	err := b.run(meddled{ct(t, l, 0), func() { other.ok(ct(t, l, 0)) }})
	if err == nil || !strings.Contains(err.Error(), "another process reads log too") {
		t.Errorf("%v", err)
	}
	if n := len(registered(b.queued())); n != 20 {
		t.Errorf("%d names", n)
	}
}

// waiting is a source that goes on when it is told to.
type waiting struct {
	live.Source
	began, goOn chan struct{}
	once        *sync.Once
}

func (w waiting) Pass(ctx context.Context, s *live.Session) error {
	w.once.Do(func() { close(w.began) })
	select {
	case <-w.goOn:
	case <-ctx.Done():
	}
	return w.Source.Pass(ctx, s)
}

// Who comes second ends before it reads anything, and the first one goes on.
func TestTheFirstGoesOn(t *testing.T) {
	l := ctlogtest.New(t, ctlog.Static)
	b := newBench(t)
	b.locks = filepath.Join(t.TempDir(), "locks")
	add(l, 0, 10)
	b.ok(ct(t, l, 0))
	add(l, 10, 20)
	w := waiting{ct(t, l, 0), make(chan struct{}), make(chan struct{}), new(sync.Once)}
	first := make(chan error, 1)
	go func() { first <- b.run(w) }()
	<-w.began
	other := &bench{t: t, st: b.st, put: b.put, locks: b.locks}
	if err := other.run(ct(t, l, 0)); err == nil || !strings.Contains(err.Error(), "another process reads log too") {
		t.Errorf("the second: %v", err)
	}
	close(w.goOn)
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
	if n := len(registered(b.queued())); n != 20 {
		t.Errorf("%d names", n)
	}
	other.ok(ct(t, l, 0)) // the lock is free again
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func zip(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func lines(from, to int) (text string, names []string) {
	for i := from; i < to; i++ {
		text += phish(i) + "\tnew\nnothing-to-see-" + fmt.Sprint(i) + ".example\n"
		names = append(names, phish(i))
	}
	return text, names
}

func TestListOfFiles(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	src := live.NewList("nrd", dir)
	t1, n1 := lines(0, 50)
	t2, n2 := lines(50, 80)
	write(t, filepath.Join(dir, "1.txt"), []byte("# today\n\n"+t1))
	write(t, filepath.Join(dir, "2.txt.gz"), zip(t, t2))
	write(t, filepath.Join(dir, "3.txt.part"), []byte("paypal-half-written"))
	b.ok(src)
	b.ok(src)
	want := append(n1, n2...)
	// A file that grows, its last line without an end yet.
	f, err := os.OpenFile(filepath.Join(dir, "1.txt"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "paypal-more.example\npaypal-half.ex")
	b.ok(src)
	want = append(want, "paypal-half.ex") // once reads to the end; the whole name comes too
	fmt.Fprintf(f, "ample\n")
	f.Close()
	b.ok(src)
	want = append(want, "paypal-more.example", "paypal-half.example")
	// A name that was used before for another content.
	t4, n4 := lines(90, 95)
	write(t, filepath.Join(dir, "1.txt"), []byte(t4))
	b.ok(src)
	want = append(want, n4...)
	// A file that goes away.
	if err := os.Remove(filepath.Join(dir, "2.txt.gz")); err != nil {
		t.Fatal(err)
	}
	b.ok(src)
	slices.Sort(want)
	if d := cmp.Diff(want, b.queued()); d != "" {
		t.Error(d)
	}
}

func TestGzipCutShort(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "n.gz")
	var sb strings.Builder
	var names []string
	for i := range 20000 {
		fmt.Fprintf(&sb, "x%d-%d.example\n", i*7919%10007, i)
		if i%100 == 0 {
			fmt.Fprintln(&sb, phish(i))
			names = append(names, phish(i))
		}
	}
	whole := zip(t, sb.String())
	write(t, path, whole[:len(whole)/2])
	src := live.NewList("cut", path)
	err := b.run(src)
	if err == nil || !strings.Contains(err.Error(), "cut short or damaged after line") {
		t.Fatalf("%v", err)
	}
	if n := len(b.queued()); n < 50 || n > 150 {
		t.Errorf("%d names of what is whole", n)
	}
	if s := b.state("cut"); s.Errors != 1 || !strings.Contains(s.LastError, "cut short") {
		t.Errorf("%+v", s)
	}
	b.ok(src) // it hasn't changed: no use to read it again
	write(t, path, whole)
	b.ok(src)
	slices.Sort(names)
	if d := cmp.Diff(names, b.queued()); d != "" {
		t.Error(d)
	}
}

func TestBadLines(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "n.txt")
	long := strings.Repeat("a", 10_000)
	huge := strings.Repeat("paypal", 100_000)
	write(t, path, []byte("paypal-login.example,2026-01-01\r\n"+long+".example\n"+huge+"\nxn--\nxn--pypl-zz9.example\nnul\x00paypal.example\nmicr\u043esoft-login.example\nhxxps://paypal-verify[.]example/x?y\n192.0.2.1\n-\n..\npaypal-last.example"))
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	b.ok(live.NewList("bad", path))
	got := b.queued()
	for _, w := range []string{"paypal-login.example", "paypal-verify.example", "paypal-last.example"} {
		if !slices.Contains(got, w) {
			t.Errorf("no %s among %q", w, got)
		}
	}
	if len(got) != 4 { // and the one with a Cyrillic letter
		t.Errorf("%q", got)
	}
	s, ev := b.state("bad"), b.events("bad")
	if s.Items != 12 || s.BadNames != 8 {
		t.Errorf("%+v\n%s", s, ev)
	}
	for _, w := range []string{"2 name ", "3 name ", "more than 65536 octets", "4 name", "5 name", "6 name", `\x00`, "9 name", "10 name", "11 name"} {
		if !strings.Contains(ev, w) {
			t.Errorf("no event %q among\n%s", w, ev)
		}
	}
}

func TestFeed(t *testing.T) {
	body, etag := "paypal-1.example\n", `"1"`
	status := 200
	asked := 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if status != 200 {
			w.WriteHeader(status)
			return
		}
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(304)
			return
		}
		w.Header().Set("ETag", etag)
		_, _ = io.WriteString(w, body)
	})
	b := newBench(t)
	src := live.NewFeed("feed", srv+"/list?key=secret", t.TempDir(), client())
	b.ok(src)
	b.ok(src)
	body, etag = "paypal-2.example\npaypal-3.example", `"2"`
	b.ok(src)
	status = 500
	if err := b.run(src); err == nil {
		t.Error("no error")
	}
	status = 200
	b.ok(src)
	if d := cmp.Diff([]string{"paypal-1.example", "paypal-2.example", "paypal-3.example"}, b.queued()); d != "" {
		t.Error(d)
	}
	if s := b.state("feed"); strings.Contains(fmt.Sprintf("%+v", s), "secret") || s.Errors != 1 {
		t.Errorf("the key of the feed is kept: %+v", s)
	}
	if asked != 5 {
		t.Error(asked)
	}
}

// A feed is a stranger's server: it isn't asked every two seconds for a list that
// comes once a day, unless somebody says so.
func TestFeedsAreLeftAlone(t *testing.T) {
	w := watch.Options{Matcher: matcher()}
	feed := live.NewFeed("feed", "https://feed.example/list", t.TempDir(), client())
	for _, c := range []struct {
		poll, want time.Duration
		src        live.Source
	}{
		{0, 2 * time.Second, live.NewList("list", "x")},
		{0, 5 * time.Minute, feed},
		{0, 5 * time.Minute, live.Marked(feed, impound.Marking{TLP: "amber"})},
		{time.Second, time.Second, feed},
	} {
		if got := live.Pause(c.poll, w, c.src); got != c.want {
			t.Errorf("%s, poll %v: left alone for %v, want %v", c.src.ID(), c.poll, got, c.want)
		}
	}
}

func TestStdin(t *testing.T) {
	b := newBench(t)
	b.ok(live.NewStdin("in", strings.NewReader("a.example\npaypal-login.example\nb.example")))
	if d := cmp.Diff([]string{"paypal-login.example"}, b.queued()); d != "" {
		t.Error(d)
	}
	if s := b.state("in"); s.Items != 3 {
		t.Errorf("%+v", s)
	}
}

// A rate is of what is read now: where a source fails, or nobody reads it, there is
// none soon.
func TestRateIsOfNow(t *testing.T) {
	b := newBench(t)
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	b.now = func() time.Time { at = at.Add(2 * time.Second); return at }
	l := ctlogtest.New(t, ctlog.Static)
	add(l, 0, 50)
	b.ok(ct(t, l, 0))
	fresh := b.state("log")
	if fresh.Rate <= 0 || fresh.AsOf(at).Rate != fresh.Rate || fresh.AsOf(at.Add(2*time.Minute)).Rate != 0 {
		t.Errorf("read %v ago at %v a second; a while later %v", at.Sub(fresh.LastOK), fresh.Rate, fresh.AsOf(at.Add(2*time.Minute)).Rate)
	}
}

// Read at once and to its end: a last line counts without a line feed. Where it
// was half a name, whoever writes the file goes on, and the whole name counts too.
func TestLastLineWithoutLineFeed(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "n.txt")
	var text []byte
	grow := func(s string) {
		t.Helper()
		text = append(text, s...)
		write(t, path, text)
		b.ok(live.NewList("last", path))
	}
	long := strings.Repeat("# a comment of forty octets and its end\n", 30)
	grow("paypal-a.example\npaypal-b.example")
	want := []string{"paypal-a.example", "paypal-b.example"}
	if d := cmp.Diff(want, b.queued()); d != "" {
		t.Error(d)
	}
	grow("\n" + long + "paypal-c.exam")
	grow("ple\npaypal-d.")
	grow("exam")
	grow("ple")
	grow("\n")
	grow("paypal-e.example\r")
	grow("\n-\n")
	b.twice = true
	got := b.queued()
	for _, w := range []string{"paypal-a.example", "paypal-b.example", "paypal-c.example", "paypal-d.example", "paypal-e.example"} {
		if !slices.Contains(got, w) {
			t.Errorf("no %s among %q", w, got)
		}
	}
	for n := range b.put {
		if n != "paypal-c.exam" && n != "paypal-d" && n != "paypal-d.exam" && !slices.Contains(append(want, "paypal-c.example", "paypal-d.example", "paypal-e.example"), n) {
			t.Errorf("%s is the end of a name", n)
		}
	}
	if ev, n := b.events("last"), bytes.Count(text, []byte{'\n'}); !strings.Contains(ev, fmt.Sprintf("%d name", n)) {
		t.Errorf("the line is lost count of: %s", ev)
	}
}
