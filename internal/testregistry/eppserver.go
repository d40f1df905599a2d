package testregistry

import (
	"bufio"
	"cmp"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
)

// words are the messages of RFC 5730 section 3.
var words = map[int]string{
	1000: "Command completed successfully", 1001: "Command completed successfully; action pending",
	1300: "Command completed successfully; no messages", 1301: "Command completed successfully; ack to dequeue",
	1500: "Command completed successfully; ending session",
	2000: "Unknown command", 2001: "Command syntax error", 2002: "Command use error", 2003: "Required parameter missing",
	2004: "Parameter value range error", 2005: "Parameter value syntax error",
	2100: "Unimplemented protocol version", 2101: "Unimplemented command", 2102: "Unimplemented option", 2103: "Unimplemented extension",
	2105: "Object is not eligible for renewal",
	2200: "Authentication error", 2201: "Authorization error",
	2302: "Object exists", 2303: "Object does not exist", 2304: "Object status prohibits operation", 2305: "Object association prohibits operation",
	2306: "Parameter value policy error", 2307: "Unimplemented object service", 2308: "Data management policy violation",
	2400: "Command failed", 2500: "Command failed; server closing connection", 2501: "Authentication error; server closing connection",
	2502: "Session limit exceeded; server closing connection",
}

// fault is a refusal: a result code and why.
type fault struct {
	code   int
	reason string
}

func no(code int, format string, args ...any) *fault {
	return &fault{code, fmt.Sprintf(format, args...)}
}

// answer is what goes back for a command.
type answer struct {
	code      int
	reason    string
	queue     *message // shown whole, for poll
	count     int      // messages in the queue, for poll
	data, ext string
	closing   bool
}

type session struct {
	r      *Registry
	conn   net.Conn
	client string // "" before login
	exts   []string
	objs   []string
	wrong  int // logins that failed
	out    []byte
	pieces bool
}

const (
	idle       = 10 * time.Minute // RFC 5734 leaves it to the server
	frameLimit = 64 << 10         // octets of a command
)

func (r *Registry) serveEPP() error {
	l, addr, err := r.listen(r.cfg.EPP, "EPP")
	if err != nil || l == nil {
		return err
	}
	r.addrs.EPP = addr
	cert := r.pki.server
	if life := r.cfg.Faults.CertFor; life > 0 {
		if cert, err = r.pki.short(life); err != nil {
			return err
		}
	}
	auth := tls.VerifyClientCertIfGiven
	if r.cfg.RequireClientCert {
		auth = tls.RequireAndVerifyClientCert
	}
	tl := tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: r.pki.pool, ClientAuth: auth, MinVersion: tls.VersionTLS12})
	r.close = append(r.close, func() { tl.Close() })
	r.wg.Go(func() {
		for {
			conn, err := tl.Accept()
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				r.log.Error("practice registry couldn't accept", "err", err)
				time.Sleep(10 * time.Millisecond)
				continue
			}
			r.sessions.Store(conn, "")
			if r.ctx.Err() != nil {
				conn.Close()
			}
			r.wg.Go(func() {
				defer r.sessions.Delete(conn)
				defer conn.Close()
				(&session{r: r, conn: conn}).serve()
			})
		}
	})
	return nil
}

func (r *Registry) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.ctx.Done():
	}
}

func (s *session) serve() {
	r := s.r
	s.conn.SetDeadline(time.Now().Add(30 * time.Second))
	if err := s.conn.(*tls.Conn).HandshakeContext(r.ctx); err != nil {
		r.log.Debug("practice registry: TLS", "err", err)
		return
	}
	f := r.cfg.Faults
	s.pieces = r.luck.hits(f.Split, "split", "session")
	if r.luck.hits(f.SlowGreeting, "greeting", "session") {
		r.pause(f.Delay)
	}
	if s.send(s.greeting()) != nil {
		return
	}
	in := bufio.NewReaderSize(s.conn, 8<<10)
	for {
		s.conn.SetDeadline(time.Now().Add(idle))
		raw, err := epp.ReadFrame(in, frameLimit)
		switch {
		case errors.Is(err, epp.ErrMalformed):
			s.send(s.response(answer{code: 2500, reason: err.Error()}, ""))
			return
		case err != nil:
			return
		}
		s.conn.SetDeadline(time.Now().Add(30 * time.Second))
		reply, closing := s.handle(raw)
		if reply == nil {
			return // a fault: hang up
		}
		s.out = append(s.out, epp.Frame(reply)...)
		s.record("S", reply)
		if !closing && f.Join && in.Buffered() > 0 {
			continue // goes out with the answer to the command that waits already
		}
		if s.flush() != nil || closing {
			return
		}
	}
}

func (s *session) send(frame []byte) error {
	s.out = append(s.out, epp.Frame(frame)...)
	s.record("S", frame)
	return s.flush()
}

func (s *session) flush() error {
	b := s.out
	s.out = nil
	if s.pieces && len(b) > 40 {
		for _, n := range []int{2, 5, 30} {
			if _, err := s.conn.Write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
			s.r.pause(2 * time.Millisecond)
		}
	}
	_, err := s.conn.Write(b)
	return err
}

