package mailconn_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/mailconn"
)

var t0 = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

type keyring map[string]impound.Person

func (k keyring) Person(id string) (impound.Person, bool) { p, ok := k[id]; return p, ok }

func nm(ss ...string) []impound.Name {
	var out []impound.Name
	for _, s := range ss {
		n, err := impound.ParseName(s)
		if err != nil {
			panic(err)
		}
		out = append(out, n)
	}
	return out
}

var hostile = nm("outlook-verify.net", "yahoo-verify.net", "myaccount-services.net")

func mandate(t *testing.T, from time.Time) *impound.Mandate {
	t.Helper()
	o := &impound.Order{
		Format: impound.OrderFormat, ID: "TEST-1", Case: "case-1", Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Amtsgericht Köln", Docket: "1:26-mj-1", CallBack: "clerk, +49 221 0", Gag: true},
		Issued:    from, From: from, Until: from.AddDate(1, 0, 0), ConfirmBy: from.AddDate(0, 0, 5), AtEnd: "restore",
		Parties:    impound.Parties{Requesting: "Practice\nBcc: everybody@evil.test", Technical: "desk@practice.example"},
		Recipient:  impound.Recipient{Name: "Practice Registry", Role: "registry"},
		Acts:       impound.Acts{Nameservers: nm("ns1.sinkhole.example", "ns2.sinkhole.example"), RemoveDS: true, Sinkhole: true, Lock: []string{"serverTransferProhibited"}},
		Sinkhole:   impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 90},
		Appendices: []impound.Appendix{{ID: "A", Count: len(hostile)}},
	}
	for _, x := range hostile {
		o.Appendices[0].Names = append(o.Appendices[0].Names, impound.OrderName{Name: x})
	}
	keys := keyring{}
	for _, id := range []string{"anna", "bert"} {
		h := sha256.Sum256([]byte(id))
		k := ed25519.NewKeyFromSeed(h[:])
		keys[id] = impound.Person{ID: id, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(k.Public().(ed25519.PublicKey))}
		o.Signatures = append(o.Signatures, impound.Sign(k, impound.SignOrder, o.Hash(), id, from))
	}
	m, err := o.Authorize(keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func permits(t *testing.T, m *impound.Mandate, now time.Time, cs []seizure.Change) (out []impound.Permit) {
	t.Helper()
	for _, c := range cs {
		for _, a := range c.Acts() {
			p, err := m.Permit(a, c.Name, now)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, p)
		}
	}
	return out
}

func changes() (out []seizure.Change) {
	for i, n := range hostile {
		c := seizure.Change{Name: n, AddNS: nm("ns1.sinkhole.example", "ns2.sinkhole.example"), RemNS: nm("ns1.actor.test"), AddStatus: []string{"serverTransferProhibited"}}
		c.RemAllDS = i == 2
		out = append(out, c)
	}
	return out
}

