package dga

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestScores(t *testing.T) {
	var out bytes.Buffer
	in := "garden-shop.com\n\nqvxzkjwpbtrd.ws\r\nbad name\nx\ty\n"
	if err := Scores(context.Background(), strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 5 || lines[1] != "\t0" || lines[3] != "bad name\t0" || !strings.HasPrefix(lines[4], "x\t") {
		t.Errorf("got %q", lines)
	}
}

func TestGeneratedNamesScoreHigher(t *testing.T) {
	for _, pair := range [][2]string{{"qvxzkjwpbtrdhg.ws", "gardenflowers.com"}, {"xkwqjzvvbprtl.biz", "the-old-bakery.com"}} {
		a, _ := Score(pair[0])
		if b, _ := Score(pair[1]); a <= b {
			t.Errorf("%s %g, %s %g", pair[0], a, pair[1], b)
		}
	}
}

func TestTrain(t *testing.T) {
	var ex []Example
	for _, n := range []string{"qzxk.com", "zzqx.com", "xqzz.com", "qxzq.com"} {
		ex = append(ex, Example{n, true, 1})
	}
	for _, n := range []string{"rose.com", "tree.com", "lake.com", "sand.com"} {
		ex = append(ex, Example{n, false, 1})
	}
	m, err := NewModel(Train(ex, 30, 1))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := m.Score([]byte("zqxz.com")), m.Score([]byte("rosetree.com")); a <= b {
		t.Errorf("learnt nothing: %g, %g", a, b)
	}
	if _, err := NewModel([]byte("short")); err == nil {
		t.Error("a file of another length is taken")
	}
}

func TestGroupIsItsModels(t *testing.T) {
	ex := []Example{{"qzxk.com", true, 1}, {"zzqx.com", true, 1}, {"rose.com", false, 1}, {"tree.com", false, 1}}
	var ms []*Model
	for seed := range uint64(3) {
		m, err := NewModel(Train(ex[seed:], 10, seed))
		if err != nil {
			t.Fatal(err)
		}
		ms = append(ms, m)
	}
	g := NewGroup(ms...)
	for _, n := range []string{"zqxz.com", "rosetree.net", "", ".", "a b"} {
		got := [4]float64{9, 9, 9, 9}
		g.Logits([]byte(n), got[:])
		for i, m := range ms {
			if want := m.Logit([]byte(n)); got[i] != want {
				t.Errorf("%q, model %d: %g, alone %g", n, i, got[i], want)
			}
		}
		if got[3] != 0 {
			t.Errorf("%q: %g of a model that is not there", n, got[3])
		}
	}
}

func FuzzModelScore(f *testing.F) {
	for _, s := range []string{"", ".", "a.b", "]x^.bazar", strings.Repeat("a", 300), "\x00", "xn--a.com", strings.Repeat("b", 64) + ".com"} {
		f.Add([]byte(s))
	}
	m, err := NewModel(Train([]Example{{"qzxk.com", true, 1}, {"rose.com", false, 1}}, 10, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := m.Score(b); !(p >= 0 && p <= 1) {
			t.Fatalf("score %g", p)
		}
	})
}
