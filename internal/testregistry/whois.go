package testregistry

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/impound/impound"
)

// WHOIS (RFC 3912), as it is met: IANA's answer for a top-level domain, the
// registry's for a name, thick or thin, and the registrar's own behind a thin
// one. The first two are one server here, the third another.

// The names by which the practice world knows its WHOIS servers. A client needs
// routes from them to [Addrs].WHOIS and [Addrs].RegistrarWHOIS.
const (
	WHOISRoot      = "whois.iana.org"
	WHOISRegistry  = "whois.nic.practice-registry.example"
	WHOISRegistrar = "whois.practice-registrar.example"
)

// WHOISHostile is what [Faults].WHOISInject puts into fields that registrants
// choose: markup, what drives a terminal, what turns the direction of writing.
const WHOISHostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u202c\u200b"

func (r *Registry) serveWHOIS() (err error) {
	if r.addrs.WHOIS, err = r.serveLines(r.cfg.WHOIS, "WHOIS", func(q string) string { return r.whois(q, false) }); err != nil || !r.addrs.WHOIS.IsValid() {
		return err
	}
	r.addrs.RegistrarWHOIS, err = r.serveLines("127.0.0.1:0", "registrar's WHOIS", func(q string) string { return r.whois(q, true) })
	return err
}

// serveLines answers one line of each connection.
func (r *Registry) serveLines(listen, what string, say func(string) string) (netip.AddrPort, error) {
	l, addr, err := r.listen(listen, what)
	if err != nil || l == nil {
		return netip.AddrPort{}, err
	}
	r.close = append(r.close, func() { l.Close() })
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.sessions.Store(c, struct{}{})
			r.wg.Go(func() {
				defer func() { r.sessions.Delete(c); c.Close() }()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				q, err := bufio.NewReader(io.LimitReader(c, 512)).ReadString('\n')
				if err != nil {
					return
				}
				r.sendWHOIS(c, strings.TrimRight(q, "\r\n"), say)
			})
		}
	})
	return addr, nil
}

// sendWHOIS answers, or fails in one of the ways that WHOIS servers fail.
func (r *Registry) sendWHOIS(c net.Conn, q string, say func(string) string) {
	if !r.luck.hits(r.cfg.Faults.WHOISFail, "whois", q) {
		_, _ = io.WriteString(c, say(q))
		return
	}
	switch r.luck.pick(4, "whois") {
	case 0: // nothing
	case 1:
		_, _ = io.WriteString(c, "% Your connection limit exceeded. Please slow down and try again later.\r\n")
	case 2: // to itself, for ever
		_, _ = io.WriteString(c, "refer: "+WHOISRoot+"\r\nRegistrar WHOIS Server: "+WHOISRegistry+"\r\n")
	case 3: // eight megabytes
		line := strings.Repeat("Registrant Name: more\r\n", 4096)
		for range 88 {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
	}
}

func (r *Registry) whois(q string, registrar bool) string {
	q = strings.TrimSpace(q)
	if rest, ok := strings.CutPrefix(strings.ToLower(q), "domain "); ok {
		q = rest
	}
	n, err := impound.ParseName(q)
	if err != nil {
		return "% Not a domain name.\r\n"
	}
	for _, t := range r.tlds {
		if n == t && !registrar {
			return fmt.Sprintf("%% IANA WHOIS server, practice\r\n\r\nrefer:        %s\r\n\r\ndomain:       %s\r\n\r\nstatus:       ACTIVE\r\n", WHOISRegistry, strings.ToUpper(t.String()))
		}
	}
	r.settle()
	r.mu.RLock()
	defer r.mu.RUnlock()
	d := r.asOf(n, r.cfg.Faults.RDAPLag)
	if d == nil {
		return fmt.Sprintf("No match for domain %q.\r\n>>> Last update of whois database: %s <<<\r\n", strings.ToUpper(n.String()), r.cfg.Now().UTC().Format(time.RFC3339))
	}
	var b strings.Builder
	p := func(key, value string) {
		if value != "" {
			b.WriteString(key + ": " + value + "\r\n")
		}
	}
	reg := r.cfg.Registrars[d.Registrar]
	if reg.Name == "" {
		reg.Name = d.Registrar
	}
	p("Domain Name", strings.ToUpper(d.Name.String()))
	p("Registry Domain ID", d.ROID)
	if r.cfg.ThinWHOIS && !registrar {
		p("Registrar WHOIS Server", WHOISRegistrar)
	}
	if !d.Updated.IsZero() {
		p("Updated Date", d.Updated.Format(time.RFC3339))
	}
	p("Creation Date", d.Created.Format(time.RFC3339))
	p("Registry Expiry Date", d.Expiry.Format(time.RFC3339))
	p("Registrar", reg.Name)
	if reg.IANAID > 0 {
		p("Registrar IANA ID", fmt.Sprint(reg.IANAID))
	}
	p("Registrar Abuse Contact Email", reg.AbuseEmail)
	p("Registrar Abuse Contact Phone", reg.AbusePhone)
	for _, s := range d.AllStatuses() {
		p("Domain Status", s+" https://icann.org/epp#"+s)
	}
	if registrar || !r.cfg.ThinWHOIS {
		who := "REDACTED FOR PRIVACY"
		if r.cfg.Faults.WHOISInject {
			who = WHOISHostile
		}
		p("Registrant Name", who)
		p("Registrant Organization", who)
		p("Registrant Country", "XX")
	}
	for _, ns := range d.NS {
		p("Name Server", strings.ToUpper(ns.String()))
	}
	dnssec := "unsigned"
	if len(d.DS) > 0 {
		dnssec = "signedDelegation"
	}
	p("DNSSEC", dnssec)
	b.WriteString(">>> Last update of whois database: " + r.cfg.Now().UTC().Format(time.RFC3339) + " <<<\r\n\r\nNOTICE: practice registry, NOT FOR PRODUCTION.\r\n")
	return b.String()
}