var passwords = regexp.MustCompile(`(?s)(<(?:[\w.-]+:)?(?:pw|newPW)(?:\s[^<>]*)?>).*?(</(?:[\w.-]+:)?(?:pw|newPW)\s*>)`)

func (s *session) record(dir string, frame []byte) {
	if s.r.cfg.Record != nil {
		s.r.cfg.Record(dir, passwords.ReplaceAll(frame, []byte("${1}********${2}")))
	}
}

var objURIs = []string{epp.NSDomain, epp.NSHost, epp.NSContact}
var extURIs = []string{epp.NSSecDNS, epp.NSRGP}

func (s *session) clock() time.Time { return s.r.cfg.Now().UTC().Add(s.r.cfg.Faults.ClockSkew) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (s *session) greeting() []byte {
	var b strings.Builder
	b.WriteString(epp.Header + `<epp xmlns="` + epp.NSEPP + `"><greeting>` + epp.Tag("svID", "Practice registry, NOT FOR PRODUCTION") + epp.Tag("svDate", stamp(s.clock())) +
		`<svcMenu><version>1.0</version><lang>en</lang>`)
	for _, u := range objURIs {
		b.WriteString(epp.Tag("objURI", u))
	}
	b.WriteString("<svcExtension>")
	for _, u := range extURIs {
		b.WriteString(epp.Tag("extURI", u))
	}
	b.WriteString(`</svcExtension></svcMenu><dcp><access><none/></access><statement><purpose><other/></purpose><recipient><other/></recipient><retention><none/></retention></statement></dcp></greeting></epp>`)
	return []byte(b.String())
}

func (s *session) response(a answer, clTRID string) []byte {
	return s.responseWith(a, clTRID, s.trid())
}

// trid gives the next server transaction id.
func (s *session) trid() string {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trid()
}

func (s *session) responseWith(a answer, clTRID, svTRID string) []byte {
	var b strings.Builder
	b.WriteString(epp.Header + `<epp xmlns="` + epp.NSEPP + `"><response><result code="` + strconv.Itoa(a.code) + `">` + epp.Tag("msg", words[a.code]))
	if a.reason != "" {
		b.WriteString(`<extValue><value><undef/></value>` + epp.Tag("reason", a.reason) + `</extValue>`)
	}
	b.WriteString(`</result>`)
	if m := a.queue; m != nil {
		b.WriteString(`<msgQ count="` + strconv.Itoa(a.count) + `" id="` + m.ID + `">`)
		if m.Text != "" {
			b.WriteString(epp.Tag("qDate", stamp(m.Date)) + epp.Tag("msg", m.Text))
		}
		b.WriteString(`</msgQ>`)
	}
	if a.data != "" {
		b.WriteString("<resData>" + a.data + "</resData>")
	}
	if a.ext != "" {
		b.WriteString("<extension>" + a.ext + "</extension>")
	}
	b.WriteString("<trID>")
	if clTRID != "" {
		b.WriteString(epp.Tag("clTRID", clTRID))
	}
	b.WriteString(epp.Tag("svTRID", svTRID) + "</trID></response></epp>")
	return []byte(b.String())
}

// inOrder says whether the children of n are some of names, in that order: what
// an xs:sequence demands, and what registries answer with 2001 otherwise.
func inOrder(n *epp.Node, space string, names ...string) *fault {
	at := 0
	for _, k := range n.Kids {
		i := slices.Index(names, k.Local)
		if k.Space != space || i < 0 {
			return no(2001, "unexpected element %.60q in %s", k.Local, n.Local)
		}
		if i < at {
			return no(2001, "element %s is out of order in %s", k.Local, n.Local)
		}
		at = i
	}
	return nil
}

// handle gives the answer to one frame; none when the connection is to be
// closed without.
func (s *session) handle(raw []byte) (reply []byte, closing bool) {
	s.record("C", raw)
	root, err := epp.ParseXML(raw)
	if err != nil {
		return s.response(answer{code: 2001, reason: err.Error()}, ""), false
	}
	if !root.Is(epp.NSEPP, "epp") || len(root.Kids) != 1 {
		return s.response(answer{code: 2001, reason: "not one command in " + epp.NSEPP}, ""), false
	}
	if root.Kids[0].Is(epp.NSEPP, "hello") {
		return s.greeting(), false
	}
	cmd := root.First(epp.NSEPP, "command")
	if cmd == nil {
		return s.response(answer{code: 2000, reason: "neither hello nor command"}, ""), false
	}
	clTRID := cmd.First(epp.NSEPP, "clTRID").Token()
	if n := len(clTRID); n != 0 && n < 3 || n > 64 {
		return s.response(answer{code: 2001, reason: "clTRID must have 3 to 64 characters"}, ""), false
	}
	sv := s.trid()
	a, hangUp := s.command(cmd, clTRID, sv)
	if hangUp {
		return nil, true
	}
	return s.responseWith(a, clTRID, sv), a.closing
}

func (s *session) command(cmd *epp.Node, clTRID, svTRID string) (a answer, hangUp bool) {
	r, f := s.r, s.r.cfg.Faults
	refuse := func(f *fault) (answer, bool) { return answer{code: f.code, reason: f.reason}, false }
	if len(cmd.Kids) == 0 {
		return refuse(no(2000, "an empty command"))
	}
	verb := cmd.Kids[0]
	if verb.Space != epp.NSEPP || !slices.Contains([]string{"check", "create", "delete", "info", "login", "logout", "poll", "renew", "transfer", "update"}, verb.Local) {
		return refuse(no(2000, "no command %.40q", verb.Local))
	}
	if f := inOrder(cmd, epp.NSEPP, verb.Local, "extension", "clTRID"); f != nil {
		return refuse(f)
	}
	ext := cmd.First(epp.NSEPP, "extension")
	switch verb.Local {
	case "login":
		if ext != nil {
			return refuse(no(2103, "login takes no extension here"))
		}
		return s.login(verb), false
	case "logout":
		return answer{code: 1500, closing: true}, false
	}
	if s.client == "" {
		return refuse(no(2002, "log in first"))
	}
	r.settle()
	if ext != nil {
		for _, k := range ext.Kids {
			if !slices.Contains(s.exts, k.Space) {
				return refuse(no(2103, "extension %.80q was not asked for at login", k.Space))
			}
		}
	}
	if verb.Local == "poll" {
		return s.poll(verb), false
	}
	if len(verb.Kids) != 1 || verb.Kids[0].Local != verb.Local {
		return refuse(no(2001, "%s without its object", verb.Local))
	}
	obj := verb.Kids[0]
	if !slices.Contains(s.objs, obj.Space) {
		return refuse(no(2307, "object %.80q was not asked for at login", obj.Space))
	}
	names := obj.All(obj.Space, "name")
	if obj.Space == epp.NSContact {
		names = obj.All(obj.Space, "id")
	}
	key := s.client + " " + verb.Local + " " + names0(names)
	if r.luck.hits(f.Fail2400, "2400", key) {
		return refuse(no(2400, "practice fault: nothing was done"))
	}
	var do func() (answer, *fault)
	read := true
	switch obj.Space + " " + verb.Local {
	case epp.NSDomain + " check":
		do = func() (answer, *fault) { return s.check(obj, "domain") }
	case epp.NSHost + " check":
		do = func() (answer, *fault) { return s.check(obj, "host") }
	case epp.NSDomain + " info":
		do = func() (answer, *fault) { return s.infoDomain(obj) }
	case epp.NSHost + " info":
		do = func() (answer, *fault) { return s.infoHost(obj) }
	case epp.NSDomain + " update":
		read, do = false, func() (answer, *fault) { return s.updateDomain(obj, ext, clTRID, svTRID) }
	case epp.NSHost + " create":
		read, do = false, func() (answer, *fault) { return s.createHost(obj, clTRID, svTRID) }
	case epp.NSDomain + " create":
		read, do = false, func() (answer, *fault) { return s.createDomain(obj, ext, clTRID, svTRID) }
	case epp.NSDomain + " delete":
		read, do = false, func() (answer, *fault) { return s.deleteDomain(obj, clTRID, svTRID) }
	case epp.NSDomain + " renew":
		read, do = false, func() (answer, *fault) { return s.renewDomain(obj, clTRID, svTRID) }
	case epp.NSContact + " info":
		do = func() (answer, *fault) { return s.infoContact(obj) }
	case epp.NSContact + " create":
		read, do = false, func() (answer, *fault) { return s.createContact(obj, clTRID, svTRID) }
	case epp.NSHost + " delete":
		read, do = false, func() (answer, *fault) { return s.deleteHost(obj, clTRID, svTRID) }
	default:
		return refuse(no(2101, "the practice registry does not do %s of this object", verb.Local))
	}
	if !read && r.luck.hits(f.DropBefore, "drop-before", key) {
		return a, true
	}
	a, fail := do()
	if fail != nil {
		return refuse(fail)
	}
	if !read && r.luck.hits(f.DropAfter, "drop-after", key) {
		return a, true
	}
	return a, false
}

func names0(names []*epp.Node) string {
	if len(names) == 0 {
		return ""
	}
	return names[0].Token()
}

func (s *session) login(n *epp.Node) answer {
	r := s.r
	bad := func(f *fault) answer { return answer{code: f.code, reason: f.reason} }
	if s.client != "" {
		return bad(no(2002, "already logged in"))
	}
	if f := inOrder(n, epp.NSEPP, "clID", "pw", "newPW", "options", "svcs"); f != nil {
		return bad(f)
	}
	opts, svcs := n.First(epp.NSEPP, "options"), n.First(epp.NSEPP, "svcs")
	if n.First(epp.NSEPP, "clID") == nil || n.First(epp.NSEPP, "pw") == nil || opts == nil || svcs == nil {
		return bad(no(2003, "login needs clID, pw, options and svcs"))
	}
	if v := opts.First(epp.NSEPP, "version").Token(); v != "1.0" {
		return bad(no(2100, "version 1.0 only"))
	}
	if l := opts.First(epp.NSEPP, "lang").Token(); l != "en" {
		return bad(no(2102, "language en only"))
	}
	if n.First(epp.NSEPP, "newPW") != nil {
		return bad(no(2102, "passwords of the practice registry do not change"))
	}
	var objs, exts []string
	for _, o := range svcs.All(epp.NSEPP, "objURI") {
		if !slices.Contains(objURIs, o.Token()) {
			return bad(no(2307, "object service %.80q is not in the greeting", o.Token()))
		}
		objs = append(objs, o.Token())
	}
	for _, e := range svcs.First(epp.NSEPP, "svcExtension").All(epp.NSEPP, "extURI") {
		if !slices.Contains(extURIs, e.Token()) {
			return bad(no(2103, "extension %.80q is not in the greeting", e.Token()))
		}
		exts = append(exts, e.Token())
	}
	id := n.First(epp.NSEPP, "clID").Token()
	c, ok := r.cfg.Clients[id]
	if subtle.ConstantTimeCompare([]byte(c.Password), []byte(n.First(epp.NSEPP, "pw").Token())) != 1 || !ok {
		if s.wrong++; s.wrong >= 3 {
			return answer{code: 2501, closing: true}
		}
		return answer{code: 2200}
	}
	if r.luck.hits(r.cfg.Faults.Fail2502, "2502", id) {
		return answer{code: 2502, reason: "practice fault", closing: true}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cfg.SessionLimit > 0 {
		open := 0
		r.sessions.Range(func(_, v any) bool {
			if v == id {
				open++
			}
			return true
		})
		if open >= r.cfg.SessionLimit {
			return answer{code: 2502, closing: true}
		}
	}
	r.sessions.Store(s.conn, id)
	s.client, s.objs, s.exts = id, objs, exts
	return answer{code: 1000}
}

func (s *session) poll(n *epp.Node) answer {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.st.queues[s.client]
	op, _ := n.Attr("op")
	id, _ := n.Attr("msgID")
	switch op {
	case "req":
		if len(q) == 0 {
			return answer{code: 1300}
		}
		m := q[0]
		if r.luck.hits(r.cfg.Faults.ReorderPoll, "poll", s.client) {
			m = q[len(q)-1]
		}
		a := answer{code: 1301, queue: &m, count: len(q)}
		if d := m.Done; d != nil {
			ok := "0"
			if d.OK {
				ok = "1"
			}
			a.data = `<domain:panData xmlns:domain="` + epp.NSDomain + `"><domain:name paResult="` + ok + `">` + epp.Escape(d.Name.String()) + `</domain:name><domain:paTRID>`
			if d.ClTRID != "" {
				a.data += epp.Tag("clTRID", d.ClTRID)
			}
			a.data += epp.Tag("svTRID", d.SvTRID) + `</domain:paTRID>` + epp.Tag("domain:paDate", stamp(m.Date)) + `</domain:panData>`
		}
		return a
	case "ack":
		if id == "" {
			return answer{code: 2003, reason: "ack needs msgID"}
		}
		if !slices.ContainsFunc(q, func(m message) bool { return m.ID == id }) {
			return answer{code: 2303, reason: "no such message in the queue"}
		}
		if err := r.commit(r.cfg.Now().UTC(), record{Ack: id}); err != nil {
			return answer{code: 2400, reason: err.Error()}
		}
		if q = r.st.queues[s.client]; len(q) > 0 {
			return answer{code: 1000, queue: &message{ID: q[0].ID}, count: len(q)}
		}
		return answer{code: 1000, queue: &message{ID: id}}
	}
	return answer{code: 2001, reason: "poll op must be req or ack"}
}

// objName reads a name as EPP has it: no other spelling than the A-labels.
func objName(n *epp.Node) (impound.Name, *fault) {
	if n == nil {
		return impound.Name{}, no(2003, "no name")
	}
	s := strings.TrimSuffix(strings.ToLower(n.Token()), ".")
	name, err := impound.ParseName(s)
	if err != nil || name.String() != s {
		return impound.Name{}, no(2005, "%.80q is no name in A-labels", s)
	}
	return name, nil
}

func (s *session) check(n *epp.Node, obj string) (answer, *fault) {
	if f := inOrder(n, n.Space, "name"); f != nil {
		return answer{}, f
	}
	if len(n.Kids) == 0 {
		return answer{}, no(2003, "no name to check")
	}
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	var b strings.Builder
	b.WriteString("<" + obj + ":chkData xmlns:" + obj + `="` + n.Space + `">`)
	for _, k := range n.Kids {
		name, f := objName(k)
		if f != nil {
			return answer{}, f
		}
		avail, reason := "1", ""
		if obj == "domain" {
			if reg, ok := s.r.domainOf(name); !ok || reg != name {
				avail, reason = "0", "not of this registry"
			} else if _, ok := s.r.st.domains[name]; ok {
				avail, reason = "0", "In use"
			}
		} else if _, ok := s.r.st.hosts[name]; ok {
			avail, reason = "0", "In use"
		}
		b.WriteString("<" + obj + ":cd><" + obj + `:name avail="` + avail + `">` + epp.Escape(name.String()) + "</" + obj + ":name>")
		if reason != "" {
			b.WriteString(epp.Tag(obj+":reason", reason))
		}
		b.WriteString("</" + obj + ":cd>")
	}
	b.WriteString("</" + obj + ":chkData>")
	return answer{code: 1000, data: b.String()}, nil
}

func (s *session) infoDomain(n *epp.Node) (answer, *fault) {
	if f := inOrder(n, epp.NSDomain, "name", "authInfo"); f != nil {
		return answer{}, f
	}
	nn := n.First(epp.NSDomain, "name")
	name, f := objName(nn)
	if f != nil {
		return answer{}, f
	}
	which, _ := nn.Attr("hosts")
	if which = cmp.Or(which, "all"); !slices.Contains([]string{"all", "del", "sub", "none"}, which) {
		return answer{}, no(2001, "hosts must be all, del, sub or none")
	}
	r := s.r
	r.mu.RLock()
	defer r.mu.RUnlock()
	d := r.st.domains[name]
	if d == nil {
		return answer{}, no(2303, "no such domain")
	}
	var b strings.Builder
	tag := func(local, text string) {
		if text != "" {
			b.WriteString(epp.Tag("domain:"+local, text))
		}
	}
	date := func(local string, t time.Time) {
		if !t.IsZero() {
			tag(local, stamp(t))
		}
	}
	b.WriteString(`<domain:infData xmlns:domain="` + epp.NSDomain + `">`)
	tag("name", name.String())
	tag("roid", d.ROID)
	for _, st := range d.AllStatuses() {
		b.WriteString(`<domain:status s="` + st + `"/>`)
	}
	tag("registrant", d.Registrant)
	if len(d.NS) > 0 && (which == "all" || which == "del") {
		b.WriteString("<domain:ns>")
		for _, ns := range d.NS {
			tag("hostObj", ns.String())
		}
		b.WriteString("</domain:ns>")
	}
	if which == "all" || which == "sub" {
		for _, h := range r.hostsBelow(name) {
			tag("host", h.String())
		}
	}
	tag("clID", d.Registrar)
	tag("crID", d.Registrar)
	date("crDate", d.Created)
	tag("upID", d.UpdatedBy)
	date("upDate", d.Updated)
	date("exDate", d.Expiry)
	b.WriteString("</domain:infData>")
	a := answer{code: 1000, data: b.String()}
	if len(d.DS) > 0 && slices.Contains(s.exts, epp.NSSecDNS) {
		a.ext = `<secDNS:infData xmlns:secDNS="` + epp.NSSecDNS + `">`
		for _, ds := range d.DS {
			a.ext += ds.xml()
		}
		a.ext += `</secDNS:infData>`
	}
	if st := r.grace(d); st != "" && slices.Contains(s.exts, epp.NSRGP) {
		a.ext += `<rgp:infData xmlns:rgp="` + epp.NSRGP + `"><rgp:rgpStatus s="` + st + `"/></rgp:infData>`
	}
	return a, nil
}

func (d DS) xml() string {
	return "<secDNS:dsData>" + epp.Tag("secDNS:keyTag", strconv.Itoa(int(d.KeyTag))) + epp.Tag("secDNS:alg", strconv.Itoa(int(d.Alg))) +
		epp.Tag("secDNS:digestType", strconv.Itoa(int(d.DigestType))) + epp.Tag("secDNS:digest", strings.ToUpper(d.Digest)) + "</secDNS:dsData>"
}

// hostsBelow gives the host objects at or below a domain, sorted. The caller
// holds mu.
func (r *Registry) hostsBelow(d impound.Name) []impound.Name {
	var out []impound.Name
	for h := range r.st.hosts {
		if h.AtOrBelow(d) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) })
	return out
}

