// Command benchsinkhole measures the sinkhole against the servers that one
// would otherwise use, in one run on one machine, and prints the ratios. Each
// server is pinned to one core and the load generator to another; the servers
// take turns, at least five each; a rate is operations by processor second of
// the server together with its log collector; what counts is the median.
//
// What lives here: starting and loading the servers, and arithmetic. What must
// not: anything that the product needs. Load stays on this machine.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/benchout"
)

func main() {
	runtime.LockOSThread() // the children are told to die with the thread that started them
	b := &bench{}
	quick := flag.Bool("quick", false, "two short rounds: for development, not for figures")
	only := flag.String("only", "", "run only the groups whose name matches this expression")
	flag.IntVar(&b.rounds, "rounds", 5, "turns of each server")
	flag.Float64Var(&b.seconds, "seconds", 3, "length of a turn")
	list := flag.Bool("list", false, "print the groups")
	flag.Parse()
	if *quick {
		b.rounds, b.seconds = 2, 0.7
	}
	if *list {
		for _, g := range groups {
			fmt.Println(g.name)
		}
		return
	}
	re, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchsinkhole: couldn't read -only:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, re); err != nil {
		fmt.Fprintln(os.Stderr, "benchsinkhole:", err)
		os.Exit(1)
	}
}

type bench struct {
	rounds          int
	seconds         float64
	dir             string
	impound, hammer string
	ctx             context.Context
	missed          int
	failed          []string
}

// groups are what is measured, in order. Each starts its servers and ends them.
var groups = []struct {
	name string
	run  func(*bench) error
}{
	{"dns-1000", (*bench).dns1000},
	{"dns-100000", (*bench).dns100000},
	{"dns-1000000", (*bench).dns1000000},
	{"xdp-1000", func(b *bench) error { return b.xdp(1000) }},
	{"xdp-100000", func(b *bench) error { return b.xdp(100_000) }},
	{"dns-sealing", (*bench).dnsSealing},
	{"loss", (*bench).loss},
	{"http", (*bench).http},
	{"https", (*bench).https},
	{"idle", (*bench).idle},
	{"sealing", (*bench).sealing},
}

func (b *bench) run(ctx context.Context, only *regexp.Regexp) (err error) {
	if runtime.GOOS != "linux" || runtime.NumCPU() < 2 {
		return errors.New("it needs Linux and two cores: one for the server, one for the load")
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err == nil {
		want := unix.Rlimit{Cur: 60_000, Max: max(60_000, lim.Max)}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &want) != nil {
			lim.Cur = lim.Max
			unix.Setrlimit(unix.RLIMIT_NOFILE, &lim)
		}
	}
	b.ctx = ctx
	if b.dir, err = os.MkdirTemp("", "benchsinkhole-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	defer killAll()
	b.hammer, b.impound = filepath.Join(b.dir, "hammer"), filepath.Join(b.dir, "impound")
	for _, bin := range []string{b.hammer, b.impound} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "./cmd/"+filepath.Base(bin))
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("couldn't build %s; run it in the checkout: %s", filepath.Base(bin), tail(string(out)))
		}
	}
	begin := time.Now()
	fmt.Printf("%d rounds of %.1f s each, medians; rates by processor second of server and log collector\n\n", b.rounds, b.seconds)
	fmt.Printf("%-58s %11s %11s %8s %8s\n", "measure", "ours", "peer", "ratio", "bar")
	for _, g := range groups {
		if !only.MatchString(g.name) {
			continue
		}
		if err := g.run(b); err != nil {
			if ctx.Err() != nil {
				return errors.New("stopped")
			}
			fmt.Printf("%-58s NOT MEASURED: %v\n", g.name, err)
			b.failed = append(b.failed, g.name)
		}
		killAll()
	}
	fmt.Printf("\n%.0f s; %d bars missed", time.Since(begin).Seconds(), b.missed)
	if len(b.failed) > 0 {
		fmt.Printf("; not measured: %s", strings.Join(b.failed, ", "))
	}
	fmt.Println()
	if len(b.failed) > 0 {
		return errors.New("some measures are missing")
	}
	return nil
}

