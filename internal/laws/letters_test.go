package laws

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"errors"
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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-smtp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/cli"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/testregistry"
)

// post is a registry's mail server: it keeps what it is sent.
type post struct {
	mu    sync.Mutex
	mails [][]byte
}

func (p *post) NewSession(*smtp.Conn) (smtp.Session, error) { return &posted{p}, nil }

func (p *post) all() [][]byte { p.mu.Lock(); defer p.mu.Unlock(); return slices.Clone(p.mails) }

type posted struct{ p *post }

func (*posted) Mail(string, *smtp.MailOptions) error { return nil }
func (*posted) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (*posted) Reset()                               {}
func (*posted) Logout() error                        { return nil }
func (s *posted) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.mails = append(s.p.mails, b)
	return err
}

func openPost(t testing.TB) (*post, string) {
	t.Helper()
	p := &post{}
	srv := smtp.NewServer(p)
	srv.Domain, srv.EnableDSN = "mail.unit.example", true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	return p, l.Addr().String()
}

// openBox is the unit's mailbox, over TLS; put puts a mail into it.
func openBox(t testing.TB, ca, password string) (addr string, put func(raw string)) {
	t.Helper()
	pair := leaf(t, ca)
	mem, user := imapmemserver.New(), imapmemserver.NewUser("desk", password)
	must(t, user.Create("INBOX", nil))
	mem.AddUser(user)
	srv := imapserver.New(&imapserver.Options{NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
		return mem.NewSession(), nil, nil
	}})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	must(t, err)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String(), func(raw string) {
		t.Helper()
		_, err := user.Append("INBOX", sized{strings.NewReader(raw)}, &imap.AppendOptions{Time: time.Now()})
		must(t, err)
	}
}

// leaf makes a certificate for this machine, and writes it to ca.
func leaf(t testing.TB, ca string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "practice"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	must(t, err)
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

type sized struct{ *strings.Reader }

func (s sized) Size() int64 { return int64(s.Len()) }

// bin runs the program in a process of its own.
func (w *world) bin(t testing.TB, want int, args ...string) (out, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"--state", w.state}, args...)...)
	cmd.Env = append(os.Environ(), "IMPOUND_TEST_LAWS=program")
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var x *exec.ExitError
	if err != nil && !errors.As(err, &x) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Fatalf("impound %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, want, o.String(), e.String())
	}
	return o.String(), e.String()
}

