// Command benchwatch measures how fast the watch is: a real CT log (Sunlight and
// Skylight on loopback) read into the queue, names a second against 100, 1,000
// and 10,000 brands, a zone file packed with gzip, and the memory that it takes.
// With BENCH_OUT each measure is a JSON line too.
//
// Speed is CPU seconds of our own process, so that neighbours and the log don't
// count; what ran on the clock stands beside it. What must not live here: a way
// to screen that the product does not have, except the plain one that it is held
// against.
package main

import (
	"bufio"
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/benchout"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/match"
	"github.com/impound/impound/internal/watch/source"
	"github.com/impound/impound/internal/watch/source/ctlog/sunlighttest"
)

type bench struct {
	data     string
	certs    int
	zone     int
	dir      string
	names    []string
	measured bool // the names are real ones
}

func main() {
	var b bench
	flag.StringVar(&b.data, "data", "", "folder with nrd_shreshta.tsv.gz, popular_tranco100k.tsv.gz, brands105.json; without it names are made up")
	flag.IntVar(&b.certs, "certs", 20_000, "certificates to submit to the real log")
	flag.IntVar(&b.zone, "zone", 2_000_000, "names in the zone file")
	only := flag.String("only", "", "one of names, twist, zone, ct")
	child := flag.String("child", "", "internal: screen this zone file and say what it took")
	flag.Parse()
	if *child != "" {
		if err := b.child(*child); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	err := b.run(*only)
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchwatch:", err)
		os.Exit(1)
	}
}

