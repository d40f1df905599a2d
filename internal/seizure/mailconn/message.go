package mailconn

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/emersion/go-msgauth/dkim"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// Wanted is request.json: what is asked of one provider, for its machines.
type Wanted struct {
	Format    string       `json:"impound"` // "request/v1"
	Letter    string       `json:"letter"`
	Kind      string       `json:"kind"` // "request" | "reminder"
	Reminder  int          `json:"reminder,omitempty"`
	Of        string       `json:"of,omitempty"` // the letter that it reminds of
	Provider  string       `json:"provider"`
	Order     string       `json:"order"`
	OrderHash string       `json:"order_hash"`
	Court     string       `json:"court,omitempty"`
	Agreement string       `json:"agreement,omitempty"`
	Docket    string       `json:"docket"`
	CallBack  string       `json:"call_back"`
	From      time.Time    `json:"from"`
	Until     time.Time    `json:"until"`
	ConfirmBy time.Time    `json:"confirm_by,omitzero"`
	Release   string       `json:"release,omitempty"` // by the order's return clause: "restore" | "expire" | "delete"
	Undo      bool         `json:"undo,omitempty"`    // what was done under the order is to be taken back
	Names     []WantedName `json:"names"`
}

// WantedName is what is asked for one name. Names are as in DNS, not defanged.
type WantedName struct {
	Domain            string   `json:"domain"`
	AddNameservers    []string `json:"add_nameservers,omitempty"`
	RemoveNameservers []string `json:"remove_nameservers,omitempty"`
	AddStatus         []string `json:"add_status,omitempty"`
	RemoveStatus      []string `json:"remove_status,omitempty"`
	RemoveAllDS       bool     `json:"remove_all_ds,omitempty"`
	PutBackDS         []string `json:"put_back_ds,omitempty"` // after the name servers: "tag algorithm digest-type digest"
	Delete            bool     `json:"delete,omitempty"`
	RenewYears        int      `json:"renew_years,omitempty"`
	RenewFrom         string   `json:"renew_from,omitempty"` // when the registration ends as it is: a renewal that was made already is not asked for
}

func wanted(r seizure.Request, p Papers) Wanted {
	o := p.Order
	w := Wanted{
		Format: "request/v1", Letter: r.ID, Kind: r.Kind, Reminder: r.No, Of: r.Of, Provider: r.Provider, Order: o.ID, OrderHash: p.OrderHash, Court: o.Authority.Court, Agreement: o.Authority.Agreement,
		Docket: o.Authority.Docket, CallBack: o.Authority.CallBack, From: o.From.UTC(), Until: o.Until.UTC(), ConfirmBy: o.ConfirmBy, Undo: r.Revert, Release: r.Release,
	}
	for _, c := range r.Changes {
		var r seizure.Renewal
		if c.Renew != nil {
			r = *c.Renew
		}
		w.Names = append(w.Names, WantedName{RenewYears: r.Years, RenewFrom: r.Ends, Domain: c.Name.String(), AddNameservers: texts(c.AddNS), RemoveNameservers: texts(c.RemNS), AddStatus: c.AddStatus, RemoveStatus: c.RemStatus, RemoveAllDS: c.RemAllDS, PutBackDS: c.BackDS, Delete: c.Delete})
	}
	return w
}

func texts(in []impound.Name) []string {
	var out []string
	for _, n := range in {
		out = append(out, n.String())
	}
	return out
}

