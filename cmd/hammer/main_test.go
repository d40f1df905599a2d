package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole"
	"github.com/impound/impound/internal/sinkhole/policy"
)

func TestMain(m *testing.M) {
	if os.Getenv("HAMMER_TEST") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), "HAMMER_TEST=1")
	return c
}

// hit runs the real command.
func hit(t *testing.T, args ...string) report {
	t.Helper()
	c := command(append(args, "-json")...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, errs.String())
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return r
}

// tally counts what a sinkhole records.
type tally struct {
	mu    sync.Mutex
	total uint64
	types map[uint16]int
	names map[string]bool
	conns map[string]bool
}

func (c *tally) Append(e *impound.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	c.types[e.QType]++
	if e.Outcome == "answered" {
		c.names[e.Name] = true
		c.conns[e.Src.String()] = true
	}
	return nil
}

type ring map[string]impound.Person

func (r ring) Person(id string) (impound.Person, bool) { p, ok := r[id]; return p, ok }

// target starts our sinkhole, in force for outlook-verify.net.
func target(t *testing.T) (*sinkhole.Sinkhole, *tally) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	o := &impound.Order{
		Format: impound.OrderFormat, ID: "O-1", Case: "C1", Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Court", Docket: "1", CallBack: "+1 555 0100"},
		Issued:    now.Add(-time.Hour), From: now.Add(-time.Hour), Until: now.Add(time.Hour), AtEnd: "release",
		Parties:    impound.Parties{Requesting: "Us", Technical: "tech@example.com"},
		Recipient:  impound.Recipient{Name: "Registry", Role: "registry"},
		Acts:       impound.Acts{Sinkhole: true, RemoveDS: true, Nameservers: []impound.Name{impound.MustName("ns1.sink.example"), impound.MustName("ns2.sink.example")}},
		Sinkhole:   impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 30},
		Appendices: []impound.Appendix{{ID: "A", Count: 1, Names: []impound.OrderName{{Name: impound.MustName("outlook-verify.net")}}}},
	}
	keys := ring{}
	for i, who := range []string{"ann", "bob"} {
		k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		keys[who] = impound.Person{ID: who, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(k.Public().(ed25519.PublicKey))}
		o.Signatures = append(o.Signatures, impound.Sign(k, impound.SignOrder, o.Hash(), who, now))
	}
	m, err := o.Authorize(keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	hub := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	b, err := policy.Build([]*impound.Mandate{m}, policy.Options{Key: hub, Serial: 1, Now: now, Answer: policy.Answer{A: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, NS: o.Acts.Nameservers}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Open(b.Data, impound.NewPublicKey(hub.Public().(ed25519.PublicKey)), 0, now)
	if err != nil {
		t.Fatal(err)
	}
	c := &tally{types: map[uint16]int{}, names: map[string]bool{}, conns: map[string]bool{}}
	s, err := sinkhole.New(sinkhole.Config{Sensor: "s1", Listeners: []string{"dns://127.0.0.1:0", "http://127.0.0.1:0", "https://127.0.0.1:0"}, Recorder: c, Policy: p, Limits: sinkhole.Limits{DNSPerSecond: -1, ConnsPerSource: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s, c
}

// What it counts is what the server saw.
func TestFloodCounts(t *testing.T) {
	s, c := target(t)
	r := hit(t, "-addr", s.Addrs()["dns"][0], "-for", "300ms", "-sockets", "2", "-window", "32", "-pid", fmt.Sprint(os.Getpid()))
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Answered == 0 || r.Sent != r.Answered+r.Lost || c.total < r.Answered || c.total > r.Sent || r.Lost == 0 && c.total != r.Sent {
		t.Errorf("%+v, and the server saw %d", r, c.total)
	}
	if r.NoError != r.Answered || r.Truncated == 0 || r.Truncated > r.Answered/2 {
		t.Errorf("%+v: all are in force, and over UDP the long answers are cut", r)
	}
	if r.Seconds < 0.3 || r.PerSecond <= 0 || r.CPU <= 0 || r.PerCPU <= 0 {
		t.Errorf("%+v: times", r)
	}
	for _, m := range mix {
		if share := float64(c.types[m.qtype]) * 100 / float64(c.total); share < float64(m.share)/2 || share > float64(m.share)*1.5 {
			t.Errorf("type %d has %.1f of 100 questions, want %d", m.qtype, share, m.share)
		}
	}
	if len(c.conns) != 2 {
		t.Errorf("asked from %d sockets", len(c.conns))
	}
}

func TestRecordTellsEachAnswered(t *testing.T) {
	s, c := target(t)
	file := filepath.Join(t.TempDir(), "answered")
	r := hit(t, "-addr", s.Addrs()["dns"][0], "-for", "200ms", "-sockets", "2", "-record", file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	labels := strings.Split(string(b), "\n")
	if uint64(len(labels)) != r.NoError || r.NoError == 0 {
		t.Errorf("%d labels of %d answers", len(labels), r.NoError)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[string]bool{}
	for _, l := range labels {
		if seen[l] || !c.names[l+".outlook-verify.net"] {
			t.Fatalf("%q: twice, or never asked", l)
		}
		seen[l] = true
	}
}

// A busy machine may make it late for a question or two; it never asks more than
// it was told to.
func TestPacedKeepsItsRate(t *testing.T) {
	s, c := target(t)
	r := hit(t, "-addr", s.Addrs()["dns"][0], "-for", "500ms", "-rate", "200")
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Sent == 0 || r.Sent > 101 || c.total != r.Sent || r.Answered+r.Lost != r.Sent || r.P50 <= 0 || r.P99 < r.P50 {
		t.Errorf("%+v, and the server saw %d", r, c.total)
	}
}

func TestEchoIsAServer(t *testing.T) {
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.LocalAddr().String()
	l.Close()
	e := command("-mode", "echo", "-addr", at)
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { e.Process.Kill(); e.Wait() }()
	c, err := net.Dial("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]byte, 100)
	for range 500 { // until it listens
		c.Write([]byte("\x12\x34\x01rest"))
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := c.Read(got); err == nil {
			if string(got[:n]) != "\x12\x34\x81rest" {
				t.Fatalf("%q came back", got[:n])
			}
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	r := hit(t, "-addr", at, "-for", "200ms", "-sockets", "1")
	if r.Answered == 0 || r.Sent != r.Answered+r.Lost || r.NoError != r.Answered || r.Truncated != 0 {
		t.Errorf("%+v", r)
	}
}

func TestHandshakesAndIdle(t *testing.T) {
	s, c := target(t)
	r := hit(t, "-mode", "tls", "-addr", s.Addrs()["https"][0], "-for", "200ms", "-sockets", "2")
	c.mu.Lock()
	if r.Answered == 0 || r.Lost != 0 || uint64(len(c.conns)) != r.Answered {
		t.Errorf("%+v, and the server saw %d", r, len(c.conns))
	}
	clear(c.conns)
	c.mu.Unlock()
	for scheme, more := range map[string][]string{"http": nil, "https": {"-secure"}} {
		h := command(append([]string{"-mode", "idle", "-addr", s.Addrs()[scheme][0], "-n", "40"}, more...)...)
		out, err := h.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Start(); err != nil {
			t.Fatal(err)
		}
		if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Errorf("%s: %q", scheme, line)
		}
		h.Process.Signal(syscall.SIGTERM)
		if err := h.Wait(); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
		c.mu.Lock()
		if len(c.conns) != 40 {
			t.Errorf("%s: %d connections", scheme, len(c.conns))
		}
		clear(c.conns)
		c.mu.Unlock()
	}
}

// It floods nobody else's machine, and says what is wrong.
func TestRefusals(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there
	for want, args := range map[string][]string{
		"and this tool floods": {"-addr", "192.0.2.1:53"}, "no loopback or private address": {"-mode", "tls", "-addr", "198.51.100.1:443"},
		"couldn't read the address": {"-addr", "localhost:53"}, "no names": {"-names", empty}, "couldn't read the names": {"-names", empty + ".not"},
		"window must be": {"-window", "0"}, "no mode": {"-mode", "x"}, "couldn't read the processor time": {"-pid", "x"},
		"nobody listens": {"-addr", l.LocalAddr().String()},
	} {
		out, err := command(append(args, "-for", "50ms")...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v, %s; want %q", args, err, out, want)
		}
	}
}
