package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/impound/impound"
)

// Relay is the mail server that takes our messages.
type Relay struct {
	Addr  string      // host:port
	Auth  smtp.Auth   // nil: none
	TLS   *tls.Config // for STARTTLS; nil: the host's name, the system's roots
	Hello string      // our own name; "localhost" when empty
}

// sendingNote lies in a report's folder from before the first word to the relay
// until its answer is known.
const sendingNote = "sending"

// Send gives report id to the relay, once. The message must be as it was
// prepared, and is held against [Check] with what is known of the case now. A
// relay off this machine must offer STARTTLS. Intent and result go to the
// evidence log.
//
// When the connection breaks after the message was given, nobody knows whether
// it was taken: the report is then marked as sending, Send refuses it, and a person
// finds out and uses MarkSent, or Send with again. What the relay refused
// outright can be sent again.
func (s *Service) Send(ctx context.Context, by, id string, relay Relay, again bool) (Prepared, error) {
	if err := s.may(by); err != nil {
		return Prepared{}, err
	}
	unlock, err := s.lock()
	if err != nil {
		return Prepared{}, err
	}
	defer unlock()
	p, err := s.get(id)
	if err != nil || p.Sent != nil { // sent already: that is what was wanted
		return p, err
	}
	refuse := func(cure, format string, args ...any) (Prepared, error) {
		return p, impound.Errorf(impound.KindRefused, format, args...).At(id).WithCure(cure)
	}
	switch {
	case p.Purged:
		return refuse("prepare the case again", "the report was deleted when its retention ended")
	case p.Sending && !again:
		return refuse("ask the relay's log; then mark it as sent, or send it again", "an earlier try broke off: it may have arrived")
	case len(p.To) == 0:
		return refuse("give the network an abuse mailbox in the networks file and prepare again, or reach it another way and mark it as sent", "nobody to send it to")
	case !s.whole(p):
		return refuse("prepare the case again", "the files are not as they were prepared")
	}
	raw, err := os.ReadFile(p.Message())
	if err != nil {
		return p, impound.Errorf(impound.KindUnavailable, "couldn't read the message: %w", err).At(p.Message())
	}
	f, err := s.opt.Source.Facts(ctx, p.Case)
	if err != nil {
		return p, fmt.Errorf("couldn't read case %s: %w", p.Case, err)
	}
	m, err := parse(raw, p, s.opt.Reporter)
	if err != nil {
		return p, err
	}
	if ps := Check(m, f); len(ps) > 0 {
		return p, ps
	}
	if !f.Case.TLP.Within(impound.TLPAmberStrict) {
		return refuse("have the case's owner mark it amber+strict or below first", "case %s is marked TLP:RED by now", p.Case)
	}
	for _, d := range f.Case.Domains {
		m := d.Marking.In(f.Case.Marking())
		if slices.Contains(p.Names, d.Name.Defanged()) && (!m.TLP.Within(impound.TLPAmberStrict) || !m.PAP.Within(impound.PAPAmber)) {
			return refuse("prepare the case again, which leaves it out", "%s is marked TLP:RED or PAP:RED by now", d.Name.Defanged())
		}
	}
	now := s.opt.Now().UTC()
	for _, o := range f.Orders {
		for _, have := range p.Orders {
			if o.ID == have && now.Before(o.SealedUntil) {
				return refuse("wait until it is unsealed", "order %s is sealed until %s", o.ID, o.SealedUntil.UTC().Format(time.RFC3339))
			}
		}
	}

	intent := fmt.Sprintf("notify.send:%s:%d", p.ID, now.UnixNano())
	if _, err := s.opt.Log.Append(ctx, impound.Entry{ID: intent, Type: impound.EntryIntent, At: now, By: by, What: "notify.send", Case: p.Case, Detail: map[string]string{"report": p.ID, "network": ownerName(p.Network), "relay": oneLine(relay.Addr), "hash message": impound.HashBytes(raw)}}); err != nil {
		return p, fmt.Errorf("couldn't record the intent to send report %s: %w", p.ID, err)
	}
	note := filepath.Join(p.Dir, sendingNote)
	if err := errors.Join(writeSync(note, nil), syncDir(p.Dir)); err != nil {
		return p, impound.Errorf(impound.KindUnavailable, "couldn't note that report %s is being sent: %w", p.ID, err).At(p.Dir)
	}
	unsure, serr := relay.send(ctx, s.opt.Reporter.Mail, p.To, raw)
	result := impound.Entry{ID: intent + ":done", Type: impound.EntryResult, At: s.opt.Now().UTC(), By: by, What: "notify.send", Case: p.Case, Intent: intent, Detail: map[string]string{"report": p.ID, "outcome": "taken"}}
	if serr != nil {
		result.Detail["outcome"] = "refused"
		if unsure {
			result.Detail["outcome"] = "unknown"
		} else if err := errors.Join(os.Remove(note), syncDir(p.Dir)); err != nil {
			s.opt.Logger.WarnContext(ctx, "couldn't take back the note of sending", "report", p.ID, "error", err)
		}
	}
	if _, err := s.opt.Log.Append(ctx, result); err != nil {
		return p, errors.Join(serr, fmt.Errorf("couldn't record how sending report %s went: %w", p.ID, err))
	}
	if serr != nil {
		p.Sending = unsure
		e := impound.Errorf(impound.KindUnavailable, "couldn't send report %s: %w", p.ID, serr).At(relay.Addr)
		if unsure {
			return p, e.WithCure("it may have arrived: ask the relay's log")
		}
		return p, e.WithCure("check the relay, then send it again")
	}
	return p, s.sent(ctx, &p, by, "mail by "+relay.Addr)
}

