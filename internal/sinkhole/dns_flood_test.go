package sinkhole

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// counted is a recorder that only counts.
type counted struct{ answered, limited, rest atomic.Uint64 }

func (c *counted) Append(e *impound.Event) error {
	switch e.Outcome {
	case answered:
		c.answered.Add(1)
	case limited:
		c.limited.Add(1)
	default:
		c.rest.Add(1)
	}
	return nil
}

func question1(t testing.TB, name string, qtype uint16) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A flood from one network uses up that network's budget and nothing else; each
// of its questions is counted.
func TestFloodFromOneSource(t *testing.T) {
	rec := &counted{}
	r := start(t, usual(t), onlyDNS, func(c *Config) { c.Recorder, c.Limits.DNSPerSecond = rec, 100 })
	req := question1(t, "outlook-verify.net.", dns.TypeA)
	var env dnsEnv
	var q question
	var ev impound.Event
	dst := netip.MustParseAddrPort("192.0.2.1:53")
	const flood = 20_000
	full, cut, none := 0, 0, 0
	room := make([]byte, 0, 2048)
	var octets int
	for i := range flood {
		// The whole /24 is one source, whichever address and port it forges.
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), uint16(1024+i%60000))
		out := r.answerUDP(room, req, from, dst, t0, &env, &q, &ev)
		octets += len(out)
		switch {
		case len(out) == 0:
			none++
		case out[2]&2 != 0:
			cut++
		default:
			full++
		}
	}
	if full != 100 || cut != (flood-100)/2 || none != (flood-100)/2 {
		t.Errorf("%d answered, %d cut, %d dropped", full, cut, none)
	}
	if octets > flood*len(req) {
		t.Errorf("%d octets for %d", octets, flood*len(req))
	}
	if a, l := rec.answered.Load(), rec.limited.Load(); a != 100 || l != flood-100 {
		t.Errorf("recorded: %d answered, %d limited", a, l)
	}
	// Others are answered meanwhile.
	if in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA); len(in.Answer) != 1 {
		t.Errorf("another source: %v", in)
	}
	// The flooded network itself still has TCP, and a new budget each second.
	out := r.answerUDP(room, req, netip.MustParseAddrPort("203.0.113.7:53"), dst, t0.Add(time.Second), &env, &q, &ev)
	if len(out) == 0 || out[2]&2 != 0 {
		t.Errorf("a second later: % x", out)
	}
}

// A flood from forged sources everywhere takes no memory, and is recorded whole.
func TestFloodFromManySources(t *testing.T) {
	rec := &counted{}
	r := start(t, usual(t), onlyDNS, func(c *Config) { c.Recorder = rec })
	reqs := [][]byte{question1(t, "x.outlook-verify.net.", dns.TypeA), question1(t, "example.org.", dns.TypeA), {0, 1, 2}}
	var env dnsEnv
	var q question
	var ev impound.Event
	dst := netip.MustParseAddrPort("192.0.2.1:53")
	room := make([]byte, 0, 2048)
	const flood = 300_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	lost := 0
	for i := range flood {
		var a [16]byte
		a[0] = 0x20
		binary.BigEndian.PutUint32(a[2:], uint32(i)*2654435761)
		from := netip.AddrPortFrom(netip.AddrFrom16(a), 1024)
		if i%2 == 0 {
			from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[2:6])), 1024)
		}
		req := reqs[i%3]
		if out := r.answerUDP(room, req, from, dst, t0, &env, &q, &ev); len(req) > 3 && len(out) == 0 {
			lost++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d octets are held after the flood", grown)
	}
	if lost > 0 {
		t.Errorf("%d of %d sources that asked once or twice were not answered", lost, flood)
	}
	if a, l, rest := rec.answered.Load(), rec.limited.Load(), rec.rest.Load(); a != flood/3 || l != 0 || a+l+rest != flood {
		t.Errorf("recorded: %d answered, %d limited, %d others", a, l, rest)
	}
	if in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA); len(in.Answer) != 1 {
		t.Errorf("afterwards: %v", in)
	}
}

