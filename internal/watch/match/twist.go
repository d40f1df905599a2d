package match

import (
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/impound/impound"
)

// Variant is a name that could imitate another.
type Variant struct {
	Fuzzer string `json:"fuzzer"` // dnstwist's name for the way it was made
	Name   string `json:"domain"` // A-labels
}

// TwistOptions choose among the ways of [TwistWith].
type TwistOptions struct {
	Fuzzers  []string // only these, by dnstwist's names; nil means all
	Words    []string // what the fuzzer "dictionary" adds; nil means a short list of our own
	Suffixes []string // what the fuzzer "tld-swap" puts in; nil means a list of our own
}

// Fuzzers gives the names of the ways, in the order in which they are tried.
func Fuzzers() []string {
	out := []string{"*original"}
	for _, f := range fuzzers {
		out = append(out, f.name)
	}
	return append(out, "various", "tld-swap")
}

// Twist is [TwistWith] in all ways.
func Twist(name string) ([]Variant, error) { return TwistWith(name, TwistOptions{}) }

// TwistWith gives the names that imitate name, made in the ways and under the
// names that dnstwist uses: *original first, then addition, bitsquatting,
// cyrillic, homoglyph, hyphenation, insertion, omission, plural, repetition,
// replacement, subdomain, transposition, vowel-swap, dictionary, various and
// tld-swap. A name that two fuzzers make is listed once, under the first.
// The error is an [impound.Error] of KindInvalid for what is no registrable
// name, or no fuzzer.
func TwistWith(name string, o TwistOptions) ([]Variant, error) {
	n, err := impound.ParseName(name)
	if err != nil {
		return nil, err
	}
	reg, err := n.Registrable()
	if err != nil {
		return nil, err
	}
	for _, f := range o.Fuzzers {
		if !slices.Contains(Fuzzers(), f) {
			return nil, impound.Errorf(impound.KindInvalid, "there is no fuzzer %q", f).WithCure("choose of: " + strings.Join(Fuzzers(), ", "))
		}
	}
	wanted := func(f string) bool { return o.Fuzzers == nil || slices.Contains(o.Fuzzers, f) }
	label, suffix, _ := strings.Cut(reg.Unicode(), ".")
	sub := strings.TrimSuffix(n.String(), reg.String())
	seen := map[string]bool{n.String(): true}
	var out []Variant
	if wanted("*original") {
		out = append(out, Variant{"*original", n.String()})
	}
	put := func(fuzzer, label, suffix string) {
		s := label + "." + suffix
		a, err := toA.ToASCII(s)
		if err != nil {
			return
		}
		v, err := impound.ParseName(sub + a)
		if err != nil || seen[v.String()] {
			return
		}
		seen[v.String()] = true
		out = append(out, Variant{fuzzer, v.String()})
	}
	for _, f := range fuzzers {
		if !wanted(f.name) {
			continue
		}
		made := f.make(label)
		if f.name == "dictionary" && o.Words != nil {
			made = withWords(label, o.Words)
		}
		for _, l := range made {
			put(f.name, l, suffix)
		}
	}
	if wanted("various") {
		for _, v := range various(label, suffix) {
			put("various", v, suffix)
		}
	}
	if wanted("tld-swap") {
		swap := o.Suffixes
		if swap == nil {
			swap = swapSuffixes
		}
		for _, s := range swap {
			if s != suffix {
				put("tld-swap", label, s)
			}
		}
	}
	return out, nil
}

var toA = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.ValidateLabels(false))

var fuzzers = []struct {
	name string
	make func(string) []string
}{
	{"addition", addition}, {"bitsquatting", bitsquatting}, {"cyrillic", cyrillic}, {"homoglyph", homoglyphs},
	{"hyphenation", hyphenation}, {"insertion", insertion}, {"omission", omission}, {"plural", plural},
	{"repetition", repetition}, {"replacement", replacement}, {"subdomain", subdomain}, {"transposition", transposition},
	{"vowel-swap", vowelSwap}, {"dictionary", dictionary},
}

