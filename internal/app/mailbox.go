package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/mailbox"
	"github.com/impound/impound/internal/seizure/mailconn"
	"github.com/impound/impound/internal/store"
)

// MailboxConfig is the mailbox that answers to our letters come to: the one that
// mail.from names, best one of its own. It is read by IMAP and never changed: no
// mail is marked, moved or deleted. What answers no letter of ours, and is no
// delivery report of one, is looked at by its head and left.
type MailboxConfig struct {
	// IMAP is HOST:PORT: "imap.unit.example:993". Empty: nobody reads it, and
	// answers are filed by hand.
	IMAP string `yaml:"imap,omitempty" json:"imap,omitempty"`
	// TLS is "implicit" (the default), "starttls", or "none" for a server on this
	// machine. CA is a PEM file of who signed its certificate.
	TLS string `yaml:"tls,omitempty" json:"tls,omitempty"`
	CA  string `yaml:"ca,omitempty" json:"ca,omitempty"`
	// User and PasswordFile log in.
	User         string `yaml:"user,omitempty" json:"user,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty" json:"password_file,omitempty"`
	// Folder is the one that answers come to. Default INBOX.
	Folder string `yaml:"folder,omitempty" json:"folder,omitempty"`
	// Every is how often a serving process reads it: "5m", the default, no shorter
	// than "1m"; "off" leaves it to impound seize inbox.
	Every string `yaml:"every,omitempty" json:"every,omitempty"`
}

const (
	// inboxFor is for how long after the newest letter its answers are looked for.
	inboxFor = 180 * 24 * time.Hour
	// inboxReplies is how many answers to one letter are filed by themselves: a
	// mail is easily written, and a letter's number easily learnt.
	inboxReplies = 40
)

const docMailbox = "mailbox"

// mailboxDoc is up to where a mailbox was read. Lost, it is read anew, and what was
// filed is not filed twice.
type mailboxDoc struct {
	Place mailbox.Place `json:"place"`
	At    time.Time     `json:"at"`
}

func (c *Config) checkMailbox(state string, bad func(where, cure, format string, args ...any)) {
	m := c.Mail.Answers
	if m.IMAP == "" {
		return
	}
	if !slices.Contains([]string{"", "implicit", "starttls", "none"}, m.TLS) {
		bad("mail.answers.tls", "write implicit, starttls or none", "%q is no way to speak TLS", m.TLS)
	}
	if _, err := every(m.Every, 5*time.Minute); err != nil {
		bad("mail.answers.every", `write "5m", "1h", or "off"`, "%v", err)
	}
	if m.User == "" || m.PasswordFile == "" {
		bad("mail.answers", "fill in user and password_file", "a mailbox that nobody could log in to")
	}
	if len(c.Personal.SealTo) == 0 {
		bad("personal_data.seal_to", "put the age recipient (age1..., by age-keygen) of whoever may read mails there", "answers that come by mail hold personal data, and there is nobody to seal them to")
	}
	probe := mailbox.Config{Addr: m.IMAP, Plain: m.TLS == "none", User: "x", Password: []byte("x"), Folder: m.Folder}
	if err := probe.Check(); err != nil {
		var e *impound.Error
		errors.As(err, &e)
		bad("mail.answers."+e.Where, e.Cure, "%s", e.Msg)
	}
}

func (s *System) inboxLoop(ctx context.Context, often time.Duration) {
	wait := min(custodyStart, often)
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		wait = often
		if in, err := s.ReadInbox(impound.AsSystem(ctx), casework.System); err != nil && ctx.Err() == nil {
			s.log.Error("the mailbox could not be read to its end", "filed", in.Filed, "err", err)
		}
	}
}

// Inbox is what was found in the mailbox.
type Inbox struct {
	Looked int      `json:"looked"`             // mails whose heads were read
	Filed  int      `json:"filed"`              // answers and delivery reports that were filed, those that had been before among them
	Others int      `json:"others,omitempty"`   // delivery reports of other mails: left
	Large  int      `json:"large,omitempty"`    // larger than what is read: to be filed by hand
	Left   int      `json:"too_many,omitempty"` // beyond what is filed by itself for one letter
	Of     []string `json:"letters,omitempty"`  // that answers came to
	More   bool     `json:"more,omitempty"`
}

