package quickjson

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzAppendIndent(f *testing.F) {
	for _, x := range docs {
		f.Add([]byte(x))
	}
	for _, s := range []string{`[]`, `[[],{},[{}],{"a":[]}]`, `[1,-2.5e3,"a,b:{}[]\"\\",true,null]`, `"x"`, `7`, `{"a":{"b":{"c":[1,[2,[3]]]}},"":""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var src, want bytes.Buffer
		if json.Compact(&src, doc) != nil {
			return
		}
		for _, x := range [][2]string{{"", "  "}, {"  ", "  "}, {"", "\t"}} {
			want.Reset()
			if err := json.Indent(&want, src.Bytes(), x[0], x[1]); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.String(), string(AppendIndent(nil, src.Bytes(), x[0], x[1]))); diff != "" {
				t.Fatalf("%s: %s", doc, diff)
			}
		}
	})
}
