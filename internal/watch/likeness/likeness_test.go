package likeness

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound/internal/peertest"
)

// texts are random pages, and changed copies of them.
func texts() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	var out [][]byte
	for i := range 60 {
		n := []int{0, 1, 5, 200, 700, 3000, 20_000, 150_000}[i%8] + r.IntN(90)
		b := make([]byte, n)
		for j := range b {
			b[j] = "etaoinshrdlu <>=\"/"[r.IntN(18)]
			if i%5 == 0 {
				b[j] = byte(r.IntN(256))
			}
			if i%7 == 0 {
				b[j] = 'a'
			}
		}
		out = append(out, b)
		for range 2 {
			c := bytes.Clone(b)
			for range r.IntN(12) {
				if len(c) > 0 {
					at := r.IntN(len(c))
					c = append(c[:at:at], append([]byte("changed"), c[at:]...)...)
				}
			}
			out = append(out, c, append([]byte("more of it "), c[:len(c)/2]...))
		}
	}
	return append(out, nil, make([]byte, 5000), bytes.Repeat([]byte("abcdefg"), 2000))
}

// The real ssdeep gives the same hashes and the same likeness.
func TestFuzzyLikeSsdeep(t *testing.T) {
	bin := peertest.Need(t, "ssdeep", "ssdeep")
	dir := t.TempDir()
	ts := texts()
	var files []string
	for i, b := range ts {
		f := filepath.Join(dir, fmt.Sprintf("%04d", i))
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	out, err := exec.CommandContext(t.Context(), bin, append([]string{"-s", "-b"}, files...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n")[1:] {
		hash, name, _ := strings.Cut(line, ",")
		theirs[strings.Trim(name, `"`)] = hash
	}
	seen := 0
	for i, b := range ts {
		if want, ok := theirs[filepath.Base(files[i])]; ok {
			seen++
			if got := Fuzzy(b); got != want {
				t.Errorf("%d octets: %s; ssdeep says %s", len(b), got, want)
			}
		}
	}
	if seen < 250 {
		t.Fatalf("ssdeep hashed %d texts:\n%.300s", seen, out)
	}
	// It says what is alike above 0, each against each.
	sums := filepath.Join(dir, "sums")
	if err := os.WriteFile(sums, out, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = exec.CommandContext(t.Context(), bin, "-s", "-a", "-c", "-x", sums).Output()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	n, alike := 0, 0
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if len(f) != 3 {
			continue
		}
		name := func(s string) string { return filepath.Base(strings.Trim(s[strings.LastIndex(s, ":")+1:], `"`)) }
		want := f[2]
		got := FuzzyAlike(theirs[name(f[0])], theirs[name(f[1])])
		if n++; got > 0 && got < 100 {
			alike++
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s and %s: %d; ssdeep says %s", theirs[name(f[0])], theirs[name(f[1])], got, want)
		}
	}
	if n < 1000 || alike < 50 {
		t.Errorf("ssdeep compared %d pairs, of which %d were somewhat alike:\n%.500s", n, alike, out)
	}
}

func TestFuzzyAlikeOfWhatIsNone(t *testing.T) {
	for _, s := range []string{"", "3", "3:a", "x:a:b", "0:a:b", "99999999999999:a:b", "3:" + strings.Repeat("ab", 200) + ":c"} {
		if n := FuzzyAlike(s, s); n != 0 {
			t.Errorf("%.20s: %d", s, n)
		}
	}
}

func TestNormal(t *testing.T) {
	got := string(Normal([]byte("<a  HREF=\"https://x/?who=me\">\n\tlog\x0bin</a><b style='background:URL(x.png)'>")))
	if want := `<a HREF=""> log in</a><b style='background:url()'>`; got != want {
		t.Errorf("%s; want %s", got, want)
	}
}

// dnstwist's own code gives the same hash of a picture, and the same likeness.
func TestPictureLikeDnstwist(t *testing.T) {
	python := "/usr/bin/python3"
	err := exec.CommandContext(t.Context(), python, "-c", "import dnstwist, PIL.Image; PIL.Image.ANTIALIAS").Run()
	peertest.NeedThat(t, "dnstwist as a Python module, with PIL", err == nil, "apt-get install dnstwist python3-pil")
	r := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	var files []string
	var hashes []uint64
	for i, size := range []image.Point{{1366, 768}, {1366, 768}, {640, 480}, {5, 3}, {8, 8}, {1366, 700}} {
		img := image.NewNRGBA(image.Rectangle{Max: size})
		for range 40 {
			c := color.NRGBA{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256)), 255}
			x, y := r.IntN(size.X), r.IntN(size.Y)
			for yy := y; yy < min(size.Y, y+200); yy++ {
				for xx := x; xx < min(size.X, x+300); xx++ {
					img.SetNRGBA(xx, yy, c)
				}
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		f := filepath.Join(dir, fmt.Sprint(i, ".png"))
		if err := os.WriteFile(f, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := Picture(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		files, hashes = append(files, f), append(hashes, h)
	}
	out, err := exec.CommandContext(t.Context(), python, append([]string{"-W", "ignore", "-c", `
import sys, dnstwist
hs = [dnstwist.pHash(f) for f in sys.argv[1:]]
for h in hs: print(int(h), *[h - o for o in hs])`}, files...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		want := fmt.Sprint(hashes[i])
		for _, h := range hashes {
			want += fmt.Sprint(" ", PicturesAlike(hashes[i], h))
		}
		if line != want {
			t.Errorf("picture %d: %s; dnstwist says %s", i, want, line)
		}
	}
	if _, err := Picture([]byte("no picture")); err == nil {
		t.Error("no picture has a hash")
	}
}
