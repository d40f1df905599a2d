package sinkhole

import (
	"bytes"
	"net"
	"time"

	"github.com/impound/impound"
)

// serveTCP notes who came to a port on which nothing is served: when, how long
// the first segment was, and what protocol it looks like. The octets are not
// kept, and nothing is answered.
func (s *Sinkhole) serveTCP(c net.Conn) {
	src, dst := addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	var first [512]byte
	c.SetReadDeadline(time.Now().Add(s.cfg.Limits.HeadTimeout))
	n, _ := c.Read(first[:])
	ev := contact(impound.ProtoTCP, src, dst, s.cfg.Now())
	ev.Len, ev.Guess, ev.Outcome = n, guess(first[:n]), refused
	clear(first[:n])
	s.record(&ev, about{})
}

// guess names the protocol that the first octets of a client look like, from a
// fixed list of words.
func guess(b []byte) string {
	has := func(p string) bool { return bytes.HasPrefix(b, []byte(p)) }
	switch {
	case len(b) == 0:
		return "silent" // waits for the server to speak: SMTP, FTP, MySQL ...
	case len(b) >= 3 && b[0] == 0x16 && b[1] == 3:
		return "tls"
	case has("SSH-"):
		return "ssh"
	case has("GET "), has("POST "), has("HEAD "), has("PUT "), has("OPTIONS "), has("CONNECT "), has("DELETE "):
		return "http"
	case has("PRI * HTTP/2"):
		return "http2"
	case has("EHLO "), has("HELO "):
		return "smtp"
	case len(b) >= 3 && b[0] == 3 && b[1] == 0 && b[2] == 0:
		return "rdp"
	case len(b) >= 8 && b[0] == 0 && (bytes.Equal(b[4:8], []byte("\xffSMB")) || bytes.Equal(b[4:8], []byte("\xfeSMB"))):
		return "smb"
	case b[0] == 5 && len(b) >= 3 && int(b[1])+2 == len(b):
		return "socks5"
	case b[0] == 4 && len(b) >= 9:
		return "socks4"
	case has("\x10") && bytes.Contains(b[:min(len(b), 16)], []byte("MQTT")):
		return "mqtt"
	case has("*1\r\n"), has("*2\r\n"), has("*3\r\n"), has("PING\r\n"), has("INFO\r\n"):
		return "redis"
	case has("USER "), has("NICK "), has("CAPA"), has("A1 "), has("a1 "):
		return "login" // FTP, POP3, IRC, IMAP
	case len(b) >= 14 && b[2]&0x80 == 0 && int(b[0])<<8|int(b[1]) == len(b)-2:
		return "dns"
	}
	for _, x := range b {
		if x < 0x09 || x > 0x7e {
			return "binary"
		}
	}
	return "text"
}
