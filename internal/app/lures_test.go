package app

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/evidence/lure"
)

const lureMail = "Received: from a.example ([192.0.2.1]) by b.example; Sat, 21 Nov 2026 12:00:00 +0000\r\nFrom: <jane.secret@lure.example>\r\nTo: <john.roe@victim.example>\r\nSubject: Your password\r\n\r\nDear John Roe, https://outlook-verify.net/t/john.roe?x=1\r\n"

func TestAMailIsKeptSealedOrNotAtAll(t *testing.T) {
	state := t.TempDir()
	if err := os.MkdirAll(filepath.Join(state, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := evidence.Open(filepath.Join(state, "evidence"), evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := staffed(t, &System{Evidence: l, now: time.Now, opt: Options{State: state}})
	dir := t.TempDir()
	put := func(name, text string) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	size := l.Size()
	for name, file := range map[string]string{"no recipient": put("john.roe.eml", lureMail), "no ending": put("lure", lureMail), "no mail": put("x.eml", "hello"), "outlook": put("x.msg", "\xd0\xcf\x11\xe0....")} {
		if _, err := s.AddFile(t.Context(), "ada", "", impound.Name{}, file, "file", impound.Marking{}); err == nil || l.Size() != size {
			t.Errorf("%s: %v, %d entries", name, err, l.Size()-size)
		}
	}
	if _, err := s.AddFile(t.Context(), "ada", "", impound.Name{}, put("john.roe.eml", lureMail), "file", impound.Marking{}); impound.KindOf(err) != impound.KindRefused || !strings.Contains(err.Error(), "personal_data.seal_to") {
		t.Error(err)
	}

	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Personal.SealTo = []string{id.Recipient().String()}
	a, err := s.AddFile(t.Context(), "ada", "", impound.Name{}, put("john.roe.eml", lureMail), "file", impound.Marking{})
	if err != nil {
		t.Fatal(err)
	}
	size = l.Size()
	again, err := s.AddFile(t.Context(), "ada", "", impound.Name{}, put("john.roe.eml", lureMail), "file", impound.Marking{})
	if err != nil || again.Hash != a.Hash || l.Size() != size {
		t.Errorf("twice: %v %+v", err, again)
	}
	b, err := l.Read(a.Hash)
	if err != nil {
		t.Fatal(err)
	}
	var an lure.Analysis
	if err := json.Unmarshal(b, &an); err != nil {
		t.Fatal(err)
	}
	if an.Original != impound.HashBytes([]byte(lureMail)) || len(an.Messages) != 1 || an.Messages[0].Links[0].Host != "outlook-verify.net" || a.Kind != "mail" {
		t.Errorf("%s", b)
	}
	box, err := l.Read(an.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(bytes.NewReader(box), id)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(r); err != nil || string(plain) != lureMail {
		t.Errorf("%v %q", err, plain)
	}
	// Law 3: nothing of the mail stands in any file in the clear.
	err = filepath.Walk(state, func(p string, fi os.FileInfo, err error) error {
		if err != nil || fi.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		for _, secret := range []string{"jane", "john", "roe", "John", "password", "Dear"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds %q", p, secret)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Personal.SealTo = []string{"age1nonsense"}
	if e := s.cfg.checkPersonal(); e == nil || e.Where != "personal_data.seal_to[0]" {
		t.Errorf("%v", e)
	}
}
