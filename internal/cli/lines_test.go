package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/impound/impound"
)

// A line that no machine's memory should hold costs that line, not the rest.
func TestEachLineBounds(t *testing.T) {
	var got []string
	in := " a.example\t2026\r\n\n" + strings.Repeat("x", 3*maxTextLine) + "\nb.example"
	err := eachLine(context.Background(), strings.NewReader(in), func(s string) error {
		got = append(got, s)
		return nil
	})
	if err != nil || len(got) != 3 || got[0] != "a.example" || len(got[1]) != maxTextLine || got[2] != "b.example" {
		t.Errorf("got %d lines: %.100q, %v", len(got), got, err)
	}
}

// What only says where is printed without a hole in the middle.
func TestPrintErrorWhere(t *testing.T) {
	in := impound.Errorf(impound.KindNotFound, "b is no candidate").WithCure("look")
	var out bytes.Buffer
	printError(&out, impound.Problems{impound.Errorf(impound.KindOf(in), "%w", in).At("b")})
	if got, want := out.String(), "impound: b: b is no candidate (look)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
