package sinkhole

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
)

// freePort gives a port of 127.0.0.1 that is free in UDP and TCP, for peers
// that can't choose one themselves.
func freePort(t testing.TB) string { return strconv.Itoa(peertest.Port(t)) }

// resolver starts a resolver and waits until it answers at all.
func resolver(t testing.TB, port, bin string, args ...string) (ask func(name string, qtype uint16) *dns.Msg) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bin, args...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("%s", b)
		}
		log.Close()
	})
	to := net.JoinHostPort("127.0.0.1", port)
	exchange := func(network, name string, qtype uint16, recurse bool) (*dns.Msg, error) {
		m := new(dns.Msg)
		m.SetQuestion(name, qtype)
		m.RecursionDesired = recurse
		m.SetEdns0(1232, false)
		c := dns.Client{Net: network, Timeout: 5 * time.Second}
		in, _, err := c.Exchange(m, to)
		return in, err
	}
	for range 200 {
		if _, err = exchange("tcp", "localhost.", dns.TypeA, false); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(name string, qtype uint16) *dns.Msg {
		t.Helper()
		in, err := exchange("tcp", name, qtype, true)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return in
	}
}

// Resolvers in front must take every kind of answer, and pass it on whole.
func testResolver(t *testing.T, r *rig, ask func(string, uint16) *dns.Msg) {
	t.Helper()
	for _, tt := range []struct {
		name  string
		qtype uint16
		want  string // in the answers; "" for none
	}{
		{"outlook-verify.net.", dns.TypeA, "192.0.2.80"},
		{"Login.Outlook-Verify.net.", dns.TypeA, "192.0.2.80"},
		{"a.b.c.outlook-verify.net.", dns.TypeA, "192.0.2.80"},
		{"outlook-verify.net.", dns.TypeAAAA, ""},
		{"outlook-verify.net.", dns.TypeMX, "0 ."},
		{"outlook-verify.net.", dns.TypeTXT, "v=spf1 -all"}, // comes over TCP, or with a cookie
		{"_dmarc.outlook-verify.net.", dns.TypeTXT, "p=reject"},
		{"outlook-verify.net.", dns.TypeCAA, `issue ";"`},
		{"outlook-verify.net.", dns.TypeNS, "ns1.sink.example."},
		{"outlook-verify.net.", dns.TypeSOA, "outlook-verify.net."},
		{"outlook-verify.net.", dns.TypeHTTPS, ""},
		{"_mta-sts.outlook-verify.net.", dns.TypeCNAME, ""},
	} {
		in := ask(tt.name, tt.qtype)
		all := strings.Join(show(in.Answer), "\n")
		if in.Rcode != dns.RcodeSuccess || !strings.Contains(all, tt.want) || (tt.want == "") != (len(in.Answer) == 0) {
			t.Errorf("%s %s: %v", tt.name, dns.TypeToString[tt.qtype], in)
		}
	}
	n := 0
	for _, e := range r.rec.take() {
		if e.Outcome == malformed {
			t.Errorf("the resolver's question is taken for malformed: %+v", e)
		}
		if e.Order == "O-contact" && e.Capture == impound.CaptureContact {
			n++
		}
	}
	if n < 12 {
		t.Errorf("%d events for 12 questions", n)
	}
}

func TestBehindUnbound(t *testing.T) {
	t.Parallel()
	bin := peertest.Need(t, "unbound", "unbound")
	r := start(t, usual(t), onlyDNS)
	dir, port := t.TempDir(), freePort(t)
	conf := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `server:
	directory: %[1]q
	chroot: ""
	username: ""
	pidfile: ""
	use-syslog: no
	interface: 127.0.0.1@%[2]s
	do-not-query-localhost: no
	outgoing-interface: 127.0.0.1
	do-ip6: no
	module-config: "iterator"
	use-caps-for-id: yes
	qname-minimisation-strict: yes
	hide-identity: no
stub-zone:
	name: "outlook-verify.net"
	stub-addr: 127.0.0.1@%[3]s
remote-control:
	control-enable: no
`, dir, port, r.port("dns")), 0o600); err != nil {
		t.Fatal(err)
	}
	testResolver(t, r, resolver(t, port, bin, "-d", "-c", conf))
}

