package evidence_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/peertest"
)

type member struct {
	name string
	body []byte
}

func unpack(t testing.TB, b []byte) []member {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out []member
	for _, f := range z.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, member{f.Name, body})
	}
	return out
}

func pack(t testing.TB, path string, ms []member) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range ms {
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name}) // stored: fast
		if err != nil {
			t.Fatal(err)
		}
		w.Write(m.body)
	}
	z.Close()
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func export(t testing.TB, l *evidence.Log, caseID string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := l.Export(ctx, &b, caseID); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestExport(t *testing.T) {
	l := open(t, folder(t))
	fill(t, l)
	// Entries without a case that belong to it by their order or intent.
	if _, err := l.AppendAll(ctx, []impound.Entry{
		{ID: "o", Type: impound.EntryDecision, By: "cy", What: "order.sign", Order: "O-1"},
		{ID: "x", Type: impound.EntryDecision, By: "cy", What: "order.sign", Order: "O-2"},
		{ID: "s", Type: impound.EntrySystem, By: "system", What: "start"},
		{ID: "y", Type: impound.EntryDecision, By: "cy", What: "order.note", Order: "O-1", Case: "C-2"},
		{ID: "n", Type: impound.EntryDecision, By: "cy", What: "case.contest", Name: impound.MustName("outlook-verify.net")},
		{ID: "m", Type: impound.EntryDecision, By: "cy", What: "case.contest", Name: impound.MustName("other-verify.net")},
	}); err != nil {
		t.Fatal(err)
	}
	b := export(t, l, "C-1")
	path := filepath.Join(t.TempDir(), "C-1.zip")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := evidence.VerifyBundle(path)
	if err != nil || !r.OK() {
		t.Fatalf("VerifyBundle: %v, %v", r.Problems, err)
	}
	if r.Case != "C-1" || r.Size != 13 || r.Entries != 7 || r.Artefacts != 2 {
		t.Errorf("report %+v; want 7 of 13 entries, 2 artefacts", r)
	}
	var names []string
	for _, m := range unpack(t, b) {
		names = append(names, m.name)
		for _, secret := range []string{"C-2", "O-2", "sealed", "other-verify", `"start"`} {
			if bytes.Contains(m.body, []byte(secret)) {
				t.Errorf("%s holds %q, which is not of the case", m.name, secret)
			}
		}
		if m.name == "entries.jsonl" {
			for _, want := range []string{`"id":"p1"`, `"id":"i1"`, `"id":"r1"`, `"id":"o"`, `"id":"n"`} {
				if !bytes.Contains(m.body, []byte(want)) {
					t.Errorf("the bundle's entries lack %s", want)
				}
			}
		}
	}
	slices.Sort(names)
	want := []string{"MANIFEST", "VERIFY.txt", "artefacts/" + names[2][10:], "artefacts/" + names[3][10:], "bundle.json", "case-uco.jsonld", "checkpoint", "entries.jsonl", "log.vkey", "proofs.txt"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if err := l.Export(ctx, io.Discard, "C-9"); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("Export of an unknown case: %v", err)
	}
	if err := l.Export(ctx, io.Discard, ""); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("Export of no case: %v", err)
	}
}

