// Command hammer is a load generator for benchmarks of the sinkhole and its
// peers. By default it asks DNS questions: many datagrams to a system call, so
// that it saturates servers that faster-written clients can't, a fixed number of
// questions in flight, or with -rate so many a second and their times. With
// -record every question has a name of its own and the answered ones are
// written to a file. With -pid it divides by the processor time that the server
// used. -mode tls makes full handshakes, -mode idle holds connections open, and
// -mode echo is a server: it sends every datagram back, which is all that a
// server over sockets could ever do.
//
// What lives here: load and counting. What must not: anything that the product
// needs, or a target off this machine: it refuses addresses that are not
// loopback or private.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	var h hammer
	addr := flag.String("addr", "127.0.0.1:53", "server, IPv4, loopback or private")
	names := flag.String("names", "", "file with one name a line")
	pid := flag.String("pid", "", "process ids of the server, with commas: their processor time is reported")
	flag.IntVar(&h.window, "window", 256, "questions in flight per socket")
	flag.IntVar(&h.sockets, "sockets", 4, "sockets, each with its own source port")
	flag.DurationVar(&h.length, "for", 5*time.Second, "how long")
	asJSON := flag.Bool("json", false, "report as JSON")
	mode := flag.String("mode", "dns", "dns, tls, idle or echo")
	flag.StringVar(&h.record, "record", "", "ask for a name of its own in each question, and write those answered to this file; a server that goes away is no error")
	flag.IntVar(&h.rate, "rate", 0, "questions a second, over one socket, and measure their times; 0: as many as are answered")
	count := flag.Int("n", 10_000, "connections to hold, for idle")
	secure := flag.Bool("secure", false, "idle connections over TLS")
	flag.Parse()
	if *mode != "dns" {
		if err := other(*mode, *addr, *names, *count, h.sockets, *secure, h.length); err != nil {
			fmt.Fprintln(os.Stderr, "hammer:", err)
			os.Exit(1)
		}
		return
	}
	if err := h.run(*addr, *names, *pid, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "hammer:", err)
		os.Exit(1)
	}
}

type hammer struct {
	window, sockets int
	length          time.Duration
	packets         [][]byte
	record          string
	rate            int
	list            []string
}

type report struct {
	Sent      uint64  `json:"sent"`
	Answered  uint64  `json:"answered"`
	NoError   uint64  `json:"noerror"`
	Truncated uint64  `json:"truncated"`
	Lost      uint64  `json:"lost"` // no answer within 200 ms of silence
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	CPU       float64 `json:"cpu_seconds,omitempty"`
	PerCPU    float64 `json:"per_cpu_second,omitempty"`
	P50       float64 `json:"p50_us,omitempty"`
	P99       float64 `json:"p99_us,omitempty"`

	labels []string // -record: of the answered
}

func (h *hammer) run(addr, names, pids string, asJSON bool) error {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("couldn't read the address: %w", err)
	}
	if ip := to.Addr(); !ip.Is4() || !ip.IsLoopback() && !ip.IsPrivate() {
		return fmt.Errorf("%s is no loopback or private IPv4 address, and this tool floods", ip)
	}
	if h.window < 1 || h.window > 4096 || h.sockets < 1 || h.sockets > 256 {
		return errors.New("window must be 1 to 4096, sockets 1 to 256")
	}
	if err := h.load(names); err != nil {
		return err
	}
	cpu0, err := cpuTime(pids)
	if err != nil {
		return err
	}
	begin := time.Now()
	end := begin.Add(h.length)
	var r report
	if h.rate > 0 {
		err = h.paced(to, end, &r)
	} else {
		err = h.flood(to, end, &r)
	}
	if err != nil {
		return err
	}
	if h.record != "" {
		if err := os.WriteFile(h.record, []byte(strings.Join(r.labels, "\n")), 0o600); err != nil {
			return fmt.Errorf("couldn't write what was answered: %w", err)
		}
	}
	r.Seconds = time.Since(begin).Seconds()
	r.PerSecond = float64(r.Answered) / r.Seconds
	if pids != "" {
		cpu1, err := cpuTime(pids)
		if err != nil {
			return err
		}
		r.CPU = (cpu1 - cpu0).Seconds()
		r.PerCPU = float64(r.Answered) / r.CPU
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	fmt.Printf("%d sent, %d answered (%d NOERROR, %d cut), %d lost in %.2f s: %.0f/s", r.Sent, r.Answered, r.NoError, r.Truncated, r.Lost, r.Seconds, r.PerSecond)
	if r.CPU > 0 {
		fmt.Printf("; server used %.2f s of processor: %.0f per processor second", r.CPU, r.PerCPU)
	}
	fmt.Println()
	return nil
}

