package ctlog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/mod/sumdb/tlog"
)

// Entry is one entry of a log: a certificate or precertificate that somebody
// showed to it. Names lives as long as the batch that it came in.
type Entry struct {
	Index   int64
	Time    time.Time // when the log took it, by its own word
	Precert bool
	Names   [][]byte // dNSName and, of old certificates, common name; as they stand there, in order, not unique
	IPs     int      // iPAddress names, which are counted only
	Err     error    // what of the certificate can't be read; Names holds what could
	Hash    tlog.Hash
}

// errTile is that of data which no log that keeps to its format gives. It
// concerns the log, not a certificate in it.
var errTile = errors.New("not in the format of a log entry")

// leafReader hashes and reads leaves. It is for one goroutine.
type leafReader struct{ sum hash.Hash }

func newLeafReader() *leafReader { return &leafReader{sha256.New()} }

var leafPrefix = []byte{0 /* a leaf, RFC 6962 2.1 */, 0 /* v1 */, 0 /* timestamped_entry */}

// entry reads a TimestampedEntry (RFC 6962 3.4), which is what a tile of entries
// and the leaf of an RFC 6962 log have in common, and hashes it as a leaf.
func (r *leafReader) entry(in cryptobyte.String, e *Entry) (rest cryptobyte.String, err error) {
	start := []byte(in)
	var ms uint64
	var kind uint16
	if !in.ReadUint64(&ms) || !in.ReadUint16(&kind) || ms > 1<<52 {
		return nil, errTile
	}
	e.Time, e.Precert, e.Names, e.IPs, e.Err = time.UnixMilli(int64(ms)).UTC(), kind == 1, e.Names[:0], 0, nil
	var cert, ext cryptobyte.String
	if kind > 1 || kind == 1 && !in.Skip(32) || !in.ReadUint24LengthPrefixed(&cert) || !in.ReadUint16LengthPrefixed(&ext) {
		return nil, errTile
	}
	r.sum.Reset()
	r.sum.Write(leafPrefix)
	r.sum.Write(start[:len(start)-len(in)])
	r.sum.Sum(e.Hash[:0])
	e.Err = certificate(cert, e)
	return in, nil
}

// tile reads the leaves of a data tile (C2SP static-ct-api), of which there must
// be width, the first with the index first. A leaf that holds another index than
// its own is an error.
func (r *leafReader) tile(data []byte, first int64, width int, out []Entry) ([]Entry, error) {
	in := cryptobyte.String(data)
	for i := range width {
		e := next(&out)
		at := []byte(in)
		rest, err := r.entry(in, e)
		if err != nil {
			return out, fmt.Errorf("entry %d: %w", first+int64(i), err)
		}
		e.Index = first + int64(i)
		if idx, ok := leafIndex(at[:len(at)-len(rest)]); ok && idx != e.Index {
			return out, fmt.Errorf("entry %d says that it is entry %d: %w", e.Index, idx, errTile)
		}
		var chain cryptobyte.String
		if e.Precert && !rest.ReadUint24LengthPrefixed(&chain) || !rest.ReadUint16LengthPrefixed(&chain) || len(chain)%32 != 0 {
			return out, fmt.Errorf("entry %d: %w", e.Index, errTile)
		}
		in = rest
	}
	if !in.Empty() {
		return out, fmt.Errorf("%d octets follow entry %d: %w", len(in), first+int64(width)-1, errTile)
	}
	return out, nil
}

// leafIndex gives the leaf_index extension at the end of a TimestampedEntry,
// when it is its only extension.
func leafIndex(leaf []byte) (int64, bool) {
	// 0 8 (length of extensions), 0 (leaf_index), 0 5 (its length), 40 bits.
	n := len(leaf)
	if n < 10 || leaf[n-10] != 0 || leaf[n-9] != 8 || leaf[n-8] != 0 || leaf[n-7] != 0 || leaf[n-6] != 5 {
		return 0, false
	}
	var v int64
	for _, b := range leaf[n-5:] {
		v = v<<8 | int64(b)
	}
	return v, true
}

// input reads leaf_input of an RFC 6962 log.
func (r *leafReader) input(data []byte, index int64, e *Entry) error {
	in := cryptobyte.String(data)
	var version, kind uint8
	if !in.ReadUint8(&version) || version != 0 || !in.ReadUint8(&kind) || kind != 0 {
		return fmt.Errorf("entry %d: %w", index, errTile)
	}
	rest, err := r.entry(in, e)
	if err != nil || !rest.Empty() {
		return fmt.Errorf("entry %d: %w", index, errTile)
	}
	e.Index = index
	return nil
}

// next lengthens out by an entry, whose slices are those that were there before.
func next(out *[]Entry) *Entry {
	if len(*out) < cap(*out) {
		*out = (*out)[:len(*out)+1]
	} else {
		*out = append(*out, Entry{})
	}
	return &(*out)[len(*out)-1]
}

