package epp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
)

// DS is a delegation signer as EPP carries it (RFC 5910 4).
type DS struct {
	KeyTag     uint16 `json:"key_tag"`
	Alg        uint8  `json:"alg"`
	DigestType uint8  `json:"digest_type"`
	Digest     string `json:"digest"` // hexadecimal, upper case
}

// String gives the presentation form of a DS record's data.
func (d DS) String() string {
	return fmt.Sprintf("%d %d %d %s", d.KeyTag, d.Alg, d.DigestType, d.Digest)
}

// ReadDS reads what [DS.String] writes; the error is KindInvalid.
func ReadDS(in []string) ([]DS, error) {
	var out []DS
	for _, s := range in {
		f := strings.Fields(s)
		if len(f) < 4 {
			return nil, impound.Errorf(impound.KindInvalid, "%q is no DS", cut(s, 80))
		}
		tag, err1 := strconv.ParseUint(f[0], 10, 16)
		alg, err2 := strconv.ParseUint(f[1], 10, 8)
		typ, err3 := strconv.ParseUint(f[2], 10, 8)
		digest := strings.ToUpper(strings.Join(f[3:], ""))
		if b, err := hex.DecodeString(digest); err1 != nil || err2 != nil || err3 != nil || err != nil || len(b) == 0 || len(b) > 64 {
			return nil, impound.Errorf(impound.KindInvalid, "%q is no DS", cut(s, 80))
		}
		out = append(out, DS{uint16(tag), uint8(alg), uint8(typ), digest})
	}
	return out, nil
}

// DomainInfo is a domain as its registry holds it (RFC 5731 3.1.2). Lists are
// in the server's order.
type DomainInfo struct {
	Name        impound.Name   `json:"name"`
	ROID        string         `json:"roid"`
	Statuses    []string       `json:"statuses"`
	Registrant  string         `json:"registrant,omitempty"` // a contact id
	NS          []impound.Name `json:"ns"`
	HostAttr    bool           `json:"host_attr,omitempty"` // name servers are attributes, not objects: say so in DomainUpdate
	Hosts       []impound.Name `json:"hosts,omitempty"`     // host objects below the domain: others may use them
	Sponsor     string         `json:"sponsor"`
	Creator     string         `json:"creator,omitempty"`
	Updater     string         `json:"updater,omitempty"`
	Created     time.Time      `json:"created,omitzero"`
	Updated     time.Time      `json:"updated,omitzero"`
	Expiry      time.Time      `json:"expiry,omitzero"`
	Transferred time.Time      `json:"transferred,omitzero"`
	DS          []DS           `json:"ds,omitempty"`
	Keys        int            `json:"keys,omitempty"` // DNSKEYs given instead of DS (RFC 5910 4.2)
	RGP         []string       `json:"rgp,omitempty"`  // grace-period statuses (RFC 3915)
}

// Has says whether the domain has that status.
func (d DomainInfo) Has(status string) bool { return slices.Contains(d.Statuses, status) }

// HostInfo is a host object (RFC 5732 3.1.2).
type HostInfo struct {
	Name     impound.Name `json:"name"`
	ROID     string       `json:"roid"`
	Statuses []string     `json:"statuses"`
	Addrs    []netip.Addr `json:"addrs,omitempty"`
	Sponsor  string       `json:"sponsor"`
	Created  time.Time    `json:"created,omitzero"`
	Updated  time.Time    `json:"updated,omitzero"`
}

// Available is one answer to a check: whether the object can be created, which
// is that it doesn't exist yet and policy allows it.
type Available struct {
	Name   impound.Name `json:"name"`
	Avail  bool         `json:"avail"`
	Reason string       `json:"reason,omitempty"`
}

// PollMessage is the head of the session account's message queue (RFC 5730 2.9.2.3).
type PollMessage struct {
	ID      string       `json:"id"`
	Count   int          `json:"count"` // messages in the queue, this one included
	Date    time.Time    `json:"date,omitzero"`
	Text    string       `json:"text"`
	Pending *PendingDone `json:"pending,omitempty"`
}

// PendingDone tells how a command that was answered 1001 ended (RFC 5731 3.3).
type PendingDone struct {
	Name   impound.Name `json:"name"`
	Done   bool         `json:"done"` // false: it was denied
	ClTRID string       `json:"cltrid"`
	SvTRID string       `json:"svtrid"`
	Date   time.Time    `json:"date,omitzero"`
}

