package epp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
)

func resultFrame(code int, frame string) string {
	return framed(fmt.Sprintf(`<epp xmlns="%s"><response><result code="%d"><msg>Words</msg></result>`, NSEPP, code) + trids(clTRIDOf(frame)))
}

var lock = DomainUpdate{Name: taken, AddStatus: []string{"serverUpdateProhibited"}, ClTRID: "my-id-1"}

// Whatever a server says that isn't a proper answer to this very command is
// never success; of a transform, the outcome is unknown.
func TestBadAnswersAreNeverSuccess(t *testing.T) {
	deep := strings.Repeat("<a>", MaxDepth+1) + strings.Repeat("</a>", MaxDepth+1)
	for name, answer := range map[string]func(frame string) (string, bool){
		"hang up":           func(string) (string, bool) { return "", true },
		"cut in the length": func(string) (string, bool) { return "\x00\x00", true },
		"cut in the frame":  func(f string) (string, bool) { s := resultFrame(1000, f); return s[:len(s)-5], true },
		"ten megabytes":     func(string) (string, bool) { return "\x00\xa0\x00\x00<epp>", false },
		"two gigabytes":     func(string) (string, bool) { return "\x80\x00\x00\x00<epp>", false },
		"zero length":       func(string) (string, bool) { return "\x00\x00\x00\x00", false },
		"only a length":     func(string) (string, bool) { return "\x00\x00\x00\x04", false },
		"length 3":          func(string) (string, bool) { return "\x00\x00\x00\x03", false },
		"plain text":        func(string) (string, bool) { return "HTTP/1.1 200 OK\r\n\r\n", false },
		"empty document":    func(string) (string, bool) { return framed("  "), false },
		"not XML":           func(string) (string, bool) { return framed("code=1000"), false },
		"invalid UTF-8":     func(f string) (string, bool) { return framed(okStart + "\xff\xfe" + trids(clTRIDOf(f))), false },
		"UTF-16 declared": func(f string) (string, bool) {
			return framed(`<?xml version="1.0" encoding="UTF-16"?>` + okStart + trids(clTRIDOf(f))), false
		},
		"document type": func(f string) (string, bool) {
			return framed(`<!DOCTYPE epp []>` + okStart + trids(clTRIDOf(f))), false
		},
		"entity bomb": func(f string) (string, bool) {
			return framed(`<!DOCTYPE e [<!ENTITY a "1"><!ENTITY b "&a;&a;">]>` + okStart + trids(clTRIDOf(f))), false
		},
		"unknown entity": func(f string) (string, bool) {
			return framed(strings.Replace(okStart, "Fine", "&file;", 1) + trids(clTRIDOf(f))), false
		},
		"nested too deep": func(f string) (string, bool) {
			return framed(strings.Replace(okStart+trids(clTRIDOf(f)), "<trID>", "<extension>"+deep+"</extension><trID>", 1)), false
		},
		"too many elements": func(f string) (string, bool) {
			return framed(strings.Replace(okStart+trids(clTRIDOf(f)), "<trID>", "<extension>"+strings.Repeat("<a/>", MaxElements)+"</extension><trID>", 1)), false
		},
		"two roots":  func(f string) (string, bool) { s := okStart + trids(clTRIDOf(f)); return framed(s + s), false },
		"text after": func(f string) (string, bool) { return framed(okStart + trids(clTRIDOf(f)) + "more"), false },
		"foreign namespace": func(f string) (string, bool) {
			return framed(strings.Replace(okStart, NSEPP, "urn:example:epp", 1) + trids(clTRIDOf(f))), false
		},
		"no namespace": func(f string) (string, bool) {
			return framed(strings.Replace(okStart, ` xmlns="`+NSEPP+`"`, "", 1) + trids(clTRIDOf(f))), false
		},
		"foreign result": func(f string) (string, bool) {
			return framed(strings.Replace(okStart, "<result ", `<result xmlns="urn:x" `, 1) + trids(clTRIDOf(f))), false
		},
		"foreign element": func(f string) (string, bool) {
			return framed(okStart + `<x:note xmlns:x="urn:x"/>` + trids(clTRIDOf(f))), false
		},
		"undeclared prefix": func(f string) (string, bool) {
			return framed(strings.NewReplacer("<epp ", "<e:epp ", "</epp", "</e:epp").Replace(okStart + trids(clTRIDOf(f)))), false
		},
		"a greeting": func(string) (string, bool) { return framed(goodGreeting), false },
		"no result": func(f string) (string, bool) {
			return framed(`<epp xmlns="` + NSEPP + `"><response>` + trids(clTRIDOf(f))), false
		},
		"no clTRID":      func(string) (string, bool) { return framed(okStart + trids("")), false },
		"another clTRID": func(string) (string, bool) { return framed(okStart + trids("other-id")), false },
		"no svTRID": func(f string) (string, bool) {
			return framed(okStart + "<trID>" + Tag("clTRID", clTRIDOf(f)) + "</trID></response></epp>"), false
		},
		"two trIDs": func(f string) (string, bool) {
			s := trids(clTRIDOf(f))
			return framed(okStart + strings.TrimSuffix(s, "</response></epp>") + s), false
		},
		"no code": func(f string) (string, bool) {
			return framed(strings.Replace(okStart, ` code="1000"`, "", 1) + trids(clTRIDOf(f))), false
		},
		"code with a foreign attribute": func(f string) (string, bool) {
			return framed(strings.Replace(okStart, ` code="1000"`, ` xmlns:x="urn:x" x:code="1000"`, 1) + trids(clTRIDOf(f))), false
		},
		"code +100": func(f string) (string, bool) {
			return framed(strings.Replace(okStart, "1000", "+100", 1) + trids(clTRIDOf(f))), false
		},
		"code 01000": func(f string) (string, bool) {
			return framed(strings.Replace(okStart, "1000", "01000", 1) + trids(clTRIDOf(f))), false
		},
		"code 1999":     func(f string) (string, bool) { return resultFrame(1999, f), false },
		"code 0":        func(f string) (string, bool) { return resultFrame(0, f), false },
		"code 3000":     func(f string) (string, bool) { return resultFrame(3000, f), false },
		"poll's code":   func(f string) (string, bool) { return resultFrame(1300, f), false },
		"logout's code": func(f string) (string, bool) { return resultFrame(1500, f), false },
		"success and failure": func(f string) (string, bool) {
			return framed(okStart + `<result code="2400"><msg>no</msg></result>` + trids(clTRIDOf(f))), false
		},
		"success twice": func(f string) (string, bool) {
			return framed(okStart + `<result code="1000"><msg>no</msg></result>` + trids(clTRIDOf(f))), false
		},
		"failure, another's id": func(string) (string, bool) {
			return framed(strings.Replace(okStart, "1000", "2304", 1) + trids("other-id")), false
		},
		"failure without an id": func(string) (string, bool) {
			return framed(strings.Replace(okStart, "1000", "2304", 1) + trids("")), false
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, framed(goodGreeting), answer)
			c := f.dial(t)
			res, err := c.UpdateDomain(t.Context(), testPermits(t), lock)
			if !errors.Is(err, ErrUnknownOutcome) || res.OK() && name != "poll's code" && name != "logout's code" {
				t.Fatalf("update: %+v %v", res, err)
			}
			if impound.KindOf(err) != impound.KindUnavailable {
				t.Errorf("kind %s", impound.KindOf(err))
			}
			// Reading never has an unknown outcome, and never gives an object.
			c = f.dial(t)
			d, err := c.InfoDomain(t.Context(), taken)
			if err == nil || errors.Is(err, ErrUnknownOutcome) || !d.Name.IsZero() {
				t.Fatalf("info: %+v %v", d, err)
			}
		})
	}
}

