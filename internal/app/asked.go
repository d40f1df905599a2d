package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/mail"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/notify"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/mailconn"
	"github.com/impound/impound/internal/seizure/manual"
)

// AskedConfig is one registry or registrar that has no interface for orders: it
// is asked, by mail or by a person of ours, and what it does is seen from
// outside.
type AskedConfig struct {
	// Provider is a short name, such as "nic-xy"; Name its own.
	Provider string `yaml:"provider" json:"provider"`
	Name     string `yaml:"name,omitempty" json:"name,omitempty"`
	// TLDs are the top-level domains that it is asked for.
	TLDs []string `yaml:"tlds" json:"tlds"`
	// Role is "registry", "registrar" or, by mail, "host". A host does none of the
	// acts that an order can hold, so nothing is asked of it, and the plan says why.
	Role string `yaml:"role" json:"role"`
	// AbuseDesk sends a XARF and an ARF report of each name along with a request,
	// for its machines; a host's always have them. Orders that are sealed or forbid
	// to tell the customer never do.
	AbuseDesk bool `yaml:"abuse_desk,omitempty" json:"abuse_desk,omitempty"`
	// Via is "mail", or "manual": a task for Owner.
	Via string `yaml:"via" json:"via"`
	// To and Cc are the mailboxes that it takes orders at.
	To []string `yaml:"to,omitempty" json:"to,omitempty"`
	Cc []string `yaml:"cc,omitempty" json:"cc,omitempty"`
	// Owner is the person whose task it is; How tells that person where to go;
	// Due is how long the task has, "72h" when left out.
	Owner string `yaml:"owner,omitempty" json:"owner,omitempty"`
	How   string `yaml:"how,omitempty" json:"how,omitempty"`
	Due   string `yaml:"due,omitempty" json:"due,omitempty"`
	// Remind is how long after the last letter or answer each reminder goes.
	// Default ["72h", "72h", "168h"]; ["off"] sends none.
	Remind []string `yaml:"remind,omitempty" json:"remind,omitempty"`
	// Resend has a letter of which nobody knows whether the mail server took it
	// sent again, the very same. Without it a person is asked to find out.
	Resend bool `yaml:"resend,omitempty" json:"resend,omitempty"`
	// Exhibits are the kinds of artefacts of each name that go along, newest
	// first: screenshot, whois, rdap, tls-certificate. Default none.
	Exhibits []string `yaml:"exhibits,omitempty" json:"exhibits,omitempty"`
	// RDAP and Parents are as for registries.
	RDAP    string   `yaml:"rdap,omitempty" json:"rdap,omitempty"`
	Parents []string `yaml:"parents,omitempty" json:"parents,omitempty"`
}

// MailConfig is how letters that ask for orders leave.
type MailConfig struct {
	// Relay is HOST:PORT of our mail server's submission port.
	Relay string `yaml:"relay,omitempty" json:"relay,omitempty"`
	// TLS is "starttls" (the default: it must be offered), "implicit", or "none"
	// for a server on this machine. CA is a PEM file of who signed its certificate.
	TLS string `yaml:"tls,omitempty" json:"tls,omitempty"`
	CA  string `yaml:"ca,omitempty" json:"ca,omitempty"`
	// User and PasswordFile log in.
	User         string `yaml:"user,omitempty" json:"user,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty" json:"password_file,omitempty"`
	// Hello is our own name. Default "localhost".
	Hello string `yaml:"hello,omitempty" json:"hello,omitempty"`
	// From is our mailbox. Default report.from.
	From string `yaml:"from,omitempty" json:"from,omitempty"`
	// Cert and Key are PEM files of the certificate that signs letters (S/MIME),
	// its issuers after it. Without them one is made that nobody vouches for; each
	// letter gives its fingerprint, to be compared by telephone.
	Cert string `yaml:"cert,omitempty" json:"cert,omitempty"`
	Key  string `yaml:"key,omitempty" json:"key,omitempty"`
	// DKIM signs letters for their way; leave it out where the relay does.
	DKIM DKIMConfig `yaml:"dkim,omitempty" json:"dkim"`
	// MaxMB bounds a letter. Default 18.
	MaxMB int `yaml:"max_mb,omitempty" json:"max_mb,omitempty"`
	// Answers is the mailbox that answers come to.
	Answers MailboxConfig `yaml:"answers,omitempty" json:"answers"`
}

