package live

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"unicode/utf8"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch"
)

// Findings is what a stretch of a source held.
type Findings struct {
	Items, Names, IPs, BadNames, Unreadable int64
	Candidates                              []impound.Candidate
	Events                                  []Event // the newest KeptEvents
}

func (f *Findings) reset() {
	*f = Findings{Candidates: f.Candidates[:0], Events: f.Events[:0]}
}

func (f *Findings) add(g *Findings) {
	f.Items += g.Items
	f.Names += g.Names
	f.IPs += g.IPs
	f.BadNames += g.BadNames
	f.Unreadable += g.Unreadable
	f.Candidates = append(f.Candidates, g.Candidates...)
	for _, e := range g.Events {
		f.event(e)
	}
}

func (f *Findings) event(e Event) {
	if len(f.Events) >= 2*KeptEvents {
		f.Events = append(f.Events[:0], f.Events[KeptEvents:]...)
	}
	f.Events = append(f.Events, e)
}

// screener judges names fast: most are ordinary, and cost one look.
type screener struct {
	opt   watch.Options
	least float64
	seed  maphash.Seed
}

func newScreener(opt watch.Options) (*screener, error) {
	if opt.Matcher == nil && len(opt.Profiles) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "nothing to look for: no brands and no actors")
	}
	s := &screener{opt: opt, least: opt.Threshold, seed: maphash.MakeSeed()}
	if s.least == 0 {
		s.least = watch.DefaultThreshold
	}
	return s, nil
}

// maxText bounds what an event shows of a name that is none.
const maxText = 120

// shown makes text from anywhere fit to be shown.
func shown(b []byte) string {
	cut := ""
	if len(b) > maxText {
		b, cut = b[:maxText], "..."
	}
	if utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) {
		return fmt.Sprintf("%q%s", b, cut)
	}
	return fmt.Sprintf("%+q%s", b, cut)
}

// canonical lowers raw and takes a wildcard label and the last dot away, into
// buf. plain says that it is made of what host names are made of, and short
// enough.
func canonical(buf, raw []byte) (name []byte, plain bool) {
	if len(raw) > 2 && raw[0] == '*' && raw[1] == '.' {
		raw = raw[2:]
	}
	if n := len(raw); n > 1 && raw[n-1] == '.' {
		raw = raw[:n-1]
	}
	plain = len(raw) > 0 && len(raw) <= 253
	if !plain {
		return raw, false
	}
	name = buf[:0]
	dots, label, digits := 0, 0, true
	for _, c := range raw {
		switch {
		case c >= '0' && c <= '9':
			label++
		case c >= 'a' && c <= 'z' || c == '-' || c == '_':
			label++
			digits = false
		case c >= 'A' && c <= 'Z':
			c |= 0x20
			label++
			digits = false
		case c == '.':
			if label == 0 || label > 63 {
				plain = false
			}
			dots++
			label, digits = 0, true
		default:
			plain = false
		}
		name = append(name, c)
	}
	return name, plain && dots > 0 && label > 0 && label <= 63 && !digits
}

// name judges one name as it stands in a source. buf is room for 253 octets.
func (s *screener) name(f *Findings, buf, raw []byte, source string, at int64) {
	f.Names++
	n, plain := canonical(buf, raw)
	if plain {
		score := 0.0
		if s.opt.Matcher != nil {
			score, _ = s.opt.Matcher.Score(n)
		}
		if score < s.least && len(s.opt.Profiles) > 0 {
			for _, p := range s.opt.Profiles {
				if x, _ := p.Score(string(n)); x > score {
					score = x
				}
			}
		}
		if score < s.least && !isALabel(n) {
			return
		}
		if score < s.least { // an A-label that decodes to nothing is worth a word
			if _, err := impound.ParseName(string(n)); err != nil {
				s.bad(f, raw, err, at)
			}
			return
		}
	}
	if bytes.IndexByte(raw, 0) >= 0 {
		s.bad(f, raw, impound.Errorf(impound.KindInvalid, "holds a NUL"), at)
		return
	}
	name, err := impound.ParseName(string(raw))
	if err != nil {
		s.bad(f, raw, err, at)
		return
	}
	opt := s.opt
	opt.Source = source
	c, ok := watch.Judge(name, opt)
	if !ok || c.Score < s.least {
		return
	}
	f.Candidates = append(f.Candidates, c)
}

func isALabel(n []byte) bool { return bytes.Contains(n, []byte("xn--")) }

func (s *screener) bad(f *Findings, raw []byte, err error, at int64) {
	f.BadNames++
	text := err.Error()
	if e, ok := err.(*impound.Error); ok { //nolint:errorlint // it is made there
		text = e.Msg
	}
	f.event(Event{Position: at, What: "name", Text: shown(raw) + ": " + cutText(text)})
}

func cutText(s string) string {
	if len(s) > 300 {
		return s[:300] + "..."
	}
	return s
}

// unique calls do for each name of a certificate once. Most have two.
func (s *screener) unique(names [][]byte, do func([]byte)) {
	if len(names) <= 16 {
	next:
		for i, n := range names {
			for _, m := range names[:i] {
				if bytes.Equal(n, m) {
					continue next
				}
			}
			do(n)
		}
		return
	}
	seen := make(map[uint64]struct{}, len(names))
	for _, n := range names {
		h := maphash.Bytes(s.seed, n)
		if _, ok := seen[h]; ok {
			continue
		}
		seen[h] = struct{}{}
		do(n)
	}
}

// uniqueFrom keeps of cs, from first on, each name once: a certificate names
// example.org and *.example.org.
func uniqueFrom(cs []impound.Candidate, first int) []impound.Candidate {
	if len(cs)-first < 2 {
		return cs
	}
	seen := make(map[impound.Name]struct{}, len(cs)-first)
	out := cs[:first]
	for _, c := range cs[first:] {
		if _, ok := seen[c.Name]; !ok {
			seen[c.Name] = struct{}{}
			out = append(out, c)
		}
	}
	return out
}
