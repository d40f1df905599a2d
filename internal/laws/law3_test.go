package laws

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	"filippo.io/age"
	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/spool"
)

// secrets gives the word that stands for the secret of one place. It looks like
// a plain word on purpose: what tells tokens by their look would let it through.
type secrets struct {
	mu     sync.Mutex
	places map[string]bool
}

func (s *secrets) of(place string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.places == nil {
		s.places = map[string]bool{}
	}
	s.places[place] = true
	return "xq" + place + "zj"
}

// spellings are the ways in which a word could stand in a file.
func spellings(word string) map[string][]byte {
	out := map[string][]byte{"plain": []byte(word), "hex": []byte(hex.EncodeToString([]byte(word)))}
	var pct bytes.Buffer
	for i := range len(word) {
		fmt.Fprintf(&pct, "%%%02x", word[i])
	}
	out["percent"] = pct.Bytes()
	for shift := range 3 {
		b := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), word...))
		out[fmt.Sprintf("base64+%d", shift)] = []byte(b[(shift*8+5)/6 : len(b)-2])
	}
	var le, be bytes.Buffer
	for _, u := range utf16.Encode([]rune(word)) {
		le.Write([]byte{byte(u), byte(u >> 8)})
		be.Write([]byte{byte(u >> 8), byte(u)})
	}
	out["utf-16le"], out["utf-16be"] = le.Bytes(), be.Bytes()
	out["backwards"] = reversed(word)
	return out
}

func reversed(s string) []byte {
	b := []byte(s)
	slices.Reverse(b)
	return b
}

// search says which secrets stand in data, in which spelling. Letters' case
// doesn't matter, except in base64.
func (s *secrets) search(data []byte) []string {
	low := bytes.ToLower(data)
	s.mu.Lock()
	places := slices.Sorted(maps.Keys(s.places))
	s.mu.Unlock()
	var out []string
	for _, place := range places {
		for how, b := range spellings(s.of(place)) {
			in, what := low, bytes.ToLower(b)
			if strings.HasPrefix(how, "base64") {
				in, what = data, b
			}
			if n := bytes.Count(in, what); n > 0 {
				out = append(out, fmt.Sprintf("%s (%s, %d times)", place, how, n))
			}
		}
	}
	slices.Sort(out)
	return out
}

// talk says something on a connection, reads what comes back, and hangs up.
func talk(dial func() (net.Conn, error), words string) {
	c, err := dial()
	if err != nil {
		return // a name without a certificate, or the server was killed
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c, words)
	_, _ = io.Copy(io.Discard, c)
}

