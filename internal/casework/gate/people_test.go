package gate

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
)

func TestGatesOfHarm(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Input)
		gate   string
		want   impound.Outcome
		words  string
	}{
		{"no-ip: nobody measured", func(*Input) {}, G3, impound.GateUnknown, "nobody says"},
		{"held, not sinkholed", func(in *Input) { in.Order.Acts = impound.Acts{Hold: true} }, G3, impound.GatePass, "not sent to us"},
		{"no-ip: too many for it", func(in *Input) { in.Capacity = &Capacity{Measured: 199, Expected: 100, Servers: 2, At: t0} }, G3, impound.GateBlock, "lose their service"},
		{"enough", func(in *Input) { in.Capacity = &Capacity{Measured: 200, Expected: 100, Servers: 2, At: t0} }, G3, impound.GatePass, "more than twice"},
		{"seizedservers: one server", func(in *Input) { in.Capacity = &Capacity{Measured: 900, Expected: 100, Servers: 1, At: t0} }, G3, impound.GateWarn, "single point"},
		{"demand unknown", func(in *Input) { in.Capacity = &Capacity{Measured: 900, Servers: 2, At: t0} }, G3, impound.GateUnknown, "what the names draw"},
		{"3fn: nobody counted", func(*Input) {}, G4, impound.GateUnknown, "nobody counted"},
		{"3fn: thousands", func(in *Input) { in.Tenants = &Tenants{Hosts: 15000, Source: "passive DNS", At: t0} }, G4, impound.GateBlock, "15000 hosts"},
		{"a hundred", func(in *Input) { in.Tenants = &Tenants{Hosts: 100, Source: "passive DNS", At: t0} }, G4, impound.GateWarn, "whose"},
		{"few", func(in *Input) { in.Tenants = &Tenants{Hosts: 10, Source: "passive DNS", At: t0} }, G4, impound.GatePass, ""},
		{"avalanche: owner not told", func(in *Input) { in.Order.AtEnd = "restore" }, G10, impound.GateWarn, "impound case notice"},
		{"no way back", func(in *Input) { in.OwnerTold, in.Order.AtEnd = t0, "release" }, G10, impound.GateWarn, "doesn't say that it is restored"},
		{"neither", func(in *Input) { in.Order.AtEnd = "release" }, G10, impound.GateWarn, "no record"},
		{"told", func(in *Input) { in.OwnerTold, in.Order.AtEnd = t0, "restore" }, G10, impound.GatePass, "restores it"},
		{"dajaz1: contested", func(in *Input) { in.Contest = "contested since then" }, G13, impound.GateBlock, "contested"},
		{"nobody contests", func(*Input) {}, G13, impound.GatePass, ""},
		{"strontium: decided for us", func(in *Input) { in.Decided = "APT35's" }, G15, impound.GatePass, "APT35"},
		{"strontium: decided for another", func(in *Input) { in.Conflicts, in.Decided = []string{"X"}, "X's" }, G15, impound.GateBlock, "X's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := fine()
			c.change(&in)
			vs := Run(context.Background(), in, nil)
			for _, v := range vs {
				if v.Gate == c.gate && (v.Outcome != c.want || !strings.Contains(v.Reason, c.words)) {
					t.Errorf("want %s ...%s..., got %+v", c.want, c.words, v)
				}
			}
			if bl := Blocking(vs); (len(bl) > 0) != (c.want == impound.GateBlock) || len(Blocking(vs, c.gate)) > 0 {
				t.Errorf("blocking: %+v", bl)
			}
		})
	}
}

// 100,000 names through all offline gates take well under five seconds.
func BenchmarkGates(b *testing.B) {
	in := fine()
	in.Now = in.Now.Add(time.Second)
	for b.Loop() {
		Run(context.Background(), in, nil)
	}
}

func TestParseListDates(t *testing.T) {
	for version, want := range map[string]time.Time{
		"20250115": time.Date(2025, 1, 15, 0, 0, 0, 0, time.UTC), "26081010": t0, "2": t0, `"x"`: t0, "20991231": t0,
	} {
		info, names, err := ParseList("dynamic.json", []byte(`{"type":"hostname","version":`+version+`,"list":["a.example"]}`), t0)
		if err != nil || len(names) != 1 || !info.AsOf.Equal(want) {
			t.Errorf("version %s: %v as of %v, %v", version, names, info.AsOf, err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("dynamic.json", []byte(`{"name":"x","type":"hostname","version":20250115,"list":[".a.example","b.example"]}`))
	f.Add("hosting.txt", []byte("# x\na.example # y\n\xff\x00\n"))
	f.Add("top.list", []byte(`{"list":null}`))
	f.Fuzz(func(t *testing.T, file string, data []byte) {
		info, names, err := ParseList(file, data, t0)
		if err != nil && impound.KindOf(err) != impound.KindInvalid {
			t.Fatal(err)
		}
		if len(names) != info.Names || info.Names > info.Entries || info.AsOf.After(t0) {
			t.Fatalf("%+v, %d names", info, len(names))
		}
	})
}
