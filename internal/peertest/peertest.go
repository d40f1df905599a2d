// Package peertest finds the real programs that tests run against (dig,
// Unbound, xmllint, curl, Chromium ...) and keeps the list of those that were
// found and those that were not, for the closing lines of make test.
//
// What lives here: finding, saying so, and ports for them to listen on. What must
// not: starting a peer or knowing anything of it; that is the test's own work.
package peertest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Need gives the path of program bin. Where it is not installed, the test is
// skipped with how to install it, or fails when IMPOUND_REQUIRE_PEERS is set,
// as it is in CI. With IMPOUND_PEER_LOG set to a file, a line is added to it
// for each peer.
func Need(t testing.TB, bin, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(bin)
	if err != nil {
		missing(t, bin, "apt-get install "+debianPackage)
	}
	note("found", bin, path)
	return path
}

// NeedThat is Need for a peer that is no program on the path (a Perl module, a
// folder of schemas, a port below 1024): ok says whether it is there, how tells
// what to do when it is not.
func NeedThat(t testing.TB, what string, ok bool, how string) {
	t.Helper()
	if !ok {
		missing(t, what, how)
	}
	note("found", what, "")
}

func missing(t testing.TB, what, how string) {
	t.Helper()
	note("skipped", what, how)
	if os.Getenv("IMPOUND_REQUIRE_PEERS") != "" {
		t.Fatalf("peer %s is not here, and IMPOUND_REQUIRE_PEERS is set: %s", what, how)
	}
	t.Skipf("peer %s is not here: %s", what, how)
}

func note(verdict, what, detail string) {
	log := os.Getenv("IMPOUND_PEER_LOG")
	if log == "" {
		return
	}
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s\t%s\t%s\n", verdict, what, detail)
}
