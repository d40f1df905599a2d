package capture

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound/internal/peertest"
)

func init() {
	if len(os.Args) > 2 && os.Args[2] == "probe" && os.Getenv(jailStage) == "2" {
		os.Exit(probe())
	}
}

// probe stands in for the browser: it says what it sees from in there.
func probe() int {
	see := map[string]string{}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		see["status"] = err.Error()
	}
	for l := range strings.Lines(string(status)) {
		if k, v, ok := strings.Cut(l, ":"); ok && (strings.HasPrefix(k, "Cap") || k == "NoNewPrivs" || k == "Uid" || k == "Groups") {
			see[k] = strings.Join(strings.Fields(v), " ")
		}
	}
	names := func(dir string) string {
		es, err := os.ReadDir(dir)
		if err != nil {
			return err.Error()
		}
		var out []string
		for _, e := range es {
			out = append(out, e.Name())
		}
		return strings.Join(out, " ")
	}
	see["/"], see["/etc"], see["/tmp"] = names("/"), names("/etc"), names("/tmp")
	for _, d := range []string{"/usr", "/usr/bin", "/etc/fonts"} {
		f, err := os.CreateTemp(d, "x")
		if err == nil {
			f.Close()
			see["wrote"] = d
		}
	}
	if c, err := net.DialTimeout("tcp", "93.184.216.34:80", time.Second); err == nil {
		c.Close()
		see["net"] = "reached the world"
	} else {
		see["net"] = err.Error()
	}
	ifs, _ := net.Interfaces()
	for _, i := range ifs {
		see["interfaces"] += i.Name + " "
	}
	if err := unix.Mount("tmpfs", "/tmp", "tmpfs", 0, ""); err == nil {
		see["mount"] = "mounted"
	}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	see["processes"] = strconv.Itoa(len(procs))
	addr, err := giveListener()
	if err != nil {
		see["listener"] = err.Error()
	} else if c, err := net.Dial("tcp", addr); err == nil { // the parent answers
		_, _ = c.Write([]byte("GET http://127.0.0.1:22/ HTTP/1.1\r\nHost: x\r\n\r\n"))
		b := make([]byte, 200)
		n, _ := c.Read(b)
		see["proxy"] = string(b[:n])
	}
	b, err := json.Marshal(see)
	if err != nil {
		return 1
	}
	r, err := json.Marshal(reply{Notes: []string{string(b)}})
	if err != nil {
		return 1
	}
	_, _ = os.Stdout.Write(r)
	return 0
}

// When the capture is killed, the browser goes too.
func TestTheJailEndsWithItsParent(t *testing.T) {
	needBrowser(t)
	if os.Getenv("CAPTURE_VICTIM") != "" { // the process that is killed
		w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			_, _ = rw.Write([]byte(`<script>for(;;){}</script>`))
		}))
		w.cfg.Bounds.Browser = time.Minute
		w.take(t, Request{})
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestTheJailEndsWithItsParent$")
	cmd.Env = append(os.Environ(), "CAPTURE_VICTIM=1")
	must(t, cmd.Start())
	for i := 0; len(jailPids(cmd.Process.Pid)) == 0 && i < 400; i++ {
		time.Sleep(50 * time.Millisecond)
	}
	pids := jailPids(cmd.Process.Pid)
	if len(pids) == 0 {
		t.Error("no jail was started")
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for i := 0; i < 200; i++ {
		left := 0
		for _, p := range pids {
			if s, err := os.ReadFile("/proc/" + p + "/status"); err == nil && !strings.Contains(string(s), "State:\tZ") {
				left++
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("the jail outlives its parent: %v", pids)
}

// jailPids gives the children of a process.
func jailPids(parent int) []string {
	var out []string
	dirs, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, d := range dirs {
		if s, err := os.ReadFile(d); err == nil && strings.Contains(string(s), "PPid:\t"+strconv.Itoa(parent)+"\n") {
			out = append(out, filepath.Base(filepath.Dir(d)))
		}
	}
	return out
}

func TestWhatTheJailHolds(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(signIn)) }))
	w.cfg.Browser = BrowserConfig{Self: []string{JailCommand, "probe"}}
	c := w.capturer(t)
	tk := &take{Capturer: c, obs: c.cfg.Observe, bounds: c.cfg.Bounds.orDefault(), budget: newBudget(1 << 20), now: time.Now, home: name, req: Request{Name: name}}
	p, err := newFilterProxy(tk)
	must(t, err)
	r, err := tk.startJail(t.Context(), job{Time: 10 * time.Second}, p)
	if err != nil && strings.HasPrefix(err.Error(), errNoNamespaces.Error()) {
		peertest.NeedThat(t, "user namespaces", false, "allow them: sysctl kernel.unprivileged_userns_clone=1, or run as root: "+err.Error())
	}
	must(t, err)
	if len(r.Notes) != 1 {
		t.Fatalf("%+v", r)
	}
	see := map[string]string{}
	must(t, json.Unmarshal([]byte(r.Notes[0]), &see))
	for k, want := range map[string]string{
		"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapInh": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1",
		"Uid": "1000 1000 1000 1000", "/tmp": "", "wrote": "", "mount": "", "interfaces": "lo ", "processes": "1", "listener": "",
	} {
		if see[k] != want {
			t.Errorf("%s: %q, want %q", k, see[k], want)
		}
	}
	if os.Getuid() == 0 && see["Groups"] != "" {
		t.Errorf("groups of ours: %q", see["Groups"])
	}
	if !strings.Contains(see["net"], "unreachable") {
		t.Errorf("the world: %s", see["net"])
	}
	if !strings.Contains(see["proxy"], "403 Forbidden") {
		t.Errorf("the way out answers %q", see["proxy"])
	}
	for _, d := range strings.Fields(see["/"]) {
		switch d {
		case "bin", "dev", "etc", "lib", "lib32", "lib64", "opt", "proc", "sbin", "tmp", "usr", "var":
		default:
			t.Errorf("/%s is seen", d)
		}
	}
	for _, f := range strings.Fields(see["/etc"]) {
		switch f {
		case "fonts", "alternatives", "ld.so.cache", "passwd":
		default:
			t.Errorf("/etc/%s is seen", f)
		}
	}
}