func years(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// csvOf gives the same as request.csv, a row a name.
func (w Wanted) csvOf() []byte {
	var b bytes.Buffer
	c := csv.NewWriter(&b)
	c.UseCRLF = true
	_ = c.Write([]string{"domain", "add_nameservers", "remove_nameservers", "add_status", "remove_status", "remove_all_ds", "delete", "renew_years", "renew_from", "put_back_ds"})
	for _, n := range w.Names {
		yes := map[bool]string{true: "yes", false: "no"}
		_ = c.Write([]string{n.Domain, strings.Join(n.AddNameservers, " "), strings.Join(n.RemoveNameservers, " "), strings.Join(n.AddStatus, " "), strings.Join(n.RemoveStatus, " "), yes[n.RemoveAllDS], yes[n.Delete], years(n.RenewYears), n.RenewFrom, strings.Join(n.PutBackDS, "; ")})
	}
	c.Flush()
	return b.Bytes()
}

// Compose writes the letter: signed, and complete with its head.
func (c *Connector) Compose(ctx context.Context, r seizure.Request) (seizure.Letter, error) {
	var l seizure.Letter
	if len(r.Changes) == 0 || r.ID == "" || strings.ContainsFunc(r.ID, func(x rune) bool {
		return !(x >= '0' && x <= '9' || x >= 'a' && x <= 'z' || x >= 'A' && x <= 'Z' || x == '-')
	}) {
		return l, impound.Errorf(impound.KindInternal, "a letter needs an id and something to ask for")
	}
	for _, ch := range r.Changes {
		if err := c.Capabilities().Asked(ch); err != nil {
			return l, err
		}
	}
	p, err := c.cfg.Papers(ctx, r.Order)
	if err != nil {
		return l, fmt.Errorf("couldn't get the papers of order %s: %w", r.Order, err)
	}
	if p.Order.ID != r.Order {
		return l, impound.Errorf(impound.KindInternal, "the papers are those of order %s, not of %s", p.Order.ID, r.Order)
	}
	w := wanted(r, p)
	body, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return l, impound.Errorf(impound.KindInternal, "couldn't encode the request: %w", err)
	}
	files := append([]File{
		{"request.csv", "text/csv", "exactly what is asked of you, a row a name", w.csvOf()},
		{"request.json", "application/json", "the same for machines", append(body, '\n')},
	}, p.Files...)
	reports, arfs, err := c.abuse(r, p)
	if err != nil {
		return l, err
	}
	files = append(files, reports...)
	seen := map[string]bool{}
	for _, f := range files {
		if seen[f.Name] || !plainName(f.Name) || !plainMedia(f.Media) {
			return l, impound.Errorf(impound.KindInternal, "%.80q can't go along under that name", f.Name)
		}
		seen[f.Name] = true
		l.Parts = append(l.Parts, seizure.Part{Name: f.Name, Hash: impound.HashBytes(f.Data), Size: len(f.Data)})
	}
	_, domain, _ := strings.Cut(c.from.Address, "@")
	l.Request, l.To, l.Media = r, slices.Clone(c.to), "message/rfc822"
	l.Ref = "<impound." + r.ID + "@" + domain + ">"
	l.Subject = c.subject(r, p)
	text := c.text(r, p, l.Parts, files)

	signed := mixed(text, files, arfs)
	sig, err := c.cfg.Signer.sign(signed)
	if err != nil {
		return l, fmt.Errorf("couldn't sign the letter: %w", err)
	}
	var m bytes.Buffer
	head := func(k, v string) { m.WriteString(fold(k+": "+v) + "\r\n") }
	head("Date", r.At.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	from := mail.Address{Name: line(c.cfg.Org), Address: c.from.Address}
	head("From", from.String())
	head("To", strings.Join(bare(c.cfg.To), ", "))
	if len(c.cfg.Cc) > 0 {
		head("Cc", strings.Join(bare(c.cfg.Cc), ", "))
	}
	head("Subject", mime.QEncoding.Encode("utf-8", l.Subject))
	head("Message-ID", l.Ref)
	if r.Reply != "" && plainRef(r.Reply) {
		head("In-Reply-To", r.Reply)
		head("References", r.Reply)
	}
	head("X-Impound-Letter", r.ID)
	head("MIME-Version", "1.0")
	b := boundary()
	m.WriteString("Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n micalg=sha-256; boundary=\"" + b + "\"\r\n\r\n")
	m.WriteString("This letter is signed (S/MIME, RFC 8551).\r\n\r\n--" + b + "\r\n")
	m.Write(signed)
	m.WriteString("\r\n--" + b + "\r\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7s\"\r\n\r\n")
	wrap64(&m, sig)
	m.WriteString("--" + b + "--\r\n")
	if m.Len() > c.cfg.MaxBytes {
		return l, impound.Errorf(impound.KindInvalid, "the letter is %d bytes, more than the %d that are sent", m.Len(), c.cfg.MaxBytes).At("provider " + c.cfg.Provider).WithCure("choose fewer exhibits, or raise max_mb of the provider where its server takes more")
	}
	l.Body = m.Bytes()
	if d := c.cfg.DKIM; d != nil {
		var out bytes.Buffer
		err := dkim.Sign(&out, bytes.NewReader(l.Body), &dkim.SignOptions{
			Domain: d.Domain, Selector: d.Selector, Signer: d.Key,
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
			// Those that are signed and absent can't be added on the way.
			HeaderKeys: []string{"Date", "From", "To", "Cc", "Subject", "Message-ID", "In-Reply-To", "References", "Reply-To", "MIME-Version", "Content-Type", "X-Impound-Letter"},
		})
		if err != nil {
			return l, fmt.Errorf("couldn't sign the letter for its way: %w", err)
		}
		l.Body = out.Bytes()
	}
	return l, nil
}

// bare gives mailboxes without their names, as heads take them.
func bare(in []string) []string {
	var out []string
	for _, s := range in {
		if a, err := mail.ParseAddress(s); err == nil {
			out = append(out, a.Address)
		}
	}
	return out
}

func (c *Connector) subject(r seizure.Request, p Papers) string {
	what := "Court order"
	if p.Order.Authority.Court == "" {
		what = "Order by agreement"
	}
	s := fmt.Sprintf("%s %s: %s, action needed [%s]", what, line(p.Order.Authority.Docket), countOf(len(r.Changes), "domain name"), r.ID)
	if r.Revert {
		s = fmt.Sprintf("%s %s: please undo for %s [%s]", what, line(p.Order.Authority.Docket), countOf(len(r.Changes), "domain name"), r.ID)
	}
	if r.Release != "" {
		s = fmt.Sprintf("%s %s: please let %s go [%s]", what, line(p.Order.Authority.Docket), countOf(len(r.Changes), "domain name"), r.ID)
	}
	if r.Kind == seizure.LetterReminder {
		s = fmt.Sprintf("Reminder %d: ", r.No) + s
	}
	return s
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

const minute = "2006-01-02 15:04 UTC"

// text is the letter itself. Names are defanged: a list of hostile names that a
// mail program turned into links would be worse than none.
func (c *Connector) text(r seizure.Request, p Papers, parts []seizure.Part, files []File) string {
	o, a := p.Order, p.Order.Authority
	var b strings.Builder
	para := func(format string, args ...any) {
		for l := range strings.SplitSeq(wrapText(fmt.Sprintf(format, args...), 74), "\n") {
			b.WriteString(l + "\n")
		}
		b.WriteString("\n")
	}
	field := func(k, v string) {
		if v = line(v); v != "" {
			fmt.Fprintf(&b, "  %-14s %s\n", k, strings.ReplaceAll(wrapText(v, 56), "\n", "\n"+strings.Repeat(" ", 17)))
		}
	}
	title := func(s string) { b.WriteString(s + "\n" + strings.Repeat("-", len(s)) + "\n") }
	para("To %s", line(orElse(c.cfg.Name, c.cfg.Provider)))
	if r.Kind == seizure.LetterReminder {
		para("This is reminder %d of our letter %s of %s. As far as can be seen from outside, what it asks for has not been done for the names below. If it has, or if something stands in its way, please answer this mail.", r.No, r.Of, r.Asked.UTC().Format(minute))
	}
	if r.Release != "" {
		para("The order named below ends for the following domain names. By its return clause, please carry out what is listed for them.")
	} else if r.Revert {
		para("Under the order named below, please undo for the following domain names what was done before.")
	} else {
		para("Under the order named below, which is attached, please carry out what is listed for the following domain names.")
	}
	title("The order")
	field("Court", a.Court)
	field("Agreement", a.Agreement)
	field("Docket", a.Docket)
	field("Judge", a.Judge)
	field("Jurisdiction", a.Jurisdiction)
	field("At request of", o.Parties.Requesting)
	field("In force", "from "+o.From.UTC().Format(minute)+" until "+o.Until.UTC().Format(minute))
	if !o.ConfirmBy.IsZero() {
		field("Confirm by", o.ConfirmBy.UTC().Format(minute))
	}
	field("Costs", a.Cost)
	field("Reference", r.ID+" (order "+o.ID+")")
	b.WriteString("\n")
	if a.Gag {
		para("THE ORDER FORBIDS YOU TO TELL ANYBODY OF IT, YOUR CUSTOMER INCLUDED.")
	}
	if o.SealedUntil.After(r.At) {
		para("The order is sealed until %s.", o.SealedUntil.UTC().Format(minute))
	}
	title("What is asked")
	b.WriteString("(Names are written so that they are no links; do not visit them. The same\nlist for machines is in request.csv and request.json.)\n\n")
	// Names of which the same is asked stand together.
	type group struct {
		lines []string
		names []string
	}
	var groups []*group
	at := map[string]*group{}
	for _, ch := range r.Changes {
		ls := asked(ch)
		k := strings.Join(ls, "\n")
		g := at[k]
		if g == nil {
			g = &group{lines: ls}
			at[k], groups = g, append(groups, g)
		}
		g.names = append(g.names, ch.Name.Defanged())
	}
	for _, g := range groups {
		b.WriteString("For " + countOf(len(g.names), "name") + ":\n")
		for _, l := range g.lines {
			fmt.Fprintf(&b, "  * %s\n", strings.ReplaceAll(wrapText(l, 70), "\n", "\n    "))
		}
		b.WriteString("\n")
		for _, n := range g.names {
			b.WriteString("      " + n + "\n")
		}
		b.WriteString("\n")
	}
	para("A lock that stands in the way, please lift for the change and put back. Please change nothing else: do not delete, transfer or suspend a name unless that is listed above.")
	title("Please confirm")
	para("Answer this mail when it is done, with the time in UTC, or with what stands in the way. Keep %s in the subject.", r.ID)
	title("Is this real?")
	para("Do not believe this mail; check it. Ask the court or the authority itself, on a number that you find elsewhere than here:")
	field("Call back", a.CallBack)
	field("Docket", a.Docket)
	field("Order's hash", p.OrderHash)
	b.WriteString("\n")
	para("This mail is signed (S/MIME). The certificate's SHA-256 fingerprint, to be compared with what we tell you on the telephone:")
	b.WriteString("  " + strings.ReplaceAll(wrapText(fingerprint(c.cfg.Signer.Cert), 40), "\n", "\n  ") + "\n\n")
	para("What goes along, with the SHA-256 of each file:")
	for i, f := range files {
		fmt.Fprintf(&b, "  %s (%s)\n    %s\n", f.Name, line(f.What), strings.TrimPrefix(parts[i].Hash, "sha256:"))
	}
	b.WriteString("\n")
	if c.cfg.LogKey != "" {
		para("Every step of this is kept in a log that can be proven later. Its public key:")
		b.WriteString("  " + line(c.cfg.LogKey) + "\n\n")
	}
	title("Who asks")
	field("Organisation", c.cfg.Org)
	field("Mail", c.from.Address)
	field("Telephone", c.cfg.Phone)
	field("Technical", o.Parties.Technical)
	field("Counsel", o.Parties.Counsel)
	return b.String()
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// asked says in words what is to be done to one name.
func asked(c seizure.Change) []string {
	var out []string
	dots := func(ns []impound.Name) string {
		var s []string
		for _, n := range ns {
			s = append(s, n.Defanged())
		}
		return strings.Join(s, ", ")
	}
	if c.Delete {
		out = append(out, "delete the registration")
	}
	if r := c.Renew; r != nil {
		out = append(out, fmt.Sprintf("renew the registration for %d year: it ends on %s (where it was renewed since, nothing is asked)", r.Years, r.Ends))
	}
	if len(c.AddNS) > 0 {
		out = append(out, "delegate it to these name servers: "+dots(c.AddNS))
	}
	if len(c.RemNS) > 0 {
		out = append(out, "remove all others, as far as we see: "+dots(c.RemNS))
	}
	if c.RemAllDS {
		out = append(out, "remove every DS record (DNSSEC), at the same time as the name servers change")
	}
	if len(c.BackDS) > 0 {
		out = append(out, "then, when these name servers are in the zone, and while they show the key that it names, put back this DS (DNSSEC; key tag, algorithm, digest type, digest): "+strings.Join(c.BackDS, "; "))
	}
	if len(c.AddStatus) > 0 {
		out = append(out, "set these statuses (EPP): "+strings.Join(c.AddStatus, ", "))
	}
	if len(c.RemStatus) > 0 {
		out = append(out, "remove these statuses (EPP): "+strings.Join(c.RemStatus, ", "))
	}
	return out
}

// wrapText breaks paragraphs at width runes; words that are longer stay whole.
func wrapText(s string, width int) string {
	var b strings.Builder
	n := 0
	for i, w := range strings.Fields(s) {
		l := len([]rune(w))
		switch {
		case i == 0:
		case n+1+l > width:
			b.WriteString("\n")
			n = 0
		default:
			b.WriteString(" ")
			n++
		}
		b.WriteString(w)
		n += l
	}
	return b.String()
}

func plainName(s string) bool {
	return s != "" && len(s) <= 100 && s[0] != '.' && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '.' || r == '_')
	})
}

