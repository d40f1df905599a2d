// Package orderdoc reads and writes order documents: YAML on the outside, an
// [impound.Order] inside.
//
// What lives here: a strict reader that reports every fault at once with
// "file:line", a writer that adds signatures and leaves every other byte alone,
// and drafts. What must not: I/O, clocks, or a judgement whether an order may
// take effect (that is [impound.Order.Authorize]).
package orderdoc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/edits"
)

// MaxSize is how long a document may be (octets). 100,000 names take about 6 MB.
const MaxSize = 8 << 20

// EndMarker is the last line of every order document: the YAML document end
// marker. Without it a document that was cut off could not be told from a whole
// one.
const EndMarker = "..."

// Document is an order document as read: the order with the line of each field.
type Document struct {
	File  string
	Order *impound.Order

	lines  map[string]int // field path -> line
	failed []string       // field paths that couldn't be read
	ps     impound.Problems
	atLine []int // line of each problem, 0 for the whole document
	last   int   // number of the last line
}

// Parse reads an order document: whole, strict, valid in itself (dates, acts and
// names; signatures are for [CheckSignatures]). The error is [impound.Problems]
// with every fault found, in the order of lines.
func Parse(filename string, data []byte) (*impound.Order, error) {
	d, ps := Read(filename, data)
	if err := ps.Err(); err != nil {
		return nil, err
	}
	return d.Order, nil
}

// Read is Parse for those who show what could be read beside what is wrong with
// it. Document.Order is never nil; use it for display alone when there are
// problems.
func Read(filename string, data []byte) (*Document, impound.Problems) {
	d := &Document{File: filename, Order: &impound.Order{}, lines: map[string]int{}}
	d.read(data)
	// By line; what speaks of the whole document comes first.
	idx := make([]int, len(d.ps))
	for i := range idx {
		idx[i] = i
	}
	slices.SortStableFunc(idx, func(a, b int) int { return d.atLine[a] - d.atLine[b] })
	var ps impound.Problems
	for _, i := range idx {
		ps = append(ps, d.ps[i])
	}
	return d, ps
}

// Where gives "file:line" of a field path such as appendices[0].names[2].name;
// for a field that is missing, of what it is missing from.
func (d *Document) Where(path string) string { return d.at(d.line(path)) }

func (d *Document) line(path string) int {
	for p := path; p != ""; {
		if l, ok := d.lines[p]; ok {
			return l
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			break
		}
		p = p[:i]
	}
	if l, ok := d.lines[""]; ok {
		return l
	}
	return 1
}

func (d *Document) at(line int) string { return d.File + ":" + strconv.Itoa(line) }

// maxProblems bounds a report: whoever has that many has another kind of file.
const maxProblems = 1000

func (d *Document) full() bool { return len(d.ps) > maxProblems }

func (d *Document) bad(line int, cure, format string, args ...any) {
	if len(d.ps) == maxProblems {
		cure, format, args = "correct these first", "more than %d problems: the rest is not listed", []any{maxProblems}
	} else if d.full() {
		return
	}
	d.ps = append(d.ps, impound.Errorf(impound.KindInvalid, format, args...).At(d.at(line)).WithCure(cure))
	d.atLine = append(d.atLine, line)
}

func (d *Document) read(data []byte) {
	d.last = bytes.Count(data, []byte("\n"))
	if len(data) > 0 && data[len(data)-1] != '\n' {
		d.last++
	}
	if len(bytes.TrimSpace(data)) == 0 {
		d.bad(1, "give the whole file, or make one with: impound order draft CASE", "the document is empty")
		return
	}
	if len(data) > MaxSize {
		d.bad(1, "split the names over several orders (supplements)", "the document is %d octets long: at most %d are read", len(data), MaxSize)
		return
	}
	if l, what := notText(data); l > 0 {
		d.bad(l, "give the order as a YAML text file in UTF-8 (not a PDF or DOCX)", "this is no plain text: it holds %s", what)
		return
	}
	whole := d.checkEnd(data)
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&root); err != nil {
		if whole { // else the cut is the cause
			d.syntax(data, err)
		}
		return
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		d.bad(max(more.Line, 1), "put each order into a file of its own", "a second document begins here: an order is one document")
		return
	} else if !errors.Is(err, io.EOF) {
		if whole {
			d.syntax(data, err)
		}
		return
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		d.bad(max(root.Line, 1), "begin the document with: impound: "+impound.OrderFormat, "this is no order: it must be a list of keys and values")
		return
	}
	d.decode(root.Content[0], reflect.ValueOf(d.Order).Elem(), "")
	for _, e := range d.Order.Validate() {
		if d.full() {
			break
		}
		if !d.isConsequence(e.Where) {
			d.bad(d.line(e.Where), e.Cure, "%s", e.Msg)
		}
	}
}

