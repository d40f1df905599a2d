package epp

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The namespaces that Impound speaks.
const (
	NSEPP      = "urn:ietf:params:xml:ns:epp-1.0"          // RFC 5730
	NSDomain   = "urn:ietf:params:xml:ns:domain-1.0"       // RFC 5731
	NSHost     = "urn:ietf:params:xml:ns:host-1.0"         // RFC 5732
	NSContact  = "urn:ietf:params:xml:ns:contact-1.0"      // RFC 5733
	NSSecDNS   = "urn:ietf:params:xml:ns:secDNS-1.1"       // RFC 5910
	NSRGP      = "urn:ietf:params:xml:ns:rgp-1.0"          // RFC 3915
	NSLoginSec = "urn:ietf:params:xml:ns:epp:loginSec-1.0" // RFC 8807
)

// Header begins every frame that Impound writes.
const Header = `<?xml version="1.0" encoding="UTF-8" standalone="no"?>` + "\n"

// Bounds of what is read. A domain of the largest size that RFC 5731 allows is
// under 20 kB, so a megabyte is a fault or an attack.
const (
	MaxFrame    = 1 << 20 // octets, the length field included
	MaxDepth    = 32      // elements within elements
	MaxElements = 20_000
	MaxAttrs    = 64 // of one element
)

// ErrMalformed is wrapped by every error about the octets themselves, as
// against one of the connection.
var ErrMalformed = errors.New("malformed EPP frame")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// ReadFrame reads one frame and gives its payload. It allocates no more than
// has arrived, or 16 KiB. io.EOF means that the peer closed between frames;
// io.ErrUnexpectedEOF, in one. Time is the caller's to bound, by a deadline on
// the connection.
func ReadFrame(r io.Reader, max int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	switch {
	case n <= 4:
		return nil, malformed("length %d leaves no room for a document", n)
	case int64(n) > int64(max):
		if printable(head[:]) {
			return nil, malformed("the peer does not frame: it began with the text %q", head[:])
		}
		return nil, malformed("%d octets, of which at most %d are read", n, max)
	}
	if n <= 16<<10 {
		b := make([]byte, n-4)
		if got, err := io.ReadFull(r, b); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, fmt.Errorf("frame cut off after %d of %d octets: %w", got, n-4, io.ErrUnexpectedEOF)
			}
			return nil, err
		}
		return b, nil
	}
	var b bytes.Buffer
	if got, err := io.CopyN(&b, r, int64(n-4)); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("frame cut off after %d of %d octets: %w", got, n-4, io.ErrUnexpectedEOF)
		}
		return nil, err
	}
	return b.Bytes(), nil
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// Frame gives payload with its length in front, to be written in one piece.
func Frame(payload []byte) []byte {
	b := make([]byte, 4, 4+len(payload))
	binary.BigEndian.PutUint32(b, uint32(4+len(payload)))
	return append(b, payload...)
}

// Node is one element.
type Node struct {
	Space, Local string
	Attrs        []xml.Attr
	Kids         []*Node
	Text         string // the character data directly inside, in order

	text *strings.Builder // while it is read
}

// ParseXML reads a document. Comments and processing instructions are skipped;
// whatever follows the root element but white space is an error.
func ParseXML(b []byte) (*Node, error) {
	if !utf8.Valid(b) {
		return nil, malformed("not valid UTF-8")
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	d.Strict = true
	d.Entity = map[string]string{}
	var root *Node
	var stack []*Node
	elements := 0
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, malformed("%s", cut(err.Error(), 120))
		}
		switch t := tok.(type) {
		case xml.StartElement:
			elements++
			switch {
			case elements > MaxElements:
				return nil, malformed("more than %d elements", MaxElements)
			case len(stack) >= MaxDepth:
				return nil, malformed("elements nested more than %d deep", MaxDepth)
			case len(t.Attr) > MaxAttrs:
				return nil, malformed("an element with more than %d attributes", MaxAttrs)
			case len(stack) == 0 && root != nil:
				return nil, malformed("more than one root element")
			}
			n := &Node{Space: t.Name.Space, Local: t.Name.Local}
			if len(t.Attr) > 0 {
				n.Attrs = t.Copy().Attr
			}
			for i, a := range n.Attrs {
				for _, b := range n.Attrs[:i] {
					if a.Name == b.Name {
						return nil, malformed("attribute %s given twice", cut(a.Name.Local, 120))
					}
				}
			}
			if len(stack) == 0 {
				root = n
			} else {
				p := stack[len(stack)-1]
				p.Kids = append(p.Kids, n)
			}
			stack = append(stack, n)
		case xml.EndElement:
			top := stack[len(stack)-1]
			if top.text != nil {
				top.Text, top.text = top.text.String(), nil
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) == 0 {
				if len(bytes.TrimSpace(t)) > 0 {
					return nil, malformed("text outside the root element")
				}
				continue
			}
			top := stack[len(stack)-1]
			switch {
			case top.text != nil:
				top.text.Write(t)
			case top.Text == "": // most have one piece of text
				top.Text = string(t)
			default:
				top.text = new(strings.Builder)
				top.text.WriteString(top.Text)
				top.text.Write(t)
			}
		case xml.Directive:
			return nil, malformed("a document type declaration is not allowed")
		}
	}
	if root == nil {
		return nil, malformed("no element")
	}
	return root, nil
}

// Is says whether n has that name.
func (n *Node) Is(space, local string) bool {
	return n != nil && n.Local == local && n.Space == space
}

// First gives the first child of that name, nil when there is none (or no n).
func (n *Node) First(space, local string) *Node {
	if n == nil {
		return nil
	}
	for _, k := range n.Kids {
		if k.Is(space, local) {
			return k
		}
	}
	return nil
}

// All gives the children of that name.
func (n *Node) All(space, local string) []*Node {
	if n == nil {
		return nil
	}
	var out []*Node
	for _, k := range n.Kids {
		if k.Is(space, local) {
			out = append(out, k)
		}
	}
	return out
}

// Token gives the text as XML Schema's token type: white space collapsed. It
// is "" for no n.
func (n *Node) Token() string {
	if n == nil {
		return ""
	}
	return strings.Join(strings.Fields(n.Text), " ")
}

// Attr gives the attribute of that name without a namespace.
func (n *Node) Attr(local string) (string, bool) {
	if n == nil {
		return "", false
	}
	for _, a := range n.Attrs {
		if a.Name.Space == "" && a.Name.Local == local {
			return strings.TrimSpace(a.Value), true
		}
	}
	return "", false
}

// Escape gives s as character data or attribute value. Characters that XML 1.0
// has no way to say become U+FFFD.
func Escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}

// Tag gives <name>text</name>, text escaped.
func Tag(name, text string) string {
	return "<" + name + ">" + Escape(text) + "</" + name + ">"
}
