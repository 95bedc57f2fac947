"""Compares a compiled loop with its NumPy twin when it is loaded: code is not trusted, whether it
comes from the cache or from the compiler.

The pictures are small but reach every part of a loop: whole vectors, unrolled ones, tails of every
kind and one pixel; each layout of chroma and each depth; samples over all their range, which leave
the range of colours.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsr.native import reference
from streamsr.native.from_rgb_ir import ENCODE
from streamsr.native.to_rgb_ir import DECODE

Rows = NDArray[np.uint8] | NDArray[np.uint16]
Loop = Callable[..., None]
"""Takes what the loop of its name in `loops` takes."""

Case = tuple[str, tuple[Any, ...]]
"""The name of a case and the arguments of the call."""

SIZES = (167, 5), (1, 1)
"""Widths and heights of pictures: more than twice the 64 samples that AVX-512 code takes at once,
with an odd rest; and one pixel."""

LAYOUTS = ((0, 0), (1, 0), (1, 1), (0, 1))
"""Whether chroma has half of the columns, and half of the rows."""


def differs(name: str, loop: Loop) -> str | None:
    """Say in which case the loop of this name (see `modules.module`) differs from its twin; None
    where all bytes are the same."""
    kind, *bits = name.rsplit("_", 2)
    cases: dict[str, Callable[..., Iterator[Case]]] = {
        "to_rgb": _to_rgb,
        "from_rgb": _from_rgb,
        "compare": _compare,
        "detail": _detail,
        "consistent": _consistent,
        "blend": _blend,
        "sharpen": _sharpen,
    }
    twin: Loop = getattr(reference, kind)
    for what, arguments in cases[kind](*map(int, bits)):
        results = []
        for run in (loop, twin):
            given = [_copied(argument) for argument in arguments]
            run(*given)
            results.append(b"".join(_bytes(argument) for argument in given))
        if results[0] != results[1]:
            return what
    return None


def _copied(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        return argument.copy()
    return tuple(plane.copy() for plane in argument) if isinstance(argument, tuple) else argument


def _bytes(argument: Any) -> bytes:
    if isinstance(argument, np.ndarray):
        return argument.tobytes()
    return b"".join(plane.tobytes() for plane in argument) if isinstance(argument, tuple) else b""


def _layouts(bits: int) -> Iterator[tuple[int, int, int, int, int, bool]]:
    """Width, height, layout, depth and chroma position of each case; the depths take turns."""
    depths = itertools.cycle((8,) if bits == 8 else (10, 16, 9, 12))
    for (width, height), (sub_x, sub_y), centered in itertools.product(
        SIZES, LAYOUTS, (False, True)
    ):
        if sub_x or not centered:
            yield width, height, sub_x, sub_y, next(depths), centered


def _noise(shape: tuple[int, ...], depth: int, bits: int) -> Rows:
    rng = np.random.default_rng(depth)
    return rng.integers(0, 1 << depth, shape, np.uint8 if bits == 8 else np.uint16)


def _planes(
    columns: int, lines: int, sub_x: int, sub_y: int, depth: int, bits: int
) -> tuple[Rows, Rows, Rows]:
    chroma = -(-lines // (1 + sub_y)), -(-columns // (1 + sub_x))
    y, u, v = (_noise(shape, depth, bits) for shape in ((lines, columns), chroma, chroma))
    return y, u, v[::-1].copy()


def _to_rgb(read: int, write: int) -> Iterator[Case]:
    top = (1 << write) - 1
    for width, height, sub_x, sub_y, depth, centered in _layouts(read):
        unit = 2.0 ** (depth - 8)
        wide = [
            factor * top / (224 * unit) for factor in (1.5748, -0.1873, -0.4681, 1.8556)
        ]  # BT.709
        even_odd = (0.75, 0.75) if centered else (1.0, 0.5)
        k = dict(
            zip(
                DECODE,
                (top / (219 * unit), *wide, 16 * unit, 128 * unit, top, *even_odd),
                strict=True,
            )
        )
        planes = _planes(width, height, sub_x, sub_y, depth, read)
        rgb = np.zeros((height, width, 3), np.uint8 if write == 8 else np.uint16)
        yield f"{width}x{height}, {depth} bits, layout {sub_x}{sub_y}", (planes, rgb, k)


def _from_rgb(read: int, write: int) -> Iterator[Case]:
    top = (1 << read) - 1
    for width, height, sub_x, sub_y, depth, centered in _layouts(write):
        unit = 2.0 ** (depth - 8)
        luma = [factor * 219 * unit / top for factor in (0.2126, 0.7152, 0.0722)]
        factors = (-0.1146, -0.3854, 0.5, 0.5, -0.4542, -0.0458)
        chroma = [factor * 224 * unit / top for factor in factors]
        before, middle = (0, 1) if centered else (1, 2)
        samples = (before + middle + 1 if sub_x else 1) * (1 + sub_y)
        zeros = 16 * unit + 0.5, 128 * unit + 0.5
        k = dict(
            zip(
                ENCODE,
                (*luma, *chroma, *zeros, (1 << depth) - 1, 1 / samples, before, middle),
                strict=True,
            )
        )
        columns, lines = width + width % (1 + sub_x), height + height % (1 + sub_y)
        planes = _planes(columns, lines, sub_x, sub_y, depth, write)
        rgb = _noise((height, width, 3), read, read)
        yield f"{width}x{height}, {depth} bits, layout {sub_x}{sub_y}", (rgb, planes, k)


def _compare() -> Iterator[Case]:
    for width, height, share in ((331, 21, 0.004), (331, 21, 0.1), (3, 2, 0.5), (8, 8, 0.02)):
        rng = np.random.default_rng(width)
        a = rng.integers(0, 256, (height, width, 3), np.uint8)
        b = np.where(rng.random(a.shape) < share, a ^ np.uint8(1), a)
        cells = rng.integers(
            0, 2, (-(-height // 8), -(-width // 8)), np.uint8
        )  # flags that are set stay
        yield f"{width}x{height}", (a, b, cells)


def _detail() -> Iterator[Case]:
    for width, height, side in ((331, 37, 32), (163, 85, 80), (33, 3, 32), (1, 2, 4), (9, 1, 4)):
        rng = np.random.default_rng(width)
        before, now = rng.integers(0, 256, (2, height, width, 3), np.uint8)
        shape = -(-height // side), -(-width // side), 2
        sums = rng.integers(0, 99, shape)  # what is there is added to
        yield f"{width}x{height} in blocks of {side}", (before, now, side, sums)


def _consistent(scale: int) -> Iterator[Case]:
    for (width, height), first, last in (
        ((71, 7), 0, 7),
        ((71, 7), 3, 4),
        ((2, 3), 1, 3),
        ((1, 1), 0, 1),
    ):
        rng = np.random.default_rng(width)
        lr = rng.integers(0, 256, (height, width, 3), np.uint8)
        raw = rng.integers(0, 256, (scale * height, scale * width, 3), np.uint8)
        lr[-1:], raw[-2 * scale :] = 255, 0  # the largest difference there is
        yield (
            f"{width}x{height}, rows {first} to {last}",
            (lr, raw, np.zeros_like(raw), first, last),
        )


def _blend() -> Iterator[Case]:
    for width, share in ((167, 99), (1, 256), (33, 0)):
        a, b = np.random.default_rng(width).integers(0, 256, (2, 3, width, 3), np.uint8)
        yield f"{width}x3, {share} of 256", (a, b, share)


def _sharpen() -> Iterator[Case]:
    for (width, height), share, first, last in (
        ((167, 9), 256, 0, 9),
        ((167, 9), 77, 4, 6),
        ((1, 1), 256, 0, 1),
        ((2, 5), 128, 1, 5),
    ):
        rng = np.random.default_rng(width)
        soft = rng.integers(0, 256, (height, width, 3), np.uint8)
        soft[:, width // 2 :] = soft[:, width // 2 :] // 8 + 100  # a little contrast
        yield (
            f"{width}x{height}, rows {first} to {last}",
            (soft, share, np.zeros_like(soft), first, last),
        )
