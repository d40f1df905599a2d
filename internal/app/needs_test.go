package app

import (
	"context"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
)

// Every exported method of System stands in Needs, and each that changes
// something refuses every person who lacks its roles, whatever else it is given.
func TestEveryMethodSaysWhoMayCallIt(t *testing.T) {
	log, err := evidence.Open(filepath.Join(t.TempDir(), "evidence"), evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := staffed(t, &System{Evidence: log})
	for _, r := range impound.Roles {
		enrol(t, s, "only-"+string(r), r)
	}
	typ, val := reflect.TypeOf(s), reflect.ValueOf(s)
	seen := map[string]bool{}
	for i := range typ.NumMethod() {
		m := typ.Method(i)
		seen[m.Name] = true
		need, ok := Needs[m.Name]
		switch {
		case !ok:
			t.Errorf("%s: who may call it? Add it to Needs, and ask there with s.may, or read through a door", m.Name)
		case (len(need.Roles) > 0) == (need.Reads || need.Signed):
			t.Errorf("%s: it takes roles, or reads, or comes with a signature: one of them", m.Name)
		case len(need.Roles) == 0 || m.Name == "Start": // the process itself
		default:
			for _, r := range impound.Roles {
				who, _ := s.Casework.Keyring(t.Context())
				p, _ := who.Person("only-" + string(r))
				ctx := impound.WithPrincipal(t.Context(), impound.Principal{ID: p.ID})
				args := []reflect.Value{val}
				named := false
				for k := 1; k < m.Type.NumIn(); k++ {
					in := m.Type.In(k)
					switch {
					case m.Type.IsVariadic() && k == m.Type.NumIn()-1:
					case in == reflect.TypeFor[context.Context]():
						args = append(args, reflect.ValueOf(ctx))
					case in == reflect.TypeFor[Identity]():
						args, named = append(args, reflect.ValueOf(Identity{p, testKey(p.ID)})), true
					case in.Kind() == reflect.String && !named && !need.Unnamed:
						args, named = append(args, reflect.ValueOf(p.ID)), true
					default:
						args = append(args, reflect.Zero(in))
					}
				}
				err := call(m.Func, args)
				refused := impound.KindOf(err) == impound.KindAuth && strings.Contains(err.Error(), "it takes the role")
				if may := slices.Contains(need.Roles, r); may == refused {
					t.Errorf("%s by a person who is %s only: refused %t (%v), the table says %t", m.Name, r, refused, err, !may)
				}
			}
		}
	}
	for name := range Needs {
		if !seen[name] {
			t.Errorf("Needs speaks of %s, which is no method", name)
		}
	}
}

func call(f reflect.Value, args []reflect.Value) (err error) {
	defer func() { _ = recover() }() // it got past the door, with nothing in its hands
	out := f.Call(args)
	err, _ = out[len(out)-1].Interface().(error)
	return err
}
