package main

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/impound/impound/internal/cli"
)

// commands gives every command of the program, as its help tells of them.
func commands(t *testing.T, path ...string) (out []string) {
	t.Helper()
	var b bytes.Buffer
	cli.Main(context.Background(), append(slices.Clone(path), "--help"), cli.Stdio{In: strings.NewReader(""), Out: &b, Err: &b, Getenv: func(string) string { return "" }})
	_, list, ok := strings.Cut(b.String(), "\nAvailable Commands:\n")
	if !ok {
		return []string{strings.Join(path, " ")}
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z0-9-]+) `).FindAllStringSubmatch(list, -1) {
		if m[1] != "help" && m[1] != "completion" {
			out = append(out, commands(t, append(slices.Clone(path), m[1])...)...)
		}
	}
	return out
}

// Every command is measured, or there is a reason why not.
func TestEveryCommand(t *testing.T) {
	all := commands(t)
	if len(all) < 100 {
		t.Fatalf("the help tells of %d commands alone: %v", len(all), all)
	}
	measured := slices.Concat(reads, writes, lasts)
	for _, c := range all {
		in := slices.ContainsFunc(measured, func(m string) bool { return m == c || strings.HasPrefix(m, c+" ") })
		if _, out := leftOut[c]; in == out {
			t.Errorf("impound %s: measured %v, left out %v", c, in, out)
		}
	}
	for c := range leftOut {
		if !slices.Contains(all, c) {
			t.Errorf("there is no impound %s", c)
		}
	}
}
