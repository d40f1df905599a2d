package timestamp_test

import (
	"encoding/hex"
	"testing"

	"github.com/impound/impound/internal/evidence/timestamp"
)

// The answers of a real authority are tested where one is: in internal/app.

func TestARefusalIsNoTimestamp(t *testing.T) {
	// TimeStampResp with status 2, rejection, and no token.
	b, _ := hex.DecodeString("30053003020102")
	if s, err := timestamp.Verify(b, nil, nil); err == nil {
		t.Errorf("Verify gave %+v", s)
	}
}

func FuzzVerify(f *testing.F) {
	req, _, err := timestamp.Request([]byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "30053003020102", "300530030201003000", "30053003020100"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Add(req)
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := timestamp.Verify(b, nil, nil); err == nil && (len(s.SHA256) != 64 || s.At.IsZero() || s.Trusted) {
			t.Errorf("Verify took %x as %+v", b, s)
		}
	})
}
