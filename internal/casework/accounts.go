package casework

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// An account lets an enrolled person in at the pages with a password, a token
// lets a program in at the API. Neither holds a role: what they may see is the
// person's, as the keyring has it at that moment. That they exist, and a digest
// of what opens them, stands in the evidence log; the store holds the salted
// hash alone, and one that the log doesn't know opens nothing. So who edits the
// database gets in no more than who doesn't.

// What the entries of accounts and tokens speak of.
const (
	WhatAccountAdd      = "account.add"
	WhatAccountPassword = "account.password"
	WhatAccountDisable  = "account.disable"
	WhatAccountLocked   = "account.locked"
	WhatTokenAdd        = "token.add"
	WhatTokenRevoke     = "token.revoke"
)

const (
	kindAccount  = "account"   // the salted hash; id PERSON
	kindTokenUse = "token-use" // when a token was used last; id TOKEN
)

// MinPassword and MaxPassword bound a password, in characters and octets (NIST
// SP 800-63B 3.1.1.2 has 15 where there is no second factor).
const (
	MinPassword = 15
	MaxPassword = 1024
)

// Account is somebody's way in at the pages.
type Account struct {
	Person   string    `json:"person"`
	Added    time.Time `json:"added"`
	By       string    `json:"by"`
	Disabled time.Time `json:"disabled,omitzero"`

	digest string // of the salted hash
}

// Token is a program's way in at the API, less its secret.
type Token struct {
	ID      string          `json:"id"`
	Person  string          `json:"person"`
	Note    string          `json:"note,omitempty"`
	Scopes  []impound.Scope `json:"scopes"`
	Added   time.Time       `json:"added"`
	By      string          `json:"by"`
	Expires time.Time       `json:"expires"`
	Revoked time.Time       `json:"revoked,omitzero"`
	Used    time.Time       `json:"used,omitzero"` // to the minute; the store's word

	digest string
}

// secretDoc is what the store holds of an account.
type secretDoc struct {
	Hash string `json:"hash"` // PHC string: $argon2id$v=19$m=...,t=...,p=...$salt$hash
}

type useDoc struct {
	At time.Time `json:"at"`
}

// RFC 9106 section 4, second recommended option.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
)

// hashing bounds how many passwords are hashed at once: each takes 64 MiB.
var hashing = make(chan struct{}, 2)

func hashPassword(password string) string {
	salt := make([]byte, 16)
	rand.Read(salt)
	return phc(password, salt)
}

func phc(password string, salt []byte) string {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	h := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, 32)
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b.EncodeToString(salt), b.EncodeToString(h))
}

// fits says whether password is what hash was made from; for the same work
// when hash is of another form.
func fits(hash, password string) bool {
	salt := make([]byte, 16)
	if f := strings.Split(hash, "$"); len(f) == 6 {
		if b, err := base64.RawStdEncoding.DecodeString(f[4]); err == nil && len(b) == 16 {
			salt = b
		}
	}
	return subtle.ConstantTimeCompare([]byte(phc(password, salt)), []byte(hash)) == 1
}

func checkPassword(id, password string) error {
	bad := ""
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password) || strings.ContainsAny(password, "\x00\r\n"):
		bad = "the password is no line of text"
	case n < MinPassword:
		bad = fmt.Sprintf("the password has fewer than %d characters", MinPassword)
	case len(password) > MaxPassword:
		bad = fmt.Sprintf("the password has more than %d octets", MaxPassword)
	case strings.Count(password, password[:1]) == len(password):
		bad = "the password is one character again and again"
	case strings.Contains(strings.ToLower(password), strings.ToLower(id)) && n < len(id)+MinPassword:
		bad = "the password is the name with little added"
	}
	if bad != "" {
		return impound.Errorf(impound.KindInvalid, "%s", bad).WithCure("take four or more words that have nothing to do with each other, or leave it to impound to make one")
	}
	return nil
}

