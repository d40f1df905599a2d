// Package ctlog reads Certificate Transparency logs directly: those of C2SP
// static-ct-api (tiles) and those of RFC 6962, and proves what it reads. A
// head's signature is checked; that a later tree begins with the earlier one is
// checked; that the entries are the tree's is checked, by hashing them.
//
// What lives here: both protocols, the log list, the Merkle tree, and the names
// in certificates. What must not: a judgement about a name, or keeping anything.
//
// Own code, where filippo.io/sunlight has a client, for two reasons: it reads
// RFC 6962 logs too, and parses and hashes without copying, several times as
// fast.
package ctlog

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/polite"
)

// Kind is the protocol of a log.
type Kind string

// The protocols.
const (
	Static  Kind = "static-ct"
	RFC6962 Kind = "rfc6962"
)

// Info is what a log list says of a log, or an operator.
type Info struct {
	Name string // for people
	Kind Kind
	// URL is where an RFC 6962 log answers, or a static one takes submissions:
	// that is its name in checkpoints. Monitor is where a static one is read.
	URL, Monitor string
	Key          []byte // SubjectPublicKeyInfo, DER
	State        string // of the log list: "usable", "qualified", "readonly", ...; "" for a log that an operator named
	// Witnesses of a static log, of whom Quorum must have cosigned a checkpoint for
	// it to count. None: the log's own word is enough.
	Witnesses []Witness
	Quorum    int
}

// ID is the log's id (RFC 6962 3.2): the SHA-256 of its key.
func (i Info) ID() string {
	h := sha256.Sum256(i.Key)
	return base64.StdEncoding.EncodeToString(h[:])
}

// Head is a tree head that the log signed; the signature was checked.
type Head struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
	Time time.Time `json:"time"` // when the log signed it, by its own word
	Raw  []byte    `json:"raw"`  // as the log gave it, with the signature
}

// Batch is some entries in a row. It and what it holds are used again after
// emit returned.
type Batch struct {
	First   int64
	Entries []Entry
	Result  any // of the work, for emit

	buf []byte
}

// Log is one log. It is safe for concurrent use.
type Log interface {
	Info() Info
	// Head fetches the newest tree head. A signature that is not the log's is
	// an error of KindRefused.
	Head(ctx context.Context) (Head, error)
	// Frontier gives the log's tree as it was at size, proven to be what head's
	// tree begins with. A [*ProofError] says that the log can't prove it. An RFC
	// 6962 log gives [ErrNoFrontier] for head's own size; and where size is a
	// power of two and root is nil, since its proofs then leave that root out.
	// root is what the tree's root is held to be; whoever gave it compares.
	Frontier(ctx context.Context, size int64, head Head, root *tlog.Hash) (*Frontier, error)
	// Proof fetches what proves (RFC 6962 2.1.2) that head's tree begins with one
	// of size entries, for evidence. It is not checked.
	Proof(ctx context.Context, size int64, head Head) ([]tlog.Hash, error)
	// Read reads entries from..to (without to), calls work for each batch on
	// several cores, and emit in order. It holds a bounded number of batches.
	Read(ctx context.Context, from, to int64, work, emit func(*Batch) error) error
}

// ErrNoFrontier says that no proof of an RFC 6962 log shows the parts of a tree:
// nothing was added to it yet, or it is complete.
var ErrNoFrontier = errors.New("no proof of the log shows the parts of this tree")

// maxEntries bounds what is believed of a log's size: 2^40 is what a
// leaf index can hold.
const maxEntries = 1 << 40

// Open gives the log that info describes.
func Open(info Info, c *polite.Client, parallel int) (Log, error) {
	key, err := x509.ParsePKIXPublicKey(info.Key)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the key of the log: %w", err).At(info.Name).WithCure("it is the base64 of the log's public key, as in the log list")
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, impound.Errorf(impound.KindInvalid, "the log's key has %d bits: RFC 6962 demands 2048 or more", k.N.BitLen()).At(info.Name)
		}
	default:
		return nil, impound.Errorf(impound.KindInvalid, "the log's key is neither ECDSA nor RSA").At(info.Name)
	}
	if len(info.Witnesses) > 0 && info.Kind != Static {
		return nil, impound.Errorf(impound.KindInvalid, "a log of RFC 6962 has no checkpoints that witnesses could cosign").At(info.Name).WithCure("leave witnesses out")
	}
	if parallel < 1 {
		parallel = 4
	}
	base := &reader{info: info, key: key, c: c, parallel: parallel}
	base.pool.New = func() any { return new(Batch) }
	switch info.Kind {
	case Static:
		if info.Monitor == "" {
			return nil, impound.Errorf(impound.KindInvalid, "a static log has two addresses, and the one to read it at is missing").At(info.Name)
		}
		base.at = strings.TrimSuffix(info.Monitor, "/") + "/"
		s := &static{reader: base}
		s.origin = strings.TrimSuffix(info.URL, "/")
		if _, rest, ok := strings.Cut(s.origin, "://"); ok {
			s.origin = rest
		}
		if s.origin == "" || strings.ContainsAny(s.origin, " +\t\r\n") {
			return nil, impound.Errorf(impound.KindInvalid, "%q can't be the name of a static log", s.origin).At(info.Name).WithCure("url is the log's submission address")
		}
		return s, nil
	case RFC6962:
		base.at = strings.TrimSuffix(info.URL, "/") + "/ct/v1/"
		if _, err := url.Parse(base.at); err != nil || info.URL == "" {
			return nil, impound.Errorf(impound.KindInvalid, "%q is no address of a log", info.URL).At(info.Name)
		}
		return &rfc6962{reader: base}, nil
	}
	return nil, impound.Errorf(impound.KindInvalid, "%q is no kind of log: static-ct or rfc6962", info.Kind).At(info.Name)
}

