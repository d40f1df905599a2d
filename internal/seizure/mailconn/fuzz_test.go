package mailconn_test

import (
	"strings"
	"testing"

	"github.com/impound/impound/internal/seizure/mailconn"
)

const bounced = "From: MAILER-DAEMON@mail.registry.test\r\nTo: desk@unit.test\r\nSubject: Undelivered\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain\r\n\r\nsorry\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.registry.test\r\nOriginal-Envelope-Id: L-0123456789abcdef\r\n\r\nFinal-Recipient: rfc822; legal@registry.test\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 no such user\r\n\r\nFinal-Recipient: rfc822; copy@registry.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n\r\n" +
	"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <impound.L-0123456789abcdef@unit.test>\r\n\r\n--b--\r\n"

func TestReadAnswer(t *testing.T) {
	a, err := mailconn.ReadAnswer([]byte(bounced))
	if err != nil || a.Kind != "failed" || !strings.Contains(a.Text, "550 no such user") || strings.Join(a.Refs, " ") != "L-0123456789abcdef <impound.L-0123456789abcdef@unit.test>" {
		t.Errorf("a bounce: %+v %v", a, err)
	}
	a, err = mailconn.ReadAnswer([]byte("From: Jane Roe <jane@registry.test>\r\nSubject: =?utf-8?q?Re:_order_[L-00000000000000aa]?=\r\nIn-Reply-To: <x@unit.test>\r\nReferences: <first@unit.test> <x@unit.test>\r\n\r\ndone\r\n"))
	if err != nil || a.Kind != "reply" || a.Domain != "registry.test" || strings.Join(a.Refs, " ") != "<x@unit.test> <first@unit.test> L-00000000000000aa" || strings.Contains(a.Text+a.Domain, "jane") {
		t.Errorf("a reply: %+v %v", a, err)
	}
	if _, err := mailconn.ReadAnswer([]byte("no mail")); err == nil {
		t.Error("what is no mail was read")
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(bounced))
	f.Add([]byte("From: a@b.test\nSubject: L-0123456789abcdef\nContent-Type: multipart/report; report-type=delivery-status\n\n"))
	f.Add([]byte(strings.Replace(bounced, "message/delivery-status\r\n", "message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := mailconn.ReadAnswer(b)
		if err != nil {
			return
		}
		if a.Kind == "" || len(a.Refs) > 50 || len(a.Text) > 3000 || strings.ContainsAny(a.Text+a.Domain, "\r\n\x00") {
			t.Errorf("%+v", a)
		}
	})
}
