package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/peertest"
)

// waitFor dials addr until somebody answers.
func waitFor(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// startPeer runs a program until the test ends.
func startPeer(t *testing.T, bin string, args ...string) {
	t.Helper()
	c := exec.Command(bin, args...)
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%s said %s", bin, said.String())
		}
	})
}

// What is asked beyond the DNS is what dnstwist says of the same servers: nginx, a
// mail server that takes anything, one that refuses.
func TestTwistAsksLikeDnstwist(t *testing.T) {
	t.Parallel()
	bin := peertest.Need(t, "dnstwist", "dnstwist")
	nginx := peertest.Need(t, "nginx", "nginx-light")
	const python = "/usr/bin/python3"
	err := exec.CommandContext(t.Context(), python, "-W", "ignore", "-c", "import smtpd, ssdeep").Run()
	peertest.NeedThat(t, "Python's smtpd and ssdeep", err == nil, "apt-get install python3 python3-ssdeep")
	_, err = twistServer(t, "127.0.0.77:53")
	peertest.NeedThat(t, "a name server at 127.0.0.77, port 53", err == nil, "run the tests as root")

	dir := t.TempDir()
	page := "<html><title>Sign in</title><body>"
	for i := range 400 {
		page += fmt.Sprintf("<p>paragraph %d of our page, which says %x</p>\n", i, i*i*7919)
	}
	for host, body := range map[string]string{"orig": page, "near": strings.Replace(page, "paragraph 7 ", "paragraph seven, now changed ", 1), "far": strings.Repeat("something else entirely ", 90)} {
		if err := os.MkdirAll(filepath.Join(dir, host), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, host, "index.html"), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `user root; daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 64; }
http {
  access_log off; default_type text/html;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.76:80; root %[1]s/orig; }
  server { listen 127.0.0.74:80; root %[1]s/near; }
  server { listen 127.0.0.75:80; root %[1]s/far; server_tokens off; }
}`, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	startPeer(t, nginx, "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log"))
	waitFor(t, "127.0.0.74:80")
	startPeer(t, python, "-W", "ignore", "-m", "smtpd", "-n", "-c", "DebuggingServer", "127.0.0.74:25")
	waitFor(t, "127.0.0.74:25")
	ln, err := net.Listen("tcp", "127.0.0.75:25")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // which knows its people
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "220 mail.far.example ESMTP\x1b[31m ready\r\n")
				for s := bufio.NewScanner(c); s.Scan(); {
					switch verb, _, _ := strings.Cut(strings.ToUpper(s.Text()), " "); verb {
					case "RCPT":
						fmt.Fprint(c, "550 5.1.1 no such person\r\n")
					case "DATA":
						fmt.Fprint(c, "503 5.5.1 no\r\n")
					case "QUIT":
						fmt.Fprint(c, "221 bye\r\n")
						return
					default:
						fmt.Fprint(c, "250 ok\r\n")
					}
				}
			}()
		}
	}()

	rdap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := filepath.Base(r.URL.Path)
		fmt.Fprintf(w, `{"objectClassName":"domain","ldhName":%q,"events":[{"eventAction":"registration","eventDate":"2026-11-01T10:00:00Z"}],
"entities":[{"roles":["registrar"],"vcardArray":["vcard",[["fn",{},"text","Registrar, Inc."]]]}]}`, name)
	}))
	defer rdap.Close()
	state := filepath.Join(dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	routes := ""
	for _, a := range []string{"127.0.0.74:80", "127.0.0.75:80", "127.0.0.76:80", "127.0.0.74:25", "127.0.0.75:25"} {
		routes += fmt.Sprintf("  %q: %q\n", a, a)
	}
	for name, text := range map[string]string{
		"impound.yaml": "capture: {every: \"off\"}\nrdap_bootstrap: dns.json\nroutes:\n" + routes,
		"dns.json":     fmt.Sprintf(`{"version":"1.0","publication":"2026-11-01T00:00:00Z","services":[[["org"],[%q]]]}`, rdap.URL+"/"),
	} {
		if err := os.WriteFile(filepath.Join(state, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, code := twistRun(t, "--state", state, "-r", "-b", "-m", "-s", "-w", "-f", "json", "--fuzzers", "*original,omission", "--nameservers", "127.0.0.77", "sample.org")
	if code != 0 {
		t.Fatal(got)
	}
	read := func(b string) map[string]map[string]any {
		var list []map[string]any
		if err := json.Unmarshal([]byte(b), &list); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		out := map[string]map[string]any{}
		for _, x := range list {
			out[x["domain"].(string)] = x
		}
		return out
	}
	ours := read(got)
	// dnstwist resolves pages' names by the system, which knows none of ours: its own
	// fetcher is told here where they are.
	out, err := exec.CommandContext(t.Context(), python, "-W", "ignore", "-c", `
import sys, socket
real = socket.getaddrinfo
at = {"sample.org": "127.0.0.76", "sampl.org": "127.0.0.74", "smple.org": "127.0.0.75"}
socket.getaddrinfo = lambda host, *a, **k: real(at.get(host, host), *a, **k)
import dnstwist
dnstwist.run()`, "-r", "-b", "-m", "-s", "-f", "json", "--fuzzers", "*original,omission", "--nameservers", "127.0.0.77", "sample.org").Output()
	if err != nil {
		t.Fatalf("%s of %s: %v", out, bin, err)
	}
	want := read(string(out))
	for n, x := range want {
		if b, ok := x["banner_smtp"].(string); ok { // which it shows as it comes
			x["banner_smtp"] = strings.ReplaceAll(b, "\x1b", "")
		}
		x["whois_created"], x["whois_registrar"] = "2026-11-01", "Registrar, Inc." // it has no RDAP
		if x["mx_spy"] == nil && n == "sampl.org" {
			t.Errorf("dnstwist found no mail trap: %v", x)
		}
	}
	if d := cmp.Diff(want, ours); d != "" {
		t.Errorf("other than dnstwist's:\n%s", d)
	}
	if s, _ := ours["sampl.org"]["ssdeep"].(float64); s < 50 || s > 99 {
		t.Errorf("the page that is alike: %v", ours["sampl.org"])
	}
}