// mix is the share of each type in per cent: A, AAAA, MX, TXT, NS, SOA.
var mix = []struct {
	qtype uint16
	share int
}{{1, 60}, {28, 20}, {15, 6}, {16, 6}, {2, 4}, {6, 4}}

// load prepares packets: NS and SOA for the names themselves, the rest for them
// and for random names below.
func (h *hammer) load(path string) error {
	list := []string{"outlook-verify.net"}
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("couldn't read the names: %w", err)
		}
		defer f.Close()
		list = nil
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			if n := strings.TrimSuffix(strings.TrimSpace(sc.Text()), "."); n != "" {
				list = append(list, n)
			}
		}
		if err := sc.Err(); err != nil {
			return fmt.Errorf("couldn't read the names: %w", err)
		}
	}
	if len(list) == 0 {
		return errors.New("no names")
	}
	h.list = list
	r := rand.New(rand.NewPCG(1, 2))
	n := 1 << 16
	if len(list) > n/2 { // or else most names are never asked for
		n = 1 << 19
	}
	h.packets = make([][]byte, n)
	for i := range h.packets {
		name, n, qtype := list[r.IntN(len(list))], r.IntN(100), uint16(1)
		for _, m := range mix {
			if qtype = m.qtype; n < m.share {
				break
			}
			n -= m.share
		}
		if qtype != 2 && qtype != 6 && r.IntN(2) == 0 {
			name = strconv.FormatUint(r.Uint64N(1<<40), 36) + "." + name
		}
		p, err := question(name, qtype)
		if err != nil {
			return err
		}
		h.packets[i] = p
	}
	return nil
}

func question(name string, qtype uint16) ([]byte, error) {
	b := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1}
	for l := range strings.SplitSeq(name, ".") {
		if l == "" || len(l) > 63 {
			return nil, fmt.Errorf("%q is no name", name)
		}
		b = append(append(b, byte(len(l))), l...)
	}
	b = append(b, 0, byte(qtype>>8), byte(qtype), 0, 1)
	return append(b, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0), nil // EDNS, 1,232
}

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

const batch = 64

// flow is one socket and what flies over it.
type flow struct {
	h        *hammer
	f        *os.File
	fd       uintptr
	tx, rx   [batch]mmsghdr
	txv, rxv [batch]unix.Iovec
	out, in  [batch][512]byte
	seed     uint64
	at       int
	id       uint16
	flying   int
	heard    time.Time // when the last answer came
	own      [][]byte  // -record: packets whose first label is replaced
	done     []uint64  // bitmap over n
	n        uint64
	gone     bool // -record: the server went away
	probed   bool
	report
}

