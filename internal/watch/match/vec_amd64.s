#include "go_asm.h"
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

// For keys in Y0: which of them there may be, in R10. SI are the slots, X15 is
// the shift, Y14 and Y13 what to multiply by, Y12 31, Y11 1, Y10 0.
#define HAVE \
	VPMULLD Y14, Y0, Y1      \
	VPMULLD Y13, Y0, Y2      \
	VPSRLD X15, Y1, Y1       \
	VPCMPEQD Y3, Y3, Y3      \
	VPGATHERDD Y3, (SI)(Y1*8), Y4 \
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

// func edgesAVX2(slots *slot, shift uint64, x *[4]uint32, keys *keyTable) uint64
TEXT ·edgesAVX2(SB), NOSPLIT, $0-40
	MOVQ slots+0(FP), SI
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

	VZEROUPPER
	MOVQ AX, ret+32(FP)
	RET

// func speltAVX2(slots *slot, shift uint64, code *uint8, n int, kinds *[2]uint32) (five, four uint64)
TEXT ·speltAVX2(SB), NOSPLIT, $0-56
	MOVQ slots+0(FP), SI
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

// Octets, sixteen alike: what is one below a letter, a digit; behind a digit; a
// hyphen, an underscore; the symbols of digits and hyphens; five bits.
DATA octets<>+0(SB)/8, $0x6060606060606060
DATA octets<>+8(SB)/8, $0x6060606060606060
DATA octets<>+16(SB)/8, $0x2f2f2f2f2f2f2f2f
DATA octets<>+24(SB)/8, $0x2f2f2f2f2f2f2f2f
DATA octets<>+32(SB)/8, $0x3a3a3a3a3a3a3a3a
DATA octets<>+40(SB)/8, $0x3a3a3a3a3a3a3a3a
DATA octets<>+48(SB)/8, $0x2d2d2d2d2d2d2d2d
DATA octets<>+56(SB)/8, $0x2d2d2d2d2d2d2d2d
DATA octets<>+64(SB)/8, $0x5f5f5f5f5f5f5f5f
DATA octets<>+72(SB)/8, $0x5f5f5f5f5f5f5f5f
DATA octets<>+80(SB)/8, $0x1b1b1b1b1b1b1b1b
DATA octets<>+88(SB)/8, $0x1b1b1b1b1b1b1b1b
DATA octets<>+96(SB)/8, $0x1c1c1c1c1c1c1c1c
DATA octets<>+104(SB)/8, $0x1c1c1c1c1c1c1c1c
DATA octets<>+112(SB)/8, $0x1f1f1f1f1f1f1f1f
DATA octets<>+120(SB)/8, $0x1f1f1f1f1f1f1f1f
GLOBL octets<>(SB), RODATA|NOPTR, $128

// Numbers: 0 to 7; 8; what pairs and triples begin with; 29*29 and 29; 31; 255.
DATA numbers<>+0(SB)/8, $0x0000000100000000
DATA numbers<>+8(SB)/8, $0x0000000300000002
DATA numbers<>+16(SB)/8, $0x0000000500000004
DATA numbers<>+24(SB)/8, $0x0000000700000006
DATA numbers<>+32(SB)/4, $8
DATA numbers<>+36(SB)/4, $0x200000
DATA numbers<>+40(SB)/4, $0x400000
DATA numbers<>+44(SB)/4, $0x001d0349
DATA numbers<>+48(SB)/4, $31
DATA numbers<>+52(SB)/4, $255
GLOBL numbers<>(SB), RODATA|NOPTR, $56

// func surveyAVX2(raw *uint8, n, lastFrom int, gram *int8, tri *uint8, lures *uint64, sym *uint32, sum *int32) uint64
TEXT ·surveyAVX2(SB), NOSPLIT, $0-72
	MOVQ raw+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ gram+24(FP), R8
	MOVQ tri+32(FP), R9
	MOVQ lures+40(FP), R10
	MOVQ sym+48(FP), DI
	MOVQ sum+56(FP), R11
	ADDQ $16, DI        // behind four boundaries
	XORQ AX, AX         // lure words
	XORQ BX, BX         // octet
	MOVL $0x9e3779b1, DX
	VMOVD DX, X15
	VPBROADCASTD X15, Y15
	VMOVDQU numbers<>+0(SB), Y14 // which octets
	VPBROADCASTD lastFrom+16(FP), Y13
	VPXOR Y12, Y12, Y12 // the sum so far, eight times
	VPXOR X11, X11, X11 // the eight symbols before

