package casework

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// TestBelieved: every kind of entry that the ledger's switch knows is among those
// that it asks the log for. One that were missing would be believed by nobody.
func TestBelieved(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "ledger.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	list := func(n ast.Node) (out []string) {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				out = append(out, id.Name)
			}
			return true
		})
		return out
	}
	var asked, known []string
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if n.Names[0].Name == "believed" {
				for _, e := range n.Values[0].(*ast.CompositeLit).Elts {
					asked = append(asked, list(e)...)
				}
			}
		case *ast.SwitchStmt:
			if s, ok := n.Tag.(*ast.SelectorExpr); ok && s.Sel.Name == "What" {
				for _, c := range n.Body.List {
					for _, e := range c.(*ast.CaseClause).List {
						known = append(known, list(e)...)
					}
				}
			}
		}
		return true
	})
	slices.Sort(asked)
	slices.Sort(known)
	if len(known) < 10 || !slices.Equal(asked, known) {
		t.Errorf("the ledger knows %v\nand asks for %v", known, asked)
	}
}
