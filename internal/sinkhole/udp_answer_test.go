package sinkhole

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"

	"github.com/impound/impound"
)

type kept struct{ events []impound.Event }

func (k *kept) Append(e *impound.Event) error {
	k.events = append(k.events, *e)
	return nil
}

// A batch is answered and recorded as its questions are one by one by the plain
// code: usual ones, strange ones, floods, names that nobody seized.
func TestBatchIsAnsweredAsOneByOne(t *testing.T) {
	var fast, slow kept
	configure := func(k *kept, plain bool) *Sinkhole {
		_, p := answerers(t)
		s, err := New(Config{Sensor: "s", Listeners: []string{"dns://127.0.0.1:0"}, Recorder: k, Policy: p, Plain: plain,
			A: []netip.Addr{sinkV4}, Limits: Limits{DNSPerSecond: 40}, Now: func() time.Time { return t0 }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := configure(&fast, false), configure(&slow, true)
	u := a.newUDPAnswerer()
	r := rand.New(rand.NewPCG(1, 2))
	var env dnsEnv
	var q question
	var ev impound.Event
	dst := netip.MustParseAddrPort("192.0.2.1:53")
	names := []string{"outlook-verify.net.", "WWW.outlook-VERIFY.net.", "a.b.c.outlook-verify.net.", "lure-level.net.", "x.acme-level.net.", "example.org.", ".", "a\\.b.outlook-verify.net.", "_dmarc.long-rua.net."}
	for n := range 300 {
		d := make([]datagram, r.IntN(batchSize)+1)
		now := t0.Add(time.Duration(n) * 100 * time.Millisecond)
		for i := range d {
			req := question1(t, names[r.IntN(len(names))], []uint16{1, 28, 2, 6, 15, 16, 255, 252}[r.IntN(8)])
			binary.BigEndian.PutUint16(req, uint16(r.Uint32()))
			switch r.IntN(12) {
			case 0:
				req = req[:r.IntN(len(req))]
			case 1:
				req[r.IntN(len(req))] ^= byte(r.Uint32())
			case 2:
				m := new(dns.Msg)
				if m.Unpack(req) == nil {
					m.SetEdns0(1232, true)
					req, _ = m.Pack()
				}
			}
			d[i] = datagram{src: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(8) * 32)}), uint16(r.Uint32())), dst: dst, req: req, out: make([]byte, 0, 2048)}
			if r.IntN(3) == 0 {
				d[i].src = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::9"), 999)
			}
		}
		fast.events, slow.events = nil, nil
		u.answer(d, now)
		for i := range d {
			want := b.answerUDP(nil, d[i].req, d[i].src, dst, now, &env, &q, &ev)
			if !bytes.Equal(want, d[i].out) {
				t.Fatalf("to %x\nplain %x\nbatch %x", d[i].req, want, d[i].out)
			}
		}
		if diff := cmp.Diff(slow.events, fast.events, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Fatal(diff)
		}
	}
	if x, y := a.Stats(), b.Stats(); x != y || x.Limited == 0 || x.Malformed == 0 || x.Refused == 0 || x.Answered == 0 {
		t.Errorf("%+v\n%+v", x, y)
	}
}

type loses struct{ n int }

func (l *loses) Add(*impound.Event) { l.n++ }

func (l *loses) Commit() (int, error) {
	n := l.n
	l.n = 0
	return n - 1, errors.New("no room")
}

// Events of a batch that could not be recorded are counted, and the answers
// leave all the same.
func TestBatchNotRecorded(t *testing.T) {
	_, p := answerers(t)
	s, err := New(Config{Sensor: "s", Listeners: []string{"dns://127.0.0.1:0"}, Recorder: &kept{}, NewBatch: func() Batch { return &loses{} }, Policy: p, Now: func() time.Time { return t0 }})
	if err != nil {
		t.Fatal(err)
	}
	u := s.newUDPAnswerer()
	d := make([]datagram, 5)
	for i := range d {
		d[i] = datagram{src: netip.MustParseAddrPort("192.0.2.9:99"), req: question1(t, "outlook-verify.net.", dns.TypeA), out: make([]byte, 0, 2048)}
	}
	u.answer(d, t0)
	for i := range d {
		if len(d[i].out) == 0 {
			t.Errorf("question %d was not answered", i)
		}
	}
	if n := s.Stats().RecordFailed; n != 4 {
		t.Errorf("%d counted as not recorded", n)
	}
}

func TestBatchAnswersDoNotAllocate(t *testing.T) {
	_, p := answerers(t)
	s, err := New(Config{Sensor: "s", Listeners: []string{"dns://127.0.0.1:0"}, Recorder: &kept{}, NewBatch: func() Batch { return &loses{} }, Policy: p, A: []netip.Addr{sinkV4}, Limits: Limits{DNSPerSecond: -1}})
	if err != nil {
		t.Fatal(err)
	}
	u := s.newUDPAnswerer()
	d := make([]datagram, batchSize)
	for i := range d {
		d[i] = datagram{src: netip.MustParseAddrPort("192.0.2.9:99"), req: question1(t, "www.outlook-verify.net.", []uint16{1, 28, 16, 6, 2, 15}[i%6]), out: make([]byte, 0, 2048)}
	}
	u.batch = &none{}
	if n := testing.AllocsPerRun(50, func() { u.answer(d, t0) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

type none struct{}

func (*none) Add(*impound.Event)   {}
func (*none) Commit() (int, error) { return 0, nil }

func BenchmarkBatch(b *testing.B) {
	_, p := answerers(b)
	s, err := New(Config{Sensor: "s", Listeners: []string{"dns://127.0.0.1:0"}, Recorder: &kept{}, NewBatch: func() Batch { return &none{} }, Policy: p, A: []netip.Addr{sinkV4}, Limits: Limits{DNSPerSecond: -1}})
	if err != nil {
		b.Fatal(err)
	}
	u := s.newUDPAnswerer()
	d := make([]datagram, batchSize)
	for i := range d {
		m := new(dns.Msg)
		m.SetQuestion("www.outlook-verify.net.", []uint16{1, 1, 1, 1, 1, 28, 28, 15, 16, 6}[i%10])
		m.SetEdns0(1232, false)
		req, _ := m.Pack()
		d[i] = datagram{src: netip.MustParseAddrPort("192.0.2.9:99"), req: req, out: make([]byte, 0, 2048)}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%batchSize == 0 {
			u.answer(d, t0)
		}
	}
}
