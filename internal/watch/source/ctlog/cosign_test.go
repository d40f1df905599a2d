package ctlog_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/polite"
	"github.com/impound/impound/internal/watch/source/ctlog"
	"github.com/impound/impound/internal/watch/source/ctlog/ctlogtest"
)

// witnessed gives a cosigner, and its key as it publishes it.
func witnessed(t testing.TB, name string) (ctlogtest.Cosigner, string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw := append([]byte{4}, pub...)
	sum := sha256.Sum256([]byte(name + "\n" + string(raw)))
	return ctlogtest.Cosigner{Name: name, Key: key, At: 1_700_000_000}, fmt.Sprintf("%s+%08x+%s", name, binary.BigEndian.Uint32(sum[:]), base64.StdEncoding.EncodeToString(raw))
}

// A checkpoint counts when as many witnesses cosigned it as are wanted.
func TestCosignatures(t *testing.T) {
	var cs []ctlogtest.Cosigner
	var keys []string
	for _, n := range []string{"w1.example", "w2.example/a", "w3.example"} {
		c, k := witnessed(t, n)
		cs, keys = append(cs, c), append(keys, k)
	}
	stranger, _ := witnessed(t, "w1.example") // another key under a known name
	late := cs[1]
	late.Text = "another\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	never := cs[2]
	never.At = 0
	for _, tc := range []struct {
		name   string
		by     []ctlogtest.Cosigner
		keys   []string
		quorum int
		fault  string
	}{
		{"all of three", cs, keys, 0, ""},
		{"two of three", cs[:2], keys, 2, ""},
		{"nobody asks", nil, nil, 0, ""},
		{"nobody cosigned", nil, keys, 1, "by 0 witnesses, and 1 are wanted"},
		{"one too few", cs[:2], keys, 3, "w3.example did not"},
		{"twice the same", []ctlogtest.Cosigner{cs[0], cs[0]}, keys, 2, "by 1 witnesses"},
		{"another key", []ctlogtest.Cosigner{stranger, cs[1]}, keys, 2, "by 1 witnesses"},
		{"over another text", []ctlogtest.Cosigner{cs[0], late}, keys, 2, "by 1 witnesses"},
		{"at no time", []ctlogtest.Cosigner{cs[0], never}, keys, 2, "by 1 witnesses"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := ctlogtest.New(t, ctlog.Static)
			l.Add(false, ctlogtest.Cert("a.example", "a.example"))
			l.Publish()
			l.Lock()
			l.Cosigners = tc.by
			l.Unlock()
			info := l.Info()
			var err error
			if info.Witnesses, info.Quorum, err = ctlog.ParseWitnesses(tc.keys, tc.quorum); err != nil {
				t.Fatal(err)
			}
			r, err := ctlog.Open(info, polite.New(polite.Config{Rate: -1}), 0)
			if err != nil {
				t.Fatal(err)
			}
			h, err := r.Head(t.Context())
			switch {
			case tc.fault == "":
				if err != nil || h.Size != 1 {
					t.Errorf("%v, %d entries", err, h.Size)
				}
			case impound.KindOf(err) != impound.KindRefused || !strings.Contains(err.Error(), tc.fault):
				t.Errorf("got %v, want %q", err, tc.fault)
			}
		})
	}
	for _, tc := range []struct {
		keys   []string
		quorum int
	}{{keys, 4}, {keys, -1}, {nil, 1}, {[]string{keys[0], keys[0]}, 1}, {[]string{"w1"}, 0}, {[]string{keys[0][:len(keys[0])-4]}, 0}, {[]string{strings.Replace(keys[0], "w1", "w9", 1)}, 0}} {
		if _, _, err := ctlog.ParseWitnesses(tc.keys, tc.quorum); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%v, %d: %v", tc.keys, tc.quorum, err)
		}
	}
	info := ctlogtest.New(t, ctlog.RFC6962).Info()
	info.Witnesses, info.Quorum, _ = ctlog.ParseWitnesses(keys, 0)
	if _, err := ctlog.Open(info, polite.New(polite.Config{}), 0); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("a log without checkpoints can't be cosigned: %v", err)
	}
}
