package source

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/impound/impound"
)

// maxWindow bounds what a zstd file may ask for in memory.
const maxWindow = 64 << 20

// UnpackList looks through what lists of names are packed with: gzip, bzip2, zstd and
// zip (of a file: its members one behind the other), known by their first octets, and gives UTF-16 with a mark in front, as
// some programs of Windows write it, as UTF-8. packed says that the content has an
// end that can be known to be missing. What is packed in another way is an
// [impound.Error] of KindInvalid that says so: as a list of names it would be noise.
func UnpackList(r io.Reader) (out io.Reader, packed bool, err error) {
	br := bufio.NewReaderSize(r, 256<<10)
	head, _ := br.Peek(6)
	begins := func(s string) bool { return bytes.HasPrefix(head, []byte(s)) }
	switch {
	case begins("\x1f\x8b"):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, true, cut(err)
		}
		return z, true, nil
	case begins("BZh") && len(head) > 3 && head[3] >= '1' && head[3] <= '9':
		return bzip2.NewReader(br), true, nil
	case begins("\x28\xb5\x2f\xfd"):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, true, cut(err)
		}
		return z, true, nil
	case begins("PK\x03\x04"):
		return unzip(r)
	case begins("\xfd7zXZ\x00"):
		return nil, true, other("xz")
	case begins("7z\xbc\xaf\x27\x1c"):
		return nil, true, other("7-Zip")
	case begins("Rar!\x1a\x07"):
		return nil, true, other("RAR")
	case begins("\xff\xfe"), begins("\xfe\xff"):
		_, _ = br.Discard(2)
		return &wide{r: br, low: head[0] == 0xff}, false, nil
	}
	return br, false, nil
}

func cut(err error) error {
	return impound.Errorf(impound.KindInvalid, "couldn't unpack the file: %w", err).WithCure("fetch it again")
}

func other(how string) error {
	return impound.Errorf(impound.KindInvalid, "the file is packed with %s, which is not read here", how).WithCure("unpack it, or pack it with gzip, bzip2, zstd or zip")
}

// unzip gives the members of a zip file, each ended with a line feed.
func unzip(r io.Reader) (io.Reader, bool, error) {
	f, ok := r.(interface {
		io.ReaderAt
		Stat() (fs.FileInfo, error)
	})
	if !ok {
		return nil, true, impound.Errorf(impound.KindInvalid, "a zip file can't be read as a stream").WithCure("give the file by its name, or unpack it: unzip -p FILE")
	}
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return nil, true, impound.Errorf(impound.KindInvalid, "a zip file can't be read as a stream").WithCure("give the file by its name, or unpack it: unzip -p FILE")
	}
	z, err := zip.NewReader(f, fi.Size())
	if err != nil {
		return nil, true, cut(err)
	}
	var parts []io.Reader
	for _, m := range z.File {
		if m.FileInfo().IsDir() {
			continue
		}
		parts = append(parts, &member{f: m}, bytes.NewReader([]byte{'\n'}))
	}
	return io.MultiReader(parts...), true, nil
}

// member opens a member of a zip file when it is read.
type member struct {
	f *zip.File
	r io.ReadCloser
}

func (m *member) Read(p []byte) (int, error) {
	if m.r == nil {
		r, err := m.f.Open()
		if err != nil {
			return 0, fmt.Errorf("couldn't unpack %q: %w", m.f.Name, err)
		}
		m.r = r
	}
	n, err := m.r.Read(p)
	if errors.Is(err, io.EOF) {
		_ = m.r.Close()
	}
	return n, err
}

// wide reads UTF-16.
type wide struct {
	r    *bufio.Reader
	low  bool // the low octet first
	rest []byte
	err  error
}

func (w *wide) unit() (rune, error) {
	var b [2]byte
	if _, err := io.ReadFull(w.r, b[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF // half a unit says nothing
		}
		return 0, err
	}
	if w.low {
		b[0], b[1] = b[1], b[0]
	}
	return rune(b[0])<<8 | rune(b[1]), nil
}

func (w *wide) Read(p []byte) (int, error) {
	for len(w.rest) < len(p) && w.err == nil {
		u, err := w.unit()
		if err != nil {
			w.err = err
			break
		}
		for utf16.IsSurrogate(u) {
			v, err := w.unit()
			if err != nil {
				w.err = err
				u = utf8.RuneError
				break
			}
			if both := utf16.DecodeRune(u, v); both != utf8.RuneError || !utf16.IsSurrogate(v) {
				if both == utf8.RuneError { // the first had no second half
					w.rest = utf8.AppendRune(w.rest, utf8.RuneError)
					both = v
				}
				u = both
				break
			}
			w.rest = utf8.AppendRune(w.rest, utf8.RuneError)
			u = v
		}
		w.rest = utf8.AppendRune(w.rest, u)
	}
	n := copy(p, w.rest)
	w.rest = w.rest[:copy(w.rest, w.rest[n:])]
	if n == 0 && len(p) > 0 {
		return 0, w.err
	}
	return n, nil
}