// keyboards are the neighbours of each key on QWERTY, QWERTZ and AZERTY.
var keyboards = func() []map[byte]string {
	var out []map[byte]string
	for _, rows := range [][]string{
		{"1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"},
		{"1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"},
		{"1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"},
	} {
		m := map[byte]string{}
		for r, row := range rows {
			for i := range len(row) {
				add := func(r2, i2 int) {
					if r2 >= 0 && r2 < len(rows) && i2 >= 0 && i2 < len(rows[r2]) {
						m[row[i]] += string(rows[r2][i2])
					}
				}
				add(r, i-1)
				add(r, i+1)
				add(r-1, i)
				add(r-1, i+1)
				add(r+1, i)
				add(r+1, i-1)
			}
		}
		out = append(out, m)
	}
	return out
}()

const alnum = "abcdefghijklmnopqrstuvwxyz0123456789"

func addition(l string) (out []string) {
	for i := range len(alnum) {
		out = append(out, l+alnum[i:i+1])
	}
	return out
}

func bitsquatting(l string) (out []string) {
	for i := range len(l) {
		if l[i] >= 0x80 {
			continue
		}
		for bit := range 7 {
			c := l[i] ^ 1<<bit
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
				out = append(out, l[:i]+string(rune(c))+l[i+1:])
			}
		}
	}
	return out
}

var cyrLook = map[byte]string{'a': "а", 'b': "ь", 'c': "с", 'd': "ԁ", 'e': "е", 'g': "ԍ", 'h': "һ", 'i': "і", 'j': "ј", 'k': "к", 'l': "ӏ", 'm': "м", 'o': "о", 'p': "р", 'q': "ԛ", 's': "ѕ", 't': "т", 'v': "ѵ", 'w': "ԝ", 'x': "х", 'y': "у"}

// cyrillic replaces the whole label: browsers show mixed scripts as Punycode.
func cyrillic(l string) []string {
	var b strings.Builder
	for i := range len(l) {
		c := l[i]
		switch r, ok := cyrLook[c]; {
		case ok:
			b.WriteString(r)
		case c >= '0' && c <= '9' || c == '-':
			b.WriteByte(c)
		default:
			return nil
		}
	}
	return []string{b.String()}
}

var glyphs = func() map[string][]string {
	m := map[string][]string{
		"0": {"o"}, "1": {"l", "i"}, "2": {"z"}, "3": {"8", "e"}, "5": {"s"}, "6": {"b", "9"}, "8": {"3"}, "9": {"g"},
		"b": {"d", "lb"}, "c": {"e"}, "d": {"b", "cl", "dl"}, "e": {"c"}, "g": {"q"}, "h": {"lh"}, "i": {"1", "l"}, "k": {"lc"}, "l": {"1", "i"},
		"m": {"n", "nn", "rn"}, "n": {"m", "r"}, "o": {"0"}, "q": {"g"}, "u": {"v"}, "v": {"u"}, "w": {"vv"}, "z": {"2"}, "a": {"4"}, "s": {"5"},
		"rn": {"m"}, "vv": {"w"}, "cl": {"d"}, "nn": {"m"},
	}
	for r, c := range confusable {
		if r > 0x7f {
			m[string(c)] = append(m[string(c)], string(r))
		}
	}
	for k := range m {
		slices.Sort(m[k])
		m[k] = slices.Compact(m[k])
	}
	return m
}()