func TestASessionIsOverAfterAnUnknownOutcome(t *testing.T) {
	f := newFake(t, framed(goodGreeting), func(string) (string, bool) { return framed(okStart + trids("other-id")), false })
	c := f.dial(t)
	if _, err := c.UpdateDomain(t.Context(), testPermits(t), lock); !errors.Is(err, ErrUnknownOutcome) {
		t.Fatal(err)
	}
	n := len(f.frames())
	_, err := c.UpdateDomain(t.Context(), testPermits(t), lock)
	if impound.KindOf(err) != impound.KindUnavailable || errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("nothing was sent, but: %v", err)
	}
	if err := c.Hello(t.Context()); err == nil {
		t.Error("hello on a session that is over")
	}
	if got := len(f.frames()); got != n {
		t.Errorf("%d frames were sent after the end", got-n)
	}
}

// A server that sends an octet now and then does not hold a command for longer
// than its timeout.
func TestSlowOctetsAreBounded(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	f := newFake(t, framed(goodGreeting), func(frame string) (string, bool) {
		select { // as good as never
		case <-stop:
		case <-time.After(20 * time.Second):
		}
		return resultFrame(1000, frame), false
	})
	cfg := f.config()
	c, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.UpdateDomain(ctx, testPermits(t), lock); !errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("got %v", err)
	}
	if _, err := c.InfoDomain(ctx, taken); impound.KindOf(err) != impound.KindUnavailable || errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("after the time was up: %v", err)
	}
}

