// Package web shows the house to people: pages rendered on the server and a
// JSON API that only reads. Every view is a URL, every table comes as CSV and
// JSON too, and an open page follows what happens within about a second by a
// small script of our own; without the script a reload does the same.
//
// What lives here: reading through [Desk], and showing. What must not: a rule of
// the house (the rooms decide, a page only says it), a write but over a case's edit page
// ([Worker]), a request's body (never read, but for the forms: the login, a
// report to be read, a case's edit page), an asset or a link from outside this site, or a
// victim's full address: addresses are cut to /24 and /48 everywhere here,
// exports included; whoever may see them whole uses the command line.
//
// While no account exists the pages are open, and say so: serve them on loopback.
// As soon as there is one, guard asks everybody for a session or a token. What
// somebody may see is not decided here: the principal goes into the context, and
// the Desk asks. The Host header is checked, so that a page elsewhere
// can't reach it by rebinding a name to 127.0.0.1.
package web
