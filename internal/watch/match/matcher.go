// Package match finds names that imitate a brand: exact tokens in a wrong
// place, look-alike characters, typing errors, and lure words; and says why.
//
// What lives here: brands, folding, the index that finds tokens within one or
// two edits at millions of names a second, the score, and twist, which makes
// the variants instead of finding them. It is importable alone. What must not:
// I/O other than on a reader or writer that the caller hands over, and anything
// that decides: a score is a reason to look.
package match

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/impound/impound"
)

// How says in which way a name imitates.
type How string

// The ways.
const (
	HowExact         How = "exact"         // the token as a whole word
	HowCombo         How = "combo"         // the token with a lure word
	HowInside        How = "inside"        // the token glued to other letters
	HowSubdomain     How = "sub-domain"    // the token in a label in front of the registrable name
	HowHomoglyph     How = "homoglyph"     // look-alike ASCII characters
	HowIDN           How = "idn"           // look-alike characters of other scripts
	HowBitflip       How = "bit-flip"      // one letter that differs in one bit
	HowOmission      How = "omission"      // a letter left out
	HowInsertion     How = "insertion"     // a letter added
	HowRepetition    How = "repetition"    // a letter doubled
	HowTransposition How = "transposition" // neighbours changed places
	HowReplacement   How = "replacement"   // another letter
	HowVowel         How = "vowel-swap"    // another vowel
	HowHyphen        How = "hyphen"        // a hyphen inside the token
	HowDot           How = "dot"           // a dot inside the token
	HowEdits         How = "edits"         // two edits
	HowGarbled       How = "garbled"       // a word that is further off, with the same first letter
	HowTLD           How = "tld-swap"      // a brand's own name under another suffix
	HowLures         How = "lures"         // two lure words and no brand
)

// Options of a Matcher.
type Options struct {
	// NoTLD leaves the top-level domain out of the score. Which suffixes are
	// misused changes from year to year, and lists of new registrations hold
	// some and lack others.
	NoTLD bool
	// NoFuzzy finds tokens without typing errors only.
	NoFuzzy bool
	// NoLoose leaves out garbled words. With more than 3,000 tokens they are
	// left out in any case.
	NoLoose bool
	// Background is what is known of ordinary names; nil means what is built in.
	Background *Background
}

// Hit is what a Matcher found in a name.
type Hit struct {
	Brand    string           `json:"brand,omitempty"` // "" for lure words alone
	How      How              `json:"how"`
	Token    string           `json:"token,omitempty"`
	Distance int              `json:"distance"` // edits between the token and what stands in the name, after folding
	Score    float64          `json:"score"`    // above 0, below 1
	Reasons  []impound.Reason `json:"reasons"`  // their weights add up to the score before it is squashed
}

// Matcher finds brands in names. It never changes after [New] and is safe for
// concurrent use.
type Matcher struct {
	brands  []Brand
	ix      *index
	own     map[string]bool // the brands' domains
	opt     Options
	model   *model
	looker  *looker
	again   *secondLook // the second look; nil for none
	told    *told       // of its past; nil while it is learnt
	weights *weights    // of model, laid out

	secondFrom float64 // from which logit there is a second look
	chance     float64 // what is taken from each logit: the more brands, the more is chance

	ownEnds [9][]uint64 // by length and ownEnd: what own may hold
}

