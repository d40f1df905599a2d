package mailconn

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// Relay is the mail server that takes our letters, mostly one of our own on its
// submission port (RFC 6409). Letters go over TLS: by STARTTLS, which must be
// offered, or from the first octet.
type Relay struct {
	Addr     string      // HOST:PORT
	Implicit bool        // TLS from the first octet (RFC 8314), as on port 465
	Plain    bool        // no TLS; for a relay on this machine only
	TLS      *tls.Config // nil: the system's roots and Addr's host
	User     string      // "" is no login
	Password []byte
	Hello    string // our own name; "localhost" when empty
}

const (
	maxLine  = 4 << 10   // of one reply, RFC 5321 asks for 512
	maxLines = 100       // of one reply
	maxTalk  = 256 << 10 // all that a server may say to us in one session
	quiet    = 2 * time.Minute
)

func (r Relay) check() error {
	host, port, err := net.SplitHostPort(r.Addr)
	if err == nil && host == "" {
		err = errors.New("no host")
	}
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return impound.Errorf(impound.KindInvalid, "couldn't read the mail server's address: %w", err).At("mail.relay").WithCure("write HOST:PORT, such as mail.unit.example:587")
	}
	if r.Plain && !loopback(host) {
		return impound.Errorf(impound.KindInvalid, "a mail server off this machine is reached by TLS only").At("mail.relay").WithCure("leave tls: out, or write starttls or implicit")
	}
	if r.Plain && r.User != "" {
		return impound.Errorf(impound.KindInvalid, "a password does not go over a connection without TLS").At("mail.relay")
	}
	if r.Plain && r.Implicit {
		return impound.Errorf(impound.KindInvalid, "with TLS or without it, not both").At("mail.relay")
	}
	return nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// said is a reply that says no.
type said struct {
	code int
	text string
}

func (s *said) Error() string { return "the mail server says " + s.text }

// talk is one session.
type talk struct {
	conn net.Conn
	r    *bufio.Reader
	left int64
	log  bytes.Buffer // what went to and fro, without passwords and the letter
	ext  map[string]string
}

// Read bounds what the server may say.
func (t *talk) Read(p []byte) (int, error) {
	if t.left <= 0 {
		return 0, errors.New("the mail server talks without end")
	}
	if int64(len(p)) > t.left {
		p = p[:t.left]
	}
	_ = t.conn.SetReadDeadline(time.Now().Add(quiet)) // a socket's deadline is real time
	n, err := t.conn.Read(p)
	t.left -= int64(n)
	return n, err
}

// reply reads one reply. A code that begins with no digit of want is a *said.
func (t *talk) reply(want string) (code int, text string, err error) {
	var lines []string
	for {
		var l []byte
		for {
			part, err := t.r.ReadSlice('\n')
			l = append(l, part...)
			if len(l) > maxLine {
				return 0, "", errors.New("the mail server's answer has a line without end")
			}
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return 0, "", err
			}
		}
		s := strings.TrimRight(string(l), "\r\n")
		if len(lines) >= maxLines {
			return 0, "", errors.New("the mail server's answer has no end")
		}
		if len(s) < 3 || s[0] < '2' || s[0] > '5' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' || len(s) > 3 && s[3] != ' ' && s[3] != '-' {
			return 0, "", fmt.Errorf("the mail server does not speak SMTP: %.80q", s)
		}
		n, _ := strconv.Atoi(s[:3])
		if code != 0 && n != code {
			return 0, "", fmt.Errorf("the mail server's answer says both %d and %d", code, n)
		}
		code = n
		fmt.Fprintf(&t.log, "S: %s\n", line(s))
		lines = append(lines, strings.TrimSpace(s[min(len(s), 4):]))
		if len(s) == 3 || s[3] == ' ' {
			break
		}
	}
	text = strconv.Itoa(code) + " " + line(strings.Join(lines, " "))
	if !strings.Contains(want, text[:1]) {
		return code, strings.Join(lines, "\n"), &said{code, text}
	}
	return code, strings.Join(lines, "\n"), nil
}

// cmd sends a line and reads the reply; shown is what the record says instead,
// "" for the line itself.
func (t *talk) cmd(want, l, shown string) (string, error) {
	if strings.ContainsAny(l, "\r\n") {
		return "", impound.Errorf(impound.KindInternal, "a line of SMTP with a break in it")
	}
	if shown == "" {
		shown = l
	}
	fmt.Fprintf(&t.log, "C: %s\n", shown)
	_ = t.conn.SetWriteDeadline(time.Now().Add(quiet))
	if _, err := io.WriteString(t.conn, l+"\r\n"); err != nil {
		return "", err
	}
	code, text, err := t.reply(want)
	return strings.TrimSpace(strconv.Itoa(code) + " " + text), err
}

