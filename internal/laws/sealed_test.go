package laws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/cli"
	"github.com/impound/impound/internal/testregistry"
	"github.com/impound/impound/internal/web"
)

// Of the sealed case every word has "quiet" in it; of what isn't there, but is
// registered in the same way, "ghost".
const (
	quietCase, ghostCase   = "QUIET-7", "GHOST-7"
	quietOther             = "QUIET-B" // sealed too, of another actor, claims a name of the open case
	quietOrder, ghostOrder = "O-QUIET-7", "O-GHOST-7"
	openOrder              = "O-OPEN"
)

var (
	quietName   = impound.MustName("quiet-verify.net")        // seized, sinkholed, visited
	quietLetter = impound.MustName("quiet-letter.org")        // its registry is asked by a letter
	quietStill  = impound.MustName("quiet-still.net")         // in the case and in no order
	quietFound  = impound.MustName("quiet-outlook-login.com") // watch found it, then it went into the case
	quietClaim  = impound.MustName("quiet-claim.net")         // somebody contests it by the public form
	shared      = impound.MustName("shared-verify.net")
	claimed     = impound.MustName("claimed-verify.net") // of the open order; quietOther has it for APT42
	redName     = impound.MustName("red-verify.net")     // of the open order, marked TLP:RED since
	lentName    = impound.MustName("lent-verify.net")    // so with an originator who was not asked
	papName     = impound.MustName("pap-verify.net")     // so with PAP:RED
	keptNames   = []impound.Name{redName, lentName, papName}
	ghostOf     = func(n impound.Name) impound.Name {
		return impound.MustName(strings.Replace(n.String(), "quiet", "ghost", 1))
	}
)

// sealedWorld is a world in which a sealed case went the whole way beside an
// open one: order, plan, seizure, letter, sinkhole, contacts, reports, claims.
type sealedWorld struct {
	*world
	srv             *app.System
	parties         []string
	password, token string // eve's, who has every role and is no party
	plan, letter    string // of the sealed case
	hash            string // an artefact of it
	claim           string // the reference of a claim on one of its names
}

var quietNames = []impound.Name{quietName, quietLetter, quietStill, quietFound, quietClaim}

func newSealedWorld(t *testing.T) *sealedWorld {
	t.Helper()
	return newSealedWorldLogging(t, nil)
}

