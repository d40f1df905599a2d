package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/impound/impound/internal/parallel"
	"github.com/impound/impound/internal/watch/dga"
	"github.com/impound/impound/internal/watch/dga/measure"
	"github.com/impound/impound/internal/watch/dga/model"
	"github.com/impound/impound/internal/watch/profile"
)

// ordinary gives n names from in, evenly.
func ordinary(in []string, n int) [][]byte {
	var out [][]byte
	for i := range min(n, len(in)) {
		out = append(out, []byte(in[i*len(in)/min(n, len(in))]))
	}
	return out
}

// seenAll looks at names, once for all profiles.
func seenAll(names [][]byte) []profile.Seen {
	out := make([]profile.Seen, len(names))
	_ = parallel.Each(len(out), func(i int) error {
		out[i] = profile.Look(string(names[i]))
		return nil
	})
	return out
}

type batch struct {
	date  string
	names []string
}

// evalProfile walks forward through each actor's batches of names: what was
// named before teaches, the next batch is ranked among new registrations.
func evalProfile(d folder) error {
	rows, err := d.rows("actors_maltrail.tsv.gz")
	if err != nil {
		return err
	}
	actors := walk(rows)
	nrdRows, err := d.rows("nrd_shreshta.tsv.gz")
	if err != nil {
		return err
	}
	var nrd []string
	for _, r := range nrdRows {
		if r[0] >= nrdSplit {
			nrd = append(nrd, r[1])
		}
	}
	if profile.Prior, err = dga.NewModel(dga.Train(priorExamples(actors, nrdRows, false), 4, 1)); err != nil {
		return err
	}
	b, err := trainWords(nrdRows, nrdSplit)
	if err != nil {
		return err
	}
	if err := profile.UseWords(b); err != nil {
		return err
	}
	b, err = profile.Ordinary(func(yield func([]byte) bool) {
		for i, r := range nrdRows {
			if i%4 == 0 && r[0] < nrdSplit && !yield([]byte(r[1])) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if err := profile.UseOrdinary(b); err != nil {
		return err
	}
	together, hosts, err := trainTogether(actors, nrdRows, false)
	if err != nil {
		return err
	}
	if err := profile.UseTogether(together); err != nil {
		return err
	}
	if profile.HostPrior, err = dga.NewModel(hosts); err != nil {
		return err
	}
	if b, err = trainKinds(nrdRows, nrdSplit); err != nil {
		return err
	}
	if err := profile.UseKinds(b); err != nil {
		return err
	}
	const size = 100_000
	n := size
	if os.Getenv("EVALWATCH_QUICK") != "" {
		n = size / 5
	}
	neg := seenAll(ordinary(nrd, n))
	k := 100 * n / size

	type result struct {
		actor          string
		share, adapted []found
	}
	var names []string
	for a := range actors {
		names = append(names, a)
	}
	slices.Sort(names)
	results := make([]result, len(names))
	onAllCores(len(names), func(i int) {
		results[i].actor = names[i]
		var before []profile.Example
		done := 0
		for _, b := range actors[names[i]] {
			if len(before) >= 10 && len(b.names) >= 5 && done < 6 && b.date >= actorSplit {
				done++
				results[i].share = append(results[i].share, above(before, b.names, neg, k))
				if len(b.names) >= 15 {
					five, rest := pick(b.names, 5)
					with := append(slices.Clip(before), five...)
					results[i].adapted = append(results[i].adapted, above(with, rest, neg, k))
				}
			}
			for _, n := range b.names {
				before = append(before, profile.Example{Name: n})
			}
			if len(before) > 3000 {
				before = before[len(before)-3000:]
			}
		}
	})
	// The mean over actors of a figure over their batches; over is how many those are.
	mean := func(of func(result) []found, figure func(found) float64) (share float64, actors, over int, pooled float64) {
		for _, r := range results {
			fs := of(r)
			sum := 0.0
			for _, f := range fs {
				sum += figure(f)
				pooled += figure(f)
				over++
			}
			if len(fs) > 0 {
				share += sum / float64(len(fs))
				actors++
			}
		}
		return share / float64(max(1, actors)), actors, over, pooled / float64(max(1, over))
	}
	if os.Getenv("EVALWATCH_DUMP") != "" {
		for _, r := range results {
			if len(r.share) > 0 {
				fmt.Println("   ", r.actor, r.share)
			}
		}
	}
	next1 := func(r result) []found { return r.share }
	after5 := func(r result) []found { return r.adapted }
	fmt.Printf("\nactors walking forward: share of the next batch above the 100th of 100,000 new registrations, as impound actor rank has the list\n")
	share, m, over, pooled := mean(next1, found.listed)
	adapted, adN, _, _ := mean(after5, found.listed)
	fmt.Printf("  mean over %d actors: %.3f; over %d batches: %.3f; after 5 names of the batch, rest of it, over %d actors: %.3f\n",
		m, share, over, pooled, adN, adapted)
	row("actor's next batch, walk-forward: above the 100th of 100,000, mean over actors", share, 0.45)
	row("after 5 names of a new style: rest of that batch, mean over actors", adapted, 0.50)
	share, _, _, _ = mean(next1, found.alone)
	row("actor's next batch, each name by itself: no host speaks for what it stands below", share, 0)
	adapted, _, _, _ = mean(after5, found.alone)
	row("after 5 names of a new style, each name by itself", adapted, 0)

	// Few examples of word-list algorithms: as the model of known algorithms knows
	// them, and with one that has met none that puts words in a row.
	drows, err := d.rows("dga_families.tsv.gz")
	if err != nil {
		return err
	}
	fams := map[string][]string{}
	for _, r := range drows {
		fams[r[0]] = append(fams[r[0]], r[1])
	}
	fmt.Printf("word-list algorithms, share above the 0.1 %% line\n")
	fewShot("of known families", fams, neg, k)
	blind, err := measure.Learn(measure.Config{Data: string(d), Without: wordLists, Every: 3})
	if err != nil {
		return err
	}
	profile.Made = func(name string) float64 {
		s := model.Sample{NoTLD: true}
		l, _, ok := blind.Score(name, &s)
		if !ok {
			return 0
		}
		return l
	}
	neg = seenAll(ordinary(nrd, n))
	fewShot("of families never met", fams, neg, k)
	err = leaveOneOut(fams, neg, k)
	profile.Made = dga.Logit
	return err
}

// wordLists are the families that put words in a row.
var wordLists = []string{"gozi_gpl", "gozi_luther", "gozi_rfc4343", "matsnu", "nymaim2", "suppobox1", "suppobox2"}

// fewShot tells the share of word-list families' names above the k-th of neg,
// from 20 and from 50 names.
func fewShot(what string, fams map[string][]string, neg []profile.Seen, k int) {
	for i, shots := range []int{20, 50} {
		total := 0.0
		fmt.Printf("  %s, from %d:", what, shots)
		for _, f := range wordLists {
			few, rest := pick(fams[f], shots)
			if len(rest) > 1000 {
				rest = rest[:1000]
			}
			s := above(few, rest, neg, k).inList
			total += s
			fmt.Printf(" %s %.2f", f, s)
		}
		fmt.Println()
		row(fmt.Sprintf("word-list DGA %s, %d examples: above the 0.1 %% line", what, shots), total/float64(len(wordLists)), [2]float64{.70, .85}[i])
	}
}

// pick takes n evenly spread ones.
func pick(in []string, n int) (few []profile.Example, rest []string) {
	taken := map[int]bool{}
	for i := range n {
		j := i * len(in) / n
		taken[j] = true
		few = append(few, profile.Example{Name: in[j]})
	}
	for i, s := range in {
		if !taken[i] {
			rest = append(rest, s)
		}
	}
	return few, rest
}

// found is the share of names that score higher than the k-th of others: by
// themselves, and in one list with those, where hosts speak for what they stand
// below.
type found struct{ byItself, inList float64 }

func (f found) alone() float64  { return f.byItself }
func (f found) listed() float64 { return f.inList }

// above learns and finds names among neg.
func above(learn []profile.Example, names []string, neg []profile.Seen, k int) found {
	p, err := profile.Learn("x", learn)
	if err != nil {
		return found{}
	}
	list := p.Beside()
	bits, own := make([]float64, len(neg)), make([]float64, len(names))
	for i, n := range neg {
		bits[i] = n.Bits(p)
		list.Add(n.Name(), bits[i])
	}
	for i, n := range names {
		own[i] = p.Bits([]byte(n))
		list.Add(n, own[i])
	}
	share := func() float64 {
		s := slices.Clone(bits)
		slices.Sort(s)
		n := 0
		for _, x := range own {
			if x > s[len(s)-k] {
				n++
			}
		}
		return float64(n) / float64(len(names))
	}
	f := found{byItself: share()}
	for i, n := range neg {
		bits[i], _ = list.Bits(n.Name(), bits[i])
	}
	for i, n := range names {
		own[i], _ = list.Bits(n, own[i])
	}
	f.inList = share()
	return f
}

// actorSplit: reports before it teach what actors have in common.
const actorSplit = "2023"

// walk gives each actor's own, dated names in batches, oldest first, each name
// once.
func walk(rows [][]string) map[string][]batch {
	actors := map[string][]batch{}
	known := map[[2]string]bool{}
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b []string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for _, r := range rows {
		if r[2] != "own" || r[1] == "-" || known[[2]string{r[0], r[3]}] {
			continue
		}
		known[[2]string{r[0], r[3]}] = true
		bs := actors[r[0]]
		if len(bs) == 0 || bs[len(bs)-1].date != r[1] {
			bs = append(bs, batch{date: r[1]})
		}
		bs[len(bs)-1].names = append(bs[len(bs)-1].names, r[3])
		actors[r[0]] = bs
	}
	return actors
}

// priorExamples gives at most 300 names of each actor, and new registrations.
func priorExamples(actors map[string][]batch, nrd [][]string, all bool) []dga.Example {
	var out []dga.Example
	for _, a := range slices.Sorted(maps.Keys(actors)) {
		var names []string
		for _, b := range actors[a] {
			if all || b.date < actorSplit {
				names = append(names, b.names...)
			}
		}
		n := min(len(names), 300)
		for i := range n {
			out = append(out, dga.Example{Name: names[i*len(names)/n], DGA: true, Weight: float32(3 / math.Sqrt(float64(max(n, 10))/10))})
		}
	}
	for i, r := range nrd {
		if (all || r[0] < nrdSplit) && i%3 == 0 {
			out = append(out, dga.Example{Name: r[1], Weight: 0.5})
		}
	}
	return out
}

func trainProfile(d folder, out string) error {
	rows, err := d.rows("actors_maltrail.tsv.gz")
	if err != nil {
		return err
	}
	nrd, err := d.rows("nrd_shreshta.tsv.gz")
	if err != nil {
		return err
	}
	actors := walk(rows)
	words, err := trainWords(nrd, "")
	if err != nil {
		return err
	}
	// What comes later is learnt with what came before in use.
	if err := profile.UseWords(words); err != nil {
		return err
	}
	prior := dga.Train(priorExamples(actors, nrd, true), 4, 1)
	if profile.Prior, err = dga.NewModel(prior); err != nil {
		return err
	}
	usual, err := profile.Ordinary(func(yield func([]byte) bool) {
		for _, r := range nrd {
			if !yield([]byte(r[1])) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if err := profile.UseOrdinary(usual); err != nil {
		return err
	}
	together, hosts, err := trainTogether(actors, nrd, true)
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{"ordinary.json": append(usual, '\n'), "lexicon.bin": words, "prior.bin": prior, "hostprior.bin": hosts, "together.bin": together} {
		if err := os.WriteFile(filepath.Join(out, name), b, 0o644); err != nil {
			return err
		}
	}
	kinds, err := trainKinds(nrd, "")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "kinds.bin"), kinds, 0o644)
}

// onAllCores calls f for 0 to n-1 on all cores.
func onAllCores(n int, f func(i int)) {
	_ = parallel.Some(context.Background(), runtime.GOMAXPROCS(0), n, f) // which nothing ends
}