// DKIMConfig names the key that is published at SELECTOR._domainkey.DOMAIN.
type DKIMConfig struct {
	Domain   string `yaml:"domain,omitempty" json:"domain,omitempty"`
	Selector string `yaml:"selector,omitempty" json:"selector,omitempty"`
	// Key is a PEM file, RSA or Ed25519.
	Key string `yaml:"key,omitempty" json:"key,omitempty"`
}

// exhibitKinds are what may go along with a letter: nothing of it is personal.
var exhibitKinds = []string{capture.KindScreenshot, capture.KindWHOIS, "rdap", capture.KindCert}

func (a AskedConfig) policy() (seizure.AskPolicy, error) {
	p := seizure.AskPolicy{Resend: a.Resend}
	remind := a.Remind
	if remind == nil {
		remind = []string{"72h", "72h", "168h"}
	}
	if slices.Equal(remind, []string{"off"}) {
		return p, nil
	}
	for _, r := range remind {
		d, err := time.ParseDuration(r)
		if err != nil || d < time.Hour || d > 90*24*time.Hour {
			return p, fmt.Errorf("%q is no time span between an hour and 90 days", r)
		}
		p.Remind = append(p.Remind, d)
	}
	if len(p.Remind) > 20 {
		return p, errors.New("more than 20 reminders")
	}
	return p, nil
}

func (a AskedConfig) due() (time.Duration, error) { return every(a.Due, 72*time.Hour) }

// checkAsked finds providers that could not be asked; seen holds who runs which
// top-level domain.
func (c *Config) checkAsked(state string, seen map[string]string, bad func(where, cure, format string, args ...any)) {
	ids := map[string]bool{}
	for _, r := range c.Registries {
		ids[r.Provider] = true
	}
	mails := false
	for i, a := range c.Asked {
		at := fmt.Sprintf("asked[%d]", i)
		if a.Provider == "" || ids[a.Provider] || strings.ContainsAny(a.Provider, "/ \n") {
			bad(at+".provider", "give it a short name of its own", "%q is no name for a provider", a.Provider)
		}
		ids[a.Provider] = true
		if a.Role != "registry" && a.Role != "registrar" && (a.Role != "host" || a.Via != "mail") {
			bad(at+".role", "write registry or registrar, or host with via: mail", "%q is no role of one that is asked by %s", a.Role, a.Via)
		}
		if r := c.Report; (a.AbuseDesk || a.Role == "host") && (r.Organisation == "" || r.From == "" || r.Domain == "") {
			bad(at+".abuse_desk", "fill in report.organisation, report.from and report.domain", "a report for an abuse desk says who reports")
		}
		if a.AbuseDesk && a.Via != "mail" {
			bad(at+".abuse_desk", "leave it out, or write via: mail", "reports for an abuse desk go by mail")
		}
		if len(a.TLDs) == 0 {
			bad(at+".tlds", "list the top-level domains that it is asked for", "no top-level domains")
		}
		for _, t := range a.TLDs {
			if other, dup := seen[t]; dup {
				bad(at+".tlds", "give each top-level domain to one provider", ".%s is claimed by %s and %s", t, other, a.Provider)
			}
			seen[t] = a.Provider
		}
		if _, err := a.policy(); err != nil {
			bad(at+".remind", `write ["72h", "72h"], or ["off"]`, "%v", err)
		}
		if d, err := a.due(); err != nil || d <= 0 {
			bad(at+".due", `write "72h"`, "%q is no time span", a.Due)
		}
		for _, k := range a.Exhibits {
			if !slices.Contains(exhibitKinds, k) {
				bad(at+".exhibits", "choose from "+strings.Join(exhibitKinds, ", "), "%q does not go along", k)
			}
		}
		switch a.Via {
		case "mail":
			mails = true
			if len(a.To) == 0 {
				bad(at+".to", "the mailbox that it takes orders at", "there is nobody to write to")
			}
			for _, t := range slices.Concat(a.To, a.Cc) {
				if _, err := mail.ParseAddress(t); err != nil {
					bad(at+".to", "write a mailbox, such as legal@registry.example", "%q is no mailbox", t)
				}
			}
		case "manual":
			if a.Owner == "" {
				bad(at+".owner", "name the person whose task it is, as enrolled", "a task for nobody")
			}
		default:
			bad(at+".via", "write mail or manual", "%q is no way to ask", a.Via)
		}
	}
	m := c.Mail
	for _, f := range []string{m.CA, m.PasswordFile, m.Cert, m.Key, m.DKIM.Key, m.Answers.CA, m.Answers.PasswordFile} {
		if f != "" {
			if _, err := os.Stat(c.Path(state, f)); err != nil {
				bad("mail", "put the file there, or correct the path", "couldn't find %s", f)
			}
		}
	}
	c.checkMailbox(state, bad)
	if (m.Cert == "") != (m.Key == "") {
		bad("mail.cert", "give both cert and key, or neither", "a certificate and its key go together")
	}
	if d := m.DKIM; (d.Domain == "") != (d.Key == "") || (d.Selector == "") != (d.Key == "") {
		bad("mail.dkim", "fill in domain, selector and key", "DKIM takes all three")
	}
	if !slices.Contains([]string{"", "starttls", "implicit", "none"}, m.TLS) {
		bad("mail.tls", "write starttls, implicit or none", "%q is no way to speak TLS", m.TLS)
	}
	if m.MaxMB < 0 || m.MaxMB > 100 {
		bad("mail.max_mb", "write a number up to 100", "%d MB", m.MaxMB)
	}
	if mails && (m.Relay == "" || m.From == "" && c.Report.From == "") {
		bad("mail", "fill in mail.relay, and mail.from or report.from", "orders are to be asked for by mail, and no mail could leave")
	}
}

