package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/source/ctlog"
)

// KindCT is the kind of a CT log.
const KindCT = "ct"

// stretch is how many entries are read before they are proven and committed.
var stretch int64 = 16384 // tests make it small

const (
	// stale is how long a log may show nothing newer: RFC 6962 gives it a day to
	// merge, and it must sign a head at least that often.
	stale = 24 * time.Hour
)

// From says where a source that was never read begins.
type From int64

// Now begins with what comes from now on.
const Now From = -1

// CT is a CT log as a source.
type CT struct {
	id    string
	log   ctlog.Log
	start From
	lies  int // stretches in a row that were not the tree's
}

// NewCT makes one. start is the first entry to read, or Now.
func NewCT(id string, log ctlog.Log, start From) *CT {
	return &CT{id: id, log: log, start: start}
}

// ID is the source's name.
func (c *CT) ID() string { return c.id }

// Kind is KindCT.
func (c *CT) Kind() string { return KindCT }

// Where is the log's address.
func (c *CT) Where() string {
	if i := c.log.Info(); i.Monitor != "" {
		return i.Monitor
	}
	return c.log.Info().URL
}

// overlap is how many entries of a log that was held are read again when it is
// released: those of the tree that it shows now may be others. Names that are in
// the queue already open nothing there.
const overlap = 1 << 20

// ctCursor is the place in a log. Everything before Next is in the queue;
// everything before Verified is proven to be in the tree that Head signs, which
// is proven to begin with every tree that was signed before.
type ctCursor struct {
	LogID    string          `json:"log_id"`
	Head     ctlog.Head      `json:"head"`
	Next     int64           `json:"next"`
	Verified int64           `json:"verified"`
	Tree     *ctlog.Frontier `json:"tree,omitempty"` // of Next entries; nil: not known yet
	// Again says that a person let a held log begin anew.
	Again bool `json:"again,omitempty"`
}

// Pass reads what the log has gained.
func (c *CT) Pass(ctx context.Context, s *Session) error {
	if s.State.Held != "" {
		return nil
	}
	var cur ctCursor
	known, err := s.Cursor(&cur)
	if err != nil {
		return err
	}
	info := c.log.Info()
	if known && !cur.Again && cur.LogID != info.ID() {
		return impound.Errorf(impound.KindRefused, "the log's key is another than before").At(c.id).WithCure("a log never changes its key: give what this is now another name")
	}
	head, err := c.log.Head(ctx)
	if err != nil {
		return err
	}
	if !known || cur.Again {
		start := int64(c.start)
		if cur.Again {
			start = cur.Next
			if start > 0 {
				start = max(min(start, head.Size)-overlap, 0)
			}
		}
		if start < 0 || start > head.Size {
			start = head.Size
		}
		if info.Kind == ctlog.RFC6962 && start > 0 && start < head.Size && start&(start-1) == 0 {
			start-- // no proof shows a complete tree, so begin one entry earlier
		}
		cur = ctCursor{LogID: info.ID(), Head: head, Next: start, Verified: start}
		if cur.Tree, err = c.log.Frontier(ctx, start, head, nil); errors.Is(err, ctlog.ErrNoFrontier) {
			cur.Tree = nil
		} else if err != nil {
			return err
		}
		if err := s.Commit(ctx, cur, cur.place(), &Findings{}); err != nil {
			return err
		}
	}
	proven, err := c.accept(ctx, s, &cur, &head)
	if err != nil || s.State.Held != "" {
		return err
	}
	if cur.Next >= head.Size {
		s.State.TargetAt = head.Time
		if age := s.r.cfg.Now().Sub(head.Time); age > stale {
			return impound.Errorf(impound.KindUnavailable, "the log signed nothing for %d hours: its last head is of %s", int(age.Hours()), head.Time.Format(time.RFC3339))
		}
		return s.Idle(ctx)
	}
	return c.read(ctx, s, cur, head, proven)
}

