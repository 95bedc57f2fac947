"""What the compiled loops compute, in NumPy: the same float32 operations in the same order, so the
same bytes.

A twin of each function that `to_rgb_ir`, `from_rgb_ir`, `compare_ir` and `detail_ir` emit; those
of one row take any number of rows at once, [..., samples]. They judge the compiled loops when these
are loaded, and serve in their place, some twenty times slower, where one differs or cannot be made.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamsr.native import compare_ir
from streamsr.native.from_rgb_ir import ENCODE
from streamsr.native.to_rgb_ir import DECODE

Rows = NDArray[np.uint8] | NDArray[np.uint16]
Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Constants = Mapping[str, np.float32]


def singles(names: Sequence[str], k: Mapping[str, float]) -> Constants:
    """Round the constants to float32, as the compiled code has them."""
    return {name: np.float32(k[name]) for name in names}


def to_rgb(planes: Sequence[Rows], rgb: Rows, k: Mapping[str, float]) -> None:
    """See `loops.to_rgb`."""
    y, u, v = planes
    c = singles(DECODE, k)
    height, width = rgb.shape[:2]
    sub_x = int(u.shape[1] < width)
    sub_y = int(u.shape[0] < height)
    half = (width + sub_x) >> sub_x
    lines = np.arange(height)
    near = lines >> sub_y
    # Rows 2c and 2c+1 lie a quarter above and below chroma row c.
    far = np.clip(near - 1 + 2 * (lines & 1), 0, u.shape[0] - 1) if sub_y else near
    wide_u, wide_v = (
        widen(plane[near, :half], plane[far, :half], sub_x, c)[:, :width] for plane in (u, v)
    )
    zero = np.float32(0)
    shares = (zero, c["rv"]), (c["gu"], c["gv"]), (c["bu"], zero)
    colors = [mix(y[:height, :width], wide_u, wide_v, *share, c, rgb.dtype) for share in shares]
    rgb[:] = pack(*colors)


def widen(near: Rows, far: Rows, sub_x: int, c: Constants) -> Floats:
    """Chroma of luma rows, less its zero: between a near and a far row, then between columns."""
    blended = near.astype(np.float32) * np.float32(0.75) + far.astype(np.float32) * np.float32(0.25)
    row = np.asarray(blended - c["c_zero"], np.float32)
    if not sub_x:
        return row
    padded = np.concatenate([row[..., :1], row, row[..., -1:]], -1)
    left, here, right = padded[..., :-2], padded[..., 1:-1], padded[..., 2:]
    wide = np.empty((*row.shape[:-1], 2 * row.shape[-1]), np.float32)
    wide[..., 0::2] = here * c["even"] + left * (np.float32(1) - c["even"])
    wide[..., 1::2] = here * c["odd"] + right * (np.float32(1) - c["odd"])
    return wide


def mix(
    y: Rows,
    u: Floats,
    v: Floats,
    cu: np.float32,
    cv: np.float32,
    c: Constants,
    dtype: np.dtype[np.generic],
) -> Rows:
    """Rows of R, G or B, which takes ``cu`` of U and ``cv`` of V."""
    luma = np.float32(0.5) + (y.astype(np.float32) - c["y_zero"]) * c["ky"]
    return levels(luma + u * cu + v * cv, c["top"], dtype)


def pack(r: Rows, g: Rows, b: Rows) -> Rows:
    """Rows of R, G and B as pixels [..., W, 3]."""
    pixels = np.empty((*r.shape, 3), r.dtype)
    pixels[..., 0] = r
    pixels[..., 1] = g
    pixels[..., 2] = b
    return pixels


def unpack(rgb: Rows) -> tuple[Rows, Rows, Rows]:
    """Pixels [..., W, 3] as rows of R, G and B."""
    return rgb[..., 0], rgb[..., 1], rgb[..., 2]


def levels(values: Floats, top: np.float32, dtype: np.dtype[np.generic]) -> Rows:
    """Cut to whole numbers between 0 and ``top``."""
    return np.clip(values.astype(np.int32), 0, int(top)).astype(dtype)


def from_rgb(rgb: Rows, planes: Sequence[Rows], k: Mapping[str, float]) -> None:
    """See `loops.from_rgb`."""
    y, u, v = planes
    c = singles(ENCODE, k)
    height, width = rgb.shape[:2]
    (lines, columns), (rows, half) = y.shape, u.shape
    sub_x = int(half < columns)
    sub_y = int(rows < lines)
    together = sub_y + 1
    source = np.minimum(np.arange(rows * together), height - 1)
    y[:] = weigh(unpack(rgb[source[:lines]]), weights("y", c), c["y_zero"], c["top"], y)
    for name, out in (("u", u), ("v", v)):
        sums = np.zeros((rows, width), np.float32)
        for n in range(together):
            colors = unpack(rgb[source[n::together]])
            sums = accumulate(sums, np.float32(n), colors, weights(name, c))
        # One more in front, and the last repeated behind.
        behind = np.repeat(sums[:, -1:], columns + 2 - width, 1)
        padded = np.concatenate([sums[:, :1], sums, behind], 1)
        out[:] = subsample(padded, half, sub_x, c, out.dtype)


def weights(output: str, c: Constants) -> tuple[np.float32, np.float32, np.float32]:
    """What Y, U or V takes of R, G and B."""
    return c[output + "r"], c[output + "g"], c[output + "b"]


def weighted(start: Floats | np.float32, colors: Sequence[Rows], w: Sequence[np.float32]) -> Floats:
    """``start + r * cr + g * cg + b * cb``, from left to right."""
    r, g, b = (color.astype(np.float32) for color in colors)
    return np.asarray(start + r * w[0] + g * w[1] + b * w[2], np.float32)


def weigh(
    colors: Sequence[Rows], w: Sequence[np.float32], zero: np.float32, top: np.float32, like: Rows
) -> Rows:
    """Rows of luma of the type and width of ``like``; their last sample is repeated."""
    luma = levels(weighted(zero, colors, w), top, like.dtype)
    behind = np.repeat(luma[..., -1:], like.shape[-1] - luma.shape[-1], -1)
    return np.concatenate([luma, behind], -1)


def accumulate(
    sums: Floats, kept: np.float32, colors: Sequence[Rows], w: Sequence[np.float32]
) -> Floats:
    """Sums at luma's width, times ``kept``, and this row's share on top."""
    return weighted(sums * kept, colors, w)


def subsample(
    row: Floats, half: int, sub_x: int, c: Constants, dtype: np.dtype[np.generic]
) -> Rows:
    """Rows of chroma from sums at luma's width, with one more in front and behind."""
    total = row[..., 1 : half + 1]
    if sub_x:
        at = 2 * np.arange(half)
        total = row[..., at] * c["before"] + row[..., at + 1] * c["middle"] + row[..., at + 2]
    return levels(c["c_zero"] + total * c["scale"], c["top"], dtype)


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
        (left, compare_ir.LEFT, compare_ir.TOP_LEFT, compare_ir.BOTTOM_LEFT),
        (right, compare_ir.RIGHT, compare_ir.TOP_RIGHT, compare_ir.BOTTOM_RIGHT),
    ):
        upper = above | compare_ir.TOP
        lower = below | compare_ir.BOTTOM
        cells |= (flags.any(axis=1) * np.uint8(side)).astype(np.uint8)
        cells |= (flags[:, :5].any(axis=1) * np.uint8(upper)).astype(np.uint8)
        cells |= (flags[:, 3:].any(axis=1) * np.uint8(lower)).astype(np.uint8)


