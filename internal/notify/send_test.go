package notify_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/notify"
)

// relay is a mail server on loopback that remembers what it took.
type relay struct {
	mu   sync.Mutex
	got  [][]byte
	to   []string
	rcpt error // what it says to a recipient
	data error // what it says to a message
	tls  *tls.Config
	cut  bool // it takes the message and breaks the connection
}

type session struct {
	r    *relay
	conn *smtp.Conn
}

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Reset()                               {}
func (s *session) Logout() error                        { return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.to = append(s.r.to, to)
	return s.r.rcpt
}
func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.r.data == nil {
		s.r.got = append(s.r.got, b)
	}
	if s.r.cut {
		s.conn.Conn().Close()
	}
	return s.r.data
}

func (r *relay) start(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{r, c}, nil }))
	srv.Domain = "relay.example"
	srv.ErrorLog, srv.TLSConfig = discard{}, r.tls
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// says changes what the relay answers from now on.
func (r *relay) says(change func(*relay)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

func TestSend(t *testing.T) {
	ctx := context.Background()
	s, src, log, now, _ := service(t)
	src.cs = []impound.Contact{contact(1, "198.51.100.7", accessNet), contact(2, "203.0.113.77", impound.Network{ASN: 64501, Name: "No Desk"})}
	ps, err := s.Prepare(ctx, "nora", "C-1")
	if err != nil || len(ps) != 2 {
		t.Fatal(ps, err)
	}
	p, lost := ps[0], ps[1]
	r := &relay{}
	to := notify.Relay{Addr: r.start(t)}
	want := func(id string, again bool, kind impound.Kind, part string) {
		t.Helper()
		*now = now.Add(time.Second)
		_, err := s.Send(ctx, "nora", id, to, again)
		if impound.KindOf(err) != kind || err != nil && !strings.Contains(err.Error(), part) {
			t.Errorf("%v, want %s %q", err, kind, part)
		}
	}
	want("R-x", false, impound.KindNotFound, "no report")
	want(lost.ID, false, impound.KindRefused, "nobody to send it to")
	src.f.Phished = append(src.f.Phished, "abuse@access.example") // known only now
	want(p.ID, false, impound.KindInvalid, "phished")
	src.f.Phished = nil
	src.f.Orders[0].SealedUntil = now.Add(time.Hour)
	want(p.ID, false, impound.KindRefused, "sealed")
	src.f.Orders[0].SealedUntil = time.Time{}
	src.f.Case.TLP = impound.TLPRed
	want(p.ID, false, impound.KindRefused, "RED")
	src.f.Case.TLP = impound.TLPGreen
	eml, _ := os.ReadFile(p.Message())
	os.WriteFile(p.Message(), append(bytes.Clone(eml), 'x'), 0o600)
	want(p.ID, false, impound.KindRefused, "not as they were prepared")
	os.WriteFile(p.Message(), eml, 0o600)
	if n := len(log.entries); n != 4 {
		t.Errorf("%d entries before anything was sent: %+v", n, log.entries)
	}

	// Refused outright: it can be sent again. Broken off: it can't, just so.
	r.says(func(r *relay) { r.rcpt = &smtp.SMTPError{Code: 550, Message: "no such mailbox"} })
	want(p.ID, false, impound.KindUnavailable, "no such mailbox")
	r.says(func(r *relay) { r.rcpt, r.data = nil, &smtp.SMTPError{Code: 451, Message: "try later"} })
	want(p.ID, false, impound.KindUnavailable, "try later")
	r.says(func(r *relay) { r.data, r.cut = nil, true })
	want(p.ID, false, impound.KindUnavailable, "may have arrived")
	want(p.ID, false, impound.KindRefused, "may have arrived")
	if again, err := s.Prepare(ctx, "nora", "C-1"); err != nil || len(again) != 1 || again[0].ID != lost.ID {
		t.Errorf("what may have been sent is prepared again: %+v %v", again, err)
	}
	r.says(func(r *relay) { r.cut, r.got = false, nil })
	want(p.ID, true, "", "")
	want(p.ID, false, "", "") // sent already
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.got) != 1 || !bytes.Equal(r.got[0], eml) || r.to[len(r.to)-1] != "abuse@access.example" {
		t.Errorf("the relay got %d messages for %v:\n%s", len(r.got), r.to, bytes.Join(r.got, nil))
	}
	if got, err := s.Get(ctx, p.ID); err != nil || got.Sent == nil || got.Sending || got.Sent.How != "mail by "+to.Addr {
		t.Errorf("%+v %v", got, err)
	}
	outcomes := []string{}
	intents := map[string]bool{}
	for _, e := range log.entries {
		if e.What == "notify.send" && e.Type == impound.EntryIntent {
			intents[e.ID] = true
		}
		if e.What == "notify.send" && e.Type == impound.EntryResult {
			outcomes = append(outcomes, e.Detail["outcome"])
			if !intents[e.Intent] {
				t.Errorf("a result without an intent: %+v", e)
			}
		}
	}
	if s := strings.Join(outcomes, " "); s != "refused refused unknown taken" {
		t.Error(s)
	}
	if _, err := s.Send(ctx, "", p.ID, to, false); impound.KindOf(err) != impound.KindAuth {
		t.Errorf("nobody: %v", err)
	}
}

// A report that holds a contact which is no victim by now does not wait on.
func TestReclassified(t *testing.T) {
	ctx := context.Background()
	s, src, _, _, dir := service(t)
	src.cs = []impound.Contact{contact(1, "198.51.100.7", accessNet), contact(2, "198.51.100.8", accessNet)}
	one, err := s.Prepare(ctx, "nora", "C-1")
	if err != nil {
		t.Fatal(err)
	}
	src.cs[1].Class = impound.ClassScanner
	two, err := s.Prepare(ctx, "nora", "C-1")
	if err != nil || len(two) != 1 || two[0].ID == one[0].ID || two[0].Contacts != 1 {
		t.Errorf("%+v %v", two, err)
	}
	src.cs[0].Class = impound.ClassScanner
	if none, err := s.Prepare(ctx, "nora", "C-1"); err != nil || len(none) != 0 {
		t.Errorf("%+v %v", none, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) != 0 {
		t.Errorf("still there: %v", left)
	}
	if _, err := s.Get(ctx, one[0].ID); !errors.As(err, new(*impound.Error)) {
		t.Error(err)
	}
}

// A relay with STARTTLS is spoken to in TLS, and only when its certificate fits.
func TestSendTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	ctx := context.Background()
	s, src, _, now, _ := service(t)
	src.cs = []impound.Contact{contact(1, "198.51.100.7", accessNet)}
	ps, err := s.Prepare(ctx, "nora", "C-1")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	addr := r.start(t)
	if _, err := s.Send(ctx, "nora", ps[0].ID, notify.Relay{Addr: addr}, false); err == nil || len(r.got) != 0 {
		t.Errorf("trusted a certificate that nobody vouches for: %v", err)
	}
	*now = now.Add(time.Second)
	if p, err := s.Send(ctx, "nora", ps[0].ID, notify.Relay{Addr: addr, TLS: &tls.Config{RootCAs: roots}}, false); err != nil || p.Sent == nil || len(r.got) != 1 {
		t.Errorf("%+v %v", p, err)
	}
}
