package spool

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/impound/impound"
)

// row is an event in Parquet. Columns may be added, never changed.
type row struct {
	Seq        uint64 `parquet:"seq,delta"`
	At         int64  `parquet:"at,timestamp(microsecond),delta"`
	Sensor     string `parquet:"sensor,dict"`
	Proto      string `parquet:"proto,dict"`
	Src        string `parquet:"src,dict"`
	SrcPort    int32  `parquet:"src_port"`
	Dst        string `parquet:"dst,dict"`
	DstPort    int32  `parquet:"dst_port,dict"`
	Name       string `parquet:"name,dict"`
	Zone       string `parquet:"zone,dict"`
	Order      string `parquet:"order,dict"`
	Capture    string `parquet:"capture,dict"`
	Outcome    string `parquet:"outcome,dict"`
	QType      int32  `parquet:"qtype,dict"`
	RCode      int32  `parquet:"rcode,dict"`
	Method     string `parquet:"method,dict"`
	Path       string `parquet:"path,dict"`
	Status     int32  `parquet:"status,dict"`
	UserAgent  string `parquet:"user_agent,dict"`
	Referer    string `parquet:"referer,dict"`
	SNI        string `parquet:"sni,dict"`
	ALPN       string `parquet:"alpn,dict"`
	JA4        string `parquet:"ja4,dict"`
	Helo       string `parquet:"helo,dict"`
	FromDomain string `parquet:"from_domain,dict"`
	LureHash   string `parquet:"lure_hash,dict"`
	Lure       string `parquet:"lure"`
	Len        int32  `parquet:"len,dict"`
	Guess      string `parquet:"guess,dict"`
	JA3        string `parquet:"ja3,dict"`
	TLS        string `parquet:"tls,dict"`
	SenderHash string `parquet:"sender_hash,dict"`
	RcptHash   string `parquet:"rcpt_hash,dict"`
	Opcode     int32  `parquet:"opcode,dict"`
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func toRow(e *impound.Event) row {
	return row{
		Seq: e.Seq, At: e.At.UnixMicro(), Sensor: e.Sensor, Proto: string(e.Proto),
		Src: addrText(e.Src.Addr()), SrcPort: int32(e.Src.Port()), Dst: addrText(e.Dst.Addr()), DstPort: int32(e.Dst.Port()),
		Name: e.Name, Zone: e.Zone, Order: e.Order, Capture: string(e.Capture), Outcome: e.Outcome,
		QType: int32(e.QType), RCode: int32(e.RCode), Method: e.Method, Path: e.Path, Status: int32(e.Status),
		UserAgent: e.UserAgent, Referer: e.Referer, SNI: e.SNI, ALPN: e.ALPN, JA4: e.JA4, Helo: e.Helo,
		FromDomain: e.FromDomain, LureHash: e.LureHash, Lure: e.Lure, Len: int32(e.Len), Guess: e.Guess,
		JA3: e.JA3, TLS: e.TLS, SenderHash: e.SenderHash, RcptHash: e.RcptHash, Opcode: int32(e.Opcode),
	}
}

func addrOf(s string, port int32) netip.AddrPort {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, uint16(port))
}

func fromRow(r *row) impound.Event {
	return impound.Event{
		Seq: r.Seq, At: time.UnixMicro(r.At).UTC(), Sensor: r.Sensor, Proto: impound.Proto(r.Proto),
		Src: addrOf(r.Src, r.SrcPort), Dst: addrOf(r.Dst, r.DstPort),
		Name: r.Name, Zone: r.Zone, Order: r.Order, Capture: impound.CaptureLevel(r.Capture), Outcome: r.Outcome,
		QType: uint16(r.QType), RCode: uint8(r.RCode), Method: r.Method, Path: r.Path, Status: int(r.Status),
		UserAgent: r.UserAgent, Referer: r.Referer, SNI: r.SNI, ALPN: r.ALPN, JA4: r.JA4, Helo: r.Helo,
		FromDomain: r.FromDomain, LureHash: r.LureHash, Lure: r.Lure, Len: int(r.Len), Guess: r.Guess,
		JA3: r.JA3, TLS: r.TLS, SenderHash: r.SenderHash, RcptHash: r.RcptHash, Opcode: uint8(r.Opcode),
	}
}

// encodeParquet sorts the rows by what queries ask for (the seized name, then
// time) and encodes them.
func encodeParquet(rows []row) ([]byte, error) {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.At, b.At), cmp.Compare(a.Seq, b.Seq))
	})
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[row](&buf,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}),
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("zone"), parquet.Ascending("at"), parquet.Ascending("seq"))),
		parquet.CreatedBy("impound", "1", "spool"),
	)
	if _, err := w.Write(rows); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// plainSealer says what is right: through impound.Event and the library.
type plainSealer struct {
	sensor string
	rows   []row
	in     interner
}

func (p *plainSealer) begin(sensor string) { p.sensor, p.rows = sensor, p.rows[:0] }

func (p *plainSealer) add(seq uint64, body []byte) (int64, error) {
	e := impound.Event{Seq: seq, Sensor: p.sensor}
	if err := decode(body, &e, &p.in); err != nil {
		return 0, err
	}
	p.rows = append(p.rows, toRow(&e))
	return e.At.UnixMicro(), nil
}

func (p *plainSealer) finish() ([]byte, error) { return encodeParquet(p.rows) }

// decodeParquet gives the events in the order of their numbers.
func decodeParquet(data []byte) (events []impound.Event, err error) {
	defer func() {
		if r := recover(); r != nil { // the library trusts its input
			events, err = nil, fmt.Errorf("it can't be decoded: %v", r)
		}
	}()
	rows, err := parquet.Read[row](bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	events = make([]impound.Event, len(rows))
	for i := range rows {
		events[i] = fromRow(&rows[i])
	}
	slices.SortFunc(events, func(a, b impound.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return events, nil
}
