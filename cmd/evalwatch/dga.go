package main

import (
	"fmt"
	"os"

	"github.com/impound/impound/internal/watch/dga/measure"
)

// evalDGA measures the model of impound dga: as it runs, and without any
// top-level domain, which flatters on this data.
func evalDGA(d folder) error {
	tell := func(note string) func(float64, [3]float64) {
		return func(auc float64, recall [3]float64) {
			row("known DGA families against new registrations: AUC"+note, auc, .985)
			row("known DGA families against new registrations: recall at 0.1 %"+note, recall[1], .45)
		}
	}
	if err := measure.Run(measure.Config{Data: string(d), Tell: tell("")}, os.Stdout); err != nil {
		return err
	}
	fmt.Println("\nthe same without any top-level domain:")
	return measure.Run(measure.Config{Data: string(d), NoTLD: true, Tell: tell(", without any TLD feature")}, os.Stdout)
}
