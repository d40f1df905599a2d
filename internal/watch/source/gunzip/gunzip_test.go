package gunzip_test

import (
	"bytes"
	"compress/flate"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/impound/impound/internal/watch/source/gunzip"
)

func read(src io.Reader) ([]byte, error) {
	r, err := gunzip.NewReader(src)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func pack(t testing.TB, level int, parts ...[]byte) []byte {
	var b bytes.Buffer
	w, err := stdgzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		_, _ = w.Write(p) // a buffer fails never
		_ = w.Flush()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// texts are of all kinds: literals, matches near and far, nothing to pack.
func texts() map[string][]byte {
	rnd := rand.New(rand.NewPCG(3, 4))
	m := map[string][]byte{"empty": {}, "one": {'x'}, "zeros": make([]byte, 200_000)}
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	m["noise"] = noise
	few := make([]byte, 200_000) // codes of very different lengths
	for i := range few {
		few[i] = byte(min(rnd.ExpFloat64()*9, 255))
	}
	m["few"] = few
	var zone bytes.Buffer
	for i := range 20_000 {
		for s := range 2 + i%3 {
			fmt.Fprintf(&zone, "name%x.test.\t172800\tin\tns\tns%d.host%d.example.\n", rnd.Uint32(), s, rnd.IntN(900))
		}
	}
	m["zone"] = zone.Bytes()
	var near bytes.Buffer
	for near.Len() < 200_000 {
		near.WriteString(strings.Repeat(fmt.Sprintf("%09d", rnd.Uint32())[:1+rnd.IntN(9)], 1+rnd.IntN(40)))
	}
	m["near"] = near.Bytes()
	return m
}

// It gives what the standard library gives, however it is packed, however the
// input comes and the output is asked for.
func TestReader(t *testing.T) {
	for name, text := range texts() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			whole := pack(t, level, text)
			got, err := read(bytes.NewReader(whole))
			if err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%s, level %d: %v, %d octets of %d", name, level, err, len(got), len(text))
			}
		}
		half := len(text) / 2
		parts := append(pack(t, 6, text[:half], text[half:]), pack(t, 9, text)...) // two members
		want := append(bytes.Clone(text), text...)
		for how, src := range map[string]io.Reader{
			"an octet at a time":         iotest.OneByteReader(bytes.NewReader(parts)),
			"by halves":                  iotest.HalfReader(bytes.NewReader(parts)),
			"with the end at once":       iotest.DataErrReader(bytes.NewReader(parts)),
			"an octet is asked for":      bytes.NewReader(parts),
			"nothing comes now and then": &idle{r: bytes.NewReader(parts)},
		} {
			r, err := gunzip.NewReader(src)
			if err != nil {
				t.Fatal(name, how, err)
			}
			var out io.Reader = r
			if how == "an octet is asked for" {
				out = iotest.OneByteReader(r)
			}
			if got, err := io.ReadAll(out); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s, %s: %v, %d octets of %d", name, how, err, len(got), len(want))
			}
		}
	}
}

// idle gives nothing every other time.
type idle struct {
	r io.Reader
	n int
}

func (i *idle) Read(p []byte) (int, error) {
	if i.n++; i.n%2 == 0 {
		return 0, nil
	}
	return i.r.Read(p[:min(len(p), 1000)])
}

// A file that is cut short gives what is whole, then says so, at each place.
func TestCutShort(t *testing.T) {
	text := texts()["zone"][:3000]
	for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
		whole := pack(t, level, text[:1000], text[1000:])
		for n := range whole {
			got, err := read(bytes.NewReader(whole[:n]))
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if !errors.Is(err, want) || !bytes.HasPrefix(text, got) {
				t.Fatalf("level %d, %d octets of %d: %v", level, n, len(whole), err)
			}
			z, err := stdgzip.NewReader(bytes.NewReader(whole[:n]))
			if err != nil {
				continue
			}
			if std, _ := io.ReadAll(z); len(got) < len(std) {
				t.Fatalf("level %d, %d octets of %d: %d are given, of %d that are there", level, n, len(whole), len(got), len(std))
			}
		}
	}
}

