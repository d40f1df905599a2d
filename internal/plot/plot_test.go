package plot

import (
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/peertest"
)

var update = flag.Bool("update", false, "write the golden files anew")

var t0 = time.Date(2026, 11, 21, 9, 50, 0, 0, time.UTC)

func pictures() map[string]string {
	counts := make([][]int, 60)
	for i := range counts {
		counts[i] = []int{i * 7 % 11, i % 3, i * 5 % 4, (i / 10) % 2, i % 2, 0}
	}
	day := make([][]int, 56)
	for i := range day {
		day[i] = []int{i * i, 40 * i}
	}
	return map[string]string{
		"quarter-hour": Stack{ID: "p", Title: "Contacts over time", From: t0, Step: 15 * time.Second, Layers: ContactLayers, Counts: counts, Marks: []Mark{{t0.Add(5 * time.Minute), "name servers changed"}}}.SVG(),
		"week":         Stack{ID: "w", Title: "A week", From: t0, Step: 3 * time.Hour, Layers: ContactLayers, Counts: day}.SVG(),
		"empty":        Stack{ID: "e", Title: "Nothing yet", From: t0, Step: time.Minute, Layers: ContactLayers, Counts: make([][]int, 60)}.SVG(),
		"hostile": Stack{ID: `"><script>alert(1)</script>`, Title: "</title><script>\x00\xff", Unit: "<b>", From: t0, Step: -1, Layers: []Layer{{`"x`, "<i>", `" onload="x`}},
			Counts: [][]int{{-5, 3}, {2}, nil}, Marks: []Mark{{t0, "<mark>"}, {t0.Add(-time.Hour), "out"}}}.SVG(),
		"bars": Bars{ID: "b", Title: "Victims by network", Unit: "victims", Layer: ContactLayers[0], Items: []Bar{
			{"AS64500 Example Institute of Technology and a name that is far too long to stand there in full", 42, "99 contacts"}, {"AS64501 Übernetz", 7, ""}, {"<script>", 0, "&"}}}.SVG(),
		"no-bars": Bars{ID: "nb", Title: "Victims by network"}.SVG(),
	}
}

func TestGolden(t *testing.T) {
	for name, got := range pictures() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".svg")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("no golden file; look at the picture and run go test -update: %v", err)
			}
			if diff := cmp.Diff(string(want), got+"\n"); diff != "" {
				t.Errorf("the picture changed (-want +got):\n%s", diff)
			}
		})
	}
}

// Every picture is well-formed XML, holds only shapes and text, and says itself
// in words.
func TestWellFormed(t *testing.T) {
	for name, got := range pictures() {
		t.Run(name, func(t *testing.T) {
			seen := map[string]int{}
			d := xml.NewDecoder(strings.NewReader(got))
			for {
				tok, err := d.Token()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("not well-formed: %v", err)
				}
				if el, ok := tok.(xml.StartElement); ok {
					seen[el.Name.Local]++
					for _, a := range el.Attr {
						if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "style" || a.Name.Local == "href" {
							t.Errorf("attribute %s in <%s>: a strict page would refuse it", a.Name.Local, el.Name.Local)
						}
					}
				}
			}
			for el := range seen {
				switch el {
				case "svg", "title", "desc", "g", "rect", "path", "text":
				default:
					t.Errorf("element <%s> has no place in a picture", el)
				}
			}
			if seen["title"] == 0 || seen["desc"] != 1 {
				t.Errorf("no words for those who can't see it: %v", seen)
			}
		})
	}
}

func TestXMLLint(t *testing.T) {
	peertest.Need(t, "xmllint", "libxml2-utils")
	for name, got := range pictures() {
		if err := lint(t, got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMarksDoNotCoverEachOther: what happened within a minute is written on lines
// of their own, and what finds no line is in the title.
func TestMarksDoNotCoverEachOther(t *testing.T) {
	var marks []Mark
	for i := range 6 {
		marks = append(marks, Mark{t0.Add(time.Duration(i) * time.Second), fmt.Sprintf("order O-%d in force", i)})
	}
	svg := Stack{ID: "p", Title: "x", From: t0, Step: time.Minute, Layers: ContactLayers, Counts: make([][]int, 30), Marks: marks}.SVG()
	at := map[string]int{}
	for _, m := range regexp.MustCompile(`<text class="mark" x="[^"]*" y="([^"]*)"`).FindAllStringSubmatch(svg, -1) {
		at[m[1]]++
	}
	for y, n := range at {
		if n > 1 {
			t.Errorf("%d marks at height %s", n, y)
		}
	}
	if len(at) != 4 || strings.Count(svg, "<title>order O-") != 6 {
		t.Errorf("%d lines of words, %d titles", len(at), strings.Count(svg, "<title>order O-"))
	}
}

func TestDescSaysTheNumbers(t *testing.T) {
	s := Stack{From: t0, Step: time.Minute, Layers: ContactLayers, Counts: [][]int{{1, 0, 2}, {4}, {}}}
	want := "7 contacts from 2026-11-21 09:50:00 to 2026-11-21 09:53:00 UTC: victim 5, mail gateway 2. Most in one bar of 1 min: 4, at 2026-11-21 09:51:00 UTC."
	if diff := cmp.Diff(want, s.Desc()); diff != "" {
		t.Error(diff)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct{ max, want int }{{0, 1}, {1, 1}, {4, 1}, {5, 2}, {9, 5}, {40, 10}, {41, 20}, {1 << 40, 500000000000}} {
		if got := niceTick(c.max, 4); got != c.want {
			t.Errorf("niceTick(%d) = %d, want %d", c.max, got, c.want)
		}
	}
	for span := time.Second; span < 40*365*24*time.Hour; span *= 2 {
		d := timeTick(span, 904)
		if d <= 0 || span/d > 12 {
			t.Errorf("span %v: a label every %v", span, d)
		}
	}
}