func (b *bench) run(only string) error {
	var err error
	if b.dir, err = os.MkdirTemp("", "benchwatch-*"); err != nil {
		return err
	}
	if err := b.load(); err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		f    func() error
	}{{"names", b.speed}, {"twist", b.twist}, {"zone", b.zones}, {"ct", b.ct}} {
		if only == "" || only == m.name {
			if err := m.f(); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	return nil
}

// report prints a measure and gives it to BENCH_OUT. more says whether more is
// better; a bar of 0 is none.
func report(measure string, v float64, unit string, bar float64, more bool) {
	ok := bar == 0 || more && v >= bar || !more && v <= bar
	note := ""
	if bar != 0 {
		note = fmt.Sprintf("  bar %g", bar)
		if !ok {
			note += "  MISSED"
		}
	}
	fmt.Printf("%-72s %14.4g %s%s\n", measure, v, unit, note)
	benchout.Report(measure, v, unit, bar, ok)
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// column reads one column of a packed file with tabs.
func column(path string, n, max int) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var out []string
	sc := bufio.NewScanner(z)
	for sc.Scan() && len(out) < max {
		if f := strings.Split(sc.Text(), "\t"); len(f) > n {
			out = append(out, f[n])
		}
	}
	return out, sc.Err()
}

func (b *bench) load() error {
	if b.data != "" {
		names, err := column(filepath.Join(b.data, "nrd_shreshta.tsv.gz"), 1, 1_000_000)
		if err != nil {
			return err
		}
		b.names, b.measured = names, true
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		return nil
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	syl := []string{"ba", "ker", "gar", "den", "nor", "dic", "tra", "vel", "con", "sult", "pho", "to", "mar", "ket", "so", "lar", "home", "run", "ner", "vi", "ta", "lo", "gic", "fin", "ance", "de", "sign", "stu", "dio", "web"}
	for range 500_000 {
		s := ""
		for range 2 + rnd.IntN(4) {
			s += syl[rnd.IntN(len(syl))]
		}
		b.names = append(b.names, s+[]string{".com", ".net", ".org", ".top"}[rnd.IntN(4)])
	}
	return nil
}

// brands gives n of them: the hand-written ones, then what stands in front of
// the suffix of popular names; or made-up words.
func (b *bench) brands(n int) ([]match.Brand, error) {
	var out []match.Brand
	seen := map[string]bool{}
	add := func(x match.Brand) {
		if len(out) < n && !seen[x.ID] {
			seen[x.ID] = true
			out = append(out, x)
		}
	}
	if b.data != "" {
		f, err := os.Open(filepath.Join(b.data, "brands105.json"))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		bs, err := match.LoadBrands(f)
		if err != nil {
			return nil, err
		}
		for _, x := range bs {
			add(x)
		}
		pop, err := column(filepath.Join(b.data, "popular_tranco100k.tsv.gz"), 1, 100_000)
		if err != nil {
			return nil, err
		}
		for _, p := range pop {
			word, _, _ := strings.Cut(p, ".")
			if len(word) >= 5 && len(word) <= 20 && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") == "" {
				add(match.Brand{ID: word, Tokens: []string{word}, Domains: []string{p}})
			}
		}
		if len(out) < n {
			return nil, fmt.Errorf("only %d brands in the data", len(out))
		}
		return out, nil
	}
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	for len(out) < n {
		t := make([]byte, 5+rnd.IntN(6))
		for j := range t {
			t[j] = "bcdfghjklmnprstvz"[rnd.IntN(17)]
			if j%2 == 1 {
				t[j] = "aeiou"[rnd.IntN(5)]
			}
		}
		add(match.Brand{ID: string(t), Tokens: []string{string(t)}})
	}
	return out, nil
}

func (b *bench) kind() string {
	if b.measured {
		return "real new registrations"
	}
	return "made-up names"
}

// speed measures the matcher on one core, and a plain one beside it.
func (b *bench) speed() error {
	// One behind the other, as a stream has them.
	names := make([][]byte, len(b.names))
	all := []byte(strings.Join(b.names, "\n"))
	for i, n := range b.names {
		names[i], all = all[:len(n)], all[min(len(n)+1, len(all)):]
	}
	for _, x := range []struct {
		n   int
		bar float64
	}{{100, 4e6}, {1000, 3e6}, {10_000, 1e6}} {
		bs, err := b.brands(x.n)
		if err != nil {
			return err
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m, err := match.New(bs, match.Options{})
		if err != nil {
			return err
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		r := m.Scorer()
		rate := func(f func(name []byte)) (best float64) {
			for range 3 {
				n := 0
				t := cpu()
				for cpu()-t < 1500*time.Millisecond {
					for range 16384 {
						f(names[n%len(names)])
						n++
					}
				}
				best = max(best, float64(n)/(cpu()-t).Seconds())
			}
			return best
		}
		best := rate(func(n []byte) { r.AtLeast(n, watch.DefaultThreshold) })
		report(fmt.Sprintf("names per second and core, %d brands, %s", x.n, b.kind()), best, "names/s", x.bar, true)
		report(fmt.Sprintf("the same with the score of each name, below the watch's threshold too, %d brands", x.n), rate(func(n []byte) { r.Score(n) }), "names/s", 0, true)
		if b.measured { // words that nobody says are hit less often
			made, err := (&bench{}).brands(x.n)
			if err != nil {
				return err
			}
			m, err := match.New(made, match.Options{})
			if err != nil {
				return err
			}
			n, t := 0, cpu()
			for cpu()-t < 1500*time.Millisecond {
				for range 16384 {
					m.AtLeast(names[n%len(names)], watch.DefaultThreshold)
					n++
				}
			}
			report(fmt.Sprintf("the same with %d made-up brands", x.n), float64(n)/(cpu()-t).Seconds(), "names/s", 0, true)
		}
		report(fmt.Sprintf("the matcher itself, %d brands", x.n), float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20), "MB", 0, false)
		if x.n > 1000 {
			continue
		}
		n := 0
		t := cpu()
		for cpu()-t < 500*time.Millisecond {
			plain(bs, b.names[n%len(b.names)])
			n++
		}
		slow := float64(n) / (cpu() - t).Seconds()
		report(fmt.Sprintf("times as fast as the plain way (each token, each label, 1 edit), %d brands", x.n), best/slow, "x", 0, true)
		runtime.KeepAlive(m)
	}
	return nil
}

// plain is what the usual tools do: each token of each brand is looked for in
// each label, and compared with it by edit distance.
func plain(bs []match.Brand, name string) (hits int) {
	for label := range strings.SplitSeq(name, ".") {
		for i := range bs {
			for _, t := range bs[i].Tokens {
				if strings.Contains(label, t) || len(label)-len(t) <= 1 && len(t)-len(label) <= 1 && within1(label, t) {
					hits++
				}
			}
		}
	}
	return hits
}

func within1(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i == len(a) || a[i+1:] == b[i+1:]
	}
	return a[i+1:] == b[i:]
}

type childSays struct {
	Names, Lines, Hits   int64
	CPU, Wall            float64
	BeforeMB, MostMB     float64
	PackedMB, UnpackedMB float64
}

func status(key string) float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			var kb float64
			_, _ = fmt.Sscan(rest, &kb)
			return kb / 1024
		}
	}
	return 0
}

