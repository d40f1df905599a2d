package testregistry

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Describe writes for people where everything is, with lines to paste.
func (r *Registry) Describe(w io.Writer) {
	a := r.addrs
	p := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	p("PRACTICE REGISTRY, NOT FOR PRODUCTION. State: %s", r.cfg.Dir)
	for _, s := range []struct {
		what string
		addr netip.AddrPort
	}{{"EPP", a.EPP}, {"RDAP", a.RDAP}, {"parent zones", a.DNS}, {"resolver", a.Resolver}, {"actor DNS", a.ActorDNS}, {"actor HTTP", a.ActorHTTP}, {"WHOIS", a.WHOIS}, {"registrar WHOIS", a.RegistrarWHOIS}} {
		if s.addr.IsValid() {
			p("  %-13s %s", s.what, s.addr)
		}
	}
	p("  %-13s .%s", "zones", strings.Join(r.cfg.TLDs, " ."))
	p("  %-13s %s (client: %s, %s)", "CA", r.files.CA, r.files.ClientCert, r.files.ClientKey)
	p("EPP accounts:")
	for _, id := range slices.Sorted(maps.Keys(r.cfg.Clients)) {
		role := "registrar"
		if r.cfg.Clients[id].RegistryRole {
			role = "registry"
		}
		p("  %-16s password %-16s %s", id, r.cfg.Clients[id].Password, role)
	}
	names := r.Domains()
	p("%d names are registered. Paste:", len(names))
	name := "nothing." + r.cfg.TLDs[0]
	for _, n := range names {
		if d, ok := r.Domain(n); ok && d.Signed || name == "" {
			name = n.String()
			break
		}
	}
	if a.DNS.IsValid() {
		p("  dig @%s -p %d %s NS +norecurse", a.DNS.Addr(), a.DNS.Port(), name)
	}
	if a.Resolver.IsValid() {
		p("  dig @%s -p %d www.%s A", a.Resolver.Addr(), a.Resolver.Port(), name)
	}
	if a.RDAP.IsValid() {
		p("  curl -s http://%s/domain/%s", a.RDAP, name)
	}
	if a.WHOIS.IsValid() {
		p("  whois -h %s -p %d %s", a.WHOIS.Addr(), a.WHOIS.Port(), name)
	}
	if a.ActorHTTP.IsValid() {
		p("  curl -s -A Mozilla/5.0 -H 'Host: %s' http://%s/owa/auth/logon.aspx", name, a.ActorHTTP)
	}
	if a.EPP.IsValid() {
		p("  openssl s_client -quiet -connect %s -CAfile %s -cert %s -key %s </dev/null", a.EPP, r.files.CA, r.files.ClientCert, r.files.ClientKey)
	}
}
