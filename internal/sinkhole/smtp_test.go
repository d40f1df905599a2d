package sinkhole

import (
	"encoding/base64"
	"io"
	"net/netip"
	"strings"
	"testing"

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
	want := []string{"220 ", "250-sinkhole", "250-PIPELINING", "250-ENHANCEDSTATUSCODES", "250 8BITMIME", "250 2.1.0", "556 5.1.10", "550 5.7.1", "556 5.1.10", "221 "}
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
	for _, s := range []string{"EHLO a\r\n", "MAIL FROM:<a@b.c>\r\nRCPT TO:<x@outlook-verify.net>\r\n", "AUTH PLAIN x\r\n", "DATA\r\n", "MAIL FROM:<@x:a@b>\r\nRCPT TO:<>>\r\n", "HELO [1.2.3.4]\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		rec := &memory{}
		s, err := New(Config{Sensor: "s1", Listeners: everyListener, Recorder: rec, Policy: p})
		if err != nil {
			t.Fatal(err)
		}
		var st smtpSession
		for line := range strings.SplitAfterSeq(in, "\n") {
			answer, hangUp := s.smtpCommand(&st, []byte(line), func(name, _ string) {
				for _, x := range []string{name, st.helo, st.from} {
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
