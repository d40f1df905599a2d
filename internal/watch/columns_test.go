package watch_test

import (
	"strings"
	"testing"

	"github.com/impound/impound/internal/watch"
)

// Lists come as somebody's program writes them; a name must not be lost because a
// number stands before it.
func TestColumn(t *testing.T) {
	for line, want := range map[string]string{
		"":                                 "",
		"  \t\r":                           "",
		"# a.example":                      "",
		"  # a.example":                    "",
		"a.example":                        "a.example",
		"  a.example \r":                   "a.example",
		"a.example\t2026-01-01":            "a.example",
		"a.example,registrar.example":      "a.example",
		"a.example;b.example":              "a.example",
		"1,a.example,2026-01-01":           "a.example",
		"2026-01-01\ta.example":            "a.example",
		"2026-01-01T00:00:00.5Z,a.example": "a.example",
		"0.0.0.0 a.example":                "a.example",
		"192.0.2.1\ta.example\tb.example":  "a.example",
		"\"a.example\",\"x\"":              "a.example",
		"\"a.example\"":                    "a.example",
		"'7','A.Example.'":                 "A.Example.",
		"3;p\u00e4ypal.example":            "p\u00e4ypal.example",
		"9,a[.]example":                    "a[.]example",
		"\ufeffa.example,x":                "\ufeffa.example",
		"*.a.example x":                    "*.a.example",
		"a..example,b.example":             "a..example", // its fault is to be said
		"id,domain,created":                "id",
		"localhost":                        "localhost",
		"192.0.2.1":                        "192.0.2.1",
		"nul\x00.example,b.example":        "b.example",
		"nul\x00.example":                  "nul\x00.example",
		",,":                               "",
		strings.Repeat("x.", 5000) + " a.example": strings.Repeat("x.", 5000),
	} {
		if got := string(watch.Column([]byte(line))); got != want {
			t.Errorf("%.60q: got %.60q, want %.60q", line, got, want)
		}
	}
}