// InfoDomain asks for a domain. It is KindNotFound when the registry has none.
func (c *Client) InfoDomain(ctx context.Context, name impound.Name) (DomainInfo, error) {
	id := newTRID()
	frame := command(`<info><domain:info xmlns:domain="`+NSDomain+`"><domain:name hosts="all">`+Escape(name.String())+`</domain:name></domain:info></info>`, "", id)
	_, resp, err := c.do(ctx, frame, id, nil)
	if err != nil {
		return DomainInfo{}, err
	}
	d, err := parseDomainInfo(resp, name)
	if err != nil {
		return DomainInfo{}, protocol(c.where, "domain info: %w", err)
	}
	return d, nil
}

// InfoHost asks for a host object. It is KindNotFound when the registry has none.
func (c *Client) InfoHost(ctx context.Context, name impound.Name) (HostInfo, error) {
	id := newTRID()
	frame := command(`<info><host:info xmlns:host="`+NSHost+`">`+Tag("host:name", name.String())+`</host:info></info>`, "", id)
	_, resp, err := c.do(ctx, frame, id, nil)
	if err != nil {
		return HostInfo{}, err
	}
	h, err := parseHostInfo(resp, name)
	if err != nil {
		return HostInfo{}, protocol(c.where, "host info: %w", err)
	}
	return h, nil
}

// CheckDomain asks which domains could be created, in the order of names.
func (c *Client) CheckDomain(ctx context.Context, names ...impound.Name) ([]Available, error) {
	return c.check(ctx, "domain", NSDomain, names)
}

// CheckHost asks which host objects could be created, in the order of names;
// those that can't, exist (or policy forbids them: see Reason).
func (c *Client) CheckHost(ctx context.Context, names ...impound.Name) ([]Available, error) {
	return c.check(ctx, "host", NSHost, names)
}

func (c *Client) check(ctx context.Context, obj, space string, names []impound.Name) ([]Available, error) {
	var b strings.Builder
	for _, n := range names {
		b.WriteString(Tag(obj+":name", n.String()))
	}
	if len(names) == 0 {
		return nil, nil
	}
	id := newTRID()
	frame := command(`<check><`+obj+`:check xmlns:`+obj+`="`+space+`">`+b.String()+`</`+obj+`:check></check>`, "", id)
	_, resp, err := c.do(ctx, frame, id, nil)
	if err != nil {
		return nil, err
	}
	out, err := parseCheck(resp, space, names)
	if err != nil {
		return nil, protocol(c.where, "%s check: %w", obj, err)
	}
	return out, nil
}

// DomainUpdate is one <update> of a domain, done by the server as a whole or
// not at all.
type DomainUpdate struct {
	Name                 impound.Name
	AddNS, RemNS         []impound.Name
	HostAttr             bool // send name servers as attributes, as DomainInfo.HostAttr says
	AddStatus, RemStatus []string
	RemAllDS             bool   // secDNS:rem all
	AddDS                []DS   // secDNS:add; never with RemAllDS
	Registrant           string // a contact id; "" leaves it
	// Release says that the order lets the name go: what the update does then
	// takes a permit for that, and not for the acts one by one.
	Release bool
	ClTRID  string // 3 to 64 characters; made up when empty
}

// Acts gives what u would do, in the order nameservers, hold, registrant, lock,
// remove-ds; each needs a permit.
func (u DomainUpdate) Acts() []impound.Act {
	var acts []impound.Act
	if u.Release && len(u.AddNS)+len(u.RemNS)+len(u.AddStatus)+len(u.RemStatus)+len(u.Registrant)+len(u.AddDS) > 0 {
		acts = append(acts, impound.ActRelease)
		if u.RemAllDS { // nothing that is let go needs it
			acts = append(acts, impound.ActRemoveDS)
		}
		return acts
	}
	if len(u.AddNS)+len(u.RemNS) > 0 {
		acts = append(acts, impound.ActNameservers)
	}
	var hold, lock bool
	for _, s := range slices.Concat(u.AddStatus, u.RemStatus) {
		if strings.HasSuffix(s, "Hold") {
			hold = true
		} else {
			lock = true
		}
	}
	if hold {
		acts = append(acts, impound.ActHold)
	}
	if u.Registrant != "" {
		acts = append(acts, impound.ActRegistrant)
	}
	if lock {
		acts = append(acts, impound.ActLock)
	}
	if u.RemAllDS || len(u.AddDS) > 0 { // whoever may remove it may put it back
		acts = append(acts, impound.ActRemoveDS)
	}
	return acts
}

