package intake

import (
	"strings"
	"testing"
)

func TestBrokenAndSpelled(t *testing.T) {
	for in, want := range map[string]string{
		"they used outlook-verify[.]\nnet against":         "outlook-verify.net",
		"they used outlook-verify\n[.]net against":         "outlook-verify.net",
		"they used login[.]\r\n  outlook-verify[.]net now": "login.outlook-verify.net",
		"they used outlook-verify[dot]\nnet":               "outlook-verify.net",
		"outlook-verify dot net":                           "outlook-verify.net",
		"login dot outlook-verify DOT net is":              "login.outlook-verify.net",
		// A hyphen at the end: neither the half nor the whole is proposed.
		"they used outlook-\nverify[.]net against": "",
		"they used outlook-\nverify[.]net again":   "",
		"the dot com boom":                         "",
		"connect the dot to it":                    "",
		"a red dot is on the map":                  "",
		"outlook dot com":                          "",
		"plainword dot net":                        "",
		"one[.]two.\nnext line":                    "",
		"google dot com":                           "",
	} {
		f := Read("report.txt", []byte(in), Options{})
		if got := strings.Join(proposed(f), " "); got != want {
			t.Errorf("%q: proposed %q, want %q (%+v)", in, got, want, f.Names)
		}
		for _, n := range f.Names {
			if n.Name.String() == "verify.net" {
				t.Errorf("%q: half a name, which is a stranger's: %+v", in, n)
			}
			if strings.Contains(in, "outlook-\n") && !strings.Contains(n.Why, "broken over two lines") {
				t.Errorf("%q: %+v", in, n)
			}
		}
	}
	f := Read("report.txt", []byte("plainword dot net"), Options{})
	if len(f.Names) != 1 || !strings.Contains(f.Names[0].Why, "spelled out") {
		t.Errorf("%+v", f.Names)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a-\nb[.]net x dot y-1 dot com\n[.]z")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1<<14 {
			return
		}
		for _, n := range Read("a.txt", []byte(s), Options{}).Names {
			if n.Name.Labels() < 2 || n.Why == "" || n.Sentence == "" {
				t.Fatalf("%q: %+v", s, n)
			}
		}
	})
}
