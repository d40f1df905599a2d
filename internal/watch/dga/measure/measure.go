// Package measure learns models of generated names from a folder of data that
// is no part of the project, and measures them.
//
// The folder holds dga_families.tsv.gz (family, name), nrd_shreshta.tsv.gz
// (first seen, name; ordinary registrations), benign_hosts_tb0hdan.txt.gz and
// popular_tranco100k.tsv.gz (the letters of ordinary names). What is measured
// is the share of generated names above the score that 1, 0.1 and 0.01 % of
// the later registrations exceed: a flag rate, for nobody labelled those.
//
// What lives here: splits, figures, tables. What must not: the model itself,
// and anything that a program needs which only scores.
package measure

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound/internal/watch/dga/model"
)

// Config says what is learnt and measured.
type Config struct {
	Data    string   // the folder
	Split   string   // the day (2006-01-02) that parts the new registrations learnt from those measured; empty for 2024-06-01
	By      string   // how a family is halved: order (of its list; the default) or random
	Out     string   // learn from everything and write the model to this file; nothing is measured
	Without []string // families that nothing is learnt from
	Holdout bool     // measure each family with a model that did not learn from it
	NoTLD   bool     // measure without the top-level domain
	Folds   int      // with Holdout: number of models; 0 for 7
	Every   int      // learn from every so manieth new registration; 0 for all
	Model   model.Options
	// Tell is given what was measured of all names: the area under the curve, and
	// the shares above the scores that 1, 0.1 and 0.01 % of ordinary names exceed.
	Tell func(auc float64, recall [3]float64)
}

// rows calls fn with the columns of each line.
func (c Config) rows(name string, fn func(cols []string)) error {
	f, err := os.Open(filepath.Join(c.Data, name))
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

func (c Config) load() (d data, err error) {
	d.fams = map[string][]string{}
	err = c.rows("dga_families.tsv.gz", func(r []string) {
		if len(r) > 1 {
			d.fams[r[0]] = append(d.fams[r[0]], r[1])
		}
	})
	if err != nil {
		return d, err
	}
	for _, f := range c.Without {
		delete(d.fams, f)
	}
	err = c.rows("nrd_shreshta.tsv.gz", func(r []string) {
		if len(r) < 2 {
			return
		}
		if r[0] < c.Split {
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

func (c Config) learn(d data, pos map[string][]string, neg []string) *model.Model {
	var ex []model.Example
	for _, f := range slices.Sorted(maps.Keys(pos)) {
		for _, n := range pos[f] {
			// A small family counts for more a name, yet not for as much as a large one.
			w := min(max(1000/float32(len(pos[f])), 1), 3)
			ex = append(ex, model.Example{Name: n, Family: f, Weight: w})
		}
	}
	for i, n := range neg {
		if i%c.Every == 0 {
			ex = append(ex, model.Example{Name: n, Weight: 1})
		}
	}
	return model.Learn(d.backgroundFor, ex, c.Model)
}

// ranks are the scores of ordinary names, sorted.
type ranks []float64

func (c Config) score(m *model.Model, names []string) ranks {
	s := model.Sample{NoTLD: c.NoTLD}
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

func table(w io.Writer, scores map[string][]float64, neg map[string]ranks) figures {
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
	return pooled
}

// Learn gives a model of all families but those left out, and of the new
// registrations before the split.
func Learn(c Config) (*model.Model, error) {
	c.Split = cmp.Or(c.Split, "2024-06-01")
	c.Every, c.Model.Epochs = cmp.Or(c.Every, 1), cmp.Or(c.Model.Epochs, 8)
	d, err := c.load()
	if err != nil {
		return nil, err
	}
	return c.learn(d, d.fams, d.early), nil
}

// Run learns, measures and prints to w. It uses one core, for a minute or a few.
func Run(c Config, w io.Writer) error {
	c.Split, c.By = cmp.Or(c.Split, "2024-06-01"), cmp.Or(c.By, "order")
	c.Folds, c.Every, c.Model.Epochs = cmp.Or(c.Folds, 7), cmp.Or(c.Every, 1), cmp.Or(c.Model.Epochs, 8)
	if c.By != "order" && c.By != "random" {
		return fmt.Errorf("families are halved by order or at random, not by %q", c.By)
	}
	d, err := c.load()
	if err != nil {
		return err
	}
	if len(d.fams) < 2 || len(d.early) == 0 || len(d.late) == 0 {
		return fmt.Errorf("too little data: %d families, %d and %d new registrations before and from %s on", len(d.fams), len(d.early), len(d.late), c.Split)
	}
	start := time.Now()
	if c.Out != "" {
		m := c.learn(d, d.fams, append(d.early, d.late...))
		if err := os.WriteFile(c.Out, m.Encode(), 0o644); err != nil {
			return fmt.Errorf("couldn't write the model: %w", err)
		}
		fmt.Fprintf(w, "wrote %s: %d families, %d octets, %v\n", c.Out, len(d.fams), len(m.Encode()), time.Since(start).Round(time.Second))
		return nil
	}
	scores, negs := map[string][]float64{}, map[string]ranks{}
	if c.Holdout {
		fams := slices.Sorted(maps.Keys(d.fams))
		for k := range c.Folds {
			pos := map[string][]string{}
			for i, f := range fams {
				if i%c.Folds != k {
					pos[f] = d.fams[f]
				}
			}
			m := c.learn(d, pos, d.early)
			neg := c.score(m, d.late)
			slices.Sort(neg)
			for i, f := range fams {
				if i%c.Folds == k {
					scores[f], negs[f] = c.score(m, d.fams[f]), neg
				}
			}
		}
		fmt.Fprintf(w, "each family by a model that never saw it (nor others of its fold); ordinary: %d new registrations from %s on; learnt in %v\n", len(d.late), c.Split, time.Since(start).Round(time.Second))
		c.tell(table(w, scores, negs))
		return nil
	}
	pos, held := map[string][]string{}, map[string][]string{}
	for f, names := range d.fams {
		for i, n := range names {
			first := hash(n)&1 == 0
			if c.By == "order" {
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
		c.By, len(d.early)/c.Every, c.Split, learnt.Round(time.Second), len(d.late), float64(len(neg))/took.Seconds())
	c.tell(table(w, scores, negs))
	return nil
}

func (c Config) tell(f figures) {
	if c.Tell != nil {
		c.Tell(f.auc, f.recall)
	}
}
