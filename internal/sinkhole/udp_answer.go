package sinkhole

import (
	"net/netip"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// Batch takes events that are recorded together. It is for one goroutine.
type Batch interface {
	// Add takes e as it is now. It must keep none of e's strings: their memory is
	// used again.
	Add(e *impound.Event)
	// Commit returns when the events are safe from the death of the process, but
	// for those lost of which err tells why. The batch is empty then.
	Commit() (lost int, err error)
}

// oneByOne is a batch for a recorder that has none of its own.
type oneByOne struct {
	to   Recorder
	lost int
	err  error
}

func (b *oneByOne) Add(e *impound.Event) {
	own := *e
	own.Name = strings.Clone(e.Name)
	if err := b.to.Append(&own); err != nil {
		b.lost++
		b.err = err
	}
}

func (b *oneByOne) Commit() (lost int, err error) {
	lost, err = b.lost, b.err
	b.lost, b.err = 0, nil
	return lost, err
}

// datagram is a question over UDP.
type datagram struct {
	src, dst netip.AddrPort
	req      []byte
	out      []byte // room for the answer, then the answer; empty for none
}

// udpAnswerer answers batches of datagrams, in steps: it reads all questions,
// then fetches all that their lookups will need from memory, then answers, then
// records. It is for one goroutine, and allocates nothing.
type udpAnswerer struct {
	s      *Sinkhole
	packed *packedAnswerer // nil: the plain one answers all
	batch  Batch
	asked  [batchSize]asked
	usual  [batchSize]bool
	hints  [batchSize]policy.Hint
	env    dnsEnv
	q      question
	ev     impound.Event
	sum    uint64
}

func (s *Sinkhole) newUDPAnswerer() *udpAnswerer {
	u := &udpAnswerer{s: s}
	u.packed, _ = s.dns.(*packedAnswerer)
	if s.cfg.NewBatch != nil {
		u.batch = s.cfg.NewBatch()
	} else {
		u.batch = &oneByOne{to: s.cfg.Recorder}
	}
	return u
}

// answer answers at most batchSize datagrams. When it returns, every one of
// them is recorded.
func (u *udpAnswerer) answer(d []datagram, now time.Time) {
	s := u.s
	p := s.policy.Load()
	if u.packed != nil {
		for i := range d {
			u.usual[i] = u.packed.parse(d[i].req, &u.asked[i])
			if u.usual[i] {
				p.Hint(u.asked[i].wire(), &u.hints[i])
			} else {
				u.hints[i] = policy.Hint{}
			}
		}
		u.sum += p.Touch(u.hints[:len(d)])
	}
	u.env = dnsEnv{policy: p, now: now}
	var answers, refusals, bad, over uint64
	for i := range d {
		d := &d[i]
		env, q, ev := &u.env, &u.q, &u.ev
		env.src = d.src.Addr()
		above := s.rrl.take(env.src, now)
		env.slip = above%2 == 1
		*q = question{}
		switch {
		case u.usual[i]:
			d.out = u.packed.pack(d.out[:0], d.req, &u.asked[i], &u.hints[i], env, q)
		case u.packed != nil:
			d.out = u.packed.plain.answer(d.out[:0], d.req, env, q)
		default:
			d.out = s.dns.answer(d.out[:0], d.req, env, q)
		}
		if above > 0 && !q.proven {
			q.outcome = limited
			if !env.slip {
				d.out = d.out[:0]
			}
		}
		// Whatever else an event can hold stays empty.
		ev.At, ev.Proto, ev.Src, ev.Dst = now, impound.ProtoDNS, d.src, d.dst
		ev.Name, ev.QType, ev.RCode, ev.Opcode, ev.Outcome = q.name, q.qtype, q.rcode, q.opcode, q.outcome
		ev.Zone, ev.Order = "", ""
		s.shape(ev, &q.about)
		u.batch.Add(ev)
		switch q.outcome {
		case answered:
			answers++
		case refused:
			refusals++
		case malformed:
			bad++
		case limited:
			over++
		}
	}
	s.n.dns.Add(uint64(len(d)))
	s.n.answered.Add(answers)
	s.n.refused.Add(refusals)
	s.n.malformed.Add(bad)
	s.n.limited.Add(over)
	if lost, err := u.batch.Commit(); lost > 0 {
		s.notRecorded(lost, err)
	}
}
