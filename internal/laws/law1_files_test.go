package laws

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/orderdoc"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// The evidence log, edited by hand: it is not opened any more, so nothing is
// planned, applied or answered.
func TestLaw1EvidenceEdited(t *testing.T) {
	c := newCourt(t)
	line := func(t *testing.T, all []byte, word string) []byte {
		t.Helper()
		for l := range bytes.Lines(all) {
			if bytes.Contains(l, []byte(word)) {
				return l
			}
		}
		t.Fatalf("no entry holds %q", word)
		return nil
	}
	for _, tt := range []struct {
		what string
		edit func(t *testing.T, all []byte) []byte
	}{
		{"a filed order's dates", func(t *testing.T, all []byte) []byte {
			l := line(t, all, `"order":"`+lapsedOrder+`"`)
			return bytes.Replace(all, l, bytes.Replace(l, []byte(`"until":"2`), []byte(`"until":"3`), 1), 1)
		}},
		{"a person's roles", func(t *testing.T, all []byte) []byte {
			return bytes.Replace(all, []byte(`"roles":"operator"`), []byte(`"roles":"approver"`), 1)
		}},
		{"an entry taken out", func(t *testing.T, all []byte) []byte { return bytes.Replace(all, line(t, all, "people.enrol"), nil, 1) }},
		{"an entry written twice", func(t *testing.T, all []byte) []byte {
			l := line(t, all, "order.file")
			return bytes.Replace(all, l, slices.Concat(l, l), 1)
		}},
		{"two entries swapped", func(t *testing.T, all []byte) []byte {
			ls := bytes.SplitAfter(all, []byte("\n"))
			ls[3], ls[4] = ls[4], ls[3]
			return bytes.Join(ls, nil)
		}},
		{"the end cut off", func(t *testing.T, all []byte) []byte { return all[:len(all)*2/3] }},
	} {
		t.Run(tt.what, func(t *testing.T) {
			b := c.branch(t)
			path := filepath.Join(b.state, "evidence", "entries.jsonl")
			all, err := os.ReadFile(path)
			must(t, err)
			edited := tt.edit(t, bytes.Clone(all))
			if bytes.Equal(all, edited) {
				t.Fatal("nothing was edited")
			}
			must(t, os.WriteFile(path, edited, 0o600))
			acts := len(b.acts())
			s, err := app.Open(t.Context(), app.Options{State: b.state, Config: b.cfg})
			if err == nil {
				s.Close()
				t.Fatal("the state folder was opened")
			}
			for _, args := range [][]string{{"seize", "plan", liveOrder, "--as", "olaf"}, {"seize", "approve", b.byOne, "--as", "dora"}, {"seize", "apply", b.ended, "--as", "olaf"}, {"seize", "apply", b.byOne, "--as", "olaf"}, {"sinkhole", "status"}, {"serve"}} {
				b.refused(t, "does not verify", args...)
			}
			b.refused(t, "entries.jsonl", "evidence", "verify")
			if n := len(b.acts()); n != acts {
				t.Errorf("acts at the registry: %+v", b.acts()[acts:])
			}
		})
	}
	// Lines behind the last checkpoint are nobody's word: they are set aside.
	c.attack(t, "an entry written behind the last", onlyLive, func(t *testing.T, c *court) {
		path := filepath.Join(c.state, "evidence", "entries.jsonl")
		all, err := os.ReadFile(path)
		must(t, err)
		l := line(t, all, `"order":"`+liveOrder+`"`)
		must(t, os.WriteFile(path, append(all, bytes.ReplaceAll(l, []byte(liveOrder), []byte("O-EVIL"))...), 0o600))
	})
	// The document of the order in force, changed: the order is out of effect.
	c.attack(t, "the order's document", nil, func(t *testing.T, c *court) {
		doc, err := os.ReadFile(c.liveFile)
		must(t, err)
		h := strings.TrimPrefix(impound.HashBytes(doc), "sha256:")
		path := filepath.Join(c.state, "evidence", "artefacts", h[:2], h[2:])
		must(t, os.Chmod(path, 0o600))
		must(t, os.WriteFile(path, bytes.ReplaceAll(doc, []byte(live.Defanged()), []byte(foreign.Defanged())), 0o600))
		c.refused(t, "", "seize", "plan", liveOrder, "--as", "olaf")
	})
}

