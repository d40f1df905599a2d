#include "textflag.h"

// Places: 0 to 15; and where the row of each begins.
DATA places<>+0(SB)/8, $0
DATA places<>+8(SB)/8, $1
DATA places<>+16(SB)/8, $2
DATA places<>+24(SB)/8, $3
DATA places<>+32(SB)/8, $4
DATA places<>+40(SB)/8, $5
DATA places<>+48(SB)/8, $6
DATA places<>+56(SB)/8, $7
DATA places<>+64(SB)/8, $8
DATA places<>+72(SB)/8, $9
DATA places<>+80(SB)/8, $10
DATA places<>+88(SB)/8, $11
DATA places<>+96(SB)/8, $12
DATA places<>+104(SB)/8, $13
DATA places<>+112(SB)/8, $14
DATA places<>+120(SB)/8, $15
DATA places<>+128(SB)/8, $0
DATA places<>+136(SB)/8, $32
DATA places<>+144(SB)/8, $64
DATA places<>+152(SB)/8, $96
DATA places<>+160(SB)/8, $128
DATA places<>+168(SB)/8, $160
DATA places<>+176(SB)/8, $192
DATA places<>+184(SB)/8, $224
DATA places<>+192(SB)/8, $256
DATA places<>+200(SB)/8, $288
DATA places<>+208(SB)/8, $320
DATA places<>+216(SB)/8, $352
DATA places<>+224(SB)/8, $384
DATA places<>+232(SB)/8, $416
DATA places<>+240(SB)/8, $448
DATA places<>+248(SB)/8, $480
GLOBL places<>(SB), RODATA|NOPTR, $256

// Who lacks each of four letters, to y.
#define LACK(letters, place, row, y) \
	VPMOVZXBQ letters, Y8    \
	VPADDQ    row, Y8, Y8    \
	VPCMPGTQ  place, Y15, Y9 \
	VPXOR     y, y, y        \
	VPGATHERQQ Y9, (SI)(Y8*8), y

// Adds bits: a, b and c; to sum and carry. t is lost.
#define ADD3(a, b, c, sum, carry, t) \
	VPXOR a, b, t       \
	VPAND a, b, carry   \
	VPXOR t, c, sum     \
	VPAND t, c, t       \
	VPOR  t, carry, carry

// func farAVX2(far *[32]uint64, word *uint8, n int, left *[3]uint64) uint64
TEXT ·farAVX2(SB), NOSPLIT, $0-40
	MOVQ far+0(FP), SI
	MOVQ word+8(FP), DI
	MOVQ n+16(FP), CX
	MOVQ left+24(FP), DX
	VMOVQ CX, X15
	VPBROADCASTQ X15, Y15
	LACK((DI), places<>+0(SB), places<>+128(SB), Y0)
	LACK(4(DI), places<>+32(SB), places<>+160(SB), Y1)
	LACK(8(DI), places<>+64(SB), places<>+192(SB), Y2)
	LACK(12(DI), places<>+96(SB), places<>+224(SB), Y3)

	// Of four: ones in Y5, twos in Y6, fours in Y7.
	ADD3(Y0, Y1, Y2, Y4, Y6, Y8)
	VPXOR Y3, Y4, Y5
	VPAND Y3, Y4, Y8
	VPAND Y6, Y8, Y7
	VPXOR Y6, Y8, Y6

	// Of eight, and eights in X3.
	VEXTRACTI128 $1, Y5, X8
	VEXTRACTI128 $1, Y6, X9
	VEXTRACTI128 $1, Y7, X10
	VPAND X5, X8, X11
	VPXOR X5, X8, X0
	ADD3(X6, X9, X11, X1, X12, X13)
	ADD3(X7, X10, X12, X2, X3, X13)

	// Of sixteen; eights and more in X6.
	VPSRLDQ $8, X0, X8
	VPSRLDQ $8, X1, X9
	VPSRLDQ $8, X2, X10
	VPSRLDQ $8, X3, X4
	VPAND X0, X8, X11
	VPXOR X0, X8, X0
	ADD3(X1, X9, X11, X1, X12, X13)
	ADD3(X2, X10, X12, X2, X5, X13)
	VPOR X3, X4, X6
	VPOR X5, X6, X6

	// More than left: what is borrowed in the end.
	VMOVQ (DX), X8
	VMOVQ 8(DX), X9
	VMOVQ 16(DX), X10
	VPANDN X0, X8, X11
	VPXOR X1, X9, X12
	VPANDN X11, X12, X11
	VPANDN X1, X9, X12
	VPOR  X12, X11, X11
	VPXOR X2, X10, X12
	VPANDN X11, X12, X11
	VPANDN X2, X10, X12
	VPOR  X12, X11, X11
	VPOR  X6, X11, X11
	VMOVQ X11, AX
	VZEROUPPER
	MOVQ AX, ret+32(FP)
	RET
