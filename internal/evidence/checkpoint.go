package evidence

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/impound/impound"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxCheckpoint bounds what is read of a checkpoint or a key file; a checkpoint
// with a hundred witnesses' signatures fits.
const maxCheckpoint = 64 << 10

// Head is what a checkpoint says.
type Head struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

func formatHead(h Head) string {
	return fmt.Sprintf("%s\n%d\n%s\n", h.Origin, h.Size, h.Root)
}

func signHead(s note.Signer, h Head) ([]byte, error) {
	return note.Sign(&note.Note{Text: formatHead(h)}, s)
}

// verifier is a log's public key.
type verifier struct {
	note.Verifier
	key  ed25519.PublicKey
	text string // canonical spelling, without newline
}

// parseVKey reads a public key in note's spelling. Only the canonical spelling
// is taken, so that no bit of it can change unnoticed.
func parseVKey(s string) (verifier, error) {
	bad := func(why string) error {
		return impound.Errorf(impound.KindInvalid, "this is no key of a log: %s", why).WithCure("it reads ORIGIN+KEYHASH+BASE64, as in log.vkey of an evidence folder")
	}
	i := strings.LastIndexByte(strings.TrimRight(s, "="), '+') // base64 may hold a plus
	parts := strings.SplitN(s, "+", 3)
	if i < 0 || len(parts) != 3 {
		return verifier{}, bad("want three parts joined by +")
	}
	v, err := note.NewVerifier(s)
	if err != nil {
		return verifier{}, bad(err.Error())
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return verifier{}, bad("want an Ed25519 key")
	}
	key := ed25519.PublicKey(raw[1:])
	canon, err := note.NewEd25519VerifierKey(v.Name(), key)
	if err != nil || canon != s {
		return verifier{}, bad("it is not spelled as this program spells it")
	}
	return verifier{v, key, canon}, nil
}

// parseHead reads and verifies a checkpoint. Signatures by others (witnesses)
// may follow the log's. A checkpoint with only the log's signature is taken in
// its canonical spelling alone, so that no bit of it can change unnoticed.
func parseHead(b []byte, v verifier) (Head, error) {
	bad := func(format string, args ...any) error {
		return impound.Errorf(impound.KindInvalid, "the checkpoint does not verify: "+format, args...)
	}
	if len(b) > maxCheckpoint {
		return Head{}, bad("it is %d octets long", len(b))
	}
	n, err := note.Open(b, note.VerifierList(v))
	if err != nil {
		return Head{}, bad("%w", err)
	}
	lines := strings.Split(n.Text, "\n") // Text ends in a newline
	if len(lines) < 4 {
		return Head{}, bad("want origin, size and root on three lines")
	}
	h := Head{Origin: lines[0]}
	if h.Origin != v.Name() {
		return Head{}, bad("its origin is %.80q, the key's is %.80q", h.Origin, v.Name())
	}
	if h.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || h.Size < 0 {
		return Head{}, bad("%.40q is no size", lines[1])
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(raw) != tlog.HashSize {
		return Head{}, bad("%.60q is no root", lines[2])
	}
	copy(h.Root[:], raw)
	if n.Text != formatHead(h) {
		return Head{}, bad("it holds more than origin, size and root")
	}
	// note.Open takes any base64 that decodes to the signature; rebuild it to
	// see that it is the one spelling.
	canon := []byte(n.Text + "\n")
	for _, s := range append(n.Sigs, n.UnverifiedSigs...) {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil || len(raw) < 5 || binary.BigEndian.Uint32(raw) != s.Hash {
			return Head{}, bad("malformed signature")
		}
		canon = fmt.Appendf(canon, "— %s %s\n", s.Name, base64.StdEncoding.EncodeToString(raw))
	}
	if len(n.UnverifiedSigs) == 0 && !bytes.Equal(canon, b) {
		return Head{}, bad("it is not spelled as it was written")
	}
	return h, nil
}

// key files

type signingKey struct {
	note.Signer
	verifier
	skey string
}

// Name and KeyHash are in both halves and agree.
func (k *signingKey) Name() string    { return k.Signer.Name() }
func (k *signingKey) KeyHash() uint32 { return k.Signer.KeyHash() }

func newKey(origin string) (*signingKey, error) {
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	return keyFrom(skey, vkey)
}

func keyFrom(skey, vkey string) (*signingKey, error) {
	s, err := note.NewSigner(skey)
	if err != nil {
		return nil, err
	}
	v, err := parseVKey(vkey)
	if err != nil {
		return nil, err
	}
	return &signingKey{Signer: s, verifier: v, skey: skey}, nil
}

// readKey reads a private key file; fs.ErrNotExist shows through.
func readKey(path string) (*signingKey, error) {
	b, err := readSmall(path, maxCheckpoint)
	if err != nil {
		return nil, err
	}
	bad := impound.Errorf(impound.KindInvalid, "this is no signing key of an evidence log").At(path).WithCure("restore it from a backup; without it the log can be verified, but not continued")
	skey := strings.TrimSpace(string(b))
	parts := strings.SplitN(skey, "+", 5)
	if len(parts) != 5 {
		return nil, bad
	}
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return nil, bad
	}
	vkey, err := note.NewEd25519VerifierKey(parts[2], ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey))
	if err != nil {
		return nil, bad
	}
	k, err := keyFrom(skey, vkey)
	if err != nil {
		return nil, bad
	}
	return k, nil
}

// readSmall reads a file of at most max octets.
func readSmall(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	if st.Size() > max {
		return nil, fmt.Errorf("%s is %d octets long, at most %d can be right", path, st.Size(), max)
	}
	b := make([]byte, st.Size())
	if _, err := readFullAt(f, b, 0); err != nil {
		return nil, err
	}
	return b, nil
}

// writeAtomic writes a file by temporary file, fsync, rename and fsync of its
// folder. renamed says whether the file may be in place in spite of an error.
func writeAtomic(path string, b []byte, mode fs.FileMode) (renamed bool, err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return false, err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		os.Remove(tmp)
		return false, err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return false, err
	}
	return true, syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
