// Package notify tells network owners that people of theirs followed a lure:
// reports in the form that CSIRTs already read (Shadowserver's CSV, XARF), and a
// plain message that is safe to send.
//
// What lives here: the formats, the message and its lint, the folder of
// prepared reports, sending. What must not: deciding who is a victim (that is
// telemetry), the name of an actor, a live link, a word to a phished mailbox,
// or a victim's address in the evidence log.
//
// # What the report says, and what it does not
//
// A visitor of a phishing site is not an infected machine. The Shadowserver
// layout has no report for that, and readers such as IntelMQ file these reports
// under malicious-code/infected-system. So the words inside tell the truth:
// infection is "phishing-visit", family is empty, tag holds "not-infected", and
// severity is high for a victim and medium for an unclear visit, never
// critical.
//
// # Cells that begin with = + - or @
//
// Host, path, user agent, referer and SNI are written by strangers, and a
// spreadsheet takes such a cell for a formula even when it is quoted. [Guard]
// puts an apostrophe in front of it. No honest client sends such a value, so
// machine readers see a change in hostile cells only, and [Unguard] undoes it.
// Characters that can't be printed are written as \u escapes: a row is always
// one line.
package notify
