package notify

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/impound/impound"
)

// Reporter is who tells: an organisation with a desk that can be called.
type Reporter struct {
	Org    string // "Example CSIRT"
	Mail   string // the desk's mailbox
	Phone  string // the desk's number, as published elsewhere
	Domain string // the organisation's own domain
}

// Attachment is a file that goes with a message.
type Attachment struct {
	Name  string
	Media string
	Data  []byte
}

// Message is what a network owner gets. It is plain text.
type Message struct {
	ID          string // of the report, for the subject and for calls
	From        Reporter
	To          []string
	Subject     string
	Text        string
	TLP         impound.TLP
	Attachments []Attachment
}

// Facts is what a message may rest on.
type Facts struct {
	Case    impound.Case
	Orders  []impound.Order
	Actors  []string      // every name of the actor: none may appear
	Phished []string      // mailboxes that were phished: none may be written to
	Gaps    []impound.Gap // times under the orders of which the record is incomplete
}

const when = "2006-01-02 15:04 UTC"

// Compose writes the message to the owner of network about cs, which are the
// contacts that its report holds, sorted by time. It names the seized names
// defanged, no actor, no victim's address (those stand in the attached report
// only) and no link.
func Compose(id string, from Reporter, network impound.Network, cs []impound.Contact, f Facts, now time.Time) Message {
	m := Message{ID: id, From: from, TLP: marking(f.Case.TLP)}
	if network.Abuse != "" {
		m.To = []string{network.Abuse}
	}
	victims, unclear, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	orders := map[string]bool{}
	forms := 0
	var first, last time.Time
	for _, c := range cs {
		if c.Class == impound.ClassVictim {
			victims[c.Src.Addr().Unmap().String()] = true
		} else {
			unclear[c.Src.Addr().Unmap().String()] = true
		}
		if n, err := impound.ParseName(c.Zone); err == nil {
			names[n.Defanged()] = true
		}
		orders[c.Order] = true
		if strings.EqualFold(c.Method, "POST") {
			forms++
		}
		if first.IsZero() || c.At.Before(first) {
			first = c.At
		}
		if c.At.After(last) {
			last = c.At
		}
	}
	who := network.Name
	if network.ASN != 0 {
		who = fmt.Sprintf("%s (AS%d)", network.Name, network.ASN)
	}
	m.Subject = oneLine(fmt.Sprintf("[%s] Visits to seized phishing sites from your network, %s, ref %s", tlpMark(m.TLP), first.UTC().Format("2006-01-02"), id))

	var b strings.Builder
	p := func(format string, args ...any) { b.WriteString(wrap(fmt.Sprintf(format, args...)) + "\n") }
	p("%s", tlpMark(m.TLP))
	p("Reference: %s", id)
	p("")
	p("To the security or abuse desk of %s", oneLine(defang(who)))
	p("")
	p("Names that were used for targeted phishing have been taken over by order of a court or by agreement with the registry. They now lead to servers of %s that record who still comes. From your network came:", oneLine(defang(from.Org)))
	p("")
	p("  addresses that followed a lure:  %d", len(victims))
	if len(unclear) > 0 {
		p("  addresses with unclear visits:   %d", len(unclear))
	}
	p("  requests in all:                 %d", len(cs))
	p("  from                             %s", first.UTC().Format(when))
	p("  until                            %s", last.UTC().Format(when))
	p("")
	p("The names (written so that they are no links; do not visit them):")
	p("")
	list := make([]string, 0, len(names))
	for n := range names {
		list = append(list, n)
	}
	slices.Sort(list)
	const most = 20
	for _, n := range list[:min(len(list), most)] {
		p("  %s", n)
	}
	if len(list) > most {
		p("  and %d more, see the attached report", len(list)-most)
	}
	p("")
	p("WHAT IS KNOWN")
	p("The addresses and times in the attached report asked our servers for pages under these names. The connections were complete, so the addresses are not forged. They looked like people and not like scanners, by the signs that we can see. Source ports are given: you need them behind shared addresses.")
	if forms > 0 {
		p("%d of the requests sent a form to our servers. We did not read what was in it.", forms)
	}
	p("")
	p("WHAT IS NOT KNOWN")
	p("A visit does not mean that a machine is infected, or that an account was taken over. Who followed a lure now may also have done so before the names were taken over, when there was a phishing page. We do not know who the people are, and we cannot tell every scanner from a person.")
	if len(f.Gaps) > 0 {
		p("")
		p("%s", gapText(f.Gaps))
	}
	p("")
	p("WHAT TO DO")
	p("1. Find the people by address, source port and time, and speak to them. Do")
	p("   not write to the mailbox that may be affected: whoever has it reads it.")
	p("2. For each account: end all sessions, then change the password.")
	p("3. Look for forwarding rules, delegates and connected apps that its owner")
	p("   did not set, and remove them.")
	p("4. Revoke app passwords and tokens.")
	p("5. Turn on passkeys or security keys. Codes by text message do not stop")
	p("   this kind of phishing.")
	p("6. Warn the people whom the account wrote to.")
	p("7. Tell us what you found, also if it was nothing: it helps us to judge.")
	p("")
	p("HOW TO CHECK THAT THIS IS AUTHENTIC")
	p("Do not trust this message by itself, and do not use a number that stands in it alone. Look up %s where you look up other CSIRTs, call, and give the reference above.", oneLine(defang(from.Org)))
	if from.Phone != "" {
		p("Our desk is at %s.", oneLine(from.Phone))
	}
	for _, o := range f.Orders {
		if !orders[o.ID] || now.Before(o.SealedUntil) {
			continue
		}
		by := o.Authority.Court
		if by == "" {
			by = o.Authority.Agreement
		}
		p("The basis is %s, docket %s; call-back: %s.", oneLine(defang(by)), oneLine(defang(o.Authority.Docket)), oneLine(defang(o.Authority.CallBack)))
		if !now.Before(o.Until) {
			p("It ended %s; these visits were recorded while it was in force.", o.Until.UTC().Format(when))
		}
	}
	p("")
	p("%s: %s", tlpMark(m.TLP), tlpMeans(m.TLP))
	p("")
	p("%s", oneLine(defang(from.Org)))
	if from.Mail != "" {
		p("%s", oneLine(from.Mail))
	}
	m.Text = b.String()
	return m
}

