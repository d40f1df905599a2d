package laws

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/cli"
	"github.com/impound/impound/internal/crashpoint"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/testregistry"
)

// dieAtPoints has a child write down the points that it passes, and kill itself at
// one of them, or stay at one until a file is there.
func dieAtPoints() {
	file := os.Getenv("IMPOUND_TEST_POINTS")
	if file == "" {
		return
	}
	die, _ := strconv.Atoi(os.Getenv("IMPOUND_TEST_DIE_AT"))
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	holdAt, release := os.Getenv("IMPOUND_TEST_HOLD_AT"), os.Getenv("IMPOUND_TEST_RELEASE")
	var mu sync.Mutex
	n, seen := 0, map[string]int{}
	crashpoint.At = func(point string) {
		mu.Lock()
		defer mu.Unlock() // whoever comes next dies with it
		n++
		fmt.Fprintln(out, point)
		if n == die {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		if seen[point]++; fmt.Sprint(point, " ", seen[point]) == holdAt {
			fmt.Fprintln(out, "held")
			for {
				if _, err := os.Stat(release); err == nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

// sunk has the order's name servers answer, as a sinkhole would, so that every
// view shows a seizure at once.
func sunk(t testing.TB) func(*testregistry.Config) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		if q.Question[0].Qtype == dns.TypeNS {
			for _, h := range sinkNS {
				m.Answer = append(m.Answer, &dns.NS{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeNS, Class: 1, Ttl: 60}, Ns: h.FQDN()})
			}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	t.Cleanup(func() { _ = srv.Shutdown() })
	return func(rc *testregistry.Config) {
		rc.Routes = map[netip.AddrPort]netip.AddrPort{netip.MustParseAddrPort("127.53.0.53:53"): netip.MustParseAddrPort(pc.LocalAddr().String())}
	}
}

// twin gives a world of its own that is as w is now, its registry too.
func (w *world) twin(t testing.TB, faults testregistry.Faults) *world {
	t.Helper()
	c := w.copy(t)
	c.rc.Dir = filepath.Join(filepath.Dir(c.state), "registry")
	copyDir(t, w.rc.Dir, c.rc.Dir)
	c.rc.Faults = faults
	var err error
	c.reg, err = testregistry.Start(t.Context(), c.rc)
	must(t, err)
	t.Cleanup(func() { c.reg.Close() })
	a, f := c.reg.Addrs(), c.reg.Files()
	r := c.cfg.Registries[0]
	for i := range c.cfg.Asked {
		c.cfg.Asked = slices.Clone(c.cfg.Asked)
		c.cfg.Asked[i].RDAP, c.cfg.Asked[i].Parents = "http://"+a.RDAP.String()+"/", []string{a.DNS.String()}
	}
	r.EPP, r.CA, r.Cert, r.Key, r.RDAP, r.Parents = a.EPP.String(), f.CA, f.ClientCert, f.ClientKey, "http://"+a.RDAP.String()+"/", []string{a.DNS.String()}
	c.cfg.Registries, c.cfg.Resolvers, c.cfg.Routes = []app.RegistryConfig{r}, []string{a.Resolver.String()}, map[string]string{}
	for from, to := range c.reg.Routes() {
		c.cfg.Routes[from.String()] = to.String()
	}
	c.writeConfig(t)
	return c
}

// process runs one command line on the world's folder in a process of its own,
// which kills itself at the point of that number, and gives the points that it
// passed.
func (w *world) process(t testing.TB, die int, args ...string) (points []string, died bool, out string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "points")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"--state", w.state}, args...)...)
	cmd.Env = append(os.Environ(), "IMPOUND_TEST_LAWS=cli", "IMPOUND_TEST_POINTS="+file, fmt.Sprint("IMPOUND_TEST_DIE_AT=", die))
	b, err := cmd.CombinedOutput()
	must(t, ctx.Err())
	var x *exec.ExitError
	if errors.As(err, &x) {
		ws, ok := x.Sys().(syscall.WaitStatus)
		died = ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL
	}
	if err != nil && !died {
		t.Fatalf("impound %s: %v\n%s", strings.Join(args, " "), err, b)
	}
	for line := range strings.Lines(string(bytes.TrimSpace(mustRead(t, file)))) {
		points = append(points, strings.TrimSpace(line))
	}
	return points, died, string(b)
}