func (s *session) infoHost(n *epp.Node) (answer, *fault) {
	if f := inOrder(n, epp.NSHost, "name"); f != nil {
		return answer{}, f
	}
	name, f := objName(n.First(epp.NSHost, "name"))
	if f != nil {
		return answer{}, f
	}
	r := s.r
	r.mu.RLock()
	defer r.mu.RUnlock()
	h := r.st.hosts[name]
	if h == nil {
		return answer{}, no(2303, "no such host")
	}
	st := "ok"
	if r.st.uses[name] > 0 {
		st = "linked"
	}
	var b strings.Builder
	b.WriteString(`<host:infData xmlns:host="` + epp.NSHost + `">` + epp.Tag("host:name", name.String()) + epp.Tag("host:roid", h.ROID) + `<host:status s="` + st + `"/>`)
	for _, a := range h.Addrs {
		v := "v4"
		if a.Is6() {
			v = "v6"
		}
		b.WriteString(`<host:addr ip="` + v + `">` + a.String() + `</host:addr>`)
	}
	b.WriteString(epp.Tag("host:clID", h.Sponsor) + epp.Tag("host:crID", h.Sponsor) + epp.Tag("host:crDate", stamp(h.Created)) + `</host:infData>`)
	return answer{code: 1000, data: b.String()}, nil
}

