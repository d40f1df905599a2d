package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/match"
	"github.com/impound/impound/internal/watch/source"
)

// Matcher makes the matcher of the configuration's brands, or of the built-in
// ones.
func Matcher(state string, cfg Config) (*match.Matcher, error) {
	brands := match.Builtin()
	if cfg.Brands != "" {
		path := cfg.Brands
		if _, err := os.Stat(path); err != nil {
			path = cfg.Path(state, path)
		}
		f, err := os.Open(path)
		if err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			where := cfg.Brands
			if path != cfg.Brands {
				where += ", nor " + path
			}
			return nil, impound.Errorf(impound.KindInvalid, "couldn't open the brands: %w", err).At(where).WithCure(`give a file such as {"brand": {"domains": ["brand.example"], "tokens": ["brand"]}}`)
		}
		defer f.Close()
		if brands, err = match.LoadBrands(f); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return match.New(brands, match.Options{})
}

// Screening is what screening a stream gave.
type Screening struct {
	Stats      watch.Stats         `json:"stats"`
	Candidates []impound.Candidate `json:"candidates"`
}

// ScreenEach screens a stream, a name a line, and calls emit for each candidate.
func ScreenEach(ctx context.Context, m *match.Matcher, r io.Reader, source string, threshold float64, emit func(impound.Candidate) error) (watch.Stats, error) {
	return watch.Screen(ctx, r, watch.Options{Matcher: m, Source: source, Threshold: threshold}, emit)
}

// ScreenBudget screens a stream to its end and then calls emit for the share of
// the names that has the highest scores; lowest is the least of them.
func ScreenBudget(ctx context.Context, m *match.Matcher, r io.Reader, source string, share float64, emit func(impound.Candidate) error) (st watch.Stats, lowest float64, err error) {
	return watch.Budget(ctx, r, share, watch.Options{Matcher: m, Source: source}, emit)
}

// Screen screens a stream, which may be packed, and, with keep, keeps the candidates
// for triage in s.
func Screen(ctx context.Context, s *System, m *match.Matcher, r io.Reader, label string, threshold float64, keep bool) (Screening, error) {
	res := Screening{Candidates: []impound.Candidate{}}
	in, packed, err := source.UnpackList(r)
	if err != nil {
		return res, impound.Errorf(impound.KindOf(err), "couldn't read %s: %w", label, err)
	}
	res.Stats, err = ScreenEach(ctx, m, in, label, threshold, func(c impound.Candidate) error {
		res.Candidates = append(res.Candidates, c)
		return nil
	})
	if err != nil && packed && ctx.Err() == nil {
		return res, impound.Errorf(impound.KindInvalid, "the file is cut short or damaged after %d lines: %w", res.Stats.Read, err).At(label).WithCure("fetch it again")
	}
	if err != nil {
		return res, err
	}
	if keep {
		_, err = s.Casework.SaveCandidates(ctx, res.Candidates)
	}
	return res, err
}

// ScreenZone is Screen for a zone file, plain or gzip.
func ScreenZone(ctx context.Context, s *System, m *match.Matcher, r io.Reader, label, zone string, threshold float64, keep bool) (Screening, error) {
	res := Screening{Candidates: []impound.Candidate{}}
	z, err := source.Unpack(r)
	if err != nil {
		return res, err
	}
	res.Stats, err = watch.ScreenZone(ctx, source.ZoneText(z, zone), zone, watch.Options{Matcher: m, Source: label, Threshold: threshold}, func(c impound.Candidate) error {
		res.Candidates = append(res.Candidates, c)
		return nil
	})
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return res, impound.Errorf(impound.KindInvalid, "the zone file is cut short after %d lines", res.Stats.Read).At(label).WithCure("fetch it again")
	}
	if err == nil && keep {
		_, err = s.Casework.SaveCandidates(ctx, res.Candidates)
	}
	return res, err
}