// open connects, greets, and brings TLS and the login about.
func (r Relay) open(ctx context.Context) (t *talk, err error) {
	host, _, _ := net.SplitHostPort(r.Addr)
	conn, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return nil, err
	}
	t = &talk{conn: conn, left: maxTalk}
	defer func() {
		if err != nil {
			t.conn.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
	}()
	conf := r.TLS.Clone()
	if conf == nil {
		conf = &tls.Config{}
	}
	if conf.ServerName == "" {
		conf.ServerName = host
	}
	conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	secure := func() error {
		c := tls.Client(t.conn, conf)
		hctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if err := c.HandshakeContext(hctx); err != nil {
			var cert *tls.CertificateVerificationError
			if errors.As(err, &cert) {
				return impound.Errorf(impound.KindRefused, "the mail server is not who it should be: %w", err).At(r.Addr).WithCure("configure its CA, or the right server")
			}
			return fmt.Errorf("couldn't speak TLS with the mail server: %w", err)
		}
		t.conn, t.r = c, bufio.NewReaderSize(t, 1024)
		fmt.Fprintf(&t.log, "-- %s\n", tls.VersionName(c.ConnectionState().Version))
		return nil
	}
	t.r = bufio.NewReaderSize(t, 1024)
	if r.Implicit {
		if err := secure(); err != nil {
			return t, err
		}
	}
	if _, _, err := t.reply("2"); err != nil {
		return t, err
	}
	if err := t.hello(r.Hello); err != nil {
		return t, err
	}
	if !r.Implicit && !r.Plain {
		if _, ok := t.ext["STARTTLS"]; !ok {
			return t, impound.Errorf(impound.KindRefused, "the mail server offers no TLS, and letters do not go without it").At(r.Addr).WithCure("have it offer STARTTLS, or name its port with TLS and write tls: implicit")
		}
		if _, err := t.cmd("2", "STARTTLS", ""); err != nil {
			return t, err
		}
		if t.r.Buffered() > 0 {
			return t, impound.Errorf(impound.KindRefused, "the mail server, or somebody before it, spoke on before TLS began").At(r.Addr)
		}
		if err := secure(); err != nil {
			return t, err
		}
		if err := t.hello(r.Hello); err != nil { // what was said before TLS counts for nothing
			return t, err
		}
	}
	if r.User != "" {
		if !strings.Contains(" "+strings.ToUpper(t.ext["AUTH"])+" ", " PLAIN ") {
			return t, impound.Errorf(impound.KindRefused, "the mail server takes no login by AUTH PLAIN").At(r.Addr)
		}
		if _, err := t.cmd("2", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+r.User+"\x00"+string(r.Password))), "AUTH PLAIN ***"); err != nil {
			var s *said
			if errors.As(err, &s) && s.code >= 500 {
				return t, impound.Errorf(impound.KindRefused, "the mail server does not let us in: %s", s.text).At(r.Addr).WithCure("check the user and the password file")
			}
			return t, err
		}
	}
	return t, nil
}

func (t *talk) hello(name string) error {
	if name == "" {
		name = "localhost"
	}
	text, err := t.cmd("2", "EHLO "+name, "")
	if err != nil {
		return err
	}
	t.ext = map[string]string{}
	for i, l := range strings.Split(text, "\n") {
		if i > 0 {
			k, v, _ := strings.Cut(l, " ")
			t.ext[strings.ToUpper(k)] = v
		}
	}
	return nil
}

// probe asks whether the relay lets us in.
func (r Relay) probe(ctx context.Context) error {
	t, err := r.open(ctx)
	if err != nil {
		return r.fault(err)
	}
	defer t.conn.Close()
	_, _ = t.cmd("2", "QUIT", "")
	return nil
}

// fault gives an error before the point of no return its kind.
func (r Relay) fault(err error) error {
	var s *said
	var e *impound.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.As(err, &s) && s.code >= 500:
		return impound.Errorf(impound.KindRefused, "the letter was not handed over: %w", err).At(r.Addr)
	}
	return impound.Errorf(impound.KindUnavailable, "couldn't hand the letter over: %w", err).At(r.Addr).WithCure("nothing was sent; see that the mail server runs, then apply again")
}

