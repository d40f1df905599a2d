package telemetry

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/impound/impound"
)

// What is stored of a text that a stranger sent, at most, in octets.
const (
	maxText = 512
	maxPath = 1024
)

// Cut takes away from e whatever its capture level does not allow. The sensor
// has done so already; this is the second lock on the door, since a sensor may
// be old, or not ours. An unknown level counts as [impound.CaptureCount], the
// least. At every level query strings are dropped, and so is each part of a
// path that is a mail address, plain or in base64, as phishing kits write it.
func Cut(e impound.Event) impound.Event {
	e.At = e.At.UTC().Truncate(time.Microsecond)
	out := impound.Event{
		Sensor: e.Sensor, Seq: e.Seq, At: e.At, Proto: e.Proto, Name: text(e.Name, maxText), Zone: e.Zone, Order: e.Order,
		Capture: e.Capture, Outcome: text(e.Outcome, 32),
	}
	switch e.Capture {
	case impound.CaptureContact, impound.CaptureLure:
	default:
		out.Capture = impound.CaptureCount
		out.At = e.At.Truncate(time.Minute)
		if e.Zone != "" { // the labels below it may say who came
			out.Name = e.Zone
		}
		return out
	}
	out.QType, out.RCode, out.Opcode = e.QType, e.RCode, e.Opcode
	out.Src, out.Dst = unmap(e.Src), unmap(e.Dst)
	out.Method, out.Path, out.Status = text(e.Method, 32), CleanPath(e.Path), e.Status
	out.UserAgent, out.SNI, out.ALPN, out.JA4 = text(e.UserAgent, maxText), text(e.SNI, 255), text(e.ALPN, 64), text(e.JA4, 64)
	out.JA3, out.TLS = text(e.JA3, 32), text(e.TLS, 64)
	out.Referer = host(e.Referer)
	out.Helo, out.FromDomain, out.Len = text(e.Helo, 255), text(afterAt(e.FromDomain), 255), e.Len
	if e.Capture == impound.CaptureLure {
		out.LureHash, out.Lure = e.LureHash, e.Lure
		out.SenderHash, out.RcptHash = text(e.SenderHash, 64), text(e.RcptHash, 64)
	}
	return out
}

// CleanPath drops query and fragment of a request path and replaces each
// segment that holds a mail address by "{mail}", as the sensor does.
func CleanPath(p string) string {
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		p = p[:i]
	}
	p = text(p, maxPath)
	segs := strings.Split(p, "/")
	for i, s := range segs {
		if holdsAddress(s) {
			segs[i] = mailMark
		}
	}
	return strings.Join(segs, "/")
}

func holdsAddress(s string) bool {
	if len(s) < 5 {
		return false
	}
	if u, err := url.PathUnescape(s); err == nil {
		s = u
	}
	if strings.ContainsRune(s, '@') || strings.Contains(strings.ToLower(s), "%40") {
		return true
	}
	if len(s) < 8 {
		return false
	}
	t := strings.TrimRight(s, "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		b, err := enc.DecodeString(t)
		if err != nil {
			continue
		}
		if at := strings.IndexByte(string(b), '@'); at > 0 && strings.IndexByte(string(b[at:]), '.') > 0 && printable(b) {
			return true
		}
	}
	return false
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// host keeps the host of a referer: neither path nor credentials.
func host(s string) string {
	if i := strings.Index(s, "://"); i >= 0 {
		s = s[i+3:]
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	return text(strings.ToLower(afterAt(s)), 255)
}

func afterAt(s string) string { return s[strings.LastIndexByte(s, '@')+1:] }

func text(s string, limit int) string {
	s = strings.ToValidUTF8(s[:min(len(s), 4*limit)], "\uFFFD")
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return s
}

func unmap(a netip.AddrPort) netip.AddrPort {
	if !a.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// SourceOf gives who counts as one source: an IPv4 address, or the /64 of an
// IPv6 address, within which a single machine changes its address at will. It
// is "" for an event without an address.
func SourceOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.String()
}
