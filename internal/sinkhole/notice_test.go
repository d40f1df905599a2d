package sinkhole

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/sinkhole/policy"
)

func TestPickLang(t *testing.T) {
	for in, want := range map[string]string{
		"": "en", "*": "en", "xx": "en", "de": "de", "DE-at": "de", "fr-CA, en;q=0.9": "fr",
		"en;q=0.3, uk;q=0.7, pl;q=0.7": "uk", "xx, fr;q=0.8, de;q=0.9": "de", "zh-Hant-TW": "zh", "iw": "he", "in-ID": "id",
		"de;q=0, ar;q=0.001": "ar", "de;q=1.000,fr": "de", "de;q=0.9999, fr;q=0.1": "fr", "de;q=2, it;q=0.1": "it", "de;q=1.001, it;q=0.1": "it",
		"de; Q=0.5, it;q=0.4": "de", " ,;,-,de": "de", "de;q=, it;q=0.": "en", "de;level=1, ko;q=0.5": "ko", "deu, ger": "en", "q=1": "en",
		"de;q=0.5 , fa;q=0.6": "fa", "de;q=1e0, it;q=0.1": "it", "\xff\xfe, lt": "lt", strings.Repeat("x", 498) + ",de": "en",
	} {
		if got := notices[pickLang(in)].Lang; got != want {
			t.Errorf("%.60q: %s, want %s", in, got, want)
		}
	}
}

func FuzzPickLang(f *testing.F) {
	for _, s := range []string{"", "de", "fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5", "de;q=0.9999", "q=", ";q=1", "de;q=\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if i := pickLang(s); i < 0 || i >= len(notices) {
			t.Fatalf("%q gives %d", s, i)
		}
	})
}

// Every language says all that the first one says, with as many steps, and no
// page is so long that it doesn't come at once.
func TestEveryNoticeIsWhole(t *testing.T) {
	if len(notices) < 24 || notices[0].Lang != "en" {
		t.Fatalf("%d languages, the first is %s", len(notices), notices[0].Lang)
	}
	pages := newNoticePages("CSIRT +1 555 0199")
	m := policy.Match{Zone: "outlook-verify.net", Order: &policy.Terms{Hash: "h"}}
	seen := map[string]string{}
	const segment = 1448
	for _, w := range notices {
		p := pages.page(m, w.Lang)
		v := verdict{status: 200, ours: true, page: p, zone: m.Zone}
		whole := v.appendAnswer(nil, &head{method: "GET"}, []byte("Sat, 21 Nov 2026 12:00:30 GMT"))
		all := strings.Join(append([]string{w.Title, w.Name, w.What, w.Happened, w.Kept, w.Court, w.Now, w.Entered, w.Safe, w.Call, w.NoCall}, w.Steps...), "\n")
		most := 2 * segment
		if wide := float64(len(all))/float64(utf8.RuneCountInString(all)) > 1.5; wide {
			most = 4 * segment // in UTF-8 each letter takes two octets, or three
		}
		if len(whole) > most {
			t.Errorf("%s: %d octets, more than %d", w.Lang, len(whole), most)
		}
		if len(w.Steps) != len(notices[0].Steps) || !utf8.ValidString(all) || strings.ContainsAny(all, "<>&\"") || slices.Contains(strings.Split(all, "\n"), "") {
			t.Errorf("%s: incomplete", w.Lang)
		}
		if rtl := regexp.MustCompile(`[\x{590}-\x{6ff}]`).MatchString(all); rtl != (w.Dir == "rtl") || !rtl && w.Dir != "ltr" {
			t.Errorf("%s: written %s", w.Lang, w.Dir)
		}
		for _, s := range strings.Split(all, "\n") {
			if other, ok := seen[s]; ok {
				t.Errorf("%s says in %s: %q", w.Lang, other, s)
			}
			seen[s] = w.Lang
		}
		for _, must := range []string{`lang="` + w.Lang + `" dir="` + w.Dir + `"`, "CSIRT +1 555 0199"} {
			if !bytes.Contains(bytes.ReplaceAll(p.after, []byte("&#43;"), []byte("+")), []byte(must)) && !bytes.Contains(p.before, []byte(must)) {
				t.Errorf("%s: lacks %s", w.Lang, must)
			}
		}
		// With no text of the court's own there is no empty heading for it.
		if bytes.Contains(p.after, []byte(w.Court+"</h2>")) {
			t.Errorf("%s: a heading for a text that is not there", w.Lang)
		}
	}
}

func TestNoticeByCurl(t *testing.T) {
	curl := peertest.Need(t, "curl", "curl")
	r := start(t, usual(t))
	for accept, want := range map[string][2]string{
		"ar-EG,ar;q=0.9,en;q=0.5": {`<html lang="ar" dir="rtl">`, "استُخدم هذا العنوان"},
		"ja":                      {`<html lang="ja" dir="ltr">`, "差し押さえられた名前"},
		"xx":                      {`<html lang="en" dir="ltr">`, "passkey"},
	} {
		out := run(t, "", curl, "-sS", "-i", "-m", "10", "--noproxy", "*", "-H", "Host: outlook-verify.net", "-H", "Accept-Language: "+accept, "http://"+r.addr("http")+"/")
		if !strings.Contains(out, want[0]) || !strings.Contains(out, want[1]) || !strings.Contains(out, "Vary: Accept-Language") || !strings.Contains(out, `<strong dir="ltr">outlook-verify[.]net</strong>`) {
			t.Errorf("%s: %s", accept, out)
		}
	}
}
