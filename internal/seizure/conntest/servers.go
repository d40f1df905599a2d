package conntest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound/internal/peertest"
)

// Server is a name server that somebody else wrote, on loopback, which holds
// zones and takes updates signed by a key.
type Server struct {
	kind    string // "bind" | "knot"
	Addr    string
	dir     string
	KeyFile string
	Secret  string // as in the file
	cmd     *exec.Cmd
	out     *buffer
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.b.Write(p) }
func (b *buffer) String() string              { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// Zone is one zone of a server.
type Zone struct {
	Name   string // without dots at the ends
	Text   string // the zone file
	Signed bool   // the server signs it, and goes on signing what updates bring
	Frozen bool   // takes no updates
}

// freePort finds a port that is free for UDP and TCP.
func freePort(t testing.TB) int { return peertest.Port(t) }

// Serve starts BIND or Knot with zones.
func Serve(t testing.TB, kind string, zones ...Zone) *Server {
	t.Helper()
	bin := map[string][2]string{"bind": {"named", "bind9"}, "knot": {"knotd", "knot"}}[kind]
	path := peertest.Need(t, bin[0], bin[1])
	port := freePort(t)
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	s := &Server{kind: kind, Addr: fmt.Sprint("127.0.0.1:", port), dir: t.TempDir(), Secret: base64.StdEncoding.EncodeToString(raw), out: new(buffer)}
	file := func(name, text string) string {
		p := filepath.Join(s.dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, z := range zones {
		file(z.Name+".zone", z.Text)
	}
	var conf strings.Builder
	var args []string
	if kind == "bind" {
		s.KeyFile = file("impound.key", fmt.Sprintf("key \"impound\" {\n\talgorithm hmac-sha256;\n\tsecret \"%s\";\n};\n", s.Secret))
		fmt.Fprintf(&conf, "include %q;\noptions { directory %q; listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none; recursion no; notify no; dnssec-validation no; };\ncontrols { };\n", s.KeyFile, s.dir, port)
		for _, z := range zones {
			more := "allow-update { key impound; };"
			if z.Frozen {
				more = ""
			}
			if z.Signed {
				more += " dnssec-policy default; inline-signing yes; key-directory \"" + s.dir + "\";"
			}
			fmt.Fprintf(&conf, "zone %q { type primary; file %q; allow-transfer { key impound; }; %s };\n", z.Name, z.Name+".zone", more)
		}
		args = []string{"-g", "-n", "1", "-c", file("named.conf", conf.String())}
	} else {
		s.KeyFile = file("impound.key", fmt.Sprintf("# hmac-sha256:impound:%[1]s\nkey:\n  - id: impound\n    algorithm: hmac-sha256\n    secret: %[1]s\n", s.Secret))
		fmt.Fprintf(&conf, "server:\n    rundir: %q\n    listen: 127.0.0.1@%d\n    udp-workers: 1\n    tcp-workers: 2\n    background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n    storage: %q\ninclude: %q\nacl:\n  - id: ours\n    key: impound\n    action: [update, transfer]\npolicy:\n  - id: signing\n    algorithm: ecdsap256sha256\n    ksk-lifetime: 0\n    zsk-lifetime: 0\n    single-type-signing: on\nzone:\n", s.dir, port, s.dir, s.KeyFile)
		for _, z := range zones {
			fmt.Fprintf(&conf, "  - domain: %s\n    storage: %q\n    file: %q\n    zonefile-sync: -1\n    journal-content: changes\n", z.Name, s.dir, z.Name+".zone")
			if !z.Frozen {
				conf.WriteString("    acl: ours\n")
			}
			if z.Signed {
				conf.WriteString("    dnssec-signing: on\n    dnssec-policy: signing\n")
			}
		}
		args = []string{"-c", file("knot.conf", conf.String())}
	}
	s.cmd = exec.Command(path, args...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, s.out, s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = s.cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", kind, s.out)
		}
	})
	for _, z := range zones {
		for {
			m, err := s.Query(z.Name+".", dns.TypeSOA)
			if err == nil && len(m.Answer) > 0 && (!z.Signed || s.hasKeys(z.Name)) {
				break
			}
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("%s ended: %v\n%s", kind, err, s.out)
			case <-t.Context().Done():
				t.Fatalf("%s does not serve %s: %v\n%s", kind, z.Name, err, s.out)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return s
}

func (s *Server) hasKeys(zone string) bool {
	m, err := s.Query(zone+".", dns.TypeDNSKEY)
	if err != nil || len(m.Answer) == 0 {
		return false
	}
	m, err = s.Query(zone+".", dns.TypeSOA)
	if err != nil {
		return false
	}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			return true
		}
	}
	return false
}

// Query asks the server, with DNSSEC records.
func (s *Server) Query(name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.RecursionDesired = false
	q.SetEdns0(1232, true)
	m, _, err := (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(q, s.Addr)
	return m, err
}

// Serial gives a zone's serial number: in a zone that is not signed, it grows by
// one with each update that changes something.
func (s *Server) Serial(t testing.TB, zone string) int {
	t.Helper()
	for range 3 {
		m, err := s.Query(zone+".", dns.TypeSOA)
		if err == nil && len(m.Answer) > 0 {
			return int(m.Answer[0].(*dns.SOA).Serial)
		}
	}
	t.Errorf("%s does not serve %s", s.kind, zone)
	return 0
}
