package gate

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weppos/publicsuffix-go/publicsuffix"

	"github.com/impound/impound"
)

type fact struct {
	kind   string // "a dynamic DNS zone"
	source string // "built in", a file
	asOf   time.Time
}

// Lists are the facts that gates look names up in. They are immutable once made
// and safe for concurrent use.
type Lists struct {
	asOf        time.Time
	shared      map[string]fact // G1, by A-label name
	sinkholes   map[string]fact // G5: domains of sinkholes and their name servers
	parking     map[string]fact // G5: name servers of parking services
	suffixBelow map[string]string
	files       []string
	infos       []ListInfo
}

// Len gives how many names G1 knows, apart from the public suffix list.
func (l *Lists) Len() int { return len(l.shared) }

// Files gives the files that were read on top of the built-in facts.
func (l *Lists) Files() []string { return slices.Clone(l.files) }

// IsShared says whether n, or a name above it, is a service that strangers
// depend on, and which kind of service. Intake sets such names apart.
func (l *Lists) IsShared(n impound.Name) (kind string, ok bool) {
	for z := n; z.Labels() > 1; z = z.Parent() {
		if f, ok := l.shared[z.String()]; ok {
			return f.kind, true
		}
	}
	if _, private := n.PublicSuffix(); private {
		return "a suffix that is let to strangers", true
	}
	return "", false
}

func (l *Lists) describe() string {
	if len(l.files) == 0 {
		return "public suffix list and built-in facts"
	}
	return fmt.Sprintf("public suffix list, built-in facts and %d list files", len(l.files))
}

func (l *Lists) sinkhole(n impound.Name) (string, fact, bool) { return lookUp(l.sinkholes, n) }
func (l *Lists) parkedAt(n impound.Name) (string, bool) {
	z, _, ok := lookUp(l.parking, n)
	return z, ok
}

func lookUp(m map[string]fact, n impound.Name) (string, fact, bool) {
	for z := n; !z.IsZero(); z = z.Parent() {
		if f, ok := m[z.String()]; ok {
			return z.Defanged(), f, true
		}
	}
	return "", fact{}, false
}

var builtIn = sync.OnceValue(func() *Lists {
	l := &Lists{asOf: builtInDate, shared: map[string]fact{}, sinkholes: map[string]fact{}, parking: map[string]fact{}, suffixBelow: map[string]string{}}
	for kind, text := range builtInShared {
		for _, s := range strings.Fields(text) {
			l.shared[s] = fact{kind, "built in", builtInDate}
		}
	}
	for _, s := range strings.Fields(builtInSinkholes) {
		l.sinkholes[s] = fact{"a sinkhole", "built in", builtInDate}
	}
	for _, s := range strings.Fields(builtInParking) {
		l.parking[s] = fact{"a parking service", "built in", builtInDate}
	}
	// amazonaws.com is no suffix itself, but s3.amazonaws.com is: whoever acts
	// on the former hits those who hold names below the latter.
	rules := publicsuffix.DefaultRules()
	for i := range rules {
		r := &rules[i]
		if !r.Private {
			continue
		}
		n, err := impound.ParseName(strings.TrimPrefix(r.Value, "*."))
		if err != nil {
			continue
		}
		if r.Type == publicsuffix.WildcardType {
			if _, ok := l.suffixBelow[n.String()]; !ok {
				l.suffixBelow[n.String()] = r.Value
			}
		}
		for z := n.Parent(); z.Labels() > 1; z = z.Parent() {
			if old, ok := l.suffixBelow[z.String()]; !ok || len(r.Value) < len(old) {
				l.suffixBelow[z.String()] = r.Value
			}
		}
	}
	return l
})

// BuiltIn gives the facts that ship with the program.
func BuiltIn() *Lists { return builtIn() }

// maxListFile bounds one list file (octets).
const maxListFile = 64 << 20