func (u DomainUpdate) validate() error {
	bad := func(format string, args ...any) error {
		return impound.Errorf(impound.KindInvalid, format, args...).At(u.Name.Defanged())
	}
	if u.Name.IsZero() {
		return impound.Errorf(impound.KindInvalid, "an update without a name")
	}
	if len(u.Acts()) == 0 {
		return bad("an update that changes nothing")
	}
	if r := u.Registrant; r != "" && !contactID(r) {
		return bad("%q is no contact id: it has 3 to 16 characters", cut(r, 40))
	}
	for _, l := range [][]impound.Name{u.AddNS, u.RemNS} {
		for i, n := range l {
			if n.IsZero() || slices.Contains(l[:i], n) {
				return bad("name server %d is empty or given twice", i+1)
			}
		}
	}
	for _, n := range u.AddNS {
		if slices.Contains(u.RemNS, n) {
			return bad("name server %s is both added and removed", n.Defanged())
		}
		if n.AtOrBelow(u.Name) {
			return bad("name server %s lies inside the name that is taken", n.Defanged())
		}
	}
	for _, l := range [][]string{u.AddStatus, u.RemStatus} {
		for i, s := range l {
			_, lock := impound.EPPStatuses[s]
			if !lock && s != "clientHold" && s != "serverHold" {
				return bad("%q is no status that a client can set", cut(s, 40))
			}
			if slices.Contains(l[:i], s) {
				return bad("status %s is given twice", s)
			}
		}
	}
	if len(u.AddDS) > 0 && u.RemAllDS {
		return bad("the DS is both removed and put back")
	}
	for i, ds := range u.AddDS {
		if b, err := hex.DecodeString(ds.Digest); err != nil || len(b) == 0 || len(b) > 64 || slices.Contains(u.AddDS[:i], ds) {
			return bad("DS %d has a digest that is none, or is given twice", i+1)
		}
	}
	for _, s := range u.AddStatus {
		if slices.Contains(u.RemStatus, s) {
			return bad("status %s is both added and removed", s)
		}
	}
	return nil
}

// UpdateDomain changes a domain. For every act of u there must be a permit for
// that act and name that holds at the moment before the frame is written;
// otherwise it is KindRefused and nothing was sent. An answer that is lost or
// can't be trusted gives [ErrUnknownOutcome]; a failure that the server
// answered, a [ResultError] with the Result beside it. Code 1001 is no error:
// ask [Result.Pending].
func (c *Client) UpdateDomain(ctx context.Context, permits []impound.Permit, u DomainUpdate) (Result, error) {
	if err := u.validate(); err != nil {
		return Result{}, err
	}
	id, err := trID(u.ClTRID)
	if err != nil {
		return Result{}, err
	}
	permits = slices.Clone(permits)
	gate := func(now time.Time) error {
		if (u.RemAllDS || len(u.AddDS) > 0) && !slices.Contains(c.exts, NSSecDNS) {
			return impound.Errorf(impound.KindInvalid, "this session has no secDNS: the DS can be neither removed nor put back, and nothing was sent").At(c.where)
		}
		for _, act := range u.Acts() {
			if err := anyPermits(permits, act, u.Name, now); err != nil {
				return err
			}
		}
		return nil
	}
	r, _, err := c.do(ctx, u.frame(id), id, gate)
	return c.transformed(r, err)
}

// transformed refuses successes that no transform can have.
func (c *Client) transformed(r Result, err error) (Result, error) {
	if err == nil && r.Code != 1000 && r.Code != 1001 {
		return r, unknown(c.where, protocol(c.where, "%d is no answer to a transform", r.Code))
	}
	return r, err
}

func anyPermits(permits []impound.Permit, act impound.Act, n impound.Name, now time.Time) error {
	err := impound.Permit{}.Check(act, n, now)
	for _, p := range permits {
		e := p.Check(act, n, now)
		if e == nil {
			return nil
		}
		if p.Act() == act && p.Name() == n {
			err = e // the one that was meant: say why it doesn't hold
		}
	}
	return err
}

