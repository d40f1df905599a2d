package capture

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The values of WARC-Truncated (ISO 28500:2017 5.13).
const (
	cutLength     = "length"     // a bound on octets
	cutTime       = "time"       // a bound on time
	cutDisconnect = "disconnect" // the peer broke off
)

// warcFile gathers records, each a gzip member of its own, in memory: what goes
// in is bounded by the capture's budget. It is safe for concurrent use; the
// records of one exchange stand together.
type warcFile struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	now  func() time.Time
	info string // the warcinfo record's id
	n    int
}

type warcField struct{ name, value string }

func newWARC(software, filename string, now func() time.Time) *warcFile {
	w := &warcFile{now: now}
	body := "software: " + software + "\r\nformat: WARC File Format 1.1\r\nconformsTo: http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\nrobots: ignore\r\n"
	w.info = w.write("warcinfo", now(), []byte(body), "application/warc-fields", []warcField{{"WARC-Filename", filename}})
	return w
}

// exchange adds a request, its response if there is one, and a metadata record
// about both.
func (w *warcFile) exchange(x *exchange) {
	if w == nil { // a glance keeps no octets
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	uri := []warcField{{"WARC-Target-URI", x.URL}, {"WARC-Warcinfo-ID", w.info}}
	if x.addr.IsValid() {
		uri = append(uri, warcField{"WARC-IP-Address", x.addr.Addr().String()})
	}
	about := ""
	if len(x.response) > 0 {
		f := uri[:len(uri):len(uri)]
		if x.Status != 0 {
			f = append(f, warcField{"WARC-Payload-Digest", digest(x.body)})
		}
		if x.Cut != "" {
			f = append(f, warcField{"WARC-Truncated", x.Cut})
		}
		media := "application/http;msgtype=response"
		if x.Status == 0 { // what came is no HTTP: kept, not passed off as such
			media = "application/octet-stream"
		}
		about = w.write("response", x.At, x.response, media, f)
	}
	if len(x.request) > 0 {
		f := uri[:len(uri):len(uri)]
		if about != "" {
			f = append(f, warcField{"WARC-Concurrent-To", about})
		}
		f = append(f, warcField{"WARC-Payload-Digest", digest(x.sent)})
		id := w.write("request", x.At, x.request, "application/http;msgtype=request", f)
		if about == "" {
			about = id
		}
	}
	var meta strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&meta, "%s: %s\r\n", name, inert(value, 1000))
		}
	}
	field("look", x.Look)
	field("via", x.Via)
	field("fetchTimeMs", fmt.Sprint(x.Took.Milliseconds()))
	if x.addr.IsValid() {
		field("server", x.addr.String())
	}
	if x.TLS != nil {
		field("tls", x.TLS.Version+" "+x.TLS.Cipher)
		for i, c := range x.TLS.Chain {
			field(fmt.Sprintf("tls-certificate-%d", i), c.SHA256)
		}
		field("tls-fault", x.TLS.Fault)
	}
	field("fault", x.Err)
	f := uri[:len(uri):len(uri)]
	if about != "" {
		f = append(f, warcField{"WARC-Concurrent-To", about})
	}
	w.write("metadata", x.At, []byte(meta.String()), "application/warc-fields", f)
}

// bytes gives the file as it stands.
func (w *warcFile) bytes() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.buf.Bytes())
}

// records says how many there are beside the first.
func (w *warcFile) records() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n - 1
}

// write adds one record and gives its id.
func (w *warcFile) write(kind string, at time.Time, block []byte, media string, more []warcField) string {
	id := "<urn:uuid:" + uuid.NewString() + ">"
	var head bytes.Buffer
	put := func(name, value string) { fmt.Fprintf(&head, "%s: %s\r\n", name, oneLine(value)) }
	head.WriteString("WARC/1.1\r\n")
	put("WARC-Type", kind)
	put("WARC-Record-ID", id)
	put("WARC-Date", at.UTC().Format("2006-01-02T15:04:05.000000Z"))
	for _, f := range more {
		put(f.name, f.value)
	}
	put("WARC-Block-Digest", digest(block))
	put("Content-Type", media)
	put("Content-Length", fmt.Sprint(len(block)))
	head.WriteString("\r\n")
	z := gzip.NewWriter(&w.buf) // a buffer fails never
	_, _ = z.Write(head.Bytes())
	_, _ = z.Write(block)
	_, _ = z.Write([]byte("\r\n\r\n"))
	_ = z.Close()
	w.n++
	return id
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// oneLine keeps a field's value from ending its line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// inert makes text of a hostile peer safe to show anywhere but inside markup:
// no control characters, no marks that turn the direction of writing, no
// invisible ones, valid UTF-8, at most n octets.
func inert(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r':
			return ' '
		case r < 0x20, r >= 0x7f && r < 0xa0, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff, r >= 0xe0000 && r <= 0xe0fff:
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func addrPort(s string) netip.AddrPort {
	ap, _ := netip.ParseAddrPort(s)
	return ap
}
