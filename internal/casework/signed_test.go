package casework_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/orderdoc"
)

// fullOrder has every field that an order can have.
func fullOrder(id string) impound.Order {
	o := template(id)
	day := func(n int) time.Time { return t0.AddDate(0, 0, n) }
	o.Authority.Judge, o.Authority.Jurisdiction, o.Authority.Gag, o.Authority.Cost = "J. <Doe> & \"x\"", "practice é", true, "us"
	o.Authority.Instrument = impound.HashBytes([]byte("paper"))
	o.SealedUntil, o.ExecuteAt, o.ConfirmBy = day(1), t0.Add(time.Hour), t0.Add(2*time.Hour)
	o.Deadlines = []impound.Deadline{{What: "TRO ends", Due: day(14), Who: "carl"}}
	o.TLP = impound.TLPAmberStrict
	o.Parties.Defendants, o.Parties.Counsel = []string{"John Does 1-2"}, "carl"
	o.Recipient.IANAID, o.Recipient.Contact = 7, "orders@registry.example"
	o.Custody = &impound.Custody{TransferTo: "R", TransferID: 8, RenewalBy: "us", NoRelease: true, Escrow: "here"}
	o.Rights = &impound.Rights{Contest: "write <us>", ContestDays: 14, Notice: "post", Bond: "none"}
	o.Sinkhole.Notice, o.Sinkhole.Certificates, o.Sinkhole.KeepBits4, o.Sinkhole.KeepBits6, o.Sinkhole.DMARCReports = "Seized\nby the court", impound.CertsSelf, 24, 48, "dmarc@unit.example"
	ns := names("one.com", "two.com", "xn--bcher-kva.com", "four.com")
	o.Appendices = []impound.Appendix{
		{ID: "A", Count: 2, Names: []impound.OrderName{
			{Name: ns[0], Exhibit: "1", ROID: "D1-X", Registrar: "R & S", RegistrarID: 9, Created: day(-400), Expires: day(100), Affiant: "ann", Harm: "lures", Confidence: "high", Asked: day(-3), Decision: "allowed"},
			{Name: ns[1], Acts: &impound.Acts{Hold: true}},
		}},
		{ID: "B", Count: 2, Names: []impound.OrderName{{Name: ns[2]}, {Name: ns[3], Acts: &impound.Acts{Lock: []string{"serverUpdateProhibited"}, Registrant: "court"}}}},
	}
	return o
}

func (d *desk) fileFull(id string) ([]byte, casework.OrderReport) {
	d.t.Helper()
	ctx := d.t.Context()
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice", Actor: "APT35"}))
	_, err := d.AddNames(ctx, "ann", "C-1", add("one.com", "two.com", "xn--bcher-kva.com", "four.com"))
	d.ok(err)
	doc, err := d.DraftOrder(ctx, "C-1", fullOrder(id))
	d.ok(err)
	doc = sign(d.t, doc, "alice", "bob")
	rep, err := d.FileOrder(ctx, "ann", "o.yaml", doc)
	d.ok(err)
	return doc, rep
}

func (d *desk) artefactFile(hash string) string {
	h := strings.TrimPrefix(hash, "sha256:")
	return filepath.Join(d.dir, "evidence", "artefacts", h[:2], h[2:])
}

