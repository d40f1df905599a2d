// Command train learns the model of generated names from a folder of data that
// is no part of the project, and measures it. See package measure for the files
// in the folder. It uses one core.
//
//	train DATA                      figures: the first half of each family's list and the new registrations
//	                                before -split are learnt, the rest is measured
//	train -by random DATA           as above, with a random half of each family
//	train -no-tld DATA              as above, measured without the top-level domain
//	train -holdout DATA             each family measured by a model that never saw it (slow)
//	train -out FILE DATA            the model that is built in (internal/watch/dga/model.bin), learnt from everything
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"

	"github.com/impound/impound/internal/watch/dga/measure"
)

func main() {
	runtime.GOMAXPROCS(1)
	var c measure.Config
	flag.StringVar(&c.Split, "split", "2024-06-01", "the day that parts the new registrations learnt from those measured")
	flag.StringVar(&c.By, "by", "order", "how a family is halved: random, or order (of its list)")
	flag.StringVar(&c.Out, "out", "", "learn from everything and write the model to this file")
	flag.BoolVar(&c.Holdout, "holdout", false, "measure each family with a model that did not learn from it")
	flag.BoolVar(&c.NoTLD, "no-tld", false, "measure without the top-level domain")
	flag.IntVar(&c.Folds, "folds", 7, "with -holdout: number of models")
	flag.IntVar(&c.Every, "every", 1, "learn from every so manieth new registration")
	flag.IntVar(&c.Model.Epochs, "epochs", 8, "how often everything is gone through")
	flag.Uint64Var(&c.Model.Seed, "seed", 1, "of the pseudo-random numbers")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "train: give one folder of data: train [flags] DATA")
		os.Exit(2)
	}
	c.Data = flag.Arg(0)
	if err := measure.Run(c, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "train:", err)
		os.Exit(1)
	}
}
