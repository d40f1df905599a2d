package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/impound/impound"
)

// anyEvent draws an event of any kind, mostly of what came before.
func anyEvent(t *rapid.T) *impound.Event {
	text := rapid.OneOf(rapid.Just(""), rapid.SampledFrom([]string{"a", "b.example", "x.b.example", "Ünïcode", "\xff\x00", "1.3,1.2"}), rapid.StringN(0, 20, 300))
	addr := rapid.Custom(func(t *rapid.T) netip.AddrPort {
		var a netip.Addr
		switch rapid.IntRange(0, 3).Draw(t, "family") {
		case 0:
			return netip.AddrPort{}
		case 1:
			a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: rapid.Byte().Draw(t, "v6")})
		default:
			a = netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "v4")})
		}
		return netip.AddrPortFrom(a, rapid.Uint16().Draw(t, "port"))
	})
	small := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 70000), rapid.Just(1<<31))
	zone := text.Draw(t, "zone")
	name := text.Draw(t, "name")
	if rapid.Bool().Draw(t, "below") {
		name += zone
	}
	word := func(list []string, label string) string {
		if rapid.IntRange(0, 9).Draw(t, "spelt") == 0 {
			return text.Draw(t, label)
		}
		return rapid.SampledFrom(list).Draw(t, label)
	}
	e := &impound.Event{
		At:    time.UnixMicro(rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(-1<<40, 1<<52)).Draw(t, "at")).UTC(),
		Proto: impound.Proto(word(protos, "proto")), Capture: impound.CaptureLevel(word(captures, "capture")), Outcome: word(outcomes, "outcome"),
		Src: addr.Draw(t, "src"), Dst: addr.Draw(t, "dst"), Name: name, Zone: zone,
		QType: rapid.Uint16().Draw(t, "qtype"), RCode: rapid.Byte().Draw(t, "rcode"), Opcode: rapid.Byte().Draw(t, "opcode"),
		Status: small.Draw(t, "status"), Len: small.Draw(t, "len"),
	}
	if rapid.Bool().Draw(t, "more") {
		for _, s := range []*string{&e.Order, &e.Method, &e.Path, &e.UserAgent, &e.Referer, &e.SNI, &e.ALPN, &e.JA4, &e.Helo,
			&e.FromDomain, &e.LureHash, &e.Lure, &e.Guess, &e.JA3, &e.TLS, &e.SenderHash, &e.RcptHash} {
			*s = text.Draw(t, "text")
		}
	}
	return e
}

// agree seals the records with both and has the library and our reader read both.
func agree(t testing.TB, p *columns, recs []record) {
	t.Helper()
	plain := &plainSealer{}
	p.begin("s1")
	plain.begin("s1")
	for i, r := range recs {
		a, aerr := p.add(r.seq, r.body)
		b, berr := plain.add(r.seq, r.body)
		if a != b || (aerr == nil) != (berr == nil) {
			t.Fatalf("record %d: %d %v, plain %d %v", i, a, aerr, b, berr)
		}
	}
	got, err := p.finish()
	if err != nil {
		t.Fatal(err)
	}
	want, err := plain.finish()
	if err != nil {
		t.Fatal(err)
	}
	a, err := parquet.Read[row](bytes.NewReader(got), int64(len(got)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := parquet.Read[row](bytes.NewReader(want), int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a, b) {
		t.Fatal(cmp.Diff(b, a))
	}
	events, err := decodeParquet(want)
	if err != nil {
		t.Fatal(err)
	}
	for i, data := range [][]byte{got, want} {
		rows, err := readParquet(data)
		if err != nil {
			t.Fatalf("our reader, file %d: %v", i, err)
		}
		mine := rows.read(0, len(events)+1, nil)
		if !slices.Equal(mine, events) {
			t.Fatalf("our reader, file %d: %s", i, cmp.Diff(events, mine, netips))
		}
	}
}

func TestColumnsAgreeOnAnyEvents(t *testing.T) {
	p := newColumns() // used again and again, as in the spool
	p.group = 20
	rapid.Check(t, func(rt *rapid.T) {
		var recs []record
		seq := uint64(0)
		for range rapid.IntRange(0, 60).Draw(rt, "events") {
			seq += rapid.OneOf(rapid.Just(uint64(1)), rapid.Uint64Range(1, 1<<50)).Draw(rt, "step")
			recs = append(recs, record{seq, encode(nil, anyEvent(rt))})
		}
		agree(t, p, recs)
	})
}

// More rows than a row group holds.
func TestColumnsManyRows(t *testing.T) {
	p := newColumns()
	p.group = 100
	for _, n := range []int{100, 101, 1234} {
		agree(t, p, records(n))
	}
}

// The schema is that of row.
func TestSchemaIsRows(t *testing.T) {
	data := seal(t, newColumns(), records(3))
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(parquet.SchemaOf(row{}).String(), f.Schema().String()); d != "" {
		t.Error(d)
	}
	g := f.RowGroups()[0]
	var names []string
	for _, s := range g.SortingColumns() {
		names = append(names, s.Path()[0])
	}
	if d := cmp.Diff([]string{"zone", "at", "seq"}, names); d != "" {
		t.Error(d)
	}
	at := f.Metadata().RowGroups[0].Columns[cAt].MetaData.Statistics
	if lo, hi := binary.LittleEndian.Uint64(at.MinValue), binary.LittleEndian.Uint64(at.MaxValue); lo >= hi || lo != uint64(event(0).At.UnixMicro()) {
		t.Errorf("times from %d to %d", lo, hi)
	}
}

// What is packed as differences can be read, also at the widest. (That the library
// reads it too, the others show.)
func TestDelta(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		wide := rapid.IntRange(0, 64).Draw(rt, "width")
		vs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) int64 {
			v := rapid.Int64().Draw(t, "v")
			if wide < 64 {
				v &= 1<<wide - 1
			}
			return v
		}), 1, 300).Draw(rt, "vs")
		b := appendDelta(nil, vs)
		got, _, err := readDelta(nil, b, len(vs))
		if err != nil || !slices.Equal(got, vs) {
			rt.Fatalf("%v: %v, want %v", err, got, vs)
		}
	})
	b := appendDelta(nil, []int64{math.MinInt64, math.MaxInt64, 0, -1})
	if got, _, err := readDelta(nil, b, 4); err != nil || !slices.Equal(got, []int64{math.MinInt64, math.MaxInt64, 0, -1}) {
		t.Error(got, err)
	}
	if _, _, err := readDelta(nil, b, 5); err == nil {
		t.Error("a page with too few values is taken")
	}
}

