package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/evidence"
)

// WhatLists is the What of the entry that a change of the gates' lists leaves.
const WhatLists = "lists.update"

// listsDir is where the gates' lists lie.
func (s *System) listsDir() string {
	if s.cfg.Lists != "" {
		return s.cfg.Path(s.opt.State, s.cfg.Lists)
	}
	return s.path("lists")
}

// ListChange is one list that an update looked at.
type ListChange struct {
	gate.ListInfo
	Was  int    `json:"was"`  // names before; 0: new
	Done string `json:"done"` // "new" | "changed" | "same" | "of no use"
}

// UpdateLists takes the lists of a folder, or one list file, into the folder of
// the gates' lists. All are read first, and nothing is taken when one is bad:
// not readable, no names in it, fewer than nine in ten entries are names, or,
// unless shrink is given, fewer than nine tenths of the names that the list of
// this name has now (one that was cut would let names pass). Each file is replaced
// whole, and the change is recorded with its hash before that. Lists that are not
// in from stay. Processes that run already go on with what they read at their
// start. Role: analyst or admin.
func (s *System) UpdateLists(ctx context.Context, me Identity, from string, shrink bool) ([]ListChange, error) {
	if err := s.may(ctx, "UpdateLists", me.ID); err != nil {
		return nil, err
	}
	files, err := listFiles(from)
	if err != nil {
		return nil, err
	}
	type ready struct {
		ListChange
		data []byte
		mod  time.Time
	}
	var all []ready
	var ps impound.Problems
	bad := func(f, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(f).WithCure(cure))
	}
	for _, f := range files {
		fi, err := os.Stat(f)
		if err != nil {
			bad(f, "", "couldn't read the list: %w", err)
			continue
		}
		if fi.Size() > 64<<20 {
			bad(f, "split it", "the list is %d MB long", fi.Size()>>20)
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			bad(f, "", "couldn't read the list: %w", err)
			continue
		}
		info, _, err := gate.ParseList(f, data, fi.ModTime())
		if err != nil {
			var e *impound.Error
			if errors.As(err, &e) {
				ps = append(ps, e)
			} else {
				bad(f, "", "%w", err)
			}
			continue
		}
		r := ready{ListChange{ListInfo: info, Done: "new"}, data, fi.ModTime()}
		if info.Kind == "" {
			r.Done = "of no use"
			all = append(all, r)
			continue
		}
		switch {
		case info.Names == 0:
			bad(f, "fetch it again", "holds no name")
			continue
		case info.Names*10 < info.Entries*9:
			bad(f, "is it a list of names, a name a line?", "only %d of its %d entries are names", info.Names, info.Entries)
			continue
		}
		if old, err := os.ReadFile(filepath.Join(s.listsDir(), info.File)); err == nil {
			was, _, err := gate.ParseList(info.File, old, s.now())
			r.Was, r.Done = was.Names, "changed"
			switch {
			case was.Hash == info.Hash:
				r.Done = "same"
			case err != nil: // what is there is broken: anything good is better
			case info.Names*10 < was.Names*9 && !shrink:
				bad(f, "look whether it was cut; take it all the same with --shrink", "holds %d names, the list that is there %d", info.Names, was.Names)
				continue
			}
		}
		all = append(all, r)
	}
	if len(ps) > 0 {
		return nil, ps
	}
	out := make([]ListChange, 0, len(all))
	detail := map[string]string{}
	for _, r := range all {
		out = append(out, r.ListChange)
		if r.Done == "new" || r.Done == "changed" {
			detail[r.File] = r.Hash + " " + strconv.Itoa(r.Names) + " names, as of " + r.AsOf.Format(time.DateOnly)
		}
	}
	if len(detail) == 0 {
		return out, nil
	}
	if err := os.MkdirAll(s.listsDir(), 0o700); err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't make the folder of lists: %w", err)
	}
	if _, err := s.Evidence.Append(ctx, impound.Entry{Type: impound.EntryDecision, At: s.now().UTC(), By: me.ID, What: WhatLists, Detail: detail}); err != nil {
		return nil, impound.Errorf(impound.KindOf(err), "couldn't record the lists: %w", err)
	}
	for _, r := range all {
		if detail[r.File] == "" {
			continue
		}
		to := filepath.Join(s.listsDir(), r.File)
		if err := replaceFile(to, r.data); err != nil {
			return nil, err
		}
		if err := os.Chtimes(to, r.mod, r.mod); err != nil { // the age of a plain list is its file's
			return nil, impound.Errorf(impound.KindUnavailable, "couldn't date the list: %w", err)
		}
	}
	return out, nil
}

// listFiles gives the list files of a folder by name, or the one file.
func listFiles(from string) ([]string, error) {
	fi, err := os.Stat(from)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the lists: %w", err).WithCure("give a file, or a folder of MISP warning lists (*.json) and plain lists (*.txt, *.list)")
	}
	exts := []string{".json", ".txt", ".list"}
	if !fi.IsDir() {
		if !slices.Contains(exts, filepath.Ext(from)) {
			return nil, impound.Errorf(impound.KindInvalid, "is neither .json, .txt nor .list").At(from).WithCure("name it by what it is")
		}
		return []string{from}, nil
	}
	ents, err := os.ReadDir(from)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the folder: %w", err).At(from)
	}
	var out []string
	for _, e := range ents {
		if !e.IsDir() && slices.Contains(exts, filepath.Ext(e.Name())) && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, filepath.Join(from, e.Name()))
		}
	}
	if len(out) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "holds no list").At(from).WithCure("put *.json, *.txt or *.list files there")
	}
	return out, nil
}

// ListState is one list in effect.
type ListState struct {
	gate.ListInfo
	Recorded string `json:"recorded"` // "yes" | "no" | "changed since"
}

// Lists gives the lists that this process reads beside the built-in facts, with
// whether each is the one that was recorded.
func (s *System) Lists(ctx context.Context) ([]ListState, error) {
	out := []ListState{}
	if _, err := os.Stat(s.listsDir()); os.IsNotExist(err) {
		return out, nil
	}
	l, err := gate.LoadLists(s.listsDir())
	if err != nil {
		return nil, err
	}
	was := map[string]string{}
	es, err := s.Evidence.Select(ctx, evidence.Filter{What: WhatLists})
	if err != nil {
		return nil, err
	}
	for _, e := range es {
		for f, h := range e.Entry.Detail {
			was[f], _, _ = strings.Cut(h, " ")
		}
	}
	for _, i := range l.Infos() {
		st := ListState{i, "no"}
		if h := was[i.File]; h == i.Hash {
			st.Recorded = "yes"
		} else if h != "" {
			st.Recorded = "changed since"
		}
		out = append(out, st)
	}
	return out, nil
}
