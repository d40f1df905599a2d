package source

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
)

func TestOpen(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte("a.example\nb.example\n"))
	_ = w.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "names.txt")
	if err := os.WriteFile(path, z.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(path string, in io.Reader) (string, error) {
		r, err := Open(path, in)
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return string(b), err
	}
	if s, err := read(path, nil); err != nil || s != "a.example\nb.example\n" {
		t.Errorf("gzip: %q, %v", s, err)
	}
	if s, err := read("-", strings.NewReader("c.example")); err != nil || s != "c.example" {
		t.Errorf("stdin: %q, %v", s, err)
	}
	if _, err := read("-", bytes.NewReader(z.Bytes()[:z.Len()-9])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("gzip cut short: %v", err)
	}
	if _, err := read(filepath.Join(dir, "none"), nil); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("no file: %v", err)
	}
}

func TestZone(t *testing.T) {
	zone := "; comment\n$ORIGIN example.\nexample.\t86400\tin\tsoa\tns. host. 1 2 3 4 5\nexample. 86400 in ns ns1.nic.example.\n" +
		"A.example. 86400 in ns ns1.x.\na.example. 86400 in ns ns2.x.\na.example. 86400 in ds 1 8 2 ff\nns1.b.example. 86400 in a 192.0.2.1\nb.example. 86400 IN NS ns1.b.example.\nbroken\n\nc.example. 86400 in ns ns.c.\n"
	var got []string
	bad, err := Zone(strings.NewReader(zone), "example.", func(n []byte) error { got = append(got, string(n)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a.example", "b.example", "c.example"}, got); d != "" || bad != 1 {
		t.Errorf("%s bad %d", d, bad)
	}
}

func TestDiff(t *testing.T) {
	var add, rem []string
	diff := func(a, b string) error {
		add, rem = nil, nil
		return Diff(strings.NewReader(a), strings.NewReader(b), func(s string) error { add = append(add, s); return nil }, func(s string) error { rem = append(rem, s); return nil })
	}
	if err := diff("a\nb\nd\n", "b\nb\nc\nd\ne"); err != nil || cmp.Diff([]string{"c", "e"}, add) != "" || cmp.Diff([]string{"a"}, rem) != "" {
		t.Errorf("added %v, removed %v, %v", add, rem, err)
	}
	if err := diff("a\nb\nc\n", "a\n"); !errors.Is(err, ErrShrunk) {
		t.Errorf("a list that shrank: %v", err)
	}
	if err := diff("a\nc\nb\n", "a\nb\nc\n"); impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), "older") {
		t.Errorf("not sorted: %v", err)
	}
	if err := diff("", ""); err != nil || add != nil {
		t.Errorf("empty: %v", err)
	}
}

func FuzzZone(f *testing.F) {
	f.Add([]byte("a.example. 1 in ns b.\n"))
	f.Add([]byte("\x00 \x00\t\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := Zone(bytes.NewReader(b), "example", func(n []byte) error {
			if bytes.ContainsAny(n, " \t\n") {
				t.Fatalf("a name with white space: %q", n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