next:
	VMOVQ (SI)(BX*1), X1
	VPSUBB octets<>+0(SB), X1, X2
	VPCMPGTB octets<>+0(SB), X1, X3
	VPAND X3, X2, X2    // letters
	VPCMPGTB octets<>+16(SB), X1, X3
	VMOVDQU octets<>+32(SB), X4
	VPCMPGTB X1, X4, X4
	VPAND X3, X4, X4
	VPAND octets<>+80(SB), X4, X4
	VPOR  X4, X2, X2    // digits
	VPCMPEQB octets<>+48(SB), X1, X3
	VPCMPEQB octets<>+64(SB), X1, X4
	VPOR  X3, X4, X4
	VPAND octets<>+96(SB), X4, X4
	VPOR  X4, X2, X2    // hyphens
	VPAND octets<>+112(SB), X2, X2
	VPUNPCKLQDQ X2, X11, X0
	VMOVDQU X2, X11
	VPMOVZXBD X2, Y3    // the symbol
	VPSRLDQ $7, X0, X4
	VPMOVZXBD X4, Y4    // the one before
	VPSRLDQ $6, X0, X5
	VPMOVZXBD X5, Y5
	VPSRLDQ $5, X0, X6
	VPMOVZXBD X6, Y6
	VMOVDQU Y3, (DI)(BX*4)

	VPSLLD $5, Y5, Y7
	VPOR   Y4, Y7, Y7
	VPSLLD $5, Y7, Y7
	VPOR   Y3, Y7, Y7   // three
	VPSLLD $15, Y6, Y8
	VPOR   Y7, Y8, Y8   // four

	// The surprise: a dot forgets what was before it.
	VPXOR  Y0, Y0, Y0
	VPCMPEQD Y0, Y4, Y6
	VPANDN Y5, Y6, Y6
	VPSLLD $16, Y4, Y4
	VPOR   Y4, Y6, Y6
	VPBROADCASTD numbers<>+44(SB), Y5
	VPMADDWD Y5, Y6, Y6
	VPADDD Y3, Y6, Y6
	VPCMPEQD Y5, Y5, Y5
	VPGATHERDD Y5, (R9)(Y6*1), Y0
	VPBROADCASTD numbers<>+52(SB), Y5
	VPAND  Y5, Y0, Y0

	// Lure words.
	VPMULLD Y15, Y8, Y6
	VPSRLD $17, Y6, Y6
	VPSRLD $5, Y6, Y4
	VPXOR  Y3, Y3, Y3
	VPCMPEQD Y5, Y5, Y5
	VPGATHERDD Y5, (R10)(Y4*4), Y3
	VPBROADCASTD numbers<>+48(SB), Y5
	VPANDN Y5, Y6, Y6   // 31 less the bit
	VPSLLVD Y6, Y3, Y3
	VMOVMSKPS Y3, DX
	MOVQ   CX, R12
	MOVL   BX, CX
	SHLQ   CX, DX
	MOVQ   R12, CX
	ORQ    DX, AX

	// The weights.
	VPCMPGTD Y14, Y13, Y9
	VPSRLD $31, Y9, Y9
	VPSLLD $20, Y9, Y9  // in front of the registered label
	VPBROADCASTD numbers<>+36(SB), Y10
	VPOR   Y10, Y7, Y7
	VPOR   Y9, Y7, Y7
	VPMULLD Y15, Y7, Y7
	VPSRLD $18, Y7, Y7
	VPBROADCASTD numbers<>+40(SB), Y10
	VPOR   Y10, Y8, Y8
	VPADDD Y9, Y9, Y9
	VPOR   Y9, Y8, Y8
	VPMULLD Y15, Y8, Y8
	VPSRLD $18, Y8, Y8
	VPXOR  Y3, Y3, Y3
	VPXOR  Y4, Y4, Y4
	VPCMPEQD Y5, Y5, Y5
	VPCMPEQD Y6, Y6, Y6
	VPGATHERDD Y5, (R8)(Y7*1), Y3
	VPGATHERDD Y6, (R8)(Y8*1), Y4
	VPSLLD $24, Y3, Y3
	VPSLLD $24, Y4, Y4
	VPSRAD $8, Y3, Y3
	VPSRAD $8, Y4, Y4
	VPADDD Y3, Y0, Y0
	VPADDD Y4, Y0, Y0

	// What stands before each of the eight.
	VPSLLDQ $4, Y0, Y3
	VPADDD  Y3, Y0, Y3
	VPSLLDQ $8, Y3, Y4
	VPADDD  Y4, Y3, Y3
	VPSHUFD $0xff, Y3, Y4
	VPERM2I128 $0x08, Y4, Y4, Y4 // of the lower four, to the upper
	VPADDD  Y4, Y3, Y3
	VPADDD  Y12, Y3, Y3
	VPSUBD  Y0, Y3, Y4
	VMOVDQU Y4, (R11)(BX*4)
	VPSHUFD $0xff, Y3, Y3
	VPERM2I128 $0x11, Y3, Y3, Y12

	VPBROADCASTD numbers<>+32(SB), Y5
	VPADDD Y5, Y14, Y14
	ADDQ   $8, BX
	CMPQ   BX, CX
	JLE    next

	VZEROUPPER
	MOVQ AX, ret+64(FP)
	RET

// func fetchHot(hot *hot, fs *found, n int)
TEXT ·fetchHot(SB), NOSPLIT, $0-24
	MOVQ hot+0(FP), SI
	MOVQ fs+8(FP), DI
	MOVQ n+16(FP), CX

next:
	MOVLQSX (DI), AX
	SHLQ $5, AX
	PREFETCHT0 (SI)(AX*1)
	ADDQ $found__size, DI
	DECQ CX
	JNZ  next
	RET
