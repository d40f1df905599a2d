package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
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

// Bounds of an update.
const (
	maxListBody  = 64 << 20 // octets of one list, as it comes
	maxListFiles = 2000     // of one folder
	listTime     = 2 * time.Minute
	maxRedirects = 5
)

// listsDir is where the gates' lists lie.
func (s *System) listsDir() string {
	if s.cfg.Lists != "" {
		return s.cfg.Path(s.opt.State, s.cfg.Lists)
	}
	return s.path("lists")
}

// ListSources says where lists are to be taken from.
type ListSources struct {
	// From are folders, files and http(s) URLs. None: the URLs that the lists
	// here were taken from.
	From []string
	// Name is what the list of a single file or URL is to be called, where its
	// own name doesn't say what it is good for: "dynamic-dns.txt".
	Name string
	// Force takes a list that lost more than a tenth of its names.
	Force bool
}

// ListChange is one list that an update looked at.
type ListChange struct {
	gate.ListInfo
	From string `json:"from"` // where it came from: a path, or a URL without its query
	Was  int    `json:"was"`  // names before; 0: new
	Done string `json:"done"` // "new" | "changed" | "same" | "of no use"
}

type readyList struct {
	ListChange
	data []byte
	mod  time.Time
}

// UpdateLists takes lists from folders, files and URLs into the folder of the
// gates' lists. Each source is read whole first and taken whole or not at all:
// not when it can't be had or read, when a list in it holds no names, when fewer
// than nine in ten of its entries are names, or, unless forced, when it has fewer
// than nine tenths of the names that the list of this name has now (one that was
// cut would let names pass). What a bad source would have replaced stays, and the
// error, of KindPartial where another source was taken, says so. Each file is
// replaced whole, and the change is recorded before that, with source, date and
// hash. Lists that no source holds stay. A serving process takes them up within
// seconds. Role: analyst or admin.
func (s *System) UpdateLists(ctx context.Context, me Identity, src ListSources) ([]ListChange, error) {
	if err := s.may(ctx, "UpdateLists", me.ID); err != nil {
		return nil, err
	}
	if len(src.From) == 0 {
		from, err := s.listURLs(ctx)
		if err != nil {
			return nil, err
		}
		src.From = from
	}
	if src.Name != "" && len(src.From) != 1 {
		return nil, impound.Errorf(impound.KindInvalid, "one name is given for %d lists", len(src.From)).At("name").WithCure("take them one by one")
	}
	out := []ListChange{}
	taken := map[string]string{} // list -> source, of this update
	var ps impound.Problems
	good := 0
	for _, from := range src.From {
		all, faults := s.readSource(ctx, from, src)
		for _, r := range all {
			if other := taken[r.File]; other != "" && r.Done != "of no use" {
				faults = append(faults, impound.Errorf(impound.KindInvalid, "its list %s is also in %s", r.File, other).At(r.From).WithCure("take one of them, or call one otherwise with --name"))
			}
		}
		if len(faults) > 0 {
			ps = append(ps, faults...)
			continue
		}
		good++
		if err := s.takeLists(ctx, me.ID, all); err != nil {
			return out, err
		}
		for _, r := range all {
			taken[r.File] = r.From
			out = append(out, r.ListChange)
		}
	}
	switch {
	case len(ps) == 0:
		return out, nil
	case good == 0:
		return out, ps
	}
	return out, impound.Errorf(impound.KindPartial, "%d of %d sources were not taken, and what they would have replaced stays", len(src.From)-good, len(src.From)).WithCure(ps.Error())
}

// readSource reads every list of a source and says which can't be taken.
func (s *System) readSource(ctx context.Context, from string, src ListSources) (all []readyList, ps impound.Problems) {
	bad := func(err error, at string) {
		var many impound.Problems
		var e *impound.Error
		switch {
		case errors.As(err, &many):
			ps = append(ps, many...)
		case errors.As(err, &e):
			ps = append(ps, e)
		default:
			ps = append(ps, impound.Errorf(impound.KindUnavailable, "couldn't read the list: %w", err).At(at))
		}
	}
	type given struct {
		name, from string
		data       []byte
		mod        time.Time
	}
	var lists []given
	if isURL(from) {
		data, mod, err := s.fetchList(ctx, from)
		if err != nil {
			bad(err, shownURL(from))
			return nil, ps
		}
		u, _ := url.Parse(from)
		lists = append(lists, given{u.Path, shownURL(from), data, mod})
	} else {
		files, err := listFiles(from)
		if err != nil {
			bad(err, from)
			return nil, ps
		}
		for _, f := range files {
			data, mod, err := readListFile(f)
			if err != nil {
				bad(err, f)
				continue
			}
			lists = append(lists, given{f, f, data, mod})
		}
	}
	seen := map[string]string{}
	for _, l := range lists {
		if src.Name != "" && len(lists) == 1 {
			l.name = src.Name
		}
		r, err := s.readyList(l.name, l.from, l.data, l.mod, src.Force)
		if err != nil {
			bad(err, l.from)
			continue
		}
		if other := seen[r.File]; other != "" {
			bad(impound.Errorf(impound.KindInvalid, "it and %s would both be called %s", other, r.File).At(l.from).WithCure("rename one"), l.from)
			continue
		}
		seen[r.File] = l.from
		all = append(all, r)
	}
	return all, ps
}

