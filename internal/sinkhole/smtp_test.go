package sinkhole

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
)

var ignoreNone = cmpopts.EquateComparable(netip.AddrPort{})

func openLure(t testing.TB, id age.Identity, sealed string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(strings.NewReader(string(b)), id)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestSMTP(t *testing.T) {
	r := start(t, usual(t))
	out := raw(t, r.addr("smtp"), "EHLO mx.sender.example\r\nMAIL FROM:<alice@Sender.EXAMPLE> SIZE=10\r\nRCPT TO:<bob@outlook-verify.net>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<bob@count-only.net>\r\nQUIT\r\n")
	want := []string{"220 ", "250-sinkhole", "250-PIPELINING", "250-ENHANCEDSTATUSCODES", "250-STARTTLS", "250-SMTPUTF8", "250 8BITMIME", "250 2.1.0", "556 5.1.10", "550 5.7.1", "556 5.1.10", "221 "}
	lines := strings.Split(strings.TrimSpace(out), "\r\n")
	for i, w := range want {
		if i >= len(lines) || !strings.HasPrefix(lines[i], w) {
			t.Fatalf("line %d of %q: want %q", i, lines, w)
		}
	}
	got := r.rec.take()
	base := impound.Event{Proto: impound.ProtoSMTP, Helo: "mx.sender.example", FromDomain: "sender.example"}
	ours := base
	ours.Name, ours.Zone, ours.Order, ours.Capture, ours.Outcome = "outlook-verify.net", "outlook-verify.net", "O-contact", impound.CaptureContact, answered
	other := impound.Event{Proto: impound.ProtoSMTP, Name: "example.org", Capture: impound.CaptureCount, Outcome: refused}
	count := impound.Event{Proto: impound.ProtoSMTP, Name: "count-only.net", Zone: "count-only.net", Order: "O-count", Capture: impound.CaptureCount, Outcome: answered}
	if d := cmp.Diff([]impound.Event{ours, other, count}, got, ignoreWhere); d != "" {
		t.Error(d)
	}
	if !got[0].Src.IsValid() || got[1].Src.IsValid() || got[2].Src.IsValid() {
		t.Errorf("sources: %v %v %v", got[0].Src, got[1].Src, got[2].Src)
	}
}

func TestSMTPTakesNothing(t *testing.T) {
	r := start(t, usual(t))
	for _, tt := range []struct{ what, send, code string }{
		{"DATA", "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nDATA\r\nMAIL FROM:<x@inside-the-mail.example>\r\nRCPT TO:<x@outlook-verify.net>\r\n.\r\n", "554"},
		{"BDAT", "EHLO a.example\r\nBDAT 86 LAST\r\nRCPT TO:<x@outlook-verify.net>\r\n", "554"},
		{"AUTH", "EHLO a.example\r\nAUTH PLAIN AGJvYgBodW50ZXIy\r\n", "502"},
		{"AUTH LOGIN", "EHLO a.example\r\nAUTH LOGIN\r\nYm9i\r\naHVudGVyMg==\r\n", "502"},
		{"RCPT first", "EHLO a.example\r\nRCPT TO:<x@outlook-verify.net>\r\nQUIT\r\n", "503"},
		{"long line", strings.Repeat("x", 2000) + "\r\n", "500"},
		{"nonsense", strings.Repeat("XYZZY secret\r\n", 20), "421"},
		{"odd paths", "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<@a,@b:x@@outlook-verify.net@>\r\nQUIT\r\n", "550"},
	} {
		out := raw(t, r.addr("smtp"), tt.send)
		if !strings.Contains(out, "\r\n"+tt.code+" ") {
			t.Errorf("%s: %q", tt.what, out)
		}
		if strings.Contains(out, "354") || strings.Contains(out, "AUTH") && strings.Contains(out, "250-AUTH") {
			t.Errorf("%s: something is taken: %q", tt.what, out)
		}
		e := one(t, r.rec.take())
		if e.Order != "" || strings.Contains(e.FromDomain, "inside") {
			t.Errorf("%s: %+v", tt.what, e)
		}
	}
}

func TestSwaks(t *testing.T) {
	r := start(t, usual(t))
	swaks := peertest.Need(t, "swaks", "swaks")
	out := run(t, "", swaks, "--server", "127.0.0.1", "--port", r.port("smtp"), "--helo", "h.example", "--from", "alice@sender.example", "--to", "bob@www.outlook-verify.net", "--body", "secretbody", "--timeout", "5")
	if !strings.Contains(out, "<** 556 5.1.10") {
		t.Errorf("swaks: %s", out)
	}
	e := one(t, r.rec.take())
	if e.Name != "www.outlook-verify.net" || e.FromDomain != "sender.example" || e.Helo != "h.example" {
		t.Errorf("event %+v", e)
	}
	out = run(t, "", swaks, "--server", "127.0.0.1", "--port", r.port("smtp"), "--from", "a@b.example", "--to", "bob@outlook-verify.net", "--auth", "PLAIN", "--auth-user", "bob", "--auth-password", "hunter2", "--timeout", "5")
	if !strings.Contains(out, "did not advertise authentication") {
		t.Errorf("swaks: %s", out)
	}
}

func TestTCP(t *testing.T) {
	r := start(t, opened(t, t0, policyOptions(), mandate(t, "O1", nil, "outlook-verify.net")))
	for _, tt := range []struct{ send, guess string }{
		{"SSH-2.0-x\r\nsecretbytes", "ssh"}, {"GET / HTTP/1.1\r\nAuthorization: secret\r\n\r\n", "http"}, {"\x16\x03\x01\x00\x10", "tls"},
		{"\x03\x00\x00\x13\x0e", "rdp"}, {"hello", "text"}, {"\x00\xff\x10", "binary"}, {"\x00\x00\x00\x2f\xfeSMB", "smb"},
	} {
		if out := raw(t, r.addr("tcp"), tt.send); out != "" {
			t.Errorf("%q is answered: %q", tt.send, out)
		}
		e := one(t, r.rec.take())
		if e.Guess != tt.guess || e.Len != len(tt.send) || !e.Src.IsValid() || e.Dst.String() != r.addr("tcp") || e.Outcome != refused {
			t.Errorf("%q: %+v", tt.send, e)
		}
	}
	// With a count-only order among those in force, no more is kept of contacts
	// that name nobody.
	r.SetPolicy(usual(t))
	raw(t, r.addr("tcp"), "SSH-2.0-x\r\n")
	if e := one(t, r.rec.take()); e.Src.IsValid() || e.Guess != "" {
		t.Errorf("event %+v", e)
	}
}

func FuzzSMTP(f *testing.F) {
	p := usual(f)
	for _, s := range []string{"EHLO a\r\n", "MAIL FROM:<a@b.c>\r\nRCPT TO:<x@outlook-verify.net>\r\n", "AUTH PLAIN x\r\n", "DATA\r\n", "MAIL FROM:<@x:a@b>\r\nRCPT TO:<>>\r\n", "HELO [1.2.3.4]\r\n", "STARTTLS\r\nEHLO b\r\n", "MAIL FROM:<\"a\\\"@ b>\"@c.d>\r\n", "MAIL FROM:<bj\u00f6rn@b\u00fccher.example> SMTPUTF8\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		rec := &memory{}
		s, err := New(Config{Sensor: "s1", Listeners: everyListener, Recorder: rec, Policy: p, LureKey: []byte("key")})
		if err != nil {
			t.Fatal(err)
		}
		var st smtpSession
		st.secure = strings.HasPrefix(in, "E")
		for line := range strings.SplitAfterSeq(in, "\n") {
			answer, hangUp := s.smtpCommand(&st, []byte(line), func(name, _ string) {
				for _, x := range []string{name, st.helo, st.from, st.sender, st.rcpt} {
					if strings.ContainsAny(x, "@ <>\r\n\x00") || len(x) > 253 {
						t.Fatalf("%q would be kept", x)
					}
				}
			}, func(string) {})
			if len(answer) < 4 || answer[0] == '3' {
				t.Fatalf("%q is answered %q", line, answer)
			}
			if hangUp {
				return
			}
		}
	})
}

