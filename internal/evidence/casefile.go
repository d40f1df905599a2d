package evidence

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
)

// caseFile is the bundle's description in CASE/UCO, for the programs of others.
const caseFile = "case-uco.jsonld"

// caseContext are the ontologies' namespaces (CASE 1.4, UCO 1.4).
var caseContext = map[string]string{
	"case-investigation": "https://ontology.caseontology.org/case/investigation/",
	"kb":                 "urn:impound:kb:",
	"uco-action":         "https://ontology.unifiedcyberontology.org/uco/action/",
	"uco-core":           "https://ontology.unifiedcyberontology.org/uco/core/",
	"uco-identity":       "https://ontology.unifiedcyberontology.org/uco/identity/",
	"uco-observable":     "https://ontology.unifiedcyberontology.org/uco/observable/",
	"uco-tool":           "https://ontology.unifiedcyberontology.org/uco/tool/",
	"uco-types":          "https://ontology.unifiedcyberontology.org/uco/types/",
	"uco-vocabulary":     "https://ontology.unifiedcyberontology.org/uco/vocabulary/",
	"xsd":                "http://www.w3.org/2001/XMLSchema#",
}

type node = map[string]any

// caseGraph collects the nodes of a CASE/UCO graph. Each is there once.
type caseGraph struct {
	origin string
	seen   map[string]bool
	nodes  []node
}

// ref names a node. The ontologies ask for a UUID at the end of an identifier;
// it is made of what the node is (RFC 9562, version 5), so that two bundles of
// one log speak of the same thing by the same identifier.
func (g *caseGraph) ref(kind, key string) node {
	h := sha1.New()
	fmt.Fprintf(h, "impound:%s\x00%s\x00%s", g.origin, kind, key)
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return node{"@id": fmt.Sprintf("kb:%s-%x-%x-%x-%x-%x", kind, u[:4], u[4:6], u[6:8], u[8:10], u[10:])}
}

// add puts n under the identifier of ref, and says whether it is new.
func (g *caseGraph) add(ref, n node) bool {
	id := ref["@id"].(string)
	if g.seen[id] {
		return false
	}
	g.seen[id] = true
	n["@id"] = id
	g.nodes = append(g.nodes, n)
	return true
}

func typed(kind, value string) node { return node{"@type": kind, "@value": value} }

func dateTime(t time.Time) node { return typed("xsd:dateTime", t.UTC().Format(time.RFC3339Nano)) }

func octets(n int64) node { return typed("xsd:integer", fmt.Sprint(n)) }

func (g *caseGraph) domain(n impound.Name) node {
	r := g.ref("domain", n.String())
	g.add(r, node{"@type": "uco-observable:DomainName", "uco-core:hasFacet": []node{{
		"@id": g.ref("domain-facet", n.String())["@id"], "@type": "uco-observable:DomainNameFacet", "uco-observable:value": n.String(),
	}}})
	return r
}

func (g *caseGraph) tool(text string) node {
	r := g.ref("tool", text)
	n := node{"@type": "uco-tool:Tool", "uco-core:name": text}
	if i := strings.LastIndexAny(text, "/ "); i > 0 && i+1 < len(text) && strings.ContainsAny(text[i+1:i+2], "v0123456789") {
		n["uco-core:name"], n["uco-tool:version"] = text[:i], text[i+1:]
	}
	g.add(r, n)
	return r
}

// performer is who acted: a person, or a part of the system.
func (g *caseGraph) performer(by string) node {
	if by == "system" || strings.HasPrefix(by, "sensor:") {
		return g.tool("impound " + by)
	}
	r := g.ref("person", by)
	g.add(r, node{"@type": "uco-identity:Person", "uco-core:name": by})
	return r
}

func (g *caseGraph) file(a *impound.Artefact) node {
	r := g.ref("file", a.Hash)
	hex := strings.TrimPrefix(a.Hash, "sha256:")
	g.add(r, node{"@type": "uco-observable:File", "uco-core:hasFacet": []node{{
		"@id": g.ref("file-facet", a.Hash)["@id"], "@type": "uco-observable:FileFacet",
		"uco-observable:fileName": hex, "uco-observable:filePath": path.Join(artefactsDir, hex), "uco-observable:sizeInBytes": octets(a.Size),
	}, {
		"@id": g.ref("content-facet", a.Hash)["@id"], "@type": "uco-observable:ContentDataFacet",
		"uco-observable:mimeType": a.Media, "uco-observable:sizeInBytes": octets(a.Size),
		"uco-observable:hash": []node{{
			"@id": g.ref("hash", a.Hash)["@id"], "@type": "uco-types:Hash",
			"uco-types:hashMethod": typed("uco-vocabulary:HashNameVocab", "SHA256"), "uco-types:hashValue": typed("xsd:hexBinary", hex),
		}},
	}}})
	return r
}

