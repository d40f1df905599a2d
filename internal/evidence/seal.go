package evidence

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence/timestamp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The kinds of artefact that say what others saw of the log. They belong to no
// case, and [Log.Capture] refuses them: only proven ones are kept.
const (
	KindCheckpoint = "log-checkpoint" // a checkpoint as it was stamped
	KindCosigned   = "log-cosigned"   // a checkpoint with witnesses' lines
	KindTimestamp  = "log-timestamp"  // an RFC 3161 answer over a checkpoint
)

// maxProof is how many lines a consistency proof may have (C2SP tlog-witness).
const maxProof = 63

// Seal is what somebody else attested of the log: a witness that the log was
// consistent when it had Size entries, or a timestamp authority that this
// checkpoint was there at that time.
type Seal struct {
	Entry   int64     `json:"entry"` // of the log that names the artefact
	Kind    string    `json:"kind"`  // KindCosigned or KindTimestamp
	Size    int64     `json:"size"`
	Who     string    `json:"who"`
	At      time.Time `json:"at"`      // by the other's clock
	Trusted bool      `json:"trusted"` // by a key or root that whoever verifies gave
}

// witness is a cosigner's public key (C2SP tlog-cosignature, Ed25519).
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

const algCosignature = 4

func parseWitness(vkey string) (witness, error) {
	bad := impound.Errorf(impound.KindInvalid, "%.80q is no key of a witness", vkey).WithCure("it reads NAME+KEYHASH+BASE64 and holds an Ed25519 cosignature key (type 4), as the witness publishes it")
	parts := strings.SplitN(strings.TrimSpace(vkey), "+", 3)
	if len(parts) != 3 || parts[0] == "" || strings.ContainsAny(parts[0], " \t\r\n") || len(parts[1]) != 8 {
		return witness{}, bad
	}
	h, err1 := strconv.ParseUint(parts[1], 16, 32)
	raw, err2 := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err1 != nil || err2 != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algCosignature {
		return witness{}, bad
	}
	sum := sha256.Sum256([]byte(parts[0] + "\n" + string(raw)))
	if binary.BigEndian.Uint32(sum[:]) != uint32(h) {
		return witness{}, bad
	}
	return witness{parts[0], uint32(h), ed25519.PublicKey(raw[1:])}, nil
}

// CheckWitnessKey says whether vkey can be read as a witness's key.
func CheckWitnessKey(vkey string) error {
	_, err := parseWitness(vkey)
	return err
}

// cosigned gives the time of a witness's signature over text, false when there
// is none that verifies.
func (w witness) cosigned(text string, sigs []note.Signature) (time.Time, bool) {
	for _, s := range sigs {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil || s.Name != w.name || s.Hash != w.hash || len(raw) != 4+8+ed25519.SignatureSize {
			continue
		}
		at := binary.BigEndian.Uint64(raw[4:])
		if at <= 1<<62 && ed25519.Verify(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), raw[12:]) {
			return time.Unix(int64(at), 0).UTC(), true
		}
	}
	return time.Time{}, false
}

// readCosigned proves a checkpoint of the log, and gives the cosignatures by
// the witnesses in it.
func readCosigned(b []byte, v verifier, ws []witness) (Head, []Seal, error) {
	h, err := parseHead(b, v)
	if err != nil {
		return Head{}, nil, err
	}
	n, err := note.Open(b, note.VerifierList(v))
	if err != nil {
		return Head{}, nil, err
	}
	var seals []Seal
	for _, w := range ws {
		if at, ok := w.cosigned(n.Text, n.UnverifiedSigs); ok {
			seals = append(seals, Seal{Kind: KindCosigned, Size: h.Size, Who: w.name, At: at, Trusted: true})
		}
	}
	return h, seals, nil
}

// WitnessRequest gives the body of a C2SP tlog-witness add-checkpoint request:
// the proof that the log at checkpoint cp holds all that it held with old
// entries. The error is KindInvalid where old is more than cp covers.
func (l *Log) WitnessRequest(cp []byte, old int64) ([]byte, error) {
	h, err := parseHead(cp, l.key.verifier)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	err = l.refresh()
	tree, size := l.tree, l.head.Size
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if old < 0 || old > h.Size || h.Size > size {
		return nil, impound.Errorf(impound.KindInvalid, "the witness saw the log with %d entries, the checkpoint covers %d and the log has %d: this folder is not the log that it saw, or was set back", old, h.Size, size).
			WithCure("compare with a backup, by impound evidence verify --since")
	}
	b := fmt.Appendf(nil, "old %d\n", old)
	if old > 0 && old < h.Size {
		p, err := tlog.ProveTree(h.Size, old, l.tiles.reader(tree))
		if err != nil || len(p) > maxProof {
			return nil, impound.Errorf(impound.KindInternal, "couldn't prove that the log only grew: %w", err)
		}
		for _, x := range p {
			b = fmt.Appendf(b, "%s\n", x)
		}
	}
	return append(append(b, '\n'), cp...), nil
}

