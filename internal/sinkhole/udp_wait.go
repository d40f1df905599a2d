package sinkhole

import (
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Go wakes whoever waits for a socket only when a processor has nothing else to
// run, or after 10 ms; and then behind all that can run already. With tens of
// thousands of connections coming and going that is a hundred milliseconds. So
// the loops that answer questions wait in the kernel, each in a thread of its
// own, which the kernel puts before those that had more of the processor.

// cores is how many processors there are for us. Start the process with more
// of Go's than that: one that works on something long, such as a segment to be
// sealed, must not be one that a question waits for.
var cores = runtime.GOMAXPROCS(0)

// kernelWait is where the loops of a UDP socket wait.
type kernelWait struct {
	fd   int // the socket's, a copy
	stop int // eventfd, readable from the end on
}

func newKernelWait(c *net.UDPConn) (*kernelWait, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &kernelWait{}
	cerr := rc.Control(func(fd uintptr) { w.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if cerr != nil || err != nil {
		return nil, os.ErrInvalid
	}
	if w.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(w.fd)
		return nil, err
	}
	return w, nil
}

// end ends all loops; they still take what is there.
func (w *kernelWait) end() {
	if w != nil {
		unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// close is for after the last loop.
func (w *kernelWait) close() {
	if w == nil {
		return
	}
	unix.Close(w.fd)
	unix.Close(w.stop)
}

// waiter is the place of one loop.
type waiter struct {
	w  *kernelWait
	ep int
}

// loop gives a place to the calling goroutine, which keeps its thread from here
// on; nil when there is none, and Go's poller must do.
func (w *kernelWait) loop() *waiter {
	if w == nil {
		return nil
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	// One datagram wakes one loop.
	err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, w.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE, Fd: int32(w.fd)})
	if err == nil {
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, w.stop, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(w.stop)})
	}
	if err != nil {
		unix.Close(ep)
		return nil
	}
	runtime.LockOSThread()
	// Where this user may: questions are answered before pages. Less is
	// inherited by no other thread, since this one starts none.
	unix.Setpriority(unix.PRIO_PROCESS, 0, -5)
	return &waiter{w, ep}
}

func (p *waiter) close() {
	unix.Close(p.ep)
	// The thread ends with the goroutine: its priority is not for others.
}

// read calls f as RawConn.Read does.
func (p *waiter) read(f func(fd uintptr) bool) error {
	var ev [2]unix.EpollEvent
	for !f(uintptr(p.w.fd)) {
		n, err := rawWait(p.ep, ev[:], briefly), error(nil)
		if n == 0 {
			n, err = unix.EpollWait(p.ep, ev[:], -1)
		}
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range ev[:max(0, n)] {
			if int(e.Fd) == p.w.stop {
				return os.ErrDeadlineExceeded
			}
		}
	}
	return nil
}
