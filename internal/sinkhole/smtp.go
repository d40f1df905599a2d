package sinkhole

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/impound/impound"
)

// SMTP: a loop of our own, since the point is what it does not do. It knows no
// DATA, no BDAT and no AUTH, so that neither mail nor credentials are ever
// taken; after a client tries one of them, the connection ends, so that what
// follows is not even read as commands.

const (
	smtpLine   = 1000 // octets of a line, RFC 5321 4.5.3.1
	smtpErrors = 10
	smtpLife   = 5 * time.Minute
	smtpRcpts  = 100
)

type smtpSession struct {
	helo, from string
	sender     string // keyed hash of the sender's mailbox: nothing else of it outlives its line
	rcpt       string // the same of the recipient
	mail       bool
	recorded   bool
	errors     int
	rcpts      int

	startTLS bool // the handshake comes next
	secure   bool
	facts    helloFacts
}

func (s *Sinkhole) serveSMTP(c net.Conn) {
	src, dst := addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	end := time.Now().Add(smtpLife)
	in := bufio.NewReaderSize(c, smtpLine)
	var st smtpSession
	record := func(name, outcome string) {
		now := s.cfg.Now()
		ev := contact(impound.ProtoSMTP, src, dst, now)
		ev.Name, ev.Helo, ev.FromDomain, ev.Outcome = name, st.helo, st.from, outcome
		st.facts.into(&ev)
		ab := about{named: name != ""}
		ab.match, ab.ok = s.policy.Load().Lookup(name, now)
		if ab.ok && ab.match.Order.Capture == impound.CaptureLure {
			ev.SenderHash, ev.RcptHash = st.sender, st.rcpt
		}
		s.record(&ev, ab)
		st.recorded = true
	}
	// Whoever leaves without having named a recipient is recorded too.
	finish := func(outcome string) {
		if !st.recorded {
			record("", outcome)
		}
	}
	reply := func(line string) bool {
		c.SetWriteDeadline(earlier(end, time.Now().Add(s.cfg.Limits.HeadTimeout)))
		_, err := c.Write([]byte(line + "\r\n"))
		return err == nil
	}
	if !reply("220 sinkhole ESMTP: no mail is taken here") {
		finish(refused)
		return
	}
	for {
		c.SetReadDeadline(earlier(end, time.Now().Add(max(s.cfg.Limits.HeadTimeout, s.cfg.Limits.IdleTimeout))))
		line, err := in.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				finish(malformed)
				reply("500 5.5.2 Line too long")
				return
			}
			finish(refused)
			return
		}
		answer, hangUp := s.smtpCommand(&st, line, record, finish)
		clear(line) // nothing of it is needed any more
		if !reply(answer) {
			finish(refused)
			return
		}
		if hangUp {
			return
		}
		if !st.startTLS {
			continue
		}
		// What was said in the clear, or came with it, counts no more (RFC 3207
		// 4.2, CVE-2011-0411).
		if n := in.Buffered(); n > 0 {
			b, _ := in.Peek(n)
			clear(b)
		}
		st = smtpSession{secure: true, recorded: st.recorded, errors: st.errors, rcpts: st.rcpts}
		hello := newHelloConn(c, func(f helloFacts, ok bool) {
			if f.silent {
				return // finish tells
			}
			st.facts = f
			outcome := refused
			if !ok {
				outcome = malformed
			} else if s.showsSMTP(f.sni) {
				outcome = answered
			}
			s.n.hellos.Add(1)
			record(f.sni, outcome)
		})
		sc := tls.Server(hello, s.certs.smtpTLS(s))
		c.SetDeadline(earlier(end, time.Now().Add(s.cfg.Limits.HeadTimeout)))
		if err := sc.HandshakeContext(context.Background()); err != nil {
			finish(refused)
			return
		}
		defer sc.Close()
		c, in = sc, bufio.NewReaderSize(sc, smtpLine)
	}
}