func newSealedWorldLogging(t *testing.T, log *slog.Logger) *sealedWorld {
	t.Helper()
	w := &sealedWorld{world: newWorld(t, func(c *testregistry.Config) { c.TLDs = append(c.TLDs, "org") }), parties: []string{"ada", "ben", "carla", "dora", "nora", "olaf"}}
	w.log = log
	id, err := age.GenerateX25519Identity()
	must(t, err)
	a := w.reg.Addrs()
	w.cfg.Asked = []app.AskedConfig{{Provider: "nic-org", Name: "Practice Org Registry", TLDs: []string{"org"}, Role: "registry", Via: "manual", Owner: "olaf", How: "the portal", RDAP: "http://" + a.RDAP.String() + "/", Parents: []string{a.DNS.String()}}}
	w.cfg.Personal.SealTo = []string{id.Recipient().String()}
	w.cfg.Sinkhole.SealTo = []string{id.Recipient().String()}
	w.cfg.Networks = w.text(t, "prefix,asn,name,country,abuse,sector,kind\n127.10.0.0/16,64500,Example University,NL,abuse@university.example,education,access\n")
	w.cfg.Contest = app.ContestConfig{Listen: "127.0.0.1:0", Organisation: "The unit"}
	w.writeConfig(t)
	created := time.Now().UTC().AddDate(0, 0, -20).Truncate(time.Second)
	var ds []testregistry.Domain
	for _, n := range slices.Concat(quietNames, keptNames, []impound.Name{shared, claimed}) {
		for _, n := range slices.Compact([]impound.Name{n, ghostOf(n)}) {
			ds = append(ds, testregistry.Domain{Name: n, Registrar: "CHEAP-NAMES", Created: created, Expiry: created.AddDate(1, 0, 0), NS: []impound.Name{impound.MustName("ns1.bulk-host.example"), impound.MustName("ns2.bulk-host.example")}})
		}
	}
	must(t, w.reg.Register(ds...))
	roles := []string{"people", "add", "eve", "--as", "ada"}
	for _, r := range impound.Roles {
		roles = append(roles, "--role", string(r))
	}
	w.did(t, roles...)
	w.did(t, "account", "add", "ada", "--as", "ada")
	w.password = w.did(t, "account", "add", "eve", "--as", "ada")
	w.token = w.did(t, "token", "add", "--scope", "cases", "--scope", "contacts", "--scope", "candidates", "--scope", "log", "--as", "eve")
	w.did(t, "actor", "add", "APT42", "--as", "ada")

	// What watch finds is there before the case.
	found := w.text(t, quietFound.String()+"\n"+ghostOf(quietFound).String()+"\n")
	w.did(t, "watch", "screen", found, "--threshold", "0", "--keep", "--as", "ada")
	w.did(t, "case", "add", caseID, w.text(t, fmt.Sprintf("%s\n%s\n%s\n%s\n%s\n", shared, claimed, redName, lentName, papName)), "--as", "ada")
	for _, k := range []struct {
		id, actor string
		names     []impound.Name
	}{{quietCase, "APT35", []impound.Name{quietName, quietLetter, quietStill, quietClaim, shared}}, {quietOther, "APT42", []impound.Name{claimed}}} {
		w.did(t, "case", "open", k.id, "--title", "Quiet work", "--actor", k.actor, "--as", "ada")
		args := []string{"case", "seal", k.id, "--why", "quiet court", "--as", "ada"}
		for _, p := range w.parties {
			args = append(args, "--party", p)
		}
		w.did(t, args...)
		var lines strings.Builder
		for _, n := range k.names {
			fmt.Fprintf(&lines, "%s %s\n", n, time.Now().UTC().AddDate(0, 0, -3).Format(time.DateOnly))
		}
		w.did(t, "case", "add", k.id, w.text(t, lines.String()), "--as", "ada")
	}
	w.did(t, "watch", "promote", quietFound.String(), "--case", quietCase, "--as", "ada")
	w.did(t, "case", "task", "add", quietCase, "quiet task", "--as", "ada")
	w.did(t, "case", "party", "add", quietCase, "Quiet Institute", "--kind", "victim", "--contact", "quiet@institute.example", "--as", "ada")
	w.did(t, "case", "mark", quietCase, "--tlp", "red", "--as", "ada")
	w.did(t, "case", "asked", quietName.String(), quietLetter.String(), "--why", "quiet ticket", "--as", "ada")
	w.did(t, "case", "notice", quietName.String(), quietLetter.String(), "--why", "quiet letter", "--as", "carla")
	for _, v := range []string{"asked", "notice", "consent", "contest"} {
		w.did(t, "case", v, quietStill.String(), quietClaim.String(), "--why", "quiet "+v, "--as", "carla")
	}
	w.did(t, "evidence", "add", w.text(t, "quiet paper of the shared name"), "--case", quietCase, "--name", shared.String(), "--as", "ada")
	w.did(t, "evidence", "add", w.text(t, "quiet paper"), "--case", quietCase, "--name", quietStill.String(), "--as", "ada")
	w.did(t, "evidence", "capture", quietName.String(), quietLetter.String(), "--light", "--case", quietCase, "--as", "ada")
	w.did(t, "evidence", "capture", claimed.String(), "--light", "--case", caseID, "--as", "ada")

	// Orders of both, in force and applied.
	s := w.open(t)
	from, until := time.Now().Add(-time.Minute), time.Now().Add(48*time.Hour)
	w.file(t, s, terms{id: openOrder, names: append([]impound.Name{live, claimed}, keptNames...), from: from, until: until})
	w.fileFor(t, s, quietCase, terms{id: quietOrder, names: []impound.Name{quietName, quietLetter}, from: from, until: until, capture: impound.CaptureLure,
		deadlines: []impound.Deadline{{What: "quiet hearing", Due: until.UTC().Truncate(time.Second), Who: "counsel"}}})
	must(t, s.Close())
	for _, o := range []string{openOrder, quietOrder} {
		w.plan = w.planned(t, o)
		w.did(t, "seize", "approve", w.plan, "--as", "ben")
		w.did(t, "seize", "approve", w.plan, "--as", "dora")
		w.cli(t, "seize", "apply", w.plan, "--as", "olaf") // 6: a letter was sent, and nothing seen yet
	}
	var ls []struct{ ID string }
	must(t, json.Unmarshal([]byte(w.did(t, "seize", "letters", "--json", "--as", "ada")), &ls))
	if len(ls) != 1 {
		t.Fatalf("%d letters were written", len(ls))
	}
	w.letter = ls[0].ID
	w.did(t, "seize", "answer", w.letter, "--text", "quiet words on the telephone", "--as", "olaf")
	var es []struct{ Entry impound.Entry }
	must(t, json.Unmarshal([]byte(w.did(t, "evidence", "list", "--case", quietCase, "--limit", "500", "--json", "--as", "ada")), &es))
	for _, e := range es {
		if e.Entry.Artefact != nil && e.Entry.Name == quietStill {
			w.hash = e.Entry.Artefact.Hash
		}
	}
	if w.hash == "" {
		t.Fatalf("no artefact among %d entries", len(es))
	}

	// The registry and the public write in.
	must(t, w.reg.Notify("IMPOUND", "Domain "+quietName.String()+" was updated by the registry."))
	w.did(t, "seize", "poll", "--as", "olaf")
	w.srv = w.serve(t)
	ask(t, w.srv, quietStill) // in no order: it is refused, and recorded as such
	visit(t, browser(w.srv.Addrs()["http"][0]), quietStill)
	for _, n := range append([]impound.Name{live, quietName}, keptNames...) {
		if got := ask(t, w.srv, n); got != dns.RcodeSuccess {
			t.Fatalf("the sinkhole doesn't answer for %s: %s", n, dns.RcodeToString[got])
		}
		victim(t, w.srv.Addrs()["http"][0], n)
	}
	w.did(t, "case", "mark", caseID, redName.String(), "--tlp", "red", "--as", "ada")
	w.did(t, "case", "mark", caseID, lentName.String(), "--originator", "Example Bank", "--as", "ada")
	w.did(t, "case", "mark", caseID, papName.String(), "--pap", "red", "--as", "ada")
	p, err := http.PostForm("http://"+w.srv.Addrs()["contest"][0]+"/contest", url.Values{"name": {quietClaim.String()}, "who": {"Quiet " + personal[7]}, "contact": {personal[8] + "@owner.example"}, "why": {"mine, quietly, " + personal[9]}})
	must(t, err)
	p.Body.Close()
	var claims []app.ClaimRow
	must(t, json.Unmarshal([]byte(w.did(t, "contest", "list", "--json", "--as", "ada")), &claims))
	for id, n := range map[string]impound.Name{caseID: live, quietCase: quietName} {
		lure := "From: Somebody <" + personal[3] + "@sender.example>\r\nTo: <" + personal[4] + "@victim.example>\r\nSubject: " + personal[5] + "\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <a@sender.example>\r\nContent-Type: text/plain\r\n\r\n" + personal[6] + ": look at http://" + n.String() + "/?u=" + personal[4] + "\r\n"
		path := filepath.Join(t.TempDir(), "lure.eml")
		must(t, os.WriteFile(path, []byte(lure), 0o600))
		w.did(t, "evidence", "add", path, "--case", id, "--name", n.String(), "--as", "ada")
	}
	if len(claims) != 1 {
		t.Fatalf("%d claims came in", len(claims))
	}
	w.claim = claims[0].Ref
	w.caughtUp(t)
	_, err = w.srv.Custody(impound.AsSystem(t.Context()))
	must(t, err)
	_, err = w.srv.Nightly(impound.AsSystem(t.Context()))
	must(t, err)
	return w
}