// While bundles of 100,000 names are swapped, every answer is whole: one
// policy's or the other's, and the new one's once the swap has returned.
func TestSwapUnderLoad(t *testing.T) {
	const n = 100_000
	worlds := [2]*policy.Policy{}
	addrs := [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	for w := range worlds {
		names := make([]string, 0, n)
		for i := range n / 2 {
			names = append(names, fmt.Sprintf("both-%d.example", i), fmt.Sprintf("only%d-%d.example", w, i))
		}
		worlds[w] = opened(t, t0, policy.Options{Serial: uint64(w + 1), Answer: policy.Answer{A: addrs[w : w+1]}}, mandate(t, "O1", nil, names...))
	}
	for _, plain := range []bool{false, true} {
		rec := &counted{}
		r := start(t, worlds[0], onlyDNS, func(c *Config) { c.Recorder, c.Plain, c.Limits.DNSPerSecond = rec, plain, -1 })
		var live atomic.Uint64 // 2 * swaps done, +1 while one is under way
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var asked atomic.Uint64
		for g := range 3 {
			wg.Go(func() {
				c, err := net.Dial("udp", r.addr("dns"))
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				co := &dns.Conn{Conn: c}
				for i := g; ; i += 3 {
					select {
					case <-stop:
						return
					default:
					}
					kind := i % 4 // in both; of the first only; of the second only; NODATA
					name := [...]string{"both-%d.example.", "only0-%d.example.", "only1-%d.example.", "both-%d.example."}[kind]
					m := new(dns.Msg)
					m.SetQuestion(fmt.Sprintf(name, (i*7919)%(n/2)), dns.TypeA)
					if kind == 3 {
						m.Question[0].Qtype = dns.TypeAAAA
					}
					m.SetEdns0(1232, false) // without, an SOA would be more than 1.5 times the question
					from := live.Load()
					c.SetDeadline(time.Now().Add(10 * time.Second))
					if err := co.WriteMsg(m); err != nil {
						t.Error(err)
						return
					}
					in, err := co.ReadMsg()
					if err != nil {
						t.Error(err)
						return
					}
					till := live.Load()
					asked.Add(1)
					// Which of the two gave this answer?
					w := -1
					switch {
					case in.Id != m.Id:
					case kind == 3 && in.Rcode == 0 && len(in.Answer) == 0 && len(in.Ns) == 1:
						w = int(in.Ns[0].(*dns.SOA).Serial) - 1
					case kind == 3:
					case in.Rcode == dns.RcodeRefused && len(in.Answer)+len(in.Ns) == 0 && kind > 0:
						w = 2 - kind // the one that doesn't have it
					case in.Rcode == 0 && len(in.Answer) == 1:
						w = int(in.Answer[0].(*dns.A).A.To4()[3]) - 1
						if kind > 0 && w != kind-1 {
							w = -1
						}
					}
					sure := from == till && from%2 == 0
					if w < 0 || w > 1 || sure && w != int(from/2)%2 {
						t.Errorf("plain=%v, swaps %d to %d: a wrong answer %v", plain, from, till, in)
						return
					}
				}
			})
		}
		for i := 1; i <= 60; i++ {
			for want := asked.Load() + 40; asked.Load() < want && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
			live.Add(1)
			if err := r.SetPolicy(worlds[i%2]); err != nil {
				t.Error(err)
			}
			live.Add(1)
		}
		close(stop)
		wg.Wait()
		if got := rec.answered.Load() + rec.rest.Load(); got != asked.Load() {
			t.Errorf("plain=%v: %d questions, %d recorded", plain, asked.Load(), got)
		}
		t.Logf("plain=%v: %d questions over 60 swaps", plain, asked.Load())
	}
}
