package evidence

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence/timestamp"
	"golang.org/x/mod/sumdb/tlog"
)

// Names in a bundle beside those of the folder.
const (
	manifestFile = "MANIFEST"
	howtoFile    = "VERIFY.txt"
	aboutFile    = "bundle.json"
	proofsFile   = "proofs.txt"
	cosignedFile = "checkpoint.cosigned" // where a witness saw the checkpoint
	stampFile    = "checkpoint.tsr"      // where an authority stamped it
)

// bundleFormat is the version of a bundle; a reader refuses what it does not know.
// The second may hold what others attest of the checkpoint.
const (
	bundleFormat       = "impound-evidence-bundle/1"
	sealedBundleFormat = "impound-evidence-bundle/2"
)

// maxBundleText bounds each text file of a bundle that is read.
const maxBundleText = 256 << 20

//go:embed VERIFY.txt
var howto string

// about is bundle.json.
type about struct {
	Format  string    `json:"format"`
	Case    string    `json:"case"`
	Origin  string    `json:"origin"`
	Size    int64     `json:"size"`
	Root    string    `json:"root"`
	Entries int       `json:"entries"`
	Made    time.Time `json:"made"`
	CaseUCO bool      `json:"case_uco,omitempty"` // whether a description in CASE/UCO is there
}

// Export writes a bundle of a case to w: a zip file that verifies offline, by
// [VerifyBundle] or by hand with sha256sum and openssl as its VERIFY.txt says.
// It holds the entries of the case, the enrolments of people (What "people.*",
// of no case), what else of no case those rest on (the intent of a result, the
// entries of the case's orders, what was decided of its names), proofs that each is in the log, the artefacts
// that they name, the checkpoint and the public key. It holds no entry of
// another case. Where a checkpoint that covers all of them was sealed ([Seal]),
// the bundle stands on the newest such and holds what was attested; otherwise on
// the log's head. The error is KindNotFound when the log has nothing of the case.
func (l *Log) Export(ctx context.Context, w io.Writer, caseID string) error {
	l.mu.Lock()
	err := l.refresh()
	tree, cp, head := l.tree, l.checkp, l.head
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if caseID == "" {
		return impound.Errorf(impound.KindInvalid, "which case to export is not said")
	}
	picked, err := l.pick(ctx, caseID, head.Size)
	if err != nil {
		return err
	}
	format := bundleFormat
	cosigned, stamp, err := l.sealedSince(ctx, picked[len(picked)-1]+1, &cp, &head)
	if err != nil {
		return err
	}
	if cosigned != nil || stamp != nil {
		format = sealedBundleFormat
	}
	b := &bundleWriter{zip: zip.NewWriter(w), at: l.now().UTC().Truncate(time.Second)}
	var entries, proofs bytes.Buffer
	var arts []string
	said := make([]Indexed, 0, len(picked))
	seen := map[string]bool{}
	for _, i := range picked {
		line, err := l.line(i)
		if err != nil {
			return err
		}
		entries.Write(line)
		entries.WriteByte('\n')
		proof, err := tlog.ProveRecord(head.Size, i, l.tiles.reader(tree))
		if err != nil {
			return impound.Errorf(impound.KindInternal, "couldn't prove entry %d: %w", i, err)
		}
		fmt.Fprintf(&proofs, "%d", i)
		for _, h := range proof {
			fmt.Fprintf(&proofs, " %X", h[:])
		}
		proofs.WriteByte('\n')
		var f leaf
		if err := json.Unmarshal(line, &f); err != nil {
			return l.tampered(entriesFile, err)
		}
		if f.Artefact != nil && !seen[f.Artefact.Hash] {
			seen[f.Artefact.Hash] = true
			arts = append(arts, f.Artefact.Hash)
		}
		var e impound.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return l.tampered(entriesFile, err)
		}
		said = append(said, Indexed{i, e})
	}
	graph, err := caseUCO(head.Origin, caseID, said)
	if err != nil {
		return err
	}
	ab, err := json.MarshalIndent(about{format, caseID, head.Origin, head.Size, head.Root.String(), len(picked), b.at, len(graph) <= maxBundleText}, "", "  ")
	if err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't encode: %w", err)
	}
	b.add(howtoFile, []byte(howto))
	b.add(aboutFile, append(ab, '\n'))
	b.add(vkeyFile, []byte(l.key.text+"\n"))
	b.add(checkpointFile, cp)
	if cosigned != nil {
		b.add(cosignedFile, cosigned)
	}
	if stamp != nil {
		b.add(stampFile, stamp)
	}
	b.add(entriesFile, entries.Bytes())
	b.add(proofsFile, proofs.Bytes())
	if len(graph) <= maxBundleText { // a reader refuses a longer one
		b.add(caseFile, graph)
	}
	for _, h := range arts {
		if err := ctx.Err(); err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't export the case: %w", err)
		}
		body, err := l.Read(h)
		if err != nil {
			return err
		}
		b.add(artefactsDir+"/"+strings.TrimPrefix(h, "sha256:"), body)
	}
	b.add(manifestFile, b.manifest.Bytes())
	if b.err == nil {
		b.err = b.zip.Close()
	}
	if b.err != nil {
		return ioError("export a case of", "the bundle", b.err)
	}
	return nil
}

