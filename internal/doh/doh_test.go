package doh_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/doh"
	"github.com/impound/impound/internal/peertest"
)

func TestParse(t *testing.T) {
	for s, ok := range map[string]bool{
		"https://192.0.2.53/dns-query": true, "https://dns.example/dns-query": true, "https://[2001:db8::1]:8443/q": true,
		"http://192.0.2.53/dns-query": false, "https://": false, "https://dns.example": false, "https://dns.example/": false,
		"https://u:p@dns.example/q": false, "https://dns.example/q?dns=x": false, "192.0.2.53": false, "": false, "https://%zz/q": false,
	} {
		_, err := doh.Parse(s)
		if (err == nil) != ok || !ok && impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%q: %v", s, err)
		}
	}
	for s, want := range map[string]bool{"https://dns.example/q": true, "https://192.0.2.53/q": false, "https://[2001:db8::1]/q": false, "nonsense": false} {
		if got := doh.Named(s); got != want {
			t.Errorf("%q: named %v", s, got)
		}
	}
}

// trusting makes clients trust what the server shows, for the test.
func trusting(t *testing.T, srv *httptest.Server) *doh.Client {
	t.Helper()
	c := doh.New(nil, time.Minute, srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs)
	t.Cleanup(c.Close)
	return c
}

func question(t *testing.T, name string) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	m.Id = 0xbeef
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestExchange(t *testing.T) {
	var sent *http.Request
	var body []byte
	var answer http.HandlerFunc
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		sent = q
		body, _ = io.ReadAll(q.Body)
		answer(w, q)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	c, at := trusting(t, srv), srv.URL+"/dns-query"
	msg := question(t, "outlook-verify.net.")
	good := bytes.Clone(msg)
	good[0], good[1], good[2] = 0, 0, good[2]|0x80
	answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", doh.Media)
		w.Write(good)
	}
	got, err := c.Exchange(t.Context(), at, msg)
	if err != nil || !bytes.Equal(got[:2], msg[:2]) || !bytes.Equal(got[2:], good[2:]) {
		t.Errorf("%x, %v", got, err)
	}
	if sent.Method != "POST" || sent.ProtoMajor != 2 || sent.URL.Path != "/dns-query" || sent.Header.Get("Content-Type") != doh.Media || sent.UserAgent() != "" {
		t.Errorf("sent %s %s %v", sent.Method, sent.Proto, sent.Header)
	}
	if body[0] != 0 || body[1] != 0 || !bytes.Equal(body[2:], msg[2:]) || msg[0] != 0xbe {
		t.Errorf("sent %x", body)
	}
	for say, bad := range map[string]http.HandlerFunc{
		"HTTP status 503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"HTTP status 302": func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, "https://127.0.0.1:9/elsewhere", http.StatusFound)
		},
		"no DNS message": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>log in to the hotel's network") },
		"11 octets": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", doh.Media)
			w.Write(good[:11])
		},
		"65536 octets": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", doh.Media)
			w.Write(make([]byte, 1<<20))
		},
	} {
		answer = bad
		if got, err := c.Exchange(t.Context(), at, msg); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %x, %v", say, got, err)
		}
	}
	if _, err := c.Exchange(t.Context(), at, msg[:5]); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("a cut message: %v", err)
	}
	// Whom nobody vouches for is not believed, and who doesn't answer ends with ctx.
	if _, err := doh.New(nil, time.Minute, nil).Exchange(t.Context(), at, msg); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	answer = func(_ http.ResponseWriter, q *http.Request) { cancel(); <-q.Context().Done() }
	if _, err := c.Exchange(ctx, at, msg); err == nil {
		t.Error("no error of one that is silent")
	}
	// All goes by the way that was given.
	var by string
	c = doh.New(func(_ context.Context, addr string) (net.Conn, error) { by = addr; return nil, io.ErrClosedPipe }, time.Minute, nil)
	if _, err := c.Exchange(t.Context(), "https://dns.example/dns-query", msg); err == nil || by != "dns.example:443" {
		t.Errorf("by %q: %v", by, err)
	}
}

// A resolver may answer anything: what is given has a header, and the question's id.
func FuzzExchange(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("outlook-verify.net.", dns.TypeA)
	msg, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doh.Media, msg)
	f.Add("application/DNS-message; x=y", append(bytes.Clone(msg), 0xc0, 0x0c, 0, 1, 0, 1))
	f.Add("text/html", []byte("<html>"))
	f.Add(doh.Media, msg[:11])
	f.Add(";;=", msg)
	var media string
	var body []byte
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		_, _ = w.Write(body)
	}))
	f.Cleanup(srv.Close)
	c := doh.New(nil, time.Minute, srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs)
	f.Cleanup(c.Close)
	f.Fuzz(func(t *testing.T, as string, b []byte) {
		media, body = as, b
		got, err := c.Exchange(t.Context(), srv.URL+"/dns-query", msg)
		if err != nil {
			return
		}
		if len(got) < 12 || len(got) > 65535 || len(got) != len(b) || !bytes.Equal(got[:2], msg[:2]) || !bytes.Equal(got[2:], b[2:]) {
			t.Fatalf("%q became %q", b, got)
		}
		_ = new(dns.Msg).Unpack(got)
	})
}

// Unbound, asked over HTTPS, answers what it is told to.
func TestUnboundOverHTTPS(t *testing.T) {
	bin := peertest.Need(t, "unbound", "unbound")
	out, err := exec.CommandContext(t.Context(), bin, "-V").CombinedOutput()
	peertest.NeedThat(t, "unbound with DNS over HTTPS", err == nil && strings.Contains(string(out), "nghttp2"), "apt-get install unbound")
	dir := t.TempDir()
	srv := httptest.NewTLSServer(nil) // whose certificate will do
	defer srv.Close()
	cert := srv.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := peertest.Addr(t)
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `server:
  directory: %q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  interface: 127.0.0.1@%[2]s
  https-port: %[2]s
  tls-service-pem: cert.pem
  tls-service-key: key.pem
  local-zone: "outlook-verify.net." static
  local-data: "outlook-verify.net. A 192.0.2.7"
`, dir, port), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", conf)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots})
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	c := doh.New(nil, time.Minute, roots)
	defer c.Close()
	raw, err := c.Exchange(t.Context(), "https://"+addr+"/dns-query", question(t, "outlook-verify.net."))
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil || m.Id != 0xbeef || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.7" {
		t.Errorf("%v: %v", m, err)
	}
	raw, err = c.Exchange(t.Context(), "https://"+addr+"/dns-query", question(t, "nowhere.outlook-verify.net."))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Unpack(raw); err != nil || m.Rcode != dns.RcodeNameError {
		t.Errorf("%v: %v", m, err)
	}
}