func (h *hammer) flow(to netip.AddrPort, seed uint64) (*flow, error) {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, fmt.Errorf("couldn't open a socket: %w", err)
	}
	defer c.Close()
	f, err := c.File()
	if err != nil {
		return nil, fmt.Errorf("couldn't open a socket: %w", err)
	}
	l := &flow{h: h, f: f, fd: f.Fd(), seed: seed, heard: time.Now()}
	unix.SetsockoptInt(int(l.fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	for i := range batch {
		l.txv[i].Base, l.rxv[i].Base = &l.out[i][0], &l.in[i][0]
		l.rxv[i].SetLen(512)
		l.tx[i].hdr.Iov, l.rx[i].hdr.Iov = &l.txv[i], &l.rxv[i]
		l.tx[i].hdr.SetIovlen(1)
		l.rx[i].hdr.SetIovlen(1)
	}
	l.at = rand.New(rand.NewPCG(seed, 3)).IntN(len(h.packets))
	if h.record != "" {
		for _, name := range h.list[:min(len(h.list), 1000)] {
			p, err := question(fmt.Sprintf("q%02x%08x.%s", seed, 0, name), 1)
			if err != nil {
				return nil, err
			}
			l.own = append(l.own, p)
		}
	}
	return l, nil
}

// send asks up to a batch of questions, if the window has room for half of one:
// smaller ones would cost the server time that it has not with more clients.
func (l *flow) send() error {
	n := min(batch, l.h.window-l.flying)
	if n < min(batch/2, l.h.window) {
		return nil
	}
	at, id, n64 := l.at, l.id, l.n
	for i := range n {
		p := l.h.packets[at&(len(l.h.packets)-1)]
		at++
		id++
		if l.own != nil {
			p = l.own[at%len(l.own)]
			n64++
			id = uint16(n64)
		}
		b := &l.out[i]
		binary.BigEndian.PutUint16(b[:], id)
		copy(b[2:], p[2:])
		if l.own != nil {
			hex8(b[16:24], uint32(n64))
		}
		l.txv[i].SetLen(len(p))
	}
	got, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, l.fd, uintptr(unsafe.Pointer(&l.tx[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	switch e {
	case 0:
	case unix.EINTR, unix.EAGAIN:
		return nil
	case unix.ECONNREFUSED:
		return l.refused()
	default:
		return fmt.Errorf("couldn't send: %w", e)
	}
	l.at += int(got)
	l.id += uint16(got)
	if l.own != nil {
		l.n += uint64(got)
	}
	l.flying += int(got)
	l.Sent += uint64(got)
	return nil
}

func (l *flow) refused() error {
	if l.own == nil {
		return errors.New("nobody listens there")
	}
	l.gone = true // what it answered before may wait here
	return nil
}

// probe asks twice, one by one, where nothing was answered yet: within a batch the
// refusal of one question is told to the next, and sendmmsg keeps it to itself.
func (l *flow) probe() error {
	if l.probed || l.own != nil || l.Answered > 0 {
		return nil
	}
	l.probed = true
	for range 2 {
		switch _, err := unix.Write(int(l.fd), l.h.packets[0]); err {
		case nil:
			l.Sent++
			l.flying++
		case unix.ECONNREFUSED:
			return l.refused()
		}
	}
	return nil
}

// receive takes the answers that are there, and says how many.
func (l *flow) receive(now time.Time) (int, error) {
	got, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, l.fd, uintptr(unsafe.Pointer(&l.rx[0])), batch, unix.MSG_DONTWAIT, 0, 0)
	switch e {
	case 0:
	case unix.EINTR:
		return 0, nil
	case unix.EAGAIN:
		if now.Sub(l.heard) > 200*time.Millisecond { // silence: what flies is lost
			l.Lost += uint64(l.flying)
			l.flying = 0
			l.heard = now
			return 0, l.probe()
		}
		return 0, nil
	case unix.ECONNREFUSED:
		return 0, l.refused()
	default:
		return 0, fmt.Errorf("couldn't receive: %w", e)
	}
	l.heard = now
	for i := range int(got) {
		if l.rx[i].n < 12 {
			continue
		}
		head := &l.in[i]
		l.Answered++
		if head[3]&15 == 0 {
			l.NoError++
		}
		if head[2]&2 != 0 {
			l.Truncated++
		}
		if l.own != nil && head[3]&15 == 0 {
			n := l.n&^0xffff | uint64(binary.BigEndian.Uint16(head[:]))
			if n > l.n {
				n -= 1 << 16
			}
			for uint64(len(l.done)) <= n/64 {
				l.done = append(l.done, 0)
			}
			l.done[n/64] |= 1 << (n % 64)
		}
	}
	l.flying = max(0, l.flying-int(got))
	return int(got), nil
}

// flood keeps the windows of all sockets full. It never sleeps: a server that
// has to wake its clients, each with an interrupt of their core, would be
// measured by that, which no client on another machine asks of it.
func (h *hammer) flood(to netip.AddrPort, end time.Time, out *report) error {
	runtime.LockOSThread()
	var flows []*flow
	defer func() {
		for _, l := range flows {
			l.f.Close()
		}
	}()
	for i := range h.sockets {
		l, err := h.flow(to, uint64(i))
		if err != nil {
			return err
		}
		flows = append(flows, l)
	}
	for going := true; going; {
		now := time.Now()
		going = false
		for _, l := range flows {
			if now.Before(end) && !l.gone {
				if err := l.send(); err != nil {
					return err
				}
			}
			n, err := l.receive(now)
			if err != nil {
				return err
			}
			if l.gone && n == 0 {
				l.flying = 0
			}
			going = going || l.flying > 0
		}
		going = going || now.Before(end) && slices.ContainsFunc(flows, func(l *flow) bool { return !l.gone })
	}
	for _, l := range flows {
		out.Sent += l.Sent
		out.Answered += l.Answered
		out.NoError += l.NoError
		out.Truncated += l.Truncated
		out.Lost += l.Lost
		for n := range l.n + 1 {
			if n/64 < uint64(len(l.done)) && l.done[n/64]&(1<<(n%64)) != 0 {
				out.labels = append(out.labels, fmt.Sprintf("q%02x%08x", l.seed, n))
			}
		}
	}
	return nil
}

// hex8 writes n in eight digits.
func hex8(b []byte, n uint32) {
	for i := 7; i >= 0; i-- {
		b[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
}

// cpuTime is the processor time that the processes have used, with all their
// threads.
func cpuTime(pids string) (time.Duration, error) {
	var total time.Duration
	for pid := range strings.SplitSeq(pids, ",") {
		if pid == "" {
			continue
		}
		b, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			return 0, fmt.Errorf("couldn't read the processor time of %s: %w", pid, err)
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if len(f) < 13 {
			return 0, fmt.Errorf("couldn't read the processor time of %s", pid)
		}
		for _, x := range f[11:13] {
			n, err := strconv.ParseInt(x, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("couldn't read the processor time of %s: %w", pid, err)
			}
			total += time.Duration(n) * 10 * time.Millisecond // USER_HZ is 100
		}
	}
	return total, nil
}
