package ctlog

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/mod/sumdb/tlog"
)

func cert(f testing.TB, cn string, names ...string) []byte {
	f.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: cn, Organization: []string{"o"}}, NotAfter: time.Unix(1e9, 0), DNSNames: names, OCSPServer: []string{"http://x.example"}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &k.PublicKey, k)
	if err != nil {
		f.Fatal(err)
	}
	return der
}

// What crypto/x509 can read, this reads too, with the same names.
func FuzzCertificate(f *testing.F) {
	f.Add(cert(f, "a.example", "*.b.example", "c.example"))
	f.Add(cert(f, "no host", "b.example"))
	f.Add(cert(f, ""))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		var e Entry
		err := certificate(der, &e)
		c, xerr := x509.ParseCertificate(der)
		if xerr != nil {
			return
		}
		if err != nil {
			t.Fatalf("crypto/x509 reads it: %v", err)
		}
		var got []string
		for _, n := range e.Names {
			got = append(got, string(n))
		}
		if len(got) < len(c.DNSNames) || !slices.Equal(got[:len(c.DNSNames)], c.DNSNames) || len(got) > len(c.DNSNames)+1 {
			t.Fatalf("names %q, want %q and perhaps a common name", got, c.DNSNames)
		}
		if e.IPs != len(c.IPAddresses) {
			t.Fatalf("%d addresses, want %d", e.IPs, len(c.IPAddresses))
		}
	})
}

func leafOf(der []byte, pre bool) []byte {
	var b cryptobyte.Builder
	b.AddUint64(1)
	if pre {
		b.AddUint16(1)
		b.AddBytes(make([]byte, 32))
	} else {
		b.AddUint16(0)
	}
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte{0, 0, 5, 0, 0, 0, 0, 0}) })
	return b.BytesOrPanic()
}

func FuzzTile(f *testing.F) {
	c := cert(f, "", "a.example")
	one := append(leafOf(c, false), 0, 0)
	f.Add(one, 1)
	f.Add(append(append(leafOf(c, true), 0, 0, 1, 'x'), 0, 0), 1)
	f.Add(append(slices.Clone(one), one...), 2)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, data []byte, width int) {
		if width < 0 || width > 256 {
			return
		}
		es, err := newLeafReader().tile(data, 0, width, nil)
		if err != nil {
			return
		}
		if len(es) != width {
			t.Fatalf("%d entries of %d", len(es), width)
		}
		// A hash is of nothing but the leaf.
		if width == 1 && data[9] == 0 {
			n := 10 + 3 + int(data[10])<<16 + int(data[11])<<8 + int(data[12])
			n += 2 + int(data[n])<<8 + int(data[n+1])
			if h := tlog.RecordHash(append([]byte{0, 0}, data[:n]...)); h != es[0].Hash {
				t.Fatal("another hash")
			}
		}
	})
}

func FuzzHead(f *testing.F) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	key, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	var logs []Log
	for _, kind := range []Kind{Static, RFC6962} {
		l, err := Open(Info{Name: "x", Kind: kind, URL: "https://log.example/x", Monitor: "https://m.example", Key: key}, nil, 1)
		if err != nil {
			f.Fatal(err)
		}
		logs = append(logs, l)
	}
	f.Add([]byte("log.example/x\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u2014 log.example/x AAAAAAAAAAAAAAAA\n"))
	f.Add([]byte(`{"tree_size":5,"timestamp":1,"sha256_root_hash":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","tree_head_signature":"BAMAAA=="}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := logs[0].(*static).checkpoint("log.example/x", raw); err == nil {
			t.Fatal("an unsigned checkpoint passed")
		}
		if _, err := logs[1].(*rfc6962).sth(raw); err == nil {
			t.Fatal("an unsigned head passed")
		}
		if h, err := parseCheckpoint("log.example/x", string(raw)); err == nil && (h.Size < 0 || h.Size > maxEntries) {
			t.Fatal(h)
		}
		_, _, _ = ReadList(bytes.NewReader(raw), time.Unix(0, 0))
		_, _ = ReadMisconduct(bytes.NewReader(raw))
	})
}

// A proof that was tampered with never leads to the right roots.
func FuzzProof(f *testing.F) {
	f.Add(int64(3), int64(7), []byte(strings.Repeat("x", 96)))
	f.Add(int64(4), int64(7), []byte(strings.Repeat("y", 64)))
	f.Fuzz(func(t *testing.T, m, n int64, raw []byte) {
		if n > 1<<40 || m < 0 {
			return
		}
		var proof []tlog.Hash
		for ; len(raw) >= 32 && len(proof) < 100; raw = raw[32:] {
			proof = append(proof, tlog.Hash(raw[:32]))
		}
		fr, root, ok := frontierFromProof(m, n, proof, tlog.Hash{1})
		if !ok {
			return
		}
		if !fr.valid() || fr.Size != m {
			t.Fatalf("%+v", fr)
		}
		if err := tlog.CheckTree(proof, n, root, m, fr.Root()); err != nil {
			t.Fatalf("tlog holds otherwise: %v", err)
		}
	})
}
