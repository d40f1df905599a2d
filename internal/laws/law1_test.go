package laws

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/orderdoc"
	"github.com/impound/impound/internal/seizure"
)

// court is a world with an order in force (for live and, in vain, planted) and
// one that has lapsed, and with plans in every state of approval.
type court struct {
	*world
	liveFile, lapsedFile string
	bare, byOne, ended   string // plans: nobody approved; ben alone; both, of the lapsed order
	oldBundle            []byte // the policy while the lapsed order was in force
}

func newCourt(t testing.TB) *court {
	t.Helper()
	c := &court{world: newWorld(t)}
	// Two hours ago the other order was in force.
	c.clock.set(-2 * time.Hour)
	s := c.open(t)
	now := c.clock.now()
	c.lapsedFile = c.file(t, s, terms{id: lapsedOrder, names: []impound.Name{lapsed}, from: now.Add(-time.Minute), until: now.Add(time.Hour)})
	c.ended = c.plan(t, s, lapsedOrder, "ben", "dora")
	must(t, s.Start(t.Context()))
	if got := answered(t, s); !slices.Equal(got, []impound.Name{lapsed}) {
		t.Fatalf("while the order was in force %v were answered", got)
	}
	must(t, s.Close())
	var err error
	c.oldBundle, err = os.ReadFile(filepath.Join(c.state, "policy", "bundle"))
	must(t, err)
	// Now.
	c.clock.set(0)
	s = c.open(t)
	c.liveFile = c.file(t, s, terms{id: liveOrder, names: []impound.Name{live, planted}, from: time.Now().Add(-time.Minute), until: time.Now().Add(time.Hour)})
	p, err := s.Plan(t.Context(), "olaf", liveOrder)
	must(t, err)
	c.bare = p.ID
	if p, err = s.Plan(t.Context(), "ada", liveOrder); err != nil {
		t.Fatal(err)
	}
	c.byOne = p.ID
	_, err = s.Approve(t.Context(), c.me(t, s, "ben"), c.byOne)
	must(t, err)
	must(t, s.Close())
	return c
}

// branch is the court on a copy of its folder.
func (c *court) branch(t testing.TB) *court {
	d := *c
	d.world = c.copy(t)
	return &d
}

// attack does do to a copy of the folder, and then tries all that could have an
// effect. Nothing may come of it: no act at the registry, no answer but for the
// name of the order in force, and not even that where want says so.
func (c *court) attack(t *testing.T, name string, want []impound.Name, do func(t *testing.T, c *court)) {
	t.Run(name, func(t *testing.T) {
		b := c.branch(t)
		acts, reg := len(b.acts()), b.registryOf(t)
		do(t, b)
		s := b.open(t)
		if err := s.Start(t.Context()); err != nil {
			t.Logf("it does not serve at all: %v", err)
		} else if got := answered(t, s); !slices.Equal(got, want) {
			t.Errorf("the sinkhole answers for %v, want %v", got, want)
		}
		must(t, s.Close())
		b.applyAll(t)
		if n := len(b.acts()); n != acts {
			t.Errorf("acts at the registry: %+v", b.acts()[acts:])
		}
		if d := cmp.Diff(reg, b.registryOf(t)); d != "" {
			t.Errorf("the registry changed (-before +after):\n%s", d)
		}
	})
}

// applyAll applies every plan that the database holds, and fails when one of
// them goes through.
func (c *court) applyAll(t *testing.T) {
	t.Helper()
	for _, id := range c.docs(t, "seize-plan") {
		if code, out, errs := c.cli(t, "seize", "apply", id, "--as", "olaf"); code == 0 {
			t.Errorf("plan %s was applied:\n%s%s", id, out, errs)
		}
	}
}

func (c *court) docs(t testing.TB, kind string) []string {
	t.Helper()
	db := c.database(t)
	defer db.Close()
	rows, err := db.Query("SELECT id FROM docs WHERE kind = ?", kind)
	must(t, err)
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		must(t, rows.Scan(&id))
		out = append(out, id)
	}
	must(t, rows.Err())
	return out
}

