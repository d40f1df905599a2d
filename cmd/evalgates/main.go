// Command evalgates measures the safety gates on a folder of data that is no part
// of the project (see its README for the files): names that actors used, and
// lists of services that strangers share. It prints two rates for each actor: how
// many of the names that lie in somebody else's zone pass (none may), and how many
// of the others, which the actor registered himself, are blocked.
//
//	evalgates -data FOLDER            the rates, 50 blocked names with their reasons
//	evalgates -data FOLDER -sample 0  the rates alone
package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/benchout"
	"github.com/impound/impound/internal/casework/gate"
)

func main() {
	data := flag.String("data", "", "folder with the data")
	sample := flag.Int("sample", 50, "how many blocked names to print with their reasons")
	seed := flag.Uint64("seed", 1, "of the sample")
	all := flag.Bool("all", false, "print every actor, not only the 40 with most names")
	flag.Parse()
	if err := run(*data, *sample, *seed, *all); err != nil {
		fmt.Fprintln(os.Stderr, "evalgates:", err)
		os.Exit(1)
	}
}

type row struct {
	actor string
	own   bool
	name  impound.Name
}

func run(data string, sample int, seed uint64, all bool) error {
	if data == "" {
		return fmt.Errorf("no data: give -data FOLDER (make eval-gates DATA=FOLDER)")
	}
	rows, err := actors(filepath.Join(data, "actors_maltrail.tsv.gz"))
	if err != nil {
		return err
	}
	shared, err := strangers(filepath.Join(data, "lists"))
	if err != nil {
		return err
	}
	lists, err := gate.LoadLists(filepath.Join(data, "lists"))
	if err != nil {
		return err
	}
	fmt.Printf("%d names of actors; %d zones that strangers share, read from the lists apart from the gates' own reading\n", len(rows), len(shared))
	for _, k := range []struct {
		name string
		l    *gate.Lists
	}{{"built-in facts alone", gate.BuiltIn()}, {"with the lists of the folder", lists}} {
		judge(rows, shared, k.l, k.name, k.l == lists, sample, seed, all)
	}
	speed(rows, lists)
	return nil
}

