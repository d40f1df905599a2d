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
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/benchout"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/orderdoc"
)

func main() {
	state := flag.String("state", "", "the state folder (default a temporary one)")
	fill := flag.Bool("fill", false, "make the state and stop")
	entries := flag.Int("entries", 1_000_000, "entries of the evidence log")
	domains := flag.Int("domains", 10_000, "names of the case")
	bin := flag.String("impound", "bin/impound", "the program to measure")
	rounds := flag.Int("rounds", 3, "how often each is measured; the median counts")
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
	if err := run(context.Background(), *state, *fill, *entries, *domains, *bin, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "benchcasework:", err)
		os.Exit(1)
	}
}

const caseID, orderID = "BIG-2026", "O-BIG-1"

// bar is what a page or a command may take.
const bar = 200 * time.Millisecond

func run(ctx context.Context, state string, fill bool, entries, domains int, bin string, rounds int) error {
	if state == "" {
		dir, err := os.MkdirTemp("", "benchcasework-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		state = dir
	}
	if _, err := os.Stat(filepath.Join(state, "impound.db")); err != nil {
		if err := makeState(ctx, state, entries, domains); err != nil {
			return err
		}
	}
	if fill {
		return nil
	}
	return measure(ctx, state, bin, rounds)
}

func nameOf(i int) impound.Name {
	return impound.MustName(fmt.Sprintf("account-%05d-verify.example", i))
}

func makeState(ctx context.Context, state string, entries, domains int) error {
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
	names := make([]casework.AddName, domains)
	cands := make([]impound.Candidate, domains)
	for i := range names {
		names[i] = casework.AddName{Name: nameOf(i), FirstSeen: now.AddDate(0, 0, -30), Reasons: []impound.Reason{{Code: "listed", Text: "listed in a report"}}}
		cands[i] = impound.Candidate{Name: impound.MustName(fmt.Sprintf("candidate-%05d.example", i)), Source: "list", Seen: now, Score: float64(i%100) / 100, Reasons: []impound.Reason{{Code: "brand-exact", Text: "contains a brand"}}, Status: "open"}
	}
	if _, err := s.Casework.AddNames(ctx, "ada", caseID, names); err != nil {
		return err
	}
	if _, err := s.Casework.SaveCandidates(impound.AsSystem(ctx), cands); err != nil {
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
	start := time.Now()
	if _, err := s.Casework.FileOrder(ctx, "ada", "order.yaml", doc); err != nil {
		return err
	}
	fmt.Printf("filed an order over %d names in %.1f s\n", domains, time.Since(start).Seconds())
	start = time.Now()
	for i := int(s.Evidence.Size()); i < entries; {
		var es []impound.Entry
		for len(es) < 2000 && i < entries {
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

type result struct {
	what   string
	median time.Duration
	octets int
	note   string
}

func measure(ctx context.Context, state, bin string, rounds int) error {
	n := nameOf(77).String()
	list := filepath.Join(state, "one.txt")
	if err := os.WriteFile(list, []byte(n+"\n"), 0o600); err != nil {
		return err
	}
	var out []result
	for _, c := range []string{
		"status", "people list", "case list", "case show " + caseID, "case decisions " + n, "actor list", "watch candidates", "order list", "order show " + orderID,
		"order deadlines", "evidence list --limit 50", "evidence list --case " + caseID + " --limit 50", "evidence list --what order. --limit 50", "evidence list --name " + n + " --limit 50",
		"seize status " + orderID, "lists show", "case add " + caseID + " " + list + " --as ada", "case asked " + n + " --why asked --as ada", "contacts list", "deadlines", "attention", "case task list " + caseID,
		"order gates " + orderID, "order check " + filepath.Join(state, "order.yaml"), "order appendix " + filepath.Join(state, "order.yaml"),
	} {
		r := result{what: "impound " + strings.ReplaceAll(c, state, "STATE")}
		var took []time.Duration
		for range rounds {
			cmd := exec.CommandContext(ctx, bin, append([]string{"--state", state}, strings.Fields(c)...)...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			start := time.Now()
			err := cmd.Run()
			took = append(took, time.Since(start))
			r.octets = stdout.Len()
			if err != nil {
				r.note = strings.SplitN(strings.TrimSpace(stderr.String()), "\n", 2)[0]
				break
			}
		}
		r.median = median(took)
		out = append(out, r)
	}
	pages, err := measurePages(ctx, state, bin, rounds)
	if err != nil {
		return err
	}
	out = append(out, pages...)
	slices.SortFunc(out, func(a, b result) int { return cmp.Compare(b.median, a.median) })
	slow := 0
	worst := time.Duration(0)
	for _, r := range out {
		mark := " "
		if r.note == "" {
			worst = max(worst, r.median)
			if r.median > bar {
				slow++
				mark = "!"
			}
		}
		fmt.Printf("%s %8.1f ms %9d octets  %s  %s\n", mark, float64(r.median.Microseconds())/1000, r.octets, r.what, r.note)
	}
	fmt.Printf("%d of %d above %s\n", slow, len(out), bar)
	benchout.Report("casework.slowest", float64(worst.Microseconds())/1000, "ms", float64(bar.Milliseconds()), slow == 0)
	benchout.Report("casework.above_bar", float64(slow), "pages and commands", 0, slow == 0)
	return nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// measurePages starts a server and asks for each page. The first answer after the
// start counts apart.
func measurePages(ctx context.Context, state, bin string, rounds int) ([]result, error) {
	start := time.Now()
	cmd := exec.CommandContext(ctx, bin, "--state", state, "serve")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = cmd.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		cmd.Stdout = nil
		if stdout, err = cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() }()
	found := make(chan string, 2)
	scan := func(r io.Reader) {
		sc := bufio.NewScanner(r)
		for sc.Scan() {
			if _, rest, ok := strings.Cut(sc.Text(), "http://"); ok {
				at, _, _ := strings.Cut(rest, " ")
				select {
				case found <- "http://" + strings.TrimRight(at, "/"):
				default:
				}
			}
		}
	}
	go scan(stdout)
	go scan(stderr)
	var base string
	select {
	case base = <-found:
	case <-time.After(60 * time.Second):
		return nil, fmt.Errorf("the server didn't say where it listens")
	}
	out := []result{{what: "impound serve, until it listens", median: time.Since(start)}}
	n := nameOf(77).String()
	for _, p := range []string{
		"/", "/cases", "/cases/" + caseID, "/cases/" + caseID + "/names", "/cases/" + caseID + "/names?page=150", "/cases/" + caseID + "/names/" + n, "/contacts", "/orders", "/orders/" + orderID, "/candidates", "/candidates?page=2",
		"/log", "/log?page=200", "/log?case=" + caseID, "/log?name=" + n, "/log?type=decision", "/about",
		"/api/v1/cases", "/api/v1/cases/" + caseID, "/api/v1/orders", "/api/v1/candidates", "/api/v1/log", "/api/v1/contacts", "/api/v1/series", "/api/v1/victims",
	} {
		r := result{what: "GET " + p}
		var took []time.Duration
		first := time.Duration(0)
		for i := range rounds + 1 {
			start := time.Now()
			resp, err := http.Get(base + p)
			if err != nil {
				return out, err
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				return out, err
			}
			if i == 0 {
				first = time.Since(start)
			} else {
				took = append(took, time.Since(start))
			}
			r.octets = len(b)
			if resp.StatusCode != http.StatusOK {
				r.note = resp.Status
			}
		}
		r.median = median(took)
		out = append(out, r)
		if first > bar {
			out = append(out, result{what: r.what + " (the first time)", median: first, octets: r.octets, note: r.note})
		}
	}
	return out, nil
}
