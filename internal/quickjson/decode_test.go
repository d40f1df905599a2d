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
}

var addr = cmp.Options{cmp.Exporter(func(reflect.Type) bool { return true })}

// same fails where the two readers differ.
func same(t *testing.T, doc []byte) {
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
}

var docs = []string{
	`{}`, `null`, `{"s":"a","i":-12,"u":65535,"b":true,"f":1.5e3}`,
	`{"x":"up","n":"example.org","s":"ünï","w":"word"}`, `{"s":"a\n\u00e9\ud83d\ude00\\\""}`, `{"s":"\ud800"}`,
	`{"l":[{"a":"1","c":[]},{"a":"2","b":3,"c":[1,2,3]}],"p":{"a":"x","c":null},"ss":["a","b","c","d","e","f"],"ns":["a.example","b.example"],"pp":["x",null]}`,
	`{"m":{"k":"v","k":"w"},"o":{"k":{"a":"1","c":[7]}},"r":{"k":[1,2,{"x":"}"}]},"any":[1,"a",{"k":null}],"raw":"aGk=","arr":[1,2],"ip":"192.0.2.1","t":"2026-11-22T01:02:03.5+02:00"}`,
	`{"self":[{"s":"1","self":[{"s":"2"}]}]}`, `{"t":null,"ip":null,"n":null,"m":null,"l":null,"p":null,"s":null,"i":null,"b":null,"u":null}`,
	`{"unknown":"x","other":{"a":[1,"]"]},"s":"kept"}`, `{"-":"x","d":"x","Skip":"x"}`, `{"Case":"x"}`,
	`{"case":"x"}`, `{"S":"x"}`, `{"s":"x","s":"y"}`, `{"l":[{"a":"1"}],"l":[{"b":2}]}`, `{"ſ":"folds to s"}`,
	` {"s":"a"}`, `{"s": "a"}`, `{"s":"a"} `, `{"s":"a"}x`, `{"s":"a",}`, `{"s":"a"`, `{"s":"a}`,
	`{"i":01}`, `{"i":-0}`, `{"i":1.0}`, `{"i":9223372036854775808}`, `{"u":65536}`, `{"u":-1}`, `{"i":-}`, `{"i":"1"}`,
	"{\"s\":\"a\x01\"}", "{\"s\":\"a\xff\"}", `{"n":"not a name!"}`, `{"t":"yesterday"}`, `{"unknown":tru}`, `{"m":{"k":1}}`, `{"m":{"k":null}}`,
	`{"l":[{"a":"1"},]}`, `{"l":[,]}`, `{"ss":["a"`, `{"ss":"a"}`, `[]`, `"s"`, ``, `{"s":"\x"}`, `{"arr":[1,2,3]}`, `{"raw":"?"}`,
}

func TestUnmarshal(t *testing.T) {
	for _, x := range docs {
		same(t, []byte(x))
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
	same(t, b)
	var quickly sink
	if !Strict(b, &quickly) {
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
		f.Add([]byte(x))
	}
	f.Fuzz(func(t *testing.T, doc []byte) { same(t, doc) })
}

func TestFirst(t *testing.T) {
	for doc, want := range map[string]string{`{"a":{"x":"},]"},"b":1}`: `{"x":"},]"}`, `{"a":1}`: "1", `{"a":[{"b c":"\\"}],"b": 1}`: `[{"b c":"\\"}]`, `{"a":{"x": 1}}`: "", `{"b":1,"a":2}`: "", `{"a":`: "", `{"a":,}`: "", `{"a":"x`: "", ``: ""} {
		got, ok := First([]byte(doc), "a")
		if ok != (want != "") || ok && string(got) != want {
			t.Errorf("%s: %q, %v", doc, got, ok)
		}
	}
}
