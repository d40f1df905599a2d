// Package quickjson reads and writes the JSON of our own documents faster than
// encoding/json does, and never otherwise: what it isn't sure of it leaves to
// encoding/json, whole. It is for documents that json.Marshal wrote, of which a
// large case has ten thousand.
//
// What lives here: one pass over the octets, with a plan for each Go type made
// once. What must not: a rule about what is in a document, a format of its own, an
// error of its own.
package quickjson

import (
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Unmarshal is [json.Unmarshal] for a v that points to a zero value. Strings in
// what it gives share one copy of data.
func Unmarshal(data []byte, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return json.Unmarshal(data, v)
	}
	d := decoder{s: string(data)}
	if decoderOf(p.Type().Elem())(&d, p.Elem()) && d.at == len(d.s) {
		return nil
	}
	p.Elem().SetZero()
	return json.Unmarshal(data, v)
}

// Strict reads data into v, which points to a zero value, where it holds no field
// that v doesn't know. Where it gives false v is zero still, and what is wrong with
// data, if anything, [json.Decoder.DisallowUnknownFields] says.
func Strict(data []byte, v any) bool {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return false
	}
	d := decoder{s: string(data), strict: true}
	if decoderOf(p.Type().Elem())(&d, p.Elem()) && d.at == len(d.s) {
		return true
	}
	p.Elem().SetZero()
	return false
}

// Text says how a type that is written as a string is read from one. It is what
// its UnmarshalText does, without a copy of the text; call it from init functions.
func Text[T any](parse func(string) (T, error)) {
	texts[reflect.TypeFor[T]()] = func(d *decoder, v reflect.Value) bool {
		s, null, ok := d.strOrNull()
		if !ok || null {
			return ok
		}
		x, err := parse(s)
		if err != nil {
			return false
		}
		*v.Addr().Interface().(*T) = x
		return true
	}
}

var texts = map[reflect.Type]decodeFunc{}

// decoder is where the reading stands. A decodeFunc that gives false leaves it
// anywhere: somebody else reads the document then.
type decoder struct {
	s      string
	at     int
	strict bool // no unknown fields
}

// decodeFunc reads a value into v, which can be set and is zero.
type decodeFunc func(d *decoder, v reflect.Value) bool

var decoders sync.Map // reflect.Type -> decodeFunc

func decoderOf(t reflect.Type) decodeFunc {
	if f, ok := decoders.Load(t); ok {
		return f.(decodeFunc)
	}
	// A type may hold itself: who needs the plan while it is made waits for it.
	var ready sync.WaitGroup
	ready.Add(1)
	var real decodeFunc
	if f, ok := decoders.LoadOrStore(t, decodeFunc(func(d *decoder, v reflect.Value) bool {
		ready.Wait()
		return real(d, v)
	})); ok {
		return f.(decodeFunc)
	}
	real = makeDecoder(t)
	ready.Done()
	decoders.Store(t, real)
	return real
}

var (
	jsonType = reflect.TypeFor[json.Unmarshaler]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	timeType = reflect.TypeFor[time.Time]()
)

func makeDecoder(t reflect.Type) decodeFunc {
	if f := texts[t]; f != nil {
		return f
	}
	switch {
	case t == timeType:
		return (*decoder).time
	case t.Implements(jsonType) || t.Implements(textType): // a pointer, or an interface, with a mind of its own
		return (*decoder).other
	case reflect.PointerTo(t).Implements(jsonType):
		return (*decoder).other
	case reflect.PointerTo(t).Implements(textType):
		return (*decoder).text
	}
	switch t.Kind() {
	case reflect.String:
		if t == reflect.TypeFor[json.Number]() {
			return (*decoder).other
		}
		return (*decoder).string
	case reflect.Bool:
		return (*decoder).bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return (*decoder).int
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return (*decoder).uint
	case reflect.Pointer:
		elem := decoderOf(t.Elem())
		return func(d *decoder, v reflect.Value) bool {
			if d.null() {
				return true
			}
			v.Set(reflect.New(t.Elem()))
			return elem(d, v.Elem())
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return (*decoder).other // base64
		}
		return sliceDecoder(t)
	case reflect.Map:
		if t == reflect.TypeFor[map[string]string]() {
			return (*decoder).strings
		}
	case reflect.Struct:
		if f := structDecoder(t); f != nil {
			return f
		}
	}
	return (*decoder).other
}

func (d *decoder) null() bool {
	if strings.HasPrefix(d.s[d.at:], "null") {
		d.at += 4
		return true
	}
	return false
}

