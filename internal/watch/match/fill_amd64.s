#include "go_asm.h"
#include "textflag.h"

// Octets, 32 alike: what makes upper case lower; a, 25, 0, 9, hyphen, dot,
// underscore; five bits; l, and how far it is from i; the codes of digits, twice;
// r, n, v; then the numbers from 0 to 127.
DATA fills<>+0(SB)/8, $0x2020202020202020
DATA fills<>+8(SB)/8, $0x2020202020202020
DATA fills<>+16(SB)/8, $0x2020202020202020
DATA fills<>+24(SB)/8, $0x2020202020202020
DATA fills<>+32(SB)/8, $0x6161616161616161
DATA fills<>+40(SB)/8, $0x6161616161616161
DATA fills<>+48(SB)/8, $0x6161616161616161
DATA fills<>+56(SB)/8, $0x6161616161616161
DATA fills<>+64(SB)/8, $0x1919191919191919
DATA fills<>+72(SB)/8, $0x1919191919191919
DATA fills<>+80(SB)/8, $0x1919191919191919
DATA fills<>+88(SB)/8, $0x1919191919191919
DATA fills<>+96(SB)/8, $0x3030303030303030
DATA fills<>+104(SB)/8, $0x3030303030303030
DATA fills<>+112(SB)/8, $0x3030303030303030
DATA fills<>+120(SB)/8, $0x3030303030303030
DATA fills<>+128(SB)/8, $0x0909090909090909
DATA fills<>+136(SB)/8, $0x0909090909090909
DATA fills<>+144(SB)/8, $0x0909090909090909
DATA fills<>+152(SB)/8, $0x0909090909090909
DATA fills<>+160(SB)/8, $0x2d2d2d2d2d2d2d2d
DATA fills<>+168(SB)/8, $0x2d2d2d2d2d2d2d2d
DATA fills<>+176(SB)/8, $0x2d2d2d2d2d2d2d2d
DATA fills<>+184(SB)/8, $0x2d2d2d2d2d2d2d2d
DATA fills<>+192(SB)/8, $0x2e2e2e2e2e2e2e2e
DATA fills<>+200(SB)/8, $0x2e2e2e2e2e2e2e2e
DATA fills<>+208(SB)/8, $0x2e2e2e2e2e2e2e2e
DATA fills<>+216(SB)/8, $0x2e2e2e2e2e2e2e2e
DATA fills<>+224(SB)/8, $0x5f5f5f5f5f5f5f5f
DATA fills<>+232(SB)/8, $0x5f5f5f5f5f5f5f5f
DATA fills<>+240(SB)/8, $0x5f5f5f5f5f5f5f5f
DATA fills<>+248(SB)/8, $0x5f5f5f5f5f5f5f5f
DATA fills<>+256(SB)/8, $0x1f1f1f1f1f1f1f1f
DATA fills<>+264(SB)/8, $0x1f1f1f1f1f1f1f1f
DATA fills<>+272(SB)/8, $0x1f1f1f1f1f1f1f1f
DATA fills<>+280(SB)/8, $0x1f1f1f1f1f1f1f1f
DATA fills<>+288(SB)/8, $0x0c0c0c0c0c0c0c0c
DATA fills<>+296(SB)/8, $0x0c0c0c0c0c0c0c0c
DATA fills<>+304(SB)/8, $0x0c0c0c0c0c0c0c0c
DATA fills<>+312(SB)/8, $0x0c0c0c0c0c0c0c0c
DATA fills<>+320(SB)/8, $0x0303030303030303
DATA fills<>+328(SB)/8, $0x0303030303030303
DATA fills<>+336(SB)/8, $0x0303030303030303
DATA fills<>+344(SB)/8, $0x0303030303030303
DATA fills<>+352(SB)/8, $0x1d1c1301051b090f
DATA fills<>+360(SB)/8, $0x0000000000001f1e
DATA fills<>+368(SB)/8, $0x1d1c1301051b090f
DATA fills<>+376(SB)/8, $0x0000000000001f1e
DATA fills<>+384(SB)/8, $0x1212121212121212
DATA fills<>+392(SB)/8, $0x1212121212121212
DATA fills<>+400(SB)/8, $0x1212121212121212
DATA fills<>+408(SB)/8, $0x1212121212121212
DATA fills<>+416(SB)/8, $0x0e0e0e0e0e0e0e0e
DATA fills<>+424(SB)/8, $0x0e0e0e0e0e0e0e0e
DATA fills<>+432(SB)/8, $0x0e0e0e0e0e0e0e0e
DATA fills<>+440(SB)/8, $0x0e0e0e0e0e0e0e0e
DATA fills<>+448(SB)/8, $0x1616161616161616
DATA fills<>+456(SB)/8, $0x1616161616161616
DATA fills<>+464(SB)/8, $0x1616161616161616
DATA fills<>+472(SB)/8, $0x1616161616161616
DATA fills<>+480(SB)/8, $0x0706050403020100
DATA fills<>+488(SB)/8, $0x0f0e0d0c0b0a0908
DATA fills<>+496(SB)/8, $0x1716151413121110
DATA fills<>+504(SB)/8, $0x1f1e1d1c1b1a1918
DATA fills<>+512(SB)/8, $0x2726252423222120
DATA fills<>+520(SB)/8, $0x2f2e2d2c2b2a2928
DATA fills<>+528(SB)/8, $0x3736353433323130
DATA fills<>+536(SB)/8, $0x3f3e3d3c3b3a3938
DATA fills<>+544(SB)/8, $0x4746454443424140
DATA fills<>+552(SB)/8, $0x4f4e4d4c4b4a4948
DATA fills<>+560(SB)/8, $0x5756555453525150
DATA fills<>+568(SB)/8, $0x5f5e5d5c5b5a5958
DATA fills<>+576(SB)/8, $0x6766656463626160
DATA fills<>+584(SB)/8, $0x6f6e6d6c6b6a6968
DATA fills<>+592(SB)/8, $0x7776757473727170
DATA fills<>+600(SB)/8, $0x7f7e7d7c7b7a7978
GLOBL fills<>(SB), RODATA|NOPTR, $608

