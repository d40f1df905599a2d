// Command train learns the model of generated names from a folder of data that
// is no part of the project, and measures it. The folder holds
// dga_families.tsv.gz (family, name), nrd_shreshta.tsv.gz (first seen, name;
// ordinary registrations), benign_hosts_tb0hdan.txt.gz and
// popular_tranco100k.tsv.gz (letters of ordinary names). It uses one core.
//
//	train DATA                        figures: half of each family and new registrations before -split
//	                                  are learnt, the rest is measured
//	train -by order DATA              as above, with the first half of each family's list, not a random one
//	train -holdout DATA               each family measured by a model that never saw it (slow)
//	train -out model.bin DATA         the model that is built in, learnt from everything
package main

import (
	"bufio"
	"compress/gzip"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound/internal/watch/dga/model"
)

type config struct {
	data, split, by, out string
	holdout, noTLD       bool
	folds, every         int
	opt                  model.Options
}

func main() {
	runtime.GOMAXPROCS(1)
	var c config
	flag.StringVar(&c.split, "split", "2024-07-01", "the day that parts the new registrations learnt from those measured")
	flag.StringVar(&c.by, "by", "random", "how a family is halved: random, or order (of its list)")
	flag.StringVar(&c.out, "out", "", "learn from everything and write the model to this file")
	flag.BoolVar(&c.holdout, "holdout", false, "measure each family with a model that did not learn from it")
	flag.BoolVar(&c.noTLD, "no-tld", false, "measure without the top-level domain")
	flag.IntVar(&c.folds, "folds", 7, "with -holdout: number of models")
	flag.IntVar(&c.every, "every", 2, "learn from every so manieth new registration")
	flag.IntVar(&c.opt.Epochs, "epochs", 3, "how often everything is gone through")
	flag.Uint64Var(&c.opt.Seed, "seed", 1, "of the pseudo-random numbers")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "train: give one folder of data: train [flags] DATA")
		os.Exit(2)
	}
	c.data = flag.Arg(0)
	if err := run(c, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "train:", err)
		os.Exit(1)
	}
}

// rows calls fn with the columns of each line.
func (c config) rows(name string, fn func(cols []string)) error {
	f, err := os.Open(filepath.Join(c.data, name))
	if err != nil {
		return fmt.Errorf("couldn't open the data: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("couldn't read %s: %w", name, err)
	}
	sc := bufio.NewScanner(z)
	for sc.Scan() {
		fn(strings.Split(sc.Text(), "\t"))
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("couldn't read %s: %w", name, err)
	}
	return nil
}

func hash(s string) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, s)
	v := h.Sum32()
	v ^= v >> 16
	v *= 0x85ebca6b
	return v ^ v>>13
}

type data struct {
	fams          map[string][]string
	early, late   []string // new registrations
	backgroundFor []string
}

func (c config) load() (d data, err error) {
	d.fams = map[string][]string{}
	err = c.rows("dga_families.tsv.gz", func(r []string) {
		if len(r) > 1 {
			d.fams[r[0]] = append(d.fams[r[0]], r[1])
		}
	})
	if err != nil {
		return d, err
	}
	err = c.rows("nrd_shreshta.tsv.gz", func(r []string) {
		if len(r) < 2 {
			return
		}
		if r[0] < c.split {
			d.early = append(d.early, r[1])
		} else {
			d.late = append(d.late, r[1])
		}
	})
	if err != nil {
		return d, err
	}
	err = c.rows("popular_tranco100k.tsv.gz", func(r []string) {
		if len(r) > 1 {
			d.backgroundFor = append(d.backgroundFor, r[1])
		}
	})
	if err != nil {
		return d, err
	}
	i := 0
	err = c.rows("benign_hosts_tb0hdan.txt.gz", func(r []string) {
		if i++; i%4 == 0 {
			d.backgroundFor = append(d.backgroundFor, r[0])
		}
	})
	return d, err
}

func (c config) learn(d data, pos map[string][]string, neg []string) *model.Model {
	var ex []model.Example
	for _, f := range slices.Sorted(maps.Keys(pos)) {
		for _, n := range pos[f] {
			// A small family counts for more a name, yet not for as much as a large one.
			w := min(max(1000/float32(len(pos[f])), 1), 3)
			ex = append(ex, model.Example{Name: n, Family: f, Weight: w})
		}
	}
	for i, n := range neg {
		if i%c.every == 0 {
			ex = append(ex, model.Example{Name: n, Weight: 1})
		}
	}
	return model.Learn(d.backgroundFor, ex, c.opt)
}

// ranks are the scores of ordinary names, sorted.
type ranks []float64

func (c config) score(m *model.Model, names []string) ranks {
	s := model.Sample{NoTLD: c.noTLD}
	out := make([]float64, len(names))
	for i, n := range names {
		v, _, ok := m.Score(n, &s)
		if !ok {
			v = -1e9
		}
		out[i] = v
	}
	return out
}

