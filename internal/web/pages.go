package web

import (
	"fmt"
	"net/url"

	impound "github.com/impound/impound"
)

func pluralWord(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// listData is a page of one table.
type listData struct {
	Back    string // page above this one
	Intro   string
	Filters []filter
	Table   *table
	Second  *table // nil for most
	Pager   *pager
}

type filter struct {
	Key, Label, Value string
	Options           []string // none: free text
}

type pager struct {
	Text       string
	Prev, Next string
	Words      [2]string // of the two links
}

// turn makes the links to the parts before and after.
func turn(path string, q url.Values, offset, limit, shown, total int) *pager {
	if total <= shown && offset == 0 {
		return nil
	}
	p := &pager{Words: [2]string{"newer", "older"}, Text: fmt.Sprintf("%d to %d of %d", min(offset+1, total), offset+shown, total)}
	at := func(o int) string {
		v := url.Values{}
		for k := range q {
			v.Set(k, q.Get(k))
		}
		v.Del("offset")
		if o > 0 {
			v.Set("offset", fmt.Sprint(o))
		}
		return path + "?" + v.Encode()
	}
	if offset > 0 {
		p.Prev = at(max(0, offset-limit))
	}
	if offset+shown < total {
		p.Next = at(offset + limit)
	}
	return p
}

func zoneText(n impound.Name) string { return n.Defanged() }

func nonNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
