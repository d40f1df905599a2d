package casework

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
)

// WhatEnrol is the What of an enrolment's entry.
const WhatEnrol = "people.enrol"

const signEnrolment = "enrolment"

// Enrolment is an admin's word that a key belongs to a person with roles.
type Enrolment struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Roles     []impound.Role    `json:"roles"`
	Key       impound.PublicKey `json:"key"`
	Enrolled  time.Time         `json:"enrolled"`
	Signature impound.Signature `json:"-"`
}

// SignEnrolment makes the enrolment of p (Enrolled is cut to seconds), signed by
// the admin signer with his key. The first person of all signs for himself.
func SignEnrolment(p impound.Person, signer string, key ed25519.PrivateKey) Enrolment {
	roles := slices.Clone(p.Roles)
	slices.Sort(roles)
	e := Enrolment{ID: p.ID, Name: p.Name, Roles: slices.Compact(roles), Key: p.Key, Enrolled: p.Enrolled.UTC().Truncate(time.Second)}
	e.Signature = impound.Sign(key, signEnrolment, e.hash(), signer, e.Enrolled)
	return e
}

func (e Enrolment) hash() string {
	if e.Roles == nil {
		e.Roles = []impound.Role{}
	}
	h, err := impound.HashOf(e)
	if err != nil { // it holds nothing that can't be encoded
		panic(err)
	}
	return h
}

// key is the same for every copy of what was signed, however it is spelled.
func (e Enrolment) key() string {
	return e.hash() + " " + e.Signature.Person + " " + e.Signature.At.UTC().Format(time.RFC3339)
}

func (e Enrolment) person() impound.Person {
	return impound.Person{ID: e.ID, Name: e.Name, Roles: slices.Clone(e.Roles), Key: e.Key, Enrolled: e.Enrolled}
}

func (e Enrolment) entry() impound.Entry {
	roles := make([]string, len(e.Roles))
	for i, r := range e.Roles {
		roles[i] = string(r)
	}
	return impound.Entry{
		ID: entryID(WhatEnrol, e.hash(), e.Signature.Sig), Type: impound.EntrySystem, At: e.Enrolled, By: e.Signature.Person, What: WhatEnrol,
		Detail: map[string]string{
			"id": e.ID, "name": e.Name, "roles": strings.Join(roles, " "), "key": string(e.Key), "enrolled": e.Enrolled.Format(time.RFC3339),
			"signer": e.Signature.Person, "signer_key": string(e.Signature.Key), "signed_at": e.Signature.At.Format(time.RFC3339), "sig": e.Signature.Sig,
		},
	}
}

func enrolmentOf(x impound.Entry) (Enrolment, error) {
	d := x.Detail
	e := Enrolment{ID: d["id"], Name: d["name"], Key: impound.PublicKey(d["key"]), Roles: []impound.Role{}}
	for _, r := range strings.Fields(d["roles"]) {
		e.Roles = append(e.Roles, impound.Role(r))
	}
	var err1, err2 error
	e.Enrolled, err1 = time.Parse(time.RFC3339, d["enrolled"])
	e.Signature = impound.Signature{Person: d["signer"], Key: impound.PublicKey(d["signer_key"]), Sig: d["sig"]}
	e.Signature.At, err2 = time.Parse(time.RFC3339, d["signed_at"])
	if err := errors.Join(err1, err2); err != nil {
		return Enrolment{}, impound.Errorf(impound.KindInvalid, "the enrolment's dates can't be read: %w", err)
	}
	e.Enrolled, e.Signature.At = e.Enrolled.UTC(), e.Signature.At.UTC()
	return e, nil
}

// Ring is the people enrolled at one moment. It is an [impound.Keyring],
// immutable, and safe for concurrent use: take a new one for each use.
type Ring struct {
	people map[string]impound.Person
	used   map[string]bool // enrolments that took effect: an old one must not undo a newer
	admins int
}

// Person implements [impound.Keyring].
func (r *Ring) Person(id string) (impound.Person, bool) {
	p, ok := r.people[id]
	p.Roles = slices.Clone(p.Roles)
	return p, ok
}

