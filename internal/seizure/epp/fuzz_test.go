package epp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/impound/impound"
)

func FuzzReadFrame(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x00\x00\x00\x00", "\x00\x00\x00\x04", "\x00\x00\x00\x05x", "\xff\xff\xff\xffx", "HTTP/1.1", framed(goodGreeting), framed("<a/>") + framed("<b/>")} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const max = 1 << 12
		r := bytes.NewReader(b)
		for {
			before := r.Len()
			p, err := ReadFrame(r, max)
			if err != nil {
				if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrMalformed) {
					t.Fatal(err)
				}
				return
			}
			if len(p) == 0 || len(p) > max-4 || before-r.Len() != len(p)+4 {
				t.Fatalf("%d octets of %d taken", len(p), before-r.Len())
			}
			if !bytes.HasPrefix(b[len(b)-before:], Frame(p)) {
				t.Fatal("framing it again gives other octets")
			}
		}
	})
}

// FuzzAnswer: no answer makes any decoder panic, success is only what proves to
// be an answer to this command, and what is kept holds no password.
func FuzzAnswer(f *testing.F) {
	const id, pw = "IMP-1", "s3cret-word"
	check := `<resData><h:chkData xmlns:h="urn:ietf:params:xml:ns:host-1.0"><h:cd><h:name avail="1">outlook-verify.example</h:name></h:cd></h:chkData></resData>`
	poll := `<msgQ count="5" id="12"><qDate>2026-11-21T10:00:00Z</qDate><msg>done</msg></msgQ><resData><d:panData xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name paResult="1">outlook-verify.example</d:name><d:paTRID><clTRID>IMP-1</clTRID><svTRID>S</svTRID></d:paTRID><d:paDate>2026-11-21T10:00:00Z</d:paDate></d:panData></resData>`
	contact := func(inner string) string {
		return okStart + `<resData><c:infData xmlns:c="urn:ietf:params:xml:ns:contact-1.0">` + inner + `</c:infData></resData>` + trids(id)
	}
	post := `<c:postalInfo type="loc"><c:name>Désk</c:name><c:org>Unit &amp; Co</c:org><c:addr><c:street>1 Way</c:street><c:city>Łódź</c:city><c:cc>PL</c:cc></c:addr></c:postalInfo>`
	for _, s := range []string{
		contact(`<c:id>custodian-1</c:id><c:roid>C1-X</c:roid><c:status s="linked"/>` + post + `<c:voice>+1.425</c:voice><c:email>desk@custodian.example</c:email><c:clID>x</c:clID><c:crID>x</c:crID><c:crDate>2026-11-21T10:00:00Z</c:crDate>`),
		contact(`<c:id>other</c:id>` + post), contact(`<c:id>custodian-1</c:id><c:postalInfo type="int"/>` + post + post), contact(`<c:id/>`), contact(``),
		okStart + `<resData><d:renData xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>outlook-verify.example</d:name><d:exDate>2027-11-21T10:00:00Z</d:exDate></d:renData></resData>` + trids(id),
	} {
		f.Add([]byte(s))
	}
	for _, s := range []string{okStart + trids(id), okStart + trids(""), okStart + infoAnswer + trids(id), okStart + check + trids(id), okStart + poll + trids(id), goodGreeting, "", "<", "<a:b xmlns:a=''/>", `<!DOCTYPE a>`, "<pw>" + pw + "</pw>", pw, "<a>&#115;3cret-word</a>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if kept := scrub(b, []byte(pw)); bytes.Contains(stripTags(kept), []byte(pw)) {
			t.Fatalf("kept %q", kept)
		}
		r, resp, err := parseResponse(b, id)
		if err != nil {
			if resp != nil {
				t.Fatal("an error and an answer")
			}
			return
		}
		if r.Code < 2000 && r.ClTRID != id {
			t.Fatalf("success for another command: %+v", r)
		}
		if !bytes.Contains(b, []byte(NSEPP)) {
			t.Fatal("an answer in no namespace of EPP")
		}
		if d, err := parseDomainInfo(resp, taken); err == nil && (d.Name != taken || d.Sponsor == "") {
			t.Fatalf("%+v", d)
		}
		if h, err := parseHostInfo(resp, taken); err == nil && h.Name != taken {
			t.Fatalf("%+v", h)
		}
		if a, err := parseCheck(resp, NSHost, []impound.Name{taken}); err == nil && len(a) != 1 {
			t.Fatalf("%+v", a)
		}
		if i, err := parseContactInfo(resp, "custodian-1"); err == nil && i.ID != "custodian-1" {
			t.Fatalf("%+v", i)
		}
		if m, err := parsePoll(resp); err == nil && m.ID == "" {
			t.Fatalf("%+v", m)
		}
	})
}

// stripTags gives the octets outside of tags.
func stripTags(b []byte) []byte {
	var out strings.Builder
	for s := string(b); s != ""; {
		text, rest, ok := strings.Cut(s, "<")
		out.WriteString(text + "\x00")
		if !ok {
			break
		}
		_, s, _ = strings.Cut(rest, ">")
	}
	return []byte(out.String())
}
