package impound

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestShowOfNoUTF8(t *testing.T) {
	if got := string(Show([]byte("a\x9b2J\xff"))); got != "a[U+FFFD]2J[U+FFFD]" {
		t.Errorf("%q", got)
	}
}

func TestShow(t *testing.T) {
	for in, want := range map[string]string{
		"plain <b>text</b>\n\tübermäßig 中文": "plain <b>text</b>\n\tübermäßig 中文",
		"pay\u202elap":                    "pay[U+202E]lap",
		"pay\u200bpal\u200d\u2066x\u2069": "pay[U+200B]pal[U+200D][U+2066]x[U+2069]",
		"\x1b[2J\x07\u009b":               "[U+001B][2J[U+0007][U+009B]",
		"e\u0301\u0302\u0303\u0304":       "e\u0301\u0302\u0303\u0304", // what languages need
		"e\u0301\u0302\u0303\u0304\u0305": "e\u0301\u0302\u0303\u0304[U+0305]",
		"a\U000e0041b":                    "a[U+E0041]b",
		"a\ufe0fb\u3164":                  "a[U+FE0F]b[U+3164]",
		"a\rb\r\n":                        "a[U+000D]b\r\n",
		"":                                "",
	} {
		if got := string(Show([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		// As JSON it is hidden from the eye, and there for a program.
		b, _ := json.Marshal(in)
		out := ShowJSON(b)
		var back string
		if err := json.Unmarshal(out, &back); err != nil || back != in {
			t.Errorf("%q: %s gives %q, %v", in, out, back, err)
		}
		if strings.ContainsFunc(string(out), Hidden) {
			t.Errorf("%q: %q", in, out)
		}
	}
}

// What DefangText does in steps is what its expression does at once.
func FuzzDefangText(f *testing.F) {
	for _, s := range []string{"see outlook-verify.net.", "http://a.b.example/x?y=z", "a.b", "1.2.3.4", "v1.20", "x.yaml and y.zip", "-a.example", "..a.example..b.example", "a_b.xn--p1ai.", "ſ.example K.ſs", "x[.]example", "a.b\xffc.example", "A.B.EXAMPLE,c.example;d.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := strings.ReplaceAll(strings.ReplaceAll(s, "http://", "hxxp://"), "https://", "hxxps://")
		want = hostLike().ReplaceAllStringFunc(want, defangHost)
		if got := DefangText(s); got != want {
			t.Errorf("DefangText(%q) is %q, want %q", s, got, want)
		}
	})
}