// caseUCO describes the entries of a bundle as CASE/UCO JSON-LD: an
// investigation, the orders as authorizations, each entry as an investigative
// action with its performer, instrument and time, each artefact as a file with
// its hash and a provenance record whose exhibit number is the entry's number in
// the log. It says nothing that the entries do not say, and the same entries give
// the same octets: so a bundle's own description can be proven by making it again.
// An entry of intent informs the entry of its result.
func caseUCO(origin, caseID string, picked []Indexed) ([]byte, error) {
	g := &caseGraph{origin: origin, seen: map[string]bool{}}
	inv := g.ref("investigation", caseID)
	top := node{
		"@type": "case-investigation:Investigation", "uco-core:name": caseID,
		"case-investigation:investigationForm": typed("https://ontology.caseontology.org/case/vocabulary/InvestigationFormVocab", "case"),
	}
	g.add(inv, top)
	actions := map[string]node{}
	for _, x := range picked {
		actions[x.Entry.ID] = g.ref("action", x.Entry.ID)
	}
	var orders []node
	for _, x := range picked {
		e := x.Entry
		act := node{
			"@type": "case-investigation:InvestigativeAction", "uco-core:name": e.What,
			"uco-action:startTime": dateTime(e.At), "uco-action:endTime": dateTime(e.At),
			"uco-action:performer": g.performer(e.By),
			"uco-core:tag":         []string{string(e.Type)},
		}
		text := []string{fmt.Sprintf("entry %d of the log %s", x.Index, origin)}
		for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
			text = append(text, k+": "+e.Detail[k])
		}
		act["uco-core:description"] = []string{strings.Join(text, "\n")}
		var objects, results []node
		if e.Name != (impound.Name{}) {
			objects = append(objects, g.domain(e.Name))
		}
		if e.Order != "" {
			r := g.ref("authorization", e.Order)
			if g.add(r, node{"@type": "case-investigation:Authorization", "case-investigation:authorizationIdentifier": []string{e.Order}}) {
				orders = append(orders, r)
			}
			objects = append(objects, r)
		}
		if a := e.Artefact; a != nil {
			f := g.file(a)
			p := g.ref("provenance", e.ID)
			g.add(p, node{
				"@type": "case-investigation:ProvenanceRecord", "case-investigation:exhibitNumber": fmt.Sprint(x.Index),
				"uco-core:description": []string{fmt.Sprintf("%s, from %s", a.Kind, a.Source)}, "uco-core:object": []node{f},
			})
			act["uco-action:instrument"] = []node{g.tool(a.Tool)}
			results = append(results, p)
			if a.Name != (impound.Name{}) && e.Name == (impound.Name{}) {
				objects = append(objects, g.domain(a.Name))
			}
		}
		if len(objects) > 0 {
			act["uco-action:object"] = objects
		}
		if len(results) > 0 {
			act["uco-action:result"] = results
		}
		if r, ok := actions[e.Intent]; ok && e.Intent != "" {
			act["case-investigation:wasInformedBy"] = []node{r}
		}
		g.add(actions[e.ID], act)
	}
	if len(picked) > 0 {
		first := picked[0].Entry.At
		for _, x := range picked {
			if x.Entry.Case == caseID && x.Entry.At.Before(first) {
				first = x.Entry.At
			}
		}
		top["uco-core:startTime"] = dateTime(first)
	}
	if len(orders) > 0 {
		top["case-investigation:relevantAuthorization"] = orders
	}
	all := make([]node, 0, len(g.nodes)-1)
	for _, n := range g.nodes[1:] {
		all = append(all, node{"@id": n["@id"]})
	}
	top["uco-core:object"] = all
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // keys of maps come sorted
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(node{"@context": caseContext, "@graph": g.nodes}); err != nil {
		return nil, impound.Errorf(impound.KindInternal, "couldn't encode the case as CASE/UCO: %w", err)
	}
	return b.Bytes(), nil
}
