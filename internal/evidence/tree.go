package evidence

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// tileLevel is how many levels of the tree a tile spans: 256 entries. The hashes
// of complete tiles are held in memory, proven against the signed root; what lies
// below them is read from the hashes file when it is wanted, and proven then.
const (
	tileLevel = 8
	tileSize  = 1 << tileLevel
	maxLevel  = 40
)

// tree is the shape of the log at one size. Once published it is never changed;
// a copy can be added to, one copy at a time.
type tree struct {
	n    int64
	high [maxLevel - tileLevel][]tlog.Hash // complete subtrees of level tileLevel and up
	low  [tileLevel][]tlog.Hash            // those below, of the unfinished tile alone
}

// add adds the hash of an entry and gives the stored hashes that it completes.
func (t *tree) add(leaf tlog.Hash) []tlog.Hash {
	out := []tlog.Hash{leaf}
	h := leaf
	for level, k := 0, t.n; ; level, k = level+1, k>>1 {
		var at *[]tlog.Hash
		if level < tileLevel {
			at = &t.low[level]
		} else {
			at = &t.high[level-tileLevel]
		}
		*at = append(*at, h)
		if k&1 == 0 {
			break
		}
		h = tlog.NodeHash((*at)[len(*at)-2], h)
		out = append(out, h)
	}
	if t.n++; t.n%tileSize == 0 {
		clear(t.low[:])
	}
	return out
}

// node gives the hash of the complete subtree k of a level that is in memory.
func (t *tree) node(level int, k int64) (tlog.Hash, bool) {
	if level < 0 || level >= maxLevel || k < 0 || (k+1)<<level > t.n {
		return tlog.Hash{}, false
	}
	if level >= tileLevel {
		return t.high[level-tileLevel][k], true
	}
	k -= (t.n / tileSize) << (tileLevel - level)
	if k < 0 {
		return tlog.Hash{}, false
	}
	return t.low[level][k], true
}

// ReadHashes implements [tlog.HashReader] for what is in memory, which is enough
// for the root and for adding.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		h, ok := t.node(tlog.SplitStoredHashIndex(x))
		if !ok {
			return nil, fmt.Errorf("hash %d is not in memory", x)
		}
		out[i] = h
	}
	return out, nil
}

func (t *tree) root() (tlog.Hash, error) { return tlog.TreeHash(t.n, t) }

// loadTree reads the tree of n entries from the hashes file. Nothing of it is
// proven before its root is compared with a signed one. It fails when the file is
// too short or its hashes don't fit each other.
func loadTree(f *os.File, n int64) (*tree, error) {
	t := &tree{}
	full := n / tileSize
	buf := make([]byte, maxLevel*tlog.HashSize)
	for k := range full {
		// Behind a tile's own hash stand those of the larger subtrees that it
		// completes.
		up := 1
		for x := k; x&1 == 1; x >>= 1 {
			up++
		}
		b := buf[:up*tlog.HashSize]
		if _, err := readFullAt(f, b, tlog.StoredHashIndex(tileLevel, k)*tlog.HashSize); err != nil {
			return nil, err
		}
		h := tlog.Hash(b)
		for level, x := 0, k; ; level, x = level+1, x>>1 {
			if tlog.Hash(b[level*tlog.HashSize:]) != h {
				return nil, fmt.Errorf("a hash of level %d above tile %d differed", tileLevel+level, k)
			}
			t.high[level] = append(t.high[level], h)
			if x&1 == 0 {
				break
			}
			h = tlog.NodeHash(t.high[level][x-1], h)
		}
	}
	t.n = full * tileSize
	if left := n - t.n; left > 0 {
		from := tlog.StoredHashIndex(0, t.n)
		b := make([]byte, (tlog.StoredHashCount(n)-from)*tlog.HashSize)
		if _, err := readFullAt(f, b, from*tlog.HashSize); err != nil {
			return nil, err
		}
		for range left {
			hs := t.add(tlog.Hash(b))
			for i, h := range hs {
				if tlog.Hash(b[i*tlog.HashSize:]) != h {
					return nil, fmt.Errorf("hash %d differed", (int64(len(b))/-tlog.HashSize)+tlog.StoredHashCount(n)+int64(i))
				}
			}
			b = b[len(hs)*tlog.HashSize:]
		}
	}
	return t, nil
}

// tiles reads hashes of entries from the hashes file, each proven against the
// tile that a tree holds in memory. It is safe for concurrent use.
type tiles struct {
	f *os.File

	mu   sync.Mutex
	kept map[int64]*[tileSize]tlog.Hash
}

// maxTiles bounds the tiles that are kept: 8 KiB each.
const maxTiles = 1024

func (r *tiles) tile(t *tree, k int64) (*[tileSize]tlog.Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.kept[k]; c != nil {
		return c, nil
	}
	from := tlog.StoredHashIndex(0, k*tileSize)
	b := make([]byte, (2*tileSize-1)*tlog.HashSize)
	if _, err := readFullAt(r.f, b, from*tlog.HashSize); err != nil {
		return nil, err
	}
	var own tree
	c := new([tileSize]tlog.Hash)
	for i := range tileSize {
		h := tlog.Hash(b)
		c[i] = h
		hs := own.add(h)
		for j, x := range hs {
			if tlog.Hash(b[j*tlog.HashSize:]) != x {
				return nil, fmt.Errorf("hash %d differed", from+int64(2*tileSize-1)-int64(len(b)/tlog.HashSize)+int64(j))
			}
		}
		b = b[len(hs)*tlog.HashSize:]
	}
	if own.high[0][0] != t.high[0][k] {
		return nil, fmt.Errorf("hashes of entries %d to %d differed", k*tileSize, (k+1)*tileSize-1)
	}
	if r.kept == nil || len(r.kept) >= maxTiles {
		r.kept = map[int64]*[tileSize]tlog.Hash{}
	}
	r.kept[k] = c
	return c, nil
}

// leaf gives the proven hash of entry i of t.
func (r *tiles) leaf(t *tree, i int64) (tlog.Hash, error) {
	if h, ok := t.node(0, i); ok {
		return h, nil
	}
	c, err := r.tile(t, i/tileSize)
	if err != nil {
		return tlog.Hash{}, err
	}
	return c[i%tileSize], nil
}

// reader gives any stored hash of t.
func (r *tiles) reader(t *tree) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			level, k := tlog.SplitStoredHashIndex(x)
			if (k+1)<<level > t.n {
				return nil, fmt.Errorf("hash %d is beyond the tree", x)
			}
			h, ok := t.node(level, k)
			if !ok {
				c, err := r.tile(t, k<<level/tileSize)
				if err != nil {
					return nil, err
				}
				at := k << level % tileSize
				hs := c[at : at+1<<level]
				for len(hs) > 1 {
					up := make([]tlog.Hash, len(hs)/2)
					for j := range up {
						up[j] = tlog.NodeHash(hs[2*j], hs[2*j+1])
					}
					hs = up
				}
				h = hs[0]
			}
			out[i] = h
		}
		return out, nil
	})
}
