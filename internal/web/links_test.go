package web

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
)

// links is a small graph: a candidate shares an address with a name of a case,
// and a hub with many.
type links struct{ now time.Time }

func (l links) Links(_ context.Context, at string, steps int, hubs bool) (LinkView, error) {
	cand := LinkNode{ID: "name:outlook-signin.net", Kind: "name", Label: "name", Show: "outlook-signin[.]net", Status: "open", Score: 0.97, Seen: l.now.Add(-time.Hour)}
	known := LinkNode{ID: "name:outlook-verify.net", Kind: "name", Label: "name", Show: "outlook-verify[.]net", Status: "ordered", Case: "PHOS-2019", Actor: "phosphorus", Seen: l.now.Add(-40 * time.Hour), Steps: 1}
	other := LinkNode{ID: "name:files-share.net", Kind: "name", Label: "name", Show: "files-share[.]net", Status: "on a certificate", Steps: 1}
	addr := LinkNode{ID: "address:192.0.2.7", Kind: "address", Label: "address", Show: "192.0.2.7 (AS64500 Practice Hosting)", Names: 2, Steps: 1}
	cert := LinkNode{ID: "certificate:ab12", Kind: "certificate", Label: "certificate", Show: "ab12 by Let's Encrypt", Names: 2, Steps: 1}
	page := LinkNode{ID: "page:cd34", Kind: "page", Label: "page", Show: `cd34 “<script>alert(1)</script> "& sign in”`, Names: 2, Steps: 1}
	hub := LinkNode{ID: "ns:ada.ns.cloudflare.com", Kind: "ns", Label: "name server", Show: "ada[.]ns[.]cloudflare[.]com", Names: 61, Hub: "many names' servers: Cloudflare", Steps: 1}
	e := func(n, to LinkNode) LinkEdge { return LinkEdge{n.ID, to.ID} }
	switch at {
	case cand.ID:
		return LinkView{Nodes: []LinkNode{cand, cert, addr, page, hub, known, other}, Edges: []LinkEdge{e(cand, addr), e(cand, cert), e(cand, page), e(cand, hub), e(known, addr), e(known, page), e(other, cert)},
			Facts: []LinkFact{{"registrar", "Practice Cheap Names Ltd", ""}, {"network", "AS64500 Practice Hosting", ""}, {"name server", "ada[.]ns[.]cloudflare[.]com", "many names' servers: Cloudflare"}}, Unknown: []string{"registration: the server answers 429"}, Looked: cand.Seen}, nil
	case addr.ID:
		addr.Steps, cand.Steps = 0, 1
		return LinkView{Nodes: []LinkNode{addr, cand, known}, Edges: []LinkEdge{e(cand, addr), e(known, addr)}}, nil
	}
	if strings.HasPrefix(at, "name:") {
		return LinkView{}, nil
	}
	for _, n := range []LinkNode{cert, page, hub} {
		if n.ID == at {
			n.Steps, cand.Steps = 0, 1
			return LinkView{Nodes: []LinkNode{n, cand}, Edges: []LinkEdge{e(cand, n)}}, nil
		}
	}
	return LinkView{}, impound.Errorf(impound.KindNotFound, "nothing is known of it")
}

func (l links) Shared(context.Context, int) ([]LinkNode, error) {
	return []LinkNode{{ID: "address:192.0.2.7", Kind: "address", Label: "address", Show: "192.0.2.7", Names: 2}}, nil
}

func TestLinksPage(t *testing.T) {
	f := newFixture()
	h := handler(f)
	w := get(t, h, "/links?at=name:outlook-signin.net")
	body := w.Body.String()
	for _, want := range []string{"outlook-signin[.]net", `href="/links?at=address%3A192.0.2.7"`, `href="/cases/PHOS-2019"`, "hub: many names&#39; servers: Cloudflare", "Unknown is not clean", "the server answers 429", "<svg class=\"links\"", "Practice Cheap Names Ltd"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page doesn't say %q", want)
		}
	}
	for _, not := range []string{"<script>alert", "outlook-signin.net<", "style=\"", "https://outlook"} {
		if strings.Contains(body, not) {
			t.Errorf("the page says %q", not)
		}
	}
	var got struct {
		Rows []struct{ Name, Case, Kind, Value, SharedByMany string }
	}
	if err := json.Unmarshal(get(t, h, "/links?at=name:outlook-signin.net&format=json&table=edges").Body.Bytes(), &got); err != nil || len(got.Rows) != 7 {
		t.Errorf("edges: %v %+v", err, got)
	}
	if csv := get(t, h, "/links?at=name:outlook-signin.net&format=csv&table=edges").Body.String(); !strings.Contains(csv, "outlook-verify[.]net,PHOS-2019,address,192.0.2.7 (AS64500 Practice Hosting),") {
		t.Errorf("csv: %s", csv)
	}
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/links":                                    {200, "192.0.2.7"},
		"/links?at=outlook-signin[.]net":            {200, "outlook-verify[.]net"},
		"/links?at=never-seen.example":              {200, "Nothing is known of it"},
		"/links?at=address:192.0.2.7":               {200, "2 names have it"},
		"/links?at=address:192.0.2.99":              {404, ""},
		"/links?at=http%3A%2F%2Fx.example%2F":       {404, ""},
		"/links?at=%00":                             {400, ""},
		"/links?at=a.example&steps=9":               {400, ""},
		"/links?at=a.example&what=x":                {400, ""},
		"/links?at=certificate:%22%3E%3Cscript%3E":  {404, ""},
		"/links?at=name:outlook-signin.net&steps=2": {200, "--steps 2"},
	} {
		w := get(t, h, path)
		if w.Code != want.code || !strings.Contains(w.Body.String(), want.text) || strings.Contains(w.Body.String(), "<script>") {
			t.Errorf("%s: %d %.300s", path, w.Code, w.Body.String())
		}
	}
	// Without links there is no page.
	if w := get(t, New(Config{Desk: f, Addr: "127.0.0.1:8080", Now: func() time.Time { return f.now }}), "/links"); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}
