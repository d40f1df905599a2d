// Package ctlogtest is a CT log for tests, in both protocols, that can be told
// to lie: to fork, to roll back, to give entries that are not its tree's, to be
// slow, rude or short.
//
// What lives here: the log. What must not: anything that the product needs. Real
// logs are tested against too (Sunlight); this one does what they never would.
package ctlogtest

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/impound/impound/internal/watch/source/ctlog"
)

// Log is a log on loopback. Set its exported fields under Lock.
type Log struct {
	sync.Mutex
	// Hook, if set, may answer a request itself and return true.
	Hook func(w http.ResponseWriter, r *http.Request) bool
	// Page is how many entries the RFC 6962 side gives at once.
	Page int
	// NoPartial makes partial tiles vanish where the full one is there.
	NoPartial bool
	// Requests counts what was asked, by path.
	Requests map[string]int

	// Cosigners sign each checkpoint too.
	Cosigners []Cosigner

	srv    *httptest.Server
	key    *ecdsa.PrivateKey
	spki   []byte
	hashes []tlog.Hash
	leaves [][]byte // TimestampedEntry
	tiles  [][]byte // the same with what a tile has beside it
	head   tlog.Tree
	time   uint64
	kind   ctlog.Kind
}

// Cosigner is a witness of the log.
type Cosigner struct {
	Name string
	Key  ed25519.PrivateKey
	At   uint64 // when it says that it signed, seconds
	Text string // what it signs instead of the checkpoint
}

// line gives the cosignature of a checkpoint (C2SP tlog-cosignature).
func (c Cosigner) line(text string) string {
	if c.Text != "" {
		text = c.Text
	}
	id := sha256.Sum256(append([]byte(c.Name+"\n\x04"), c.Key.Public().(ed25519.PublicKey)...))
	blob := binary.BigEndian.AppendUint64(bytes.Clone(id[:4]), c.At)
	blob = append(blob, ed25519.Sign(c.Key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", c.At, text))...)
	return fmt.Sprintf("\u2014 %s %s\n", c.Name, base64.StdEncoding.EncodeToString(blob))
}

// New starts a log that ends with the test.
func New(t testing.TB, kind ctlog.Kind) *Log {
	t.Helper()
	l := &Log{kind: kind, Page: 64, Requests: map[string]int{}, time: uint64(time.Now().UnixMilli())}
	var err error
	if l.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if l.spki, err = x509.MarshalPKIXPublicKey(&l.key.PublicKey); err != nil {
		t.Fatal(err)
	}
	l.head.Hash = sha256.Sum256(nil)
	l.srv = httptest.NewServer(l)
	t.Cleanup(l.srv.Close)
	return l
}

// Info is what a log list would say of it.
func (l *Log) Info() ctlog.Info {
	return ctlog.Info{Name: "test log", Kind: l.kind, URL: l.srv.URL, Monitor: l.srv.URL + "/mon", Key: l.spki}
}

// Add adds certificates, or leaves of any content, which show when Publish is
// called.
func (l *Log) Add(precert bool, ders ...[]byte) {
	l.Lock()
	defer l.Unlock()
	for _, der := range ders {
		var b cryptobyte.Builder
		b.AddUint64(l.time)
		kind := uint16(0)
		if precert {
			kind = 1
		}
		b.AddUint16(kind)
		if precert {
			b.AddBytes(make([]byte, 32))
		}
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
		n := int64(len(l.leaves))
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddUint16(5)
			var x [8]byte
			binary.BigEndian.PutUint64(x[:], uint64(n))
			b.AddBytes(x[3:])
		})
		leaf := b.BytesOrPanic()
		hs, err := tlog.StoredHashes(n, append([]byte{0, 0}, leaf...), l)
		if err != nil {
			panic(err)
		}
		l.hashes = append(l.hashes, hs...)
		l.leaves = append(l.leaves, leaf)
		var t cryptobyte.Builder
		t.AddBytes(leaf)
		if precert {
			t.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
		}
		t.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, 32)) })
		l.tiles = append(l.tiles, t.BytesOrPanic())
	}
}

// ReadHashes is for tlog.
func (l *Log) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, x := range at {
		if x >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("no hash %d", x)
		}
		out[i] = l.hashes[x]
	}
	return out, nil
}

// Publish signs the tree as it is.
func (l *Log) Publish() {
	l.Lock()
	defer l.Unlock()
	l.publish()
}

func (l *Log) publish() {
	n := int64(len(l.leaves))
	l.head = tlog.Tree{N: n, Hash: sha256.Sum256(nil)}
	if n > 0 {
		h, err := tlog.TreeHash(n, l)
		if err != nil {
			panic(err)
		}
		l.head.Hash = h
	}
	l.time++
}

// Cut takes the entries from n on away, as a log restored from a backup does,
// and signs what is left.
func (l *Log) Cut(n int) {
	l.Lock()
	defer l.Unlock()
	l.leaves, l.tiles = l.leaves[:n:n], l.tiles[:n:n]
	l.hashes = l.hashes[:tlog.StoredHashCount(int64(n)):tlog.StoredHashCount(int64(n))]
	l.publish()
}

