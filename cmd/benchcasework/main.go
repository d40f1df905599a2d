// Command benchcasework measures what a person waits for on a large state: one
// case with many names, an order over all of them, and an evidence log with many
// entries. It times every page of a server and every command that reads, the whole
// process with its start, and prints the slowest first.
//
//	benchcasework                       make a state in a temporary folder, and measure
//	benchcasework -state DIR -fill      make it there, and stop
//	benchcasework -state DIR            measure what was made
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/benchout"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/orderdoc"
	"github.com/impound/impound/internal/web"
)

func main() {
	state := flag.String("state", "", "the state folder (default a temporary one)")
	fill := flag.Bool("fill", false, "make the state and stop")
	entries := flag.Int("entries", 1_000_000, "entries of the evidence log")
	domains := flag.Int("domains", 10_000, "names of the case")
	bin := flag.String("impound", "bin/impound", "the program to measure")
	queue := flag.Int("candidates", 100_000, "names in watch's queue")
	rounds := flag.Int("rounds", 3, "how often each is measured; the median counts")
	last := flag.Bool("last", false, "measure those commands too after which the state is another: have a copy")
	only := flag.String("only", "", "measure what this regular expression finds alone")
	prof := flag.String("cpuprofile", "", "write a CPU profile of making the state")
	flag.Parse()
	if *prof != "" {
		f, err := os.Create(*prof)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "benchcasework:", err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	re, err := regexp.Compile(*only)
	if err == nil {
		err = run(context.Background(), *state, *fill, *entries, *domains, *queue, *bin, *rounds, *last, re)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchcasework:", err)
		os.Exit(1)
	}
}

const caseID, orderID = "BIG-2026", "O-BIG-1"

// bar is what a page or a command may take.
const bar = 200 * time.Millisecond

func run(ctx context.Context, state string, fill bool, entries, domains, queue int, bin string, rounds int, last bool, only *regexp.Regexp) error {
	if state == "" {
		dir, err := os.MkdirTemp("", "benchcasework-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		state, last = dir, true
	}
	if _, err := os.Stat(filepath.Join(state, "impound.db")); err != nil {
		if err := makeState(ctx, state, bin, entries, domains); err != nil {
			return err
		}
	}
	if err := fillQueue(ctx, state, queue); err != nil {
		return err
	}
	if fill {
		return nil
	}
	m := measuring{state: state, bin: bin, rounds: rounds, last: last, count: map[string]int{"names": domains, "entries": entries, "candidates": queue}, only: only}
	return m.run(ctx)
}

// fillQueue puts candidates into watch's queue until there are n.
func fillQueue(ctx context.Context, state string, n int) error {
	mark := filepath.Join(state, "candidates.txt")
	if b, err := os.ReadFile(mark); err == nil && string(b) == fmt.Sprint(n) {
		return nil
	}
	s, err := app.Open(ctx, app.Options{State: state, Config: app.Config{}, Version: "bench"})
	if err != nil {
		return err
	}
	defer s.Close()
	now := time.Now().UTC().Truncate(time.Second)
	cands := make([]impound.Candidate, n)
	for i := range cands {
		cands[i] = impound.Candidate{Name: candidateOf(i), Source: "list", Seen: now, Score: float64(i%100) / 100, Brand: "brand", Reasons: []impound.Reason{
			{Code: "brand-exact", Text: "contains a brand, as a word of its own", Weight: 0.5}, {Code: "word", Text: "contains the word login", Weight: 0.2}, {Code: "new", Text: "first seen today", Weight: 0.01}}, Status: "open"}
	}
	if _, err := s.Casework.SaveCandidates(impound.AsSystem(ctx), cands); err != nil {
		return err
	}
	return os.WriteFile(mark, fmt.Append(nil, n), 0o600)
}

func candidateOf(i int) impound.Name {
	return impound.MustName(fmt.Sprintf("candidate-%05d.example", i))
}

func nameOf(i int) impound.Name {
	return impound.MustName(fmt.Sprintf("account-%05d-verify.example", i))
}

func makeState(ctx context.Context, state, bin string, entries, domains int) error {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	cfg := app.Config{Web: "127.0.0.1:0"}
	if err := os.WriteFile(filepath.Join(state, app.ConfigFile), cfg.YAML(), 0o600); err != nil {
		return err
	}
	s, err := app.Open(ctx, app.Options{State: state, Config: cfg, Version: "bench"})
	if err != nil {
		return err
	}
	defer s.Close()
	keys := map[string]ed25519.PrivateKey{}
	now := time.Now().UTC().Truncate(time.Second)
	for _, p := range []struct {
		id    string
		roles []impound.Role
	}{
		{"ada", []impound.Role{impound.RoleAdmin, impound.RoleAnalyst}}, {"ben", []impound.Role{impound.RoleApprover}}, {"cid", []impound.Role{impound.RoleApprover}},
		{"carla", []impound.Role{impound.RoleCounsel}}, {"olga", []impound.Role{impound.RoleOperator}},
	} {
		pub, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		keys[p.id] = key
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.KeyPath(p.id), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			return err
		}
		person := impound.Person{ID: p.id, Name: p.id, Roles: p.roles, Key: impound.NewPublicKey(pub), Enrolled: now}
		if err := s.Casework.Enrol(ctx, casework.SignEnrolment(person, "ada", keys["ada"])); err != nil {
			return err
		}
	}
	if _, err := s.Casework.SaveActor(ctx, "ada", impound.Actor{ID: "APT35", Names: []string{"APT35", "Charming Kitten"}}); err != nil {
		return err
	}
	if err := s.Casework.OpenCase(ctx, "ada", impound.Case{ID: caseID, Title: "A large case", Actor: "APT35", TLP: impound.TLPAmber}); err != nil {
		return err
	}
	var names bytes.Buffer
	for i := range domains {
		fmt.Fprintf(&names, "%s, %s\n", nameOf(i), now.AddDate(0, 0, -30).Format(time.DateOnly))
	}
	list := filepath.Join(state, "names.txt")
	if err := os.WriteFile(list, names.Bytes(), 0o600); err != nil {
		return err
	}
	var acts []act
	timed := func(what string, args ...string) error {
		took, err := command(ctx, bin, state, args...)
		acts = append(acts, act{what, took.Seconds(), domains, "names"})
		return err
	}
	if err := timed("impound case add: 10,000 names into a case", "case", "add", caseID, list, "--as", "ada"); err != nil {
		return err
	}
	for i := range 100 {
		a, err := s.Evidence.Capture(ctx, impound.Artefact{Kind: "dns", Source: "192.0.2.53", Tool: "bench", By: "ada", Case: caseID, Name: nameOf(i)}, fmt.Appendf(nil, "answer %d", i))
		if err != nil {
			return err
		}
		if err := s.Casework.AttachEvidence(ctx, "ada", caseID, nameOf(i), a.Hash); err != nil {
			return err
		}
	}
	o := impound.Order{
		ID: orderID, Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Practice Court", Docket: "26-mj-1", CallBack: "+1 555 0100", Judge: "J. Doe", Jurisdiction: "practice"},
		Issued:    now.Add(-time.Hour), From: now.Add(-time.Hour), Until: now.AddDate(1, 0, 0), AtEnd: "restore", TLP: impound.TLPAmber,
		Parties:   impound.Parties{Requesting: "Practice Crimes Unit", Technical: "desk@unit.example", Counsel: "carla", Defendants: []string{"John Doe 1"}},
		Recipient: impound.Recipient{Name: "Practice Registry", Role: "registry", Contact: "orders@registry.example"},
		Acts:      impound.Acts{Lock: []string{"serverTransferProhibited"}, RemoveDS: true, Sinkhole: true, Nameservers: []impound.Name{impound.MustName("ns1.sinkhole.example"), impound.MustName("ns2.sinkhole.test")}},
		Sinkhole:  impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 30, Notice: "seized"},
	}
	ap := impound.Appendix{ID: "A", Count: domains}
	for i := range domains {
		ap.Names = append(ap.Names, impound.OrderName{Name: nameOf(i), Exhibit: fmt.Sprint(i + 1)})
	}
	o.Appendices = []impound.Appendix{ap}
	doc, err := s.Casework.DraftOrder(ctx, caseID, o)
	if err != nil {
		return err
	}
	for _, p := range []string{"ben", "cid"} {
		parsed, err := orderdoc.Parse("order.yaml", doc)
		if err != nil {
			return err
		}
		if doc, err = orderdoc.Sign("order.yaml", doc, impound.Sign(keys[p], impound.SignOrder, parsed.Hash(), p, now)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(state, "order.yaml"), doc, 0o600); err != nil {
		return err
	}
	if err := timed("impound order file: 10,000 names checked by every gate and filed", "order", "file", filepath.Join(state, "order.yaml"), "--as", "ada"); err != nil {
		return err
	}
	if p, err := s.Plan(ctx, "olga", orderID); err != nil {
		fmt.Println("no plan can be made here:", err)
	} else if err := os.WriteFile(filepath.Join(state, "plan.txt"), []byte(p.ID), 0o600); err != nil {
		return err
	}
	b, err := json.Marshal(acts)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(state, "acts.json"), b, 0o600); err != nil {
		return err
	}
	start := time.Now()
	for i := int(s.Evidence.Size()); i < entries; {
		var es []impound.Entry
		for len(es) < 20_000 && i < entries {
			es = append(es, impound.Entry{Type: impound.EntryDecision, By: "ada", What: "case.note", Case: caseID, Name: nameOf(i % domains), Detail: map[string]string{"text": "a line of some length, as they are"}})
			i++
		}
		if _, err := s.Evidence.AppendAll(ctx, es); err != nil {
			return err
		}
	}
	fmt.Printf("%d entries in %.1f s\n", s.Evidence.Size(), time.Since(start).Seconds())
	return nil
}

