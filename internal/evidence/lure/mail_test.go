package lure_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/evidence/lure"
	"github.com/impound/impound/internal/peertest"
)

func b64(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	for len(s) > 76 {
		out.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return out.String() + s + "\r\n"
}

const heads = "Return-Path: <bounce-jane.doe=victim@mail.mcsv.net>\r\n" +
	"Received: from mail1.rsgsv.net (mail1.rsgsv.net [198.51.100.7])\r\n\tby mx.victim-ngo.org (Postfix) with ESMTPS id ABC123\r\n\tfor <jane.doe@victim-ngo.org>; Fri, 20 Nov 2026 10:00:05 +0100\r\n" +
	"Received: from JANES-PC (unknown [203.0.113.9])\r\n\tby mail1.rsgsv.net with ESMTP id 1; Fri, 20 Nov 2026 09:00:00 +0000 (UTC)\r\n" +
	"Authentication-Results: mx.victim-ngo.org; spf=pass (sender SPF authorized) smtp.mailfrom=bounce-jane.doe=victim@mail.mcsv.net; dkim=pass header.d=outlook-verify.net header.s=k1; dmarc=fail (p=none) header.from=microsoft.com\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=outlook-verify.net;\r\n s=k1; h=from:to:subject; bh=AAAA; b=BBBB\r\n" +
	"X-MC-User: 0123abcd\r\nX-GoPhish-Contact: x\r\nX-Mailer: PHPMailer 6.0\r\n" +
	"From: \"Microsoft Jane Secret\" <account-jane.secret@microsoft.com>\r\nReply-To: helper.secret@evil-reply.net\r\nTo: Jane Doe <jane.doe@victim-ngo.org>, john.roe@victim-ngo.org\r\n" +
	"Subject: Your password, Jane Secret\r\nDate: Fri, 20 Nov 2026 09:00:00 +0000\r\nMessage-ID: <abc.jane.doe@mail.evil-id.net>\r\nMIME-Version: 1.0\r\n"

func eml(pdf, png []byte) []byte {
	var b bytes.Buffer
	b.WriteString(heads + "Content-Type: multipart/mixed; boundary=\"B\"\r\n\r\npreamble\r\n--B\r\nContent-Type: multipart/alternative; boundary=C\r\n\r\n--C\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
		"Dear Jane Secret, see https://eur01.safelinks.protection.outlook.com/?url=3Dh=\r\nttps%3A%2F%2Foutlook-verify.net%2Flogin%2Ftok-jane.doe123%3Fu%3Djane.doe%2540v=\r\nictim-ngo.org&data=3Djane.doe.\r\n--C\r\nContent-Type: text/html\r\n\r\n" +
		`<p>Dear Jane Secret</p><a href="https://outlook-verify.net/login/tok-jane.doe123?u=jane.doe%40victim-ngo.org">https://www.microsoft.com/account</a><form action="https://form-verify.net/post.secret"><img src=https://pixel-verify.net/p.gif?jane.doe><meta http-equiv=refresh content="0; url=https://refresh-verify.net/">` +
		"\r\n--C--\r\n")
	fmt.Fprintf(&b, "--B\r\nContent-Type: application/pdf; name=\"invoice-jane.secret.pdf\"\r\nContent-Disposition: attachment; filename=\"invoice-jane.secret.doc.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n%s", b64(pdf))
	fmt.Fprintf(&b, "--B\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: inline; filename=qr.png\r\n\r\n%s", b64(png))
	b.WriteString("--B\r\nContent-Type: message/rfc822\r\n\r\nFrom: <first.secret@first-sender.net>\r\nDate: Thu, 19 Nov 2026 09:00:00 +0000\r\nSubject: inner secret\r\nTo: <jane.doe@victim-ngo.org>\r\n\r\nGo to http://inner-verify.net/a\r\n--B--\r\n")
	return b.Bytes()
}

// linked is a PDF with a link in it.
var linked = []byte("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(x)>>>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Annots[<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A<</S/URI/URI(https://pdf-verify.net/x?jane.doe)>>>>]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n")

func TestAnalyse(t *testing.T) {
	qr := peertest.Need(t, "qrencode", "qrencode")
	png, err := exec.Command(qr, "-s", "4", "-o", "-", "https://qr-verify.net/k?jane.doe=1").Output()
	if err != nil {
		t.Fatal(err)
	}
	in := eml(linked, png)
	a, err := lure.Analyse(in, lure.Options{Key: []byte("key")})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(a, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"jane", "Jane", "JANE", "secret", "Secret", "doe", "john", "password", "tok-", "login", "0123abcd", "post", "BBBB", "ABC123"} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("it keeps %q:\n%s", secret, raw)
		}
	}
	if len(a.Messages) != 2 || len(a.Problems) > 0 {
		t.Fatalf("%s", raw)
	}
	m := a.Messages[0]
	var links []string
	for _, l := range m.Links {
		links = append(links, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %d", l.Host, l.Where, strings.Join(l.Wrapped, "+"), l.Shows, len(l.Tokens))))
	}
	if d := cmp.Diff([]string{
		"form-verify.net html form   1", "outlook-verify.net text safelinks  2", "outlook-verify.net html  microsoft.com 2", "pdf-verify.net PDF, attachment 1   0",
		"pixel-verify.net html image   0", "qr-verify.net QR code, attachment 2   0", "refresh-verify.net html refresh   0",
	}, links); d != "" {
		t.Error(d)
	}
	if m.Links[1].Hash != m.Links[2].Hash || m.Links[1].Hash == "" {
		t.Error("the wrapped link and the plain one have not the same hash")
	}
	var hops []string
	for _, h := range m.Hops {
		hops = append(hops, fmt.Sprintf("%s %s %s %s %s", h.Helo, h.Addr, h.By, h.With, h.At.Format("15:04:05")))
	}
	if d := cmp.Diff([]string{" 203.0.113.9 mail1.rsgsv.net ESMTP 09:00:00", "mail1.rsgsv.net 198.51.100.7 mx.victim-ngo.org ESMTPS 09:00:05"}, hops); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]lure.Auth{{"mx.victim-ngo.org", "spf", "pass", "mail.mcsv.net"}, {"mx.victim-ngo.org", "dkim", "pass", "outlook-verify.net"}, {"mx.victim-ngo.org", "dmarc", "fail", "microsoft.com"}}, m.Auth); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]lure.DKIM{{"outlook-verify.net", "k1", "rsa-sha256"}}, m.DKIM); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]lure.Platform{{"Mailchimp", "header x-mc-user"}, {"GoPhish", "header x-gophish-*"}, {"PHPMailer", "header x-mailer"}}, m.Platforms); d != "" {
		t.Error(d)
	}
	if m.From != "microsoft.com" || m.ReplyTo != "evil-reply.net" || m.ReturnPath != "mail.mcsv.net" || m.MessageID != "mail.evil-id.net" || strings.Join(m.Differ, " ") != "reply-to return-path message-id" || m.Recipients != 2 || len(m.SenderHash) != 64 || m.Date != "2026-11-20T09:00:00Z" {
		t.Errorf("%+v", m)
	}
	if len(m.Attachments) != 2 || m.Attachments[0].PDF == nil || m.Attachments[0].PDF.Encrypted || strings.Join(m.Attachments[0].PDF.Active, " ") != "JavaScript OpenAction" || m.Attachments[0].Ending != ".pdf" || strings.Join(m.Attachments[0].Notes, " ") != "two endings: .doc.pdf" || m.Attachments[1].Is != "image" {
		t.Errorf("%+v", m.Attachments)
	}
	if in := a.Messages[1]; in.Depth != 3 && in.Depth != 2 || in.From != "first-sender.net" || len(in.Links) != 1 || in.Links[0].Host != "inner-verify.net" {
		t.Errorf("%+v", in)
	}
	// Without a key nothing that could be guessed back is there.
	b, err := lure.Analyse(in, lure.Options{})
	if err != nil || b.Messages[0].SenderHash != "" || b.Messages[0].Links[0].Hash != "" || len(b.Messages[0].Links[1].Tokens) > 0 {
		t.Errorf("%v %+v", err, b.Messages[0])
	}
}