func TestMailPath(t *testing.T) {
	for _, tt := range []struct {
		in, local, domain string
		ok                bool
	}{
		{"FROM:<bob@Sender.EXAMPLE> SIZE=9", "bob", "sender.example", true},
		{"FROM:<>", "", "", true},
		{"FROM: <bob@a.example>", "bob", "a.example", true},
		{"FROM:<\"bob\"@a.example>", "bob", "a.example", true},
		{"FROM:<\"b@b > \\\"c\\\"\"@a.example> X=<y@z>", "b@b > \"c\"", "a.example", true},
		{"FROM:<@r.example,@s.example:bob@a.example>", "bob", "a.example", true},
		{"FROM:<@r.example:\"b:b\"@a.example>", "b:b", "a.example", true},
		{"FROM:<björn@bücher.example> SMTPUTF8", "björn", "xn--bcher-kva.example", true},
		{"FROM:<bob@[192.0.2.1]>", "bob", "", true},
		{"FROM:<bob@192.0.2.1>", "bob", "", true},
		{"FROM:<bob@a.example:25>", "bob", "", true},
		{"FROM:<bob@a@b.example>", "bob@a", "b.example", true},
		{"FROM:<postmaster>", "postmaster", "", true},
		{"FROM:<\"bob@a.example>", "", "", false},
		{"FROM:<\"bob\"x@a.example>", "", "", false},
		{"FROM:<@r.example>", "", "", false},
		{"FROM:bob@a.example", "", "", false},
		{"FROM:<bob@a.example", "", "", false},
		{"TO:<bob@a.example>", "", "", false},
		{"", "", "", false},
	} {
		local, domain, ok := mailPath(tt.in, "FROM:")
		if ok != tt.ok || ok && (local != tt.local || domain != tt.domain) {
			t.Errorf("%s: %q %q %v", tt.in, local, domain, ok)
		}
	}
}