// homoglyphs replaces one or two places.
func homoglyphs(l string) []string {
	once := func(l string) (out []string) {
		for i := range l {
			for n := 1; n <= 2 && i+n <= len(l); n++ {
				for _, g := range glyphs[l[i:i+n]] {
					out = append(out, l[:i]+g+l[i+n:])
				}
			}
		}
		return out
	}
	first := once(l)
	out := first
	for _, f := range first {
		// A second place in ASCII only: with all scripts it would be tens of
		// thousands of names that nobody registers.
		if isASCII(f) {
			for _, g := range once(f) {
				if isASCII(g) {
					out = append(out, g)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func hyphenation(l string) (out []string) {
	for i := 1; i < len(l); i++ {
		if l[i-1] != '-' && l[i] != '-' && l[i] < 0x80 {
			out = append(out, l[:i]+"-"+l[i:])
		}
	}
	return out
}

func insertion(l string) (out []string) {
	for i := 1; i < len(l)-1; i++ {
		for _, k := range keyboards {
			for _, c := range k[l[i]] {
				out = append(out, l[:i]+string(c)+l[i:], l[:i+1]+string(c)+l[i+1:])
			}
		}
	}
	return out
}

func omission(l string) (out []string) {
	for i := range len(l) {
		if l[i] < 0x80 && len(l) > 1 {
			out = append(out, l[:i]+l[i+1:])
		}
	}
	return out
}

func plural(l string) (out []string) {
	for i := 2; i < len(l)-1; i++ {
		s := "s"
		if strings.IndexByte("sxz", l[i-1]) >= 0 {
			s = "es"
		}
		out = append(out, l[:i]+s+l[i:])
	}
	return out
}

func repetition(l string) (out []string) {
	for i := range len(l) {
		if c := l[i]; c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			out = append(out, l[:i]+l[i:i+1]+l[i:])
		}
	}
	return out
}

func replacement(l string) (out []string) {
	for i := range len(l) {
		for _, k := range keyboards {
			for _, c := range k[l[i]] {
				out = append(out, l[:i]+string(c)+l[i+1:])
			}
		}
	}
	return out
}

func subdomain(l string) (out []string) {
	for i := 1; i < len(l); i++ {
		if l[i-1] != '-' && l[i] != '-' && l[i] < 0x80 {
			out = append(out, l[:i]+"."+l[i:])
		}
	}
	return out
}

func transposition(l string) (out []string) {
	for i := 0; i+1 < len(l); i++ {
		if l[i] != l[i+1] && l[i] < 0x80 && l[i+1] < 0x80 {
			out = append(out, l[:i]+string(rune(l[i+1]))+string(rune(l[i]))+l[i+2:])
		}
	}
	return out
}

func vowelSwap(l string) (out []string) {
	const vowels = "aeiou"
	for i := range len(l) {
		if strings.IndexByte(vowels, l[i]) < 0 {
			continue
		}
		for _, v := range vowels {
			if byte(v) != l[i] {
				out = append(out, l[:i]+string(v)+l[i+1:])
			}
		}
	}
	return out
}

var dictWords = []string{"account", "auth", "cloud", "confirm", "help", "id", "info", "login", "mail", "my", "office", "online", "pay", "portal", "secure", "security", "service", "signin", "support", "update", "verify", "web"}

func dictionary(l string) []string { return withWords(l, dictWords) }

func withWords(l string, words []string) (out []string) {
	for _, w := range words {
		out = append(out, l+"-"+w, l+w, w+"-"+l, w+l)
	}
	return out
}

var swapSuffixes = []string{"com", "net", "org", "info", "biz", "co", "io", "me", "app", "dev", "online", "site", "shop", "store", "top", "xyz", "live", "cloud", "support", "services", "us", "uk", "co.uk", "de", "fr", "jp", "cn", "ru", "in", "eu", "ch", "nl", "it", "es", "pl", "tk", "ml", "cf", "ga", "gq", "cc", "vip", "club", "icu", "buzz", "cyou"}

// various are the tricks that fit no other class.
func various(l, suffix string) []string {
	var out []string
	if flat := strings.ReplaceAll(suffix, ".", ""); flat != "" {
		out = append(out, l+flat, l+"-"+flat)
	}
	if suffix != "com" {
		out = append(out, l+"com", l+"-com")
	}
	return append(out, "www"+l, "www-"+l, "ww"+l)
}
