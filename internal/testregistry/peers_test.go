package testregistry_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/seizure/epp"
	"github.com/impound/impound/internal/testregistry"
)

// schemas gives the folder of EPP's XML schemas. Nobody can install it, so a
// test without it is skipped wherever it runs.
func schemas(t *testing.T) string {
	dir := os.Getenv("IMPOUND_EPP_SCHEMAS")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for root != "/" {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(filepath.Dir(root), "shared/data/schemas/epp")
	}
	if _, err := os.Stat(filepath.Join(dir, "epp.xsd")); err != nil {
		t.Skip("no XML schemas: set IMPOUND_EPP_SCHEMAS to a folder with epp.xsd and what it imports")
	}
	return dir
}

// frames keeps what goes over the wire.
type frames struct {
	mu   sync.Mutex
	list []string
}

func (f *frames) record(dir string, b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, string(b))
}

func TestEveryFrameFitsTheSchemas(t *testing.T) {
	dir := schemas(t)
	xmllint := peertest.Need(t, "xmllint", "libxml2-utils")
	ctx := context.Background()
	var kept frames
	cfg := config(t)
	at := clockAt(issued.Add(time.Minute))
	cfg.Now = at.now
	cfg.Record = func(dir string, b []byte) {
		if dir == "S" { // what the client sends, the client's own record shows
			kept.record(dir, b)
		}
	}
	r := start(t, cfg)
	open := func(client string) *epp.Client {
		dc := dialConfig(r, cfg, client)
		dc.Record = kept.record
		c, err := epp.Dial(ctx, dc)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open("registry")
	want := func(code int, err error) {
		t.Helper()
		if epp.Code(err) != code || (err == nil) != (code == 0) {
			t.Fatalf("got %v, want %d", err, code)
		}
	}
	ps := allPermits(t, bad)
	update := func(code int, u epp.DomainUpdate) {
		t.Helper()
		_, err := c.UpdateDomain(ctx, ps, u)
		want(code, err)
	}
	info := func(n impound.Name, code int) {
		t.Helper()
		_, err := c.InfoDomain(ctx, n)
		want(code, err)
	}
	want(0, c.Hello(ctx))
	info(bad, 0)
	info(impound.MustName("no-such.example"), 2303)
	_, err := c.CheckDomain(ctx, bad, impound.MustName("no-such.example"), impound.MustName("else.where"))
	want(0, err)
	_, err = c.CheckHost(ctx, sink1, act1)
	want(0, err)
	createHosts(t, c, ps[0])
	_, err = c.CreateHost(ctx, ps[0], epp.HostCreate{Name: impound.MustName("ns9.drive-share.example"), Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}})
	want(0, err)
	_, err = c.CreateHost(ctx, ps[0], epp.HostCreate{Name: sink1})
	want(2302, err)
	for _, h := range []impound.Name{sink1, act1, impound.MustName("ns9.drive-share.example")} {
		_, err = c.InfoHost(ctx, h)
		want(0, err)
	}
	update(2303, epp.DomainUpdate{Name: bad, AddNS: []impound.Name{impound.MustName("ns1.nowhere.invalid")}})
	update(2306, epp.DomainUpdate{Name: bad, AddNS: []impound.Name{sink1}, HostAttr: true})
	update(0, seizure(bad))
	update(2304, seizure(bad))
	update(0, epp.DomainUpdate{Name: bad, RemStatus: []string{"serverUpdateProhibited"}})
	update(0, epp.DomainUpdate{Name: bad, RemAllDS: true})
	update(0, epp.DomainUpdate{Name: bad, AddDS: []epp.DS{{KeyTag: 4711, Alg: 13, DigestType: 2, Digest: strings.Repeat("ab", 32)}, {KeyTag: 4711, Alg: 13, DigestType: 4, Digest: strings.Repeat("CD", 48)}}})
	if d, err := c.InfoDomain(ctx, bad); err != nil || len(d.DS) != 2 || d.DS[0].String() != "4711 13 2 "+strings.Repeat("AB", 32) {
		t.Errorf("%v: the DS that came back: %+v", err, d.DS)
	}
	update(0, epp.DomainUpdate{Name: bad, RemAllDS: true})
	update(0, epp.DomainUpdate{Name: bad, RemNS: []impound.Name{sink1, sink2}})
	info(bad, 0) // inactive
	if err := r.Notify("registry", "Transfer requested & <approved>."); err != nil {
		t.Fatal(err)
	}
	m, ok, err := c.Poll(ctx)
	want(0, err)
	if !ok || m.Text != "Transfer requested & <approved>." {
		t.Fatalf("%+v", m)
	}
	want(0, c.Ack(ctx, m.ID))
	want(2303, c.Ack(ctx, m.ID))
	_, _, err = c.Poll(ctx)
	want(0, err)
	// Contacts, another registrant, a deletion and its grace period.
	gone := impound.MustName("gone.example")
	if err := r.Register(testregistry.Domain{Name: gone, Registrar: "registrar-b", NS: []impound.Name{act1, act2}}); err != nil {
		t.Fatal(err)
	}
	giving := redirect
	giving.Registrant = "the custodian"
	gives := permits(t, mandateWith(t, &impound.ReleaseTerms{How: []string{impound.ReleaseDelete}, Clause: "9"}, giving, gone), gone, impound.ActRegistrant, impound.ActDelete)
	for _, x := range []epp.ContactCreate{
		{ID: "custodian-1", Name: "Desk & <others>", Org: "Digital Crimes Unit", Street: []string{"One Way", "2nd floor", "Room 3"}, City: "Redmond", State: "WA", Postal: "98052", Country: "US", Voice: "+1.4255550100", Email: "desk@custodian.example"},
		{ID: "custodian-2", Name: "Désk", City: "Łódź", Country: "PL", Email: "desk@custodian.example"},
	} {
		_, err = c.InfoContact(ctx, x.ID)
		want(2303, err)
		_, err = c.CreateContact(ctx, gives[0], x)
		want(0, err)
		_, err = c.CreateContact(ctx, gives[0], x)
		want(2302, err)
		_, err = c.InfoContact(ctx, x.ID)
		want(0, err)
	}
	_, err = c.UpdateDomain(ctx, gives, epp.DomainUpdate{Name: gone, Registrant: "custodian-1"})
	want(0, err)
	info(gone, 0)
	// A renewal, once: the second names a day that is no longer the last one.
	giving.Registrant, giving.Renew = "", true
	renews := permits(t, mandateWith(t, nil, giving, gone), gone, impound.ActRenew)
	ends := func() string {
		i, err := c.InfoDomain(ctx, gone)
		want(0, err)
		return i.Expiry.Format(time.DateOnly)
	}
	last := ends()
	renew := epp.DomainRenew{Name: gone, Ends: last, Years: 1, ClTRID: "renew-0001"}
	_, err = c.RenewDomain(ctx, renews[0], renew)
	want(0, err)
	for _, ends := range []string{last, "1999-12-31"} {
		renew.Ends, renew.ClTRID = ends, "renew-0002"
		_, err = c.RenewDomain(ctx, renews[0], renew)
		want(2306, err)
	}
	if now := ends(); now[5:] != last[5:] || now[:4] <= last[:4] {
		t.Errorf("renewed from %s, it ends %s", last, now)
	}
	info(gone, 0) // with the grace period of a renewal
	renew.Ends, renew.Years = ends(), 9
	_, err = c.RenewDomain(ctx, renews[0], renew)
	want(2105, err)
	_, err = c.RenewDomain(ctx, gives[1], renew)
	if impound.KindOf(err) != impound.KindRefused {
		t.Errorf("renewed with a permit to delete: %v", err)
	}
	_, err = c.DeleteDomain(ctx, gives[1], gone, "delete-0001")
	want(0, err)
	info(gone, 0) // with its grace period
	_, err = c.DeleteDomain(ctx, gives[1], gone, "delete-0002")
	want(2304, err)
	want(0, c.Close())
	_, err = epp.Dial(ctx, func() epp.Config {
		dc := dialConfig(r, cfg, "registry")
		dc.Password = []byte("wrong-one")
		dc.Record = kept.record
		return dc
	}())
	want(2200, err)
	r.Close()

	// Pending, and its end.
	cfg.Dir = t.TempDir()
	cfg.Faults = testregistry.Faults{Pending: 1, PendingFor: time.Minute, Split: 1, Join: true}
	r = start(t, cfg)
	c = open("registry")
	update(0, epp.DomainUpdate{Name: bad, RemNS: []impound.Name{act1}})
	info(bad, 0)
	at.add(time.Hour)
	m, ok, err = c.Poll(ctx)
	want(0, err)
	if !ok || m.Pending == nil {
		t.Fatalf("%+v", m)
	}
	want(0, c.Ack(ctx, m.ID))
	renews = permits(t, mandateWith(t, nil, giving, bad), bad, impound.ActRenew)
	i, err := c.InfoDomain(ctx, bad)
	want(0, err)
	was := i.Expiry
	if _, err = c.RenewDomain(ctx, renews[0], epp.DomainRenew{Name: bad, Ends: was.Format(time.DateOnly), Years: 2}); err != nil {
		t.Fatal(err)
	}
	if i, err = c.InfoDomain(ctx, bad); err != nil || !i.Has("pendingRenew") || !i.Expiry.Equal(was) {
		t.Errorf("put off: %v %+v", err, i)
	}
	at.add(time.Hour)
	if i, err = c.InfoDomain(ctx, bad); err != nil || i.Has("pendingRenew") || !i.Expiry.Equal(was.AddDate(2, 0, 0)) {
		t.Errorf("done in the end: %v %+v", err, i)
	}
	c.Close()

	// A name is registered by a client of the test's own: ours registers none.
	if got := exchange(t, r, cfg, domainCreate("fresh.example", `<d:period unit="y">2</d:period><d:ns><d:hostObj>ns1.actor-dns.example</d:hostObj></d:ns>`, "practice-1")); !strings.Contains(got, `code="1000"`) {
		t.Error(got)
	}

	// What the server says to those who break the rules.
	for _, s := range badFrames {
		exchange(t, r, cfg, s)
	}

	// Each command that a client has was sent, and each object that a server
	// shows was shown.
	for _, part := range []string{"<hello/>", "<login>", "<logout/>", "<poll op=\"req\"/>", "<poll op=\"ack\"", "<domain:check", "<host:check", "<domain:info", "<host:info", "<contact:info", "<host:create", "<contact:create", "<domain:update", "<secDNS:update", "<secDNS:add>", "<domain:chg>", "<domain:delete", "<domain:renew", "<domain:renData", "<domain:creData",
		"<greeting>", "<domain:infData", "<host:infData", "<contact:infData", "<domain:chkData", "<host:chkData", "<secDNS:infData", "<rgp:infData", "<msgQ ", "<domain:panData", "<trID>"} {
		if !slices.ContainsFunc(kept.list, func(f string) bool { return strings.Contains(f, part) }) {
			t.Errorf("no frame has %s", part)
		}
	}

	out := t.TempDir()
	args := []string{"--noout", "--nonet", "--schema", filepath.Join(dir, "epp.xsd")}
	for i, s := range kept.list {
		name := filepath.Join(out, fmt.Sprintf("%03d.xml", i))
		if err := os.WriteFile(name, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	if len(kept.list) < 80 {
		t.Errorf("only %d frames went over the wire", len(kept.list))
	}
	if b, err := exec.Command(xmllint, args...).CombinedOutput(); err != nil {
		for line := range strings.Lines(string(b)) {
			if name, _, _ := strings.Cut(line, ":"); strings.Contains(line, "error") {
				x, _ := os.ReadFile(name)
				t.Errorf("%s%s", line, x)
			}
		}
	}
}

const login = `<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><command><login><clID>registrar-a</clID><pw>registrar-pw</pw><options><version>1.0</version><lang>en</lang></options><svcs><objURI>urn:ietf:params:xml:ns:domain-1.0</objURI><objURI>urn:ietf:params:xml:ns:host-1.0</objURI><svcExtension><extURI>urn:ietf:params:xml:ns:secDNS-1.1</extURI></svcExtension></svcs></login><clTRID>abc-1</clTRID></command></epp>`

func wrap(s string) string {
	return `<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><command>` + s + `<clTRID>abc-2</clTRID></command></epp>`
}

func domainUpdate(s string) string {
	return wrap(`<update><d:update xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>outlook-verify.example</d:name>` + s + `</d:update></update>`)
}

// domainCreate registers a name, with a DS.
func domainCreate(name, parts, auth string) string {
	if auth != "" {
		auth = "<d:authInfo><d:pw>" + auth + "</d:pw></d:authInfo>"
	}
	return strings.Replace(wrap(`<create><d:create xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>`+name+`</d:name>`+parts+auth+`</d:create></create>`), "<clTRID>",
		`<extension><s:create xmlns:s="urn:ietf:params:xml:ns:secDNS-1.1"><s:dsData><s:keyTag>12345</s:keyTag><s:alg>13</s:alg><s:digestType>2</s:digestType><s:digest>49FD46E6C4B45C55D4AC69CBD3CD34AC1AFE51DE49FD46E6C4B45C55D4AC69CB</s:digest></s:dsData></s:create></extension><clTRID>`, 1)
}

// A name that is registered by EPP is there for whoever looks, once, and after a
// restart; it can be let go and come again as another.
func TestDomainCreate(t *testing.T) {
	cfg := config(t)
	r := start(t, cfg)
	fresh := impound.MustName("fresh.example")
	frame := domainCreate("fresh.example", `<d:period unit="y">2</d:period><d:ns><d:hostObj>ns1.actor-dns.example</d:hostObj><d:hostObj>ns2.actor-dns.example</d:hostObj></d:ns>`, "practice-1")
	if got := exchange(t, r, cfg, frame); !strings.Contains(got, `code="1000"`) || !strings.Contains(got, "<domain:creData") || strings.Contains(got, "practice-1") {
		t.Fatal(got)
	}
	if got := exchange(t, r, cfg, frame); !strings.Contains(got, `code="2302"`) {
		t.Errorf("made twice: %s", got)
	}
	d, ok := r.Domain(fresh)
	if !ok || d.Registrar != "registrar-a" || len(d.NS) != 2 || len(d.DS) != 1 || d.Registrant == "" || d.Expiry.Sub(d.Created) < 729*24*time.Hour {
		t.Errorf("%v %+v", ok, d)
	}
	m := new(dns.Msg)
	m.SetQuestion("fresh.example.", dns.TypeNS)
	m.SetEdns0(1232, true)
	got, err := dns.Exchange(m, r.Addrs().DNS.String())
	if err != nil || len(got.Ns) < 3 {
		t.Errorf("the parent zone: %v %v", err, got)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, cfg)
	if again, ok := r.Domain(fresh); !ok || again.ROID != d.ROID {
		t.Errorf("after a restart: %v %+v", ok, again)
	}
}

// badFrames are commands after a login of registrar-a, and the codes that they
// deserve.
var badFrames = map[string]string{
	"status before ns": domainUpdate(`<d:add><d:status s="clientHold"/><d:ns><d:hostObj>ns1.actor-dns.example</d:hostObj></d:ns></d:add>`),
	"rem before add":   domainUpdate(`<d:rem><d:status s="clientTransferProhibited"/></d:rem><d:add><d:status s="clientHold"/></d:add>`),
	"status ok":        domainUpdate(`<d:add><d:status s="ok"/></d:add>`),
	"server status":    domainUpdate(`<d:add><d:status s="serverHold"/></d:add>`),
	"nothing":          domainUpdate(``),
	"foreign element":  domainUpdate(`<x:add xmlns:x="urn:x"/>`),
	"unknown ext":      wrap(`<info><d:info xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>outlook-verify.example</d:name></d:info></info><extension><x:y xmlns:x="urn:x"/></extension>`),
	"rgp not asked":    strings.Replace(domainUpdate(``), "</update><clTRID>", `</update><extension><r:update xmlns:r="urn:ietf:params:xml:ns:rgp-1.0"><r:restore op="request"/></r:update></extension><clTRID>`, 1),
	"contact":          wrap(`<info><c:info xmlns:c="urn:ietf:params:xml:ns:contact-1.0"><c:id>x</c:id></c:info></info>`),
	"renew":            wrap(`<renew><d:renew xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>outlook-verify.example</d:name><d:curExpDate>2027-01-01</d:curExpDate></d:renew></renew>`),
	"unknown verb":     wrap(`<destroy/>`),
	"empty":            wrap(``),
	"create taken":     domainCreate("outlook-verify.example", "", "practice-1"),
	"create no auth":   domainCreate("fresh-2.example", "", ""),
	"create no host":   domainCreate("fresh-2.example", "<d:ns><d:hostObj>ns1.nowhere.invalid</d:hostObj></d:ns>", "practice-1"),
	"create elsewhere": domainCreate("fresh-2.invalid", "", "practice-1"),
	"create below":     domainCreate("www.outlook-verify.example", "", "practice-1"),
	"create 11 years":  domainCreate("fresh-2.example", `<d:period unit="y">11</d:period>`, "practice-1"),
	"create contact":   domainCreate("fresh-2.example", `<d:contact type="admin">x-1234</d:contact>`, "practice-1"),
	"login again":      login,
	"not XML":          `<epp`,
	"entity":           `<!DOCTYPE epp [<!ENTITY x SYSTEM "file:///etc/passwd">]><epp>&x;</epp>`,
	"other root":       `<html/>`,
	"id too short":     strings.Replace(wrap(`<logout/>`), "abc-2", "a", 1),
	"poll op":          wrap(`<poll op="all"/>`),
	"ack of nothing":   wrap(`<poll op="ack"/>`),
	"bad name":         wrap(`<info><d:info xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>hxxp://outlook-verify[.]example</d:name></d:info></info>`),
	"bad DS":           strings.Replace(domainUpdate(``), "</update><clTRID>", `</update><extension><s:update xmlns:s="urn:ietf:params:xml:ns:secDNS-1.1"><s:add><s:dsData><s:keyTag>99999</s:keyTag><s:alg>13</s:alg><s:digestType>2</s:digestType><s:digest>AB</s:digest></s:dsData></s:add></s:update></extension><clTRID>`, 1),
	"not all":          strings.Replace(domainUpdate(``), "</update><clTRID>", `</update><extension><s:update xmlns:s="urn:ietf:params:xml:ns:secDNS-1.1"><s:rem><s:all>false</s:all></s:rem></s:update></extension><clTRID>`, 1),
}

var badCodes = map[string]string{"status before ns": "2001", "rem before add": "2001", "status ok": "2306", "server status": "2306", "nothing": "2003", "foreign element": "2001", "unknown ext": "2103", "rgp not asked": "2103",
	"contact": "2307", "renew": "2306", "unknown verb": "2000", "empty": "2000",
	"create taken": "2302", "create no auth": "2003", "create no host": "2303", "create elsewhere": "2306", "create below": "2306", "create 11 years": "2306", "create contact": "2306",
	"login again": "2002", "not XML": "2001", "entity": "2001", "other root": "2001", "id too short": "2001", "poll op": "2001", "ack of nothing": "2003",
	"bad name": "2005", "bad DS": "2005", "not all": "2001"}

// exchange logs in, sends one frame, and gives what comes back.
func exchange(t testing.TB, r *testregistry.Registry, cfg testregistry.Config, frame string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", r.Addrs().EPP.String(), r.ClientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	read := func() string {
		b, err := epp.ReadFrame(in, epp.MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	read()
	if _, err := conn.Write(epp.Frame([]byte(login))); err != nil {
		t.Fatal(err)
	}
	if s := read(); !strings.Contains(s, `code="1000"`) {
		t.Fatal(s)
	}
	if _, err := conn.Write(epp.Frame([]byte(frame))); err != nil {
		t.Fatal(err)
	}
	return read()
}

func TestCommandsThatBreakTheRules(t *testing.T) {
	cfg := config(t)
	r := start(t, cfg)
	ops := len(r.History())
	for name, s := range badFrames {
		if got := exchange(t, r, cfg, s); !strings.Contains(got, `code="`+badCodes[name]+`"`) {
			t.Errorf("%s: want %s: %s", name, badCodes[name], got)
		}
	}
	if got := len(r.History()); got != ops {
		t.Errorf("%d transforms were accepted", got-ops)
	}
}

// Debian's Net::EPP is a client that others wrote.
func TestNetEPP(t *testing.T) {
	perl := peertest.Need(t, "perl", "perl")
	err := exec.Command(perl, "-MNet::EPP::Simple", "-e1").Run()
	peertest.NeedThat(t, "Net::EPP", err == nil, "apt-get install libnet-epp-perl")
	cfg := config(t)
	cfg.Faults = testregistry.Faults{Split: 1}
	r := start(t, cfg)
	if err := r.Notify("registry", "Welcome."); err != nil {
		t.Fatal(err)
	}
	a, f := r.Addrs().EPP, r.Files()
	cmd := exec.Command(perl, "testdata/netepp.pl", "127.0.0.1", fmt.Sprint(a.Port()), "registry", cfg.Clients["registry"].Password, f.CA, f.ClientCert, f.ClientKey)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"server Practice registry", "login 1000", "info outlook-verify.example registrar-a ns=2 ds=1", "check host 1", "create host 1000", "update 1000", "after ns=2 first=ns1.sinkhole.invalid ds=0 locked=1", "again 2304",
		"wrong order 2001", "create domain 1000 2", "poll 1301 Welcome.", "ack 1000", "poll 1300", "logout 1500"} {
		if !strings.Contains(string(out), want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	d, _ := r.Domain(bad)
	if !slices.Equal(d.NS, []impound.Name{sink1, sink2}) || len(d.DS) != 0 || !slices.Contains(d.Statuses, "serverUpdateProhibited") {
		t.Errorf("the registry holds %+v", d)
	}
}

func TestDig(t *testing.T) {
	dig := peertest.Need(t, "dig", "bind9-dnsutils")
	cfg := config(t)
	r := start(t, cfg)
	run := func(at netip.AddrPort, args ...string) string {
		t.Helper()
		b, err := exec.Command(dig, append([]string{"@" + at.Addr().String(), "-p", fmt.Sprint(at.Port()), "+time=5", "+tries=2"}, args...)...).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(b)
	}
	parent, resolver := r.Addrs().DNS, r.Addrs().Resolver
	has := func(out string, parts ...string) {
		t.Helper()
		flat := strings.Join(strings.Fields(out), " ")
		for _, p := range parts {
			if !strings.Contains(flat, p) {
				t.Errorf("no %q in\n%s", p, out)
			}
		}
	}
	has(run(parent, "example", "SOA", "+norec"), "status: NOERROR", "flags: qr aa;", "ns1.nic.example. hostmaster.nic.example.")
	has(run(parent, "example", "SOA", "+norec", "+tcp"), "status: NOERROR", "flags: qr aa;", "(TCP)")
	has(run(parent, bad.String(), "A", "+norec", "+dnssec"), "status: NOERROR", "flags: qr;", "outlook-verify.example. 5 IN NS ns1.actor-dns.example.", "ns1.actor-dns.example. 5 IN A 127.53.0.66", "IN DS")
	has(run(parent, bad.String(), "DS", "+norec"), "flags: qr aa;", "ANSWER: 1,")
	has(run(parent, other.String(), "DS", "+norec"), "flags: qr aa;", "ANSWER: 0, AUTHORITY: 1")
	has(run(parent, "no-such.example", "A", "+norec"), "status: NXDOMAIN", "SOA")
	has(run(parent, "nic.example", "A", "+norec"), "status: NOERROR", "ANSWER: 0")
	has(run(parent, "elsewhere.org", "A", "+norec"), "status: REFUSED")
	has(run(parent, "example", "AXFR"), "Transfer failed")
	has(run(parent, "example", "SOA", "+norec", "+edns=1", "+noednsneg"), "status: BADVERS")
	has(run(parent, "example", "SOA", "+norec", "+opcode=notify"), "status: NOTIMP")
	has(run(resolver, "mail."+bad.String(), "A"), "status: NOERROR", "flags: qr rd ra;", "IN A 127.53.0.66")
	has(run(resolver, "no-such.example", "A"), "status: NXDOMAIN")
	has(run(resolver, "www."+bad.String(), "A", "+dnssec"), "RRSIG")
}

// Unbound validates the signed parent, and a stale DS below it is SERVFAIL until
// it is removed.
func TestUnboundValidates(t *testing.T) {
	unbound := peertest.Need(t, "unbound", "unbound")
	cfg := config(t)
	cfg.Sign = true
	r := start(t, cfg)
	sink := sinkhole(t)
	at := netip.MustParseAddrPort(peertest.Addr(t))
	dir := t.TempDir()
	a := r.Addrs()
	// The practice servers are on high ports, which no delegation can say: stubs
	// lead to them. Nothing is cached, so that each question shows what is.
	conf := fmt.Sprintf(`server:
  interface: 127.0.0.1@%d
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  directory: %q
  pidfile: ""
  do-not-query-localhost: no
  do-ip6: no
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  infra-host-ttl: 1
  trust-anchor-file: %q
stub-zone:
  name: example
  stub-addr: 127.0.0.1@%d
stub-zone:
  name: %s
  stub-addr: 127.0.0.1@%d
stub-zone:
  name: %s
  stub-addr: 127.0.0.1@%d
remote-control:
  control-enable: no
`, at.Port(), dir, r.Files().TrustAnchors, a.DNS.Port(), bad, sink.Port(), other, a.ActorDNS.Port())
	file := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out strings.Builder
	cmd := exec.CommandContext(ctx, unbound, "-d", "-c", file)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	}()
	look := func(name string, qtype uint16) *dns.Msg {
		q := new(dns.Msg).SetQuestion(name, qtype)
		q.SetEdns0(1232, true)
		for try := 0; ; try++ {
			m, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(q, at.String())
			if err == nil {
				return m
			}
			if try > 100 {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // until it listens
		}
	}
	check := func(what string, m *dns.Msg, rcode int, ad bool) {
		t.Helper()
		if m.Rcode != rcode || m.AuthenticatedData != ad {
			t.Errorf("%s: %s, AD %v", what, dns.RcodeToString[m.Rcode], m.AuthenticatedData)
		}
	}
	check("SOA", look("example.", dns.TypeSOA), dns.RcodeSuccess, true)
	check("DNSKEY", look("example.", dns.TypeDNSKEY), dns.RcodeSuccess, true)
	check("host of the zone", look("ns1.nic.example.", dns.TypeA), dns.RcodeSuccess, true)
	check("no such type", look("ns1.nic.example.", dns.TypeAAAA), dns.RcodeSuccess, true)
	check("empty non-terminal", look("nic.example.", dns.TypeA), dns.RcodeSuccess, true)
	for _, n := range []string{"no-such.example.", "a.b.no-such.example.", "zzz.nic.example.", "x.ns1.nic.example.", `a\000.example.`, strings.Repeat("z", 63) + ".example."} {
		check(n, look(n, dns.TypeA), dns.RcodeNameError, true)
	}
	check("DS", look(bad.FQDN(), dns.TypeDS), dns.RcodeSuccess, true)
	check("no DS", look(other.FQDN(), dns.TypeDS), dns.RcodeSuccess, true)
	check("insecure child", look(other.FQDN(), dns.TypeA), dns.RcodeSuccess, false)
	check("redirected with a stale DS", look(bad.FQDN(), dns.TypeA), dns.RcodeServerFailure, false)
	if _, err := dial(t, r, cfg, "registry").UpdateDomain(t.Context(), allPermits(t, bad), epp.DomainUpdate{Name: bad, RemAllDS: true}); err != nil {
		t.Fatal(err)
	}
	// Unbound remembers for a minute that the zone's keys were bad, whatever its
	// caches' sizes; reading its configuration again makes it forget.
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for try := 0; look(bad.FQDN(), dns.TypeA).Rcode != dns.RcodeSuccess && try < 200; try++ {
		time.Sleep(20 * time.Millisecond)
	}
	m := look(bad.FQDN(), dns.TypeA)
	check("cured", m, dns.RcodeSuccess, false)
	if len(m.Answer) == 0 || !strings.Contains(m.Answer[0].String(), "127.0.0.99") {
		t.Errorf("%s", m)
	}
}