// update is what a domain update asks for.
type update struct {
	AddNS      []impound.Name `json:"add_ns,omitempty"`
	RemNS      []impound.Name `json:"rem_ns,omitempty"`
	AddStatus  []string       `json:"add_status,omitempty"`
	RemStatus  []string       `json:"rem_status,omitempty"`
	Registrant string         `json:"registrant,omitempty"`
	RemAllDS   bool           `json:"rem_all_ds,omitempty"`
	RemDS      []DS           `json:"rem_ds,omitempty"`
	AddDS      []DS           `json:"add_ds,omitempty"`
	Renew      int            `json:"renew,omitempty"` // for so many years, by a command of its own
}

// clientStatuses may be set by a registrar, serverStatuses by the registry.
var (
	clientStatuses = []string{"clientDeleteProhibited", "clientHold", "clientRenewProhibited", "clientTransferProhibited", "clientUpdateProhibited"}
	serverStatuses = []string{"serverDeleteProhibited", "serverHold", "serverRenewProhibited", "serverTransferProhibited", "serverUpdateProhibited"}
)

func readUpdate(n, ext *epp.Node) (u update, f *fault) {
	const ns = epp.NSDomain
	if f = inOrder(n, ns, "name", "add", "rem", "chg"); f != nil {
		return u, f
	}
	part := func(n *epp.Node, names *[]impound.Name, status *[]string) *fault {
		if n == nil {
			return nil
		}
		if f := inOrder(n, ns, "ns", "contact", "status"); f != nil {
			return f
		}
		if n.First(ns, "contact") != nil {
			return no(2306, "the practice registry keeps no contacts")
		}
		if servers := n.First(ns, "ns"); servers != nil {
			if servers.First(ns, "hostAttr") != nil {
				return no(2306, "name servers are host objects here")
			}
			if f := inOrder(servers, ns, "hostObj"); f != nil {
				return f
			}
			for _, h := range servers.Kids {
				name, f := objName(h)
				if f != nil {
					return f
				}
				*names = append(*names, name)
			}
		}
		for _, st := range n.All(ns, "status") {
			v, _ := st.Attr("s")
			if !slices.Contains(clientStatuses, v) && !slices.Contains(serverStatuses, v) {
				return no(2306, "status %.60q can't be set or removed", v)
			}
			*status = append(*status, v)
		}
		return nil
	}
	if f = part(n.First(ns, "add"), &u.AddNS, &u.AddStatus); f != nil {
		return u, f
	}
	if f = part(n.First(ns, "rem"), &u.RemNS, &u.RemStatus); f != nil {
		return u, f
	}
	if chg := n.First(ns, "chg"); chg != nil {
		if f = inOrder(chg, ns, "registrant", "authInfo"); f != nil {
			return u, f
		}
		if chg.First(ns, "authInfo") != nil {
			return u, no(2102, "the practice registry keeps no authInfo")
		}
		// The schema allows an empty chg, and Net::EPP always sends one.
		if reg := chg.First(ns, "registrant"); reg != nil {
			if u.Registrant = reg.Token(); len(u.Registrant) < 3 || len(u.Registrant) > 16 {
				return u, no(2005, "a registrant has 3 to 16 characters")
			}
		}
	}
	sec := ext.First(epp.NSSecDNS, "update")
	if ext != nil && (sec == nil || len(ext.Kids) != 1) {
		return u, no(2103, "only secDNS:update extends an update here")
	}
	if sec != nil {
		if f = inOrder(sec, epp.NSSecDNS, "rem", "add", "chg"); f != nil {
			return u, f
		}
		if sec.First(epp.NSSecDNS, "chg") != nil {
			return u, no(2102, "no maxSigLife here")
		}
		if rem := sec.First(epp.NSSecDNS, "rem"); rem != nil {
			all := rem.First(epp.NSSecDNS, "all")
			if all != nil {
				if v := all.Token(); v != "true" && v != "1" || len(rem.Kids) != 1 {
					return u, no(2001, "secDNS:all must be true, and alone")
				}
				u.RemAllDS = true
			} else if u.RemDS, f = readDS(rem); f != nil {
				return u, f
			}
		}
		if add := sec.First(epp.NSSecDNS, "add"); add != nil {
			if u.AddDS, f = readDS(add); f != nil {
				return u, f
			}
		}
	}
	if len(u.AddNS)+len(u.RemNS)+len(u.AddStatus)+len(u.RemStatus)+len(u.RemDS)+len(u.AddDS) == 0 && u.Registrant == "" && !u.RemAllDS {
		return u, no(2003, "an update that changes nothing")
	}
	return u, nil
}

