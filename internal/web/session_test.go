package web

import (
	"testing"
	"time"
)

// A session ends after an hour without a click, after twelve hours however much
// is clicked, when the clock went back, and when it is ended; that an open page
// follows what happens is no click.
func TestSessionsEnd(t *testing.T) {
	t0 := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		clicks []time.Duration // since the login, each finds it
		live   []time.Duration
		at     time.Duration
		stands bool
	}{
		"at once":            {at: 0, stands: true},
		"just in time":       {at: time.Hour - time.Second, stands: true},
		"idle":               {at: time.Hour},
		"clicked in between": {clicks: []time.Duration{50 * time.Minute}, at: 100 * time.Minute, stands: true},
		"only followed":      {live: []time.Duration{30 * time.Minute, 50 * time.Minute}, at: time.Hour},
		"a day's work":       {clicks: []time.Duration{50 * time.Minute, 100 * time.Minute, 150 * time.Minute, 200 * time.Minute, 250 * time.Minute, 300 * time.Minute, 350 * time.Minute, 400 * time.Minute, 450 * time.Minute, 500 * time.Minute, 550 * time.Minute, 600 * time.Minute, 650 * time.Minute, 700 * time.Minute}, at: 12 * time.Hour},
		"the clock went":     {at: -2 * time.Minute},
	} {
		var x sessions
		secret := x.begin("eve", "stamp", t0)
		for _, d := range c.clicks {
			if _, ok := x.find(secret, t0.Add(d), true); !ok {
				t.Fatalf("%s: it ended at %s", name, d)
			}
		}
		for _, d := range c.live {
			x.find(secret, t0.Add(d), false)
		}
		if s, ok := x.find(secret, t0.Add(c.at), true); ok != c.stands || ok && s.person != "eve" {
			t.Errorf("%s: stands %t", name, ok)
		}
		if _, ok := x.find(secret+"x", t0, true); ok {
			t.Errorf("%s: another secret opens", name)
		}
		x.end(secret)
		if _, ok := x.find(secret, t0, true); ok {
			t.Errorf("%s: it stands after it was ended", name)
		}
	}
	var x sessions
	a, b := x.begin("eve", "s", t0), x.begin("eve", "s", t0)
	sa, _ := x.find(a, t0, true)
	sb, _ := x.find(b, t0, true)
	if a == b || sa.csrf == sb.csrf || sa.csrf == "" {
		t.Error("two logins share a secret")
	}
}