// child screens a zone file in a process of its own, for its memory.
func (b *bench) child(path string) error {
	bs, err := b.brands(1000)
	if err != nil {
		return err
	}
	m, err := match.New(bs, match.Options{})
	if err != nil {
		return err
	}
	bs = nil
	runtime.GC()
	var says childSays
	// What the brands took at their loading counts as theirs; from here on the
	// mark is new.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	says.BeforeMB = status("VmRSS")
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	start, t := time.Now(), cpu()
	r, err := source.Unpack(f)
	if err != nil {
		return err
	}
	st, err := watch.ScreenZone(context.Background(), r, "test", watch.Options{Matcher: m, Source: "zone"}, func(impound.Candidate) error { return nil })
	if err != nil {
		return err
	}
	says.CPU, says.Wall = (cpu() - t).Seconds(), time.Since(start).Seconds()
	says.MostMB = status("VmHWM")
	says.Names, says.Lines, says.Hits = st.Names, st.Read, st.Hits
	return json.NewEncoder(os.Stdout).Encode(says)
}

// writeZone writes a zone file as registries give it for a top-level domain like
// .com: two servers a name mostly, sometimes four; servers that many share and
// such as few have; some names signed, each with the signature of its key and the
// hashed name that NSEC3 wants; some that hold servers of their own. In one thing it
// is harder than a real one: names are not sorted, so they pack less well and have
// less in common with those before them.
func (b *bench) writeZone(w *bufio.Writer) {
	rnd := rand.New(rand.NewPCG(2, 2))
	hosts := rand.NewZipf(rnd, 1.05, 3, 500_000)
	random := func(n int) []byte {
		b := make([]byte, (n+7)/8*8)
		for i := 0; i < len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], rnd.Uint64())
		}
		return b[:n]
	}
	signature := func(of string) string {
		return fmt.Sprintf("86400\tin\trrsig\t%s 13 2 86400 20260108051214 20260101040214 63246 test. %s\n", of, base64.StdEncoding.EncodeToString(random(64)))
	}
	hash := func() string { return strings.ToLower(base32.HexEncoding.EncodeToString(random(20))) }
	var line []byte
	fmt.Fprint(w, "test.\t900\tin\tsoa\ta.nic.test. b.nic.test. 1 2 3 4 5\n")
	for i := range b.zone {
		word, _, _ := strings.Cut(b.names[i%len(b.names)], ".")
		if k := i / len(b.names); k > 0 { // longer than the list: other names
			word += fmt.Sprint(k)
		}
		host := hosts.Uint64()
		for s := range 2 + rnd.IntN(8)/7*2 {
			line = append(append(line[:0], word...), ".test.\t172800\tin\tns\tns"...)
			line = append(strconv.AppendInt(line, int64(s+1), 10), ".host"...)
			line = append(strconv.AppendUint(line, host, 10), ".example.\n"...)
			_, _ = w.Write(line) // Flush tells
		}
		if rnd.IntN(25) == 0 {
			fmt.Fprintf(w, "%s.test.\t86400\tin\tds\t%d 13 2 %X\n", word, rnd.IntN(65536), random(32))
			fmt.Fprintf(w, "%s.test.\t%s", word, signature("ds"))
			h := hash()
			fmt.Fprintf(w, "%s.test.\t86400\tin\tnsec3\t1 1 0 - %s ns ds rrsig\n", h, hash())
			fmt.Fprintf(w, "%s.test.\t%s", h, signature("nsec3"))
		}
		if rnd.IntN(100) == 0 {
			fmt.Fprintf(w, "ns1.%s.test.\t172800\tin\ta\t192.0.2.%d\nns2.%s.test.\t172800\tin\ta\t198.51.100.%d\n", word, rnd.IntN(256), word, rnd.IntN(256))
		}
	}
}

// zones makes a zone file of real or made-up names and screens it with two cores.
func (b *bench) zones() error {
	path := filepath.Join(b.dir, "test.txt.gz")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(f, 6)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(z, 1<<20)
	b.writeZone(w)
	if err := errors.Join(w.Flush(), z.Close(), f.Close()); err != nil {
		return err
	}
	var says childSays
	for range 2 {
		c := exec.Command(os.Args[0], "-child", path, "-data", b.data)
		c.Env = append(os.Environ(), "GOMAXPROCS=2")
		c.Stderr = os.Stderr
		out, err := c.Output()
		if err != nil {
			return err
		}
		var s childSays
		if err := json.Unmarshal(out, &s); err != nil {
			return err
		}
		if says.Names == 0 || s.Wall < says.Wall {
			says = s
		}
	}
	fmt.Printf("zone file: %d names, %d lines, 1,000 brands, two cores, %d candidates; %.2f s, %.2f CPU s\n", says.Names, says.Lines, says.Hits, says.Wall, says.CPU)
	report("zone names per second, .gz, 1,000 brands, two cores", float64(says.Names)/says.Wall, "names/s", 0, true)
	report(fmt.Sprintf("370 M names from .gz zone files, extrapolated from %d lines", says.Lines), 370e6/float64(says.Names)*says.Wall/60, "min", 3, false)
	report(fmt.Sprintf("the same by CPU time over two cores, extrapolated from %d lines", says.Lines), 370e6/float64(says.Names)*says.CPU/2/60, "min", 0, false)
	report("memory beyond the brands while it screens", says.MostMB-says.BeforeMB, "MB", 64, false)
	return nil
}