// askers makes the connectors to those that are asked.
func (s *System) askers() (map[string]seizure.Connector, error) {
	out := map[string]seizure.Connector{}
	for _, a := range s.cfg.Asked {
		policy, err := a.policy()
		if err != nil {
			return nil, impound.Errorf(impound.KindInvalid, "couldn't read when to remind %s: %w", a.Provider, err)
		}
		var conn seizure.Connector
		if a.Via == "manual" {
			due, err := a.due()
			if err != nil {
				return nil, impound.Errorf(impound.KindInvalid, "couldn't read until when %s is due: %w", a.Provider, err)
			}
			conn, err = manual.New(manual.Config{Provider: a.Provider, Role: a.Role, Name: a.Name, How: a.How, Owner: a.Owner, Due: due, Policy: policy, Observe: s.Observe, Now: s.now, Give: s.giveTask})
			if err != nil {
				return nil, err
			}
		} else if conn, err = s.mailer(a, policy); err != nil {
			return nil, err
		}
		out[a.Provider] = conn
	}
	return out, nil
}

func (s *System) giveTask(ctx context.Context, t manual.Task) (string, error) {
	by := t.By
	if by == "" {
		by = casework.System
	}
	return s.Casework.AddTask(ctx, by, t.Case, impound.Task{Title: t.Title, Owner: t.Owner, Due: t.Due, Ref: t.Ref})
}