// gapText says that the record has gaps: the newest ones in words, all in the
// attached file.
func gapText(gs []impound.Gap) string {
	const most = 5
	total := 0
	for _, g := range gs {
		total += g.Missing
	}
	var b strings.Builder
	fmt.Fprintf(&b, "THE RECORD HAS GAPS. At these times visits were answered but could not be recorded, at least %d in all, so this report may lack visits from your network (see %s):", total, GapsFile)
	for _, g := range gs[max(0, len(gs)-most):] {
		fmt.Fprintf(&b, " %s;", gapSpan(g))
	}
	if n := len(gs) - most; n > 0 {
		fmt.Fprintf(&b, " and %d earlier;", n)
	}
	return strings.TrimSuffix(b.String(), ";") + "."
}

func gapSpan(g impound.Gap) string {
	if g.To.IsZero() {
		return "from " + g.From.UTC().Format(when) + " until now"
	}
	return "from " + g.From.UTC().Format(when) + " until " + g.To.UTC().Format(when)
}

// GapsFile is the file beside a report that lists its gaps; the report's own
// layout has no place for them.
const GapsFile = "gaps.csv"

// gapsCSV lists gaps without telling the sensors' names.
func gapsCSV(gs []impound.Gap) []byte {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	writeRow(w, []string{"from", "until", "missing_at_least"})
	for _, g := range gs {
		to := ""
		if !g.To.IsZero() {
			to = g.To.UTC().Format(time.RFC3339)
		}
		writeRow(w, []string{g.From.UTC().Format(time.RFC3339), to, fmt.Sprint(g.Missing)})
	}
	w.Flush() // to memory: can't fail
	return b.Bytes()
}

// wrap breaks a long line at spaces, so that a mail needs no soft breaks.
func wrap(s string) string {
	const width = 74
	var b strings.Builder
	for len(s) > width {
		i := strings.LastIndexByte(s[:width+1], ' ')
		if i <= 0 {
			if i = strings.IndexByte(s, ' '); i <= 0 {
				break
			}
		}
		b.WriteString(strings.TrimRight(s[:i], " ") + "\n")
		s = strings.TrimLeft(s[i:], " ")
	}
	return b.String() + s
}

// marking gives the level of a report: it holds people's addresses, so it is
// never below amber, and never below its case.
func marking(t impound.TLP) impound.TLP {
	if t.Within(impound.TLPAmber) {
		return impound.TLPAmber
	}
	return t
}

