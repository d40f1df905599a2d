package notify

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/impound/impound"
)

// XARFVersion is the version of XARF that [XARF] writes.
const XARFVersion = "4.2.0"

type xarfContact struct {
	Org     string `json:"org"`
	Contact string `json:"contact"`
	Domain  string `json:"domain"`
}

type xarfEvidence struct {
	ContentType string `json:"content_type"`
	Description string `json:"description,omitempty"`
	Payload     string `json:"payload"`
	Hash        string `json:"hash"`
	Size        int    `json:"size"`
}

type xarfReport struct {
	Version    string         `json:"xarf_version"`
	ID         string         `json:"report_id"`
	Timestamp  string         `json:"timestamp"`
	Reporter   xarfContact    `json:"reporter"`
	Sender     xarfContact    `json:"sender"`
	Source     string         `json:"source_identifier"`
	SourcePort uint16         `json:"source_port,omitempty"`
	Category   string         `json:"category"`
	Type       string         `json:"type"`
	ThreatType string         `json:"threat_type"`
	EvidenceBy string         `json:"evidence_source"`
	Evidence   []xarfEvidence `json:"evidence,omitempty"`
	Tags       []string       `json:"tags"`
	Confidence float64        `json:"confidence"`
	Text       string         `json:"description"`
}

// XARF writes one XARF v4 report a line for each source address among cs that
// was a victim, the newest contact speaking for it.
//
// XARF knows abuse by an address; a victim commits none. No type fits, so the
// report is reputation/threat_intelligence with threat_type "phishing_victim"
// and says in words that the address must not be blocked. The ids are derived
// from the events, so that the same visit has the same id again.
//
// Where the record has gaps, each report says so.
func XARF(w io.Writer, cs []impound.Contact, from Reporter, gaps ...impound.Gap) (int, error) {
	tags := []string{"incident:phishing-visit", "status:not-infected", "action:do-not-block"}
	text := "Somebody at this address followed a phishing lure to a name that was since seized. The address is a victim's and does no harm: do not block it. Whether a machine or an account was compromised is not known."
	if len(gaps) > 0 {
		tags = append(tags, "record:incomplete")
		text += " " + gapText(gaps)
	}
	newest := map[string]impound.Contact{}
	var order []string
	for _, c := range cs {
		if c.Class != impound.ClassVictim || !c.Src.IsValid() || c.Method == "" {
			continue
		}
		a := c.Src.Addr().Unmap().String()
		old, ok := newest[a]
		if !ok {
			order = append(order, a)
		}
		if !ok || !c.At.Before(old.At) {
			newest[a] = c
		}
	}
	who := xarfContact{from.Org, from.Mail, from.Domain}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i, a := range order {
		c := newest[a]
		line := fmt.Sprintf("%s %s:%d asked for a page under %s\n", c.At.UTC().Format(time.RFC3339Nano), a, c.Src.Port(), defang(c.Zone))
		r := xarfReport{
			Version: XARFVersion, ID: uuid.NewSHA1(namespace, []byte("xarf/"+EventID(c.Event))).String(),
			Timestamp: c.At.UTC().Format("2006-01-02T15:04:05.000Z"), Reporter: who, Sender: who, Source: a, SourcePort: c.Src.Port(),
			Category: "reputation", Type: "threat_intelligence", ThreatType: "phishing_victim", EvidenceBy: "traffic_analysis",
			Evidence: []xarfEvidence{{ContentType: "text/plain", Description: "The request as the sinkhole saw it", Payload: base64.StdEncoding.EncodeToString([]byte(line)), Hash: impound.HashBytes([]byte(line)), Size: len(line)}},
			Tags:     tags, Confidence: c.Confidence,
			Text: text,
		}
		if err := enc.Encode(r); err != nil {
			return i, fmt.Errorf("couldn't write the XARF reports: %w", err)
		}
	}
	return len(order), nil
}

// XARFName writes the XARF v4 report of a name that an order is about, for the
// abuse desk of whoever is asked to act on it. ref is what the report goes along
// with; the same name and ref give the same id again. text is at most 1000 runes.
//
// Which page is where under the name is not known here, so it is
// reputation/threat_intelligence of the name itself, not content/phishing, which
// wants an address.
func XARFName(n impound.Name, at time.Time, ref, text string, from Reporter) ([]byte, error) {
	who := xarfContact{from.Org, from.Mail, from.Domain}
	b, err := json.MarshalIndent(xarfReport{
		Version: XARFVersion, ID: uuid.NewSHA1(namespace, []byte("xarf/name/"+ref+"/"+n.String())).String(),
		Timestamp: at.UTC().Format("2006-01-02T15:04:05.000Z"), Reporter: who, Sender: who, Source: n.String(),
		Category: "reputation", Type: "threat_intelligence", ThreatType: "spear_phishing_domain", EvidenceBy: "researcher_analysis",
		Evidence: []xarfEvidence{{ContentType: "text/plain", Description: "What the letter asks", Payload: base64.StdEncoding.EncodeToString([]byte(text)), Hash: impound.HashBytes([]byte(text)), Size: len(text)}},
		Tags:     []string{"incident:spear-phishing", "action:as-the-letter-says"}, Confidence: 1, Text: text,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("couldn't write a XARF report: %w", err)
	}
	return append(b, '\n'), nil
}

// namespace is where our name-based UUIDs (version 5, RFC 9562) live.
var namespace = uuid.MustParse("5b0f4a4e-5d0c-5c49-9f66-0d4b8a9a7a11")
