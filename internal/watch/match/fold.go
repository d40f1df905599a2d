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

var (
	foldCode [256]uint8 // folded code, 0 for separators
	class    [256]uint8
	lower    [256]uint8
)

func init() {
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
}

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
// that they look like; false when there is nothing to replace. Characters that
// look like no letter become a hyphen.
func unIDN(name string) (string, bool) {
	if !strings.Contains(name, "xn--") {
		return "", false
	}
	var b strings.Builder
	changed := false
	for i, label := range strings.Split(name, ".") {
		if i > 0 {
			b.WriteByte('.')
		}
		u := label
		if strings.HasPrefix(label, "xn--") {
			if d, err := idna.Punycode.ToUnicode(label); err == nil {
				u = d
			}
		}
		for _, r := range u {
			switch c, ok := confusable[r]; {
			case r < 0x80:
				b.WriteByte(byte(r))
			case ok:
				b.WriteByte(c)
				changed = true
			default:
				b.WriteByte('-')
			}
		}
	}
	return b.String(), changed
}
