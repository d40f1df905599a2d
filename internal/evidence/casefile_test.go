package evidence_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/impound/impound/internal/peertest"
)

// casePart gives the bundle's description, and the hashes of its artefacts.
func casePart(t *testing.T, ms []member) (graph []byte, hashes []string) {
	t.Helper()
	for _, m := range ms {
		if m.name == "case-uco.jsonld" {
			graph = m.body
		}
		if h, ok := strings.CutPrefix(m.name, "artefacts/"); ok {
			hashes = append(hashes, h)
		}
	}
	if graph == nil || len(hashes) == 0 {
		t.Fatalf("the bundle has no description, or no artefact")
	}
	slices.Sort(hashes)
	return graph, hashes
}

// TestCaseUCO holds the description against what the ontologies ask for and
// against the bundle.
func TestCaseUCO(t *testing.T) {
	l := open(t, folder(t))
	fill(t, l)
	graph, hashes := casePart(t, unpack(t, export(t, l, "C-1")))
	if again, _ := casePart(t, unpack(t, export(t, l, "C-1"))); string(again) != string(graph) {
		t.Error("the same entries give another description")
	}
	var doc struct {
		Context map[string]string `json:"@context"`
		Graph   []map[string]any  `json:"@graph"`
	}
	if err := json.Unmarshal(graph, &doc); err != nil {
		t.Fatal(err)
	}
	uuid := regexp.MustCompile(`^kb:[a-z-]+-[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	defined, used, types := map[string]int{}, map[string]bool{}, map[string]int{}
	var found []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			id, _ := v["@id"].(string)
			kind, _ := v["@type"].(string)
			if id != "" {
				if !uuid.MatchString(id) {
					t.Errorf("the identifier %q does not end in a UUID", id)
				}
				if kind != "" {
					defined[id]++
				} else {
					used[id] = true
				}
			}
			if kind == "xsd:hexBinary" {
				found = append(found, v["@value"].(string))
			}
			if _, value := v["@value"]; !value {
				types[kind]++
			}
			for k, x := range v {
				if prefix, _, ok := strings.Cut(k, ":"); ok && doc.Context[prefix] == "" {
					t.Errorf("the term %q has an unknown prefix", k)
				} else if !ok && !strings.HasPrefix(k, "@") {
					t.Errorf("the term %q has no prefix", k)
				}
				walk(x)
			}
		}
	}
	for _, n := range doc.Graph {
		walk(n)
	}
	for id, n := range defined {
		if n > 1 {
			t.Errorf("%s is defined %d times", id, n)
		}
	}
	for id := range used {
		if defined[id] == 0 {
			t.Errorf("%s is spoken of and not there", id)
		}
	}
	slices.Sort(found)
	if !slices.Equal(found, hashes) {
		t.Errorf("hashes %v; want those of the artefacts, %v", found, hashes)
	}
	if n := types["case-investigation:InvestigativeAction"]; n != 5 {
		t.Errorf("%d actions; want one for each of the 5 entries", n)
	}
	if n := types["case-investigation:Investigation"]; n != 1 {
		t.Errorf("%d investigations", n)
	}
}

// TestCaseUCOReadByOthers reads the description with RDFLib, and asks it in
// SPARQL for the files, who captured each, and when.
func TestCaseUCOReadByOthers(t *testing.T) {
	t.Parallel()
	const python = "/usr/bin/python3"
	peertest.NeedThat(t, "RDFLib", exec.Command(python, "-c", "import rdflib.plugins.parsers.jsonld").Run() == nil, "apt-get install python3-rdflib")
	l := open(t, folder(t))
	fill(t, l)
	graph, hashes := casePart(t, unpack(t, export(t, l, "C-1")))
	file := filepath.Join(t.TempDir(), "case-uco.jsonld")
	if err := os.WriteFile(file, graph, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", `
import sys, rdflib
g = rdflib.Graph().parse(sys.argv[1], format="json-ld")
q = """PREFIX a: <https://ontology.unifiedcyberontology.org/uco/action/>
PREFIX c: <https://ontology.unifiedcyberontology.org/uco/core/>
PREFIX i: <https://ontology.caseontology.org/case/investigation/>
PREFIX o: <https://ontology.unifiedcyberontology.org/uco/observable/>
PREFIX t: <https://ontology.unifiedcyberontology.org/uco/types/>
SELECT DISTINCT ?hash ?who ?when WHERE {
 ?act a i:InvestigativeAction ; a:performer/c:name ?who ; a:startTime ?when ; a:result ?rec .
 ?rec a i:ProvenanceRecord ; c:object ?file .
 ?file c:hasFacet/o:hash/t:hashValue ?hash . }"""
for r in g.query(q): print(r.hash.lower(), r.who, r.when)
`, file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, h := range hashes {
		if !strings.Contains(string(out), h+" ") {
			t.Errorf("RDFLib does not find %s in the description; it finds:\n%s", h, out)
		}
	}
}