// sweep is one command that is killed at each of its durable steps.
type sweep struct {
	// prep makes the world ready and gives the command line.
	prep func(t testing.TB, w *world) []string
	// again gives the command line of the next run, where it is another.
	again func(args []string) []string
	// once are what may be done once, as the registry or the log tells it, and is
	// done in the end.
	once func(t testing.TB, w *world) map[string]int
	want int // of them
	// end looks at the end.
	end func(t testing.TB, w *world)
	// refused is what the next run may be told instead, where the first had done
	// it all; "" for nothing.
	refused string
}

// updatesSince gives what took effect at the registry after so many operations. A
// DS that is put back is an act of its own.
func updatesSince(w *world, before int) map[string]int {
	out := map[string]int{}
	for _, op := range w.acts()[before:] {
		if op.Code == 1000 || op.Code == 1001 {
			what := op.Command + " " + op.Name
			if slices.ContainsFunc(op.Changes, func(c string) bool { return strings.HasPrefix(c, "+ds ") }) {
				what += ", DS back"
			}
			out[what]++
		}
	}
	return out
}

// TestKilled kills the program at each durable step of what it does, and runs it
// again: each act is done once, each intent has its result, the log verifies, and
// running it a third time does nothing. In a short run each command is killed at
// some of its steps; IMPOUND_FAULTS=long (make faults) tries all.
func TestKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	long := os.Getenv("IMPOUND_FAULTS") == "long"
	names := []impound.Name{live, spare}
	clause := func(how string) *impound.ReleaseTerms {
		return &impound.ReleaseTerms{How: []string{how}, Until: time.Now().AddDate(0, 0, 30), Clause: "paragraph 9"}
	}
	order := func(t testing.TB, w *world, s *app.System, release *impound.ReleaseTerms) {
		t.Helper()
		now := time.Now()
		w.file(t, s, terms{id: liveOrder, names: names, from: now.Add(-time.Minute), until: now.Add(time.Hour), release: release})
	}
	seized := func(t testing.TB, w *world, s *app.System, release *impound.ReleaseTerms) {
		t.Helper()
		order(t, w, s, release)
		_, err := s.Apply(t.Context(), w.me(t, s, "olaf"), w.plan(t, s, liveOrder, "ben", "dora"))
		must(t, err)
	}
	approved := func(t testing.TB, w *world, s *app.System, p *seizure.Plan, err error) []string {
		t.Helper()
		must(t, err)
		for _, who := range []string{"ben", "dora"} {
			_, err := s.Approve(t.Context(), w.me(t, s, who), p.ID)
			must(t, err)
		}
		return []string{"seize", "apply", p.ID, "--as", "olaf", "--keep-trying", "1m"}
	}
	atRegistry := func(before *int) func(testing.TB, *world) map[string]int {
		return func(_ testing.TB, w *world) map[string]int { return updatesSince(w, *before) }
	}
	delegated := func(to ...impound.Name) func(testing.TB, *world) {
		return func(t testing.TB, w *world) {
			t.Helper()
			for _, n := range names {
				d, _ := w.reg.Domain(n)
				slices.SortFunc(d.NS, func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) })
				if !slices.Equal(d.NS, to) {
					t.Errorf("%s is delegated to %v, want %v", n, d.NS, to)
				}
			}
		}
	}
	actorNS := []impound.Name{impound.MustName("ns1.bulk-host.example"), impound.MustName("ns2.bulk-host.example")}
	var none, beforeRevert, beforeRestore, beforeDelete, beforeMend int
	sweeps := map[string]sweep{
		"apply at one instant": {
			prep: func(t testing.TB, w *world) []string {
				s := w.open(t)
				order(t, w, s, nil)
				p, err := s.Plan(t.Context(), "olaf", liveOrder)
				return append(approved(t, w, s, p, err), "--at", "now")
			},
			once: atRegistry(&none), want: 4, end: delegated(sinkNS...), // two hosts, two names
		},
		"apply of a revert": {
			prep: func(t testing.TB, w *world) []string {
				s := w.open(t)
				seized(t, w, s, nil)
				beforeRevert = len(w.acts())
				p, err := s.Revert(t.Context(), "olaf", liveOrder)
				return approved(t, w, s, p, err)
			},
			once: atRegistry(&beforeRevert), want: 3, end: delegated(actorNS...), // two names, and a DS back
		},
		"apply of a release that gives back": {
			prep: func(t testing.TB, w *world) []string {
				s := w.open(t)
				seized(t, w, s, clause(impound.ReleaseRestore))
				beforeRestore = len(w.acts())
				p, err := s.Release(t.Context(), "olaf", liveOrder, seizure.LettingGo{How: impound.ReleaseRestore, Despite: "the brand takes it"}, names...)
				return approved(t, w, s, p, err)
			},
			once: atRegistry(&beforeRestore), want: 3, end: delegated(actorNS...),
		},
		"apply of a release that deletes": {
			prep: func(t testing.TB, w *world) []string {
				s := w.open(t)
				seized(t, w, s, clause(impound.ReleaseDelete))
				beforeDelete = len(w.acts())
				p, err := s.Release(t.Context(), "olaf", liveOrder, seizure.LettingGo{How: impound.ReleaseDelete, Despite: "the brand takes it"}, names...)
				return approved(t, w, s, p, err)
			},
			once: atRegistry(&beforeDelete), want: 4, // an update and a deletion of each
			end: func(t testing.TB, w *world) {
				for _, n := range names {
					if d, _ := w.reg.Domain(n); d.Deleted.IsZero() {
						t.Errorf("%s is not deleted", n)
					}
				}
			},
		},
		"apply that mends": {
			prep: func(t testing.TB, w *world) []string {
				s := w.open(t)
				seized(t, w, s, nil)
				for _, n := range names {
					w.somebodyElse(t, `<update><d:update xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>`+n.String()+`</d:name>`+
						`<d:add><d:ns><d:hostObj>ns1.bulk-host.example</d:hostObj></d:ns></d:add>`+
						`<d:rem><d:ns><d:hostObj>`+sinkNS[0].String()+`</d:hostObj></d:ns><d:status s="serverUpdateProhibited"/></d:rem></d:update></update>`)
				}
				beforeMend = len(w.acts())
				p, err := s.Plan(t.Context(), "olaf", liveOrder)
				return approved(t, w, s, p, err)
			},
			once: atRegistry(&beforeMend), want: 2, end: delegated(sinkNS...),
		},
		"seize revert": {
			prep: func(t testing.TB, w *world) []string {
				s := w.open(t)
				seized(t, w, s, nil)
				beforeRevert = len(w.acts())
				return []string{"seize", "revert", liveOrder, "--as", "olaf"}
			},
			once: func(t testing.TB, w *world) map[string]int { // nothing is done, and a plan is there
				s := w.open(t)
				defer s.Close()
				ps, err := s.Seizure.Plans(t.Context(), liveOrder)
				must(t, err)
				out := updatesSince(w, beforeRevert)
				for _, p := range ps {
					if p.Plan.Revert {
						out["a plan"] = 1
					}
				}
				return out
			},
			want: 1, end: delegated(sinkNS...),
		},
		"order file": {
			prep: func(t testing.TB, w *world) []string {
				s := w.open(t)
				defer s.Close()
				now := time.Now()
				path := w.draft(t, s, terms{id: liveOrder, names: names, from: now.Add(-time.Minute), until: now.Add(time.Hour)})
				w.sign(t, s, path, "ben", "dora")
				return []string{"order", "file", path, "--as", "carla"}
			},
			once: func(t testing.TB, w *world) map[string]int {
				s := w.open(t)
				defer s.Close()
				out := map[string]int{}
				for _, what := range []string{"order.file"} {
					es, err := s.Evidence.Select(t.Context(), evidence.Filter{What: what})
					must(t, err)
					if len(es) > 0 {
						out[what] = len(es)
					}
				}
				return out
			},
			want: 1,
			end: func(t testing.TB, w *world) {
				s := w.open(t)
				defer s.Close()
				m, err := s.Mandate(t.Context(), liveOrder)
				must(t, err)
				if len(m.Names()) != len(names) {
					t.Errorf("the order is in effect for %d names", len(m.Names()))
				}
				k, err := s.Casework.Case(t.Context(), caseID)
				must(t, err)
				for _, d := range k.Domains {
					if slices.Contains(names, d.Name) != (d.State == impound.StateOrdered && d.Order == liveOrder) {
						t.Errorf("the case has %s as %s of %q", d.Name, d.State, d.Order)
					}
				}
			},
		},
	}
	for _, how := range []string{"taken", "not-taken"} {
		m := new(mailServer)
		sweeps["seize settle --"+how] = sweep{
			prep: func(t testing.TB, w *world) []string {
				m.start(t)
				w.cfg.Registries[0].TLDs = []string{"com"}
				w.cfg.Asked = []app.AskedConfig{{Provider: "nic", TLDs: []string{"net"}, Role: "registry", Via: "mail", To: []string{"legal@nic.example"}, Remind: []string{"off"}, RDAP: w.cfg.Registries[0].RDAP, Parents: w.cfg.Registries[0].Parents}}
				w.cfg.Mail = app.MailConfig{Relay: m.addr, TLS: "none"}
				w.writeConfig(t)
				s := w.open(t)
				order(t, w, s, nil)
				if res, err := s.Apply(t.Context(), w.me(t, s, "olaf"), w.plan(t, s, liveOrder, "ben", "dora")); impound.KindOf(err) != impound.KindPartial && impound.KindOf(err) != impound.KindUnavailable {
					t.Fatalf("%v %+v", err, res)
				}
				ls, err := s.Seizure.Letters(t.Context(), liveOrder)
				must(t, err)
				if len(ls) != 1 || ls[0].State != seizure.LetterUnsure {
					t.Fatalf("%+v", ls)
				}
				m.answers.Store(true)
				return []string{"seize", "settle", ls[0].ID, "--" + how, "--why", "the server's log", "--as", "olaf"}
			},
			once: func(t testing.TB, w *world) map[string]int {
				s := w.open(t)
				defer s.Close()
				es, err := s.Evidence.Select(t.Context(), evidence.Filter{What: "seize.letter"})
				must(t, err)
				out := map[string]int{}
				for _, x := range es {
					if strings.Contains(x.Entry.Detail["answer"], "olaf says: the server's log") {
						out["settled"]++
					}
				}
				return out
			},
			want: 1,
			end: func(t testing.TB, w *world) {
				s := w.open(t)
				defer s.Close()
				taken, state := m.taken.Load(), map[string]string{"taken": seizure.LetterSent, "not-taken": seizure.LetterComposed}[how]
				ls, err := s.Seizure.Letters(t.Context(), liveOrder)
				must(t, err)
				if len(ls) != 1 || ls[0].State != state {
					t.Errorf("%+v", ls)
				}
				for range 2 {
					res, _ := s.Apply(t.Context(), w.me(t, s, "olaf"), ls[0].Plan)
					if res.Count(seizure.Asked) != len(names) {
						t.Errorf("applied again: %+v", res.Names)
					}
				}
				if got, want := m.taken.Load()-taken, map[string]int32{"taken": 0, "not-taken": 1}[how]; got != want {
					t.Errorf("the letter was sent %d times more, want %d", got, want)
				}
			},
		}
	}
	for what, sw := range sweeps {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			base := newWorld(t, sunk(t))
			args := sw.prep(t, base)
			again := args
			if sw.again != nil {
				again = sw.again(args)
			}
			w := base.twin(t, testregistry.Faults{})
			points, died, out := w.process(t, 0, args...)
			if died || len(points) < 4 {
				t.Fatalf("%d points, died: %v\n%s", len(points), died, out)
			}
			sw.check(t, w, again)
			at := []int{}
			step := 1
			if !long {
				step = max(1, len(points)/4)
			}
			for n := 1; n <= len(points); n += step {
				at = append(at, n)
			}
			killed := 0
			for _, n := range at {
				var f testregistry.Faults
				if n%2 == 0 {
					f = testregistry.Faults{Seed: uint64(n), DropAfter: 0.3}
				}
				w := base.twin(t, f)
				passed, died, _ := w.process(t, n, args...)
				if died { // with faults, and where entries come together in one write, there may be fewer points
					killed++
				}
				sw.check(t, w, again)
				if t.Failed() {
					t.Fatalf("killed at point %d: %s", n, passed[len(passed)-1])
				}
			}
			if 2*killed < len(at) {
				t.Errorf("killed at %d of %d points only", killed, len(at))
			}
			t.Logf("%s: %d durable steps, killed at %d of them", what, len(points), killed)
		})
	}
}

