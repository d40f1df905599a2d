package orderdoc

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/impound/impound"
)

// Diff is what changed from one order to another. Signatures are no part of an
// order and are not compared.
type Diff struct {
	A       string        `json:"a"` // hashes
	B       string        `json:"b"`
	Same    bool          `json:"same"`
	Fields  []FieldChange `json:"fields"` // of the order itself, by path
	Added   []DiffName    `json:"added"`  // by name
	Removed []DiffName    `json:"removed"`
	Changed []NameChange  `json:"changed"`
}

// FieldChange is one field of the order with both its values; "" is absent.
type FieldChange struct {
	Field string `json:"field"`
	A     string `json:"a"`
	B     string `json:"b"`
}

// DiffName is a name that stands in one of the two orders only.
type DiffName struct {
	Name     impound.Name  `json:"name"`
	Appendix string        `json:"appendix"`
	Exhibit  string        `json:"exhibit,omitempty"`
	Acts     []impound.Act `json:"acts"`
}

// NameChange is a name that stands in both, with what is ordered otherwise.
type NameChange struct {
	Name   impound.Name  `json:"name"`
	Fields []FieldChange `json:"fields"`
}

type diffEntry struct {
	on       impound.OrderName
	appendix string
	acts     impound.Acts // in effect: its own, or the order's
}

func entries(o *impound.Order) map[impound.Name]diffEntry {
	m := map[impound.Name]diffEntry{}
	for _, a := range o.Appendices {
		for _, on := range a.Names {
			e := diffEntry{on, a.ID, o.Acts}
			if on.Acts != nil {
				e.acts = *on.Acts
			}
			m[on.Name] = e
		}
	}
	return m
}

// Compare gives what changed from a to b. A change of the order's acts is said
// once, for the order, and again for a name only where the name has acts of its
// own in one of the two.
func Compare(a, b *impound.Order) Diff {
	d := Diff{A: a.Hash(), B: b.Hash(), Fields: []FieldChange{}, Added: []DiffName{}, Removed: []DiffName{}, Changed: []NameChange{}}
	head := func(o *impound.Order) map[string]string {
		c := o.Clone()
		c.Appendices = nil
		return flat(c)
	}
	d.Fields = append(d.Fields, fields(head(a), head(b))...)
	ea, eb := entries(a), entries(b)
	say := func(e diffEntry) DiffName {
		return DiffName{e.on.Name, e.appendix, e.on.Exhibit, append([]impound.Act{}, e.acts.List()...)}
	}
	for n, x := range ea {
		y, both := eb[n]
		if !both {
			d.Removed = append(d.Removed, say(x))
			continue
		}
		fa, fb := map[string]string{}, map[string]string{}
		if x.on.Acts != nil || y.on.Acts != nil {
			fa, fb = flat(struct {
				Acts impound.Acts `json:"acts"`
			}{x.acts}), flat(struct {
				Acts impound.Acts `json:"acts"`
			}{y.acts})
		}
		for m, e := range map[*map[string]string]diffEntry{&fa: x, &fb: y} {
			facts := e.on
			facts.Acts = nil
			for k, v := range flat(facts) { // exhibit, registrar and what else it says
				(*m)[k] = v
			}
			(*m)["appendix"] = e.appendix
		}
		if fs := fields(fa, fb); len(fs) > 0 {
			d.Changed = append(d.Changed, NameChange{n, fs})
		}
	}
	for n, y := range eb {
		if _, both := ea[n]; !both {
			d.Added = append(d.Added, say(y))
		}
	}
	byName := func(x, y DiffName) int { return strings.Compare(x.Name.String(), y.Name.String()) }
	slices.SortFunc(d.Added, byName)
	slices.SortFunc(d.Removed, byName)
	slices.SortFunc(d.Changed, func(x, y NameChange) int { return strings.Compare(x.Name.String(), y.Name.String()) })
	d.Same = len(d.Fields)+len(d.Added)+len(d.Removed)+len(d.Changed) == 0
	return d
}

// flat gives the leaves of v's JSON by path; a list is one leaf, so that a name
// server put in between shows as one change.
func flat(v any) map[string]string {
	out := map[string]string{}
	raw, err := json.Marshal(v)
	if err != nil { // plain data always encodes
		panic(err)
	}
	var x any
	if err := json.Unmarshal(raw, &x); err != nil {
		panic(err)
	}
	var walk func(path string, x any)
	walk = func(path string, x any) {
		switch x := x.(type) {
		case map[string]any:
			for k, y := range x {
				walk(strings.TrimPrefix(path+"."+k, "."), y)
			}
		case []any:
			items := make([]string, len(x))
			for i, y := range x {
				items[i] = fmt.Sprint(y)
			}
			out[path] = strings.Join(items, ", ")
		case nil:
		case float64:
			out[path] = fmt.Sprintf("%.0f", x)
		default:
			out[path] = fmt.Sprint(x)
		}
	}
	walk("", x)
	return out
}

func fields(a, b map[string]string) []FieldChange {
	var out []FieldChange
	for k, v := range a {
		if b[k] != v {
			out = append(out, FieldChange{k, v, b[k]})
		}
	}
	for k, v := range b {
		if _, both := a[k]; !both && v != "" {
			out = append(out, FieldChange{k, "", v})
		}
	}
	slices.SortFunc(out, func(x, y FieldChange) int { return strings.Compare(x.Field, y.Field) })
	return out
}

// Text gives d like a diff: lines that begin with - are of a, with + of b. It is
// empty when the two order the same. Names are defanged.
func (d Diff) Text(a, b string) string {
	if d.Same {
		return ""
	}
	var w strings.Builder
	fmt.Fprintf(&w, "--- %s  %s\n+++ %s  %s\n", a, d.A, b, d.B)
	change := func(indent string, fs []FieldChange) {
		for _, f := range fs {
			va, vb := f.A, f.B
			if strings.Contains(f.Field, "nameservers") {
				va, vb = strings.ReplaceAll(va, ".", "[.]"), strings.ReplaceAll(vb, ".", "[.]")
			}
			if va != "" {
				fmt.Fprintf(&w, "-%s%s: %s\n", indent, f.Field, strings.ReplaceAll(va, "\n", `\n`))
			}
			if vb != "" {
				fmt.Fprintf(&w, "+%s%s: %s\n", indent, f.Field, strings.ReplaceAll(vb, "\n", `\n`))
			}
		}
	}
	if len(d.Fields) > 0 {
		fmt.Fprintf(&w, "@@ the order @@\n")
		change(" ", d.Fields)
	}
	if n := len(d.Added) + len(d.Removed) + len(d.Changed); n > 0 {
		fmt.Fprintf(&w, "@@ names: %d added, %d removed, %d changed @@\n", len(d.Added), len(d.Removed), len(d.Changed))
	}
	one := func(sign string, n DiffName) {
		acts := make([]string, len(n.Acts))
		for i, a := range n.Acts {
			acts[i] = string(a)
		}
		fmt.Fprintf(&w, "%s %s  (appendix %s", sign, n.Name.Defanged(), n.Appendix)
		if n.Exhibit != "" {
			fmt.Fprintf(&w, ", exhibit %s", n.Exhibit)
		}
		fmt.Fprintf(&w, ") %s\n", strings.Join(acts, ", "))
	}
	for _, n := range d.Removed {
		one("-", n)
	}
	for _, n := range d.Added {
		one("+", n)
	}
	for _, n := range d.Changed {
		fmt.Fprintf(&w, "  %s\n", n.Name.Defanged())
		change("   ", n.Fields)
	}
	return w.String()
}