// NewPassword makes a password of 125 bits that can be read out.
func NewPassword() string {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789" // 32
	b := make([]byte, 25)
	rand.Read(b)
	var out strings.Builder
	for i, x := range b {
		if i > 0 && i%5 == 0 {
			out.WriteByte('-')
		}
		out.WriteByte(letters[x&31])
	}
	return out.String()
}

func digest(what, secret string) string {
	h := sha256.Sum256([]byte("impound " + what + " v1\n" + secret))
	return "sha256:" + hex.EncodeToString(h[:])
}

// Guarded says whether an account was ever made: from then on the pages ask who
// is there, and a case can be sealed.
func (s *Service) Guarded(ctx context.Context) (bool, error) {
	view, err := s.ledger.sync(ctx)
	return len(view.accounts) > 0, err
}

// Accounts lists the accounts, by person.
func (s *Service) Accounts(ctx context.Context) ([]Account, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Account, 0, len(view.accounts))
	for _, a := range view.accounts {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Account) int { return cmp.Compare(a.Person, b.Person) })
	return out, nil
}

// AddAccount lets an enrolled person in at the pages. A disabled account is
// opened again. Role: admin.
func (s *Service) AddAccount(ctx context.Context, by, id, password string) error {
	if _, err := s.act(ctx, "AddAccount", by); err != nil {
		return err
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	if _, ok := view.ring.Person(id); !ok {
		return impound.Errorf(impound.KindNotFound, "%.64q is not enrolled here", id).WithCure("enrol the person first: impound people add " + id + " --role analyst")
	}
	if a, ok := view.accounts[id]; ok && a.Disabled.IsZero() {
		return impound.Errorf(impound.KindConflict, "%s has an account", id).WithCure("set another password with: impound account password " + id)
	}
	return s.setPassword(ctx, by, id, password, WhatAccountAdd)
}

// SetPassword sets another password; whoever is logged in with the old one is out.
// One's own, or the role admin.
func (s *Service) SetPassword(ctx context.Context, by, id, password string) error {
	if _, err := s.act(ctx, "SetPassword", by); err != nil {
		return err
	}
	if by != id {
		if err := s.May(ctx, by, impound.RoleAdmin); err != nil {
			return err
		}
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	if a, ok := view.accounts[id]; !ok || !a.Disabled.IsZero() {
		return noAccount(id)
	}
	return s.setPassword(ctx, by, id, password, WhatAccountPassword)
}

func noAccount(id string) error {
	return impound.Errorf(impound.KindNotFound, "%.64q has no account", id).WithCure("impound account list shows them")
}

// setPassword writes the hash and then the entry, which makes it count: after a
// crash in between the old password has ended and no new one counts yet.
func (s *Service) setPassword(ctx context.Context, by, id, password, what string) error {
	if err := checkPassword(id, password); err != nil {
		return err
	}
	hash := hashPassword(password)
	s.locks.free(id)
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, rev, err := store.Get[secretDoc](tx, kindAccount, id)
		if err != nil && impound.KindOf(err) != impound.KindNotFound {
			return err
		}
		if _, err := store.Put(tx, kindAccount, id, rev, secretDoc{hash}, nil); err != nil {
			return err
		}
		return s.decide(ctx, impound.Entry{Type: impound.EntrySystem, By: by, What: what, Detail: map[string]string{"person": id, "digest": digest("account", hash)}})
	})
}

