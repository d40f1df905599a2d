package main

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound/internal/watch/match"
)

const (
	phishSplit = "2022-07" // names before it teach, later ones are measured
	nrdSplit   = "2024-06"
)

func (d folder) brands() ([]match.Brand, error) {
	f, err := os.Open(filepath.Join(string(d), "brands105.json"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return match.LoadBrands(f)
}

func trainBackground(d folder, out string) error {
	md, err := loadMatch(d)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "background.bin"), md.background(true), 0o644)
}

// background counts ordinary names: all, or what lies before the splits.
func (m *matchData) background(all bool) []byte {
	return match.TrainBackground(func(yield func(string) bool) {
		for i, h := range m.benign {
			// Hosts of one domain come in long runs: some are enough.
			if i%4 == 0 && (all || i/1000%2 == 0) && !yield(h) {
				return
			}
		}
		for _, n := range m.popular {
			if !yield(n) {
				return
			}
		}
		for _, p := range m.nrd {
			if (all || p.date < nrdSplit) && !yield(p.name) {
				return
			}
		}
	})
}

type phish struct{ date, name, brand, tier string }

type matchData struct {
	brands     []match.Brand
	reg, hosts []phish
	nrd        []phish // brand and tier empty
	benign     []string
	popular    []string
}

func loadMatch(d folder) (*matchData, error) {
	var m matchData
	var err error
	if m.brands, err = d.brands(); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		file string
		col  [4]int
		to   *[]phish
	}{
		{"phish_jpcert_regdomains.tsv.gz", [4]int{0, 1, 2, 3}, &m.reg},
		{"phish_jpcert_hosts.tsv.gz", [4]int{0, 1, 2, 3}, &m.hosts},
		{"nrd_shreshta.tsv.gz", [4]int{0, 1, -1, -1}, &m.nrd},
	} {
		rows, err := d.rows(f.file)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			p := phish{date: r[0], name: r[1]}
			if f.col[2] >= 0 {
				p.brand, p.tier = r[2], r[3]
			}
			*f.to = append(*f.to, p)
		}
	}
	rows, err := d.rows("benign_hosts_tb0hdan.txt.gz")
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		m.benign = append(m.benign, r[0])
	}
	if rows, err = d.rows("popular_tranco100k.tsv.gz"); err != nil {
		return nil, err
	}
	for _, r := range rows {
		m.popular = append(m.popular, r[1])
	}
	return &m, nil
}

// without gives the data as if nobody had imitated the brands that held names.
func (m *matchData) without(held func(brand string) bool) *matchData {
	c := *m
	c.brands = slices.DeleteFunc(slices.Clone(m.brands), func(b match.Brand) bool { return held(b.ID) })
	is := func(p phish) bool { return held(p.brand) }
	c.reg, c.hosts = slices.DeleteFunc(slices.Clone(m.reg), is), slices.DeleteFunc(slices.Clone(m.hosts), is)
	return &c
}

// heldBrand names the third of the brands that is never met before it is measured.
func heldBrand(id string) bool {
	h := fnv.New32a()
	h.Write([]byte(id))
	return h.Sum32()%3 == 0
}

// learn gives a matcher for brands with weights learnt from examples for known ones.
func learn(known, brands []match.Brand, ex []match.Example, opt match.Options) (*match.Matcher, error) {
	m, err := match.New(known, opt)
	if err != nil {
		return nil, err
	}
	var first, second []byte
	var wg sync.WaitGroup
	wg.Go(func() { first = m.Train(ex, epochs, 1) })
	wg.Go(func() { second, err = m.TrainSecond(ex, epochs, 1) })
	if wg.Wait(); err != nil {
		return nil, err
	}
	if m, err = match.New(brands, opt); err != nil {
		return nil, err
	}
	if m, err = m.With(first); err != nil {
		return nil, err
	}
	return m.WithSecond(second)
}