// Enrol enrols p with the public key, or with a key that is made and written to
// keyOut ("": people/ID.key). The first person signs for himself; after that
// admin signs, with the key in adminKey ("": people/ADMIN.key).
func (s *System) Enrol(ctx context.Context, p impound.Person, public impound.PublicKey, keyOut, admin, adminKey string) error {
	ring, err := s.Casework.Keyring(ctx)
	if err != nil {
		return err
	}
	// Whether it may be done comes first: a refusal leaves no key behind.
	first := len(ring.People()) == 0
	signer := Identity{}
	switch {
	case first && !p.Has(impound.RoleAdmin):
		return impound.Errorf(impound.KindAuth, "the first person enrolled must be an admin, who enrols the others").WithCure("add --role admin")
	case first && public != "":
		return impound.Errorf(impound.KindRefused, "the first person enrolled signs for himself, which takes his private key").WithCure("leave out --public-key for the first admin")
	case !first && admin == "":
		return impound.Errorf(impound.KindAuth, "enrolling takes an admin's signature").WithCure("say who you are with --as ADMIN")
	case !first:
		if signer, err = s.Identify(admin, adminKey); err != nil {
			return err
		}
		if !signer.Has(impound.RoleAdmin) {
			return impound.Errorf(impound.KindAuth, "%s is no admin", signer.ID).WithCure("have an admin enrol " + p.ID)
		}
	}
	known, again := ring.Person(p.ID)
	switch {
	case public != "":
		p.Key = public
	case again:
		p.Key = known.Key
	default:
		if keyOut == "" {
			keyOut = s.KeyPath(p.ID)
		}
		own, err := casework.NewKey(keyOut)
		if impound.KindOf(err) == impound.KindConflict {
			// Left by a run that died between making the key and enrolling it.
			own, err = casework.ReadKey(keyOut)
		}
		if err != nil {
			return err
		}
		p.Key = impound.NewPublicKey(publicOf(own))
		if first {
			signer = Identity{p, own}
		}
	}
	p.Enrolled = s.now().UTC()
	return s.Casework.Enrol(ctx, casework.SignEnrolment(p, signer.ID, signer.key))
}

// CaptureParallel bounds how many names are looked at together.
const CaptureParallel = 8

// Captured is what was kept of one look.
type Captured struct {
	Artefact impound.Artefact `json:"artefact"`
	Summary  string           `json:"summary"`
	Err      string           `json:"err,omitempty"` // why nothing was seen
}

// Capture looks at the names from outside (DNS, RDAP, HTTP), keeps each look as
// an artefact, and attaches it to the case. A look that failed is kept as such.
// done, when not nil, is called for each name as it is finished, one at a time.
func (s *System) Capture(ctx context.Context, by, caseID string, names []impound.Name, how Light, done func(impound.Name, []Captured)) error {
	if err := s.may(ctx, "Capture", by); err != nil {
		return err
	}
	if err := s.knows(ctx, by, caseID); err != nil {
		return err
	}
	level := impound.PAPGreen
	if how.Registry {
		level = impound.PAPAmber
	}
	if err := errors.Join(casework.CheckMarking(how.Mark), s.permitted(ctx, by, names, level)); err != nil {
		return err
	}
	var mu sync.Mutex
	return inParallel(ctx, names, func(n impound.Name) error {
		var kept []Captured
		var hashes []string
		keep := func(a impound.Artefact, body []byte, summary, fault string) error {
			a, err := s.Evidence.Capture(ctx, a.Mark(how.Mark), body)
			if err != nil {
				return fmt.Errorf("couldn't keep an observation of %s: %w", n.Defanged(), err)
			}
			kept = append(kept, Captured{a, summary, fault})
			hashes = append(hashes, a.Hash)
			return nil
		}
		var looks []observe.Observation
		if how.Registry {
			looks = []observe.Observation{s.outside.Parent(ctx, n).Observation(), s.outside.RDAP(ctx, n).Observation()}
		} else {
			looks = s.outside.All(ctx, n)
		}
		for _, o := range looks {
			if err := ctx.Err(); err != nil {
				return err // a look that we cut short says nothing
			}
			if err := keep(o.Artefact(caseID, by), o.JSON, o.Summary, o.Err); err != nil {
				return err
			}
			for _, p := range o.Parts {
				if err := keep(partArtefact(o, p, caseID, by), p.Bytes, p.Label, ""); err != nil {
					return err
				}
			}
		}
		if caseID != "" {
			if err := s.Casework.AttachEvidence(ctx, by, caseID, n, hashes...); err != nil {
				return err
			}
		}
		if done != nil {
			mu.Lock()
			defer mu.Unlock()
			done(n, kept)
		}
		return nil
	})
}