// ct fills a real log and reads it into the queue.
func (b *bench) ct() error {
	bin, ok := sunlighttest.Find()
	if !ok {
		fmt.Println("no CT log here: " + sunlighttest.How)
		return nil
	}
	ctx := impound.WithPrincipal(context.Background(), impound.Principal{Local: impound.Roles})
	dir := filepath.Join(b.dir, "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	log, err := sunlighttest.Start(ctx, bin, dir)
	if err != nil {
		return err
	}
	defer log.Stop()
	var wg sync.WaitGroup
	var next, refused, octets atomic.Int64
	var first atomic.Value
	start := time.Now()
	for range 256 {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > b.certs {
					return
				}
				n := b.names[i%len(b.names)]
				make := log.Cert
				if i%2 == 0 {
					make = log.PreCert
				}
				der, err := make(n, "www."+n)
				if err == nil {
					octets.Add(int64(len(der)))
					err = log.Submit(ctx, der, i%2 == 0)
				}
				if err != nil {
					refused.Add(1)
					first.CompareAndSwap(nil, err.Error())
				}
			}
		})
	}
	wg.Wait()
	if refused.Load() > 0 {
		fmt.Printf("%d certificates were refused, the first: %v\n", refused.Load(), first.Load())
	}
	fmt.Printf("%d certificates of %d octets submitted to Sunlight in %v\n", b.certs, octets.Load()/int64(b.certs), time.Since(start).Round(time.Second))
	log.KillWriter() // only Skylight is needed from here on
	info := log.Info()
	bs, err := b.brands(1000)
	if err != nil {
		return err
	}
	brands := map[string]match.Brand{}
	for _, x := range bs {
		brands[x.ID] = x
	}
	text, err := json.Marshal(brands)
	if err != nil {
		return err
	}
	var entries, hits int64
	var used, wall time.Duration
	for round := 0; used < 4*time.Second && round < 50; round++ {
		state := filepath.Join(b.dir, fmt.Sprint("state", round))
		if err := os.MkdirAll(state, 0o700); err != nil {
			return err
		}
		file := filepath.Join(state, "brands.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
		cfg := app.Config{Brands: file, Watch: app.WatchConfig{Rate: -1, Contact: "bench@unit.example", Sources: []app.WatchSource{{
			Name: "sunlight", CT: info.Monitor, Submission: info.URL, Key: base64.StdEncoding.EncodeToString(info.Key), From: "start"}}}}
		s, err := app.Open(ctx, app.Options{State: state, Config: cfg, Version: "bench"})
		if err != nil {
			return err
		}
		at, t := time.Now(), cpu()
		err = s.Watch(ctx, app.WatchOptions{Once: true})
		used += cpu() - t
		wall += time.Since(at)
		st, serr := s.WatchStatus(ctx, 0)
		if err = errors.Join(err, serr, s.Close()); err != nil {
			return err
		}
		if st[0].Verified != st[0].Position || st[0].Position < int64(b.certs)-refused.Load() {
			return fmt.Errorf("read %d entries, proven %d, of %d", st[0].Position, st[0].Verified, b.certs)
		}
		entries += st[0].Items
		hits += st[0].Added
		_ = os.RemoveAll(state)
	}
	fmt.Printf("%d entries read, proven and screened; %d candidates queued; %.2f s, %.2f CPU s, building the matcher among them\n", entries, hits, wall.Seconds(), used.Seconds())
	report("CT log at full speed into the queue, 1,000 brands, per core", float64(entries)/used.Seconds(), "entries/s", 20_000, true)
	report("the same on the clock, two cores, with the log beside it", float64(entries)/wall.Seconds(), "entries/s", 0, true)
	return nil
}