var (
	oidSAN = []byte{0x55, 0x1d, 0x11} // 2.5.29.17
	oidCN  = []byte{0x55, 0x04, 0x03} // 2.5.4.3
)

// certificate reads the names of a certificate, or of the TBSCertificate that a
// precertificate's leaf holds (RFC 5280 4.1). It reads nothing else of it: this
// is ten times as fast as crypto/x509, and an odd key is no reason not to see
// the names.
func certificate(der cryptobyte.String, e *Entry) error {
	var tbs cryptobyte.String
	if !der.ReadASN1(&tbs, asn1.SEQUENCE) || !der.Empty() {
		return errors.New("the certificate is no ASN.1 sequence")
	}
	if !e.Precert {
		whole := tbs
		if !whole.ReadASN1(&tbs, asn1.SEQUENCE) {
			return errors.New("the certificate holds no TBSCertificate")
		}
	}
	var subject, x cryptobyte.String
	var has bool
	if !tbs.ReadOptionalASN1(&x, &has, asn1.Tag(0).Constructed().ContextSpecific()) ||
		!tbs.ReadASN1(&x, asn1.INTEGER) || // serial number
		!tbs.ReadASN1(&x, asn1.SEQUENCE) || // signature
		!tbs.ReadASN1(&x, asn1.SEQUENCE) || // issuer
		!tbs.ReadASN1(&x, asn1.SEQUENCE) || // validity
		!tbs.ReadASN1(&subject, asn1.SEQUENCE) ||
		!tbs.ReadASN1(&x, asn1.SEQUENCE) || // public key
		!tbs.ReadOptionalASN1(&x, &has, asn1.Tag(1).ContextSpecific()) ||
		!tbs.ReadOptionalASN1(&x, &has, asn1.Tag(2).ContextSpecific()) {
		return errors.New("the certificate's fields are not those of RFC 5280")
	}
	var exts cryptobyte.String
	if !tbs.ReadOptionalASN1(&x, &has, asn1.Tag(3).Constructed().ContextSpecific()) || has && !x.ReadASN1(&exts, asn1.SEQUENCE) {
		return errors.New("the certificate's extensions can't be read")
	}
	var fault error
	for !exts.Empty() {
		var ext, oid, val cryptobyte.String
		if !exts.ReadASN1(&ext, asn1.SEQUENCE) || !ext.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
			!ext.SkipOptionalASN1(asn1.BOOLEAN) || !ext.ReadASN1(&val, asn1.OCTET_STRING) {
			return errors.New("an extension of the certificate can't be read")
		}
		if string(oid) == string(oidSAN) {
			if err := altNames(val, e); err != nil {
				fault = err
			}
		}
	}
	if cn, ok := commonName(subject); ok {
		e.Names = append(e.Names, cn)
	}
	return fault
}

// altNames reads a SubjectAltName (RFC 5280 4.2.1.6).
func altNames(val cryptobyte.String, e *Entry) error {
	var names cryptobyte.String
	if !val.ReadASN1(&names, asn1.SEQUENCE) {
		return errors.New("the certificate's alternative names can't be read")
	}
	for !names.Empty() {
		var n cryptobyte.String
		var tag asn1.Tag
		if !names.ReadAnyASN1(&n, &tag) {
			return errors.New("one of the certificate's alternative names can't be read")
		}
		switch tag {
		case asn1.Tag(2).ContextSpecific():
			e.Names = append(e.Names, n)
		case asn1.Tag(7).ContextSpecific():
			e.IPs++
		}
	}
	return nil
}

// commonName gives the last common name of a subject, when it may be a host
// name. A subject that can't be read holds none: it has no part in what we look
// for.
func commonName(subject cryptobyte.String) (cn []byte, ok bool) {
	for !subject.Empty() {
		var set cryptobyte.String
		if !subject.ReadASN1(&set, asn1.SET) {
			return cn, ok
		}
		for !set.Empty() {
			var atv, oid, val cryptobyte.String
			var tag asn1.Tag
			if !set.ReadASN1(&atv, asn1.SEQUENCE) || !atv.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
				return cn, ok
			}
			if string(oid) != string(oidCN) || !atv.ReadAnyASN1(&val, &tag) {
				continue
			}
			if tag == asn1.Tag(30) { // BMPString
				u := make([]uint16, len(val)/2)
				for i := range u {
					u[i] = uint16(val[2*i])<<8 | uint16(val[2*i+1])
				}
				val = cryptobyte.String(string(utf16.Decode(u)))
			}
			if hostLike(val) {
				cn, ok = val, true
			}
		}
	}
	return cn, ok
}

func hostLike(b []byte) bool {
	dot := false
	for i, c := range b {
		if c <= ' ' {
			return false
		}
		dot = dot || c == '.' && i > 0 && i < len(b)-1
	}
	return dot && len(b) <= 253
}
