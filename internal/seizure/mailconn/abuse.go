package mailconn

import (
	"bytes"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// Abuse is what a machine at an abuse desk is told of one name. It holds nothing
// of any person.
type Abuse struct {
	Name   impound.Name
	At     time.Time // when the letter was written
	Letter string    // its id, for answers
	Text   string    // what is asked and why; defanged, at most 1000 runes
}

// maxAbuse bounds the names that one letter tells machines of, two parts each.
const maxAbuse = 500

// abuse gives the parts for machines of a letter to an abuse desk: for each name
// a XARF report and an ARF one (RFC 5965).
//
// Only a request has them: who is asked to undo must not block more, and a
// reminder reports nothing new. Desks have programs which pass reports of that
// kind on to the customer, who is the actor: where the order forbids that it be
// told, or is sealed yet, none goes along.
func (c *Connector) abuse(r seizure.Request, p Papers) (files []File, arfs [][]byte, err error) {
	if c.cfg.XARF == nil || r.Kind != seizure.LetterRequest || r.Revert || r.Release != "" || p.Order.Authority.Gag || p.Order.SealedUntil.After(r.At) {
		return nil, nil, nil
	}
	if len(r.Changes) > maxAbuse {
		return nil, nil, impound.Errorf(impound.KindInvalid, "reports for an abuse desk go along for at most %d names, and the letter has %d", maxAbuse, len(r.Changes)).At("provider " + c.cfg.Provider).WithCure("leave abuse_desk out for it: the letter, request.csv and request.json have no such bound")
	}
	for i, ch := range r.Changes {
		by := "an order by agreement"
		if p.Order.Authority.Court != "" {
			by = "a court order"
		}
		a := Abuse{Name: ch.Name, At: r.At.UTC(), Letter: r.ID,
			Text: clipRunes("The domain name "+ch.Name.Defanged()+" is the subject of "+by+" against spear phishing. Letter "+r.ID+", which this goes along with, asks of you: "+strings.Join(asked(ch), "; ")+". This report permits nothing more.", 1000)}
		x, err := c.cfg.XARF(a)
		if err != nil {
			return nil, nil, fmt.Errorf("couldn't write a XARF report: %w", err)
		}
		files = append(files, File{fmt.Sprintf("xarf-%03d.json", i+1), "application/json", "report of " + ch.Name.Defanged() + " for machines (XARF)", x})
		arfs = append(arfs, arf(a))
	}
	return files, arfs, nil
}

func clipRunes(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-3]) + "..."
	}
	return s
}

// arf gives one report as a MIME part: multipart/report as RFC 5965 section 2 has
// it. There is no mail that it complains of, so the head that is its third part
// names no sender: programs block those.
func arf(a Abuse) []byte {
	var m bytes.Buffer
	b := boundary()
	m.WriteString("Content-Type: multipart/report; report-type=feedback-report;\r\n boundary=\"" + b + "\"\r\n\r\n" +
		"--" + b + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	q := quotedprintable.NewWriter(&m)
	_, _ = q.Write([]byte(strings.ReplaceAll(wrapText(a.Text, 74), "\n", "\r\n") + "\r\n"))
	_ = q.Close()
	m.WriteString("\r\n--" + b + "\r\nContent-Type: message/feedback-report\r\n\r\n" +
		"Feedback-Type: fraud\r\nUser-Agent: " + Tool + "/1\r\nVersion: 1\r\nReported-Domain: " + a.Name.String() + "\r\n" +
		"\r\n--" + b + "\r\nContent-Type: text/rfc822-headers\r\n\r\n" +
		"Date: " + a.At.Format("Mon, 02 Jan 2006 15:04:05 +0000") + "\r\nSubject: [no mail: this is about a domain name, letter " + a.Letter + "]\r\n" +
		"\r\n--" + b + "--\r\n")
	return m.Bytes()
}
