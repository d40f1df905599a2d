package quickjson

import "github.com/impound/impound"

// Names are what large documents hold most of.
func init() {
	Text(func(s string) (impound.Name, error) {
		if s == "" {
			return impound.Name{}, nil
		}
		return impound.ParseName(s)
	})
}
