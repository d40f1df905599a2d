package seizure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/impound/impound"
)

// sheafSize is how many names' views go into one artefact: a file of its own for
// each of ten thousand names would be ten thousand waits for the disk.
const sheafSize = 100

// seen is what was observed of one name, as it stands in an artefact of kind
// "views": {"names": [...]}, each by itself.
type seen struct {
	Name     impound.Name `json:"name"`
	At       time.Time    `json:"at"`
	Provider string       `json:"provider,omitempty"`
	Frames   []seenFrame  `json:"frames,omitempty"` // the provider's own words
	Parent   any          `json:"parent,omitempty"`
	RDAP     any          `json:"rdap,omitempty"`
	Resolver any          `json:"resolver,omitempty"`
	Child    any          `json:"child,omitempty"` // the name's own servers
}

// seenFrame holds a frame octet for octet: as text where it is UTF-8.
type seenFrame struct {
	Dir   string    `json:"dir"`
	At    time.Time `json:"at"`
	Media string    `json:"media,omitempty"` // "" is application/epp+xml
	Text  string    `json:"text,omitempty"`
	Raw   []byte    `json:"raw,omitempty"`
}

func seenFrames(fs []Frame, dir string) []seenFrame {
	var out []seenFrame
	for _, f := range fs {
		if f.Dir != dir {
			continue
		}
		x := seenFrame{Dir: f.Dir, At: f.At, Media: f.Media}
		if utf8.Valid(f.Body) {
			x.Text = string(f.Body)
		} else {
			x.Raw = f.Body
		}
		out = append(out, x)
	}
	return out
}

// sheaf keeps what was observed of many names, sheafSize of them in an artefact,
// with an entry for each name. It is safe for concurrent use.
type sheaf struct {
	e      *Engine
	caseID string

	mu   sync.Mutex
	open []bound
}

// bound is a name's part of a sheaf.
type bound struct {
	body  json.RawMessage
	name  impound.Name
	entry impound.Entry // to be appended, with the artefact's hash among its details
	kept  func(hash string)
}

// spare are buffers to encode into.
var spare = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// add takes what was seen of a name, and the entry that is to say so. When it is
// on the disk, kept is told the artefact's hash: perhaps by another goroutine, at
// the latest before close returns nil.
func (s *sheaf) add(ctx context.Context, v seen, entry impound.Entry, kept func(hash string)) error {
	b := spare.Get().(*bytes.Buffer)
	defer spare.Put(b)
	b.Reset()
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't encode what was observed of %s: %w", v.Name.Defanged(), err)
	}
	body := bytes.Clone(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	s.mu.Lock()
	s.open = append(s.open, bound{body, v.Name, entry, kept})
	var full []bound
	if len(s.open) >= sheafSize {
		full, s.open = s.open, nil
	}
	s.mu.Unlock()
	return s.keep(ctx, full)
}

// close keeps what is left.
func (s *sheaf) close(ctx context.Context) error {
	s.mu.Lock()
	rest := s.open
	s.open = nil
	s.mu.Unlock()
	return s.keep(ctx, rest)
}

func (s *sheaf) keep(ctx context.Context, bs []bound) error {
	if len(bs) == 0 {
		return nil
	}
	size := 32
	for _, b := range bs {
		size += len(b.body) + 2
	}
	body := append(make([]byte, 0, size), `{"names":[`...)
	for i, b := range bs {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(body, '\n'), b.body...)
	}
	body = append(body, "\n]}\n"...)
	a := impound.Artefact{Kind: "views", Media: "application/json", Case: s.caseID, Source: "registry, parent zone, RDAP, resolvers, its own servers", Tool: Tool, By: s.e.cfg.By, At: s.e.now()}
	of := fmt.Sprintf("%d names", len(bs))
	if len(bs) == 1 {
		a.Name, of = bs[0].name, bs[0].name.Defanged()
	}
	a, err := s.e.cfg.Evidence.Capture(ctx, a, body)
	if err != nil {
		return fmt.Errorf("couldn't keep what was observed of %s: %w", of, err)
	}
	es := make([]impound.Entry, len(bs))
	for i, b := range bs {
		es[i] = b.entry
		es[i].Detail["artefact"] = a.Hash
	}
	if _, err := s.e.cfg.Evidence.AppendAll(ctx, es); err != nil {
		return fmt.Errorf("couldn't record what was observed of %s: %w", of, err)
	}
	for _, b := range bs {
		b.kept(a.Hash)
	}
	return nil
}