// What was signed is kept as it was hashed, and an order read from it is the one
// of its document, in every field. Whatever is done to the file, the same order
// counts.
func TestSignedOctets(t *testing.T) {
	ctx := t.Context()
	for name, spoil := range map[string]func(d *desk, file string) error{
		"as kept": func(*desk, string) error { return nil },
		"removed": func(_ *desk, f string) error { return os.Remove(f) },
		"another name": func(_ *desk, f string) error {
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			if err := os.Chmod(f, 0o600); err != nil {
				return err
			}
			return os.WriteFile(f, bytes.Replace(b, []byte("two.com"), []byte("ten.com"), 1), 0o600)
		},
		"cut": func(_ *desk, f string) error {
			if err := os.Chmod(f, 0o600); err != nil {
				return err
			}
			return os.Truncate(f, 100)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			doc, rep := d.fileFull("O-1")
			want, err := orderdoc.Parse("o.yaml", doc)
			d.ok(err)
			file := d.artefactFile(rep.Hash)
			b, err := os.ReadFile(file)
			if err != nil || impound.HashBytes(b) != rep.Hash {
				t.Fatalf("what was signed is not kept under its hash: %v", err)
			}
			d.ok(spoil(d, file))
			s, err := casework.New(d.cfg)
			d.ok(err)
			row, got, data, err := s.Order(ctx, "O-1")
			d.ok(err)
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); diff != "" {
				t.Errorf("another order comes back (-document +read):\n%s", diff)
			}
			if !bytes.Equal(data, doc) || row.Hash != want.Hash() || got.Hash() != want.Hash() || row.Names != 4 {
				t.Errorf("row %+v", row)
			}
			ms, err := s.Mandates(ctx)
			if err != nil || len(ms) != 1 || ms[0].Hash() != rep.Hash {
				t.Fatalf("mandates %v, %v", ms, err)
			}
			for _, n := range ms[0].Names() {
				a, _ := ms[0].Acts(n)
				b, _ := want.ActsFor(n)
				if diff := cmp.Diff(b, a, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); diff != "" {
					t.Errorf("%s: other acts:\n%s", n, diff)
				}
			}
		})
	}
}

// Signatures are proven each time, wherever they are read from: an entry that
// somebody with the log's key made up gains nothing.
func TestSignedOctetsForged(t *testing.T) {
	ctx := t.Context()
	for name, change := range map[string]func(d *desk, e *impound.Entry, evil []byte){
		"signatures of another order": func(d *desk, e *impound.Entry, evil []byte) { e.Detail["hash"] = impound.HashBytes(evil) },
		"no signature":                func(_ *desk, e *impound.Entry, _ []byte) { e.Detail["signatures"] = "[]" },
		"no JSON":                     func(_ *desk, e *impound.Entry, _ []byte) { e.Detail["signatures"] = "x" },
		"one signature twice": func(d *desk, e *impound.Entry, _ []byte) {
			var sigs []impound.Signature
			d.ok(json.Unmarshal([]byte(e.Detail["signatures"]), &sigs))
			b, err := json.Marshal([]impound.Signature{sigs[0], sigs[0]})
			d.ok(err)
			e.Detail["signatures"] = string(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			_, rep := d.fileFull("O-1")
			b, err := d.log.Read(rep.Hash)
			d.ok(err)
			evil := bytes.Replace(bytes.Replace(b, []byte("two.com"), []byte("ten.com"), 1), []byte("O-1"), []byte("O-2"), 1)
			_, err = d.log.Capture(ctx, impound.Artefact{Kind: "order-signed", Source: "x", Tool: "x", By: "x"}, evil)
			d.ok(err)
			e, ok, err := d.log.Entry(casework.WhatOrderFile + ":O-1")
			if err != nil || !ok {
				t.Fatal(err)
			}
			e.ID, e.Order = "forged", "O-2"
			if name != "signatures of another order" {
				// The order itself, under its own id, in another desk's log.
				other := newDesk(t)
				d.ok(other.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice", Actor: "APT35"}))
				for _, h := range []string{rep.Hash, e.Detail["document"], e.Detail["gates"], e.Detail["gates_blocking"]} {
					b, err := d.log.Read(h)
					d.ok(err)
					_, err = other.log.Capture(ctx, impound.Artefact{Kind: "x", Source: "x", Tool: "x", By: "x"}, b)
					d.ok(err)
				}
				e.Order = "O-1"
				d = other
			}
			change(d, &e, evil)
			_, err = d.log.Append(ctx, e)
			d.ok(err)
			ms, err := d.Mandates(ctx)
			for _, m := range ms {
				if m.ID() == "O-2" || name != "no JSON" && m.ID() == e.Order {
					t.Errorf("a forged entry gives a mandate for %v", m.Names())
				}
			}
			if name != "no JSON" && impound.KindOf(err) != impound.KindPartial {
				t.Errorf("nobody says that it isn't proven: %v", err)
			}
			// What can't be read there is read from the document, whose own
			// signatures are good.
			if name == "no JSON" && (err != nil && impound.KindOf(err) != impound.KindPartial || len(ms) != 1) {
				t.Errorf("%v %v", ms, err)
			}
		})
	}
}