// Mailboxes are known by their keyed hash alone, and only to an order that
// reaches level lure.
func TestMailHashes(t *testing.T) {
	r := start(t, usual(t))
	raw(t, r.addr("smtp"), "EHLO mx.sender.example\r\nMAIL FROM:<Alice@Sender.EXAMPLE>\r\nRCPT TO:<bob@lure-level.net>\r\nRCPT TO:<\"BOB\"@lure-level.net>\r\nRCPT TO:<bob@outlook-verify.net>\r\nRCPT TO:<bob@example.org>\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<eve@lure-level.net>\r\nQUIT\r\n")
	es := r.rec.take()
	if len(es) != 5 {
		t.Fatalf("%+v", es)
	}
	sum := func(box string) string {
		m := hmac.New(sha256.New, []byte("key"))
		m.Write([]byte(box))
		return hex.EncodeToString(m.Sum(nil))
	}
	for i, want := range [][2]string{
		{sum("alice@sender.example"), sum("bob@lure-level.net")}, {sum("alice@sender.example"), sum("bob@lure-level.net")}, {}, {}, {"", sum("eve@lure-level.net")},
	} {
		if got := [2]string{es[i].SenderHash, es[i].RcptHash}; got != want {
			t.Errorf("event %d: %v, want %v", i, got, want)
		}
	}
}

