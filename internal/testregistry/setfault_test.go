package testregistry

import (
	"strings"
	"testing"
	"time"
)

func TestSetFault(t *testing.T) {
	f := Faults{Seed: 7}
	for _, s := range []string{"DropAfter=1", "lock=0.25", "RDAPLag=2s", "join=true", "CertFor=240h"} {
		if err := f.Set(s); err != nil {
			t.Error(err)
		}
	}
	if want := (Faults{Seed: 7, DropAfter: 1, Lock: 0.25, RDAPLag: 2 * time.Second, Join: true, CertFor: 240 * time.Hour}); f != want {
		t.Errorf("%+v, want %+v", f, want)
	}
	for s, want := range map[string]string{
		"": "no fault", "nosuch=1": "no fault", "seed=4": "no fault", "DropAfter": "a rate", "DropAfter=2": "a rate", "DropAfter=NaN": "a rate",
		"RDAPLag=2": "a duration", "Join=perhaps": "true or false",
	} {
		if err := f.Set(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

// A bad day has all of what a client has to bear. What it has not, a client can't
// bear alone: a person must see to a lock that somebody set, and to a denial.
func TestHostileHasAllFaults(t *testing.T) {
	f := Hostile(3)
	if f.Lock != 0 || f.PendingDeny != 0 {
		t.Errorf("%+v", f)
	}
	if f.Seed != 3 || f.DropBefore == 0 || f.DropAfter == 0 || f.Fail2400 == 0 || f.Fail2502 == 0 || f.Pending == 0 || f.SlowGreeting == 0 || f.Split == 0 || !f.Join ||
		f.ReorderPoll == 0 || f.RDAPFail == 0 || f.WHOISFail == 0 || f.RDAPLag == 0 || f.ZoneLag == 0 || f.ClockSkew == 0 || f.CertFor == 0 {
		t.Errorf("%+v lacks a fault", f)
	}
}