func readDS(n *epp.Node) ([]DS, *fault) {
	if n.First(epp.NSSecDNS, "keyData") != nil {
		return nil, no(2306, "dsData only")
	}
	if f := inOrder(n, epp.NSSecDNS, "dsData"); f != nil {
		return nil, f
	}
	var out []DS
	for _, k := range n.Kids {
		if f := inOrder(k, epp.NSSecDNS, "keyTag", "alg", "digestType", "digest", "keyData"); f != nil {
			return nil, f
		}
		tag, err1 := strconv.ParseUint(k.First(epp.NSSecDNS, "keyTag").Token(), 10, 16)
		alg, err2 := strconv.ParseUint(k.First(epp.NSSecDNS, "alg").Token(), 10, 8)
		typ, err3 := strconv.ParseUint(k.First(epp.NSSecDNS, "digestType").Token(), 10, 8)
		digest, err4 := hex.DecodeString(k.First(epp.NSSecDNS, "digest").Token())
		if err := errors.Join(err1, err2, err3, err4); err != nil || len(digest) == 0 || len(digest) > 64 {
			return nil, no(2005, "a DS record that is none")
		}
		out = append(out, DS{uint16(tag), uint8(alg), uint8(typ), strings.ToUpper(hex.EncodeToString(digest))})
	}
	if len(out) == 0 {
		return nil, no(2003, "no dsData")
	}
	return out, nil
}

