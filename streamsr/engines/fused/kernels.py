"""The arithmetic: one tile of one convolution, requantised to uint8, for any instruction set we know.

Activations lie in planes of four channels, a pixel being 32 bits, so that a vector register holds ``lanes`` pixels
and one dot-product instruction multiplies them by four weights, broadcast from a 32-bit scalar.
"""

from streamsr.engines.fused.ir import Function
from streamsr.engines.fused.isa import Isa

PARAMS = "ptr %table, i64 %n, ptr %weights, ptr %params, i64 %in, ptr %out, i64 %plane"


def declarations(isa: Isa, llvm: int) -> str:
    """External functions the kernels call. ``llvm`` is the major version: LLVM 22 gave vpdpbusd byte operands."""
    lanes = isa.lanes
    i32, i16 = f"<{lanes} x i32>", f"<{lanes * 2} x i16>"
    lines = [f"declare {i32} @llvm.lrint.v{lanes}i32.v{lanes}f32(<{lanes} x float>)"]
    for kind in ("sadd", ):
        lines.append(f"declare {i16} @llvm.{kind}.sat.v{lanes * 2}i16({i16}, {i16})")
    for kind in ("umin", "umax"):
        lines.append(f"declare <{lanes * 4} x i8> @llvm.{kind}.v{lanes * 4}i8(<{lanes * 4} x i8>, <{lanes * 4} x i8>)")
    if isa.triple.startswith("x86"):
        operand = f"<{lanes * 4} x i8>" if llvm >= 22 else i32
        lines.append(f"declare {i32} @llvm.x86.{isa.dot}({i32}, {operand}, {operand})")
        for kind, wide, narrow in (("packssdw", i32, i16), ("packuswb", i16, f"<{lanes * 4} x i8>")):
            lines.append(f"declare {narrow} @llvm.x86.{_pack(isa, kind)}({wide}, {wide})")
    else:
        byte = f"<{lanes * 4} x i8>"
        lines.append(f"declare {i32} @llvm.aarch64.neon.{isa.dot}.v4i32.v16i8({i32}, {byte}, {byte})")
    return "\n".join(lines) + "\n"


def _pack(isa: Isa, kind: str) -> str:
    return f"avx512.{kind}.512" if isa.lanes == 16 else f"avx2.{kind}"


def name(vectors: int, channels: int, taps: int) -> str:
    return f"conv_{vectors}_{channels}_{taps}"


