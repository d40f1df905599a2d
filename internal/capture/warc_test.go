package capture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"strconv"
	"strings"
	"testing"
)

type record struct {
	kind  string
	head  map[string]string
	block []byte
}

// records reads a file as the standard says, with nothing of the writer's.
func records(t testing.TB, file []byte) []record {
	t.Helper()
	var out []record
	br := bufio.NewReader(bytes.NewReader(file))
	for {
		if _, err := br.Peek(1); err == io.EOF {
			return out
		}
		z, err := gzip.NewReader(br)
		must(t, err)
		z.Multistream(false)
		b, err := io.ReadAll(z)
		must(t, err)
		top, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
		lines := strings.Split(string(top), "\r\n")
		if !ok || lines[0] != "WARC/1.1" {
			t.Fatalf("no record: %.60q", b)
		}
		r := record{head: map[string]string{}}
		for _, l := range lines[1:] {
			k, v, ok := strings.Cut(l, ": ")
			if !ok {
				t.Fatalf("no field: %q", l)
			}
			r.head[k] = v
		}
		r.kind = r.head["WARC-Type"]
		n, err := strconv.Atoi(r.head["Content-Length"])
		must(t, err)
		if len(rest) != n+4 || string(rest[n:]) != "\r\n\r\n" {
			t.Fatalf("a record of %d octets says that it has %d", len(rest)-4, n)
		}
		r.block = rest[:n]
		if digest(r.block) != r.head["WARC-Block-Digest"] {
			t.Errorf("a block is not what its digest says")
		}
		out = append(out, r)
	}
}
