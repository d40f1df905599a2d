package impound

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Name is a domain name in its one canonical spelling: A-labels, lower case, no
// trailing dot. The zero Name is no name. Names are comparable and usable as
// map keys. Only [ParseName] makes one, so a Name in hand is well formed:
// labels of 1 to 63 octets of letters, digits, hyphen and underscore, at most
// 253 octets in all (RFC 1035 2.3.4), A-labels that decode and encode back.
type Name struct{ a string }

// toASCII maps case, width and Unicode dots (UTS 46, non-transitional). It does
// not refuse what IDNA 2008 disallows (emoji and the like): registries have
// sold such names and actors use them.
var toASCII = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.ValidateLabels(false))

var refang = strings.NewReplacer(
	"[.]", ".", "(.)", ".", "{.}", ".", "<.>", ".", "[dot]", ".", "(dot)", ".", "{dot}", ".", "<dot>", ".",
	"[:]", ":", "[://]", "://", "[:/]", ":/", "[@]", "@", "(at)", "@", "[at]", "@", "\\.", ".",
	"\u3002", ".", "\uff0e", ".", "\uff61", ".", "[.", ".", ".]", ".",
)

// ParseName reads a name from any spelling that analysts meet: defanged
// (outlook-verify[.]net, hxxps://...), a URL, an e-mail address, upper case,
// an IDN in Unicode or Punycode, with a trailing dot, a port or a wildcard
// label in front. The error is an [Error] of KindInvalid that says which rule
// the input breaks.
func ParseName(in string) (Name, error) {
	if canonical(in) {
		return Name{in}, nil
	}
	return parseName(in)
}

