package profile

import (
	"math"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Who has a host has what it stands below. Hosts are called by habit where the
// name that was registered is called by chance, so a list that holds both says
// more of the second than it says by itself: in reports of actors' names, and in
// certificates, both stand beside each other.

// Beside is what the hosts of a list say of the names that they stand below. It is
// for one goroutine. The zero Beside has seen none.
type Beside struct {
	below map[string]*below
	mute  bool
}

// Beside makes one for names that the profile ranks. It says nothing where a
// program puts words in a row: that makes no hosts.
func (p *Profile) Beside() *Beside { return &Beside{mute: p.apply < .5} }

// below is what stands below a name.
type below struct {
	odds float64 // sum
	n    float64
	best float64 // bits
	host string
}

// mostBelow is below how many names hosts are looked at; those that come later in
// a list of more say nothing. That is some 200 MB.
const mostBelow = 1 << 20

// Add tells of a name of the list and how many bits it has by itself. What is no
// host says nothing. Names are as streams have them.
func (b *Beside) Add(name string, bits float64) {
	if b.mute {
		return
	}
	for i := range standsBelow(name) {
		up := name[i:]
		x := b.below[up]
		if x == nil {
			if len(b.below) >= mostBelow {
				continue
			}
			if b.below == nil {
				b.below = map[string]*below{}
			}
			x = &below{best: math.Inf(-1)}
			b.below[up] = x
		}
		x.odds += math.Exp2(bits)
		x.n++
		if bits > x.best {
			x.best, x.host = bits, name
		}
	}
}

// standsBelow gives where the names begin that a host stands below and that are
// somebody's: none of them is a public suffix, of registries or of others.
func standsBelow(name string) func(func(int) bool) {
	return func(yield func(int) bool) {
		i := strings.IndexByte(name, '.')
		if i == strings.LastIndexByte(name, '.') {
			return // most names: nothing but a suffix is below the first dot
		}
		suffix, _ := publicsuffix.PublicSuffix(name)
		for i++; len(name)-i > len(suffix); {
			if !yield(i) {
				return
			}
			k := strings.IndexByte(name[i:], '.')
			if k < 0 {
				return
			}
			i += k + 1
		}
	}
}

// Bits gives how many bits a name has that has so many by itself, and the host
// that speaks for it: the mean odds of the hosts below it, or of those that stand
// below the same name as it does, where these are more. Below a provider of hosts
// there are many, and most are nobody's in particular.
func (b *Beside) Bits(name string, bits float64) (up float64, host string) {
	up = bits
	take := func(name string) {
		if x := b.below[name]; x != nil {
			if m := math.Log2(x.odds / x.n); m > up {
				up, host = m, x.host
			}
		}
	}
	take(name)
	for i := range standsBelow(name) {
		take(name[i:])
	}
	return up, host
}