func TestBehindUnboundOverTLS(t *testing.T) {
	t.Parallel()
	bin := peertest.Need(t, "unbound", "unbound")
	r := start(t, usual(t), onlyDNS)
	dir, port := t.TempDir(), freePort(t)
	conf := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `server:
	directory: %[1]q
	chroot: ""
	username: ""
	pidfile: ""
	use-syslog: no
	interface: 127.0.0.1@%[2]s
	do-not-query-localhost: no
	outgoing-interface: 127.0.0.1
	do-ip6: no
	module-config: "iterator"
stub-zone:
	name: "outlook-verify.net"
	stub-addr: 127.0.0.1@%[3]s
	stub-tls-upstream: yes
remote-control:
	control-enable: no
`, dir, port, r.port("dns+tls")), 0o600); err != nil {
		t.Fatal(err)
	}
	testResolver(t, r, resolver(t, port, bin, "-d", "-c", conf))
}

func TestBehindBIND(t *testing.T) {
	t.Parallel()
	bin := peertest.Need(t, "named", "bind9")
	r := start(t, usual(t), onlyDNS)
	dir, port := t.TempDir(), freePort(t)
	conf := filepath.Join(dir, "named.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `options {
	directory %[1]q;
	pid-file none;
	session-keyfile none;
	listen-on port %[2]s { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion yes;
	dnssec-validation no;
	send-cookie yes;
	query-source address 127.0.0.1;
	forward only;
	forwarders { 127.0.0.1 port %[3]s; };
};
controls { };
zone "outlook-verify.net" {
	type forward;
	forward only;
	forwarders { 127.0.0.1 port %[3]s; };
};
`, dir, port, r.port("dns")), 0o600); err != nil {
		t.Fatal(err)
	}
	testResolver(t, r, resolver(t, port, bin, "-g", "-n", "1", "-c", conf))
}

// What the usual tools ask for, and what they make of the answer.
func TestRealClientsOptions(t *testing.T) {
	r := start(t, usual(t), onlyDNS, func(c *Config) { c.NSID = "sink1.example" })
	dig, kdig, drill := peertest.Need(t, "dig", "bind9-dnsutils"), peertest.Need(t, "kdig", "knot-dnsutils"), peertest.Need(t, "drill", "ldnsutils")
	at := []string{"@127.0.0.1", "-p", r.port("dns")}
	for _, tt := range []struct {
		bin  string
		args []string
		want []string
	}{
		{dig, []string{"+nsid", "+norec", "outlook-verify.net", "A"}, []string{"sink1.example", "status: NOERROR", "192.0.2.80"}},
		{dig, []string{"+subnet=192.0.2.0/24", "outlook-verify.net", "A"}, []string{"status: NOERROR", "192.0.2.80"}},
		{dig, []string{"+edns=1", "+noednsnegotiation", "outlook-verify.net", "A"}, []string{"status: BADVERS"}},
		{dig, []string{"+ednsopt=65001:00", "outlook-verify.net", "A"}, []string{"status: NOERROR", "192.0.2.80"}},
		{dig, []string{"+header-only", "+cookie"}, []string{"status: NOERROR", "(good)"}},
		{dig, []string{"+bufsize=4096", "+dnssec", "outlook-verify.net", "DNSKEY"}, []string{"status: NOERROR", "SOA"}},
		{dig, []string{"+opcode=notify", "outlook-verify.net", "SOA"}, []string{"status: REFUSED", "opcode: NOTIFY"}},
		{dig, []string{"-t", "ANY", "outlook-verify.net"}, []string{"RFC8482"}},
		{kdig, []string{"+nsid", "outlook-verify.net", "A"}, []string{"sink1.example", "NOERROR"}},
		{kdig, []string{"+tcp", "outlook-verify.net", "TXT"}, []string{"v=spf1 -all", "(TCP)"}},
		{kdig, []string{"+cookie", "+padding", "outlook-verify.net", "A"}, []string{"192.0.2.80", "COOKIE"}},
		{drill, []string{"-b", "1232", "outlook-verify.net", "MX"}, []string{"0 .", "NOERROR"}},
		{drill, []string{"-t", "outlook-verify.net", "NS"}, []string{"ns2.sink.example."}},
	} {
		args := append(at[:3:3], tt.args...)
		if tt.bin == drill { // the port first, the server after the name
			args = append(append([]string{"-p", r.port("dns")}, tt.args[:len(tt.args)-1]...), "@127.0.0.1", tt.args[len(tt.args)-1])
		}
		out := run(t, "", tt.bin, args...)
		for _, w := range tt.want {
			if !strings.Contains(out, w) {
				t.Errorf("%s %v: no %q in\n%s", filepath.Base(tt.bin), args, w, out)
			}
		}
		if strings.Contains(strings.ToLower(out), "malformed") || strings.Contains(out, "extra bytes") {
			t.Errorf("%s %v:\n%s", filepath.Base(tt.bin), args, out)
		}
	}
}