// sealedSince looks for the newest checkpoint of at least size entries that
// others attested, sets cp and head to it, and gives what they said; nil where
// there is none.
func (l *Log) sealedSince(ctx context.Context, size int64, cp *[]byte, head *Head) (cosigned, stamp []byte, err error) {
	refs, err := l.Select(ctx, Filter{What: "capture."})
	if err != nil {
		return nil, nil, err
	}
	for _, x := range slices.Backward(refs) {
		a := x.Entry.Artefact
		if a == nil || a.Kind != KindCosigned && a.Kind != KindTimestamp {
			continue
		}
		if x.Index < size || cosigned != nil && stamp != nil {
			break // a seal stands behind all that it covers
		}
		body, err := l.Read(a.Hash)
		if err != nil {
			return nil, nil, err
		}
		seen := body
		if a.Kind == KindTimestamp {
			st, err := timestamp.Verify(body, nil, nil)
			if err != nil {
				return nil, nil, l.tampered(artefactsDir, err)
			}
			if seen, err = l.Read("sha256:" + st.SHA256); err != nil {
				return nil, nil, err
			}
		}
		h, err := parseHead(seen, l.key.verifier)
		if err != nil {
			return nil, nil, l.tampered(artefactsDir, err)
		}
		if h.Size < size || (cosigned != nil || stamp != nil) && h != *head {
			continue
		}
		if a.Kind == KindTimestamp && stamp == nil {
			stamp, *cp, *head = body, seen, h
		} else if a.Kind == KindCosigned && cosigned == nil {
			// What the log signed is the text, an empty line and its own line.
			text, sigs, _ := bytes.Cut(body, []byte("\n\n"))
			line, _, _ := bytes.Cut(sigs, []byte("\n"))
			cosigned, *cp, *head = body, slices.Concat(text, []byte("\n\n"), line, []byte("\n")), h
		}
	}
	return cosigned, stamp, nil
}

// seals proves what others attest of the bundle's checkpoint.
func (v *bundleReader) seals(o VerifyOptions, hd *Head, key verifier) {
	if hd == nil {
		return
	}
	if v.files[cosignedFile] != nil {
		var ws []witness
		for _, k := range o.Witnesses {
			w, err := parseWitness(k)
			if err != nil {
				v.r.problem(cosignedFile, -1, "the witness's key to compare with can't be read: %v", err)
				continue
			}
			ws = append(ws, w)
		}
		if b, ok := v.small(cosignedFile); ok {
			h, seals, err := readCosigned(b, key, ws)
			switch {
			case err != nil:
				v.r.problem(cosignedFile, -1, "%v", err)
			case h != *hd:
				v.r.problem(cosignedFile, -1, "is another checkpoint than the bundle's")
			}
			if len(ws) > 0 && len(seals) == 0 {
				v.r.note(cosignedFile, "is cosigned by nobody whose key was given")
			}
			for _, s := range seals {
				s.Entry = -1
				v.r.Seals = append(v.r.Seals, s)
			}
		}
	}
	if v.files[stampFile] == nil {
		return
	}
	b, ok1 := v.small(stampFile)
	cp, ok2 := v.small(checkpointFile)
	if !ok1 || !ok2 {
		return
	}
	st, err := timestamp.Verify(b, o.TSARoots, nil)
	switch {
	case err != nil:
		v.r.problem(stampFile, -1, "%v", err)
	case "sha256:"+st.SHA256 != impound.HashBytes(cp):
		v.r.problem(stampFile, -1, "is a timestamp over something else than the checkpoint")
	default:
		v.r.Seals = append(v.r.Seals, Seal{Entry: -1, Kind: KindTimestamp, Size: hd.Size, Who: st.Signer, At: st.At, Trusted: st.Trusted})
	}
}