func (s *System) mailer(a AskedConfig, policy seizure.AskPolicy) (seizure.Connector, error) {
	m := s.cfg.Mail
	signer, err := s.mailSigner()
	if err != nil {
		return nil, err
	}
	relay := mailconn.Relay{Addr: m.Relay, Implicit: m.TLS == "implicit", Plain: m.TLS == "none", User: m.User, Hello: m.Hello}
	if m.CA != "" {
		roots, err := ReadRoots(s.cfg.Path(s.opt.State, m.CA))
		if err != nil {
			return nil, err
		}
		relay.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	if m.PasswordFile != "" {
		pw, err := seizure.ReadSecret(s.cfg.Path(s.opt.State, m.PasswordFile))
		if err != nil {
			return nil, fmt.Errorf("couldn't read the mail server's password: %w", err)
		}
		relay.Password = []byte(strings.TrimRight(string(pw), "\r\n"))
	}
	c := mailconn.Config{
		Provider: a.Provider, Role: a.Role, Name: a.Name, To: a.To, Cc: a.Cc, From: cmp.Or(m.From, s.cfg.Report.From), Org: s.cfg.Report.Organisation, Phone: s.cfg.Report.Phone,
		LogKey: s.Evidence.VerifierKey(), Relay: relay, Signer: signer, Policy: policy, MaxBytes: m.MaxMB << 20, Observe: s.Observe, Now: s.now,
		Papers: func(ctx context.Context, orderID string) (mailconn.Papers, error) {
			return s.papers(ctx, orderID, a.Exhibits)
		},
	}
	if a.AbuseDesk || a.Role == "host" {
		r := s.cfg.Report
		from := notify.Reporter{Org: r.Organisation, Mail: r.From, Phone: r.Phone, Domain: r.Domain}
		c.XARF = func(x mailconn.Abuse) ([]byte, error) {
			return notify.XARFName(x.Name, x.At, x.Letter, x.Text, from)
		}
	}
	if m.DKIM.Key != "" {
		key, err := readKey(s.cfg.Path(s.opt.State, m.DKIM.Key))
		if err != nil {
			return nil, err
		}
		c.DKIM = &mailconn.DKIM{Domain: m.DKIM.Domain, Selector: m.DKIM.Selector, Key: key}
	}
	return mailconn.New(c)
}

// mailKey is the file of the certificate that is made where none is configured.
const mailKey = "mail.pem"

func (s *System) mailSigner() (*mailconn.Signer, error) {
	cert, key := s.cfg.Path(s.opt.State, s.cfg.Mail.Cert), s.cfg.Path(s.opt.State, s.cfg.Mail.Key)
	if s.cfg.Mail.Cert == "" {
		cert = s.path("keys", mailKey)
		key = cert
		if _, err := os.Stat(cert); errors.Is(err, fs.ErrNotExist) {
			if err := s.makeMailKey(cert); err != nil {
				return nil, err
			}
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the certificate that signs letters: %w", err).At(cert).WithCure("give PEM files of a certificate and its key, RSA or ECDSA")
	}
	out := &mailconn.Signer{}
	for i, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, impound.Errorf(impound.KindInvalid, "couldn't read the certificate that signs letters: %w", err).At(cert)
		}
		if i == 0 {
			out.Cert = c
		} else {
			out.Chain = append(out.Chain, c)
		}
	}
	var ok bool
	if out.Key, ok = pair.PrivateKey.(crypto.Signer); !ok {
		return nil, impound.Errorf(impound.KindInvalid, "the key that signs letters can't sign").At(key)
	}
	return out, nil
}

// makeMailKey makes a certificate that is its own issuer. Of several processes
// that do so at once, one's counts.
func (s *System) makeMailKey(path string) error {
	fail := func(err error) error {
		return impound.Errorf(impound.KindUnavailable, "couldn't make the key that signs letters: %w", err).At(path)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	from := cmp.Or(s.cfg.Mail.From, s.cfg.Report.From)
	if a, err := mail.ParseAddress(from); err == nil {
		from = a.Address
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fail(err)
	}
	now := time.Now() // other people's clocks judge a certificate
	tpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: cmp.Or(s.cfg.Report.Organisation, from)}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}, EmailAddresses: []string{from}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		return fail(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(s.path("keys"), ".mail-*") // 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	err = errors.Join(pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: pk}), f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	return nil
}

func readKey(path string) (crypto.Signer, error) {
	bad := func(err error) (crypto.Signer, error) {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read a key: %w", err).At(path).WithCure("give a PEM file, RSA or Ed25519")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return bad(err)
	}
	p, _ := pem.Decode(b)
	if p == nil {
		return bad(errors.New("it is no PEM file"))
	}
	var k any
	if p.Type == "RSA PRIVATE KEY" {
		k, err = x509.ParsePKCS1PrivateKey(p.Bytes)
	} else {
		k, err = x509.ParsePKCS8PrivateKey(p.Bytes)
	}
	if err != nil {
		return bad(err)
	}
	if sk, ok := k.(crypto.Signer); ok {
		return sk, nil
	}
	return bad(errors.New("it can't sign"))
}

// maxExhibits bounds the exhibits that go along with one letter.
const maxExhibits = 60

