package xdp

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

const (
	xdpPass = 2

	// maxFrame is the longest frame that is taken. Longer ones are no usual
	// question, and may be longer than the room for a frame: the kernel's
	// sockets deal with them.
	maxFrame = 1600

	// MaxAddrs bounds the addresses, which the program compares one by one.
	MaxAddrs = 256
)

// program takes unfragmented UDP without IP options or extension headers, sent
// to mac, to one of addrs and to port, to the socket of the queue that it came
// in by, or does otherwise when there is no socket. All else is the kernel's.
func program(sockets *ebpf.Map, mac [6]byte, addrs []netip.Addr, port uint16, otherwise int32) *ebpf.ProgramSpec {
	const ctx, data, end, a, b, imm = asm.R6, asm.R2, asm.R3, asm.R4, asm.R5, asm.R0
	// Words as they are loaded from the packet, in the machine's order.
	be16 := func(v uint16) int32 {
		return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)))
	}
	w32 := func(w []byte) int32 { return int32(binary.NativeEndian.Uint32(w)) }
	w64 := func(w []byte) int64 { return int64(binary.NativeEndian.Uint64(w)) }

	ins := asm.Instructions{
		asm.Mov.Reg(ctx, asm.R1),
		asm.LoadMem(data, ctx, 0, asm.Word),
		asm.LoadMem(end, ctx, 4, asm.Word),
		asm.Mov.Reg(a, data),
		asm.Add.Imm(a, HeadRoom4),
		asm.JGT.Reg(a, end, "pass"),
		asm.Mov.Reg(a, data),
		asm.Add.Imm(a, maxFrame),
		asm.JLT.Reg(a, end, "pass"),
		asm.LoadMem(a, data, 0, asm.Word),
		asm.JNE.Imm32(a, w32(mac[:4]), "pass"),
		asm.LoadMem(a, data, 4, asm.Half),
		asm.JNE.Imm32(a, int32(binary.NativeEndian.Uint16(mac[4:])), "pass"),
		asm.LoadMem(a, data, 12, asm.Half),
		asm.JEq.Imm32(a, be16(0x86dd), "v6"),
		asm.JNE.Imm32(a, be16(0x0800), "pass"),

		asm.LoadMem(a, data, ethLen, asm.Byte),
		asm.JNE.Imm32(a, 0x45, "pass"),
		asm.LoadMem(a, data, ethLen+6, asm.Half),
		asm.And.Imm32(a, be16(0x3fff)), // more fragments, or not the first
		asm.JNE.Imm32(a, 0, "pass"),
		asm.LoadMem(a, data, ethLen+9, asm.Byte),
		asm.JNE.Imm32(a, 17, "pass"),
		asm.LoadMem(a, data, ethLen+ip4Len+2, asm.Half),
		asm.JNE.Imm32(a, be16(port), "pass"),
		asm.LoadMem(a, data, ethLen+16, asm.Word),
	}
	for _, x := range addrs {
		if x.Is4() {
			w := x.As4()
			ins = append(ins, asm.JEq.Imm32(a, w32(w[:]), "take"))
		}
	}
	ins = append(ins, asm.Ja.Label("pass"),

		asm.Mov.Reg(a, data).WithSymbol("v6"),
		asm.Add.Imm(a, HeadRoom6),
		asm.JGT.Reg(a, end, "pass"),
		asm.LoadMem(a, data, ethLen, asm.Byte),
		asm.And.Imm32(a, 0xf0),
		asm.JNE.Imm32(a, 0x60, "pass"),
		asm.LoadMem(a, data, ethLen+6, asm.Byte),
		asm.JNE.Imm32(a, 17, "pass"),
		asm.LoadMem(a, data, ethLen+ip6Len+2, asm.Half),
		asm.JNE.Imm32(a, be16(port), "pass"),
		asm.LoadMem(a, data, ethLen+24, asm.DWord),
		asm.LoadMem(b, data, ethLen+32, asm.DWord),
	)
	next := ""
	for _, x := range addrs {
		if x.Is4() {
			continue
		}
		w := x.As16()
		load := asm.LoadImm(imm, w64(w[:8]), asm.DWord)
		if next != "" {
			load = load.WithSymbol(next)
		}
		next = "not " + x.String()
		ins = append(ins, load,
			asm.JNE.Reg(a, imm, next),
			asm.LoadImm(imm, w64(w[8:]), asm.DWord),
			asm.JEq.Reg(b, imm, "take"))
	}
	last := asm.Ja.Label("pass")
	if next != "" {
		last = last.WithSymbol(next)
	}
	ins = append(ins, last,

		asm.LoadMapPtr(asm.R1, sockets.FD()).WithSymbol("take"),
		asm.LoadMem(asm.R2, ctx, 16, asm.Word), // rx_queue_index
		asm.Mov.Imm(asm.R3, otherwise),         // when the queue has no socket
		asm.FnRedirectMap.Call(),
		asm.Return(),

		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),
	)
	return &ebpf.ProgramSpec{Name: "impound_dns", Type: ebpf.XDP, Instructions: ins, License: "Apache-2.0"}
}
