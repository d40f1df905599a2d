// Package mailbox reads the mailbox that answers to our letters come to, by IMAP.
//
// What lives here: the session, its bounds, and the place up to which a mailbox
// was read. What must not: knowing what a letter is, keeping anything of a mail
// (whoever asks says of each head whether he wants the mail), and changing the
// mailbox: it is opened read-only, and nothing is marked as read, moved or
// deleted.
package mailbox

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/impound/impound"
)

// Config is one mailbox.
type Config struct {
	Addr     string      // HOST:PORT, mostly 993
	StartTLS bool        // instead of TLS from the first octet (RFC 8314)
	Plain    bool        // no TLS; for a server on this machine only
	TLS      *tls.Config // nil: the system's roots and Addr's host
	User     string
	Password []byte
	Folder   string    // "" is INBOX
	Since    time.Time // mails that came before this day are not looked at, where no place is known

	MaxMail  int64         // of one mail that is taken; 0 is 25 MB
	MaxMails int           // looked at in one session; 0 is 500
	MaxTalk  int64         // all that a server may say in one session; 0 is 96 MB
	Timeout  time.Duration // of one session; 0 is 5 min
}

// maxHead bounds the head of a mail.
const maxHead = 64 << 10

// String gives what may be shown of c.
func (c Config) String() string { return "mailbox of " + c.User + " at " + c.Addr }

// GoString gives what may be shown of c.
func (c Config) GoString() string { return c.String() }

// Format writes what may be shown of c, whatever the verb: the password never.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue gives what may be logged of c.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Check says what is wrong with c; the error is KindInvalid.
func (c Config) Check() error {
	bad := func(where, cure, format string, args ...any) error {
		return impound.Errorf(impound.KindInvalid, format, args...).At(where).WithCure(cure)
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err == nil && host == "" {
		err = errors.New("no host")
	}
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	a, aerr := netip.ParseAddr(host)
	switch {
	case err != nil:
		return bad("imap", "write HOST:PORT, such as imap.unit.example:993", "couldn't read the mailbox's address: %w", err)
	case c.Plain && host != "localhost" && (aerr != nil || !a.Unmap().IsLoopback()):
		return bad("tls", "leave tls: out, or write starttls or implicit", "a mailbox off this machine is reached by TLS only")
	case c.Plain && c.StartTLS:
		return bad("tls", "", "with TLS or without it, not both")
	case c.User == "" || len(c.Password) == 0:
		return bad("user", "fill in user and password_file", "a mailbox without a login")
	case strings.ContainsAny(c.User+c.Folder+string(c.Password), "\r\n\x00"):
		return bad("user", "", "user, password and folder are one line each")
	}
	return nil
}

// Place is up to where a mailbox was read. It holds nothing of a mail.
type Place struct {
	Validity uint32 `json:"validity"` // the server's UIDVALIDITY (RFC 9051 2.3.1.1): with another one, all numbers are others
	UID      uint32 `json:"uid"`      // the last that was looked at
}

// Seen is what a session saw.
type Seen struct {
	Looked  int   `json:"looked"`            // mails whose head was read
	Taken   int   `json:"taken"`             // mails that were wanted, and taken
	Large   int   `json:"large,omitempty"`   // wanted, and larger than MaxMail: left where they are
	More    bool  `json:"more,omitempty"`    // there are more than one session looks at
	LargeAt Place `json:"large_at,omitzero"` // of the last of them
}

// Read looks at the mails after place, oldest first. Of each it has wants see the
// head; what it wants is fetched whole and given to take. The place that it gives
// is behind the last mail that was dealt with, also with an error: what take
// refused is met again by the next session. Errors of the server and of the way
// to it are KindUnavailable.
func Read(ctx context.Context, c Config, from Place, wants func(head []byte) bool, take func(raw []byte) error) (at Place, seen Seen, err error) {
	at = from
	if err := c.Check(); err != nil {
		return at, seen, err
	}
	if c.MaxMail == 0 {
		c.MaxMail = 25 << 20
	}
	if c.MaxMails == 0 {
		c.MaxMails = 500
	}
	if c.MaxTalk == 0 {
		c.MaxTalk = 96 << 20
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	refused := error(nil) // what take said: it is no fault of the server's
	fail := func(what string, err error) error {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if _, no := errors.AsType[*imap.Error](err); !no && ctx.Err() == nil && !errors.Is(err, errTalk) && !network(err) {
			err = errors.New("its answer could not be read") // the library's words may hold some of a mail
		}
		// A server may say a password back.
		words := strings.ReplaceAll(strings.ToValidUTF8(err.Error(), "?"), string(c.Password), "...")
		if len(words) > 300 {
			words = words[:300] + "..."
		}
		return impound.Errorf(impound.KindUnavailable, "couldn't %s: %.400q", what, words).At(c.String())
	}
	s, err := c.dial(ctx)
	if err != nil {
		return at, seen, fail("reach the mailbox", err)
	}
	defer s.Close()
	if err := s.Login(c.User, string(c.Password)).Wait(); err != nil {
		return at, seen, fail("log in", err)
	}
	folder := c.Folder
	if folder == "" {
		folder = "INBOX"
	}
	box, err := s.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return at, seen, fail("open the folder", err)
	}
	if box.UIDValidity == 0 {
		return at, seen, fail("open the folder", errors.New("the server gives its mails no lasting numbers (UIDVALIDITY)"))
	}
	if at.Validity != box.UIDValidity {
		at = Place{Validity: box.UIDValidity}
	}
	what := &imap.SearchCriteria{}
	if at.UID == 0 {
		what.Since = c.Since
	} else {
		var set imap.UIDSet
		set.AddRange(imap.UID(at.UID)+1, 0) // 0 is *
		what.UID = []imap.UIDSet{set}
	}
	found, err := s.UIDSearch(what, nil).Wait()
	if err != nil {
		return at, seen, fail("look for mails", err)
	}
	all, _ := found.All.(imap.UIDSet)
	uids := after(all, at.UID, c.MaxMails+1)
	if seen.More = len(uids) > c.MaxMails; seen.More {
		uids = uids[:c.MaxMails]
	}
	for _, u := range uids {
		head, size, err := fetch(s, u, imap.PartSpecifierHeader, maxHead)
		if err != nil {
			return at, seen, fail("read the head of a mail", err)
		}
		switch seen.Looked++; {
		case len(head) == 0: // deleted since
		case !wants(head):
		case size > c.MaxMail:
			seen.Large, seen.LargeAt = seen.Large+1, Place{at.Validity, uint32(u)}
		default:
			raw, _, err := fetch(s, u, imap.PartSpecifierNone, c.MaxMail+1)
			if err != nil {
				return at, seen, fail("read a mail", err)
			}
			if int64(len(raw)) > c.MaxMail {
				seen.Large, seen.LargeAt = seen.Large+1, Place{at.Validity, uint32(u)}
				break
			}
			if len(raw) == 0 {
				break
			}
			if refused = take(raw); refused != nil {
				return at, seen, refused
			}
			seen.Taken++
		}
		at.UID = uint32(u)
	}
	// Where a mailbox was empty, what is in it by now is still before its next
	// number: that is the place to go on from.
	if len(uids) == 0 && at.UID == 0 && box.UIDNext > 1 {
		at.UID = uint32(box.UIDNext) - 1
	}
	_ = s.Logout().Wait()
	return at, seen, nil
}

// after gives the first most numbers of set behind last. n:* is never empty: the
// last mail is in it, whatever n is (RFC 9051 9); and a server may name four
// thousand million with a few octets.
func after(set imap.UIDSet, last uint32, most int) []imap.UID {
	var out []imap.UID
	for _, r := range set {
		lo, hi := uint64(min(r.Start, r.Stop)), uint64(max(r.Start, r.Stop))
		if r.Start == 0 || r.Stop == 0 { // "*" is no answer
			continue
		}
		lo = max(lo, uint64(last)+1)
		for u := lo; u <= hi && u < lo+uint64(most); u++ {
			out = append(out, imap.UID(u))
		}
		if len(out) > 4*most { // keep the first ones alone
			slices.Sort(out)
			out = slices.Compact(out)
			out = out[:min(len(out), most)]
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), most)]
}