// readyList reads one list and compares it with the one that is there.
func (s *System) readyList(name, from string, data []byte, mod time.Time, force bool) (r readyList, err error) {
	file, data, err := gate.Unwrap(name, data)
	if err != nil {
		return r, at(err, from)
	}
	info, _, err := gate.ParseList(file, data, mod)
	if err != nil {
		return r, at(err, from)
	}
	r = readyList{ListChange{ListInfo: info, From: from, Done: "new"}, data, mod}
	switch {
	case info.Kind == "" || info.Note != "":
		r.Done = "of no use"
		return r, nil
	case info.Names == 0:
		return r, impound.Errorf(impound.KindInvalid, "holds no name").At(from).WithCure("fetch it again")
	case info.Names*10 < info.Entries*9:
		return r, impound.Errorf(impound.KindInvalid, "only %d of its %d entries are names", info.Names, info.Entries).At(from).WithCure("is it a list of names, a name a line?")
	}
	old, err := os.ReadFile(filepath.Join(s.listsDir(), info.File))
	if err != nil {
		return r, nil
	}
	was, _, err := gate.ParseList(info.File, old, s.now())
	r.Was, r.Done = was.Names, "changed"
	switch {
	case was.Hash == info.Hash:
		r.Done = "same"
	case err != nil: // what is there is broken: anything good is better
	case info.Names*10 < was.Names*9 && !force:
		return r, impound.Errorf(impound.KindInvalid, "holds %d names, the list that is there %d: it stays", info.Names, was.Names).At(from).WithCure("look whether it was cut; take it all the same with --force")
	}
	return r, nil
}

// at says where err lies, in the words of whoever gave the list.
func at(err error, where string) error {
	var e *impound.Error
	if errors.As(err, &e) {
		return e.At(where)
	}
	return err
}

// takeLists records what changes and then puts it in its place.
func (s *System) takeLists(ctx context.Context, by string, all []readyList) error {
	detail := map[string]string{}
	for _, r := range all {
		if r.Done == "new" || r.Done == "changed" {
			detail[r.File] = r.Hash + " " + strconv.Itoa(r.Names) + " names, as of " + r.AsOf.Format(time.DateOnly) + ", from " + r.From
		}
	}
	if len(detail) == 0 {
		return nil
	}
	if err := os.MkdirAll(s.listsDir(), 0o700); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't make the folder of lists: %w", err)
	}
	if _, err := s.Evidence.Append(ctx, impound.Entry{Type: impound.EntryDecision, At: s.now().UTC(), By: by, What: WhatLists, Detail: detail}); err != nil {
		return impound.Errorf(impound.KindOf(err), "couldn't record the lists: %w", err)
	}
	for _, r := range all {
		if detail[r.File] == "" {
			continue
		}
		to := filepath.Join(s.listsDir(), r.File)
		if err := replaceFile(to, r.data); err != nil {
			return err
		}
		if err := os.Chtimes(to, r.mod, r.mod); err != nil { // the age of a plain list is its file's
			return impound.Errorf(impound.KindUnavailable, "couldn't date the list: %w", err)
		}
	}
	return nil
}

func isURL(from string) bool {
	return strings.HasPrefix(from, "https://") || strings.HasPrefix(from, "http://")
}

// shownURL is a list's address as it is recorded and shown: its query may hold
// somebody's key.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "a URL"
	}
	u.User, u.Fragment = nil, ""
	if u.RawQuery != "" {
		u.RawQuery = ""
		return u.String() + "?..."
	}
	return u.String()
}

// listClient is how lists are fetched when nobody says otherwise: through the
// proxy of the environment, if there is one.
var listClient = &http.Client{}

// fetchList gets one list. What the server says of its content is not asked: the
// octets tell. The date is the server's, or now.
func (s *System) fetchList(ctx context.Context, raw string) ([]byte, time.Time, error) {
	shown := shownURL(raw)
	fault := func(cure, format string, args ...any) ([]byte, time.Time, error) {
		return nil, time.Time{}, impound.Errorf(impound.KindUnavailable, "couldn't fetch the list: "+format, args...).At(shown).WithCure(cure)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, time.Time{}, impound.Errorf(impound.KindInvalid, "is no address of a list").At(shown).WithCure("write https://HOST/PATH, without a name or password")
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, raw, nil)
	if err != nil {
		return fault("", "the address can't be asked")
	}
	req.Header.Set("User-Agent", "Impound/"+s.opt.Version)
	c := listClient
	if s.opt.Fetch != nil {
		c = s.opt.Fetch
	}
	client := *c
	client.CheckRedirect = func(to *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		case to.URL.Scheme != "https" && via[len(via)-1].URL.Scheme == "https":
			return errors.New("it redirects from https to something else")
		}
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // its text holds the query
			err = ue.Err
		}
		return fault("look whether the address and the way out are right; the list that is here stays", "%w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fault("look whether the list has moved; the one that is here stays", "the server answers %d", resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxListBody+1))
	switch {
	case err != nil:
		return fault("try again; the list that is here stays", "it was cut short: %w", err)
	case len(data) > maxListBody:
		return fault("fetch it by hand and split it", "it is longer than %d MB", maxListBody>>20)
	}
	mod := s.now().UTC()
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil && t.Before(mod) {
		mod = t.UTC()
	}
	return data, mod, nil
}

