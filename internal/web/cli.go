package web

import (
	"net/url"
	"strings"
)

// The command lines that give what a table shows stand here, all in one place,
// for the test that runs them.

func cliLine(args ...string) string {
	for i, a := range args {
		args[i] = quote(a)
	}
	return "impound " + strings.Join(args, " ")
}

// quote makes a fit for a POSIX shell: ids come from documents that others
// wrote, and a line is there to be pasted.
func quote(a string) string {
	if a != "" && strings.Trim(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=+,") == "" {
		return a
	}
	clean := strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, a)
	return "'" + strings.ReplaceAll(clean, "'", `'\''`) + "'"
}

func cliFilter(verb []string, q url.Values) string {
	args := append([]string{}, verb...)
	for _, k := range sorted(q) {
		v := q.Get(k)
		switch k {
		case "offset", "limit", "type", "proto": // the command gives them all, and has no such flag
			continue
		case "zone", "name":
			k, v = "name", defang(v) // people read these lines, too
		}
		args = append(args, "--"+k, v)
	}
	return cliLine(args...)
}
