package match

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/boost"
)

// past is what was seen until a day: of each token, how many phishing names bore
// it lately and in all, and how many registrations were like such names; of each top-level domain, how many phishing and how many
// ordinary names. The second look asks it instead
// of knowing tokens by weights of their own: a brand that nobody imitated yet
// counts as such brands did before they were. It knows tokens and suffixes by
// hashes, and holds no names.
type past struct {
	tok [nTokens]tokPast
	tld [nSuffix]tldPast
	sum tldPast
}

type tokPast struct {
	recent, all float32 // phishing names; what is old counts less
	hot, warm   float32 // registrations, unlabelled, that the first look held for likely, for possible
}

type tldPast struct{ bad, plain float32 }

// nPast is how many numbers of the second look are the past's.
const nPast = 10

// In how many years what was seen counts half.
const (
	halfRecent = 0.35
	halfAll    = 3
	halfTLD    = 1
)

// put gives what was seen of a token, of all tokens of its brand, and of a name's
// suffix (-1: not looked at).
func (p *past) put(out []float32, hash uint16, mates []uint16, tld int) {
	h := p.tok[hash]
	var recent, all, hot, warm float32
	for _, u := range mates {
		recent += p.tok[u].recent
		all += p.tok[u].all
		hot += p.tok[u].hot
		warm += p.tok[u].warm
	}
	out[6] = ln1(hot)
	out[7] = ln1(warm)
	out[8] = ln((recent + 1) / (hot + 1))
	out[9] = ln1(h.hot)
	out[0] = ln1(h.recent)
	out[1] = ln1(h.all)
	out[2] = ln1(recent)
	out[3] = ln1(all)
	out[4], out[5] = 0, 0
	if tld >= 0 {
		d := p.tld[tld]
		q := (d.plain + 1) / (p.sum.plain + nSuffix)
		out[4] = ln((d.bad + 10*q) / (p.sum.bad + 10) / q)
		out[5] = ln(q)
	}
}

// told is what [past.put] gives, reckoned once for a matcher's tokens and for each
// suffix.
type told struct {
	tok [][nPast - 2]float32 // without those of the suffix
	tld [nSuffix][2]float32
}

func (p *past) tell(tokens []token, mates [][]uint16) *told {
	t := &told{tok: make([][nPast - 2]float32, len(tokens))}
	var v [nPast]float32
	for i := range tokens {
		p.put(v[:], tokens[i].hash, mates[tokens[i].brands[0]], -1)
		copy(t.tok[i][:4], v[:])
		copy(t.tok[i][4:], v[6:])
	}
	for i := range t.tld {
		p.put(v[:], 0, nil, i)
		t.tld[i] = [2]float32(v[4:])
	}
	return t
}

func (t *told) put(out []float32, tok int32, tld int) {
	v := &t.tok[tok]
	copy(out[:4], v[:])
	out[4], out[5] = 0, 0
	if tld >= 0 {
		out[4], out[5] = t.tld[tld][0], t.tld[tld][1]
	}
	copy(out[6:nPast], v[4:])
}

func ln1(v float32) float32 { return float32(math.Log1p(float64(v))) }
func ln(v float32) float32  { return float32(math.Log(float64(v))) }

// encode gives p in octets, little-endian: how many tokens, each with its
// number and what was seen, and the same of suffixes.
func (p *past) encode() []byte {
	var b []byte
	put := func(v ...float32) {
		for _, f := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
		}
	}
	n := 0
	for _, t := range p.tok {
		if t != (tokPast{}) {
			n++
		}
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	for i, t := range p.tok {
		if t != (tokPast{}) {
			b = binary.LittleEndian.AppendUint16(b, uint16(i))
			put(t.recent, t.all, t.hot, t.warm)
		}
	}
	put(p.sum.bad, p.sum.plain)
	for _, d := range p.tld {
		put(d.bad, d.plain)
	}
	return b
}