// victim visits a name as a person does who was sent a lure: from a network that
// somebody is responsible for, with a token in the path.
func victim(t testing.TB, addr string, n impound.Name) {
	t.Helper()
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: victimOf(n)}}).DialContext(ctx, "tcp", addr)
	}}}
	q, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+n.String()+"/login/"+personal[0]+"@victim.example/"+personal[1]+"?id="+personal[2], nil)
	must(t, err)
	q.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36")
	q.Header.Set("Accept-Language", "nl")
	q.Header.Set("Accept", "text/html")
	p, err := c.Do(q)
	must(t, err)
	p.Body.Close()
	c.CloseIdleConnections()
}

// victimOf is the address that n's victim has.
func victimOf(n impound.Name) net.IP { return net.IPv4(127, 10, byte(len(n.String())), n.String()[0]) }

// personal are marks that stand where personal data does: a mailbox in a path, a
// lure's token, one in a query, and what a mail and a claim hold.
var personal = []string{"xqmailboxzj", "xqT0ken7Lure9Q2wzj", "xqqueryzj", "xqsenderzj", "xqaddresseezj", "xqsubjectzj", "xqbodyzj", "xqwritername", "xqwriterdesk", "xqwriterwhy"}

// fileFor files an order of another case than the world's.
func (w *world) fileFor(t testing.TB, s *app.System, id string, o terms) {
	t.Helper()
	data := mustRead(t, w.draft(t, s, o))
	path := filepath.Join(t.TempDir(), o.id+".yaml")
	must(t, os.WriteFile(path, bytes.Replace(data, []byte("case: "+caseID+"\n"), []byte("case: "+id+"\n"), 1), 0o600))
	w.sign(t, s, path, "ben", "dora")
	_, err := s.Casework.FileOrder(impound.WithPrincipal(t.Context(), impound.Principal{ID: "carla"}), "carla", path, mustRead(t, path))
	must(t, err)
}

func (w *world) planned(t testing.TB, order string) string {
	t.Helper()
	var p struct{ Plan struct{ ID string } }
	must(t, json.Unmarshal([]byte(w.did(t, "seize", "plan", order, "--json", "--as", "olaf")), &p))
	return p.Plan.ID
}

