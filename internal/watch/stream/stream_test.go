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

// What a slow source gives is written before it gives more.
func TestMapAtOnce(t *testing.T) {
	pr, pw := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Map(t.Context(), pr, outW, 2, upper)
		outW.Close()
		ended <- err
	}()
	for i := range 50 {
		if _, err := fmt.Fprintf(pw, "line %d\nline", i); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("LINE %d\n", i)
		if i > 0 {
			want = fmt.Sprintf("LINELINE %d\n", i)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(outR, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(outR); err != nil || string(rest) != "LINE\n" {
		t.Fatalf("%q, %v", rest, err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// A source that says nothing does not hold up an end.
func TestBlocksEnd(t *testing.T) {
	pr, pw := io.Pipe()
	defer pw.Close()
	go func() { _, _ = pw.Write([]byte("a\n")) }()
	boom := errors.New("boom")
	work := func(_ int, in []byte, out *[]byte) { *out = append((*out)[:0], in...) }
	if err := Blocks(t.Context(), pr, 2, maxLine, work, func(*[]byte) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw = io.Pipe()
	defer pw.Close()
	go func() { _, _ = pw.Write([]byte("a\n")) }()
	if err := Blocks(ctx, pr, 2, maxLine, work, func(*[]byte) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
