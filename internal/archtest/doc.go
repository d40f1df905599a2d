// Package archtest holds the picture of docs/architecture.md against the code:
// every package says what it is for, and imports run only in the direction that
// the picture shows. It has tests and nothing else; what must not live here is
// anything that another package could import.
package archtest