// isConsequence says whether the fault at path only repeats that something there
// couldn't be read.
func (d *Document) isConsequence(path string) bool {
	dates := []string{"issued", "from", "until", "execute_at"}
	for _, f := range d.failed {
		if f == path || strings.HasPrefix(f, path+".") || strings.HasPrefix(f, path+"[") || strings.HasPrefix(path, f+".") || strings.HasPrefix(path, f+"[") {
			return true
		}
		if slices.Contains(dates, f) && slices.Contains(dates, path) {
			return true
		}
	}
	return false
}

// checkEnd says whether the document ends with its end marker and a line end.
func (d *Document) checkEnd(data []byte) bool {
	trimmed := bytes.TrimRight(data, " \t\r\n")
	lastLine := trimmed[bytes.LastIndexByte(trimmed, '\n')+1:]
	if string(lastLine) == EndMarker && bytes.IndexByte(data[len(trimmed):], '\n') >= 0 {
		return true
	}
	n := bytes.Count(trimmed, []byte("\n")) + 1
	d.bad(n, "get the whole file; if it is whole, end it with a line of three dots: "+EndMarker, "the document stops at line %d without its end marker %s: it may have been cut", n, EndMarker)
	return false
}

func notText(data []byte) (line int, what string) {
	line = 1
	for i := 0; i < len(data); {
		c := data[i]
		switch {
		case c == '\n':
			line++
		case c == '\r' && (i+1 == len(data) || data[i+1] != '\n'):
			// A line end to YAML and none to most editors: what looks like the
			// rest of a comment would be a key.
			return line, "a carriage return within a line"
		case c < 0x20 && c != '\t' && c != '\r' || c == 0x7f:
			return line, fmt.Sprintf("the control character 0x%02x", c)
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && size <= 1 {
				return line, "octets that are not UTF-8"
			}
			// Other line ends of YAML, C1 controls, and marks that turn the
			// direction of writing: people would sign another text than they see.
			if r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 ||
				// So do these, or they are nothing at all. The joiners U+200C and
				// U+200D stay: people's names need them.
				r == 0xad || r == 0x61c || r == 0x180e || r == 0x200b || r == 0x200e || r == 0x200f || r >= 0x2060 && r <= 0x2064 || r == 0xfeff && i > 0 || r >= 0xe0000 && r <= 0xe007f {
				return line, fmt.Sprintf("the invisible character U+%04X", r)
			}
			i += size
			continue
		}
		i++
	}
	return 0, ""
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// syntax turns the YAML library's first complaint into ours.
func (d *Document) syntax(data []byte, err error) {
	line, msg := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		msg = m[2]
	}
	// The library counts lines from 0 when its parser complains, from 1 when its
	// scanner does.
	if slices.ContainsFunc([]string{"did not find expected key", "did not find expected ',' or", "did not find expected node content", "did not find expected '-' indicator", "did not find expected <"}, func(p string) bool { return strings.HasPrefix(msg, p) }) {
		line++
	}
	line = min(max(line, 1), max(d.last, 1))
	// A tab in the indentation is the most common cause, and the library's
	// words don't say so.
	n := 0
	for l := range bytes.Lines(data) {
		n++
		indent := l[:len(l)-len(bytes.TrimLeft(l, " \t"))]
		if i := bytes.IndexByte(indent, '\t'); i >= 0 && len(bytes.TrimSpace(l)) > 0 && n >= line-1 {
			d.bad(n, "indent with spaces: YAML does not allow tabs there", "the line is indented with a tab")
			return
		}
	}
	if strings.Contains(msg, "cannot start any token") || strings.Contains(msg, "mapping values are not allowed") || strings.Contains(msg, "did not find expected") {
		msg += " (a missing colon, a wrong indentation, or a text that needs quotation marks)"
	}
	d.bad(line, "look at this line and the one before it", "this is not YAML: %s", msg)
}

var (
	nameType = reflect.TypeFor[impound.Name]()
	timeType = reflect.TypeFor[time.Time]()
)

func (d *Document) fail(n *yaml.Node, path, cure, format string, args ...any) {
	d.failed = append(d.failed, path)
	d.bad(n.Line, cure, format, args...)
}