// row prints a measure. below says that less is better; a bar below zero means
// that there is none.
func (b *bench) row(measure, ours, peer string, value float64, unit string, bar float64, below bool) {
	ok := bar < 0 || !below && value >= bar || below && value <= bar
	word, text := "ok", strconv.FormatFloat(bar, 'g', -1, 64)
	switch {
	case bar < 0:
		word, text = "", ""
	case !ok:
		word = "NOT"
		b.missed++
	}
	if below && bar >= 0 {
		text = "<=" + text
	}
	v := fmt.Sprintf("%.2f", value)
	if unit != "x" {
		v = ""
	}
	fmt.Printf("%-58s %11s %11s %8s %8s %s\n", measure, ours, peer, v, text, word)
	benchout.Report(measure, value, unit, max(bar, 0), ok)
}

// ratio prints the rows of a comparison of the medians.
func (b *bench) ratio(measure string, ours, peer []float64, bar float64) {
	a, p := median(ours), median(peer)
	b.row(measure, kilo(a), kilo(p), a/p, "x", bar, false)
}

func kilo(x float64) string {
	if x < 1000 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.1f k", x/1000)
}

func median(x []float64) float64 {
	s := slices.Clone(x)
	slices.Sort(s)
	if len(s) == 0 {
		return 0
	}
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}

// turns lets the servers take turns and gives each one's rates. do loads one
// and gives how many operations were answered.
func (b *bench) turns(servers []*server, do func(*server) (float64, error)) ([][]float64, error) {
	out := make([][]float64, len(servers))
	for round := range b.rounds + 1 { // the first warms up
		for i, s := range servers {
			if err := b.ctx.Err(); err != nil {
				return nil, err
			}
			before := s.cpu()
			n, err := do(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			used := (s.cpu() - before).Seconds()
			if used <= 0 || n == 0 {
				return nil, fmt.Errorf("%s answered %.0f in %.2f s of processor: %s", s.name, n, used, tail(s.out.String()))
			}
			if round > 0 {
				out[i] = append(out[i], n/used)
			}
		}
	}
	return out, nil
}

func names(n int) []string {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	words := []string{"secure", "login", "verify", "account", "mail", "office", "portal", "update", "auth", "support", "cloud", "docs", "signin", "service", "help", "team"}
	tlds := []string{"com", "net", "org", "info", "online"}
	out := make([]string, n)
	for i := range out {
		out[i] = words[r.IntN(16)] + "-" + words[r.IntN(16)] + "-" + strconv.FormatInt(int64(i), 36) + "." + tlds[r.IntN(5)]
	}
	return out
}

// realistic is an event of the mix that the load generator asks: half of the
// questions for random names below a seized one, from 20,000 resolvers of which
// few ask most.
func realistic(names []string, i int) impound.Event {
	r := rand.New(rand.NewPCG(11, uint64(i)))
	zone := names[r.IntN(len(names))]
	qtype, n := uint16(1), r.IntN(100)
	for _, m := range []struct {
		t     uint16
		share int
	}{{1, 60}, {28, 20}, {15, 6}, {16, 6}, {2, 4}, {6, 4}} {
		if qtype = m.t; n < m.share {
			break
		}
		n -= m.share
	}
	name := zone
	if qtype != 2 && qtype != 6 && r.IntN(2) == 0 {
		name = strconv.FormatUint(r.Uint64N(1<<40), 36) + "." + zone
	}
	who := uint32(20_000 * r.Float64() * r.Float64() * r.Float64())
	src := who * 2654435761
	return impound.Event{
		Proto: impound.ProtoDNS, Src: netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(src >> 24), byte(src >> 16), byte(src >> 8), byte(src)}), uint16(1024+r.IntN(64000))),
		Dst: netip.MustParseAddrPort("192.0.2.80:53"), Name: name, Zone: zone, Order: "BENCH-1",
		Capture: impound.CaptureContact, Outcome: "answered", QType: qtype,
	}
}

func (b *bench) namesFile(list []string) (string, error) {
	return write(b.dir, fmt.Sprintf("names-%d", len(list)), strings.Join(list, "\n"))
}

type loadReport struct {
	Sent, Answered, NoError, Lost float64
	P50                           float64 `json:"p50_us"`
	P99                           float64 `json:"p99_us"`
	PerSecond                     float64 `json:"per_second"`
	Why                           string
}

func (b *bench) generate(args ...string) (r loadReport, err error) {
	out, err := load(b.ctx, b.hammer, args...)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}

func (b *bench) length() string { return fmt.Sprintf("%.1fs", b.seconds) }