// NothingOf is the answer for a case that the log has nothing of, for whoever
// must give it of a case that somebody may not know of.
func NothingOf(caseID string) error {
	return impound.Errorf(impound.KindNotFound, "the evidence log has nothing of case %q", caseID).
		WithCure("check the spelling; cases are listed by: impound case list")
}

// pick gives the indexes of the entries of a bundle, below n.
func (l *Log) pick(ctx context.Context, caseID string, n int64) ([]int64, error) {
	own, err := l.Select(ctx, Filter{Case: caseID})
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return nil, NothingOf(caseID)
	}
	common, err := l.Select(ctx, Filter{What: "people."})
	if err != nil {
		return nil, err
	}
	in := map[int64]bool{}
	take := func(x Indexed) {
		if x.Index < n && (x.Entry.Case == caseID || x.Entry.Case == "") {
			in[x.Index] = true
		}
	}
	orders := map[string]bool{}
	var intents []string
	for _, x := range own {
		take(x)
		if x.Entry.Order != "" {
			orders[x.Entry.Order] = true
		}
		if x.Entry.Intent != "" {
			intents = append(intents, x.Entry.Intent)
		}
	}
	for _, x := range common {
		take(x)
	}
	// What was decided of a name belongs to no case and to each that holds it.
	names := map[impound.Name]bool{}
	for _, x := range own {
		if n := x.Entry.Name; !n.IsZero() && !names[n] {
			names[n] = true
			more, err := l.Select(ctx, Filter{Name: n, Type: impound.EntryDecision})
			if err != nil {
				return nil, err
			}
			for _, d := range more {
				take(d)
			}
		}
	}
	for o := range orders {
		more, err := l.Select(ctx, Filter{Order: o})
		if err != nil {
			return nil, err
		}
		for _, x := range more {
			take(x)
			if in[x.Index] && x.Entry.Intent != "" {
				intents = append(intents, x.Entry.Intent)
			}
		}
	}
	for _, id := range intents {
		i, ok, err := l.find(selector{'i', id})
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		e, err := l.entry(i)
		if err != nil {
			return nil, err
		}
		take(Indexed{i, e})
	}
	out := make([]int64, 0, len(in))
	for i := range in {
		out = append(out, i)
	}
	slices.Sort(out)
	return out, nil
}

type bundleWriter struct {
	zip      *zip.Writer
	at       time.Time
	manifest bytes.Buffer
	err      error
}

func (b *bundleWriter) add(name string, body []byte) {
	if b.err != nil {
		return
	}
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.at}
	h.SetMode(0o644)
	var w io.Writer
	if w, b.err = b.zip.CreateHeader(h); b.err != nil {
		return
	}
	if _, b.err = w.Write(body); b.err != nil {
		return
	}
	if name != manifestFile {
		fmt.Fprintf(&b.manifest, "%x  %s\n", sha256.Sum256(body), name)
	}
}

// VerifyBundle proves a bundle offline: the manifest against every file, the
// checkpoint's signature, every entry's proof to its root, every artefact, and
// that its description in CASE/UCO says what the entries say. It
// can't prove that the bundle holds all entries of its case; the log can. The
// error is for a file that is no bundle at all.
func VerifyBundle(path string) (Report, error) { return VerifyBundleWith(path, VerifyOptions{}) }

// VerifyBundleWith is [VerifyBundle] with more that must hold.
func VerifyBundleWith(path string, o VerifyOptions) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		e := ioError("read a bundle of", path, err)
		if errors.Is(err, fs.ErrNotExist) {
			return Report{}, impound.Errorf(impound.KindNotFound, "no such bundle: %w", err).At(path)
		}
		return Report{}, e
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Report{}, ioError("read a bundle of", path, err)
	}
	return verifyBundle(f, st.Size(), path, o)
}