// People gives everybody enrolled, by id.
func (r *Ring) People() []impound.Person {
	out := make([]impound.Person, 0, len(r.people))
	for id := range r.people {
		p, _ := r.Person(id)
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b impound.Person) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// admit says whether e may join r, and gives the ring with it.
func (r *Ring) admit(e Enrolment) (*Ring, error) {
	if err := checkID("person", e.ID); err != nil {
		return nil, err
	}
	if e.ID == System {
		return nil, impound.Errorf(impound.KindInvalid, "%q is nobody's name", System)
	}
	if _, err := e.Key.Ed25519(); err != nil {
		return nil, err
	}
	for _, role := range e.Roles {
		if !slices.Contains(impound.Roles, role) {
			return nil, impound.Errorf(impound.KindInvalid, "%q is no role", role).WithCure("use analyst, counsel, approver, operator, notifier, auditor or admin")
		}
	}
	if err := e.Signature.Verify(signEnrolment, e.hash()); err != nil {
		return nil, err
	}
	if len(r.people) == 0 {
		switch {
		case e.Signature.Person != e.ID || e.Signature.Key != e.Key:
			return nil, impound.Errorf(impound.KindRefused, "nobody is enrolled yet: the first must sign for himself, and %s signed for %s", e.Signature.Person, e.ID)
		case !e.person().Has(impound.RoleAdmin):
			return nil, impound.Errorf(impound.KindRefused, "the first person enrolled must be an admin, who enrols the others").WithCure("add the role admin")
		}
	} else {
		signer, ok := r.people[e.Signature.Person]
		switch {
		case !ok:
			return nil, impound.Errorf(impound.KindRefused, "%s signed the enrolment of %s, but is not enrolled", e.Signature.Person, e.ID)
		case signer.Key != e.Signature.Key:
			return nil, impound.Errorf(impound.KindRefused, "%s signed the enrolment of %s with another key than the enrolled one", e.Signature.Person, e.ID)
		case !signer.Has(impound.RoleAdmin):
			return nil, impound.Errorf(impound.KindRefused, "%s signed the enrolment of %s, but is no admin", e.Signature.Person, e.ID)
		}
	}
	for id, p := range r.people {
		if id == e.ID && p.Key != e.Key {
			return nil, impound.Errorf(impound.KindConflict, "%s is enrolled with another key: what he signed with it would no longer count", e.ID).WithCure("enrol the new key under a new id")
		}
		if id != e.ID && p.Key == e.Key {
			return nil, impound.Errorf(impound.KindConflict, "the key of %s is %s's: one key is one person", e.ID, id).WithCure("make a key of his own")
		}
	}
	// Two approvers must be two people. Who has a new key, or another spelling,
	// gives up what the old one could do first.
	for id, p := range r.people {
		if id == e.ID || len(p.Roles) == 0 || len(e.Roles) == 0 {
			continue
		}
		if lookalike(id) == lookalike(e.ID) || foldAlias(p.Name) != "" && foldAlias(p.Name) == foldAlias(e.Name) {
			return nil, impound.Errorf(impound.KindConflict, "%s reads like %s, who is enrolled: two people must be told apart", e.ID, id).WithCure("choose another id and name; for the same person with a new key, take the roles of " + id + " away first")
		}
	}
	if r.used[e.key()] {
		return nil, impound.Errorf(impound.KindRefused, "this enrolment of %s was used before, and has been replaced since", e.ID).WithCure("sign a new one")
	}
	old, had := r.people[e.ID]
	admins := r.admins
	if had && old.Has(impound.RoleAdmin) {
		admins--
	}
	if e.person().Has(impound.RoleAdmin) {
		admins++
	}
	if admins == 0 {
		return nil, impound.Errorf(impound.KindRefused, "%s is the last admin: nobody could enrol people any more", e.ID).WithCure("enrol another admin first")
	}
	n := &Ring{people: make(map[string]impound.Person, len(r.people)+1), used: cloneMap(r.used), admins: admins}
	n.used[e.key()] = true
	for id, p := range r.people {
		n.people[id] = p
	}
	p := e.person()
	if had { // the first date stays
		p.Enrolled = old.Enrolled
	}
	n.people[e.ID] = p
	return n, nil
}

// lookalike folds what reads alike in an id: case, separators, and the letters and
// digits that are mixed up. Ids are ASCII, so there is no more to mix up.
func lookalike(id string) string {
	return strings.NewReplacer(".", "", "-", "", "_", "", "0", "o", "1", "l", "i", "l", "rn", "m", "vv", "w").Replace(strings.ToLower(id))
}

// Keyring gives the people enrolled now, replayed from the evidence log with
// every signature verified. The database has no say.
func (s *Service) Keyring(ctx context.Context) (*Ring, error) {
	l, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	return l.ring, nil
}

// People gives everybody enrolled, by id.
func (s *Service) People(ctx context.Context) ([]impound.Person, error) {
	r, err := s.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	return r.People(), nil
}

// Enrol records e. The first person enrolled must be an admin and signs for
// himself; after that an enrolled admin signs. Enrolling the same id again with
// the same key sets its roles (none: the person may do nothing any more);
// another key is KindConflict. Doing it twice changes nothing.
func (s *Service) Enrol(ctx context.Context, e Enrolment) error {
	s.filing.Lock()
	defer s.filing.Unlock()
	l, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	if p, ok := l.ring.Person(e.ID); ok && p.Key == e.Key && slices.Equal(p.Roles, e.Roles) && p.Name == e.Name {
		return nil
	}
	if _, err := l.ring.admit(e); err != nil {
		return err
	}
	if _, err := s.cfg.Evidence.Append(ctx, e.entry()); err != nil {
		return impound.Errorf(impound.KindOf(err), "couldn't enrol %s: %w", e.ID, err)
	}
	// Another process may have come first: the log decides.
	if l, err = s.ledger.sync(ctx); err != nil {
		return err
	}
	if p, ok := l.ring.Person(e.ID); !ok || p.Key != e.Key || !slices.Equal(p.Roles, e.Roles) {
		return impound.Errorf(impound.KindConflict, "somebody else was enrolled meanwhile, and %s no longer fits", e.ID).WithCure("look with: impound people list")
	}
	return nil
}

// NewKey makes a new Ed25519 key and writes it to path (PEM, PKCS #8, mode
// 0600), with its folder where that is missing. It never overwrites: an existing
// file is KindConflict. The file is on the disk when NewKey returns.
func NewKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, impound.Errorf(impound.KindInternal, "couldn't make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, impound.Errorf(impound.KindInternal, "couldn't encode the key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't make the key's folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, impound.Errorf(impound.KindConflict, "a key is there already").At(path).WithCure("use it, or choose another file: a key that is overwritten is lost")
	}
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't make the key's file: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, errors.Join(impound.Errorf(impound.KindUnavailable, "couldn't write the key: %w", err).At(path), os.Remove(path))
	}
	return key, nil
}

// ReadKey reads what NewKey wrote. A file that others can read is refused: its
// key proves nobody.
func ReadKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		kind := impound.KindUnavailable
		if errors.Is(err, fs.ErrNotExist) {
			kind = impound.KindNotFound
		}
		return nil, impound.Errorf(kind, "couldn't read the key: %w", err).WithCure("make one with: impound people key FILE")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, impound.Errorf(impound.KindRefused, "others can read this key (mode %04o)", info.Mode().Perm()).At(path).WithCure("chmod 600 " + path + ", and ask yourself who has read it")
	}
	if info.Size() > 1<<16 {
		return nil, impound.Errorf(impound.KindInvalid, "too long for a key").At(path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't read the key: %w", err)
	}
	bad := impound.Errorf(impound.KindInvalid, "no Ed25519 private key in PEM (PKCS #8)").At(path).WithCure("give the file that impound people key made")
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, bad
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, bad
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, bad
	}
	return key, nil
}
