#include "go_asm.h"
#include "textflag.h"

// By kind of job, 64 octets each: where the letters of a short entry are laid, of
// a long one; how far they may have moved, by one; how many letters more than the
// name has from there on; whether it is what is in front of it; how many letters
// may be lacking, of four short entries and of four long ones, which lack one more
// where the first six are the same.
DATA sifted<>+0(SB)/8, $0
DATA sifted<>+8(SB)/8, $6
DATA sifted<>+16(SB)/8, $0
DATA sifted<>+24(SB)/8, $0
DATA sifted<>+32(SB)/8, $0
DATA sifted<>+40(SB)/8, $0
DATA sifted<>+48(SB)/8, $0
DATA sifted<>+64(SB)/8, $0
DATA sifted<>+72(SB)/8, $6
DATA sifted<>+80(SB)/8, $1
DATA sifted<>+88(SB)/8, $2
DATA sifted<>+96(SB)/8, $0
DATA sifted<>+104(SB)/8, $0x0001000100010001
DATA sifted<>+112(SB)/8, $0x0001000100010001
DATA sifted<>+128(SB)/8, $-8
DATA sifted<>+136(SB)/8, $-14
DATA sifted<>+144(SB)/8, $1
DATA sifted<>+152(SB)/8, $2
DATA sifted<>+160(SB)/8, $1
DATA sifted<>+168(SB)/8, $0x0001000100010001
DATA sifted<>+176(SB)/8, $0x0001000100010001
GLOBL sifted<>(SB), RODATA|NOPTR, $192

DATA four<>+0(SB)/8, $0
DATA four<>+8(SB)/8, $1
DATA four<>+16(SB)/8, $2
DATA four<>+24(SB)/8, $3
GLOBL four<>(SB), RODATA|NOPTR, $32

// func siftAVX512(ix *index, s *scan) (n int)
TEXT ·siftAVX512(SB), NOSPLIT, $0-24
	MOVQ ix+0(FP), AX
	MOVQ index_slots(AX), SI
	MOVQ index_entries(AX), DI
	MOVBLZX index_shift(AX), R9
	MOVQ s+8(FP), R8
	LEAQ scan_jobs(R8), R10
	XORL R11, R11
	MOVQ jobs_job(R10), R12
	MOVL jobs_entry(R10), R13
	MOVQ R12, AX
	ORQ  R13, AX
	JNE  ready
	XORL BX, BX

touch: // the first of a slot and the last, mostly all of it
	SHRXL R9, jobs_product(R10)(BX*4), AX
	MOVL  4(SI)(AX*8), CX
	MOVL  12(SI)(AX*8), AX
	SHLQ  $4, CX
	SHLQ  $4, AX
	PREFETCHT0 (DI)(CX*1)
	PREFETCHT0 -16(DI)(AX*1)
	INCQ  BX
	CMPQ  BX, jobs_n(R10)
	JLT   touch

ready:
	MOVL $const_tagMask, AX
	VPBROADCASTQ AX, Z20
	MOVL $(63<<5), AX
	VPBROADCASTD AX, Z21
	MOVL $(8<<5), AX
	VPBROADCASTD AX, Z22
	MOVL $2, AX
	VPBROADCASTW AX, X24
	VMOVDQU64 four<>(SB), Y23