// ReadInbox reads the mailbox that answers come to, from where it was left, and
// files what answers a letter, or is a delivery report of one, as
// [System.FileAnswer] does: sealed. Of other mails nothing is kept. Nobody's answer
// makes a name done, and one that nobody has read puts off no reminder.
func (s *System) ReadInbox(ctx context.Context, by string) (Inbox, error) {
	var in Inbox
	if err := s.may(ctx, "ReadInbox", by); err != nil {
		return in, err
	}
	m := s.cfg.Mail.Answers
	if m.IMAP == "" {
		return in, impound.Errorf(impound.KindInvalid, "no mailbox is configured").At("mail.answers").WithCure("fill in imap, user and password_file; or file answers by hand: impound seize answer FILE.eml")
	}
	sees := ctx
	if by != casework.System {
		sees = impound.WithPrincipal(ctx, impound.Principal{ID: by})
	}
	// Whoever asks: answers to letters that he may not see are filed all the same.
	ctx = impound.AsSystem(ctx)
	s.inboxMu.Lock()
	defer s.inboxMu.Unlock()
	since, err := s.lettersSince(ctx)
	if err != nil || since.IsZero() {
		return in, err // no letter, no answer: nobody's mailbox is read for nothing
	}
	c, err := s.mailboxConfig()
	if err != nil {
		return in, err
	}
	c.Since = since
	id := strings.TrimPrefix(impound.HashBytes([]byte(m.IMAP+"\n"+m.User+"\n"+m.Folder)), "sha256:")[:24]
	var d mailboxDoc
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		d, _, err = store.Get[mailboxDoc](tx, docMailbox, id)
		return err
	})
	if err != nil && impound.KindOf(err) != impound.KindNotFound {
		return in, err
	}
	wants := func(head []byte) bool {
		a, err := mailconn.ReadAnswer(mailbox.Head(head))
		if err != nil {
			return false
		}
		if mailconn.IsReport(mailbox.Head(head)) {
			return true // which mail it is about stands inside
		}
		_, err = s.Seizure.LetterByRef(ctx, a.Refs...)
		return err == nil
	}
	take := func(raw []byte) error {
		l, err := s.fileAnswer(ctx, casework.System, "", raw, "")
		switch impound.KindOf(err) {
		case impound.KindNotFound, impound.KindInvalid:
			in.Others++
			return nil
		}
		switch {
		case errors.Is(err, errEnoughAnswers):
			in.Left++
			return nil
		case err != nil:
			return err
		}
		if in.Filed++; slices.Contains(in.Of, l.ID) {
			return nil
		}
		if _, err := s.letter(sees, l.ID); err == nil {
			in.Of = append(in.Of, l.ID)
		}
		return nil
	}
	at, seen, rerr := mailbox.Read(ctx, c, d.Place, wants, take)
	in.Looked, in.Large, in.More = seen.Looked, seen.Large, seen.More
	if in.Large+in.Left > 0 {
		s.log.Warn("answers were left in the mailbox: file them by hand, with impound seize answer", "too large", in.Large, "too many for one letter", in.Left)
	}
	err = s.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		_, err := store.Modify(tx, docMailbox, id, func(v *mailboxDoc) (map[string]string, error) {
			v.Place, v.At = at, s.now().UTC()
			return nil, nil
		})
		return err
	})
	if err != nil {
		err = fmt.Errorf("couldn't keep the mailbox's place, so it is read again from before: %w", err)
	}
	return in, errors.Join(rerr, err)
}

// lettersSince gives when the oldest letter was written whose answer may still
// come; zero when there is none.
func (s *System) lettersSince(ctx context.Context) (time.Time, error) {
	ls, err := s.Seizure.Letters(ctx, "")
	var first time.Time
	for _, l := range ls {
		if l.Via == "mail" && s.now().Sub(l.Made) < inboxFor && (first.IsZero() || l.Made.Before(first)) {
			first = l.Made
		}
	}
	return first, err
}

func (s *System) mailboxConfig() (mailbox.Config, error) {
	m := s.cfg.Mail.Answers
	c := mailbox.Config{Addr: m.IMAP, StartTLS: m.TLS == "starttls", Plain: m.TLS == "none", User: m.User, Folder: m.Folder, MaxMail: mailconn.MaxAnswer}
	pw, err := seizure.ReadSecret(s.cfg.Path(s.opt.State, m.PasswordFile))
	if err != nil {
		return c, fmt.Errorf("couldn't read the mailbox's password: %w", err)
	}
	c.Password = bytes.TrimRight(pw, "\r\n")
	if m.CA != "" {
		roots, err := ReadRoots(s.cfg.Path(s.opt.State, m.CA))
		if err != nil {
			return c, err
		}
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	return c, nil
}

// errEnoughAnswers says that a letter has as many answers as are filed by
// themselves.
var errEnoughAnswers = errors.New("it has as many answers as are filed by themselves")
