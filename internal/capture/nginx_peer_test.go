package capture

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound/internal/peertest"
)

// freePorts gives ports that nothing listens on now.
func freePorts(t *testing.T, n int) (out []int) {
	t.Helper()
	for len(out) < n {
		if p := peertest.Port(t); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// A kit as actors set it up behind nginx: TLS with a certificate for the name,
// plain HTTP that redirects, a path that a redirect leads to, and rules by user
// agent, cookie and referrer.
func TestCaptureOfNginx(t *testing.T) {
	nginx := peertest.Need(t, "nginx", "nginx-light")
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name.String()}, DNSNames: []string{name.String()}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	must(t, err)
	kb, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		must(t, os.WriteFile(p, b, 0o600))
		return p
	}
	cert := file("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyFile := file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb}))
	must(t, os.Mkdir(filepath.Join(dir, "www"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "www", "login"), []byte(signIn), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "www", "decoy"), []byte(decoy), 0o644))
	run := func(t *testing.T, rules string) Result {
		p := freePorts(t, 2)
		conf := file("nginx.conf", fmt.Appendf(nil, `daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 64; }
http {
  access_log off; default_type text/html; root %[1]s/www; server_tokens on;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  gzip on; gzip_min_length 1; absolute_redirect off; ssl_protocols TLSv1.2 TLSv1.3;
  map $http_user_agent $bot { default 0; "~*bot|curl" 1; }
  server { listen 127.0.0.1:%[2]d; server_name %[6]s; return 301 https://$host$request_uri; }
  server { listen 127.0.0.1:%[3]d ssl; server_name %[6]s; ssl_certificate %[4]s; ssl_certificate_key %[5]s;
    location = / { return 302 /owa; }
    location = /owa { %[7]s try_files /login =404; }
    location = /decoy { }
  }
}`, dir, p[0], p[1], cert, keyFile, name, rules))
		cmd := exec.Command(nginx, "-p", dir, "-c", conf)
		var log strings.Builder
		cmd.Stderr = &log
		must(t, cmd.Start())
		defer func() { cmd.Process.Kill(); cmd.Wait() }()
		for range 200 {
			if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p[1])); err == nil {
				c.Close()
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		w := newWorld(t, nil)
		w.routes[name.String()+":80"], w.routes[name.String()+":443"] = fmt.Sprintf("127.0.0.1:%d", p[0]), fmt.Sprintf("127.0.0.1:%d", p[1])
		return noPicture(t, w)
	}
	for _, c := range []struct {
		what, rules, verdict, by string
	}{
		{"open", "", GateNone, ""},
		{"by user agent", "if ($bot) { return 404; }", GateYes, "user-agent"},
		{"by user agent, with another page", "if ($bot) { rewrite ^ /decoy last; }", GateYes, "user-agent"},
		{"by cookie", `add_header Set-Cookie "seen=1; Path=/"; if ($cookie_seen) { rewrite ^ /decoy last; }`, GateYes, "cookie"},
		{"by referrer", `if ($http_referer = "") { return 403; }`, GateYes, "referrer"},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := run(t, c.rules)
			f := looks(t, r)["desktop"]
			if r.Gating.Verdict != c.verdict || c.by != "" && !slices.ContainsFunc(r.Gating.Reasons, func(n GateNote) bool { return n.By == c.by }) {
				t.Errorf("%s: %+v", r.Gating.Summary(), r.Gating.Reasons)
			}
			if c.what != "open" {
				return
			}
			if f.Status != 200 || f.Title != "Sign in" || len(f.Steps) < 2 {
				t.Errorf("%+v", f)
			}
			var v TLSView
			must(t, json.Unmarshal(r.find(t, KindTLS).Body, &v))
			if v.Version != "TLS 1.3" || slices.Contains(v.Notes, "for another name") || len(v.Chain) != 1 || v.Chain[0].Subject != "CN="+name.String() {
				t.Errorf("tls: %+v", v)
			}
			n := 0
			for _, x := range records(t, r.find(t, KindWARC).Body) {
				if x.kind == "response" && strings.Contains(string(x.block), "Server: nginx/") {
					n++
				}
			}
			if n < 3 { // 301, 302, 200
				t.Errorf("%d answers of nginx are kept as they came", n)
			}
		})
	}
}
