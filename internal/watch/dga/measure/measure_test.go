package measure

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/watch/dga/model"
)

// folder writes data of two toy families and names made of words.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	words := strings.Fields("garden bakery river little green happy family silver coffee music travel house studio store shop design world home")
	word := func(i int) string { return words[i%len(words)] + words[(i/len(words)*5+i*7+3)%len(words)] }
	var fams, nrd, hosts, top strings.Builder
	g := uint32(7)
	for i := range 300 {
		var a, b strings.Builder
		for range 12 {
			g = g*1664525 + 1013904223
			a.WriteByte(byte('a' + (g>>16)%26))
			b.WriteByte("0123456789abcdef"[(g>>20)%16])
		}
		fmt.Fprintf(&fams, "letters\t%s.net\nhex\t%s.com\n", a.String(), b.String())
		day := "2024-05-01"
		if i%3 == 0 {
			day = "2024-07-01"
		}
		fmt.Fprintf(&nrd, "%s\t%s.com\n", day, word(i))
		fmt.Fprintf(&hosts, "www.%s.org\n", word(i*3))
		fmt.Fprintf(&top, "%d\t%s.com\n", i+1, word(i*5))
	}
	for name, s := range map[string]string{"dga_families.tsv.gz": fams.String(), "nrd_shreshta.tsv.gz": nrd.String(), "benign_hosts_tb0hdan.txt.gz": hosts.String(), "popular_tranco100k.tsv.gz": top.String()} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(s))
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRunMeasures(t *testing.T) {
	dir := folder(t)
	for _, c := range []Config{{}, {By: "random", NoTLD: true}, {Holdout: true, Folds: 2}} {
		c.Data = dir
		var out strings.Builder
		if err := Run(c, &out); err != nil {
			t.Fatal(err)
		}
		var fam string
		var n int
		var auc float64
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "hex ") {
				if _, err := fmt.Sscan(line, &fam, &n, &auc); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n < 100 || auc < .9 {
			t.Errorf("%+v: hex: %d names, AUC %g\n%s", c, n, auc, out.String())
		}
	}
}

func TestRunWritesAModel(t *testing.T) {
	file := filepath.Join(t.TempDir(), "model.bin")
	if err := Run(Config{Data: folder(t), Out: file}, &strings.Builder{}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"hex", "letters"}, m.Families()); d != "" {
		t.Error(d)
	}
}

func TestRunSaysWhatIsMissing(t *testing.T) {
	if err := Run(Config{Data: t.TempDir()}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "dga_families") {
		t.Errorf("%v", err)
	}
	if err := Run(Config{Data: folder(t), Split: "1999-01-01"}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "too little data") {
		t.Errorf("%v", err)
	}
	if err := Run(Config{By: "sorted"}, &strings.Builder{}); err == nil {
		t.Error("an unknown way to halve is taken")
	}
}

func TestFigures(t *testing.T) {
	neg := make(ranks, 1000)
	for i := range neg {
		neg[i] = float64(i)
	}
	// Above 1 %: more than 989; above 0.1 %: more than 998; above 0.01 %: more than 999.
	f := measure([]float64{500.5, 989, 989.5, 998.5, 2000}, neg)
	want := figures{n: 5, auc: (501 + 989.5 + 990 + 999 + 1000) / 5000, recall: [3]float64{.6, .4, .2}}
	if d := cmp.Diff(want, f, cmp.AllowUnexported(figures{}), cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })); d != "" {
		t.Error(d)
	}
	all := measure([]float64{7, 7}, ranks{7, 7, 7, 7})
	if all.auc != .5 || all.recall != [3]float64{} {
		t.Errorf("all the same score: %+v", all)
	}
}