// pour sends secrets to every listener in every way, once.
func (s *secrets) pour(addrs map[string]string, names []impound.Name) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, 24)
	talk := func(dial func() (net.Conn, error), words string) {
		slots <- struct{}{}
		wg.Go(func() {
			talk(dial, words)
			<-slots
		})
	}
	b64 := func(x string) string { return base64.StdEncoding.EncodeToString([]byte(x)) }
	for _, n := range names {
		h := n.String()
		plain := func() (net.Conn, error) { return net.DialTimeout("tcp", addrs["http"], time.Second) }
		secure := func() (net.Conn, error) {
			return tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", addrs["https"], &tls.Config{InsecureSkipVerify: true, ServerName: h})
		}
		head := "Host: " + h + "\r\nUser-Agent: Mozilla/5.0 " + s.of("agentmail") + "@victim.example\r\nCookie: session=" + s.of("cookie") + "; " + s.of("cookiename") + "=1\r\n" +
			"Authorization: Basic " + b64("someone:"+s.of("basic")) + "\r\nProxy-Authorization: Basic " + b64("x:"+s.of("proxybasic")) + "\r\n" +
			"X-Api-Key: " + s.of("apikey") + "\r\nX-Forwarded-For: " + s.of("forwarded") + "\r\nFrom: " + s.of("fromheader") + "@victim.example\r\nAccept-Language: en," + s.of("language") + "\r\n" +
			"Referer: https://" + s.of("refuser") + ":" + s.of("refpass") + "@mail.example/" + s.of("refpath") + "/" + s.of("refmail") + "@victim.example?token=" + s.of("refquery") + "#" + s.of("reffrag") + "\r\n"
		body := func(extra, b string) string {
			return head + extra + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(b), b)
		}
		form := "user=" + s.of("formuser") + "&email=" + s.of("formmail") + "%40victim.example&password=" + s.of("formpass")
		multi := "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n" + s.of("multipass") + "\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"" + s.of("multifile") + "\"\r\n\r\n" + strings.Repeat(s.of("multibody"), 900) + "\r\n--b--\r\n"
		mail := s.of("pathmail") + "@victim.example"
		for _, q := range []string{
			"POST /owa/auth/logon.aspx HTTP/1.1\r\n" + body("Content-Type: application/x-www-form-urlencoded\r\n", form),
			"PUT /api/login HTTP/1.1\r\n" + body("Content-Type: application/json\r\n", `{"password":"`+s.of("jsonpass")+`"}`),
			"POST /up HTTP/1.1\r\n" + body("Content-Type: multipart/form-data; boundary=b\r\n", multi),
			"POST /c HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\nX-T: %s\r\n\r\n", len(s.of("chunkpass")), s.of("chunkpass"), s.of("trailer")),
			"POST /e HTTP/1.1\r\n" + body("Expect: 100-continue\r\n", "password="+s.of("expectpass")),
			"GET /r?password=" + s.of("querypass") + "&" + s.of("querykey") + "=1&mail=" + s.of("querymail") + "@victim.example&m64=" + url.QueryEscape(b64(s.of("querymailb")+"@victim.example")) + " HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n",
			"GET /r?" + s.of("queryraw") + " HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n",
			"GET /a/" + mail + "/" + url.QueryEscape(mail) + "/" + url.QueryEscape(url.QueryEscape(mail)) + "/" + b64(mail) + "/" + hex.EncodeToString([]byte(mail)) + "/x;jsessionid=" + s.of("pathparam") + " HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n",
			"GET http://" + s.of("urluser") + ":" + s.of("urlpass") + "@" + h + "/ HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: " + s.of("hostuser") + ":" + s.of("hostpass") + "@" + h + "\r\nConnection: close\r\n\r\n",
			"GET /#" + s.of("fragment") + " HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n",
			s.of("method") + " / HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n",
			"CONNECT " + s.of("connectuser") + ":" + s.of("connectpass") + "@" + h + ":443 HTTP/1.1\r\n" + head + "\r\n",
			"GET / HTTP/1.1\r\nHost: " + h + "\r\nX: " + s.of("badheader") + "\x00\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: " + h + "\r\nX: " + strings.Repeat(s.of("hugeheader"), 4000) + "\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: " + h + "\r\n\r\nPOST / HTTP/1.1\r\n" + body("", "p="+s.of("pipelined")),
			s.of("noise") + "\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: " + h + "\r\nCookie: " + s.of("cutoff"),
		} {
			talk(plain, q)
			talk(secure, q)
		}
		// HTTP/2, as browsers speak it.
		tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addrs["https"])
		}}
		q, err := http.NewRequest("POST", "https://"+h+"/login?password="+s.of("h2query"), strings.NewReader("password="+s.of("h2form")))
		if err == nil {
			q.Header.Set("Cookie", "s="+s.of("h2cookie"))
			q.SetBasicAuth("someone", s.of("h2basic"))
			if p, err := (&http.Client{Transport: tr, Timeout: 2 * time.Second}).Do(q); err == nil {
				p.Body.Close()
			}
		}
		tr.CloseIdleConnections()
		smtp := func() (net.Conn, error) { return net.DialTimeout("tcp", addrs["smtp"], time.Second) }
		for _, q := range []string{
			"EHLO " + s.of("ehlomail") + "@client.example\r\nMAIL FROM:<" + s.of("fromlocal") + "@sender.example> SIZE=9 AUTH=<" + s.of("authparam") + ">\r\nRCPT TO:<" + s.of("rcptlocal") + "@" + h + ">\r\nDATA\r\nSubject: " + s.of("subject") + "\r\nFrom: " + s.of("mailfrom") + "@x.example\r\n\r\n" + s.of("mailbody") + "\r\n.\r\nQUIT\r\n",
			"EHLO c.example\r\nAUTH PLAIN " + b64("\x00bob\x00"+s.of("authplain")) + "\r\n",
			"EHLO c.example\r\nAUTH LOGIN\r\n" + b64(s.of("loginuser")) + "\r\n" + b64(s.of("loginpass")) + "\r\n",
			"EHLO c.example\r\nMAIL FROM:<\"" + s.of("quotedlocal") + " x\"@b.example>\r\nRCPT TO:<@relay.example:" + s.of("routelocal") + "@" + h + ">\r\nBDAT 99 LAST\r\n" + s.of("bdat") + "\r\n",
			s.of("smtpnoise") + "\r\nVRFY " + s.of("vrfy") + "@" + h + "\r\nEXPN " + s.of("expn") + "\r\nHELP " + s.of("help") + "\r\nQUIT\r\n",
			strings.Repeat(s.of("longline"), 500) + "\r\n",
		} {
			talk(smtp, q)
		}
		// Within TLS, after something was slipped in before it.
		talk(func() (net.Conn, error) {
			c, err := smtp()
			if err != nil {
				return nil, err
			}
			_ = c.SetDeadline(time.Now().Add(time.Second))
			fmt.Fprintf(c, "EHLO a.example\r\nSTARTTLS\r\nMAIL FROM:<%s@a.example>\r\n", s.of("slipped"))
			buf := make([]byte, 4096)
			for got := ""; !strings.Contains(got, "220 2.0.0"); {
				n, err := c.Read(buf)
				if err != nil {
					c.Close()
					return nil, err
				}
				got += string(buf[:n])
			}
			sc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: h})
			if err := sc.Handshake(); err != nil {
				c.Close()
				return nil, err
			}
			return sc, nil
		}, "EHLO "+s.of("tlsehlo")+"@c.example\r\nMAIL FROM:<"+s.of("tlsfrom")+"@sender.example>\r\nRCPT TO:<\""+s.of("tlsrcpt")+" x\"@"+h+">\r\nAUTH PLAIN "+b64("\x00bob\x00"+s.of("tlsauth"))+"\r\n")
	}
	talk(func() (net.Conn, error) { return net.Dial("udp", addrs["udp"]) }, s.of("udpblob")+"\x00"+s.of("udpmore"))
	talk(func() (net.Conn, error) {
		return tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", addrs["dns+tls"], &tls.Config{InsecureSkipVerify: true})
	}, "\x00\x40"+s.of("dot")+strings.Repeat("x", 60))
	tcp := func(scheme string) func() (net.Conn, error) {
		return func() (net.Conn, error) { return net.DialTimeout("tcp", addrs[scheme], time.Second) }
	}
	talk(tcp("tcp"), s.of("tcpblob")+"\x00"+s.of("tcpmore"))
	talk(tcp("tcp"), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"+s.of("tcphttp"))
	talk(tcp("https"), s.of("notls")+"\r\n\r\n")
	talk(tcp("dns"), "\x00\x40"+s.of("dnstcp")+strings.Repeat("x", 60))
	if c, err := net.Dial("udp", addrs["dns"]); err == nil {
		_, _ = io.WriteString(c, s.of("dnsudp")+strings.Repeat("x", 40))
		m := new(dns.Msg).SetQuestion(names[0].FQDN(), dns.TypeA)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte(s.of("ednslocal"))}, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString([]byte(s.of("cookieopt"))[:8])})
		if b, err := m.Pack(); err == nil {
			_, _ = c.Write(b)
		}
		c.Close()
	}
	// The pages take nothing, but somebody may send it all the same.
	for _, q := range []string{"POST /cases HTTP/1.1\r\n", "GET /cases?password=" + s.of("pagequery") + " HTTP/1.1\r\n", "GET /api/v1/contacts?" + s.of("pagekey") + "=1 HTTP/1.1\r\n"} {
		b := "password=" + s.of("pageform")
		talk(tcp("web"), q+"Host: "+addrs["web"]+"\r\nCookie: s="+s.of("pagecookie")+"\r\nAuthorization: Basic "+b64("x:"+s.of("pagebasic"))+fmt.Sprintf("\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(b), b))
	}
}

// Law 3: secrets are posted at every listener; the process is killed while they
// come, so that it would dump its core where it could; and no trace of them
// stands in any file of the state folder, in what it printed, or in a core.
func TestLaw3NoSecretIsKept(t *testing.T) {
	w := newWorld(t)
	id, err := age.GenerateX25519Identity()
	must(t, err)
	w.cfg.Sinkhole.SealTo = []string{id.Recipient().String()}
	w.writeConfig(t)
	s := w.open(t)
	now := time.Now()
	for i, o := range []terms{
		{id: "O-LURE", names: []impound.Name{live}, capture: impound.CaptureLure}, {id: "O-CONTACT", names: []impound.Name{unlisted}, capture: impound.CaptureContact},
		{id: "O-COUNT", names: []impound.Name{spare}, capture: impound.CaptureCount},
	} {
		o.from, o.until = now.Add(-time.Minute), now.Add(time.Duration(i+1)*time.Hour)
		w.file(t, s, o)
	}
	must(t, s.Close())

	// Does this machine write cores at all?
	dir := t.TempDir()
	control := exec.Command(os.Args[0])
	control.Dir, control.Env = dir, append(os.Environ(), "IMPOUND_TEST_LAWS=abort", "GOTRACEBACK=crash")
	_ = control.Run()
	canDump := len(cores(t, dir)) > 0
	if !canDump {
		pattern, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
		t.Logf("this machine writes no core here (core_pattern %q), so none can be searched", strings.TrimSpace(string(pattern)))
	}

	dir = t.TempDir()
	var sec secrets
	names := []impound.Name{live, unlisted, spare, foreign}
	for _, sig := range []os.Signal{syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGKILL} {
		c := w.startChild(t, dir)
		limits := mustRead(t, fmt.Sprintf("/proc/%d/limits", c.cmd.Process.Pid))
		if !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
			t.Errorf("a core may be written:\n%s", limits)
		}
		// Once to the end, so that all of it went the whole way ...
		if sig == syscall.SIGABRT {
			sec.pour(c.addrs, names)
			w.caughtUp(t)
		}
		// ... and again, to be killed in the middle.
		var stop atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			for !stop.Load() {
				sec.pour(c.addrs, names[:1])
			}
		}()
		time.Sleep(150 * time.Millisecond) // where it strikes doesn't matter
		c.die(t, sig)
		stop.Store(true)
		<-done
	}
	dumps := cores(t, dir)
	if len(dumps) > 0 {
		t.Errorf("it left core dumps: %d", len(dumps))
	}
	look := func(root string) {
		must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, hit := range sec.search(b) {
				t.Errorf("%s holds %s", path, hit)
			}
			return nil
		}))
	}
	look(w.state)
	look(dir)

	// What is compressed must be read to be searched: have every journal sealed.
	events := w.seal(t)
	seen := map[impound.Proto]map[impound.CaptureLevel]int{}
	var opened bytes.Buffer
	for _, e := range events {
		if seen[e.Proto] == nil {
			seen[e.Proto] = map[impound.CaptureLevel]int{}
		}
		seen[e.Proto][e.Capture]++
		if e.Lure != "" {
			raw, err := base64.StdEncoding.DecodeString(e.Lure)
			must(t, err)
			r, err := age.Decrypt(bytes.NewReader(raw), id)
			must(t, err)
			_, err = io.Copy(&opened, r)
			must(t, err)
			opened.WriteByte('\n')
		}
	}
	for _, hit := range sec.search(fmt.Appendf(nil, "%+v", events)) {
		t.Errorf("the events hold %s", hit)
	}
	// The notification team's letter holds the lure's token, which may name the
	// victim, and nothing else.
	for _, hit := range sec.search(opened.Bytes()) {
		if !strings.HasPrefix(hit, "pathmail ") {
			t.Errorf("what is sealed to the notification team holds %s", hit)
		}
	}
	if opened.Len() == 0 {
		t.Error("nothing was sealed: the test does not reach level lure")
	}
	for _, p := range []impound.Proto{impound.ProtoDNS, impound.ProtoDNST, impound.ProtoHTTP, impound.ProtoTLS, impound.ProtoSMTP, impound.ProtoTCP, impound.ProtoUDP, impound.ProtoDoT} {
		if len(seen[p]) == 0 {
			t.Errorf("no event of %s: the test does not reach that listener", p)
		}
	}
	if n := seen[impound.ProtoHTTP]; n[impound.CaptureLure] == 0 || n[impound.CaptureContact] == 0 || n[impound.CaptureCount] == 0 {
		t.Errorf("events of HTTP by level: %v", n)
	}
}