job:
	MOVL  jobs_product(R10)(R12*4), AX
	SHRXL R9, AX, BX
	MOVL  12(SI)(BX*8), R15     // to
	MOVL  4(SI)(BX*8), BX       // from
	TESTL R13, R13
	CMOVLEQ BX, R13
	ANDL  $const_tagMask, AX
	VPBROADCASTD AX, Z10        // the tag
	MOVL  jobs_about(R10)(R12*4), BX
	MOVL  BX, CX
	SHRL  $const_aboutOut, CX
	ANDL  $7, CX
	MOVL  $(1<<const_tagBits), DX
	SHLXL CX, DX, DX
	ORL   DX, AX
	MOVL  BX, CX
	ANDL  $31, CX
	SHLQ  $32, CX
	ORQ   CX, AX
	VPBROADCASTQ AX, Z11        // the same six letters: this,
	ORL   $const_tagMask, DX
	MOVQ  $(31<<32), CX
	ORQ   CX, DX
	VPBROADCASTQ DX, Z12        // of these bits
	MOVL  BX, CX
	SHRL  $const_aboutKind, CX
	ANDL  $3, CX
	SHLL  $6, CX
	LEAQ  sifted<>(SB), R14
	ADDQ  CX, R14
	SHRL  $const_aboutAt, BX
	MOVQ  scan_n(R8), CX
	SUBQ  BX, CX
	CMPQ  32(R14), $0
	CMOVQNE BX, CX
	ADDQ  24(R14), CX
	SHLL  $5, CX
	VPBROADCASTD CX, Z13        // as many letters at most
	VMOVDQU 40(R14), X14
	LEAQ  (const_padLeft+scan_code)(R8)(BX*1), BX
	MOVQ  16(R14), DX
	MOVQ  BX, CX
	ADDQ  (R14), CX
	VPBROADCASTQ (CX), Z1
	VPBROADCASTQ (CX)(DX*1), Z2
	SUBQ  DX, CX
	VPBROADCASTQ (CX), Z3
	ADDQ  8(R14), BX
	VPBROADCASTQ (BX), Z4
	VPBROADCASTQ (BX)(DX*1), Z5
	VPBROADCASTQ (BX)(DX*2), Z6
	SUBQ  DX, BX
	VPBROADCASTQ (BX), Z7
	SUBQ  DX, BX
	VPBROADCASTQ (BX), Z8
	MOVL  jobs_about(R10)(R12*4), BX
	SHRL  $const_aboutOut, BX
	ANDL  $7, BX
	XORL  R14, R14
	CMPL  BX, $5
	SETCS R14                   // below 5: not those with the same six

chunk: // of four entries
	MOVQ R13, AX
	SHLQ $4, AX
	VMOVDQU64 (DI)(AX*1), Z0

	// Letters that are lacking.
	VPTESTMB Z0, Z0, K1
	VPCMPB $4, Z1, Z0, K1, K2
	VPCMPB $4, Z4, Z0, K1, K3
	VPCMPB $4, Z2, Z0, K2, K2
	VPCMPB $4, Z5, Z0, K3, K3
	VPCMPB $4, Z3, Z0, K2, K2
	VPCMPB $4, Z6, Z0, K3, K3
	VPCMPB $4, Z7, Z0, K3, K3
	VPCMPB $4, Z8, Z0, K3, K3
	KMOVQ  K2, AX
	KMOVQ  K3, BX
	VMOVQ  AX, X9
	VMOVQ  BX, X15
	VPUNPCKLQDQ X15, X9, X9
	VPSRLW $8, X9, X9           // of an entry's 16 octets the last 8
	VPOPCNTW X9, X9
	VPCMPUW $2, X14, X9, K4     // few enough: four bits for short ones, four for long
	VPCMPUW $2, X24, X9, K2     // two

	VPANDQ Z0, Z12, Z15
	VPCMPEQQ Z11, Z15, K5       // the same six letters: bits 0, 2, 4, 6
	VPANDQ Z0, Z20, Z15
	VPCMPEQD Z10, Z15, K6       // the same key: bits 0, 4, 8, 12
	VPANDD Z0, Z21, Z15
	VPCMPUD $2, Z13, Z15, K7    // not too long: bits 1, 5, 9, 13
	VPCMPUD $6, Z22, Z15, K1    // long: the same

	KMOVW K6, AX
	KMOVW K7, BX
	SHRL  $1, BX
	ANDL  BX, AX
	KMOVW K1, CX
	SHRL  $1, CX
	MOVL  $0x1111, DX
	PEXTL DX, AX, AX
	PEXTL DX, CX, CX
	KMOVB K5, BX
	MOVL  $0x55, DX
	PEXTL DX, BX, DX
	MOVL  R14, BX
	NEGL  BX
	ANDL  DX, BX
	ANDNL AX, BX, AX
	KMOVB K2, BX
	SHRL  $4, BX
	ANDL  BX, DX
	KMOVB K4, BX
	SHLL  $4, DX
	ORL   BX, DX
	SHRL  $4, DX
	XORL  BX, DX
	ANDL  CX, DX
	XORL  DX, BX                // of the one four or the other
	ANDL  BX, AX
	MOVL  R15, BX
	SUBL  R13, BX
	MOVL  $4, CX
	CMPL  BX, CX
	CMOVLGT CX, BX
	BZHIL BX, AX, AX            // the slot's

	KMOVB AX, K1
	MOVQ  R12, CX
	SHLQ  $32, CX
	ORQ   R13, CX
	VPBROADCASTQ CX, Y15
	VPADDQ Y23, Y15, Y15
	VPCOMPRESSQ.Z Y15, K1, Y15
	VMOVDQU Y15, jobs_hits(R10)(R11*8)
	POPCNTL AX, AX
	ADDQ  AX, R11
	ADDL  $4, R13
	CMPQ  R11, $(const_maxHits-4)
	JGT   full
	CMPL  R13, R15
	JLT   chunk

	XORL R13, R13
	INCQ R12
	CMPQ R12, jobs_n(R10)
	JLT  job