func tlpMark(t impound.TLP) string { return "TLP:" + strings.ToUpper(string(t)) }

func tlpMeans(t impound.TLP) string {
	switch t {
	case impound.TLPAmber:
		return "for your organisation, and those of its clients who need to know."
	case impound.TLPAmberStrict:
		return "for your organisation only."
	}
	return "for the recipients named above only."
}

var liveScheme = regexp.MustCompile(`(?i)\b(?:https?|ftp|mailto|file|data|javascript)\s*:\s*(?://)?|\bwww\.|<\s*a\s|href\s*=`)
var hostLike = regexp.MustCompile(`(?i)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)+`)

// defang breaks what a mail client would make a link of.
func defang(s string) string {
	s = liveScheme.ReplaceAllStringFunc(s, func(m string) string {
		return strings.NewReplacer("t", "x", "T", "X", ".", "[.]", ":", "[:]", "<", "").Replace(m)
	})
	return hostLike.ReplaceAllStringFunc(s, func(h string) string {
		if isLive(h) {
			return strings.ReplaceAll(h, ".", "[.]")
		}
		return h
	})
}

// isLive says whether h ends in a top-level domain that exists.
func isLive(h string) bool {
	suffix, icann := publicsuffix.PublicSuffix(strings.ToLower(h))
	return icann && suffix != strings.ToLower(h) || !icann && strings.Contains(suffix, ".")
}

// Check finds what may not stand in a message: a live link or name, a name of
// the actor, a recipient who was phished or whose mailbox is under a seized
// name, a header that holds a line break, a missing marking. What it lets pass
// is the reporter's own domain. Each problem says what to do.
func Check(m Message, f Facts) impound.Problems {
	var ps impound.Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindRefused, format, args...).At(where).WithCure(cure))
	}
	if len(m.To) == 0 {
		bad("to", "give the network an abuse mailbox in the networks file", "nobody to send it to")
	}
	for _, to := range m.To {
		a, err := mail.ParseAddress(to)
		if err != nil || a.Address != to || strings.ContainsAny(to, "\r\n") {
			bad("to", "give one bare mailbox such as abuse@example.net", "%q is no mailbox", oneLine(to))
			continue
		}
		for _, p := range f.Phished {
			if strings.EqualFold(strings.TrimSpace(p), to) {
				bad("to", "reach the network another way: whoever phished this mailbox may read it", "the recipient is a mailbox that was phished")
			}
		}
		if n, err := impound.ParseName(to); err == nil {
			for _, d := range f.Case.Domains {
				if n.AtOrBelow(d.Name) {
					bad("to", "take the mailbox from another source: this one leads to our own sinkhole", "the recipient's mailbox is under the seized name %s", d.Name.Defanged())
				}
			}
		}
	}
	if strings.ContainsAny(m.Subject, "\r\n") {
		bad("subject", "write the subject on one line", "the subject holds a line break")
	}
	if !m.TLP.Valid() || !strings.Contains(m.Text, tlpMark(m.TLP)) {
		bad("text", "begin with a line such as TLP:AMBER", "the message carries no TLP marking")
	} else if m.TLP == impound.TLPClear || m.TLP == impound.TLPGreen {
		bad("text", "mark it TLP:AMBER or above", "the report holds people's addresses, and %s would let it be passed on", tlpMark(m.TLP))
	}
	own := map[string]bool{strings.ToLower(m.From.Domain): true}
	if i := strings.LastIndexByte(m.From.Mail, '@'); i >= 0 {
		own[strings.ToLower(m.From.Mail[i+1:])] = true
	}
	files := map[string]bool{}
	for _, a := range m.Attachments {
		files[strings.ToLower(a.Name)] = true
		if a.Media != "text/csv" && a.Media != "application/json" {
			bad("attachments", "attach CSV and JSON only", "%s is of type %s", a.Name, a.Media)
		}
	}
	for _, part := range []struct{ where, text string }{{"subject", m.Subject}, {"text", m.Text}} {
		for _, hit := range liveScheme.FindAllString(part.text, -1) {
			bad(part.where, "leave links out", "holds a live link (%q)", hit)
		}
		for _, hit := range hostLike.FindAllString(part.text, -1) {
			l := strings.ToLower(hit)
			if !own[l] && !files[l] && isLive(l) {
				bad(part.where, "write it as "+strings.ReplaceAll(l, ".", "[.]"), "holds a name that a mail client makes a link of (%s)", strings.ReplaceAll(l, ".", "[.]"))
			}
		}
		// The seized names themselves may look like the actor: they must stand
		// there, so they are taken out before looking for the actor.
		text := strings.ToLower(part.text)
		for _, d := range f.Case.Domains {
			if strings.Contains(text, d.Name.String()) {
				bad(part.where, "write it as "+d.Name.Defanged(), "holds the seized name %s in a live form", d.Name.Defanged())
			}
			text = strings.ReplaceAll(text, d.Name.Defanged(), " ")
		}
		words := " " + fold(text) + " "
		for _, a := range f.Actors {
			if w := fold(strings.ToLower(a)); w != "" && (strings.Contains(words, " "+w+" ") || len(w) > 5 && strings.Contains(strings.ReplaceAll(words, " ", ""), strings.ReplaceAll(w, " ", ""))) {
				bad(part.where, "leave out who is behind it: a warning names no actor", "names the actor")
				break
			}
		}
	}
	return ps
}