def detail(
    before: NDArray[np.uint8], now: NDArray[np.uint8], side: int, sums: NDArray[np.int64]
) -> None:
    """See `loops.detail`."""
    green = now[..., 1].astype(np.int32)
    here = green[:-1:2, :-1]
    steps = np.abs(here - green[:-1:2, 1:]) + np.abs(here - green[1::2, :-1])
    change = np.abs(here - before[:-1:2, :-1, 1])
    rows, columns = sums.shape[:2]
    for i, values in enumerate((steps, change)):
        missing = rows * side // 2 - values.shape[0], columns * side - values.shape[1]
        padded = np.pad(values, ((0, missing[0]), (0, missing[1])))
        sums[..., i] += padded.reshape(rows, side // 2, columns, side).sum(axis=(1, 3))


def consistent(
    lr: NDArray[np.uint8],
    raw: NDArray[np.uint8],
    hr: NDArray[np.uint8],
    first: int,
    last: int,
) -> None:
    """See `loops.consistent`."""
    height, width = lr.shape[:2]
    scale = hr.shape[0] // height
    # Two rows around, the second of which is read only by the first.
    top, end = max(first - 2, 0), min(last + 2, height)
    blocks = raw[top * scale : end * scale].reshape(end - top, scale, width, scale, 3)
    sums = blocks.sum(axis=(1, 3), dtype=np.int32)
    lost = eighths(scale**2 * lr[top:end].astype(np.int32) - sums, scale)
    soft = binomial(binomial(lost, 0), 1) + 2 >> 2
    large = linear(linear(soft, 0, scale), 1, scale)
    rows = slice((first - top) * scale, (last - top) * scale)
    here = slice(first * scale, last * scale)
    hr[here] = np.clip(raw[here] + (large[rows] + 16 >> 5), 0, 255)


def eighths(difference: Integers, scale: int) -> Integers:
    """The mean of a block's ``difference``, which is a sum over it, in eighths of a level."""
    if scale == 2:
        return difference * 2
    if scale == 3:
        return difference * 29127 + (1 << 14) >> 15  # 8 / 9 of 32768
    return difference + 1 >> 1


def repeated(values: Integers, axis: int) -> tuple[Integers, Integers]:
    """The neighbours before and behind along an axis; the edges' are themselves."""
    count = values.shape[axis]
    before, behind = (np.clip(np.arange(count) + step, 0, count - 1) for step in (-1, 1))
    return values.take(before, axis), values.take(behind, axis)


def binomial(values: Integers, axis: int) -> Integers:
    """Sums with weights 1, 2, 1 along an axis."""
    before, behind = repeated(values, axis)
    return before + 2 * values + behind


def linear(values: Integers, axis: int, scale: int) -> Integers:
    """Enlarge along an axis, between the centres of the pixels."""
    phases = []
    for offset, factor in steps(scale):
        other = repeated(values, axis)[offset > 0]
        phases.append(values + ((other - values) * factor + (1 << 14) >> 15))
    large = np.stack(phases, axis + 1)
    return large.reshape(*values.shape[:axis], -1, *values.shape[axis + 1 :])


def steps(scale: int) -> list[tuple[int, int]]:
    """For each output pixel of an input pixel: on which side its other neighbour is, and the share
    of that, of 32768."""
    offsets = [(phase + 0.5) / scale - 0.5 for phase in range(scale)]
    return [(1 if offset > 0 else -1, round(abs(offset) * 32768)) for offset in offsets]


def blend(hr: NDArray[np.uint8], other: NDArray[np.uint8], share: int) -> None:
    """See `loops.blend`."""
    total = hr.astype(np.int32) * share + other.astype(np.int32) * (256 - share)
    hr[:] = total + 127 + (total >> 8 & 1) >> 8


def sharpen(
    soft: NDArray[np.uint8], share: int, out: NDArray[np.uint8], first: int, last: int
) -> None:
    """See `loops.sharpen`."""
    top, end = max(first - 1, 0), min(last + 1, len(soft))
    part = soft[top:end].astype(np.int32)
    luma = (part * LUMA).sum(axis=2) + 128 >> 8
    rows, columns = repeated(luma, 0), repeated(luma, 1)
    least, most = around(luma, np.minimum), around(luma, np.maximum)
    room = np.minimum(least, 255 - most).astype(np.float32)
    # As in FidelityFX CAS: less where the neighbourhood reaches from black to white already.
    peak = np.sqrt(room / np.maximum(most, 1).astype(np.float32))
    peak *= np.float32(share) * np.float32(PEAK)
    edge = (4 * luma - sum(rows) - sum(columns)).astype(np.float32)
    added = edge * peak / (np.float32(1) - np.float32(4) * peak)
    # Rounded half up: the numbers are positive when they are cut.
    change = (added + np.float32(2048.5)).astype(np.int32) - 2048
    wanted = part + change[..., None]
    limited = np.clip(wanted, around(part, np.minimum), around(part, np.maximum))
    out[first:last] = limited[first - top : last - top]


LUMA = np.array([54, 183, 19], np.int32)
"""Of R, G and B in luma, of 256: BT.709."""


PEAK = 0.2 / 256
"""Of the neighbours' weight against the pixel's, where a picture has the most room, for each of 256
shares: AMD's strongest, minus a fifth. FidelityFX CAS, `ffx_cas.h`, AMD 2019."""


def around(values: Integers, most: "np.ufunc") -> Integers:
    """The least or the greatest of the 3 x 3 values around each."""
    for axis in (0, 1):
        before, behind = repeated(values, axis)
        values = most(most(before, values), behind)
    return values
