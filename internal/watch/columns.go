package watch

import (
	"bytes"

	"github.com/impound/impound"
)

// Column gives the name in a line of a list, as it stands there: the first of the
// columns that white space, commas or semicolons part which looks like a name. In
// most lists that is the first; in some a number, a date or an address stands before
// it, or it stands in quotes. Where none looks like one it is the first column, nil
// for an empty line and a comment.
func Column(line []byte) []byte {
	first, rest := column(line)
	if len(first) == 0 && len(rest) == 0 || len(first) > 0 && first[0] == '#' {
		return nil
	}
	if len(bytes.TrimRight(rest, " \t\r\n,;")) == 0 && (len(first) == 0 || first[0] != '"') || nameLike(first) {
		return first
	}
	for c, more := first, rest; ; c, more = column(more) {
		c = bytes.Trim(c, "\"'")
		if nameLike(c) {
			return c
		}
		if len(c) <= 1024 && bytes.IndexByte(c, '.') > 0 && bytes.IndexByte(c, 0) < 0 {
			if n, err := impound.ParseName(string(c)); err == nil && bytes.IndexByte([]byte(n.String()), '.') > 0 {
				return c
			}
		}
		if len(more) == 0 {
			return first
		}
	}
}

// column cuts the first column off line. White space in front of it is passed over.
func column(line []byte) (first, rest []byte) {
	for len(line) > 0 && (line[0] == ' ' || line[0] == '\t' || line[0] == '\r' || line[0] == '\n') {
		line = line[1:]
	}
	for i, c := range line {
		switch c {
		case ' ', '\t', '\r', '\n', ',', ';':
			return line[:i], line[i+1:]
		}
	}
	return line, nil
}

// nameLike says whether b is made of what host names are made of, with a dot, and
// ends in what a top-level domain can end in. It need not be a well-formed one: what
// is wrong with it is to be said.
func nameLike(b []byte) bool {
	if len(b) > 1 && b[len(b)-1] == '.' {
		b = b[:len(b)-1]
	}
	last, letter := 0, false
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			letter = true
		case c == '.':
			last, letter = i, false
		case c >= '0' && c <= '9' || c == '-' || c == '_' || c == '*':
		default:
			return false
		}
	}
	return last > 0 && letter
}
