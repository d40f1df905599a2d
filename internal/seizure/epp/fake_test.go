package epp

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/impound/impound"
)

var (
	taken   = impound.MustName("outlook-verify.example")
	issued  = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	inForce = issued.AddDate(0, 0, 20)
)

type ring map[string]impound.Person

func (r ring) Person(id string) (impound.Person, bool) { p, ok := r[id]; return p, ok }

// testPermits gives permits for name servers, locks and DS of taken.
func testPermits(t testing.TB) []impound.Permit {
	t.Helper()
	o := impound.Order{Format: impound.OrderFormat, ID: "O", Case: "c", Kind: impound.KindInjunction,
		Authority: impound.Authority{Court: "Practice court", Docket: "1", CallBack: "none"}, Issued: issued, From: issued, Until: issued.AddDate(1, 0, 0), AtEnd: "restore",
		Parties: impound.Parties{Requesting: "Practice", Technical: "nobody"}, Recipient: impound.Recipient{Name: "Practice registry", Role: "registry"},
		Acts:       impound.Acts{Lock: []string{"serverUpdateProhibited"}, Nameservers: []impound.Name{impound.MustName("ns1.sink.test"), impound.MustName("ns2.sink.test")}, RemoveDS: true},
		Appendices: []impound.Appendix{{ID: "A", Count: 1, Names: []impound.OrderName{{Name: taken}}}}}
	people := ring{}
	for i, id := range []string{"ann", "bob"} {
		key := ed25519.NewKeyFromSeed(append(make([]byte, 31), byte(i)))
		people[id] = impound.Person{ID: id, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(key.Public().(ed25519.PublicKey))}
		o.Signatures = append(o.Signatures, impound.Sign(key, impound.SignOrder, o.Hash(), id, issued))
	}
	m, err := o.Authorize(people, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []impound.Permit
	for _, a := range []impound.Act{impound.ActNameservers, impound.ActLock, impound.ActRemoveDS} {
		p, err := m.Permit(a, taken, inForce)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// fake is a server that says what it is told to. It answers the greeting and the
// login properly; every later command is handed to reply, which gives the octets
// to send, length and all, and whether to hang up then.
type fake struct {
	addr  string
	roots *x509.CertPool
	mu    sync.Mutex
	got   []string // frames, login included
}

const (
	goodGreeting = `<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><greeting><svID>Fake</svID><svDate>2026-11-21T10:00:00.0Z</svDate><svcMenu><version>1.0</version><lang>en</lang><objURI>urn:ietf:params:xml:ns:domain-1.0</objURI><objURI>urn:ietf:params:xml:ns:host-1.0</objURI><svcExtension><extURI>urn:ietf:params:xml:ns:secDNS-1.1</extURI></svcExtension></svcMenu><dcp><access><all/></access><statement><purpose><prov/></purpose><recipient><ours/></recipient><retention><stated/></retention></statement></dcp></greeting></epp>`
	okStart      = `<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><response><result code="1000"><msg>Fine</msg></result>`
)

// framed gives s with the length in front.
func framed(s string) string { return string(Frame([]byte(s))) }

// trids gives the end of a response.
func trids(cl string) string {
	if cl != "" {
		cl = Tag("clTRID", cl)
	}
	return "<trID>" + cl + "<svTRID>SV-1</svTRID></trID></response></epp>"
}

func clTRIDOf(frame string) string {
	_, s, _ := strings.Cut(frame, "<clTRID>")
	s, _, _ = strings.Cut(s, "</clTRID>")
	return s
}

func newFake(t testing.TB, greeting string, reply func(frame string) (out string, hangUp bool)) *fake {
	t.Helper()
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
	f := &fake{roots: x509.NewCertPool()}
	f.roots.AddCert(cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { f.serve(t, conn, greeting, reply) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return f
}

func (f *fake) serve(t testing.TB, conn net.Conn, greeting string, reply func(string) (string, bool)) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write([]byte(greeting)); err != nil {
		return
	}
	for first := true; ; first = false {
		b, err := ReadFrame(conn, MaxFrame)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.got = append(f.got, string(b))
		f.mu.Unlock()
		out, hangUp := framed(okStart+trids(clTRIDOf(string(b)))), false
		if !first && !strings.Contains(string(b), "<logout/>") && reply != nil {
			out, hangUp = reply(string(b))
		}
		if _, err := conn.Write([]byte(out)); err != nil || hangUp {
			return
		}
	}
}

func (f *fake) frames() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.got...)
}

func (f *fake) config() Config {
	return Config{Addr: f.addr, TLS: &tls.Config{RootCAs: f.roots}, ClientID: "registry", Password: []byte("s3cret-word"), Timeout: 10 * time.Second, Now: func() time.Time { return inForce }}
}

func (f *fake) dial(t testing.TB) *Client {
	t.Helper()
	c, err := Dial(t.Context(), f.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
