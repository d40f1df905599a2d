package share

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/impound/impound"
)

// namespace is where our name-based UUIDs (version 5, RFC 9562) live.
var namespace = uuid.MustParse("0d6c1f0c-8d8b-5a53-9c63-6a1a3f8f1b52")

func (o Options) id(kind, what string) string {
	return uuid.NewSHA1(namespace, []byte(o.domain()+"\x00"+kind+"\x00"+what)).String()
}

// The marking definitions of TLP 2.0 as OASIS published them (STIX 2.1 extension
// definition "TLP 2.0"); their ids are fixed.
var tlpMarkings = map[impound.TLP]string{
	impound.TLPClear:       "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
	impound.TLPGreen:       "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
	impound.TLPAmber:       "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
	impound.TLPAmberStrict: "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
	impound.TLPRed:         "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}

const tlpExtension = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"

type stixObject struct {
	Type           string                       `json:"type"`
	SpecVersion    string                       `json:"spec_version"`
	ID             string                       `json:"id"`
	CreatedBy      string                       `json:"created_by_ref,omitempty"`
	Created        string                       `json:"created"`
	Modified       string                       `json:"modified,omitempty"`
	Name           string                       `json:"name"`
	Description    string                       `json:"description,omitempty"`
	IdentityClass  string                       `json:"identity_class,omitempty"`
	IndicatorTypes []string                     `json:"indicator_types,omitempty"`
	Pattern        string                       `json:"pattern,omitempty"`
	PatternType    string                       `json:"pattern_type,omitempty"`
	PatternVersion string                       `json:"pattern_version,omitempty"`
	ValidFrom      string                       `json:"valid_from,omitempty"`
	Labels         []string                     `json:"labels,omitempty"`
	Markings       []string                     `json:"object_marking_refs,omitempty"`
	Extensions     map[string]map[string]string `json:"extensions,omitempty"`
}

// writeSTIX writes a bundle: our identity, the markings in use, an indicator
// for each name and case. Ids are derived from name, case and our domain: the
// same name is the same object in every export, and modified says what is
// newer.
func writeSTIX(w io.Writer, items []Item, o Options) error {
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	me := stixObject{Type: "identity", SpecVersion: "2.1", ID: "identity--" + o.id("identity", ""), Created: stixTime(since), Modified: stixTime(since), Name: o.org(), IdentityClass: "organization",
		Markings: []string{tlpMarkings[impound.TLPClear]}}
	objects := []stixObject{me}
	levels := []impound.TLP{impound.TLPClear}
	for _, it := range items {
		if !slices.Contains(levels, it.TLP) {
			levels = append(levels, it.TLP)
		}
	}
	slices.SortFunc(levels, func(a, b impound.TLP) int { return rank(a) - rank(b) })
	for _, t := range levels {
		objects = append(objects, stixObject{Type: "marking-definition", SpecVersion: "2.1", ID: tlpMarkings[t], Created: "2022-10-01T00:00:00.000Z", Name: mark(t),
			Extensions: map[string]map[string]string{tlpExtension: {"extension_type": "property-extension", "tlp_2_0": string(t)}}})
	}
	seen := map[string]bool{}
	for _, it := range items {
		id := "indicator--" + o.id("indicator", it.Case+"\x00"+it.Name.String())
		if seen[id] { // twice in one case: the least strict came first
			continue
		}
		seen[id] = true
		created, modified := it.FirstSeen, it.Updated
		if created.IsZero() {
			created = modified
		}
		if created.IsZero() {
			created = since
		}
		if modified.Before(created) {
			modified = created
		}
		objects = append(objects, stixObject{Type: "indicator", SpecVersion: "2.1", ID: id, CreatedBy: me.ID, Created: stixTime(created), Modified: stixTime(modified),
			Name: it.Name.Defanged(), Description: fmt.Sprintf("A name used for targeted phishing, taken over by court order or agreement; state: %s", it.State),
			IndicatorTypes: []string{"malicious-activity"}, Pattern: "[domain-name:value = '" + it.Name.String() + "']", PatternType: "stix", PatternVersion: "2.1", ValidFrom: stixTime(created),
			Labels: []string{"state-" + string(it.State)}, Markings: []string{tlpMarkings[it.TLP]}})
	}
	content := ""
	for _, x := range objects {
		content += x.ID + x.Modified + fmt.Sprint(x.Markings)
	}
	return encode(w, struct {
		Type    string       `json:"type"`
		ID      string       `json:"id"`
		Objects []stixObject `json:"objects"`
	}{"bundle", "bundle--" + o.id("bundle", content), objects})
}

func stixTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
