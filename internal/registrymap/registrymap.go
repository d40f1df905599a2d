// Package registrymap says who runs a top-level domain, who runs the machines
// behind it, which registrar has which IANA id, and by which channel each is
// asked. It is data: a few facts are built in, each with its source and date, and
// users add files of their own, which win.
//
// What lives here: the reading of such files, and looking up. What must not: any
// asking of the network, or trust in a fact for an act: an act goes by what the
// registry says at that moment.
package registrymap

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/impound/impound"
)

//go:embed builtin.csv
var builtin []byte

// Entry is one registry or registrar.
type Entry struct {
	Kind    string    `json:"kind"` // "registry" | "registrar"
	Key     string    `json:"key"`  // the suffix without a dot ("co.uk"), or the IANA id
	Name    string    `json:"name"`
	Backend string    `json:"backend,omitempty"` // who runs the registry's machines
	Channel string    `json:"channel,omitempty"` // how it is asked: "mail", "EPP as PROVIDER", "court order"
	Contact string    `json:"contact,omitempty"` // the desk that takes orders
	Source  string    `json:"source"`
	AsOf    time.Time `json:"as_of,omitzero"` // zero: nobody says when it was so
	File    string    `json:"file"`           // "built in", or the user's file with its line
}

// String gives the entry in a line, for people.
func (e Entry) String() string {
	s := e.Name
	if e.Backend != "" && e.Backend != e.Name {
		s += " (run by " + e.Backend + ")"
	}
	if e.Channel != "" {
		s += ", by " + e.Channel
	}
	if e.Contact != "" {
		s += ": " + e.Contact
	}
	return s
}

// Map is a set of entries. It never changes after it was read, and is safe for
// concurrent use.
type Map struct {
	registries, registrars map[string]Entry
}

// The columns of a file; the first two and name are needed.
var columns = []string{"kind", "key", "name", "backend", "channel", "contact", "source", "as_of"}

const (
	maxFile = 8 << 20
	maxLine = 100_000 // entries
)

// Builtin gives the built-in facts.
func Builtin() *Map {
	m := &Map{map[string]Entry{}, map[string]Entry{}}
	if ps := m.add("built in", bytes.NewReader(builtin)); len(ps) > 0 {
		panic(ps) // a test reads them
	}
	return m
}

// Read gives the built-in facts with those of a CSV file (columns kind, key,
// name, backend, channel, contact, source, as_of, named in its first line, in any
// order) over them. A line that can't be read is a problem and is left out; the
// map is nil when nothing of the file can be.
func Read(file string, r io.Reader) (*Map, impound.Problems) {
	m := Builtin()
	ps := m.add(file, r)
	for _, p := range ps {
		if p.Where == file {
			return nil, ps
		}
	}
	return m, ps
}

func (m *Map) add(file string, r io.Reader) impound.Problems {
	var ps impound.Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(where).WithCure(cure))
	}
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		bad(file, "see that it can be read", "couldn't read it: %v", err)
		return ps
	case len(data) > maxFile:
		bad(file, "split it", "it is larger than %d MiB", maxFile>>20)
		return ps
	case !utf8.Valid(data):
		bad(file, "save it as UTF-8", "it is not UTF-8 text")
		return ps
	}
	c := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	c.FieldsPerRecord, c.Comment, c.TrimLeadingSpace = -1, '#', true
	head, err := c.Read()
	if err != nil {
		bad(file, "begin it with: "+strings.Join(columns, ","), "it has no first line with the names of the columns")
		return ps
	}
	at := map[string]int{}
	for i, h := range head {
		h = strings.ToLower(strings.TrimSpace(h))
		if !slices.Contains(columns, h) {
			bad(file, "use "+strings.Join(columns, ", "), "there is no column %.40q", h)
			return ps
		}
		at[h] = i
	}
	for _, need := range columns[:3] {
		if _, ok := at[need]; !ok {
			bad(file, "begin it with: "+strings.Join(columns, ","), "the column %s is missing", need)
			return ps
		}
	}
	for n := 0; ; n++ {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return ps
		}
		where := file
		if len(row) > 0 {
			line, _ := c.FieldPos(0)
			where = fmt.Sprintf("%s:%d", file, line)
		}
		if err != nil {
			var pe *csv.ParseError
			if errors.As(err, &pe) {
				where = fmt.Sprintf("%s:%d", file, pe.Line)
			}
			bad(where, "mend the line: see to its quotes", "the line can't be read: %v", err)
			continue
		}
		if n >= maxLine {
			bad(where, "split the file", "more than %d lines", maxLine)
			return ps
		}
		get := func(col string) string {
			i, ok := at[col]
			if !ok || i >= len(row) {
				return ""
			}
			return strings.Map(func(r rune) rune {
				if r < 0x20 || r == 0x7f {
					return ' '
				}
				return r
			}, strings.TrimSpace(row[i]))
		}
		e := Entry{Kind: strings.ToLower(get("kind")), Key: strings.ToLower(strings.Trim(get("key"), ".")), Name: get("name"), Backend: get("backend"), Channel: get("channel"), Contact: get("contact"), Source: get("source"), File: file}
		if file != "built in" {
			e.File = where
		}
		if e.Name == "" {
			bad(where, "give the name", "nobody is named")
			continue
		}
		if s := get("as_of"); s != "" {
			if e.AsOf, err = time.Parse(time.DateOnly, s); err != nil {
				bad(where, "write a date such as 2026-11-21", "%.40q is no date", s)
				continue
			}
		}
		switch e.Kind {
		case "registry":
			k, err := impound.ParseName(e.Key)
			if err != nil {
				bad(where, "write the suffix, such as com or co.uk", "%.40q is no suffix", e.Key)
				continue
			}
			e.Key = k.String()
			m.registries[e.Key] = e
		case "registrar":
			id, err := strconv.Atoi(e.Key)
			if err != nil || id <= 0 {
				bad(where, "write the number of the accreditation", "%.40q is no IANA id", e.Key)
				continue
			}
			e.Key = strconv.Itoa(id)
			m.registrars[e.Key] = e
		default:
			bad(where, "write registry or registrar", "%.40q is neither", e.Kind)
		}
	}
}

// Registry gives who runs the longest suffix of n that is known.
func (m *Map) Registry(n impound.Name) (Entry, bool) {
	for z := n; !z.IsZero(); z = z.Parent() {
		if e, ok := m.registries[z.String()]; ok {
			return e, true
		}
	}
	return Entry{}, false
}

// Registrar gives the registrar of an IANA id.
func (m *Map) Registrar(id string) (Entry, bool) {
	e, ok := m.registrars[strings.TrimLeft(id, "0")]
	return e, ok
}

// All gives every entry: registries by suffix, then registrars by number.
func (m *Map) All() []Entry {
	var out []Entry
	for _, e := range m.registries {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	k := len(out)
	for _, e := range m.registrars {
		out = append(out, e)
	}
	slices.SortFunc(out[k:], func(a, b Entry) int {
		x, _ := strconv.Atoi(a.Key)
		y, _ := strconv.Atoi(b.Key)
		return x - y
	})
	return out
}