// edit changes the body of a document in the database by hand; with another id
// a copy is made.
func (c *court) edit(t testing.TB, kind, id, as string, change func(body map[string]any)) {
	t.Helper()
	db := c.database(t)
	defer db.Close()
	var body []byte
	must(t, db.QueryRow("SELECT body FROM docs WHERE kind = ? AND id = ?", kind, id).Scan(&body))
	var v map[string]any
	must(t, json.Unmarshal(body, &v))
	change(v)
	body, err := json.Marshal(v)
	must(t, err)
	_, err = db.Exec("INSERT INTO docs (kind, id, rev, updated, body) VALUES (?, ?, 1, 0, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body", kind, as, body)
	must(t, err)
	_, err = db.Exec("INSERT OR IGNORE INTO doc_index (kind, id, field, value) SELECT kind, ?, field, value FROM doc_index WHERE kind = ? AND id = ?", as, kind, id)
	must(t, err)
}

// planOf reads a plan out of the database.
func (c *court) planOf(t testing.TB, id string) (p seizure.Plan, sigs []impound.Signature) {
	t.Helper()
	db := c.database(t)
	defer db.Close()
	var body []byte
	must(t, db.QueryRow("SELECT body FROM docs WHERE kind = 'seize-plan' AND id = ?", id).Scan(&body))
	var r struct {
		Plan      seizure.Plan        `json:"plan"`
		Approvals []impound.Signature `json:"approvals"`
	}
	must(t, json.Unmarshal(body, &r))
	return r.Plan, r.Approvals
}

// putPlan writes a plan into the database, with approvals.
func (c *court) putPlan(t testing.TB, p seizure.Plan, sigs []impound.Signature) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"plan": p, "approvals": sigs})
	must(t, err)
	var body map[string]any
	must(t, json.Unmarshal(b, &body))
	c.edit(t, "seize-plan", c.bare, p.ID, func(v map[string]any) {
		clear(v)
		for k, x := range body {
			v[k] = x
		}
	})
}

// forge makes a plan out of the bare one and has people really sign it: those
// who could be made to sign anything, or whose machines were taken.
func (c *court) forge(t testing.TB, change func(*seizure.Plan), people ...string) {
	t.Helper()
	p, _ := c.planOf(t, c.bare)
	change(&p)
	h, err := p.Hash()
	must(t, err)
	s := c.open(t)
	defer s.Close()
	var sigs []impound.Signature
	for _, id := range people {
		sigs = append(sigs, c.me(t, s, id).Sign(impound.SignPlan, h, time.Now()))
	}
	c.putPlan(t, p, sigs)
}

var onlyLive = []impound.Name{live}

