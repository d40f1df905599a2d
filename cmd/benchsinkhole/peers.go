package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
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
	"strings"
	"time"

	"github.com/impound/impound"
)

// zoneText is what every seized name answers, relative to whichever zone it is
// loaded for: what our own server says.
const zoneText = `$TTL 300
@ SOA ns1.sink.example. hostmaster.sink.example. 1 3600 600 86400 300
@ NS ns1.sink.example.
@ NS ns2.sink.example.
@ A 192.0.2.80
@ AAAA 2001:db8::80
@ MX 0 .
@ TXT "v=spf1 -all"
@ TXT "This name was seized by order of a court. CSIRT, +1 555 0199"
* A 192.0.2.80
* AAAA 2001:db8::80
* MX 0 .
* TXT "v=spf1 -all"
* TXT "This name was seized by order of a court. CSIRT, +1 555 0199"
`

func need(bin string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if p, err := exec.LookPath(dir + bin); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("no %s here: sudo sh tools/bench-peers.sh", bin)
}

func write(dir, name, text string) (string, error) {
	p := filepath.Join(dir, name)
	return p, os.WriteFile(p, []byte(text), 0o600)
}

// ours starts our sensor. seal says that journals are small enough to be sealed
// while it serves.
func (b *bench) ours(names []string, seal bool, schemes ...string) (*server, error) {
	return b.oursAt(&server{name: "impound", addr: freePort()}, "", names, seal, schemes...)
}

// oursAt is ours for an address, or an interface instead of it.
func (b *bench) oursAt(s *server, at string, names []string, seal bool, schemes ...string) (*server, error) {
	dir, err := os.MkdirTemp(b.dir, "ours-")
	if err != nil {
		return nil, err
	}
	bundle, err := b.bundle(names)
	if err != nil {
		return nil, err
	}
	s.spool = filepath.Join(dir, "spool")
	if at == "" {
		at = s.addr
	}
	segment := 1 << 20 // KB: one journal for the whole run
	if seal {
		segment = 8192
	}
	var listen []string
	for _, scheme := range schemes {
		listen = append(listen, scheme+"://"+at)
	}
	// The limits by source are off, since all load comes from one address.
	conf, err := json.Marshal(map[string]any{
		"role":    "sensor",
		"control": map[string]any{"hub_key": impound.NewPublicKey(hubKey.Public().(ed25519.PublicKey)), "policy_file": bundle},
		"sinkhole": map[string]any{
			"sensor": "bench", "listen": listen, "contact": "CSIRT, +1 555 0199", "segment_kb": segment, "max_spool_mb": 16 << 10,
			"limits": map[string]any{"dns_per_second": -1, "conns": -1, "conns_per_source": -1, "idle_timeout": "5m"},
		},
	})
	if err != nil {
		return nil, err
	}
	if _, err := write(dir, "impound.yaml", string(conf)); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
		return nil, err
	}
	if _, err := write(dir, "keys/lure.key", "0123456789abcdef0123456789abcdef"); err != nil { // of no secret
		return nil, err
	}
	if err := s.start(b.impound, "--state", dir, "serve", "--role", "sensor"); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(schemes[0], "dns") {
		return s, s.waitTCP(20 * time.Second)
	}
	return s, s.waitDNS(names[len(names)-1], 60*time.Second)
}

func (b *bench) bundle(names []string) (string, error) {
	p := filepath.Join(b.dir, fmt.Sprintf("bundle-%d", len(names)))
	if _, err := os.Stat(p); err == nil {
		return p, nil
	}
	return p, writeBundle(p, names)
}