// evalNeverMet measures how well m, which was learnt without them, finds the
// brands of [heldBrand].
func evalNeverMet(m *match.Matcher, md *matchData, nrd []phish, later func(in []phish, tiers ...string) []phish) {
	fmt.Printf("\nmatch, brands never met: %d of %d taught nothing\n", len(md.brands)-len(md.without(heldBrand).brands), len(md.brands))
	sn := scoreAll(m, nrd, func(p phish) string { return p.name })
	met := func(p phish) bool { return !heldBrand(p.brand) }
	f := report("registrable exact+fuzzy | new registrations", m, slices.DeleteFunc(later(md.reg, "exact", "fuzzy"), met), sn)
	tell("names of brands never met", false, f)
	report("hosts exact+fuzzy       | new registrations", m, slices.DeleteFunc(later(md.hosts, "exact", "fuzzy"), met), sn)
}

// examples gives what may be learnt from: all, or what lies before the splits.
func (m *matchData) examples(all bool) []match.Example {
	var out []match.Example
	// Brands come and go: what was imitated lately counts for more, and no brand
	// for so much that the others drown.
	until := phishSplit + "-01"
	if all {
		until = m.reg[len(m.reg)-1].date
	}
	brandCount := map[string]float64{}
	age := func(p phish) float64 { return math.Exp2(-years(p.date, until) / halfLife) }
	for _, p := range m.reg {
		if (all || p.date < phishSplit) && p.tier != "none" {
			brandCount[p.brand] += age(p)
		}
	}
	fair := func(p phish) float32 {
		return float32(age(p) * 6 / math.Pow(max(brandCount[p.brand], 3)/100, flatten))
	}
	for _, p := range m.reg {
		if (all || p.date < phishSplit) && p.tier != "none" {
			w, seen := fair(p), float32(1)
			if p.tier == "loose" {
				w /= 3
				seen = 0
			}
			out = append(out, match.Example{Name: p.name, Brand: p.brand, Weight: w, Part: month(p.date), Age: years(p.date, until), Seen: seen})
		}
	}
	for _, p := range m.hosts {
		if (all || p.date < phishSplit) && p.tier != "none" {
			w, seen := fair(p)/4, float32(0.1)
			if p.tier == "loose" {
				w /= 3
				seen = 0
			}
			out = append(out, match.Example{Name: p.name, Brand: p.brand, Weight: w, Part: month(p.date), Age: years(p.date, until), Seen: seen})
		}
	}
	for _, p := range m.nrd {
		if all || p.date < nrdSplit {
			out = append(out, match.Example{Name: p.name, Weight: 1, Part: day(p.date), Seen: 1})
		}
	}
	for i, h := range m.benign {
		if all || i/1000%2 == 0 {
			out = append(out, match.Example{Name: h, Weight: 0.5, Part: i / 1000 / 2})
		}
	}
	return out
}

func trainMatch(d folder, out string) error {
	md, err := loadMatch(d)
	if err != nil {
		return err
	}
	ex := md.examples(true)
	var first, second [2][]byte
	var errs [2]error
	var wg sync.WaitGroup
	for i, noTLD := range []bool{false, true} {
		m, err := match.New(md.brands, match.Options{NoTLD: noTLD})
		if err != nil {
			return err
		}
		wg.Go(func() { first[i] = m.Train(ex, epochs, 1) })
		wg.Go(func() { second[i], errs[i] = m.TrainSecond(ex, epochs, 1) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "second.bin"), slices.Concat(second[:]...), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "weights.bin"), slices.Concat(first[:]...), 0o644)
}

const epochs = 12

// month and day count from a date as 2026-11-21.
func month(d string) int {
	t, _ := time.Parse("2006-01-02", d)
	return t.Year()*12 + int(t.Month())
}

func day(d string) int {
	t, _ := time.Parse("2006-01-02", d)
	return int(t.Unix() / 86400)
}

// years gives how much earlier a is than b, both as 2026-11-21.
func years(a, b string) float64 {
	y := func(s string) float64 {
		t, err := time.Parse("2006-01-02", s)
		if err != nil {
			return 0
		}
		return float64(t.Unix()) / (365.25 * 86400)
	}
	return max(0, y(b)-y(a))
}

var (
	halfLife = envFloat("HALFLIFE", 0.7)
	flatten  = envFloat("FLATTEN", 0.8)
)

func envFloat(k string, d float64) float64 {
	if v, err := strconv.ParseFloat(os.Getenv(k), 64); err == nil {
		return v
	}
	return d
}

type scored struct {
	p     float64
	brand string
}