func TestLaw1NoOrderNoEffect(t *testing.T) {
	c := newCourt(t)

	// By the command line.
	c.attack(t, "cli: no order", onlyLive, func(t *testing.T, c *court) {
		c.refused(t, "no order", "seize", "plan", "O-NOWHERE", "--as", "olaf")
		c.refused(t, "no plan", "seize", "apply", "plan-000000000000", "--as", "olaf")
		c.refused(t, "no plan", "seize", "approve", "plan-000000000000", "--as", "ben")
	})
	c.attack(t, "cli: plan not approved, approved by one, of a lapsed order", onlyLive, func(t *testing.T, c *court) {
		c.refused(t, "approved by 0 of 2", "seize", "apply", c.bare, "--as", "olaf")
		c.refused(t, "approved by 1 of 2", "seize", "apply", c.byOne, "--as", "olaf")
		c.refused(t, "is not in force", "seize", "apply", c.ended, "--as", "olaf")
		c.refused(t, "has lapsed", "seize", "plan", lapsedOrder, "--as", "olaf")
	})
	c.attack(t, "cli: the wrong people", onlyLive, func(t *testing.T, c *court) {
		c.refused(t, "it takes the role approver", "seize", "approve", c.byOne, "--as", "olaf")
		c.refused(t, "it takes the role approver", "seize", "approve", c.byOne, "--as", "carla")
		c.refused(t, "it takes the role operator", "seize", "apply", c.byOne, "--as", "ben")
		c.refused(t, "not enrolled", "seize", "approve", c.byOne, "--as", "mallory")
		c.refused(t, "not the one that was enrolled", "seize", "approve", c.byOne, "--as", "dora", "--key", filepath.Join(c.state, "people", "ben.key"))
	})
	c.attack(t, "cli: one person under two names", onlyLive, func(t *testing.T, c *court) {
		s := c.open(t)
		ben := c.me(t, s, "ben")
		must(t, s.Close())
		c.refused(t, "one key is one person", "people", "add", "ben2", "--role", "approver", "--public-key", string(ben.Key), "--as", "ada")
		if code, _, errs := c.cli(t, "seize", "approve", c.byOne, "--as", "ben"); code != 0 {
			t.Errorf("approving again is no fault: %s", errs)
		}
		c.refused(t, "approved by 1 of 2", "seize", "apply", c.byOne, "--as", "olaf")
	})
	c.attack(t, "cli: order signed by one, by one twice, or changed after signing", onlyLive, func(t *testing.T, c *court) {
		s := c.open(t)
		defer s.Close()
		now := time.Now()
		evil := terms{id: "O-EVIL", names: []impound.Name{unlisted}, from: now.Add(-time.Minute), until: now.Add(time.Hour)}
		path := c.draft(t, s, evil)
		c.refused(t, "signed by 0", "order", "file", path, "--as", "carla")
		c.sign(t, s, path, "ben")
		c.refused(t, "it takes 2", "order", "file", path, "--as", "carla")
		if code, _, _ := c.cli(t, "order", "sign", path, "--as", "ben"); code == 0 {
			t.Log("signing twice is taken")
		}
		c.refused(t, "it takes 2", "order", "file", path, "--as", "carla")
		c.refused(t, "it takes the role approver", "order", "sign", path, "--as", "olaf")
		c.sign(t, s, path, "dora")
		doc, err := os.ReadFile(path)
		must(t, err)
		// Signed by both, for unlisted; then another name, and a longer time.
		for from, to := range map[string]string{unlisted.Defanged(): foreign.Defanged(), now.Add(time.Hour).UTC().Format(time.RFC3339Nano): now.Add(9 * time.Hour).UTC().Format(time.RFC3339Nano)} {
			if !strings.Contains(string(doc), from) {
				t.Fatalf("the document has no %s:\n%s", from, doc)
			}
			changed := filepath.Join(t.TempDir(), "changed.yaml")
			must(t, os.WriteFile(changed, []byte(strings.ReplaceAll(string(doc), from, to)), 0o600))
			c.refused(t, "changed after it was signed", "order", "file", changed, "--as", "carla")
		}
		// A filed order under its own id, with more names.
		live, err := os.ReadFile(c.liveFile)
		must(t, err)
		o, err := orderdoc.Parse(c.liveFile, live)
		must(t, err)
		more := c.draft(t, s, terms{id: o.ID, names: []impound.Name{foreign}, from: o.From, until: o.Until})
		c.sign(t, s, more, "ben", "dora")
		c.refused(t, "another order is filed as", "order", "file", more, "--as", "carla")
		// By somebody who may not.
		c.refused(t, "", "order", "file", path, "--as", "olaf")
		c.refused(t, "no order", "seize", "plan", "O-EVIL", "--as", "olaf")
	})

	// The database, edited by hand.
	year := time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339)
	for what, do := range map[string]func(t *testing.T, c *court){
		"an order that was never filed": func(t *testing.T, c *court) {
			c.edit(t, "order", liveOrder, "O-EVIL", func(v map[string]any) {
				v["id"], v["until"], v["names"] = "O-EVIL", year, 5
			})
			c.refused(t, "", "seize", "plan", "O-EVIL", "--as", "olaf")
		},
		"the lapsed order made longer": func(t *testing.T, c *court) {
			c.edit(t, "order", lapsedOrder, lapsedOrder, func(v map[string]any) { v["until"] = year })
			c.refused(t, "lapsed", "seize", "plan", lapsedOrder, "--as", "olaf")
		},
		"the row of one order put over another": func(t *testing.T, c *court) {
			c.edit(t, "order", liveOrder, lapsedOrder, func(map[string]any) {})
		},
		"every order of the database gone": func(t *testing.T, c *court) {
			db := c.database(t)
			defer db.Close()
			_, err := db.Exec("DELETE FROM docs WHERE kind = 'order'")
			must(t, err)
		},
		"names put under the order in the case": func(t *testing.T, c *court) {
			for _, n := range []impound.Name{unlisted, spare, foreign, planted} {
				c.edit(t, "domain", caseID+"/"+live.String(), caseID+"/"+n.String(), func(v map[string]any) {
					v["name"], v["order"], v["state"], v["verdicts"] = n.String(), liveOrder, "ordered", nil
				})
			}
		},
		"the case given another id of its order": func(t *testing.T, c *court) {
			c.edit(t, "case", caseID, "C-EVIL", func(v map[string]any) { v["id"] = "C-EVIL" })
		},
		"the lapsed plan good for longer": func(t *testing.T, c *court) {
			c.edit(t, "seize-plan", c.ended, c.ended, func(v map[string]any) { v["plan"].(map[string]any)["expires"] = year })
		},
		"the lapsed plan put under the order in force": func(t *testing.T, c *court) {
			p, _ := c.planOf(t, c.bare)
			c.edit(t, "seize-plan", c.ended, c.ended, func(v map[string]any) {
				x := v["plan"].(map[string]any)
				x["order"], x["order_hash"], x["expires"] = liveOrder, p.OrderHash, year
			})
		},
		"an approved plan copied under another id": func(t *testing.T, c *court) {
			c.edit(t, "seize-plan", c.ended, "plan-copy", func(v map[string]any) { v["plan"].(map[string]any)["id"] = "plan-copy" })
			c.edit(t, "seize-plan", c.ended, "plan-copy-2", func(map[string]any) {})
		},
		"one approval written under two names": func(t *testing.T, c *court) {
			p, sigs := c.planOf(t, c.byOne)
			twin := sigs[0]
			twin.Person = "dora"
			c.putPlan(t, p, append(sigs, twin))
		},
		"one approval written twice": func(t *testing.T, c *court) {
			p, sigs := c.planOf(t, c.byOne)
			c.putPlan(t, p, append(sigs, sigs[0]))
		},
		"approvals of another plan": func(t *testing.T, c *court) {
			p, _ := c.planOf(t, c.bare)
			_, sigs := c.planOf(t, c.ended)
			c.putPlan(t, p, sigs)
		},
		"approvals by keys that nobody enrolled": func(t *testing.T, c *court) {
			p, _ := c.planOf(t, c.bare)
			h, err := p.Hash()
			must(t, err)
			var sigs []impound.Signature
			for _, id := range []string{"ben", "dora"} {
				sigs = append(sigs, impound.Sign(newKey(t), impound.SignPlan, h, id, time.Now()))
			}
			c.putPlan(t, p, sigs)
		},
		// From here on both approvers really sign: an approval is no order.
		"two approvers sign a name that is in no order": func(t *testing.T, c *court) {
			c.forge(t, func(p *seizure.Plan) {
				evil := p.Names[0]
				evil.Name = unlisted
				evil.Steps = slices.Clone(evil.Steps)
				for i := range evil.Steps {
					evil.Steps[i].Change.Name = unlisted
				}
				p.ID, p.Names = "plan-evil", append(slices.Clone(p.Names), evil)
			}, "ben", "dora")
		},
		"two approvers sign the name that a gate blocks": func(t *testing.T, c *court) {
			c.forge(t, func(p *seizure.Plan) {
				names := slices.Clone(p.Names)
				i := slices.IndexFunc(names, func(n seizure.NamePlan) bool { return n.Name == planted })
				j := slices.IndexFunc(names, func(n seizure.NamePlan) bool { return n.Name == live })
				names[i].Blocked, names[i].Verdicts = "", nil
				names[i].Steps = slices.Clone(names[j].Steps)
				for k := range names[i].Steps {
					names[i].Steps[k].Change.Name = planted
				}
				p.ID, p.Names = "plan-evil", names
			}, "ben", "dora")
		},
		"two approvers sign other name servers": func(t *testing.T, c *court) {
			c.forge(t, func(p *seizure.Plan) {
				p.ID = "plan-evil"
				for i := range p.Names {
					for j := range p.Names[i].Steps {
						p.Names[i].Steps[j].Change.AddNS = []impound.Name{impound.MustName("ns1.evil.example"), impound.MustName("ns2.evil.example")}
					}
				}
			}, "ben", "dora")
		},
		"two approvers sign for an order that is not filed": func(t *testing.T, c *court) {
			c.forge(t, func(p *seizure.Plan) { p.ID, p.Order = "plan-evil", "O-EVIL" }, "ben", "dora")
		},
		"two approvers sign for the lapsed order": func(t *testing.T, c *court) {
			old, _ := c.planOf(t, c.ended)
			c.forge(t, func(p *seizure.Plan) {
				*p = old
				p.ID, p.Expires = "plan-evil", time.Now().Add(time.Hour)
			}, "ben", "dora")
		},
		"two approvers sign for another version of the order": func(t *testing.T, c *court) {
			c.forge(t, func(p *seizure.Plan) { p.ID, p.OrderHash = "plan-evil", impound.HashBytes([]byte("evil")) }, "ben", "dora")
		},
		"two approvers sign a plan that expired": func(t *testing.T, c *court) {
			c.forge(t, func(p *seizure.Plan) { p.ID, p.Expires = "plan-evil", time.Now().Add(-time.Second) }, "ben", "dora")
		},
	} {
		c.attack(t, "database: "+what, onlyLive, do)
	}

	// And that all this tests something: with two approvals it goes through.
	t.Run("with an order, effect", func(t *testing.T) {
		if code, _, errs := c.cli(t, "seize", "approve", c.byOne, "--as", "dora"); code != 0 {
			t.Fatal(errs)
		}
		code, out, errs := c.cli(t, "seize", "apply", c.byOne, "--as", "olaf")
		if code != 0 {
			t.Fatalf("%s%s", out, errs)
		}
		var updated []string
		for _, op := range c.acts() {
			if op.Command == "domain:update" {
				updated = append(updated, op.Name)
			}
		}
		if !slices.Equal(updated, []string{live.String()}) {
			t.Errorf("updated: %v", updated)
		}
	})
}

