package quickjson

import "bytes"

// First gives the text of the first member of an object that was read already; name
// is what it must be called. It gives none that holds white space between its parts,
// as json.Marshal writes none.
func First(doc []byte, name string) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(doc, []byte(`{"`+name+`":`))
	if !ok {
		return nil, false
	}
	depth := 0
	for at := 0; at < len(rest); at++ {
		switch rest[at] {
		case '"':
			for at++; at < len(rest) && rest[at] != '"'; at++ {
				if rest[at] == '\\' {
					at++
				}
			}
		case ' ', '\t', '\n', '\r':
			return nil, false
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return rest[:at], at > 0
			}
			if rest[at] != ',' {
				depth--
			}
		}
	}
	return nil, false
}