func scoreAll[T any](m *match.Matcher, in []T, name func(T) string) []scored {
	out := make([]scored, len(in))
	var wg sync.WaitGroup
	n := runtime.GOMAXPROCS(0)
	for w := range n {
		wg.Go(func() {
			for i := len(in) * w / n; i < len(in)*(w+1)/n; i++ {
				out[i].p, out[i].brand = m.Score([]byte(name(in[i])))
			}
		})
	}
	wg.Wait()
	return out
}

// threshold gives the least score above which no more than rate of s lie.
func threshold(s []scored, rate float64) float64 {
	p := make([]float64, len(s))
	for i := range s {
		p[i] = s[i].p
	}
	slices.Sort(p)
	k := len(p) - int(rate*float64(len(p)))
	return p[min(k, len(p)-1)]
}

var rates = []float64{0.01, 0.001, 0.0001}

func evalMatch(d folder) error {
	md, err := loadMatch(d)
	if err != nil {
		return err
	}
	var nrd []phish
	for _, p := range md.nrd {
		if p.date >= nrdSplit {
			nrd = append(nrd, p)
		}
	}
	var benign []string
	for i, h := range md.benign {
		if i/1000%2 == 1 {
			benign = append(benign, h)
		}
	}
	later := func(in []phish, tiers ...string) (out []phish) {
		for _, p := range in {
			if p.date >= phishSplit && slices.Contains(tiers, p.tier) {
				out = append(out, p)
			}
		}
		return out
	}
	ex := md.examples(false)
	before, err := match.NewBackground(md.background(false))
	if err != nil {
		return err
	}
	// What has no bearing on each other is learnt at once.
	var matchers [2]*match.Matcher
	var never *match.Matcher
	var errs [3]error
	var wg sync.WaitGroup
	for i, noTLD := range []bool{false, true} {
		wg.Go(func() {
			matchers[i], errs[i] = learn(md.brands, md.brands, ex, match.Options{NoTLD: noTLD, Background: before})
		})
	}
	wg.Go(func() {
		known := md.without(heldBrand)
		never, errs[2] = learn(known.brands, md.brands, known.examples(false), match.Options{Background: before})
	})
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	for i, noTLD := range []bool{false, true} {
		learnt := matchers[i]
		base, err := match.New(md.brands, match.Options{NoTLD: noTLD})
		if err != nil {
			return err
		}
		for _, v := range []struct {
			what string
			m    *match.Matcher
		}{{"learnt before the split", learnt}, {"built in (has seen this data)", base}} {
			if v.m == base && v.what != "" && os.Getenv("EVALWATCH_QUICK") != "" {
				continue
			}
			label := "with TLD"
			if noTLD {
				label = "without TLD"
			}
			fmt.Printf("\nmatch, %s, %s: phishing from %s, new registrations from %s\n", label, v.what, phishSplit, nrdSplit)
			sn := scoreAll(v.m, nrd, func(p phish) string { return p.name })
			sb := scoreAll(v.m, benign, func(s string) string { return s })
			hits := 0
			for _, s := range sn {
				if s.p > 0 {
					hits++
				}
			}
			fmt.Printf("  %d new registrations, %.1f %% with any hit\n", len(sn), 100*float64(hits)/float64(len(sn)))
			if f := os.Getenv("EVALWATCH_DUMP"); f != "" && v.m == learnt {
				dump(f, noTLD, nrd, sn, later(md.reg, "exact", "fuzzy"), v.m)
			}
			for _, set := range []struct {
				what string
				in   []phish
				neg  []scored
				row  string
			}{
				{"registrable exact+fuzzy | new registrations", later(md.reg, "exact", "fuzzy"), sn, "brand-bearing registrable phishing names"},
				{"registrable exact       | new registrations", later(md.reg, "exact"), sn, ""},
				{"registrable fuzzy       | new registrations", later(md.reg, "fuzzy"), sn, ""},
				{"registrable loose       | new registrations", later(md.reg, "loose"), sn, "garbled names"},
				{"hosts exact+fuzzy       | new registrations", later(md.hosts, "exact", "fuzzy"), sn, "phishing hosts against new registrations"},
				{"hosts exact+fuzzy       | ordinary hosts   ", later(md.hosts, "exact", "fuzzy"), sb, "phishing hosts against ordinary hosts"},
				{"hosts loose             | new registrations", later(md.hosts, "loose"), sn, ""},
			} {
				f := report(set.what, v.m, set.in, set.neg)
				if v.m == learnt {
					tell(set.row, noTLD, f)
				}
			}
		}
	}
	evalNeverMet(never, md, nrd, later)
	return nil
}