// canonical says that in is a name in its one spelling already, and a plain one:
// nothing to refang, to map or to decode. Large orders hold nothing else, and are
// read at each start of the program. What it is unsure of it leaves to the whole
// reading.
func canonical(in string) bool {
	if len(in) > 253 {
		return false
	}
	label, digits := 0, true // octets of this label so far, and whether all are digits
	for i := range len(in) {
		switch c := in[i]; {
		case c >= 'a' && c <= 'z':
			digits = false
		case c >= '0' && c <= '9':
		case c == '-':
			// Third and fourth, hyphens mean something to IDNA.
			if label == 0 || i+1 == len(in) || in[i+1] == '.' || label == 3 && in[i-1] == '-' {
				return false
			}
			digits = false
		case c == '.':
			if label == 0 {
				return false
			}
			label, digits = 0, true
			continue
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0 && !digits
}

func parseName(in string) (Name, error) {
	if len(in) > 8192 {
		return Name{}, nameErr(in[:40]+"...", "is %d octets long: no name or URL that can be read is that long", len(in))
	}
	s := strings.TrimSpace(in)
	if s == "" {
		return Name{}, &Error{Kind: KindInvalid, Msg: "empty name", Cure: "give a name such as example.org"}
	}
	s = refang.Replace(strings.ToLower(s))
	if i := strings.Index(s, "://"); i >= 0 {
		rest := s[i+3:]
		if j := strings.IndexAny(rest, "/?#\\"); j >= 0 {
			rest = rest[:j]
		}
		if u, err := url.Parse("x://" + rest); err == nil && u.Hostname() != "" {
			s = u.Hostname()
		} else {
			s = rest
		}
	} else if j := strings.IndexAny(s, "/?#\\"); j >= 0 {
		s = s[:j]
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return Name{}, nameErr(in, "is an IP address, not a name")
	}
	if host, port, ok := strings.Cut(s, ":"); ok && isDigits(port) {
		s = host
	}
	s = strings.TrimPrefix(s, "*.")
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return Name{}, nameErr(in, "holds no name")
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return Name{}, nameErr(in, "is an IP address, not a name")
	}
	a, err := toASCII.ToASCII(s)
	if err != nil {
		return Name{}, nameErr(in, "is not a name that IDNA can encode: %v", err)
	}
	a = strings.TrimSuffix(strings.ToLower(a), ".")
	if len(a) > 253 {
		return Name{}, nameErr(in, "is %d octets long as A-labels: at most 253 are allowed", len(a))
	}
	for label := range strings.SplitSeq(a, ".") {
		if msg := labelFault(label); msg != "" {
			return Name{}, nameErr(in, "%s", msg)
		}
	}
	if i := strings.LastIndexByte(a, '.'); isDigits(a[i+1:]) {
		return Name{}, nameErr(in, "ends in a number: that is an address or cut off, no top-level domain is all digits")
	}
	return Name{a}, nil
}

// MustName is ParseName for constants in tests and built-in lists; it panics on
// an error.
func MustName(s string) Name {
	n, err := ParseName(s)
	if err != nil {
		panic(err)
	}
	return n
}

func nameErr(in, format string, args ...any) *Error {
	if len(in) > 80 {
		in = in[:77] + "..."
	}
	e := Errorf(KindInvalid, format, args...)
	e.Msg = "“" + strings.ToValidUTF8(in, "\uFFFD") + "” " + e.Msg
	e.Cure = "write it as in outlook-verify[.]net, without spaces or path"
	return e
}

func labelFault(l string) string {
	switch {
	case l == "":
		return "has an empty label (two dots in a row, or a dot in front)"
	case len(l) > 63:
		return "has a label of more than 63 octets"
	case l[0] == '-' || l[len(l)-1] == '-':
		return "has a label that begins or ends with a hyphen"
	}
	for i := range len(l) {
		if c := l[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return "holds a character that no host name has: " + quoteByte(c)
		}
	}
	if strings.HasPrefix(l, "xn--") {
		u, err := idna.Punycode.ToUnicode(l)
		if err != nil || u == l {
			return "has a label that begins with xn-- but is no Punycode: " + l
		}
		if back, err := toASCII.ToASCII(u); err != nil || back != l {
			return "has an A-label that does not encode back to itself: " + l
		}
	}
	return ""
}

func quoteByte(c byte) string {
	if c > 0x20 && c < 0x7f {
		return string(rune(c))
	}
	const hex = "0123456789abcdef"
	return "0x" + string(hex[c>>4]) + string(hex[c&15])
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// IsZero says whether n is no name.
func (n Name) IsZero() bool { return n.a == "" }

// String gives the A-label form, the form for machines: lower case, no trailing
// dot.
func (n Name) String() string { return n.a }

// FQDN gives the A-label form with the trailing dot, for DNS libraries.
func (n Name) FQDN() string { return n.a + "." }

// Unicode gives the U-label form, the form that a victim saw. Show it beside
// the A-label form, never alone: it can imitate.
func (n Name) Unicode() string {
	u, err := idna.Punycode.ToUnicode(n.a)
	if err != nil {
		return n.a
	}
	return u
}

// Defanged gives the form for people, that no mail client makes a link of:
// outlook-verify[.]net. ParseName reads it back.
func (n Name) Defanged() string { return strings.ReplaceAll(n.a, ".", "[.]") }

// Labels gives the number of labels.
func (n Name) Labels() int {
	if n.a == "" {
		return 0
	}
	return strings.Count(n.a, ".") + 1
}

// TLD gives the last label.
func (n Name) TLD() string { return n.a[strings.LastIndexByte(n.a, '.')+1:] }

// Parent gives the name without its first label, the zero Name for one label.
func (n Name) Parent() Name {
	if i := strings.IndexByte(n.a, '.'); i >= 0 {
		return Name{n.a[i+1:]}
	}
	return Name{}
}

// AtOrBelow says whether n is z or a name below it.
func (n Name) AtOrBelow(z Name) bool {
	return n.a == z.a || z.a != "" && len(n.a) > len(z.a) && strings.HasSuffix(n.a, z.a) && n.a[len(n.a)-len(z.a)-1] == '.'
}

// PublicSuffix gives the longest public suffix at the end of n, and whether the
// rule that says so stands in the private section of the list (a company's
// names, such as blogspot.com, under which strangers hold sub-domains).
func (n Name) PublicSuffix() (suffix Name, private bool) {
	s, icann := publicsuffix.PublicSuffix(n.a)
	// A suffix with a dot that ICANN's section doesn't hold is a private rule;
	// one without is the list's default rule for an unlisted top-level domain.
	return Name{s}, !icann && strings.Contains(s, ".")
}

// IsPublicSuffix says whether strangers register names directly below n.
func (n Name) IsPublicSuffix() bool { s, _ := n.PublicSuffix(); return s == n }

// Registrable gives the registrable domain of n by the public suffix list with
// its private section: the public suffix and one label. For a public suffix
// itself it is an error of KindInvalid.
func (n Name) Registrable() (Name, error) {
	r, err := publicsuffix.EffectiveTLDPlusOne(n.a)
	if err != nil {
		return Name{}, nameErr(n.a, "is a public suffix: it belongs to everyone who registers below it").WithCure("name the registrable domain below it")
	}
	return Name{r}, nil
}

// RegistryDomain gives the name that a registry can act on: the registrable
// domain by the ICANN section of the list alone. For foo.blogspot.com that is
// blogspot.com. For a registry's own suffix it is an error of KindInvalid.
func (n Name) RegistryDomain() (Name, error) {
	for m := n; ; {
		s, private := m.PublicSuffix()
		if !private {
			return m.Registrable()
		}
		m = s
		// Step inside the private suffix: judge it as a name of its own by
		// looking at the rule that covers its parent.
		p := m.Parent()
		if ps, priv := p.PublicSuffix(); !priv && ps == p {
			return m, nil
		}
		m = p
	}
}

// MarshalText gives the A-label form.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.a), nil }

// UnmarshalText parses as ParseName; an empty text gives the zero Name.
func (n *Name) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*n = Name{}
		return nil
	}
	p, err := ParseName(string(b))
	if err != nil {
		return err
	}
	*n = p
	return nil
}