// change does u to d, all of it or, with a fault, none that counts. The caller
// holds mu.
func (r *Registry) change(d *Domain, u update) (changes []string, f *fault) {
	for _, n := range u.RemNS {
		i := slices.Index(d.NS, n)
		if i < 0 {
			return nil, no(2306, "%s is no name server of the domain", n)
		}
		d.NS = slices.Delete(d.NS, i, i+1)
		changes = append(changes, "-ns "+n.String())
	}
	for _, n := range u.AddNS {
		switch {
		case r.st.hosts[n] == nil:
			return nil, no(2303, "host %s does not exist", n)
		case slices.Contains(d.NS, n):
			return nil, no(2306, "%s is a name server of the domain already", n)
		}
		d.NS = append(d.NS, n)
		changes = append(changes, "+ns "+n.String())
	}
	if len(d.NS) > 13 {
		return nil, no(2306, "more than 13 name servers")
	}
	for _, st := range u.RemStatus {
		i := slices.Index(d.Statuses, st)
		if i < 0 {
			return nil, no(2306, "status %s is not set", st)
		}
		d.Statuses = slices.Delete(d.Statuses, i, i+1)
		changes = append(changes, "-status "+st)
	}
	for _, st := range u.AddStatus {
		if slices.Contains(d.Statuses, st) {
			return nil, no(2306, "status %s is set already", st)
		}
		d.Statuses = append(d.Statuses, st)
		changes = append(changes, "+status "+st)
	}
	if u.Registrant != "" {
		if r.st.contacts[u.Registrant] == nil {
			return nil, no(2303, "contact %s does not exist", u.Registrant)
		}
		d.Registrant = u.Registrant
		changes = append(changes, "registrant "+u.Registrant)
	}
	if u.Renew > 0 {
		d.Expiry = d.Expiry.AddDate(u.Renew, 0, 0)
		changes = append(changes, "expiry "+stamp(d.Expiry))
	}
	if u.RemAllDS {
		d.DS = nil // RFC 5910 5.2.5: no error when there are none
		changes = append(changes, "-ds all")
	}
	for _, ds := range u.RemDS {
		i := slices.IndexFunc(d.DS, func(x DS) bool {
			return x.KeyTag == ds.KeyTag && x.Alg == ds.Alg && x.DigestType == ds.DigestType && strings.EqualFold(x.Digest, ds.Digest)
		})
		if i < 0 {
			return nil, no(2306, "no such DS")
		}
		d.DS = slices.Delete(d.DS, i, i+1)
		changes = append(changes, fmt.Sprintf("-ds %d", ds.KeyTag))
	}
	for _, ds := range u.AddDS {
		d.DS = append(d.DS, ds)
		changes = append(changes, fmt.Sprintf("+ds %d", ds.KeyTag))
	}
	return changes, nil
}

