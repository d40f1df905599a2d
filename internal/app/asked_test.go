package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store"
)

func TestAskedProviders(t *testing.T) {
	good := func() Config {
		return Config{
			Report: ReportConfig{Organisation: "Unit", From: "desk@unit.test", Domain: "unit.test"},
			Mail:   MailConfig{Relay: "127.0.0.1:2525", TLS: "none"},
			Asked: []AskedConfig{
				{Provider: "nic-xy", TLDs: []string{"xy"}, Role: "registry", Via: "mail", To: []string{"legal@nic.test"}, Remind: []string{"72h"}},
				{Provider: "nic-zz", TLDs: []string{"zz"}, Role: "registry", Via: "manual", Owner: "ben"},
			},
		}
	}
	c := good()
	if ps := c.Check(t.TempDir()); len(ps) > 0 {
		t.Fatal(ps)
	}
	for what, spoil := range map[string]func(*Config){
		"asked[0].to": func(c *Config) { c.Asked[0].To = nil }, "asked[0].remind": func(c *Config) { c.Asked[0].Remind = []string{"5m"} }, "asked[1].tlds": func(c *Config) { c.Asked[1].TLDs = []string{"xy"} },
		"asked[1].owner": func(c *Config) { c.Asked[1].Owner = "" }, "asked[0].via": func(c *Config) { c.Asked[0].Via = "fax" }, "asked[0].exhibits": func(c *Config) { c.Asked[0].Exhibits = []string{"mail"} },
		"mail": func(c *Config) { c.Mail.Relay = "" }, "mail.dkim": func(c *Config) { c.Mail.DKIM.Domain = "unit.test" }, "asked[1].provider": func(c *Config) { c.Asked[1].Provider = "nic-xy" },
	} {
		c := good()
		spoil(&c)
		if ps := c.Check(t.TempDir()); len(ps) != 1 || ps[0].Where != what {
			t.Errorf("%s: %v", what, ps)
		}
	}

	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	open := func(c Config) *System {
		t.Helper()
		s, err := Open(t.Context(), Options{State: state, Config: c})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(c)
	key, err := os.ReadFile(filepath.Join(state, "keys", mailKey))
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(filepath.Join(state, "keys", mailKey)); st.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v", st.Mode())
	}
	enrol(t, s, "ada", impound.RoleAdmin, impound.RoleAnalyst)
	const lid = "L-0123456789abcdef"
	l := seizure.Letter{Request: seizure.Request{ID: lid, Kind: seizure.LetterRequest, Provider: "nic-xy"}, Ref: "<impound." + lid + "@unit.test>"}
	head, _ := json.Marshal(l)
	a, err := s.Evidence.Capture(t.Context(), impound.Artefact{Kind: "letter", Media: "application/json", Source: "test", Tool: "test", By: "ada", At: time.Now()}, head)
	if err != nil {
		t.Fatal(err)
	}
	for part, d := range map[string]map[string]string{"composed": {"id": lid, "letter": a.Hash, "body": a.Hash}, "sent": {"ref": l.Ref}} {
		if _, err := s.Evidence.Append(t.Context(), impound.Entry{ID: "seize/letter/" + lid + "/" + part, Type: impound.EntrySystem, At: time.Now(), By: "ada", What: "seize.letter", Detail: d}); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Store.Update(t.Context(), func(tx store.Tx) error {
		_, err := store.Put(tx, "seize-letter", lid, 0, seizure.LetterInfo{ID: lid, Kind: seizure.LetterRequest, Ref: l.Ref, State: seizure.LetterSent}, map[string]string{"ref": l.Ref})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mail := []byte("From: Jane Roe <jane@registry.test>\r\nTo: desk@unit.test\r\nSubject: Re\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nIn-Reply-To: " + l.Ref + "\r\n\r\nJane here: done.\r\n")
	if _, err := s.FileAnswer(t.Context(), "ada", "", mail, ""); impound.KindOf(err) != impound.KindRefused || !strings.Contains(err.Error(), "seal_to") {
		t.Errorf("a mail that nobody could be kept out of: %v", err)
	}
	s.Close()
	c.Personal.SealTo = []string{id.Recipient().String()}
	s = open(c)
	defer s.Close()
	if again, _ := os.ReadFile(filepath.Join(state, "keys", mailKey)); !bytes.Equal(key, again) {
		t.Error("another key was made")
	}
	got, err := s.FileAnswer(t.Context(), "ada", "", mail, "")
	if err != nil || got.ID != lid || len(got.Replies) != 1 || got.Replies[0].Kind != "reply" {
		t.Fatalf("%+v %v", got, err)
	}
	size := s.Evidence.Size()
	if got, err = s.FileAnswer(t.Context(), "ada", lid, mail, ""); err != nil || len(got.Replies) != 1 || s.Evidence.Size() != size {
		t.Errorf("the same again: %+v %v", got.Replies, err)
	}
	sealed, err := s.Evidence.Read(got.Replies[0].Artefact)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := age.Decrypt(bytes.NewReader(sealed), id); err != nil {
		t.Error(err)
	} else if b := new(bytes.Buffer); func() error { _, err := b.ReadFrom(r); return err }() != nil || !bytes.Equal(b.Bytes(), mail) {
		t.Error("what was sealed is not what came")
	}
	all := fmt.Sprintf("%+v", got)
	es := 0
	if err := s.Evidence.Entries(t.Context(), 0, func(_ int64, e impound.Entry) error { es++; all += fmt.Sprintf("%+v", e); return nil }); err != nil || es == 0 {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToLower(all), "jane") {
		t.Error("the log names who wrote")
	}
}
