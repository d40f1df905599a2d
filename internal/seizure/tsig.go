package seizure

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// TSIGKey is a shared secret by which a server knows us (RFC 8945). Whatever way
// it is printed, the secret is not shown.
type TSIGKey struct {
	name, alg string // both as fully qualified names, lower case
	// A pointer, since fmt follows none inside a struct: whoever holds a key and
	// is printed without care does not show it.
	secret *[]byte
}

// tsigHashes are the algorithms that RFC 8945 6 lets new keys have; MD5 and SHA-1
// are left out.
var tsigHashes = map[string]func() hash.Hash{
	dns.HmacSHA224: sha256.New224, dns.HmacSHA256: sha256.New, dns.HmacSHA384: sha512.New384, dns.HmacSHA512: sha512.New,
}

// IsZero says that k is no key.
func (k TSIGKey) IsZero() bool { return k.secret == nil }

// Name gives the key's name, as a fully qualified domain name.
func (k TSIGKey) Name() string { return k.name }

// Algorithm gives "hmac-sha256" and the like.
func (k TSIGKey) Algorithm() string { return strings.TrimSuffix(k.alg, ".") }

// String gives what may be shown of k.
func (k TSIGKey) String() string { return k.Algorithm() + ":" + k.name + ":[secret]" }

// GoString gives what may be shown of k.
func (k TSIGKey) GoString() string { return k.String() }

// LogValue gives what may be logged of k.
func (k TSIGKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText gives what may be kept of k.
func (k TSIGKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Generate gives the MAC of a message; it is for the DNS library.
func (k TSIGKey) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	h, ok := tsigHashes[dns.CanonicalName(t.Algorithm)]
	if !ok || dns.CanonicalName(t.Algorithm) != k.alg {
		return nil, dns.ErrKeyAlg
	}
	m := hmac.New(h, *k.secret)
	m.Write(msg)
	return m.Sum(nil), nil
}

// Verify checks the MAC of a message; it is for the DNS library.
func (k TSIGKey) Verify(msg []byte, t *dns.TSIG) error {
	want, err := k.Generate(msg, t)
	if err != nil {
		return err
	}
	got, err := hex.DecodeString(t.MAC)
	if err != nil || !hmac.Equal(want, got) {
		return dns.ErrSig
	}
	return nil
}

// secretFile is the largest file that is read for a secret, in octets.
const secretFile = 64 << 10

// ReadSecret reads a file that only its owner may read or write. The error never
// holds any of it.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the secret: %w", err).At(path)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the secret: %w", err).At(path)
	}
	if !info.Mode().IsRegular() {
		return nil, impound.Errorf(impound.KindInvalid, "the secret is no regular file").At(path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, impound.Errorf(impound.KindRefused, "others can read this secret (mode %04o)", info.Mode().Perm()).At(path).WithCure("chmod 600 " + path + ", and ask yourself who has read it")
	}
	b, err := io.ReadAll(io.LimitReader(f, secretFile+1))
	if err != nil || len(b) > secretFile {
		return nil, impound.Errorf(impound.KindInvalid, "the secret is larger than %d octets, or could not be read", secretFile).At(path)
	}
	return b, nil
}

// ReadTSIGKey reads a key from a file that only its owner may read: as
// tsig-keygen writes it, as Knot's keymgr -t does, or as one line
// algorithm:name:secret.
func ReadTSIGKey(path string) (TSIGKey, error) {
	b, err := ReadSecret(path)
	if err != nil {
		return TSIGKey{}, err
	}
	defer clear(b)
	k, err := ParseTSIGKey(b)
	if err != nil {
		return TSIGKey{}, err.(*impound.Error).At(path)
	}
	return k, nil
}

var (
	bindKey  = regexp.MustCompile(`(?s)^\s*key\s+"?([^"\s{]+)"?\s*\{\s*algorithm\s+"?([^"\s;]+)"?\s*;\s*secret\s+"?([^"\s;]+)"?\s*;\s*\}\s*;?\s*$`)
	knotKey  = regexp.MustCompile(`(?s)^\s*key:\s*-\s*id:\s*"?([^"\s]+)"?\s*algorithm:\s*"?([^"\s]+)"?\s*secret:\s*"?([^"\s]+)"?\s*$`)
	lineKey  = regexp.MustCompile(`^\s*([^:\s]+):([^:\s]+):([^:\s]+)\s*$`)
	commentL = regexp.MustCompile(`(?m)^\s*(#|//).*$`)
)

// ParseTSIGKey reads a key out of b; see [ReadTSIGKey].
func ParseTSIGKey(b []byte) (TSIGKey, error) {
	bad := func(msg, cure string) (TSIGKey, error) {
		return TSIGKey{}, impound.Errorf(impound.KindInvalid, "%s", msg).WithCure(cure)
	}
	b = bytes.TrimSpace(commentL.ReplaceAll(b, nil))
	var name, alg, secret []byte
	if m := bindKey.FindSubmatch(b); m != nil {
		name, alg, secret = m[1], m[2], m[3]
	} else if m := knotKey.FindSubmatch(b); m != nil {
		name, alg, secret = m[1], m[2], m[3]
	} else if m := lineKey.FindSubmatch(b); m != nil {
		alg, name, secret = m[1], m[2], m[3]
	} else {
		return bad("the file holds no TSIG key, or more than one", "write it with tsig-keygen NAME, or as algorithm:name:secret")
	}
	k := TSIGKey{name: dns.CanonicalName(string(name)), alg: dns.CanonicalName(string(alg))}
	if _, ok := dns.IsDomainName(k.name); !ok || k.name == "." {
		return bad("the key's name is no domain name", "give it a name such as impound.")
	}
	if tsigHashes[k.alg] == nil {
		return bad("the key's algorithm is none of hmac-sha224, hmac-sha256, hmac-sha384 and hmac-sha512", "make a new key: tsig-keygen -a hmac-sha256 NAME")
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(secret)))
	n, err := base64.StdEncoding.Decode(raw, secret)
	if err != nil { // base64's own words give offsets only, but say nothing more anyway
		return bad("the key's secret is not base64", "copy it whole, or make a new key")
	}
	if raw = raw[:n]; n < 16 {
		return bad("the key's secret is shorter than 16 octets", "make a new key: tsig-keygen NAME")
	}
	k.secret = &raw
	return k, nil
}