func (b *bench) askDNS(file string) func(*server) (float64, error) {
	return func(s *server) (float64, error) {
		r, err := b.generate("-addr", s.addr, "-names", file, "-for", b.length(), "-json")
		if err == nil && s.name != "echo" && r.NoError < 0.99*r.Answered {
			err = fmt.Errorf("only %.0f of %.0f answers are NOERROR: the servers do not do the same", r.NoError, r.Answered)
		}
		return r.Answered, err
	}
}

func (b *bench) dns1000() error {
	list := names(1000)
	file, err := b.namesFile(list)
	if err != nil {
		return err
	}
	us, err := b.ours(list, false, "dns")
	if err != nil {
		return err
	}
	echo := &server{name: "echo", addr: freePort()}
	if err := echo.start(b.hammer, "-mode", "echo", "-addr", echo.addr); err != nil {
		return err
	}
	servers := []*server{us, echo}
	bars := []float64{0, -1}
	labels := []string{"", "a UDP echo, the physical limit"}
	for _, p := range []struct {
		kind string
		tap  bool
		bar  float64
	}{{"knot", false, 1.2}, {"knot", true, 1.35}, {"nsd", true, 2}, {"bind", true, 2}, {"coredns", true, 4}, {"nsd", false, -1}} {
		s, err := b.peer(p.kind, list, p.tap)
		if err != nil {
			b.failed = append(b.failed, "dns-1000 "+p.kind)
			fmt.Printf("%-58s NOT MEASURED: %v\n", "dns-1000: against "+p.kind, err)
			continue
		}
		servers, bars, labels = append(servers, s), append(bars, p.bar), append(labels, s.name)
	}
	rates, err := b.turns(servers, b.askDNS(file))
	if err != nil {
		return err
	}
	for i := 1; i < len(servers); i++ {
		b.ratio("DNS, 1,000 names, journaled, against "+labels[i], rates[0], rates[i], bars[i])
	}
	for _, s := range servers {
		if s != us && s != servers[2%len(servers)] {
			s.kill()
		}
	}
	for _, s := range []*server{us, servers[2%len(servers)]} { // half load: of what it answers in a wall second
		r, err := b.generate("-addr", s.addr, "-names", file, "-for", b.length(), "-json", "-rate", "20000")
		if err != nil {
			return err
		}
		b.row("DNS, time of an answer at 20,000/s: "+s.name, fmt.Sprintf("p50 %.0f us", r.P50), fmt.Sprintf("p99 %.0f us", r.P99), r.P99, "us", -1, true)
	}
	return nil
}

func (b *bench) dns100000() error {
	list := names(100_000)
	file, err := b.namesFile(list)
	if err != nil {
		return err
	}
	if _, err := b.bundle(list); err != nil {
		return err
	}
	begin := time.Now()
	us, err := b.ours(list, false, "dns")
	if err != nil {
		return err
	}
	took := time.Since(begin).Seconds()
	time.Sleep(time.Second)
	b.row("DNS, 100,000 names: from start to the first answer", fmt.Sprintf("%.2f s", took), "", took, "s", 0.5, true)
	servers, bars := []*server{us}, []float64{0}
	for _, p := range []struct {
		kind string
		bar  float64
	}{{"knot", 1.8}, {"nsd", 1.4}} {
		begin := time.Now()
		s, err := b.peer(p.kind, list, false)
		if err != nil {
			return err
		}
		t := time.Since(begin).Seconds()
		b.row("  the same: "+p.kind, "", fmt.Sprintf("%.2f s", t), t, "s", -1, true)
		servers, bars = append(servers, s), append(bars, p.bar)
	}
	rates, err := b.turns(servers, b.askDNS(file))
	if err != nil {
		return err
	}
	for i := 1; i < len(servers); i++ {
		b.ratio("DNS, 100,000 names, journaled, against "+servers[i].name, rates[0], rates[i], bars[i])
	}
	b.row("DNS, 100,000 names: memory", fmt.Sprintf("%.0f MB", us.rss()), fmt.Sprintf("%.0f MB", servers[1].rss()), us.rss(), "MB", 150, true)
	return nil
}

