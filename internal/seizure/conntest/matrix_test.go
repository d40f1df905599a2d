package conntest_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/conntest"
	"github.com/impound/impound/internal/seizure/epp"
)

var update = flag.Bool("update", false, "write the matrix in docs/connectors.md anew")

const matrixFile = "../../../docs/connectors.md"

const matrixBegin, matrixEnd = "<!-- matrix: go test ./internal/seizure/conntest -run Matrix -update -->\n", "<!-- end of matrix -->\n"

// rows are what the matrix tells, and how each is read off a declaration.
var rows = []struct {
	title string
	field string // of Capabilities, "" for none
	cell  func(c seizure.Capabilities) string
}{
	{"delegate to other name servers", "Acts", act(impound.ActNameservers)},
	{"remove the DS", "", act(impound.ActRemoveDS)},
	{"give to another registrant", "", act(impound.ActRegistrant)},
	{"renew the registration", "", act(impound.ActRenew)},
	{"delete, where the order lets go", "", act(impound.ActDelete)},
	{"hold", "Holds", func(c seizure.Capabilities) string { return list(c.Holds) }},
	{"lock", "Locks", func(c seizure.Capabilities) string { return list(c.Locks) }},
	{"make hosts", "Hosts", flagged(func(c seizure.Capabilities) bool { return c.Hosts })},
	{"look at what the provider holds", "Looks", flagged(func(c seizure.Capabilities) bool { return c.Looks })},
	{"a change is whole or not at all", "Whole", flagged(func(c seizure.Capabilities) bool { return c.Whole })},
	{"one act at a time", "Singly", flagged(func(c seizure.Capabilities) bool { return c.Singly })},
	{"of two changes at once, one acts", "Guards", flagged(func(c seizure.Capabilities) bool { return c.Guards })},
	{"dry run", "DryRun", flagged(func(c seizure.Capabilities) bool { return c.DryRun })},
	{"tells how a pending change ended", "Poll", flagged(func(c seizure.Capabilities) bool { return c.Poll })},
	{"begins with the others at T0", "Ready", flagged(func(c seizure.Capabilities) bool { return c.Ready })},
	{"asks people, and waits", "Asks", flagged(func(c seizure.Capabilities) bool { return c.Asks })},
}

func act(a impound.Act) func(seizure.Capabilities) string {
	return flagged(func(c seizure.Capabilities) bool { return slices.Contains(c.Acts, a) })
}

func flagged(f func(seizure.Capabilities) bool) func(seizure.Capabilities) string {
	return func(c seizure.Capabilities) string {
		if f(c) {
			return "yes"
		}
		return "-"
	}
}

func list(ss []string) string {
	if len(ss) == 0 {
		return "-"
	}
	var out []string
	for _, s := range ss {
		out = append(out, "`"+s+"`")
	}
	return strings.Join(out, "<br>")
}

// columns are the connectors, made without a provider: to declare, none needs
// one.
func columns(t *testing.T) (titles []string, caps []seizure.Capabilities) {
	t.Helper()
	key, err := seizure.ParseTSIGKey([]byte("hmac-sha256:k:c2VjcmV0LXNlY3JldC1zZWNyZXQ="))
	if err != nil {
		t.Fatal(err)
	}
	add := func(title string, c seizure.Connector, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		titles, caps = append(titles, title), append(caps, c.Capabilities())
	}
	zone := impound.MustName("example")
	r, err := seizure.NewEPP("a", "registry", epp.Config{})
	add("`epp`, registry", r, err)
	r, err = seizure.NewEPP("a", "registrar", epp.Config{})
	add("`epp`, registrar", r, err)
	d, err := seizure.NewDNSUpdate("a", seizure.DNSUpdateConfig{Zone: zone, Server: dead, Key: key})
	add("`dnsupdate`", d, err)
	l, err := seizure.NewLibDNS("a", seizure.LibDNSConfig{Zone: zone, Host: fileHost{}, Now: time.Now})
	add("`libdns`", l, err)
	for _, more := range moreColumns {
		title, c, err := more()
		add(title, c, err)
	}
	return titles, caps
}

// moreColumns are connectors of packages of their own.
var moreColumns []func() (title string, c seizure.Connector, err error)

//go:generate go test . -run TestMatrix -update

// TestMatrix holds docs/connectors.md against the declarations.
func TestMatrix(t *testing.T) {
	titles, caps := columns(t)
	var b strings.Builder
	b.WriteString("| | " + strings.Join(titles, " | ") + " |\n|---|" + strings.Repeat("---|", len(titles)) + "\n")
	for _, r := range rows {
		b.WriteString("| " + r.title)
		for _, c := range caps {
			b.WriteString(" | " + r.cell(c))
		}
		b.WriteString(" |\n")
	}
	// Every field of a declaration stands in a row, and every claim is one that
	// the suite knows.
	typ := reflect.TypeFor[seizure.Capabilities]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		if name == "Kind" || name == "Role" {
			continue // the columns' titles
		}
		k := 0
		for _, r := range rows {
			if r.field == name {
				k++
			}
		}
		if k != 1 {
			t.Errorf("%s stands in %d rows of the matrix", name, k)
		}
	}
	if len(conntest.Claims(seizure.Capabilities{})) != 0 {
		t.Error("who declares nothing claims something")
	}
	doc, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), matrixBegin)
	old, after, ok2 := strings.Cut(rest, matrixEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the matrix", matrixFile)
	}
	if old == b.String() {
		return
	}
	if !*update {
		t.Errorf("%s is stale: go test ./internal/seizure/conntest -run Matrix -update\n%s", matrixFile, cmp.Diff(old, b.String()))
		return
	}
	if err := os.WriteFile(matrixFile, fmt.Append(nil, before, matrixBegin, b.String(), matrixEnd, after), 0o644); err != nil {
		t.Fatal(err)
	}
}
