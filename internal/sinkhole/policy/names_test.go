package policy

import (
	"slices"
	"testing"
)

func TestNamesGivesEachOnce(t *testing.T) {
	tab, err := compile([][]string{{"a.com", "b.example", "x.b.example"}, {"a.com", "c.net"}})
	if err != nil {
		t.Fatal(err)
	}
	p := &Policy{table: tab}
	var got []string
	p.Names(func(z string) bool { got = append(got, z); return true })
	slices.Sort(got)
	if want := []string{"a.com", "b.example", "c.net", "x.b.example"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	n := 0
	p.Names(func(string) bool { n++; return n < 2 })
	if n != 2 {
		t.Errorf("it went on: %d", n)
	}
	(*Policy)(nil).Names(func(string) bool { t.Error("nil has names"); return false })
	(&Policy{table: table{}}).Names(func(string) bool { t.Error("an empty one has names"); return false })
}