// reader is what both kinds have in common.
type reader struct {
	info     Info
	key      crypto.PublicKey
	c        *polite.Client
	at       string // what paths are added to
	parallel int
	pool     sync.Pool
}

func (r *reader) Info() Info { return r.info }

// sthSigned says whether sig (a DigitallySigned of TLS 1.2, RFC 5246 4.7) is the
// log's over a tree head (RFC 6962 3.5).
func (r *reader) sthSigned(size int64, root tlog.Hash, ms uint64, sig []byte) bool {
	s := cryptobyte.String(sig)
	var hashAlg, sigAlg uint8
	var raw cryptobyte.String
	if !s.ReadUint8(&hashAlg) || hashAlg != 4 || !s.ReadUint8(&sigAlg) || !s.ReadUint16LengthPrefixed(&raw) || !s.Empty() {
		return false
	}
	msg := make([]byte, 0, 50)
	msg = append(msg, 0 /* v1 */, 1 /* tree_hash */)
	msg = binary.BigEndian.AppendUint64(msg, ms)
	msg = binary.BigEndian.AppendUint64(msg, uint64(size))
	msg = append(msg, root[:]...)
	sum := sha256.Sum256(msg)
	switch k := r.key.(type) {
	case *ecdsa.PublicKey:
		return sigAlg == 3 && ecdsa.VerifyASN1(k, sum[:], raw)
	case *rsa.PublicKey:
		return sigAlg == 1 && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], raw) == nil
	}
	return false
}

// checkpoint reads and verifies a signed note of static-ct-api.
func (r *reader) checkpoint(origin string, raw []byte) (Head, error) {
	h := Head{Raw: raw}
	bad := func(format string, args ...any) (Head, error) {
		return Head{}, impound.Errorf(impound.KindRefused, "the log's checkpoint "+format, args...).At(r.info.Name)
	}
	var ms uint64
	var text Head
	v := verifier{name: origin, hash: keyHash(origin, r.info.Key), verify: func(msg, sig []byte) bool {
		var err error
		if text, err = parseCheckpoint(origin, string(msg)); err != nil {
			return false
		}
		s := cryptobyte.String(sig)
		return s.ReadUint64(&ms) && ms < 1<<52 && r.sthSigned(text.Size, text.Root, ms, s)
	}}
	n, err := note.Open(raw, note.VerifierList(v))
	if err != nil {
		return bad("is not signed with its key: %w", err)
	}
	if text, err = parseCheckpoint(origin, n.Text); err != nil {
		return bad("can't be read: %w", err)
	}
	if err := r.info.enough(n); err != nil {
		return bad("%w", err)
	}
	h.Size, h.Root, h.Time = text.Size, text.Root, time.UnixMilli(int64(ms)).UTC()
	return h, nil
}

// parseCheckpoint reads the text of a checkpoint (C2SP tlog-checkpoint): origin,
// size, root, nothing more.
func parseCheckpoint(origin, text string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Head{}, fmt.Errorf("it has %d lines, want 3", len(lines)-1)
	}
	if lines[0] != origin {
		return Head{}, fmt.Errorf("it is of %.80q, want %q", lines[0], origin)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || size > maxEntries || strconv.FormatInt(size, 10) != lines[1] {
		return Head{}, fmt.Errorf("%.40q is no size of a tree", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Head{}, fmt.Errorf("%.80q is no hash", lines[2])
	}
	return Head{Size: size, Root: root}, nil
}

type verifier struct {
	name   string
	hash   uint32
	verify func(msg, sig []byte) bool
}

func (v verifier) Name() string                { return v.name }
func (v verifier) KeyHash() uint32             { return v.hash }
func (v verifier) Verify(msg, sig []byte) bool { return v.verify(msg, sig) }

// keyHash is a log's key id in its checkpoints (static-ct-api, "Checkpoints").
func keyHash(name string, spki []byte) uint32 {
	id := sha256.Sum256(spki)
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{'\n', 5})
	h.Write(id[:])
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// span is what one batch is to hold.
type span struct{ from, to int64 }

// inOrder fetches the spans on several goroutines and emits them in order.
func (r *reader) inOrder(ctx context.Context, spans func(yield func(span) bool), fetch func(context.Context, *leafReader, span, *Batch) error, work, emit func(*Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	type job struct {
		span span
		b    *Batch
		done chan error
	}
	jobs := make(chan *job)
	order := make(chan *job, r.parallel)
	wg.Go(func() {
		defer close(order)
		defer close(jobs)
		for s := range spans {
			j := &job{span: s, b: r.pool.Get().(*Batch), done: make(chan error, 1)}
			select {
			case order <- j:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				j.done <- ctx.Err()
				return
			}
		}
	})
	for range r.parallel {
		wg.Go(func() {
			lr := newLeafReader()
			for j := range jobs {
				err := fetch(ctx, lr, j.span, j.b)
				if err == nil && work != nil {
					err = work(j.b)
				}
				j.done <- err
			}
		})
	}
	for j := range order {
		if err := <-j.done; err != nil {
			return err
		}
		if err := emit(j.b); err != nil {
			return err
		}
		if cap(j.b.buf) <= 4<<20 {
			r.pool.Put(j.b)
		}
	}
	return ctx.Err()
}
