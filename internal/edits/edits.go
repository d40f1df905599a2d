// Package edits counts how far two texts are apart.
//
// What lives here: the plain count for a pair of short texts. What must not: what a
// distance means, and search among many, which needs better than a table for each.
package edits

// Distance is what it costs at least to make a into b by octets: to put one in or
// to leave one out costs 1, to replace one what replace says: 1 gives Levenshtein's
// distance, 2 and more that without replacing. It takes len(a) times len(b) steps.
func Distance(a, b string, replace int) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost += replace
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, diag+1)
		}
	}
	return row[len(b)]
}
