package testregistry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/impound/impound"
)

// obj is a JSON object.
type obj = map[string]any

var practiceNotice = obj{"title": "Practice registry", "description": []string{"NOT FOR PRODUCTION. These names and people do not exist."}}

// rdapStatus gives the RDAP spelling of an EPP status (RFC 8056 2).
func rdapStatus(s string) string {
	if s == "ok" {
		return "active"
	}
	var b strings.Builder
	for _, c := range s {
		if unicode.IsUpper(c) {
			b.WriteByte(' ')
			c = unicode.ToLower(c)
		}
		b.WriteRune(c)
	}
	return b.String()
}

func (r *Registry) rdapHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /domain/{name}", r.rdapDomain)
	mux.HandleFunc("GET /nameserver/{name}", r.rdapNameserver)
	mux.HandleFunc("GET /entity/{handle}", r.rdapEntity)
	mux.HandleFunc("GET /help", func(w http.ResponseWriter, q *http.Request) {
		r.rdapSend(w, 200, obj{"notices": []obj{practiceNotice, {"title": "Lookups", "description": []string{"/domain/NAME, /nameserver/NAME, /entity/HANDLE, /help; /dns.json is a bootstrap file (RFC 9224)"}}}})
	})
	mux.HandleFunc("GET /dns.json", func(w http.ResponseWriter, q *http.Request) {
		r.rdapSend(w, 200, obj{"version": "1.0", "publication": r.cfg.Now().UTC().Format(time.RFC3339), "description": "practice registry",
			"services": []any{[]any{r.cfg.TLDs, []string{"http://" + r.addrs.RDAP.String() + "/"}}}})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodGet && q.Method != http.MethodHead {
			r.rdapError(w, 405, "Only GET and HEAD", "")
			return
		}
		r.rdapError(w, 404, "Not found", "There is nothing at this path; see /help.")
	})
	return mux
}

