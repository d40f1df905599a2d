package watch

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/match"
)

func matcher(t testing.TB) *match.Matcher {
	t.Helper()
	m, err := match.New(match.Builtin(), match.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestScreen(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	in := strings.Join([]string{
		"# names of the day", "outlook-verify[.]net", "", "garden.example\t2026-11-21", "hxxps://yahoo-verify[.]net/a?b", "not a_name!", "bad!name.com",
		"verification-live.com", "\x00", "myaccount-services.net", strings.Repeat("x", 70_000), "www.google.com", "192.0.2.1", "last-paypal-login.top",
	}, "\n")
	var got []string
	st, err := Screen(context.Background(), strings.NewReader(in), Options{Matcher: matcher(t), Source: "test", Now: func() time.Time { return at }}, func(c impound.Candidate) error {
		if c.Source != "test" || !c.Seen.Equal(at) || c.Status != "open" || len(c.Reasons) == 0 || c.Score <= 0 {
			t.Errorf("candidate %+v", c)
		}
		got = append(got, c.Name.String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"outlook-verify.net", "yahoo-verify.net", "verification-live.com", "myaccount-services.net", "last-paypal-login.top"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if st.Read != st.Blank+st.Names+st.BadCount || st.Read != 14 || st.Hits != 5 {
		t.Errorf("stats don't add up: %+v", st)
	}
	var lines []int64
	for _, b := range st.Bad {
		if b.Err == nil || b.Msg == "" || len(b.Text) > 80 {
			t.Errorf("bad line %+v", b)
		}
		lines = append(lines, b.Line)
	}
	if d := cmp.Diff([]int64{7, 9, 11, 13}, lines); d != "" {
		t.Error(d, st.Bad)
	}
}

func TestScreenErrors(t *testing.T) {
	opt := Options{Matcher: matcher(t), Source: "feed"}
	boom := errors.New("boom")
	st, err := Screen(context.Background(), strings.NewReader("paypal-login.top\npaypal-login.xyz\n"), opt, func(impound.Candidate) error { return boom })
	if !errors.Is(err, boom) || st.Read != 1 || !strings.Contains(err.Error(), "paypal-login[.]top") {
		t.Errorf("emit's error: %v after %d", err, st.Read)
	}
	st, err = Screen(context.Background(), io.MultiReader(strings.NewReader("a.com\nb.co"), iotest.ErrReader(io.ErrNoProgress)), opt, func(impound.Candidate) error { return nil })
	if !errors.Is(err, io.ErrNoProgress) || !strings.Contains(err.Error(), "feed") || st.Read != 2 {
		t.Errorf("reader's error: %v, %+v", err, st)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Screen(ctx, strings.NewReader("a.com\n"), opt, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type always struct{}

func (always) Actor() string { return "X" }
func (always) Score(string) (float64, []impound.Reason) {
	return 0.9, []impound.Reason{{Code: "habit", Text: "as always"}}
}

func TestJudgeTakesTheHighest(t *testing.T) {
	c, ok := Judge(impound.MustName("paypal.garden.example"), Options{Matcher: matcher(t), Profiles: []Profile{always{}}})
	if !ok || c.Score < 0.9 || c.Brand != "paypal" || c.Reasons[len(c.Reasons)-1].Code != "habit" {
		t.Errorf("got %+v", c)
	}
}