// decodePast reads what encode gave; what follows it is given back.
func decodePast(b []byte) (*past, []byte, error) {
	bad := func() (*past, []byte, error) {
		return nil, nil, impound.Errorf(impound.KindInvalid, "what the second look saw is cut short or not in order")
	}
	if len(b) < 2 {
		return bad()
	}
	n := int(binary.LittleEndian.Uint16(b))
	if len(b) < 2+18*n+8+8*nSuffix {
		return bad()
	}
	b = b[2:]
	get := func() float32 {
		f := math.Float32frombits(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return max(0, f) // a NaN stays one, and is found below
	}
	p, fine := &past{}, true
	for range n {
		i := binary.LittleEndian.Uint16(b)
		b = b[2:]
		t := tokPast{get(), get(), get(), get()}
		if i >= nTokens || t.recent+t.all != t.recent+t.all {
			fine = false
			continue
		}
		p.tok[i] = t
	}
	p.sum = tldPast{get(), get()}
	for i := range p.tld {
		p.tld[i] = tldPast{get(), get()}
		fine = fine && p.tld[i].bad+p.tld[i].plain == p.tld[i].bad+p.tld[i].plain
	}
	if !fine || p.sum != p.sum {
		return bad()
	}
	return p, b, nil
}

// pastTrainer goes back in time. A phishing name teaches the second look with
// what had been seen some months before its day, as it will be asked about names
// of months to come; an ordinary one with what had been seen on such a day.
type pastTrainer struct {
	rnd  *rand.Rand
	seen []pastSeen // the oldest first
	base past       // top-level domains of ordinary names
	memo map[int]*past
	hots []pastHot // registrations that the first look held for possible
	ages []float64 // of phishing rows, with the sum of their weights so far
	sums []float64
}

// pastHot is a registration. A row is told those of the other folds, so that none
// is told of itself.
type pastHot struct {
	hash uint16
	fold int
	hot  bool
}

type pastSeen struct {
	hash uint16
	tld  int // -1: not counted
	age  float64
	w    float32
}

// pastGap is up to how many years lie between what was seen and a name.
const pastGap = 1.0

// at gives what had been seen age years before the end, by whole months.
func (t *pastTrainer) at(age float64, fold int) *past {
	k := int(math.Ceil(age * 12))
	if p := t.memo[k*8+fold]; p != nil {
		return p
	}
	p := t.base
	for _, h := range t.hots {
		w := float32(1)
		if fold < secondFolds {
			w = float32(secondFolds) / (secondFolds - 1)
		}
		if h.fold != fold {
			p.tok[h.hash].warm += w
			if h.hot {
				p.tok[h.hash].hot += w
			}
		}
	}
	for _, e := range t.seen {
		a := e.age - float64(k)/12
		if a < 0 || k > 0 && a == 0 {
			break
		}
		p.tok[e.hash].recent += e.w * float32(math.Exp2(-a/halfRecent))
		p.tok[e.hash].all += e.w * float32(math.Exp2(-a/halfAll))
		if e.tld >= 0 {
			w := e.w * float32(math.Exp2(-a/halfTLD))
			p.tld[e.tld].bad += w
			p.sum.bad += w
		}
	}
	t.memo[k*8+fold] = &p
	return &p
}

// secondRow is a row with what it takes to tell its past.
type secondRow struct {
	boost.Row
	hash  uint16
	mates []uint16
	tld   int
	age   float64
	fold  int
}

// fill puts into rows what had been seen before them.
func (t *pastTrainer) fill(rows []secondRow) {
	slices.SortStableFunc(t.seen, func(a, b pastSeen) int {
		switch {
		case a.age > b.age:
			return -1
		case a.age < b.age:
			return 1
		}
		return 0
	})
	sum := 0.0
	for _, r := range rows {
		if r.Y > 0 {
			sum += float64(r.W)
			t.sums, t.ages = append(t.sums, sum), append(t.ages, r.age)
		}
	}
	for i := range rows {
		r := &rows[i]
		age := r.age
		if r.Y == 0 && len(t.ages) > 0 {
			j, _ := slices.BinarySearch(t.sums, t.rnd.Float64()*sum)
			age = t.ages[min(j, len(t.ages)-1)]
		}
		t.at(age+0.04+t.rnd.Float64()*pastGap, r.fold).put(r.X[nSecond-nPast:], r.hash, r.mates, r.tld)
	}
}