done:
	VZEROUPPER
	MOVQ R12, jobs_job(R10)
	MOVL R13, jobs_entry(R10)
	MOVQ R11, n+16(FP)
	RET

full:
	CMPL R13, R15
	JLT  done
	XORL R13, R13
	INCQ R12
	JMP  done

// Lanes, shifted as a job's about has them; what tokens spelt out have there.
DATA lanes<>+0(SB)/4, $(0<<16|6<<5)
DATA lanes<>+4(SB)/4, $(1<<16|6<<5)
DATA lanes<>+8(SB)/4, $(2<<16|6<<5)
DATA lanes<>+12(SB)/4, $(3<<16|6<<5)
DATA lanes<>+16(SB)/4, $(4<<16|6<<5)
DATA lanes<>+20(SB)/4, $(5<<16|6<<5)
DATA lanes<>+24(SB)/4, $(6<<16|6<<5)
DATA lanes<>+28(SB)/4, $(7<<16|6<<5)
DATA lanes<>+32(SB)/4, $(8<<16|6<<5)
DATA lanes<>+36(SB)/4, $(9<<16|6<<5)
DATA lanes<>+40(SB)/4, $(10<<16|6<<5)
DATA lanes<>+44(SB)/4, $(11<<16|6<<5)
DATA lanes<>+48(SB)/4, $(12<<16|6<<5)
DATA lanes<>+52(SB)/4, $(13<<16|6<<5)
DATA lanes<>+56(SB)/4, $(14<<16|6<<5)
DATA lanes<>+60(SB)/4, $(15<<16|6<<5)
GLOBL lanes<>(SB), RODATA|NOPTR, $64

// For the keys in Z0 of the lanes in K1: puts down jobs for those that there may
// be, with what is about them in Z7. SI are the slots, DI the jobs, R9 how many
// there are, X31 is the shift, Z30 and Z29 what to multiply by, Z28 31, Z27 1.
#define PUT \
	VPMULLD Z30, Z0, Z1       \
	VPMULLD Z29, Z0, Z2       \
	VPSRLD  X31, Z1, Z3       \
	KMOVW   K1, K2            \
	VPGATHERDD (SI)(Z3*8), K2, Z4 \
	VPSRLD  $17, Z2, Z2       \
	VPANDD  Z28, Z2, Z3       \
	VPSLLVD Z3, Z27, Z3       \
	VPSRLD  $5, Z2, Z5        \
	VPANDD  Z28, Z5, Z5       \
	VPSLLVD Z5, Z27, Z5       \
	VPSRLD  $10, Z2, Z2       \
	VPSLLVD Z2, Z27, Z2       \
	VPTERNLOGD $0xfe, Z5, Z3, Z2 \
	VPANDND Z2, Z4, Z2        \
	VPTESTNMD Z2, Z2, K1, K2  \
	VPCOMPRESSD.Z Z1, K2, Z1  \
	VPCOMPRESSD.Z Z7, K2, Z7  \
	KMOVW   K2, AX            \
	POPCNTL AX, AX            \
	VMOVDQU64 Z1, jobs_product(DI)(R9*4) \
	VMOVDQU64 Z7, jobs_about(DI)(R9*4) \
	ADDQ    AX, R9

// Four letters at R8 and CX in front, of sixteen places, in Z6.
#define FOUR \
	VPMOVZXBD (R8)(CX*1), Z0  \
	VPMOVZXBD 1(R8)(CX*1), Z1 \
	VPMOVZXBD 2(R8)(CX*1), Z2 \
	VPMOVZXBD 3(R8)(CX*1), Z6 \
	VPSLLD $5, Z0, Z0         \
	VPORD  Z1, Z0, Z0         \
	VPSLLD $5, Z2, Z2         \
	VPORD  Z2, Z6, Z6         \
	VPSLLD $10, Z0, Z0        \
	VPORD  Z0, Z6, Z6

// For places from CX on, DX of them: which there are, and what is about them.
#define PLACES \
	MOVL  DX, AX              \
	SUBL  CX, AX              \
	MOVL  $0xffff, BX         \
	BZHIL AX, BX, BX          \
	KMOVW BX, K1              \
	MOVL  CX, AX              \
	SHLL  $const_aboutAt, AX  \
	VPBROADCASTD AX, Z7       \
	VPADDD lanes<>(SB), Z7, Z7