// Whoever holds the log's own key can write entries that verify. What people
// must have signed still counts for nothing without their keys.
func TestLaw1EntriesForgedWithTheLogsKey(t *testing.T) {
	c := newCourt(t)
	log := func(t *testing.T, c *court) *evidence.Log {
		l, err := evidence.Open(filepath.Join(c.state, "evidence"), evidence.Options{Origin: "impound/" + c.cfg.Sinkhole.Sensor, KeyPath: filepath.Join(c.state, "keys", "evidence.key")})
		must(t, err)
		t.Cleanup(func() { l.Close() })
		return l
	}
	add := func(t *testing.T, l *evidence.Log, e impound.Entry) {
		_, err := l.Append(t.Context(), e)
		must(t, err)
	}
	keep := func(t *testing.T, l *evidence.Log, kind string, b []byte) string {
		a, err := l.Capture(t.Context(), impound.Artefact{Kind: kind, Case: caseID, Source: "forged", Tool: "test", By: "system", At: time.Now()}, b)
		must(t, err)
		return a.Hash
	}
	// passes says of every name that all gates let it through.
	passes := func(hash string, names ...impound.Name) []byte {
		rows := []map[string]any{}
		for _, n := range names {
			rows = append(rows, map[string]any{"name": n, "verdicts": []impound.GateVerdict{{Gate: "G1-shared-suffix", Outcome: impound.GatePass, Reason: "forged"}, {Gate: "G12-authority", Outcome: impound.GatePass, Reason: "forged"}}})
		}
		b, err := json.Marshal(map[string]any{"order": "O-EVIL", "hash": hash, "names": rows})
		must(t, err)
		return b
	}
	fileEntry := func(t *testing.T, c *court, signers ...string) {
		s := c.open(t)
		path := c.draft(t, s, terms{id: "O-EVIL", names: []impound.Name{unlisted, planted}, from: time.Now().Add(-time.Minute), until: time.Now().Add(time.Hour)})
		c.sign(t, s, path, signers...)
		must(t, s.Close())
		doc, err := os.ReadFile(path)
		must(t, err)
		hash := orderHash(t, path)
		l := log(t, c)
		add(t, l, impound.Entry{ID: "order.file:O-EVIL", Type: impound.EntryDecision, By: "carla", What: casework.WhatOrderFile, Case: caseID, Order: "O-EVIL",
			Detail: map[string]string{"document": keep(t, l, "order", doc), "hash": hash, "gates": keep(t, l, "gates", passes(hash, unlisted, planted)), "signers": "ben dora"}})
		must(t, l.Close())
	}
	c.attack(t, "an order signed by nobody", onlyLive, func(t *testing.T, c *court) { fileEntry(t, c) })
	c.attack(t, "an order signed by one", onlyLive, func(t *testing.T, c *court) { fileEntry(t, c, "ben") })
	// Signed by two it is an order. The gate's word is asked again.
	c.attack(t, "a gate's verdict on a signed order", []impound.Name{live, unlisted}, func(t *testing.T, c *court) { fileEntry(t, c, "ben", "dora") })
	c.attack(t, "an enrolment", onlyLive, func(t *testing.T, c *court) {
		l := log(t, c)
		k := newKey(t)
		pub := string(impound.NewPublicKey(k.Public().(ed25519.PublicKey)))
		now := time.Now().UTC().Truncate(time.Second)
		add(t, l, impound.Entry{Type: impound.EntrySystem, By: "ada", What: casework.WhatEnrol, Detail: map[string]string{
			"id": "mallory", "roles": "approver", "key": pub, "enrolled": now.Format(time.RFC3339), "signer": "ada", "signer_key": pub, "signed_at": now.Format(time.RFC3339), "sig": "AAAA"}})
		e := casework.SignEnrolment(impound.Person{ID: "mallory", Roles: []impound.Role{impound.RoleApprover}, Key: impound.PublicKey(pub), Enrolled: now}, "ada", k)
		add(t, l, impound.Entry{Type: impound.EntrySystem, By: "ada", What: casework.WhatEnrol, Detail: map[string]string{
			"id": e.ID, "name": "", "roles": "approver", "key": pub, "enrolled": now.Format(time.RFC3339), "signer": "ada", "signer_key": pub, "signed_at": now.Format(time.RFC3339), "sig": e.Signature.Sig}})
		// The same with the key that ada really has, which did not sign it.
		adas := c.personKey(t, "ada")
		add(t, l, impound.Entry{Type: impound.EntrySystem, By: "ada", What: casework.WhatEnrol, Detail: map[string]string{
			"id": e.ID, "name": "", "roles": "approver", "key": pub, "enrolled": now.Format(time.RFC3339), "signer": "ada", "signer_key": adas, "signed_at": now.Format(time.RFC3339), "sig": e.Signature.Sig}})
		must(t, l.Close())
		_, out, _ := c.cli(t, "people", "list")
		if strings.Contains(out, "mallory") {
			t.Errorf("mallory is enrolled:\n%s", out)
		}
	})
	c.attack(t, "an override", onlyLive, func(t *testing.T, c *court) {
		s := c.open(t)
		o := impound.Override{Name: planted, Gate: "G1-shared-suffix", Reason: "forged"}
		ben := c.me(t, s, "ben").Sign(impound.SignOverride, o.Hash(), time.Now())
		must(t, s.Close())
		twin := ben
		twin.Person = "dora"
		l := log(t, c)
		for _, sigs := range [][]impound.Signature{nil, {ben}, {ben, ben}, {ben, twin}} {
			o.Signatures = sigs
			b, err := json.Marshal(o)
			must(t, err)
			add(t, l, impound.Entry{Type: impound.EntryDecision, By: "carla", What: casework.WhatOverride, Name: planted, Detail: map[string]string{"gate": o.Gate, "reason": o.Reason, "override": string(b)}})
		}
		must(t, l.Close())
	})
	c.attack(t, "an approval", onlyLive, func(t *testing.T, c *court) {
		l := log(t, c)
		p, _ := c.planOf(t, c.byOne)
		h, err := p.Hash()
		must(t, err)
		add(t, l, impound.Entry{ID: "seize/" + p.ID + "/approve/dora", Type: impound.EntryDecision, By: "dora", What: "seize.approve", Case: caseID, Order: liveOrder, Detail: map[string]string{"plan": p.ID, "hash": h}})
		must(t, l.Close())
	})
}

