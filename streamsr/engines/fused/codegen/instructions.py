"""The handful of vector operations the kernels are made of, in the words of each instruction
set."""

from streamsr.engines.fused.codegen.isa import Isa
from streamsr.native.ir import Function


def declarations(isa: Isa, llvm: int) -> str:
    """External functions that the operations below call. ``llvm`` is the major version of LLVM."""
    lanes = isa.lanes
    i32, i16, byte, f32 = (
        f"<{lanes} x i32>",
        f"<{2 * lanes} x i16>",
        f"<{4 * lanes} x i8>",
        f"<{lanes} x float>",
    )
    lines = [
        f"declare {i32} @llvm.lrint.v{lanes}i32.v{lanes}f32({f32})",
        f"declare {f32} @llvm.fma.v{lanes}f32({f32}, {f32}, {f32})",
    ]
    if isa.x86:
        operand = _operand(isa, llvm)
        products = [f"declare {i32} @llvm.x86.{isa.dot}({i32}, {operand}, {operand})"]
        if isa.by_blocks:
            products = [
                f"declare {i16} @llvm.x86.avx2.pmadd.ub.sw({byte}, {byte})",
                f"declare {i32} @llvm.x86.avx2.pmadd.wd({i16}, {i16})",
            ]
        lines += [
            *products,
            f"declare {i16} @llvm.x86.{_pack(isa, 'packssdw')}({i32}, {i32})",
            f"declare {byte} @llvm.x86.{_pack(isa, 'packuswb')}({i16}, {i16})",
        ]
    else:
        lines.append(
            f"declare {i32} @llvm.aarch64.neon.{isa.dot}.v4i32.v16i8({i32}, {byte}, {byte})"
        )
    return "\n".join(lines) + "\n"


def dot(f: Function, isa: Isa, llvm: int, total: str, pixels: str, weight: str) -> str:
    """``total`` plus the products of each pixel's four bytes with those of ``weight``; by blocks in
    two sums of 16 bits."""
    i32, byte = f"<{isa.lanes} x i32>", f"<{isa.lanes * 4} x i8>"
    if isa.by_blocks:
        i16, weights = f"<{isa.lanes * 2} x i16>", f(f"bitcast {i32} {weight} to {byte}")
        sums = f(f"bitcast {i32} {total} to {i16}")
        sums = f(f"add {i16} {sums}, {byte_products(f, pixels, weights)}")
        return f(f"bitcast {i16} {sums} to {i32}")
    if isa.x86:
        function, operand = f"@llvm.x86.{isa.dot}", _operand(isa, llvm)
    else:
        function, operand = f"@llvm.aarch64.neon.{isa.dot}.v4i32.v16i8", byte
    if isa.signed:
        pixels = f(f"xor {byte} {pixels}, splat (i8 -128)")
    pixels = f(f"bitcast {byte} {pixels} to {operand}")
    weight = f(f"bitcast {i32} {weight} to {operand}")
    return f(f"call {i32} {function}({i32} {total}, {operand} {pixels}, {operand} {weight})")


def byte_products(f: Function, pixels: str, weights: str) -> str:
    """vpmaddubsw: uint8 times int8, neighbouring products added in an int16."""
    return f(f"call <16 x i16> @llvm.x86.avx2.pmadd.ub.sw(<32 x i8> {pixels}, <32 x i8> {weights})")


def word_products(f: Function, a: str, b: str) -> str:
    """vpmaddwd: int16 times int16, neighbouring products added in an int32."""
    return f(f"call <8 x i32> @llvm.x86.avx2.pmadd.wd(<16 x i16> {a}, <16 x i16> {b})")


def pin(f: Function, isa: Isa, values: list[str]) -> list[str]:
    """The same values, computed before anything that comes after this point; loads do not cross it.
    No instruction."""
    kind = f"<{isa.lanes} x i32>"
    result = kind if len(values) == 1 else f"{{{', '.join([kind] * len(values))}}}"
    constraints = ",".join([f"={isa.letter}"] * len(values) + [str(k) for k in range(len(values))])
    arguments = ", ".join(f"{kind} {value}" for value in values)
    pinned = f(f'call {result} asm sideeffect "", "{constraints},~{{memory}}"({arguments})')
    return (
        [pinned]
        if len(values) == 1
        else [f(f"extractvalue {result} {pinned}, {k}") for k in range(len(values))]
    )