// mailServer is a mail server that goes away in the moment in which it takes a
// letter, until it answers.
type mailServer struct {
	addr    string
	answers atomic.Bool
	taken   atomic.Int32
}

func (m *mailServer) start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	m.addr = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
}

func (m *mailServer) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	say := func(s string) { _, _ = io.WriteString(c, s+"\r\n") }
	say("220 mail.example ESMTP")
	data := false
	for in := bufio.NewScanner(c); in.Scan(); {
		line := strings.ToUpper(in.Text())
		switch {
		case data && line == ".":
			if data = false; !m.answers.Load() {
				return
			}
			m.taken.Add(1)
			say("250 2.0.0 queued as 4XyZ")
		case data:
		case strings.HasPrefix(line, "EHLO"):
			say("250-mail.example\r\n250 8BITMIME")
		case line == "DATA":
			data = true
			say("354 go on")
		case line == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// check runs the command until it is done, and once more.
func (sw *sweep) check(t testing.TB, w *world, again []string) {
	t.Helper()
	run := func() {
		t.Helper()
		if code, out, errs := w.cliFor(t, 3*time.Minute, again...); code != cli.ExitOK && (sw.refused == "" || !strings.Contains(errs, sw.refused)) {
			t.Errorf("run again: %d\n%s%s", code, out, errs)
		}
	}
	run()
	first := sw.once(t, w)
	if len(first) != sw.want {
		t.Errorf("what was done: %v, want %d things", first, sw.want)
	}
	for k, n := range first {
		if n != 1 {
			t.Errorf("%s: %d times", k, n)
		}
	}
	acts := len(w.acts())
	run()
	if second := sw.once(t, w); len(second) != sw.want || len(w.acts()) != acts {
		t.Errorf("run a third time: %v, %d acts more", second, len(w.acts())-acts)
	}
	if sw.end != nil {
		sw.end(t, w)
	}
	if code, _, errs := w.cli(t, "evidence", "verify", filepath.Join(w.state, "evidence")); code != cli.ExitOK {
		t.Errorf("the log does not verify: %s", errs)
	}
	s := w.open(t)
	defer s.Close()
	open := map[string]string{}
	must(t, s.Evidence.Entries(t.Context(), 0, func(_ int64, e impound.Entry) error {
		switch e.Type {
		case impound.EntryIntent:
			if !strings.Contains(e.ID, "/commit/") { // whether a letter went is the result of its composing
				open[e.ID] = e.What
			}
		case impound.EntryResult:
			delete(open, e.Intent)
		}
		return nil
	}))
	for id, what := range open {
		t.Errorf("intent %s (%s) has no result", id, what)
	}
}
