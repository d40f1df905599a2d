package orderdoc

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/impound/impound"
)

// CheckSignatures says who signed d and what is missing until it is signed by
// [impound.MinSigners] enrolled approvers. Each problem has the line of the
// signature it speaks of, or of the end of the document.
func CheckSignatures(d *Document, keys impound.Keyring) (signers []string, ps impound.Problems) {
	hash := d.Order.Hash()
	var good []impound.Signature
	for i, s := range d.Order.Signatures {
		if _, err := impound.Signers([]impound.Signature{s}, impound.SignOrder, hash, keys, impound.RoleApprover); err != nil {
			e := impound.Errorf(impound.KindOf(err), "%w", err)
			var cause *impound.Error
			if c, ok := err.(*impound.Error); ok {
				cause = c
				e = impound.Errorf(cause.Kind, "%s", cause.Msg).WithCure(cause.Cure)
			}
			if e.Cure == "" {
				e.Cure = "remove this signature and sign again: impound order sign " + d.File + " --as PERSON"
			}
			ps = append(ps, e.At(d.Where(fmt.Sprintf("signatures[%d]", i))))
			continue
		}
		good = append(good, s)
	}
	signers, err := impound.Signers(good, impound.SignOrder, hash, keys, impound.RoleApprover)
	if err != nil { // each was fine alone
		return nil, append(ps, impound.Errorf(impound.KindOf(err), "couldn't judge the signatures together: %w", err).At(d.Where("signatures")))
	}
	if n := len(signers); n < impound.MinSigners {
		where := d.at(d.last)
		if _, ok := d.lines["signatures"]; ok {
			where = d.Where("signatures")
		}
		e := impound.Errorf(impound.KindRefused, "signed by %d of %d people", n, impound.MinSigners)
		if n == 1 {
			e = impound.Errorf(impound.KindRefused, "signed by one person (%s): it takes %d, with a key each", signers[0], impound.MinSigners)
		}
		ps = append(ps, e.At(where).WithCure("have another approver run: impound order sign "+d.File+" --as PERSON"))
	}
	return signers, ps
}

// Sign adds sig to the document: at the end of its signatures: section, or in a
// new one before the end marker. Every other octet stays. It refuses a document
// that is not valid, a signature that does not fit it (KindInvalid), and one by
// somebody who signed already (KindConflict).
func Sign(filename string, data []byte, sig impound.Signature) ([]byte, error) {
	d, ps := Read(filename, data)
	if err := ps.Err(); err != nil {
		return nil, err
	}
	if err := sig.Verify(impound.SignOrder, d.Order.Hash()); err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't add the signature: %w", err).At(filename).WithCure("sign the hash of this very document")
	}
	for i, s := range d.Order.Signatures {
		if s.Person == sig.Person || s.Key == sig.Key {
			return nil, impound.Errorf(impound.KindConflict, "%s signed already", s.Person).At(d.Where(fmt.Sprintf("signatures[%d]", i))).WithCure("another approver must sign")
		}
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, impound.Errorf(impound.KindInternal, "couldn't read the document again: %w", err)
	}
	indent, header := "  ", "signatures:\n"
	top := root.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value != "signatures" {
			continue
		}
		v := top.Content[i+1]
		if i+2 < len(top.Content) || v.Style&yaml.FlowStyle != 0 {
			return nil, impound.Errorf(impound.KindInvalid, "signatures: must be the last key, with one item a line").At(d.Where("signatures")).WithCure("move the section to the end of the document; that changes no hash")
		}
		header = ""
		if v.Kind == yaml.SequenceNode && len(v.Content) > 0 {
			// The node stands behind the hyphen: the list's own column is the
			// hyphen's.
			indent = string(bytes.Repeat([]byte(" "), v.Column-1))
		}
	}
	nl := "\n"
	end := bytes.LastIndex(data, []byte("\n"+EndMarker)) + 1
	if bytes.HasSuffix(data[:end], []byte("\r\n")) {
		nl = "\r\n"
	}
	text := fmt.Sprintf("%s%s- person: %s\n%s  key: %s\n%s  at: %s\n%s  sig: %s\n", header, indent, scalar(sig.Person), indent, sig.Key, indent, sig.At.UTC().Format(time.RFC3339), indent, sig.Sig)
	if nl != "\n" {
		text = string(bytes.ReplaceAll([]byte(text), []byte("\n"), []byte(nl)))
	}
	out := slices.Concat(data[:end], []byte(text), data[end:])
	// Prove it: the same order, one signature more.
	n, ps := Read(filename, out)
	if err := ps.Err(); err != nil {
		return nil, impound.Errorf(impound.KindInternal, "couldn't add the signature without spoiling the document: %w", err).At(filename)
	}
	want := append(slices.Clone(d.Order.Signatures), sig)
	if n.Order.Hash() != d.Order.Hash() || !slices.EqualFunc(n.Order.Signatures, want, sameSignature) {
		return nil, impound.Errorf(impound.KindInternal, "couldn't add the signature without changing the document").At(filename).WithCure("move signatures: to the end of the document")
	}
	return out, nil
}

func sameSignature(a, b impound.Signature) bool {
	return a.Person == b.Person && a.Key == b.Key && a.Sig == b.Sig && a.At.Equal(b.At)
}