// send hands raw over. It calls commit when all but the last dot is written: up
// to there a server takes nothing (RFC 5321 4.1.1.4). It gives the server's last
// words and a record of the talk, which holds no password.
func (r Relay) send(ctx context.Context, from string, to []string, envid string, raw []byte, commit func() error) (last string, log []byte, err error) {
	t, err := r.open(ctx)
	if t != nil {
		defer func() { log = bytes.Clone(t.log.Bytes()) }()
	}
	if err != nil {
		return "", nil, r.fault(err)
	}
	defer t.conn.Close()
	stop := context.AfterFunc(ctx, func() { t.conn.Close() })
	defer stop()
	mailCmd, rcptTail := "MAIL FROM:<"+from+">", ""
	if size, ok := t.ext["SIZE"]; ok {
		if n, err := strconv.Atoi(strings.TrimSpace(size)); err == nil && n > 0 && len(raw) > n {
			return "", nil, impound.Errorf(impound.KindRefused, "the mail server takes %d bytes, and the letter is %d", n, len(raw)).At(r.Addr).WithCure("choose fewer exhibits, or have the server take more")
		}
		mailCmd += " SIZE=" + strconv.Itoa(len(raw))
	}
	_, dsn := t.ext["DSN"]
	if dsn { // RFC 3461: tell us of everything that becomes of it
		mailCmd += " RET=HDRS ENVID=" + envid
		rcptTail = " NOTIFY=SUCCESS,FAILURE,DELAY"
	}
	if _, err := t.cmd("2", mailCmd, ""); err != nil {
		return "", nil, r.fault(err)
	}
	for _, a := range to {
		tail := rcptTail
		if dsn && !strings.ContainsAny(a, "+=") {
			tail += " ORCPT=rfc822;" + a
		}
		if _, err := t.cmd("2", "RCPT TO:<"+a+">"+tail, ""); err != nil {
			// All or nobody: a letter that half of its readers got is hard to tell.
			return "", nil, r.fault(fmt.Errorf("%s is not taken: %w", a, err))
		}
	}
	if _, err := t.cmd("3", "DATA", ""); err != nil {
		return "", nil, r.fault(err)
	}
	if err := t.data(raw); err != nil {
		return "", nil, r.fault(err)
	}
	fmt.Fprintf(&t.log, "C: %d bytes, %s\n", len(raw), impound.HashBytes(raw))
	if err := commit(); err != nil {
		return "", nil, err // the connection is closed without the dot: nothing was taken
	}
	unknown := func(err error) error {
		return &impound.Error{Kind: impound.KindUnavailable, Where: r.Addr, Msg: "the letter was handed over, and the mail server's answer did not come: " + err.Error(), Err: fmt.Errorf("%w", seizure.ErrUnknownOutcome)}
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(quiet))
	if _, err := io.WriteString(t.conn, ".\r\n"); err != nil {
		return "", nil, unknown(err)
	}
	fmt.Fprintf(&t.log, "C: .\n")
	code, text, err := t.reply("2")
	var s *said
	switch {
	case errors.As(err, &s) && s.code >= 500:
		return "", nil, impound.Errorf(impound.KindRefused, "%s", s.Error()).At(r.Addr)
	case errors.As(err, &s) && s.code >= 400:
		return "", nil, impound.Errorf(impound.KindUnavailable, "%s", s.Error()).At(r.Addr)
	case err != nil:
		return "", nil, unknown(err)
	}
	_, _ = t.cmd("2", "QUIT", "") // it was taken: what comes now changes nothing
	return line(strconv.Itoa(code) + " " + text), nil, nil
}

// data writes raw with its dots doubled, and a line's end at its end.
func (t *talk) data(raw []byte) error {
	w := bufio.NewWriterSize(t.conn, 32<<10)
	for len(raw) > 0 {
		l := raw
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			l = raw[:i+1]
		}
		raw = raw[len(l):]
		l = bytes.TrimRight(l, "\r\n")
		if len(l) > 0 && l[0] == '.' {
			_ = w.WriteByte('.')
		}
		_, _ = w.Write(l)
		_ = t.conn.SetWriteDeadline(time.Now().Add(quiet))
		if _, err := w.WriteString("\r\n"); err != nil {
			return err
		}
	}
	return w.Flush()
}
