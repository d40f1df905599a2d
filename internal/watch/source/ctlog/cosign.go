package ctlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/impound/impound"
)

// Witness is whoever cosigns a log's checkpoints when they hold all that he saw
// before (C2SP tlog-cosignature, the Ed25519 kind). A log that shows two people
// two trees can't show both of them enough cosignatures.
type Witness struct {
	Name string
	hash uint32
	key  ed25519.PublicKey
}

// algCosigner is the kind of a cosigner's key.
const algCosigner = 4

// ParseWitness reads a cosigner's key as it is published: NAME+KEYHASH+BASE64.
func ParseWitness(vkey string) (Witness, error) {
	bad := impound.Errorf(impound.KindInvalid, "%.80q is no key of a witness", vkey).WithCure("it reads NAME+KEYHASH+BASE64 and holds an Ed25519 cosignature key (type 4), as the witness publishes it")
	part := strings.SplitN(strings.TrimSpace(vkey), "+", 3)
	if len(part) != 3 || part[0] == "" || strings.ContainsAny(part[0], " \t\r\n") || len(part[1]) != 8 {
		return Witness{}, bad
	}
	h, err1 := strconv.ParseUint(part[1], 16, 32)
	raw, err2 := base64.StdEncoding.Strict().DecodeString(part[2])
	if err1 != nil || err2 != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algCosigner {
		return Witness{}, bad
	}
	if sum := sha256.Sum256([]byte(part[0] + "\n" + string(raw))); binary.BigEndian.Uint32(sum[:]) != uint32(h) {
		return Witness{}, bad
	}
	return Witness{part[0], uint32(h), ed25519.PublicKey(raw[1:])}, nil
}

// ParseWitnesses reads several keys, each of another witness, of which quorum
// must have cosigned a checkpoint (0: all of them).
func ParseWitnesses(vkeys []string, quorum int) ([]Witness, int, error) {
	if quorum < 0 || quorum > len(vkeys) {
		return nil, 0, impound.Errorf(impound.KindInvalid, "%d of %d witnesses can't have cosigned", quorum, len(vkeys)).WithCure("name as many witnesses, or ask for fewer")
	}
	if quorum == 0 {
		quorum = len(vkeys)
	}
	var out []Witness
	for _, v := range vkeys {
		w, err := ParseWitness(v)
		if err != nil {
			return nil, 0, err
		}
		for _, o := range out {
			if o.key.Equal(w.key) {
				return nil, 0, impound.Errorf(impound.KindInvalid, "the witnesses %s and %s have one key", o.Name, w.Name).WithCure("name each once: it counts once")
			}
		}
		out = append(out, w)
	}
	return out, quorum, nil
}

// cosigned says whether w signed text.
func (w Witness) cosigned(text string, sigs []note.Signature) bool {
	for _, s := range sigs {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil || s.Name != w.Name || s.Hash != w.hash || len(raw) != 4+8+ed25519.SignatureSize {
			continue
		}
		at := binary.BigEndian.Uint64(raw[4:])
		if at > 0 && at <= 1<<62 && ed25519.Verify(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), raw[12:]) {
			return true
		}
	}
	return false
}

// enough holds a checkpoint against the log's witnesses.
func (i Info) enough(n *note.Note) error {
	if len(i.Witnesses) == 0 {
		return nil
	}
	got := 0
	var lack []string
	for _, w := range i.Witnesses {
		if w.cosigned(n.Text, n.UnverifiedSigs) {
			got++
		} else {
			lack = append(lack, w.Name)
		}
	}
	if got < i.Quorum {
		return fmt.Errorf("is cosigned by %d witnesses, and %d are wanted: %s did not", got, i.Quorum, strings.Join(lack, ", "))
	}
	return nil
}
