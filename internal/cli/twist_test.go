package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/watch/match"
)

// twistZone is what our name server knows.
var twistZone = map[string][]string{
	"exmple.org.":  {"exmple.org. NS ns2.host.example.", "exmple.org. NS ns1.host.example.", "exmple.org. A 192.0.2.7", "exmple.org. A 192.0.2.5", "exmple.org. MX 10 mail.host.example."},
	"exampl.org.":  {"exampl.org. AAAA 2001:db8::7"},
	"examlpe.org.": {"examlpe.org. NS ns1.host.example."},
	// Of those, servers are asked: one that is the original's page nearly, and takes
	// any mail; one that is another page, and takes none.
	"sampl.org.":  {"sampl.org. NS ns1.host.example.", "sampl.org. A 127.0.0.74", "sampl.org. MX 10 127.0.0.74."},
	"smple.org.":  {"smple.org. NS ns1.host.example.", "smple.org. A 127.0.0.75", "smple.org. MX 10 127.0.0.75."},
	"sample.org.": {"sample.org. NS ns1.host.example.", "sample.org. A 127.0.0.76"},
}

// twistServer starts a name server at addr, over UDP, and gives its address. asked
// is called with each name before it is answered.
func twistServer(t *testing.T, addr string, asked ...func(name string)) (string, error) {
	t.Helper()
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		return "", err
	}
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		name := strings.ToLower(q.Question[0].Name)
		for _, f := range asked {
			f(strings.TrimSuffix(name, "."))
		}
		rrs, ok := twistZone[name]
		switch {
		case name == "xample.org.":
			m.Rcode = dns.RcodeServerFailure
		case !ok:
			m.Rcode = dns.RcodeNameError
		}
		for _, s := range rrs {
			rr, err := dns.NewRR(s)
			if err == nil && rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
	return pc.LocalAddr().String(), nil
}

// twistRun runs impound twist in this process.
func twistRun(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out, errs bytes.Buffer
	sys := OS()
	sys.Out, sys.Err = &out, &errs
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	code := Main(ctx, append([]string{"twist"}, args...), sys)
	if code != 0 {
		return errs.String(), code
	}
	return out.String(), 0
}

