package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"time"

	"github.com/impound/impound/internal/watch/match"
)

// twist measures how many variants a second of CPU time gives, and dnstwist in
// the same run: its start is taken off.
func (b *bench) twist() error {
	names := []string{"example.org", "telegram.org", "microsoft.com", "mufg.jp", "kuronekoyamato.co.jp"}
	made, t := 0, cpu()
	for cpu()-t < time.Second {
		for _, n := range names {
			vs, err := match.Twist(n)
			if err != nil {
				return err
			}
			made += len(vs)
		}
	}
	ours := float64(made) / (cpu() - t).Seconds()
	report("variants per second and core, impound twist", ours, "names/s", 0, true)
	bin, err := exec.LookPath("dnstwist")
	if err != nil {
		fmt.Println("no dnstwist here: apt-get install dnstwist")
		return nil
	}
	run := func(args ...string) (int, time.Duration, error) {
		c := exec.Command(bin, args...)
		out, err := c.Output()
		if err != nil {
			return 0, 0, fmt.Errorf("dnstwist %v: %w", args, err)
		}
		return bytes.Count(out, []byte{'\n'}), c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
	}
	// Its start-up: the least of three, with the fuzzer that makes the fewest.
	var start time.Duration
	for range 3 {
		_, d, err := run("-f", "list", "--fuzzers", "vowel-swap", names[0])
		if err != nil {
			return err
		}
		if start == 0 || d < start {
			start = d
		}
	}
	theirs, took := 0, time.Duration(0)
	for _, n := range names {
		k, d, err := run("-f", "list", n)
		if err != nil {
			return err
		}
		theirs += k
		took += max(d-start, time.Millisecond)
	}
	report("the same, dnstwist in the same run, its start taken off", float64(theirs)/took.Seconds(), "names/s", 0, true)
	report("times as many variants per CPU second as dnstwist", ours/(float64(theirs)/took.Seconds()), "x", 1, true)
	return nil
}
