package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What is shown to people goes through the doors of app and casework, which ask
// what somebody may see. The rooms that System holds open for the house itself
// are not for the command line, the tour, or what the pages read.
func TestPeopleComeThroughTheDoors(t *testing.T) {
	rooms := []string{"Evidence", "Telemetry", "Seizure", "Notify", "Store"}
	// What the pages read of a room counts nothing of a case.
	allowed := map[string]string{
		"desk.go: Telemetry.Cursor": "how far telemetry has read, which Sensors makes a distance of",
		"desk.go: Store.Version":    "whether the house can serve",
	}
	var files []string
	for _, glob := range []string{"../cli/*.go", "../demo/*.go", "../app/desk.go"} {
		fs, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, fs...)
	}
	if len(files) < 20 {
		t.Fatalf("only %d files: did they move?", len(files))
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			outer, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			room, ok := outer.X.(*ast.SelectorExpr)
			if !ok || !slices.Contains(rooms, room.Sel.Name) || allowed[filepath.Base(file)+": "+room.Sel.Name+"."+outer.Sel.Name] != "" {
				return true
			}
			switch x := room.X.(type) {
			case *ast.Ident:
				ok = x.Name == "s" || x.Name == "sys"
			case *ast.SelectorExpr:
				ok = x.Sel.Name == "s" || x.Sel.Name == "sys"
			}
			if ok {
				t.Errorf("%s: %s.%s goes past the doors: use a method of app.System in doors.go, which asks what somebody may see", set.Position(outer.Pos()), room.Sel.Name, outer.Sel.Name)
			}
			return true
		})
	}
}

// Only the edge says in whose name something is asked, and only app says that it
// is the house itself.
func TestOnlyTheEdgeNamesAPrincipal(t *testing.T) {
	may := map[string][]string{
		"WithPrincipal": {"app", "cli", "demo", "web"},
		"AsSystem":      {"app"},
	}
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob("../*/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, deeper...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		room := strings.Split(filepath.ToSlash(file), "/")[1]
		ast.Inspect(f, func(n ast.Node) bool {
			x, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if p, ok := x.X.(*ast.Ident); ok && p.Name == "impound" && may[x.Sel.Name] != nil && !slices.Contains(may[x.Sel.Name], room) {
				t.Errorf("%s: %s names a principal with %s", set.Position(x.Pos()), room, x.Sel.Name)
			}
			return true
		})
	}
}
