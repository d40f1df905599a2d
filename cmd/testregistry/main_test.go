package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
)

func free(dir string, more ...string) []string {
	args := []string{"--dir", dir}
	for _, s := range []string{"--epp", "--rdap", "--dns", "--resolver", "--actor-dns", "--actor-http"} {
		args = append(args, s, "127.0.0.1:0")
	}
	return append(args, more...)
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	var diag bytes.Buffer
	dir := filepath.Join(t.TempDir(), "reg")
	go func() {
		err := run(ctx, free(dir, "--hostile", "--dnssec", "--domain", "evil-login[.]example", "--route", "127.0.0.53:53=127.0.0.1:5300", "--host", "ns1.sink.invalid=127.0.0.53", "--user", "reg:some-password:registry"), pw, &diag)
		pw.Close()
		done <- err
	}()
	var out strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(out.String(), "openssl s_client") {
		n, err := pr.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v: %s", <-done, out.String())
		}
	}
	go io.Copy(io.Discard, pr)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NOT FOR PRODUCTION", "2 names are registered", "dig @127.0.0.1 -p ", "evil-login.example NS", "curl -s http://127.0.0.1:", "reg ", "some-password"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestHelpAndMistakes(t *testing.T) {
	var out, diag bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out, &diag); err != nil || diag.Len() > 0 {
		t.Fatalf("%v %s", err, diag.String())
	}
	if s := out.String(); !strings.Contains(s, "Examples:") || strings.Index(s, "Examples:") > strings.Index(s, "Flags:") || !strings.Contains(s, "NOT FOR PRODUCTION") {
		t.Error(s)
	}
	for _, args := range [][]string{{"--epp", "0.0.0.0:7700"}, {"--route", "x"}, {"--host", "a=b"}, {"--user", "x"}, {"--domain", "a.org"}, {"extra"}, {"--tld", "a..b"}} {
		if err := run(t.Context(), free(t.TempDir(), args...), io.Discard, io.Discard); impound.KindOf(err) != impound.KindInvalid && impound.KindOf(err) != impound.KindRefused {
			t.Errorf("%v: %v", args, err)
		}
	}
}