// accept holds the new head against the one that was accepted before. It gives
// whether the new tree is proven to begin with the old one; where reading on is
// the cheaper proof, it is not yet. The head may be changed for the older one.
func (c *CT) accept(ctx context.Context, s *Session, cur *ctCursor, head *ctlog.Head) (proven bool, err error) {
	old := cur.Head
	switch {
	case head.Size == old.Size:
		if head.Root != old.Root {
			return false, c.fork(ctx, s, old, *head, nil)
		}
		return true, nil
	case head.Size < old.Size:
		if head.Time.After(old.Time) {
			return false, c.misconduct(ctx, s, &ctlog.Misconduct{What: ctlog.Rollback, Older: old, Newer: *head})
		}
		// An older head, from a cache or another front end: no harm, if it is of
		// the same tree.
		f, err := c.log.Frontier(ctx, head.Size, old, &head.Root)
		if err != nil {
			return false, err
		}
		if f.Root() != head.Root {
			return false, c.fork(ctx, s, *head, old, f)
		}
		*head = old
		return true, nil
	case old.Size == 0:
		if cur.Tree == nil {
			cur.Tree = &ctlog.Frontier{}
		}
		return true, nil
	case cur.Tree != nil && cur.Next == old.Size && head.Size-cur.Next <= stretch:
		return false, nil
	}
	f, err := c.log.Frontier(ctx, old.Size, *head, &old.Root)
	if err != nil {
		var pe *ctlog.ProofError
		if errors.As(err, &pe) && old.Size&(old.Size-1) == 0 && c.log.Info().Kind == ctlog.RFC6962 {
			return false, c.fork(ctx, s, old, *head, nil)
		}
		return false, err
	}
	if f.Root() != old.Root {
		return false, c.fork(ctx, s, old, *head, f)
	}
	if cur.Tree == nil && cur.Next == old.Size {
		cur.Tree = f
	}
	return true, nil
}

// read reads up to head, a stretch at a time.
func (c *CT) read(ctx context.Context, s *Session, cur ctCursor, head ctlog.Head, proven bool) error {
	if cur.Tree == nil {
		f, err := c.log.Frontier(ctx, cur.Next, head, nil)
		if err != nil {
			return err
		}
		cur.Tree = f
	}
	source := "ct " + c.id
	var found Findings
	for cur.Next < head.Size {
		end := min(cur.Next+stretch, head.Size)
		tree := cur.Tree.Clone()
		hashes := make([]tlog.Hash, 0, 256)
		err := c.log.Read(ctx, cur.Next, end, func(b *ctlog.Batch) error {
			f, ok := b.Result.(*Findings)
			if !ok {
				f = new(Findings)
				b.Result = f
			}
			f.reset()
			var buf [256]byte
			for i := range b.Entries {
				e := &b.Entries[i]
				f.Items++
				f.IPs += int64(e.IPs)
				if e.Err != nil {
					f.Unreadable++
					f.event(Event{Position: e.Index, What: "certificate", Text: e.Err.Error()})
				}
				first := len(f.Candidates)
				s.r.screen.unique(e.Names, func(n []byte) { s.r.screen.name(f, buf[:], n, source, e.Index) })
				f.Candidates = uniqueFrom(f.Candidates, first)
				for j := first; j < len(f.Candidates); j++ {
					f.Candidates[j].Source = source + " #" + strconv.FormatInt(e.Index, 10)
				}
			}
			return nil
		}, func(b *ctlog.Batch) error {
			hashes = hashes[:0]
			for i := range b.Entries {
				hashes = append(hashes, b.Entries[i].Hash)
			}
			tree.Add(hashes...)
			found.add(b.Result.(*Findings))
			return nil
		})
		if err != nil {
			return err
		}
		verified, err := c.prove(ctx, tree, head)
		if err != nil {
			return err
		}
		if verified == wrong {
			found.reset()
			if !proven {
				// Is the tree another, or are the entries not the tree's?
				f, err := c.log.Frontier(ctx, cur.Head.Size, head, &cur.Head.Root)
				if err == nil && f.Root() != cur.Head.Root {
					return c.fork(ctx, s, cur.Head, head, f)
				}
				var pe *ctlog.ProofError
				if errors.As(err, &pe) && cur.Head.Size&(cur.Head.Size-1) == 0 && c.log.Info().Kind == ctlog.RFC6962 {
					return c.fork(ctx, s, cur.Head, head, nil)
				}
			}
			c.lies++
			err := impound.Errorf(impound.KindRefused, "entries %d to %d as the log gives them are not those of the tree that it signed; nothing of them was taken", cur.Next, end-1).At(c.id)
			if c.lies >= 3 {
				ev, jerr := json.Marshal(map[string]any{"what": "entries", "log": c.log.Info().Name, "url": c.Where(), "key": c.log.Info().Key, "head": head, "from": cur.Next, "to": end, "tree_before": cur.Tree, "root_of_entries": tree.Root(), "noticed": s.r.cfg.Now().UTC()})
				if jerr != nil {
					return jerr
				}
				return s.Hold(ctx, Alarm{ID: fmt.Sprintf("watch:%s:entries:%d:%s", c.id, cur.Next, head.Root), Text: err.Msg, Evidence: ev})
			}
			return err
		}
		c.lies = 0
		cur.Next, cur.Tree, cur.Head = end, tree, head
		if verified == right {
			cur.Verified, proven = end, true
		}
		if err := s.Commit(ctx, cur, cur.place(), &found); err != nil {
			return err
		}
	}
	return nil
}