// LoadLists reads every *.json (MISP warning list) and *.txt or *.list (a name a
// line, # comments) in dir on top of the built-in facts. What a list is good for
// is told from its name: sinkhole, parking, dynamic, hosting or LOTS, shortener,
// bio, top or tranco. Lists of addresses and lists of no use to a gate are
// passed over. An error of KindInvalid names the file; nothing is half loaded.
func LoadLists(dir string) (*Lists, error) {
	b := BuiltIn()
	l := &Lists{asOf: b.asOf, shared: clone(b.shared), sinkholes: clone(b.sinkholes), parking: clone(b.parking), suffixBelow: b.suffixBelow}
	ents, err := os.ReadDir(dir)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the folder of lists: %w", err).At(dir).WithCure("give a folder that holds MISP warning lists (*.json) or plain lists (*.txt)")
	}
	for _, e := range ents {
		ext := filepath.Ext(e.Name())
		if e.IsDir() || ext != ".json" && ext != ".txt" && ext != ".list" {
			continue
		}
		if err := l.load(filepath.Join(dir, e.Name()), e); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func clone(m map[string]fact) map[string]fact {
	c := make(map[string]fact, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// kinds tells from a list's file name and title what it is good for. The first
// that fits counts.
var kinds = []struct {
	word, kind string
}{
	{"sinkhole", "sinkhole"},
	{"parking-domain-ns", "parking"},
	{"parking", ""}, // parked names, not their servers
	{"dynamic", "a dynamic DNS zone"},
	{"lots", "a service that is used by strangers and abused by actors"},
	{"hosting", "a hosting service's zone"},
	{"shortener", "a link shortener"},
	{"bio", "a link-in-bio service"},
	{"tranco", "among the most used names of the world"},
	{"top", "among the most used names of the world"},
	{"popular", "among the most used names of the world"},
	{"security-provider", "a security provider's or news site"},
	{"false-positive", "a well-known name that ends up in reports by mistake"},
}

// ListInfo is what there is to say of one list file.
type ListInfo struct {
	File    string    `json:"file"`
	Title   string    `json:"title,omitempty"` // of a MISP list
	Kind    string    `json:"kind"`            // what a name in it is; "" when no gate can use the list
	AsOf    time.Time `json:"as_of"`           // its version's date, or the file's
	Entries int       `json:"entries"`
	Names   int       `json:"names"` // entries that are names
	Hash    string    `json:"hash"`  // of the file
}

// Infos gives what was read on top of the built-in facts, by file name.
func (l *Lists) Infos() []ListInfo { return slices.Clone(l.infos) }

// ParseList reads one list file: MISP warning-list JSON when its name ends in
// .json, else a name a line with # comments. What the list is good for is told
// from its file name and title. modified dates a list that carries no date. The
// error is of KindInvalid and names the file. Entries that are no names are
// passed over and counted.
func ParseList(file string, data []byte, modified time.Time) (ListInfo, []impound.Name, error) {
	info := ListInfo{File: filepath.Base(file), AsOf: modified.UTC(), Hash: impound.HashBytes(data)}
	if len(data) > maxListFile {
		return info, nil, impound.Errorf(impound.KindInvalid, "the list is longer than %d octets", maxListFile).At(file).WithCure("split it")
	}
	base := strings.ToLower(info.File)
	var items []string
	if filepath.Ext(base) == ".json" {
		var d struct {
			Name    string          `json:"name"`
			Type    string          `json:"type"`
			Version json.RawMessage `json:"version"`
			List    []string        `json:"list"`
			For     []string        `json:"matching_attributes"`
		}
		if err := json.Unmarshal(data, &d); err != nil {
			return info, nil, impound.Errorf(impound.KindInvalid, "is no MISP warning list: %w", err).At(file).WithCure("fetch it again, or remove it from the folder")
		}
		info.Title, info.Entries = d.Name, len(d.List)
		// Most lists carry their date as their version: 20250115.
		// Some carry a number that only looks like one: it must lie in the past.
		if t, err := time.Parse("20060102", string(d.Version)); err == nil && t.Year() >= 2000 && !t.After(modified) {
			info.AsOf = t
		}
		if d.Type != "hostname" && d.Type != "string" && d.Type != "" {
			return info, nil, nil // addresses, substrings, expressions
		}
		if len(d.For) > 0 && !slices.ContainsFunc(d.For, func(a string) bool { return a == "domain" || a == "hostname" || a == "domain|ip" }) {
			return info, nil, nil // hashes, file names
		}
		items = d.List
		base += " " + strings.ToLower(d.Name)
	} else {
		for line := range strings.Lines(string(data)) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line != "" {
				items = append(items, line)
			}
		}
		info.Entries = len(items)
	}
	i := slices.IndexFunc(kinds, func(k struct{ word, kind string }) bool { return strings.Contains(base, k.word) })
	if i < 0 || kinds[i].kind == "" {
		return info, nil, nil
	}
	switch info.Kind = kinds[i].kind; info.Kind {
	case "sinkhole":
		info.Kind = kindSinkhole
	case "parking":
		info.Kind = kindParking
	}
	var names []impound.Name
	for _, s := range items {
		n, err := impound.ParseName(strings.TrimPrefix(s, "."))
		if err != nil || n.Labels() < 2 {
			continue // warning lists hold addresses and typing errors too
		}
		names = append(names, n)
	}
	info.Names = len(names)
	return info, names, nil
}

const (
	kindSinkhole = "a sinkhole"
	kindParking  = "a parking service"
)

func (l *Lists) load(path string, e fs.DirEntry) error {
	fi, err := e.Info()
	if err != nil {
		return impound.Errorf(impound.KindInvalid, "couldn't read the list: %w", err).At(path)
	}
	if fi.Size() > maxListFile {
		return impound.Errorf(impound.KindInvalid, "the list is %d octets long: at most %d are read", fi.Size(), maxListFile).At(path).WithCure("remove it from the folder, or split it")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return impound.Errorf(impound.KindInvalid, "couldn't read the list: %w", err).At(path)
	}
	info, names, err := ParseList(path, b, fi.ModTime())
	if err != nil {
		return err
	}
	if info.Kind == "" {
		return nil
	}
	into := l.shared
	switch info.Kind {
	case kindSinkhole:
		into = l.sinkholes
	case kindParking:
		into = l.parking
	}
	for _, n := range names {
		if _, ok := into[n.String()]; !ok {
			into[n.String()] = fact{info.Kind, info.File, info.AsOf}
		}
	}
	if l.asOf.Before(info.AsOf) {
		l.asOf = info.AsOf
	}
	l.files = append(l.files, info.File)
	slices.Sort(l.files)
	l.infos = append(l.infos, info)
	slices.SortFunc(l.infos, func(a, b ListInfo) int { return strings.Compare(a.File, b.File) })
	return nil
}
