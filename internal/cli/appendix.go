package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

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
	var format string
	c := verb("appendix FILE|ORDER-ID", "the names as a registry works through them: grouped, with acts, exhibits and what was seen of each", `  impound order appendix O-2026-1                       # for people
  impound order appendix order.yaml --format csv > appendix.csv
  impound order appendix O-2026-1 --format json`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		if e.asJSON && format == "text" {
			format = "json"
		}
		switch format {
		case "csv", "json", "text":
		default:
			return usageError{impound.Errorf(impound.KindInvalid, "%q is no format of an appendix", format).WithCure("use csv, json or text")}
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			data, label, err := e.orderDocument(ctx, s, args[0])
			if err != nil {
				return err
			}
			a, err := s.Casework.Appendix(ctx, label, data)
			if err != nil {
				return err
			}
			switch format {
			case "csv":
				return a.CSV(e.Out)
			case "json":
				return e.json(a)
			}
			return a.Text(e.Out)
		})
	})
	c.Flags().StringVar(&format, "format", "text", "csv, json or text")
	return c
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
