package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app/sensor"
	"github.com/impound/impound/internal/telemetry"
)

// AlarmGap says that a sensor answered but could not record.
const AlarmGap = "gap"

// gapNews is how long a gap that ended stays an alarm. In every report and
// picture of its time it stays for good.
const gapNews = 7 * 24 * time.Hour

// Gaps gives every time in which a sensor answered but could not record, oldest
// first, the one that is open right now as well.
func (s *System) Gaps(ctx context.Context) ([]impound.Gap, error) {
	gs, err := s.Telemetry.Gaps(ctx, time.Time{}, time.Time{})
	if err != nil {
		return nil, err
	}
	// What runs leaves its status in the state folder, for other processes too.
	if st, err := sensor.ReadStatus(s.opt.State); err == nil {
		gs = addOpen(gs, st)
	}
	s.servingMu.Lock()
	v := s.serving
	s.servingMu.Unlock()
	if v != nil && v.hubSrv != nil {
		for _, st := range v.hubSrv.statuses() {
			gs = addOpen(gs, st)
		}
	}
	slices.SortStableFunc(gs, func(a, b impound.Gap) int { return a.From.Compare(b.From) })
	return gs, nil
}

// addOpen adds the gap that a sensor says is open, unless its event came.
func addOpen(gs []impound.Gap, st sensor.Status) []impound.Gap {
	from := st.Spool.GapSince.UTC()
	if !st.Spool.Gap || slices.ContainsFunc(gs, func(g impound.Gap) bool {
		return g.Sensor == st.Sensor && g.From.Truncate(time.Microsecond).Equal(from.Truncate(time.Microsecond))
	}) {
		return gs
	}
	return append(gs, impound.Gap{Sensor: st.Sensor, From: from, Missing: int(min(st.Spool.GapLost, 1<<31))})
}

func (d desk) Gaps(ctx context.Context) ([]impound.Gap, error) { return d.s.Gaps(ctx) }

// gapAlarms is a line for each gap that is open or news.
func (s *System) gapAlarms(ctx context.Context) ([]Alarm, error) {
	gs, err := s.Gaps(ctx)
	if err != nil {
		return nil, err
	}
	var out []Alarm
	now := s.now()
	for _, g := range gs {
		a := Alarm{Kind: AlarmGap, At: g.From, Cmd: "impound contacts gaps"}
		switch {
		case g.To.IsZero():
			a.Text = fmt.Sprintf("sensor %s RECORDS NOTHING since %s: its spool is full, at least %d contacts are missing", g.Sensor, stamp(g.From), g.Missing)
			a.Cure = "make room on its disk, ship what it holds, or raise sinkhole: max_spool_mb:"
		case now.Sub(g.To) < gapNews:
			a.Text = fmt.Sprintf("sensor %s could not record from %s to %s: at least %d contacts are missing", g.Sensor, stamp(g.From), stamp(g.To), g.Missing)
			a.Cure = "every report of that time says so"
		default:
			continue
		}
		out = append(out, a)
	}
	return out, nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// leaveStatus leaves the status of this process's own sensor in the state folder,
// and records when recording stopped and when it went on.
func (s *System) leaveStatus(ctx context.Context, v *serving) {
	st := sensor.Status{Sensor: s.sensorID(), At: s.now().UTC(), Listeners: v.sink.Addrs(), Stats: v.sink.Stats(), Spool: v.spool.Stats()}
	if p := v.sink.Policy(); p != nil {
		st.Serial, st.Hash, st.Made, st.NotAfter, st.Names = p.Serial(), p.Hash(), p.Made(), p.NotAfter(), p.Len()
		st.Lapsed = !st.At.Before(p.NotAfter())
	}
	if err := sensor.WriteStatus(s.opt.State, st); err != nil {
		s.log.Warn("couldn't leave the sensor's status", "err", err)
	}
	gap := st.Spool.Gap
	if gap == v.gap && (gap || st.Spool.Dropped == v.dropped) {
		return
	}
	d := map[string]string{"sensor": st.Sensor, "since": stamp(st.Spool.GapSince), "lost": fmt.Sprint(st.Spool.Dropped)}
	if gap {
		d["text"] = fmt.Sprintf("sensor %s records nothing since %s: its spool is full; it goes on answering", st.Sensor, d["since"])
		s.log.Error("RECORDING STOPPED: contacts are answered but not kept", "sensor", st.Sensor, "since", d["since"])
	} else {
		d["text"] = fmt.Sprintf("sensor %s records again; %d contacts since it started were answered and not recorded, the last gap began %s", st.Sensor, st.Spool.Dropped, d["since"])
	}
	if _, err := s.Evidence.Append(ctx, impound.Entry{Type: impound.EntrySystem, At: st.At, By: "system", What: "sinkhole.gap", Detail: d}); err != nil {
		s.log.Error("couldn't record a gap", "err", err)
		return
	}
	v.gap, v.dropped = gap, st.Spool.Dropped
}

// gapsOf gives the gaps that touch orders: what is counted under them in that
// time is too little.
func (s *System) gapsOf(ctx context.Context, orders []impound.Order) ([]impound.Gap, error) {
	all, err := s.Gaps(ctx)
	if err != nil {
		return nil, err
	}
	var out []impound.Gap
	for _, g := range all {
		if slices.ContainsFunc(orders, func(o impound.Order) bool { return g.Overlaps(o.From, o.Until) }) {
			out = append(out, g)
		}
	}
	return out, nil
}

// GapsIn gives the gaps that touch the time that f chooses, for summaries.
func (s *System) GapsIn(ctx context.Context, f telemetry.Filter) ([]impound.Gap, error) {
	all, err := s.Gaps(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(g impound.Gap) bool { return !g.Overlaps(f.From, f.To) }), nil
}
