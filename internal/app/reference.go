package app

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
)

// The reference is printed from the comments of the struct itself, so that the
// two can't part.
//
//go:embed config.go
var configSource string

// ConfigReference gives every key of the configuration with its comment.
func ConfigReference() string {
	f, err := parser.ParseFile(token.NewFileSet(), "config.go", configSource, parser.ParseComments)
	if err != nil {
		panic(err) // it compiled
	}
	structs := map[string]*ast.StructType{}
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok {
			for _, s := range g.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok {
					if st, ok := ts.Type.(*ast.StructType); ok {
						structs[ts.Name.Name] = st
					}
				}
			}
		}
	}
	var b strings.Builder
	b.WriteString("# " + ConfigFile + ": every key may be left out.\n")
	var walk func(st *ast.StructType, indent string)
	walk = func(st *ast.StructType, indent string) {
		for _, f := range st.Fields.List {
			tag, _ := strconv.Unquote(f.Tag.Value)
			key, _, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ",")
			b.WriteString("\n")
			if f.Doc != nil {
				for line := range strings.Lines(f.Doc.Text()) {
					b.WriteString(indent + "# " + line)
				}
			}
			t, list := f.Type, false
			if a, ok := t.(*ast.ArrayType); ok {
				t, list = a.Elt, true
			}
			if id, ok := t.(*ast.Ident); ok && structs[id.Name] != nil {
				b.WriteString(indent + key + ":\n")
				if list {
					b.WriteString(indent + "  -\n")
					walk(structs[id.Name], indent+"    ")
				} else {
					walk(structs[id.Name], indent+"  ")
				}
				continue
			}
			b.WriteString(indent + key + ":\n")
		}
	}
	walk(structs["Config"], "")
	return b.String()
}

// ConfigTemplate gives a first configuration to edit.
func ConfigTemplate() string {
	return `# Impound. Every key, with what it means: impound config reference
web: 127.0.0.1:8480

sinkhole:
  sensor: site-1
  # Uncomment when the addresses below are this machine's:
  # listen: ["dns://192.0.2.53:53", "http://192.0.2.53:80", "https://192.0.2.53:443", "smtp://192.0.2.53:25"]
  # answer: [192.0.2.53]
  # ns: [ns1.sinkhole.example, ns2.sinkhole.example]
  # hostmaster: hostmaster.unit.example
  contact: your crimes unit, and how a victim reaches it

# registries:
#   - provider: example-registry
#     role: registry
#     tlds: [example]
#     epp: epp.registry.example:700
#     ca: registry-ca.pem
#     cert: our-client.pem
#     key: our-client.key
#     client_id: IMPOUND
#     password_file: registry.password  # chmod 600: one that others can read is refused
#     rdap: https://rdap.registry.example/

# zones in our own custody, changed by dynamic update or at a host
# zones:
#   - provider: ours
#     zone: example
#     via: dnsupdate
#     server: ns1.ours.example:53
#     secret_file: ours.tsig

# resolvers: ["192.0.2.1:53"]

report:
  organisation: your unit
  from: reports@unit.example
  phone: the switchboard number on your public page
  domain: unit.example
`
}