// papers gives what an order is served with: the document, its appendix in three
// forms, the court's own paper where it was filed, and the exhibits chosen.
func (s *System) papers(ctx context.Context, orderID string, kinds []string) (mailconn.Papers, error) {
	var p mailconn.Papers
	_, o, data, err := s.Casework.Order(ctx, orderID)
	if err != nil {
		return p, err
	}
	p.Order, p.OrderHash = *o, o.Hash()
	a, err := s.Appendix(ctx, orderID+".yaml", data)
	if err != nil {
		return p, err
	}
	var pdf, csv bytes.Buffer
	if err := errors.Join(a.PDF(&pdf), a.CSV(&csv)); err != nil {
		return p, fmt.Errorf("couldn't write the appendix: %w", err)
	}
	js, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return p, fmt.Errorf("couldn't write the appendix: %w", err)
	}
	p.Files = []mailconn.File{
		{Name: "order.yaml", Media: "application/yaml", What: "the order as it was signed", Data: data},
		{Name: "appendix.pdf", Media: "application/pdf", What: "all names of the order, with what was seen of each", Data: pdf.Bytes()},
		{Name: "appendix.csv", Media: "text/csv", What: "the same as a table", Data: csv.Bytes()},
		{Name: "appendix.json", Media: "application/json", What: "the same for machines", Data: append(js, '\n')},
	}
	if h := o.Authority.Instrument; h != "" {
		b, err := s.Evidence.Read(h)
		if err != nil {
			return p, fmt.Errorf("couldn't read the court's paper: %w", err)
		}
		f := mailconn.File{Name: "instrument.bin", Media: "application/octet-stream", What: "the paper as the court gave it", Data: b}
		if bytes.HasPrefix(b, []byte("%PDF-")) {
			f.Name, f.Media = "instrument.pdf", "application/pdf"
		}
		p.Files = append(p.Files, f)
	}
	if len(kinds) == 0 {
		return p, nil
	}
	n := 0
	for _, x := range a.Exhibits {
		for _, kind := range kinds {
			for _, it := range slices.Backward(x.Items) {
				if it.Kind != kind {
					continue
				}
				if n++; n > maxExhibits {
					return p, impound.Errorf(impound.KindInvalid, "more than %d exhibits would go along", maxExhibits).At("asked.exhibits").WithCure("choose fewer kinds")
				}
				f, err := s.exhibit(x, it)
				if err != nil {
					return p, err
				}
				if f.Data != nil {
					p.Files = append(p.Files, f)
				}
				break // the newest of its kind
			}
		}
	}
	return p, nil
}

// exhibit gives one artefact as a file; no data where its originator has not
// said that it may go further.
func (s *System) exhibit(x casework.Exhibit, it casework.ExhibitItem) (mailconn.File, error) {
	var f mailconn.File
	as, err := s.Evidence.Artefacts(it.Hash)
	if err != nil {
		return f, err
	}
	media := "application/octet-stream"
	for _, a := range as {
		if a.Originator != "" || a.TLP == impound.TLPRed {
			return f, nil
		}
		media = a.Media
	}
	b, err := s.Evidence.Read(it.Hash)
	if err != nil {
		return f, err
	}
	ext := map[string]string{"image/png": ".png", "text/plain": ".txt", "application/json": ".json", "application/pkix-cert": ".cer", "application/rdap+json": ".json"}[media]
	if ext == "" {
		media, ext = "application/octet-stream", ".bin"
	}
	// No name that a mail program or a desktop makes a link of, and no two alike.
	name := "exhibit-" + strings.ReplaceAll(x.Name.String(), ".", "_") + "-" + it.Kind + "-" + strings.TrimPrefix(it.Hash, "sha256:")[:8] + ext
	return mailconn.File{Name: name, Media: media, What: fmt.Sprintf("%s of %s, %s, entry %d of the log", it.Kind, x.Name.Defanged(), it.At.UTC().Format(time.DateTime)+" UTC", it.Entry), Data: b}, nil
}

// Follow looks at the names of an order that providers were asked for, and
// reminds those that are due, in the name of by. It notes in the case what is
// seen to be done.
func (s *System) Follow(ctx context.Context, by, orderID string) (seizure.Result, error) {
	if err := s.may(ctx, "Follow", by); err != nil {
		return seizure.Result{}, err
	}
	m, err := s.Mandate(ctx, orderID)
	if err != nil {
		return seizure.Result{}, err
	}
	res, err := s.Seizure.As(by).Follow(ctx, m)
	if nerr := s.noteSeized(ctx, orderID, res); err == nil {
		err = nerr
	}
	return res, err
}

// Letter is a letter with what people said of it.
type Letter struct {
	seizure.LetterInfo
	Task    string `json:"task,omitempty"`    // of one that is a task: its id
	Claimed string `json:"claimed,omitempty"` // who says that it is done, and when; the views decide
}

