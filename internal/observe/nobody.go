package observe

import "strings"

// What is said where there is nobody to ask: asking again would say the same.
const (
	NoRDAP    = "no RDAP server is known"
	NoParents = "the parent's servers are not configured"
)

// NobodyAsked says whether why, of a look that saw nothing, tells that there was
// nobody to ask.
func NobodyAsked(why string) bool {
	return strings.Contains(why, NoRDAP) || strings.Contains(why, NoParents)
}
