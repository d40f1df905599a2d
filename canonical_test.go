package impound

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// byTree is the plain way to CanonicalJSON.
func byTree(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(x); err != nil { // encoding/json sorts the keys of maps
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func sameAsTree(t *testing.T, v any) {
	t.Helper()
	want, werr := byTree(v)
	got, err := CanonicalJSON(v)
	if (err != nil) != (werr != nil) || !bytes.Equal(got, want) {
		t.Errorf("%v %s\nwant %v %s", err, got, werr, want)
	}
}

func TestCanonicalJSON(t *testing.T) {
	t.Parallel()
	type inner struct {
		Z, A string
		M    map[string]any `json:"m,omitempty"`
		L    []inner        `json:"l"`
		R    json.RawMessage
	}
	for _, v := range []any{
		nil, true, 0, -7, "", "a<b>&c", "\u2028 \x00 \xff ü \\ \"", []int{}, []int(nil), map[string]int{}, map[string]int{"ü": 1, "a": 2, "\u2028": 3},
		inner{Z: "1", A: "2", L: []inner{{Z: "x"}, {M: map[string]any{"b": nil, "a": []any{1, "2", map[string]any{}}}}}},
		inner{R: json.RawMessage(` { "b" : "\u0041\u003c", "a" : [ 1 , 2 ], "b":{"y":1,"x":2}, "\u0061\u0061":0 } `)},
		map[string]any{"b": 1, "a": json.RawMessage("\"\u2028\xff\"")},
	} {
		sameAsTree(t, v)
	}
	if _, err := CanonicalJSON(make(chan int)); err == nil {
		t.Error("a channel was encoded")
	}
}

func FuzzCanonicalJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"b":[1,{"z":0,"a":"\u00e9"}],"a":null,"b":2}`, `"\ud800"`, `[[],[{}],-1e3,true]`, `{"":{"":""},"\\":"\/"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if json.Valid(b) {
			sameAsTree(t, json.RawMessage(b))
		}
	})
}

// The hash of a value's text is that of the value; other text has none, or another.
func TestHashOfJSON(t *testing.T) {
	t.Parallel()
	v := map[string]any{"z": []any{1, "a<b>&c \u2028 ü", map[string]any{"y": nil, "x": true}}, "a": map[string]any{}}
	want, err := HashOf(v)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := HashOfJSON(b); err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	if got, err := HashOfJSON([]byte(`{"z":[1,"a\u003cb\u003e\u0026c \u2028 \u00fc",{"x":true,"y":null}],"a":{}}`)); err != nil || got != want {
		t.Errorf("in another order: %s, %v, want %s", got, err, want)
	}
	for _, bad := range []string{``, `{`, `[`, `[}`, `{"a"`, `{"a":`, `{"a":1`, `{"a":}`, `"a`, `"\`, `[1,`, `[1]]`, ` {"z":1}`, `{"z": 1}`, `{ }`} {
		if got, err := HashOfJSON([]byte(bad)); err == nil && got == want {
			t.Errorf("%q has the hash of something else", bad)
		}
	}
}

func FuzzHashOfJSON(f *testing.F) {
	f.Add([]byte(`{"z":[1,"a<b",{"x":true}],"a":{}}`))
	f.Add([]byte(`[}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := HashOfJSON(b)
		var v any
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err != nil || d.Decode(&v) != nil {
			return
		}
		var compact bytes.Buffer
		if json.Compact(&compact, b) != nil || !bytes.Equal(compact.Bytes(), b) || !utf8.Valid(b) {
			return
		}
		if want, err := HashOf(json.RawMessage(b)); err != nil || got != want {
			t.Fatalf("%q: %s, want %s, %v", b, got, want, err)
		}
	})
}
