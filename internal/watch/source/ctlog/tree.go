package ctlog

import (
	"crypto/sha256"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Frontier is a Merkle tree (RFC 6962 2.1) reduced to what is needed to add
// leaves to it and to know its root: the roots of its complete subtrees, the
// largest first. The zero Frontier is the empty tree.
type Frontier struct {
	Size   int64       `json:"size"`
	Hashes []tlog.Hash `json:"hashes"`
}

// Add adds leaves.
func (f *Frontier) Add(leaves ...tlog.Hash) {
	for _, h := range leaves {
		for n := f.Size; n&1 == 1; n >>= 1 {
			h = tlog.NodeHash(f.Hashes[len(f.Hashes)-1], h)
			f.Hashes = f.Hashes[:len(f.Hashes)-1]
		}
		f.Hashes = append(f.Hashes, h)
		f.Size++
	}
}

// Root gives the root of the tree.
func (f *Frontier) Root() tlog.Hash {
	if len(f.Hashes) == 0 {
		return sha256.Sum256(nil)
	}
	h := f.Hashes[len(f.Hashes)-1]
	for i := len(f.Hashes) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.Hashes[i], h)
	}
	return h
}

// Clone gives a Frontier that shares nothing with f.
func (f *Frontier) Clone() *Frontier {
	return &Frontier{f.Size, slices.Clone(f.Hashes)}
}

// valid says whether f can be the frontier of a tree: it comes from the store,
// or from a log.
func (f *Frontier) valid() bool {
	return f.Size >= 0 && len(f.Hashes) == bits.OnesCount64(uint64(f.Size))
}

// frontierFromProof reads a consistency proof (RFC 6962 2.1.2) from a tree of m
// leaves to one of n: it gives the frontier of the smaller tree and the root of
// the larger one that follow from it. Whoever trusts the larger root and finds
// it equal may trust the frontier. first is the root of the smaller tree; it is
// needed only when m is a power of two, since the proof leaves it out then.
func frontierFromProof(m, n int64, proof []tlog.Hash, first tlog.Hash) (*Frontier, tlog.Hash, bool) {
	if m <= 0 || n <= m {
		return nil, tlog.Hash{}, false
	}
	f := &Frontier{Size: m}
	// The proof holds, from its beginning, the deepest hash first.
	var walk func(m, n int64, whole bool) (newer tlog.Hash, ok bool)
	var left []tlog.Hash // complete subtrees, in the order in which they are met
	walk = func(m, n int64, whole bool) (tlog.Hash, bool) {
		if m == n {
			h := first
			if !whole {
				if len(proof) == 0 {
					return h, false
				}
				h, proof = proof[0], proof[1:]
			}
			left = append(left, h)
			return h, true
		}
		k := int64(1) << (bits.Len64(uint64(n-1)) - 1)
		if m <= k {
			h, ok := walk(m, k, whole)
			if !ok || len(proof) == 0 {
				return h, false
			}
			r := proof[0]
			proof = proof[1:]
			return tlog.NodeHash(h, r), true
		}
		h, ok := walk(m-k, n-k, false)
		if !ok || len(proof) == 0 {
			return h, false
		}
		l := proof[0]
		proof = proof[1:]
		left = append(left, l)
		return tlog.NodeHash(l, h), true
	}
	root, ok := walk(m, n, true)
	if !ok || len(proof) != 0 {
		return nil, root, false
	}
	slices.Reverse(left)
	f.Hashes = left
	return f, root, f.valid()
}

// subtrees gives the places, as tlog numbers stored hashes, of the complete
// subtrees of a tree of n leaves, the largest first.
func subtrees(n int64) []int64 {
	var out []int64
	var at int64
	for n > at {
		level := bits.Len64(uint64(n-at)) - 1
		out = append(out, tlog.StoredHashIndex(level, at>>level))
		at += 1 << level
	}
	return out
}