func (d *decoder) next(c byte) bool {
	if d.at < len(d.s) && d.s[d.at] == c {
		d.at++
		return true
	}
	return false
}

// stops are the octets that end the plain part of a string.
var stops = func() (t [256]bool) {
	for i := range t {
		t[i] = i < 0x20 || i == '"' || i == '\\' || i >= utf8.RuneSelf
	}
	return t
}()

// str reads a string.
func (d *decoder) str() (string, bool) {
	if !d.next('"') {
		return "", false
	}
	s := d.s
	from, i, plain, ascii := d.at, d.at, true, true
	for ; i < len(s); i++ {
		c := s[i]
		if !stops[c] {
			continue
		}
		switch {
		case c == '"':
			d.at = i + 1
			if !ascii && !utf8.ValidString(s[from:i]) {
				return "", false
			}
			if plain {
				return s[from:i], true
			}
			var out string
			err := json.Unmarshal([]byte(s[from-1:i+1]), &out)
			return out, err == nil
		case c == '\\':
			plain = false
			i++
		case c < 0x20:
			return "", false
		default:
			ascii = false // looked at once the end is found
		}
	}
	return "", false
}

func (d *decoder) strOrNull() (s string, null, ok bool) {
	if d.null() {
		return "", true, true
	}
	s, ok = d.str()
	return s, false, ok
}

func (d *decoder) string(v reflect.Value) bool {
	s, null, ok := d.strOrNull()
	if ok && !null {
		v.SetString(s)
	}
	return ok
}

func (d *decoder) text(v reflect.Value) bool {
	s, null, ok := d.strOrNull()
	if !ok || null {
		return ok
	}
	u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok && u.UnmarshalText([]byte(s)) == nil
}

func (d *decoder) time(v reflect.Value) bool {
	from := d.at
	s, null, ok := d.strOrNull()
	if !ok || null {
		return ok
	}
	if len(s) != d.at-from-2 {
		return false // written with escapes
	}
	return v.Addr().Interface().(*time.Time).UnmarshalText([]byte(s)) == nil
}

func (d *decoder) bool(v reflect.Value) bool {
	switch rest := d.s[d.at:]; {
	case strings.HasPrefix(rest, "true"):
		d.at += 4
		v.SetBool(true)
	case strings.HasPrefix(rest, "false"):
		d.at += 5
	default:
		return d.null()
	}
	return true
}

