package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
)

// A clock that is put forward deletes nothing for a day, also over a restart; put
// right in time, nothing ever was deleted; otherwise it is believed.
func TestClockLeaps(t *testing.T) {
	t0 := event(0).At
	day := 24 * time.Hour
	r := Retention{Shortest: 30 * day, Longest: 30 * day, Until: func(e *impound.Event) time.Time { return e.At.Add(30 * day) }}
	for _, tt := range []struct {
		name string
		// hours after the first event, at which Expire is called; "r" opens anew first
		at   string
		want int // events left
	}{
		{"no leap", "0h 24h 48h", 100},
		{"silence for long", "days until 31", 0},
		{"ten years on", "1h 87600h", 100},
		{"ten years on and back", "1h 87600h 87610h 12h 36h 60h", 100},
		{"ten years on, and it stays", "1h 87600h 87612h 87624h", 0},
		{"ten years on at a restart", "1h r87600h 87610h", 100},
		{"a restart while in doubt", "1h 87600h r87610h r87620h", 100},
		{"many restarts while in doubt", "1h 87600h r87610h r87620h r87625h", 0},
		{"leaps on and on", "1h 87600h 100000h 110000h", 100},
		{"off for a weekend", "700h r748h", 0},
		{"off for a month", "1h r900h", 100},
		{"never asked before, ten years on", "r87600h 87610h", 100},
		{"leaps within doubt and back a little", "1h 87600h 87590h 87601h", 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.at == "days until 31" {
				var b strings.Builder
				for i := range 32 {
					b.WriteString((time.Duration(i) * day).String() + " ")
				}
				tt.at = b.String()
			}
			dir := t.TempDir()
			now := t0
			edit := func(o *Options) { o.ClockLeap, o.Now = 0, func() time.Time { return now } }
			s := open(t, dir, edit)
			for i := range 100 {
				if err := s.Append(event(i)); err != nil {
					t.Fatal(err)
				}
			}
			for _, step := range strings.Fields(tt.at) {
				step, again := strings.CutPrefix(step, "r")
				d, err := time.ParseDuration(step)
				if err != nil {
					t.Fatal(err)
				}
				now = t0.Add(d)
				if again {
					s.Close()
					s = open(t, dir, edit)
				}
				_, err = s.Expire(now, r)
				t.Log(step, err)
				if err != nil && impound.KindOf(err) != impound.KindConflict {
					t.Fatal(err)
				}
				if _, perr := s.Prune(now.Add(-30 * day)); (perr == nil) != (err == nil) {
					t.Errorf("%s: Expire says %v, Prune %v", step, err, perr)
				}
			}
			if got := len(readAll(t, s)); got != tt.want {
				t.Errorf("%d events are left, want %d", got, tt.want)
			}
		})
	}
	// A note that can't be read is none.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clock"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, func(o *Options) { o.ClockLeap = 0 })
	if err := s.TrustClock(t0); err != nil {
		t.Error(err)
	}
}