// DisableAccount ends an account; whoever is logged in is out. Role: admin.
func (s *Service) DisableAccount(ctx context.Context, by, id string) error {
	if _, err := s.act(ctx, "DisableAccount", by); err != nil {
		return err
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	a, ok := view.accounts[id]
	if !ok {
		return noAccount(id)
	}
	if !a.Disabled.IsZero() {
		return nil
	}
	return s.decide(ctx, impound.Entry{Type: impound.EntrySystem, By: by, What: WhatAccountDisable, Detail: map[string]string{"person": id}})
}

// errLogin is all that a failed login is told.
func errLogin() error {
	return impound.Errorf(impound.KindAuth, "the name or the password is wrong").WithCure("try again; an admin sets another password with: impound account password NAME")
}

// Login gives the person whose name and password these are, and a stamp that
// [Service.Session] takes. A wrong name and a wrong password have the same
// answer, for the same work. After 5 failures in a row for a name, whoever's it
// is, the next try must wait a minute, then two, up to a quarter of an hour; the
// right password must wait too.
func (s *Service) Login(ctx context.Context, id, password string) (impound.Person, string, error) {
	now := s.now()
	if wait := s.locks.wait(id, now); wait > 0 {
		return impound.Person{}, "", impound.Errorf(impound.KindAuth, "too many failed tries with this name: wait %s", wait.Round(time.Second)).WithCure("an admin can set another password at once: impound account password NAME")
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return impound.Person{}, "", err
	}
	var doc secretDoc
	err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		doc, _, err = store.Get[secretDoc](tx, kindAccount, cut(id))
		return err
	})
	if err != nil && impound.KindOf(err) != impound.KindNotFound {
		return impound.Person{}, "", err
	}
	if len(password) > MaxPassword {
		password = ""
	}
	right := fits(doc.Hash, password)
	a, known := view.accounts[id]
	p, enrolled := view.ring.Person(id)
	stamp := digest("account", doc.Hash)
	if !right || !known || a.digest != stamp || !a.Disabled.IsZero() || !enrolled || len(p.Roles) == 0 {
		if known && right && a.digest != stamp {
			s.cfg.Log.Error("an account's password hash in the database is not the one that the evidence log knows: nobody gets in with it", "person", id)
		}
		if s.locks.fail(id, now) && known {
			if err := s.decide(ctx, impound.Entry{Type: impound.EntrySystem, By: System, What: WhatAccountLocked, Detail: map[string]string{"person": id, "text": "failed logins: the next try must wait"}}); err != nil {
				return impound.Person{}, "", err
			}
		}
		return impound.Person{}, "", errLogin()
	}
	s.locks.free(id)
	return p, stamp, nil
}

func cut(id string) string { return id[:min(len(id), 64)] }

// Session says whether a login of before still stands: the account is there, its
// password is the same, and the person holds a role.
func (s *Service) Session(ctx context.Context, id, stamp string) (impound.Person, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return impound.Person{}, err
	}
	a, ok := view.accounts[id]
	p, enrolled := view.ring.Person(id)
	if !ok || !a.Disabled.IsZero() || a.digest != stamp || !enrolled || len(p.Roles) == 0 {
		return impound.Person{}, impound.Errorf(impound.KindAuth, "this login has ended").WithCure("log in again")
	}
	return p, nil
}

// locks holds failed logins by name. It is in memory: a restart forgets them.
type locks struct {
	mu sync.Mutex
	m  map[string]lock
}

type lock struct {
	n     int
	until time.Time
	last  time.Time
}

const (
	freeTries = 5
	maxWait   = 15 * time.Minute
	maxLocks  = 10_000
)

func (l *locks) wait(id string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m[cut(id)].until.Sub(now)
}

// fail notes a failure and says whether it began a wait.
func (l *locks) fail(id string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	id = cut(id)
	if l.m == nil {
		l.m = map[string]lock{}
	}
	if len(l.m) >= maxLocks { // names are anybody's: drop what is over
		for k, x := range l.m {
			if now.Sub(x.last) > maxWait {
				delete(l.m, k)
			}
		}
		if len(l.m) >= maxLocks {
			clear(l.m)
		}
	}
	x := l.m[id]
	if now.Sub(x.last) > 2*maxWait {
		x.n = 0
	}
	x.n, x.last = x.n+1, now
	if x.n >= freeTries {
		x.until = now.Add(min(time.Minute<<min(x.n-freeTries, 10), maxWait))
	}
	l.m[id] = x
	return x.n >= freeTries
}