// fetch gives the first most octets of a part of mail u, and how large the mail
// is; nothing where there is no such mail any more. It leaves it unread.
func fetch(s *imapclient.Client, u imap.UID, part imap.PartSpecifier, most int64) ([]byte, int64, error) {
	section := &imap.FetchItemBodySection{Specifier: part, Peek: true, Partial: &imap.SectionPartial{Size: most}}
	ms, err := s.Fetch(imap.UIDSetNum(u), &imap.FetchOptions{UID: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return nil, 0, err
	}
	for _, m := range ms {
		if m.UID == u && len(m.BodySection) == 1 {
			b := m.BodySection[0].Bytes
			return b[:min(int64(len(b)), most)], m.RFC822Size, nil
		}
	}
	return nil, 0, nil
}

// dial opens a session that ends with ctx.
func (c Config) dial(ctx context.Context) (*imapclient.Client, error) {
	host, _, _ := net.SplitHostPort(c.Addr)
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		conf = c.TLS.Clone()
	}
	if conf.ServerName == "" {
		conf.ServerName = host
	}
	raw, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { raw.Close() })
	var conn net.Conn = &budget{Conn: raw, left: c.MaxTalk}
	if !c.Plain && !c.StartTLS {
		t := tls.Client(conn, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		conn = t
	}
	return c.session(ctx, conn, conf)
}

// session begins one on a connection.
func (c Config) session(_ context.Context, conn net.Conn, conf *tls.Config) (*imapclient.Client, error) {
	if c.StartTLS {
		return imapclient.NewStartTLS(conn, &imapclient.Options{TLSConfig: conf})
	}
	s := imapclient.New(conn, nil)
	if err := s.WaitGreeting(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// network says whether err is of the way to the server.
func network(err error) bool {
	var n net.Error
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	return errors.As(err, &n) || errors.As(err, &op) || errors.As(err, &cert) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// budget is a connection whose other end may say so much and no more: what an IMAP
// server announces, the library gathers.
type budget struct {
	net.Conn
	left int64
}

var errTalk = errors.New("the server says too much in one session")

func (b *budget) Read(p []byte) (int, error) {
	if atomic.LoadInt64(&b.left) <= 0 {
		return 0, errTalk
	}
	n, err := b.Conn.Read(p)
	atomic.AddInt64(&b.left, -int64(n))
	return n, err
}

// blank ends a head that was cut, so that it can be read as a mail without a body.
var blank = []byte("\r\n\r\n")

// Head gives head in a form that ends as a head does.
func Head(head []byte) []byte {
	if bytes.Contains(head, blank) {
		return head
	}
	if i := bytes.LastIndex(head, []byte("\r\n")); i > 0 {
		head = head[:i]
	}
	return append(slices.Clip(head), blank...)
}
