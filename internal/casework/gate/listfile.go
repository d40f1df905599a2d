package gate

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/impound/impound"
)

// Unwrap takes what somebody gave as a list, by whichever name and content type,
// and gives the file name and the octets that [ReadList] reads: unpacked where it
// is gzip, with an ending that tells what it is, and named after its folder where
// it is a MISP warning list's list.json. name is a path or the path of a URL. The
// error is of KindInvalid: what is packed too large, is damaged, or is no list at
// all, such as the web page that a server shows instead of it.
func Unwrap(name string, data []byte) (file string, plain []byte, err error) {
	bad := func(cure, format string, args ...any) (string, []byte, error) {
		return "", nil, impound.Errorf(impound.KindInvalid, format, args...).At(name).WithCure(cure)
	}
	if len(data) > maxListFile {
		return bad("split it", "the list is longer than %d octets", maxListFile)
	}
	name = strings.ReplaceAll(name, "\\", "/")
	file = path.Base(name)
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return bad("fetch it again", "couldn't unpack the list: %w", err)
		}
		if data, err = io.ReadAll(io.LimitReader(z, maxListFile+1)); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return bad("fetch it again", "the packed list is cut")
			}
			return bad("fetch it again", "couldn't unpack the list: %w", err)
		}
		if len(data) > maxListFile {
			return bad("split it", "unpacked, the list is longer than %d octets", maxListFile)
		}
	}
	file = strings.TrimSuffix(file, ".gz")
	if strings.EqualFold(file, "list.json") {
		if d := path.Base(path.Dir(name)); d != "." && d != "/" {
			file = d + ".json"
		}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	head := bytes.TrimSpace(data[:min(len(data), 512)])
	switch {
	case len(head) == 0:
		return bad("fetch it again", "the list is empty")
	case bytes.HasPrefix(head, []byte("<")):
		return bad("look at the address: servers answer so when a list has moved", "is a page or a feed in markup, no list")
	case bytes.IndexByte(head, 0) >= 0:
		return bad("unpack it first", "is no text")
	}
	ext := path.Ext(file)
	base := strings.TrimSuffix(file, ext)
	switch {
	case head[0] == '{' || head[0] == '[':
		ext = ".json"
	case ext == ".csv" || ext == ".json" || ext == ".list" || ext == ".txt":
	default:
		if base, ext = file, ".txt"; looksRanked(head) {
			ext = ".csv"
		}
	}
	base = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, base)
	if base = strings.TrimLeft(base, "."); base == "" || len(base) > 100 {
		return bad("give it a name with --name", "it is called %.40q, which is no name for a list", file)
	}
	return base + ext, data, nil
}

// looksRanked says whether text begins with "1,name".
func looksRanked(head []byte) bool {
	first, rest, ok := bytes.Cut(head, []byte(","))
	_, err := strconv.Atoi(string(first))
	return ok && err == nil && len(rest) > 0
}

// The heads of columns that hold names, and places.
var (
	nameHeads  = []string{"domain", "hostname", "host", "fqdn", "name", "indicator", "value", "site"}
	placeHeads = []string{"rank", "globalrank", "position", "place", "#"}
)

// readCSV gives the names of a table, how many rows it has, and whether they stand
// in the order of use: when it has a column of places, which rise from row to row.
// A row whose place doesn't rise, or is no number, is counted and left out.
// Without a head, a table is place,name, or has its names in the first column.
func readCSV(data []byte) (items []string, rows int, ranked bool) {
	place, name := -1, -1
	last := 0
	first := true
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' && !strings.HasPrefix(line, "#,") {
			continue
		}
		cells := cut(line)
		if first {
			first = false
			for i, c := range cells {
				c = strings.ToLower(c)
				if place < 0 && slices.Contains(placeHeads, c) {
					place = i
				}
				if name < 0 && slices.Contains(nameHeads, c) {
					name = i
				}
			}
			if name >= 0 {
				ranked = place >= 0
				continue // the head
			}
			name, place = 0, -1
			if _, err := strconv.Atoi(cells[0]); err == nil && len(cells) > 1 {
				place, name, ranked = 0, 1, true
			}
		}
		if rows++; ranked && len(items) == maxRanked {
			continue
		}
		if name >= len(cells) {
			continue
		}
		if ranked {
			p, err := 0, error(nil)
			if place < len(cells) {
				p, err = strconv.Atoi(cells[place])
			}
			if err != nil || p <= last || p > last+maxRanked {
				continue
			}
			last = p
		}
		items = append(items, cells[name])
	}
	if ranked {
		rows = min(rows, maxRanked)
	}
	return items, rows, ranked
}

// cut splits a row of a table, by commas or, where there is none, by tabs. Quotes around a cell are taken off; a comma within
// them is not expected of names, and splits all the same.
func cut(line string) []string {
	sep := ","
	if !strings.Contains(line, sep) {
		sep = "\t"
	}
	cells := strings.Split(line, sep)
	for i, c := range cells {
		cells[i] = strings.Trim(strings.TrimSpace(c), `"`)
	}
	return cells
}

// plainLine gives what a line of a plain list names: "name", "*.name",
// "0.0.0.0 name" of a hosts file, "||name^" of a blocking list; "" for none.
func plainLine(line string) string {
	line, _, _ = strings.Cut(line, "#")
	if strings.HasPrefix(line, "!") { // a comment in blocking lists
		return ""
	}
	f := strings.Fields(line)
	switch {
	case len(f) == 0:
		return ""
	case len(f) == 2 && (f[0] == "0.0.0.0" || f[0] == "127.0.0.1" || f[0] == "::" || f[0] == "::1"):
		return f[1]
	case len(f) > 1:
		return strings.Join(f, " ")
	}
	if s, ok := strings.CutPrefix(f[0], "||"); ok {
		return strings.TrimSuffix(s, "^")
	}
	return f[0]
}
