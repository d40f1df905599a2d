package watch

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/impound/impound"
)

// plainScreen looks at line after line.
func plainScreen(text string, opt Options) (st Stats, out []impound.Candidate) {
	for text != "" {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		st.Read++
		name, ok := one(&st, []byte(line), len(line) >= maxLine)
		if !ok {
			continue
		}
		st.Names++
		if c, ok := Judge(own(name), opt); ok && c.Score >= DefaultThreshold {
			c.Seen = opt.Now()
			out = append(out, c)
			st.Hits++
		}
	}
	return st, out
}

// On every core, in blocks, however they come: the same as line by line.
func TestScreenAsPlain(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	opt := Options{Matcher: matcher(t), Source: "test", Now: func() time.Time { return at }}
	rnd := rand.New(rand.NewPCG(5, 6))
	var b strings.Builder
	for i := range 6_000 {
		switch rnd.IntN(60) {
		case 0:
			fmt.Fprintf(&b, "PayPal-login-%d[.]top\r\n", i)
		case 1:
			fmt.Fprintf(&b, "myaccount-verify-%d.net\t2026-11-21\n", i)
		case 2:
			fmt.Fprintf(&b, "xn--pypal-4ve-%d.example\n# a comment\n\n", i)
		case 3:
			fmt.Fprintf(&b, "bad!name-%d\n", i)
		case 4:
			fmt.Fprintf(&b, "login-verify-account.net\nwww.paypal.com\npaypa1-%d.shop\n", i)
		default:
			fmt.Fprintf(&b, "garden-%x.example\n", rnd.Uint64())
		}
		if i%2000 == 0 {
			b.WriteString(strings.Repeat("x", maxLine-1+rnd.IntN(3)) + "\n" + strings.Repeat("y", 5*maxLine) + "\n")
		}
	}
	b.WriteString("paypal-last.top")
	want, hits := plainScreen(b.String(), opt)
	if len(hits) < 300 || len(want.Bad) < 80 {
		t.Fatalf("%d hits, %d bad lines", len(hits), len(want.Bad))
	}
	var got []impound.Candidate
	st, err := Screen(t.Context(), iotest.HalfReader(strings.NewReader(b.String())), opt, func(c impound.Candidate) error {
		got = append(got, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(hits, got, cmpopts.EquateComparable(impound.Name{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, st, cmpopts.IgnoreFields(BadLine{}, "Err")); d != "" {
		t.Error(d)
	}
}
