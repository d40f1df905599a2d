package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The spool's disk, a real small file system, is full: answering goes on, what
// is not recorded is counted and alarmed, and when there is room again recording
// goes on behind an event that says how many are missing.
func TestDiskFull(t *testing.T) {
	besides(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts a small tmpfs")
	}
	state := tour(t)
	dir := filepath.Join(state, "spool")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const size = 40 << 20
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=40m,mode=700"); err != nil {
		t.Skipf("this user may not mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	// Somebody else's file leaves room for one journal and little more.
	filler := filepath.Join(dir, "filler")
	fill(t, filler, size-(12<<20))
	s := serve(t, state)
	rounds := pick(1, 5)
	l := &load{tag: "d", sources: 48, window: 32}
	var during uint64
	for round := range rounds {
		l.start(t, s.addr("dns"))
		for try := 0; round > 0 && try < 600 && !strings.Contains(s.text(), "RECORDING STOPPED"); try++ {
			refill(t, dir, fmt.Sprint(filler, try)) // what sealing gives back is taken, too
			time.Sleep(50 * time.Millisecond)
		}
		s.waitFor(t, "RECORDING STOPPED")
		before := l.soFar()
		time.Sleep(pick(300*time.Millisecond, 5*time.Second))
		after := l.soFar()
		during += after - before
		if after == before {
			t.Error("it stopped answering when its disk was full")
		}
		fillers, _ := filepath.Glob(filler + "*")
		for _, f := range fillers {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		// What was recorded meanwhile fills more of it each time.
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size+(round+1)*(40<<20))); err != nil {
			t.Fatal(err)
		}
		s.waitFor(t, "recording goes on after a gap")
		time.Sleep(200 * time.Millisecond)
		l.stop()
		if round < rounds-1 {
			s.mu.Lock()
			s.out.Reset()
			s.mu.Unlock()
		}
	}
	s.kill() // also what stands behind the gap must outlive it
	// It may have died in the middle of another gap, which only its successor can
	// write down, once there is room.
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size+(rounds+2)*(40<<20))); err != nil {
		t.Fatal(err)
	}
	s = serve(t, state)
	s.stop(t)
	sent, answered := l.counts()
	got := compareAll(t, state, l)
	if got.gaps == 0 || got.lost == 0 {
		t.Errorf("nothing was lost: the disk was never full")
	}
	if got.lost > got.gaps {
		t.Errorf("%d answered questions are not recorded, and the gaps stand for %d only", got.lost, got.gaps)
	}
	if got.twice > 0 || got.corrupt > 0 || got.unordered > 0 {
		t.Errorf("%d are there twice, %d damaged, %d out of order", got.twice, got.corrupt, got.unordered)
	}
	if n := uint64(got.ours + got.gaps); n > sent {
		t.Errorf("%d recorded and %d missing: more than the %d that were asked", got.ours, got.gaps, sent)
	}
	t.Logf("%d asked, %d answered (%d of them while the disk was full), %d recorded; %d answered and not recorded, the gaps stand for %d", sent, answered, during, got.ours, got.lost, got.gaps)
}

func fill(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		t.Fatal(err)
	}
}

// refill takes what room there is.
func refill(t *testing.T, dir, filler string) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	room := int64(st.Bavail)*st.Bsize - 1<<19
	if room <= 1<<19 {
		return
	}
	f, err := os.OpenFile(filler, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		defer f.Close()
		err = unix.Fallocate(int(f.Fd()), 0, 0, room)
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) { // the sensor took it in between: as full as we want it
		t.Fatal(err)
	}
}
