package web

import "net/url"

// A part is what a page shows of a list that may be long. Exports give all of
// it, unless a limit is asked for.
type part struct{ offset, limit int }

// exported says whether the answer is CSV or JSON.
func exported(q url.Values) bool { return q.Get("format") == "csv" || q.Get("format") == "json" }

// parsePart reads limit and offset for a list of n rows.
func parsePart(q url.Values, n int) (p part, err error) {
	all := pageRows
	if exported(q) {
		all = max(n, 1)
	}
	if p.limit, err = intParam(q, "limit", 1, max(exportRows, all), all); err != nil {
		return p, err
	}
	p.offset, err = intParam(q, "offset", 0, maxOffset, 0)
	if exported(q) && q.Get("limit") == "" {
		p.offset = 0 // the link on a later page gives everything too
	}
	return p, err
}

// cutPart gives the part of list.
func cutPart[T any](list []T, p part) []T {
	list = list[min(p.offset, len(list)):]
	return list[:min(p.limit, len(list))]
}

// pager makes the links to the parts beside p, of n rows in all.
func (p part) pager(path string, q url.Values, n int) *pager {
	shown := min(p.limit, n-min(p.offset, n))
	keep := url.Values{}
	for _, k := range []string{"status", "how", "limit"} {
		if q.Get(k) != "" {
			keep.Set(k, q.Get(k))
		}
	}
	g := turn(path, keep, p.offset, p.limit, shown, n)
	if g != nil {
		g.Words = [2]string{"before", "next"}
	}
	return g
}
