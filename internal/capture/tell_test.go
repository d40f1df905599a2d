package capture

import (
	"net/http"
	"strings"
	"testing"
)

func TestTell(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/" {
			http.Redirect(rw, q, "/owa/", http.StatusFound)
			return
		}
		_, _ = rw.Write([]byte(signIn))
	}))
	r := noPicture(t, w)
	for kind, want := range map[string]string{
		KindWHOIS:    "whois of outlook-verify[.]example: nothing seen",
		KindTLS:      "tls of outlook-verify[.]example: TLS 1.3, 1 certificate",
		KindLooks:    "http of outlook-verify[.]example: answers 200, title “Sign in”, with a field for a password, at the path /owa/",
		KindGating:   "what different visitors of outlook-verify[.]example are shown: none seen",
		KindManifest: "captured of outlook-verify[.]example with their hashes",
	} {
		body := r.find(t, kind).Body
		if got := Tell(kind, body); !strings.Contains(got, want) {
			t.Errorf("%s: %q", kind, got)
		}
		if got := Tell(kind, body[:len(body)/2]); got != "" {
			t.Errorf("half a %s tells %q", kind, got)
		}
	}
	if got := Tell(KindWARC, []byte("x")); got != "" {
		t.Errorf("%q", got)
	}
}

func FuzzTell(f *testing.F) {
	for _, k := range []string{KindWHOIS, KindTLS, KindLooks, KindGating, KindBrowser, KindManifest} {
		f.Add(k, []byte(`{"name":"a.example","verdict":"gated","url":"https://a.example/","server_name":"a.example","title":"\u001b\u202e"}`))
		f.Add(k, []byte(`[{"steps":[{"url":"http://a.example/"}],"status":200,"title":"x\ny"}]`))
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		if s := Tell(kind, b); len(s) > 1100 || strings.ContainsAny(s, "\n\x1b\u202e") {
			t.Fatalf("%q", s)
		}
	})
}
