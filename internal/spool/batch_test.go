package spool

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a batch leaves in the journals is, octet for octet, what Append leaves.
func TestBatchIsAppend(t *testing.T) {
	one, many := t.TempDir(), t.TempDir()
	noSeal := func(o *Options) { o.NoSeal = true }
	a, b := open(t, one, noSeal), open(t, many, noSeal)
	batch := b.NewBatch()
	const n = 3000 // several journals
	for i, size := 0, 1; i < n; {
		for k := 0; k < size && i < n; k++ {
			e := event(i)
			e.Name = strings.Repeat("x", i%61) + "." + e.Zone // every amount of padding
			batch.Add(e)
			if err := a.Append(e); err != nil {
				t.Fatal(err)
			}
			e.Name, e.Zone = "changed after", "" // it keeps nothing
			i++
		}
		if lost, err := batch.Commit(); lost != 0 || err != nil {
			t.Fatal(lost, err)
		}
		size = size%97 + 13
	}
	if lost, err := batch.Commit(); lost != 0 || err != nil {
		t.Errorf("an empty batch: %d, %v", lost, err)
	}
	if x, y := a.Stats(), b.Stats(); x.Appended != n || y.Appended != n || x.Last != y.Last {
		t.Errorf("%+v\n%+v", x, y)
	}
	files, err := filepath.Glob(filepath.Join(one, "journal-*.jrn"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		x, err1 := readJournal(f, nil)
		y, err2 := readJournal(filepath.Join(many, filepath.Base(f)), nil)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x.data[jHead:], y.data[jHead:]) {
			t.Errorf("%s differs", filepath.Base(f))
		}
	}
	got := readAll(t, b)
	if len(got) != n || got[n-1].Seq != n {
		t.Errorf("%d read back", len(got))
	}
}

// Events of a batch that has no room are lost each for itself, and counted.
func TestBatchWithoutRoom(t *testing.T) {
	now := time.Unix(0, 0)
	s := open(t, t.TempDir(), func(o *Options) {
		o.NoSeal, o.MaxBytes, o.Now = true, 3*64<<10, func() time.Time { return now }
	})
	batch := s.NewBatch()
	added, lost := 0, 0
	for lost == 0 {
		for range 100 {
			batch.Add(event(added))
			added++
		}
		n, err := batch.Commit()
		if n > 0 && !errors.Is(err, ErrFull) || n == 0 && err != nil || added > 100_000 {
			t.Fatal(n, err)
		}
		lost += n
	}
	st := s.Stats()
	if lost >= 100 || !st.Gap || int(st.GapLost) != lost || int(st.Appended) != added-lost {
		t.Errorf("%d of %d lost: %+v", lost, added, st)
	}
	got := readAll(t, s)
	if len(got) != added-lost {
		t.Errorf("%d read back", len(got))
	}
	for i, e := range got {
		want := *event(i)
		want.Seq, want.Sensor = e.Seq, "s1"
		if d := cmp.Diff(want, e, netips); d != "" || i > 0 && e.Seq != got[i-1].Seq+1 {
			t.Fatalf("event %d: %s", i, d)
		}
	}
	s.Close()
	batch.Add(event(1))
	if n, err := batch.Commit(); n != 1 || err == nil {
		t.Errorf("after Close: %d, %v", n, err)
	}
}

func TestBatchDoesNotAllocate(t *testing.T) {
	s := open(t, t.TempDir(), func(o *Options) { o.SegmentBytes = 64 << 20 })
	b, e := s.NewBatch(), event(1)
	var failed error
	if n := testing.AllocsPerRun(100, func() {
		for range 64 {
			b.Add(e)
		}
		if _, err := b.Commit(); err != nil {
			failed = err
		}
	}); n > 0 || failed != nil {
		t.Errorf("%v allocations, %v", n, failed)
	}
}

func BenchmarkBatch(b *testing.B) {
	s := open(b, b.TempDir(), func(o *Options) { o.SegmentBytes, o.NoSeal, o.Now = 1<<30, true, time.Now })
	batch, e := s.NewBatch(), event(1)
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			s.Append(e)
		}
	})
	b.Run("batch", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			batch.Add(e)
			if i%64 == 63 {
				batch.Commit()
			}
		}
	})
	var x []byte
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			x = encode(x[:0], e)
		}
	})
}
