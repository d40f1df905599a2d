package ctlog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"

	"github.com/impound/impound"
)

// ParseListKey reads the public key that signs a log list: PEM, or base64 of
// its DER, of RSA (2048 bits and more) or ECDSA. Anything else is an
// [impound.Error] of KindInvalid.
func ParseListKey(text string) (crypto.PublicKey, error) {
	bad := func() (crypto.PublicKey, error) {
		return nil, impound.Errorf(impound.KindInvalid, "is no public key").WithCure("copy log_list_pubkey.pem, which is published beside the list, or its base64 without the first and last line")
	}
	var der []byte
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der = block.Bytes
	} else {
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return bad()
		}
		der = b
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return bad()
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return bad()
		}
	case *ecdsa.PublicKey:
	default:
		return bad()
	}
	return key, nil
}

// CheckList proves that key signed list, octet by octet: SHA-256 with RSA
// (PKCS #1 v1.5), as Google signs log_list.sig, or with ECDSA (ASN.1). A list
// that isn't what was signed is an [impound.Error] of KindInvalid.
func CheckList(list, sig []byte, key crypto.PublicKey) error {
	h := sha256.Sum256(list)
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, h[:], sig) == nil
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, h[:], sig)
	}
	if !ok {
		return impound.Errorf(impound.KindInvalid, "the log list is not what its key signed").
			WithCure("list and signature are changed one after the other: try again in a minute; if it stays so, somebody changed the list")
	}
	return nil
}