func readListFile(f string) ([]byte, time.Time, error) {
	fi, err := os.Stat(f)
	if err != nil {
		return nil, time.Time{}, impound.Errorf(impound.KindInvalid, "couldn't read the list: %w", err).At(f)
	}
	if fi.Size() > maxListBody {
		return nil, time.Time{}, impound.Errorf(impound.KindInvalid, "the list is %d MB long", fi.Size()>>20).At(f).WithCure("split it")
	}
	data, err := os.ReadFile(f)
	if err != nil {
		return nil, time.Time{}, impound.Errorf(impound.KindInvalid, "couldn't read the list: %w", err).At(f)
	}
	return data, fi.ModTime(), nil
}

// isListFile says whether a file of this name may be a list.
func isListFile(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains(gate.Extensions, path.Ext(strings.TrimSuffix(name, ".gz")))
}

// listFiles gives the list files of a folder by name, or the one file. In a folder
// that is a checkout of MISP's warning lists these are the list.json of its
// sub-folders; of others, the sub-folders are left alone.
func listFiles(from string) ([]string, error) {
	fi, err := os.Stat(from)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the lists: %w", err).WithCure("give a URL, a file, or a folder of MISP warning lists and plain lists (*.json, *.txt, *.list, *.csv)")
	}
	if !fi.IsDir() {
		return []string{from}, nil
	}
	var out, below []string
	err = filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		deep := strings.Count(rel, string(filepath.Separator))
		switch {
		case e.IsDir() && p != from && (strings.HasPrefix(e.Name(), ".") || deep > 3):
			return filepath.SkipDir
		case e.IsDir():
		case deep == 0 && isListFile(e.Name()) && e.Name() != "list.json":
			out = append(out, p)
		case e.Name() == "list.json" || e.Name() == "list.json.gz":
			below = append(below, p)
		}
		if len(out)+len(below) > maxListFiles {
			return impound.Errorf(impound.KindInvalid, "holds more than %d lists", maxListFiles).At(from).WithCure("name the folder of the lists themselves")
		}
		return nil
	})
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the folder: %w", err).At(from)
	}
	if len(below) > 0 { // what lies beside them in a checkout is its schema and its tools
		out = below
	}
	if len(out) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "holds no list").At(from).WithCure("put *.json, *.txt, *.list or *.csv files there, or a checkout of MISP's warning lists")
	}
	return out, nil
}

// recordedLists gives what the log says last of each list: hash and source.
func (s *System) recordedLists(ctx context.Context) (hash, from map[string]string, err error) {
	es, err := s.Evidence.Select(ctx, evidence.Filter{What: WhatLists})
	if err != nil {
		return nil, nil, err
	}
	hash, from = map[string]string{}, map[string]string{}
	for _, e := range es {
		for f, d := range e.Entry.Detail {
			h, rest, _ := strings.Cut(d, " ")
			_, src, _ := strings.Cut(rest, ", from ")
			hash[f], from[f] = h, src
		}
	}
	return hash, from, nil
}

// listURLs gives where the lists that are here were fetched from.
func (s *System) listURLs(ctx context.Context) ([]string, error) {
	_, from, err := s.recordedLists(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for f, u := range from {
		if _, err := os.Stat(filepath.Join(s.listsDir(), f)); err == nil && isURL(u) && !strings.HasSuffix(u, "?...") && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "no list here was fetched from a URL that can be asked again").At("from").WithCure("say where lists are: --from URL, FILE or FOLDER")
	}
	return out, nil
}

// ListState is one list in effect.
type ListState struct {
	gate.ListInfo
	Recorded string `json:"recorded"` // "yes" | "no" | "changed since"
	From     string `json:"from,omitempty"`
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
	was, from, err := s.recordedLists(ctx)
	if err != nil {
		return nil, err
	}
	for _, i := range l.Infos() {
		st := ListState{ListInfo: i, Recorded: "no", From: from[i.File]}
		if h := was[i.File]; h == i.Hash {
			st.Recorded = "yes"
		} else if h != "" {
			st.Recorded = "changed since"
		}
		out = append(out, st)
	}
	return out, nil
}
