package impound

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
)

// CanonicalJSON encodes v with sorted keys, no white space and no HTML
// escaping: the form that is hashed and signed. v must hold no floating point
// numbers.
func CanonicalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, Errorf(KindInternal, "couldn't encode for hashing: %w", err)
	}
	c := canon{in: b.Bytes(), out: make([]byte, 0, b.Len())}
	if err := c.value(); err != nil {
		return nil, Errorf(KindInternal, "couldn't encode for hashing: %w", err)
	}
	return c.out, nil
}

// HashOfJSON is HashOf for a value's JSON as json.Marshal wrote it, compact and each
// name once in an object: who has read a long document strictly needs not write it
// again to know its hash. Of other text it gives an error, or a hash that is nobody's.
func HashOfJSON(b []byte) (hash string, err error) {
	defer func() { // the text goes on where it must not end, or ends where it must not
		if recover() != nil {
			hash, err = "", Errorf(KindInvalid, "couldn't hash what is not compact JSON")
		}
	}()
	c := canon{in: b, out: make([]byte, 0, len(b))}
	if err := c.value(); err != nil || c.pos != len(b) {
		return "", Errorf(KindInvalid, "couldn't hash what is not compact JSON")
	}
	return HashBytes(c.out), nil
}

// canon puts compact JSON, as json.Encoder writes it, in order. It goes by the
// text: a tree of it in memory would be ten times its size, and plans are long.
type canon struct {
	in      []byte
	pos     int
	out     []byte
	members []member // of the objects that are open, the innermost last
	was     []byte   // for putting members in order
}

// member is one of an object, in out.
type member struct {
	key      []byte // what its name says
	from, to int
}

func (c *canon) value() error {
	switch c.in[c.pos] {
	case '{':
		return c.object()
	case '[':
		c.out = append(c.out, '[')
		for c.pos++; c.in[c.pos] != ']'; {
			if c.in[c.pos] == ',' {
				c.out = append(c.out, ',')
				c.pos++
			}
			if err := c.value(); err != nil {
				return err
			}
		}
		c.pos++
		c.out = append(c.out, ']')
		return nil
	case '"':
		_, err := c.str()
		return err
	}
	from := c.pos
	for ; c.pos < len(c.in); c.pos++ {
		if b := c.in[c.pos]; b == ',' || b == ']' || b == '}' || b == '\n' {
			break
		}
	}
	if c.pos == from {
		return errors.New("a value is missing")
	}
	c.out = append(c.out, c.in[from:c.pos]...)
	return nil
}

func (c *canon) object() error {
	c.out = append(c.out, '{')
	start, first := len(c.out), len(c.members)
	inOrder := true
	for c.pos++; c.in[c.pos] != '}'; {
		if c.in[c.pos] == ',' {
			c.out = append(c.out, ',')
			c.pos++
		}
		m := member{from: len(c.out)}
		var err error
		if m.key, err = c.str(); err != nil {
			return err
		}
		c.out = append(c.out, ':')
		c.pos++
		if err := c.value(); err != nil {
			return err
		}
		m.to = len(c.out)
		inOrder = inOrder && (len(c.members) == first || bytes.Compare(c.members[len(c.members)-1].key, m.key) < 0)
		c.members = append(c.members, m)
	}
	c.pos++
	if ms := c.members[first:]; !inOrder {
		slices.SortStableFunc(ms, func(a, b member) int { return bytes.Compare(a.key, b.key) })
		c.was = append(c.was[:0], c.out[start:]...)
		c.out = c.out[:start]
		for i, m := range ms {
			if i+1 < len(ms) && bytes.Equal(ms[i+1].key, m.key) {
				continue // the last of the same name counts
			}
			if len(c.out) > start {
				c.out = append(c.out, ',')
			}
			c.out = append(c.out, c.was[m.from-start:m.to-start]...)
		}
	}
	c.members = c.members[:first]
	c.out = append(c.out, '}')
	return nil
}

// str takes a string over, and gives what it says. One that may be written in
// more than one way is written anew.
func (c *canon) str() ([]byte, error) {
	from, plain := c.pos, true
	for c.pos++; c.in[c.pos] != '"'; c.pos++ {
		if c.in[c.pos] == '\\' {
			plain = false
			c.pos++
		} else if c.in[c.pos] >= 0x80 {
			plain = false
		}
	}
	c.pos++
	raw := c.in[from:c.pos]
	if plain {
		c.out = append(c.out, raw...)
		return raw[1 : len(raw)-1], nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	c.out = append(c.out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
	return []byte(s), nil
}

// HashBytes gives "sha256:" and the hash of b in hex.
func HashBytes(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

// HashOf gives the hash of v's canonical JSON.
func HashOf(v any) (string, error) {
	b, err := CanonicalJSON(v)
	if err != nil {
		return "", err
	}
	return HashBytes(b), nil
}
