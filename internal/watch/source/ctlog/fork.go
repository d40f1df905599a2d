package ctlog

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/impound/impound"
)

// Misconduct is the proof that a log broke its promise to be append-only: two
// heads that it signed and that can't both be of one growing tree. It holds all
// that is needed to check it, offline, by anybody.
type Misconduct struct {
	What    string    `json:"what"` // "fork" or "rollback"
	Log     string    `json:"log"`
	Kind    Kind      `json:"kind"`
	URL     string    `json:"url"`
	Key     []byte    `json:"key"` // SubjectPublicKeyInfo
	Older   Head      `json:"older"`
	Newer   Head      `json:"newer"`
	Noticed time.Time `json:"noticed"`
	// Proof is what the log itself gave as the proof (RFC 6962 2.1.2) that the
	// larger tree begins with a tree of the smaller one's size. It leads to the
	// larger root, and to another root than the one that was signed for the
	// smaller. Empty when both trees have one size, and for a roll-back.
	Proof []tlog.Hash `json:"proof,omitempty"`
	// Found is the root that the larger tree had at the smaller one's size.
	Found tlog.Hash `json:"found,omitzero"`
}

// The kinds of Misconduct.
const (
	Fork     = "fork"
	Rollback = "rollback"
)

// Check proves m from what it holds: both signatures, and that the two heads
// can't be of one growing tree.
func (m *Misconduct) Check() error {
	l, err := Open(Info{Name: m.Log, Kind: m.Kind, URL: m.URL, Monitor: m.URL, Key: m.Key}, nil, 1)
	if err != nil {
		return err
	}
	for _, h := range []Head{m.Older, m.Newer} {
		var got Head
		switch x := l.(type) {
		case *static:
			got, err = x.checkpoint(x.origin, h.Raw)
		case *rfc6962:
			got, err = x.sth(h.Raw)
		}
		if err != nil {
			return err
		}
		if got.Size != h.Size || got.Root != h.Root || !got.Time.Equal(h.Time) {
			return impound.Errorf(impound.KindInvalid, "a head is not what the log signed").At(m.Log)
		}
	}
	small, large := m.Older, m.Newer
	if small.Size > large.Size {
		small, large = large, small
	}
	switch {
	case m.What == Rollback:
		if m.Newer.Size < m.Older.Size && m.Newer.Time.After(m.Older.Time) {
			return nil
		}
	case small.Size == large.Size:
		if small.Root != large.Root {
			return nil
		}
	default:
		f, root, ok := frontierFromProof(small.Size, large.Size, m.Proof, m.Found)
		if ok && root == large.Root && f.Root() == m.Found && m.Found != small.Root {
			return nil
		}
		// Of a complete tree the proof holds no root: that it doesn't lead from the
		// signed one to the other signed one is all there is to show.
		if small.Size&(small.Size-1) == 0 {
			if _, root, ok := frontierFromProof(small.Size, large.Size, m.Proof, small.Root); !ok || root != large.Root {
				return nil
			}
		}
	}
	return impound.Errorf(impound.KindInvalid, "the two heads can be of one growing tree").At(m.Log)
}

// ReadMisconduct reads what an alarm kept as evidence, and checks it.
func ReadMisconduct(r io.Reader) (*Misconduct, error) {
	var m Misconduct
	d := json.NewDecoder(io.LimitReader(r, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("couldn't read the proof of a log's misconduct: %w", err)
	}
	return &m, m.Check()
}
