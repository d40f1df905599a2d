package document

import (
	"encoding/binary"
	"math"
	"sync"
)

// srgb is an ICC profile (version 2) of IEC 61966-2-1, made of its published
// numbers: PDF/A wants to know which colours are meant.
var srgb = sync.OnceValue(func() []byte {
	be := binary.BigEndian
	s15 := func(b []byte, fs ...float64) []byte {
		for _, f := range fs {
			b = be.AppendUint32(b, uint32(int32(math.Round(f*65536))))
		}
		return b
	}
	xyz := func(x, y, z float64) []byte { return s15([]byte("XYZ \x00\x00\x00\x00"), x, y, z) }
	desc := []byte("desc\x00\x00\x00\x00")
	const name = "sRGB IEC61966-2.1"
	desc = be.AppendUint32(desc, uint32(len(name)+1))
	desc = append(append(desc, name...), 0)
	desc = append(desc, make([]byte, 4+4+2+1+67)...)
	text := append([]byte("text\x00\x00\x00\x00No copyright, use freely"), 0)
	const n = 1024
	curve := be.AppendUint32([]byte("curv\x00\x00\x00\x00"), n)
	for i := range n {
		v := float64(i) / (n - 1)
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		curve = be.AppendUint16(curve, uint16(math.Round(v*65535)))
	}
	type tag struct {
		sig  string
		data []byte
	}
	tags := []tag{{"desc", desc}, {"cprt", text}, {"wtpt", xyz(0.9642, 1, 0.8249)},
		{"rXYZ", xyz(0.43607, 0.22249, 0.01392)}, {"gXYZ", xyz(0.38515, 0.71687, 0.09708)}, {"bXYZ", xyz(0.14307, 0.06061, 0.71410)},
		{"rTRC", curve}, {"gTRC", nil}, {"bTRC", nil}}
	table := be.AppendUint32(nil, uint32(len(tags)))
	off := 128 + 4 + 12*len(tags)
	var body []byte
	at, size := 0, 0
	for _, t := range tags {
		if t.data != nil { // else the same curve again
			for len(body)%4 != 0 {
				body = append(body, 0)
			}
			at, size = off+len(body), len(t.data)
			body = append(body, t.data...)
		}
		table = append(table, t.sig...)
		table = be.AppendUint32(be.AppendUint32(table, uint32(at)), uint32(size))
	}
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	head := make([]byte, 128)
	be.PutUint32(head[0:], uint32(off+len(body)))
	be.PutUint32(head[8:], 0x02100000)
	copy(head[12:], "mntrRGB XYZ ")
	for i, v := range []uint16{2024, 1, 1, 0, 0, 0} {
		be.PutUint16(head[24+2*i:], v)
	}
	copy(head[36:], "acsp")
	copy(head[68:], s15(nil, 0.9642, 1, 0.8249))
	return append(append(head, table...), body...)
})