// Size is how many entries it holds.
func (l *Log) Size() int {
	l.Lock()
	defer l.Unlock()
	return len(l.leaves)
}

// Damage changes an octet of an entry, and not its hash.
func (l *Log) Damage(n int) {
	l.Lock()
	defer l.Unlock()
	i := bytes.LastIndexByte(l.leaves[n], '.')
	l.leaves[n] = bytes.Clone(l.leaves[n])
	l.tiles[n] = bytes.Clone(l.tiles[n])
	l.leaves[n][i-1] ^= 1
	l.tiles[n][i-1] ^= 1
}

func (l *Log) sign() []byte {
	msg := []byte{0, 1}
	msg = binary.BigEndian.AppendUint64(msg, l.time)
	msg = binary.BigEndian.AppendUint64(msg, uint64(l.head.N))
	msg = append(msg, l.head.Hash[:]...)
	sum := sha256.Sum256(msg)
	sig, err := ecdsa.SignASN1(rand.Reader, l.key, sum[:])
	if err != nil {
		panic(err)
	}
	return append(binary.BigEndian.AppendUint16([]byte{4, 3}, uint16(len(sig))), sig...)
}

func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.Lock()
	defer l.Unlock()
	l.Requests[r.URL.Path]++
	if l.Hook != nil && l.Hook(w, r) {
		return
	}
	switch {
	case l.kind == ctlog.Static && r.URL.Path == "/mon/checkpoint":
		origin := strings.TrimPrefix(l.srv.URL, "http://")
		id := sha256.Sum256(l.spki)
		kh := sha256.Sum256(append([]byte(origin+"\n\x05"), id[:]...))
		blob := append(bytes.Clone(kh[:4]), binary.BigEndian.AppendUint64(nil, l.time)...)
		blob = append(blob, l.sign()...)
		text := fmt.Sprintf("%s\n%d\n%s\n", origin, l.head.N, l.head.Hash)
		fmt.Fprintf(w, "%s\n\u2014 %s %s\n", text, origin, base64.StdEncoding.EncodeToString(blob))
		for _, c := range l.Cosigners {
			fmt.Fprint(w, c.line(text))
		}
	case l.kind == ctlog.Static && strings.HasPrefix(r.URL.Path, "/mon/tile/"):
		t, err := tlog.ParseTilePath("tile/8/" + strings.TrimPrefix(r.URL.Path, "/mon/tile/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		if l.NoPartial && t.W < 256 && int64(len(l.leaves))>>(8*max(t.L, 0)) >= (t.N+1)*256 {
			http.NotFound(w, r)
			return
		}
		if t.L >= 0 {
			b, err := tlog.ReadTileData(t, l)
			if err != nil {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write(b)
			return
		}
		if t.N*256+int64(t.W) > int64(len(l.tiles)) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for _, e := range l.tiles[t.N*256 : t.N*256+int64(t.W)] {
			_, _ = z.Write(e)
		}
		_ = z.Close()
	case l.kind == ctlog.RFC6962 && r.URL.Path == "/ct/v1/get-sth":
		_ = json.NewEncoder(w).Encode(map[string]any{"tree_size": l.head.N, "timestamp": l.time, "sha256_root_hash": l.head.Hash[:], "tree_head_signature": l.sign()})
	case l.kind == ctlog.RFC6962 && r.URL.Path == "/ct/v1/get-sth-consistency":
		m, n := num(r, "first"), num(r, "second")
		p, err := tlog.ProveTree(n, m, l)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := [][]byte{}
		for _, h := range p {
			out = append(out, h[:])
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"consistency": out})
	case l.kind == ctlog.RFC6962 && r.URL.Path == "/ct/v1/get-entries":
		from, to := num(r, "start"), min(num(r, "end")+1, l.head.N)
		to = min(to, from+int64(l.Page))
		if from >= to {
			http.Error(w, "need tree size", http.StatusBadRequest)
			return
		}
		var es []map[string][]byte
		for _, e := range l.leaves[from:to] {
			es = append(es, map[string][]byte{"leaf_input": append([]byte{0, 0}, e...), "extra_data": []byte("x")})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"entries": es})
	default:
		http.NotFound(w, r)
	}
}

func num(r *http.Request, key string) int64 {
	n, _ := strconv.ParseInt(r.URL.Query().Get(key), 10, 64)
	return n
}

var certKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

// Cert makes a certificate for the names; one that parses as an address becomes
// an IP name.
func Cert(cn string, names ...string) []byte {
	k := certKey()
	t := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now(), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &k.PublicKey, k)
	if err != nil {
		panic(err)
	}
	return der
}

// Precert is what the leaf of a precertificate holds: the TBSCertificate.
func Precert(cn string, names ...string) []byte {
	c, err := x509.ParseCertificate(Cert(cn, names...))
	if err != nil {
		panic(err)
	}
	return c.RawTBSCertificate
}