// An order that ends: DNS and HTTP refuse at once, on connections that are open
// already too, and a plan that could be applied can't any more.
func TestLaw1LapseByClock(t *testing.T) {
	w := newWorld(t)
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	s := w.serve(t)
	w.file(t, s, terms{id: liveOrder, names: []impound.Name{live}, from: time.Now().Add(-time.Minute), until: until})
	plan := w.plan(t, s, liveOrder, "ben", "dora")
	eventually(t, "the order to take effect", func() bool { return ask(t, s, live) == dns.RcodeSuccess })
	open := browser(s.Addrs()["http"][0])
	if got := visit(t, open, live); got != http.StatusOK {
		t.Fatalf("HTTP says %d while the order is in force", got)
	}
	w.clock.setTo(until.Add(-time.Minute))
	if d, h := ask(t, s, live), visit(t, open, live); d != dns.RcodeSuccess || h != http.StatusOK {
		t.Errorf("a minute before the end: DNS %d, HTTP %d", d, h)
	}
	w.clock.setTo(until)
	h, reused := visitOn(t, open, live)
	if d, n := ask(t, s, live), answered(t, s); d != dns.RcodeRefused || h != http.StatusMisdirectedRequest || !reused || len(n) > 0 {
		t.Errorf("at the end: DNS %d, HTTP on the open connection %d, answered %v", d, h, n)
	}
	if _, err := s.Apply(t.Context(), w.me(t, s, "olaf"), plan); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("applied after the end: %v", err)
	}
	if _, err := s.Plan(t.Context(), "olaf", liveOrder); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("planned after the end: %v", err)
	}
	if n := w.acts(); len(n) > 0 {
		t.Errorf("acts at the registry: %+v", n)
	}
	must(t, s.Close())
	if s = w.serve(t); len(answered(t, s)) > 0 {
		t.Error("answered again after a restart")
	}
}
