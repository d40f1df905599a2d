#include "textflag.h"

// What stands within two places: each letter of four tokens against the name
// moved by d. Y0 tokens, R8 and R9 where the name's letters stand, Y2 which
// letters were found.
#define NEAR(d) \
	VPBROADCASTD d(R8), Y1    \
	VPBROADCASTD d(R9), Y3    \
	VPBLENDD $0xaa, Y3, Y1, Y1 \
	VPCMPEQB Y0, Y1, Y1       \
	VPOR     Y1, Y2, Y2

// func nearLongsAVX2(items *uint64, n int, groups *longs, code *uint8, letters int, some *uint64) int
TEXT ·nearLongsAVX2(SB), NOSPLIT, $0-56
	MOVQ items+0(FP), SI
	MOVQ n+8(FP), BX
	MOVQ groups+16(FP), R13
	MOVQ code+24(FP), R14
	MOVQ letters+32(FP), R15
	MOVQ some+40(FP), DI
	LEAQ (SI)(BX*8), BX // end
	MOVQ SI, R12        // where the next that is kept goes
	ADDQ $2, R15
	MOVQ SI, DX
	SUBQ DX, DI         // some lies so far from items

loop:
	MOVQ (SI), AX
	ADDQ $8, SI
	MOVBLZX AX, CX      // letter
	MOVL AX, DX
	SHRL $8, DX
	SHLQ $6, DX
	ADDQ R13, DX        // group
	MOVBQSX 52(DX), R8
	MOVBQSX 53(DX), R9
	ADDQ CX, R8
	ADDQ CX, R9
	ADDQ R14, R8
	ADDQ R14, R9
	VMOVDQU (DX), Y0
	VPBROADCASTD (R8), Y2
	VPBROADCASTD (R9), Y3
	VPBLENDD $0xaa, Y3, Y2, Y2
	VPCMPEQB Y0, Y2, Y2
	NEAR(-2)
	NEAR(-1)
	NEAR(1)
	NEAR(2)
	VPMOVMSKB Y2, R10
	ORL  32(DX), R10
	NOTL R10            // a bit for each letter that is lacking

	// More than two bits in an octet? Then its top bit is set.
	MOVL R10, R11
	SHRL $1, R11
	ANDL $0x55555555, R11
	SUBL R11, R10
	MOVL R10, R11
	SHRL $2, R11
	ANDL $0x33333333, R11
	ANDL $0x33333333, R10
	ADDL R11, R10
	MOVL R10, R11
	SHRL $4, R11
	ADDL R11, R10
	ANDL $0x0f0f0f0f, R10
	ADDL $0x7d7d7d7d, R10
	NOTL R10

	// In bounds?
	MOVQ R15, R11
	SUBQ CX, R11        // letters + 2 - letter
	ADDQ $2, CX
	MOVL $63, R8
	CMPQ R11, R8
	CMOVQGT R8, R11
	CMPQ CX, R8
	CMOVQGT R8, CX
	ADDL $0x80, R11
	ADDL $0x80, CX
	IMUL3L $0x01010101, R11, R11
	IMUL3L $0x01010101, CX, CX
	SUBL 40(DX), R11
	SUBL 36(DX), CX
	ANDL R11, R10
	ANDL CX, R10
	ANDL $0x80808080, R10

	MOVQ AX, (R12)
	MOVQ R10, (R12)(DI*1)
	LEAQ 8(R12), R11
	TESTL R10, R10
	CMOVQNE R11, R12
	CMPQ SI, BX
	JLT  loop

	VZEROUPPER
	MOVQ items+0(FP), SI
	SUBQ SI, R12
	SHRQ $3, R12
	MOVQ R12, ret+48(FP)
	RET

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

// func anchoredAVX2(any, gaps *uint64, code *uint8, n int) uint64
TEXT ·anchoredAVX2(SB), NOSPLIT, $0-40
	MOVQ any+0(FP), SI
	MOVQ gaps+8(FP), DI
	MOVQ code+16(FP), R8
	MOVQ n+24(FP), R9
	XORQ AX, AX         // what was found
	XORQ CX, CX         // letter
	MOVL $31, DX
	VMOVD DX, X15
	VPBROADCASTD X15, Y15
	MOVL $0x9e3779b9, DX
	VMOVD DX, X14
	VPBROADCASTD X14, Y14

next:
	VPMOVZXBD (R8)(CX*1), Y0
	VPMOVZXBD 1(R8)(CX*1), Y1
	VPMOVZXBD 2(R8)(CX*1), Y2
	VPMOVZXBD 3(R8)(CX*1), Y3
	VPMOVZXBD 4(R8)(CX*1), Y4
	VPSLLD $5, Y0, Y0
	VPOR   Y1, Y0, Y0   // two letters
	VPSLLD $5, Y0, Y5
	VPOR   Y2, Y5, Y5   // three
	VPSLLD $10, Y0, Y0
	VPSLLD $5, Y3, Y3
	VPOR   Y3, Y0, Y0
	VPOR   Y4, Y0, Y0
	VPMULLD Y14, Y0, Y0
	VPSRLD $17, Y0, Y0  // hash of the gap
	VPSRLD $5, Y5, Y6
	VPSRLD $5, Y0, Y7
	VPCMPEQD Y8, Y8, Y8
	VPCMPEQD Y9, Y9, Y9
	VPXOR  Y10, Y10, Y10
	VPXOR  Y11, Y11, Y11
	VPGATHERDD Y8, (SI)(Y6*4), Y10
	VPGATHERDD Y9, (DI)(Y7*4), Y11
	VPANDN Y15, Y5, Y5  // 31 less the bit
	VPANDN Y15, Y0, Y0
	VPSLLVD Y5, Y10, Y10
	VPSLLVD Y0, Y11, Y11
	VPOR   Y11, Y10, Y10
	VMOVMSKPS Y10, R10
	SHLQ   CX, R10
	ORQ    R10, AX
	ADDQ   $8, CX
	CMPQ   CX, R9
	JLT    next

	VZEROUPPER
	MOVQ $-1, R10       // the lowest n
	MOVL $64, CX
	SUBQ R9, CX
	SHRQ CX, R10
	ANDQ R10, AX
	MOVQ AX, ret+32(FP)
	RET
