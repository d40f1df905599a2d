package match

import (
	"strings"

	"golang.org/x/net/idna"
)

// The folded alphabet: 0 separates, 1-26 are the letters (l is folded into i),
// then the digits that look like no letter. It fits 5 bits, so three letters
// make a number below 1<<15.
const (
	codeSep   = 0
	codeTwo   = 27
	codeSix   = 28
	codeSeven = 29
	codeEight = 30
	codeNine  = 31
)

// Classes of input bytes.
const (
	clsBad = iota // stands in no host name
	clsLetter
	clsDigit
	clsHyphen
	clsDot
	clsOther // underscore: a separator
)

// Tables by octet: the folded code (0 for separators), the class, lower case.
var foldCode, class, lower = octets()

// octets makes the tables. It is called by a variable's declaration, not by an
// init function: other tables are made from these.
func octets() (foldCode, class, lower [256]uint8) {
	for c := range 256 {
		lower[c] = uint8(c)
		switch {
		case c >= 'a' && c <= 'z':
			foldCode[c], class[c] = letterCode(byte(c)), clsLetter
		case c >= 'A' && c <= 'Z':
			lower[c] = uint8(c) | 0x20
			foldCode[c], class[c] = letterCode(byte(c)|0x20), clsLetter
		}
	}
	for c, l := range map[byte]uint8{
		'0': letterCode('o'), '1': letterCode('i'), '3': letterCode('e'), '4': letterCode('a'), '5': letterCode('s'),
		'2': codeTwo, '6': codeSix, '7': codeSeven, '8': codeEight, '9': codeNine,
	} {
		foldCode[c], class[c] = l, clsDigit
	}
	class['-'], class['.'], class['_'] = clsHyphen, clsDot, clsOther
	return foldCode, class, lower
}

// octet is the same in one place, for the loop that reads every name.
var octet = func() (t [256]struct{ fold, class, lower uint8 }) {
	for c := range t {
		t[c].fold, t[c].class, t[c].lower = foldCode[c], class[c], lower[c]
	}
	return t
}()

func letterCode(c byte) uint8 {
	if c == 'l' {
		c = 'i'
	}
	return c - 'a' + 1
}

// foldToken gives the codes of a cleaned token, without merging digraphs.
func foldToken(t string) []uint8 {
	out := make([]uint8, len(t))
	for i := range len(t) {
		out[i] = foldCode[t[i]]
	}
	return out
}

// mergeDigraphs replaces rn by m and vv by w.
func mergeDigraphs(in []uint8) []uint8 {
	out := make([]uint8, 0, len(in))
	for i := 0; i < len(in); i++ {
		if i+1 < len(in) {
			if in[i] == letterCode('r') && in[i+1] == letterCode('n') {
				out = append(out, letterCode('m'))
				i++
				continue
			}
			if in[i] == letterCode('v') && in[i+1] == letterCode('v') {
				out = append(out, letterCode('w'))
				i++
				continue
			}
		}
		out = append(out, in[i])
	}
	return out
}

// confusable maps characters that look like an ASCII letter to it: those that
// names are really registered with (Cyrillic, Greek, Latin with marks). It is
// our own choice, not the Unicode table.
var confusable = func() map[rune]byte {
	m := map[rune]byte{}
	for ascii, look := range map[byte]string{
		'a': "àáâãäåāăąǎǻạảấầẩẫậắằẳẵặɑαаӑӓ", 'b': "ḃḅḇƀɓвьЬБб", 'c': "çćĉċčƈϲсҫ", 'd': "ďđḋḍḏḑḓɖɗԁժ",
		'e': "èéêëēĕėęěẹẻẽếềểễệεеёєҽӗ", 'f': "ḟƒſϝ", 'g': "ĝğġģǧǵɡցԍ", 'h': "ĥħḣḥḧḩḫһհн", 'i': "ìíîïĩīĭįıǐỉịιίіїɩ",
		'j': "ĵǰјʝ", 'k': "ķĸḱḳḵƙκкқҝ", 'l': "ĺļľŀłḷḹḻḽɭӏⅼΙ", 'm': "ḿṁṃɱмⅿ", 'n': "ñńņňŉŋṅṇṉṋɲƞηппո",
		'o': "òóôõöøōŏőơǒǫọỏốồổỗộớờởỡợοоӧөօσ", 'p': "ṕṗƥρрþ", 'q': "ʠԛզ", 'r': "ŕŗřṙṛṝṟɍгя", 's': "śŝşšșṡṣṥṧṩʂѕ",
		't': "ţťŧțṫṭṯṱƭτт", 'u': "ùúûüũūŭůűųưǔǖǘǚǜụủứừửữựυцս", 'v': "ṽṿνѵ", 'w': "ŵẁẃẅẇẉωшԝա", 'x': "ẋẍχхҳ",
		'y': "ýÿŷȳẏỳỵỷỹƴγуүў", 'z': "źżžẑẓẕƶʐзᴢ",
	} {
		for _, r := range look {
			m[r] = ascii
		}
	}
	return m
}()

// unIDN gives name with each A-label's characters replaced by the ASCII letters
// that they look like, and where that was done; false when no A-label can be
// decoded, or the result would be too long. Characters that look like no letter
// become a hyphen.
func unIDN(name string) (string, [256]bool, bool) {
	var b strings.Builder
	var where [256]bool
	decoded := false
	for i, label := range strings.Split(name, ".") {
		if i > 0 {
			b.WriteByte('.')
		}
		u := label
		if strings.HasPrefix(label, "xn--") {
			d, err := idna.Punycode.ToUnicode(label)
			if err != nil || d == label {
				continue // it stays empty
			}
			u, decoded = d, true
		}
		for _, r := range u {
			if b.Len() >= 253 {
				return "", where, false
			}
			switch c, ok := confusable[r]; {
			case r < 0x80:
				b.WriteByte(byte(r))
			case ok:
				where[b.Len()] = true
				b.WriteByte(c)
			default:
				b.WriteByte('-')
			}
		}
	}
	return b.String(), where, decoded
}
