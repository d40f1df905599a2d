// Package galaxy reads lists of threat actors as others publish them: a MISP
// galaxy cluster file (threat-actor.json and the like) and a MITRE ATT&CK STIX 2
// bundle (its intrusion sets). It gives actors with all their names, each name
// with who says so and how sure they are. It fetches nothing and decides nothing:
// casework keeps what an analyst picks.
package galaxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/impound/impound"
)

// MaxFile bounds what is read: ATT&CK's whole enterprise bundle has some 50 MB.
const MaxFile = 256 << 20

// Bounds of one actor; a list that goes beyond them is not about people.
const (
	maxNames  = 200
	maxName   = 120
	maxActors = 50_000
)

// Problem is a record of the file that gives no actor, or less than it says.
type Problem struct {
	Record int // from 0
	Name   string
	Text   string
}

// Read gives the actors of a file, in its order, and what of it could not be
// used. source says where the file is from, for those names that name nobody
// else. Revoked and deprecated intrusion sets are left out and told as problems.
// The error is of KindInvalid for a file that is neither format.
func Read(r io.Reader, source string) ([]impound.Actor, []Problem, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, nil, impound.Errorf(impound.KindUnavailable, "couldn't read the list of actors: %w", err).At(source)
	}
	if len(b) > MaxFile {
		return nil, nil, impound.Errorf(impound.KindInvalid, "the list of actors is longer than %d octets", MaxFile).At(source)
	}
	var f struct {
		Type    string            `json:"type"`
		Name    string            `json:"name"`
		Version json.Number       `json:"version"`
		Values  []json.RawMessage `json:"values"`
		Objects []json.RawMessage `json:"objects"`
	}
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))))
	if err := dec.Decode(&f); err != nil {
		return nil, nil, impound.Errorf(impound.KindInvalid, "the list of actors is no JSON: %w", err).At(source).WithCure("give a MISP galaxy cluster file or an ATT&CK STIX bundle")
	}
	var p reader
	switch {
	case f.Values != nil:
		if p.source = strings.TrimSpace("MISP galaxy " + clip(f.Name)); f.Version != "" {
			p.source += " " + clip(f.Version.String())
		}
		for i, v := range f.Values {
			p.cluster(i, v)
		}
	case f.Type == "bundle":
		p.source = source
		for i, v := range f.Objects {
			p.intrusionSet(i, v)
		}
	default:
		return nil, nil, impound.Errorf(impound.KindInvalid, "this JSON has neither a galaxy's values nor a STIX bundle's objects").At(source).WithCure("give a MISP galaxy cluster file or an ATT&CK STIX bundle")
	}
	if len(p.actors) > maxActors {
		return nil, nil, impound.Errorf(impound.KindInvalid, "the list holds %d actors: more than %d are not believed", len(p.actors), maxActors).At(source)
	}
	return p.actors, p.problems, nil
}

type reader struct {
	source   string
	actors   []impound.Actor
	problems []Problem
}

func (p *reader) problem(i int, name, format string, args ...any) {
	p.problems = append(p.problems, Problem{i, clip(name), fmt.Sprintf(format, args...)})
}

func (p *reader) cluster(i int, raw []byte) {
	var v struct {
		Value string `json:"value"`
		Meta  struct {
			Synonyms   []string `json:"synonyms"`
			Refs       []string `json:"refs"`
			Confidence any      `json:"attribution-confidence"` // a string in the wild, sometimes a number
		} `json:"meta"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		p.problem(i, "", "can't be read: %v", err)
		return
	}
	// What the cluster rates is the attribution to a state, not that the names
	// are one actor's: it is kept as a source's word, never as ours.
	c, _ := strconv.Atoi(strings.TrimSpace(fmt.Sprint(v.Meta.Confidence)))
	p.add(i, v.Value, v.Meta.Synonyms, v.Meta.Refs, c)
}

func (p *reader) intrusionSet(i int, raw []byte) {
	var v struct {
		Type       string   `json:"type"`
		Name       string   `json:"name"`
		Aliases    []string `json:"aliases"`
		Revoked    bool     `json:"revoked"`
		Deprecated bool     `json:"x_mitre_deprecated"`
		Confidence int      `json:"confidence"`
		References []struct {
			Source string `json:"source_name"`
			ID     string `json:"external_id"`
			URL    string `json:"url"`
		} `json:"external_references"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		p.problem(i, "", "can't be read: %v", err)
		return
	}
	if v.Type != "intrusion-set" {
		return
	}
	if v.Revoked || v.Deprecated {
		p.problem(i, v.Name, "is revoked or deprecated in the list: left out")
		return
	}
	var refs []string
	own := p.source
	for _, r := range v.References {
		if r.Source == "mitre-attack" && r.ID != "" {
			p.source = "MITRE ATT&CK " + clip(r.ID)
			v.Aliases = append(v.Aliases, r.ID)
		}
		if r.URL != "" {
			refs = append(refs, r.URL)
		}
	}
	p.add(i, v.Name, v.Aliases, refs, v.Confidence)
	p.source = own
}

var noID = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// ID makes an actor's id of its first name; empty where nothing of it can stand
// in an id.
func ID(name string) string {
	id := strings.Trim(noID.ReplaceAllString(name, "-"), "-._")
	if len(id) > 64 {
		id = strings.Trim(id[:64], "-._")
	}
	return id
}

func (p *reader) add(i int, name string, more, refs []string, confidence int) {
	name = clean(name)
	a := impound.Actor{ID: ID(name)}
	if a.ID == "" {
		p.problem(i, name, "has no name that could be an id")
		return
	}
	if confidence < 0 || confidence > 100 {
		confidence = 0
	}
	for _, n := range append([]string{name}, more...) {
		switch n = clean(n); {
		case n == "" || slices.Contains(a.Names, n):
			continue
		case len(a.Names) >= maxNames:
			p.problem(i, name, "has more than %d names: the rest is left out", maxNames)
		case len(n) > maxName:
			p.problem(i, name, "has a name of %d octets: left out", len(n))
			continue
		default:
			a.Names = append(a.Names, n)
			a.Aliases = append(a.Aliases, impound.Alias{Name: n, Source: p.source, Confidence: confidence})
			continue
		}
		break
	}
	for _, r := range refs {
		if r = clean(r); r != "" && len(r) <= 2048 && len(a.Sources) < 100 && !slices.Contains(a.Sources, r) {
			a.Sources = append(a.Sources, r)
		}
	}
	p.actors = append(p.actors, a)
}

// clean takes out what would fool an eye or break a line.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == 0xa0 || r >= 0x80 && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202f || r >= 0x2066 && r <= 0x2069 || r == 0xfeff
	}), " ")
}

func clip(s string) string {
	s = clean(s)
	for len(s) > maxName {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