func verifyBundle(ra io.ReaderAt, size int64, path string, o VerifyOptions) (Report, error) {
	z, err := zip.NewReader(ra, size)
	if err != nil {
		return Report{}, impound.Errorf(impound.KindInvalid, "this is no bundle: %w", err).At(path).WithCure("get the file again: it may have been cut on the way")
	}
	v := &bundleReader{checker: newChecker(), files: map[string]*zip.File{}}
	for _, f := range z.File {
		if v.files[f.Name] != nil {
			v.r.problem(f.Name, -1, "is there twice")
			continue
		}
		v.files[f.Name] = f
	}
	if v.files[aboutFile] == nil || v.files[manifestFile] == nil {
		return Report{}, impound.Errorf(impound.KindInvalid, "this is a zip file, but no bundle of evidence: it has no %s or no %s", aboutFile, manifestFile).At(path)
	}
	ab, _ := v.small(aboutFile)
	var a about
	if err := json.Unmarshal(ab, &a); err != nil {
		v.r.problem(aboutFile, -1, "can't be read: %v", err)
	} else if a.Format != bundleFormat && a.Format != sealedBundleFormat {
		return Report{}, impound.Errorf(impound.KindInvalid, "the bundle is of format %.60q, and this program knows %q", a.Format, sealedBundleFormat).At(path).WithCure("use a newer impound, or check by hand as VERIFY.txt in it says")
	}
	v.r.Case = a.Case
	var key verifier
	hd := checkHead(v.r, o, v.small, &key)
	if hd != nil && (a.Origin != hd.Origin || a.Size != hd.Size || a.Root != hd.Root.String()) {
		v.r.problem(aboutFile, -1, "says something else than the checkpoint")
	}
	v.seals(o, hd, key)
	v.entries(hd)
	if int64(a.Entries) != v.r.Entries {
		v.r.problem(aboutFile, -1, "says %d entries, and %d are there", a.Entries, v.r.Entries)
	}
	v.described(a)
	v.rest()
	v.finish()
	return *v.r, nil
}

// described makes the description in CASE/UCO again and compares.
func (v *bundleReader) described(a about) {
	if v.files[caseFile] == nil && !a.CaseUCO {
		return // bundles of older versions, and very large ones, have none
	}
	b, ok := v.read(caseFile, maxBundleText)
	if !ok {
		return
	}
	want, err := caseUCO(a.Origin, a.Case, v.said)
	if err != nil {
		v.r.problem(caseFile, -1, "%v", err)
	} else if !bytes.Equal(b, want) {
		v.r.problem(caseFile, -1, "says something else than the entries")
	}
}

// bundleReader is one verification of a bundle.
type bundleReader struct {
	*checker
	files map[string]*zip.File
	said  []Indexed // the entries that can be read
}

// read gives the content of a text file. Whatever size the zip claims, no more
// than max is unpacked.
func (v *bundleReader) read(name string, max int64) ([]byte, bool) {
	f := v.files[name]
	if f == nil {
		v.r.problem(name, -1, "is missing")
		return nil, false
	}
	rc, err := f.Open()
	if err != nil {
		v.r.problem(name, -1, "can't be read: %v", err)
		return nil, false
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("it is longer than %d octets", max)
	}
	if err != nil {
		v.r.problem(name, -1, "can't be read: %v", err)
		return nil, false
	}
	return b, true
}

func (v *bundleReader) small(name string) ([]byte, bool) { return v.read(name, maxCheckpoint) }

// entries proves each entry against the checkpoint.
func (v *bundleReader) entries(hd *Head) {
	eb, ok1 := v.read(entriesFile, maxBundleText)
	pb, ok2 := v.read(proofsFile, maxBundleText)
	if !ok1 || !ok2 {
		return
	}
	v.r.Bytes += int64(len(eb))
	lines, proofs := bytes.Split(eb, []byte("\n")), bytes.Split(pb, []byte("\n"))
	if n := len(lines) - 1; len(lines[n]) > 0 || len(proofs[len(proofs)-1]) > 0 || len(proofs) != len(lines) {
		v.r.problem(proofsFile, -1, "has not one line for each entry")
		return
	}
	lines, proofs = lines[:len(lines)-1], proofs[:len(proofs)-1]
	last := int64(-1)
	for k, line := range lines {
		i, proof, err := parseProof(proofs[k])
		if err != nil {
			v.r.problem(proofsFile, -1, "line %d: %v", k+1, err)
			i = -1
		} else if i <= last {
			v.r.problem(proofsFile, i, "line %d is out of order", k+1)
		} else {
			last = i
		}
		p := parseLines([][]byte{line})[0]
		if hd != nil && err == nil {
			if i >= hd.Size {
				v.r.problem(proofsFile, i, "the checkpoint does not cover it")
			} else if tlog.CheckRecord(proof, hd.Size, hd.Root, i, p.hash) != nil {
				v.r.problem(entriesFile, i, "line %d: the proof does not lead to the checkpoint: entry or proof was changed", k+1)
			}
		}
		v.entry(i, &p.leaf, p.err)
		var e impound.Entry
		if json.Unmarshal(line, &e) == nil {
			v.said = append(v.said, Indexed{i, e})
		}
	}
}

