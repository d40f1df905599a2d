package match

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
)

func builtin(t testing.TB) *Matcher {
	t.Helper()
	m, err := New(Builtin(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMatch(t *testing.T) {
	m := builtin(t)
	for _, tc := range []struct {
		name, brand string
		how         How
		dist        int
	}{
		{"outlook-verify.net", "microsoft", HowCombo, 0},
		{"yahoo-verify.net", "yahoo", HowCombo, 0},
		{"YAHOO-verify.NET.", "yahoo", HowCombo, 0},
		{"*.yahoo-verify.net", "yahoo", HowCombo, 0},
		{"yahoo.xyz", "yahoo", HowTLD, 0},
		{"verifyyahoo.com", "yahoo", HowCombo, 0},
		{"zqpaypalxv.com", "paypal", HowInside, 0},
		{"paypal.evil.example", "paypal", HowSubdomain, 0},
		{"pay-pal.top", "paypal", HowHyphen, 0},
		{"pay.pal-id.top", "paypal", HowDot, 0},
		{"paypa1.com", "paypal", HowHomoglyph, 0},
		{"g00gle-id.com", "google", HowHomoglyph, 0},
		{"rnicrosoft.com", "microsoft", HowHomoglyph, 0},
		{"tvvitter-login.com", "twitter", HowHomoglyph, 0},
		{"xn--ggle-55da.com", "google", HowIDN, 0},
		{"gogle-login.com", "google", HowOmission, 1},
		{"gooogle-login.com", "google", HowRepetition, 1},
		{"gowogle-login.com", "google", HowInsertion, 1},
		{"goolge-login.com", "google", HowTransposition, 1},
		{"yehoo-login.com", "yahoo", HowVowel, 1},
		{"outmook.com", "microsoft", HowBitflip, 1},
		{"outwook.com", "microsoft", HowReplacement, 1},
		{"microsofft-login.com", "microsoft", HowRepetition, 1},
		{"microsof-t.com", "microsoft", HowHyphen, 0},
		{"microsof-login.com", "microsoft", HowOmission, 1},
		{"miccrosofft.com", "microsoft", HowEdits, 2},
	} {
		h, ok := m.Match(tc.name)
		if !ok {
			t.Errorf("%s: nothing found", tc.name)
			continue
		}
		if h.Brand != tc.brand || h.How != tc.how || h.Distance != tc.dist {
			t.Errorf("%s: got %s, %s, %d edits; want %s, %s, %d", tc.name, h.Brand, h.How, h.Distance, tc.brand, tc.how, tc.dist)
		}
		if h.Score <= 0 || h.Score >= 1 || len(h.Reasons) < 2 {
			t.Errorf("%s: score %g with %d reasons", tc.name, h.Score, len(h.Reasons))
		}
	}
}

// The four names that the press printed in March 2019.
func TestMatchTheExample(t *testing.T) {
	m := builtin(t)
	score := map[string]float64{}
	for _, name := range []string{"outlook-verify.net", "yahoo-verify.net", "verification-live.com", "myaccount-services.net"} {
		h, ok := m.Match(name)
		if !ok {
			t.Fatalf("%s is no candidate", name)
		}
		score[name] = h.Score
		if strings.HasPrefix(name, "myaccount") && (h.How != HowLures || h.Brand != "") {
			t.Errorf("%s: got %s of %q, want lure words alone", name, h.How, h.Brand)
		}
	}
	if score["myaccount-services.net"] >= score["outlook-verify.net"] {
		t.Errorf("a name without a brand scores as high as one with: %v", score)
	}
}

// A word that stands in a name often is said once.
func TestLureWordsAreSaidOnce(t *testing.T) {
	h, _ := builtin(t).Match("paypal-login-verify-verify-verify.top")
	for _, r := range h.Reasons {
		if n := strings.Count(r.Text, `"verify"`); n > 1 || r.Code == "lures" && n != 1 {
			t.Errorf("%q", r.Text)
		}
	}
}

func TestMatchNothing(t *testing.T) {
	m := builtin(t)
	for _, name := range []string{
		"", ".", "..", "-", "a", "com", "garden.com", "bakery-of-my-aunt.se",
		"google.com", "mail.google.com", "www.paypal.com.", "login.live.com", "GOOGLE.com", // the brands' own
		"192.0.2.1", "pay pal.com", "paypal\x00.com", "google..com", "xn--.com", "xn--a-.com",
		strings.Repeat("google-", 1500) + ".com",
	} {
		if h, ok := m.Match(name); ok {
			t.Errorf("%.60q: found %+v", name, h)
		}
	}
}

func TestTokenOfTwoBrands(t *testing.T) {
	m, err := New([]Brand{{ID: "mobit", Tokens: []string{"mobit", "smbc"}}, {ID: "smbc", Tokens: []string{"smbc"}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := m.Match("smbc-card.top"); h.Brand != "smbc" {
		t.Errorf("got %q", h.Brand)
	}
}

func TestShortTokensAtEdgesOnly(t *testing.T) {
	m, err := New([]Brand{{ID: "au", Tokens: []string{"au"}}, {ID: "jcb", Tokens: []string{"jcb"}}}, Options{NoLoose: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"au-login.top": "au", "login-au.top": "au", "aulogin.top": "au", "glaube.top": "", "jcb.top": "jcb", "xjcbx.top": "", "my-jcb-id.top": "jcb",
	} {
		if h, _ := m.Match(name); h.Brand != want {
			t.Errorf("%s: got %q, want %q", name, h.Brand, want)
		}
	}
}

// Every name within one edit of a token must be found, wherever the edit is, when
// it begins or ends a word: the keys promise it.
func TestNoEditIsMissed(t *testing.T) {
	for _, token := range []string{"yahoo", "paypal", "netflix", "facebook", "instagram", "myetherwallet"} {
		m, err := New([]Brand{{ID: "b", Tokens: []string{token}}}, Options{NoLoose: true})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{token}
		for i := range len(token) {
			want = append(want, token[:i]+token[i+1:])
			want = append(want, token[:i]+"z"+token[i+1:])
			want = append(want, token[:i]+"z"+token[i:])
			if i+1 < len(token) {
				want = append(want, token[:i]+string(token[i+1])+string(token[i])+token[i+2:])
			}
		}
		want = append(want, token+"z")
		for _, w := range want {
			for _, form := range []string{"%s.com", "xx%s.com", "%sxx.com", "my-%s-id.com"} {
				if len(token) == 5 && form[0] == 'x' && w != token {
					continue // five letters are looked for at the beginning of a word alone
				}
				name := fmt.Sprintf(form, w)
				if h, ok := m.Match(name); !ok {
					t.Errorf("%s: %s not found", token, name)
				} else if h.Distance > 1 {
					t.Errorf("%s: %s found at distance %d", token, name, h.Distance)
				}
			}
		}
	}
}

// What an analyst expects, and what is left out on purpose.
func TestMisspeltPlaces(t *testing.T) {
	m, err := New([]Brand{{ID: "paypal", Tokens: []string{"paypal"}}, {ID: "amazon", Tokens: []string{"amazon"}}, {ID: "yahoo", Tokens: []string{"yahoo"}}}, Options{NoLoose: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"secure-amazn-login.com": "amazon", "arnazon.com": "amazon", "wwwpaypol.com": "paypal", "paypolonline.com": "paypal", "amazno24shop.top": "amazon",
		"static-lamaloneto.top": "amazon", "amazno1.top": "amazon", "yahooologin.com": "yahoo", "my-yaho.top": "yahoo", "mypaypalonline.com": "paypal",
		"mypaypolonline.com": "", "zzyaho.com": "",
	} {
		if h, _ := m.Match(name); h.Brand != want {
			t.Errorf("%s: got %q, want %q", name, h.Brand, want)
		}
	}
}

func TestWordEdits(t *testing.T) {
	for _, tc := range []struct {
		word, tok string
		want      int
	}{{"smbc", "smbc", 0}, {"smdc", "smbc", 1}, {"kitten", "sitting", 3}, {"abc", "", 3}, {"rakutoem", "rakuten", 2}, {"a", "b", 1}} {
		var peq [32]uint64
		for i, c := range foldToken(tc.word) {
			peq[c] |= 1 << i
		}
		if got := wordEdits(&peq, len(tc.word), foldToken(tc.tok)); got != tc.want {
			t.Errorf("%s, %s: %d edits, want %d", tc.word, tc.tok, got, tc.want)
		}
	}
}

func TestLoadBrands(t *testing.T) {
	got, err := LoadBrands(strings.NewReader(`{"b":{"domains":["B.example"],"tokens":["B-rand","brand"]},"a":{"domains":[],"tokens":["aa"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Brand{{ID: "a", Tokens: []string{"aa"}}, {ID: "b", Domains: []string{"b.example"}, Tokens: []string{"brand"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for in, say := range map[string]string{
		``: "couldn't read brands", `{}`: "no brand", `[]`: "couldn't read", `{"a":{"tokens":["x"]}}`: "brand a",
		`{"a":{"domains":["-"],"tokens":["xx"]}}`: "brand a", `{"a":{"tokens":[]}}`: "no tokens", `{"a":{"tocken":["xx"]}}`: "tocken",
	} {
		_, err := LoadBrands(strings.NewReader(in))
		if impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: got %v", in, err)
		}
	}
}

func TestScores(t *testing.T) {
	m := builtin(t)
	var out bytes.Buffer
	in := "garden.com\noutlook-verify.net\textra\n\nbad name\x00\nyahoo-verify.net\r\n"
	if err := Scores(context.Background(), m, strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines for 5: %q", len(lines), lines)
	}
	if lines[0] != "garden.com\t0" || lines[2] != "\t0" || lines[3] != "bad name\x00\t0" {
		t.Errorf("names without a hit: %q", lines)
	}
	for i, brand := range map[int]string{1: "microsoft", 4: "yahoo"} {
		if f := strings.Split(lines[i], "\t"); len(f) != 3 || f[2] != brand {
			t.Errorf("line %d: %q", i, lines[i])
		}
	}
}

func TestReasonsAddUp(t *testing.T) {
	m := builtin(t)
	for _, name := range []string{"outlook-verify.net", "paypa1.evil.top", "gooogle.se", "myaccount-services.net"} {
		h, _ := m.Match(name)
		sum := 0.0
		for _, r := range h.Reasons {
			sum += r.Weight
		}
		if d := squash(sum) - h.Score; d > 0.01 || d < -0.01 {
			t.Errorf("%s: reasons make %g, score is %g", name, squash(sum), h.Score)
		}
	}
}

func TestScoreDoesNotAllocate(t *testing.T) {
	m := builtin(t)
	for _, name := range []string{"example.com", "outlook-verify.net", "rnicrosoft.com", "login.live.com"} {
		b := []byte(name)
		if n := testing.AllocsPerRun(100, func() { m.Score(b) }); n != 0 {
			t.Errorf("%s: %g allocations", name, n)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, s := range []string{
		"outlook-verify.net", "xn--ggle-55da.com", "xn--99999999999", "*.a.b", "a\x00b", "пример.рф", "rnvvrnvv.com", "pay.pal.a.b.c",
		strings.Repeat("a", 10_000), strings.Repeat("google.", 40), "192.0.2.1", "::1", "au.", "-.-.-",
	} {
		f.Add(s)
	}
	m := builtin(f)
	f.Fuzz(func(t *testing.T, s string) {
		h, ok := m.Match(s)
		p, brand := m.Score([]byte(s))
		if p < 0 || p >= 1 {
			t.Fatalf("score %g", p)
		}
		if ok && h.How != HowLures && (h.Score != p || h.Brand != brand) {
			t.Fatalf("Match says %s %g, Score says %s %g", h.Brand, h.Score, brand, p)
		}
		if !slices.Contains([]bool{true}, ok) && p != 0 {
			t.Fatalf("Match finds nothing, Score %g", p)
		}
	})
}

func BenchmarkScore(b *testing.B) {
	m := builtin(b)
	names := [][]byte{[]byte("bakery-of-my-aunt.se"), []byte("nordicnaturetours.se"), []byte("bordadosdagi.com"), []byte("aeccarbonhub.com"), []byte("dramartamaes.com"), []byte("outlook-verify.net")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Score(names[i%len(names)])
	}
}

// A name that spells one brand out is that brand's, though another that it comes near
// to is imitated more often.
func TestSpeltOut(t *testing.T) {
	m, err := New([]Brand{{ID: "paypal", Tokens: []string{"paypal"}, Domains: []string{"paypal.com"}}, {ID: "paypay", Tokens: []string{"paypay"}, Domains: []string{"paypay.ne.jp"}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"paypal.net": "paypal", "www-paypal.com": "paypal", "paypay.net": "paypay", "www-paypay.com": "paypay", "paypai-login.com": "paypal"} {
		h, ok := m.Match(name)
		if !ok || h.Brand != want {
			t.Errorf("%s: %v %q, want %q", name, ok, h.Brand, want)
		}
	}
}