func TestNoGreetingNoPassword(t *testing.T) {
	for name, greeting := range map[string]string{
		"no secDNS":       framed(strings.ReplaceAll(goodGreeting, NSSecDNS, NSRGP)),
		"secDNS 1.0":      framed(strings.ReplaceAll(goodGreeting, "secDNS-1.1", "secDNS-1.0")),
		"no extensions":   framed(strings.Replace(goodGreeting, "<svcExtension><extURI>"+NSSecDNS+"</extURI></svcExtension>", "", 1)),
		"no domains":      framed(strings.ReplaceAll(goodGreeting, NSDomain, NSContact)),
		"wrong version":   framed(strings.ReplaceAll(goodGreeting, "<version>1.0", "<version>2.0")),
		"no language":     framed(strings.ReplaceAll(goodGreeting, "<lang>en</lang>", "")),
		"wrong namespace": framed(strings.ReplaceAll(goodGreeting, NSEPP, "urn:ietf:params:xml:ns:epp-2.0")),
		"a response":      framed(okStart + trids("x-1")),
		"a banner":        "220 mail.example ESMTP\r\n",
		"an entity":       framed(`<!DOCTYPE epp SYSTEM "file:///etc/passwd">` + goodGreeting),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, greeting, nil)
			c, err := Dial(t.Context(), f.config())
			if err == nil || c != nil {
				t.Fatal("logged in")
			}
			if !errors.Is(err, ErrProtocol) || impound.KindOf(err) != impound.KindInvalid {
				t.Errorf("got %v", err)
			}
			if got := f.frames(); len(got) > 0 {
				t.Errorf("sent %q", got)
			}
		})
	}
}

func TestResultCodes(t *testing.T) {
	for code, kind := range map[int]impound.Kind{
		1000: "", 1001: "", 2000: impound.KindInvalid, 2001: impound.KindInvalid, 2005: impound.KindInvalid, 2101: impound.KindInvalid, 2104: impound.KindRefused, 2201: impound.KindAuth,
		2302: impound.KindConflict, 2303: impound.KindNotFound, 2304: impound.KindConflict, 2305: impound.KindConflict, 2306: impound.KindRefused, 2308: impound.KindRefused,
		2400: impound.KindUnavailable, 2500: impound.KindUnavailable, 2501: impound.KindAuth, 2502: impound.KindUnavailable,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			f := newFake(t, framed(goodGreeting), func(frame string) (string, bool) { return resultFrame(code, frame), code >= 2500 })
			c := f.dial(t)
			res, err := c.UpdateDomain(t.Context(), testPermits(t), lock)
			if impound.KindOf(err) != kind || res.Code != code || res.SvTRID != "SV-1" || res.ClTRID != lock.ClTRID || res.Message != "Words" {
				t.Errorf("%+v %v", res, err)
			}
			if errors.Is(err, ErrUnknownOutcome) {
				t.Error("an answered failure is known")
			}
			if kind != "" && Code(err) != code {
				t.Errorf("code %d", Code(err))
			}
			// After 25xx the server hangs up: the next call sends nothing.
			n := len(f.frames())
			_, err = c.UpdateDomain(t.Context(), testPermits(t), lock)
			if sent := len(f.frames()) > n; sent != (code < 2500) {
				t.Errorf("sent %v: %v", sent, err)
			}
		})
	}
}

// A farewell that was under way before the command came in says nothing of it.
func TestFarewellIsNoAnswer(t *testing.T) {
	f := newFake(t, framed(goodGreeting), func(string) (string, bool) {
		return framed(strings.Replace(okStart, "1000", "2500", 1) + trids("")), true
	})
	if _, err := f.dial(t).UpdateDomain(t.Context(), testPermits(t), lock); !errors.Is(err, ErrUnknownOutcome) || Code(err) != 0 {
		t.Errorf("got %v", err)
	}
	if _, err := f.dial(t).InfoDomain(t.Context(), taken); Code(err) != 2500 {
		t.Errorf("reading: %v", err)
	}
}

