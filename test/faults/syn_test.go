package faults

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// synConf sends SYNs from sources that never answer.
type synConf struct {
	To   string `json:"to"`
	Rate int    `json:"rate"` // a second
}

type synned struct {
	Sent   int `json:"sent"`
	Failed int `json:"failed"`
}

func (c synConf) run(ended func() bool) (synned, error) {
	runtime.LockOSThread()
	var out synned
	to, err := netip.ParseAddrPort(c.To)
	if err != nil {
		return out, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return out, err
	}
	begin := time.Now()
	for n := 0; !ended(); time.Sleep(2 * time.Millisecond) {
		for due := int(time.Since(begin).Seconds() * float64(c.Rate)); n < due; n++ {
			src := netip.AddrFrom4([4]byte{10, 8, byte(n >> 8), byte(n)})
			p := syn(netip.AddrPortFrom(src, uint16(1024+n%60000)), to, uint32(n)*2654435761)
			if unix.Sendto(fd, p, 0, sockaddr(netip.AddrPortFrom(to.Addr(), 0))) != nil {
				out.Failed++
			} else {
				out.Sent++
			}
		}
	}
	return out, nil
}

// syn is an IPv4 packet that begins a connection (RFC 9293 3.1).
func syn(src, dst netip.AddrPort, seq uint32) []byte {
	p := make([]byte, 44)
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], src.Addr().AsSlice())
	copy(p[16:], dst.Addr().AsSlice())
	t := p[20:]
	binary.BigEndian.PutUint16(t, src.Port())
	binary.BigEndian.PutUint16(t[2:], dst.Port())
	binary.BigEndian.PutUint32(t[4:], seq)
	t[12], t[13] = 6<<4, 2
	binary.BigEndian.PutUint16(t[14:], 64240)
	copy(t[20:], []byte{2, 4, 5, 0xb4}) // MSS 1460
	sum := uint32(unix.IPPROTO_TCP) + uint32(len(t))
	for _, b := range [][]byte{p[12:20], t} {
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(t[16:], ^uint16(sum))
	return p
}
