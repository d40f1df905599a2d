package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/impound/impound/internal/watch/dga"
)

// dgaExamples gives what may be learnt from: every family counts the same. In
// the part that is held back, every second name of a family.
func dgaExamples(d folder, all bool) (learn []dga.Example, held map[string][]string, later []string, err error) {
	rows, err := d.rows("dga_families.tsv.gz")
	if err != nil {
		return nil, nil, nil, err
	}
	fams := map[string][]string{}
	for _, r := range rows {
		fams[r[0]] = append(fams[r[0]], r[1])
	}
	held = map[string][]string{}
	for _, f := range slices.Sorted(maps.Keys(fams)) {
		n := fams[f]
		for i, name := range n {
			if !all && i >= len(n)/2 {
				held[f] = append(held[f], name)
				continue
			}
			used := len(n)
			if !all {
				used = len(n) / 2
			}
			learn = append(learn, dga.Example{Name: name, DGA: true, Weight: 150 / float32(max(used, 200))})
		}
	}
	nrd, err := d.rows("nrd_shreshta.tsv.gz")
	if err != nil {
		return nil, nil, nil, err
	}
	for _, r := range nrd {
		switch {
		case !all && r[0] >= nrdSplit:
			later = append(later, r[1])
		default:
			learn = append(learn, dga.Example{Name: r[1], Weight: 0.5})
		}
	}
	return learn, held, later, nil
}

const dgaEpochs = 5

func trainDGA(d folder, out string) error {
	learn, _, _, err := dgaExamples(d, true)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "weights.bin"), dga.Train(learn, dgaEpochs, 1), 0o644)
}

func evalDGA(d folder) error {
	learn, held, later, err := dgaExamples(d, false)
	if err != nil {
		return err
	}
	m, err := dga.NewModel(dga.Train(learn, dgaEpochs, 1))
	if err != nil {
		return err
	}
	neg := make([]float64, len(later))
	for i, n := range later {
		neg[i] = m.Score([]byte(n))
	}
	slices.Sort(neg)
	t := neg[len(neg)-len(neg)/1000]
	fmt.Printf("\nknown algorithms, learnt on half of each family and new registrations before %s, against %d later ones\n", nrdSplit, len(neg))
	auc, rec, all, allN, aucAll := 0.0, 0.0, 0, 0, 0.0
	for _, f := range slices.Sorted(maps.Keys(held)) {
		a, r := 0.0, 0
		for _, n := range held[f] {
			s := m.Score([]byte(n))
			i, _ := slices.BinarySearch(neg, s)
			a += float64(i) / float64(len(neg))
			if s > t {
				r++
			}
		}
		n := float64(len(held[f]))
		fmt.Printf("  %-18s AUC %.4f  recall at 0.1 %% %.3f\n", f, a/n, float64(r)/n)
		auc += a / n
		rec += float64(r) / n
		all += r
		allN += len(held[f])
		aucAll += a
	}
	k := float64(len(held))
	fmt.Printf("  mean over families AUC %.4f recall %.3f; pooled AUC %.4f recall %.3f\n", auc/k, rec/k, aucAll/float64(allN), float64(all)/float64(allN))
	return nil
}