func (l *locks) free(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.m, cut(id))
}

// tokenPrefix lets scanners of leaked secrets know one.
const tokenPrefix = "impound_"

// MaxTokenLife bounds for how long a token is good.
const MaxTokenLife = 366 * 24 * time.Hour

// AddToken makes a token for a person and gives its secret, which is kept
// nowhere. One's own, or the role admin.
func (s *Service) AddToken(ctx context.Context, by, id string, scopes []impound.Scope, expires time.Time, note string) (Token, string, error) {
	if _, err := s.act(ctx, "AddToken", by); err != nil {
		return Token{}, "", err
	}
	if id != by {
		if err := s.May(ctx, by, impound.RoleAdmin); err != nil {
			return Token{}, "", err
		}
	}
	ring, err := s.Keyring(ctx)
	if err != nil {
		return Token{}, "", err
	}
	if _, ok := ring.Person(id); !ok {
		return Token{}, "", impound.Errorf(impound.KindNotFound, "%.64q is not enrolled here", id).WithCure("impound people list shows who is")
	}
	scopes = slices.Clone(scopes)
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	now := s.now().Truncate(time.Second)
	switch {
	case len(scopes) == 0:
		return Token{}, "", impound.Errorf(impound.KindInvalid, "the token is for nothing").WithCure("give --scope cases, contacts, candidates or log")
	case !expires.After(now) || expires.After(now.Add(MaxTokenLife)):
		return Token{}, "", impound.Errorf(impound.KindInvalid, "the token ends at %s", expires.UTC().Format(time.RFC3339)).WithCure("let it end within a year from now: --for 90d")
	case len(note) > 200:
		return Token{}, "", impound.Errorf(impound.KindInvalid, "the note is longer than 200 octets")
	}
	for _, x := range scopes {
		if !slices.Contains(impound.Scopes, x) {
			return Token{}, "", impound.Errorf(impound.KindInvalid, "%.40q is no scope", string(x)).WithCure("use cases, contacts, candidates or log")
		}
	}
	raw, name := make([]byte, 32), make([]byte, 5)
	rand.Read(raw)
	rand.Read(name)
	secret := tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	t := Token{ID: "T-" + hex.EncodeToString(name), Person: id, Note: note, Scopes: scopes, Added: now, By: by, Expires: expires.UTC().Truncate(time.Second), digest: digest("token", secret)}
	words := make([]string, len(scopes))
	for i, x := range scopes {
		words[i] = string(x)
	}
	return t, secret, s.decide(ctx, impound.Entry{Type: impound.EntrySystem, At: now, By: by, What: WhatTokenAdd, Detail: map[string]string{
		"token": t.ID, "person": id, "note": note, "scopes": strings.Join(words, " "), "expires": t.Expires.Format(time.RFC3339), "digest": t.digest}})
}

// RevokeToken ends a token. One's own, or the role admin; another's token is to
// everybody else as one that isn't there.
func (s *Service) RevokeToken(ctx context.Context, by, tokenID string) error {
	if _, err := s.act(ctx, "RevokeToken", by); err != nil {
		return err
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	t, ok := view.tokens[tokenID]
	if !ok || t.Person != by && s.May(ctx, by, impound.RoleAdmin) != nil {
		return impound.Errorf(impound.KindNotFound, "there is no token %.64q", tokenID).WithCure("impound token list shows them")
	}
	if !t.Revoked.IsZero() {
		return nil
	}
	return s.decide(ctx, impound.Entry{Type: impound.EntrySystem, By: by, What: WhatTokenRevoke, Detail: map[string]string{"token": t.ID, "person": t.Person}})
}

// Tokens lists the tokens, the newest first.
func (s *Service) Tokens(ctx context.Context) ([]Token, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Token, 0, len(view.tokens))
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		for _, t := range view.tokens {
			u, _, err := store.Get[useDoc](tx, kindTokenUse, t.ID)
			if err != nil && impound.KindOf(err) != impound.KindNotFound {
				return err
			}
			t.Used = u.At
			out = append(out, t)
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Token) int { return cmp.Or(b.Added.Compare(a.Added), cmp.Compare(a.ID, b.ID)) })
	return out, err
}