func selfSigned(t *testing.T, key crypto.Signer, cn string, names ...string) *x509.Certificate {
	t.Helper()
	tpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour * 24), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection, x509.ExtKeyUsageServerAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tpl.IPAddresses = append(tpl.IPAddresses, ip)
		} else if strings.Contains(n, "@") {
			tpl.EmailAddresses = append(tpl.EmailAddresses, n)
		} else {
			tpl.DNSNames = append(tpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func ecKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

type blind struct{}

func (blind) Parent(context.Context, impound.Name) observe.View  { return observe.View{Err: "blind"} }
func (blind) Resolve(context.Context, impound.Name) observe.View { return observe.View{Err: "blind"} }
func (blind) Servers(context.Context, observe.View) observe.View { return observe.View{Err: "blind"} }
func (blind) RDAP(context.Context, impound.Name) observe.RDAPView {
	return observe.RDAPView{Err: "blind"}
}

func config(t *testing.T, m *impound.Mandate) mailconn.Config {
	t.Helper()
	return mailconn.Config{
		Provider: "reg", Role: "registry", Name: "Practice Registry", To: []string{"Legal <legal@registry.test>"}, From: "desk@unit.test", Org: "Ünit", Phone: "+49 1",
		LogKey: "ed25519:abc", Relay: mailconn.Relay{Addr: "127.0.0.1:1", Plain: true}, Signer: &mailconn.Signer{Cert: selfSigned(t, rsaKey(), "Unit", "desk@unit.test"), Key: rsaKey()},
		DKIM: &mailconn.DKIM{Domain: "unit.test", Selector: "s1", Key: rsaKey()},
		Papers: func(_ context.Context, id string) (mailconn.Papers, error) {
			return mailconn.Papers{Order: m.Order(), OrderHash: m.Hash(), Files: []mailconn.File{
				{Name: "order.yaml", Media: "application/yaml", What: "the order as filed", Data: []byte("id: TEST-1\n")},
				{Name: "appendix.pdf", Media: "application/pdf", What: "the appendix", Data: append([]byte("%PDF-1.7\r\n.\r\n..\n"), bytes.Repeat([]byte{0, 255, '.', '\n'}, 5000)...)},
			}}, nil
		},
		Observe: blind{}, Now: func() time.Time { return t0.Add(time.Hour) },
	}
}

func connector(t *testing.T, cfg mailconn.Config) *mailconn.Connector {
	t.Helper()
	c, err := mailconn.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request() seizure.Request {
	return seizure.Request{ID: "L-0123456789abcdef", Kind: seizure.LetterRequest, Provider: "reg", Plan: "plan-1", Order: "TEST-1", Case: "case-1", By: "olaf", At: t0.Add(time.Hour), Changes: changes()}
}

// opened is a letter as its reader's program takes it apart.
type opened struct {
	head  mail.Header
	text  string
	files map[string][]byte
}

func open(t *testing.T, raw []byte) opened {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	o := opened{head: msg.Header, files: map[string][]byte{}}
	var walk func(h interface{ Get(string) string }, body io.Reader)
	walk = func(h interface{ Get(string) string }, body io.Reader) {
		media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(media, "multipart/") {
			mr := multipart.NewReader(body, params["boundary"])
			for {
				p, err := mr.NextRawPart()
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				walk(p.Header, p)
			}
		}
		switch h.Get("Content-Transfer-Encoding") {
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, body)
		case "quoted-printable":
			body = quotedprintable.NewReader(body)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if _, d, err := mime.ParseMediaType(h.Get("Content-Disposition")); err == nil {
			o.files[d["filename"]] = b
		} else {
			o.text += string(b)
		}
	}
	walk(msg.Header, msg.Body)
	return o
}

func TestLetterSaysWhatIsAsked(t *testing.T) {
	m := mandate(t, t0)
	c := connector(t, config(t, m))
	l, err := c.Compose(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range strings.Split(string(l.Body), "\r\n") {
		if len(s) > 998 || strings.ContainsAny(s, "\r\n") || strings.ContainsFunc(s, func(r rune) bool { return r >= 0x7f || r < ' ' && r != '\t' }) {
			t.Fatalf("line %d can't go over every relay: %.60q", i, s)
		}
	}
	o := open(t, l.Body)
	if got := o.head.Get("Message-ID"); got != l.Ref || !strings.Contains(l.Ref, "L-0123456789abcdef@unit.test>") {
		t.Errorf("Message-ID %s, reference %s", got, l.Ref)
	}
	if o.head.Get("Bcc") != "" {
		t.Error("a party's name made a head of its own")
	}
	for _, want := range []string{"Amtsgericht Köln", "1:26-mj-1", "clerk, +49 221 0", "outlook-verify[.]net", "ns1[.]sinkhole[.]example", "serverTransferProhibited", "FORBIDS YOU TO TELL", "ed25519:abc", m.Hash(), "2026-11-26 10:00 UTC"} {
		if !strings.Contains(strings.Join(strings.Fields(o.text), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("the letter does not say %q:\n%s", want, o.text)
		}
	}
	for _, n := range hostile {
		if strings.Contains(o.text, n.String()) {
			t.Errorf("%s stands there as a link", n)
		}
	}
	var w mailconn.Wanted
	if err := json.Unmarshal(o.files["request.json"], &w); err != nil {
		t.Fatal(err)
	}
	want := []mailconn.WantedName{}
	for i, n := range hostile {
		want = append(want, mailconn.WantedName{Domain: n.String(), AddNameservers: []string{"ns1.sinkhole.example", "ns2.sinkhole.example"}, RemoveNameservers: []string{"ns1.actor.test"}, AddStatus: []string{"serverTransferProhibited"}, RemoveAllDS: i == 2})
	}
	if d := cmp.Diff(want, w.Names); d != "" || w.Order != "TEST-1" || w.Docket != "1:26-mj-1" {
		t.Errorf("request.json (-want +got):\n%s", d)
	}
	rows, err := csv.NewReader(bytes.NewReader(o.files["request.csv"])).ReadAll()
	if err != nil || len(rows) != 4 || rows[3][0] != "myaccount-services.net" || rows[3][5] != "yes" || rows[3][6] != "no" || rows[1][1] != "ns1.sinkhole.example ns2.sinkhole.example" {
		t.Errorf("request.csv: %v %q", err, rows)
	}
	for _, p := range l.Parts {
		if impound.HashBytes(o.files[p.Name]) != p.Hash || !strings.Contains(o.text, strings.TrimPrefix(p.Hash, "sha256:")) {
			t.Errorf("%s does not come as its hash says", p.Name)
		}
	}
	// A reminder hangs on its request.
	r := request()
	r.Kind, r.No, r.Of, r.Reply, r.Asked, r.ID = seizure.LetterReminder, 2, "L-0", l.Ref, t0, "L-2"
	if l, err = c.Compose(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if o = open(t, l.Body); o.head.Get("In-Reply-To") != r.Reply || !strings.HasPrefix(l.Subject, "Reminder 2: ") || !strings.Contains(o.text, "2026-11-21 10:00 UTC") {
		t.Errorf("the reminder: %q %q", o.head, l.Subject)
	}
}

// TestSignatureByOpenSSL: a recipient needs nothing of ours to verify.
func TestSignatureByOpenSSL(t *testing.T) {
	bin := peertest.Need(t, "openssl", "openssl")
	m := mandate(t, t0)
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey(), "ECDSA": ecKey()} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, m)
			cfg.Signer = &mailconn.Signer{Cert: selfSigned(t, key, "Unit", "desk@unit.test"), Key: key}
			l, err := connector(t, cfg).Compose(t.Context(), request())
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			ca := filepath.Join(dir, "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cfg.Signer.Cert.Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			verify := func(raw []byte) (string, error) {
				f := filepath.Join(dir, "letter.eml")
				if err := os.WriteFile(f, raw, 0o600); err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command(bin, "cms", "-verify", "-in", f, "-CAfile", ca, "-out", filepath.Join(dir, "out")).CombinedOutput()
				return string(out), err
			}
			if out, err := verify(l.Body); err != nil {
				t.Fatalf("openssl: %v\n%s", err, out)
			}
			bad := bytes.Replace(l.Body, []byte("Practice"), []byte("Practise"), 1)
			if out, err := verify(bad); bytes.Equal(bad, l.Body) || err == nil {
				t.Fatalf("a changed letter verifies: %s", out)
			}
		})
	}
}

const dkimVerify = `
import sys, dkim
key = sys.argv[1].encode()
ok = dkim.verify(sys.stdin.buffer.read(), dnsfunc=lambda name, timeout=5: (b"v=DKIM1; " + key) if name == b"s1._domainkey.unit.test." else None)
sys.exit(0 if ok else 1)
`

func dkimOK(t *testing.T, python string, raw []byte, key crypto.Signer) bool {
	t.Helper()
	rec := ""
	switch k := key.Public().(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			t.Fatal(err)
		}
		rec = "k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	case ed25519.PublicKey:
		rec = "k=ed25519; p=" + base64.StdEncoding.EncodeToString(k)
	}
	cmd := exec.Command(python, "-c", dkimVerify, rec)
	cmd.Stdin = bytes.NewReader(raw)
	return cmd.Run() == nil
}