// TestBundleDamage changes each file of a bundle, with the manifest as it was
// and with one made to fit.
func TestBundleDamage(t *testing.T) {
	t.Parallel()
	l := open(t, folder(t))
	fill(t, l)
	good := unpack(t, export(t, l, "C-1"))
	path := filepath.Join(t.TempDir(), "b.zip")
	bad := func(t *testing.T, what, file string, ms []member) {
		t.Helper()
		pack(t, path, ms)
		r, err := evidence.VerifyBundle(path)
		if err != nil {
			return // no bundle any more: said
		}
		if r.OK() {
			t.Errorf("%s: nobody noticed", what)
		} else if file != "" && !strings.Contains(fmt.Sprint(r.Problems), file) {
			t.Errorf("%s: the report blames %v", what, r.Problems)
		}
	}
	pack(t, path, good)
	if r, err := evidence.VerifyBundle(path); err != nil || !r.OK() {
		t.Fatal(r.Problems, err)
	}
	for k, m := range good {
		for _, refit := range []bool{false, true} {
			if refit && (m.name == "MANIFEST" || m.name == "VERIFY.txt" || m.name == "bundle.json") {
				continue // those two say nothing that the checkpoint is asked about
			}
			for n := range 12 { // other octets in each run
				if len(m.body) == 0 {
					break
				}
				i := rand.IntN(len(m.body))
				if n == 0 {
					i = len(m.body) - 1
				}
				ms := slices.Clone(good)
				ms[k].body = bytes.Clone(m.body)
				ms[k].body[i] ^= 1 << rand.IntN(8)
				if refit {
					fit(ms)
				}
				file := m.name
				if refit || file == "MANIFEST" {
					file = "" // a changed proof shows at its entry, a changed line at its file
				}
				bad(t, fmt.Sprintf("octet %d of %s, manifest made to fit: %v", i, m.name, refit), file, ms)
			}
		}
		without := slices.Delete(slices.Clone(good), k, k+1)
		bad(t, "without "+m.name, m.name, without)
		if m.name != "MANIFEST" && m.name != "VERIFY.txt" {
			fit(without)
			bad(t, "without "+m.name+", manifest made to fit", m.name, without)
		}
		bad(t, m.name+" twice", m.name, append(slices.Clone(good), m))
	}
	extra := append(slices.Clone(good), member{"x", nil})
	bad(t, "a file more", "x", extra)
	fit(extra)
	bad(t, "a file more, manifest made to fit", "x", extra)
	for what, b := range map[string][]byte{"empty": nil, "text": []byte("hello"), "cut": export(t, l, "C-1")[:900]} {
		os.WriteFile(path, b, 0o600)
		if _, err := evidence.VerifyBundle(path); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%s file: %v", what, err)
		}
	}
	if _, err := evidence.VerifyBundle(path + "none"); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("missing file: %v", err)
	}
}

// fit makes the manifest of ms true.
func fit(ms []member) {
	var man bytes.Buffer
	for _, m := range ms {
		if m.name != "MANIFEST" {
			fmt.Fprintf(&man, "%s  %s\n", strings.TrimPrefix(impound.HashBytes(m.body), "sha256:"), m.name)
		}
	}
	for k := range ms {
		if ms[k].name == "MANIFEST" {
			ms[k].body = man.Bytes()
		}
	}
}

// TestByHand runs the lines of VERIFY.txt as a reader would, with the real
// sha256sum, basenc and openssl, on a good bundle and on changed ones.
func TestByHand(t *testing.T) {
	t.Parallel()
	peertest.Need(t, "sha256sum", "coreutils")
	peertest.Need(t, "basenc", "coreutils")
	peertest.Need(t, "openssl", "openssl")
	l := open(t, folder(t))
	fill(t, l)
	for range 14 { // a taller tree
		if _, err := l.Append(ctx, impound.Entry{Type: impound.EntryDecision, By: "ana", What: "case.note", Case: []string{"C-1", "C-2"}[l.Size()%2]}); err != nil {
			t.Fatal(err)
		}
	}
	run := func(ms []member) string {
		dir := t.TempDir()
		var script strings.Builder
		for _, m := range ms {
			p := filepath.Join(dir, m.name)
			os.MkdirAll(filepath.Dir(p), 0o700)
			if err := os.WriteFile(p, m.body, 0o600); err != nil {
				t.Fatal(err)
			}
			if m.name == "VERIFY.txt" {
				for line := range strings.Lines(string(m.body)) {
					if s, ok := strings.CutPrefix(line, "\t"); ok {
						script.WriteString(s)
					}
				}
			}
		}
		cmd := exec.Command("sh", "-c", script.String())
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			return string(out) + "\n" + err.Error()
		}
		return string(out)
	}
	good := unpack(t, export(t, l, "C-1"))
	out := run(good)
	for _, never := range []string{"FAILED", "NOT IN", "Failure", "rror", "WARNING"} {
		if strings.Contains(out, never) {
			t.Errorf("by hand, on a good bundle: %q in\n%s", never, out)
		}
	}
	// Four of fill's (two captures, intent, result), the enrolment, and seven notes.
	if n := strings.Count(out, ": in the log"); n != 12 || !strings.Contains(out, "Signature Verified Successfully") {
		t.Errorf("by hand, %d entries were proven, want 12:\n%s", n, out)
	}
	for name, want := range map[string]string{"entries.jsonl": "NOT IN THE LOG", "checkpoint": "Verification Failure"} {
		ms := slices.Clone(good)
		for k := range ms {
			if ms[k].name == name {
				ms[k].body = bytes.Clone(ms[k].body)
				ms[k].body[3] ^= 1
			}
		}
		if out := run(ms); !strings.Contains(out, want) || !strings.Contains(out, name+": FAILED") {
			t.Errorf("by hand, with %s changed: want %q in\n%s", name, want, out)
		}
	}
}
