package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	impound "github.com/impound/impound"
)

// Filters stand in the URL. A parameter that is unknown, given twice or holds
// what it can't is an error: a mistyped filter that was passed over would show
// more, or less, than its reader believes.

// Limits of one view. Exports may be long, pages not.
const (
	pageRows   = 100
	exportRows = 10000
	maxOffset  = 10_000_000
)

var classes = []impound.Class{impound.ClassVictim, impound.ClassUnclear, impound.ClassMailGate, impound.ClassScanner, impound.ClassResolver, impound.ClassResearcher}

var protos = []impound.Proto{impound.ProtoDNS, impound.ProtoDNST, impound.ProtoHTTP, impound.ProtoTLS, impound.ProtoSMTP, impound.ProtoTCP}

var entryTypes = []impound.EntryType{impound.EntryArtefact, impound.EntryDecision, impound.EntryIntent, impound.EntryResult, impound.EntrySystem}

var candidateStatuses = []string{"open", "promoted", "dismissed"}

// always lists the parameters that every page takes.
var always = []string{"format", "table", "plot", "live"}

// known refuses every parameter that is not in keys.
func known(q url.Values, keys ...string) error {
	for _, k := range sorted(q) {
		if !slices.Contains(keys, k) && !slices.Contains(always, k) {
			e := impound.Errorf(impound.KindInvalid, "there is no filter %q here", k).At(k)
			if len(keys) > 0 {
				e.Cure = "the filters are: " + strings.Join(keys, ", ")
			} else {
				e.Cure = "this page has none"
			}
			return e
		}
		if len(q[k]) > 1 {
			return impound.Errorf(impound.KindInvalid, "the filter %s is given twice", k).At(k).WithCure("give it once")
		}
	}
	return nil
}

func oneOf[T ~string](q url.Values, key string, all []T) (T, error) {
	v := T(q.Get(key))
	if v == "" || slices.Contains(all, v) {
		return v, nil
	}
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = string(a)
	}
	return "", impound.Errorf(impound.KindInvalid, "%q is no %s", string(v), key).At(key).WithCure("use " + strings.Join(words, ", "))
}

func idParam(q url.Values, key string) (string, error) {
	v := q.Get(key)
	if len(v) > 128 || strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", impound.Errorf(impound.KindInvalid, "that is no id").At(key)
	}
	return v, nil
}

func nameParam(q url.Values, key string) (impound.Name, error) {
	v := q.Get(key)
	if v == "" {
		return impound.Name{}, nil
	}
	n, err := impound.ParseName(v)
	if err != nil {
		return n, err.(*impound.Error).At(key)
	}
	return n, nil
}

func intParam(q url.Values, key string, low, high, missing int) (int, error) {
	v := q.Get(key)
	if v == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		return 0, impound.Errorf(impound.KindInvalid, "%.20q is no number from %d to %d", v, low, high).At(key)
	}
	return n, nil
}

func rows(q url.Values) int {
	if f := q.Get("format"); f == "csv" || f == "json" {
		return exportRows
	}
	return pageRows
}

// parseContacts reads the filters of /contacts and /api/v1/contacts.
func parseContacts(q url.Values) (c ContactQuery, err error) {
	if err = known(q, "case", "class", "zone", "proto", "limit", "offset"); err != nil {
		return c, err
	}
	if c.Case, err = idParam(q, "case"); err != nil {
		return c, err
	}
	if c.Class, err = oneOf(q, "class", classes); err != nil {
		return c, err
	}
	if c.Proto, err = oneOf(q, "proto", protos); err != nil {
		return c, err
	}
	if c.Zone, err = nameParam(q, "zone"); err != nil {
		return c, err
	}
	if c.Limit, err = intParam(q, "limit", 1, exportRows, rows(q)); err != nil {
		return c, err
	}
	c.Offset, err = intParam(q, "offset", 0, maxOffset, 0)
	return c, err
}

// encode writes the filters back: parseContacts of it gives c again.
func (c ContactQuery) encode() url.Values {
	q := url.Values{}
	set := func(k, v string) {
		if v != "" {
			q.Set(k, v)
		}
	}
	set("case", c.Case)
	set("class", string(c.Class))
	set("zone", c.Zone.String())
	set("proto", string(c.Proto))
	if c.Limit != pageRows && c.Limit > 0 {
		set("limit", strconv.Itoa(c.Limit))
	}
	if c.Offset > 0 {
		set("offset", strconv.Itoa(c.Offset))
	}
	return q
}

// parseLog reads the filters of /log and /api/v1/log.
func parseLog(q url.Values) (l LogQuery, err error) {
	if err = known(q, "case", "order", "name", "type", "limit", "offset"); err != nil {
		return l, err
	}
	if l.Case, err = idParam(q, "case"); err != nil {
		return l, err
	}
	if l.Order, err = idParam(q, "order"); err != nil {
		return l, err
	}
	if l.Name, err = nameParam(q, "name"); err != nil {
		return l, err
	}
	if l.Type, err = oneOf(q, "type", entryTypes); err != nil {
		return l, err
	}
	if l.Limit, err = intParam(q, "limit", 1, exportRows, rows(q)); err != nil {
		return l, err
	}
	l.Offset, err = intParam(q, "offset", 0, maxOffset, 0)
	return l, err
}

func (l LogQuery) encode() url.Values {
	q := url.Values{}
	set := func(k, v string) {
		if v != "" {
			q.Set(k, v)
		}
	}
	set("case", l.Case)
	set("order", l.Order)
	set("name", l.Name.String())
	set("type", string(l.Type))
	if l.Limit != pageRows && l.Limit > 0 {
		set("limit", strconv.Itoa(l.Limit))
	}
	if l.Offset > 0 {
		set("offset", strconv.Itoa(l.Offset))
	}
	return q
}

// A window is how far back the plot looks, with buckets that give up to some 60
// bars. No bucket is narrower than a minute: an order of capture level count
// lets the sensor keep no finer time.
type window struct {
	Key   string
	Words string
	Len   time.Duration
	Step  time.Duration
}

var windows = []window{
	{"15m", "15 minutes", 15 * time.Minute, time.Minute},
	{"1h", "1 hour", time.Hour, time.Minute},
	{"6h", "6 hours", 6 * time.Hour, 5 * time.Minute},
	{"24h", "24 hours", 24 * time.Hour, 30 * time.Minute},
	{"7d", "7 days", 7 * 24 * time.Hour, 3 * time.Hour},
	{"30d", "30 days", 30 * 24 * time.Hour, 12 * time.Hour},
	{"1y", "1 year", 364 * 24 * time.Hour, 7 * 24 * time.Hour},
}

// pickWindow takes the one that the URL names, else the smallest that holds
// the first contact.
func pickWindow(q url.Values, first, now time.Time) (window, error) {
	keys := make([]string, len(windows))
	for i, w := range windows {
		keys[i] = w.Key
	}
	key, err := oneOf(q, "window", keys)
	if err != nil {
		return window{}, err
	}
	age := time.Duration(0)
	if !first.IsZero() {
		age = now.Sub(first)
	}
	for _, w := range windows {
		if w.Key == key || key == "" && w.Len > age {
			return w, nil
		}
	}
	return windows[len(windows)-1], nil
}

// bounds gives the window's ends; until lies in the future by less than a step,
// so that the newest contact is in the last bar.
func (w window) bounds(now time.Time) (from, until time.Time) {
	step := int64(w.Step / time.Second)
	until = time.Unix((now.Unix()/step+1)*step, 0).UTC()
	return until.Add(-w.Len), until
}
