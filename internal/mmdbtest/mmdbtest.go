// Package mmdbtest writes databases of addresses in MaxMind's format for tests.
//
// What lives here: as much of the format (2.0, records of 24 bits, IPv4) as one
// prefix needs. What must not: anything that is not for tests.
package mmdbtest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
)

// Kinds of the format's values.
const (
	kindString = 2
	kindUint16 = 5
	kindUint32 = 6
	kindMap    = 7
	kindUint64 = 9
	kindArray  = 11
)

// File gives a database of that type that knows one IPv4 prefix, and of it the
// record: texts, uint32 and maps of those.
func File(kind string, p netip.Prefix, record map[string]any) []byte {
	var b bytes.Buffer
	nodes := p.Bits()
	addr := p.Addr().As4()
	for i := range nodes {
		next := uint32(i + 1) //nolint:gosec // at most 32
		if i == nodes-1 {
			next = uint32(nodes + 16) //nolint:gosec // the first record of the data section
		}
		left, right := uint32(nodes), uint32(nodes) //nolint:gosec // nothing
		if addr[i/8]>>(7-i%8)&1 == 0 {
			left = next
		} else {
			right = next
		}
		for _, v := range []uint32{left, right} {
			b.Write([]byte{byte(v >> 16), byte(v >> 8), byte(v)})
		}
	}
	b.Write(make([]byte, 16))
	b.Write(value(record))
	b.WriteString("\xab\xcd\xefMaxMind.com")
	b.Write(value(map[string]any{
		"binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0), "build_epoch": uint64(1_700_000_000),
		"database_type": kind, "description": map[string]any{"en": "for tests"}, "ip_version": uint16(4), "languages": []string{},
		"node_count": uint32(nodes), "record_size": uint16(24), //nolint:gosec // at most 32
	}))
	return b.Bytes()
}

// value encodes one value; one of another type is left out as an empty map.
func value(v any) []byte {
	switch v := v.(type) {
	case string:
		if len(v) < 29 {
			return append([]byte{kindString<<5 | byte(len(v))}, v...) //nolint:gosec // it is below 29
		}
		return append([]byte{kindString<<5 | 29, byte(len(v) - 29)}, v...) //nolint:gosec // up to 284
	case uint16:
		return binary.BigEndian.AppendUint16([]byte{kindUint16<<5 | 2}, v)
	case uint32:
		return binary.BigEndian.AppendUint32([]byte{kindUint32<<5 | 4}, v)
	case uint64:
		return binary.BigEndian.AppendUint64([]byte{8, kindUint64 - 7}, v)
	case []string:
		b := []byte{byte(len(v)), kindArray - 7} //nolint:gosec // few
		for _, s := range v {
			b = append(b, value(s)...)
		}
		return b
	case map[string]any:
		b := []byte{kindMap<<5 | byte(len(v))} //nolint:gosec // few
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b = append(append(b, value(k)...), value(v[k])...)
		}
		return b
	}
	return []byte{kindMap << 5}
}