// For six letters in Z0, or two times six: the keys, and what is about them, that
// at has with the letter that is left out.
#define KEYS(low, back, kind, left, at) \
	VPSRLVD back, Z0, Z1      \
	VPSRLVD left, Z0, Z7      \
	VMOVDQU64 low, Z2         \
	VPTERNLOGD $0xca, Z1, Z0, Z2 \
	VPORD   kind, Z2, Z0      \
	VPANDD  Z28, Z7, Z7       \
	VPADDD  at, Z7, Z7

// func probeAVX512(ix *index, s *scan, spelt, at, to int)
TEXT ·probeAVX512(SB), NOSPLIT, $0-40
	MOVQ ix+0(FP), R11
	MOVQ s+8(FP), R12
	MOVQ index_slots(R11), SI
	MOVBLZX index_shift(R11), AX
	VMOVD AX, X31
	LEAQ scan_jobs(R12), DI
	MOVQ jobs_n(DI), R9
	MOVL $const_hashKey, AX
	VPBROADCASTD AX, Z30
	MOVL $const_hashBits, AX
	VPBROADCASTD AX, Z29
	MOVL $31, AX
	VPBROADCASTD AX, Z28
	MOVL $1, AX
	VPBROADCASTD AX, Z27
	MOVQ spelt+16(FP), DX
	TESTQ DX, DX
	JEQ  edges

	LEAQ (scan_code+const_padLeft)(R12), R8
	VPBROADCASTD index_kinds(R11), Z26
	XORL CX, CX

fives:
	FOUR
	VPMOVZXBD 4(R8)(CX*1), Z1
	VPSLLD $5, Z6, Z0
	VPTERNLOGD $0xfe, Z26, Z1, Z0
	PLACES
	PUT
	ADDQ $16, CX
	CMPQ CX, DX
	JLT  fives

	MOVL (index_kinds+4)(R11), AX
	TESTL AX, AX
	JEQ  edges
	VPBROADCASTD AX, Z26
	XORL CX, CX

fours:
	FOUR
	VPORD Z26, Z6, Z0
	PLACES
	PUT
	ADDQ $16, CX
	CMPQ CX, DX
	JLT  fours

edges:
	MOVQ to+32(FP), CX
	MOVQ at+24(FP), BX
	MOVQ $0x1f1f1f1f1f1f1f1f, R13
	MOVQ (scan_code+const_padLeft)(R12)(BX*1), R8
	BSWAPQ R8
	PEXTQ R13, R8, R8           // eight letters, the first one highest
	MOVQ (scan_code+const_padLeft-8)(R12)(CX*1), R10
	PEXTQ R13, R10, R10
	LEAQ ·probeKeys(SB), R11
	VMOVDQU64 probeTable_low(R11), Z26
	VMOVDQU64 probeTable_back(R11), Z25
	VMOVDQU64 probeTable_left(R11), Z24
	MOVL $0x3fff, AX
	KMOVW AX, K1
	MOVL $0xff00, AX
	KMOVW AX, K3
	SHLL $const_aboutAt, BX
	SHLL $const_aboutAt, CX

	MOVQ R8, DX
	SHRQ $5, R8
	SHRQ $10, DX
	ANDL $0x3fffffff, R8
	VPBROADCASTD DX, Z0
	VPBROADCASTD R8, K3, Z0
	VPBROADCASTD BX, Z6
	VPADDD probeTable_about(R11), Z6, Z5
	KEYS(Z26, Z25, probeTable_kind(R11), Z24, Z5)
	PUT

	MOVQ R10, AX
	SHRQ $5, R10
	SHRQ $10, AX
	ANDL $0x3fffffff, R10
	VPBROADCASTD AX, Z0
	VPBROADCASTD R10, K3, Z0
	VPBROADCASTD CX, Z5
	VPADDD (probeTable_about+64)(R11), Z5, Z5
	KEYS(Z26, Z25, (probeTable_kind+64)(R11), Z24, Z5)
	PUT

	// Of five letters.
	MOVL $0x1f, AX
	KMOVW AX, K1
	SHRL $5, DX
	VPBROADCASTD DX, Z0
	VPADDD (probeTable_about+128)(R11), Z6, Z7
	VPSRLVD Z25, Z0, Z1
	VMOVDQU64 probeTable_low5(R11), Z2
	VPTERNLOGD $0xca, Z1, Z0, Z2
	VPORD (probeTable_kind+128)(R11), Z2, Z0
	PUT

	VZEROUPPER
	MOVQ R9, jobs_n(DI)
	RET