// caughtUp waits until telemetry has every contact of the spool.
func (w *world) caughtUp(t testing.TB) {
	t.Helper()
	eventually(t, "telemetry to take the contacts", func() bool {
		s := w.open(t)
		defer s.Close()
		r, err := spool.OpenReader(filepath.Join(w.state, "spool"))
		must(t, err)
		defer r.Close()
		cur, err := s.Telemetry.Cursor(t.Context(), w.cfg.Sinkhole.Sensor)
		must(t, err)
		evs, err := r.Read(cur, 1)
		must(t, err)
		return cur > 0 && len(evs) == 0
	})
}

// seal has the spool seal what it holds, and gives all of it, read back.
func (w *world) seal(t testing.TB) []impound.Event {
	t.Helper()
	sp, err := spool.Open(filepath.Join(w.state, "spool"), spool.Options{Sensor: w.cfg.Sinkhole.Sensor, SegmentBytes: 64 << 10})
	must(t, err)
	defer sp.Close()
	filler := impound.Event{At: time.Now(), Proto: impound.ProtoDNS, Name: "filler.example", Capture: impound.CaptureCount, Outcome: "refused"}
	for range 4000 {
		e := filler
		must(t, sp.Append(&e))
	}
	must(t, sp.Sync())
	eventually(t, "a segment to be sealed", func() bool { return sp.Stats().Sealed > 0 })
	evs, err := sp.Read(0, 1<<20)
	must(t, err)
	return evs
}