// send says whether, on an error, the message may have been taken all the same.
func (r Relay) send(ctx context.Context, from string, to []string, raw []byte) (unsure bool, err error) {
	host, _, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return false, err
	}
	conn, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil { // a socket's deadline is real time
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return false, err
	}
	defer c.Close()
	hello := r.Hello
	if hello == "" {
		hello = "localhost"
	}
	if err := c.Hello(hello); err != nil {
		return false, err
	}
	if ok, _ := c.Extension("STARTTLS"); ok {
		conf := r.TLS.Clone()
		if conf == nil {
			conf = &tls.Config{}
		}
		if conf.ServerName == "" {
			conf.ServerName = host
		}
		if err := c.StartTLS(conf); err != nil {
			return false, err
		}
	} else if a, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err != nil || !a.Addr().Unmap().IsLoopback() {
		return false, errors.New("the relay is not on this machine and offers no STARTTLS: a report holds people's addresses")
	}
	if r.Auth != nil {
		if err := c.Auth(r.Auth); err != nil {
			return false, err
		}
	}
	if err := c.Mail(from); err != nil {
		return false, err
	}
	for _, t := range to {
		if err := c.Rcpt(t); err != nil {
			return false, err
		}
	}
	w, err := c.Data()
	if err != nil {
		return false, err
	}
	if _, err := w.Write(raw); err != nil {
		return false, err // without the last dot a server takes nothing (RFC 5321 4.1.1.4)
	}
	if err := w.Close(); err != nil {
		var said *textproto.Error
		return !errors.As(err, &said), err
	}
	_ = c.Quit() // it was taken: what comes now changes nothing
	return false, nil
}

// parse reads back a message that Render wrote.
func parse(raw []byte, p Prepared, from Reporter) (Message, error) {
	bad := func(err error) (Message, error) {
		return Message{}, impound.Errorf(impound.KindInvalid, "couldn't read the prepared message: %w", err).At(p.Message()).WithCure("prepare the case again")
	}
	m := Message{ID: p.ID, From: from, TLP: p.TLP}
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return bad(err)
	}
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return bad(err)
	}
	to, err := msg.Header.AddressList("To")
	if err != nil {
		return bad(err)
	}
	for _, a := range to {
		m.To = append(m.To, a.Address)
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return bad(err)
	}
	mr := multipart.NewReader(msg.Body, params["boundary"])
	for first := true; ; first = false {
		part, err := mr.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return bad(err)
		}
		if first {
			text, err := io.ReadAll(quotedprintable.NewReader(part))
			if err != nil {
				return bad(err)
			}
			m.Text = string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
			continue
		}
		media, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			return bad(err)
		}
		m.Attachments = append(m.Attachments, Attachment{Name: part.FileName(), Media: media})
	}
}