func TestEncryptedPDF(t *testing.T) {
	q := peertest.Need(t, "qpdf", "qpdf")
	dir := t.TempDir()
	plain, locked := filepath.Join(dir, "a.pdf"), filepath.Join(dir, "b.pdf")
	if err := os.WriteFile(plain, linked, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(q, "--warning-exit-0", "--encrypt", "user", "owner", "256", "--", plain, locked).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b, err := os.ReadFile(locked)
	if err != nil {
		t.Fatal(err)
	}
	a, err := lure.Analyse(eml(b, nil), lure.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := a.Messages[0].Attachments[0]
	if p.PDF == nil || !p.PDF.Encrypted {
		t.Errorf("%+v", p)
	}
	for _, l := range a.Messages[0].Links {
		if l.Host == "pdf-verify.net" {
			t.Error("read through the encryption?")
		}
	}
}

func TestHostileMails(t *testing.T) {
	deep := heads + "Content-Type: message/rfc822\r\n\r\n"
	for range 50 {
		deep += "From: a@b.example\r\nDate: x\r\nTo: y\r\nContent-Type: message/rfc822\r\n\r\n"
	}
	many := heads + "Content-Type: multipart/mixed; boundary=B\r\n\r\n" + strings.Repeat("--B\r\n\r\nx\r\n", 5000) + "--B--"
	links := heads + "\r\n"
	for i := range 5000 {
		links += fmt.Sprintf("https://a%d.example/\n", i)
	}
	files := heads + "Content-Type: multipart/mixed; boundary=B\r\n\r\n" + strings.Repeat("--B\r\nContent-Type: a/b\r\n\r\nx\r\n", 299) + "--B--"
	for name, tt := range map[string]struct{ in, want string }{
		"deep":        {deep, "deep"},
		"many parts":  {many, "more than 300 parts"},
		"many links":  {links, "more than 2000 links"},
		"many files":  {files, "more than 200 files"},
		"cut":         {heads + "Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\nContent-Ty", "cut"},
		"picture":     {heads + "Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\nContent-Type: image/gif\r\n\r\nGIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\r\n--B--", ""},
		"no boundary": {heads + "Content-Type: multipart/mixed\r\n\r\nx", ""},
		"odd type":    {heads + "Content-Type: ;;;=\r\n\r\nhttps://a.example", ""},
	} {
		a, err := lure.Analyse([]byte(tt.in), lure.Options{Key: []byte("k")})
		if err != nil || !strings.Contains(strings.Join(a.Problems, "; "), tt.want) || len(a.Messages) == 0 {
			t.Errorf("%s: %v %v", name, err, a.Problems)
		}
		if len(a.Messages) > 20 {
			t.Errorf("%s: %d messages", name, len(a.Messages))
		}
	}
	for _, in := range []string{"", "hello", "%PDF-1.4", "From: us\n\nwe say", "To: x\nDate: y\n\n"} {
		if _, err := lure.Analyse([]byte(in), lure.Options{}); err != lure.ErrNotMail {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzAnalyse(f *testing.F) {
	f.Add(eml(linked, nil))
	f.Add([]byte("From: a@b.example\nDate: x\nSubject: y\nContent-Type: text/html\n\n<a href='//x.example/y'>z.com</a><meta http-equiv=refresh content=url=http://q.example>"))
	f.Add([]byte("Received: from [1.2.3.4] (x [IPv6:2001:db8::1]) by y.example with z; Mon\nMessage-ID: <a@b>\nTo: c\nAuthentication-Results: i=1; a.example; spf=pass (x (y) z) smtp.mailfrom=a@b.example\n\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<15 {
			return
		}
		// A word that only bodies and local parts can hold.
		b = bytes.ReplaceAll(b, []byte("https://"), []byte("https://x.example/qzqzqzqz?qzqzqzqz#"))
		a, err := lure.Analyse(b, lure.Options{Key: []byte("k")})
		if err != nil {
			return
		}
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte("qzqzqzqz")) && !bytes.Contains(bytes.ReplaceAll(b, []byte("https://x.example/qzqzqzqz?qzqzqzqz#"), nil), []byte("qzqz")) {
			t.Fatalf("a path or query was kept: %s", raw)
		}
	})
}