func python(t *testing.T) string {
	p := "/usr/bin/python3" // Debian's own, which sees Debian's modules
	peertest.NeedThat(t, "python3-dkim", exec.Command(p, "-c", "import dkim, nacl").Run() == nil, "apt-get install python3-dkim")
	return p
}

func TestDKIMByDKIMPy(t *testing.T) {
	p := python(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey(), "Ed25519": ed} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, mandate(t, t0))
			cfg.DKIM.Key = key
			l, err := connector(t, cfg).Compose(t.Context(), request())
			if err != nil {
				t.Fatal(err)
			}
			if !dkimOK(t, p, l.Body, key) {
				t.Error("dkimpy does not verify the letter")
			}
			if dkimOK(t, p, bytes.Replace(l.Body, []byte("Subject: "), []byte("Subject: Un"), 1), key) {
				t.Error("a letter with another subject verifies")
			}
			if dkimOK(t, p, append([]byte("Reply-To: x@evil.test\r\n"), l.Body...), key) {
				t.Error("a letter with a reply-to of somebody else verifies")
			}
		})
	}
}

// server is a mail server made of lines; say gives the answers.
func server(t *testing.T, handle func(c net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); handle(c) }()
		}
	}()
	return ln.Addr().String()
}

// script answers commands by their first word; "DOT" is the end of the letter.
// An answer of "" hangs up.
func script(answers map[string]string) func(net.Conn) {
	return func(c net.Conn) {
		say := func(verb, otherwise string) bool {
			s, ok := answers[verb]
			if !ok {
				s = otherwise
			}
			if s == "" {
				return false
			}
			_, err := io.WriteString(c, s+"\r\n")
			return err == nil
		}
		if !say("BANNER", "220 hostile") {
			return
		}
		buf, data := make([]byte, 0, 1<<16), false
		chunk := make([]byte, 4096)
		for {
			i := bytes.Index(buf, []byte("\r\n"))
			if i < 0 {
				n, err := c.Read(chunk)
				if err != nil {
					return
				}
				buf = append(buf, chunk[:n]...)
				continue
			}
			l := string(buf[:i])
			buf = buf[i+2:]
			if data {
				if l == "." {
					data = false
					if !say("DOT", "250 2.0.0 Ok: queued as ABC123") {
						return
					}
				}
				continue
			}
			verb, _, _ := strings.Cut(strings.ToUpper(l), " ")
			verb, _, _ = strings.Cut(verb, ":")
			otherwise := "250 ok"
			switch verb {
			case "EHLO":
				otherwise = "250-hostile\r\n250-SIZE 50000000\r\n250-AUTH PLAIN\r\n250 DSN"
			case "DATA":
				otherwise, data = "354 go on", true
			case "QUIT":
				otherwise = "221 bye"
			}
			if !say(verb, otherwise) {
				return
			}
		}
	}
}

