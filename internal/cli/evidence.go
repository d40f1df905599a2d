package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/evidence/lure"
)

func jsonLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

var logHead = []string{"nr", "at", "type", "what", "by", "name", "detail"}

func logRow(x evidence.Indexed) []string {
	detail := x.Entry.Detail["text"]
	if a := x.Entry.Artefact; a != nil {
		detail = a.Kind + " from " + a.Source + " " + shortHash(a.Hash)
	}
	return []string{strconv.FormatInt(x.Index, 10), utc(x.Entry.At), string(x.Entry.Type), x.Entry.What, x.Entry.By, x.Entry.Name.Defanged(), detail}
}

func shortHash(h string) string {
	h = strings.TrimPrefix(h, "sha256:")
	return h[:min(12, len(h))]
}

func (e *env) evidenceCmd() *cobra.Command {
	var caseID string
	var addName, kind string
	var mark, remark func() impound.Marking
	add := verb("add FILE", "keep a file as evidence; a mail is kept sealed, with an analysis of where it came from and leads", "  impound evidence add report.pdf --case APT35-2019 --as ada\n  impound evidence add lure.eml --case APT35-2019 --as ada\n  impound evidence add page.png --case APT35-2019 --name outlook-verify[.]net --as ada\n  impound evidence add partner.pdf --case APT35-2019 --originator \"CERT Example\" --tlp red --pap amber --as ada", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			var n impound.Name
			if addName != "" {
				if n, err = impound.ParseName(addName); err != nil {
					return err
				}
			}
			a, err := s.AddFile(ctx, me.ID, caseID, n, args[0], kind, mark())
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(a)
			}
			fmt.Fprintln(e.Out, a.Hash)
			if a.Kind == "mail" {
				return e.mailShown(ctx, s, a.Hash)
			}
			return nil
		})
	})
	mark = markFlags(add)
	add.Flags().StringVar(&caseID, "case", "", "the case that it belongs to")
	add.Flags().StringVar(&addName, "name", "", "the name that it is about")
	add.Flags().StringVar(&kind, "kind", "file", "what it is: report, screenshot, mail ...")

	var what, name, order string
	var lines *part
	list := verb("list", "the evidence log: its newest entries, oldest of them first", `  impound evidence list --case APT35-2019
  impound evidence list --limit 50 --offset 50        # the 50 before the newest 50
  impound evidence list --what seize. --json          # the newest acts of seizures
  impound evidence list --limit 0 --json > log.json   # all of it; a log can hold millions`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		f := evidence.Filter{Case: caseID, What: what, Order: order}
		if name != "" {
			var err error
			if f.Name, err = impound.ParseName(name); err != nil {
				return err
			}
		}
		offset, limit, err := e.part(lines)
		if err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			if limit == 0 && offset == 0 { // as it is read: it may be more than memory holds
				if e.asJSON {
					return e.jsonEach(func(put func(any) error) error {
						return s.LogEach(ctx, f, func(x evidence.Indexed) error { return put(x) })
					})
				}
				if !e.Tty {
					return s.LogEach(ctx, f, func(x evidence.Indexed) error { e.table(logHead, [][]string{logRow(x)}); return nil })
				}
			}
			f.Limit = limit
			es, n, err := s.LogPage(ctx, f, offset)
			if err != nil {
				return err
			}
			slices.Reverse(es)
			e.left(offset, len(es), n, "newest entries")
			if e.asJSON {
				return e.json(append([]evidence.Indexed{}, es...))
			}
			rows := make([][]string, len(es))
			for i, x := range es {
				rows[i] = logRow(x)
			}
			e.table(logHead, rows)
			return nil
		})
	})
	lines = partFlagsOf(list, "entries, the newest,", 250) // each is proven against the tree
	list.Flags().StringVar(&caseID, "case", "", "of one case")
	list.Flags().StringVar(&order, "order", "", "of one order")
	list.Flags().StringVar(&what, "what", "", "of one kind, or of all that begin so (seize.)")
	list.Flags().StringVar(&name, "name", "", "of one name")

	show := verb("show HASH", "print an artefact", "  impound evidence show sha256:3f2a... > frame.xml", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			b, err := s.Artefact(ctx, args[0])
			if err != nil {
				return err
			}
			if e.Tty {
				b = []byte(printable(string(b)))
			}
			_, err = e.Out.Write(b)
			return err
		})
	})
	var bundle, logKey, since, tsaCA string
	var trusted []string
	verify := verb("verify [FOLDER|BUNDLE]", "prove the evidence from its files alone", `  impound evidence verify                            # the state folder's
  impound evidence verify /backup/evidence           # a copy, offline
  impound evidence verify --bundle APT35-2019.zip    # an exported bundle
  impound evidence verify --since checkpoint.txt     # and nothing was taken away since then
  impound evidence verify --log-key "$(cat trusted.vkey)"   # and it is that log's`, cobra.MaximumNArgs(1), func(_ *cobra.Command, args []string) error {
		path := filepath.Join(e.stateDir(), "evidence")
		if bundle != "" {
			args = append(args, bundle)
		}
		if len(args) > 1 {
			return usageError{fmt.Errorf("name one folder or one bundle")}
		}
		if len(args) == 1 {
			path = args[0]
		}
		opt := evidence.VerifyOptions{Key: strings.TrimSpace(logKey), Witnesses: trusted}
		var err error
		if opt.TSARoots, err = app.ReadRoots(tsaCA); err != nil {
			return err
		}
		if since != "" {
			b, err := os.ReadFile(since)
			if err != nil {
				return impound.Errorf(impound.KindInvalid, "couldn't read the checkpoint: %w", err)
			}
			opt.Since = b
		}
		st, err := os.Stat(path)
		if err != nil {
			return impound.Errorf(impound.KindInvalid, "couldn't find the evidence: %w", err).WithCure("name the evidence folder or a bundle")
		}
		var r evidence.Report
		if st.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "evidence", "entries.jsonl")); err == nil {
				path = filepath.Join(path, "evidence") // a state folder was named
			}
			r, err = evidence.VerifyWith(path, opt)
		} else {
			r, err = evidence.VerifyBundleWith(path, opt)
		}
		if err != nil {
			return err
		}
		if e.asJSON {
			if err := e.json(r); err != nil {
				return err
			}
		}
		if !r.OK() {
			for _, p := range r.Problems {
				fmt.Fprintf(e.Err, "impound: %s: %s\n", p.File, p.Msg)
			}
			return impound.Errorf(impound.KindInternal, "the evidence does NOT verify: %d faults", len(r.Problems)).At(path).WithCure("keep this folder as it is, and compare with a backup")
		}
		if !e.asJSON {
			fmt.Fprintf(e.Out, "%s verifies: %d entries, %d artefacts, %d octets, root %s\n", path, r.Entries, r.Artefacts, r.Bytes, r.Root)
			for _, row := range sealRows(r.Seals) {
				fmt.Fprintf(e.Out, "%s of the first %s entries, by %s, at %s\n", row[0], row[1], row[2], row[3])
			}
		}
		return nil
	})
	verify.Flags().StringVar(&bundle, "bundle", "", "an exported bundle")
	verify.Flags().StringVar(&logKey, "log-key", "", "the key that the log must have, as in log.vkey; without it the folder proves that it is whole, not whose it is")
	verify.Flags().StringVar(&since, "since", "", "a checkpoint kept elsewhere: all that it covers must still be there")
	verify.Flags().StringArrayVar(&trusted, "witness", nil, "the key of a witness whose cosignatures are to be proven; may be given again")
	verify.Flags().StringVar(&tsaCA, "tsa-ca", "", "PEM file of the timestamp authorities' roots; without it whose timestamps they are is not proven")
	checkpoint := verb("checkpoint", "print the signed head of the log: keep it elsewhere", "  impound evidence checkpoint > checkpoint-$(date +%F).txt", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			cp, err := s.Checkpoint(ctx)
			if err != nil {
				return err
			}
			_, err = e.Out.Write(cp)
			return err
		})
	})
	var why string
	redact := verb("redact HASH FILE", "keep a redacted version of an artefact, which stays", "  impound evidence redact sha256:3f2a... redacted.pdf --why \"names of two victims\" --as ada", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			a, err := s.Redact(ctx, me.ID, args[0], args[1], why, remark())
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(a)
			}
			fmt.Fprintln(e.Out, a.Hash)
			return nil
		})
	})
	remark = markFlags(redact)
	redact.Flags().StringVar(&why, "why", "", "what was redacted, and why")
	var witnesses, tsas []string
	seal := verb("seal", "have witnesses and timestamp authorities attest the log as it stands", `  impound evidence seal --witness https://witness.example=NAME+HASH+KEY --tsa https://tsa.example/tsr --tsa-ca tsa.pem --as ada
  impound evidence seal --as ada    # those of the configuration, seal:
  impound evidence verify --witness NAME+HASH+KEY --tsa-ca tsa.pem`, cobra.NoArgs, nil)
	seal.RunE = func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			who := app.Sealers{TSAs: tsas}
			for _, w := range witnesses {
				x, err := app.NewWitness(w)
				if err != nil {
					return err
				}
				who.Witnesses = append(who.Witnesses, x)
			}
			if who.TSARoots, err = app.ReadRoots(tsaCA); err != nil {
				return err
			}
			if len(witnesses)+len(tsas) == 0 { // whom the configuration names
				if who, err = s.Sealers(); err != nil {
					return err
				}
			}
			got, err := s.SealEvidence(ctx, me.ID, who)
			if e.asJSON {
				if err2 := e.json(got); err == nil {
					err = err2
				}
				return err
			}
			e.table([]string{"kind", "entries", "by", "at"}, sealRows(got))
			return err
		})
	}
	seal.Flags().StringArrayVar(&witnesses, "witness", nil, "URL=KEY of a witness (C2SP tlog-witness); may be given again")
	seal.Flags().StringArrayVar(&tsas, "tsa", nil, "URL of a timestamp authority (RFC 3161); may be given again")
	seal.Flags().StringVar(&tsaCA, "tsa-ca", "", "PEM file of the roots that its certificate must lead to")
	var outFile string
	export := verb("export CASE", "write a bundle that verifies offline", "  impound evidence export APT35-2019 --out APT35-2019.zip\n  impound evidence verify APT35-2019.zip", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			if outFile == "" {
				outFile = args[0] + ".zip"
			}
			if outFile == "-" {
				return s.ExportCase(ctx, e.Out, args[0])
			}
			tmp, err := os.CreateTemp(filepath.Dir(outFile), ".bundle-*")
			if err != nil {
				return impound.Errorf(impound.KindUnavailable, "couldn't write the bundle: %w", err)
			}
			defer os.Remove(tmp.Name())
			if err := s.ExportCase(ctx, tmp, args[0]); err != nil {
				tmp.Close()
				return err
			}
			if err := tmp.Close(); err != nil {
				return impound.Errorf(impound.KindUnavailable, "couldn't write the bundle: %w", err)
			}
			if err := os.Rename(tmp.Name(), outFile); err != nil {
				return impound.Errorf(impound.KindUnavailable, "couldn't write the bundle: %w", err)
			}
			fmt.Fprintf(e.Err, "wrote %s; check it with: impound evidence verify --bundle %s\n", outFile, outFile)
			return nil
		})
	})
	export.Flags().StringVar(&outFile, "out", "", "where to write it (default CASE.zip; - for standard output)")
	return group("evidence", "capture, list, prove and export evidence", "  impound evidence capture NAME --case APT35-2019\n  impound evidence list --case APT35-2019\n  impound evidence verify", e.captureCmd(), add, list, show, verify, checkpoint, seal, redact, export)
}