// parseProof reads "INDEX HASH HASH ..." in upper-case hex.
func parseProof(line []byte) (int64, tlog.RecordProof, error) {
	fields := strings.Split(string(line), " ")
	i, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || i < 0 || fields[0] != strconv.FormatInt(i, 10) {
		return 0, nil, fmt.Errorf("%.40q is no index", fields[0])
	}
	if len(fields) > 64 {
		return 0, nil, errors.New("the proof is too long for any tree")
	}
	proof := tlog.RecordProof{}
	for _, f := range fields[1:] {
		b, err := hex.DecodeString(f)
		if err != nil || len(b) != tlog.HashSize || strings.ToUpper(f) != f {
			return 0, nil, fmt.Errorf("%.80q is no hash", f)
		}
		proof = append(proof, tlog.Hash(b))
	}
	return i, proof, nil
}

// rest checks the artefacts, and every file against the manifest.
func (v *bundleReader) rest() {
	mb, ok := v.read(manifestFile, maxBundleText)
	if !ok {
		return
	}
	if len(mb) == 0 || mb[len(mb)-1] != '\n' {
		v.r.problem(manifestFile, -1, "was cut off")
	}
	listed := map[string]string{}
	sc := bufio.NewScanner(bytes.NewReader(mb))
	for n := 1; sc.Scan(); n++ {
		sum, name, ok := strings.Cut(sc.Text(), "  ")
		if !ok || !validHash("sha256:"+sum) || listed[name] != "" {
			v.r.problem(manifestFile, -1, "line %d is no sha256sum line, or names a file twice", n)
			continue
		}
		listed[name] = sum
	}
	if err := sc.Err(); err != nil {
		v.r.problem(manifestFile, -1, "can't be read: %v", err)
	}
	names := make([]string, 0, len(v.files))
	for name := range v.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == manifestFile {
			continue
		}
		sum, ok := listed[name]
		delete(listed, name)
		if !ok {
			v.r.problem(name, -1, "is not in the manifest: it was added")
			continue
		}
		v.file(name, sum)
	}
	for _, name := range sortedKeys(listed) {
		v.r.problem(name, -1, "is in the manifest, and missing")
	}
	for hash, ref := range v.arts {
		if name := artefactsDir + "/" + strings.TrimPrefix(hash, "sha256:"); v.files[name] == nil {
			v.r.problem(name, ref.entry, "is missing")
		}
	}
}

func (v *bundleReader) file(name, sum string) {
	rc, err := v.files[name].Open()
	if err != nil {
		v.r.problem(name, -1, "can't be read: %v", err)
		return
	}
	defer rc.Close()
	if hx, ok := strings.CutPrefix(name, artefactsDir+"/"); ok {
		ref, named := v.arts["sha256:"+hx]
		if !named {
			v.r.problem(name, -1, "no entry names this artefact: it was added")
			return
		}
		if sum != hx {
			v.r.problem(manifestFile, ref.entry, "the line of %s has another hash than its name", name)
		}
		if err := v.artefact(name, "sha256:"+hx, io.LimitReader(rc, MaxArtefact+1)); err != nil {
			v.r.problem(name, ref.entry, "can't be read: %v", err)
		}
		return
	}
	switch name {
	case howtoFile, aboutFile, vkeyFile, checkpointFile, entriesFile, proofsFile, caseFile, cosignedFile, stampFile:
	default:
		v.r.problem(name, -1, "does not belong here")
		return
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(rc, maxBundleText+1)); err != nil {
		v.r.problem(name, -1, "can't be read: %v", err)
	} else if hex.EncodeToString(h.Sum(nil)) != sum {
		v.r.problem(name, -1, "is not what the manifest says: one of them was changed")
	}
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