// Letters gives the letters of an order, oldest first; of all orders for "".
func (s *System) Letters(ctx context.Context, orderID string) ([]Letter, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	if orderID != "" && !x.Order(orderID) {
		orderID = noSuch
	}
	ls, err := s.Seizure.Letters(ctx, orderID)
	var out []Letter
	for _, l := range ls {
		if x.Case(l.Case) && x.Order(l.Order) {
			out = append(out, s.withTask(ctx, l))
		}
	}
	return out, err
}

func (s *System) withTask(ctx context.Context, l seizure.LetterInfo) Letter {
	out := Letter{LetterInfo: l}
	if l.Via != "manual" {
		return out
	}
	k, err := s.Casework.Case(ctx, l.Case)
	if err != nil {
		return out
	}
	for _, t := range k.Tasks {
		if t.Ref == l.ID {
			out.Task = t.ID
			if !t.Done.IsZero() {
				out.Claimed = t.DoneBy + " on " + t.Done.UTC().Format("2006-01-02 15:04 UTC")
			}
		}
	}
	return out
}

// LetterText gives a letter with what was handed over, octet for octet.
func (s *System) LetterText(ctx context.Context, id string) (Letter, []byte, error) {
	info, err := s.letter(ctx, id)
	if err != nil {
		return Letter{}, nil, err
	}
	_, l, err := s.Seizure.Letter(ctx, id)
	return s.withTask(ctx, info), l.Body, err
}

// letter gives a letter that whoever asks may know of.
func (s *System) letter(ctx context.Context, id string) (seizure.LetterInfo, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return seizure.LetterInfo{}, err
	}
	info, _, err := s.Seizure.Letter(ctx, id)
	if err == nil && (!x.Case(info.Case) || !x.Order(info.Order)) {
		return seizure.LetterInfo{}, seizure.NoLetter(id)
	}
	return info, err
}

// SettleLetter records in the name of by what became of a letter: see
// [seizure.Engine.SettleLetter].
func (s *System) SettleLetter(ctx context.Context, by, id, how, reason string) (Letter, error) {
	if err := s.may(ctx, "SettleLetter", by); err != nil {
		return Letter{}, err
	}
	if _, err := s.letter(impound.WithPrincipal(ctx, impound.Principal{ID: by}), id); err != nil {
		return Letter{}, err
	}
	info, err := s.Seizure.As(by).SettleLetter(ctx, id, how, reason)
	return s.withTask(ctx, info), err
}

// FileAnswer keeps what came back on a letter, in the name of by: a mail, or
// words about a telephone call. A mail holds people's names: it is kept sealed to
// those whom personal_data.seal_to names, and refused where there is nobody; of
// it stand in the clear only when it came and from which domain. A delivery
// report's result is kept in the clear, and the report sealed where that can be.
// With an empty id the letter is found by what the mail refers to.
//
// It makes nothing done. The same answer again changes nothing.
func (s *System) FileAnswer(ctx context.Context, by, id string, raw []byte, text string) (Letter, error) {
	if err := s.may(ctx, "FileAnswer", by); err != nil {
		return Letter{}, err
	}
	return s.fileAnswer(impound.WithPrincipal(ctx, impound.Principal{ID: by}), by, id, raw, text)
}

