// Command impound takes a spear-phishing actor's domains away by court order:
// watch, case, order, seizure, sinkhole, telemetry, notify. Run impound help.
package main

import (
	"context"
	"os"

	"github.com/impound/impound/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.OS()))
}
