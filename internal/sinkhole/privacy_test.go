package sinkhole

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/spool"
)

// Law 3: whatever a victim or the actor sends, at whatever level, no secret of
// it stands in a file or in the log afterwards, in no spelling.
func TestNoSecretIsKept(t *testing.T) {
	dir := t.TempDir()
	sp, err := spool.Open(dir, spool.Options{Sensor: "s1", SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	r := start(t, usual(t), func(c *Config) {
		c.Recorder = sp
		c.Listeners = append(everyListener[:len(everyListener):len(everyListener)], "dns+tls://127.0.0.1:0", "udp://127.0.0.1:0")
		c.Recipients = []age.Recipient{id.Recipient()}
		c.Log = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Limits.HeadTimeout = 300 * time.Millisecond
	})
	secrets := []string{"S3cretPassw0rd", "c00kieValueXYZ", "bearerTokenQRS", "queryvalue99zz", "formfield77yy", "mailbodyline55", "localpart33xx", "authcred11ww", "pathtoken.Victim22", "tcpbytes88vv", "agentmail44uu", "udpbytes55tt", "h2formvalue66ss", "slippedin77rr", "tlslocal88qq"}
	udp, h2form, slipped, tlsLocal := secrets[11], secrets[12], secrets[13], secrets[14]
	pw, cookie, bearer, query, form, body, local, cred, tok, tcp, agent := secrets[0], secrets[1], secrets[2], secrets[3], secrets[4], secrets[5], secrets[6], secrets[7], secrets[8], secrets[9], secrets[10]
	h2 := 0
	hosts := []string{"outlook-verify.net", "count-only.net", "lure-level.net", "example.org"}
	rawNoWait := func(conn func() (net.Conn, error), send string) {
		t.Helper()
		c, err := conn()
		if err != nil {
			return // a name that gets no certificate
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(700 * time.Millisecond))
		c.Write([]byte(send))
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	}
	for _, h := range hosts {
		plain := func() (net.Conn, error) { return net.Dial("tcp", r.addr("http")) }
		secure := func() (net.Conn, error) {
			return tls.Dial("tcp", r.addr("https"), &tls.Config{InsecureSkipVerify: true, ServerName: h})
		}
		head := "Host: " + h + "\r\nCookie: sid=" + cookie + "\r\nAuthorization: Bearer " + bearer + "\r\nProxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+pw)) +
			"\r\nUser-Agent: bot " + agent + "@victim.example\r\nReferer: https://r.example/" + query + "?q=" + query + "\r\nX-Forwarded-For: " + query + "\r\n"
		formBody := "user=" + form + "&pass=" + pw
		reqs := []string{
			"POST /login?token=" + query + "&password=" + pw + " HTTP/1.1\r\n" + head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(formBody), formBody),
			"POST /login HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(formBody), formBody),
			"POST /login HTTP/1.1\r\n" + head + fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", len(formBody), formBody),
			"GET /x/" + tok + "@victim.example/" + base64.URLEncoding.EncodeToString([]byte(tok+"@victim.example")) + "/" + hex.EncodeToString([]byte(tok+"@victim.example")) + "/" + url.PathEscape(tok+"@v.example") + "?e=" + query + " HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n",
			pw + " /" + " HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n",
			"GET http://" + form + ":" + pw + "@" + h + "/?" + query + " HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: " + form + ":" + pw + "@" + h + "\r\nConnection: close\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: " + h + "\r\nX: " + pw + "\x00\r\n\r\n",
			body + "\r\n" + pw + "\r\n\r\n",
		}
		for _, q := range reqs {
			rawNoWait(plain, q)
			rawNoWait(secure, q)
		}
		smtp := func() (net.Conn, error) { return net.Dial("tcp", r.addr("smtp")) }
		for _, q := range []string{
			"EHLO " + local + "@x\r\nMAIL FROM:<" + local + "@sender.example>\r\nRCPT TO:<" + local + "@" + h + ">\r\nDATA\r\nSubject: " + body + "\r\n\r\n" + body + "\r\n.\r\nQUIT\r\n",
			"EHLO a.example\r\nAUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00bob\x00"+cred)) + "\r\n",
			"EHLO a.example\r\nAUTH LOGIN\r\n" + base64.StdEncoding.EncodeToString([]byte(cred)) + "\r\n" + base64.StdEncoding.EncodeToString([]byte(pw)) + "\r\n",
			"EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nBDAT 99 LAST\r\n" + body + "\r\nMAIL FROM:<x@" + body + ".example>\r\nRCPT TO:<x@" + h + ">\r\n",
			body + "\r\n" + pw + "\r\nVRFY " + local + "\r\nQUIT\r\n",
		} {
			rawNoWait(smtp, q)
		}
		// Within TLS, after something was slipped in before it.
		rawNoWait(func() (net.Conn, error) {
			c, err := net.Dial("tcp", r.addr("smtp"))
			if err != nil {
				return nil, err
			}
			c.SetDeadline(time.Now().Add(700 * time.Millisecond))
			fmt.Fprintf(c, "EHLO a.example\r\nSTARTTLS\r\nMAIL FROM:<%s@%s.example>\r\n", slipped, slipped)
			buf := make([]byte, 4096)
			for got := ""; !strings.Contains(got, "220 2.0.0"); {
				n, err := c.Read(buf)
				if err != nil {
					return nil, err
				}
				got += string(buf[:n])
			}
			sc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: h})
			return sc, sc.Handshake()
		}, "EHLO "+tlsLocal+"@x\r\nMAIL FROM:<\""+tlsLocal+" x\"@sender.example>\r\nRCPT TO:<@r.example:"+tlsLocal+"@"+h+">\r\nAUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00bob\x00"+cred))+"\r\n")
		// HTTP/2, as browsers speak it.
		tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(ctx context.Context, n, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, n, r.addr("https"))
		}}
		q := must(http.NewRequest("POST", "https://"+h+"/login?password="+query, strings.NewReader("pass="+h2form)))
		q.Header.Set("Cookie", "sid="+cookie)
		q.SetBasicAuth("u", pw)
		if p, err := (&http.Client{Transport: tr, Timeout: 2 * time.Second}).Do(q); err == nil {
			p.Body.Close()
			if p.ProtoMajor == 2 {
				h2++
			}
		}
		tr.CloseIdleConnections()
		rawNoWait(func() (net.Conn, error) { return net.Dial("tcp", r.addr("tcp")) }, tcp+" "+pw)
	}
	if c, err := net.Dial("udp", r.addr("udp")); err == nil {
		io.WriteString(c, udp+" "+pw)
		c.Close()
	}
	dot := func() (net.Conn, error) {
		return tls.Dial("tcp", r.addr("dns+tls"), &tls.Config{InsecureSkipVerify: true})
	}
	rawNoWait(dot, "\x00\x40"+body+pw+strings.Repeat("x", 60))
	rawNoWait(func() (net.Conn, error) { return net.Dial("tcp", r.addr("dns+tls")) }, body+pw+"\r\n\r\n")
	rawNoWait(func() (net.Conn, error) { return net.Dial("tcp", r.addr("https")) }, body+pw+"\r\n\r\n")
	rawNoWait(func() (net.Conn, error) { return net.Dial("tcp", r.addr("dns")) }, "\x00\x40"+body+pw+strings.Repeat("x", 60))

	events, err := sp.Read(0, 10000)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) < len(hosts)*14 {
		t.Fatalf("only %d events: the test did not reach the listeners", len(events))
	}
	protos := map[impound.Proto]bool{}
	sealed, hashed, inTLS := 0, 0, 0
	for _, e := range events {
		if e.Proto == impound.ProtoSMTP && e.RcptHash != "" {
			hashed++
			if e.Capture != impound.CaptureLure {
				t.Errorf("a mailbox's hash at level %s", e.Capture)
			}
		}
		if e.Proto == impound.ProtoSMTP && e.SNI != "" && e.FromDomain == "sender.example" {
			inTLS++
		}
		protos[e.Proto] = true
		if e.Lure != "" {
			sealed++
		}
	}
	for _, p := range []impound.Proto{impound.ProtoHTTP, impound.ProtoTLS, impound.ProtoSMTP, impound.ProtoTCP, impound.ProtoDNST, impound.ProtoDoT, impound.ProtoUDP} {
		if !protos[p] {
			t.Errorf("no event of %s: the test did not reach that listener", p)
		}
	}
	if sealed == 0 {
		t.Error("nothing was sealed: the test does not reach level lure")
	}
	if hashed == 0 || inTLS == 0 || h2 == 0 {
		t.Errorf("%d mailboxes hashed, %d mails within TLS, %d answers over HTTP/2: the test does not reach them", hashed, inTLS, h2)
	}
	// Force sealing, so that Parquet is looked at as well.
	filler := events[0]
	for i := 0; i < 2000; i++ {
		e := filler
		if err := sp.Append(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := sp.Sync(); err != nil {
		t.Fatal(err)
	}
	for i := 0; sp.Stats().Sealed == 0 && i < 1000; i++ {
		time.Sleep(5 * time.Millisecond)
	}
	if sp.Stats().Sealed == 0 {
		t.Fatal("no segment was sealed")
	}
	readBack, err := sp.Read(0, 10000)
	if err != nil {
		t.Fatal(err)
	}
	// Parquet is compressed: look at what it holds, too.
	look := map[string][]byte{"log": logged.Bytes(), "events": fmt.Appendf(nil, "%+v", readBack)}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if b, err := os.ReadFile(path); err == nil {
				look[filepath.Base(path)] = b
			}
		}
		return nil
	})
	for where, b := range look {
		low := bytes.ToLower(b)
		for _, s := range secrets {
			for _, form := range spellings(s) {
				if bytes.Contains(low, []byte(strings.ToLower(form))) {
					t.Errorf("%s holds %q, as %q", where, s, form)
				}
			}
		}
	}
}

// spellings of a secret: as it is, escaped, in hex, and in base64 at each of the
// three alignments, without the octets at the edges that neighbours change.
func spellings(s string) []string {
	out := []string{s, url.QueryEscape(s), hex.EncodeToString([]byte(s))}
	var pct strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&pct, "%%%02x", s[i])
	}
	out = append(out, pct.String())
	for shift := range 3 {
		b := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), s...))
		lo := (shift*8 + 5) / 6
		out = append(out, b[lo:len(b)-2])
	}
	return out
}
