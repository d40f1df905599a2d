// Package capture takes one name's evidence in full: DNS at the parent and at
// the name's own servers, RDAP or else WHOIS, the TLS chain, HTTP with its
// redirects as WARC/1.1 (ISO 28500:2017), a comparison of what different
// visitors are shown, and what a real browser makes of the page. It gives back
// artefacts; whoever called keeps them.
//
// What lives here: the asking, bounded against hostile answers in octets, time,
// redirects and unpacked size, and barred from every address that is not on the
// public Internet; the WARC writer; the jail in which the browser runs. What
// must not: storing anything, deciding what a page means for a case, carrying
// out what a server sent anywhere but in the jail, or sending a secret of ours
// or of a victim.
//
// # The jail
//
// The browser runs below our own program, started again as "capture-jail", in
// user, mount, network, PID, IPC and UTS namespaces of its own: it sees an
// empty home and the system's programs read-only, none of our files; its
// network holds a loopback and nothing else. The only way out is a listening
// socket that the jail opened there and handed to the parent, which answers it
// as a filtering, recording proxy. Where the machine grants no namespaces there
// is no screenshot, and the capture says so, unless the configuration accepts
// the weak jail.
package capture
