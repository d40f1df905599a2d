package seizure_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/mailconn"
	"github.com/impound/impound/internal/store/sqlite"
)

// mailSite is what a process needs to ask by a real mail server.
type mailSite struct {
	Dir, Relay, CA, Key string // Key: PEM of our certificate and key
	Plan                string
}

// connector makes the connector, and the names as they are seen.
func (s *mailSite) connector(m *impound.Mandate, w *world) (*mailconn.Connector, error) {
	ca, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	pair, err := tls.LoadX509KeyPair(s.Key, s.Key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	key := pair.PrivateKey.(*rsa.PrivateKey)
	return mailconn.New(mailconn.Config{
		Provider: "reg", Role: "registry", To: []string{"legal@registry.test"}, From: "desk@unit.test", Org: "Unit", Relay: mailconn.Relay{Addr: s.Relay, TLS: &tls.Config{RootCAs: pool}},
		Signer: &mailconn.Signer{Cert: cert, Key: key}, DKIM: &mailconn.DKIM{Domain: "unit.test", Selector: "s1", Key: key},
		Papers: func(context.Context, string) (mailconn.Papers, error) {
			return mailconn.Papers{Order: m.Order(), OrderHash: m.Hash(), Files: []mailconn.File{{Name: "appendix.pdf", Media: "application/pdf", What: "the appendix", Data: bytes.Repeat([]byte("%PDF\n.\n"), 20000)}}}, nil
		},
		Observe: w.prov, Now: w.now,
	})
}

// mailWorld is the small world, without a test.
func mailWorld() *world {
	w := &world{clock: t0.Add(time.Hour), names: ns("outlook-verify.net", "yahoo-verify.net"), block: map[impound.Name]string{}}
	w.keys, w.priv = people()
	w.prov = &provider{w: w, id: "reg", mu: new(sync.Mutex), names: map[impound.Name]*seizure.RegistryView{}, hosts: map[impound.Name]bool{}, pend: map[impound.Name]func(){}}
	for _, x := range w.names {
		w.prov.names[x] = &seizure.RegistryView{Name: x, Exists: true, NS: ns("ns1.actor.test"), DS: []string{"1 13 2 AA"}, Status: []string{"ok"}}
	}
	return w
}

func (s *mailSite) engine(ctx context.Context, w *world) (*seizure.Engine, *impound.Mandate, func(), error) {
	o := testOrder(w.names, t0)
	for _, id := range []string{"anna", "bert"} {
		o.Signatures = append(o.Signatures, impound.Sign(w.priv[id], impound.SignOrder, o.Hash(), id, t0))
	}
	m, err := o.Authorize(w.keys, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	conn, err := s.connector(m, w)
	if err != nil {
		return nil, nil, nil, err
	}
	st, err := sqlite.Open(ctx, filepath.Join(s.Dir, "impound.db"), sqlite.Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	log, err := evidence.Open(filepath.Join(s.Dir, "evidence"), evidence.Options{Origin: "test"})
	if err != nil {
		st.Close()
		return nil, nil, nil, err
	}
	e, err := seizure.New(seizure.Config{
		Store: st, Evidence: log, Keys: w.keys, Observe: w.prov, By: "op", Now: w.now,
		Mandate:    func(context.Context, string) (*impound.Mandate, error) { return m, nil },
		Connectors: map[string]seizure.Connector{"reg": conn},
		Gates: func(context.Context, *impound.Mandate, impound.Name) ([]impound.GateVerdict, error) {
			return []impound.GateVerdict{{Gate: "G1", Outcome: impound.GatePass}}, nil
		},
	})
	return e, m, func() { log.Close(); st.Close() }, err
}

// init lets the test's binary be a process that applies a plan, and may be told
// to die at the nth point: see export_test.go.
func init() {
	file := os.Getenv("IMPOUND_TEST_MAIL")
	if file == "" {
		return
	}
	err := func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var s mailSite
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		e, _, done, err := s.engine(context.Background(), mailWorld())
		if err != nil {
			return err
		}
		defer done()
		r, err := e.Apply(context.Background(), s.Plan)
		if r.Count(seizure.Asked) == 2 {
			return nil
		}
		return fmt.Errorf("%v %+v", err, r.Names)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// pemPair writes a certificate that is its own issuer, and its key.
func pemPair(t *testing.T, file string, key any, cn string, ips ...net.IP) {
	t.Helper()
	pub := any(nil)
	switch k := key.(type) {
	case *rsa.PrivateKey:
		pub = k.Public()
	case *ecdsa.PrivateKey:
		pub = k.Public()
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: ips, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk})...)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// postfix is a mail server of Debian's, on loopback, with a Maildir for each of
// two mailboxes.
type postfix struct {
	addr, cert, box string
	log             *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func startPostfix(t *testing.T) *postfix {
	t.Helper()
	peertest.NeedThat(t, "a mail server (root)", os.Geteuid() == 0, "run the tests as root")
	bin := peertest.Need(t, "postfix", "postfix")
	// Not t.TempDir: the server's own users must get at it, and its sockets' paths
	// must be short.
	dir, err := os.MkdirTemp("", "pf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &postfix{addr: peertest.Addr(t), cert: filepath.Join(dir, "server.pem"), box: filepath.Join(dir, "box"), log: &lockedBuffer{}}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"etc", "queue", "data", "box"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for d, user := range map[string]string{"data": "postfix", "box": "nobody"} {
		if out, err := exec.Command("chown", user, filepath.Join(dir, d)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pemPair(t, p.cert, key, "mail.registry.test", net.IPv4(127, 0, 0, 1))
	main := strings.ReplaceAll(`compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
myhostname = mail.registry.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
virtual_mailbox_domains = registry.test, unit.test
virtual_mailbox_base = DIR/box
virtual_mailbox_maps = inline:{legal@registry.test=legal/, desk@unit.test=desk/}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 100
smtpd_tls_cert_file = DIR/server.pem
smtpd_tls_key_file = DIR/server.pem
smtpd_tls_security_level = encrypt
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_relay_restrictions = permit_mynetworks, reject
mynetworks = 127.0.0.0/8
maillog_file = /dev/stdout
maillog_file_prefixes = /var, /dev/stdout
message_size_limit = 20000000
default_database_type = texthash
`, "DIR", dir)
	master := "127.0.0.1:" + strings.TrimPrefix(p.addr, "127.0.0.1:") + " inet n - n - - smtpd\n" + `cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - error
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
	for f, s := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, "etc", f), []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bin, "-c", filepath.Join(dir, "etc"), "start-fg")
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		out, err := exec.Command(bin, "-c", filepath.Join(dir, "etc"), "stop").CombinedOutput()
		if err != nil {
			t.Logf("postfix stop: %v %s", err, out)
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	for range 600 {
		if c, err := net.Dial("tcp", p.addr); err == nil {
			c.Close()
			return p
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("postfix does not listen:\n%s", p.log)
	return nil
}

// took counts how often the server's log says that it took a message.
func (p *postfix) took(ref string) int {
	n := 0
	log := p.log.String()
	for _, m := range regexp.MustCompile(`cleanup\[\d+\]: (\w+): message-id=`+regexp.QuoteMeta(ref)).FindAllStringSubmatch(log, -1) {
		if strings.Contains(log, ": "+m[1]+": from=<desk@unit.test>") {
			n++
		}
	}
	return n
}

// mails gives the mails that lie in a mailbox.
func (p *postfix) mails(t *testing.T, box string) (out [][]byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.box, box, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func (p *postfix) with(t *testing.T, box, text string) [][]byte {
	return slices.DeleteFunc(p.mails(t, box), func(b []byte) bool { return !bytes.Contains(b, []byte(text)) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1200 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("it never came about: " + what)
}

// TestLettersByPostfix kills the process that applies at each durable step,
// against a real mail server, and has others' programs verify what arrived.
func TestLettersByPostfix(t *testing.T) {
	t.Parallel()
	p := startPostfix(t)
	openssl := peertest.Need(t, "openssl", "openssl")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "mail.pem")
	pemPair(t, keyFile, key, "Unit")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unsure := 0
	for die := 1; ; die++ {
		s := &mailSite{Dir: t.TempDir(), Relay: p.addr, CA: p.cert, Key: keyFile}
		w := mailWorld()
		w.t = t
		w.clock = w.clock.Add(time.Duration(die) * time.Minute) // another plan, so another letter
		e, m, done, err := s.engine(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		w.mandate = m
		s.Plan = w.planned(e, "anna", "bert").ID
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(s.Dir, "site.json")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "IMPOUND_TEST_MAIL="+file, fmt.Sprint("IMPOUND_TEST_DIE_AT=", die))
		out, err := cmd.CombinedOutput()
		died := killed(err)
		if err != nil && !died {
			t.Fatalf("died at %d: %v %s", die, err, out)
		}
		r, _ := e.Apply(t.Context(), s.Plan)
		ls, err := e.Letters(t.Context(), m.ID())
		if err != nil || len(ls) != 1 {
			t.Fatalf("died at %d: letters %+v %v, names %+v", die, ls, err, r.Names)
		}
		l := ls[0]
		if r.Count(seizure.Failed) == len(w.names) {
			// Nobody knows: a person looks into the server's log.
			unsure++
			how := seizure.SettleNotTaken
			// The connection of the dead is closed by now; give the server the time
			// to say what it did.
			eventually(t, "the server tells", func() bool {
				return p.took(l.Ref) > 0 || strings.Count(p.log.String(), "disconnect from") >= strings.Count(p.log.String(), ": connect from")
			})
			if p.took(l.Ref) > 0 {
				how = seizure.SettleTaken
			}
			if _, err := e.SettleLetter(t.Context(), l.ID, how, "the server's log"); err != nil {
				t.Fatalf("died at %d: %v", die, err)
			}
			r, _ = e.Apply(t.Context(), s.Plan)
		}
		outcomes(t, r, seizure.Asked)
		eventually(t, "it is taken", func() bool { return p.took(l.Ref) > 0 })
		eventually(t, "it arrives", func() bool { return len(p.with(t, "legal", "Message-ID: "+l.Ref)) > 0 })
		if n := p.took(l.Ref); n != 1 {
			t.Fatalf("died at %d: the server took the letter %d times", die, n)
		}
		w.prov.names[w.names[0]].NS = ns("ns1.sinkhole.example", "ns2.sinkhole.example")
		if r, err = e.Follow(t.Context(), m); err != nil || r.Count(seizure.Asked) != 2 {
			t.Fatalf("died at %d: %v %+v", die, err, r.Names)
		}
		if t.Failed() {
			t.Fatalf("died at %d", die)
		}
		if died {
			done()
			continue
		}
		t.Logf("killed at %d points; at %d of them nobody knew whether the letter had gone", die-1, unsure)
		if die < 8 || unsure == 0 || unsure > 2 {
			t.Errorf("killed at %d points, unsure at %d", die-1, unsure)
		}
		arrived := p.with(t, "legal", "Message-ID: "+l.Ref)[0]
		verifyArrived(t, openssl, arrived, keyFile, key)
		_, sent, err := e.Letter(t.Context(), l.ID)
		if err != nil || !bytes.HasSuffix(bytes.ReplaceAll(arrived, []byte("\r\n"), []byte("\n")), bytes.ReplaceAll(sent.Body, []byte("\r\n"), []byte("\n"))) {
			t.Errorf("what arrived is not what is kept: %v", err)
		}
		if !strings.Contains(l.Answer, "queued as") {
			t.Errorf("the proof is %q", l.Answer)
		}
		// The server tells that it delivered (RFC 3461), and that is read.
		eventually(t, "a delivery report comes", func() bool { return len(p.with(t, "desk", l.ID)) > 0 })
		a, err := mailconn.ReadAnswer(p.with(t, "desk", l.ID)[0])
		if err != nil || a.Kind != "delivered" || !slices.Contains(a.Refs, l.ID) || !slices.Contains(a.Refs, l.Ref) || !strings.Contains(a.Text, "status 2.") {
			t.Errorf("the delivery report: %+v %v", a, err)
		}
		if got, err := e.LetterByRef(t.Context(), a.Refs...); err != nil || got.ID != l.ID {
			t.Errorf("it belongs to %q: %v", got.ID, err)
		}
		done()
		return
	}
}

func verifyArrived(t *testing.T, openssl string, raw []byte, certFile string, key *rsa.PrivateKey) {
	t.Helper()
	f := filepath.Join(t.TempDir(), "letter.eml")
	if err := os.WriteFile(f, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(openssl, "cms", "-verify", "-in", f, "-CAfile", certFile, "-purpose", "any", "-out", f+".out").CombinedOutput(); err != nil {
		t.Errorf("openssl does not verify what arrived: %v %s", err, out)
	}
	const python = "/usr/bin/python3"
	peertest.NeedThat(t, "python3-dkim", exec.Command(python, "-c", "import dkim").Run() == nil, "apt-get install python3-dkim")
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", "import sys, dkim\nsys.exit(0 if dkim.verify(sys.stdin.buffer.read(), dnsfunc=lambda name, timeout=5: b'v=DKIM1; k=rsa; p="+base64.StdEncoding.EncodeToString(der)+"') else 1)")
	cmd.Stdin = bytes.NewReader(raw)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("dkimpy does not verify what arrived: %v %s", err, out)
	}
}
