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
	"strconv"
	"strings"
	"sync"
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
	results := make([]report, h.sockets)
	errs := make([]error, h.sockets)
	var wg sync.WaitGroup
	for i := range h.sockets {
		switch {
		case h.rate > 0 && i == 0:
			wg.Go(func() { errs[i] = h.paced(to, end, &results[i]) })
		case h.rate == 0:
			wg.Go(func() { errs[i] = h.socket(to, end, uint64(i), &results[i]) })
		}
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var r report
	for _, x := range results {
		r.Sent += x.Sent
		r.Answered += x.Answered
		r.NoError += x.NoError
		r.Truncated += x.Truncated
		r.Lost += x.Lost
		r.P50, r.P99 = max(r.P50, x.P50), max(r.P99, x.P99)
		r.labels = append(r.labels, x.labels...)
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
	h.packets = make([][]byte, 1<<16)
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

// socket keeps the window of one socket full.
func (h *hammer) socket(to netip.AddrPort, end time.Time, seed uint64, out *report) error {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return fmt.Errorf("couldn't open a socket: %w", err)
	}
	defer c.Close()
	f, err := c.File() // blocking, and ours alone
	if err != nil {
		return fmt.Errorf("couldn't open a socket: %w", err)
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		return err
	}
	tv := unix.NsecToTimeval((200 * time.Millisecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	var tx, rx [batch]mmsghdr
	var txv, rxv [batch]unix.Iovec
	var head [batch][512]byte
	for i := range batch {
		txv[i].Base, rxv[i].Base = &head[i][0], &head[i][0]
		tx[i].hdr.Iov, rx[i].hdr.Iov = &txv[i], &rxv[i]
		tx[i].hdr.SetIovlen(1)
		rx[i].hdr.SetIovlen(1)
	}
	r := rand.New(rand.NewPCG(seed, 3))
	at, id, flying := r.IntN(len(h.packets)), uint16(0), 0
	var own [][]byte  // -record: packets whose first label is replaced
	var done []uint64 // bitmap over n
	n64 := uint64(0)
	if h.record != "" {
		for _, name := range h.list[:min(len(h.list), 1000)] {
			p, err := question(fmt.Sprintf("q%02x%08x.%s", seed, 0, name), 1)
			if err != nil {
				return err
			}
			own = append(own, p)
		}
		defer func() {
			for n := range n64 + 1 {
				if n/64 < uint64(len(done)) && done[n/64]&(1<<(n%64)) != 0 {
					out.labels = append(out.labels, fmt.Sprintf("q%02x%08x", seed, n))
				}
			}
		}()
	}
	for time.Now().Before(end) || flying > 0 {
		for flying < h.window && time.Now().Before(end) {
			n := min(batch, h.window-flying)
			for i := range n {
				p := h.packets[at&(len(h.packets)-1)]
				at++
				id++
				if own != nil {
					p = own[at%len(own)]
					n64++
					id = uint16(n64)
				}
				binary.BigEndian.PutUint16(head[i][:], id)
				copy(head[i][2:], p[2:])
				if own != nil {
					hex8(head[i][16:24], uint32(n64))
				}
				txv[i].SetLen(len(p))
			}
			got, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&tx[0])), uintptr(n), 0, 0, 0)
			if e == unix.ECONNREFUSED && own != nil { // what it answered before may wait here
				end = time.Time{}
				break
			}
			if e == unix.ECONNREFUSED {
				return errors.New("nobody listens there")
			}
			if e != 0 && e != unix.EINTR {
				return fmt.Errorf("couldn't send: %w", e)
			}
			if e == 0 {
				flying += int(got)
				out.Sent += uint64(got)
			}
		}
		for i := range batch {
			rxv[i].SetLen(512)
		}
		got, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&rx[0])), batch, unix.MSG_WAITFORONE, 0, 0)
		switch e {
		case 0:
		case unix.EINTR:
			continue
		case unix.ECONNREFUSED:
			if own == nil {
				return errors.New("nobody listens there")
			}
			end = time.Time{}
			continue
		case unix.EAGAIN: // silence: what flies is lost
			out.Lost += uint64(flying)
			flying = 0
			continue
		default:
			return fmt.Errorf("couldn't receive: %w", e)
		}
		for i := range int(got) {
			if rx[i].n >= 12 {
				out.Answered++
				if head[i][3]&15 == 0 {
					out.NoError++
				}
				if head[i][2]&2 != 0 {
					out.Truncated++
				}
				if own != nil && head[i][3]&15 == 0 {
					n := n64&^0xffff | uint64(binary.BigEndian.Uint16(head[i][:]))
					if n > n64 {
						n -= 1 << 16
					}
					for uint64(len(done)) <= n/64 {
						done = append(done, 0)
					}
					done[n/64] |= 1 << (n % 64)
				}
			}
		}
		flying = max(0, flying-int(got))
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