// fold reduces s to words of letters and digits, one space between them.
func fold(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 0x7f)
	}), " ")
}

// Render gives m as an RFC 5322 message with CRLF line ends: plain text in
// quoted-printable, attachments in base64 (RFC 2045, 2183). Date is now. It has no
// recipient line when m has no recipient.
func (m Message) Render(now time.Time) ([]byte, error) {
	var b bytes.Buffer
	h := func(k, v string) { fmt.Fprintf(&b, "%s: %s\r\n", k, oneLine(v)) }
	from := mail.Address{Name: m.From.Org, Address: m.From.Mail}
	if m.From.Mail == "" {
		return nil, impound.Errorf(impound.KindInvalid, "the reporter has no mailbox").WithCure("set the reporter's mail in the configuration")
	}
	h("From", from.String())
	if len(m.To) > 0 {
		var to []string
		for _, t := range m.To {
			a, err := mail.ParseAddress(t)
			if err != nil {
				return nil, impound.Errorf(impound.KindInvalid, "%q is no mailbox", oneLine(t)).WithCure("correct the networks file")
			}
			to = append(to, a.String())
		}
		h("To", strings.Join(to, ", "))
	}
	h("Subject", encodeSubject(oneLine(m.Subject)))
	h("Date", now.UTC().Format(time.RFC1123Z))
	domain := m.From.Domain
	if domain == "" {
		domain = m.From.Mail[strings.LastIndexByte(m.From.Mail, '@')+1:]
	}
	h("Message-ID", "<"+m.ID+"@"+domain+">")
	h("MIME-Version", "1.0")
	mw := multipart.NewWriter(&b)
	boundary := strings.TrimPrefix(impound.HashBytes([]byte(m.ID+m.Text)), "sha256:")[:40]
	if err := mw.SetBoundary(boundary); err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%q\r\n\r\n", boundary)
	part, err := mw.CreatePart(textproto.MIMEHeader{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
	if err != nil {
		return nil, err
	}
	q := quotedprintable.NewWriter(part)
	if _, err := q.Write([]byte(strings.ReplaceAll(m.Text, "\n", "\r\n"))); err != nil {
		return nil, err
	}
	if err := q.Close(); err != nil {
		return nil, err
	}
	for _, a := range m.Attachments {
		media := a.Media
		if strings.HasPrefix(media, "text/") {
			media += "; charset=utf-8"
		}
		part, err := mw.CreatePart(textproto.MIMEHeader{"Content-Type": {media}, "Content-Transfer-Encoding": {"base64"}, "Content-Disposition": {mime.FormatMediaType("attachment", map[string]string{"filename": a.Name})}})
		if err != nil {
			return nil, err
		}
		s := base64.StdEncoding.EncodeToString(a.Data)
		for len(s) > 76 {
			fmt.Fprintf(part, "%s\r\n", s[:76])
			s = s[76:]
		}
		fmt.Fprintf(part, "%s\r\n", s)
	}
	if err := mw.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// encodeSubject encodes and folds, so that no line passes 998 octets.
func encodeSubject(s string) string {
	if s == strings.ToValidUTF8(s, "") && strings.IndexFunc(s, func(r rune) bool { return r > 0x7e || r < 0x20 }) < 0 && len(s) < 900 {
		return s
	}
	return mime.QEncoding.Encode("utf-8", s)
}

// oneLine takes line breaks and other controls out of a value for a header or a
// line of text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