// fileAnswer files it; pctx says who may see the letter.
func (s *System) fileAnswer(pctx context.Context, by, id string, raw []byte, text string) (Letter, error) {
	ctx := pctx
	r := seizure.LetterReply{Kind: "note", Text: text, At: s.now().UTC()}
	var a mailconn.Answer
	if raw != nil {
		var err error
		if a, err = mailconn.ReadAnswer(raw); err != nil {
			return Letter{}, err
		}
		r = seizure.LetterReply{Kind: a.Kind, At: a.At, Original: impound.HashBytes(raw), Text: a.Text}
		if a.Kind == "reply" {
			r.Text = "a mail that says it is from " + cmp.Or(a.Domain, "nobody")
		}
		if text != "" {
			r.Text += "; " + text
		}
	} else if strings.TrimSpace(text) == "" {
		return Letter{}, impound.Errorf(impound.KindInvalid, "there is no answer to file").WithCure("give a mail as a file, or --text")
	}
	var info seizure.LetterInfo
	var err error
	if id == "" {
		if info, err = s.Seizure.LetterByRef(ctx, a.Refs...); err != nil {
			return Letter{}, err
		}
		id = info.ID
	}
	if info, err = s.letter(pctx, id); err != nil {
		return Letter{}, err
	}
	if raw != nil {
		if _, have, err := s.Evidence.Entry(seizure.ReplyEntry(id, r)); err != nil {
			return Letter{}, err
		} else if have {
			return s.withTask(ctx, info), nil
		}
		if by == casework.System && len(info.Replies) >= inboxReplies {
			return Letter{}, errEnoughAnswers
		}
		to, err := s.cfg.personalRecipients()
		if err != nil {
			return Letter{}, err
		}
		switch {
		case len(to) > 0:
			var sealed bytes.Buffer
			w, err := age.Encrypt(&sealed, to...)
			if err == nil {
				_, err = w.Write(raw)
			}
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				return Letter{}, fmt.Errorf("couldn't seal the answer: %w", err)
			}
			art, err := s.Evidence.Capture(ctx, impound.Artefact{Kind: "answer-sealed", Media: "application/age-encryption", Case: info.Case, Source: "answer of SHA-256 " + strings.TrimPrefix(r.Original, "sha256:") + " to letter " + id + ", sealed", Tool: "impound " + s.opt.Version, By: by, At: s.now().UTC()}, sealed.Bytes())
			if err != nil {
				return Letter{}, err
			}
			r.Artefact = art.Hash
		case r.Kind == "reply":
			return Letter{}, impound.Errorf(impound.KindRefused, "a mail holds personal data, and there is nobody to seal it to").At("personal_data.seal_to").WithCure("put the age recipient (age1..., by age-keygen) of whoever may read mails into the configuration; or say in your own words what it says, with --text")
		}
	}
	info, err = s.Seizure.As(by).Reply(ctx, id, r)
	return s.withTask(ctx, info), err
}

// askedAlarms follows the letters of an order, and says what people should see
// to.
func (s *System) askedAlarms(ctx context.Context, m *impound.Mandate, now time.Time) ([]Alarm, error) {
	if len(s.cfg.Asked) == 0 {
		return nil, nil
	}
	var err error
	if s.may(ctx, "Follow", casework.System) == nil { // whoever merely looks reminds nobody
		if _, err = s.Follow(ctx, casework.System, m.ID()); impound.KindOf(err) == impound.KindConflict {
			err = nil // an apply is at work there; the next look follows
		}
	}
	ls, lerr := s.Seizure.Letters(ctx, m.ID())
	if lerr != nil {
		return nil, errors.Join(err, lerr)
	}
	var out []Alarm
	for _, l := range ls {
		add := func(cure, cmd, format string, args ...any) {
			out = append(out, Alarm{Kind: AlarmAsked, Text: fmt.Sprintf("letter %s to %s: ", l.ID, l.Provider) + fmt.Sprintf(format, args...), Cure: cure, Cmd: cmd})
		}
		switch {
		case l.State == seizure.LetterUnsure:
			add("look in the mail server's log for "+l.Ref+", then say which", "impound seize settle "+l.ID, "nobody knows whether it was taken")
		case l.State != seizure.LetterSent || l.Kind != seizure.LetterRequest:
			continue
		case unread(l):
			add("open it (impound evidence show HASH, age -d), and say what it says: impound seize answer "+l.ID+" --text ...", "impound seize letters "+l.Order, "an answer came to the mailbox, and nobody has said what it says")
		case slices.ContainsFunc(l.Replies, func(r seizure.LetterReply) bool { return r.Kind == "failed" }):
			add("reach the provider another way, and close the letter", "impound seize letters "+l.Order, "it did not arrive")
		}
		if cb := m.Order().ConfirmBy; l.State == seizure.LetterSent && len(l.Open) > 0 && (!cb.IsZero() && now.After(cb) || l.Next.IsZero() && now.Sub(l.Last) > 7*24*time.Hour) {
			add("ask them by telephone, and file what they say", "impound seize letters "+l.Order, "sent on %s, %d reminders since, and %d of %d names are not as ordered", l.Sent.UTC().Format(time.DateOnly), l.Reminders, len(l.Open), len(l.Names))
		}
	}
	return out, err
}

// unread says whether an answer to l was filed by itself, and nobody has filed or
// noted anything since.
func unread(l seizure.LetterInfo) bool {
	i := slices.IndexFunc(l.Replies, func(r seizure.LetterReply) bool { return r.Kind == "reply" && r.By == casework.System })
	return i >= 0 && !slices.ContainsFunc(l.Replies[i:], func(r seizure.LetterReply) bool { return r.By != casework.System })
}
