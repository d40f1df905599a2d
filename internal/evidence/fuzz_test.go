package evidence_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/impound/impound/internal/evidence"
	"golang.org/x/mod/sumdb/tlog"
)

// FuzzCheckpoint: a checkpoint that verifies is the one that was signed, octet
// for octet.
func FuzzCheckpoint(f *testing.F) {
	l := open(f, folder(f))
	fill(f, l)
	good := l.Checkpoint()
	f.Add(good)
	f.Add([]byte("go.sum database tree\n2\nnND/nri/U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=\n\n— sum.golang.org Az3gr\n"))
	f.Add(append(bytes.Clone(good), "— witness AAAAAAAAAA==\n"...))
	f.Add(l.SignCheckpoint(evidence.Head{Origin: l.Origin(), Size: -1}))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := evidence.ParseCheckpoint(b, l.VerifierKey())
		if err != nil {
			return
		}
		text := good[:bytes.Index(good, []byte("\n\n"))]
		if h.Size != 7 || !bytes.HasPrefix(b, text) {
			t.Fatalf("a checkpoint that nobody signed verifies: %q", b)
		}
	})
}

func FuzzVerifierKey(f *testing.F) {
	l := open(f, folder(f))
	f.Add(l.VerifierKey())
	f.Add("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
	f.Add("++")
	f.Fuzz(func(t *testing.T, s string) { evidence.ParseVKeyText(s) })
}

func FuzzProof(f *testing.F) {
	f.Add([]byte("12 E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"))
	f.Add([]byte("-1"))
	f.Add([]byte("9223372036854775807 "))
	f.Fuzz(func(t *testing.T, b []byte) { evidence.ParseProof(b) })
}

// FuzzBundle: no bundle makes the reader panic, and one that verifies under
// the trusted key has the entries that were exported.
func FuzzBundle(f *testing.F) {
	l := open(f, folder(f))
	fill(f, l)
	good := export(f, l, "C-1")
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("PK\x05\x06" + string(make([]byte, 18))))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := evidence.VerifyZip(bytes.NewReader(b), int64(len(b)), "fuzz", evidence.VerifyOptions{Key: l.VerifierKey()})
		if err == nil && r.OK() && (r.Entries != 5 || r.Artefacts != 2 || r.Size != 7) {
			t.Fatalf("a bundle that nobody exported verifies: %+v", r)
		}
	})
}

// FuzzFolder: no content of the log's files makes Verify or Open panic, and
// none but the right one verifies.
func FuzzFolder(f *testing.F) {
	src := closed(f)
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	entries, hashes := read("entries.jsonl"), read("hashes")
	f.Add(entries, hashes)
	f.Add(entries[:len(entries)-1], hashes[:33])
	f.Add([]byte("\n\n\n\n\n\n\n"), []byte{})
	f.Add([]byte("{}\n[]\nnull\n1\n\"\"\n{\"artefact\":{}}\n{\"artefact\":null,\"type\":\"result\"}\n"), hashes)
	f.Fuzz(func(t *testing.T, eb, hb []byte) {
		dir := filepath.Join(t.TempDir(), "evidence")
		if err := os.CopyFS(dir, os.DirFS(src)); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, "entries.jsonl"), eb, 0o600)
		os.WriteFile(filepath.Join(dir, "hashes"), hb, 0o600)
		r, err := evidence.Verify(dir)
		if err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(eb, entries) && bytes.Equal(hb, hashes); r.OK() != same {
			t.Fatalf("files as they were: %v; problems: %v", same, r.Problems)
		}
		l, err := evidence.Open(dir, evidence.Options{KeyPath: filepath.Join(src, "..", "keys", "evidence.key")})
		if (err == nil) != bytes.HasPrefix(eb, entries) {
			t.Fatalf("Open gave %v", err)
		}
		if err == nil {
			l.Close()
			wantClean(t, dir)
		}
	})
}

// TestTreeAgainstTlog compares the verifier's own tree with tlog's, and proofs
// through bundles at every size up to 70.
func TestTreeAgainstTlog(t *testing.T) {
	l := open(t, folder(t))
	path := filepath.Join(t.TempDir(), "b.zip")
	for n := range 70 {
		if _, err := l.Append(ctx, decision("", "case.note", []string{"C-1", "C-2", "C-3"}[n%3])); err != nil {
			t.Fatal(err)
		}
		var hashes []tlog.Hash
		rd := tlog.HashReaderFunc(func(ix []int64) ([]tlog.Hash, error) {
			var out []tlog.Hash
			for _, i := range ix {
				out = append(out, hashes[i])
			}
			return out, nil
		})
		entries, err := os.ReadFile(filepath.Join(l.Dir(), "entries.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(bytes.TrimSuffix(entries, []byte("\n")), []byte("\n")) {
			hs, err := tlog.StoredHashes(int64(i), line, rd)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, hs...)
		}
		root, err := tlog.TreeHash(int64(n+1), rd)
		if err != nil {
			t.Fatal(err)
		}
		if r := wantClean(t, l.Dir()); r.Root != root.String() {
			t.Fatalf("size %d: root %s, tlog says %s", n+1, r.Root, root)
		}
		os.WriteFile(path, export(t, l, "C-1"), 0o600)
		if r, err := evidence.VerifyBundle(path); err != nil || !r.OK() || r.Entries != int64(n/3+1) {
			t.Fatalf("size %d: bundle %+v, %v", n+1, r, err)
		}
	}
}
