package sinkhole

import (
	"bufio"
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
	mail       bool
	recorded   bool
	errors     int
	rcpts      int
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
		ab := about{named: name != ""}
		ab.match, ab.ok = s.policy.Load().Lookup(name, now)
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
		st.from, st.mail = "", false
		if strings.EqualFold(verb, "HELO") {
			return "250 sinkhole", false
		}
		return "250-sinkhole\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME", false
	case "MAIL":
		box, ok := pathArg(arg, "FROM:")
		if !ok {
			return fault("501 5.5.4 Write MAIL FROM:<address>")
		}
		st.from, st.mail = mailDomain(box), true
		return "250 2.1.0 OK, but nobody here takes mail", false
	case "RCPT":
		box, ok := pathArg(arg, "TO:")
		if !ok {
			return fault("501 5.5.4 Write RCPT TO:<address>")
		}
		if !st.mail {
			return fault("503 5.5.1 MAIL first")
		}
		if st.rcpts++; st.rcpts > smtpRcpts {
			return "421 4.5.3 Too many recipients", true
		}
		name := mailDomain(box)
		if _, ok := s.policy.Load().Lookup(name, s.cfg.Now()); ok {
			record(name, answered)
			return "556 5.1.10 That name was seized and takes no mail (RFC 7505)", false
		}
		record(name, refused)
		return "550 5.7.1 No mail is taken for that name here", false
	case "RSET":
		st.from, st.mail = "", false
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
		return fault("502 5.5.1 Not offered")
	}
	return fault("500 5.5.2 Unknown command")
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// pathArg gives what stands between the angle brackets of MAIL FROM and RCPT TO.
func pathArg(arg, prefix string) (string, bool) {
	arg = strings.TrimSpace(arg)
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return "", false
	}
	arg = strings.TrimSpace(arg[len(prefix):])
	if !strings.HasPrefix(arg, "<") {
		return "", false
	}
	i := strings.LastIndexByte(arg, '>')
	if i < 0 {
		return "", false
	}
	return arg[1:i], true
}

// mailDomain gives the domain of a mailbox, and nothing else of it.
func mailDomain(box string) string {
	i := strings.LastIndexByte(box, '@')
	if i < 0 {
		return ""
	}
	d := box[i+1:]
	if strings.ContainsRune(d, ':') {
		return ""
	}
	return hostName(d)
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