// Syntax errors can't name the command that they couldn't read.
func TestSyntaxErrorWithoutID(t *testing.T) {
	f := newFake(t, framed(goodGreeting), func(string) (string, bool) {
		return framed(strings.Replace(okStart, "1000", "2001", 1) + trids("")), false
	})
	if _, err := f.dial(t).UpdateDomain(t.Context(), testPermits(t), lock); Code(err) != 2001 || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("got %v", err)
	}
}

func TestUpdateFrame(t *testing.T) {
	u := DomainUpdate{Name: taken, AddNS: []impound.Name{impound.MustName("ns1.sink.test")}, RemNS: []impound.Name{impound.MustName("ns1.actor.test")},
		AddStatus: []string{"serverUpdateProhibited"}, RemStatus: []string{"clientHold"}, RemAllDS: true}
	want := Header + `<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><command><update><domain:update xmlns:domain="urn:ietf:params:xml:ns:domain-1.0"><domain:name>outlook-verify.example</domain:name>` +
		`<domain:add><domain:ns><domain:hostObj>ns1.sink.test</domain:hostObj></domain:ns><domain:status s="serverUpdateProhibited"/></domain:add>` +
		`<domain:rem><domain:ns><domain:hostObj>ns1.actor.test</domain:hostObj></domain:ns><domain:status s="clientHold"/></domain:rem></domain:update></update>` +
		`<extension><secDNS:update xmlns:secDNS="urn:ietf:params:xml:ns:secDNS-1.1"><secDNS:rem><secDNS:all>true</secDNS:all></secDNS:rem></secDNS:update></extension><clTRID>abc</clTRID></command></epp>`
	if d := cmp.Diff(want, string(u.frame("abc"))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]impound.Act{impound.ActNameservers, impound.ActHold, impound.ActLock, impound.ActRemoveDS}, u.Acts()); d != "" {
		t.Error(d)
	}
	back := DomainUpdate{Name: taken, AddDS: []DS{{4711, 13, 2, "ab01"}}}
	want = Header + `<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><command><update><domain:update xmlns:domain="urn:ietf:params:xml:ns:domain-1.0"><domain:name>outlook-verify.example</domain:name></domain:update></update>` +
		`<extension><secDNS:update xmlns:secDNS="urn:ietf:params:xml:ns:secDNS-1.1"><secDNS:add><secDNS:dsData><secDNS:keyTag>4711</secDNS:keyTag><secDNS:alg>13</secDNS:alg><secDNS:digestType>2</secDNS:digestType><secDNS:digest>AB01</secDNS:digest></secDNS:dsData></secDNS:add></secDNS:update></extension><clTRID>abc</clTRID></command></epp>`
	if d := cmp.Diff(want, string(back.frame("abc"))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]impound.Act{impound.ActRemoveDS}, back.Acts()); d != "" {
		t.Error(d)
	}
	u.HostAttr = true
	if s := string(u.frame("abc")); !strings.Contains(s, "<domain:ns><domain:hostAttr><domain:hostName>ns1.sink.test</domain:hostName></domain:hostAttr></domain:ns>") {
		t.Error(s)
	}
}

