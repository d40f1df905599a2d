package testregistry

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// Faults makes the registry hostile on purpose. Rates are from 0 (never) to 1
// (always) and are drawn from Seed by what is asked and how often it was asked
// before, not by the order in which sessions happen to run: the same client
// meets the same faults again. The zero value has none.
type Faults struct {
	Seed         uint64
	DropBefore   float64       // the connection is closed when a transform comes in; nothing is done
	DropAfter    float64       // a transform is done, then the connection is closed without an answer
	Fail2400     float64       // a command after login fails with 2400; nothing is done
	Fail2502     float64       // a login is answered 2502
	Pending      float64       // a domain update is answered 1001 and done later
	PendingFor   time.Duration // how much later
	PendingDeny  float64       // a pending update is denied in the end
	Lock         float64       // someone sets serverUpdateProhibited just before an update
	SlowGreeting float64       // the greeting comes Delay late
	Delay        time.Duration
	Split        float64       // an answer goes out in pieces
	Join         bool          // answers to pipelined commands go out in one piece
	ReorderPoll  float64       // the youngest message of a queue comes first
	RDAPFail     float64       // RDAP fails: 429, 500, a redirect to itself, eight megabytes, or no JSON
	WHOISFail    float64       // WHOIS fails: silence, "slow down", a referral to itself, eight megabytes
	WHOISInject  bool          // a registrant's fields hold [WHOISHostile]
	CertFor      time.Duration // the EPP server's certificate expires so long after the start; 0 for years
	RDAPLag      time.Duration // RDAP shows the state of so long ago
	ZoneLag      time.Duration // so do the parent zones
	ClockSkew    time.Duration // the server's clock runs ahead by so much, where it tells the time
}

// Hostile gives the faults of a bad day: about one call in twenty fails in one
// of the ways that real registries have, its clock is wrong, and its certificate is
// about to expire. Not among them are Lock and PendingDeny, which end a client's
// work until a person sees to it.
func Hostile(seed uint64) Faults {
	return Faults{Seed: seed, DropBefore: 0.01, DropAfter: 0.02, Fail2400: 0.01, Fail2502: 0.01, Pending: 0.01, PendingFor: 200 * time.Millisecond,
		SlowGreeting: 0.05, Delay: 100 * time.Millisecond, Split: 0.2, Join: true, ReorderPoll: 0.2, RDAPFail: 0.02, WHOISFail: 0.02, WHOISInject: true,
		RDAPLag: 300 * time.Millisecond, ZoneLag: 150 * time.Millisecond, ClockSkew: 90 * time.Second,
		CertFor: 10 * 24 * time.Hour}
}

// luck draws faults.
type luck struct {
	f  Faults
	mu sync.Mutex
	n  map[string]uint64 // how often each thing was asked

	struck map[string]int // how often each fault was drawn
}

// Struck says how often each of the faults that are drawn came about, by what it
// does.
func (r *Registry) Struck() map[string]int {
	r.luck.mu.Lock()
	defer r.luck.mu.Unlock()
	return maps.Clone(r.luck.struck)
}

// faultNames say what faults do, by their words in this package.
var faultNames = map[string]string{
	"drop-before": "hung up before the act", "drop-after": "acted, then hung up", "2400": "answered 2400", "2502": "answered 2502 to a login", "pending": "put off by 1001",
	"deny": "denied what was put off", "lock": "set a lock in between", "greeting": "greeted late", "split": "sessions with frames in pieces", "poll": "messages out of order",
	"rdap": "RDAP failed", "whois": "WHOIS failed",
}

func (l *luck) hits(rate float64, fault, key string) bool {
	if rate <= 0 {
		return false
	}
	k := fault + "\x00" + key
	l.mu.Lock()
	n := l.n[k]
	l.n[k]++
	l.mu.Unlock()
	if l.draw(k, n).Float64() >= rate {
		return false
	}
	l.mu.Lock()
	if l.struck == nil {
		l.struck = map[string]int{}
	}
	l.struck[cmp.Or(faultNames[fault], fault)]++
	l.mu.Unlock()
	return true
}

// draw gives the random numbers of the nth time that key is asked.
func (l *luck) draw(key string, n uint64) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(key))
	h.Write(binary.BigEndian.AppendUint64(nil, n))
	return rand.New(rand.NewPCG(l.f.Seed, h.Sum64()))
}

// pick gives one of n ways, in turn from a place that the seed says.
func (l *luck) pick(n int, fault string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := "pick\x00" + fault
	i := l.n[k]
	l.n[k]++
	return int((l.draw(k, 0).Uint64N(uint64(n)) + i) % uint64(n))
}
