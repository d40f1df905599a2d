// Command evalwatch trains and measures what watch knows, on a folder of data
// that is no part of the project (see its README for the files). It prints the
// figures of detection split by time: learnt on the earlier part, measured on
// the later one. With -train it writes the weights that are built in, learnt
// from the whole folder.
//
//	evalwatch -data FOLDER                      figures of everything
//	evalwatch -data FOLDER -only match          of one part: match, profile, dga
//	evalwatch -data FOLDER -train match -out internal/watch/match
package main

import (
	"bufio"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/impound/impound/internal/benchout"
)

func main() {
	data := flag.String("data", "", "folder with the data")
	train := flag.String("train", "", "write built-in weights instead: background, match, profile (of dga: go run ./internal/watch/dga/train)")
	out := flag.String("out", "", "folder for -train")
	only := flag.String("only", "", "measure one part alone: match, profile, dga")
	flag.Parse()
	if err := run(*data, *train, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "evalwatch:", err)
		os.Exit(1)
	}
}

func run(data, train, out, only string) error {
	if data == "" {
		return fmt.Errorf("no data: give -data FOLDER (make eval-watch DATA=FOLDER)")
	}
	d := folder(data)
	switch train {
	case "":
	case "background":
		return trainBackground(d, out)
	case "match":
		return trainMatch(d, out)
	case "dga":
		return fmt.Errorf("the model of known algorithms is trained by: go run ./internal/watch/dga/train -out FILE DATA")
	case "profile":
		return trainProfile(d, out)
	default:
		return fmt.Errorf("-train %s: there is background, match, profile", train)
	}
	if only == "" || only == "match" {
		if err := evalMatch(d); err != nil {
			return err
		}
	}
	if only == "" || only == "profile" {
		if err := evalProfile(d); err != nil {
			return err
		}
	}
	if only == "" || only == "dga" {
		if err := evalDGA(d); err != nil {
			return err
		}
	}
	return nil
}

type folder string

// row prints a figure beside its bar, and gives it to BENCH_OUT. A bar of 0 is
// none.
func row(measure string, v, bar float64) {
	ok := bar == 0 || v >= bar
	note := ""
	if bar != 0 {
		note = fmt.Sprintf("  bar %.3g", bar)
		if !ok {
			note += "  MISSED"
		}
	}
	fmt.Printf("%-92s %.3f%s\n", measure, v, note)
	benchout.Report("watch: "+measure, v, "share", bar, ok)
}

// rows reads a gzipped tab-separated file.
func (d folder) rows(name string) ([][]string, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return nil, fmt.Errorf("couldn't open the data: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", name, err)
	}
	var out [][]string
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		out = append(out, strings.Split(sc.Text(), "\t"))
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", name, err)
	}
	return out, nil
}