// New builds a Matcher. Brands are cleaned as [LoadBrands] does; a brand that
// can't be is an [impound.Error] of KindInvalid.
func New(brands []Brand, opt Options) (*Matcher, error) {
	if len(brands) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "no brands to match").WithCure("give a brands file")
	}
	if opt.Background == nil {
		opt.Background = builtinBackground
	}
	with, without := secondLooks()
	m := &Matcher{opt: opt, own: map[string]bool{}, model: withTLD, again: with}
	if opt.NoTLD {
		m.model, m.again = withoutTLD, without
	}
	m.weights = m.model.weights()
	m.chance = chanceOf(len(brands))
	m.secondFrom = secondFrom + m.chance
	users := map[string][]int32{}
	for i, b := range brands {
		b.Domains, b.Tokens = slices.Clone(b.Domains), slices.Clone(b.Tokens)
		if err := b.clean(); err != nil {
			return nil, err
		}
		m.brands = append(m.brands, b)
		for _, d := range b.Domains {
			m.own[d] = true
			n := min(8, len(d))
			if m.ownEnds[n] == nil {
				m.ownEnds[n] = make([]uint64, 1<<ownBits/64)
			}
			h := ownEnd(packRight([]uint8(d)), n)
			m.ownEnds[n][h>>6] |= 1 << (h & 63)
		}
		for _, t := range b.Tokens {
			users[t] = append(users[t], int32(i))
		}
	}
	var tokens []token
	seen := map[string]bool{} // folded forms
	texts := make([]string, 0, len(users))
	for t := range users {
		texts = append(texts, t)
	}
	slices.Sort(texts)
	for _, text := range texts {
		us := users[text]
		// A token that two brands list belongs to the one that is called so, then
		// to the one that lists it earlier.
		slices.SortStableFunc(us, func(a, b int32) int {
			return cmp.Or(cmp.Compare(rank(brands[a], text), rank(brands[b], text)), cmp.Compare(a, b))
		})
		t := token{text: text, codes: foldToken(text), brands: us, rarity: opt.Background.rarity([]byte(text))}
		t.hash = uint16(runHash(runKinds, []byte(text)) >> (64 - 10))
		for k := range runKinds {
			t.common[k] = opt.Background.commonness(k, []byte(text))
		}
		switch n := len(t.codes); {
		case opt.NoFuzzy || n <= 4:
		case n <= 8:
			t.edits = 1
		default:
			t.edits = 2
		}
		if seen[string(t.codes)] {
			continue
		}
		seen[string(t.codes)] = true
		tokens = append(tokens, t)
		if mc := mergeDigraphs(t.codes); len(mc) != len(t.codes) && len(mc) >= 3 && !seen[string(mc)] {
			seen[string(mc)] = true
			t.codes, t.merged = mc, true
			if t.edits > 0 && len(mc) <= 4 {
				t.edits = 0
			} else if t.edits == 2 && len(mc) <= 8 {
				t.edits = 1
			}
			tokens = append(tokens, t)
		}
	}
	if len(tokens) > maxLooseTokens {
		m.opt.NoLoose = true
	}
	if len(tokens) > maxTokens {
		return nil, impound.Errorf(impound.KindInvalid, "%d tokens of brands are more than the %d that can be told apart", len(tokens), maxTokens).WithCure("split the brands into several files")
	}
	m.ix = newIndex(tokens, opt.Background)
	m.obviousTokens()
	m.looker = newLooker(m.brands)
	for i := range tokens {
		m.ix.names = append(m.ix.names, m.brands[tokens[i].brands[0]].ID)
		b := tokens[i].brands[0]
		if h := tokens[i].hash; !slices.Contains(m.looker.mates[b], h) {
			m.looker.mates[b] = append(m.looker.mates[b], h)
		}
	}
	if m.again != nil {
		m.told = m.again.past.tell(tokens, m.looker.mates)
	}
	return m, nil
}

func rank(b Brand, token string) int {
	if b.ID == token {
		return -1
	}
	return slices.Index(b.Tokens, token)
}

// Brands gives the brands in the order in which they were given.
func (m *Matcher) Brands() []Brand { return slices.Clone(m.brands) }

// maxLooseTokens is for how many tokens garbled words are looked for: beyond,
// it would take most of the time and find mostly chance.
const maxLooseTokens = 3000

// maxFound bounds how many occurrences are looked at in one name.
const maxFound = 24

type verdict struct {
	logit float64
	found found
	ok    bool
}