func TestSTARTTLS(t *testing.T) {
	r := start(t, usual(t))
	dial := func(sni, before string) (*tls.Conn, error) {
		t.Helper()
		c, err := net.Dial("tcp", r.addr("smtp"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		in := bufio.NewReader(c)
		io.WriteString(c, before)
		for {
			l, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(l, "220 2.0.0") {
				break
			}
		}
		if in.Buffered() > 0 {
			t.Fatal("something in the clear was answered after STARTTLS")
		}
		sc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: sni})
		return sc, sc.Handshake()
	}
	for _, tt := range []struct {
		sni, names, zone, outcome string
	}{
		{"outlook-verify.net", "outlook-verify.net,*.outlook-verify.net", "outlook-verify.net", answered},
		{"", "", "", answered},
		{"example.org", "none", "", refused},
	} {
		c, err := dial(tt.sni, "EHLO early.example\r\nSTARTTLS\r\n")
		e := one(t, r.rec.take())
		if e.Proto != impound.ProtoSMTP || e.Zone != tt.zone || e.Outcome != tt.outcome || tt.zone != "" && (e.SNI != tt.sni || len(e.JA4) != 36 || e.TLS == "" || e.Helo != "") {
			t.Errorf("%q: %+v", tt.sni, e)
		}
		if tt.names == "none" {
			if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("%q: %v", tt.sni, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		leaf := c.ConnectionState().PeerCertificates[0]
		if got := strings.Join(leaf.DNSNames, ","); got != tt.names || tt.names == "" && leaf.Subject.CommonName != "" {
			t.Errorf("%q is shown a certificate for %q, %s", tt.sni, got, leaf.Subject)
		}
		io.WriteString(c, "EHLO late.example\r\nSTARTTLS\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@outlook-verify.net>\r\nQUIT\r\n")
		b, err := io.ReadAll(c)
		out := string(b)
		if err != nil || strings.Contains(out, "250-STARTTLS") || !strings.Contains(out, "\r\n503 ") || !strings.Contains(out, "556 5.1.10") {
			t.Errorf("%q: %q, %v", tt.sni, out, err)
		}
		if e := one(t, r.rec.take()); e.Helo != "late.example" || e.FromDomain != "b.example" || e.Name != "outlook-verify.net" || e.SNI != tt.sni || e.JA4 == "" {
			t.Errorf("%q: %+v", tt.sni, e)
		}
	}
	// What is slipped in before the handshake is neither obeyed nor answered.
	c, err := dial("outlook-verify.net", "EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nSTARTTLS\r\nRCPT TO:<x@outlook-verify.net>\r\nNOOP\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if e := one(t, r.rec.take()); e.FromDomain != "" {
		t.Errorf("%+v", e)
	}
	io.WriteString(c, "RCPT TO:<x@outlook-verify.net>\r\nQUIT\r\n")
	if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), "503 5.5.1 MAIL first") || strings.Count(string(b), "\n") != 2 {
		t.Errorf("%q", b)
	}
	// No order in force, no TLS.
	r.clock.after(time.Hour)
	if out := raw(t, r.addr("smtp"), "EHLO a.example\r\nSTARTTLS\r\nQUIT\r\n"); strings.Contains(out, "250-STARTTLS") || !strings.Contains(out, "502 ") {
		t.Errorf("%q", out)
	}
}

func TestRealMailClientsWithTLS(t *testing.T) {
	r := start(t, usual(t))
	swaks := peertest.Need(t, "swaks", "swaks")
	for _, sni := range []string{"", "www.outlook-verify.net"} {
		args := []string{"--server", "127.0.0.1", "--port", r.port("smtp"), "--helo", "h.example", "--from", "alice@sender.example", "--to", "bob@www.outlook-verify.net", "--tls", "--timeout", "5"}
		if sni != "" {
			args = append(args, "--tls-sni", sni)
		}
		if out := run(t, "", swaks, args...); !strings.Contains(out, "TLS started") || !strings.Contains(out, "<** 556 5.1.10") && !strings.Contains(out, "<~* 556 5.1.10") {
			t.Errorf("swaks: %s", out)
		}
		es := r.rec.take()
		if len(es) != 2 || es[0].SNI != sni || es[1].SNI != sni || es[1].Name != "www.outlook-verify.net" || es[1].JA3 == "" || es[1].Helo != "h.example" {
			t.Errorf("events %+v", es)
		}
	}
	openssl := peertest.Need(t, "openssl", "openssl")
	if out := run(t, "QUIT\r\n", openssl, "s_client", "-connect", r.addr("smtp"), "-starttls", "smtp", "-servername", "outlook-verify.net", "-crlf"); !strings.Contains(out, "CN = outlook-verify.net") && !strings.Contains(out, "CN=outlook-verify.net") {
		t.Errorf("openssl: %s", out)
	}
}
