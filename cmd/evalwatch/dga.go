package main

import (
	"fmt"
	"os"

	"github.com/impound/impound/internal/watch/dga/measure"
)

// evalDGA measures the model of impound dga: as it runs, and without any
// top-level domain, which flatters on this data.
func evalDGA(d folder) error {
	if err := measure.Run(measure.Config{Data: string(d)}, os.Stdout); err != nil {
		return err
	}
	fmt.Println("\nthe same without any top-level domain:")
	return measure.Run(measure.Config{Data: string(d), NoTLD: true}, os.Stdout)
}