// figures are shares found at [rates]: of all names, and the means of the
// brands' and of the months' shares (of those with 5 names and more); and how
// often the right brand was named where anything was.
type figures struct {
	all, brands, months [3]float64
	right               float64
}

func report(what string, m *match.Matcher, in []phish, neg []scored) (f figures) {
	sp := scoreAll(m, in, func(p phish) string { return p.name })
	fmt.Printf("  %s n=%-6d", what, len(in))
	macro := func(t float64, key func(phish) string) float64 {
		by := map[string][2]int{}
		for i, s := range sp {
			c := by[key(in[i])]
			c[1]++
			if s.p > t {
				c[0]++
			}
			by[key(in[i])] = c
		}
		sum, k := 0.0, 0
		for _, b := range slices.Sorted(maps.Keys(by)) {
			if c := by[b]; c[1] >= 5 {
				sum += float64(c[0]) / float64(c[1])
				k++
			}
		}
		return sum / float64(max(1, k))
	}
	for i, r := range rates {
		t := threshold(neg, r)
		n := 0
		for _, s := range sp {
			if s.p > t {
				n++
			}
		}
		f.all[i] = float64(n) / float64(max(1, len(in)))
		f.brands[i] = macro(t, func(p phish) string { return p.brand })
		f.months[i] = macro(t, func(p phish) string { return p.date[:7] })
		fmt.Printf("  %g%%: %.3f (by brand %.3f, by month %.3f)", r*100, f.all[i], f.brands[i], f.months[i])
	}
	found, right := 0, 0
	for i, s := range sp {
		if s.p > 0 {
			found++
			if s.brand == in[i].brand {
				right++
			}
		}
	}
	f.right = float64(right) / float64(max(1, found))
	fmt.Printf("  right brand %.3f\n", f.right)
	return f
}

// tell prints figures beside their bars.
func tell(what string, noTLD bool, f figures) {
	bars := [3]float64{}
	switch {
	case what == "":
		return
	case what == "garbled names":
		bars = [3]float64{.35, 0, 0}
	case strings.HasPrefix(what, "names of brands never met"): // no bar
	case strings.HasPrefix(what, "phishing hosts"):
		bars = [3]float64{.97, .88, .60}
	case noTLD:
		bars = [3]float64{.90, .75, .50}
	default:
		bars = [3]float64{.95, .85, .65}
	}
	if noTLD {
		what += ", without any TLD feature"
	}
	for i, r := range rates {
		row(fmt.Sprintf("%s, at %g %% flagged", what, r*100), f.all[i], bars[i])
		row(fmt.Sprintf("%s, at %g %%, mean of brands", what, r*100), f.brands[i], 0)
		row(fmt.Sprintf("%s, at %g %%, mean of months", what, r*100), f.months[i], 0)
	}
	if strings.HasPrefix(what, "brand-bearing") {
		row(what+": right brand named", f.right, .95)
	}
}

// dump writes what an eye should see: the highest new registrations, and where
// the phishing names lie among them.
func dump(dir string, noTLD bool, nrd []phish, sn []scored, pos []phish, m *match.Matcher) {
	name := "tld"
	if noTLD {
		name = "notld"
	}
	f, err := os.Create(filepath.Join(dir, name+".txt"))
	if err != nil {
		return
	}
	defer f.Close()
	order := make([]int, len(nrd))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(sn[b].p, sn[a].p) })
	for _, i := range order[:2000] {
		fmt.Fprintf(f, "N %.6f %s %s %s\n", sn[i].p, nrd[i].date, nrd[i].name, sn[i].brand)
	}
	for _, p := range pos {
		s, b := m.Score([]byte(p.name))
		fmt.Fprintf(f, "P %.6f %s %s %s %s %s\n", s, p.date, p.name, p.brand, p.tier, b)
	}
}