func TestUpdatesThatMakeNoSense(t *testing.T) {
	ns := impound.MustName("ns1.sink.test")
	f := newFake(t, framed(goodGreeting), nil)
	c := f.dial(t)
	n := len(f.frames())
	for name, u := range map[string]DomainUpdate{
		"no name":               {AddStatus: []string{"clientUpdateProhibited"}},
		"nothing":               {Name: taken},
		"unknown status":        {Name: taken, AddStatus: []string{`ok"/><x`}},
		"status ok":             {Name: taken, AddStatus: []string{"ok"}},
		"status twice":          {Name: taken, AddStatus: []string{"clientHold", "clientHold"}},
		"status added, removed": {Name: taken, AddStatus: []string{"clientHold"}, RemStatus: []string{"clientHold"}},
		"server twice":          {Name: taken, AddNS: []impound.Name{ns, ns}},
		"server added, removed": {Name: taken, AddNS: []impound.Name{ns}, RemNS: []impound.Name{ns}},
		"empty server":          {Name: taken, AddNS: []impound.Name{{}}},
		"DS removed and added":  {Name: taken, RemAllDS: true, AddDS: []DS{{1, 13, 2, "AB"}}},
		"DS twice":              {Name: taken, AddDS: []DS{{1, 13, 2, "AB"}, {1, 13, 2, "AB"}}},
		"DS that is none":       {Name: taken, AddDS: []DS{{1, 13, 2, `A"/><x`}}},
		"server inside":         {Name: taken, AddNS: []impound.Name{impound.MustName("ns.outlook-verify.example")}},
		"bad id":                {Name: taken, AddStatus: []string{"clientUpdateProhibited"}, ClTRID: "a b"},
		"long id":               {Name: taken, AddStatus: []string{"clientUpdateProhibited"}, ClTRID: strings.Repeat("x", 65)},
	} {
		if _, err := c.UpdateDomain(t.Context(), testPermits(t), u); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := len(f.frames()); got != n {
		t.Errorf("%d frames were sent", got-n)
	}
}

// A password is in the login frame on the wire, and nowhere else: not in what
// is recorded, not in errors, not where the server echoes it.
func TestPasswordIsKeptNowhere(t *testing.T) {
	const pw = "s3cret&word"
	echo := func(frame string) (string, bool) {
		return framed(`<epp xmlns="` + NSEPP + `"><response><result code="2005"><msg>bad s3cret&amp;word</msg><value>s3cret&#38;word</value><extValue><value><pw>s3cret&amp;word</pw></value><reason lang="s3cret&amp;word">s3cret&amp;word it was</reason></extValue></result>` + trids(clTRIDOf(frame))), false
	}
	f := newFake(t, framed(goodGreeting), echo)
	cfg := f.config()
	cfg.Password = []byte(pw)
	var kept bytes.Buffer
	cfg.Record = func(dir string, frame []byte) {
		fmt.Fprintf(&kept, "%s %s\n", dir, frame)
		if _, err := ParseXML(frame); err != nil {
			t.Errorf("what is kept is no XML any more: %v\n%s", err, frame)
		}
	}
	c, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if login := f.frames()[0]; !strings.Contains(login, "<pw>s3cret&amp;word</pw>") {
		t.Fatalf("login: %s", login)
	}
	_, err = c.InfoDomain(t.Context(), taken)
	if Code(err) != 2005 {
		t.Fatal(err)
	}
	c.Close()
	for what, s := range map[string]string{"frames": kept.String(), "error": err.Error(), "config": fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, cfg)} {
		if strings.Contains(s, "s3cret") {
			t.Errorf("%s: %s", what, s)
		}
	}
	if !strings.Contains(kept.String(), "<pw>********</pw>") {
		t.Errorf("no login in %s", kept.String())
	}
	// Transfer codes are secrets, too.
	if got := string(scrub([]byte(`<domain:authInfo><domain:pw roid="X-1">tr4nsfer</domain:pw></domain:authInfo>`), nil)); strings.Contains(got, "tr4nsfer") {
		t.Error(got)
	}
	// A password that is also a word of the protocol doesn't break the frame.
	frame := []byte(`<a xmlns="urn:ietf:params:xml:ns:domain-1.0"><domain x="y">domain</domain></a>`)
	if got := string(scrub(frame, []byte("domain"))); got != `<a xmlns="urn:ietf:params:xml:ns:domain-1.0"><domain x="y">********</domain></a>` {
		t.Error(got)
	}
}

func TestLongPasswordNeedsLoginSec(t *testing.T) {
	f := newFake(t, framed(goodGreeting), nil)
	cfg := f.config()
	cfg.Password = []byte("a password of more than sixteen")
	if _, err := Dial(t.Context(), cfg); impound.KindOf(err) != impound.KindInvalid || len(f.frames()) > 0 {
		t.Errorf("got %v", err)
	}
	f = newFake(t, framed(strings.Replace(goodGreeting, "</svcExtension>", "<extURI>"+NSLoginSec+"</extURI></svcExtension>", 1)), nil)
	cfg.Addr, cfg.TLS = f.addr, f.config().TLS
	c, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s := f.frames()[0]; !strings.Contains(s, "<pw>[LOGIN-SECURITY]</pw>") || !strings.Contains(s, "<loginSec:pw>a password of more than sixteen</loginSec:pw>") {
		t.Error(s)
	}
}

