package impound

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"time"
)

// Role is what a person may do. The services check it, not the pages.
type Role string

// The roles.
const (
	RoleAnalyst  Role = "analyst"
	RoleCounsel  Role = "counsel"
	RoleApprover Role = "approver"
	RoleOperator Role = "operator"
	RoleNotifier Role = "notifier"
	RoleAuditor  Role = "auditor"
	RoleAdmin    Role = "admin"
)

// Roles lists every role.
var Roles = []Role{RoleAnalyst, RoleCounsel, RoleApprover, RoleOperator, RoleNotifier, RoleAuditor, RoleAdmin}

// PublicKey is an Ed25519 public key in base64 (raw, standard alphabet).
type PublicKey string

// NewPublicKey encodes k.
func NewPublicKey(k ed25519.PublicKey) PublicKey {
	return PublicKey(base64.StdEncoding.EncodeToString(k))
}

// Ed25519 decodes k; the error is of KindInvalid.
func (k PublicKey) Ed25519() (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(string(k))
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, Errorf(KindInvalid, "“%.60s” is no Ed25519 public key: want 32 octets in base64", string(k))
	}
	return b, nil
}

// Person is somebody who acts here, with the key that proves it.
type Person struct {
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"`
	Roles    []Role    `json:"roles"`
	Key      PublicKey `json:"key"`
	Enrolled time.Time `json:"enrolled"`
}

// Has says whether p holds role r.
func (p Person) Has(r Role) bool { return slices.Contains(p.Roles, r) }

// Keyring knows the people whose signatures count. Person gives false for
// whoever is not enrolled. It is safe for concurrent use.
type Keyring interface {
	Person(id string) (Person, bool)
}

// Signature is one person's word over the hash of a document.
type Signature struct {
	Person string    `json:"person" yaml:"person"`
	Key    PublicKey `json:"key" yaml:"key"`
	At     time.Time `json:"at" yaml:"at"`
	Sig    string    `json:"sig" yaml:"sig"` // base64
}

// What a signature is about. The word is part of what is signed, so that a
// signature over one thing can't be shown as one over another.
const (
	SignOrder    = "order"
	SignPlan     = "plan"
	SignOverride = "override"
	SignPolicy   = "policy"
)

func statement(about, hash, person string, at time.Time) []byte {
	return fmt.Appendf(nil, "impound %s v1\n%s\n%s\n%s\n", about, hash, person, at.UTC().Format(time.RFC3339))
}

// Sign makes person's signature over hash; at is cut to seconds.
func Sign(key ed25519.PrivateKey, about, hash, person string, at time.Time) Signature {
	at = at.UTC().Truncate(time.Second)
	return Signature{
		Person: person,
		Key:    NewPublicKey(key.Public().(ed25519.PublicKey)),
		At:     at,
		Sig:    base64.StdEncoding.EncodeToString(ed25519.Sign(key, statement(about, hash, person, at))),
	}
}

// Verify says whether s is a valid signature over hash by the key that it
// names. Whose key that is, is the keyring's to say: see [Signers].
func (s Signature) Verify(about, hash string) error {
	k, err := s.Key.Ed25519()
	if err != nil {
		return err
	}
	sig, err := base64.StdEncoding.DecodeString(s.Sig)
	if err != nil || !ed25519.Verify(k, statement(about, hash, s.Person, s.At), sig) {
		return Errorf(KindRefused, "the signature of %s does not fit: the %s was changed after it was signed, or the signature is of another document", s.Person, about)
	}
	return nil
}

// Signers verifies every signature over hash and gives the distinct people who
// made them, in order. It refuses a signature that does not fit, a signer who
// is not enrolled, whose key is another than the enrolled one, or who lacks
// role. Two names with one key count as one person.
func Signers(sigs []Signature, about, hash string, keys Keyring, role Role) ([]string, error) {
	var people []string
	seen := map[PublicKey]bool{}
	for _, s := range sigs {
		if err := s.Verify(about, hash); err != nil {
			return nil, err
		}
		p, ok := keys.Person(s.Person)
		switch {
		case !ok:
			return nil, Errorf(KindRefused, "%s signed, but is not enrolled here", s.Person).WithCure("enrol with: impound people add " + s.Person + " --role " + string(role))
		case p.Key != s.Key:
			return nil, Errorf(KindRefused, "%s signed with another key than the enrolled one", s.Person)
		case !p.Has(role):
			return nil, Errorf(KindRefused, "%s signed, but is no %s", s.Person, role)
		}
		if !seen[s.Key] && !slices.Contains(people, s.Person) {
			seen[s.Key] = true
			people = append(people, s.Person)
		}
	}
	return people, nil
}