// The sensor's folder: bundles that are old, forged, or another's.
func TestLaw1PolicyFiles(t *testing.T) {
	c := newCourt(t)
	var hubKey = func(t *testing.T, c *court) ed25519.PrivateKey {
		seed, err := os.ReadFile(filepath.Join(c.state, "keys", "policy.key"))
		must(t, err)
		return ed25519.NewKeyFromSeed(seed)
	}
	put := func(t *testing.T, c *court, bundle []byte, serial string) {
		dir := filepath.Join(c.state, "policy")
		must(t, os.MkdirAll(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "bundle"), bundle, 0o600))
		if serial == "" {
			os.Remove(filepath.Join(dir, "highest-serial"))
			return
		}
		must(t, os.WriteFile(filepath.Join(dir, "highest-serial"), []byte(serial), 0o600))
	}
	// evil makes a bundle as a hub would that held an order for unlisted. The
	// order is real, but was never filed here.
	evil := func(t *testing.T, c *court, key ed25519.PrivateKey, serial uint64, now time.Time) []byte {
		s := c.open(t)
		defer s.Close()
		c.clock.setTo(now)
		path := c.draft(t, s, terms{id: "O-EVIL", names: []impound.Name{unlisted}, from: now.Add(-time.Minute), until: now.Add(5 * time.Hour)})
		c.clock.set(0)
		c.sign(t, s, path, "ben", "dora")
		ring, err := s.Casework.Keyring(t.Context())
		must(t, err)
		m, err := parseOrder(t, path).Authorize(ring, nil)
		must(t, err)
		b, err := policy.Build([]*impound.Mandate{m}, policy.Options{Key: key, Serial: serial, Now: now, Sensor: c.cfg.Sinkhole.Sensor, Valid: time.Hour})
		must(t, err)
		if b.Names != 1 {
			t.Fatalf("%d names in the bundle", b.Names)
		}
		return b.Data
	}
	status := func(t *testing.T, c *court, want ...impound.Name) {
		t.Helper()
		s := c.open(t)
		defer s.Close()
		st, err := s.PolicyStatus(t.Context())
		if err != nil {
			t.Logf("status: %v", err)
		}
		var got []impound.Name
		for _, n := range st.Names {
			got = append(got, n.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the status lists %v, want %v", got, want)
		}
	}
	// Have the sensor take the policy of today.
	s := c.serve(t)
	must(t, s.Close())
	now, err := os.ReadFile(filepath.Join(c.state, "policy", "bundle"))
	must(t, err)

	c.attack(t, "the bundle of the lapsed order put back", onlyLive, func(t *testing.T, c *court) {
		put(t, c, c.oldBundle, "1")
		status(t, c)
	})
	c.attack(t, "the same with the serial forgotten", onlyLive, func(t *testing.T, c *court) {
		put(t, c, c.oldBundle, "")
		status(t, c)
	})
	c.attack(t, "an older serial, the highest kept", onlyLive, func(t *testing.T, c *court) {
		highest, err := os.ReadFile(filepath.Join(c.state, "policy", "highest-serial"))
		must(t, err)
		put(t, c, c.oldBundle, string(highest))
		status(t, c)
	})
	c.attack(t, "a bundle that has ended", onlyLive, func(t *testing.T, c *court) {
		put(t, c, evil(t, c, hubKey(t, c), 50, time.Now().Add(-90*time.Minute)), "")
		status(t, c)
	})
	c.attack(t, "a bundle of the future", onlyLive, func(t *testing.T, c *court) {
		put(t, c, evil(t, c, hubKey(t, c), 50, time.Now().Add(2*time.Hour)), "")
	})
	c.attack(t, "signed by another key", onlyLive, func(t *testing.T, c *court) {
		put(t, c, evil(t, c, newKey(t), 50, time.Now()), "49")
		status(t, c)
	})
	c.attack(t, "names changed in the bundle", onlyLive, func(t *testing.T, c *court) {
		b := bytes.ReplaceAll(now, []byte(live.String()), []byte("foreign-host1.com"))
		if len(b) == len(now) && bytes.Equal(b, now) {
			t.Fatal("nothing was changed")
		}
		put(t, c, b, "")
		status(t, c)
	})
	c.attack(t, "dates changed in the bundle", onlyLive, func(t *testing.T, c *court) {
		put(t, c, bytes.ReplaceAll(c.oldBundle, []byte(`"until":"2`), []byte(`"until":"3`)), "")
		status(t, c)
	})
	c.attack(t, "a serial that can't be outdone", nil, func(t *testing.T, c *court) {
		put(t, c, evil(t, c, newKey(t), 50, time.Now()), "18446744073709551615")
	})
	c.attack(t, "no policy at all", onlyLive, func(t *testing.T, c *court) { must(t, os.RemoveAll(filepath.Join(c.state, "policy"))) })

	// With the hub's key itself, or one put in its place, a bundle passes. The
	// sensor that sits beside the hub still answers by the log alone, from the
	// first packet on.
	for what, key := range map[string]func(t *testing.T, c *court) ed25519.PrivateKey{
		"the hub's key stolen": hubKey,
		"the hub's key exchanged": func(t *testing.T, c *court) ed25519.PrivateKey {
			k := newKey(t)
			must(t, os.WriteFile(filepath.Join(c.state, "keys", "policy.key"), k.Seed(), 0o600))
			return k
		},
	} {
		t.Run(what, func(t *testing.T) {
			c := c.branch(t)
			put(t, c, evil(t, c, key(t, c), 1<<40, time.Now()), "")
			addr := freeUDP(t)
			c.cfg.Sinkhole.Listen = []string{"dns://" + addr, "http://127.0.0.1:0"}
			stop := hammer(addr, unlisted)
			s := c.serve(t)
			if got := answered(t, s); !slices.Equal(got, onlyLive) {
				t.Errorf("answered %v", got)
			}
			asked, yes := stop()
			if yes > 0 || asked == 0 {
				t.Errorf("%s was answered %d times of %d while the sensor began", unlisted, yes, asked)
			}
		})
	}
}

