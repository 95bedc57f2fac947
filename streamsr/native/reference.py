"""What the compiled loops compute, in NumPy: the same float32 operations in the same order, so the
same bytes.

A twin of each function of `emit`. It judges the compiled one when that is loaded, and serves in its
place, some twenty times slower, where that differs or cannot be made.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamsr.native import emit
from streamsr.native.emit import DECODE, ENCODE

Rows = NDArray[np.uint8] | NDArray[np.uint16]
Floats = NDArray[np.float32]
Constants = Mapping[str, np.float32]


def singles(names: Sequence[str], k: Mapping[str, float]) -> Constants:
    """The constants as the compiled code has them."""
    return {name: np.float32(k[name]) for name in names}


def to_rgb(planes: Sequence[Rows], rgb: Rows, k: Mapping[str, float]) -> None:
    """See `loops.to_rgb`."""
    y, u, v = planes
    c = singles(DECODE, k)
    height, width = rgb.shape[:2]
    sub_x, sub_y = int(u.shape[1] < width), int(u.shape[0] < height)
    half = (width + sub_x) >> sub_x
    wide_u, wide_v = (
        _widened(plane[:, :half], height, sub_x, sub_y, c)[:, :width] for plane in (u, v)
    )
    luma = np.float32(0.5) + (y[:height, :width].astype(np.float32) - c["y_zero"]) * c["ky"]
    zero = np.float32(0)
    for channel, (cu, cv) in enumerate(((zero, c["rv"]), (c["gu"], c["gv"]), (c["bu"], zero))):
        rgb[..., channel] = _levels(luma + wide_u * cu + wide_v * cv, c["top"], rgb.dtype)


def _widened(plane: Rows, height: int, sub_x: int, sub_y: int, c: Constants) -> Floats:
    """Chroma at each luma sample, less its zero: between two rows, then between two columns."""
    lines = np.arange(height)
    near = lines >> sub_y
    far = np.clip(near - 1 + 2 * (lines & 1), 0, plane.shape[0] - 1) if sub_y else near
    samples = plane.astype(np.float32)
    row = samples[near] * np.float32(0.75) + samples[far] * np.float32(0.25) - c["c_zero"]
    if not sub_x:
        return np.asarray(row, np.float32)
    padded = np.concatenate([row[:, :1], row, row[:, -1:]], 1)
    left, here, right = padded[:, :-2], padded[:, 1:-1], padded[:, 2:]
    wide = np.empty((height, 2 * row.shape[1]), np.float32)
    wide[:, 0::2] = here * c["even"] + left * (np.float32(1) - c["even"])
    wide[:, 1::2] = here * c["odd"] + right * (np.float32(1) - c["odd"])
    return wide


def from_rgb(rgb: Rows, planes: Sequence[Rows], k: Mapping[str, float]) -> None:
    """See `loops.from_rgb`."""
    y, u, v = planes
    c = singles(ENCODE, k)
    height, width = rgb.shape[:2]
    (lines, columns), (rows, half) = y.shape, u.shape
    sub_x, sub_y = int(half < columns), int(rows < lines)
    channels = [rgb[..., i].astype(np.float32) for i in range(3)]
    together = sub_y + 1
    source = np.minimum(np.arange(rows * together), height - 1)

    def weighted(start: Floats, output: str, picks: NDArray[np.int64]) -> Floats:
        for plane, name in zip(channels, "rgb", strict=True):
            start = start + plane[picks] * c[output + name]
        return start

    luma = weighted(np.full((lines, width), c["y_zero"], np.float32), "y", source[:lines])
    y[:, :width] = _levels(luma, c["top"], y.dtype)
    y[:, width:] = y[:, width - 1 : width]
    for name, out in (("u", u), ("v", v)):
        total = np.zeros((rows, width), np.float32)
        for n in range(together):
            total = weighted(total * np.float32(n), name, source[n::together])
        # One more in front, and the last repeated behind.
        padded = np.concatenate(
            [total[:, :1], total, np.repeat(total[:, -1:], columns + 2 - width, 1)], 1
        )
        if sub_x:
            at = 2 * np.arange(half)
            total = (padded[:, at] * c["before"] + padded[:, at + 1] * c["middle"]) + padded[
                :, at + 2
            ]
        else:
            total = padded[:, 1 : half + 1]
        out[:] = _levels(c["c_zero"] + total * c["scale"], c["top"], out.dtype)


def _levels(values: Floats, top: np.float32, dtype: np.dtype[np.generic]) -> Rows:
    """Cut to whole numbers between 0 and ``top``."""
    return np.clip(values.astype(np.int32), 0, int(top)).astype(dtype)


def compare(a: NDArray[np.uint8], b: NDArray[np.uint8], cells: NDArray[np.uint8]) -> None:
    """See `loops.compare`."""
    differs: NDArray[np.bool_] = np.any(a != b, axis=2)
    height, width = differs.shape
    padded = np.pad(differs, ((0, -height % 8), (0, -width % 8)))
    if width % 8:  # of a cell that the edge cuts off, every pixel counts for both sides
        cut = width - width % 8
        padded[:, cut:] = padded[:, cut:].any(axis=1, keepdims=True)
    blocks = padded.reshape(len(padded) // 8, 8, -1, 8)
    left: NDArray[np.bool_] = np.any(blocks[..., :5], axis=3)
    right: NDArray[np.bool_] = np.any(blocks[..., 3:], axis=3)
    for flags, side, above, below in (
        (left, emit.LEFT, emit.TOP_LEFT, emit.BOTTOM_LEFT),
        (right, emit.RIGHT, emit.TOP_RIGHT, emit.BOTTOM_RIGHT),
    ):
        cells |= (flags.any(axis=1) * np.uint8(side)).astype(np.uint8)
        cells |= (flags[:, :5].any(axis=1) * np.uint8(above | emit.TOP)).astype(np.uint8)
        cells |= (flags[:, 3:].any(axis=1) * np.uint8(below | emit.BOTTOM)).astype(np.uint8)
