package conntest_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/conntest"
	"github.com/impound/impound/internal/seizure/mailconn"
	"github.com/impound/impound/internal/seizure/manual"
)

// outside is what anybody can see of names: a file, so that several processes
// can look. It is the parent zone and RDAP of a provider that is asked.
type outside struct{ path string }

type shown struct {
	Status, NS, DS []string
	Gone           bool
	Ends           time.Time
}

func (o outside) read() map[string]shown {
	out := map[string]shown{}
	if b, err := os.ReadFile(o.path); err == nil {
		_ = json.Unmarshal(b, &out)
	}
	return out
}

func (o outside) write(t testing.TB, m map[string]shown) {
	t.Helper()
	b, err := json.Marshal(m)
	if err == nil {
		err = os.WriteFile(o.path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(o.path+".new", o.path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (o outside) Servers(context.Context, observe.View) observe.View {
	return observe.View{Err: "not asked"}
}

func (o outside) Parent(_ context.Context, n impound.Name) observe.View {
	s, ok := o.read()[n.String()]
	held := slices.ContainsFunc(s.Status, func(x string) bool { return strings.HasSuffix(x, "Hold") })
	v := observe.View{Name: n, Servers: []observe.ServerView{{Server: "a.nic.example"}}}
	if v.Exists = ok && !s.Gone && !held && len(s.NS) > 0; v.Exists {
		v.NS, v.DS = s.NS, s.DS
	}
	return v
}

func (o outside) Resolve(_ context.Context, n impound.Name) observe.View {
	return o.Parent(context.Background(), n)
}

func (o outside) RDAP(_ context.Context, n impound.Name) observe.RDAPView {
	s, ok := o.read()[n.String()]
	if !ok || s.Gone {
		return observe.RDAPView{Name: n}
	}
	return observe.RDAPView{Name: n, Exists: true, Handle: "D-" + n.String(), RegistrarIANA: "9999", Status: s.Status, NS: s.NS, DS: s.DS, Expires: s.Ends}
}

// fulfil does what was asked for, as the one that was asked would.
func (o outside) fulfil(t testing.TB, c seizure.Change) {
	t.Helper()
	m := o.read()
	s, ok := m[c.Name.String()]
	if !ok {
		t.Fatalf("asked for %s, which is not there", c.Name)
	}
	less := func(have, out []string) []string {
		return slices.DeleteFunc(have, func(x string) bool { return slices.Contains(out, x) })
	}
	s.NS = append(less(s.NS, texts(c.RemNS)), texts(c.AddNS)...)
	s.Status = append(less(s.Status, c.RemStatus), c.AddStatus...)
	if c.RemAllDS {
		s.DS = nil
	}
	s.DS = append(s.DS, c.BackDS...)
	if c.Renew != nil {
		s.Ends = s.Ends.AddDate(c.Renew.Years, 0, 0)
	}
	s.Gone = c.Delete
	m[c.Name.String()] = s
	o.write(t, m)
}

func texts(in []impound.Name) (out []string) {
	for _, n := range in {
		out = append(out, n.String())
	}
	return out
}

// mailbox is a mail server that takes letters, and breaks when it is told to.
type mailbox struct {
	mu    sync.Mutex
	taken int
	armed bool
	when  conntest.When
}

func (b *mailbox) Break(_ testing.TB, when conntest.When) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed, b.when = true, when
}

func (b *mailbox) Did() int { b.mu.Lock(); defer b.mu.Unlock(); return b.taken }

// hit says whether the way breaks now; got counts a letter.
func (b *mailbox) hit(before, got bool) (when conntest.When, broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if got {
		b.taken++
	}
	if !b.armed || before != (b.when == conntest.BeforeAct) {
		return 0, false
	}
	b.armed = false
	return b.when, true
}

// listen begins a door of the mailbox; only one that is shaky breaks.
func (b *mailbox) listen(t testing.TB, shaky bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); b.serve(c, shaky) }()
		}
	}()
	return l.Addr().String()
}

