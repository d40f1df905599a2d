package registrymap

import (
	"strings"
	"testing"

	"github.com/impound/impound"
)

func TestMap(t *testing.T) {
	m, ps := Read("mine.csv", strings.NewReader("\xef\xbb\xbfname,kind,key,channel,as_of\n# ours\nVerisign,registry,.COM,EPP as verisign,2026-11-21\nNominet,registry,co.uk,mail,\nA Registrar,registrar,0292,,\nx,registry,..,,\nx,registrar,zero,,\nx,host,com,,\n,registry,net,,\nx,registry,net,,yesterday\n"))
	if m == nil || len(ps) != 5 {
		t.Fatalf("%v", ps)
	}
	for i, want := range []string{"mine.csv:6", "mine.csv:7", "mine.csv:8", "mine.csv:9", "mine.csv:10"} {
		if ps[i].Where != want || ps[i].Cure == "" {
			t.Errorf("%v, want %s", ps[i], want)
		}
	}
	e, ok := m.Registry(impound.MustName("outlook-verify.com"))
	if !ok || e.Channel != "EPP as verisign" || e.File != "mine.csv:3" || e.String() != "Verisign, by EPP as verisign" {
		t.Errorf("%+v", e)
	}
	if e, ok := m.Registry(impound.MustName("x.co.uk")); !ok || e.Name != "Nominet" {
		t.Errorf("%+v", e)
	}
	if e, ok := m.Registry(impound.MustName("x.net")); !ok || e.File != "built in" {
		t.Errorf("%+v", e)
	}
	if _, ok := m.Registry(impound.MustName("x.nowhere")); ok {
		t.Error("a registry that nobody named")
	}
	if e, ok := m.Registrar("292"); !ok || e.Name != "A Registrar" {
		t.Errorf("%+v", e)
	}
	if e, ok := m.Registrar("2482"); !ok || e.Source == "" {
		t.Errorf("%+v", e)
	}
	for _, s := range []string{"", "a,b\n", "kind,key\n", "\xff\xfe"} {
		if m, ps := Read("f", strings.NewReader(s)); m != nil || len(ps) == 0 {
			t.Errorf("%q is read as a map", s)
		}
	}
	for _, e := range Builtin().All() {
		if e.Source == "" {
			t.Errorf("%s %s has no source", e.Kind, e.Key)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("kind,key,name\nregistry,com,V\n"))
	f.Add([]byte("kind,key,name,as_of\nregistrar,1,\"a\"\"b\",2026-01-01\n"))
	f.Add(builtin)
	for _, s := range []string{
		"\xef\xbb\xbfname,kind,key\n# x\n\"open,registry,com\n", "kind,key,name\nregistry,xn--p1ai,Cctld\nregistry,РФ,Cctld\n", "kind,key,name\nregistry,..,x\nregistry,.,x\nregistry,com.,x\n",
		"kind,key,name\nregistrar,0000292,x\nregistrar,-1,x\nregistrar,99999999999999999999,x\n", "kind,key,name,channel,contact\nregistry,com,\x1b[2Jx,\"a\nb\",\u202eevil\n", "kind,kind,key,name\nregistry,registrar,com,x\n", "kind,key,name,as_of\nregistry,com,x,0000-00-00\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ps := Read("f", strings.NewReader(string(b)))
		for _, p := range ps {
			if p.Where == "" || p.Cure == "" || strings.ContainsAny(p.Msg, "\n\x1b") {
				t.Errorf("%+v", p)
			}
		}
		if m != nil {
			for _, e := range m.All() {
				if e.Name == "" || strings.ContainsAny(e.String(), "\n\x1b") {
					t.Errorf("%+v", e)
				}
				// What is listed is found by its key, and says where it stands.
				switch e.Kind {
				case "registry":
					n, err := impound.ParseName("x." + e.Key)
					if got, ok := m.Registry(n); err != nil || !ok || got.Key != e.Key {
						t.Errorf("%+v is not found: %v %+v", e, err, got)
					}
				case "registrar":
					if got, ok := m.Registrar(e.Key); !ok || got.Key != e.Key {
						t.Errorf("%+v is not found: %+v", e, got)
					}
				default:
					t.Errorf("%+v is of no kind", e)
				}
				if e.File == "" {
					t.Errorf("%+v stands nowhere", e)
				}
			}
		}
	})
}
