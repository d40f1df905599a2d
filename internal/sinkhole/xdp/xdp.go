// Package xdp takes the UDP datagrams of one port from a network interface past
// the kernel's sockets (AF_XDP), and sends answers the same way.
//
// What lives here: the small program in the kernel that chooses the datagrams,
// the sockets with their rings and frames, and the reading and writing of
// Ethernet, IP and UDP heads. What must not: anything that knows what the
// datagrams say.
//
// The program is held by a link that ends with the process, however it ends:
// the interface is then as before.
package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

const (
	frameSize = 2048
	frames    = 2048 // to receive, and as many to send, for each queue: 8 MiB
	batchSize = 64
	minMTU    = 1280 // what the longest answer needs
)

// Config says what to take.
type Config struct {
	Interface *net.Interface
	Addrs     []netip.Addr // of the interface, at most MaxAddrs
	Port      uint16
}

// Device is a program on an interface and one socket for each of its receive
// queues.
type Device struct {
	mode    string
	sockets *ebpf.Map
	prog    *ebpf.Program
	link    link.Link
	queues  []*Queue
}

// Open attaches the program and opens the sockets, in the best of these modes
// that the driver has: the driver's own with no copy, the driver's own with a
// copy, generic. It must be called in the network namespace of the interface,
// on a thread that stays there. The error joins why each mode could not be had.
func Open(cfg Config) (*Device, error) {
	ifi := cfg.Interface
	if len(ifi.HardwareAddr) != 6 {
		return nil, fmt.Errorf("couldn't use %s: it is no Ethernet", ifi.Name)
	}
	if ifi.Flags&net.FlagUp == 0 {
		return nil, fmt.Errorf("couldn't use %s: %w", ifi.Name, unix.ENETDOWN)
	}
	if ifi.MTU < minMTU {
		return nil, fmt.Errorf("couldn't use %s: its MTU is %d, and answers need %d", ifi.Name, ifi.MTU, minMTU)
	}
	if len(cfg.Addrs) == 0 || len(cfg.Addrs) > MaxAddrs {
		return nil, fmt.Errorf("couldn't use %s: it has %d addresses, and 1 to %d can be served", ifi.Name, len(cfg.Addrs), MaxAddrs)
	}
	rlimit.RemoveMemlock() // kernels before 5.11 count maps; where it is not permitted, they say so
	n := rxQueues(ifi.Name)
	d := &Device{}
	var err error
	d.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Name: "impound_xsk", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(n)})
	if err != nil {
		return nil, fmt.Errorf("couldn't make a map of sockets: %w", err)
	}
	d.prog, err = ebpf.NewProgram(program(d.sockets, [6]byte(ifi.HardwareAddr), cfg.Addrs, cfg.Port, xdpPass))
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("couldn't load the program: %w", err)
	}
	type try struct {
		name   string
		attach link.XDPAttachFlags
		bind   uint16
	}
	tries := []try{
		{"driver", link.XDPDriverMode, 0}, // no copy if the driver can, else a copy
		{"driver", link.XDPDriverMode, unix.XDP_COPY},
		{"generic", link.XDPGenericMode, unix.XDP_COPY},
	}
	var errs []error
	for _, t := range tries {
		if err = d.try(ifi, n, t.attach, t.bind); err == nil {
			d.mode = t.name + " mode, copy"
			if d.queues[0].zeroCopy() {
				d.mode = t.name + " mode, no copy"
			}
			return d, nil
		}
		errs = append(errs, fmt.Errorf("%s mode: %w", t.name, err))
		d.release()
	}
	d.Close()
	return nil, errors.Join(errs...)
}

func (d *Device) try(ifi *net.Interface, n int, attach link.XDPAttachFlags, bind uint16) error {
	var err error
	// First the program: some drivers make room for sockets only below one.
	d.link, err = link.AttachXDP(link.XDPOptions{Program: d.prog, Interface: ifi.Index, Flags: attach})
	if err != nil {
		return fmt.Errorf("couldn't attach the program: %w", err)
	}
	for i := range n {
		q, err := openQueue(ifi.Index, i, bind|unix.XDP_USE_NEED_WAKEUP)
		if err != nil {
			return fmt.Errorf("couldn't open the socket of queue %d: %w", i, err)
		}
		d.queues = append(d.queues, q)
		if err := d.sockets.Put(uint32(i), uint32(q.fd)); err != nil {
			return fmt.Errorf("couldn't hand the socket of queue %d to the program: %w", i, err)
		}
	}
	return nil
}

// Mode says in words how packets come in.
func (d *Device) Mode() string { return d.mode }

// Queues are the sockets. Each is served by one goroutine.
func (d *Device) Queues() []*Queue { return d.queues }

// Detach gives the interface back to the kernel's sockets. What came before is
// still in the queues. It may be called again.
func (d *Device) Detach() error {
	if d.link == nil {
		return nil
	}
	err := d.link.Close()
	d.link = nil
	return err
}

func (d *Device) release() error {
	err := d.Detach()
	for _, q := range d.queues {
		q.close()
	}
	d.queues = nil
	return err
}

// Close detaches and frees all. No queue may be in service any more.
func (d *Device) Close() error {
	err := d.release()
	if d.prog != nil {
		d.prog.Close()
	}
	if d.sockets != nil {
		d.sockets.Close()
	}
	return err
}

// rxQueues asks the driver how many receive queues it has; one if it doesn't
// say. What comes in by a queue that we don't know of is the kernel's.
func rxQueues(name string) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 1
	}
	defer unix.Close(fd)
	// struct ethtool_channels: cmd, max_{rx,tx,other,combined}, then the counts.
	ch := [9]uint32{unix.ETHTOOL_GCHANNELS}
	type ifreq struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	req := ifreq{data: unsafe.Pointer(&ch)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); e != 0 {
		return 1
	}
	return int(min(max(1, ch[5]+ch[8]), 1024))
}
