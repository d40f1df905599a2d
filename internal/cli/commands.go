package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// Commands gives every command that does something, as it is typed after
// "impound": "case add". It is for tests that must leave none out.
func Commands() []string {
	var out []string
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.HasSubCommands() {
			for _, x := range c.Commands() {
				walk(x)
			}
			return
		}
		_, path, _ := strings.Cut(c.CommandPath(), " ")
		out = append(out, path)
	}
	walk((&env{}).root())
	return out
}
