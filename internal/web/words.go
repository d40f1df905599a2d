package web

import (
	"regexp"
	"slices"
	"strings"

	impound "github.com/impound/impound"
)

// sayings put the log's verbs into words. An intent reads "is about to ...", so
// each is given as what is done. What is not listed is shown as it is written,
// so that a new kind of entry is never hidden.
var sayings = map[string]string{
	"people.enrol":        "enrol a person",
	"people.revoke":       "revoke a person's key",
	"case.open":           "open the case",
	"case.close":          "close the case",
	"case.add":            "add a name to the case",
	"candidate.promote":   "promote a candidate to the case",
	"candidate.dismiss":   "dismiss a candidate",
	"order.file":          "file the order",
	"order.check":         "check the order",
	"order.sign":          "sign the order",
	"override.sign":       "sign an override of a gate",
	"gate.run":            "run the gates",
	"seize.plan":          "make a plan",
	"seize.approve":       "approve the plan",
	"seize.apply":         "apply the plan",
	"seize.nameservers":   "change the name servers",
	"seize.lock":          "set the locks",
	"seize.hold":          "put the name on hold",
	"seize.remove-ds":     "remove the DS records",
	"seize.registrant":    "change the registrant",
	"seize.verify":        "verify by looking",
	"sinkhole.policy":     "give the sensor its policy",
	"notify.report":       "write a report",
	"notify.message":      "prepare a message",
	"system.start":        "start",
	"system.stop":         "stop",
	"evidence.capture":    "capture evidence",
	"evidence.checkpoint": "sign a checkpoint",
}

// words says in a sentence what an entry records.
func words(e impound.Entry) string {
	what, ok := sayings[e.What]
	if !ok {
		what = strings.NewReplacer(".", ": ", "-", " ", "_", " ").Replace(e.What)
		if what == "" {
			what = string(e.Type)
		}
	}
	switch e.Type {
	case impound.EntryArtefact:
		if a := e.Artefact; a != nil {
			s := "captured " + a.Kind
			if !a.Name.IsZero() {
				s += " of " + a.Name.Defanged()
			}
			if a.Source != "" {
				s += " from " + defangHosts(a.Source)
			}
			return s
		}
	case impound.EntryIntent:
		what = "about to " + strings.TrimPrefix(what, "about to ")
	case impound.EntryResult:
		how := result(e)
		if how != "" {
			what += ": " + how
		} else {
			what += ": done"
		}
	}
	if !e.Name.IsZero() {
		what += " (" + e.Name.Defanged() + ")"
	}
	return what
}

// result finds what a result entry says of how it went.
func result(e impound.Entry) string {
	_, v := resultOf(e)
	return v
}

func resultOf(e impound.Entry) (key, value string) {
	for _, k := range []string{"error", "err", "result", "outcome", "state", "verdict"} {
		if v := e.Detail[k]; v != "" {
			return k, defangHosts(v)
		}
	}
	return "", ""
}

// details lists the entry's particulars as "key: value", sorted.
func details(e impound.Entry) []string {
	out := []string{}
	for _, k := range sorted(e.Detail) {
		out = append(out, k+": "+defangHosts(e.Detail[k]))
	}
	return out
}

var hostLike = regexp.MustCompile(`(?i)(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)+(?:[a-z]{2,24}|xn--[a-z0-9-]{2,59})\.?`)

// endings of files, which look like names but are none that anybody visits.
var fileEndings = []string{"yaml", "yml", "json", "csv", "xml", "txt", "zip", "html", "pem", "warc", "parquet", "eml", "svg", "pdf", "db", "gz", "tar"}

// defangHosts defangs what looks like a host name inside free text, so that no
// reader of a print or a paste gets a link to it.
func defangHosts(s string) string {
	s = strings.ReplaceAll(s, "http://", "hxxp://")
	s = strings.ReplaceAll(s, "https://", "hxxps://")
	return hostLike.ReplaceAllStringFunc(s, func(h string) string {
		if i := strings.LastIndexByte(h, '.'); slices.Contains(fileEndings, strings.ToLower(h[i+1:])) {
			return h
		}
		return strings.ReplaceAll(h, ".", "[.]")
	})
}

var mailLike = regexp.MustCompile(`(?i)[^/?&=;,\s]*(?:@|%40)`)

// safePath cuts what looks like a mail address's local part out of a request
// path: lures carry the victim's address there, and it is nobody's to read
// here (law 3).
func safePath(p string) string { return mailLike.ReplaceAllString(p, "…@") }
