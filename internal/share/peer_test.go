package share_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/share"
)

func rpz(t *testing.T, action string) (dir, file string) {
	o := opts()
	o.Action = action
	dir = t.TempDir()
	file = filepath.Join(dir, "rpz.zone")
	text := export(t, share.FormatRPZ, impound.TLPAmber, []share.Item{item("outlook-verify.net", impound.TLPAmber, impound.StateSinkholed), item("xn--google-yri.com", impound.TLPClear, impound.StateHeld), item("secret.example", impound.TLPRed, impound.StateHeld)}, o)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func TestRPZCheckzone(t *testing.T) {
	bin := peertest.Need(t, "named-checkzone", "bind9-utils")
	for _, action := range []string{"nxdomain", "nodata", "drop", "notice.csirt.example"} {
		_, file := rpz(t, action)
		out, err := exec.Command(bin, "rpz.impound.example", file).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "OK") {
			t.Errorf("%s: %v\n%s", action, err, out)
		}
	}
}

// freePort gives a UDP and TCP port of 127.0.0.1 that was free just now.
func freePort(t *testing.T) int { return peertest.Port(t) }

// start runs a resolver until the test ends and waits for it to answer.
func start(t *testing.T, dig string, port int, bin string, args ...string) {
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bin, args...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		stop()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() { stop(); <-done; done <- nil })
	deadline := time.Now().Add(20 * time.Second)
	for {
		out, err := exec.Command(dig, "@127.0.0.1", "-p", fmt.Sprint(port), "+tries=1", "+time=1", "localhost.", "A").CombinedOutput()
		if err == nil && strings.Contains(string(out), "status: ") {
			return
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("%s ended: %v\n%s", bin, err, log.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %s", bin, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

var status = regexp.MustCompile(`status: (\w+)`)

func ask(t *testing.T, dig string, port int, name string) string {
	out, err := exec.Command(dig, "@127.0.0.1", "-p", fmt.Sprint(port), "+tries=1", "+time=5", name, "A").CombinedOutput()
	m := status.FindSubmatch(out)
	if m == nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(m[1])
}

// blocked holds what a resolver that loaded the zone must say. No resolver here
// has a way out, so any other name fails or is local data, but never NXDOMAIN.
func blocked(t *testing.T, dig string, port int) {
	for _, n := range []string{"outlook-verify.net", "www.login.outlook-verify.net", "xn--google-yri.com"} {
		if s := ask(t, dig, port, n); s != "NXDOMAIN" {
			t.Errorf("%s: %s", n, s)
		}
	}
	for _, n := range []string{"secret.example", "notoutlook-verify.net"} {
		if s := ask(t, dig, port, n); s == "NXDOMAIN" {
			t.Errorf("%s is blocked", n)
		}
	}
}

func TestRPZInBIND(t *testing.T) {
	named, dig := peertest.Need(t, "named", "bind9"), peertest.Need(t, "dig", "bind9-dnsutils")
	dir, file := rpz(t, "")
	port := freePort(t)
	conf := fmt.Sprintf(`options {
	directory %q; pid-file none; session-keyfile none; managed-keys-directory %q;
	listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; };
	recursion yes; allow-query { 127.0.0.1; }; dnssec-validation no; notify no;
	forward only; forwarders { 127.0.0.1 port 1; };
	response-policy { zone "rpz.impound.example"; } qname-wait-recurse no;
};
controls { };
zone "rpz.impound.example" { type primary; file %q; allow-query { none; }; };
`, dir, dir, port, file)
	path := filepath.Join(dir, "named.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, dig, port, named, "-g", "-c", path, "-n", "1")
	blocked(t, dig, port)
}

func TestRPZInUnbound(t *testing.T) {
	unbound, dig := peertest.Need(t, "unbound", "unbound"), peertest.Need(t, "dig", "bind9-dnsutils")
	dir, file := rpz(t, "")
	port := freePort(t)
	conf := fmt.Sprintf(`server:
	directory: %q
	interface: 127.0.0.1@%d
	port: %d
	access-control: 127.0.0.0/8 allow
	username: ""
	chroot: ""
	pidfile: ""
	use-syslog: no
	logfile: ""
	do-daemonize: no
	do-not-query-localhost: no
	num-threads: 1
	module-config: "respip iterator"
	local-data: "secret.example. A 192.0.2.1"
	local-data: "notoutlook-verify.net. A 192.0.2.1"
rpz:
	name: rpz.impound.example
	zonefile: %q
forward-zone:
	name: "."
	forward-addr: 127.0.0.1@1
remote-control:
	control-enable: no
`, dir, port, port, file)
	path := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, dig, port, unbound, "-d", "-c", path)
	blocked(t, dig, port)
}
