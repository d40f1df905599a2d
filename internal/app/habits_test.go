package app

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// A serving process watches; it learns from every case, and shows what a sealed
// case's names taught to its parties alone. It ends in order.
func TestServingWatches(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "nrd.txt")
	if err := os.WriteFile(list, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Watch: WatchConfig{Poll: "50ms", Sources: []WatchSource{{Name: "nrd", List: list}}}}
	s, err := Open(t.Context(), Options{State: dir, Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, id := range []string{"ada", "ben"} {
		enrol(t, s, id, impound.RoleAdmin, impound.RoleAnalyst)
	}
	who := func(id string) func(casework.QueueFilter) []casework.Row {
		return func(f casework.QueueFilter) []casework.Row {
			p, err := s.Casework.Queue(impound.WithPrincipal(t.Context(), impound.Principal{ID: id}), f)
			if err != nil {
				t.Fatal(err)
			}
			return p.Rows
		}
	}
	ada, ben := who("ada"), who("ben")
	ctx := t.Context()
	if err := s.Casework.AddAccount(ctx, "ada", "ada", "correct horse battery staple"); err != nil {
		t.Fatal(err)
	}
	var names []casework.AddName
	for i := range 12 {
		names = append(names, casework.AddName{Name: impound.MustName(fmt.Sprintf("zwieback-kutsche-%c.top", 'a'+i)), FirstSeen: time.Now().AddDate(0, 0, -i)})
	}
	if err := s.Casework.OpenCase(ctx, "ada", impound.Case{ID: "QUIET", Title: "Quiet"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Casework.AddNames(ctx, "ada", "QUIET", names); err != nil {
		t.Fatal(err)
	}
	z := casework.NewSeal("QUIET", []string{"ada"}, "x", time.Now())
	z.Signature = impound.Sign(testKey("ada"), casework.SignSeal, z.Hash(), "ada", time.Now())
	if err := s.Casework.SealCase(ctx, z); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, []byte("zwieback-kutsche-neu.top\nordinary.example\npaypal-login.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); len(ada(casework.QueueFilter{})) < 2; {
		if time.Now().After(end) {
			t.Fatalf("the queue holds %+v", ada(casework.QueueFilter{}))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if v, err := (desk{s}).Watching(ctx); err != nil || !v.On || v.Sources != 1 || v.Profiles != 1 {
		t.Errorf("%+v %v", v, err)
	}
	if rows := ada(casework.QueueFilter{Name: impound.MustName("zwieback-kutsche-neu.top")}); len(rows) != 1 || rows[0].Scope != "QUIET" || len(rows[0].Reasons) == 0 {
		t.Errorf("%+v", rows)
	}
	if rows := ben(casework.QueueFilter{}); len(rows) != 1 || rows[0].Name.String() != "paypal-login.example" {
		t.Errorf("ben sees %+v", rows)
	}
	if err := s.Close(); err != nil {
		t.Errorf("it doesn't end in order: %v", err)
	}
}