// Score gives how suspicious name is: above 0 and below 1, or 0 when nothing
// was seen or name is no host name; and which brand it imitates ("" for none).
// It does not allocate for names in ASCII without A-labels.
func (m *Matcher) Score(name []byte) (float64, string) {
	r := scorers.Get().(*Scorer)
	r.m = m
	p, brand := r.Score(name)
	r.m = nil
	scorers.Put(r)
	return p, brand
}

// AtLeast is [Scorer.AtLeast].
func (m *Matcher) AtLeast(name []byte, least float64) (float64, string) {
	r := scorers.Get().(*Scorer)
	r.m = m
	p, brand := r.AtLeast(name, least)
	r.m = nil
	scorers.Put(r)
	return p, brand
}

var scorers = sync.Pool{New: func() any { return new(Scorer) }}

// Scorer scores one name after the other; it is a little faster than
// [Matcher.Score], and for one goroutine.
type Scorer struct {
	m *Matcher
	s scan
	t scan // with digraphs merged
	// What was found, in each.
	fs, ft [maxFound]found

	least, cut float64 // of AtLeast
	from       float64 // below this logit nothing scores least
	cutOf      *Matcher
	idn        *Scorer // for what A-labels look like; nil until there is one

	carried carried
}

// Scorer gives one.
func (m *Matcher) Scorer() *Scorer { return &Scorer{m: m} }

// Score is [Matcher.Score].
func (r *Scorer) Score(name []byte) (float64, string) {
	v, in := r.look(name, math.Inf(-1))
	if !v.ok {
		return 0, ""
	}
	r.carried = carried{v, in}
	return squash(v.logit), r.m.brandOf(v.found.tok)
}

// AtLeast is [Scorer.Score] for names that score least or more; for others it
// gives 0, and is faster.
func (r *Scorer) AtLeast(name []byte, least float64) (float64, string) {
	if least <= 0 {
		return r.Score(name)
	}
	r.aim(least)
	v, in := r.look(name, r.cut)
	if v.ok && v.logit >= r.from {
		if p := squash(v.logit); p >= least {
			r.carried = carried{v, in}
			return p, r.m.brandOf(v.found.tok)
		}
	}
	return 0, ""
}

func (m *Matcher) brandOf(tok int32) string {
	if tok < 0 {
		return ""
	}
	return m.ix.names[tok]
}

// squash maps a logit to 0..1, never quite reaching either.
func squash(x float64) float64 {
	return 1 / (1 + math.Exp(-min(max(x, -squashMost), squashMost)))
}

// squashMost is the logit up to which scores differ.
const squashMost = 20

// look gives the occurrence with the highest score, and in what it is. What is
// below cut need not be weighed: its logit may be given as any below it. Nothing
// here allocates unless name has A-labels.
func (r *Scorer) look(name []byte, cut float64) (verdict, *scan) {
	m, s := r.m, &r.s
	s.idn = false
	if !s.fill(name) {
		if nonASCII(name) && len(name) < 1024 {
			if n, err := impound.ParseName(string(name)); err == nil {
				return r.look([]byte(n.String()), cut)
			}
		}
		return verdict{}, s
	}
	best, in := r.best(false, cut)
	if s.hasA {
		if u, where, ok := unIDN(string(s.raw[:s.allN])); ok {
			if r.idn == nil {
				r.idn = new(Scorer)
			}
			t := r.idn
			t.m, t.s.idn, t.s.looks = m, true, where
			if t.s.fill([]byte(u)) {
				// The look-alike of an own domain is the best of imitations.
				if v, in2 := t.best(true, cut); v.ok && (!best.ok || v.logit > best.logit) && !m.isOwn(s) {
					return v, in2
				}
			}
		}
	}
	return best, in
}

func nonASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// best finds the occurrence with the highest score, and gives in what it is.
func (r *Scorer) best(idn bool, cut float64) (verdict, *scan) {
	m, s := r.m, &r.s
	fs := m.ix.find(s, r.fs[:0])
	if s.digraph {
		// The same name again with rn and vv merged; positions stay those of raw.
		t := &r.t
		t.mergeOf(s)
		if ft := m.ix.find(t, r.ft[:0]); len(ft) > 0 {
			if v := m.weigh(t, ft, idn, cut); v.ok {
				if w := m.weigh(s, fs, idn, cut); w.ok && w.logit >= v.logit {
					return w, s
				}
				return v, t
			}
		}
	}
	if len(fs) > 0 {
		if v := m.weigh(s, fs, idn, cut); v.ok {
			return v, s
		}
	}
	if !m.opt.NoLoose {
		if f, ok := m.ix.findLoose(s); ok {
			return m.weigh(s, append(r.fs[:0], f), idn, cut), s
		}
	}
	return verdict{}, s
}

func (m *Matcher) weigh(s *scan, fs []found, idn bool, cut float64) verdict {
	best := verdict{logit: math.Inf(-1)}
	cut += m.chance
	if fastFetch && len(fs) > 0 { // with many brands they are far
		fetchHot(&m.ix.hot[0], &fs[0], len(fs))
	}
	for i := range fs {
		f := &fs[i]
		need := max(cut, best.logit)
		if !math.IsInf(need, -1) {
			if l, ok := m.atMost(s, f); ok && l <= need {
				best.ok = true
				continue
			}
		}
		l, ok := m.logitOf(s, f)
		if !ok {
			continue
		}
		if best.ok = true; l > best.logit {
			best.logit, best.found = l, *f
		}
	}
	if best.ok && best.logit > cut && !idn && m.isOwn(s) {
		return verdict{}
	}
	if best.ok && best.found.dist > 0 {
		m.spelt(s, &best.found, fs)
	}
	if best.ok && best.logit > m.secondFrom && m.again != nil {
		best.logit = m.lookAgain(s, best.found, fs)
		if m.chance > 0 && best.logit < obviousLeast { // a longer token may lie over the one that anybody sees
			m.liftObvious(s, fs, idn, &best)
		}
	} else if best.logit -= m.chance; best.ok && best.logit < obviousLeast && m.again != nil {
		m.liftObvious(s, fs, idn, &best)
	}
	return best
}

// spelt puts the token that stands in the name as it is in the place of one that its
// letters come near to: "paypal" is nobody's misspelt "paypay", however much more
// often that one is imitated.
func (m *Matcher) spelt(s *scan, f *found, fs []found) {
	for i := range fs {
		if g := &fs[i]; g.dist == 0 && g.at <= f.at && g.end >= f.end {
			if _, ok := m.logitOf(s, g); ok {
				*f = *g
				return
			}
		}
	}
}

// ownEnd hashes how a name ends: its last n octets, 8 at most.
func ownEnd(last8 uint64, n int) uint64 {
	return (last8 >> (64 - 8*n) * 0x9e3779b97f4a7c15) >> (64 - ownBits)
}

const ownBits = 17

// isOwn says whether the name is at or below a brand's own domain.
func (m *Matcher) isOwn(s *scan) bool {
	if s.allN >= 8 { // few names end as one does
		last, maybe := binary.LittleEndian.Uint64(s.raw[s.allN-8:]), uint64(0)
		for n := range m.ownEnds {
			if e := m.ownEnds[n]; e != nil {
				h := ownEnd(last, n)
				maybe |= e[h>>6] >> (h & 63)
			}
		}
		if maybe&1 == 0 {
			return false
		}
	}
	name := unsafe.String(&s.raw[0], s.allN) // a map look-up only; nothing keeps it
	for {
		if m.own[name] {
			return true
		}
		i := strings.IndexByte(name, '.')
		if i < 0 {
			return false
		}
		name = name[i+1:]
	}
}

// Match says what name imitates, with reasons; false when nothing was seen,
// when name is no host name, or when it belongs to a brand.
func (m *Matcher) Match(name string) (Hit, bool) {
	r := scorers.Get().(*Scorer)
	defer func() { r.m = nil; scorers.Put(r) }()
	r.m = m
	v, s := r.look([]byte(name), math.Inf(-1))
	if !v.ok {
		return m.lureOnly(s)
	}
	return m.explain(s, v), true
}
