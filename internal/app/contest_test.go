package app

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/store/sqlite"
)

func TestAClaimIsSealedAndGetsAClock(t *testing.T) {
	state := t.TempDir()
	l, err := evidence.Open(filepath.Join(state, "evidence"), evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(state, "impound.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := staffed(t, &System{Evidence: l, Store: db, now: time.Now, opt: Options{State: state}})
	s.cfg.Contest = ContestConfig{Listen: "127.0.0.1:0", Organisation: "The unit", Days: 10}
	if ps := s.cfg.checkContest(); len(ps) != 1 || ps[0].Where != "personal_data.seal_to" {
		t.Errorf("%v", ps)
	}
	s.cfg.Personal.SealTo = []string{id.Recipient().String()}
	if ps := s.cfg.checkContest(); len(ps) != 0 {
		t.Errorf("%v", ps)
	}
	open := s.cfg
	open.Contest.Listen = "0.0.0.0:8490"
	if ps := open.checkContest(); len(ps) != 1 || ps[0].Where != "contest.cert" {
		t.Errorf("%v", ps)
	}
	v := &serving{cancel: func() {}}
	if err := s.startContest(v); err != nil {
		t.Fatal(err)
	}
	defer v.stop()
	resp, err := http.PostForm("http://"+v.contestAt+"/contest", url.Values{"name": {"shop.example"}, "who": {"Jane Owner"}, "contact": {"jane@shop.example"}, "why": {"mine since 2009"}})
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	rows, err := s.Claims(t.Context())
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d %s %v %+v", resp.StatusCode, page, err, rows)
	}
	r := rows[0]
	if !strings.Contains(string(page), r.Ref) || r.State != "open" || r.Name.String() != "shop.example" || r.Due.Sub(r.At).Round(time.Hour) != 240*time.Hour {
		t.Errorf("%+v", r)
	}
	box, err := l.Read(r.Hash)
	if err != nil {
		t.Fatal(err)
	}
	d, err := age.Decrypt(bytes.NewReader(box), id)
	if err != nil {
		t.Fatal(err)
	}
	if plain, _ := io.ReadAll(d); !strings.Contains(string(plain), "Jane Owner") {
		t.Errorf("%s", plain)
	}
	_ = filepath.Walk(state, func(p string, fi os.FileInfo, err error) error {
		if b, _ := os.ReadFile(p); bytes.Contains(b, []byte("Jane")) || bytes.Contains(b, []byte("jane@")) || bytes.Contains(b, []byte("2009")) {
			t.Errorf("%s holds a claim in the clear", p)
		}
		return nil
	})

	// Whoever looks at the pages learns of it, until it is answered.
	told := func() (out []Alarm) {
		t.Helper()
		as, err := s.claimAlarms(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return as
	}
	if as := told(); len(as) != 1 || as[0].Name != r.Name || !strings.Contains(as[0].Text, "shop[.]example by the public form: claim "+r.Ref) || !strings.Contains(as[0].Text, "to be answered until") {
		t.Errorf("%+v", as)
	}

	// It decides nothing, and counsel alone dismisses it, with a reason, once.
	if err := s.DismissClaim(t.Context(), "ada", r.Ref, "no"); impound.KindOf(err) != impound.KindAuth {
		t.Errorf("an analyst: %v", err)
	}
	counsel := "carla"
	enrol(t, s, counsel, impound.RoleCounsel)
	for _, tt := range []struct {
		ref, why string
		want     impound.Kind
	}{{r.Ref, " ", impound.KindInvalid}, {"CL-none", "x", impound.KindNotFound}, {r.Ref, "could not show it", ""}, {r.Ref, "again", impound.KindConflict}} {
		if err := s.DismissClaim(t.Context(), counsel, tt.ref, tt.why); impound.KindOf(err) != tt.want {
			t.Errorf("%s %q: %v", tt.ref, tt.why, err)
		}
	}
	if as := told(); len(as) != 0 {
		t.Errorf("answered, and still an alarm: %+v", as)
	}
	if rows, _ := s.Claims(t.Context()); rows[0].State != "dismissed" || rows[0].Why != "could not show it" {
		t.Errorf("%+v", rows)
	}
}
