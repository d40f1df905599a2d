package mailconn

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
)

// MaxAnswer bounds a mail that is read as an answer.
const MaxAnswer = 25 << 20

// Answer is what a mail that came back says of the letter that it answers. It
// holds nothing of its text, and no mailbox but those of a delivery report.
type Answer struct {
	Kind   string    // "reply" | "delivered" | "delayed" | "failed"
	Refs   []string  // letters that it may be about: ids and Message-IDs, the likeliest first
	At     time.Time // as its head says; zero when it doesn't
	Domain string    // of its sender, as it claims
	Text   string    // what a delivery report says, in short
}

var letterRef = regexp.MustCompile(`L-[0-9a-f]{16}\b`)
var messageRef = regexp.MustCompile(`<[!-;=?-~]{3,250}>`)

// ReadAnswer reads a mail: an answer by somebody, or a delivery report (RFC
// 3464). It executes and fetches nothing, and does not say that the sender is
// who he says.
func ReadAnswer(raw []byte) (Answer, error) {
	var a Answer
	if len(raw) > MaxAnswer {
		return a, impound.Errorf(impound.KindInvalid, "it is larger than %d MB", MaxAnswer>>20)
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return a, impound.Errorf(impound.KindInvalid, "couldn't read it as a mail: %w", err).WithCure("save the original with all its heads, as .eml")
	}
	a.Kind = "reply"
	if t, err := m.Header.Date(); err == nil {
		a.At = t.UTC()
	}
	if f, err := mail.ParseAddress(m.Header.Get("From")); err == nil {
		_, a.Domain, _ = strings.Cut(f.Address, "@")
		a.Domain = line(a.Domain)
	}
	add := func(refs ...string) {
		for _, r := range refs {
			if !slices.Contains(a.Refs, r) && len(a.Refs) < 50 {
				a.Refs = append(a.Refs, r)
			}
		}
	}
	heads := func(h interface{ Get(string) string }) {
		add(messageRef.FindAllString(h.Get("In-Reply-To"), 5)...)
		refs := messageRef.FindAllString(h.Get("References"), -1)
		slices.Reverse(refs)
		add(refs[:min(len(refs), 20)]...)
	}
	heads(m.Header)
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err == nil && media == "multipart/report" && strings.EqualFold(params["report-type"], "delivery-status") {
		report(&a, m.Body, params["boundary"], add)
	}
	subject := m.Header.Get("Subject")
	if s, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
		subject = s
	}
	add(letterRef.FindAllString(subject, 5)...)
	return a, nil
}

// IsReport says whether head is that of a delivery report (RFC 3464): which mail it
// is about stands in its parts.
func IsReport(head []byte) bool {
	m, err := mail.ReadMessage(bytes.NewReader(head))
	if err != nil {
		return false
	}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	return err == nil && media == "multipart/report" && strings.EqualFold(params["report-type"], "delivery-status")
}

// report reads the parts of a delivery report.
func report(a *Answer, body io.Reader, boundary string, add func(...string)) {
	mr := multipart.NewReader(io.LimitReader(body, MaxAnswer), boundary)
	worst := ""
	var words []string
	for n := 0; n < 20; n++ {
		p, err := mr.NextRawPart()
		if err != nil {
			break
		}
		var r io.Reader = io.LimitReader(p, 256<<10)
		switch strings.ToLower(p.Header.Get("Content-Transfer-Encoding")) {
		case "base64":
			r = base64.NewDecoder(base64.StdEncoding, r)
		case "quoted-printable":
			r = quotedprintable.NewReader(r)
		}
		media, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		tp := textproto.NewReader(bufio.NewReader(r))
		switch media {
		case "message/delivery-status", "message/global-delivery-status":
			for group := 0; group < 100; group++ {
				h, err := tp.ReadMIMEHeader()
				if id := letterRef.FindString(h.Get("Original-Envelope-Id")); id != "" {
					add(id)
				}
				if act := strings.ToLower(strings.TrimSpace(h.Get("Action"))); act != "" {
					kind := map[string]string{"failed": "failed", "delayed": "delayed", "delivered": "delivered", "relayed": "delivered", "expanded": "delivered"}[act]
					if rank(kind) > rank(worst) {
						worst = kind
					}
					w := act
					for _, k := range []string{"Final-Recipient", "Status", "Remote-Mta", "Diagnostic-Code"} {
						if v := line(h.Get(k)); v != "" {
							w += ", " + strings.ToLower(k) + " " + v
						}
					}
					words = append(words, w)
				}
				if err != nil {
					break
				}
			}
		case "message/rfc822", "text/rfc822-headers", "message/global-headers":
			h, _ := tp.ReadMIMEHeader()
			add(messageRef.FindAllString(h.Get("Message-Id"), 1)...)
		}
	}
	if worst != "" {
		a.Kind, a.Text = worst, line(strings.Join(words, "; "))
	}
}

func rank(kind string) int { return slices.Index([]string{"", "delivered", "delayed", "failed"}, kind) }
