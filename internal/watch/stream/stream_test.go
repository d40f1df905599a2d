package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func upper(dst, line []byte, _ int) []byte {
	return append(append(dst, bytes.ToUpper(line)...), '\n')
}

func TestMapKeepsOrder(t *testing.T) {
	var in, want strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&in, "name-%d.example\n", i)
		fmt.Fprintf(&want, "NAME-%d.EXAMPLE\n", i)
	}
	in.WriteString("last without line feed")
	want.WriteString("LAST WITHOUT LINE FEED\n")
	for _, workers := range []int{0, 1, 3} {
		var out bytes.Buffer
		if err := Map(context.Background(), strings.NewReader(in.String()), &out, workers, upper); err != nil {
			t.Fatal(err)
		}
		if out.String() != want.String() {
			t.Fatalf("with %d workers: %d octets out, want %d", workers, out.Len(), want.Len())
		}
	}
}

func TestMapLines(t *testing.T) {
	long := strings.Repeat("a", 3<<20)
	for name, tc := range map[string]struct{ in, want string }{
		"empty":        {"", ""},
		"empty lines":  {"\n\na\n", "\n\nA\n"},
		"carriage":     {"a\r\nb\r\n", "A\nB\n"},
		"NUL":          {"a\x00b\n", "A\x00B\n"},
		"longer block": {strings.Repeat("b", 400<<10) + "\nx\n", strings.Repeat("B", 400<<10) + "\nX\n"},
		"cut":          {long + "\nx\n", strings.ToUpper(long[:maxLine]) + "\nX\n"},
		"cut at end":   {"x\n" + long, "X\n" + strings.ToUpper(long[:maxLine]) + "\n"},
	} {
		var out bytes.Buffer
		if err := Map(context.Background(), strings.NewReader(tc.in), &out, 2, upper); err != nil {
			t.Fatal(name, err)
		}
		if out.String() != tc.want {
			t.Errorf("%s: got %d octets, want %d", name, out.Len(), len(tc.want))
		}
	}
}

type failWriter struct{}

func (failWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestMapErrors(t *testing.T) {
	in := strings.Repeat("a\n", 1<<20)
	if err := Map(context.Background(), strings.NewReader(in), failWriter{}, 2, upper); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("write error: got %v", err)
	}
	r := io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(io.ErrNoProgress))
	var out bytes.Buffer
	if err := Map(context.Background(), r, &out, 2, upper); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("read error: got %v", err)
	}
	if out.String() != "A\n" {
		t.Errorf("what was read before the error is lost: %q", out.String())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Map(ctx, strings.NewReader(in), io.Discard, 2, upper); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}