func TestHostileServers(t *testing.T) {
	long := strings.Repeat("x", 10<<20)
	endless := func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, "220-and another thing\r\n"); err != nil {
				return
			}
		}
	}
	m := mandate(t, t0)
	for _, tc := range []struct {
		name      string
		handle    func(net.Conn)
		tls       bool
		kind      impound.Kind
		unknown   bool
		committed bool
		says      string
	}{
		{name: "good", handle: script(nil), committed: true},
		{name: "a banner without end", handle: endless, kind: impound.KindUnavailable, says: "no end"},
		{name: "a line without end", handle: script(map[string]string{"BANNER": "220 " + long}), kind: impound.KindUnavailable, says: "without end"},
		{name: "ten megabytes after the dot", handle: script(map[string]string{"DOT": "250 " + long}), kind: impound.KindUnavailable, unknown: true, committed: true},
		{name: "no SMTP", handle: script(map[string]string{"BANNER": "HTTP/1.1 400 Bad Request"}), kind: impound.KindUnavailable, says: "does not speak SMTP"},
		{name: "not now", handle: script(map[string]string{"RCPT": "451 4.7.1 greylisted"}), kind: impound.KindUnavailable, says: "greylisted"},
		{name: "never", handle: script(map[string]string{"RCPT": "550 5.1.1 no such user"}), kind: impound.KindRefused, says: "no such user"},
		{name: "not now, after the dot", handle: script(map[string]string{"DOT": "452 4.3.1 full"}), kind: impound.KindUnavailable, committed: true, says: "full"},
		{name: "never, after the dot", handle: script(map[string]string{"DOT": "554 5.7.1 spam"}), kind: impound.KindRefused, committed: true, says: "spam"},
		{name: "hangs up after the dot", handle: script(map[string]string{"DOT": ""}), kind: impound.KindUnavailable, unknown: true, committed: true},
		{name: "nonsense after the dot", handle: script(map[string]string{"DOT": "2x0 what"}), kind: impound.KindUnavailable, unknown: true, committed: true},
		{name: "two codes after the dot", handle: script(map[string]string{"DOT": "250-ok\r\n550 no"}), kind: impound.KindUnavailable, unknown: true, committed: true},
		{name: "hangs up in between", handle: script(map[string]string{"DATA": ""}), kind: impound.KindUnavailable},
		{name: "too small", handle: script(map[string]string{"EHLO": "250-hostile\r\n250 SIZE 1000"}), kind: impound.KindRefused, says: "takes 1000 bytes"},
		{name: "no TLS though it must be", handle: script(nil), tls: true, kind: impound.KindRefused, says: "offers no TLS"},
		{name: "speaks on before TLS", handle: script(map[string]string{"EHLO": "250-hostile\r\n250 STARTTLS", "STARTTLS": "220 go on\r\n250 and now you trust me"}), tls: true, kind: impound.KindRefused, says: "before TLS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, m)
			cfg.Relay = mailconn.Relay{Addr: server(t, tc.handle), Plain: !tc.tls}
			c := connector(t, cfg)
			l, err := c.Compose(t.Context(), request())
			if err != nil {
				t.Fatal(err)
			}
			committed := false
			a, err := c.Ask(t.Context(), permits(t, m, cfg.Now(), l.Request.Changes), l, func() error { committed = true; return nil })
			if committed != tc.committed {
				t.Errorf("committed: %v, want %v (%v)", committed, tc.committed, err)
			}
			if tc.kind == "" {
				if err != nil || a.Text != "250 2.0.0 Ok: queued as ABC123" || a.Ref != l.Ref || !a.Pending {
					t.Fatalf("%+v %v", a, err)
				}
				return
			}
			if impound.KindOf(err) != tc.kind || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("error %v (%v), want %v", err, impound.KindOf(err), tc.kind)
			}
			if got := isUnknown(err); got != tc.unknown {
				t.Errorf("unknown: %v, want %v (%v)", got, tc.unknown, err)
			}
			for _, f := range a.Frames {
				if len(f.Body) > 64<<10 {
					t.Errorf("the record of the talk is %d bytes", len(f.Body))
				}
			}
		})
	}
}

