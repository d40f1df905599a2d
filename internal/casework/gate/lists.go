package gate

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
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
	// Addresses are looked up by walking these: there are a hundred.
	sinkholeNets []netFact
	parkingNets  []netFact
	ranks        []ranking
	files        []string
	infos        []ListInfo
}

type netFact struct {
	net netip.Prefix
	fact
}

func lookUpAddr(nets []netFact, a netip.Addr) (fact, bool) {
	a = a.Unmap()
	for _, n := range nets {
		if n.net.Contains(a) {
			return n.fact, true
		}
	}
	return fact{}, false
}

// ranking is a list that says which names are used most, in order.
type ranking struct {
	source string
	asOf   time.Time
	place  map[string]int32
	of     int
}

// Rank is a name's place in a popularity list.
type Rank struct {
	Place  int // 0: it is not in the list
	Of     int // how many names the list has
	Source string
	AsOf   time.Time
}

// Rank gives the best place of n, or of the registrable domain that it lies
// below, in the lists that rank names; false when there is no such list.
func (l *Lists) Rank(n impound.Name) (Rank, bool) {
	var best Rank
	r, err := n.RegistryDomain()
	if err != nil {
		r = n
	}
	for _, k := range l.ranks {
		p := int(k.place[r.String()])
		if p == 0 {
			p = int(k.place[n.String()])
		}
		if best.Source == "" || p > 0 && (best.Place == 0 || p < best.Place) || p == 0 && best.Place == 0 && k.of > best.Of {
			best = Rank{p, k.of, k.source, k.asOf}
		}
	}
	return best, best.Source != ""
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

// LoadLists reads every *.json (MISP warning list), *.txt or *.list (a name a
// line, a hosts file, # comments) and *.csv (rank,name a line, or a table with a
// column of names) in dir on top of the built-in facts. What a list is good for
// is told from its name: sinkhole, parking, dynamic, hosting or LOTS, shortener,
// bio, top or tranco. Lists of addresses count for sinkholes and parking; lists of
// no use to a gate are passed over. An error of KindInvalid names the file; nothing is half loaded.
func LoadLists(dir string) (*Lists, error) {
	b := BuiltIn()
	l := &Lists{asOf: b.asOf, shared: clone(b.shared), sinkholes: clone(b.sinkholes), parking: clone(b.parking), suffixBelow: b.suffixBelow}
	ents, err := os.ReadDir(dir)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the folder of lists: %w", err).At(dir).WithCure("give a folder that holds MISP warning lists (*.json) or plain lists (*.txt)")
	}
	for _, e := range ents {
		ext := filepath.Ext(e.Name())
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || !slices.Contains(Extensions, ext) {
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
	{"majestic", "among the most used names of the world"},
	{"umbrella", "among the most used names of the world"},
	{"crux", "among the most used names of the world"},
	{"security-provider", "a security provider's or news site"},
	{"malware-analysis", "a security provider's or news site"},
	{"whats-my-ip", "a service that tells visitors their address"},
	{"false-positive", "a well-known name that ends up in reports by mistake"},
}

// ListInfo is what there is to say of one list file.
type ListInfo struct {
	File    string    `json:"file"`
	Title   string    `json:"title,omitempty"` // of a MISP list
	Kind    string    `json:"kind"`            // what a name in it is; "" when no gate can use the list
	AsOf    time.Time `json:"as_of"`           // its version's date, or the file's
	Entries int       `json:"entries"`
	Names   int       `json:"names"`          // entries that are names, or addresses where these count
	Hash    string    `json:"hash"`           // of the file
	Note    string    `json:"note,omitempty"` // why a list of a known kind is of no use
}

// Infos gives what was read on top of the built-in facts, by file name.
func (l *Lists) Infos() []ListInfo { return slices.Clone(l.infos) }

// Extensions are the endings of list files.
var Extensions = []string{".json", ".txt", ".list", ".csv"}

// topShared is up to which place a ranked name counts as one that the world
// depends on; maxRanked is how many are read.
const (
	topShared = 10_000
	maxRanked = 1_000_000
)

// Parsed is what one list file holds.
type Parsed struct {
	ListInfo
	List   []impound.Name
	Nets   []netip.Prefix // of sinkholes and parking
	Ranked bool           // List is in the order of use, the most used first
}

// ParseList is [ReadList] for callers that want the names alone.
func ParseList(file string, data []byte, modified time.Time) (ListInfo, []impound.Name, error) {
	p, err := ReadList(file, data, modified)
	return p.ListInfo, p.List, err
}

// ReadList reads one list file: MISP warning-list JSON when its name ends in
// .json, a table when in .csv, else a name a line with # comments. What
// the list is good for is told from its file name and title. modified dates a
// list that carries no date. The error is of KindInvalid and names the file.
// Entries that are no names are passed over and counted.
func ReadList(file string, data []byte, modified time.Time) (Parsed, error) {
	info := Parsed{ListInfo: ListInfo{File: filepath.Base(file), AsOf: modified.UTC(), Hash: impound.HashBytes(data)}}
	if len(data) > maxListFile {
		return info, impound.Errorf(impound.KindInvalid, "the list is longer than %d octets", maxListFile).At(file).WithCure("split it")
	}
	base := strings.ToLower(info.File)
	var items []string
	addresses := false
	switch filepath.Ext(base) {
	case ".json":
		var d struct {
			Name    string          `json:"name"`
			Type    string          `json:"type"`
			Version json.RawMessage `json:"version"`
			List    []string        `json:"list"`
			For     []string        `json:"matching_attributes"`
		}
		if err := json.Unmarshal(data, &d); err != nil {
			return info, impound.Errorf(impound.KindInvalid, "is no MISP warning list: %w", err).At(file).WithCure("fetch it again, or remove it from the folder")
		}
		info.Title, info.Entries = d.Name, len(d.List)
		// Most lists carry their date as their version: 20250115.
		// Some carry a number that only looks like one: it must lie in the past.
		if t, err := time.Parse("20060102", string(d.Version)); err == nil && t.Year() >= 2000 && !t.After(modified) {
			info.AsOf = t
		}
		if d.Type != "hostname" && d.Type != "string" && d.Type != "substring" && d.Type != "cidr" && d.Type != "" {
			return info, nil // expressions
		}
		if len(d.For) > 0 && !slices.ContainsFunc(d.For, func(a string) bool { return a == "domain" || a == "hostname" || a == "domain|ip" }) {
			return info, nil // hashes, file names
		}
		addresses = d.Type == "cidr"
		items = d.List
		base += " " + strings.ToLower(d.Name)
	case ".csv":
		items, info.Entries, info.Ranked = readCSV(data)
	default:
		for line := range strings.Lines(string(data)) {
			if line = plainLine(line); line != "" {
				items = append(items, line)
			}
		}
		info.Entries = len(items)
	}
	i := slices.IndexFunc(kinds, func(k struct{ word, kind string }) bool { return strings.Contains(base, k.word) })
	if i >= 0 && kinds[i].kind == "" && addresses { // parking-domain.json holds the addresses of parking services
		i = slices.IndexFunc(kinds, func(k struct{ word, kind string }) bool { return k.kind == "parking" })
	}
	if i < 0 || kinds[i].kind == "" {
		return info, nil
	}
	kind := kinds[i].kind
	switch kind {
	case "sinkhole":
		kind = kindSinkhole
	case "parking":
		kind = kindParking
	}
	if addresses && kind != kindSinkhole && kind != kindParking {
		return info, nil
	}
	if kind == kindPopular && !info.Ranked && len(items) > 2*topShared {
		// The millionth name is nobody's to leave alone, and which it is can't be told.
		info.Note = "too long to block by, and in no order: give it as rank,name in a .csv file"
		return info, nil
	}
	info.Ranked = info.Ranked && kind == kindPopular
	info.Kind = kind
	for _, s := range items {
		if kind == kindSinkhole || kind == kindParking {
			if p, ok := prefixOf(s); ok {
				info.Nets = append(info.Nets, p)
				continue
			}
		}
		n, err := impound.ParseName(strings.TrimPrefix(strings.TrimPrefix(s, "*"), "."))
		if err != nil || n.Labels() < 2 {
			continue // warning lists hold addresses and typing errors too
		}
		info.List = append(info.List, n)
	}
	info.Names = len(info.List) + len(info.Nets)
	return info, nil
}

// prefixOf reads an address or a network; one so wide that it holds half the
// world is none.
func prefixOf(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4() && p.Bits() < 12 || p.Addr().Is6() && p.Bits() < 24 {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

const (
	kindSinkhole = "a sinkhole"
	kindParking  = "a parking service"
	kindPopular  = "among the most used names of the world"
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
	info, err := ReadList(path, b, fi.ModTime())
	if err != nil {
		return err
	}
	if info.Kind == "" {
		return nil
	}
	into, nets := l.shared, &l.sinkholeNets
	switch info.Kind {
	case kindSinkhole:
		into = l.sinkholes
	case kindParking:
		into, nets = l.parking, &l.parkingNets
	}
	for _, p := range info.Nets {
		*nets = append(*nets, netFact{p, fact{info.Kind, info.File, info.AsOf}})
	}
	names := info.List
	if info.Ranked {
		place := make(map[string]int32, len(names))
		for i, n := range names {
			place[n.String()] = int32(i + 1)
		}
		l.ranks = append(l.ranks, ranking{info.File, info.AsOf, place, len(names)})
		names = names[:min(len(names), topShared)]
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
	l.infos = append(l.infos, info.ListInfo)
	slices.SortFunc(l.infos, func(a, b ListInfo) int { return strings.Compare(a.File, b.File) })
	return nil
}