// frame writes u in the order that the schemas demand: add, rem, chg; in each ns,
// then status; the extension after the command (RFC 5731 3.2.5, RFC 5910 5.2.5).
func (u DomainUpdate) frame(clTRID string) []byte {
	var b strings.Builder
	b.WriteString(`<update><domain:update xmlns:domain="` + NSDomain + `">` + Tag("domain:name", u.Name.String()))
	part := func(tag string, ns []impound.Name, status []string) {
		if len(ns)+len(status) == 0 {
			return
		}
		b.WriteString("<domain:" + tag + ">")
		if len(ns) > 0 {
			b.WriteString("<domain:ns>")
			for _, n := range ns {
				if u.HostAttr {
					b.WriteString("<domain:hostAttr>" + Tag("domain:hostName", n.String()) + "</domain:hostAttr>")
				} else {
					b.WriteString(Tag("domain:hostObj", n.String()))
				}
			}
			b.WriteString("</domain:ns>")
		}
		for _, s := range status {
			b.WriteString(`<domain:status s="` + Escape(s) + `"/>`)
		}
		b.WriteString("</domain:" + tag + ">")
	}
	part("add", u.AddNS, u.AddStatus)
	part("rem", u.RemNS, u.RemStatus)
	if u.Registrant != "" {
		b.WriteString("<domain:chg>" + Tag("domain:registrant", u.Registrant) + "</domain:chg>")
	}
	ext := "" // with one, add and rem may both be missing (RFC 5731 3.2.5)
	if u.RemAllDS {
		ext = `<secDNS:update xmlns:secDNS="` + NSSecDNS + `"><secDNS:rem><secDNS:all>true</secDNS:all></secDNS:rem></secDNS:update>`
	}
	if len(u.AddDS) > 0 {
		var d strings.Builder
		for _, x := range u.AddDS {
			d.WriteString("<secDNS:dsData>" + Tag("secDNS:keyTag", strconv.Itoa(int(x.KeyTag))) + Tag("secDNS:alg", strconv.Itoa(int(x.Alg))) +
				Tag("secDNS:digestType", strconv.Itoa(int(x.DigestType))) + Tag("secDNS:digest", strings.ToUpper(x.Digest)) + "</secDNS:dsData>")
		}
		ext = `<secDNS:update xmlns:secDNS="` + NSSecDNS + `"><secDNS:add>` + d.String() + `</secDNS:add></secDNS:update>`
	}
	b.WriteString("</domain:update></update>")
	return command(b.String(), ext, clTRID)
}

// HostCreate is a host object to create. A host outside of the registry's own
// domains has no addresses (RFC 5732 3.2.1).
type HostCreate struct {
	Name   impound.Name
	Addrs  []netip.Addr
	ClTRID string
}

// CreateHost creates a host object, so that domains can be delegated to it. The
// permit is that of the seized name which is to use the host (ActNameservers);
// it must hold at the moment before the frame is written, and the host must not
// lie inside that name. Errors are as those of UpdateDomain; a host that exists
// is KindConflict (code 2302).
func (c *Client) CreateHost(ctx context.Context, permit impound.Permit, h HostCreate) (Result, error) {
	if h.Name.IsZero() {
		return Result{}, impound.Errorf(impound.KindInvalid, "a host without a name")
	}
	id, err := trID(h.ClTRID)
	if err != nil {
		return Result{}, err
	}
	var b strings.Builder
	b.WriteString(`<create><host:create xmlns:host="` + NSHost + `">` + Tag("host:name", h.Name.String()))
	for _, a := range h.Addrs {
		if !a.IsValid() || a.Zone() != "" {
			return Result{}, impound.Errorf(impound.KindInvalid, "host %s has an address that is none", h.Name.Defanged())
		}
		v := "v6"
		if a = a.Unmap(); a.Is4() {
			v = "v4"
		}
		b.WriteString(`<host:addr ip="` + v + `">` + a.String() + `</host:addr>`)
	}
	b.WriteString(`</host:create></create>`)
	gate := func(now time.Time) error {
		if err := permit.Check(impound.ActNameservers, permit.Name(), now); err != nil {
			return err
		}
		if h.Name.AtOrBelow(permit.Name()) {
			return impound.Errorf(impound.KindRefused, "name server %s lies inside %s, the name that is taken", h.Name.Defanged(), permit.Name().Defanged())
		}
		return nil
	}
	r, _, err := c.do(ctx, command(b.String(), "", id), id, gate)
	return c.transformed(r, err)
}

// Poll asks for the oldest message of the account's queue; false when there is
// none. The message stays until [Client.Ack].
func (c *Client) Poll(ctx context.Context) (PollMessage, bool, error) {
	id := newTRID()
	r, resp, err := c.do(ctx, command(`<poll op="req"/>`, "", id), id, nil)
	if err != nil {
		return PollMessage{}, false, err
	}
	switch r.Code {
	case 1300:
		return PollMessage{}, false, nil
	case 1301:
		m, err := parsePoll(resp)
		if err != nil {
			return PollMessage{}, false, protocol(c.where, "poll: %w", err)
		}
		m.Text = scrubText(m.Text, c.pw)
		return m, true, nil
	}
	return PollMessage{}, false, protocol(c.where, "poll was answered with %d", r.Code)
}