func TestLettersNeedAPermit(t *testing.T) {
	m := mandate(t, t0)
	var mu sync.Mutex
	talked := 0
	cfg := config(t, m)
	cfg.Relay = mailconn.Relay{Addr: server(t, func(c net.Conn) { mu.Lock(); talked++; mu.Unlock(); script(nil)(c) }), Plain: true}
	now := t0.Add(time.Hour)
	cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	c := connector(t, cfg)
	l, err := c.Compose(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	all := permits(t, m, now, l.Request.Changes)
	never := func() error { t.Error("it went past the point of no return"); return nil }
	for name, ps := range map[string][]impound.Permit{"none": nil, "one short": all[1:], "the zero permit": {{}}} {
		if _, err := c.Ask(t.Context(), ps, l, never); impound.KindOf(err) != impound.KindRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	set := func(at time.Time) { mu.Lock(); now = at; mu.Unlock() }
	set(t0.AddDate(1, 0, 0))
	if _, err := c.Ask(t.Context(), all, l, never); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("a lapsed order: %v", err)
	}
	mu.Lock()
	if talked != 0 {
		t.Errorf("the server was talked to %d times", talked)
	}
	mu.Unlock()
	// It lapses while the server takes its time.
	set(t0.Add(time.Hour))
	n := 0
	cfg.Now = func() time.Time {
		if n++; n > len(l.Request.Changes) {
			return t0.AddDate(2, 0, 0)
		}
		return t0.Add(time.Hour)
	}
	if _, err := connector(t, cfg).Ask(t.Context(), all, l, never); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("it lapsed meanwhile: %v", err)
	}
}

func TestPasswordStaysOut(t *testing.T) {
	key := ecKey()
	cert := selfSigned(t, key, "mail", "127.0.0.1")
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	srv := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	m := mandate(t, t0)
	cfg := config(t, m)
	cfg.Relay = mailconn.Relay{Addr: server(t, func(c net.Conn) { script(nil)(tls.Server(c, srv)) }), Implicit: true, TLS: &tls.Config{RootCAs: pool}, User: "unit", Password: []byte("hunter2")}
	c := connector(t, cfg)
	l, err := c.Compose(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Ask(t.Context(), permits(t, m, cfg.Now(), l.Request.Changes), l, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	log := string(a.Frames[0].Body)
	if strings.Contains(log, base64.StdEncoding.EncodeToString([]byte("\x00unit\x00hunter2"))) || !strings.Contains(log, "AUTH PLAIN ***") || !strings.Contains(log, "TLS 1.3") || !strings.Contains(log, "ENVID=L-0123456789abcdef") {
		t.Errorf("the record of the talk:\n%s", log)
	}
	// Without knowing its certificate nothing goes.
	cfg.Relay.TLS = nil
	if _, err := connector(t, cfg).Ask(t.Context(), permits(t, m, cfg.Now(), l.Request.Changes), l, func() error { t.Error("committed"); return nil }); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("an unknown certificate: %v", err)
	}
	for _, r := range []mailconn.Relay{{Addr: "mail.unit.test:25", Plain: true}, {Addr: "127.0.0.1:25", Plain: true, User: "x"}, {Addr: "mail"}} {
		cfg.Relay = r
		if _, err := mailconn.New(cfg); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestTooLargeIsSaid(t *testing.T) {
	cfg := config(t, mandate(t, t0))
	cfg.MaxBytes = 20000
	if _, err := connector(t, cfg).Compose(t.Context(), request()); impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), "fewer exhibits") && !strings.Contains(fmt.Sprintf("%+v", err), "bytes") {
		t.Errorf("%v", err)
	}
}

func isUnknown(err error) bool { return errors.Is(err, seizure.ErrUnknownOutcome) }
