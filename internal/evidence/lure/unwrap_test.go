package lure_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound/internal/evidence/lure"
)

var wrapped = []struct {
	link, want string
	by         []string
}{
	{"https://example.org/a?url=https://b.example/", "https://example.org/a?url=https://b.example/", nil},
	{"https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2Flogin.outlook-verify.net%2Fa%3Fb%3Dc&data=05%7C01%7Cbob%40unit.example%7C0&sdata=x&reserved=0", "https://login.outlook-verify.net/a?b=c", []string{"safelinks"}},
	{"https://urldefense.proofpoint.com/v1/url?u=http://www.outlook-verify.net/&k=x%3D&r=bob", "http://www.outlook-verify.net/", []string{"urldefense-v1"}},
	{"https://urldefense.proofpoint.com/v2/url?u=https-3A__outlook-2Dverify.net_a-3Fb-3Dc-5Fd&d=DwMFaQ&c=x&r=y", "https://outlook-verify.net/a?b=c_d", []string{"urldefense-v2"}},
	{"https://urldefense.com/v3/__https://outlook-verify.net/a__;!!tok!abc$", "https://outlook-verify.net/a", []string{"urldefense-v3"}},
	{"https://urldefense.com/v3/__https://outlook-verify.net/a*b**Ac__;IyQm!!tok!abc$", "https://outlook-verify.net/a#b$&c", []string{"urldefense-v3"}},
	{"https://urldefense.com/v3/__https://outlook-verify.net/a*b__;!!tok!abc$", "", nil}, // a character is missing
	{"https://urldefense.com/v3/__https://outlook-verify.net/*a*__;w7bDvA!!tok!abc$", "https://outlook-verify.net/öaü", []string{"urldefense-v3"}},
	{"https://evil-safelinks.protection.outlook.com.example/?url=https://b.example/", "", nil},
	{"https://eur01.safelinks.protection.outlook.com/?url=javascript:alert(1)", "", nil},
	{"https://eur01.safelinks.protection.outlook.com/?url=" + url.QueryEscape("https://urldefense.com/v3/__https://outlook-verify.net/a__;!!tok!abc$"), "https://outlook-verify.net/a", []string{"safelinks", "urldefense-v3"}},
}

func TestUnwrap(t *testing.T) {
	for _, tt := range wrapped {
		want := tt.want
		if want == "" {
			want = tt.link // can't be read: as it was
		}
		got, by := lure.Unwrap(tt.link)
		if got != want {
			t.Errorf("%s:\n gave %s\n want %s", tt.link, got, want)
		}
		if d := cmp.Diff(tt.by, by); d != "" {
			t.Errorf("%s: wrappers (-want +got):\n%s", tt.link, d)
		}
		if len(by) > 0 && strings.Contains(got, "bob") {
			t.Errorf("%s: the recipient is still in %s", tt.link, got)
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	for _, tt := range wrapped {
		f.Add(tt.link)
	}
	f.Fuzz(func(t *testing.T, link string) {
		got, by := lure.Unwrap(link)
		if len(by) == 0 {
			if got != link {
				t.Errorf("%q became %q by nobody", link, got)
			}
			return
		}
		if u, err := url.Parse(got); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%q gave %q, which is no web link: %v", link, got, err)
		}
	})
}