// smtpCommand handles one line. It calls record or finish before the answer of
// the commands that say what somebody came for.
func (s *Sinkhole) smtpCommand(st *smtpSession, raw []byte, record func(name, outcome string), finish func(outcome string)) (answer string, hangUp bool) {
	fault := func(answer string) (string, bool) {
		if st.errors++; st.errors >= smtpErrors {
			finish(malformed)
			return "421 4.7.0 Too many errors", true
		}
		return answer, false
	}
	line := strings.TrimRight(string(raw), "\r\n")
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		st.helo = heloName(arg)
		st.from, st.sender, st.mail = "", "", false
		if strings.EqualFold(verb, "HELO") {
			return "250 sinkhole", false
		}
		offer := ""
		if !st.secure && s.offersTLS() {
			offer = "250-STARTTLS\r\n"
		}
		return "250-sinkhole\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n" + offer + "250-SMTPUTF8\r\n250 8BITMIME", false
	case "MAIL":
		local, domain, ok := mailPath(arg, "FROM:")
		if !ok {
			return fault("501 5.5.4 Write MAIL FROM:<address>")
		}
		st.from, st.sender, st.mail = domain, s.mailHash(local, domain), true
		return "250 2.1.0 OK, but nobody here takes mail", false
	case "RCPT":
		local, name, ok := mailPath(arg, "TO:")
		if !ok {
			return fault("501 5.5.4 Write RCPT TO:<address>")
		}
		if !st.mail {
			return fault("503 5.5.1 MAIL first")
		}
		if st.rcpts++; st.rcpts > smtpRcpts {
			return "421 4.5.3 Too many recipients", true
		}
		st.rcpt = s.mailHash(local, name)
		defer func() { st.rcpt = "" }()
		if _, ok := s.policy.Load().Lookup(name, s.cfg.Now()); ok {
			record(name, answered)
			return "556 5.1.10 That name was seized and takes no mail (RFC 7505)", false
		}
		record(name, refused)
		return "550 5.7.1 No mail is taken for that name here", false
	case "RSET":
		st.from, st.sender, st.mail = "", "", false
		return "250 2.0.0 OK", false
	case "NOOP":
		return fault("250 2.0.0 OK")
	case "VRFY", "EXPN":
		return fault("252 2.1.5 That is told to nobody")
	case "QUIT":
		finish(refused)
		return "221 2.0.0 Bye", true
	case "DATA", "BDAT":
		finish(refused)
		return "554 5.5.1 No mail is taken here", true
	case "AUTH":
		finish(refused)
		return "502 5.5.1 Nobody signs in here; a password that you sent was not read, but crossed the network", true
	case "STARTTLS":
		switch {
		case st.secure:
			return fault("503 5.5.1 TLS is on already")
		case arg != "":
			return fault("501 5.5.4 Write STARTTLS alone")
		case !s.offersTLS():
			return fault("502 5.5.1 Not offered")
		}
		st.startTLS = true
		return "220 2.0.0 Begin", false
	}
	return fault("500 5.5.2 Unknown command")
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// offersTLS says whether anybody could be shown a certificate.
func (s *Sinkhole) offersTLS() bool {
	_, ok := s.policy.Load().Floor(s.cfg.Now())
	return ok && !s.cfg.NoCerts
}

// showsSMTP says whether whoever names sni in the handshake is shown a
// certificate.
func (s *Sinkhole) showsSMTP(sni string) bool {
	if sni == "" {
		return s.offersTLS()
	}
	now := s.cfg.Now()
	m, ok := s.policy.Load().Lookup(sni, now)
	return ok && s.certificate(m, now) != nil
}

// mailPath reads the path of MAIL FROM and RCPT TO (RFC 5321 4.1.2, RFC 6531):
// the local part as it is meant, without quotes, and the domain in ASCII, which
// is "" where there is none, or no host name. Routes are skipped, as 4.1.1.3
// says. The local part must go no further than [Sinkhole.mailHash].
func mailPath(arg, prefix string) (local, domain string, ok bool) {
	arg = strings.TrimSpace(arg)
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return "", "", false
	}
	arg, ok = strings.CutPrefix(strings.TrimSpace(arg[len(prefix):]), "<")
	if !ok {
		return "", "", false
	}
	if strings.HasPrefix(arg, "@") {
		i := strings.IndexAny(arg, ":>")
		if i < 0 || arg[i] == '>' {
			return "", "", false
		}
		arg = arg[i+1:]
	}
	if strings.HasPrefix(arg, `"`) {
		var b strings.Builder
		i := 1
		for ; i < len(arg) && arg[i] != '"'; i++ {
			if arg[i] == '\\' {
				if i++; i == len(arg) {
					break
				}
			}
			b.WriteByte(arg[i])
		}
		if i >= len(arg) {
			return "", "", false
		}
		local, arg = b.String(), arg[i+1:]
		if !strings.HasPrefix(arg, "@") && !strings.HasPrefix(arg, ">") {
			return "", "", false
		}
	}
	box, _, ok := strings.Cut(arg, ">")
	if !ok {
		return "", "", false
	}
	i := strings.LastIndexByte(box, '@')
	if i < 0 {
		return local + box, "", true
	}
	return local + box[:i], mailDomain(box[i+1:]), true
}

// mailDomain gives a mail domain in lower-case ASCII; "" when it is none.
func mailDomain(d string) string {
	if strings.ContainsRune(d, ':') {
		return ""
	}
	for i := range len(d) {
		if d[i] >= 0x80 {
			n, err := impound.ParseName(d)
			if err != nil {
				return ""
			}
			return hostName(n.String())
		}
	}
	return hostName(d)
}

// mailHash is the keyed hash under which a mailbox may be known at level lure:
// HMAC-SHA-256 of it in lower case. It is "" without a key, and for no mailbox.
func (s *Sinkhole) mailHash(local, domain string) string {
	if local == "" || domain == "" || len(s.cfg.LureKey) == 0 {
		return ""
	}
	m := hmac.New(sha256.New, s.cfg.LureKey)
	m.Write([]byte(strings.ToLower(local) + "@" + domain))
	return hex.EncodeToString(m.Sum(nil))
}

// heloName keeps a host name or an address literal.
func heloName(arg string) string {
	arg = strings.TrimSpace(arg)
	if h := hostName(arg); h != "" {
		return h
	}
	if strings.HasPrefix(arg, "[") && strings.HasSuffix(arg, "]") && len(arg) < 60 {
		for _, r := range arg[1 : len(arg)-1] {
			if !strings.ContainsRune("0123456789abcdefABCDEF.:IPv", r) {
				return ""
			}
		}
		return arg
	}
	return ""
}
