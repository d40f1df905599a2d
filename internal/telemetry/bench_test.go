package telemetry_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/telemetry"
	"github.com/impound/impound/internal/telemetry/telemetrytest"
)

// BenchmarkIngest takes batches of 1,000: half DNS, half HTTP from 200 sources.
func BenchmarkIngest(b *testing.B) {
	ctx := context.Background()
	db, err := telemetry.Open(ctx, filepath.Join(b.TempDir(), "t.db"), telemetry.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	seq := uint64(0)
	b.ResetTimer()
	for range b.N {
		evs := make([]impound.Event, 1000)
		for i := range evs {
			seq++
			evs[i] = telemetrytest.Event(seq, telemetrytest.T0.Add(time.Duration(seq)*10*time.Millisecond), fmt.Sprintf("10.%d.%d.%d", seq/50000%200, seq/250%200, seq/5%200), "a.example", "/", browser)
			if i%2 == 0 {
				evs[i].Proto, evs[i].Method, evs[i].Path, evs[i].UserAgent, evs[i].QType = impound.ProtoDNS, "", "", "", 1
			}
		}
		if n, err := db.Ingest(ctx, evs); err != nil || n != 1000 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.N*1000)/b.Elapsed().Seconds(), "events/s")
}
