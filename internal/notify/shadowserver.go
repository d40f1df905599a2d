package notify

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/impound/impound"
)

// Columns is the header of event4_sinkhole_http and event6_sinkhole_http as
// Shadowserver's schema of 2026 lists it. Readers go by the header, not by
// position.
var Columns = []string{
	"timestamp", "protocol", "src_ip", "src_port", "src_asn", "src_geo", "src_region", "src_city", "src_hostname", "src_naics", "src_sector",
	"device_vendor", "device_type", "device_model", "severity",
	"dst_ip", "dst_port", "dst_asn", "dst_geo", "dst_region", "dst_city", "dst_hostname", "dst_naics", "dst_sector",
	"public_source", "infection", "family", "tag", "application", "version", "event_id",
	"http_url", "http_host", "http_agent", "forwarded_by", "ssl_cipher", "http_referer", "ssl_servername", "machine_name",
}

// What the reports say of a visit.
const (
	Infection  = "phishing-visit"
	tagVictim  = "phishing-visit;not-infected;class:victim"
	tagUnclear = "phishing-visit;not-infected;class:unclear"
)

// ReportInfo is what a report says besides its contacts.
type ReportInfo struct {
	V6      bool            // event6_sinkhole_http: sources with IPv6; else those with IPv4
	Unclear bool            // also report contacts that are unclear
	Source  string          // public_source: who runs the sinkhole
	Sink    impound.Network // of the sinkhole: dst_asn, dst_geo, dst_sector
}

// ReportName is the report's type, part of its file name.
func (i ReportInfo) ReportName() string {
	if i.V6 {
		return "event6_sinkhole_http"
	}
	return "event4_sinkhole_http"
}

// FileName follows Shadowserver's rule: date, report type and whatever else,
// divided by hyphens. day is the UTC day of the newest contact; parts are
// reduced to letters, digits and underscores.
func (i ReportInfo) FileName(day time.Time, parts ...string) string {
	s := day.UTC().Format("2006-01-02") + "-" + i.ReportName()
	n := 0
	for _, p := range parts {
		if p = slug(p); p != "" {
			s += "-" + p
			n++
		}
	}
	if n == 0 {
		s += "-unknown"
	}
	return s + ".csv"
}

// Reportable says whether c belongs into a report of i: an HTTP request from an
// address of its IP version, by a victim or, when asked for, an unclear
// visitor. No other class is ever reported.
func (i ReportInfo) Reportable(c impound.Contact) bool {
	if !c.Src.IsValid() || c.Method == "" || c.Proto != impound.ProtoHTTP && c.Proto != impound.ProtoTLS {
		return false
	}
	if i.V6 != c.Src.Addr().Unmap().Is6() {
		return false
	}
	return c.Class == impound.ClassVictim || i.Unclear && c.Class == impound.ClassUnclear
}

// Report writes the contacts of i in Shadowserver's layout: every field quoted,
// UTC, LF at the end of each line, the header always. Contacts that are not
// [ReportInfo.Reportable] are left out. It gives how many were written.
func Report(w io.Writer, cs []impound.Contact, i ReportInfo) (int, error) {
	b := bufio.NewWriter(w)
	writeRow(b, Columns)
	n := 0
	for _, c := range cs {
		if i.Reportable(c) {
			writeRow(b, row(c, i))
			n++
		}
	}
	if err := b.Flush(); err != nil {
		return n, fmt.Errorf("couldn't write the report: %w", err)
	}
	return n, nil
}

func row(c impound.Contact, i ReportInfo) []string {
	tag, severity := tagVictim, "high"
	if c.Class != impound.ClassVictim {
		tag, severity = tagUnclear, "medium"
	}
	app := "http"
	if c.Proto == impound.ProtoTLS {
		app = "https"
	}
	m := map[string]string{
		"timestamp": c.At.UTC().Format("2006-01-02 15:04:05"), "protocol": "tcp",
		"src_ip": c.Src.Addr().Unmap().String(), "src_port": number(uint64(c.Src.Port())), "src_asn": number(uint64(c.Network.ASN)),
		"src_geo": c.Network.Country, "src_sector": c.Network.Sector, "severity": severity,
		"dst_asn": number(uint64(i.Sink.ASN)), "dst_geo": i.Sink.Country, "dst_sector": i.Sink.Sector,
		"public_source": i.Source, "infection": Infection, "tag": tag, "application": app, "event_id": EventID(c.Event),
		"http_url": c.Path, "http_host": c.Name, "http_agent": c.UserAgent, "http_referer": c.Referer, "ssl_servername": c.SNI,
	}
	if c.Dst.IsValid() {
		m["dst_ip"], m["dst_port"] = c.Dst.Addr().Unmap().String(), number(uint64(c.Dst.Port()))
	}
	out := make([]string, len(Columns))
	for k, col := range Columns {
		out[k] = Guard(m[col])
	}
	return out
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// EventID names an event without telling the sensor's name: the same event has
// the same id in every report, so that a reader can drop what it knows.
func EventID(e impound.Event) string {
	h := sha256.Sum256([]byte(e.Sensor + "\x00" + strconv.FormatUint(e.Seq, 10)))
	return hex.EncodeToString(h[:8])
}

func writeRow(b *bufio.Writer, cells []string) {
	for k, c := range cells {
		if k > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(strings.ReplaceAll(c, `"`, `""`))
		b.WriteByte('"')
	}
	b.WriteByte('\n')
}

// Guard makes s safe for a cell: unprintable characters become \u escapes, and
// a value that a spreadsheet would take for a formula gets an apostrophe.
func Guard(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		var b strings.Builder
		for _, r := range s {
			if unicode.IsPrint(r) {
				b.WriteRune(r)
			} else {
				fmt.Fprintf(&b, `\u%04x`, r)
			}
		}
		s = b.String()
	}
	if formula(s) {
		return "'" + s
	}
	return s
}

// Unguard takes back the apostrophe that [Guard] put.
func Unguard(s string) string {
	if rest, ok := strings.CutPrefix(s, "'"); ok && formula(rest) {
		return rest
	}
	return s
}

// formula says whether a spreadsheet would read s as one, apostrophes and
// spaces in front left aside.
func formula(s string) bool {
	s = strings.TrimLeft(s, "' ")
	return s != "" && strings.ContainsRune("=+-@\uff1d\uff0b\uff0d\uff20", []rune(s)[0])
}

func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
		if b.Len() >= 48 {
			break
		}
	}
	return strings.Trim(b.String(), "_")
}