// What was flushed is given before anything else is waited for.
func TestFlushed(t *testing.T) {
	pr, pw := io.Pipe()
	w := stdgzip.NewWriter(pw)
	asked := make(chan string, 1)
	go func() {
		for line := range asked {
			_, _ = w.Write([]byte(line))
			_ = w.Flush()
		}
		pw.Close()
	}()
	defer close(asked)
	asked <- "first line\n"
	r, err := gunzip.NewReader(pr)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		line := "first line\n"
		if i > 0 {
			line = fmt.Sprintf("line %d, line %d\n", i, i)
			asked <- line
		}
		got := make([]byte, len(line))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != line {
			t.Fatalf("%q, %v, want %q", got, err, line)
		}
	}
}

func TestHeader(t *testing.T) {
	text := []byte("text\n")
	var b bytes.Buffer
	w := stdgzip.NewWriter(&b)
	w.Name, w.Comment, w.Extra = "com.txt", "a zone", []byte("extra")
	_, _ = w.Write(text)
	w.Close()
	named := b.Bytes()
	plain := pack(t, 6, text)
	change := func(b []byte, at int, c byte) []byte {
		b = bytes.Clone(b)
		b[(at+len(b))%len(b)] ^= c
		return b
	}
	for _, c := range []struct {
		name string
		in   []byte
		want error
	}{
		{"name, comment and more", named, nil},
		{"no gzip", []byte("not gzip at all"), stdgzip.ErrHeader},
		{"another method", change(plain, 2, 1), stdgzip.ErrHeader},
		{"a false sum", change(plain, -5, 1), stdgzip.ErrChecksum},
		{"a false length", change(plain, -1, 1), stdgzip.ErrChecksum},
		{"more behind it", append(bytes.Clone(plain), "behind it there is more"...), stdgzip.ErrHeader},
		{"a sum of the header", headerSum(plain, 0), nil},
		{"a false sum of the header", headerSum(plain, 1), stdgzip.ErrHeader},
	} {
		if _, err := read(bytes.NewReader(c.in)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// headerSum gives plain, a file without anything behind the fixed header, with the
// sum of the header.
func headerSum(plain []byte, wrong byte) []byte {
	h := bytes.Clone(plain[:10])
	h[3] |= 2
	sum := crc32.ChecksumIEEE(h)
	h = append(h, byte(sum)^wrong, byte(sum>>8))
	return append(h, plain[10:]...)
}

// The same as compress/gzip for all input, up to where in broken input it is found
// broken.
func FuzzReader(f *testing.F) {
	for _, text := range texts() {
		text = text[:min(len(text), 3000)]
		for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
			f.Add(pack(f, level, text))
		}
	}
	f.Add(append(pack(f, 6, []byte("one")), pack(f, 6, []byte("two"))...))
	// Blocks by hand, behind a header: fixed codes, the bad length 286, a distance
	// that nothing is at, one code alone.
	for _, b := range []string{"\x03\x00", "\x1b\x03\x00", "\x63\x00\x00", "\x4b\x04\x02\x00", "\x05\xe0\x81\x08\x00\x00\x00\x00\x20\x7f\xeb\x0b", "\x05\xc0\x21\x0d\x00\x00\x00\x80\xb0\xfe\x6d\x2f\x91\x6c"} {
		f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + b))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const most = 1 << 20
		got, err := io.ReadAll(io.LimitReader(reader(bytes.NewReader(in)), most))
		var src io.Reader = bytes.NewReader(in)
		z, wantErr := stdgzip.NewReader(src)
		var want []byte
		if wantErr == nil {
			want, wantErr = io.ReadAll(io.LimitReader(z, most))
		}
		if wantErr == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%v, %d octets, want %d", err, len(got), len(want))
		}
		if wantErr != nil && err == nil {
			t.Fatalf("%d octets and no error, want %v", len(got), wantErr)
		}
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) || len(got) < len(want) {
			t.Fatalf("%v: %d octets, want the %d that there are before %v", err, len(got), len(want), wantErr)
		}
		slow, err2 := io.ReadAll(io.LimitReader(reader(iotest.OneByteReader(bytes.NewReader(in))), most))
		if !bytes.Equal(slow, got) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("an octet at a time: %d octets, %v; at once: %d, %v", len(slow), err2, len(got), err)
		}
	})
}

var errHeader = errors.New("no header")

// reader gives the error of NewReader when it is read.
func reader(src io.Reader) io.Reader {
	r, err := gunzip.NewReader(src)
	if err != nil {
		return iotest.ErrReader(fmt.Errorf("header: %w", errors.Join(err, errHeader))) // io.EOF would be a good end
	}
	return r
}