def requantise(f: Function, lanes: int, total: str, scale: str, shift: str | None) -> str:
    """As XNNPACK does it: to float32, times the float32 scale, to the nearest integer, ties to
    even.

    With ``shift``, which is -2**23 * scale, the sum already is a float's bit pattern: it was
    started at that of 2**23, above which floats are one apart. Taking the shift off in the same
    fused operation rounds only once and saves the conversion. Negative sums become some other
    negative number: good enough where the next thing is to clamp at 0.
    """
    i32, f32 = f"<{lanes} x i32>", f"<{lanes} x float>"
    if shift is None:
        scaled = f(f"fmul {f32} {f(f'sitofp {i32} {total} to {f32}')}, {scale}")
    else:
        real = f(f"bitcast {i32} {total} to {f32}")
        scaled = f(f"call {f32} @llvm.fma.v{lanes}f32({f32} {real}, {f32} {scale}, {f32} {shift})")
    return f(f"call {i32} @llvm.lrint.v{lanes}i32.v{lanes}f32({f32} {scaled})")


def pack(f: Function, isa: Isa, values: list[str], zero_point: str | None) -> str:
    """Up to four vectors of int32, one a channel, to pixels of four uint8: add the zero point and
    saturate.

    The addition does not saturate because it need not: the reader of the graph refuses sums that
    could overflow it.
    """
    lanes = isa.lanes
    values = values + ["zeroinitializer"] * (4 - len(values))
    halves = [halve(f, isa, *values[:2]), halve(f, isa, *values[2:])]
    if zero_point is not None:
        zero = f.splat(lanes * 2, "i16", zero_point)
        halves = [f(f"add <{lanes * 2} x i16> {half}, {zero}") for half in halves]
    return quarter(f, isa, *halves)


def halve(f: Function, isa: Isa, a: str, b: str) -> str:
    """Two vectors of int32, of one channel each, to one of int16 with saturation."""
    lanes = isa.lanes
    if isa.x86:
        i32, i16 = f"<{lanes} x i32>", f"<{lanes * 2} x i16>"
        return f(f"call {i16} @llvm.x86.{_pack(isa, 'packssdw')}({i32} {a}, {i32} {b})")
    return _saturate(f, lanes * 2, _join(f, lanes, "i32", a, b), "i32", "i16", -32768, 32767)


def quarter(f: Function, isa: Isa, a: str, b: str) -> str:
    """Two such vectors, of channels 0, 1 and 2, 3, to pixels of four uint8 with saturation."""
    lanes = isa.lanes
    if isa.x86:
        i16, byte = f"<{lanes * 2} x i16>", f"<{lanes * 4} x i8>"
        packed = f(f"call {byte} @llvm.x86.{_pack(isa, 'packuswb')}({i16} {a}, {i16} {b})")
    else:
        packed = _saturate(f, lanes * 4, _join(f, lanes * 2, "i16", a, b), "i16", "i8", 0, 255)
    # Every 128 bits now hold four pixels of channel 0, four of channel 1, ...: transpose these 4x4
    # bytes.
    mask = [16 * (p // 4) + 4 * c + p % 4 for p in range(lanes) for c in range(4)]
    return f.shuffle(lanes * 4, packed, "poison", mask)


def _operand(isa: Isa, llvm: int) -> str:
    """LLVM 22 gave vpdpbusd byte operands."""
    return f"<{isa.lanes * 4} x i8>" if llvm >= 22 else f"<{isa.lanes} x i32>"


def _pack(isa: Isa, kind: str) -> str:
    return f"avx512.{kind}.512" if isa.lanes == 16 else f"avx2.{kind}"


def _join(f: Function, lanes: int, kind: str, a: str, b: str) -> str:
    picks = ", ".join(f"i32 {k}" for k in range(2 * lanes))
    return f(
        f"shufflevector <{lanes} x {kind}> {a}, <{lanes} x {kind}> {b}, <{2 * lanes} x i32> "
        f"<{picks}>"
    )


def _saturate(
    f: Function, lanes: int, value: str, wide: str, narrow: str, low: int, high: int
) -> str:
    """Narrow with saturation, in the form that LLVM turns into sqxtn and sqxtun."""
    kind = f"<{lanes} x {wide}>"
    for test, bound in (("slt", high), ("sgt", low)):
        limit = f"splat ({wide} {bound})"
        value = f(
            f"select <{lanes} x i1> {f(f'icmp {test} {kind} {value}, {limit}')}, {kind} {value}, "
            f"{kind} {limit}"
        )
    return f(f"trunc {kind} {value} to <{lanes} x {narrow}>")
