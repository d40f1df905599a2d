package mailbox_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/seizure/mailbox"
)

const password = "s3cret-of-the-box"

// site is a mail server with one mailbox.
type site struct {
	cfg     mailbox.Config
	deliver func(t *testing.T, raw string)
	unread  func(t *testing.T) int // mails that nobody has marked as read; nil: nobody can tell
}

// certificate makes one for this machine, and a pool that trusts it.
func certificate(t *testing.T, dir string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "practice"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for f, b := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pk}} {
		if err := os.WriteFile(f, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(c)
	return certFile, keyFile, pool
}

// memory is a server in this process.
func memory(t *testing.T) *site {
	t.Helper()
	cert, key, pool := certificate(t, t.TempDir())
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	mem := imapmemserver.New()
	user := imapmemserver.NewUser("answers", password)
	if err := user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	mem.AddUser(user)
	srv := imapserver.New(&imapserver.Options{NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
		return mem.NewSession(), nil, nil
	}, Caps: imap.CapSet{imap.CapIMAP4rev1: {}}})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	return &site{cfg: mailbox.Config{Addr: l.Addr().String(), User: "answers", Password: []byte(password), TLS: &tls.Config{RootCAs: pool}}, deliver: func(t *testing.T, raw string) {
		t.Helper()
		if _, err := user.Append("INBOX", literal{strings.NewReader(raw)}, &imap.AppendOptions{Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}}
}

type literal struct{ *strings.Reader }

func (l literal) Size() int64 { return int64(l.Len()) }

// dovecot is the real one: Debian's Dovecot on a Maildir.
func dovecot(t *testing.T) *site {
	t.Helper()
	bin := peertest.Need(t, "dovecot", "dovecot-imapd")
	dir, err := os.MkdirTemp("/tmp", "dove") // its sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cert, key, pool := certificate(t, dir)
	uid, gid := os.Getuid(), os.Getgid()
	users := ""
	if uid == 0 {
		uid, gid = 65534, 65534 // it serves no mail of root's
	} else if me := os.Getenv("USER"); me != "" {
		users = "default_internal_user = " + me + "\ndefault_login_user = " + me + "\n"
	}
	box := filepath.Join(dir, "mail", "Maildir")
	for _, d := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(box, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	own := func() {
		if os.Getuid() != 0 {
			return
		}
		if err := filepath.Walk(filepath.Join(dir, "mail"), func(p string, _ os.FileInfo, err error) error {
			return errors.Join(err, os.Chown(p, uid, gid))
		}); err != nil {
			t.Fatal(err)
		}
	}
	own()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &site{cfg: mailbox.Config{User: "answers", Password: []byte(password), TLS: &tls.Config{RootCAs: pool}}}
	n := 0
	s.deliver = func(t *testing.T, raw string) {
		t.Helper()
		n++
		name := fmt.Sprintf("%d.M%d.practice", time.Now().Unix(), n)
		tmp := filepath.Join(box, "tmp", name)
		if err := os.WriteFile(tmp, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		own()
		if err := os.Rename(tmp, filepath.Join(box, "new", name)); err != nil {
			t.Fatal(err)
		}
	}
	s.unread = func(t *testing.T) int {
		t.Helper()
		k := 0
		for _, d := range []string{"new", "cur"} {
			fs, err := os.ReadDir(filepath.Join(box, d))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fs {
				if _, flags, _ := strings.Cut(f.Name(), ":2,"); !strings.Contains(flags, "S") {
					k++
				}
			}
		}
		return k
	}
	var said lines
	for try := 0; ; try++ {
		s.cfg.Addr = peertest.Addr(t)
		_, port, _ := net.SplitHostPort(s.cfg.Addr)
		conf := filepath.Join(dir, "dovecot.conf")
		text := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
%[2]sssl = required
ssl_cert = <%[3]s
ssl_key = <%[4]s
mail_location = maildir:%[5]s
first_valid_uid = 1
auth_failure_delay = 0 secs
service imap-login {
  chroot =
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = %[6]s
    ssl = yes
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
passdb {
  driver = static
  args = password=%[7]s
}
userdb {
  driver = static
  args = uid=%[8]d gid=%[9]d home=%[1]s/mail
}
`, dir, users, cert, key, box, port, password, uid, gid)
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(bin, "-F", "-c", conf)
		cmd.Stderr, cmd.Stdout = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		up := false
		for deadline := time.Now().Add(30 * time.Second); !up && time.Now().Before(deadline); {
			c, err := tls.Dial("tcp", s.cfg.Addr, s.cfg.TLS)
			if up = err == nil; up {
				c.Close()
				break
			}
			select {
			case <-ended:
				deadline = time.Now()
			case <-time.After(20 * time.Millisecond):
			}
		}
		if up {
			t.Cleanup(func() {
				_ = cmd.Process.Signal(os.Interrupt)
				select {
				case <-ended:
				case <-time.After(20 * time.Second):
					_ = cmd.Process.Kill()
					<-ended
				}
				if t.Failed() {
					t.Logf("dovecot says:\n%s", said.String())
				}
			})
			return s
		}
		_ = cmd.Process.Kill()
		<-ended
		if try == 2 { // somebody may have had the port meanwhile
			t.Fatalf("dovecot does not start:\n%s", said.String())
		}
	}
}

// lines is what a peer says.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *lines) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func mailOf(subject string, size int) string {
	return "From: legal@nic.example\r\nTo: answers@unit.example\r\nSubject: " + subject + "\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <" + subject + "@nic.example>\r\n\r\nDear all,\r\n" + strings.Repeat("x", size) + "\r\n"
}

func TestRead(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *site{"in memory": memory, "dovecot": dovecot} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			s.cfg.Since = time.Now().AddDate(0, 0, -30)
			var heads, taken []string
			var stop error
			read := func(c mailbox.Config, from mailbox.Place) (mailbox.Place, mailbox.Seen, error) {
				heads, taken = nil, nil
				return mailbox.Read(t.Context(), c, from, func(head []byte) bool {
					heads = append(heads, subject(head))
					if strings.Contains(string(head), "Dear all") {
						t.Error("a head comes with its mail")
					}
					return strings.Contains(string(head), "Subject: ours")
				}, func(raw []byte) error {
					if stop != nil {
						return stop
					}
					taken = append(taken, subject(raw))
					if !strings.HasSuffix(string(raw), "x\r\n") || !strings.Contains(string(raw), "Dear all") {
						t.Errorf("cut: %d octets", len(raw))
					}
					return nil
				})
			}
			at, seen, err := read(s.cfg, mailbox.Place{})
			if err != nil || len(heads) != 0 || at.Validity == 0 {
				t.Fatalf("empty: %v %+v %+v", err, at, seen)
			}
			for i, w := range []string{"ours-1", "theirs-1", "ours-2", "theirs-2"} {
				s.deliver(t, mailOf(w, 1+i*70<<10))
			}
			at, seen, err = read(s.cfg, at)
			if err != nil || !slices.Equal(heads, []string{"ours-1", "theirs-1", "ours-2", "theirs-2"}) || !slices.Equal(taken, []string{"ours-1", "ours-2"}) || seen.Looked != 4 || seen.Taken != 2 {
				t.Fatalf("four mails: %v %v %v %+v %+v", err, heads, taken, at, seen)
			}
			if s.unread != nil {
				if k := s.unread(t); k != 4 {
					t.Errorf("%d of 4 mails are as nobody had read them", k)
				}
			}
			if _, seen, err = read(s.cfg, at); err != nil || seen.Looked != 0 {
				t.Errorf("again: %v %+v", err, seen)
			}
			// What could not be kept is met again; what came before it is not.
			s.deliver(t, mailOf("ours-3", 1))
			s.deliver(t, mailOf("ours-4", 1))
			stop = errors.New("the disk is full")
			on, _, err := read(s.cfg, at)
			if !errors.Is(err, stop) || on != at {
				t.Errorf("not kept: %v %+v, from %+v", err, on, at)
			}
			stop = nil
			if at, seen, err = read(s.cfg, on); err != nil || !slices.Equal(taken, []string{"ours-3", "ours-4"}) {
				t.Errorf("kept: %v %v %+v", err, taken, seen)
			}
			// Bounds: of a session, of a mail.
			few := s.cfg
			few.MaxMails = 1
			s.deliver(t, mailOf("ours-5", 1))
			s.deliver(t, mailOf("ours-6", 1<<20))
			if at, seen, err = read(few, at); err != nil || !seen.More || seen.Looked != 1 || !slices.Equal(taken, []string{"ours-5"}) {
				t.Errorf("one a session: %v %+v %v", err, seen, taken)
			}
			small := s.cfg
			small.MaxMail = 100 << 10
			if at, seen, err = read(small, at); err != nil || seen.Large != 1 || seen.Taken != 0 || seen.LargeAt != at {
				t.Errorf("too large: %v %+v %v", err, seen, at)
			}
			tight := s.cfg
			tight.MaxTalk = 512 << 10
			before := mailbox.Place{Validity: at.Validity, UID: at.UID - 1}
			if on, _, err := read(tight, before); impound.KindOf(err) != impound.KindUnavailable || on != before {
				t.Errorf("a server that says too much: %v %+v", err, on)
			}
			// Other numbers: all of it is looked at anew.
			if _, seen, err = read(s.cfg, mailbox.Place{Validity: at.Validity + 1, UID: at.UID}); err != nil || seen.Looked != 8 {
				t.Errorf("another UIDVALIDITY: %v %+v", err, seen)
			}
			wrong := s.cfg
			wrong.Password = []byte("wrong-password")
			if _, _, err = read(wrong, at); impound.KindOf(err) != impound.KindUnavailable || strings.Contains(err.Error(), "wrong-password") {
				t.Errorf("a wrong password: %v", err)
			}
			wrong = s.cfg
			wrong.Folder = "Nowhere"
			if _, _, err = read(wrong, at); impound.KindOf(err) != impound.KindUnavailable {
				t.Errorf("no such folder: %v", err)
			}
			wrong = s.cfg
			wrong.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
			if _, _, err = read(wrong, at); impound.KindOf(err) != impound.KindUnavailable {
				t.Errorf("a certificate of nobody's: %v", err)
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			if _, _, err := mailbox.Read(gone, s.cfg, at, nil, nil); err == nil {
				t.Error("called off, and read")
			}
		})
	}
}

func subject(raw []byte) string {
	_, s, _ := strings.Cut(string(raw), "Subject: ")
	s, _, _ = strings.Cut(s, "\r\n")
	return s
}

func TestConfig(t *testing.T) {
	good := mailbox.Config{Addr: "imap.unit.example:993", User: "answers", Password: []byte(password)}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for what, f := range map[string]func(c *mailbox.Config){
		"no port":             func(c *mailbox.Config) { c.Addr = "imap.unit.example" },
		"no host":             func(c *mailbox.Config) { c.Addr = ":993" },
		"plain, and far away": func(c *mailbox.Config) { c.Plain = true },
		"plain and TLS":       func(c *mailbox.Config) { c.Addr, c.Plain, c.StartTLS = "127.0.0.1:143", true, true },
		"nobody":              func(c *mailbox.Config) { c.User = "" },
		"no password":         func(c *mailbox.Config) { c.Password = nil },
		"two lines":           func(c *mailbox.Config) { c.Folder = "INBOX\r\na2 DELETE INBOX" },
	} {
		c := good
		f(&c)
		if err := c.Check(); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "box", good)
	fmt.Fprintf(&b, "%v %+v %#v %s %q %x", good, good, good, good, good, good)
	if s := b.String(); strings.Contains(s, password) || strings.Contains(s, fmt.Sprintf("%x", password)) || strings.Contains(s, "115 51") {
		t.Errorf("the password is shown: %s", s)
	}
}

// FuzzRead has a server say anything: it ends, within its bounds, and nothing that
// was not asked for is taken.
func FuzzRead(f *testing.F) {
	greet := "* OK hello\r\n"
	in := greet + "T1 OK in\r\n* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9] x\r\nT2 OK [READ-ONLY] open\r\n* SEARCH 8\r\nT3 OK found\r\n"
	f.Add([]byte(in + "* 1 FETCH (UID 8 RFC822.SIZE 30 BODY[HEADER]<0> {15}\r\nSubject: ours\r\n)\r\nT4 OK\r\n* 1 FETCH (UID 8 RFC822.SIZE 30 BODY[]<0> {15}\r\nSubject: ours\r\n)\r\nT5 OK\r\n"))
	f.Add([]byte(in + "* 1 FETCH (UID 8 BODY[HEADER]<0> {99999999999}\r\n"))
	f.Add([]byte(in + "* 1 FETCH (BODYSTRUCTURE ((((((((((((((("))
	f.Add([]byte(greet + "* BYE no\r\n"))
	f.Add([]byte("* PREAUTH in\r\n"))
	f.Add([]byte(greet + "T1 NO [AUTHENTICATIONFAILED] " + password + "\r\n"))
	f.Add([]byte(greet + "T1 OK\r\n* SEARCH 1:4294967295\r\n* OK [UIDVALIDITY 1]\r\nT2 OK\r\n* SEARCH 4294967295 1 1 1\r\nT3 OK\r\n"))
	f.Add([]byte("+ go on\r\n"))
	f.Add([]byte(greet + "* CAPABILITY IMAP4rev2 ESEARCH\r\nT1 OK\r\n* OK [UIDVALIDITY 1]\r\nT2 OK\r\n* ESEARCH (TAG \"T3\") UID ALL 1:4000000000\r\nT3 OK\r\n"))
	f.Fuzz(func(t *testing.T, says []byte) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Skip(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(says)
			_ = c.(*net.TCPConn).CloseWrite()
			b := make([]byte, 4096)
			for {
				if _, err := c.Read(b); err != nil {
					c.Close()
					return
				}
			}
		}()
		c := mailbox.Config{Addr: l.Addr().String(), Plain: true, User: "answers", Password: []byte(password), MaxMail: 1 << 10, MaxMails: 4, MaxTalk: 64 << 10, Timeout: 20 * time.Second}
		wanted, taken := 0, 0
		from := mailbox.Place{Validity: 7, UID: 3}
		at, seen, err := mailbox.Read(t.Context(), c, from, func(head []byte) bool {
			wanted++
			mailbox.Head(head)
			return bytes.Contains(head, []byte("ours"))
		}, func(raw []byte) error {
			if taken++; len(raw) > 1<<10 {
				t.Errorf("%d octets are taken", len(raw))
			}
			return nil
		})
		if err != nil && (impound.KindOf(err) != impound.KindUnavailable || strings.Contains(err.Error(), password)) {
			t.Errorf("%v", err)
		}
		if taken > wanted || seen.Looked > 4 || at.Validity == from.Validity && at.UID < from.UID {
			t.Errorf("%d taken of %d wanted; %+v, at %+v", taken, wanted, seen, at)
		}
	})
}