// judge prints the rates of one set of lists; full says that these lists hold all
// that the yardstick does.
func judge(rows []row, shared map[string]string, l *gate.Lists, title string, full bool, sample int, seed uint64, all bool) {
	type rate struct {
		actor               string
		theirs, passed      int // in others' zones
		own, blocked        int // registered by the actor
		ownRows, ownBlocked int // of those that the reports name as his alone
	}
	by := map[string]*rate{}
	total := rate{actor: "all"}
	type hit struct {
		row
		v impound.GateVerdict
	}
	var blockedOwn, leaked, blocked []hit
	reasons := map[string]int{}
	for _, r := range rows {
		a := by[r.actor]
		if a == nil {
			a = &rate{actor: r.actor}
			by[r.actor] = a
		}
		bl := gate.Blocking(gate.Offline(r.name, l))
		_, others := under(shared, r.name)
		for _, x := range []*rate{a, &total} {
			switch {
			case others:
				x.theirs++
				if len(bl) == 0 {
					x.passed++
				}
			default:
				x.own++
				if len(bl) > 0 {
					x.blocked++
				}
				if r.own {
					x.ownRows++
					if len(bl) > 0 {
						x.ownBlocked++
					}
				}
			}
		}
		switch {
		case others && len(bl) == 0:
			leaked = append(leaked, hit{row: r})
		case len(bl) > 0:
			blocked = append(blocked, hit{r, bl[0]})
			if !others {
				blockedOwn = append(blockedOwn, hit{r, bl[0]})
			}
			reasons[bl[0].Gate+" by "+source(bl[0].Data)]++
		}
	}
	fmt.Printf("\n== %s (%d names)\n", title, l.Len())
	pct := func(n, of int) string {
		if of == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(of))
	}
	var order []*rate
	for _, r := range by {
		order = append(order, r)
	}
	slices.SortFunc(order, func(a, b *rate) int {
		return cmp.Or(cmp.Compare(b.theirs+b.own, a.theirs+a.own), cmp.Compare(a.actor, b.actor))
	})
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "actor\tin others' zones\tpassed\trate\tregistered himself\tblocked\trate\t")
	line := func(r *rate) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d\t%s\t\n", r.actor, r.theirs, r.passed, pct(r.passed, r.theirs), r.own, r.blocked, pct(r.blocked, r.own))
	}
	line(&total)
	worst := 0.0
	for i, r := range order {
		if all || i < 40 {
			line(r)
		}
		if r.own >= 100 {
			worst = max(worst, float64(r.blocked)/float64(r.own))
		}
	}
	w.Flush()
	fmt.Printf("the actor with most of his own names blocked, of those with 100 or more: %.2f %%\n", 100*worst)
	for _, k := range slices.SortedFunc(keys(reasons), func(a, b string) int { return cmp.Compare(reasons[b], reasons[a]) }) {
		fmt.Printf("%8d  %s\n", reasons[k], k)
	}
	measure := "gates." + map[bool]string{true: "lists", false: "builtin"}[full]
	if full {
		benchout.Report(measure+".others_passed", float64(total.passed), "names", 0, total.passed == 0)
		benchout.Report(measure+".own_blocked", 100*float64(total.blocked)/float64(max(1, total.own)), "%", 0.5, 200*total.blocked <= total.own)
	} else {
		benchout.Report(measure+".others_passed", 100*float64(total.passed)/float64(max(1, total.theirs)), "%", 0, true)
		benchout.Report(measure+".own_blocked", 100*float64(total.blocked)/float64(max(1, total.own)), "%", 0.5, 200*total.blocked <= total.own)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	show := func(what string, hs []hit, n int) {
		rng.Shuffle(len(hs), func(i, j int) { hs[i], hs[j] = hs[j], hs[i] })
		if n = min(n, len(hs)); n > 0 {
			fmt.Printf("\n%s, %d of %d:\n", what, n, len(hs))
		}
		for _, h := range hs[:n] {
			zone, _ := under(shared, h.name)
			fmt.Printf("  %-24.24s %-44s %s %s\n", h.actor, h.name.Defanged(), h.v.Reason, strings.TrimSpace("("+h.v.Data+") "+zone))
		}
	}
	if sample > 0 {
		show("in others' zones, and passed", leaked, sample)
		show("registered by the actor, and blocked", blockedOwn, sample)
		show("blocked", blocked, sample)
	}
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func source(data string) string { s, _, _ := strings.Cut(data, ":"); return s }

// speed runs every gate on 100,000 names, with what an offline look knows.
func speed(rows []row, l *gate.Lists) {
	const n = 100_000
	now := time.Now()
	o := &impound.Order{ID: "O", From: now.Add(-time.Hour), Until: now.Add(time.Hour), TLP: impound.TLPAmber, Acts: impound.Acts{Sinkhole: true}, Sinkhole: impound.SinkTerms{Capture: impound.CaptureCount, RetentionDays: 1}}
	start := time.Now()
	for i := range n {
		r := rows[i%len(rows)]
		c := *o
		c.Appendices = []impound.Appendix{{ID: "A", Count: 1, Names: []impound.OrderName{{Name: r.name}}}}
		gate.Run(context.Background(), gate.Input{Name: r.name, Now: now, Order: &c, InCase: true, Evidence: 1, Created: now, CreatedAsOf: now, FirstSeen: now}, l)
	}
	took := time.Since(start)
	fmt.Printf("\n%d names through all %d gates: %.2f s\n", n, len(gate.Gates), took.Seconds())
	benchout.Report("gates.100k_names", took.Seconds(), "s", 5, took < 5*time.Second)
}

func actors(path string) ([]row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the data: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", path, err)
	}
	var out []row
	sc := bufio.NewScanner(z)
	for sc.Scan() {
		c := strings.Split(sc.Text(), "\t")
		if len(c) < 4 {
			continue
		}
		n, err := impound.ParseName(c[3])
		if err != nil || n.Labels() < 2 {
			continue // addresses, and what is no name
		}
		out = append(out, row{c[0], c[2] == "own", n})
	}
	return out, sc.Err()
}

// strangers reads the lists that are the yardstick: which zones do strangers
// share, by which list.
func strangers(dir string) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range []string{"dynamic-dns", "lots-project", "url-shortener", "link-in-bio", "tranco10k"} {
		b, err := os.ReadFile(filepath.Join(dir, f+".json"))
		if err != nil {
			return nil, fmt.Errorf("couldn't open the data: %w", err)
		}
		var d struct {
			List []string `json:"list"`
		}
		if err := json.Unmarshal(b, &d); err != nil {
			return nil, fmt.Errorf("couldn't read %s: %w", f, err)
		}
		for _, s := range d.List {
			if s = strings.ToLower(strings.Trim(s, ".")); strings.Contains(s, ".") {
				out[s] = f
			}
		}
	}
	return out, nil
}

// under gives the zone of the yardstick that n is or lies below, or its private
// suffix.
func under(shared map[string]string, n impound.Name) (string, bool) {
	for z := n; z.Labels() > 1; z = z.Parent() {
		if f, ok := shared[z.String()]; ok {
			return "[" + f + " " + z.Defanged() + "]", true
		}
	}
	if s, private := n.PublicSuffix(); private || s == n {
		return "[suffix " + s.Defanged() + "]", true
	}
	return "", false
}
