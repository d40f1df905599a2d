package app

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/impound/impound/internal/casework/gate"
)

// liveLists are the gates' lists as they were read last. They are read whole and
// put in place at once: nobody sees half of a change.
type liveLists struct {
	p     atomic.Pointer[gate.Lists] // nil: the built-in facts
	print string                     // of the folder when it was read; of listsLoop alone after the start
	bad   string                     // of the folder that couldn't be read
}

func (l *liveLists) now() *gate.Lists { return l.p.Load() }

// listsEvery is how often a serving process looks whether its lists changed.
const listsEvery = 2 * time.Second

func (s *System) openLists() error {
	if _, err := os.Stat(s.listsDir()); err != nil && s.cfg.Lists == "" {
		return nil
	}
	print := s.listsPrint()
	l, err := gate.LoadLists(s.listsDir())
	if err != nil {
		return err
	}
	s.lists.p.Store(l)
	s.lists.print = print
	return nil
}

// listsPrint is another as soon as a file of the folder is: by name, size or date.
func (s *System) listsPrint() string {
	ents, err := os.ReadDir(s.listsDir())
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, e := range ents {
		if i, err := e.Info(); err == nil && !strings.HasPrefix(e.Name(), ".") {
			fmt.Fprintf(&b, "%s %d %d\n", e.Name(), i.Size(), i.ModTime().UnixNano())
		}
	}
	return b.String()
}

// listsLoop takes lists up that another process, or a person, put into the folder.
func (s *System) listsLoop(ctx context.Context) {
	t := time.NewTicker(listsEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.refreshLists()
		}
	}
}

// refreshLists reads the lists anew when the folder changed since. Lists that
// can't be read, or a folder that is gone, change nothing: what was read before
// stays, and the log says so once.
func (s *System) refreshLists() {
	print := s.listsPrint()
	if print == s.lists.print || print == s.lists.bad && print != "" {
		return
	}
	if print == "" {
		if s.lists.bad != "gone" {
			s.lists.bad = "gone"
			s.log.Error("the folder of the gates' lists is gone or empty: the gates go on with what was read before", "folder", s.listsDir())
		}
		return
	}
	l, err := gate.LoadLists(s.listsDir())
	if err != nil {
		s.lists.bad = print
		s.log.Error("the gates' lists changed and can't be read: the gates go on with what was read before", "err", err)
		return
	}
	if s.listsPrint() != print {
		return // in the middle of a change: the next look takes the whole
	}
	s.lists.p.Store(l)
	s.lists.print, s.lists.bad = print, ""
	s.log.Info("the gates' lists changed and are read anew", "lists", len(l.Infos()))
}