func (r *Registry) rdapSend(w http.ResponseWriter, status int, body obj) {
	if _, bootstrap := body["services"]; !bootstrap {
		body["rdapConformance"] = []string{"rdap_level_0"}
	}
	h := w.Header()
	h.Set("Content-Type", "application/rdap+json")
	h.Set("Access-Control-Allow-Origin", "*") // RFC 7480 5.6
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

func (r *Registry) rdapError(w http.ResponseWriter, status int, title, text string) {
	body := obj{"errorCode": status, "title": title, "notices": []obj{practiceNotice}}
	if text != "" {
		body["description"] = []string{text}
	}
	r.rdapSend(w, status, body)
}

func (r *Registry) rdapName(w http.ResponseWriter, q *http.Request) (impound.Name, bool) {
	n, err := impound.ParseName(q.PathValue("name"))
	if err != nil {
		r.rdapError(w, 400, "Not a domain name", err.Error())
		return n, false
	}
	return n, true
}

func (r *Registry) rdapDomain(w http.ResponseWriter, q *http.Request) {
	n, ok := r.rdapName(w, q)
	if !ok {
		return
	}
	if r.luck.hits(r.cfg.Faults.RDAPFail, "rdap", n.String()) {
		r.rdapFault(w, q)
		return
	}
	r.settle()
	r.mu.RLock()
	d := r.asOf(n, r.cfg.Faults.RDAPLag)
	var body obj
	if d != nil {
		body = r.rdapBody(d)
	}
	r.mu.RUnlock()
	if d == nil {
		r.rdapError(w, 404, "Object not found", "The practice registry has no such domain.")
		return
	}
	r.rdapSend(w, 200, body)
}

// rdapFault answers in one of the ways that RDAP servers fail.
func (r *Registry) rdapFault(w http.ResponseWriter, q *http.Request) {
	switch r.luck.pick(5, "rdap") {
	case 0:
		w.Header().Set("Retry-After", "1")
		r.rdapError(w, 429, "Too many requests", "practice fault")
	case 1:
		r.rdapError(w, 500, "Internal error", "practice fault")
	case 2:
		http.Redirect(w, q, q.URL.Path, http.StatusFound) // to itself, for ever when the rate is 1
	case 3:
		w.Header().Set("Content-Type", "application/rdap+json")
		chunk := []byte(strings.Repeat(" ", 64<<10))
		for range 128 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		_, _ = w.Write([]byte("{}"))
	case 4:
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>Under maintenance</html>"))
	}
}

func (r *Registry) self(kind, what string) []obj {
	u := fmt.Sprintf("http://%s/%s/%s", r.addrs.RDAP, kind, what)
	return []obj{{"rel": "self", "value": u, "href": u, "type": "application/rdap+json"}}
}

// rdapBody gives the answer for a domain. The caller holds mu for reading.
func (r *Registry) rdapBody(d *Domain) obj {
	statuses := []string{}
	for _, s := range d.AllStatuses() {
		statuses = append(statuses, rdapStatus(s))
	}
	if st := r.grace(d); st == "redemptionPeriod" {
		statuses = append(statuses, rdapStatus(st))
	}
	skew := r.cfg.Faults.ClockSkew
	events := []obj{{"eventAction": "registration", "eventDate": d.Created.Format(time.RFC3339)}, {"eventAction": "expiration", "eventDate": d.Expiry.Format(time.RFC3339)}}
	if !d.Updated.IsZero() {
		events = append(events, obj{"eventAction": "last changed", "eventDate": d.Updated.Format(time.RFC3339)})
	}
	events = append(events, obj{"eventAction": "last update of RDAP database", "eventDate": r.cfg.Now().Add(skew - r.cfg.Faults.RDAPLag).UTC().Format(time.RFC3339)})
	servers := []obj{}
	for _, n := range d.NS {
		servers = append(servers, obj{"objectClassName": "nameserver", "ldhName": n.String(), "unicodeName": n.Unicode()})
	}
	secure := obj{"delegationSigned": len(d.DS) > 0}
	if len(d.DS) > 0 {
		var list []obj
		for _, ds := range d.DS {
			list = append(list, obj{"keyTag": ds.KeyTag, "algorithm": ds.Alg, "digestType": ds.DigestType, "digest": ds.Digest})
		}
		secure["dsData"] = list
	}
	return obj{
		"objectClassName": "domain", "handle": d.ROID, "ldhName": d.Name.String(), "unicodeName": d.Name.Unicode(),
		"links": r.self("domain", d.Name.String()), "status": statuses, "events": events, "nameservers": servers, "secureDNS": secure,
		"entities": []obj{r.rdapRegistrar(d.Registrar), {"objectClassName": "entity", "handle": d.Registrant, "roles": []string{"registrant"},
			"remarks": []obj{{"title": "REDACTED FOR PRIVACY", "type": "object redacted due to authorization", "description": []string{"Some of the data has been removed."}}}}},
		"notices": []obj{practiceNotice},
	}
}

func vcard(fn string, more ...[]any) []any {
	props := []any{[]any{"version", obj{}, "text", "4.0"}, []any{"fn", obj{}, "text", fn}}
	for _, p := range more {
		props = append(props, p)
	}
	return []any{"vcard", props}
}

func (r *Registry) rdapRegistrar(client string) obj {
	reg, known := r.cfg.Registrars[client]
	if !known {
		reg = Registrar{Name: client}
	}
	e := obj{"objectClassName": "entity", "handle": client, "roles": []string{"registrar"}, "vcardArray": vcard(reg.Name)}
	if reg.IANAID > 0 {
		e["publicIds"] = []obj{{"type": "IANA Registrar ID", "identifier": fmt.Sprint(reg.IANAID)}}
	}
	if reg.AbuseEmail != "" || reg.AbusePhone != "" {
		var props [][]any
		if reg.AbusePhone != "" {
			props = append(props, []any{"tel", obj{"type": "voice"}, "uri", "tel:" + reg.AbusePhone})
		}
		if reg.AbuseEmail != "" {
			props = append(props, []any{"email", obj{}, "text", reg.AbuseEmail})
		}
		e["entities"] = []obj{{"objectClassName": "entity", "roles": []string{"abuse"}, "vcardArray": vcard("Abuse desk", props...)}}
	}
	return e
}

func (r *Registry) rdapNameserver(w http.ResponseWriter, q *http.Request) {
	n, ok := r.rdapName(w, q)
	if !ok {
		return
	}
	r.mu.RLock()
	h := r.st.hosts[n]
	r.mu.RUnlock()
	if h == nil {
		r.rdapError(w, 404, "Object not found", "The practice registry has no such name server.")
		return
	}
	body := obj{"objectClassName": "nameserver", "handle": h.ROID, "ldhName": n.String(), "unicodeName": n.Unicode(), "links": r.self("nameserver", n.String()), "notices": []obj{practiceNotice}}
	var v4, v6 []string
	for _, a := range h.Addrs {
		if a.Is4() {
			v4 = append(v4, a.String())
		} else {
			v6 = append(v6, a.String())
		}
	}
	ips := obj{}
	if v4 != nil {
		ips["v4"] = v4
	}
	if v6 != nil {
		ips["v6"] = v6
	}
	if len(ips) > 0 {
		body["ipAddresses"] = ips
	}
	r.rdapSend(w, 200, body)
}

func (r *Registry) rdapEntity(w http.ResponseWriter, q *http.Request) {
	id := q.PathValue("handle")
	_, client := r.cfg.Clients[id]
	if _, reg := r.cfg.Registrars[id]; !reg && !client {
		r.rdapError(w, 404, "Object not found", "The practice registry has no such entity.")
		return
	}
	e := r.rdapRegistrar(id)
	e["notices"] = []obj{practiceNotice}
	r.rdapSend(w, 200, e)
}