func (s *session) updateDomain(n, ext *epp.Node, clTRID, svTRID string) (answer, *fault) {
	name, f := objName(n.First(epp.NSDomain, "name"))
	if f != nil {
		return answer{}, f
	}
	u, f := readUpdate(n, ext)
	if f != nil {
		return answer{}, f
	}
	r := s.r
	role := r.cfg.Clients[s.client].RegistryRole
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	old := r.st.domains[name]
	switch {
	case old == nil:
		return answer{}, no(2303, "no such domain")
	case !role && old.Registrar != s.client:
		return answer{}, no(2201, "another client sponsors the domain")
	}
	if !role {
		for _, st := range slices.Concat(u.AddStatus, u.RemStatus) {
			if slices.Contains(serverStatuses, st) {
				return answer{}, no(2306, "%s is the registry's to set", st)
			}
		}
	}
	if r.luck.hits(r.cfg.Faults.Lock, "lock", name.String()) && !slices.Contains(old.Statuses, "serverUpdateProhibited") {
		d := old.clone()
		d.Statuses, d.Updated, d.UpdatedBy = append(d.Statuses, "serverUpdateProhibited"), now, "REGISTRY"
		if err := r.commit(now, record{Domain: &d, Op: &Op{Client: "REGISTRY", SvTRID: svTRID, Command: "domain:update", Name: name.String(), Changes: []string{"+status serverUpdateProhibited"}, Code: 1000}}); err != nil {
			return answer{}, no(2400, "%v", err)
		}
		old = &d
	}
	if old.Pending != nil {
		return answer{}, no(2304, "pendingUpdate")
	}
	if !old.Deleted.IsZero() {
		return answer{}, no(2304, "pendingDelete")
	}
	for _, st := range old.Statuses {
		// RFC 5731 2.3: with one of these, nothing but its own removal goes; as
		// most registries do, this one takes the removal together with the rest.
		if (st == "clientUpdateProhibited" || st == "serverUpdateProhibited") && !slices.Contains(u.RemStatus, st) {
			return answer{}, no(2304, "%s", st)
		}
	}
	d := old.clone()
	changes, f := r.change(&d, u)
	if f != nil {
		return answer{}, f
	}
	op := &Op{Client: s.client, ClTRID: clTRID, SvTRID: svTRID, Command: "domain:update", Name: name.String(), Changes: changes, Code: 1000}
	d.Updated, d.UpdatedBy = now, s.client
	code := 1000
	if fs := r.cfg.Faults; r.putOff || r.luck.hits(fs.Pending, "pending", name.String()) {
		wait := fs.PendingFor
		if r.putOff {
			r.putOff, wait = false, 100*365*24*time.Hour
		}
		d = old.clone()
		d.Pending = &pending{Due: now.Add(wait), Client: s.client, ClTRID: clTRID, SvTRID: svTRID, Update: u, Deny: r.luck.hits(fs.PendingDeny, "deny", name.String())}
		op.Code, op.Changes, code = 1001, nil, 1001
	}
	if err := r.commit(now, record{Domain: &d, Op: op}); err != nil {
		return answer{}, no(2400, "%v", err)
	}
	return answer{code: code}, nil
}

