package watch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/match"
	"github.com/impound/impound/internal/watch/source"
)

// The fast way gives what the plain one does, whatever stands at the seams.
func TestScreenZone(t *testing.T) {
	m, err := match.New(match.Builtin(), match.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("test.\t900\tin\tns\ta.nic.test.\n; a comment\n$ORIGIN test.\nthis is\n")
	for i := range 60000 {
		n := fmt.Sprintf("ordinary-%06d.test.", i)
		if i%97 == 0 {
			n = fmt.Sprintf("PayPal-login-%d.test.", i)
		}
		fmt.Fprintf(&b, "%s\t3600\tin\tds\t1 2 3 ABCD\n%s\t3600\tIN\tNS\tns1.x.example.\n", n, n)
		if i%3 == 0 {
			fmt.Fprintf(&b, "%s\t3600\tin\tns\tns2.x.example.\r\nns.%s 60 in a 192.0.2.1\n", strings.ToLower(n), n)
		}
	}
	b.WriteString("paypal-last.test.\t60\tin\tns\tx.example.")
	var names, want []string
	bad, err := source.Zone(strings.NewReader(b.String()), "test", func(n []byte) error {
		names = append(names, string(n))
		name, err := impound.ParseName(string(n))
		if err != nil {
			return err
		}
		if c, ok := watch.Judge(name, watch.Options{Matcher: m}); ok && c.Score >= watch.DefaultThreshold {
			want = append(want, c.Name.String())
		}
		return nil
	})
	if err != nil || len(want) < 600 {
		t.Fatal(err, len(want))
	}
	var got []string
	emit := func(c impound.Candidate) error { got = append(got, c.Name.String()); return nil }
	st, err := watch.ScreenZone(t.Context(), strings.NewReader(b.String()), "test", watch.Options{Matcher: m}, emit)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if st.Names != int64(len(names)) || st.BadCount != int64(bad) || bad != 1 || st.Hits != int64(len(got)) || st.Read != int64(strings.Count(b.String(), "\n")+1) {
		t.Errorf("%+v, want %d names, %d bad", st, len(names), bad)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte(b.String()))
	w.Close()
	got = nil
	r, err := source.Unpack(bytes.NewReader(z.Bytes()[:z.Len()/2]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.ScreenZone(t.Context(), r, "test", watch.Options{Matcher: m}, emit); err == nil || len(got) < 100 || !cmp.Equal(want[:len(got)], got) {
		t.Errorf("cut short: %v, %d names", err, len(got))
	}
}

// counted counts what was read of it.
type counted struct {
	io.Reader
	n atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// Blocks are unpacked ahead of whoever takes candidates, but only a few; it ends when it
// is told to, wherever that is; and one core is enough.
func TestScreenZoneAhead(t *testing.T) {
	m, err := match.New(match.Builtin(), match.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const block, lines = 256 << 10, 1 << 17
	line := func(i int) string { // of 40 octets
		n := "ordinary"
		if i%1000 == 1 {
			n = "paypal-login"
		}
		return fmt.Sprintf("%[1]s-%07[2]d.test.%[3]*[4]s in ns a.\n", n, i, 40-len(n)-24, "1")
	}
	var b strings.Builder
	for i := range lines {
		b.WriteString(line(i))
	}
	for _, cores := range []int{1, 2, 4} {
		was := runtime.GOMAXPROCS(cores)
		opt := watch.Options{Matcher: m}
		src := &counted{Reader: strings.NewReader(b.String())}
		hits := 0
		st, err := watch.ScreenZone(t.Context(), src, "test", opt, func(c impound.Candidate) error {
			if hits++; hits == 1 {
				for end := time.Now().Add(time.Minute); src.n.Load() < int64(2*cores*block) && time.Now().Before(end); {
					runtime.Gosched()
				}
				if n := src.n.Load(); n < int64(2*cores*block) {
					t.Errorf("%d cores: %d octets were read while nobody took candidates", cores, n)
				}
			}
			var i int64
			if _, err := fmt.Sscanf(c.Name.String(), "paypal-login-%d", &i); err != nil {
				return err
			}
			if ahead := src.n.Load() - i*40; ahead > int64(5*cores+4)*block {
				return fmt.Errorf("%d cores: read %d octets ahead", cores, ahead)
			}
			return nil
		})
		if err != nil || st.Names != lines || hits != lines/1000+1 {
			t.Errorf("%d cores: %v, %+v, %d hits", cores, err, st, hits)
		}
		enough := errors.New("enough")
		if _, err := watch.ScreenZone(t.Context(), strings.NewReader(b.String()), "test", opt, func(impound.Candidate) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("%d cores: %v", cores, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := watch.ScreenZone(ctx, strings.NewReader(b.String()), "test", opt, func(impound.Candidate) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("%d cores: %v", cores, err)
		}
		cancel()
		runtime.GOMAXPROCS(was)
	}
}