// hammer asks a server for n over and over; stop says how often it answered, and
// how often otherwise than REFUSED.
func hammer(addr string, n impound.Name) (stop func() (asked, yes int)) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	var asked, yes int
	wg.Go(func() {
		// From a network of its own: the sinkhole answers each only so often.
		c := dns.Client{Timeout: 50 * time.Millisecond, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 9, 9, 9)}}}
		var end time.Time
		for {
			select {
			case <-done: // a machine that is busy has had no answer yet
				if end.IsZero() {
					end = time.Now().Add(10 * time.Second)
				}
				if asked > 0 || time.Now().After(end) {
					return
				}
			default:
			}
			r, _, err := c.Exchange(new(dns.Msg).SetQuestion(n.FQDN(), dns.TypeA), addr)
			if err != nil {
				continue // nobody listens there yet
			}
			asked++
			if r.Rcode != dns.RcodeRefused {
				yes++
			}
		}
	})
	return func() (int, int) { close(done); wg.Wait(); return asked, yes }
}

// The keys of people, exchanged by hand.
func TestLaw1KeysSwapped(t *testing.T) {
	c := newCourt(t)
	c.attack(t, "two people's keys swapped", onlyLive, func(t *testing.T, c *court) {
		ben, dora := filepath.Join(c.state, "people", "ben.key"), filepath.Join(c.state, "people", "dora.key")
		must(t, os.Rename(ben, ben+".x"))
		must(t, os.Rename(dora, ben))
		must(t, os.Rename(ben+".x", dora))
		c.refused(t, "not the one that was enrolled", "seize", "approve", c.byOne, "--as", "dora")
	})
	c.attack(t, "one's key put in another's place", onlyLive, func(t *testing.T, c *court) {
		b, err := os.ReadFile(filepath.Join(c.state, "people", "ben.key"))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(c.state, "people", "dora.key"), b, 0o600))
		c.refused(t, "not the one that was enrolled", "seize", "approve", c.byOne, "--as", "dora")
	})
	c.attack(t, "a key that others can read", onlyLive, func(t *testing.T, c *court) {
		must(t, os.Chmod(filepath.Join(c.state, "people", "dora.key"), 0o644))
		c.refused(t, "others can read this key", "seize", "approve", c.byOne, "--as", "dora")
	})
	t.Run("the log's key exchanged", func(t *testing.T) {
		b := c.branch(t)
		fresh, err := evidence.Open(filepath.Join(t.TempDir(), "evidence"), evidence.Options{Origin: "impound/" + b.cfg.Sinkhole.Sensor})
		must(t, err)
		must(t, fresh.Close())
		other := t.TempDir()
		l, err := evidence.Open(filepath.Join(other, "evidence"), evidence.Options{Origin: "impound/" + b.cfg.Sinkhole.Sensor, KeyPath: filepath.Join(other, "evidence.key")})
		must(t, err)
		must(t, l.Close())
		k, err := os.ReadFile(filepath.Join(other, "evidence.key"))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(b.state, "keys", "evidence.key"), k, 0o600))
		if s, err := app.Open(t.Context(), app.Options{State: b.state, Config: b.cfg}); err == nil {
			s.Close()
			t.Error("the log was opened with a key that it was not made with")
		}
	})
}

