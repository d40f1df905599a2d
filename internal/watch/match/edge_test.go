package match

import "testing"

// Only keys of no kind are passed over at an edge.
func TestEdgeReal(t *testing.T) {
	for row := range 5 {
		for lane := range 8 {
			none := edgeKeys.key(row, lane, 0)>>keyBits&7 == keyNone>>keyBits
			if real := uint64(edgeReal)>>(row*8+lane)&1 != 0; real == none {
				t.Errorf("row %d, lane %d: passed over %v, of no kind %v", row, lane, !real, none)
			}
		}
	}
}