// result is what was measured of a page or a command.
type result struct {
	what         string
	best, median time.Duration
	octets       int
	note         string // why it counts for nothing
}

// act is one act on many names, or entries, at once.
type act struct {
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"`
	N       int     `json:"n"`
	Of      string  `json:"of"`
}

// command runs the program and says how long that took, start and end included.
func command(ctx context.Context, bin, state string, args ...string) (time.Duration, error) {
	took, _, note := process(ctx, bin, state, args)
	if note != "" {
		return took, fmt.Errorf("impound %s: %s", strings.Join(args, " "), note)
	}
	return took, nil
}

func process(ctx context.Context, bin, state string, args []string) (took time.Duration, octets int, note string) {
	cmd := exec.CommandContext(ctx, bin, append([]string{"--state", state}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	took = time.Since(start)
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		note = err.Error() + ": " + lines[len(lines)-1]
	}
	return took, stdout.Len(), note
}

// reads are the commands that read, but for those that take all names at once.
// NAME, PLAN and the like stand for one of each.
var reads = []string{
	"version", "config show", "config check", "config reference", "people list", "account list", "token list", "actor list", "actor list APT35", "actor show APT35", "lists show",
	"registry list", "registry list verisign", "registry show NAME",
	"case list", "case list --json", "case show " + caseID, "case show " + caseID + " --json", "case decisions NAME", "case task list " + caseID, "case party list " + caseID,
	"watch list", "watch list --status open", "watch list --status dismissed", "watch list --status=", "watch list --json", "watch status", "watch status --events 20",
	"order list", "order list --json", "order show " + orderID, "order show " + orderID + " --json", "order deadlines", "order deadlines " + orderID, "order deadlines --json",
	"evidence list", "evidence list --limit 50 --offset 500000", "evidence list --case " + caseID, "evidence list --order " + orderID, "evidence list --what order.", "evidence list --name NAME",
	"evidence list --json", "evidence list --json --case " + caseID, "evidence list --what case. --json", "evidence checkpoint", "evidence show ARTEFACT",
	"seize list", "seize list " + orderID, "seize list --json", "seize show PLAN", "seize show PLAN --json", "seize status " + orderID, "seize letters", "seize letters " + orderID,
	"contacts list", "contacts list --case " + caseID, "contacts list --name NAME", "contacts count", "contacts gaps", "contacts victims",
	"watch lessons", "watch graph NAME", "order supplement " + orderID + " --clause 1 --id O-NEXT", "sensor key",
	"notify list", "notify list " + caseID, "sinkhole status", "sinkhole events", "sensor list", "contest list", "twist NAME --format list",
}

// writes are commands that change one thing. N stands for a number that is another
// each time, FILE for a file of its own.
var writes = []string{
	"case add " + caseID + " FILE --as ada", "case edit " + caseID + " --summary N --as ada", "case mark " + caseID + " NAME --tlp amber --originator N --as ada",
	"case seen " + caseID + " 2026-01-02 NAME --as ada", "case notice NAME --why N --as carla", "case asked NAME --why N --as ada", "case consent NAME --why N --as carla", "case attribute NAME --actor APT35 --why N --as ada",
	"case contest NAME --why N --as ada", "case contest NAME --end --why N --as carla", "case task add " + caseID + " N --as ada", "case party add " + caseID + " N --kind victim --as ada",
	"watch dismiss CANDIDATE --why N --as ada", "watch promote CANDIDATE --case " + caseID + " --as ada", "actor add A-N --as ada",
	"evidence add FILE --case " + caseID + " --name NAME --as ada", "people add p-N --role analyst --as ada", "seize approve PLAN --as ben",
	"case open C-N --title N --as ada", "case task done " + caseID + " T1 --as ada", "watch snooze CANDIDATE --until 14d --why N --as ada", "watch reopen CANDIDATE --why N --as ada",
	"evidence redact ARTEFACT FILE --why N --as ada", "order override NAME --gate G2-provider-first --approver ben --approver cid --reason N --as ada", "people key FILE.key",
}

// lasts change what is measured after them: the house asks who one is from then on,
// and hides the case from those who are no party. They come when all else is done,
// and only where nobody measures the state again. Several read what is sealed, as
// somebody who may see it and as somebody who may not.
var lasts = []string{
	"token add --person ada --scope cases --as ada", "case list --as ada",
	"case seal " + caseID + " --party ada --why N --as ada",
	"case list --as ben", "case list --json --as ben", "order list --as ben", "order deadlines --as ben", "seize list --as ben", "evidence list --as ben", "evidence list --json --as ben", "evidence list --what case. --json --as ben", "evidence list --limit 50 --offset 500000 --as ben", "watch list --as ben", "contacts list --as ben",
	"case list --as ada", "case show " + caseID + " --as ada", "order list --as ada", "seize show PLAN --as ada", "evidence list --case " + caseID + " --as ada",
	"case unseal " + caseID + " --why N --as ada", "account disable ada --as ada", "order withdraw " + orderID + " --why N --as carla",
}

// leftOut are the commands that are not measured, each with the reason. A test
// holds these lists against the program's own help.
var leftOut = map[string]string{
	"account add": "stretches a password, which is meant to take a fifth of a second", "account password": "as account add",
	"actor import": "reads a file of MISP or ATT&CK: as long as the file", "actor drop": "one entry, as actor add; its argument is what that named", "actor rank": "a filter for pipes: as long as its input; tools of its own measure it", "dga": "as actor rank", "match": "as actor rank", "watch screen": "as actor rank", "watch seen": "one document that watch enrich leaves",
	"case intake": "among the acts on all names", "order check": "as case intake", "order gates": "as case intake", "order appendix": "as case intake", "order diff": "as case intake", "order affidavit": "as case intake", "order draft": "as case intake", "order file": "as case intake", "order sign": "writes a document of 10,000 names anew, without the state", "share export": "as case intake",
	"evidence verify": "reads every entry: among the acts on all", "evidence export": "writes every entry and artefact of a case into a file",
	"config init": "writes a first file, without a state", "demo": "a tour of minutes", "serve": "measured until it listens",
	"evidence capture": "asks the network", "evidence seal": "asks witnesses and timestamp authorities", "lists update": "fetches lists", "registry update": "fetches a list", "watch run": "asks sources", "watch enrich": "asks registries", "watch release": "goes on with a source",
	"seize plan": "asks registries about each name", "seize apply": "as seize plan", "seize verify": "as seize plan", "seize drift": "as seize plan", "seize revert": "as seize plan", "seize release": "as seize plan", "seize poll": "asks registries", "seize watch": "asks registries", "seize inbox": "asks a mailbox", "seize follow": "sends letters again",
	"seize letter": "one document; the state has no letter", "seize answer": "as seize letter", "seize settle": "as seize letter",
	"notify prepare": "writes a report per network; the state has no contacts", "notify show": "one document; the state has no report", "notify sent": "as notify show", "notify send": "gives it to a mail relay",
	"sensor enrol": "makes a folder of keys, without reading the state", "sensor policy": "the state has no sensor", "sensor revoke": "as sensor policy", "sinkhole import": "reads a sensor's spool: as long as the spool",
	"contest dismiss": "one document; the state has no claim", "token revoke": "one entry, as token add; its argument is what that printed",
}

// bulk are the acts on all names, or all entries, at once.
var bulk = []struct {
	what, args, of string
}{
	{"impound order check: every gate on 10,000 names", "order check ORDER", "names"},
	{"impound order gates: every gate again, against when it was filed", "order gates " + orderID, "names"},
	{"impound order appendix: CSV of 10,000 names", "order appendix ORDER", "names"},
	{"impound order diff: two documents of 10,000 names", "order diff ORDER " + orderID, "names"},
	{"impound order affidavit: a declaration over 10,000 names", "order affidavit " + orderID, "names"},
	{"impound order draft: a document over what is left of 10,000 names", "order draft " + caseID, "names"},
	{"impound case show --limit 0 --json: a case with everything", "case show " + caseID + " --limit 0 --json", "names"},
	{"impound case intake: a report that names 10,000", "case intake NAMES", "names"},
	{"impound share export: what partners may have of 10,000 names", "share export", "names"},
	{"impound watch list --limit 0 --json: the whole queue", "watch list --limit 0 --json", "candidates"},
	{"impound evidence verify: every entry and artefact", "evidence verify", "entries"},
	{"impound evidence list --limit 0 --json: the whole log", "evidence list --limit 0 --json", "entries"},
}

type export struct{ what, path, of string }

// exports are the pages that give everything as a file.
var exports = []export{
	{"GET names of a case as CSV", "/cases/" + caseID + "/names?format=csv", "names"},
	{"GET names of a case as JSON", "/cases/" + caseID + "/names?format=json", "names"},
	{"GET names of an order as CSV", "/orders/" + orderID + "?format=csv&table=names", "names"},
	{"GET candidates as CSV", "/candidates?format=csv", "candidates"},
	{"GET 10,000 lines of the log as CSV", "/log?format=csv", "entries"},
	{"GET a case with everything from the API", "/api/v1/cases/" + caseID, "names"},
	{"GET orders with all names from the API", "/api/v1/orders", "names"},
	{"GET candidates from the API", "/api/v1/candidates", "candidates"},
}

// measuring is one run over a state.
type measuring struct {
	state, bin, plan string
	rounds           int
	last             bool
	count            map[string]int
	only             *regexp.Regexp
	out              []result
	acts             []act
}

func (m *measuring) run(ctx context.Context) error {
	if b, err := os.ReadFile(filepath.Join(m.state, "plan.txt")); err == nil {
		m.plan = string(b)
	}
	if b, err := os.ReadFile(filepath.Join(m.state, "acts.json")); err == nil {
		if err := json.Unmarshal(b, &m.acts); err != nil {
			return err
		}
	}
	hash := impound.HashBytes(fmt.Appendf(nil, "answer %d", 7))
	always := strings.NewReplacer("NAMES", filepath.Join(m.state, "names.txt"), "NAME", nameOf(77).String(), "PLAN", m.plan, "ARTEFACT", hash, "ORDER", filepath.Join(m.state, "order.yaml"))
	for _, c := range reads {
		m.command(ctx, c, func() []string { return strings.Fields(always.Replace(c)) })
	}
	if err := m.pages(ctx); err != nil {
		return err
	}
	for _, b := range bulk {
		if !m.only.MatchString(b.what) {
			continue
		}
		took, _, note := process(ctx, m.bin, m.state, strings.Fields(always.Replace(b.args)))
		if note != "" {
			b.what += " (" + note + ")"
		}
		m.acts = append(m.acts, act{b.what, took.Seconds(), m.count[b.of], b.of})
	}
	file := filepath.Join(m.state, "one.txt")
	defer os.Remove(file)
	n := int(time.Now().Unix()) // names that no run before took
	change := func(c string) error {
		var err error
		m.command(ctx, c, func() []string {
			n++
			err = cmp.Or(err, os.WriteFile(file, fmt.Appendf(nil, "added-%d.example\n", n), 0o600))
			_ = os.Remove(file + ".key")
			once := strings.NewReplacer("FILE", file, "PLAN", m.plan, "ARTEFACT", hash, "NAME", nameOf(77).String(), "CANDIDATE", candidateOf(n%m.count["candidates"]).String(), "N", fmt.Sprint(n))
			return strings.Fields(once.Replace(c))
		})
		return err
	}
	for _, c := range writes {
		if err := change(c); err != nil {
			return err
		}
	}
	if m.last {
		if _, err := command(ctx, m.bin, m.state, "account", "add", "ada", "--as", "ada"); err != nil {
			return err
		}
		for _, c := range lasts {
			if err := change(c); err != nil {
				return err
			}
		}
	}
	report(m.out, m.acts)
	return nil
}

// command measures a command; args are asked for anew each time.
func (m *measuring) command(ctx context.Context, c string, args func() []string) {
	if strings.Contains(c, "PLAN") && m.plan == "" || !m.only.MatchString("impound "+c) {
		return
	}
	r := result{what: "impound " + c}
	var took []time.Duration
	for range m.rounds {
		d, octets, note := process(ctx, m.bin, m.state, args())
		took, r.octets, r.note = append(took, d), octets, note
		if note != "" {
			break
		}
	}
	r.best, r.median = slices.Min(took), median(took)
	m.out = append(m.out, r)
}

// report prints the slowest first; the bar is for the median.
func report(out []result, acts []act) {
	slices.SortFunc(out, func(a, b result) int { return cmp.Compare(b.median, a.median) })
	slow, counted := 0, 0
	worst := time.Duration(0)
	fmt.Printf("  %10s %10s %10s\n", "median", "best", "octets")
	for _, r := range out {
		mark := " "
		if r.note == "" {
			counted++
			worst = max(worst, r.median)
			if r.median > bar {
				slow++
				mark = "!"
			}
		} else {
			mark = "-"
		}
		fmt.Printf("%s %7.1f ms %7.1f ms %10d  %s  %s\n", mark, ms(r.median), ms(r.best), r.octets, r.what, r.note)
	}
	fmt.Printf("%d of %d pages and commands above %s\n\nacts on all names or entries at once, which the bar is not for:\n", slow, counted, bar)
	for _, a := range acts {
		fmt.Printf("  %8.2f s %9.1f us each of %d %s  %s\n", a.Seconds, a.Seconds/float64(a.N)*1e6, a.N, a.Of, a.What)
		if strings.Contains(a.What, "evidence verify") {
			rate := float64(a.N) / a.Seconds
			fmt.Printf("             %.0f entries/s, bar 100000\n", rate)
			benchout.Report("casework.verify", rate, "entries/s", 100_000, rate >= 100_000)
		}
		if strings.Contains(a.What, "order file") {
			benchout.Report("casework.order_file", a.Seconds, "s", 2, a.Seconds <= 2)
		}
	}
	benchout.Report("casework.slowest", ms(worst), "ms", ms(bar), slow == 0)
	benchout.Report("casework.above_bar", float64(slow), "pages and commands", 0, slow == 0)
	benchout.Report("casework.measured", float64(counted), "pages and commands", 0, true)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// addresses gives every page of the server and every address of its API, with
// deeper parts and filters of those that have them.
func addresses(plan string) ([]string, error) {
	n := nameOf(77).String()
	var out []string
	for _, pattern := range web.Routes() {
		p := strings.NewReplacer("{$}", "", "/cases/{id}", "/cases/"+caseID, "/orders/{id}", "/orders/"+orderID, "{name}", n, "/letters/{id}", "/letters/L-none").Replace(pattern) // a large case has no letter: that there is none is an answer, too
		if p == "/plans/{id}" {
			if plan == "" {
				continue
			}
			p = "/plans/" + url.PathEscape(plan)
		}
		if strings.Contains(p, "{") {
			return nil, fmt.Errorf("nobody said what stands for the variable in %s", pattern)
		}
		if p == "/api/v1/cases/"+caseID || p == "/api/v1/orders" || p == "/api/v1/candidates" {
			continue // they give everything: see exports
		}
		out = append(out, p)
	}
	return append(out, "/intake", "/login", "/cases/"+caseID+"/edit", "/cases/"+caseID+"/names?offset=5000", "/orders/"+orderID+"?offset=9900", "/candidates?offset=5000", "/candidates?status=open",
		"/log?offset=500000", "/log?case="+caseID, "/log?case="+caseID+"&offset=500000", "/log?order="+orderID, "/log?name="+n, "/log?type=decision", "/log?type=artefact&case="+caseID,
		"/api/v1/log?case="+caseID, "/api/v1/contacts?case="+caseID, "/healthz", "/readyz"), nil
}

// readAhead is how long a server is left alone after somebody asked for one page as
// soon as it listened: about what a person needs for the second.
const readAhead = 5 * time.Second

func askedFirst(paths []string) string {
	if c := "/cases/" + caseID; len(paths) == 0 || slices.Contains(paths, c) {
		return c // the one that costs most
	}
	return paths[0]
}

// pages starts a server and asks for each page. Every page is asked for the first
// time by somebody, which is measured too.
func (m *measuring) pages(ctx context.Context) error {
	paths, err := addresses(m.plan)
	if err != nil {
		return err
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return !m.only.MatchString("GET " + p) })
	files := slices.DeleteFunc(slices.Clone(exports), func(e export) bool { return !m.only.MatchString(e.what) })
	if len(paths)+len(files) == 0 {
		return nil
	}
	start := time.Now()
	cmd := exec.CommandContext(ctx, m.bin, "--state", m.state, "serve")
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return err
	}
	w.Close()
	defer func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() }()
	found := make(chan string, 1)
	go func() {
		for sc := bufio.NewScanner(r); sc.Scan(); {
			if _, rest, ok := strings.Cut(sc.Text(), "http://"); ok {
				at, _, _ := strings.Cut(rest, " ")
				select {
				case found <- "http://" + strings.TrimRight(at, "/"):
				default:
				}
			}
		}
	}()
	var base string
	select {
	case base = <-found:
	case <-time.After(60 * time.Second):
		return fmt.Errorf("the server didn't say where it listens")
	}
	listens := time.Since(start)
	m.out = append(m.out, result{what: "impound serve, until it listens", best: listens, median: listens})
	get := func(p string) (time.Duration, int, string, error) {
		start := time.Now()
		resp, err := http.Get(base + p)
		if err != nil {
			return 0, 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		note := ""
		if resp.StatusCode != http.StatusOK {
			note = resp.Status
		}
		return time.Since(start), len(b), note, err
	}
	// Somebody asks at once, while the server reads ahead what pages ask for; the
	// others come when it has.
	d, octets, note, err := get(askedFirst(paths))
	if err != nil {
		return err
	}
	m.out = append(m.out, result{what: "GET " + askedFirst(paths) + " (as soon as it listens)", best: d, median: d, octets: octets, note: note})
	time.Sleep(readAhead)
	for _, p := range paths {
		x := result{what: "GET " + p}
		var took []time.Duration
		for k := range m.rounds + 1 {
			d, octets, note, err := get(p)
			if err != nil {
				return err
			}
			x.octets, x.note = octets, note
			if k > 0 {
				took = append(took, d)
			} else if d > bar/2 {
				m.out = append(m.out, result{what: x.what + " (the first time)", best: d, median: d, octets: octets, note: note})
			}
		}
		x.best, x.median = slices.Min(took), median(took)
		m.out = append(m.out, x)
	}
	for _, e := range files {
		d, octets, note, err := get(e.path)
		if err != nil {
			return err
		}
		n := m.count[e.of]
		if e.of == "entries" {
			n = min(n, 10_000)
		}
		m.acts = append(m.acts, act{fmt.Sprintf("%s, %.1f MB %s", e.what, float64(octets)/1e6, note), d.Seconds(), n, e.of})
	}
	return nil
}
