"""The arithmetic: one row of one convolution, requantised to uint8, for any instruction set we
know.

Activations lie in planes of four channels, a pixel being 32 bits, so that a vector register holds
``lanes`` pixels and one dot-product instruction multiplies them by four weights, broadcast from a
32-bit scalar.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from streamsr.engines.fused.codegen.instructions import dot, pack, pin, requantise
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import Shape
from streamsr.native.ir import Function

EARLY = 7
"""Rows of a pointwise convolution between which the last group is requantised: the stem has no
more, narrow networks have fewer."""

ONE_APART = 0x4B000000
"""Bit pattern of the float32 2**23: sums of 3x3 convolutions start there (see
instructions.requantise)."""

_PARAMS = (
    "ptr %table, i64 %n, ptr %weights, ptr %params, i64 %in, i64 %step, ptr %out, i64 %plane, i64 "
    "%groups, i64 %tiles"
)


def kinds(isa: Isa, shape: Shape) -> tuple[tuple[int, int], ...]:
    """Output channels and taps of the kernels, by the number that stands in an operation's
    record."""
    root = isa.channels if 4 * shape.group_planes % isa.channels == 0 else 4
    return (4, 1), (root, 3), (3 * isa.subpixels(shape.scale), 3)


def name(vectors: int, channels: int, taps: int) -> str:
    return f"conv_{vectors}_{channels}_{taps}"


def kernels(isa: Isa, llvm: int, shape: Shape) -> str:
    """All convolutions of one member of the family, for full tiles and for what is left of a
    row."""
    widths = range(1, isa.vectors + 1)
    return "\n".join(
        _convolution(isa, llvm, shape, v, channels, taps)
        for v in widths
        for channels, taps in kinds(isa, shape)
    )


def _convolution(isa: Isa, llvm: int, shape: Shape, vectors: int, channels: int, taps: int) -> str:
    """A function that computes ``tiles`` times ``vectors`` * ``lanes`` pixels of ``groups`` *
    ``channels`` channels.

    ``table`` holds ``n`` pointers, each to pixel 0 of a row of four input channels; ``in`` is the
    byte offset of the first tile in them, and from group to group it moves ``step`` planes (rounded
    down to those of a group of the network). With ``taps`` 3 each row is used at x-1, x and x+1.
    ``weights`` are [groups][n][taps][channels][4] int8. ``params`` of each group are channels x
    int32 bias, channels x float32 scale, channels x float32 shift and the output's zero point,
    int16. The result goes to ``out``, four channels in each ``plane`` bytes.

    With one tap there is little to multiply for each sum, and the processor cannot look far enough
    ahead to multiply for the next group while it requantises this one. So the code says it: the
    sums of a group are requantised between the first EARLY rows of the next one, given the
    registers. ``n`` is at least that.
    """
    f = Function(name(vectors, channels, taps), _PARAMS)
    block, early = 4 * isa.lanes * vectors, 0
    if taps == 1 and isa.registers >= 32:
        early = min(EARLY, shape.planes)
    made = f, isa, llvm, vectors, channels, taps, taps > 1 and not shape.far
    vector = [f"<{isa.lanes} x i32>"] * (vectors * channels)
    types = ["ptr", "ptr", *vector] if early else []
    idle = ["%out", "%params", *["zeroinitializer"] * len(vector)] if early else []
    with f.carry(0, f.mul("%tiles", block), block, types, idle) as (x, across):
        with f.carry(0, "%groups", 1, types, across) as (g, last):
            planes = _rounded(f, f.mul(g, "%step"), shape.group_planes)
            source = f.add(f.add(x, "%in"), f.mul(planes, "%plane"))
            weights = f.at("%weights", f.mul(g, f.mul("%n", taps * channels * 4)))
            params = f.at("%params", f.mul(g, 12 * channels + 4))
            out = f.at("%out", f.add(x, f.mul(g, f.mul("%plane", -(-channels // 4)))))
            bias = [
                f.splat(isa.lanes, "i32", f.load("i32", params, 4 * c)) for c in range(channels)
            ]
            tile = _Tile(*made, [one for one in bias for _ in range(vectors)])
            start = [step for k in range(early) for step in tile.row(k, source, weights)]
            finish = _Tile(*made, last[2:]).finish(last[1], last[0]) if early else []
            for k, step in enumerate(start):
                step()
                tile.pin(range(k % channels * vectors, (k % channels + 1) * vectors))
                for other in finish[
                    len(finish) * k // len(start) : len(finish) * (k + 1) // len(start)
                ]:
                    other()
            with f.carry(early, "%n", 1, vector, tile.sums) as (i, tile.sums):
                for step in tile.row(i, source, weights):
                    step()
            if early:
                last[:] = [out, params, *tile.sums]
            else:
                for step in tile.finish(params, out):
                    step()
        across[:] = last
    if early:
        for step in _Tile(*made, across[2:]).finish(across[1], across[0]):
            step()
    return f.text()


def _rounded(f: Function, value: str, unit: int) -> str:
    """``value`` less what is over whole units."""
    if unit & (unit - 1) == 0:
        return f(f"and i64 {value}, {-unit}")
    return f(f"sub i64 {value}, {f(f'urem i64 {value}, {unit}')}")


@dataclass
class _Tile:
    """The sums of one tile while its code is written: ``sums[channel * vectors + vector]``, from
    ONE_APART on where they are ``near``."""

    f: Function
    isa: Isa
    llvm: int
    vectors: int
    channels: int
    taps: int
    near: bool
    sums: list[str]

    def row(self, i: str | int, source: str, weights: str) -> list[Callable[[], None]]:
        """Steps that add row ``i`` of the table, one for each tap and channel."""
        f, block = self.f, 4 * self.isa.lanes
        start = f.at(f.load("ptr", "%table", f.mul(i, 8)), source)
        at = f.at(weights, f.mul(i, self.taps * self.channels * 4))
        pixels: list[str] = []

        def step(tap: int, channel: int) -> None:
            if channel == 0:
                shift = 4 * (tap - self.taps // 2)
                pixels[:] = [
                    f.load(f"<{block} x i8>", start, shift + block * v) for v in range(self.vectors)
                ]
            weight = f.splat(
                self.isa.lanes, "i32", f.load("i32", at, 4 * (tap * self.channels + channel))
            )
            for v in range(self.vectors):
                k = channel * self.vectors + v
                self.sums[k] = dot(f, self.isa, self.llvm, self.sums[k], pixels[v], weight)

        return [
            partial(step, tap, channel)
            for tap in range(self.taps)
            for channel in range(self.channels)
        ]

    def finish(self, params: str, out: str) -> list[Callable[[], None]]:
        """Steps that requantise and store the tile: each vector, and after every four that make
        pixels, a store."""
        f, lanes = self.f, self.isa.lanes
        relu = self.taps > 1

        def scale(k: int) -> None:
            self.pin(range(k, k + 1))
            places = (4 * (part * self.channels + k // self.vectors) for part in (1, 2))
            factor, shift = (
                f.splat(lanes, "float", f.load("float", params, place)) for place in places
            )
            self.sums[k] = requantise(f, lanes, self.sums[k], factor, shift if self.near else None)

        def store(quad: range, v: int) -> None:
            zero_point = None if relu else f.load("i16", params, 12 * self.channels)
            packed = pack(f, self.isa, [self.sums[c * self.vectors + v] for c in quad], zero_point)
            f.store(
                f"<{4 * lanes} x i8>",
                packed,
                out,
                f.add(f.mul("%plane", quad[0] // 4), 4 * lanes * v),
            )

        steps: list[Callable[[], None]] = []
        for first in range(0, self.channels, 4):
            quad = range(first, min(first + 4, self.channels))
            for v in range(self.vectors):
                steps += [
                    *(partial(scale, c * self.vectors + v) for c in quad),
                    partial(store, quad, v),
                ]
        return steps

    def pin(self, chosen: range) -> None:
        """Keep LLVM's scheduler from moving what computes these sums across this point."""
        self.sums[chosen.start : chosen.stop] = pin(
            self.f, self.isa, [self.sums[k] for k in chosen]
        )
