package live

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/watch"
)

// However a stream is cut, its lines are each seen once, and a run that goes on
// at a block's end sees the rest.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte("a.example\nb.example\r\n\n# x\nlast"), true, 3)
	f.Add([]byte(strings.Repeat("x", 70000)+"\nb\n"), false, 1)
	f.Fuzz(func(t *testing.T, data []byte, final bool, cut int) {
		read := func(from spot) (lines []string, ends []spot) {
			r := iotest.HalfReader(bytes.NewReader(data[from.at:]))
			err := blocks(r, from, final, func() *block { return new(block) }, func(b *block) bool {
				if b.long {
					lines = append(lines, "(long)")
				} else {
					for l := range bytes.Lines(b.data) {
						lines = append(lines, string(bytes.TrimSuffix(l, []byte{'\n'})))
					}
				}
				ends = append(ends, spot{b.end.at, b.end.line, bytes.Clone(b.end.tail)})
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			return lines, ends
		}
		all, ends := read(spot{line: 1})
		var want []string
		for l := range bytes.Lines(data) {
			s, whole := bytes.CutSuffix(l, []byte{'\n'})
			if whole || final || len(l) > blockSize {
				want = append(want, string(s))
			}
		}
		if len(data) < maxLine {
			if d := cmp.Diff(want, all); d != "" {
				t.Fatal(d)
			}
		}
		if len(ends) > 0 && len(data) < maxLine {
			at := ends[((cut%len(ends))+len(ends))%len(ends)]
			rest, _ := read(at)
			if d := cmp.Diff(all[at.line-1:], rest); d != "" && len(rest)+len(all[at.line-1:]) > 0 {
				t.Fatal(d)
			}
			if !bytes.HasSuffix(data[:at.at], at.tail) || int64(len(at.tail)) != min(at.at, tailSize) {
				t.Fatalf("tail %q", at.tail)
			}
		}
	})
}

func FuzzScreenName(f *testing.F) {
	for _, s := range []string{"a.example", "*.PayPal-Login.example.", "xn--pypl-zz9.example", "nul\x00.example", "p\u0430ypal.example", strings.Repeat("a.", 200), "192.0.2.1", "*.", "."} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var buf [256]byte
		n, plain := canonical(buf[:], raw)
		if plain && (len(n) > 253 || !bytes.Contains(n, []byte{'.'}) || bytes.ContainsAny(n, "*\x00 ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
			t.Fatalf("%q is no plain name", n)
		}
		if s := shown(raw); strings.ContainsAny(s, "\n\x00\x1b\u202e") || len(s) > 12*maxText {
			t.Fatalf("%q", s)
		}
		_ = watch.Column(raw)
	})
}
