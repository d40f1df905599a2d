package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence/lure"
)

// PersonalConfig says who may read personal data that is kept as evidence.
type PersonalConfig struct {
	// SealTo holds age recipients (age1...): mails are kept encrypted to them and
	// never in the clear. Without one, mails are refused.
	SealTo []string `yaml:"seal_to,omitempty" json:"seal_to,omitempty"`
}

func (c *Config) personalRecipients() ([]age.Recipient, error) {
	var out []age.Recipient
	for i, r := range c.Personal.SealTo {
		x, err := age.ParseX25519Recipient(r)
		if err != nil {
			return nil, impound.Errorf(impound.KindInvalid, "couldn't read the age recipient: %w", err).At(fmt.Sprintf("personal_data.seal_to[%d]", i)).WithCure("age-keygen -y prints the public half, age1...")
		}
		out = append(out, x)
	}
	return out, nil
}

// personal says what a file is when it must not be kept in the clear: "mail", or
// "" for what may be.
func personal(path string, body []byte) (string, error) {
	ext := strings.ToLower(filepath.Ext(path))
	switch {
	case lure.IsMail(body):
		return "mail", nil
	case ext == ".msg" && bytes.HasPrefix(body, []byte("\xd0\xcf\x11\xe0")), ext == ".pst", ext == ".ost":
		return "", impound.Errorf(impound.KindRefused, "this is a mail that can't be read here, and mails are not kept in the clear").At(path).WithCure("save it as .eml and add that")
	case ext == ".eml":
		return "", impound.Errorf(impound.KindInvalid, "this is named as a mail, but is none: it has no mail's head").At(path).WithCure("save the original again, with all its headers")
	}
	return "", nil
}

// addMail keeps a mail: the original sealed to those whom the configuration
// names, and beside it the analysis, which holds nothing of its text. The same
// mail in the same case is kept once.
func (s *System) addMail(ctx context.Context, by, caseID string, n impound.Name, path string, body []byte, m impound.Marking) (impound.Artefact, error) {
	to, err := s.cfg.personalRecipients()
	if err != nil {
		return impound.Artefact{}, err
	}
	if len(to) == 0 {
		return impound.Artefact{}, impound.Errorf(impound.KindRefused, "a mail holds personal data, and there is nobody to seal it to").At("personal_data.seal_to").WithCure("put the age recipient (age1..., by age-keygen) of whoever may read mails into the configuration")
	}
	plain := impound.HashBytes(body)
	id := "mail-" + strings.TrimPrefix(plain, "sha256:")[:32] + "-" + caseID
	done := func(a impound.Artefact) (impound.Artefact, error) {
		if caseID != "" && !n.IsZero() {
			return a, s.Casework.AttachEvidence(ctx, by, caseID, n, a.Hash)
		}
		return a, nil
	}
	if e, ok, err := s.Evidence.Entry(id); err != nil {
		return impound.Artefact{}, err
	} else if ok && e.Artefact != nil {
		return done(*e.Artefact)
	}
	key, err := s.secretKey("lure.key")
	if err != nil {
		return impound.Artefact{}, err
	}
	an, err := lure.Analyse(body, lure.Options{Key: key})
	if err != nil {
		return impound.Artefact{}, impound.Errorf(impound.KindInvalid, "couldn't read the mail: %w", err).At(path)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to...)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return impound.Artefact{}, fmt.Errorf("couldn't seal the mail: %w", err)
	}
	// The file's name is not kept: it may be a person's.
	base := impound.Artefact{Name: n, Case: caseID, Tool: "impound " + s.opt.Version, By: by, At: s.now().UTC()}.Mark(m)
	box := base
	box.Kind, box.Media, box.Source = "mail-sealed", "application/age-encryption", "a mail of SHA-256 "+strings.TrimPrefix(plain, "sha256:")+", sealed"
	if box, err = s.Evidence.Capture(ctx, box, sealed.Bytes()); err != nil {
		return box, err
	}
	an.Sealed = box.Hash
	view, err := json.MarshalIndent(an, "", " ")
	if err != nil {
		return impound.Artefact{}, fmt.Errorf("couldn't write the analysis: %w", err)
	}
	a := base
	a.Kind, a.Media, a.Source = "mail", "application/json", "analysis of "+plain
	if a, err = s.Evidence.Capture(ctx, a, append(view, '\n')); err != nil {
		return a, err
	}
	if _, err := s.Evidence.Append(ctx, impound.Entry{ID: id, Type: impound.EntryDecision, By: by, At: base.At, What: "evidence.mail", Case: caseID, Name: n, Artefact: &a,
		Detail: map[string]string{"original": plain, "sealed": box.Hash, "text": fmt.Sprintf("a mail was kept, sealed to %d recipients, with its analysis", len(to))}}); err != nil {
		return a, err
	}
	return done(a)
}

// checkPersonal finds recipients that can't be read.
func (c *Config) checkPersonal() *impound.Error {
	_, err := c.personalRecipients()
	e, _ := err.(*impound.Error)
	return e
}
