package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/impound/impound/internal/peertest"
)

// child is the real command line in a process of its own.
type child struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
	end chan error
}

func start(t *testing.T, dir string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0], args...), end: make(chan error, 1)}
	c.cmd.Dir = dir
	c.cmd.Env = append(os.Environ(), "IMPOUND_TEST_CLI=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stdout, c.cmd.Stderr = w, w
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		for sc := bufio.NewScanner(r); sc.Scan(); {
			c.mu.Lock()
			c.out.WriteString(sc.Text() + "\n")
			c.mu.Unlock()
		}
		c.end <- c.cmd.Wait()
	}()
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

func (c *child) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

func (c *child) waitFor(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); {
		if strings.Contains(c.text(), text) {
			return
		}
		select {
		case err := <-c.end:
			t.Fatalf("it ended (%v) before it said %q:\n%s", err, text, c.text())
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("it never said %q:\n%s", text, c.text())
}

func (c *child) stop(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-c.end:
		if err != nil {
			t.Fatalf("SIGTERM: %v\n%s", err, c.text())
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("SIGTERM did not stop it:\n%s", c.text())
	}
}

func get(t *testing.T, url string, v any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	if s, ok := v.(*string); ok {
		*s = string(b)
		return
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v: %.300s", url, err, b)
	}
}

// The printed dig and curl lines work as they stand, in a shell, and the
// contacts that they make appear on the case's page.
func TestPastedLinesReachThePage(t *testing.T) {
	sh := peertest.Need(t, "sh", "dash")
	peertest.Need(t, "dig", "bind9-dnsutils")
	peertest.Need(t, "curl", "curl")
	dir := t.TempDir()
	c := start(t, dir, "--state", "tour", "demo", "--any-ports")
	c.waitFor(t, "Ctrl-C stops it")
	base := regexp.MustCompile(`http://127\.0\.0\.1:\d+/cases/APT35-2019`).FindString(c.text())
	if base == "" {
		t.Fatalf("no page is named:\n%s", c.text())
	}
	api := strings.Replace(base, "/cases/APT35-2019", "/api/v1/contacts?case=APT35-2019&limit=500", 1)
	count := func(part string) int {
		var raw string
		get(t, api, &raw)
		return strings.Count(raw, part)
	}
	lines := regexp.MustCompile(`(?m)^    \$ ((?:dig|curl) .*)$`).FindAllStringSubmatch(c.text(), -1)
	if len(lines) < 6 {
		t.Fatalf("only %d lines to paste:\n%s", len(lines), c.text())
	}
	before := count(`"127.0.0.0`) + count(`"src":"127.0.0.1`)
	for _, l := range lines {
		out, err := exec.Command(sh, "-c", l[1]).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", l[1], err, out)
		}
		want := map[string]string{"MX": "0 .", " A ": "127.53.0.53", "curl -i -H": "X-Sinkhole", "curl -ik": "X-Sinkhole", " NS ": "sinkhole", "/domain/": "objectClassName"}
		ok := false
		for in, text := range want {
			ok = ok || strings.Contains(l[1], in) && strings.Contains(strings.ToLower(string(out)), strings.ToLower(text))
		}
		if !ok {
			t.Errorf("%s: unexpected answer:\n%s", l[1], out)
		}
	}
	begun := time.Now()
	for range 200 {
		var page string
		get(t, base, &page)
		if count(`"127.0.0.0`)+count(`"src":"127.0.0.1`) >= before+4 {
			t.Logf("contacts of the pasted lines were there after %v", time.Since(begun).Round(time.Millisecond))
			c.stop(t)
			if !strings.Contains(c.text(), "stopping") {
				t.Errorf("it did not say that it stops:\n%s", c.text())
			}
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	var raw string
	get(t, api, &raw)
	t.Errorf("the contacts never appeared: %.2000s", raw)
}

// serve stops in order on SIGTERM and goes on with the same folder: contacts,
// orders and the log are all there, and it answers again.
func TestServeRestarts(t *testing.T) {
	dir := t.TempDir()
	tour := start(t, dir, "--state", "tour", "demo", "--once", "--any-ports")
	if err := <-tour.end; err != nil {
		t.Fatalf("%v\n%s", err, tour.text())
	}
	total := -1
	for round := range 3 {
		c := start(t, dir, "--state", "tour", "serve")
		c.waitFor(t, "stops in order")
		web := regexp.MustCompile(`listening: web (http://[^ \n]+)`).FindStringSubmatch(c.text())
		httpAt := regexp.MustCompile(`listening: http ([^ \n]+)`).FindStringSubmatch(c.text())
		if web == nil || httpAt == nil {
			t.Fatalf("it does not say where it listens:\n%s", c.text())
		}
		q, err := http.NewRequest("GET", "http://"+httpAt[1]+fmt.Sprintf("/round-%d", round), nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = "outlook-verify.net"
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("X-Sinkhole") == "" {
			t.Errorf("round %d: %s", round, resp.Status)
		}
		if round == 1 { // the second time it dies instead
			if err := c.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-c.end
		} else {
			c.stop(t)
			if !strings.Contains(c.text(), "nothing is lost") {
				t.Errorf("it did not stop in order:\n%s", c.text())
			}
		}
		list := start(t, dir, "--state", "tour", "sinkhole", "events")
		if err := <-list.end; err != nil {
			t.Fatal(err)
		}
		n := strings.Count(list.text(), "\n")
		if total >= 0 && n != total+1 {
			t.Errorf("round %d: %d events in the journal, want %d", round, n, total+1)
		}
		total = n
		if !strings.Contains(list.text(), fmt.Sprintf("/round-%d", round)) {
			t.Errorf("round %d: its own contact is not in the journal", round)
		}
	}
	v := start(t, dir, "--state", "tour", "evidence", "verify")
	if err := <-v.end; err != nil {
		t.Errorf("the evidence does not verify: %v\n%s", err, v.text())
	}
}

// A port in use is said plainly, and nothing is left half started.
func TestPortInUse(t *testing.T) {
	dir := t.TempDir()
	for _, listen := range []string{"web", "dns", "http", "smtp"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		doc := fmt.Sprintf("web: %s\n", l.Addr())
		if listen != "web" {
			doc = fmt.Sprintf("sinkhole:\n  listen: [%s://%s]\n", listen, l.Addr())
		}
		if err := os.WriteFile(filepath.Join(dir, listen+".yaml"), []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		c := start(t, dir, "--state", "st-"+listen, "--config", listen+".yaml", "serve")
		if err := <-c.end; err == nil {
			t.Errorf("%s: it started on a port in use", listen)
		}
		if !strings.Contains(c.text(), l.Addr().String()) || !strings.Contains(c.text(), "in use") || !strings.Contains(c.text(), "\n         ") {
			t.Errorf("%s: what, where and cure are not all said:\n%s", listen, c.text())
		}
		l.Close()
	}
	c := start(t, dir, "--state", "empty", "serve")
	if err := <-c.end; err == nil || !strings.Contains(c.text(), "names nothing to serve") {
		t.Errorf("an empty configuration: %v\n%s", err, c.text())
	}
}