func TestTwistLooksNamesUp(t *testing.T) {
	t.Parallel()
	addr, err := twistServer(t, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got, code := twistRun(t, "-r", "-f", "csv", "--fuzzers", "omission,transposition", "--nameservers", addr, "example.org")
	want := "fuzzer,domain,dns_a,dns_aaaa,dns_mx,dns_ns\n" +
		"omission,xample.org,!ServFail,!ServFail,,!ServFail\n" +
		"omission,exmple.org,192.0.2.5,,mail.host.example,ns1.host.example\n" +
		"omission,exampl.org,,2001:db8::7,,\n" +
		"transposition,examlpe.org,,,,ns1.host.example\n"
	if d := cmp.Diff(want, got); d != "" || code != 0 {
		t.Errorf("exit %d\n%s", code, d)
	}
	got, _ = twistRun(t, "-u", "-f", "csv", "--fuzzers", "omission", "--nameservers", addr, "example.org")
	if strings.Contains(got, "exmple.org") || !strings.Contains(got, "omission,eample.org\n") {
		t.Errorf("unregistered:\n%s", got)
	}
	file := filepath.Join(t.TempDir(), "out.json")
	words := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(words, []byte("# ours\nSecure\n\nzone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, code := twistRun(t, "-a", "-f", "json", "-o", file, "-d", words, "--fuzzers", "dictionary,omission", "--nameservers", addr, "example.org"); got != "" || code != 0 {
		t.Errorf("exit %d, %s", code, got)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{`"192.0.2.5",`, `"192.0.2.7"`, `"secure-example.org"`, `"examplezone.org"`} {
		if !strings.Contains(string(b), s) {
			t.Errorf("%s lacks %s", b, s)
		}
	}
	for args, say := range map[string]string{
		"--fuzzers nonsense example.org": "no fuzzer", "-r -u example.org": "exclude", "-t 0 example.org": "--threads",
		"-r --nameservers ns.example example.org": "is none", "--nameservers https://d.example?x example.org": "https://192.0.2.53/dns-query",
		"--lsh=tlsh example.org": "leave =tlsh out", "--useragent x\x7f example.org": "printable", "--screenshots /no example.org": "needs --phash", "-b -f list example.org": "csv",
		"-r -f list example.org": "csv", "-d /no/file example.org": "/no/file",
	} {
		if got, code := twistRun(t, strings.Fields(args)...); code == 0 || !strings.Contains(got, say) {
			t.Errorf("%s: exit %d, %s", args, code, got)
		}
	}
	// A server that isn't there is an error, and soon.
	dead := peertest.Addr(t)
	if got, code := twistRun(t, "-r", "--nameservers", dead, "example.org"); code == 0 || !strings.Contains(got, "no name server answers") {
		t.Errorf("exit %d, %s", code, got)
	}
}

// The real dnstwist makes the same of the same name server.
func TestTwistLikeDnstwist(t *testing.T) {
	t.Parallel()
	bin := peertest.Need(t, "dnstwist", "dnstwist")
	list := func(fuzzer string) []string {
		out, err := exec.CommandContext(t.Context(), bin, "-f", "list", "--fuzzers", fuzzer, "example.org").Output()
		if err != nil {
			t.Fatalf("%s: %v", fuzzer, err)
		}
		return strings.Fields(string(out))
	}
	vs, err := match.Twist("example.org")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, v := range vs {
		all = append(all, v.Name)
	}
	// Of homoglyphs it makes other ones, and two at a time.
	for _, f := range []string{"addition", "bitsquatting", "hyphenation", "insertion", "omission", "repetition", "replacement", "subdomain", "transposition", "vowel-swap"} {
		theirs, missed := list(f), []string{}
		for _, n := range theirs {
			if !slices.Contains(all, n) {
				missed = append(missed, n)
			}
		}
		if len(missed)*20 > len(theirs) {
			t.Errorf("%s: of dnstwist's %d we lack %d, such as %v", f, len(theirs), len(missed), missed[:min(8, len(missed))])
		}
	}
	// dnstwist takes no port.
	_, err = twistServer(t, "127.0.0.73:53")
	peertest.NeedThat(t, "a name server at 127.0.0.73, port 53", err == nil, "run the tests as root")
	read := func(b []byte) map[string]string {
		var list []map[string]any
		if err := json.Unmarshal(b, &list); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		out := map[string]string{}
		for _, x := range list {
			s, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			out[x["domain"].(string)] = string(s)
		}
		return out
	}
	args := []string{"-r", "-a", "-f", "json", "--fuzzers", "omission,transposition", "--nameservers", "127.0.0.73", "example.org"}
	theirs, err := exec.CommandContext(t.Context(), bin, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	ours, code := twistRun(t, args...)
	if code != 0 {
		t.Fatal(ours)
	}
	if d := cmp.Diff(read(theirs), read([]byte(ours))); d != "" {
		t.Errorf("other than dnstwist's:\n%s", d)
	}
	args[3] = "csv"
	if theirs, err = exec.CommandContext(t.Context(), bin, args...).Output(); err != nil {
		t.Fatal(err)
	}
	ours, _ = twistRun(t, args...)
	if d := cmp.Diff(string(theirs), ours); d != "" { // in the same order
		t.Errorf("other than dnstwist's:\n%s", d)
	}
	// What people get is defanged, and on a terminal has headings.
	args[3] = "cli"
	if theirs, err = exec.CommandContext(t.Context(), bin, args...).Output(); err != nil {
		t.Fatal(err)
	}
	ours, _ = twistRun(t, args...)
	ours = strings.ReplaceAll(ours, "[.]", ".")
	words := func(s string) (out []string) {
		for line := range strings.Lines(s) {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
		return out
	}
	if d := cmp.Diff(words(string(theirs)), words(ours)); d != "" {
		t.Errorf("other than dnstwist's:\n%s", d)
	}
	args = []string{"-f", "list", "--fuzzers", "*original,omission,transposition", "example.org"}
	if theirs, err = exec.CommandContext(t.Context(), bin, args...).Output(); err != nil {
		t.Fatal(err)
	}
	if ours, _ = twistRun(t, args...); ours != string(theirs) {
		t.Errorf("other than dnstwist's: %s", cmp.Diff(string(theirs), ours))
	}
}