func (d *Document) decode(n *yaml.Node, v reflect.Value, path string) {
	if _, ok := d.lines[path]; !ok {
		d.lines[path] = n.Line
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.fail(n, path, "write the value out", "anchors (&) and aliases (*) are not allowed in an order: it must say what it says in one place")
		return
	}
	if t := n.ShortTag(); n.Style&yaml.TaggedStyle != 0 && !slices.Contains([]string{"!!str", "!!int", "!!bool", "!!timestamp", "!!null", "!!map", "!!seq"}, t) {
		d.fail(n, path, "take the tag away", "the tag %.40q means nothing in an order", t)
		return
	}
	null := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
	switch {
	case null:
		return // as if it were not there; Validate says what is missing
	case v.Type() == nameType:
		d.name(n, v, path)
		return
	case v.Type() == timeType:
		d.time(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.decode(n, p.Elem(), path)
		v.Set(p)
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.fail(n, path, "write one item a line, each after a hyphen", "%s must be a list", last(path))
			return
		}
		s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, c := range n.Content {
			d.decode(c, s.Index(i), path+"["+strconv.Itoa(i)+"]")
		}
		v.Set(s)
	case reflect.String:
		if n.Kind != yaml.ScalarNode {
			d.fail(n, path, "write it on one line, in quotation marks if it holds a colon or begins with a bracket", "%s must be a text", last(path))
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" || n.ShortTag() != "!!bool" {
			d.fail(n, path, "write true or false", "%s must be true or false", last(path))
			return
		}
		v.SetBool(n.Value == "true")
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil {
			d.fail(n, path, "write digits only", "%s must be a whole number", last(path))
			return
		}
		v.SetInt(int64(i))
	default:
		d.fail(n, path, "report this", "no way to read %s", v.Type())
	}
}

func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func (d *Document) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		cure := "write keys and values below it, indented"
		if v.Type() == reflect.TypeFor[impound.OrderName]() {
			cure = "write - name: outlook-verify[.]net"
		}
		d.fail(n, path, cure, "%s must hold keys and values", or(last(path), "the order"))
		return
	}
	fields := map[string]int{}
	var keys []string
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if tag != "" && tag != "-" {
			fields[tag] = i
			keys = append(keys, tag)
		}
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content) && !d.full(); i += 2 {
		k, c := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.Anchor != "" {
			d.bad(k.Line, "write key: value", "a key must be a plain word")
			continue
		}
		p := k.Value
		if path != "" {
			p = path + "." + k.Value
		}
		if first, dup := seen[k.Value]; dup {
			d.bad(k.Line, "remove one of the two", "%s is given twice, first at line %d", k.Value, first)
			continue
		}
		seen[k.Value] = k.Line
		f, ok := fields[k.Value]
		if !ok {
			cure := "known here: " + strings.Join(keys, ", ")
			if s := nearest(k.Value, keys); s != "" {
				cure = "did you mean " + s + "?"
			}
			d.bad(k.Line, cure, "unknown key %.60q", k.Value)
			continue
		}
		d.lines[p] = k.Line
		d.decode(c, v.Field(f), p)
	}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func (d *Document) name(n *yaml.Node, v reflect.Value, path string) {
	const cure = "write the name alone, as in outlook-verify[.]net"
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, cure+"; in quotation marks if it begins with a bracket", "%s must be a name", last(path))
		return
	}
	// ParseName is kind to analysts and reads URLs and addresses too. An order
	// must say the name itself: *.example.org or a URL in it means something
	// else to the person who wrote it.
	s := n.Value
	if i := strings.IndexAny(s, "/@:*?#\\ \t\n"); i >= 0 {
		d.fail(n, path, cure, "“%.80s” is more than a name: it holds %q", s, s[i])
		return
	}
	nm, err := impound.ParseName(s)
	if err != nil {
		var e *impound.Error
		if errors.As(err, &e) {
			d.fail(n, path, e.Cure, "%s", e.Msg)
		} else {
			d.fail(n, path, cure, "%v", err)
		}
		return
	}
	v.Set(reflect.ValueOf(nm))
}

func (d *Document) time(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.ScalarNode {
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, n.Value); err == nil && t.Year() >= 1980 && t.Year() <= 9998 {
				v.Set(reflect.ValueOf(t.UTC()))
				return
			}
		}
	}
	d.fail(n, path, "write the date as 2026-11-21 (00:00 UTC) or 2026-11-21T12:00:00Z", "“%.40s” is no date that can be read", n.Value)
}

// nearest gives the key that w was probably meant to be, or "".
func nearest(w string, keys []string) string {
	if len(w) > 40 {
		return ""
	}
	fold := func(s string) string { return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(s)) }
	best, at := "", 1+max(1, len(w)/3)
	for _, k := range keys {
		if e := edits.Distance(fold(w), k, 1); e < at {
			best, at = k, e
		}
	}
	return best
}
