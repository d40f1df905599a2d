package ctlog_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/source/ctlog"
)

func TestCheckList(t *testing.T) {
	list := []byte(`{"operators": []}`)
	h := sha256.Sum256(list)
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, signer := range []crypto.Signer{r, e} {
		der, err := x509.MarshalPKIXPublicKey(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{base64.StdEncoding.EncodeToString(der), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))} {
			key, err := ctlog.ParseListKey(text)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := signer.Sign(rand.Reader, h[:], crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if err := ctlog.CheckList(list, sig, key); err != nil {
				t.Error(err)
			}
			other := append([]byte{}, list...)
			other[3] ^= 1
			cut := sig[:len(sig)-1]
			for what, err := range map[string]error{"another list": ctlog.CheckList(other, sig, key), "a signature cut short": ctlog.CheckList(list, cut, key), "none": ctlog.CheckList(list, nil, key)} {
				if impound.KindOf(err) != impound.KindInvalid {
					t.Errorf("%s was taken: %v", what, err)
				}
			}
		}
	}
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "!", "AAAA", base64.StdEncoding.EncodeToString(der)} {
		if _, err := ctlog.ParseListKey(bad); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%q was taken for a key: %v", bad, err)
		}
	}
}
