package faults

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Who loads a sensor must not be who measures it: both are processes of their
// own, which wait in the kernel and not in Go's scheduler.

// child runs this binary as one of the helpers below until its input ends; what
// it says last is what it found out.
type child struct {
	cmd  *exec.Cmd
	in   io.Closer
	mu   sync.Mutex
	last string
	done chan struct{}
}

func startChild(t *testing.T, role string, conf any) *child {
	t.Helper()
	b, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), "FAULTS_ROLE="+role, "FAULTS_CONF="+string(b))
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in = in
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		sc := bufio.NewScanner(out)
		sc.Buffer(nil, 64<<20)
		for sc.Scan() {
			c.mu.Lock()
			c.last = sc.Text()
			c.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})
	return c
}

// said gives the newest report.
func (c *child) said(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	json.Unmarshal([]byte(c.last), v)
}

// end asks for the last report, and gives it.
func (c *child) end(t *testing.T, v any) {
	t.Helper()
	c.in.Close()
	select {
	case <-c.done:
	case <-time.After(20 * time.Second):
		t.Error("a helper does not end")
		c.cmd.Process.Kill()
	}
	c.said(v)
}

func runChild(role string) int {
	over := make(chan struct{})
	go func() { io.Copy(io.Discard, os.Stdin); close(over) }()
	ended := func() bool {
		select {
		case <-over:
			return true
		default:
			return false
		}
	}
	var err error
	var out any
	conf := []byte(os.Getenv("FAULTS_CONF"))
	switch role {
	case "probe":
		var c probeConf
		if err = json.Unmarshal(conf, &c); err == nil {
			out, err = c.run(ended)
		}
	case "echo":
		err = echo(over)
	case "slow":
		var c slowConf
		if err = json.Unmarshal(conf, &c); err == nil {
			out, err = c.run(ended)
		}
	case "syn":
		var c synConf
		if err = json.Unmarshal(conf, &c); err == nil {
			out, err = c.run(ended)
		}
	default:
		err = fmt.Errorf("no role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	json.NewEncoder(os.Stdout).Encode(out)
	return 0
}

// probeConf asks at a fixed pace, over UDP, and counts each answer's time from
// when its question was due: one that waits does not hold back the next.
type probeConf struct {
	Addr string        `json:"addr"`
	Src  string        `json:"src"`
	Gap  time.Duration `json:"gap"`
	Raw  bool          `json:"raw"` // an echo, not DNS
}

// probed is what a probe found.
type probed struct {
	RTT    []time.Duration `json:"rtt"` // of those answered within a second
	Missed int             `json:"missed"`
}

func (p probed) q(q float64) time.Duration {
	return quantile(p.RTT, q).Round(10 * time.Microsecond)
}

func (p probed) String() string {
	return fmt.Sprintf("%d asked, %d missed, p50 %v, p99 %v, worst %v", len(p.RTT)+p.Missed, p.Missed, p.q(.5), p.q(.99), p.q(1))
}

func sockaddr(ap netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
}

func (c probeConf) run(ended func() bool) (probed, error) {
	runtime.LockOSThread()
	// Who measures must not wait for a processor, where this user may say so.
	unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}, 0)
	var out probed
	to, err := netip.ParseAddrPort(c.Addr)
	if err != nil {
		return out, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return out, err
	}
	if c.Src != "" {
		src, err := netip.ParseAddr(c.Src)
		if err != nil {
			return out, err
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(src, 0))); err != nil {
			return out, err
		}
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		return out, err
	}
	flying := map[uint16]time.Time{}
	buf := make([]byte, 1500)
	var q []byte
	id := uint16(0)
	next := time.Now()
	var last time.Time
	for {
		now := time.Now()
		if last.IsZero() && ended() {
			last = now.Add(time.Second)
		}
		if !last.IsZero() && (len(flying) == 0 || now.After(last)) {
			break
		}
		if last.IsZero() && !now.Before(next) {
			id++
			if at, ok := flying[id]; ok && now.Sub(at) > time.Second {
				out.Missed++
			}
			q = question(q, id, fmt.Sprintf("probe%d.%s", id, zone))
			flying[id] = next
			unix.Write(fd, q)
			next = next.Add(c.Gap)
		}
		wait := time.Until(next)
		if !last.IsZero() {
			wait = 10 * time.Millisecond
		}
		ts := unix.NsecToTimespec(int64(max(0, wait)))
		unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &ts, nil)
		for {
			n, err := unix.Read(fd, buf)
			if err != nil || n < 2 {
				break
			}
			got := binary.BigEndian.Uint16(buf)
			if at, ok := flying[got]; ok {
				if d := time.Since(at); d < time.Second {
					out.RTT = append(out.RTT, d)
				} else {
					out.Missed++
				}
				delete(flying, got)
			}
		}
	}
	out.Missed += len(flying)
	return out, nil
}

// echo sends each datagram back: what a probe of it takes is what this machine
// takes, with all that runs on it.
func echo(over <-chan struct{}) error {
	runtime.LockOSThread()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	fmt.Printf("{\"port\":%d}\n", sa.(*unix.SockaddrInet4).Port)
	go func() { <-over; os.Exit(0) }()
	buf := make([]byte, 1500)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err == nil {
			unix.Sendto(fd, buf[:n], 0, from)
		}
	}
}

