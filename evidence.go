package impound

import "time"

// Artefact describes bytes that were captured: content-addressed, never changed.
type Artefact struct {
	Hash   string    `json:"hash"` // "sha256:..." of the bytes
	Size   int64     `json:"size"`
	Kind   string    `json:"kind"`  // "dns", "rdap", "http", "order", "frame", "report", ...
	Media  string    `json:"media"` // media type
	Name   Name      `json:"name,omitzero"`
	Case   string    `json:"case,omitempty"`
	Source string    `json:"source"` // where the bytes came from: a server, a file
	Tool   string    `json:"tool"`   // what captured them, with version
	By     string    `json:"by"`     // person, or "system"
	At     time.Time `json:"at"`
	// TLP is who may see it; empty: the case's level. Originator is who gave
	// it to us, and must allow that it is disclosed; empty: we made it.
	// PAP is what may be done with what it tells.
	TLP        TLP    `json:"tlp,omitempty"`
	PAP        PAP    `json:"pap,omitempty"`
	Originator string `json:"originator,omitempty"`
}

// EntryType is what a line of the evidence log speaks of.
type EntryType string

// The types.
const (
	EntryArtefact EntryType = "artefact" // bytes were captured
	EntryDecision EntryType = "decision" // a person decided: a case, an approval, an override
	EntryIntent   EntryType = "intent"   // an act is about to be done
	EntryResult   EntryType = "result"   // how it went
	EntrySystem   EntryType = "system"   // start, stop, key enrolment, policy bundle, alarm
)

// Entry is one line of the append-only evidence log. It holds no secret and no
// victim's data: those are artefacts or events, named by hash.
type Entry struct {
	ID       string            `json:"id"` // idempotent: appending an id twice gives the first entry
	Type     EntryType         `json:"type"`
	At       time.Time         `json:"at"`
	By       string            `json:"by"`   // person, or "system"
	What     string            `json:"what"` // "seize.nameservers", "order.file", ...
	Case     string            `json:"case,omitempty"`
	Order    string            `json:"order,omitempty"`
	Name     Name              `json:"name,omitzero"`
	Intent   string            `json:"intent,omitempty"` // a result names its intent's ID
	Artefact *Artefact         `json:"artefact,omitempty"`
	Detail   map[string]string `json:"detail,omitempty"`
}