func partArtefact(o observe.Observation, p observe.Part, caseID, by string) impound.Artefact {
	a := o.Artefact(caseID, by)
	a.Kind, a.Media, a.Hash, a.Size = o.Kind+"-raw", p.Media, "", 0
	return a
}

// inParallel calls do for each item, CaptureParallel at a time. It stops at the
// first error and gives it.
func inParallel[T any](ctx context.Context, items []T, do func(T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, CaptureParallel)
	for _, it := range items {
		select {
		case <-ctx.Done():
		case slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-slots }()
				if err := do(it); err != nil {
					cancel(err)
				}
			})
			continue
		}
		break
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

// AddFile keeps a file as evidence. A mail is kept sealed, with an analysis
// beside it, which is the artefact that is given.
func (s *System) AddFile(ctx context.Context, by, caseID string, n impound.Name, path, kind string, m impound.Marking) (impound.Artefact, error) {
	if err := s.may(ctx, "AddFile", by); err != nil {
		return impound.Artefact{}, err
	}
	if err := casework.CheckMarking(m); err != nil {
		return impound.Artefact{}, err
	}
	if err := s.knows(ctx, by, caseID); err != nil {
		return impound.Artefact{}, err
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return impound.Artefact{}, impound.Errorf(impound.KindInvalid, "couldn't read the file: %w", err)
	}
	what, err := personal(path, body)
	if err != nil {
		return impound.Artefact{}, err
	}
	if what == "mail" {
		return s.addMail(ctx, by, caseID, n, path, body, m)
	}
	media := mime.TypeByExtension(filepath.Ext(path))
	a, err := s.Evidence.Capture(ctx, impound.Artefact{Kind: kind, Media: media, Name: n, Case: caseID, Source: "file " + filepath.Base(path), Tool: "impound " + s.opt.Version, By: by, At: s.now().UTC()}.Mark(m), body)
	if err != nil {
		return a, err
	}
	if caseID != "" && !n.IsZero() {
		err = s.Casework.AttachEvidence(ctx, by, caseID, n, a.Hash)
	}
	return a, err
}

// ActorNames gives the names of an actor's cases, oldest first, a line each with
// a tab and the date of its first sighting.
func (s *System) ActorNames(ctx context.Context, actorID string) ([]string, error) {
	if _, err := (desk{s}).Actor(ctx, actorID); err != nil {
		return nil, err
	}
	cases, err := s.wholeCases(ctx)
	if err != nil {
		return nil, err
	}
	var ds []impound.CaseDomain
	for _, k := range cases {
		if k.Actor == actorID {
			ds = append(ds, k.Domains...)
		}
	}
	if len(ds) == 0 {
		return nil, impound.Errorf(impound.KindNotFound, "no case of %s holds names to learn from", actorID).WithCure("add some: impound case add, or give a list with --examples")
	}
	slices.SortStableFunc(ds, func(a, b impound.CaseDomain) int { return a.FirstSeen.Compare(b.FirstSeen) })
	var out []string
	for _, d := range ds {
		if d.State == impound.StateBlocked {
			continue // a gate says that it is somebody else's
		}
		line := d.Name.String()
		if !d.FirstSeen.IsZero() {
			line += "\t" + d.FirstSeen.UTC().Format(time.DateOnly)
		}
		out = append(out, line)
	}
	return out, nil
}
