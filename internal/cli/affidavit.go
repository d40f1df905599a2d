package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/document"
)

func (e *env) affidavitCmd() *cobra.Command {
	var format, out, name, show string
	c := verb("affidavit FILE|ORDER-ID", "an affidavit or declaration with the facts filled in: from the order and the evidence log, never opinions", `  impound order affidavit O-2026-1 --out declaration.docx
  impound order affidavit O-2026-1 --template affidavit --out affidavit.pdf
  impound order affidavit --print-template declaration > ours.md    # to change
  impound order affidavit O-2026-1 --template ours.md --out ours.docx`, cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		if show != "" {
			text, err := casework.Template(show)
			if err != nil {
				return err
			}
			_, err = io.WriteString(e.Out, text)
			return err
		}
		if len(args) != 1 {
			return usageError{fmt.Errorf("name an order, or a file")}
		}
		if !c.Flags().Changed("format") && out != "" && out != "-" {
			format = strings.TrimPrefix(strings.ToLower(filepath.Ext(out)), ".")
		}
		switch format {
		case "md", "pdf", "docx":
		default:
			return usageError{impound.Errorf(impound.KindInvalid, "%q is no format of an affidavit", format).WithCure("use --format md, pdf or docx")}
		}
		text, err := casework.Template(name)
		title := strings.ToUpper(name[:min(1, len(name))]) + name[min(1, len(name)):]
		if err != nil {
			if !strings.ContainsAny(name, "./\\") {
				return err
			}
			data, _, err := e.readAll(name, 1<<20)
			if err != nil {
				return err
			}
			text, title = string(data), "Statement"
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			data, label, err := e.orderDocument(ctx, s, args[0])
			if err != nil {
				return err
			}
			st, err := s.Statement(ctx, label, data)
			if err != nil {
				return err
			}
			md, err := st.Fill(name, text)
			if err != nil {
				return err
			}
			d := st.Paper(title, md)
			if err := e.paper(out, format, func(w io.Writer) error {
				switch format {
				case "pdf":
					return d.PDF(w)
				case "docx":
					return d.DOCX(w)
				}
				_, err := io.WriteString(w, md)
				return err
			}); err != nil {
				return err
			}
			if n := document.Blanks(d.Blocks); n > 0 {
				fmt.Fprintf(e.Err, "%d places, marked, are for the declarant to fill in\n", n)
			}
			return nil
		})
	})
	c.Flags().StringVar(&name, "template", "declaration", strings.Join(casework.Templates(), ", ")+", or a file of yours")
	c.Flags().StringVar(&format, "format", "md", "md, pdf or docx; else as the ending of --out says")
	c.Flags().StringVar(&out, "out", "", "file to write (default standard output)")
	c.Flags().StringVar(&show, "print-template", "", "print a built-in template, and do nothing else")
	return c
}
