package casework_test

import (
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// After five wrong passwords the next try waits, the right one too; names that
// nobody has are answered alike; waits grow and end.
func TestWrongPasswordsMustWait(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	clock := t0
	d.cfg.Now = func() time.Time { return clock }
	s, err := casework.New(d.cfg)
	d.ok(err)
	const right = "correct horse battery staple"
	d.ok(s.AddAccount(ctx, "root", "ann", right))
	for _, who := range []string{"ann", "nobody"} {
		for i := range 5 {
			if _, _, err := s.Login(ctx, who, "wrong"); impound.KindOf(err) != impound.KindAuth || strings.Contains(err.Error(), "wait") {
				t.Fatalf("%s, try %d: %v", who, i, err)
			}
		}
		for _, pw := range []string{"wrong", right} {
			if _, _, err := s.Login(ctx, who, pw); impound.KindOf(err) != impound.KindAuth || !strings.Contains(err.Error(), "wait 1m0s") {
				t.Errorf("%s with %q must wait: %v", who, pw, err)
			}
		}
	}
	if n := d.entries(casework.WhatAccountLocked); n != 1 {
		t.Errorf("%d lines of the log speak of it", n)
	}
	clock = clock.Add(time.Minute)
	if _, _, err := s.Login(ctx, "ann", "wrong"); err == nil || strings.Contains(err.Error(), "wait") {
		t.Errorf("after the wait: %v", err)
	}
	clock = clock.Add(time.Minute)
	if _, _, err := s.Login(ctx, "ann", right); err == nil || !strings.Contains(err.Error(), "wait 1m0s") {
		t.Errorf("the second wait is two minutes: %v", err)
	}
	clock = clock.Add(time.Minute)
	p, stamp, err := s.Login(ctx, "ann", right)
	if err != nil || p.ID != "ann" {
		t.Fatalf("in the end: %v", err)
	}
	if _, _, err := s.Login(ctx, "ann", "wrong"); err == nil || strings.Contains(err.Error(), "wait") {
		t.Errorf("a login begins the count anew: %v", err)
	}
	// A session stands until the password changes or the account ends.
	_, err = s.Session(ctx, "ann", stamp)
	d.ok(err)
	d.ok(s.SetPassword(ctx, "ann", "ann", right+" 2"))
	_, err = s.Session(ctx, "ann", stamp)
	d.refuses(err, impound.KindAuth)
	_, stamp, err = s.Login(ctx, "ann", right+" 2")
	d.ok(err)
	d.ok(s.DisableAccount(ctx, "root", "ann"))
	_, err = s.Session(ctx, "ann", stamp)
	d.refuses(err, impound.KindAuth)
	if _, _, err := s.Login(ctx, "ann", right+" 2"); impound.KindOf(err) != impound.KindAuth {
		t.Errorf("a disabled account: %v", err)
	}
}

// A token ends by its date or by being revoked, at once and in every process, and
// reads no more than its scopes.
func TestTokensEnd(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	clock := t0
	d.cfg.Now = func() time.Time { return clock }
	s, err := casework.New(d.cfg)
	d.ok(err)
	other := openDesk(t, d.dir)
	d.guard()
	tok, secret, err := s.AddToken(ctx, "ann", "ann", []impound.Scope{impound.ScopeLog}, clock.Add(24*time.Hour), "dashboard")
	d.ok(err)
	p, err := s.TokenPrincipal(ctx, secret)
	d.ok(err)
	if p.ID != "ann" || !p.May(impound.ScopeLog) || p.May(impound.ScopeCases) || p.May(impound.ScopeContacts) {
		t.Errorf("%+v", p)
	}
	// It changes nothing, whatever its person may do.
	tokened := impound.WithPrincipal(ctx, p)
	d.refuses(s.OpenCase(tokened, "ann", impound.Case{ID: "C-9", Title: "x"}), impound.KindAuth, "only reads")
	_, err = s.AddTask(tokened, "ann", "C-9", impound.Task{Title: "x"})
	d.refuses(err, impound.KindAuth)
	d.refuses(s.MoveState(tokened, "ann", "C-9", impound.MustName("a.com"), impound.StateCandidate, impound.StateProposed, "x"), impound.KindAuth)
	for _, bad := range []string{"", "impound_", secret + "x", strings.ToUpper(secret), secret[:len(secret)-1]} {
		if _, err := s.TokenPrincipal(ctx, bad); impound.KindOf(err) != impound.KindAuth {
			t.Errorf("%q opens: %v", bad, err)
		}
	}
	// Another's token is to others as one that isn't there.
	missing, others := s.RevokeToken(ctx, "carl", "T-0000000000"), s.RevokeToken(ctx, "carl", tok.ID)
	if missing == nil || others == nil || strings.ReplaceAll(others.Error(), tok.ID, "T-0000000000") != missing.Error() {
		t.Errorf("%v, %v", missing, others)
	}
	d.ok(other.RevokeToken(ctx, "root", tok.ID))
	_, err = s.TokenPrincipal(ctx, secret)
	d.refuses(err, impound.KindAuth, "revoked")
	_, secret, err = s.AddToken(ctx, "ann", "ann", []impound.Scope{impound.ScopeLog}, clock.Add(time.Hour), "")
	d.ok(err)
	clock = clock.Add(time.Hour - time.Second)
	_, err = s.TokenPrincipal(ctx, secret)
	d.ok(err)
	clock = clock.Add(time.Second)
	_, err = s.TokenPrincipal(ctx, secret)
	d.refuses(err, impound.KindAuth)
}
