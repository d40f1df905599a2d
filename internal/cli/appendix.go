package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework/orderdoc"
)

// orderDocument reads an order by its id or from a file. What is filed counts
// first: a file of that name is written ./O-1.
func (e *env) orderDocument(ctx context.Context, s *app.System, arg string) (data []byte, label string, err error) {
	if arg != "-" {
		_, _, data, err := s.Casework.Order(ctx, arg)
		if err == nil {
			return data, arg, nil
		}
		if impound.KindOf(err) != impound.KindNotFound {
			return nil, arg, err
		}
		if _, err := os.Stat(arg); errors.Is(err, fs.ErrNotExist) {
			return nil, arg, impound.Errorf(impound.KindInvalid, "is neither a filed order nor a file").At(arg).WithCure("impound order list shows the filed ones")
		}
	}
	return e.readAll(arg, orderdoc.MaxSize)
}

func (e *env) appendixCmd() *cobra.Command {
	var format, out string
	c := verb("appendix FILE|ORDER-ID", "the names as a registry works through them: grouped, with acts, exhibits and what was seen of each", `  impound order appendix O-2026-1                       # for people
  impound order appendix order.yaml --format csv > appendix.csv
  impound order appendix O-2026-1 --out appendix.pdf    # PDF/A-2b for filing; .docx for counsel
  impound order appendix O-2026-1 --format json`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		if e.asJSON && format == "text" {
			format = "json"
		}
		if !c.Flags().Changed("format") && out != "" && out != "-" {
			format = strings.TrimPrefix(strings.ToLower(filepath.Ext(out)), ".")
		}
		switch format {
		case "csv", "json", "text", "pdf", "docx":
		default:
			return usageError{impound.Errorf(impound.KindInvalid, "%q is no format of an appendix", format).WithCure("use --format csv, json, text, pdf or docx")}
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			data, label, err := e.orderDocument(ctx, s, args[0])
			if err != nil {
				return err
			}
			a, err := s.Appendix(ctx, label, data)
			if err != nil {
				return err
			}
			return e.paper(out, format, func(w io.Writer) error {
				switch format {
				case "csv":
					return a.CSV(w)
				case "json":
					j := json.NewEncoder(w)
					j.SetIndent("", "  ")
					return j.Encode(a)
				case "pdf":
					return a.PDF(w)
				case "docx":
					return a.DOCX(w)
				}
				return a.Text(w)
			})
		})
	})
	c.Flags().StringVar(&format, "format", "text", "csv, json, text, pdf or docx; else as the ending of --out says")
	c.Flags().StringVar(&out, "out", "", "file to write (default standard output)")
	return c
}

// paper writes a document to out, or to standard output when that is no
// terminal or the document is text. A file that is there stays.
func (e *env) paper(out, format string, write func(io.Writer) error) error {
	if out == "" || out == "-" {
		if e.Tty && (format == "pdf" || format == "docx") {
			return impound.Errorf(impound.KindInvalid, "a %s is not for a terminal", strings.ToUpper(format)).WithCure("give a file with --out")
		}
		return write(e.Out)
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return impound.Errorf(impound.KindConflict, "couldn't write the document: %w", err).WithCure("choose another file with --out")
	}
	if err := write(f); err != nil {
		f.Close()
		os.Remove(out)
		return err
	}
	if err := f.Close(); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write the document: %w", err)
	}
	fmt.Fprintf(e.Err, "wrote %s\n", out)
	return nil
}

// differs is how diff --exit-code ends when the two differ: no message, as the
// difference is printed already.
type differs struct{}

func (differs) Error() string { return "the two differ" }

func (e *env) orderDiffCmd() *cobra.Command {
	var exit bool
	c := verb("diff A B", "what changed from one order to another: names, acts, dates; like a diff", `  impound order diff O-2026-1 O-2026-1-S1
  impound order diff order.yaml new.yaml
  impound order diff O-2026-1 order.yaml --exit-code      # 0 the same, 1 they differ, 2 trouble`, cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			var orders [2]*impound.Order
			for i, arg := range args {
				data, label, err := e.orderDocument(ctx, s, arg)
				if err != nil {
					return err
				}
				if orders[i], err = orderdoc.Parse(label, data); err != nil {
					return err
				}
			}
			d := orderdoc.Compare(orders[0], orders[1])
			if e.asJSON {
				if err := e.json(d); err != nil {
					return err
				}
			} else if _, err := io.WriteString(e.Out, printable(d.Text(args[0], args[1]))); err != nil {
				return err
			}
			if exit && !d.Same {
				return differs{}
			}
			return nil
		})
	})
	c.Flags().BoolVar(&exit, "exit-code", false, "exit with 1 when the two differ, as git diff does")
	return c
}