// FuzzColumns gives both sealers bodies of hostile octets.
func FuzzColumns(f *testing.F) {
	f.Add(encode(nil, full()), encode(nil, event(1)))
	f.Add([]byte{bodyV1}, []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		agree(t, newColumns(), []record{{1, a}, {2, b}, {3, a}, {9, encode(nil, event(3))}})
	})
}

// FuzzSegment reads segments of hostile octets: an error or events in order,
// within bounds.
func FuzzSegment(f *testing.F) {
	whole := seal(f, newColumns(), records(40))
	f.Add(whole)
	f.Add(seal(f, &plainSealer{}, records(40)))
	var odd []record
	for i, e := range []*impound.Event{full(), event(1), event(2), full()} {
		odd = append(odd, record{uint64(1 + i*i*i), encode(nil, e)})
	}
	f.Add(seal(f, newColumns(), odd))
	f.Add(seal(f, newColumns(), nil))
	f.Add(whole[:len(whole)-9])
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := readParquet(data)
		if err != nil {
			return
		}
		last := uint64(0)
		n := min(r.len(), 10_000)
		for i := range n {
			e := r.event(i)
			if i > 0 && e.Seq <= last {
				t.Fatalf("number %d after %d", e.Seq, last)
			}
			last = e.Seq
		}
		if n > 0 {
			r.read(r.seqAt(0), n, nil)
		}
	})
}

// Files that promise more than they hold are refused before memory is taken.
func TestHostileSegments(t *testing.T) {
	// A segment of three events, with pages added and its footer edited.
	forge := func(rows int, pages []byte, edit func(g *pqGroup, pagesAt int64)) []byte {
		p := newColumns()
		data := seal(t, p, records(3))
		end := len(data) - 8 - int(binary.LittleEndian.Uint32(data[len(data)-8:]))
		w := &p.w
		w.out = append(w.out[:end], pages...)
		w.groups[0].rows = rows
		if edit != nil {
			edit(&w.groups[0], int64(end))
		}
		return w.finish(rows)
	}
	if _, err := readParquet(forge(3, nil, nil)); err != nil {
		t.Fatal(err) // so the others are refused for what is edited
	}
	// page is a data page that says it has size octets; it has 64 MiB.
	packed := newPQWriter().enc.EncodeAll(make([]byte, 64<<20), nil)
	page := func(size int32) []byte {
		var head thrift
		head.i32(1, pqDataPage)
		head.i32(2, size)
		head.i32(3, int32(len(packed)))
		head.open(5)
		head.i32(1, 0)
		head.i32(2, pqPlain)
		head.end()
		head.end()
		return append(head.b, packed...)
	}
	ports := func(n int) func(*pqGroup, int64) {
		return func(g *pqGroup, at int64) {
			g.chunks[cSrcPort] = pqChunk{data: at, stored: int64(n), codec: pqZstd, enc: pqPlain}
		}
	}
	for name, tt := range map[string]struct {
		rows  int
		pages []byte
		edit  func(*pqGroup, int64)
		want  string
	}{
		"a billion rows":       {1 << 30, nil, nil, "1073741824 events"},
		"less than no row":     {-1, nil, nil, "-1 events"},
		"a row more":           {4, nil, nil, "head can't be read"},
		"a row less":           {2, nil, nil, "more values than rows"},
		"a page too large":     {3, page(1 << 30), ports(len(page(1 << 30))), "too large"},
		"more than it says":    {3, page(1000), ports(len(page(1000))), "can't be unpacked"},
		"many pages of naught": {3, bytes.Repeat(page(64<<20), 20), ports(20 * len(page(64<<20))), "too large"},
		"pages behind the end": {3, nil, func(g *pqGroup, _ int64) { g.chunks[cName].stored = 1 << 40 }, "not there"},
		"pages before the beginning": {3, nil, func(g *pqGroup, _ int64) {
			g.chunks[cName].data, g.chunks[cName].dict = -5, 0
		}, "not there"},
		"no dictionary": {3, nil, func(g *pqGroup, _ int64) { g.chunks[cName].dict = 0 }, "without its dictionary"},
	} {
		data := forge(tt.rows, tt.pages, tt.edit)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readParquet(data)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errParquet) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > readFloor+readTimes*uint64(len(data)) {
			t.Errorf("%s: %d octets were allocated", name, n)
		}
	}
}
