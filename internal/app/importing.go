package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/spool"
)

// Imported is what an import of a sensor's spool did.
type Imported struct {
	Sensor  string `json:"sensor"`
	Read    int    `json:"read"`    // events in the folder behind what was shipped
	New     int    `json:"new"`     // of these, those that telemetry had not
	Last    uint64 `json:"last"`    // newest number read
	Shipped uint64 `json:"shipped"` // the sensor may delete up to here
	Damaged uint64 `json:"damaged"` // stretches and segments that could not be read
	Holes   []Hole `json:"holes,omitempty"`
}

// Hole is a leap of the numbers: after Before comes After.
type Hole struct {
	Before uint64 `json:"before"`
	After  uint64 `json:"after"`
}

// ImportSpool takes a copy of a sensor's spool folder into telemetry, each event
// exactly once however often it comes. name "" is whom the events say; it must be
// enrolled, and every event must be of that one sensor: a copy of one site must not
// speak for another.
//
// Where the numbers leap, a file may not have been copied: what is there is
// taken, but the sensor is not told that it may delete what lies behind the leap,
// unless leaps are accepted (a power cut at the sensor leaps, too).
func (s *System) ImportSpool(ctx context.Context, name, dir string, accept bool) (Imported, error) {
	var im Imported
	if err := s.may(ctx, "ImportSpool", ""); err != nil {
		return im, err
	}
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return im, impound.Errorf(impound.KindInvalid, "is no folder").At(dir).WithCure("copy the sensor's whole spool folder here, for example with rsync -a")
	}
	r, err := spool.OpenReader(dir)
	if err != nil {
		return im, err
	}
	defer r.Close()
	all, err := s.EnrolledSensors(ctx)
	if err != nil {
		return im, err
	}
	if name == "" {
		evs, err := r.Read(0, 1)
		if err != nil {
			return im, err
		}
		if len(evs) == 0 {
			return im, impound.Errorf(impound.KindInvalid, "holds no event").At(dir).WithCure("name the spool folder itself")
		}
		name = evs[0].Sensor
	}
	known := false
	for _, n := range all {
		known = known || n.Name == name
	}
	if !known {
		return im, impound.Errorf(impound.KindRefused, "the events are of %q, which is not enrolled", clipText(name)).At(dir).WithCure("impound sensor list shows who is")
	}
	im.Sensor, im.Shipped = name, s.shippedOf(name)
	after, gapless := im.Shipped, true
	for {
		evs, err := r.Read(after, ingestBatch)
		if err != nil {
			return im, err
		}
		if len(evs) == 0 {
			break
		}
		for _, ev := range evs {
			if ev.Sensor != name {
				return im, impound.Errorf(impound.KindRefused, "event %d is of %q, not of %s", ev.Seq, clipText(ev.Sensor), name).At(dir).WithCure("import each sensor's spool from a folder of its own")
			}
			if im.Last != 0 && ev.Seq != im.Last+1 || im.Last == 0 && im.Shipped != 0 && ev.Seq != im.Shipped+1 {
				im.Holes = append(im.Holes, Hole{max(im.Last, im.Shipped), ev.Seq})
				gapless = gapless && accept
			}
			im.Last = ev.Seq
			if gapless {
				im.Shipped = ev.Seq
			}
		}
		n, err := s.Telemetry.Ingest(ctx, evs)
		if err != nil {
			return im, err
		}
		im.Read, im.New, after = im.Read+len(evs), im.New+n, im.Last
	}
	im.Damaged = r.Corrupt()
	if im.Read == 0 {
		return im, nil
	}
	if err := s.setShipped(name, im.Shipped); err != nil {
		return im, err
	}
	_, err = s.Evidence.Append(ctx, impound.Entry{Type: impound.EntrySystem, At: s.now().UTC(), By: "system", What: "sinkhole.import", Detail: map[string]string{
		"text": fmt.Sprintf("%d events of sensor %s were taken in, %d of them new", im.Read, name, im.New), "sensor": name, "last": fmt.Sprint(im.Last), "shipped": fmt.Sprint(im.Shipped), "holes": fmt.Sprint(len(im.Holes)), "damaged": fmt.Sprint(im.Damaged),
	}})
	return im, err
}

// shippedOf is up to which number a sensor's events stand safely here, without a
// leap that nobody accepted.
func (s *System) shippedOf(name string) uint64 {
	b, err := os.ReadFile(s.path("sensors", name, "shipped"))
	if err != nil {
		return 0 // then everything is asked for again, which does no harm
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n
}

func (s *System) setShipped(name string, n uint64) error {
	dir := s.path("sensors", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't note what was shipped: %w", err)
	}
	f, err := os.CreateTemp(dir, ".shipped-*")
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't note what was shipped: %w", err)
	}
	_, err = fmt.Fprintln(f, n)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, "shipped"))
	}
	if err != nil {
		os.Remove(f.Name())
		return impound.Errorf(impound.KindUnavailable, "couldn't note what was shipped: %w", err)
	}
	return nil
}
