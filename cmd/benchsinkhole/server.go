package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
	"github.com/impound/impound/internal/spool"
)

// hubKey signs the benchmark's bundles. It is no secret: only servers that this
// program starts trust it.
var hubKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))

type ring map[string]impound.Person

func (r ring) Person(id string) (impound.Person, bool) { p, ok := r[id]; return p, ok }

// writeBundle makes a signed policy for the names, as an order with two
// approvers would have it.
func writeBundle(path string, names []string) error {
	now := time.Now().UTC().Truncate(time.Minute)
	o := &impound.Order{
		Format: impound.OrderFormat, ID: "BENCH-1", Case: "C1", Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Benchmark", Docket: "1:26-cv-1", CallBack: "+1 555 0100"},
		Issued:    now.Add(-time.Hour), From: now.Add(-time.Minute), Until: now.Add(24 * time.Hour), AtEnd: "release",
		Parties:   impound.Parties{Requesting: "Us", Technical: "tech@example.com"},
		Recipient: impound.Recipient{Name: "Registry", Role: "registry"},
		Acts:      impound.Acts{Sinkhole: true, RemoveDS: true, Nameservers: []impound.Name{impound.MustName("ns1.sink.example"), impound.MustName("ns2.sink.example")}},
		Sinkhole:  impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 30, Notice: "By order of the court.", Certificates: "self"},
	}
	a := impound.Appendix{ID: "A", Count: len(names)}
	for _, n := range names {
		name, err := impound.ParseName(n)
		if err != nil {
			return err
		}
		a.Names = append(a.Names, impound.OrderName{Name: name})
	}
	o.Appendices = []impound.Appendix{a}
	keys := ring{}
	for i, who := range []string{"ann", "bob"} {
		k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		keys[who] = impound.Person{ID: who, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(k.Public().(ed25519.PublicKey))}
		o.Signatures = append(o.Signatures, impound.Sign(k, impound.SignOrder, o.Hash(), who, now))
	}
	m, err := o.Authorize(keys, nil)
	if err != nil {
		return err
	}
	b, err := policy.Build([]*impound.Mandate{m}, policy.Options{Key: hubKey, Serial: 1, Now: time.Now(), Valid: 24 * time.Hour, Answer: policy.Answer{
		A: []netip.Addr{netip.MustParseAddr("192.0.2.80")}, AAAA: []netip.Addr{netip.MustParseAddr("2001:db8::80")},
		NS: []impound.Name{impound.MustName("ns1.sink.example"), impound.MustName("ns2.sink.example")}}})
	if err != nil {
		return err
	}
	if len(b.Refused) > 0 {
		return fmt.Errorf("the policy lacks %d names, such as %s: %w", len(b.Refused), b.Refused[0].Name.Defanged(), b.Refused[0].Err)
	}
	return os.WriteFile(path, b.Data, 0o600)
}

// events reads the whole spool and calls do with each.
func events(dir string, do func(*impound.Event)) (n int, err error) {
	r, err := spool.OpenReader(dir)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for after := uint64(0); ; {
		es, err := r.Read(after, 1<<16)
		if err != nil || len(es) == 0 {
			return n, err
		}
		for i := range es {
			do(&es[i])
		}
		n += len(es)
		after = es[len(es)-1].Seq
	}
}

// sealing fills a spool with n events of the traffic mix and seals it: events a
// second with all processors, and by processor second, octets an event.
func sealing(dir string, names []string, n int) (perSecond, perProcessor, perEvent float64, err error) {
	opt := spool.Options{Sensor: "bench", NoSeal: true}
	s, err := spool.Open(dir, opt)
	if err != nil {
		return 0, 0, 0, err
	}
	t := time.Now().Add(-time.Hour)
	for i := range n {
		e := realistic(names, i)
		e.At = t.Add(time.Duration(i) * 5 * time.Microsecond)
		if err := s.Append(&e); err != nil {
			return 0, 0, 0, err
		}
	}
	if err := s.Close(); err != nil {
		return 0, 0, 0, err
	}
	opt.NoSeal = false
	begin, cpu := time.Now(), processor()
	if s, err = spool.Open(dir, opt); err != nil {
		return 0, 0, 0, err
	}
	defer s.Close()
	// The newest journal stays open; all others are sealed.
	var took time.Duration
	for {
		left, err := filepath.Glob(filepath.Join(dir, "journal-*.jrn"))
		if err != nil {
			return 0, 0, 0, err
		}
		if len(left) <= 1 {
			took, cpu = time.Since(begin), processor()-cpu
			break
		}
		if time.Since(begin) > 2*time.Minute {
			return 0, 0, 0, fmt.Errorf("%d journals are not sealed after two minutes", len(left))
		}
		time.Sleep(2 * time.Millisecond)
	}
	segs, err := filepath.Glob(filepath.Join(dir, "seg-*.parquet"))
	if err != nil {
		return 0, 0, 0, err
	}
	var size, count int64
	for _, g := range segs {
		st, err := os.Stat(g)
		if err != nil {
			return 0, 0, 0, err
		}
		size += st.Size()
		f := strings.Split(filepath.Base(g), "-")
		var k int64
		if len(f) < 4 {
			continue
		}
		if _, err := fmt.Sscan(f[3], &k); err == nil {
			count += k
		}
	}
	if count == 0 {
		return 0, 0, 0, fmt.Errorf("nothing was sealed")
	}
	return float64(count) / took.Seconds(), float64(count) / cpu.Seconds(), float64(size) / float64(count), nil
}

// processor is the processor time of this process.
func processor() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
