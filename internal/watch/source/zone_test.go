package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// plainZone reads a zone file the simple way: line by line, field by field.
func plainZone(r io.Reader, origin string) (names []string, lines, bad int) {
	br := bufio.NewReader(r)
	raw, name := "", ""
	for {
		line, err := br.ReadString('\n')
		if line != "" {
			lines++
		}
		line = strings.TrimRight(line, "\r\n")
		switch fields := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' }); {
		case line == "" || line[0] == ';' || line[0] == '$':
		case line[0] == ' ' || line[0] == '\t':
			if len(bytes.TrimSpace([]byte(line))) > 0 {
				bad++
			}
		case len(fields) < 4: // no type
			bad++
		case lower(fields[3]) != "ns":
			if len(fields) == 4 && strings.HasSuffix(line, fields[3]) {
				bad++
			}
		case len(fields) < 5: // no data
			bad++
		case fields[0] != raw:
			raw = fields[0]
			n := raw
			if len(n) > 1 {
				n = strings.TrimSuffix(n, ".")
			}
			if n = lower(n); n != name {
				if name = n; n != origin {
					names = append(names, n)
				}
			}
		}
		if err != nil {
			return names, lines, bad
		}
	}
}

// lower is for ASCII.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] |= 0x20
		}
	}
	return string(b)
}

func zoneLines() string {
	var b strings.Builder
	b.WriteString("test.\t900\tin\tsoa\ta. b. 1 2 3 4 5\ntest.\t900\tin\tns\ta.nic.test.\n; a comment\n$ORIGIN test.\n\n \t\nthis is\n indented\n")
	for i := range 900 {
		n := fmt.Sprintf("name-%d.test.", i*i*i)
		switch i % 10 {
		case 0:
			n = strings.ToUpper(n)
		case 1:
			n = strings.Repeat("x", i%60) + n
		case 2:
			n = strings.TrimSuffix(n, ".")
		}
		between := []string{"\t172800\tin\tns\t", "\t172800\tin\tns\t", "\t3600\tIN\tNS\t", " 60  in ns "}[i/7%4]
		fmt.Fprintf(&b, "%s%sns1.host%d.example.\n", n, between, i%9)
		if i%3 > 0 {
			fmt.Fprintf(&b, "%s\t86400\tin\tds\t1 13 2 ABCD\n", n)
		}
		fmt.Fprintf(&b, "%s%sns2.host%d.example.\n", strings.ToLower(n), between, i%9)
		switch i % 11 {
		case 0:
			fmt.Fprintf(&b, "%s%s\n", n, between)
		case 1:
			fmt.Fprintf(&b, "%s%s\r\n%s%s \n", n, between, n, strings.TrimSpace(between))
		case 2:
			fmt.Fprintf(&b, "ns1.%s\t60\tin\ta\t192.0.2.1\r\n", n)
		case 3:
			fmt.Fprintf(&b, ";%s%sx.\n$%s%sx.\n", n, between, n, between)
		case 4:
			fmt.Fprintf(&b, "\x00%s%sx.\n\xc3\xa4%s%sx.\r\n", n, between, n, between)
		}
	}
	b.WriteString("last.test.\t60\tin\tns\tx.example.")
	return b.String()
}

// checkZone holds both fast ways against the simple one.
func checkZone(t *testing.T, text string, block int) {
	t.Helper()
	want, wantLines, wantBad := plainZone(strings.NewReader(text), "test")
	var got []string
	bad, err := Zone(iotest.HalfReader(strings.NewReader(text)), "Test.", func(n []byte) error { got = append(got, string(n)); return nil })
	if d := cmp.Diff(want, got); d != "" || bad != wantBad || err != nil {
		t.Fatalf("%s%d bad, want %d: %v", d, bad, wantBad, err)
	}
	// In blocks, each read by somebody who knows nothing of the others.
	got, bad = nil, 0
	lines := 0
	blocks := NewZoneBlocks(strings.NewReader(text))
	b := ZoneBlock{Data: make([]byte, 0, block)}
	for err = blocks.Next(&b); err == nil; err = blocks.Next(&b) {
		var z ZoneLines
		z.Reset("test", b.Prev)
		for n, rest := z.Next(b.Data); n != nil; n, rest = z.Next(rest) {
			got = append(got, string(n))
		}
		bad += z.Bad
		lines += z.Lines
	}
	if d := cmp.Diff(want, got); d != "" || bad != wantBad || lines != wantLines || !errors.Is(err, io.EOF) {
		t.Fatalf("blocks of %d: %s%d bad, want %d; %d lines, want %d: %v", block, d, bad, wantBad, lines, wantLines, err)
	}
}

func TestZoneLines(t *testing.T) {
	text := zoneLines()
	for _, block := range []int{200, 201, 257, 1000, 4096, 1 << 20} {
		checkZone(t, text, block)
	}
	checkZone(t, "", 100)
	checkZone(t, "\n", 100)
}

// A line that is longer than a block is one bad line, and the rest goes on. A file
// that is broken gives no half of a line.
func TestZoneBlocks(t *testing.T) {
	good := "a.test.\t60\tin\tns\tx.\n"
	long := strings.Repeat("long.test.\t60\tin\tns\tx.", 1000)
	for _, c := range []struct {
		name, text string
		err        error
		names, bad int
	}{
		{"in the middle", good + long + "\nb" + good, nil, 2, 1},
		{"at the beginning", long + "\n" + good, nil, 1, 1},
		{"at the end", good + long, nil, 1, 1},
		{"nothing else", long + "\n", nil, 0, 1},
		{"two", long + "\n" + long + "\n" + good, nil, 1, 2},
		{"broken", good + "b" + good + "c.test.\t60\tin\tns\tx", io.ErrUnexpectedEOF, 2, 0},
		{"broken in a long one", good + long, io.ErrUnexpectedEOF, 1, 0},
	} {
		for _, block := range []int{64, 100, 999, 1000, 1024} {
			var src io.Reader = strings.NewReader(c.text)
			if c.err != nil {
				src = io.MultiReader(src, iotest.ErrReader(c.err))
			}
			blocks := NewZoneBlocks(src)
			b := ZoneBlock{Data: make([]byte, 0, block)}
			names, bad := 0, 0
			var err error
			for err = blocks.Next(&b); err == nil; err = blocks.Next(&b) {
				var z ZoneLines
				z.Reset("test", b.Prev)
				for n, rest := z.Next(b.Data); n != nil; n, rest = z.Next(rest) {
					names++
				}
				bad += z.Bad
			}
			if want := cmpErr(c.err, io.EOF); names != c.names || bad != c.bad || !errors.Is(err, want) {
				t.Errorf("%s, blocks of %d: %d names, %d bad, want %d, %d; %v", c.name, block, names, bad, c.names, c.bad, err)
			}
		}
	}
}

func FuzzZoneLines(f *testing.F) {
	f.Add(zoneLines()[:3000], uint16(100))
	f.Add("a.test. 1 in ns x.\nA.test. 1 in ns\r\na.test.\t1\tin\tns\tx.\nA.test.\t1\tin\tns\ty.\nAB.TEST.\t1\tin\tns\tz.", uint16(3))
	f.Fuzz(func(t *testing.T, text string, block uint16) {
		longest := 0
		for line := range strings.Lines(text) {
			longest = max(longest, len(line))
		}
		checkZone(t, text, longest+1+int(block))
	})
}