// KeepCosigned keeps what a witness answered to [Log.WitnessRequest]: the
// checkpoint cp with the witness's line, proven with its key. Lines by other
// keys are left out. source is the witness's URL.
func (l *Log) KeepCosigned(ctx context.Context, by, source string, cp, answer []byte, vkey string) (Seal, error) {
	w, err := parseWitness(vkey)
	if err != nil {
		return Seal{}, err
	}
	if len(cp)+len(answer) > maxCheckpoint {
		return Seal{}, impound.Errorf(impound.KindInvalid, "the witness's answer is %d octets long", len(answer)).At(source)
	}
	if _, err := parseHead(cp, l.key.verifier); err != nil {
		return Seal{}, err
	}
	body := bytes.Clone(cp)
	for line := range strings.Lines(string(answer)) {
		one := append(bytes.Clone(cp), line...)
		if _, seals, err := readCosigned(one, l.key.verifier, []witness{w}); err == nil && len(seals) == 1 {
			body = append(body, line...)
			break
		}
	}
	_, seals, err := readCosigned(body, l.key.verifier, []witness{w})
	if err != nil || len(seals) != 1 {
		return Seal{}, impound.Errorf(impound.KindAuth, "the witness's answer holds no cosignature by %s that verifies", w.name).At(source).
			WithCure("check that the key is the one that the witness publishes")
	}
	s := seals[0]
	_, err = l.capture(ctx, impound.Artefact{Kind: KindCosigned, Media: "text/plain; charset=utf-8", Source: source, Tool: "impound", By: by}, body)
	return s, err
}

// KeepTimestamp keeps an RFC 3161 answer over the checkpoint cp, and cp, whose
// hash is what the answer speaks of. Without roots the answer's signature is
// proven, and not whose it is. source is the authority's URL; nonce as in
// [timestamp.Verify].
func (l *Log) KeepTimestamp(ctx context.Context, by, source string, cp, answer []byte, roots *x509.CertPool, nonce *big.Int) (Seal, error) {
	h, err := parseHead(cp, l.key.verifier)
	if err != nil {
		return Seal{}, err
	}
	st, err := timestamp.Verify(answer, roots, nonce)
	if err != nil {
		return Seal{}, impound.Errorf(impound.KindAuth, "%w", err).At(source)
	}
	if "sha256:"+st.SHA256 != impound.HashBytes(cp) {
		return Seal{}, impound.Errorf(impound.KindAuth, "the timestamp is over other bytes than the checkpoint").At(source)
	}
	for _, x := range []struct {
		kind, media string
		body        []byte
	}{{KindCheckpoint, "text/plain; charset=utf-8", cp}, {KindTimestamp, "application/timestamp-reply", answer}} {
		if _, err := l.capture(ctx, impound.Artefact{Kind: x.kind, Media: x.media, Source: source, Tool: "impound", By: by}, x.body); err != nil {
			return Seal{}, err
		}
	}
	return Seal{Kind: KindTimestamp, Size: h.Size, Who: st.Signer, At: st.At, Trusted: st.Trusted}, nil
}

// sealRef is an entry that names a seal's artefact.
type sealRef struct {
	entry      int64
	kind, hash string
}

// seal remembers f when it names a seal.
func (c *checker) seal(i int64, f *leaf) {
	switch kind := strings.TrimPrefix(f.What, "capture."); kind {
	case KindCheckpoint, KindCosigned, KindTimestamp:
		if f.Artefact != nil && f.What != kind {
			c.sealRefs = append(c.sealRefs, sealRef{i, kind, f.Artefact.Hash})
		}
	}
}

// seals proves what others attested: each checkpoint that they saw must be the
// log's own, signed, with the root that the entries give.
func (v *verification) seals(o VerifyOptions) {
	if len(v.sealRefs) == 0 || v.hd == nil || v.root != v.hd.Root {
		return // without a proven log there is nothing to compare with
	}
	var ws []witness
	for _, k := range o.Witnesses {
		w, err := parseWitness(k)
		if err != nil {
			v.r.problem(checkpointFile, -1, "the witness's key to compare with can't be read: %v", err)
			continue
		}
		ws = append(ws, w)
	}
	hashes, err := os.Open(v.path(hashesFile))
	if err != nil {
		return // told already
	}
	defer hashes.Close()
	read := func(hash string) []byte {
		hx := strings.TrimPrefix(hash, "sha256:")
		if !validHash(hash) {
			return nil
		}
		b, err := readSmall(v.path(artefactsDir+"/"+hx[:2]+"/"+hx[2:]), maxCheckpoint)
		if err != nil || impound.HashBytes(b) != hash {
			return nil // told already
		}
		return b
	}
	for _, ref := range v.sealRefs {
		file := artefactsDir + "/" + strings.TrimPrefix(ref.hash, "sha256:")
		body := read(ref.hash)
		if body == nil {
			continue
		}
		var who []Seal
		if ref.kind == KindTimestamp {
			st, err := timestamp.Verify(body, o.TSARoots, nil)
			if err != nil {
				v.r.problem(file, ref.entry, "%v", err)
				continue
			}
			if body = read("sha256:" + st.SHA256); body == nil || v.arts["sha256:"+st.SHA256].size != int64(len(body)) {
				v.r.problem(file, ref.entry, "is a timestamp over bytes that are not in the log")
				continue
			}
			who = []Seal{{Kind: KindTimestamp, Who: st.Signer, At: st.At, Trusted: st.Trusted}}
		}
		h, seals, err := readCosigned(body, v.key, ws)
		if err != nil {
			v.r.problem(file, ref.entry, "%v", err)
			continue
		}
		if h.Size > ref.entry {
			v.r.problem(file, ref.entry, "is a checkpoint of %d entries, and stands before them", h.Size)
			continue
		}
		root := emptyRoot
		if h.Size > 0 {
			if root, err = tlog.TreeHash(h.Size, fileHashes{hashes}); err != nil {
				v.r.problem(hashesFile, -1, "can't be read: %v", err)
				return
			}
		}
		if root != h.Root {
			v.r.problem(file, ref.entry, "others saw the log with %d entries and another root: it was made anew, or two were shown", h.Size)
			continue
		}
		if ref.kind == KindCosigned {
			who = seals
			if len(ws) > 0 && len(seals) == 0 {
				v.r.note(file, "is cosigned by nobody whose key was given")
			}
		}
		for _, s := range who {
			s.Entry, s.Size = ref.entry, h.Size
			v.r.Seals = append(v.r.Seals, s)
		}
	}
}
