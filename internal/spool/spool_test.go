package spool

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

var netips = cmpopts.EquateComparable(netip.AddrPort{})

func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_CHILD"); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

func event(i int) *impound.Event {
	return &impound.Event{
		At: time.UnixMicro(1763726400_000000 + int64(i)).UTC(), Proto: impound.ProtoDNS,
		Src:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), uint16(i)),
		Dst:  netip.MustParseAddrPort("[2001:db8::53]:53"),
		Name: "www" + strconv.Itoa(i%7) + ".outlook-verify.net", Zone: "outlook-verify.net", Order: "PHOS-2019",
		Capture: impound.CaptureContact, Outcome: "answered", QType: 1,
	}
}

func open(t testing.TB, dir string, edit ...func(*Options)) *Spool {
	t.Helper()
	// A clock that stands at the beginning, so that numbers begin with 1.
	opt := Options{Sensor: "s1", SegmentBytes: 64 << 10, Now: func() time.Time { return time.Unix(0, 0) }, ClockLeap: -1}
	for _, e := range edit {
		e(&opt)
	}
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func appendN(t testing.TB, s *Spool, from, n int) (last uint64) {
	t.Helper()
	for i := from; i < from+n; i++ {
		e := event(i)
		if err := s.Append(e); err != nil {
			t.Fatal(err)
		}
		last = e.Seq
	}
	return last
}

type reads interface {
	Read(uint64, int) ([]impound.Event, error)
}

func readAll(t testing.TB, r reads) []impound.Event {
	t.Helper()
	var out []impound.Event
	after := uint64(0)
	for {
		es, err := r.Read(after, 333)
		if err != nil {
			t.Fatal(err)
		}
		if len(es) == 0 {
			return out
		}
		for _, e := range es {
			if e.Seq <= after {
				t.Fatalf("event %d comes after %d", e.Seq, after)
			}
			after = e.Seq
		}
		out = append(out, es...)
	}
}

// waitSealed waits until nothing but the current journal is unsealed.
func waitSealed(t testing.TB, s *Spool) {
	t.Helper()
	for range 2000 {
		// Not list: that hides a journal as soon as there is a segment.
		left, err := filepath.Glob(filepath.Join(s.dir, "journal-*.jrn"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) <= 1 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the journals were not sealed")
}

func full() *impound.Event {
	return &impound.Event{
		Sensor: "s1", At: time.UnixMicro(1763726400_000001).UTC(), Proto: impound.ProtoTLS,
		Src: netip.MustParseAddrPort("198.51.100.7:50000"), Dst: netip.MustParseAddrPort("192.0.2.1:443"),
		Name: "a.b.example", Zone: "b.example", Order: "O1", Capture: impound.CaptureLure, Outcome: "answered",
		QType: 65, RCode: 5, Method: "GET", Path: "/x/{token}", Status: 421, UserAgent: "curl/8", Referer: "r.example",
		SNI: "a.b.example", ALPN: "h2", JA4: "t13d", Helo: "h.example", FromDomain: "f.example", LureHash: "aa", Lure: "sealed", Len: 99, Guess: "tls",
		JA3: "e7d7", TLS: "1.3,1.2", SenderHash: "bb", RcptHash: "cc", Opcode: 5,
	}
}

func TestReadsBackWhatWasAppended(t *testing.T) {
	odd := &impound.Event{Sensor: "s1", At: time.UnixMicro(5).UTC(), Proto: "quic", Outcome: "odd", Capture: "x", Name: `a\.b.example`, Zone: "other.example"}
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed=%v", sealed), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			want := []impound.Event{*full(), {Sensor: "s1", At: time.UnixMicro(0).UTC()}, *odd}
			for i := range want {
				if err := s.Append(&want[i]); err != nil {
					t.Fatal(err)
				}
			}
			if sealed {
				for i := 0; len(mustList(t, dir)) < 2; i++ {
					e := event(i)
					e.Sensor = "s1"
					if err := s.Append(e); err != nil {
						t.Fatal(err)
					}
					want = append(want, *e)
				}
				waitSealed(t, s)
			}
			r, err := OpenReader(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if d := cmp.Diff(want, readAll(t, s), netips); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(want, readAll(t, r), netips); d != "" {
				t.Error(d)
			}
		})
	}
}

func mustList(t testing.TB, dir string) []segment {
	t.Helper()
	segs, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	return segs
}

// A field that is added to Event must be added to the record and to the row.
func TestEveryFieldIsKept(t *testing.T) {
	e := full()
	v := reflect.ValueOf(*e)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Seq" {
			t.Errorf("the test event leaves %s empty: add it here, to the record and to the row", name)
		}
	}
	got := impound.Event{Sensor: e.Sensor, Seq: e.Seq}
	if err := decode(encode(nil, e), &got, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*e, got, netips); d != "" {
		t.Fatal(d)
	}
	r := toRow(e)
	if d := cmp.Diff(*e, fromRow(&r), netips); d != "" {
		t.Fatal(d)
	}
}

func TestReopenGoesOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	appendN(t, s, 0, 700)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(event(1)); impound.KindOf(err) != impound.KindUnavailable {
		t.Errorf("Append after Close: %v", err)
	}
	s = open(t, dir)
	last := appendN(t, s, 700, 700)
	if last != 1400 {
		t.Errorf("last number is %d, want 1400", last)
	}
	for i, e := range readAll(t, s) {
		if e.Seq != uint64(i+1) || e.At != event(i).At {
			t.Fatalf("event %d has number %d, at %s", i, e.Seq, e.At)
		}
	}
}

func TestSecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := Open(dir, Options{Sensor: "s1"})
	if impound.KindOf(err) != impound.KindConflict || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatalf("a second writer: %v", err)
	}
}

func TestConcurrentAppends(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const writers, each = 8, 2000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.Append(event(w*each + i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	// Follow it while it is written and sealed.
	seen := map[int64]bool{}
	after := uint64(0)
	for finished := false; ; {
		es, err := r.Read(after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			if e.Seq != after+1 {
				t.Fatalf("after %d comes %d", after, e.Seq)
			}
			after = e.Seq
			seen[e.At.UnixMicro()] = true
		}
		if len(es) == 0 {
			if finished {
				break
			}
			select {
			case <-done:
				finished = true
			default:
			}
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d different events read, want %d", len(seen), writers*each)
	}
}

// child appends for ever, and says each number that Append acknowledged.
func child(dir string) {
	s, err := Open(dir, Options{Sensor: "s1", SegmentBytes: 64 << 10})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				e := event(i)
				if err := s.Append(e); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				mu.Lock()
				// A write of its own for each: what the parent reads was
				// acknowledged, whatever the moment of death.
				os.Stdout.WriteString(strconv.FormatUint(e.Seq, 10) + "\n")
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestSIGKILLLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acked := map[uint64]bool{}
	for round := range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SPOOL_CHILD="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		sc := bufio.NewScanner(out)
		stop := 1 + rand.IntN(3000)
		for n := 0; sc.Scan(); n++ {
			seq, err := strconv.ParseUint(sc.Text(), 10, 64)
			if err != nil {
				if strings.Trim(sc.Text(), "0123456789") == "" {
					break // the last line, cut
				}
				t.Fatalf("round %d: the child says %q", round, sc.Text())
			}
			if acked[seq] {
				t.Fatalf("round %d: number %d was given twice", round, seq)
			}
			acked[seq] = true
			if n == stop {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	s := open(t, dir)
	found := map[uint64]bool{}
	for _, e := range readAll(t, s) { // in order, each once: readAll checks
		found[e.Seq] = true
	}
	for seq := range acked {
		if !found[seq] {
			t.Errorf("number %d was acknowledged and is lost", seq)
		}
	}
	if st := s.Stats(); st.Corrupt != 0 {
		t.Errorf("%d damaged stretches after being killed", st.Corrupt)
	}
	t.Logf("%d acknowledged over 12 kills, %d found", len(acked), len(found))
}

func TestTornTailIsDropped(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	appendN(t, s, 0, 10)
	path, off := s.cur.path, s.off
	s.Close()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A record whose body did not reach the disk, though its head did.
	f.WriteAt([]byte{40, 0, 0, 0, 1, 2, 3, 4, 11, 0, 0, 0, 0, 0, 0, 0, 9, 9}, int64(off))
	f.Close()
	s = open(t, dir)
	if last := appendN(t, s, 10, 1); last != 11 {
		t.Errorf("the next number is %d, want 11", last)
	}
	if got := readAll(t, s); len(got) != 11 || s.Stats().Corrupt != 0 {
		t.Errorf("%d events, want 11; %d corrupt", len(got), s.Stats().Corrupt)
	}
}

func TestPowerCutMakesNumbersLeap(t *testing.T) {
	defer func(f func() string) { bootID = f }(bootID)
	boot := "one"
	bootID = func() string { return boot }
	dir := t.TempDir()
	s := open(t, dir)
	appendN(t, s, 0, 10)
	s.lock.Close() // as if the machine had stopped
	boot = "two"
	s2 := open(t, dir)
	if last := s2.Stats().Last; last != 10 {
		t.Errorf("Last is %d after a power cut: no event has that number", last)
	}
	e := event(10)
	if err := s2.Append(e); err != nil {
		t.Fatal(err)
	}
	if e.Seq != 11+jump {
		t.Errorf("after a power cut the next number is %d, want %d", e.Seq, 11+jump)
	}
	if got := readAll(t, s2); len(got) != 11 {
		t.Errorf("%d events, want 11", len(got))
	}
}

// A folder that was wiped, or is older than what was taken from it, never gives
// a number twice, whatever the clock says; and Last names an event that is there.
func TestNumbersNeverComeAgain(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	at := func(now time.Time, floor uint64) func(*Options) {
		return func(o *Options) { o.Now, o.Floor = func() time.Time { return now }, floor }
	}
	dir := t.TempDir()
	s := open(t, dir, at(now, 0))
	if st := s.Stats(); st.Last != 0 {
		t.Errorf("an empty spool says that %d is its newest event", st.Last)
	}
	last := appendN(t, s, 0, 10)
	if want := uint64(now.UnixMicro()) + 10; last != want || last >= 1<<53 {
		t.Errorf("the tenth number is %d, want %d", last, want)
	}
	s.Close()
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		now   time.Time
		floor uint64
		first uint64
	}{
		"wiped":              {now.Add(time.Second), 0, last - 10 + 1e6 + 1},
		"wiped, clock wrong": {now.AddDate(-30, 0, 0), last, last + 1},
		"clock before 1970":  {time.Unix(-5, 0), 0, 1},
	} {
		s := open(t, t.TempDir(), at(c.now, c.floor))
		if e := event(0); s.Append(e) != nil || e.Seq != c.first {
			t.Errorf("%s: the first number is %d, want %d", name, e.Seq, c.first)
		}
	}
	s = open(t, old, at(now, last+500))
	if st := s.Stats(); st.Last != last {
		t.Errorf("after a leap, Last is %d, want %d", st.Last, last)
	}
	if e := event(0); s.Append(e) != nil || e.Seq != last+501 || s.Stats().Last != e.Seq {
		t.Errorf("an old copy goes on with %d, want %d", e.Seq, last+501)
	}
	if got := readAll(t, s); len(got) != 11 {
		t.Errorf("%d events, want 11", len(got))
	}
}

// One octet is damaged anywhere in a journal: at most the record that it
// belongs to is lost, and it is reported.
func TestDamagedJournal(t *testing.T) {
	src := t.TempDir()
	s := open(t, src)
	appendN(t, s, 0, 60)
	path, end := s.cur.path, s.off
	s.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 150 {
		at := jHead + r.IntN(end-jHead)
		data := append([]byte(nil), whole...)
		data[at] ^= 1 << r.IntN(8)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		appendN(t, s, 60, 1)
		got := map[uint64]time.Time{}
		for _, e := range readAll(t, s) {
			got[e.Seq] = e.At
		}
		missing := 0
		for i := range 59 { // the last may count as a torn tail
			when, ok := got[uint64(i+1)]
			if !ok {
				missing++
			} else if when != event(i).At {
				t.Fatalf("octet %d: record %d came back changed", at, i+1)
			}
		}
		if missing > 1 {
			t.Fatalf("octet %d: %d records are lost, want one at most", at, missing)
		}
		if missing == 1 && s.Stats().Corrupt == 0 && s.reader.Corrupt() == 0 {
			t.Fatalf("octet %d: a record is lost, and nobody says so", at)
		}
		s.Close()
	}
}

func TestDamagedSegmentIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	appendN(t, s, 0, 3000)
	waitSealed(t, s)
	segs := mustList(t, dir)
	if len(segs) < 4 {
		t.Fatalf("only %d segments", len(segs))
	}
	victim := segs[1]
	data, err := os.ReadFile(victim.path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(victim.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	want := 3000 - victim.count
	if got := readAll(t, other); len(got) != want || other.Corrupt() != 1 {
		t.Errorf("another process reads %d, want %d; it reports %d", len(got), want, other.Corrupt())
	}
	if got := readAll(t, s); len(got) != want || s.Stats().Corrupt != 1 {
		t.Errorf("%d events, want %d; %d reported", len(got), want, s.Stats().Corrupt)
	}
	if _, err := os.Stat(filepath.Join(dir, "aside", filepath.Base(victim.path))); err != nil {
		t.Error(err)
	}
	// A damaged journal that is sealed keeps its readable records, and its
	// bytes aside.
	s.Close()
	s = open(t, dir, func(o *Options) { o.NoSeal = true })
	n := len(readAll(t, s))
	appendN(t, s, 0, 1200)
	s.Close()
	segs = mustList(t, dir)
	var j segment
	for _, g := range segs {
		if !g.sealed {
			j = g
			break
		}
	}
	if data, err = os.ReadFile(j.path); err != nil {
		t.Fatal(err)
	}
	data[jHead+8000] ^= 1
	if err := os.WriteFile(j.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	waitSealed(t, s)
	if got := len(readAll(t, s)); got != n+1199 {
		t.Errorf("%d events, want %d", got, n+1199)
	}
	if _, err := os.Stat(filepath.Join(dir, "aside", filepath.Base(j.path))); err != nil {
		t.Error(err)
	}
}

func TestBoundAndGap(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	bound := func(o *Options) { o.MaxBytes, o.Now = 256<<10, clock }
	s := open(t, dir, bound, func(o *Options) { o.NoSeal = true })
	kept := 0
	var err error
	for i := 0; err == nil; i++ {
		if err = s.Append(event(i)); err == nil {
			kept++
		}
	}
	if !errors.Is(err, ErrFull) || impound.KindOf(err) != impound.KindUnavailable {
		t.Fatalf("a full spool says %v", err)
	}
	for range 41 {
		if err := s.Append(event(0)); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if st := s.Stats(); st.Dropped != 42 || !st.Gap {
		t.Errorf("stats: %+v; want 42 dropped", st)
	}
	// Killed meanwhile: the count must survive. Closing keeps it as well.
	s.Close()
	s = open(t, dir, bound)
	waitSealed(t, s) // sealing makes small files of large ones
	last := s.Stats().Last
	if err := s.MarkShipped(last); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Second)
	if err := s.Append(event(7)); err != nil {
		t.Fatal(err)
	}
	es, err := s.Read(last, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(es) != 2 || es[0].Outcome != OutcomeGap || es[0].Len != 42 || !es[0].At.Equal(now.Add(-2*time.Second)) {
		t.Fatalf("after the gap: %+v", es)
	}
	// From now on, the oldest shipped go first, and recording never stops.
	for i := range 5000 {
		e := event(i)
		if err := s.Append(e); err != nil {
			waitSealed(t, s)
			s.MarkShipped(s.Stats().Last)
			now = now.Add(2 * time.Second)
			if err := s.Append(e); err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
		}
		if i%100 == 0 {
			s.MarkShipped(e.Seq)
			waitSealed(t, s)
		}
	}
	var total int64
	for _, g := range mustList(t, dir) {
		total += g.size
	}
	if total > 256<<10 {
		t.Errorf("%d octets on disk, above the bound", total)
	}
	_ = kept
}

// Where nothing can be sealed, shipped journals go too: recording goes on.
func TestShippedJournalsMakeRoom(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, func(o *Options) { o.MaxBytes, o.NoSeal = 256<<10, true })
	for i := range 10_000 {
		e := event(i)
		if err := s.Append(e); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		if i%100 == 0 {
			s.MarkShipped(e.Seq)
		}
	}
	if st := s.Stats(); st.Evicted == 0 || st.Dropped > 0 || st.Corrupt > 0 {
		t.Errorf("stats: %+v", st)
	}
	// What was not shipped is all there.
	es := readAll(t, s)
	if first, last := es[0].Seq, es[len(es)-1].Seq; first > s.Stats().Shipped+1 || last != 10_000 || last-first+1 != uint64(len(es)) {
		t.Errorf("%d events from %d to %d are left", len(es), first, last)
	}
}

// The file is cut under the mapping, of the writer and of a reader: nobody dies,
// recording goes on in another journal, and it is said.
func TestJournalCutUnderUs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	last := appendN(t, s, 0, 100)
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := readAll(t, r); len(got) != 100 {
		t.Fatalf("%d events, want 100", len(got))
	}
	if err := os.Truncate(s.cur.path, jHead+4096); err != nil {
		t.Fatal(err)
	}
	if n := appendN(t, s, 100, 50); n <= last {
		t.Errorf("the number %d comes again", n)
	}
	if err := s.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if st := s.Stats(); st.Corrupt == 0 || st.Dropped > 0 || st.Gap {
		t.Errorf("stats: %+v; want a report, and none dropped", st)
	}
	for name, x := range map[string]reads{"another process": r, "the writer": s} {
		got := readAll(t, x)
		if len(got) < 50 || got[len(got)-1].At != event(149).At {
			t.Errorf("%s reads %d events; want the 50 new ones at least", name, len(got))
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	s = open(t, dir)
	waitSealed(t, s)
	if got := readAll(t, s); len(got) < 50 {
		t.Errorf("%d events after opening again", len(got))
	}
}

func TestPruneNeedsShippedAndOld(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	appendN(t, s, 0, 3000)
	waitSealed(t, s)
	later := event(0).At.Add(time.Hour)
	if n, err := s.Prune(later); n != 0 || err != nil {
		t.Errorf("pruned %d that nobody shipped (%v)", n, err)
	}
	s.MarkShipped(3000)
	if n, err := s.Prune(event(0).At); n != 0 || err != nil {
		t.Errorf("pruned %d that are young (%v)", n, err)
	}
	if n, err := s.Prune(later); n == 0 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	s.Close()
	s = open(t, dir)
	if e := event(0); s.Append(e) != nil || e.Seq != 3001 {
		t.Errorf("after pruning the next number is %d, want 3001", e.Seq)
	}
	if s.Stats().Shipped != 3000 {
		t.Errorf("what was shipped is forgotten: %d", s.Stats().Shipped)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	s := open(t, t.TempDir(), func(o *Options) { o.SegmentBytes = 16 << 20 })
	e := full()
	if n := testing.AllocsPerRun(1000, func() { s.Append(e) }); n > 0 {
		t.Errorf("Append allocates %v times", n)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(nil, full()))
	f.Add(encode(nil, event(1)))
	f.Add([]byte{bodyV1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e impound.Event
		if err := decode(b, &e, &interner{}); err != nil {
			return
		}
		var again impound.Event
		if err := decode(encode(nil, &e), &again, nil); err != nil {
			t.Fatalf("what was decoded can't be encoded and decoded: %v", err)
		}
	})
}

// What goes wrong with the newest journal just when it is opened, and what a
// damaged head says, costs neither the process nor a number.
func TestOpenOutlivesItsJournal(t *testing.T) {
	defer func() { mapped = nil }()
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, path string) // before it is opened
		cut   int64                           // to which it is cut when it is mapped; -1 for not
		left  int                             // events at least
	}{
		"cut while mapped":      {nil, jHead + 4096, 0},
		"emptied while mapped":  {nil, 0, 0},
		"cut before":            {func(t *testing.T, path string) { truncate(t, path, jHead+4096) }, -1, 30},
		"cut in its head":       {func(t *testing.T, path string) { truncate(t, path, 100) }, -1, 0},
		"empty":                 {func(t *testing.T, path string) { truncate(t, path, 0) }, -1, 0},
		"a gap beyond counting": {func(t *testing.T, path string) { patch(t, path, jGap, bytes.Repeat([]byte{0xff}, 24)) }, -1, 100},
		"the same, and its head": {func(t *testing.T, path string) {
			patch(t, path, jGap, bytes.Repeat([]byte{0xff}, 24))
			patch(t, path, 20, []byte{9})
		}, -1, 100},
		"no file but a folder":         {func(t *testing.T, path string) { os.Remove(path); os.Mkdir(path, 0o700) }, -1, 0},
		"larger than any that we make": {func(t *testing.T, path string) { truncate(t, path, 8<<30) }, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			last := appendN(t, s, 0, 100)
			path := s.cur.path
			s.Close()
			if tt.spoil != nil {
				tt.spoil(t, path)
			}
			mapped = nil
			if tt.cut >= 0 {
				mapped = func(path string) { truncate(t, path, tt.cut) }
			}
			s = open(t, dir)
			if e := event(100); s.Append(e) != nil || e.Seq <= last {
				t.Errorf("after %d comes %d", last, e.Seq)
			}
			waitSealed(t, s)
			got := readAll(t, s)
			if len(got) < tt.left+1 || got[len(got)-1].At != event(100).At {
				t.Errorf("%d events, want %d at least, and the new one", len(got), tt.left)
			}
			if len(got) < 101 && s.Stats().Corrupt == 0 {
				t.Error("events are lost, and nobody says so")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			open(t, dir)
		})
	}
}

func truncate(t *testing.T, path string, n int64) {
	if err := os.Truncate(path, n); err != nil {
		t.Fatal(err)
	}
}

func patch(t *testing.T, path string, at int64, b []byte) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// A crash between the segment's rename and the journal's end leaves both: the
// journal goes at the next opening, and never comes back when the segment goes.
// Where the segment is the damaged one, the journal is sealed again.
func TestJournalBesideItsSegment(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		dir := t.TempDir()
		s := open(t, dir, func(o *Options) { o.NoSeal = true })
		appendN(t, s, 0, 1500)
		s.Close()
		kept := map[string][]byte{}
		for _, g := range mustList(t, dir)[:1] {
			b, err := os.ReadFile(g.path)
			if err != nil {
				t.Fatal(err)
			}
			kept[g.path] = b
		}
		s = open(t, dir)
		waitSealed(t, s)
		s.Close()
		for path, b := range kept {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if damaged {
			patch(t, mustList(t, dir)[0].path, 50, []byte{1, 2, 3})
		}
		s = open(t, dir)
		waitSealed(t, s)
		if got := readAll(t, s); len(got) != 1500 {
			t.Errorf("damaged %v: %d events, want 1500", damaged, len(got))
		}
		if n := s.Stats().Corrupt; (n == 1) != damaged {
			t.Errorf("damaged %v: %d reported", damaged, n)
		}
		for _, g := range mustList(t, dir) {
			if g.sealed {
				os.Remove(g.path)
			}
		}
		if got := readAll(t, s); len(got) >= 1000 {
			t.Errorf("damaged %v: %d events came back", damaged, len(got))
		}
	}
}

// FuzzJournal opens a journal of hostile octets, reads, appends, and seals it;
// both sealers make the same of it.
func FuzzJournal(f *testing.F) {
	recs := records(5)
	data := journalOf(recs)
	f.Add(data[:jHead+600], true)
	f.Add(data[:jHead+20], true)
	f.Add([]byte(jMagic), false)
	f.Add(data[jHead:jHead+600], false)
	p := newColumns()
	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		if len(b) > 60<<10 {
			return
		}
		whole := make([]byte, 64<<10)
		if head {
			copy(whole, b)
		} else { // hostile records below a good head
			header{first: 1, sensor: "s1", boot: bootID()}.write(whole, len(whole))
			copy(whole[jHead:], b)
		}
		found, err := sealJournal(p, whole, 1, "s1")
		if err != nil {
			t.Fatal(err)
		}
		plain, err := sealJournal(&plainSealer{}, whole, 1, "s1")
		if err != nil {
			t.Fatal(err)
		}
		if found.count != plain.count || found.last != plain.last || !found.newest.Equal(plain.newest) || (found.damaged == nil) != (plain.damaged == nil) {
			t.Fatalf("%+v\nplain: %+v", found, plain)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, journalName(1)), whole, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{Sensor: "s1", SegmentBytes: 64 << 10, Now: func() time.Time { return time.Unix(0, 0) }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		e := event(7)
		if err := s.Append(e); err != nil {
			t.Fatal(err)
		}
		if e.Seq <= found.last && found.last < 1<<63 {
			t.Fatalf("the number %d comes after %d", e.Seq, found.last)
		}
		es, err := s.Read(0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(es); i++ {
			if es[i].Seq <= es[i-1].Seq {
				t.Fatalf("%d after %d", es[i].Seq, es[i-1].Seq)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s, err := Open(b.TempDir(), Options{Sensor: "s1", SegmentBytes: 64 << 20, NoSeal: true, MaxBytes: 2 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	e := event(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Append(e); err != nil {
			b.Fatal(err)
		}
	}
}

// record is one of a journal.
type record struct {
	seq  uint64
	body []byte
}

// records makes n of them, as the load generator asks: 1,000 seized names, random
// names below half of them, a few sources that ask most.
func records(n int) (out []record) {
	r := rand.New(rand.NewPCG(3, 4))
	types := []uint16{1, 1, 1, 28, 15, 16, 2, 6}
	for i := range n {
		e := event(i)
		e.At = e.At.Add(time.Duration(i*5) * time.Microsecond)
		who := uint32(20_000*r.Float64()*r.Float64()*r.Float64()) * 2654435761
		e.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, who))), uint16(1024+r.IntN(64000)))
		e.Zone = "name" + strconv.Itoa(r.IntN(1000)) + "-verify.net"
		if e.Name = e.Zone; r.IntN(20) < 9 {
			e.Name = strconv.FormatUint(r.Uint64N(1<<40), 36) + "." + e.Zone
		}
		e.QType = types[r.IntN(len(types))]
		out = append(out, record{uint64(i + 1), encode(nil, e)})
	}
	return out
}

func seal(t testing.TB, p sealer, recs []record) []byte {
	t.Helper()
	p.begin("s1")
	for _, r := range recs {
		if _, err := p.add(r.seq, r.body); err != nil {
			t.Fatal(err)
		}
	}
	data, err := p.finish()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The columns make of a journal what the plain sealer makes of it, also when they
// are used again.
func TestColumnsAgreeWithPlain(t *testing.T) {
	p := newColumns()
	for _, n := range []int{1, 2, 255, 256, 5000, 257} {
		recs := records(n)
		got, want := seal(t, p, recs), seal(t, &plainSealer{}, recs)
		a, err := parquet.Read[row](bytes.NewReader(got), int64(len(got)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := parquet.Read[row](bytes.NewReader(want), int64(len(want)))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b, a); d != "" {
			t.Fatalf("%d events: %s", n, d)
		}
	}
}

// journalOf makes a journal of the records.
func journalOf(recs []record) []byte {
	size := jHead + 4096
	for _, r := range recs {
		size += recSize(len(r.body))
	}
	data := make([]byte, size)
	header{first: recs[0].seq, sensor: "s1"}.write(data, size)
	at := jHead
	for _, r := range recs {
		at = putRecord(data, at, r)
	}
	return data
}

func putRecord(data []byte, at int, r record) int {
	copy(data[at+recHead:], r.body)
	binary.LittleEndian.PutUint64(data[at+8:], r.seq)
	tail := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, r.seq), uint32(len(r.body)))
	binary.LittleEndian.PutUint32(data[at+4:], crcOf(r.body, tail))
	setLength(data, at, uint32(len(r.body)))
	return at + recSize(len(r.body))
}

func BenchmarkSeal(b *testing.B) {
	recs := records(75_000)
	data := journalOf(recs)
	for name, p := range map[string]sealer{"plain": &plainSealer{}, "columns": newColumns()} {
		b.Run(name, func(b *testing.B) {
			size, cpu := 0, processor()
			for b.Loop() {
				out, err := sealJournal(p, data, 1, "s1")
				if err != nil || out.count != len(recs) || out.damaged != nil {
					b.Fatal(out.count, out.damaged, err)
				}
				size = len(out.data)
			}
			b.ReportMetric(float64(size)/float64(len(recs)), "B/event")
			b.ReportMetric(float64((processor()-cpu).Nanoseconds())/float64(len(recs)*b.N), "cpu-ns/event")
		})
	}
}

// processor is the processor time of the process.
func processor() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkReadSealed(b *testing.B) {
	recs := records(75_000)
	data := seal(b, newColumns(), recs)
	for name, read := range map[string]func() int{
		"plain": func() int {
			es, err := decodeParquet(data)
			if err != nil {
				b.Fatal(err)
			}
			return len(es)
		},
		"ours": func() int {
			r, err := readParquet(data)
			if err != nil {
				b.Fatal(err)
			}
			return len(r.read(0, len(recs), nil))
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			cpu := processor()
			for b.Loop() {
				if n := read(); n != len(recs) {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64((processor()-cpu).Nanoseconds())/float64(len(recs)*b.N), "cpu-ns/event")
		})
	}
}