func (b *bench) dns1000000() error {
	var servers []*server
	files := map[*server]string{}
	for _, n := range []int{1_000_000, 1000} {
		list := names(n)
		file, err := b.namesFile(list)
		if err != nil {
			return err
		}
		s, err := b.ours(list, false, "dns")
		if err != nil {
			return err
		}
		s.name = fmt.Sprintf("impound %d", n)
		servers, files[s] = append(servers, s), file
	}
	rates, err := b.turns(servers, func(s *server) (float64, error) { return b.askDNS(files[s])(s) })
	if err != nil {
		return err
	}
	b.ratio("DNS, 1,000,000 names, against our own 1,000", rates[0], rates[1], 0.9)
	b.row("DNS, 1,000,000 names: memory", fmt.Sprintf("%.0f MB", servers[0].rss()), "", servers[0].rss(), "MB", -1, true)
	return nil
}

// dnsSealing counts what sealing costs too: the processor time runs until all
// full journals are Parquet.
func (b *bench) dnsSealing() error {
	list := names(1000)
	file, err := b.namesFile(list)
	if err != nil {
		return err
	}
	us, err := b.ours(list, true, "dns")
	if err != nil {
		return err
	}
	knot, err := b.peer("knot", list, true)
	if err != nil {
		return err
	}
	ask := b.askDNS(file)
	rates, err := b.turns([]*server{us, knot}, func(s *server) (float64, error) {
		n, err := ask(s)
		for s == us && err == nil && b.ctx.Err() == nil {
			left, _ := filepath.Glob(filepath.Join(s.spool, "journal-*.jrn"))
			if len(left) <= 1 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		return n, err
	})
	if err != nil {
		return err
	}
	b.ratio("DNS, 1,000 names, journaled AND sealed, against knot+dnstap", rates[0], rates[1], -1)
	return nil
}

// loss asks for names that are asked once only, and looks for each answered one
// in the spool: after load that saturates, and after SIGKILL amid it.
func (b *bench) loss() error {
	list := names(1000)
	file, err := b.namesFile(list)
	if err != nil {
		return err
	}
	for _, kill := range []bool{false, true} {
		var answered, lost, twice int
		rounds := 1
		if kill {
			rounds = min(b.rounds, 5)
		}
		for range rounds {
			us, err := b.ours(list, true, "dns")
			if err != nil {
				return err
			}
			rec := filepath.Join(b.dir, "answered")
			if kill {
				t := time.AfterFunc(time.Duration(b.seconds*0.6*float64(time.Second)), func() {
					for _, g := range us.groups {
						syscall.Kill(-g, syscall.SIGKILL)
					}
				})
				defer t.Stop()
			}
			if _, err := b.generate("-addr", us.addr, "-names", file, "-for", b.length(), "-json", "-record", rec); err != nil {
				return err
			}
			us.kill()
			text, err := os.ReadFile(rec)
			if err != nil {
				return err
			}
			found := map[string]uint8{}
			if _, err := events(us.spool, func(e *impound.Event) {
				label, _, _ := strings.Cut(e.Name, ".")
				found[strings.Clone(label)]++
			}); err != nil {
				return err
			}
			for label := range strings.FieldsSeq(string(text)) {
				answered++
				switch found[label] {
				case 0:
					lost++
				case 1:
				default:
					twice++
				}
			}
			os.RemoveAll(filepath.Dir(us.spool))
		}
		if answered < 1000 {
			return fmt.Errorf("only %d were answered: no load", answered)
		}
		what := "answered queries whose event is lost, at saturation"
		if kill {
			what = fmt.Sprintf("the same after SIGKILL at saturation, %d times", rounds)
		}
		b.row(what, strconv.Itoa(lost), fmt.Sprintf("of %d", answered), float64(lost), "events", 0, true)
		if twice > 0 {
			return fmt.Errorf("%d of %d answered queries stand twice in the spool", twice, answered)
		}
	}
	return nil
}

// page fetches what our server answers, so that the peer sends the same.
func (b *bench) page(s *server, name string) (body []byte, head string, err error) {
	req, err := http.NewRequest("GET", "http://"+s.addr+"/", nil)
	if err != nil {
		return nil, "", err
	}
	req.Host = name
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return nil, "", fmt.Errorf("our server answers %s", resp.Status)
	}
	if body, err = io.ReadAll(resp.Body); err != nil {
		return nil, "", err
	}
	var h strings.Builder
	for k, v := range resp.Header {
		if !slices.Contains([]string{"Content-Length", "Content-Type", "Date", "Connection"}, k) {
			fmt.Fprintf(&h, "add_header %s %q; ", k, v[0])
		}
	}
	return body, h.String(), nil
}

