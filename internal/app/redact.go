package app

import (
	"context"
	"mime"
	"os"
	"path/filepath"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// Redact keeps the file at path as the redaction of the artefact original, with
// why, as a new artefact of kind "redacted" that names its original as its
// source. The original stays as it is, and stays in every bundle of its case.
// It is marked as its original is, where m says nothing else.
// What the file shows is not compared with the original: whoever redacts says
// that it is one.
func (s *System) Redact(ctx context.Context, by, original, path, why string, m impound.Marking) (impound.Artefact, error) {
	if err := s.may(ctx, "Redact", by); err != nil {
		return impound.Artefact{}, err
	}
	if err := casework.CheckMarking(m); err != nil {
		return impound.Artefact{}, err
	}
	if strings.TrimSpace(why) == "" {
		return impound.Artefact{}, impound.Errorf(impound.KindInvalid, "a redaction must say why").At("why")
	}
	old, ok, err := s.Evidence.Artefact(original)
	if err != nil {
		return impound.Artefact{}, err
	}
	x, err := s.Casework.SightOf(ctx, by)
	if err != nil {
		return impound.Artefact{}, err
	}
	if !ok || !x.Case(old.Case) {
		return impound.Artefact{}, impound.Errorf(impound.KindNotFound, "no such artefact: %.80s", original).WithCure("impound evidence list --json shows the whole hashes")
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return impound.Artefact{}, impound.Errorf(impound.KindInvalid, "couldn't read the file: %w", err)
	}
	if impound.HashBytes(body) == original {
		return impound.Artefact{}, impound.Errorf(impound.KindInvalid, "the file is the original itself: nothing is redacted").At(path)
	}
	a, err := s.Evidence.Capture(ctx, impound.Artefact{Kind: "redacted", Media: mime.TypeByExtension(filepath.Ext(path)), Name: old.Name, Case: old.Case,
		Source: "redaction of " + original, Tool: "impound " + s.opt.Version, By: by}.Mark(m.In(old.Marking())), body)
	if err != nil {
		return a, err
	}
	_, err = s.Evidence.Append(ctx, impound.Entry{ID: "redact-" + strings.TrimPrefix(a.Hash, "sha256:")[:32] + "-" + strings.TrimPrefix(original, "sha256:")[:16],
		Type: impound.EntryDecision, By: by, What: "evidence.redact", Case: old.Case, Name: old.Name, Artefact: &a, Detail: map[string]string{"original": original, "text": why}})
	if err == nil && old.Case != "" && !old.Name.IsZero() {
		err = s.Casework.AttachEvidence(ctx, by, old.Case, old.Name, a.Hash)
	}
	return a, err
}