const infoAnswer = `<resData><d:infData xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>OUTLOOK-verify.example</d:name><d:roid>D1-X</d:roid><d:status s="clientHold"/><d:status s="ok">fine</d:status><d:registrant>jd1234</d:registrant><d:contact type="admin">sh8013</d:contact><d:ns><d:hostAttr><d:hostName>ns1.actor.test</d:hostName><d:hostAddr ip="v4">192.0.2.1</d:hostAddr></d:hostAttr></d:ns><d:host>ns1.outlook-verify.example</d:host><d:clID>ClientX</d:clID><d:crDate>2019-03-01T00:00:00Z</d:crDate><d:exDate>2027-03-01T01:00:00.0+01:00</d:exDate><d:authInfo><d:pw>2fooBAR</d:pw></d:authInfo></d:infData></resData>` +
	`<extension><x:other xmlns:x="urn:x"/><s:infData xmlns:s="urn:ietf:params:xml:ns:secDNS-1.1"><s:dsData><s:keyTag>12345</s:keyTag><s:alg>13</s:alg><s:digestType>2</s:digestType><s:digest>ab01</s:digest></s:dsData></s:infData><r:infData xmlns:r="urn:ietf:params:xml:ns:rgp-1.0"><r:rgpStatus s="redemptionPeriod"/></r:infData></extension>`

func TestInfoDomain(t *testing.T) {
	body := infoAnswer
	f := newFake(t, framed(goodGreeting), func(frame string) (string, bool) { return framed(okStart + body + trids(clTRIDOf(frame))), false })
	c := f.dial(t)
	got, err := c.InfoDomain(t.Context(), taken)
	if err != nil {
		t.Fatal(err)
	}
	want := DomainInfo{Name: taken, ROID: "D1-X", Statuses: []string{"clientHold", "ok"}, Registrant: "jd1234", NS: []impound.Name{impound.MustName("ns1.actor.test")}, HostAttr: true,
		Hosts: []impound.Name{impound.MustName("ns1.outlook-verify.example")}, Sponsor: "ClientX", Created: time.Date(2019, 3, 1, 0, 0, 0, 0, time.UTC), Expiry: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC),
		DS: []DS{{12345, 13, 2, "AB01"}}, RGP: []string{"redemptionPeriod"}}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); d != "" {
		t.Error(d)
	}
	for name, edit := range map[string][2]string{
		"another name":       {"OUTLOOK-verify.example", "other.example"},
		"a URL for a name":   {"OUTLOOK-verify.example", "https://outlook-verify.example/"},
		"a defanged name":    {"<d:hostName>ns1.actor.test", "<d:hostName>ns1[.]actor.test"},
		"an address":         {"<d:hostName>ns1.actor.test", "<d:hostName>192.0.2.1"},
		"no sponsor":         {"<d:clID>ClientX</d:clID>", ""},
		"a date that's none": {"2019-03-01T00:00:00Z", "yesterday"},
		"a key tag":          {"12345", "70000"},
		"a digest":           {"ab01", "xy"},
		"another object":     {`infData xmlns:d="urn:ietf:params:xml:ns:domain-1.0"`, `infData xmlns:d="urn:ietf:params:xml:ns:host-1.0"`},
		"no object":          {`<resData>`, `<extension>`},
	} {
		body = strings.ReplaceAll(infoAnswer, edit[0], edit[1])
		if name == "no object" {
			body = ""
		}
		c := f.dial(t)
		if got, err := c.InfoDomain(t.Context(), taken); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// One frame in many pieces, and two frames in one piece, are what TCP does.
func TestReadFrame(t *testing.T) {
	two := framed("<a/>") + framed("<bb/>")
	r := iotestOneByte{strings.NewReader(two)}
	for _, want := range []string{"<a/>", "<bb/>"} {
		if b, err := ReadFrame(r, MaxFrame); err != nil || string(b) != want {
			t.Errorf("%q %v", b, err)
		}
	}
	if _, err := ReadFrame(r, MaxFrame); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, err := ReadFrame(strings.NewReader(framed("<a/>")[:6]), MaxFrame); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v", err)
	}
	if _, err := ReadFrame(strings.NewReader(framed("<aaaaaaa/>")), 13); !errors.Is(err, ErrMalformed) {
		t.Errorf("over the bound: %v", err)
	}
	if b, err := ReadFrame(strings.NewReader(framed("<aaaaaaa/>")), 14); err != nil || len(b) != 10 {
		t.Errorf("at the bound: %q %v", b, err)
	}
}

type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return o.r.Read(p[:1])
}