// mailShown says on standard error what the analysis of a mail holds.
func (e *env) mailShown(ctx context.Context, s *app.System, hash string) error {
	b, err := s.Artefact(ctx, hash)
	if err != nil {
		return err
	}
	var an lure.Analysis
	if err := json.Unmarshal(b, &an); err != nil {
		return fmt.Errorf("couldn't read the analysis: %w", err)
	}
	say := func(format string, args ...any) { fmt.Fprintln(e.Err, printable(fmt.Sprintf(format, args...))) }
	defang := func(s string) string { return strings.ReplaceAll(s, ".", "[.]") }
	for _, m := range an.Messages {
		say("from %s, sent %s, %d servers on the way", defang(m.From), m.Date, len(m.Hops))
		for _, d := range m.Differ {
			say("its %s is of another domain", d)
		}
		for _, x := range m.Auth {
			say("%s states %s=%s %s", defang(x.Server), x.Method, x.Result, defang(x.Domain))
		}
		for _, p := range m.Platforms {
			say("sent with %s: %s", p.Name, p.Why)
		}
		for _, l := range m.Links {
			more := ""
			if len(l.Wrapped) > 0 {
				in := slices.Clone(l.Wrapped) // the outermost first
				slices.Reverse(in)
				more += ", wrapped by " + strings.Join(in, " in ")
			}
			if l.Shows != "" {
				more += ", shown as " + defang(l.Shows)
			}
			say("leads to %s (%s%s)", defang(l.Host), l.Where, more)
		}
		for i, f := range m.Attachments {
			what := f.Is
			if what == "" {
				what = "kind not known"
			}
			if f.PDF != nil && f.PDF.Encrypted {
				what = "encrypted " + what
			}
			say("attachment %d: %s %s, %d octets, %s", i+1, f.Ending, what, f.Size, strings.Join(append(f.Notes, f.Hash), "; "))
		}
	}
	for _, p := range an.Problems {
		say("note: %s", p)
	}
	say("the original is sealed: impound evidence show %s | age -d -i KEY", an.Sealed)
	return nil
}

// readRoots reads a PEM file of certificates; nil for no file.
func sealRows(seals []evidence.Seal) [][]string {
	var rows [][]string
	for _, s := range seals {
		who := printable(s.Who)
		if !s.Trusted {
			who += " (whose it is was not proven)"
		}
		rows = append(rows, []string{s.Kind, strconv.FormatInt(s.Size, 10), who, utc(s.At)})
	}
	return rows
}