func startEcho(t *testing.T) (addr string) {
	t.Helper()
	c := startChild(t, "echo", nil)
	var at struct{ Port int }
	for range 500 {
		if c.said(&at); at.Port != 0 {
			return fmt.Sprintf("127.0.0.1:%d", at.Port)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no echo")
	return ""
}

// slowConf opens connections that mean no good, and opens them again when they
// are cut.
type slowConf struct {
	Addrs []string      `json:"addrs"`  // "scheme ADDR:PORT"
	First int           `json:"first"`  // the number of the first: sources follow from it
	Count int           `json:"count"`  // how many
	Rate  int           `json:"rate"`   // how many to open in a second
	Each  int           `json:"each"`   // connections of a source
	Drip  time.Duration `json:"drip"`   // between the octets of those that send one now and then
	Every time.Duration `json:"report"` // how often to say how far it is
}

type slowed struct {
	Opened int `json:"opened"`
	Failed int `json:"failed"` // no connection
	Cut    int `json:"cut"`    // by the sensor
	Held   int `json:"held"`   // now
	Most   int `json:"most"`
}

// A half ClientHello: the head of a record of 512 octets, and no more than 64.
var halfHello = append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 53)...)

// first is what the i-th says at once, and whether it goes on by drops.
func (c slowConf) first(i int) (say []byte, drop string) {
	scheme, _, _ := strings.Cut(c.Addrs[i%len(c.Addrs)], " ")
	kind := i / len(c.Addrs) % 4
	host := "GET /slow HTTP/1.1\r\nHost: " + zone + "\r\n"
	q := question(nil, 1, "slow."+zone)
	framed := append([]byte{byte(len(q) >> 8), byte(len(q))}, q...)
	switch {
	case kind == 0:
		return nil, ""
	case scheme == "https" || scheme == "dns+tls":
		return halfHello, map[int]string{2: "\x00"}[kind]
	case scheme == "dns":
		return map[int][]byte{1: framed[:9], 2: {0}, 3: []byte(strings.Repeat(string(framed), 64))}[kind], map[int]string{2: "\x00"}[kind]
	case scheme == "smtp":
		return []byte(map[int]string{1: "EHLO half", 2: "N", 3: strings.Repeat("NOOP\r\n", 8)}[kind]), map[int]string{2: "x"}[kind]
	}
	return []byte(map[int]string{1: host + "X-Long: ", 2: "G", 3: strings.Repeat(host+"\r\n", 64)}[kind]), map[int]string{2: "x"}[kind]
}

func (c slowConf) run(ended func() bool) (slowed, error) {
	runtime.LockOSThread()
	// In earnest these are other machines: they must not take ours from the sensor.
	if long {
		unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
	}
	var out slowed
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return out, err
	}
	var addrs []netip.AddrPort
	for _, a := range c.Addrs {
		_, at, _ := strings.Cut(a, " ")
		ap, err := netip.ParseAddrPort(at)
		if err != nil {
			return out, err
		}
		addrs = append(addrs, ap)
	}
	fds := make([]int, c.Count) // 0: not open; below 0: connecting
	of := map[int]int{}
	var queue []int
	for i := range c.Count {
		queue = append(queue, i)
	}
	shut := func(k int) {
		fd := max(fds[k], -fds[k])
		unix.Close(fd)
		delete(of, fd)
		fds[k] = 0
		queue = append(queue, k)
	}
	open := func(k int) bool {
		i := c.First + k
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return false
		}
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 2048)
		unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(source(i/c.Each), 0)))
		if err == nil {
			if err = unix.Connect(fd, sockaddr(addrs[i%len(addrs)])); err == unix.EINPROGRESS {
				err = nil
			}
		}
		if err == nil {
			err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLRDHUP, Fd: int32(fd)})
		}
		if err != nil {
			unix.Close(fd)
			return false
		}
		fds[k], of[fd] = -fd, k
		return true
	}
	events := make([]unix.EpollEvent, 512)
	begin := time.Now()
	opened, drip := 0, 0
	report := begin
	for !ended() {
		now := time.Now()
		// No burst makes up for what was late.
		due := int(now.Sub(begin).Seconds() * float64(c.Rate))
		if due-opened > c.Rate/10 {
			begin, opened = now, 0
			due = c.Rate / 50
		}
		for opened < due && len(queue) > 0 {
			k := queue[0]
			queue = queue[1:]
			opened++
			if !open(k) {
				out.Failed++
				queue = append(queue, k)
			}
		}
		if len(queue) == 0 {
			begin, opened = now, 0
		}
		// So many get a drop now that each has had one after c.Drip.
		for end := drip + max(1, c.Count*10/max(1, int(c.Drip.Milliseconds()))); drip < end; drip++ {
			k := drip % c.Count
			if _, drop := c.first(c.First + k); drop != "" && fds[k] > 0 {
				unix.Write(fds[k], []byte(drop))
			}
		}
		n, _ := unix.EpollWait(ep, events, 10)
		for _, ev := range events[:max(0, n)] {
			k, ok := of[int(ev.Fd)]
			if !ok {
				continue
			}
			if ev.Events&(unix.EPOLLERR|unix.EPOLLHUP|unix.EPOLLRDHUP) != 0 {
				if fds[k] < 0 {
					out.Failed++
				} else {
					out.Cut++
				}
				shut(k)
				continue
			}
			if fds[k] < 0 {
				fds[k] = -fds[k]
				out.Opened++
				if say, _ := c.first(c.First + k); say != nil {
					unix.Write(fds[k], say)
				}
				unix.EpollCtl(ep, unix.EPOLL_CTL_MOD, fds[k], &unix.EpollEvent{Events: unix.EPOLLRDHUP, Fd: int32(fds[k])})
			}
		}
		if now.Sub(report) > c.Every {
			report = now
			out.Held = 0
			for _, fd := range fds {
				if fd > 0 {
					out.Held++
				}
			}
			out.Most = max(out.Most, out.Held)
			json.NewEncoder(os.Stdout).Encode(out)
		}
	}
	return out, nil
}