// script has wrk ask for all names in turn, as a browser would.
func (b *bench) script(list []string, closing bool) (string, error) {
	var s strings.Builder
	s.WriteString("local r = {}\nlocal n = 0\n")
	for _, n := range list {
		conn := ""
		if closing {
			conn = `Connection: close\r\n`
		}
		fmt.Fprintf(&s, "r[#r+1] = \"GET /owa/auth/logon.aspx HTTP/1.1\\r\\nHost: %s\\r\\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\\r\\nAccept: text/html\\r\\nAccept-Language: en-GB,en;q=0.8\\r\\n%s\\r\\n\"\n", n, conn)
	}
	s.WriteString("request = function() n = n % #r + 1 return r[n] end\n")
	return write(b.dir, fmt.Sprintf("wrk-%v.lua", closing), s.String())
}

var wrkTotal = regexp.MustCompile(`(\d+) requests in`)

func (b *bench) wrk(scheme, script string, conns int) func(*server) (float64, error) {
	return func(s *server) (float64, error) {
		bin, err := need("wrk")
		if err != nil {
			return 0, err
		}
		out, err := load(b.ctx, bin, "-t1", "-c"+strconv.Itoa(conns), "-d", fmt.Sprintf("%ds", max(1, int(b.seconds))), "-s", script, scheme+"://"+s.addr+"/")
		if err != nil {
			return 0, err
		}
		m := wrkTotal.FindSubmatch(out)
		if m == nil || bytes.Contains(out, []byte("Non-2xx")) {
			return 0, fmt.Errorf("wrk says: %s", tail(string(out)))
		}
		return strconv.ParseFloat(string(m[1]), 64)
	}
}

func (b *bench) http() error {
	list := names(1000)
	us, err := b.ours(list, false, "http")
	if err != nil {
		return err
	}
	page, head, err := b.page(us, list[0])
	if err != nil {
		return err
	}
	peer, err := b.nginx(list, page, head, false, true)
	if err != nil {
		return err
	}
	usual, err := b.nginx(list, page, head, false, false)
	if err != nil {
		return err
	}
	for _, t := range []struct {
		what    string
		closing bool
		bar     float64
	}{{"a connection each", true, 1.2}, {"keep-alive", false, 1.0}} {
		script, err := b.script(list, t.closing)
		if err != nil {
			return err
		}
		rates, err := b.turns([]*server{us, peer, usual}, b.wrk("http", script, 64))
		if err != nil {
			return err
		}
		b.ratio("HTTP, "+t.what+", recorded, against nginx", rates[0], rates[2], t.bar)
		// We defer accepts; nginx can be told to.
		b.ratio("HTTP, "+t.what+", recorded, against nginx with deferred accepts", rates[0], rates[1], -1)
	}
	return nil
}

func (b *bench) https() error {
	list := names(1000)
	file, err := b.namesFile(list)
	if err != nil {
		return err
	}
	plain, err := b.ours(list, false, "http")
	if err != nil {
		return err
	}
	page, head, err := b.page(plain, list[0])
	plain.kill()
	if err != nil {
		return err
	}
	us, err := b.ours(list, false, "https")
	if err != nil {
		return err
	}
	peer, err := b.nginx(list, page, head, true, true)
	if err != nil {
		return err
	}
	script, err := b.script(list[:1], false)
	if err != nil {
		return err
	}
	// wrk sends the host of its URL as SNI only when it is a name; ours would
	// refuse an address. So the name is made to lead here, for wrk alone.
	wrk := func(s *server) (float64, error) {
		_, port, _ := net.SplitHostPort(s.addr)
		return b.wrkNamed(list[0], port, script)
	}
	if rates, err := b.turns([]*server{us, peer}, wrk); err != nil {
		b.failed = append(b.failed, "https keep-alive")
		fmt.Printf("%-58s NOT MEASURED: %v\n", "HTTPS, keep-alive", err)
	} else {
		b.ratio("HTTPS, keep-alive, recorded, against nginx", rates[0], rates[1], 1.1)
	}
	shake := func(s *server) (float64, error) {
		r, err := b.generate("-mode", "tls", "-addr", s.addr, "-names", file, "-for", b.length(), "-sockets", "16")
		if err == nil && r.Lost > 0.001*r.Answered {
			err = fmt.Errorf("%.0f of %.0f handshakes failed: %s", r.Lost, r.Lost+r.Answered, r.Why)
		}
		return r.Answered, err
	}
	rates, err := b.turns([]*server{us, peer}, shake)
	if err != nil {
		return err
	}
	b.ratio("TLS handshakes, 1,000 SNIs, recorded, against nginx", rates[0], rates[1], 0.9)
	return nil
}