// digits reads a whole number without its sign.
func (d *decoder) digits() (n uint64, ok bool) {
	from := d.at
	for ; d.at < len(d.s); d.at++ {
		c := d.s[d.at] - '0'
		if c > 9 {
			break
		}
		if n > (math.MaxUint64-9)/10 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	if d.at == from || d.at > from+1 && d.s[from] == '0' {
		return 0, false
	}
	if d.at < len(d.s) {
		switch d.s[d.at] {
		case '.', 'e', 'E':
			return 0, false
		}
	}
	return n, true
}

func (d *decoder) int(v reflect.Value) bool {
	if d.null() {
		return true
	}
	minus := d.next('-')
	n, ok := d.digits()
	if !ok || n > math.MaxInt64 {
		return false
	}
	x := int64(n)
	if minus {
		x = -x
	}
	if v.OverflowInt(x) {
		return false
	}
	v.SetInt(x)
	return true
}

func (d *decoder) uint(v reflect.Value) bool {
	if d.null() {
		return true
	}
	n, ok := d.digits()
	if !ok || v.OverflowUint(n) {
		return false
	}
	v.SetUint(n)
	return true
}

func (d *decoder) strings(v reflect.Value) bool {
	if d.null() {
		return true
	}
	if !d.next('{') {
		return false
	}
	m := map[string]string{}
	*v.Addr().Interface().(*map[string]string) = m
	if d.next('}') {
		return true
	}
	for {
		k, ok := d.str()
		if !ok || !d.next(':') {
			return false
		}
		x, null, ok := d.strOrNull()
		if !ok || null {
			return false
		}
		m[k] = x
		if !d.next(',') {
			return d.next('}')
		}
	}
}

// skip goes over a value and says where it ends. It finds the end of any value
// that is valid, and may go over one that isn't.
func (d *decoder) skip() bool {
	depth := 0
	for d.at < len(d.s) {
		switch c := d.s[d.at]; c {
		case '"':
			for d.at++; ; d.at++ {
				if d.at >= len(d.s) {
					return false
				}
				if d.s[d.at] == '\\' {
					d.at++
				} else if d.s[d.at] == '"' {
					break
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return true
			}
			depth--
		case ',':
			if depth == 0 {
				return true
			}
		}
		d.at++
	}
	return depth == 0
}

// other leaves a value to encoding/json.
func (d *decoder) other(v reflect.Value) bool {
	from := d.at
	return !d.strict && d.skip() && json.Unmarshal([]byte(d.s[from:d.at]), v.Addr().Interface()) == nil
}

// pass goes over a value that nobody asked for.
func (d *decoder) pass() bool {
	if d.at < len(d.s) && d.s[d.at] == '"' {
		_, ok := d.str()
		return ok
	}
	from := d.at
	return d.skip() && json.Valid([]byte(d.s[from:d.at]))
}

func sliceDecoder(t reflect.Type) decodeFunc {
	elem := decoderOf(t.Elem())
	return func(d *decoder, v reflect.Value) bool {
		if d.null() {
			return true
		}
		if !d.next('[') {
			return false
		}
		if d.next(']') {
			v.Set(reflect.MakeSlice(t, 0, 0))
			return true
		}
		from := d.at
		s := reflect.MakeSlice(t, 1, 1)
		for n := 0; ; {
			if n == s.Len() {
				// Few elements are the rule; where there are many, those to come are as
				// long as those that were.
				more := 4 * n
				if n >= 256 {
					more = max(more, min(n*64, n+n/8+(len(d.s)-d.at)/max((d.at-from)/n, 1)))
				}
				grown := reflect.MakeSlice(t, more, more)
				reflect.Copy(grown, s)
				s = grown
			}
			if !elem(d, s.Index(n)) {
				return false
			}
			n++
			if d.next(',') {
				continue
			}
			v.Set(s.Slice3(0, n, n))
			return d.next(']')
		}
	}
}

// field is one of a struct.
type field struct {
	name   string
	index  []int // with those of the structs that it is embedded in
	decode decodeFunc
}

// maxFields is how many of a struct can be kept count of.
const maxFields = 64

func structDecoder(t reflect.Type) decodeFunc {
	fields, ok := fieldsOf(t, nil, nil)
	if !ok || len(fields) > maxFields {
		return nil
	}
	by := map[string]int{}
	for i := range fields {
		if _, twice := by[fields[i].name]; twice {
			return nil // which of them counts, encoding/json knows
		}
		by[fields[i].name] = i
	}
	return func(d *decoder, v reflect.Value) bool {
		if d.null() {
			return true
		}
		if !d.next('{') {
			return false
		}
		if d.next('}') {
			return true
		}
		var seen uint64
		for i := 0; ; {
			key, ok := d.str()
			if !ok || !d.next(':') {
				return false
			}
			// They come as they stand in the struct, some left out.
			k := i
			for k < len(fields) && k < i+4 && fields[k].name != key {
				k++
			}
			if k == len(fields) || k == i+4 || fields[k].name != key {
				if k, ok = by[key]; !ok {
					if d.strict || folds(fields, key) || !d.pass() {
						return false
					}
					if d.next(',') {
						continue
					}
					return d.next('}')
				}
			}
			f := &fields[k]
			if seen&(1<<k) != 0 {
				return false // twice: they would be laid over each other
			}
			seen |= 1 << k
			at := v
			for _, x := range f.index {
				at = at.Field(x)
			}
			if !f.decode(d, at) {
				return false
			}
			i = k + 1
			if !d.next(',') {
				return d.next('}')
			}
		}
	}
}

// folds says that encoding/json could take key for one of fields, which are other
// words.
func folds(fields []field, key string) bool {
	for i := range fields {
		if strings.EqualFold(fields[i].name, key) {
			return true
		}
	}
	return false
}

func fieldsOf(t reflect.Type, index []int, out []field) ([]field, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, opts, _ := strings.Cut(tag, ",")
		if strings.Contains(opts, "string") {
			return nil, false
		}
		own := append(append([]int{}, index...), i)
		if f.Anonymous && name == "" {
			// A struct with words of its own, or behind a pointer, or hidden: rare.
			if f.Type.Kind() != reflect.Struct || !f.IsExported() || reflect.PointerTo(f.Type).Implements(jsonType) || reflect.PointerTo(f.Type).Implements(textType) {
				return nil, false
			}
			var ok bool
			if out, ok = fieldsOf(f.Type, own, out); !ok {
				return nil, false
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if !plainName(name) {
			return nil, false
		}
		out = append(out, field{name, own, decoderOf(f.Type)})
	}
	return out, true
}

// plainName says that encoding/json takes name from a tag.
func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return name != ""
}