// Ack takes a message off the queue: do it after what it says has been kept.
func (c *Client) Ack(ctx context.Context, msgID string) error {
	id := newTRID()
	r, _, err := c.do(ctx, command(`<poll op="ack" msgID="`+Escape(msgID)+`"/>`, "", id), id, nil)
	if err == nil && r.Code != 1000 && r.Code != 1300 {
		return protocol(c.where, "an acknowledgement was answered with %d", r.Code)
	}
	return err
}

// hostName reads a name as a server must write it: [impound.ParseName] alone
// would also take a URL or a defanged spelling.
func hostName(n *Node) (impound.Name, error) {
	s := strings.TrimSuffix(strings.ToLower(n.Token()), ".")
	name, err := impound.ParseName(s)
	if err != nil {
		return impound.Name{}, err
	}
	if name.String() != s && name.Unicode() != s {
		return impound.Name{}, fmt.Errorf("%.80q is no domain name", s)
	}
	return name, nil
}

func hostNames(nodes []*Node) ([]impound.Name, error) {
	var out []impound.Name
	for _, n := range nodes {
		name, err := hostName(n)
		if err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, nil
}

// only gives the one child of resData, by name.
func only(resp *Node, space, local string) (*Node, error) {
	data := resp.First(NSEPP, "resData")
	if n := data.First(space, local); n != nil && len(data.Kids) == 1 {
		return n, nil
	}
	return nil, fmt.Errorf("no %s of %s in the answer", local, space)
}

func dates(n *Node, space string, into map[string]*time.Time) error {
	for local, t := range into {
		var err error
		if *t, err = parseTime(n.First(space, local).Token()); err != nil {
			return fmt.Errorf("%s: %w", local, err)
		}
	}
	return nil
}

func statuses(n *Node, space string) []string {
	var out []string
	for _, s := range n.All(space, "status") {
		if v, ok := s.Attr("s"); ok {
			out = append(out, cut(v, 64))
		}
	}
	return out
}

func parseDomainInfo(resp *Node, want impound.Name) (d DomainInfo, err error) {
	const ns = NSDomain
	n, err := only(resp, ns, "infData")
	if err != nil {
		return d, err
	}
	if d.Name, err = hostName(n.First(ns, "name")); err != nil {
		return d, err
	}
	if d.Name != want {
		return d, fmt.Errorf("asked for %s, answered for %s", want.Defanged(), d.Name.Defanged())
	}
	d.ROID = n.First(ns, "roid").Token()
	d.Statuses = statuses(n, ns)
	d.Registrant = n.First(ns, "registrant").Token()
	d.Sponsor, d.Creator, d.Updater = n.First(ns, "clID").Token(), n.First(ns, "crID").Token(), n.First(ns, "upID").Token()
	if d.Sponsor == "" {
		return d, errors.New("a domain without a sponsoring client")
	}
	servers := n.First(ns, "ns")
	if d.NS, err = hostNames(servers.All(ns, "hostObj")); err != nil {
		return d, err
	}
	for _, a := range servers.All(ns, "hostAttr") {
		name, err := hostName(a.First(ns, "hostName"))
		if err != nil {
			return d, err
		}
		d.NS, d.HostAttr = append(d.NS, name), true
	}
	if d.Hosts, err = hostNames(n.All(ns, "host")); err != nil {
		return d, err
	}
	if err = dates(n, ns, map[string]*time.Time{"crDate": &d.Created, "upDate": &d.Updated, "exDate": &d.Expiry, "trDate": &d.Transferred}); err != nil {
		return d, err
	}
	ext := resp.First(NSEPP, "extension")
	sec := ext.First(NSSecDNS, "infData")
	for _, x := range sec.All(NSSecDNS, "dsData") {
		ds, err := parseDS(x)
		if err != nil {
			return d, err
		}
		d.DS = append(d.DS, ds)
	}
	d.Keys = len(sec.All(NSSecDNS, "keyData"))
	for _, r := range ext.All(NSRGP, "infData") {
		for _, s := range r.All(NSRGP, "rgpStatus") {
			if v, ok := s.Attr("s"); ok {
				d.RGP = append(d.RGP, cut(v, 64))
			}
		}
	}
	return d, nil
}

func parseDS(n *Node) (ds DS, err error) {
	num := func(local string, bits int) uint64 {
		v, e := strconv.ParseUint(n.First(NSSecDNS, local).Token(), 10, bits)
		if e != nil && err == nil {
			err = fmt.Errorf("DS record: %s: %w", local, e)
		}
		return v
	}
	ds.KeyTag, ds.Alg, ds.DigestType = uint16(num("keyTag", 16)), uint8(num("alg", 8)), uint8(num("digestType", 8))
	ds.Digest = strings.ToUpper(n.First(NSSecDNS, "digest").Token())
	if len(ds.Digest) > 256 || strings.Trim(ds.Digest, "0123456789ABCDEF") != "" {
		return ds, errors.New("DS record: the digest is not hexadecimal")
	}
	return ds, err
}

func parseHostInfo(resp *Node, want impound.Name) (h HostInfo, err error) {
	const ns = NSHost
	n, err := only(resp, ns, "infData")
	if err != nil {
		return h, err
	}
	if h.Name, err = hostName(n.First(ns, "name")); err != nil {
		return h, err
	}
	if h.Name != want {
		return h, fmt.Errorf("asked for %s, answered for %s", want.Defanged(), h.Name.Defanged())
	}
	h.ROID, h.Sponsor, h.Statuses = n.First(ns, "roid").Token(), n.First(ns, "clID").Token(), statuses(n, ns)
	for _, a := range n.All(ns, "addr") {
		ip, err := netip.ParseAddr(a.Token())
		if err != nil {
			return h, fmt.Errorf("host address: %w", err)
		}
		h.Addrs = append(h.Addrs, ip)
	}
	return h, dates(n, ns, map[string]*time.Time{"crDate": &h.Created, "upDate": &h.Updated})
}

func parseCheck(resp *Node, space string, want []impound.Name) ([]Available, error) {
	n, err := only(resp, space, "chkData")
	if err != nil {
		return nil, err
	}
	got := map[impound.Name]Available{}
	for _, cd := range n.All(space, "cd") {
		nn := cd.First(space, "name")
		name, err := hostName(nn)
		if err != nil {
			return nil, err
		}
		s, _ := nn.Attr("avail")
		if s != "1" && s != "0" && s != "true" && s != "false" {
			return nil, fmt.Errorf("%s is neither available nor not: avail=%.20q", name.Defanged(), s)
		}
		got[name] = Available{Name: name, Avail: s == "1" || s == "true", Reason: cut(cd.First(space, "reason").Token(), 200)}
	}
	out := make([]Available, 0, len(want))
	for _, w := range want {
		a, ok := got[w]
		if !ok {
			return nil, fmt.Errorf("no answer for %s", w.Defanged())
		}
		out = append(out, a)
	}
	return out, nil
}

func parsePoll(resp *Node) (m PollMessage, err error) {
	q := resp.First(NSEPP, "msgQ")
	m.ID, _ = q.Attr("id")
	if m.ID == "" || len(m.ID) > 256 {
		return m, errors.New("a message without a usable id")
	}
	s, _ := q.Attr("count")
	if m.Count, err = strconv.Atoi(s); err != nil {
		return m, fmt.Errorf("message count: %w", err)
	}
	m.Text = cut(q.First(NSEPP, "msg").Token(), 1000)
	if m.Date, err = parseTime(q.First(NSEPP, "qDate").Token()); err != nil {
		return m, err
	}
	pan := resp.First(NSEPP, "resData").First(NSDomain, "panData")
	if pan == nil {
		return m, nil
	}
	p := &PendingDone{}
	nn := pan.First(NSDomain, "name")
	if p.Name, err = hostName(nn); err != nil {
		return m, err
	}
	s, _ = nn.Attr("paResult")
	if s != "1" && s != "0" && s != "true" && s != "false" {
		return m, fmt.Errorf("the pending action on %s neither succeeded nor failed: paResult=%.20q", p.Name.Defanged(), s)
	}
	p.Done = s == "1" || s == "true"
	id := pan.First(NSDomain, "paTRID")
	p.ClTRID, p.SvTRID = cut(id.First(NSEPP, "clTRID").Token(), 64), cut(id.First(NSEPP, "svTRID").Token(), 64)
	if p.Date, err = parseTime(pan.First(NSDomain, "paDate").Token()); err != nil {
		return m, err
	}
	m.Pending = p
	return m, nil
}
