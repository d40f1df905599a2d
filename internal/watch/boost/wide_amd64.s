#include "textflag.h"

DATA lanes<>+0(SB)/4, $0
DATA lanes<>+4(SB)/4, $1
DATA lanes<>+8(SB)/4, $2
DATA lanes<>+12(SB)/4, $3
DATA lanes<>+16(SB)/4, $4
DATA lanes<>+20(SB)/4, $5
DATA lanes<>+24(SB)/4, $6
DATA lanes<>+28(SB)/4, $7
DATA lanes<>+32(SB)/4, $8
DATA lanes<>+36(SB)/4, $9
DATA lanes<>+40(SB)/4, $10
DATA lanes<>+44(SB)/4, $11
DATA lanes<>+48(SB)/4, $12
DATA lanes<>+52(SB)/4, $13
DATA lanes<>+56(SB)/4, $14
DATA lanes<>+60(SB)/4, $15
GLOBL lanes<>(SB), RODATA|NOPTR, $64

// Of 16 trees whose leaves are left in z: the values of the first, added four by
// four. R11 are the values, R14 the octets of 16 trees' values, Z29 where each tree's begin.
#define ADD(z) \
	VPLZCNTD z, z          \
	VPADDD   Z29, z, z     \
	KXNORW   K2, K2, K2    \
	VPXORD   Z4, Z4, Z4    \
	VGATHERDPS (R11)(z*4), K2, Z4 \
	ADDQ     R14, R11      \
	VADDPS   X4, X31, X31  \
	VEXTRACTF32X4 $1, Z4, X5 \
	VADDPS   X5, X31, X31  \
	VEXTRACTF32X4 $2, Z4, X5 \
	VADDPS   X5, X31, X31  \
	VEXTRACTF32X4 $3, Z4, X5 \
	VADDPS   X5, X31, X31

// func wideAVX512(from *int32, cuts *float32, places *int32, groups int, x *float32, asks *ask, batches, each int, value *float32, leaves int, sums *[4]float32)
TEXT ·wideAVX512(SB), NOSPLIT, $128-88
	MOVQ from+0(FP), BX
	MOVQ cuts+8(FP), SI
	MOVQ places+16(FP), DI
	MOVQ groups+24(FP), CX
	MOVQ x+32(FP), DX
	VPTERNLOGD $0xff, Z30, Z30, Z30 // -1
	VPXORD Z0, Z0, Z0
	VMOVDQU32 Z0, ranks-128(SP)
	VMOVDQU32 Z0, ranks-64(SP)
	LEAQ ranks-128(SP), R8

	// Of each number, how many edges it is above.
group:
	VMOVDQU32 (BX), Z2
	KXNORW K1, K1, K1
	VPXORD Z1, Z1, Z1
	VGATHERDPS (DX)(Z2*4), K1, Z1
	VPXORD Z0, Z0, Z0
	MOVL (DI), AX
	TESTL AX, AX
	JZ   counted

count:
	VCMPPS $22, (SI), Z1, K1
	VPSUBD Z30, Z0, K1, Z0
	ADDQ $64, SI
	DECL AX
	JNZ  count

counted:
	VPMOVDB Z0, (R8)
	ADDQ $16, R8
	ADDQ $64, BX
	ADDQ $4, DI
	DECQ CX
	JNZ  group

	MOVQ asks+40(FP), R9
	MOVQ batches+48(FP), R10
	MOVQ each+56(FP), R12
	MOVQ value+64(FP), R11
	MOVQ leaves+72(FP), R13
	MOVQ sums+80(FP), R15
	VPBROADCASTD R13, Z29
	VPMULLD lanes<>(SB), Z29, Z29
	MOVQ R13, R14
	SHLQ $6, R14
	VMOVUPS (R15), X31
	VMOVDQU32 ranks-128(SP), Z6
	VMOVDQU32 ranks-64(SP), Z7

batch:
	VMOVDQA32 Z30, Z0
	VMOVDQA32 Z30, Z1
	VMOVDQA32 Z30, Z2
	VMOVDQA32 Z30, Z3
	MOVQ R12, AX
	TESTQ AX, AX
	JZ   answered

question:
	VMOVDQU8 (R9), Z5
	VPERMI2B Z7, Z6, Z5
	VPCMPUB $6, 64(R9), Z5, K1
	KSHIFTRQ $16, K1, K2
	KSHIFTRQ $32, K1, K3
	KSHIFTRQ $48, K1, K4
	VPANDD 128(R9), Z0, K1, Z0
	VPANDD 192(R9), Z1, K2, Z1
	VPANDD 256(R9), Z2, K3, Z2
	VPANDD 320(R9), Z3, K4, Z3
	ADDQ $384, R9
	DECQ AX
	JNZ  question

answered:
	ADD(Z0)
	ADD(Z1)
	ADD(Z2)
	ADD(Z3)
	DECQ R10
	JNZ  batch

	VMOVUPS X31, (R15)
	VZEROUPPER
	RET
