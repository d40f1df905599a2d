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
	"people.enrol":      "enrol a person",
	"actor.save":        "save the actor",
	"case.open":         "open the case",
	"case.names":        "add names to the case",
	"case.state":        "change the name's state",
	"case.evidence":     "attach evidence to the name",
	"case.note":         "write a note",
	"case.task":         "give a task",
	"case.task-done":    "note a task as done",
	"case.edit":         "change the case's words",
	"case.mark":         "mark the case",
	"case.seal":         "seal the case, or name who may see it",
	"case.party":        "note a party to the case",
	"case.contest":      "note that the name is contested",
	"case.contest-end":  "end a contest",
	"account.add":       "make an account",
	"account.disable":   "close an account",
	"account.locked":    "lock an account",
	"account.password":  "change an account's password",
	"token.add":         "make a token",
	"token.revoke":      "take a token back",
	"custody.alarm":     "alarm: the name is not as it was",
	"seize.observe":     "look at the name",
	"seize.broken":      "a registry's answer that breaks the protocol",
	"candidate.promote": "promote a candidate to the case",
	"candidate.dismiss": "dismiss a candidate",
	"candidate.snooze":  "put a candidate off",
	"candidate.reopen":  "open a candidate again",
	"candidate.lesson":  "say whether a lesson counts",
	"order.file":        "file the order",
	"order.sign":        "sign the order",
	"gate.override":     "sign an override of a gate",
	"seize.plan":        "make a plan",
	"seize.approve":     "approve the plan",
	"seize.host":        "create the name server's host at the registry",
	"seize.update":      "change the name at the registry",
	"seize.verify":      "verify by looking",
	"seize.message":     "message from the registry",
	"sinkhole.policy":   "put the sensor's policy in force",
	"notify.prepare":    "prepare a report",
	"notify.sent":       "note a report as sent",
	"notify.drop":       "delete a report",
	"serve.start":       "start serving",
	"serve.stop":        "stop serving",
	"evidence.repair":   "repair the end of the log",
	"evidence.torn":     "keep a torn line of the log",
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
	case impound.EntryDecision, impound.EntrySystem:
		if from, to := e.Detail["from"], e.Detail["to"]; e.What == "case.state" && to != "" {
			what = "state " + to
			if from != "" {
				what = "state " + from + " → " + to
			}
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
	if t := e.Detail["text"]; t != "" && e.Type != impound.EntryResult {
		what += ": " + defangHosts(t)
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
	for _, k := range []string{"error", "err", "result", "outcome", "text", "state", "verdict"} {
		if v := e.Detail[k]; v != "" {
			return k, defangHosts(v)
		}
	}
	return "", ""
}

// bad says whether a result entry tells of a failure, as far as its words can
// be known.
func bad(e impound.Entry) bool {
	k, v := resultOf(e)
	return k == "error" || k == "err" || strings.HasPrefix(v, "fail") || strings.HasPrefix(v, "refused")
}

// details lists the entry's particulars as "key: value", sorted.
func details(e impound.Entry) []string {
	out := []string{}
	for _, k := range sorted(e.Detail) {
		out = append(out, k+": "+defangHosts(e.Detail[k]))
	}
	return out
}

// machines lists particulars that prove rather than tell: exports have them.
var machines = []string{"sig", "signatures", "key", "frames", "cltrid", "signed_at", "document", "artefact", "artefacts", "done", "gates", "order_hash", "plan_hash", "hash"}

var longHash = regexp.MustCompile(`\b(sha256:[0-9a-f]{12})[0-9a-f]{52}\b`)

// brief is details for the page: hashes shortened, long texts cut, what only a
// machine reads left out, and what the sentence says already.
func brief(e impound.Entry) []string {
	said := "text"
	if e.Type == impound.EntryResult {
		said, _ = resultOf(e)
	}
	var out, small []string
	left := 0
	for _, k := range sorted(e.Detail) {
		if k == said || e.What == "case.state" && (k == "from" || k == "to") {
			continue
		}
		if slices.Contains(machines, k) {
			left++
			continue
		}
		if strings.HasPrefix(e.Detail[k], "0001-01-01T00:00:00") { // a date that nobody knows
			continue
		}
		v := longHash.ReplaceAllString(defangHosts(e.Detail[k]), "$1…")
		if r := []rune(v); len(r) > 240 {
			v = string(r[:240]) + "…"
		}
		if v = k + ": " + v; len(v) <= 40 {
			small = append(small, v)
		} else {
			out = append(out, v)
		}
	}
	if e.Artefact != nil {
		small = append(small, "SHA-256: "+short(e.Artefact.Hash))
	}
	if len(small) > 0 { // short ones share a line
		out = append(out, strings.Join(small, " · "))
	}
	if left > 0 && len(out) == 0 {
		out = append(out, plural(left, "particular", "particulars")+" in the export")
	}
	return out
}

// defangHosts is [impound.DefangText].
func defangHosts(s string) string { return impound.DefangText(s) }

var mailLike = regexp.MustCompile(`(?i)[^/?&=;,\s]*(?:@|%40)`)

// safePath cuts what looks like a mail address's local part out of a request
// path: lures carry the victim's address there, and it is nobody's to read
// here (law 3).
func safePath(p string) string { return mailLike.ReplaceAllString(p, "…@") }