// parts gives the text of a letter, and its files by their names.
func parts(t testing.TB, raw []byte) (text string, files map[string][]byte) {
	t.Helper()
	files = map[string][]byte{}
	var walk func(media string, params map[string]string, enc string, r io.Reader, name string)
	walk = func(media string, params map[string]string, enc string, r io.Reader, name string) {
		if strings.HasPrefix(media, "multipart/") {
			mr := multipart.NewReader(r, params["boundary"])
			for {
				p, err := mr.NextRawPart()
				if err == io.EOF {
					return
				}
				must(t, err)
				m, ps, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
				must(t, err)
				walk(m, ps, p.Header.Get("Content-Transfer-Encoding"), p, p.FileName())
			}
		}
		switch strings.ToLower(enc) {
		case "base64":
			r = base64.NewDecoder(base64.StdEncoding, r)
		case "quoted-printable":
			r = quotedprintable.NewReader(r)
		}
		b, err := io.ReadAll(r)
		must(t, err)
		if name == "" {
			text += string(b)
			return
		}
		files[name] = b
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	must(t, err)
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	must(t, err)
	walk(media, params, m.Header.Get("Content-Transfer-Encoding"), m.Body, "")
	return text, files
}

// One order goes to a registry that is asked by letter, with the court's paper and
// exhibits, and to one where a person of ours does it, by the program alone: what
// leaves, what comes back, what makes it done, and what is kept of whom.
func TestAskedFromEndToEnd(t *testing.T) {
	openssl := peertest.Need(t, "openssl", "openssl")
	w := newWorld(t, func(c *testregistry.Config) { c.TLDs = append(c.TLDs, "org", "info") })
	a := w.reg.Addrs()
	letterName, taskName := impound.MustName("letter-verify.org"), impound.MustName("task-verify.info")
	var ds []testregistry.Domain
	for _, n := range []impound.Name{letterName, taskName} {
		ds = append(ds, testregistry.Domain{Name: n, Registrar: "CHEAP-NAMES", Created: time.Now().UTC().AddDate(0, 0, -20).Truncate(time.Second), NS: []impound.Name{impound.MustName("ns1.bulk-host.example"), impound.MustName("ns2.bulk-host.example")}})
	}
	must(t, w.reg.Register(ds...))
	id, err := age.GenerateX25519Identity()
	must(t, err)
	p, relay := openPost(t)
	const boxWord = "word-of-the-mailbox"
	box, put := openBox(t, filepath.Join(w.state, "box-ca.pem"), boxWord)
	must(t, os.WriteFile(filepath.Join(w.state, "box.password"), []byte(boxWord+"\n"), 0o600))
	w.cfg.Personal.SealTo = []string{id.Recipient().String()}
	w.cfg.Mail = app.MailConfig{Relay: relay, TLS: "none", From: "desk@unit.example",
		Answers: app.MailboxConfig{IMAP: box, CA: "box-ca.pem", User: "desk", PasswordFile: "box.password", Every: "off"}}
	rdap, parents := "http://"+a.RDAP.String()+"/", []string{a.DNS.String()}
	w.cfg.Asked = []app.AskedConfig{
		{Provider: "nic-org", Name: "Practice Org Registry", TLDs: []string{"org"}, Role: "registry", Via: "mail", To: []string{"legal@nic.example"}, Exhibits: []string{"rdap"}, RDAP: rdap, Parents: parents},
		{Provider: "nic-info", Name: "Practice Info Registry", TLDs: []string{"info"}, Role: "registry", Via: "manual", Owner: "olaf", How: "form at https://nic.example/orders", Due: "48h", RDAP: rdap, Parents: parents},
	}
	w.writeConfig(t)

	seen := " " + time.Now().UTC().AddDate(0, 0, -3).Format(time.DateOnly) + "\n"

	// The court's paper, exhibits, the order.
	w.bin(t, 0, "case", "add", caseID, w.text(t, letterName.String()+seen+taskName.String()+seen), "--as", "ada")
	w.bin(t, 0, "evidence", "capture", letterName.String(), "--light", "--case", caseID, "--as", "ada")
	pdf := filepath.Join(t.TempDir(), "warrant.pdf")
	paper := []byte("%PDF-1.4\n% the court's own paper, as scanned\n%%EOF\n")
	must(t, os.WriteFile(pdf, paper, 0o600))
	w.bin(t, 0, "evidence", "add", pdf, "--case", caseID, "--as", "ada")
	s := w.open(t)
	now := w.clock.now()
	doc := w.file(t, s, terms{id: liveOrder, names: []impound.Name{letterName, taskName}, from: now.Add(-time.Hour), until: now.AddDate(0, 0, 90), instrument: impound.HashBytes(paper)})
	logKey := s.Evidence.VerifierKey()
	must(t, s.Close())
	order, err := os.ReadFile(doc)
	must(t, err)

	out, _ := w.bin(t, 0, "seize", "plan", liveOrder, "--json", "--as", "olaf")
	_, planID, _ := strings.Cut(out, `"id": "plan-`)
	planID, _, _ = strings.Cut("plan-"+planID, `"`)
	text, _ := w.bin(t, 0, "seize", "show", planID)
	if !strings.Contains(text, "asked by mail, and waited for") || !strings.Contains(text, "asked by a task for a person, and waited for") {
		t.Errorf("the plan:\n%s", text)
	}
	w.bin(t, 0, "seize", "approve", planID, "--as", "ben")
	w.bin(t, cli.ExitRefused, "seize", "apply", planID, "--as", "olaf")
	if len(p.all()) != 0 {
		t.Fatal("a letter left, and one person approved")
	}
	w.bin(t, 0, "seize", "approve", planID, "--as", "dora")
	for range 2 { // the second time nobody is asked again
		w.bin(t, 6, "seize", "apply", planID, "--as", "olaf")
	}
	mails := p.all()
	if len(mails) != 1 {
		t.Fatalf("%d letters left", len(mails))
	}

	// The letter.
	words, files := parts(t, mails[0])
	for _, say := range []string{"letter-verify[.]org", "26-mj-00001", "Practice Court", "clerk, +1 555 0199", logKey} {
		if !strings.Contains(strings.Join(strings.Fields(words), " "), say) {
			t.Errorf("the letter doesn't say %q:\n%s", say, words)
		}
	}
	if strings.Contains(words, "letter-verify.org") || strings.Contains(words, "task-verify") {
		t.Error("a live name, or another registry's, is in the text")
	}
	if !bytes.Equal(files["order.yaml"], order) || !bytes.Equal(files["instrument.pdf"], paper) || !bytes.HasPrefix(files["appendix.pdf"], []byte("%PDF-")) {
		t.Errorf("the order %d of %d octets, the court's paper %d of %d, the appendix %.8q", len(files["order.yaml"]), len(order), len(files["instrument.pdf"]), len(paper), files["appendix.pdf"])
	}
	found := false
	for n, x := range files {
		// Its digest tells it from another name's that reads the same.
		if strings.HasPrefix(n, "exhibit-letter-verify_org-rdap-") {
			found = n == "exhibit-letter-verify_org-rdap-"+strings.TrimPrefix(impound.HashBytes(x), "sha256:")[:8]+".json" && bytes.Contains(x, []byte("letter-verify.org"))
		}
		if strings.Contains(n, "letter-verify.org") {
			t.Errorf("an attachment's name is a live name: %s", n)
		}
	}
	if !found {
		t.Errorf("no exhibit of it: %v", slices.Collect(func(yield func(string) bool) {
			for n := range files {
				if !yield(n) {
					return
				}
			}
		}))
	}
	rows, err := csv.NewReader(bytes.NewReader(files["request.csv"])).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != letterName.String() || rows[1][1] != sinkNS[0].String()+" "+sinkNS[1].String() {
		t.Errorf("%v %q", err, rows)
	}
	var req struct {
		CallBack string `json:"call_back"`
		Docket   string
		Letter   string
		Names    []struct{ Domain string }
	}
	if err := json.Unmarshal(files["request.json"], &req); err != nil || req.CallBack != "clerk, +1 555 0199" || len(req.Names) != 1 {
		t.Errorf("%v %+v", err, req)
	}
	eml := filepath.Join(t.TempDir(), "letter.eml")
	must(t, os.WriteFile(eml, mails[0], 0o600))
	if b, err := exec.Command(openssl, "cms", "-verify", "-in", eml, "-noverify", "-purpose", "any", "-out", os.DevNull).CombinedOutput(); err != nil {
		t.Errorf("openssl on the letter's signature: %v %s", err, b)
	}

	// What the commands show.
	var ls []app.Letter
	list := func() map[string]app.Letter {
		t.Helper()
		out, _ := w.bin(t, 0, "seize", "letters", liveOrder, "--json", "--as", "olaf")
		ls = nil
		must(t, json.Unmarshal([]byte(out), &ls))
		by := map[string]app.Letter{}
		for _, l := range ls {
			by[l.Provider] = l
		}
		return by
	}
	by := list()
	letter, task := by["nic-org"], by["nic-info"]
	if len(ls) != 2 || letter.State != seizure.LetterSent || letter.ID != req.Letter || task.State != seizure.LetterSent || task.Task == "" {
		t.Fatalf("%+v", ls)
	}
	if out, _ := w.bin(t, 0, "seize", "letter", letter.ID, "--as", "olaf"); strings.TrimRight(out, "\r\n") != strings.TrimRight(string(mails[0]), "\r\n") {
		t.Error("what is shown is not what left, octet for octet")
	}
	what, _ := w.bin(t, 0, "seize", "letter", task.ID, "--as", "olaf")
	for _, say := range []string{"Practice Info Registry", "form at https://nic.example/orders", "task-verify[.]info", "+ ns " + sinkNS[0].Defanged(), "Exactly this, and nothing else"} {
		if !strings.Contains(what, say) {
			t.Errorf("the task doesn't say %q:\n%s", say, what)
		}
	}
	tasks, _ := w.bin(t, 0, "case", "task", "list", caseID, "--as", "olaf")
	if !strings.Contains(tasks, "olaf") || !strings.Contains(tasks, "Practice Info Registry") {
		t.Errorf("olaf's tasks:\n%s", tasks)
	}

	// Somebody's word makes nothing done; what is seen does.
	w.bin(t, 0, "case", "task", "done", caseID, task.Task, "--as", "olaf")
	if _, errs := w.bin(t, 0, "seize", "follow", liveOrder, "--as", "olaf"); errs != "" {
		t.Logf("%s", errs)
	}
	if l := list()["nic-info"]; l.State != seizure.LetterSent || len(l.Open) != 1 || !strings.Contains(l.Claimed, "olaf") {
		t.Errorf("said to be done: %+v", l)
	}
	for _, h := range sinkNS {
		w.somebodyElse(t, `<create><h:create xmlns:h="urn:ietf:params:xml:ns:host-1.0"><h:name>`+h.String()+`</h:name></h:create></create>`)
	}
	for _, n := range []impound.Name{taskName} {
		w.somebodyElse(t, `<update><d:update xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>`+n.String()+`</d:name><d:add><d:ns><d:hostObj>`+sinkNS[0].String()+`</d:hostObj><d:hostObj>`+sinkNS[1].String()+`</d:hostObj></d:ns>`+
			`<d:status s="serverDeleteProhibited"/><d:status s="serverTransferProhibited"/><d:status s="serverUpdateProhibited"/></d:add><d:rem><d:ns><d:hostObj>ns1.bulk-host.example</d:hostObj><d:hostObj>ns2.bulk-host.example</d:hostObj></d:ns></d:rem></d:update></update>`)
	}
	w.bin(t, 0, "seize", "follow", liveOrder, "--as", "olaf")
	by = list()
	if by["nic-info"].State != seizure.LetterDone || by["nic-org"].State != seizure.LetterSent {
		t.Errorf("seen to be done: %+v", ls)
	}

	// What comes to the mailbox: their answer, a delivery report, and what is none
	// of our business.
	const theirs = "Erika Mustermann from legal writes that it is done by Friday"
	put("From: Somebody <someone@elsewhere.example>\r\nTo: desk@unit.example\r\nSubject: lunch?\r\nMessage-ID: <1@elsewhere.example>\r\n\r\nthe private business of Karl Napp\r\n")
	put("From: Erika Mustermann <erika@nic.example>\r\nTo: desk@unit.example\r\nSubject: Re: your request\r\nIn-Reply-To: " + letter.Ref + "\r\nMessage-ID: <2@nic.example>\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n" + theirs + "\r\n")
	put("From: MAILER-DAEMON@unit.example\r\nTo: desk@unit.example\r\nSubject: delivered\r\nMessage-ID: <3@unit.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nok\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.unit.example\r\nOriginal-Envelope-Id: " + letter.ID + "\r\n\r\nFinal-Recipient: rfc822; legal@nic.example\r\nAction: delivered\r\nStatus: 2.0.0\r\n\r\n--b--\r\n")
	put("From: MAILER-DAEMON@unit.example\r\nTo: desk@unit.example\r\nSubject: Karl Napp's mail\r\nMessage-ID: <4@unit.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.unit.example\r\n\r\nFinal-Recipient: rfc822; karl.napp@private.example\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n--b--\r\n")
	_, said := w.bin(t, 0, "seize", "inbox", "--as", "olaf")
	if !strings.Contains(said, "4 mails looked at, 2 filed, 1 delivery reports of other mails left") {
		t.Errorf("the mailbox: %s", said)
	}
	if _, said = w.bin(t, 0, "seize", "inbox", "--as", "olaf"); !strings.Contains(said, "0 mails looked at, 0 filed") {
		t.Errorf("again: %s", said)
	}
	letter = list()["nic-org"]
	if len(letter.Replies) != 2 || letter.Replies[0].Kind != "reply" || letter.Replies[0].Text != "a mail that says it is from nic.example" || letter.Replies[1].Kind != "delivered" || letter.State != seizure.LetterSent || len(letter.Open) != 1 {
		t.Fatalf("%+v", letter)
	}
	// Anybody could have written it: reminders go on as if nothing had come.
	if letter.Last.After(letter.Sent.Add(time.Minute)) {
		t.Errorf("an answer that nobody read counts as a sign of life: %s, sent %s", letter.Last, letter.Sent)
	}
	sealed, _ := w.bin(t, 0, "evidence", "show", letter.Replies[0].Artefact, "--as", "olaf")
	if r, err := age.Decrypt(strings.NewReader(sealed), id); err != nil {
		t.Error(err)
	} else if b, err := io.ReadAll(r); err != nil || !strings.Contains(string(b), theirs) {
		t.Errorf("what was sealed is not what came: %v %q", err, b)
	}
	alarm := func() bool {
		t.Helper()
		out, _ := w.cliAny(t, "seize", "watch", liveOrder)
		return strings.Contains(out, "nobody has said what it says")
	}
	if !alarm() {
		t.Error("an answer came, and custody doesn't tell")
	}
	w.bin(t, 0, "seize", "answer", letter.ID, "--text", "they do it by Friday", "--as", "olaf")
	if alarm() {
		t.Error("somebody said what it says, and custody still tells")
	}
	w.bin(t, 0, "seize", "settle", letter.ID, "--close", "--why", "the bailiff went there", "--as", "olaf")
	if l := list()["nic-org"]; l.State != seizure.LetterClosed {
		t.Errorf("closed: %+v", l)
	}
	if len(p.all()) != 1 {
		t.Errorf("%d letters left in the end", len(p.all()))
	}

	// Of other people's mails nothing is kept, of the answer nothing in the clear,
	// and of the mailbox's password nothing but its file.
	must(t, filepath.Walk(w.state, func(path string, i os.FileInfo, err error) error {
		if err != nil || !i.Mode().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, word := range []string{"Karl Napp", "karl.napp", "private.example", "elsewhere.example", "Mustermann", "erika@", theirs} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%s holds %q", path, word)
			}
		}
		if bytes.Contains(b, []byte(boxWord)) && filepath.Base(path) != "box.password" {
			t.Errorf("%s holds the mailbox's password", path)
		}
		return err
	}))
}

// cliAny runs a command, whatever its exit code.
func (w *world) cliAny(t testing.TB, args ...string) (out, errs string) {
	t.Helper()
	_, out, errs = w.cli(t, args...)
	return out, errs
}