// Of 32 octets in Y0: lower case, to raw; the codes, in Y7; and, by TO, which are
// letters (R8), digits (R9), hyphens (R10), dots (R11), underscores (R12), r (R13),
// n (AX), v (BX).
#define OCTETS(raw, TO) \
	VPOR     fills<>+0(SB), Y0, Y1   \
	VPSUBB   fills<>+32(SB), Y1, Y2  \
	VPMINUB  fills<>+64(SB), Y2, Y3  \
	VPCMPEQB Y2, Y3, Y3              \
	TO(Y3, R8)                       \
	VPAND    fills<>+0(SB), Y3, Y4   \
	VPOR     Y0, Y4, Y4              \
	VMOVDQU  Y4, raw                 \
	VPSUBB   fills<>+96(SB), Y0, Y5  \
	VPMINUB  fills<>+128(SB), Y5, Y6 \
	VPCMPEQB Y5, Y6, Y6              \
	TO(Y6, R9)                       \
	VPCMPEQB fills<>+160(SB), Y0, Y5 \
	TO(Y5, R10)                      \
	VPCMPEQB fills<>+192(SB), Y0, Y5 \
	TO(Y5, R11)                      \
	VPCMPEQB fills<>+224(SB), Y0, Y5 \
	TO(Y5, R12)                      \
	VPAND    fills<>+256(SB), Y1, Y7 \
	VPCMPEQB fills<>+288(SB), Y7, Y5 \
	VPAND    fills<>+320(SB), Y5, Y5 \
	VPSUBB   Y5, Y7, Y7              \
	VPAND    Y3, Y7, Y7              \
	VMOVDQU  fills<>+352(SB), Y5     \
	VPSHUFB  Y0, Y5, Y5              \
	VPAND    Y6, Y5, Y5              \
	VPOR     Y5, Y7, Y7              \
	VPCMPEQB fills<>+384(SB), Y7, Y5 \
	TO(Y5, R13)                      \
	VPCMPEQB fills<>+416(SB), Y7, Y5 \
	TO(Y5, AX)                       \
	VPCMPEQB fills<>+448(SB), Y7, Y5 \
	TO(Y5, BX)

#define LOW(y, r) \
	VPMOVMSKB y, r

#define HIGH(y, r) \
	VPMOVMSKB y, DX \
	SHLQ $32, DX    \
	ORQ  DX, r

// func fillAVX2(s *scan, name *uint8, n int) bool
TEXT ·fillAVX2(SB), NOSPLIT, $128-25
	MOVQ s+0(FP), DI
	MOVQ name+8(FP), SI
	MOVQ n+16(FP), CX
	MOVB $0, ret+24(FP)

	VMOVDQU (SI), Y0
	OCTETS(scan_raw+0(DI), LOW)
	VMOVDQA Y7, Y8
	VPXOR   Y7, Y7, Y7
	CMPQ    CX, $32
	JLE     seen
	VMOVDQU 32(SI), Y0
	OCTETS(scan_raw+32(DI), HIGH)