// wrkNamed runs wrk in a mount namespace of its own where the name stands in
// /etc/hosts with our address, so that it sends that name in the handshake.
func (b *bench) wrkNamed(name, port, script string) (float64, error) {
	bin, err := need("wrk")
	if err != nil {
		return 0, err
	}
	hosts, err := write(b.dir, "hosts", "127.0.0.1 "+name+"\n")
	if err != nil {
		return 0, err
	}
	out, err := load(b.ctx, "unshare", "--mount", "sh", "-c", `mount --bind "$1" /etc/hosts && shift && exec "$@"`, "sh", hosts,
		bin, "-t1", "-c64", "-d", fmt.Sprintf("%ds", max(1, int(b.seconds))), "-s", script, "https://"+name+":"+port+"/")
	if err != nil {
		return 0, err
	}
	m := wrkTotal.FindSubmatch(out)
	if m == nil || bytes.Contains(out, []byte("Non-2xx")) {
		return 0, fmt.Errorf("wrk says: %s", tail(string(out)))
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// idle measures what an idle connection holds, after one answer over it.
func (b *bench) idle() error {
	const n = 10_000
	list := names(1000)
	file, err := b.namesFile(list)
	if err != nil {
		return err
	}
	for _, t := range []struct {
		scheme string
		bar    float64
	}{{"http", 0.6}, {"https", 25}} {
		us, err := b.ours(list, false, t.scheme)
		if err != nil {
			return err
		}
		hold := func(n int) (*exec.Cmd, error) {
			args := []string{"-c", loadCore, b.hammer, "-mode", "idle", "-addr", us.addr, "-names", file, "-n", strconv.Itoa(n)}
			if t.scheme == "https" {
				args = append(args, "-secure")
			}
			c := exec.Command("taskset", args...)
			c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			var bad bytes.Buffer
			c.Stderr = &bad
			out, err := c.StdoutPipe()
			if err != nil {
				return nil, err
			}
			if err := c.Start(); err != nil {
				return nil, err
			}
			if _, err := out.Read(make([]byte, 6)); err != nil {
				c.Wait()
				return nil, fmt.Errorf("idle connections: %s", tail(bad.String()))
			}
			return c, nil
		}
		settle := func() float64 { // garbage is given back in the background
			least := us.rss()
			for range 12 {
				time.Sleep(time.Second)
				least = min(least, us.rss())
			}
			return least
		}
		warm, err := hold(1000) // certificates, tables, and what the runtime keeps
		if err != nil {
			return err
		}
		warm.Process.Kill()
		warm.Wait()
		before := settle()
		c, err := hold(n)
		if err != nil {
			return err
		}
		after := settle()
		c.Process.Kill()
		c.Wait()
		us.kill()
		per := (after - before) * 1024 / n
		b.row(fmt.Sprintf("memory of an idle connection, 10,000 of them: %s", t.scheme), fmt.Sprintf("%.2f KB", per), "", per, "KB", t.bar, true)
	}
	return nil
}

func (b *bench) sealing() error {
	list := names(1000)
	n := 2_000_000
	if b.rounds < 3 {
		n = 400_000
	}
	var rate, cpu, size []float64
	for range min(b.rounds, 3) {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		dir := filepath.Join(b.dir, "seal")
		r, c, s, err := sealing(dir, list, n)
		if err != nil {
			return err
		}
		rate, cpu, size = append(rate, r), append(cpu, c), append(size, s)
		os.RemoveAll(dir)
	}
	b.row("sealing, events a second on all cores", kilo(median(rate)), "", median(rate), "events/s", 900_000, false)
	b.row("sealing, events by processor second", kilo(median(cpu)), "", median(cpu), "events/s", -1, false)
	b.row("sealing, octets of an event", fmt.Sprintf("%.1f", median(size)), "", median(size), "B", 21, true)
	return nil
}