func plainMedia(s string) bool {
	t, params, err := mime.ParseMediaType(s)
	return err == nil && len(params) == 0 && t == s && strings.Contains(t, "/") && !strings.HasPrefix(t, "multipart/") && !strings.HasPrefix(t, "message/")
}

func plainRef(s string) bool {
	return len(s) > 4 && len(s) < 300 && s[0] == '<' && s[len(s)-1] == '>' && !strings.ContainsFunc(s[1:len(s)-1], func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' })
}

// mixed gives the part that is signed: canonical, with CRLF and lines that no
// relay has to touch. parts are whole MIME parts, heads included.
func mixed(text string, files []File, parts [][]byte) []byte {
	var m bytes.Buffer
	b := boundary()
	m.WriteString("Content-Type: multipart/mixed; boundary=\"" + b + "\"\r\n\r\n--" + b + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	q := quotedprintable.NewWriter(&m)
	_, _ = q.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	_ = q.Close()
	for _, f := range files {
		m.WriteString("\r\n--" + b + "\r\nContent-Type: " + f.Media + "; name=\"" + f.Name + "\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"" + f.Name + "\"\r\n\r\n")
		wrap64(&m, f.Data)
	}
	for _, p := range parts {
		m.WriteString("\r\n--" + b + "\r\n")
		m.Write(p)
	}
	m.WriteString("\r\n--" + b + "--\r\n")
	return m.Bytes()
}

func wrap64(m *bytes.Buffer, data []byte) {
	s := base64.StdEncoding.EncodeToString(data)
	for len(s) > 0 {
		n := min(76, len(s))
		m.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
}

func boundary() string { return "impound-" + rand.Text() }

// fold breaks a head at spaces, so that no line is longer than 998 octets and
// most are shorter than 78 (RFC 5322 2.1.1).
func fold(h string) string {
	var b strings.Builder
	n := 0
	for i, w := range strings.Split(h, " ") {
		switch {
		case i == 0:
		case n+1+len(w) > 76 && i > 1:
			b.WriteString("\r\n ")
			n = 1
		default:
			b.WriteString(" ")
			n++
		}
		b.WriteString(w)
		n += len(w)
	}
	return b.String()
}

// sign gives a detached CMS signature (RFC 5652) over b, with SHA-256.
func (s *Signer) sign(b []byte) ([]byte, error) {
	sd, err := pkcs7.NewSignedData(b)
	if err != nil {
		return nil, err
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := sd.AddSignerChain(s.Cert, s.Key, s.Chain, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, err
	}
	sd.Detach()
	return sd.Finish()
}