// line gives the score above which only the share of the ordinary names lies.
func (r ranks) line(share float64) float64 { return r[len(r)-1-int(share*float64(len(r)))] }

// above gives the share of r below v, ties by half.
func (r ranks) below(v float64) float64 {
	i, _ := slices.BinarySearch(r, v)
	j := i
	for j < len(r) && r[j] == v {
		j++
	}
	return (float64(i) + float64(j)) / 2 / float64(len(r))
}

var shares = []float64{.01, .001, .0001}

type figures struct {
	n      int
	auc    float64
	recall [3]float64
}

func measure(pos []float64, neg ranks) (f figures) {
	f.n = len(pos)
	for _, v := range pos {
		f.auc += neg.below(v)
		for i, s := range shares {
			if v > neg.line(s) {
				f.recall[i]++
			}
		}
	}
	f.auc /= float64(f.n)
	for i := range f.recall {
		f.recall[i] /= float64(f.n)
	}
	return f
}

func table(w io.Writer, scores map[string][]float64, neg map[string]ranks) {
	fmt.Fprintf(w, "%-18s %6s %7s %7s %7s %7s\n", "family", "names", "AUC", "1 %", "0.1 %", "0.01 %")
	row := func(name string, f figures) {
		fmt.Fprintf(w, "%-18s %6d %7.4f %7.3f %7.3f %7.3f\n", name, f.n, f.auc, f.recall[0], f.recall[1], f.recall[2])
	}
	var mean, pooled figures
	for _, fam := range slices.Sorted(maps.Keys(scores)) {
		f := measure(scores[fam], neg[fam])
		row(fam, f)
		k, n := 1/float64(len(scores)), float64(f.n)
		mean.n, pooled.n = mean.n+f.n, pooled.n+f.n
		mean.auc += f.auc * k
		pooled.auc += f.auc * n
		for i := range f.recall {
			mean.recall[i] += f.recall[i] * k
			pooled.recall[i] += f.recall[i] * n
		}
	}
	pooled.auc /= float64(pooled.n)
	for i := range pooled.recall {
		pooled.recall[i] /= float64(pooled.n)
	}
	row("mean of families", mean)
	row("all names", pooled)
}

func run(c config, w io.Writer) error {
	d, err := c.load()
	if err != nil {
		return err
	}
	if len(d.fams) < 2 || len(d.early) == 0 || len(d.late) == 0 {
		return fmt.Errorf("too little data: %d families, %d and %d new registrations before and from %s on", len(d.fams), len(d.early), len(d.late), c.split)
	}
	start := time.Now()
	if c.out != "" {
		m := c.learn(d, d.fams, append(d.early, d.late...))
		if err := os.WriteFile(c.out, m.Encode(), 0o644); err != nil {
			return fmt.Errorf("couldn't write the model: %w", err)
		}
		fmt.Fprintf(w, "wrote %s: %d families, %d octets, %v\n", c.out, len(d.fams), len(m.Encode()), time.Since(start).Round(time.Second))
		return nil
	}
	scores, negs := map[string][]float64{}, map[string]ranks{}
	if c.holdout {
		fams := slices.Sorted(maps.Keys(d.fams))
		for k := range c.folds {
			pos := map[string][]string{}
			for i, f := range fams {
				if i%c.folds != k {
					pos[f] = d.fams[f]
				}
			}
			m := c.learn(d, pos, d.early)
			neg := c.score(m, d.late)
			slices.Sort(neg)
			for i, f := range fams {
				if i%c.folds == k {
					scores[f], negs[f] = c.score(m, d.fams[f]), neg
				}
			}
		}
		fmt.Fprintf(w, "each family by a model that never saw it (nor others of its fold); ordinary: %d new registrations from %s on; learnt in %v\n", len(d.late), c.split, time.Since(start).Round(time.Second))
		table(w, scores, negs)
		return nil
	}
	pos, held := map[string][]string{}, map[string][]string{}
	for f, names := range d.fams {
		for i, n := range names {
			first := hash(n)&1 == 0
			if c.by == "order" {
				first = i < len(names)/2
			}
			if first {
				pos[f] = append(pos[f], n)
			} else {
				held[f] = append(held[f], n)
			}
		}
	}
	m := c.learn(d, pos, d.early)
	learnt := time.Since(start)
	start = time.Now()
	neg := c.score(m, d.late)
	took := time.Since(start)
	slices.Sort(neg)
	for f, names := range held {
		scores[f], negs[f] = c.score(m, names), neg
	}
	fmt.Fprintf(w, "half of each family (%s) and %d new registrations before %s learnt in %v; ordinary: %d from then on, %.0f names/s\n",
		c.by, len(d.early)/c.every, c.split, learnt.Round(time.Second), len(d.late), float64(len(neg))/took.Seconds())
	table(w, scores, negs)
	return nil
}