// TokenPrincipal gives in whose name the holder of a token's secret asks.
func (s *Service) TokenPrincipal(ctx context.Context, secret string) (impound.Principal, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return impound.Principal{}, err
	}
	now := s.now()
	sum := digest("token", secret)
	t, ok := view.tokens[view.tokenIDs[sum]]
	p, enrolled := view.ring.Person(t.Person)
	if !ok || subtle.ConstantTimeCompare([]byte(t.digest), []byte(sum)) != 1 || !t.Revoked.IsZero() || !now.Before(t.Expires) || !enrolled || len(p.Roles) == 0 {
		return impound.Principal{}, impound.Errorf(impound.KindAuth, "this token opens nothing: it is unknown, ended or revoked").WithCure("make one with: impound token add")
	}
	minute := now.Truncate(time.Minute)
	if last, _ := s.used.Load(t.ID); last != minute {
		s.used.Store(t.ID, minute)
		err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
			_, err := store.Modify(tx, kindTokenUse, t.ID, func(d *useDoc) (map[string]string, error) {
				d.At = minute
				return nil, nil
			})
			return err
		})
		if err != nil {
			s.cfg.Log.Warn("couldn't note that a token was used", "token", t.ID, "err", err)
		}
	}
	return impound.Principal{ID: t.Person, Scopes: slices.Clone(t.Scopes)}, nil
}

// noteAccount takes an entry of an account or a token into the view, whose maps
// are its own by now. Whoever is no admin can only speak of himself.
func (v *ledgerView) noteAccount(e impound.Entry) error {
	d := e.Detail
	id := d["person"]
	p, ok := v.ring.Person(e.By)
	if !ok || e.By != id && !p.Has(impound.RoleAdmin) {
		return impound.Errorf(impound.KindAuth, "%.64q may not do this to %.64q", e.By, id)
	}
	switch e.What {
	case WhatAccountAdd, WhatAccountPassword:
		a, had := v.accounts[id]
		if e.What == WhatAccountPassword && (!had || !a.Disabled.IsZero()) || e.What == WhatAccountAdd && !p.Has(impound.RoleAdmin) {
			return impound.Errorf(impound.KindRefused, "%.64q has no account", id)
		}
		if e.What == WhatAccountAdd {
			a = Account{Person: id, Added: e.At, By: e.By}
		}
		a.digest = d["digest"]
		v.accounts[id] = a
	case WhatAccountDisable:
		a, had := v.accounts[id]
		if had && a.Disabled.IsZero() {
			a.Disabled = e.At
			v.accounts[id] = a
		}
	case WhatTokenAdd:
		end, err := time.Parse(time.RFC3339, d["expires"])
		if _, again := v.tokens[d["token"]]; err != nil || again || d["digest"] == "" || v.tokenIDs[d["digest"]] != "" {
			return impound.Errorf(impound.KindInvalid, "the token can't be read, or is there already")
		}
		t := Token{ID: d["token"], Person: id, Note: d["note"], Added: e.At, By: e.By, Expires: end.UTC(), digest: d["digest"], Scopes: []impound.Scope{}}
		for _, x := range strings.Fields(d["scopes"]) {
			t.Scopes = append(t.Scopes, impound.Scope(x))
		}
		v.tokens[t.ID], v.tokenIDs[t.digest] = t, t.ID
	case WhatTokenRevoke:
		if t, had := v.tokens[d["token"]]; had && t.Person == id && t.Revoked.IsZero() {
			t.Revoked = e.At
			v.tokens[t.ID] = t
		}
	}
	return nil
}
