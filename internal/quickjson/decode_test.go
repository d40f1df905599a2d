package quickjson

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
)

type inner struct {
	A string `json:"a"`
	B int8   `json:"b,omitempty"`
	C []int  `json:"c"`
}

type Embedded struct {
	X string       `json:"x"`
	N impound.Name `json:"n,omitzero"`
}

type word string

type sink struct {
	Embedded
	S    string            `json:"s"`
	W    word              `json:"w"`
	I    int               `json:"i"`
	U    uint16            `json:"u"`
	F    float64           `json:"f"`
	B    bool              `json:"b"`
	P    *inner            `json:"p,omitempty"`
	L    []inner           `json:"l"`
	SS   []string          `json:"ss"`
	NS   []impound.Name    `json:"ns"`
	PP   []*string         `json:"pp"`
	M    map[string]string `json:"m"`
	O    map[string]inner  `json:"o"`
	R    json.RawMessage   `json:"r"`
	Any  any               `json:"any"`
	T    time.Time         `json:"t"`
	IP   netip.Addr        `json:"ip"`
	Raw  []byte            `json:"raw"`
	Arr  [2]int            `json:"arr"`
	Self []sink            `json:"self"`
	Skip string            `json:"-"`
	Case string
	d    int
}

var addr = cmp.Options{cmp.Exporter(func(reflect.Type) bool { return true })}

// same says whether both readers agree, and gives what ours says.
func same(t *testing.T, doc []byte) bool {
	t.Helper()
	var ours, theirs sink
	err, want := Unmarshal(doc, &ours), json.Unmarshal(doc, &theirs)
	if (err == nil) != (want == nil) || err != nil && err.Error() != want.Error() {
		t.Fatalf("%q: %v, want %v", doc, err, want)
	}
	if err == nil {
		if diff := cmp.Diff(theirs, ours, addr); diff != "" {
			t.Fatalf("%q: (-theirs +ours)\n%s", doc, diff)
		}
	}
	var strict sink
	if Strict(doc, &strict) {
		d := json.NewDecoder(bytes.NewReader(doc))
		d.DisallowUnknownFields()
		var theirs sink
		if err := d.Decode(&theirs); err != nil {
			t.Fatalf("%q is read strictly: %v", doc, err)
		}
		if diff := cmp.Diff(theirs, strict, addr); diff != "" {
			t.Fatalf("%q, strictly: (-theirs +ours)\n%s", doc, diff)
		}
	} else if diff := cmp.Diff(sink{}, strict, addr); diff != "" {
		t.Fatalf("%q: something is left\n%s", doc, diff)
	}
	d := decoder{s: string(doc)}
	var quick sink
	return decoderOf(reflect.TypeFor[sink]())(&d, reflect.ValueOf(&quick).Elem()) && d.at == len(doc)
}

// docs are documents, with whether they are read the quick way.
var docs = []struct {
	doc   string
	quick bool
}{
	{`{}`, true}, {`null`, true}, {`{"s":"a","i":-12,"u":65535,"b":true,"f":1.5e3}`, true},
	{`{"x":"up","n":"example.org","s":"ünï","w":"word"}`, true}, {`{"s":"a\n\u00e9\ud83d\ude00\\\""}`, true}, {`{"s":"\ud800"}`, true},
	{`{"l":[{"a":"1","c":[]},{"a":"2","b":3,"c":[1,2,3]}],"p":{"a":"x","c":null},"ss":["a","b","c","d","e","f"],"ns":["a.example","b.example"],"pp":["x",null]}`, true},
	{`{"m":{"k":"v","k":"w"},"o":{"k":{"a":"1","c":[7]}},"r":{"k":[1,2,{"x":"}"}]},"any":[1,"a",{"k":null}],"raw":"aGk=","arr":[1,2],"ip":"192.0.2.1","t":"2026-11-22T01:02:03.5+02:00"}`, true},
	{`{"self":[{"s":"1","self":[{"s":"2"}]}]}`, true}, {`{"t":null,"ip":null,"n":null,"m":null,"l":null,"p":null,"s":null,"i":null,"b":null,"u":null}`, true},
	{`{"unknown":"x","other":{"a":[1,"]"]},"s":"kept"}`, true}, {`{"-":"x","d":"x","Skip":"x"}`, true}, {`{"Case":"x"}`, true},
	{`{"case":"x"}`, false}, {`{"S":"x"}`, false}, {`{"s":"x","s":"y"}`, false}, {`{"l":[{"a":"1"}],"l":[{"b":2}]}`, false}, {`{"ſ":"folds to s"}`, false},
	{` {"s":"a"}`, false}, {`{"s": "a"}`, false}, {`{"s":"a"} `, false}, {`{"s":"a"}x`, false}, {`{"s":"a",}`, false}, {`{"s":"a"`, false}, {`{"s":"a}`, false},
	{`{"i":01}`, false}, {`{"i":-0}`, true}, {`{"i":1.0}`, false}, {`{"i":9223372036854775808}`, false}, {`{"u":65536}`, false}, {`{"u":-1}`, false}, {`{"i":-}`, false}, {`{"i":"1"}`, false},
	{"{\"s\":\"a\x01\"}", false}, {"{\"s\":\"a\xff\"}", false}, {`{"n":"not a name!"}`, false}, {`{"t":"yesterday"}`, false}, {`{"unknown":tru}`, false}, {`{"m":{"k":1}}`, false}, {`{"m":{"k":null}}`, false},
	{`{"l":[{"a":"1"},]}`, false}, {`{"l":[,]}`, false}, {`{"ss":["a"`, false}, {`{"ss":"a"}`, false}, {`[]`, false}, {`"s"`, false}, {``, false}, {`{"s":"\x"}`, false}, {`{"arr":[1,2,3]}`, true}, {`{"raw":"?"}`, false},
}

func TestUnmarshal(t *testing.T) {
	for _, x := range docs {
		if quick := same(t, []byte(x.doc)); quick != x.quick {
			t.Errorf("%q: read quickly: %v", x.doc, quick)
		}
	}
}

func TestStrict(t *testing.T) {
	for doc, want := range map[string]bool{`{"s":"a","l":[{"a":"x"}]}`: true, `{"s":"a","unknown":1}`: false, `{"l":[{"a":"x","z":1}]}`: false, `{"o":{"k":{"z":1}}}`: false, `{"s":"a"}{}`: false} {
		var v sink
		if got := Strict([]byte(doc), &v); got != want {
			t.Errorf("%s: %v", doc, got)
		}
	}
}

func TestUnmarshalLong(t *testing.T) {
	var v sink
	for i := range 3000 {
		v.L = append(v.L, inner{A: "x", C: make([]int, i%7)})
		v.NS = append(v.NS, impound.MustName("a.example"))
	}
	v.Self = []sink{{S: "one"}, {L: v.L[:300]}}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if !same(t, b) {
		t.Error("what json.Marshal writes is not read quickly")
	}
}

func TestUnmarshalTwice(t *testing.T) {
	// Not zero, or no pointer: encoding/json says what becomes of it.
	var v sink
	if err := Unmarshal([]byte(`{}`), v); err == nil {
		t.Error("a value that can't be set")
	}
	if err := Unmarshal([]byte(`{}`), nil); err == nil {
		t.Error("nil")
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, x := range docs {
		f.Add([]byte(x.doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) { same(t, doc) })
}
