// Command ctlog runs a real Certificate Transparency log (Sunlight) on loopback
// for walks, and puts certificates into it that it is asked for. NOT FOR
// PRODUCTION.
//
//	ctlog FOLDER
//
// It writes FOLDER/source.yaml, the log as a source of the watch, and
// FOLDER/submit, an address: POST it names, one a line, and each gets a
// certificate that the log has taken when the answer comes.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/impound/impound/internal/watch/source/ctlog/sunlighttest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ctlog:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: ctlog FOLDER")
	}
	dir, err := filepath.Abs(os.Args[1])
	if err != nil {
		return err
	}
	bin, ok := sunlighttest.Find()
	if !ok {
		return fmt.Errorf("no sunlight and skylight here: %s", sunlighttest.How)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log, err := sunlighttest.Start(ctx, bin, dir)
	if err != nil {
		return err
	}
	defer log.Stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sc := bufio.NewScanner(http.MaxBytesReader(w, r.Body, 1<<20))
		for sc.Scan() {
			names := strings.Fields(sc.Text())
			if len(names) == 0 {
				continue
			}
			der, err := log.Cert(names...)
			if err == nil {
				err = log.Submit(r.Context(), der, false)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
		}
	})}
	info := log.Info()
	src := fmt.Sprintf("{name: ct, ct: %q, submission: %q, key: %q, from: start}\n", info.Monitor, info.URL, base64.StdEncoding.EncodeToString(info.Key))
	if err := os.WriteFile(filepath.Join(dir, "source.yaml"), []byte(src), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "submit"), []byte("http://"+l.Addr().String()+"/\n"), 0o600); err != nil {
		return err
	}
	go func() { <-ctx.Done(); _ = srv.Close() }()
	if err := srv.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}