// collector takes dnstap frames from a socket into a file, as an operator of
// such a server would.
func (s *server) collector(dir string) (sock string, err error) {
	bin, err := need("fstrm_capture")
	if err != nil {
		return "", err
	}
	sock = filepath.Join(dir, "dnstap.sock")
	if err := s.start(bin, "-t", "protobuf:dnstap.Dnstap", "-u", sock, "-w", filepath.Join(dir, "dnstap.fstrm")); err != nil {
		return "", err
	}
	for range 200 {
		if _, err := os.Stat(sock); err == nil {
			return sock, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "", fmt.Errorf("fstrm_capture does not listen: %s", tail(s.out.String()))
}

// peer starts another name server for the same names.
func (b *bench) peer(kind string, names []string, tap bool) (*server, error) {
	return b.peerAt(&server{addr: freePort()}, "", kind, names, tap)
}

// peerAt is peer for an address and, for Knot, an interface for AF_XDP.
func (b *bench) peerAt(s *server, iface, kind string, names []string, tap bool) (*server, error) {
	dir, err := os.MkdirTemp(b.dir, kind+"-")
	if err != nil {
		return nil, err
	}
	s.name = kind
	if iface != "" {
		s.name += " XDP"
	}
	if tap {
		s.name += "+dnstap"
	}
	host, port, _ := net.SplitHostPort(s.addr)
	zone, err := write(dir, "zone", zoneText)
	if err != nil {
		return nil, err
	}
	var sock string
	if tap {
		if sock, err = s.collector(dir); err != nil {
			return nil, err
		}
	}
	var c strings.Builder
	var bin string
	var args []string
	switch kind {
	case "knot":
		bin, err = need("knotd")
		fmt.Fprintf(&c, "server:\n  rundir: %q\n  listen: %s@%s\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: %q\nlog:\n  - target: stderr\n    any: error\n", dir, host, port, dir)
		if iface != "" {
			fmt.Fprintf(&c, "xdp:\n  listen: %s@%s\n", iface, port)
		}
		if tap {
			fmt.Fprintf(&c, "mod-dnstap:\n  - id: t\n    sink: \"unix:%s\"\n    log-responses: off\n", sock)
		}
		fmt.Fprintf(&c, "template:\n  - id: default\n    storage: %q\n    file: %q\n    zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none\n    semantic-checks: off\n", dir, zone)
		if tap {
			c.WriteString("    global-module: mod-dnstap/t\n")
		}
		c.WriteString("zone:\n")
		for _, n := range names {
			c.WriteString("  - domain: " + n + "\n")
		}
		args = []string{"-c", filepath.Join(dir, "conf")}
	case "nsd":
		bin, err = need("nsd")
		fmt.Fprintf(&c, "server:\n  ip-address: %s@%s\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  zonesdir: %q\n  database: \"\"\n  pidfile: %q\n  xfrdfile: %q\n  zonelistfile: %q\n  minimal-responses: yes\n  rrl-ratelimit: 0\n  verbosity: 0\nremote-control:\n  control-enable: no\n",
			host, port, dir, filepath.Join(dir, "pid"), filepath.Join(dir, "xfrd"), filepath.Join(dir, "zonelist"))
		if tap {
			fmt.Fprintf(&c, "dnstap:\n  dnstap-enable: yes\n  dnstap-socket-path: %q\n  dnstap-log-auth-query-messages: yes\n", sock)
		}
		for _, n := range names {
			fmt.Fprintf(&c, "zone:\n  name: %s\n  zonefile: %q\n", n, zone)
		}
		args = []string{"-d", "-c", filepath.Join(dir, "conf")}
	case "bind":
		bin, err = need("named")
		fmt.Fprintf(&c, "options { directory %q; listen-on port %s { %s; }; listen-on-v6 { none; }; recursion no; allow-query { any; }; minimal-responses yes; notify no; pid-file none; session-keyfile none; check-integrity no; max-cache-size 16m; ", dir, port, host)
		if tap {
			fmt.Fprintf(&c, "dnstap { auth query; }; dnstap-output unix %q; ", sock)
		}
		c.WriteString("};\ncontrols {};\nlogging { category default { null; }; };\n")
		for _, n := range names {
			fmt.Fprintf(&c, "zone %q { type primary; file %q; };\n", n, zone)
		}
		args = []string{"-f", "-n", "1", "-c", filepath.Join(dir, "conf")}
	case "coredns":
		bin = os.Getenv("COREDNS")
		if bin == "" {
			cache := os.Getenv("XDG_CACHE_HOME")
			if cache == "" {
				home, _ := os.UserHomeDir()
				cache = filepath.Join(home, ".cache")
			}
			bin = filepath.Join(cache, "impound-bench", "coredns")
		}
		if _, err = os.Stat(bin); err != nil {
			return nil, fmt.Errorf("no CoreDNS here: sh tools/bench-peers.sh: %w", err)
		}
		fmt.Fprintf(&c, "%s {\n  bind %s\n", strings.Join(portOf(names, port), " "), host)
		if tap {
			fmt.Fprintf(&c, "  dnstap unix://%s full\n", sock)
		}
		for _, t := range [][2]string{
			{"A", `answer "{{ .Name }} 300 IN A 192.0.2.80"`}, {"AAAA", `answer "{{ .Name }} 300 IN AAAA 2001:db8::80"`}, {"MX", `answer "{{ .Name }} 300 IN MX 0 ."`},
			{"TXT", "answer \"{{ .Name }} 300 IN TXT \\\"v=spf1 -all\\\"\"\n    answer \"{{ .Name }} 300 IN TXT \\\"This name was seized by order of a court. CSIRT, +1 555 0199\\\"\""},
			{"NS", "answer \"{{ .Name }} 300 IN NS ns1.sink.example.\"\n    answer \"{{ .Name }} 300 IN NS ns2.sink.example.\""},
			{"SOA", `answer "{{ .Name }} 300 IN SOA ns1.sink.example. hostmaster.sink.example. 1 3600 600 86400 300"`},
		} {
			fmt.Fprintf(&c, "  template IN %s . {\n    %s\n  }\n", t[0], t[1])
		}
		c.WriteString("}\n")
		args = []string{"-conf", filepath.Join(dir, "conf"), "-quiet"}
	default:
		err = fmt.Errorf("no peer %q", kind)
	}
	if err != nil {
		s.kill()
		return nil, err
	}
	if _, err := write(dir, "conf", c.String()); err != nil {
		return nil, err
	}
	if err := s.start(bin, args...); err != nil {
		return nil, err
	}
	if err := s.waitDNS(names[len(names)-1], 3*time.Minute); err != nil {
		s.kill()
		return nil, err
	}
	if tap {
		time.Sleep(time.Second) // it connects to the collector on its own time
	}
	return s, nil
}

func portOf(names []string, port string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n + ":" + port
	}
	return out
}

// nginx starts one worker with our page, our headers and a buffered access log;
// with TLS, with a server block and a certificate for each name. deferred has it
// accept connections when something was said, as we do.
func (b *bench) nginx(names []string, page []byte, head string, secure, deferred bool) (*server, error) {
	bin, err := need("nginx")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "nginx-")
	if err != nil {
		return nil, err
	}
	s := &server{name: "nginx", addr: freePort()}
	if err := os.WriteFile(filepath.Join(dir, "index.html"), page, 0o644); err != nil {
		return nil, err
	}
	os.Chmod(dir, 0o755)
	os.Chmod(b.dir, 0o755)
	var c strings.Builder
	fmt.Fprintf(&c, `daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 60000; error_log stderr crit; pid %[1]s/pid;
events { worker_connections 50000; multi_accept on; accept_mutex off; }
http {
  access_log %[1]s/access.log combined buffer=64k flush=1s;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  sendfile on; tcp_nopush on; tcp_nodelay on; etag off; server_tokens off;
  keepalive_requests 100000000; keepalive_timeout 300s;
  open_file_cache max=100 inactive=300s; open_file_cache_valid 300s;
  ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off; ssl_ecdh_curve X25519;
  server_names_hash_max_size 8192; server_names_hash_bucket_size 128;
  types { text/html html; } default_type text/html;
`, dir)
	listen := "listen " + s.addr + " backlog=4096"
	if deferred {
		listen += " deferred"
	}
	body := fmt.Sprintf("root %s; %s location / { try_files /index.html =404; }", dir, head)
	if !secure {
		fmt.Fprintf(&c, "server { %s default_server; %s }\n", listen, body)
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, err
		}
		if _, err := write(dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))); err != nil {
			return nil, err
		}
		for i, n := range names {
			tmpl := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: n, Organization: []string{"Sinkhole of a seized name"}}, DNSNames: []string{n}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
			crt, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
			if err != nil {
				return nil, err
			}
			if _, err := write(dir, n+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: crt}))); err != nil {
				return nil, err
			}
			l := "listen " + s.addr
			if i == 0 {
				l = listen
			}
			fmt.Fprintf(&c, "server { %s ssl; server_name %s; ssl_certificate %s/%s.pem; ssl_certificate_key %s/key.pem; %s }\n", l, n, dir, n, dir, body)
		}
	}
	c.WriteString("}\n")
	conf, err := write(dir, "conf", c.String())
	if err != nil {
		return nil, err
	}
	if err := s.start(bin, "-p", dir, "-c", conf); err != nil {
		return nil, err
	}
	return s, s.waitTCP(20 * time.Second)
}
