#include "textflag.h"

// func sumsAVX2(h *units, sum *float32, hidden *units, at *uint16, val *float32, nVal, nAt int) float32
TEXT ·sumsAVX2(SB), NOSPLIT, $0-60
	MOVQ h+0(FP), DI
	MOVQ sum+8(FP), SI
	MOVQ hidden+16(FP), R8
	MOVQ at+24(FP), R9
	MOVQ val+32(FP), R10
	MOVQ nVal+40(FP), R11
	MOVQ nAt+48(FP), R12
	VMOVUPS (DI), Y0
	VXORPS  X1, X1, X1
	LEAQ (R9)(R12*2), R12 // end
	LEAQ (R9)(R11*2), R11 // end of those with a value

vals:
	MOVWLZX (R9), AX
	VBROADCASTSS (R10), Y2
	VMULSS (SI)(AX*4), X2, X3
	VADDSS X3, X1, X1
	SHLQ $5, AX
	VMULPS (R8)(AX*1), Y2, Y2
	VADDPS Y2, Y0, Y0
	ADDQ $2, R9
	ADDQ $4, R10
	CMPQ R9, R11
	JLT  vals

ones:
	MOVWLZX (R9), AX
	VADDSS (SI)(AX*4), X1, X1
	SHLQ $5, AX
	VADDPS (R8)(AX*1), Y0, Y0
	ADDQ $2, R9
	CMPQ R9, R12
	JLT  ones

	VMOVUPS Y0, (DI)
	VZEROUPPER
	MOVSS X1, ret+56(FP)
	RET

// For six letters in Y0: the keys with one of them left out, and those of the
// first three and two; low masks what comes behind the letter, back is by how
// much the others are shifted.
#define KEYS(low, back, kind) \
	VPSRLVD back, Y0, Y1 \
	VPAND low, Y0, Y0    \
	VPANDN Y1, low, Y1   \
	VPOR Y1, Y0, Y0      \
	VPOR kind, Y0, Y0

// For keys in Y0: which of them there may be, in R10. SI are the bits, X15 is
// the shift, Y14 and Y13 what to multiply by, Y12 31, Y11 1, Y10 0.
#define HAVE \
	VPMULLD Y14, Y0, Y1      \
	VPMULLD Y13, Y0, Y2      \
	VPSRLD X15, Y1, Y1       \
	VPCMPEQD Y3, Y3, Y3      \
	VPGATHERDD Y3, (SI)(Y1*4), Y4 \
	VPSRLD $17, Y2, Y2       \
	VPAND  Y12, Y2, Y3       \
	VPSLLVD Y3, Y11, Y3      \
	VPSRLD $5, Y2, Y5        \
	VPAND  Y12, Y5, Y5       \
	VPSLLVD Y5, Y11, Y5      \
	VPOR   Y5, Y3, Y3        \
	VPSRLD $10, Y2, Y2       \
	VPSLLVD Y2, Y11, Y2      \
	VPOR   Y2, Y3, Y3        \
	VPANDN Y3, Y4, Y3        \
	VPCMPEQD Y10, Y3, Y3     \
	VMOVMSKPS Y3, R10

#define CONSTANTS \
	VPBROADCASTD hashes<>+0(SB), Y14 \
	VPBROADCASTD hashes<>+4(SB), Y13 \
	VPBROADCASTD hashes<>+8(SB), Y12 \
	VPBROADCASTD hashes<>+12(SB), Y11 \
	VPXOR  Y10, Y10, Y10

DATA hashes<>+0(SB)/4, $0x9e3779b1
DATA hashes<>+4(SB)/4, $0x85ebca6b
DATA hashes<>+8(SB)/4, $31
DATA hashes<>+12(SB)/4, $1
GLOBL hashes<>(SB), RODATA|NOPTR, $16

// func edgesAVX2(any *uint32, shift uint64, x *[4]uint32, keys *keyTable) uint64
TEXT ·edgesAVX2(SB), NOSPLIT, $0-40
	MOVQ any+0(FP), SI
	MOVQ x+16(FP), R8
	MOVQ keys+24(FP), DI
	VMOVD shift+8(FP), X15
	CONSTANTS
	VMOVDQU (DI), Y9    // low
	VMOVDQU 32(DI), Y8  // back

	VPBROADCASTD (R8), Y0
	KEYS(Y9, Y8, 64(DI))
	HAVE
	MOVQ R10, AX
	VPBROADCASTD 4(R8), Y0
	KEYS(Y9, Y8, 96(DI))
	HAVE
	SHLQ $8, R10
	ORQ  R10, AX
	VPBROADCASTD 8(R8), Y0
	KEYS(Y9, Y8, 128(DI))
	HAVE
	SHLQ $16, R10
	ORQ  R10, AX
	VPBROADCASTD 12(R8), Y0
	KEYS(Y9, Y8, 160(DI))
	HAVE
	SHLQ $24, R10
	ORQ  R10, AX

	// Of five letters.
	VMOVDQU 192(DI), Y9
	VPBROADCASTD (R8), Y0
	VPSRLD $5, Y0, Y0
	KEYS(Y9, Y8, 224(DI))
	HAVE
	SHLQ $32, R10
	ORQ  R10, AX
	VPBROADCASTD 8(R8), Y0
	VPSRLD $5, Y0, Y0
	KEYS(Y9, Y8, 256(DI))
	HAVE
	SHLQ $40, R10
	ORQ  R10, AX

	VZEROUPPER
	MOVQ AX, ret+32(FP)
	RET

// func speltAVX2(any *uint32, shift uint64, code *uint8, n int, kinds *[2]uint32) (five, four uint64)
TEXT ·speltAVX2(SB), NOSPLIT, $0-56
	MOVQ any+0(FP), SI
	MOVQ code+16(FP), R8
	MOVQ n+24(FP), R9
	MOVQ kinds+32(FP), DI
	VMOVD shift+8(FP), X15
	CONSTANTS
	VPBROADCASTD (DI), Y9
	VPBROADCASTD 4(DI), Y8
	MOVL 4(DI), R11
	XORQ AX, AX
	XORQ BX, BX
	XORQ CX, CX

next:
	VPMOVZXBD (R8)(CX*1), Y0
	VPMOVZXBD 1(R8)(CX*1), Y1
	VPMOVZXBD 2(R8)(CX*1), Y2
	VPMOVZXBD 3(R8)(CX*1), Y3
	VPMOVZXBD 4(R8)(CX*1), Y4
	VPSLLD $5, Y0, Y0
	VPOR   Y1, Y0, Y0
	VPSLLD $5, Y2, Y2
	VPOR   Y3, Y2, Y2
	VPSLLD $10, Y0, Y0
	VPOR   Y2, Y0, Y7   // four letters
	VPSLLD $5, Y7, Y0
	VPOR   Y4, Y0, Y0
	VPOR   Y9, Y0, Y0
	HAVE
	SHLQ   CX, R10
	ORQ    R10, AX
	TESTL  R11, R11
	JEQ    skip
	VPOR   Y8, Y7, Y0
	HAVE
	SHLQ   CX, R10
	ORQ    R10, BX

skip:
	ADDQ   $8, CX
	CMPQ   CX, R9
	JLT    next

	VZEROUPPER
	MOVQ $-1, R10       // the lowest n
	MOVL $64, CX
	SUBQ R9, CX
	SHRQ CX, R10
	ANDQ R10, AX
	ANDQ R10, BX
	MOVQ AX, five+40(FP)
	MOVQ BX, four+48(FP)
	RET
