package source

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// masterHead is how much of a zone file says in which form it is written.
const masterHead = 64 << 10

// ZoneText gives the zone file r in CZDS layout. One that is written as people and
// name servers write them (RFC 1035 5.1: $ORIGIN and $TTL, names that are relative to
// the origin, parentheses, an owner that is left out) is read by a whole parser, of
// which only NS records are kept. It is slower, and what is wrong in such a file ends
// it with an error that says the line: where a line begins may depend on the one
// before. $INCLUDE is such an error too. Any other file is given as it is.
func ZoneText(r io.Reader, origin string) io.Reader {
	origin = strings.ToLower(strings.Trim(origin, "."))
	br := bufio.NewReaderSize(r, masterHead)
	head, err := br.Peek(masterHead)
	if i := bytes.LastIndexByte(head, '\n'); err == nil && i >= 0 {
		head = head[:i+1] // what the last line will be nobody knows yet
	}
	if !isMaster(head, origin) {
		return br
	}
	p := dns.NewZoneParser(br, dns.Fqdn(origin), "")
	p.SetDefaultTTL(86400)
	return &master{p: p}
}

// isMaster says whether something in text is read in another way than CZDS's.
func isMaster(text []byte, origin string) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		body, _, _ := bytes.Cut(line, []byte{';'})
		if len(bytes.TrimSpace(body)) == 0 {
			continue
		}
		if body[0] == '@' || body[0] == ' ' || body[0] == '\t' || bytes.HasSuffix(bytes.TrimSpace(body), []byte{'('}) {
			return true
		}
		f := strings.Fields(strings.ToLower(string(body[:min(len(body), 1024)])))
		if len(f) == 0 {
			continue // it begins with white space that zone files don't have
		}
		switch f[0] {
		case "$generate", "$include":
			return true
		case "$origin", "$ttl":
			continue // harmless where all names are whole
		}
		if strings.HasSuffix(f[0], ".") || f[0] == origin || strings.HasSuffix(f[0], "."+origin) {
			continue
		}
		for _, x := range f[1:min(len(f), 4)] {
			if x == "ns" {
				return true // a name that is not whole
			}
		}
	}
	return false
}

// master writes the NS records of a zone file, one a line.
type master struct {
	p   *dns.ZoneParser
	buf []byte
	err error
}

func (m *master) Read(b []byte) (int, error) {
	for len(m.buf) == 0 && m.err == nil {
		for len(m.buf) < 32<<10 {
			rr, ok := m.p.Next()
			if !ok {
				if m.err = io.EOF; m.p.Err() != nil {
					m.err = m.p.Err()
				}
				if pe, ok := m.err.(*dns.ParseError); ok { //nolint:errorlint // it is made there
					m.err = impound.Errorf(impound.KindInvalid, "%w", pe).WithCure("write it with whole names, a record a line: named-compilezone -o OUT ZONE FILE")
				}
				break
			}
			if rr.Header().Rrtype == dns.TypeNS {
				m.buf = fmt.Appendf(m.buf, "%s\t%d\tin\tns\t%s\n", rr.Header().Name, rr.Header().Ttl, rr.(*dns.NS).Ns)
			}
		}
	}
	if len(m.buf) == 0 {
		return 0, m.err
	}
	n := copy(b, m.buf)
	m.buf = m.buf[n:]
	return n, nil
}
