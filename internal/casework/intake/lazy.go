package intake

import (
	"regexp"
	"sync"
)

// lazy compiles an expression when it is first used: all of them take 7 ms, which
// every command of the program would wait for.
func lazy(s string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(s) })
}