func (s *session) createHost(n *epp.Node, clTRID, svTRID string) (answer, *fault) {
	if f := inOrder(n, epp.NSHost, "name", "addr"); f != nil {
		return answer{}, f
	}
	name, f := objName(n.First(epp.NSHost, "name"))
	if f != nil {
		return answer{}, f
	}
	if name.Labels() < 2 {
		return answer{}, no(2306, "a top-level domain is no host")
	}
	h := Host{Name: name, Sponsor: s.client}
	for _, a := range n.All(epp.NSHost, "addr") {
		ip, err := netip.ParseAddr(a.Token())
		v, _ := a.Attr("ip")
		if err != nil || ip.Zone() != "" || ip.Is6() != (v == "v6") {
			return answer{}, no(2005, "%.60q is no address of its kind", a.Token())
		}
		h.Addrs = append(h.Addrs, ip)
	}
	r := s.r
	role := r.cfg.Clients[s.client].RegistryRole
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	if r.st.hosts[name] != nil {
		return answer{}, no(2302, "the host exists")
	}
	if above, own := r.domainOf(name); own {
		d := r.st.domains[above]
		switch {
		case d == nil:
			return answer{}, no(2303, "its domain %s does not exist", above)
		case !role && d.Registrar != s.client:
			return answer{}, no(2201, "another client sponsors %s", above)
		case len(h.Addrs) == 0:
			return answer{}, no(2003, "a host of this registry needs an address")
		}
	} else if len(h.Addrs) > 0 {
		return answer{}, no(2306, "a host outside of this registry has no address here")
	}
	h.ROID, h.Created = r.roid("H"), now.Truncate(time.Second)
	if err := r.commit(now, record{Host: &h, Op: &Op{Client: s.client, ClTRID: clTRID, SvTRID: svTRID, Command: "host:create", Name: name.String(), Changes: []string{"+host"}, Code: 1000}}); err != nil {
		return answer{}, no(2400, "%v", err)
	}
	return answer{code: 1000, data: `<host:creData xmlns:host="` + epp.NSHost + `">` + epp.Tag("host:name", name.String()) + epp.Tag("host:crDate", stamp(h.Created)) + `</host:creData>`}, nil
}

func (s *session) deleteHost(n *epp.Node, clTRID, svTRID string) (answer, *fault) {
	if f := inOrder(n, epp.NSHost, "name"); f != nil {
		return answer{}, f
	}
	name, f := objName(n.First(epp.NSHost, "name"))
	if f != nil {
		return answer{}, f
	}
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.st.hosts[name]
	switch {
	case h == nil:
		return answer{}, no(2303, "no such host")
	case h.Sponsor != s.client && !r.cfg.Clients[s.client].RegistryRole:
		return answer{}, no(2201, "another client sponsors the host")
	case r.st.uses[name] > 0:
		return answer{}, no(2305, "%d domains are delegated to it", r.st.uses[name])
	}
	if err := r.commit(r.cfg.Now().UTC(), record{Gone: name.String(), Op: &Op{Client: s.client, ClTRID: clTRID, SvTRID: svTRID, Command: "host:delete", Name: name.String(), Changes: []string{"-host"}, Code: 1000}}); err != nil {
		return answer{}, no(2400, "%v", err)
	}
	return answer{code: 1000}, nil
}
