"""The arithmetic: one tile of one convolution, requantised to uint8, for any instruction set we know.

Activations lie in planes of four channels, a pixel being 32 bits, so that a vector register holds ``lanes`` pixels
and one dot-product instruction multiplies them by four weights, broadcast from a 32-bit scalar.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from streamsr.engines.fused.ir import Function
from streamsr.engines.fused.isa import Isa

PARAMS = "ptr %table, i64 %n, ptr %weights, ptr %params, i64 %in, i64 %step, ptr %out, i64 %plane, i64 %groups, i64 %tiles"


EARLY = 7
"""Rows of a pointwise convolution between which the last group is requantised: the stem has no more."""

ONE_APART = 0x4B000000
"""Bit pattern of the float32 2**23: sums of 3x3 convolutions start there (see _round)."""


def declarations(isa: Isa, llvm: int) -> str:
    """External functions the kernels call. ``llvm`` is the major version: LLVM 22 gave vpdpbusd byte operands."""
    lanes = isa.lanes
    i32, i16 = f"<{lanes} x i32>", f"<{lanes * 2} x i16>"
    f32 = f"<{lanes} x float>"
    lines = [
        f"declare {i32} @llvm.lrint.v{lanes}i32.v{lanes}f32({f32})",
        f"declare {f32} @llvm.fma.v{lanes}f32({f32}, {f32}, {f32})",
    ]
    for kind in ("sadd",):
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


def kernels(isa: Isa, llvm: int, scale: int) -> str:
    """All convolutions of the network for one scale."""
    return "\n".join(
        convolution(isa, llvm, vectors=vectors, channels=channels, taps=taps)
        for vectors in range(1, isa.vectors + 1)
        for channels, taps in kinds(isa, scale)
    )


def kinds(isa: Isa, scale: int) -> tuple[tuple[int, int], ...]:
    """Output channels and taps of the kernels, by the number that stands in an operation's record."""
    return (4, 1), (isa.channels, 3), (3 * isa.subpixels(scale), 3)


