package source

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/impound/impound"
)

const twoNames = "a.example\nb.example\n"

// What bzip2 1.0.8 makes of twoNames: nothing in Go writes it.
const twoBzip2 = "QlpoOTFBWSZTWSCBEOkAAAJRgAAQAAEyBkBAIAAhKDQ0IMmIQlbJ00Zgxni7kinChIEECIdI"

func TestUnpackList(t *testing.T) {
	var gz, zs, zp bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, _ = io.WriteString(w, twoNames)
	_ = w.Close()
	e, _ := zstd.NewWriter(&zs)
	_, _ = io.WriteString(e, twoNames)
	_ = e.Close()
	z := zip.NewWriter(&zp)
	_, _ = z.Create("folder/")
	for name, text := range map[string]string{"folder/x.txt": "a.example\nb.example"} {
		f, _ := z.Create(name)
		_, _ = io.WriteString(f, text)
	}
	_ = z.Close()
	bz, err := base64.StdEncoding.DecodeString(twoBzip2)
	if err != nil {
		t.Fatal(err)
	}
	wide := "\xff\xfe"
	for _, c := range twoNames {
		wide += string([]byte{byte(c), 0})
	}
	high := "\xfe\xff"
	for _, c := range twoNames {
		high += string([]byte{0, byte(c)})
	}
	read := func(data string) (string, bool, error) {
		name := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, packed, err := UnpackList(f)
		if err != nil {
			return "", packed, err
		}
		b, err := io.ReadAll(iotest.OneByteReader(r))
		return string(b), packed, err
	}
	for what, data := range map[string]string{"plain": twoNames, "gzip": gz.String(), "zstd": zs.String(), "bzip2": string(bz), "zip": zp.String(), "UTF-16, low first": wide, "UTF-16, high first": high} {
		got, packed, err := read(data)
		if err != nil || got != twoNames || packed == (what == "plain" || strings.HasPrefix(what, "UTF")) {
			t.Errorf("%s: got %q, packed %v, %v", what, got, packed, err)
		}
		if what == "plain" || !packed {
			continue
		}
		if got, _, err := read(data[:len(data)-5]); err == nil {
			t.Errorf("%s cut short: %q and no error", what, got)
		}
	}
	for what, data := range map[string]string{"xz": "\xfd7zXZ\x00\x00\x04", "7-Zip": "7z\xbc\xaf\x27\x1c..", "RAR": "Rar!\x1a\x07\x00"} {
		if _, _, err := read(data); impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "unpack it") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := UnpackList(strings.NewReader(zp.String())); impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), "by its name") {
		t.Errorf("zip in a stream: %v", err)
	}
	for _, short := range []string{"", "a", "\xff\xfe", "\xff\xfea", "BZh", "PK\x03\x04"} {
		_, _, _ = read(short)
	}
}

func FuzzWide(f *testing.F) {
	f.Add([]byte("\xff\xfea\x00\x3d\xd8\x00\xde"))
	f.Add([]byte("\xfe\xff\xd8\x3d\xd8\x3d\x00a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 || !(b[0] == 0xff && b[1] == 0xfe || b[0] == 0xfe && b[1] == 0xff) {
			return
		}
		r, _, err := UnpackList(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(r)
		if err != nil || len(out) > 3*len(b) || strings.ToValidUTF8(string(out), "") != string(out) {
			t.Fatalf("%q, %v", out, err)
		}
	})
}

// Whatever a list is packed with, or says that it is: an error at most.
func FuzzUnpackList(f *testing.F) {
	var gz, zs, zp bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, _ = io.WriteString(w, twoNames)
	_ = w.Close()
	e, _ := zstd.NewWriter(&zs)
	_, _ = io.WriteString(e, twoNames)
	_ = e.Close()
	z := zip.NewWriter(&zp)
	for _, name := range []string{"folder/", "folder/x.txt", "../y"} {
		if m, _ := z.Create(name); !strings.HasSuffix(name, "/") {
			_, _ = io.WriteString(m, twoNames)
		}
	}
	_ = z.Close()
	bz, err := base64.StdEncoding.DecodeString(twoBzip2)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{gz.Bytes(), zs.Bytes(), zp.Bytes(), bz, []byte(twoNames), []byte("\xff\xfea\x00"), zp.Bytes()[:zp.Len()-9]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := fstest.MapFS{"list": {Data: b}}.Open("list")
		if err != nil {
			t.Fatal(err)
		}
		r, packed, err := UnpackList(in)
		if err != nil {
			if impound.KindOf(err) != impound.KindInvalid || !packed {
				t.Fatalf("packed %v: %v", packed, err)
			}
			return
		}
		out, err := io.ReadAll(io.LimitReader(r, 1<<20)) // more than that says nothing new
		if !packed && err != nil {
			t.Fatalf("of what is not packed: %q, %v", out, err)
		}
	})
}
