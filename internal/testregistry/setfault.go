package testregistry

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
)

// Set sets one fault as people write it: the name of a field of [Faults], in any
// case, "=", and a rate from 0 to 1 ("DropAfter=0.5"), a duration ("RDAPLag=2s"),
// or true or false. Other text is an error of KindInvalid.
func (f *Faults) Set(s string) error {
	name, value, _ := strings.Cut(s, "=")
	v := reflect.ValueOf(f).Elem()
	var names []string
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Name == "Seed" { // has a flag of its own
			continue
		}
		names = append(names, field.Name)
		if !strings.EqualFold(field.Name, name) {
			continue
		}
		switch p := v.Field(i).Addr().Interface().(type) {
		case *float64:
			rate, err := strconv.ParseFloat(value, 64)
			if err != nil || math.IsNaN(rate) || rate < 0 || rate > 1 {
				return impound.Errorf(impound.KindInvalid, "fault %q: %s is a rate from 0 to 1, such as %s=0.5", s, field.Name, field.Name)
			}
			*p = rate
		case *time.Duration:
			d, err := time.ParseDuration(value)
			if err != nil {
				return impound.Errorf(impound.KindInvalid, "fault %q: %s is a duration, such as %s=2s", s, field.Name, field.Name)
			}
			*p = d
		case *bool:
			b, err := strconv.ParseBool(value)
			if err != nil {
				return impound.Errorf(impound.KindInvalid, "fault %q: %s is true or false", s, field.Name)
			}
			*p = b
		}
		return nil
	}
	return impound.Errorf(impound.KindInvalid, "there is no fault %q", name).WithCure("choose of " + strings.Join(names, ", "))
}