seen: // the codes are in Y8 and Y7
	MOVQ  R8, DX
	ORQ   R9, DX
	ORQ   R10, DX
	ORQ   R11, DX
	ORQ   R12, DX
	NOTQ  DX
	BZHIQ CX, DX, DX
	JNE   no            // what no host name has
	BZHIQ CX, R11, R11
	LEAQ  1(R11)(R11*1), DX
	TESTQ R11, DX
	JNE   no            // an empty label
	MOVQ  R10, DX
	SHRQ  $1, DX
	BZHIQ CX, R10, R10
	TESTQ R10, DX
	JNE   no            // two hyphens: an A-label perhaps
	MOVQ  CX, SI        // SI: octets in front of the last dot
	TESTQ R11, R11
	JEQ   label
	BSRQ  R11, SI

label:
	BZHIQ SI, R8, R8
	BZHIQ SI, R9, R9
	BZHIQ SI, R10, R10
	BZHIQ SI, R11, R11
	BZHIQ SI, R12, R12
	MOVQ  R8, scan_is+octetsAre_letters(DI)
	MOVQ  R9, scan_is+octetsAre_digits(DI)
	MOVQ  R10, scan_is+octetsAre_hyphens(DI)
	MOVQ  R11, scan_is+octetsAre_dots(DI)
	MOVQ  R12, scan_is+octetsAre_others(DI)
	MOVQ  CX, scan_allN(DI)
	MOVQ  SI, scan_rawN(DI)

	// rn and vv
	BZHIQ SI, AX, AX
	SHRQ  $1, AX
	ANDQ  R13, AX
	BZHIQ SI, BX, BX
	MOVQ  BX, DX
	SHRQ  $1, DX
	ANDQ  DX, BX
	ORQ   BX, AX
	SETNE scan_digraph(DI)

	VPXOR Y6, Y6, Y6
	ORQ   R10, R11
	ORQ   R12, R11      // separators
	JNE   words

	// Letters and digits alone stay where they are.
	TESTQ R9, R9
	SETEQ AX
	CMPQ  SI, CX
	SETNE BX
	ANDB  AX, BX
	MOVB  BX, scan_plain(DI)
	VMOVD SI, X5
	VPBROADCASTB X5, Y5
	VPCMPGTB fills<>+480(SB), Y5, Y4
	VPAND    Y4, Y8, Y8
	VPCMPGTB fills<>+512(SB), Y5, Y4
	VPAND    Y4, Y7, Y7
	VMOVDQU  Y8, (scan_code+const_padLeft)(DI)
	VMOVDQU  Y7, (scan_code+const_padLeft+32)(DI)
	VMOVDQU  Y6, (scan_code+const_padLeft+64)(DI)
	VMOVDQU  fills<>+480(SB), Y4
	VMOVDQU  Y4, scan_pos+0(DI)
	VMOVDQU  fills<>+512(SB), Y4
	VMOVDQU  Y4, scan_pos+32(DI)
	MOVB     $64, scan_pos+64(DI)
	MOVQ     SI, scan_n(DI)
	MOVQ     $1, scan_is+octetsAre_starts(DI)
	JMP      yes

words: // each moves to the end of those before it
	VMOVDQU Y8, tmp-128(SP)
	VMOVDQU Y7, tmp-96(SP)
	ORQ     R9, R8      // letters and digits that are still to be moved
	JEQ     no
	XORQ    BX, BX      // where to
	XORQ    R13, R13    // where words start
	LEAQ    fills<>+480(SB), R12
	LEAQ    tmp-128(SP), R11

word:
	BTSQ    BX, R13
	BSFQ    R8, DX      // where from
	VMOVDQU (R11)(DX*1), Y0
	VMOVDQU 32(R11)(DX*1), Y1
	VMOVDQU (R12)(DX*1), Y2
	VMOVDQU 32(R12)(DX*1), Y3
	VMOVDQU Y0, (scan_code+const_padLeft)(DI)(BX*1)
	VMOVDQU Y1, (scan_code+const_padLeft+32)(DI)(BX*1)
	VMOVDQU Y2, scan_pos+0(DI)(BX*1)
	VMOVDQU Y3, scan_pos+32(DI)(BX*1)
	SHRXQ   DX, R8, AX
	NOTQ    AX
	BSFQ    AX, AX      // letters in it
	ADDQ    AX, BX
	XORQ    AX, AX
	BTSQ    DX, AX
	ADDQ    R8, AX      // carries through the word
	ANDQ    AX, R8
	JNE     word

	VMOVDQU Y6, (scan_code+const_padLeft)(DI)(BX*1)
	MOVB    SI, scan_pos(DI)(BX*1)
	MOVQ    BX, scan_n(DI)
	MOVQ    R13, scan_is+octetsAre_starts(DI)
	MOVB    $0, scan_plain(DI)

yes:
	MOVB $0, scan_hasA(DI)
	MOVB $0, scan_merged(DI)
	MOVB $0, (scan_near+around_ready)(DI)
	MOVB $1, (scan_is+octetsAre_known)(DI)
	MOVB $1, ret+24(FP)

no:
	VZEROUPPER
	RET
