package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// link makes a namespace with one end of a veth pair for the nth server; the
// load comes from the other end, in our own. end takes both away.
func (b *bench) link(n int) (s *server, iface string, end func(), err error) {
	ns := fmt.Sprintf("ibench%d-%d", os.Getpid(), n)
	near, far := fmt.Sprintf("ib%da", n), fmt.Sprintf("ib%db", n)
	end = func() {
		exec.Command("ip", "netns", "del", ns).Run()
		exec.Command("ip", "link", "del", near).Run()
	}
	for _, c := range []string{
		"ip netns add " + ns,
		"ip link add " + near + " type veth peer name " + far,
		"ip link set " + far + " netns " + ns,
		fmt.Sprintf("ip addr add 10.213.%d.1/24 dev %s", n, near),
		"ip link set " + near + " up",
		fmt.Sprintf("ip -n %s addr add 10.213.%d.2/24 dev %s", ns, n, far),
		"ip -n " + ns + " link set lo up",
		"ip -n " + ns + " link set " + far + " up",
	} {
		f := strings.Fields(c)
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			end()
			return nil, "", nil, fmt.Errorf("couldn't make a network namespace (as root?): %s: %s", c, tail(string(out)))
		}
	}
	return &server{addr: fmt.Sprintf("10.213.%d.2:5300", n), ns: ns}, far, end, nil
}

// xdp compares over AF_XDP, each server in a namespace of its own.
func (b *bench) xdp(n int) error {
	list := names(n)
	file, err := b.namesFile(list)
	if err != nil {
		return err
	}
	type entry struct {
		tap bool
		bar float64
	}
	peers := []entry{{false, 1.05}, {true, 1.4}}
	if n > 1000 {
		peers = []entry{{false, 1.7}}
	}
	s, iface, end, err := b.link(1)
	if err != nil {
		return err
	}
	defer end()
	s.name = "impound"
	us, err := b.oursAt(s, iface+":5300", list, false, "dns+xdp")
	if err != nil {
		return err
	}
	defer us.kill()
	if out := us.out.String(); strings.Contains(out, "AF_XDP can't be had") {
		return fmt.Errorf("our server fell back to sockets: %s", tail(out))
	}
	servers := []*server{us}
	for i, p := range peers {
		s, iface, end, err := b.link(2 + i)
		if err != nil {
			return err
		}
		defer end()
		if s, err = b.peerAt(s, iface, "knot", list, p.tap); err != nil {
			return err
		}
		defer s.kill()
		servers = append(servers, s)
	}
	rates, err := b.turns(servers, b.askDNS(file))
	if err != nil {
		return err
	}
	for i, p := range peers {
		b.ratio(fmt.Sprintf("DNS over AF_XDP, %d names, journaled, against %s", n, servers[i+1].name), rates[0], rates[i+1], p.bar)
	}
	return nil
}
