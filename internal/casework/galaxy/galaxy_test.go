package galaxy_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/galaxy"
)

// The shapes of the two formats; the names are of this test's making.
const (
	misp = `{"name":"Threat Actor","type":"threat-actor","version":331,"values":[
	 {"value":"Paper Heron","uuid":"x","meta":{"synonyms":["HERON-1","Ink\u202eKing","HERON-1"],"refs":["https://example.org/a"],"attribution-confidence":"50"}},
	 {"value":"Bare"},
	 {"value":"???"},
	 7]}`
	attack = `{"type":"bundle","id":"bundle--1","objects":[
	 {"type":"attack-pattern","name":"no actor"},
	 {"type":"intrusion-set","name":"Paper Heron","aliases":["Paper Heron","Slate Reed"],"external_references":[{"source_name":"mitre-attack","external_id":"G9001","url":"https://example.org/g"},{"source_name":"x"}]},
	 {"type":"intrusion-set","name":"Old","revoked":true},
	 {"type":"intrusion-set","name":"Older","x_mitre_deprecated":true}]}`
)

func TestRead(t *testing.T) {
	alias := func(n, source string, c int) impound.Alias {
		return impound.Alias{Name: n, Source: source, Confidence: c}
	}
	for _, tc := range []struct {
		name, in string
		want     []impound.Actor
		problems []galaxy.Problem
	}{
		{"MISP", misp, []impound.Actor{
			{ID: "Paper-Heron", Names: []string{"Paper Heron", "HERON-1", "Ink King"}, Sources: []string{"https://example.org/a"}, Aliases: []impound.Alias{
				alias("Paper Heron", "MISP galaxy Threat Actor 331", 50), alias("HERON-1", "MISP galaxy Threat Actor 331", 50), alias("Ink King", "MISP galaxy Threat Actor 331", 50)}},
			{ID: "Bare", Names: []string{"Bare"}, Aliases: []impound.Alias{alias("Bare", "MISP galaxy Threat Actor 331", 0)}},
		}, []galaxy.Problem{{2, "???", "has no name that could be an id"}, {3, "", "can't be read"}}},
		{"ATT&CK", attack, []impound.Actor{
			{ID: "Paper-Heron", Names: []string{"Paper Heron", "Slate Reed", "G9001"}, Sources: []string{"https://example.org/g"}, Aliases: []impound.Alias{
				alias("Paper Heron", "MITRE ATT&CK G9001", 0), alias("Slate Reed", "MITRE ATT&CK G9001", 0), alias("G9001", "MITRE ATT&CK G9001", 0)}},
		}, []galaxy.Problem{{2, "Old", "is revoked or deprecated in the list: left out"}, {3, "Older", "is revoked or deprecated in the list: left out"}}},
		{"empty bundle", `{"type":"bundle","objects":[]}`, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, problems, err := galaxy.Read(strings.NewReader(tc.in), "file.json")
			if err != nil {
				t.Fatal(err)
			}
			for i := range problems {
				if strings.HasPrefix(problems[i].Text, "can't be read") {
					problems[i].Text = "can't be read" // the rest is the library's words
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("actors (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tc.problems, problems); d != "" {
				t.Errorf("problems (-want +got):\n%s", d)
			}
		})
	}
	for _, in := range []string{"", "<html>", "[]", `{"a":1}`, `{"type":"bundle","objects":7}`, strings.Repeat("[", 100000)} {
		if _, _, err := galaxy.Read(strings.NewReader(in), "file.json"); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%.20q: %v", in, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(misp))
	f.Add([]byte(attack))
	f.Fuzz(func(t *testing.T, b []byte) {
		actors, _, err := galaxy.Read(bytes.NewReader(b), "f")
		if err != nil && len(actors) > 0 {
			t.Error("an error beside actors")
		}
		for _, a := range actors {
			if a.ID == "" || len(a.Names) == 0 || len(a.Names) != len(a.Aliases) || galaxy.ID(a.ID) != a.ID {
				t.Errorf("actor %+v", a)
			}
			for _, n := range a.Names {
				if strings.ContainsAny(n, "\n\r\x00\u202e") {
					t.Errorf("name %q", n)
				}
			}
		}
	})
}