type proof int

const (
	unknown proof = iota
	right
	wrong
)

// prove says whether tree is what head's tree begins with. When the log can't be
// asked just now, nothing is known: the entries count, and are proven with those
// that follow.
func (c *CT) prove(ctx context.Context, tree *ctlog.Frontier, head ctlog.Head) (proof, error) {
	root := tree.Root()
	if tree.Size == head.Size {
		if root == head.Root {
			return right, nil
		}
		return wrong, nil
	}
	f, err := c.log.Frontier(ctx, tree.Size, head, &root)
	var pe *ctlog.ProofError
	switch {
	case errors.As(err, &pe):
		return wrong, nil
	case ctx.Err() != nil:
		return unknown, ctx.Err()
	case err != nil:
		return unknown, nil
	case f.Root() != root:
		return wrong, nil
	}
	return right, nil
}

func (c ctCursor) place() Place { return Place{c.Next, c.Verified, c.Head.Size, c.Head.Time} }

// fork keeps the proof of two heads that can't be of one tree. f is what the
// larger tree was at the smaller one's size, when it is known.
func (c *CT) fork(ctx context.Context, s *Session, older, newer ctlog.Head, f *ctlog.Frontier) error {
	m := &ctlog.Misconduct{What: ctlog.Fork, Older: older, Newer: newer}
	if f != nil {
		m.Found = f.Root()
	}
	if older.Size < newer.Size && older.Size > 0 {
		p, err := c.log.Proof(ctx, older.Size, newer)
		if err != nil {
			return fmt.Errorf("the log has forked, and its proof couldn't be fetched: %w", err)
		}
		m.Proof = p
	}
	return c.misconduct(ctx, s, m)
}

func (c *CT) misconduct(ctx context.Context, s *Session, m *ctlog.Misconduct) error {
	i := c.log.Info()
	m.Log, m.Kind, m.URL, m.Key, m.Noticed = i.Name, i.Kind, i.URL, i.Key, s.r.cfg.Now().UTC()
	if err := m.Check(); err != nil {
		return fmt.Errorf("the log seems to have broken its promise, but the proof doesn't hold: %w", err)
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't encode the proof: %w", err)
	}
	text := fmt.Sprintf("the log has forked: it signed a tree of %d entries and then one of %d that doesn't begin with it", m.Older.Size, m.Newer.Size)
	switch {
	case m.What == ctlog.Rollback:
		text = fmt.Sprintf("the log was rolled back: it signed a tree of %d entries and later one of %d", m.Older.Size, m.Newer.Size)
	case m.Older.Size == m.Newer.Size:
		text = fmt.Sprintf("the log has forked: it signed two different trees of %d entries", m.Older.Size)
	}
	return s.Hold(ctx, Alarm{ID: fmt.Sprintf("watch:%s:%s:%s:%s", c.id, m.What, m.Older.Root, m.Newer.Root), Text: text, Evidence: b})
}