// did runs a command that must succeed, and gives what it prints.
func (w *world) did(t testing.TB, args ...string) string {
	t.Helper()
	code, out, errs := w.cli(t, args...)
	if code != cli.ExitOK {
		t.Fatalf("impound %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return strings.TrimSpace(out)
}

func (w *world) text(t testing.TB, s string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "text.txt")
	must(t, os.WriteFile(path, []byte(s), 0o600))
	return path
}

var stamps = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?Z?)?|\d+ (seconds?|minutes?) ago|as of [^<]*|in \d+(\.\d+)?(ms|s|µs)|/[^ "]*/\d+/|sha256:[0-9a-f]{64}|key_id[^,]*|[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==|\b[0-9a-f]{32}\b`)

// lineNo is the number of a line of the log: what eve writes of the one name
// comes before what she writes of the other.
var lineNo = regexp.MustCompile(`\d+\tT\t`)

// plainly makes what was answered of the sealed what is answered of the missing,
// where nothing but the asker's own words differ.
func (w *sealedWorld) plainly(s string) string {
	return lineNo.ReplaceAllString(stamps.ReplaceAllString(strings.NewReplacer(w.plan, "P-0123456789abcdef", w.letter, "L-0123456789abcdef", w.hash, "sha256:"+strings.Repeat("0", 64), w.claim, "CL-aaaaaaaaaa",
		"QUIET", "GHOST", "Quiet", "Ghost", "quiet", "ghost").Replace(s), "T"), "N\tT\t")
}

var lineNos = regexp.MustCompile(`(?m)^\s*\d{1,9}\t`)

// Commands that read nothing of any case, each with why.
var caseless = map[string]string{
	"account add": "accounts", "account disable": "accounts", "account list": "accounts", "account password": "accounts",
	"token add": "tokens", "token revoke": "tokens", "token list": "tokens",
	"people add": "people", "people key": "people", "people list": "people",
	"actor add": "actors are everybody's", "actor drop": "actors are everybody's", "actor import": "actors are everybody's",
	"capture-jail": "a browser's jail", "config check": "the configuration", "config init": "the configuration", "config reference": "the configuration", "config show": "the configuration",
	"case open": "an id that is taken is refused: docs/trust.md says so, and ids of sealed cases can't be guessed",
	"demo":      "a state of its own", "serve": "the pages are tried below", "version": "the program", "dga": "standard input", "twist": "its argument", "match": "standard input",
	"lists update": "lists", "registry update": "registries", "sensor key": "a key", "sensor enrol": "sensors", "sensor revoke": "sensors",
	"sinkhole import": "a folder that the asker holds", "watch run": "streams", "watch release": "streams",
	"evidence checkpoint": "the signed head: whoever sits at the machine has the file", "evidence verify": "the files: whoever sits at the machine has them",
	"sensor policy": "a bundle for a sensor, which must hold every name that it answers for: operators and admins make it",
}

// Eve holds every role and is no party to the seals. Every command that the
// program has, every page and every address of its API is tried: what lists must
// hold no word of the sealed case, and what asks for it must be answered as what
// asks for one that isn't there, by the same words and exit code.
func TestEveryWayToASealedCase(t *testing.T) {
	w := newSealedWorld(t)
	tries := 0
	leak := func(way, got string) {
		t.Helper()
		tries++
		low := strings.ReplaceAll(strings.ToLower(got), "quiet-outlook", "found") // watch found it, and shows it as before
		for _, word := range []string{"quiet", strings.ToLower(w.plan), strings.ToLower(w.letter), w.hash[7:], strings.ToLower(w.claim)} {
			if i := strings.Index(low, word); i >= 0 {
				t.Errorf("%s shows %q", way, low[max(0, i-80):min(len(low), i+80)])
			}
		}
	}
	alike := func(way, sealed, missing string) {
		t.Helper()
		tries++
		// Of what she did herself each line of the log has a number of its own.
		if a, b := lineNos.ReplaceAllString(w.plainly(sealed), "N\t"), lineNos.ReplaceAllString(w.plainly(missing), "N\t"); a != b {
			i := 0
			for i < len(a) && i < len(b) && a[i] == b[i] {
				i++
			}
			t.Errorf("%s tells a sealed case from a missing one:\nsealed:  %.600s\nmissing: %.600s", way, a[max(0, i-200):], b[max(0, i-200):])
		}
	}

	// A party sees it everywhere: else the words that are looked for stand nowhere.
	for _, cmd := range [][]string{
		{"case", "list"}, {"order", "list"}, {"order", "deadlines"}, {"seize", "list"}, {"seize", "letters"}, {"seize", "letter", w.letter}, {"contest", "list"}, {"contacts", "list"}, {"sinkhole", "status"},
		{"sinkhole", "events"}, {"evidence", "list", "--limit", "500"}, {"evidence", "show", w.hash}, {"order", "affidavit", quietOrder}, {"order", "appendix", quietOrder, "--format", "csv"}, {"case", "show", quietOther},
	} {
		code, out, errs := w.cli(t, append(slices.Clone(cmd), "--as", "ada")...)
		if !strings.Contains(strings.ToLower(out+errs), "quiet") {
			t.Errorf("ada, a party, does not see it by %v: %d %.300s%.300s", cmd, code, out, errs)
		}
	}

	report := w.text(t, "APT35, which others call by many names, used "+quietStill.Defanged()+" and "+live.Defanged()+" against journalists.")
	ghostReport := w.text(t, "APT35, which others call by many names, used "+ghostOf(quietStill).Defanged()+" and "+live.Defanged()+" against journalists.")
	s := w.open(t)
	sure := func(id string, n impound.Name) string {
		data := mustRead(t, w.draft(t, s, terms{id: id, names: []impound.Name{n, live}, from: time.Now(), until: time.Now().Add(time.Hour)}))
		path := filepath.Join(t.TempDir(), "order.yaml")
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	asksQuiet, asksGhost := sure("O-EVE", quietStill), sure("O-EVE", ghostOf(quietStill))
	claimDoc := sure("O-EVE-2", claimed)
	must(t, s.Close())
	out := func(name string) string { return filepath.Join(t.TempDir(), name) }

	// lists are commands that show what there is; asks are about the sealed case.
	lists := [][]string{
		{"actor", "list"}, {"actor", "list", "--json"}, {"actor", "rank", "APT35"}, {"actor", "show", "APT35"}, {"case", "list"}, {"case", "list", "--json"}, {"case", "show", caseID}, {"case", "show", caseID, "--json"}, {"case", "task", "list", caseID}, {"case", "party", "list", caseID},
		{"case", "decisions", shared.String()}, {"case", "decisions", claimed.String()}, {"case", "decisions", claimed.String(), "--json"},
		{"contacts", "count"}, {"contacts", "count", "--json"}, {"contacts", "gaps"}, {"contacts", "list"}, {"contacts", "list", "--json"}, {"contacts", "victims"}, {"contacts", "victims", "--json"}, {"contest", "list"}, {"contest", "list", "--json"},
		{"evidence", "export", caseID, "--out", out("x.zip")}, {"evidence", "list", "--limit", "1000"}, {"evidence", "list", "--json", "--limit", "1000"}, {"evidence", "list", "--what", "seize"}, {"evidence", "list", "--name", shared.String()}, {"evidence", "seal"},
		{"lists", "show"}, {"lists", "show", "--json"}, {"notify", "list"}, {"notify", "list", "--json"}, {"notify", "prepare", caseID},
		{"order", "affidavit", openOrder}, {"order", "appendix", openOrder, "--format", "json"}, {"order", "check", claimDoc}, {"order", "check", claimDoc, "--json"}, {"order", "deadlines"}, {"order", "deadlines", "--json"}, {"order", "draft", caseID}, {"order", "gates", openOrder},
		{"order", "list"}, {"order", "list", "--json"}, {"order", "supplement", openOrder, "--from-case", caseID, "--id", "O-S", "--clause", "7"},
		{"registry", "list"}, {"seize", "drift", openOrder}, {"seize", "follow", openOrder}, {"seize", "inbox"}, {"seize", "letters"}, {"seize", "letters", "--json"}, {"seize", "list"}, {"seize", "list", "--json"}, {"seize", "plan", openOrder}, {"seize", "poll"}, {"seize", "status", openOrder},
		{"seize", "verify", openOrder}, {"seize", "watch"}, {"seize", "watch", "--json"}, {"seize", "watch", openOrder}, {"sensor", "list"}, {"share", "export", "--format", "json", "--clearance", "red"}, {"share", "export", "--format", "misp", "--dir", out("feed"), "--clearance", "red"},
		{"sinkhole", "events"}, {"sinkhole", "status"}, {"sinkhole", "status", "--json"}, {"watch", "status"}, {"watch", "status", "--events"},
	}
	asks := [][]string{
		{"case", "show", quietCase}, {"case", "show", quietCase, "--json"}, {"case", "task", "list", quietCase}, {"case", "party", "list", quietCase}, {"case", "decisions", quietName.String()}, {"case", "decisions", quietStill.String(), "--json"},
		{"contacts", "count", "--case", quietCase}, {"contacts", "count", "--name", quietName.String()}, {"contacts", "list", "--case", quietCase, "--json"}, {"contacts", "list", "--name", quietName.String(), "--json"}, {"contacts", "victims", "--case", quietCase},
		{"evidence", "export", quietCase, "--out", out("q.zip")}, {"evidence", "list", "--case", quietCase}, {"evidence", "list", "--case", quietCase, "--json"}, {"evidence", "list", "--order", quietOrder}, {"evidence", "list", "--name", quietName.String()}, {"evidence", "show", w.hash},
		{"notify", "list", quietCase}, {"order", "affidavit", quietOrder}, {"order", "appendix", quietOrder}, {"order", "check", asksQuiet}, {"order", "check", asksQuiet, "--json"}, {"order", "deadlines", quietOrder}, {"order", "diff", openOrder, quietOrder}, {"order", "draft", quietCase},
		{"order", "gates", quietOrder}, {"order", "show", quietOrder}, {"order", "supplement", quietOrder, "--from-case", quietCase, "--id", "O-S", "--clause", "7"}, {"order", "supplement", openOrder, "--from-case", quietCase, "--id", "O-S", "--clause", "7"},
		{"registry", "show", quietStill.String()}, {"seize", "drift", quietOrder}, {"seize", "letters", quietOrder}, {"seize", "letter", w.letter}, {"seize", "list", quietOrder}, {"seize", "show", w.plan}, {"seize", "status", quietOrder}, {"seize", "verify", quietOrder}, {"seize", "watch", quietOrder},
		{"case", "intake", report}, {"case", "intake", report, "--json"}, {"evidence", "list", "--what", "contest.", "--name", quietClaim.String()},
		{"notify", "show", "R-" + quietCase}, {"watch", "seen", quietName.String()}, {"watch", "seen", quietStill.String(), "--json"}, {"watch", "graph", quietName.String()}, {"watch", "graph", quietStill.String(), "--format", "json"}, {"watch", "graph", quietStill.String(), "--format", "dot"},
	}
	// acts would change it, or a name of it.
	acts := [][]string{
		{"case", "add", quietCase, w.text(t, "x-verify.net\n")}, {"case", "edit", quietCase, "--title", "x"}, {"case", "mark", quietCase, "--tlp", "clear"}, {"case", "mark", quietCase, quietName.String(), "--tlp", "clear"}, {"case", "mark", caseID, quietStill.String(), "--tlp", "clear"},
		{"case", "party", "add", quietCase, "x", "--kind", "victim"}, {"case", "seal", quietCase, "--party", "eve", "--why", "x"}, {"case", "unseal", quietCase, "--why", "x"}, {"case", "task", "add", quietCase, "x"}, {"case", "task", "done", quietCase, "T1"},
		{"case", "seen", quietCase, "2026-01-01", quietName.String()}, {"case", "intake", report, "--into", quietCase, "--tick", "proposed"}, {"contest", "dismiss", w.claim, "--why", "x"},
		{"evidence", "add", w.text(t, "x"), "--case", quietCase}, {"evidence", "capture", quietStill.String(), "--light", "--case", quietCase}, {"evidence", "capture", "--all", "--light", "--case", quietCase}, {"evidence", "redact", w.hash, w.text(t, "y"), "--why", "x"},
		{"notify", "prepare", quietCase}, {"notify", "send", "R-" + quietCase}, {"notify", "sent", "R-" + quietCase, "--how", "x"}, {"order", "override", quietName.String(), "--gate", "G4-co-tenancy", "--reason", "x", "--approver", "eve", "--approver", "ben"},
		{"order", "withdraw", quietOrder, "--why", "x"}, {"seize", "plan", quietOrder}, {"seize", "approve", w.plan}, {"seize", "apply", w.plan}, {"seize", "answer", w.letter, "--text", "x"}, {"seize", "settle", w.letter, "--close", "--why", "x"}, {"seize", "follow", quietOrder},
		{"seize", "release", quietOrder, quietName.String()}, {"seize", "revert", quietOrder}, {"watch", "promote", quietFound.String(), "--case", quietCase}, {"watch", "promote", quietStill.String(), "--case", caseID},
		{"watch", "enrich", quietStill.String()},
		{"order", "sign", asksQuiet}, {"order", "file", asksQuiet}, {"watch", "screen", w.text(t, quietStill.String()+"\n"), "--threshold", "0"},
		{"case", "attribute", quietStill.String(), "--actor", "APT42", "--why", "x"}, {"case", "asked", quietStill.String(), "--why", "x"}, {"case", "notice", quietStill.String(), "--why", "x"}, {"case", "consent", quietStill.String(), "--why", "x"},
		{"case", "contest", quietStill.String(), "--why", "x"},
		{"watch", "dismiss", quietStill.String(), "--why", "x"}, {"watch", "dismiss", quietFound.String(), "--why", "x"}, {"watch", "list", "--status", "dismissed"}, {"watch", "list"},
		{"watch", "reopen", quietFound.String()}, {"watch", "snooze", quietFound.String(), "--until", "14d"}, {"watch", "reopen", quietStill.String()}, {"watch", "list", "--case", quietCase, "--status", "all"},
		{"watch", "seen", quietName.String()}, {"watch", "seen", quietFound.String()}, {"watch", "graph", quietName.String()}, {"watch", "graph", quietFound.String(), "--steps", "3", "--hubs"}, {"watch", "enrich", quietStill.String()},
		{"watch", "seen", quietName.String()}, {"watch", "graph", quietName.String()}, {"watch", "enrich", quietStill.String(), "--level", "registry"}, {"watch", "seen", quietStill.String()}, {"watch", "graph", "ns:ns1.bulk-host.example"},
		{"watch", "reopen", quietFound.String()}, {"watch", "promote", quietFound.String(), "--case", quietCase, "--supplement", "--clause", "7"}, {"watch", "dismiss", quietFound.String(), "--reason", "chance"}, {"watch", "lessons"},
	}
	other := strings.NewReplacer(report, ghostReport, asksQuiet, asksGhost)
	who := func(cmd []string, as string) []string {
		cmd = slices.Clone(cmd)
		if as != "" {
			cmd = append(cmd, "--as", as)
		}
		return cmd
	}
	missing := func(cmd []string) []string {
		cmd = slices.Clone(cmd)
		for i, a := range cmd {
			if a = other.Replace(a); !strings.ContainsRune(a, os.PathSeparator) {
				a = w.plainly(a)
			}
			cmd[i] = a
		}
		return cmd
	}
	tried := map[string]bool{}
	ask := func(as string) {
		t.Helper()
		for _, cmd := range asks {
			c1, o1, e1 := w.cli(t, who(cmd, as)...)
			c2, o2, e2 := w.cli(t, who(missing(cmd), as)...)
			alike(fmt.Sprintf("impound %v by %q", cmd, as), fmt.Sprint(c1, o1, e1), fmt.Sprint(c2, o2, e2))
		}
	}
	for _, as := range []string{"eve", ""} {
		for _, cmd := range lists {
			c, o, e := w.cli(t, who(cmd, as)...)
			leak(fmt.Sprintf("impound %v by %q (%d)", cmd, as, c), o+e)
		}
		ask(as)
	}
	for _, all := range [][][]string{lists, asks, acts} {
		for _, cmd := range all {
			for n := 1; n <= min(3, len(cmd)); n++ {
				tried[strings.Join(cmd[:n], " ")] = true
			}
		}
	}
	for _, c := range cli.Commands() {
		if !tried[c] && caseless[c] == "" {
			t.Errorf("impound %s is not tried on a sealed case: try it, or say why it can't show one", c)
		}
	}

	// The pages and the API, with a login and with a token.
	base := "http://" + w.srv.Addrs()["web"][0]
	jar, err := cookiejar.New(nil)
	must(t, err)
	c := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	answer := func(q *http.Request) (string, string) {
		t.Helper()
		p, err := c.Do(q)
		must(t, err)
		defer p.Body.Close()
		b, err := io.ReadAll(p.Body)
		must(t, err)
		return fmt.Sprint(p.Status, " ", p.Request.URL.Path, p.Header["Content-Disposition"]), string(b)
	}
	get := func(path, bearer string) string {
		t.Helper()
		q, err := http.NewRequest("GET", base+path, nil)
		must(t, err)
		if bearer != "" {
			q.Header.Set("Authorization", "Bearer "+bearer)
		}
		head, body := answer(q)
		return head + "\n" + body
	}
	logIn(t, c, base, "eve", w.password)
	form := func(page string) string {
		m := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(get(page, ""))
		if m == nil {
			t.Fatalf("%s has no form", page)
		}
		return m[1]
	}
	post := func(path string, v url.Values) string {
		t.Helper()
		q, err := http.NewRequest("POST", base+path, strings.NewReader(v.Encode()))
		must(t, err)
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		head, body := answer(q)
		return head + "\n" + body
	}
	fill := func(pattern, id, order, plan, name string) string {
		p := strings.NewReplacer("{$}", "", "{name}", name).Replace(pattern)
		switch {
		case strings.Contains(pattern, "/orders/"):
			return strings.Replace(p, "{id}", order, 1)
		case strings.Contains(pattern, "/letters/"):
			if id == quietCase {
				return strings.Replace(p, "{id}", w.letter, 1)
			}
			return strings.Replace(p, "{id}", "L-0000000000000000", 1) // none is of the open case
		case strings.Contains(pattern, "/plans/"):
			return strings.Replace(p, "{id}", plan, 1)
		}
		return strings.Replace(p, "{id}", id, 1)
	}
	openPlan := w.planned(t, openOrder)
	for _, pattern := range append(web.Routes(), "/intake", "/cases/{id}/edit") {
		bearer := ""
		if strings.HasPrefix(pattern, "/api/") {
			bearer = w.token
		}
		there := fill(pattern, caseID, openOrder, openPlan, live.String())
		variants := []string{"", "?live=1", "?format=csv", "?format=json", "?format=svg&plot=over-time"}
		if bearer != "" {
			variants = variants[:1]
		}
		for _, v := range variants {
			got := get(there+v, bearer)
			if v == "" && !strings.HasPrefix(got, "200") && !strings.Contains(pattern, "/letters/") {
				t.Errorf("GET %s: %.300s", there, got)
			}
			leak("GET "+there+v, got)
		}
		if there != fill(pattern, "x", "x", "x", "x") {
			for _, v := range variants {
				q := fill(pattern, quietCase, quietOrder, w.plan, quietName.String()) + v
				alike("GET "+q, get(q, bearer), get(w.plainly(q), bearer))
			}
		}
		if strings.HasSuffix(pattern, "{name}") {
			for _, n := range quietNames {
				q := fill(pattern, caseID, "", "", n.String())
				alike("GET "+q, get(q, bearer), get(w.plainly(q), bearer))
			}
		}
		for _, v := range []string{"?case=" + quietCase, "?name=" + quietName.String(), "?zone=" + quietName.String(), "?order=" + quietOrder, "?q=quiet"} {
			if there == fill(pattern, "x", "x", "x", "x") {
				alike("GET "+there+v, get(there+v, bearer), get(there+w.plainly(v), bearer))
			}
		}
	}
	for _, status := range []string{"open", "promoted", "dismissed"} {
		leak("GET /candidates?status="+status, get("/candidates?status="+status, ""))
		leak("GET /watch?status="+status, get("/watch?status="+status, ""))
		leak("GET /watch as CSV, status "+status, get("/watch?format=csv&status="+status, ""))
		leak("GET /api/v1/candidates?status="+status, get("/api/v1/candidates?status="+status, w.token))
	}
	// A report that is pasted, a case that is changed.
	alike("POST /intake", post("/intake", url.Values{"form": {form("/intake")}, "text": {string(mustRead(t, report))}}), post("/intake", url.Values{"form": {form("/intake")}, "text": {string(mustRead(t, ghostReport))}}))
	csrf := form("/cases/" + caseID + "/edit")
	for _, v := range []url.Values{{"what": {"words"}, "title": {"x"}, "rev": {"1"}}, {"what": {"task"}, "title": {"x"}}, {"what": {"state"}, "name": {quietName.String()}, "state": {"evidenced"}}, {"what": {"names"}, "names": {"x-verify.net"}}} {
		v.Set("form", csrf)
		u := url.Values{}
		for k, x := range v {
			u.Set(k, w.plainly(x[0]))
		}
		u.Set("form", csrf)
		alike(fmt.Sprint("POST edit ", v["what"]), post("/cases/"+quietCase+"/edit", v), post("/cases/"+ghostCase+"/edit", u))
	}
	// Promoted into it, with a draft: what isn't there can't be told from what is sealed.
	for _, draft := range []string{"", "1"} {
		into := func(id string) string {
			return post("/watch", url.Values{"form": {form("/watch")}, "pick": {live.String() + " 0 "}, "do": {"promote"}, "case": {id}, "supplement": {draft}, "clause": {"7"}})
		}
		alike("POST /watch, promote, draft "+draft, into(quietCase), into(ghostCase))
	}
	for _, cmd := range acts {
		c1, o1, e1 := w.cli(t, who(cmd, "eve")...)
		c2, o2, e2 := w.cli(t, who(missing(cmd), "eve")...)
		alike(fmt.Sprintf("impound %v", cmd), fmt.Sprint(c1, o1, e1), fmt.Sprint(c2, o2, e2))
	}
	ask("eve") // what she did must not tell either
	t.Logf("%d ways tried", tries)
	if tries < 400 {
		t.Errorf("only %d ways were tried", tries)
	}
}

func logIn(t *testing.T, c *http.Client, base, name, password string) {
	t.Helper()
	p, err := c.Get(base + "/login")
	must(t, err)
	b, _ := io.ReadAll(p.Body)
	p.Body.Close()
	m := regexp.MustCompile(`name="form" value="([^"]+)"`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("the login page has no form: %.300s", b)
	}
	p, err = c.PostForm(base+"/login", url.Values{"form": {string(m[1])}, "name": {name}, "password": {password}, "next": {"/cases"}})
	must(t, err)
	p.Body.Close()
	if p.Request.URL.Path != "/cases" {
		t.Fatalf("the login of %s ended at %s with %s", name, p.Request.URL.Path, p.Status)
	}
}

// What a page costs somebody from whom a case is hidden tells nothing of it: a
// question about it is as much work as one about nothing, and what lists cost does
// not grow with it. Work is counted in allocations, since time depends on the
// machine.
func TestASealedCaseCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.did(t, "people", "add", "eve", "--role", "analyst", "--as", "ada")
	w.did(t, "account", "add", "ada", "--as", "ada")
	w.did(t, "case", "open", quietCase, "--title", "Quiet", "--actor", "APT35", "--as", "ada")
	w.did(t, "case", "seal", quietCase, "--party", "ada", "--party", "carla", "--why", "quiet", "--as", "ada")
	s := w.open(t)
	d := s.Desk()
	eve := impound.WithPrincipal(t.Context(), impound.Principal{ID: "eve"})
	quiet, ghost := impound.MustName("quiet-1.net"), impound.MustName("ghost-1.net")
	asks := map[string]func(id string, n impound.Name){
		"a case":        func(id string, _ impound.Name) { _, _ = d.Case(eve, id) },
		"its orders":    func(id string, _ impound.Name) { _, _ = d.Orders(eve, id) },
		"its plans":     func(id string, _ impound.Name) { _, _ = d.Plans(eve, id, "") },
		"its contacts":  func(id string, _ impound.Name) { _, _, _ = d.Contacts(eve, web.ContactQuery{Case: id, Limit: 50}) },
		"its log":       func(id string, _ impound.Name) { _, _, _ = d.Log(eve, web.LogQuery{Case: id, Limit: 50}) },
		"a name's log":  func(_ string, n impound.Name) { _, _, _ = d.Log(eve, web.LogQuery{Name: n, Limit: 50}) },
		"a name":        func(_ string, n impound.Name) { _, _ = s.Casework.Verdicts(eve, caseID, n) },
		"its decisions": func(_ string, n impound.Name) { _, _ = s.Casework.Decisions(eve, n) },
		"a bundle":      func(id string, _ impound.Name) { _ = s.ExportCase(eve, io.Discard, id) },
	}
	lists := map[string]func(){
		"cases":      func() { _, _ = d.Cases(eve) },
		"orders":     func() { _, _ = d.Orders(eve, "") },
		"candidates": func() { _, _ = d.Candidates(eve, "open") },
		"contacts":   func() { _, _, _ = d.Contacts(eve, web.ContactQuery{Limit: 50}) },
		"log":        func() { _, _, _ = d.Log(eve, web.LogQuery{Limit: 50}) },
		"alarms":     func() { _, _ = d.Alarms(eve) },
		"shared":     func() { _, _ = s.ShareItems(eve) },
	}
	cost := func(f func()) float64 {
		f() // what is read once and kept
		return testing.AllocsPerRun(5, f)
	}
	fill := func(from, to int) {
		var lines strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&lines, "quiet-%d.net\n", i)
		}
		w.did(t, "case", "add", quietCase, w.text(t, lines.String()), "--as", "ada")
		w.did(t, "case", "asked", quiet.String(), "--why", "quiet", "--as", "carla")
	}
	fill(0, 2)
	before := map[string]float64{}
	for what, f := range lists {
		before[what] = cost(f)
	}
	fill(2, 3000)
	for what, f := range lists {
		if after := cost(f); after > before[what]*1.1+50 {
			t.Errorf("%s cost eve %.0f allocations, and %.0f with 3,000 more names that she may not see", what, before[what], after)
		}
	}
	for what, f := range asks {
		sealed, missing := cost(func() { f(quietCase, quiet) }), cost(func() { f(ghostCase, ghost) })
		if sealed > missing*1.1+20 || missing > sealed*1.1+20 {
			t.Errorf("%s: %.0f allocations of a sealed case, %.0f of none", what, sealed, missing)
		}
	}
}
