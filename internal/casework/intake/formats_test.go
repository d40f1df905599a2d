package intake

import (
	"fmt"
	"strings"
	"testing"
)

func TestFeeds(t *testing.T) {
	stix := `{"type":"bundle","id":"bundle--1","objects":[
	{"type":"indicator","name":"phish","pattern":"[domain-name:value = 'outlook-verify.net' OR url:value = 'https://jane@yahoo-verify.net:8443/login?u=jane.doe']","description":"APT99 (aka \"Paper Tiger\"), see news-site.org"},
	{"type":"indicator","pattern":"[domain-name:value = 'gone-verify.net']","revoked":true},
	{"type":"indicator","pattern":"[domain-name:value IN ('in-a.net', 'in-b.net')]"},
	{"type":"indicator","pattern":"[domain-name:value = 'google.com']"},
	{"type":"indicator","pattern":"[file:name = 'evil.com']"},
	{"type":"domain-name","value":"victim-ngo.org"}]}`
	misp := `{"Event":{"info":"campaign","Attribute":[
	{"type":"domain","value":"outlook-verify.net","to_ids":true,"comment":"seen by jane.doe@victim-ngo.org"},
	{"type":"domain|ip","value":"yahoo-verify.net|192.0.2.1","to_ids":true},
	{"type":"hostname","value":"benign-verify.net","to_ids":false},
	{"type":"domain","value":"gone-verify.net","to_ids":true,"deleted":true}],
	"Object":[{"Attribute":[{"type":"url","value":"https://in-a.net/x?jane","to_ids":true},{"type":"hostname","value":"in-b.net","to_ids":true}]}]}}`
	for format, doc := range map[string]string{"stix": stix, "misp": misp, "misp ": `{"response":[` + misp + `]}`} {
		f := Read("feed.json", []byte(doc), Options{})
		if f.Format != strings.TrimSpace(format) || strings.Join(proposed(f), " ") != "outlook-verify.net yahoo-verify.net in-a.net in-b.net" {
			t.Errorf("%s: %s: %v", format, f.Format, proposed(f))
		}
		if all := fmt.Sprintf("%+v", f); strings.Contains(all, "jane") || !strings.Contains(all, "gone-verify.net") {
			t.Errorf("%s: %s", format, all)
		}
	}
	if f := Read("x.json", []byte(`{"text":"outlook-verify[.]net"}`), Options{}); f.Format != "json" || len(f.Proposed()) != 1 {
		t.Errorf("%+v", f)
	}
}

func TestMail(t *testing.T) {
	eml := "From: Attacker <a@sender-domain.net>\r\nTo: jane@victim-ngo.org\r\nSubject: report\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n" +
		"--B\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nDear Jane Secret, also known as Jane Doe, they used outlook-ve=\r\nrify[.]net against us.\r\n" +
		"--B\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGEgaHJlZj0iaHR0cHM6Ly9sdXJlLXZlcmlmeS5uZXQvdD9qYW5lIj5yZWFkPC9hPg==\r\n" +
		"--B\r\nContent-Type: application/pdf\r\n\r\nattached[.]net\r\n" +
		"--B\r\nContent-Type: message/rfc822\r\n\r\nFrom: x@y.org\r\n\r\nforwarded yahoo-verify[.]net\r\n--B--\r\n"
	f := Read("lure.eml", []byte(eml), Options{})
	if f.Format != "mail" || strings.Join(proposed(f), " ") != "outlook-verify.net yahoo-verify.net" {
		t.Errorf("%s %v", f.Format, proposed(f))
	}
	all := strings.ToLower(fmt.Sprintf("%+v", f))
	if !strings.Contains(all, "lure-verify.net") {
		t.Errorf("the link is not set apart: %s", all)
	}
	for _, secret := range []string{"jane", "secret", "against us", "victim-ngo", "attached"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is kept: %s", secret, all)
		}
	}
	// Cut at every place: nothing breaks; parts within parts end.
	for i := range eml {
		Read("lure.eml", []byte(eml[:i]), Options{})
	}
	deep := "From: a@b.c\r\n"
	for i := range 50 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=B%d\r\n\r\n--B%d\r\n", i, i)
	}
	if f := Read("deep.eml", []byte(deep+"\r\nx[.]net"), Options{}); len(f.Problems) == 0 {
		t.Error("parts within parts: nothing is said")
	}
}

func FuzzFormats(f *testing.F) {
	f.Add("a.eml", []byte("From: a@b.c\nContent-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/html\n\n<a href=https://x.net>\n--B--\n"))
	f.Add("a.json", []byte(`{"type":"bundle","objects":[{"type":"indicator","pattern":"[domain-name:value = 'a.net']"}]}`))
	f.Add("a.json", []byte(`{"Event":{"Attribute":[{"type":"domain|ip","value":"a.net|1","to_ids":true}]}}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		for _, n := range Read(name, data, Options{}).Names {
			if n.Name.Labels() < 2 || n.Why == "" || n.Proposed && n.Name.IsPublicSuffix() {
				t.Fatalf("%+v", n)
			}
		}
	})
}