func (b *mailbox) serve(c net.Conn, shaky bool) {
	r := bufio.NewReader(c)
	say := func(s string) { _, _ = io.WriteString(c, s+"\r\n") }
	say("220 practice")
	data := false
	for {
		l, err := r.ReadString('\n')
		if err != nil {
			return
		}
		l = strings.TrimRight(l, "\r\n")
		if data {
			if l != "." {
				continue
			}
			data = false
			if shaky {
				if when, broken := b.hit(false, true); broken {
					if when == conntest.Silent {
						_, _ = io.Copy(io.Discard, r) // until the client has had enough
					}
					return
				}
			} else {
				b.mu.Lock()
				b.taken++
				b.mu.Unlock()
			}
			say("250 2.0.0 Ok: queued as PRACTICE")
			continue
		}
		switch verb := strings.ToUpper(l[:min(len(l), 4)]); verb {
		case "EHLO":
			say("250-practice\r\n250-SIZE 50000000\r\n250 DSN")
		case "MAIL":
			if shaky {
				if _, broken := b.hit(true, false); broken {
					return
				}
			}
			say("250 ok")
		case "DATA":
			data = true
			say("354 go on")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// board is where tasks are given: a file a task. It breaks as a file beside them
// says.
type board struct{ dir string }

func (b board) give(ctx context.Context, t manual.Task) (string, error) {
	if _, err := os.Stat(b.dir); err != nil {
		return "", impound.Errorf(impound.KindUnavailable, "there is no board")
	}
	how := ""
	if x, err := os.ReadFile(filepath.Join(b.dir, "break")); err == nil {
		how = string(x)
		os.Remove(filepath.Join(b.dir, "break"))
	}
	if how == fmt.Sprint(conntest.BeforeAct) {
		return "", impound.Errorf(impound.KindUnavailable, "the board was not reached")
	}
	if err := os.WriteFile(filepath.Join(b.dir, t.Ref+".task"), []byte(t.Title), 0o600); err != nil {
		return "", err
	}
	switch how {
	case fmt.Sprint(conntest.AfterAct):
		return "", errLost
	case fmt.Sprint(conntest.Silent):
		<-ctx.Done()
		return "", ctx.Err()
	}
	return t.Ref, nil
}

func (b board) Did() int {
	fs, _ := filepath.Glob(filepath.Join(b.dir, "*.task"))
	return len(fs)
}

func (m maker) asked(now func() time.Time) (seizure.Connector, error) {
	if m.Kind == "manual" {
		return manual.New(manual.Config{Provider: "asked", Role: m.Role, Owner: "olaf", Give: board{m.Dir}.give, Observe: outside{m.File}, Now: now})
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Practice"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return mailconn.New(mailconn.Config{
		Provider: "asked", Role: m.Role, To: []string{"legal@nic.example"}, From: "desk@unit.example", Org: "Practice", Relay: mailconn.Relay{Addr: m.Addr, Plain: true}, Signer: &mailconn.Signer{Cert: cert, Key: key},
		Papers: func(_ context.Context, id string) (mailconn.Papers, error) {
			if id == "" {
				return mailconn.Papers{}, errors.New("of no order")
			}
			return mailconn.Papers{Order: impound.Order{ID: id}}, nil
		},
		Observe: outside{m.File}, Now: now,
	})
}

func askedStage(t testing.TB, kind, role string) *conntest.Stage {
	t.Helper()
	s := &conntest.Stage{
		Names: names("evil-%d.example"), Missing: impound.MustName("not-there.example"), Foreign: impound.MustName("evil.test"),
		Former: former, Sink: sink, Clock: conntest.NewClock(),
	}
	world := outside{filepath.Join(t.TempDir(), "world.json")}
	all := map[string]shown{}
	for i, n := range s.Names {
		all[n.String()] = shown{Ends: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC), NS: texts(former), DS: []string{fmt.Sprintf("%d 13 2 %064X", 1000+i, i+1)}}
	}
	world.write(t, all)
	s.Fulfil = world.fulfil
	m := maker{Kind: kind, Role: role, File: world.path}
	second, gone := m, m
	if kind == "manual" {
		b := board{t.TempDir()}
		m.Dir, second.Dir, gone.Dir = b.dir, b.dir, filepath.Join(b.dir, "not-there")
		s.Did = b.Did
		s.Break = func(t testing.TB, when conntest.When) {
			if err := os.WriteFile(filepath.Join(b.dir, "break"), []byte(fmt.Sprint(when)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	} else {
		b := &mailbox{}
		m.Addr, second.Addr, gone.Addr = b.listen(t, true), b.listen(t, false), dead
		s.Did, s.Break = b.Did, b.Break
	}
	s.Child = m.String()
	s.Conn, s.Second, s.Dead = m.must(t, s.Clock.Now), second.must(t, s.Clock.Now), gone.must(t, s.Clock.Now)
	return s
}

func TestAsked(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"mail", "manual"} {
		for _, role := range []string{"registry", "registrar"} {
			t.Run(kind+", "+role, func(t *testing.T) {
				t.Parallel()
				conntest.Run(t, func(t testing.TB) *conntest.Stage { return askedStage(t, kind, role) })
			})
		}
	}
}

func init() {
	for _, kind := range []string{"mail", "manual"} {
		for _, role := range []string{"registry", "registrar"} {
			moreColumns = append(moreColumns, func() (string, seizure.Connector, error) {
				c, err := maker{Kind: kind, Role: role, Addr: dead}.asked(time.Now)
				return "`" + kind + "`, " + role, c, err
			})
		}
	}
}
