package xdp

import (
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/impound/impound/internal/peertest"
)

// The kernel runs the program over frames: what it would hand to a socket, it
// drops here, for there is none.
func TestProgramTakesOnlyTheQuestions(t *testing.T) {
	peertest.NeedThat(t, "eBPF", os.Geteuid() == 0, "run the test as root")
	rlimit.RemoveMemlock()
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer sockets.Close()
	mac := [6]byte{2, 0, 0, 0, 0, 1}
	extra := []netip.Addr{}
	for i := range 60 {
		extra = append(extra, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 9, 15: byte(i)}))
	}
	const drop = 1
	all := slices.Concat(extra, []netip.Addr{dst4.Addr(), dst6.Addr()})
	load := func(addrs []netip.Addr) *ebpf.Program {
		p, err := ebpf.NewProgram(program(sockets, mac, addrs, 53, drop))
		if err != nil {
			t.Fatalf("%+v", err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	both, only4, only6 := load(all), load([]netip.Addr{dst4.Addr()}), load([]netip.Addr{dst6.Addr()})
	set := func(at int, v ...byte) func([]byte) []byte {
		return func(f []byte) []byte { copy(f[at:], v); return f }
	}
	to := func(s string) func([]byte) []byte {
		return func([]byte) []byte {
			d := netip.MustParseAddrPort(s)
			src := src4
			if d.Addr().Is6() {
				src = src6
			}
			return datagram(src, d, []byte("question"))
		}
	}
	for _, tt := range []struct {
		name string
		prog *ebpf.Program
		v6   bool
		edit func([]byte) []byte
		take bool
	}{
		{"IPv4", both, false, set(0), true},
		{"IPv6", both, true, set(0), true},
		{"IPv4, only such", only4, false, set(0), true},
		{"IPv6, only such", only6, true, set(0), true},
		{"IPv6, only IPv4 wanted", only4, true, set(0), false},
		{"IPv4, only IPv6 wanted", only6, false, set(0), false},
		{"the first other address", both, false, to("203.0.113.0:53"), true},
		{"the last other address, IPv6", both, true, to("[2001:db8:900::3b]:53"), true},
		{"another address", both, false, to("192.0.2.2:53"), false},
		{"another address, IPv6", both, true, to("[2001:db8:1::2]:53"), false},
		{"another network, IPv6", both, true, to("[2001:db8:2::1]:53"), false},
		{"another port", both, false, to("192.0.2.1:54"), false},
		{"the port's octets swapped", both, false, to("192.0.2.1:13568"), false},
		{"another port, IPv6", both, true, to("[2001:db8:1::1]:54"), false},
		{"another card", both, false, set(3, 9), false},
		{"another card", both, false, set(5, 9), false},
		{"broadcast", both, false, set(0, 255, 255, 255, 255, 255, 255), false},
		{"ARP", both, false, set(12, 8, 6), false},
		{"VLAN", both, false, set(12, 0x81, 0), false},
		{"options", both, false, set(14, 0x46), false},
		{"first fragment", both, false, set(20, 0x20), false},
		{"later fragment", both, false, set(20, 0, 1), false},
		{"later fragment", both, false, set(20, 1, 0), false},
		{"don't fragment", both, false, set(20, 0x40), true},
		{"TCP", both, false, set(23, 6), false},
		{"fragment head, IPv6", both, true, set(20, 44), false},
		{"TCP, IPv6", both, true, set(20, 6), false},
		{"version 4 in IPv6", both, true, set(14, 0x40), false},
		{"cut", both, false, func(f []byte) []byte { return f[:HeadRoom4-1] }, false},
		{"cut, IPv6", both, true, func(f []byte) []byte { return f[:HeadRoom6-1] }, false},
		{"the longest", both, false, func(f []byte) []byte { return append(f, make([]byte, maxFrame-len(f))...) }, true},
		{"too long", both, false, func(f []byte) []byte { return append(f, make([]byte, maxFrame+1-len(f))...) }, false},
	} {
		f := datagram(src4, dst4, []byte("question"))
		if tt.v6 {
			f = datagram(src6, dst6, []byte("question"))
		}
		f = tt.edit(f)
		got, err := tt.prog.Run(&ebpf.RunOptions{Data: f})
		if err != nil {
			t.Fatal(err)
		}
		want := uint32(xdpPass)
		if tt.take {
			want = drop
		}
		if got != want {
			t.Errorf("%s: verdict %d, not %d", tt.name, got, want)
		}
	}
}