def convolution(isa: Isa, llvm: int, *, vectors: int, channels: int, taps: int) -> str:
    """A function that computes ``vectors`` x ``lanes`` pixels of ``channels`` output channels.

    ``table`` holds ``n`` pointers, each to pixel 0 of a row of four input channels; ``in`` is the byte offset of the
    tile in them. With ``taps`` 3 each row is used at x-1, x and x+1. ``weights`` are [n][taps][channels][4] int8.
    ``params``: channels x int32 bias, channels x float32 scale, then the output's zero point and limits as bytes.
    The result goes to ``out``, four channels in each ``plane`` bytes.
    """
    f = Function(name(vectors, channels, taps), PARAMS)
    lanes = isa.lanes
    i32, byte = f"<{lanes} x i32>", f"<{lanes * 4} x i8>"
    zero = []
    for c in range(channels):
        bias = f.splat(lanes, "i32", f.load("i32", "%params", 4 * c))
        zero += [bias] * vectors
    with f.carry("%n", i32, zero) as (i, sums):
        row = f.at(f.load("ptr", "%table", f.mul(i, 8)), "%in")
        at = f.at("%weights", f.mul(i, taps * channels * 4))
        for tap in range(taps):
            shift = 4 * (tap - taps // 2)
            pixels = [f.load(byte, row, shift + 4 * lanes * v) for v in range(vectors)]
            for c in range(channels):
                weight = f.splat(lanes, "i32", f.load("i32", at, 4 * (tap * channels + c)))
                for v in range(vectors):
                    sums[c * vectors + v] = _dot(f, isa, llvm, sums[c * vectors + v], pixels[v], weight)
    scales = [f.splat(lanes, "float", f.load("float", "%params", 4 * (channels + c))) for c in range(channels)]
    limits = [f.load("i8", "%params", 8 * channels + k) for k in range(3)]
    for first in range(0, channels, 4):
        quad = range(first, min(first + 4, channels))
        for v in range(vectors):
            values = [_round(f, lanes, sums[c * vectors + v], scales[c]) for c in quad]
            packed = _pack_quad(f, isa, values, limits)
            f.store(byte, packed, "%out", f.add(f.mul("%plane", first // 4), 4 * lanes * v))
    return f.text()


def _dot(f: Function, isa: Isa, llvm: int, total: str, pixels: str, weight: str) -> str:
    i32, byte = f"<{isa.lanes} x i32>", f"<{isa.lanes * 4} x i8>"
    if isa.triple.startswith("x86"):
        if llvm >= 22:
            weight = f(f"bitcast {i32} {weight} to {byte}")
            return f(f"call {i32} @llvm.x86.{isa.dot}({i32} {total}, {byte} {pixels}, {byte} {weight})")
        pixels = f(f"bitcast {byte} {pixels} to {i32}")
        return f(f"call {i32} @llvm.x86.{isa.dot}({i32} {total}, {i32} {pixels}, {i32} {weight})")
    weight = f(f"bitcast {i32} {weight} to {byte}")
    if isa.signed:
        pixels = f(f"xor {byte} {pixels}, splat (i8 -128)")
    return f(f"call {i32} @llvm.aarch64.neon.{isa.dot}.v4i32.v16i8({i32} {total}, {byte} {pixels}, {byte} {weight})")


def _round(f: Function, lanes: int, total: str, scale: str) -> str:
    """As XNNPACK does it: to float32, times the float32 scale, to the nearest integer, ties to even."""
    i32, f32 = f"<{lanes} x i32>", f"<{lanes} x float>"
    scaled = f(f"fmul {f32} {f(f'sitofp {i32} {total} to {f32}')}, {scale}")
    return f(f"call {i32} @llvm.lrint.v{lanes}i32.v{lanes}f32({f32} {scaled})")


def _pack_quad(f: Function, isa: Isa, values: list[str], limits: list[str]) -> str:
    """Up to four vectors of int32, one a channel, to pixels of four uint8: add the zero point, saturate, clamp."""
    lanes = isa.lanes
    i32, i16, byte = f"<{lanes} x i32>", f"<{lanes * 2} x i16>", f"<{lanes * 4} x i8>"
    values = values + ["zeroinitializer"] * (4 - len(values))
    zero_point = f.splat(lanes * 2, "i16", f(f"zext i8 {limits[0]} to i16"))
    halves = []
    for a, b in (values[:2], values[2:]):
        if isa.triple.startswith("x86"):
            both = f(f"call {i16} @llvm.x86.{_pack(isa, 'packssdw')}({i32} {a}, {i32} {b})")
        else:
            both = _saturate(f, lanes * 2, _join(f, lanes, "i32", a, b), "i32", "i16", -32768, 32767)
        halves.append(f(f"call {i16} @llvm.sadd.sat.v{lanes * 2}i16({i16} {both}, {i16} {zero_point})"))
    if isa.triple.startswith("x86"):
        packed = f(f"call {byte} @llvm.x86.{_pack(isa, 'packuswb')}({i16} {halves[0]}, {i16} {halves[1]})")
    else:
        packed = _saturate(f, lanes * 4, _join(f, lanes * 2, "i16", *halves), "i16", "i8", 0, 255)
    # Every 128 bits now hold four pixels of channel 0, four of channel 1, ...: transpose these 4x4 bytes.
    mask = [16 * (p // 4) + 4 * c + p % 4 for p in range(lanes) for c in range(4)]
    packed = f.shuffle(lanes * 4, packed, "poison", mask)
    for kind, limit in (("umax", limits[1]), ("umin", limits[2])):
        bound = f.splat(lanes * 4, "i8", limit)
        packed = f(f"call {byte} @llvm.{kind}.v{lanes * 4}i8({byte} {packed}, {byte} {bound})")
    return packed


def _join(f: Function, lanes: int, kind: str, a: str, b: str) -> str:
    picks = ", ".join(f"i32 {k}" for k in range(2 * lanes))
    return f(f"shufflevector <{lanes} x {kind}> {a}, <{lanes} x {kind}> {b}, <{2 * lanes} x i32> <{picks}>")


def _saturate(f: Function, lanes: int, value: str, wide: str, narrow: str, low: int, high: int) -> str:
    """Narrow with saturation, in the form that LLVM turns into sqxtn and sqxtun."""
    kind = f"<{lanes} x {wide}>"
    for test, bound in (("slt", high), ("sgt", low)):
        limit = f"splat ({wide} {bound})"
        value = f(f"select <{lanes} x i1> {f(f'icmp {test} {kind} {value}, {limit}')}, {kind} {value}, {kind} {limit}")
    return f(f"trunc {kind} {value} to <{lanes} x {narrow}>")