// No setting adds a name or takes one out of a gate's way.
func TestLaw1Config(t *testing.T) {
	c := newCourt(t)
	for _, key := range []string{"names: [" + foreign.String() + "]", "sinkhole: {names: [" + foreign.String() + "]}", "sinkhole: {zones: [" + foreign.String() + "]}", "sinkhole: {policy: x}", "gates: off", "orders: []", "hub: {names: [" + foreign.String() + "]}", "hub: {orders: []}"} {
		path := filepath.Join(t.TempDir(), "evil.yaml")
		must(t, os.WriteFile(path, []byte(key+"\n"), 0o600))
		c.refused(t, "there is no key", "--config", path, "config", "check")
		c.refused(t, "there is no key", "--config", path, "serve")
	}
	all := func(n impound.Name) []impound.Name { return []impound.Name{n} }
	c.attack(t, "every setting that names names", onlyLive, func(t *testing.T, c *court) {
		c.cfg.Sinkhole.NS = all(foreign)
		c.cfg.Sinkhole.Hostmaster = foreign
		c.cfg.Sinkhole.Contact = foreign.String()
		c.cfg.Registries[0].TLDs = append(c.cfg.Registries[0].TLDs, foreign.String())
		c.cfg.Routes[foreign.String()+":53"] = "127.0.0.1:1"
		c.cfg.Report.Domain = foreign.String()
		c.writeConfig(t)
	})
	c.attack(t, "lists that say nothing, in place of the built-in ones", onlyLive, func(t *testing.T, c *court) {
		dir := filepath.Join(c.state, "lists")
		must(t, os.MkdirAll(dir, 0o700))
		for _, f := range []string{"dynamic-dns.txt", "shared.txt", "sinkhole.txt", "allow.txt", "top.list"} {
			must(t, os.WriteFile(filepath.Join(dir, f), []byte("# nothing\n"), 0o600))
		}
		must(t, os.WriteFile(filepath.Join(dir, "dynamic.json"), []byte(`{"name":"dynamic","type":"hostname","version":1,"list":[]}`), 0o600))
		c.cfg.Lists = "lists"
		c.writeConfig(t)
		s := c.open(t)
		defer s.Close()
		rep, err := s.Casework.CheckOrder(t.Context(), c.liveFile, mustRead(t, c.liveFile))
		must(t, err)
		if !slices.Contains(rep.BlockedNames(), planted) {
			t.Errorf("%s is no longer blocked", planted)
		}
	})
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func parseOrder(t testing.TB, path string) *impound.Order {
	t.Helper()
	o, err := orderdoc.Parse(path, mustRead(t, path))
	must(t, err)
	return o
}

func orderHash(t testing.TB, path string) string { return parseOrder(t, path).Hash() }

func (w *world) personKey(t testing.TB, id string) string {
	t.Helper()
	k, err := casework.ReadKey(filepath.Join(w.state, "people", id+".key"))
	must(t, err)
	return string(impound.NewPublicKey(k.Public().(ed25519.PublicKey)))
}