def convolution(isa: Isa, llvm: int, *, vectors: int, channels: int, taps: int) -> str:
    """A function that computes ``vectors`` x ``lanes`` pixels of ``groups`` x ``channels`` output channels.

    ``table`` holds ``n`` pointers, each to pixel 0 of a row of four input channels; ``in`` is the byte offset of the
    tile in them. With ``taps`` 3 each row is used at x-1, x and x+1. ``weights`` are [groups][n][taps][channels][4]
    int8. ``params`` of each group are channels x int32 bias, channels x float32 scale, channels x float32 shift and
    the output's zero point, int16. The result goes to ``out``, four channels in each ``plane`` bytes.

    With one tap there is little to multiply for each sum, and the processor cannot look far enough ahead to multiply
    for the next group while it requantises this one. So the code says it: the sums of a group are requantised between
    the first ``EARLY`` rows of the next one. ``n`` is at least that.
    """
    f = Function(name(vectors, channels, taps), PARAMS)
    count, block = vectors * channels, 4 * isa.lanes * vectors
    kinds = ["ptr", "ptr", *[f"<{isa.lanes} x i32>"] * count]
    early = EARLY if taps == 1 else 0
    idle = ["%out", "%params", *["zeroinitializer"] * count]
    with f.carry(0, f.mul("%tiles", block), block, kinds, idle) as (x, before):
        with f.carry(0, "%groups", 1, kinds, before) as (g, last):
            shift = f.mul(f(f"and i64 {f.mul(g, '%step')}, -2"), "%plane")
            source, weights = f.add(x, f.add("%in", shift)), f.at("%weights", f.mul(g, f.mul("%n", taps * channels * 4)))
            params = f.at("%params", f.mul(g, 12 * channels + 4))
            out = f.at("%out", f.add(x, f.mul(g, f.mul("%plane", -(-channels // 4)))))
            bias = [f.splat(isa.lanes, "i32", f.load("i32", params, 4 * c)) for c in range(channels) for _ in range(vectors)]
            tile = _Tile(f, isa, llvm, vectors, channels, taps, bias)
            finish = _Tile(f, isa, llvm, vectors, channels, taps, last[2:]).finish(last[1], last[0]) if early else []
            start = [step for i in range(early) for step in tile.row(i, source, weights)]
            for i, step in enumerate(start):
                step()
                tile.pin(i % channels)
                for other in finish[len(finish) * i // len(start) : len(finish) * (i + 1) // len(start)]:
                    other()
            with f.carry(early, "%n", 1, kinds[2:], tile.sums) as (i, tile.sums):
                for step in tile.row(i, source, weights):
                    step()
            last[:] = [out, params, *tile.sums]
            if not early:
                for step in tile.finish(params, out):
                    step()
        before[:] = last
    if early:
        for step in _Tile(f, isa, llvm, vectors, channels, taps, before[2:]).finish(before[1], before[0]):
            step()
    return f.text()


@dataclass
class _Tile:
    """The sums of one tile while its code is written: ``sums[channel * vectors + vector]``."""

    f: Function
    isa: Isa
    llvm: int
    vectors: int
    channels: int
    taps: int
    sums: list[str]

    def row(self, i: str | int, source: str, weights: str) -> list[Callable[[], None]]:
        """Steps that add row ``i`` of the table, one for each tap and channel."""
        f, block = self.f, 4 * self.isa.lanes
        start = f.at(f.load("ptr", "%table", f.mul(i, 8)), source)
        pixels: list[str] = []

        def step(tap: int, channel: int) -> None:
            if channel == 0:
                shift = 4 * (tap - self.taps // 2)
                pixels[:] = [f.load(f"<{block} x i8>", start, shift + block * v) for v in range(self.vectors)]
            at = f.mul(i, self.taps * self.channels * 4)
            weight = f.load("i32", f.at(weights, at), 4 * (tap * self.channels + channel))
            weight = f.splat(self.isa.lanes, "i32", weight)
            for v, k in enumerate(self._of(channel)):
                self.sums[k] = _dot(f, self.isa, self.llvm, self.sums[k], pixels[v], weight)

        return [partial(step, tap, channel) for tap in range(self.taps) for channel in range(self.channels)]

    def finish(self, params: str, out: str) -> list[Callable[[], None]]:
        """Steps that requantise and store the tile."""
        f, lanes = self.f, self.isa.lanes

        def scale(channel: int, v: int) -> None:
            k = channel * self.vectors + v
            self.pin(channel, v)
            factor, shift = (
                f.splat(lanes, "float", f.load("float", params, 4 * (part * self.channels + channel))) for part in (1, 2)
            )
            self.sums[k] = _round(f, lanes, self.sums[k], factor, shift if self.taps > 1 else None)

        def store(quad: list[int], v: int) -> None:
            zero_point = f.load("i16", params, 12 * self.channels) if self.taps == 1 else None
            packed = _pack_quad(f, self.isa, [self.sums[c * self.vectors + v] for c in quad], zero_point)
            f.store(f"<{4 * lanes} x i8>", packed, out, f.add(f.mul("%plane", quad[0] // 4), 4 * lanes * v))

        steps: list[Callable[[], None]] = []
        for first in range(0, self.channels, 4):
            quad = list(range(first, min(first + 4, self.channels)))
            for v in range(self.vectors):
                steps += [*(partial(scale, c, v) for c in quad), partial(store, quad, v)]
        return steps

    def pin(self, channel: int, vector: int | None = None) -> None:
        """Keep LLVM from moving what computes these sums, or any load, across this point. No instruction is added."""
        chosen = self._of(channel) if vector is None else [channel * self.vectors + vector]
        kind, letter = f"<{self.isa.lanes} x i32>", self.isa.register
        outs, ins = ",".join([f"={letter}"] * len(chosen)), ",".join(map(str, range(len(chosen))))
        values = ", ".join(f"{kind} {self.sums[k]}" for k in chosen)
        result = kind if len(chosen) == 1 else f"{{{', '.join([kind] * len(chosen))}}}"
        pinned = self.f(f'call {result} asm sideeffect "", "{outs},{ins},~{{memory}}"({values})')
        for i, k in enumerate(chosen):
            self.sums[k] = pinned if len(chosen) == 1 else self.f(f"extractvalue {result} {pinned}, {i}")

    def _of(self, channel: int) -> range:
        return range(channel * self.vectors, (channel + 1) * self.vectors)


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


def _round(f: Function, lanes: int, total: str, scale: str, shift: str | None) -> str:
    """As XNNPACK does it: to float32, times the float32 scale, to the nearest integer, ties to even.

    With ``shift``, which is -2**23 * scale, the sum already is a float's bit pattern: it was started at that of 2**23,
    above which floats are one apart. Taking the shift off in the same fused operation rounds only once and saves the
    conversion. Negative sums become some other negative number: good enough where the next thing is to clamp at 0.
    """
    i32, f32 = f"<{lanes} x i32>", f"<{lanes} x float>"
    if shift is None:
        scaled = f(f"fmul {f32} {f(f'sitofp {i32} {total} to {f32}')}, {scale}")
    else:
        real = f(f"bitcast {i32} {total} to {f32}")
        scaled = f(f"call {f32} @llvm.fma.v{lanes}f32({f32} {real}, {f32} {scale}, {f32} {shift})")
    return f(f"call {i32} @llvm.lrint.v{lanes}i32.v{lanes}f32({f32} {scaled})")


def _pack_quad(f: Function, isa: Isa, values: list[str], zero_point: str | None) -> str:
    """Up to four vectors of int32, one a channel, to pixels of four uint8: add the zero point and saturate.

    The addition does not saturate because it need not: the reader of the graph refuses sums that could overflow it.
    """
    lanes = isa.lanes
    i32, i16, byte = f"<{lanes} x i32>", f"<{lanes * 2} x i16>", f"<{lanes * 4} x i8>"
    values = values + ["zeroinitializer"] * (4 - len(values))
    halves = []
    for a, b in (values[:2], values[2:]):
        if isa.triple.startswith("x86"):
            both = f(f"call {i16} @llvm.x86.{_pack(isa, 'packssdw')}({i32} {a}, {i32} {b})")
        else:
            both = _saturate(f, lanes * 2, _join(f, lanes, "i32", a, b), "i32", "i16", -32768, 32767)
        if zero_point:
            both = f(f"add {i16} {both}, {f.splat(lanes * 2, 'i16', zero_point)}")
        halves.append(both)
    if isa.triple.startswith("x86"):
        packed = f(f"call {byte} @llvm.x86.{_pack(isa, 'packuswb')}({i16} {halves[0]}, {i16} {halves[1]})")
    else:
        packed = _saturate(f, lanes * 4, _join(f, lanes * 2, "i16", *halves), "i16", "i8", 0, 255)
    # Every 128 bits now hold four pixels of channel 0, four of channel 1, ...: transpose these 4x4 bytes.
    mask = [16 * (p // 4) + 4 * c + p % 4 for p in range(lanes) for c in range(4)]
    return f.shuffle(lanes * 4, packed, "poison", mask)


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
