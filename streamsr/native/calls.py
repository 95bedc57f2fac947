"""How each loop's arrays and numbers become the words of a call of its compiled code.

The arrays have been checked: what is wrong here is read or written outside them.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamsr.native import consistent_ir, sharpen_ir
from streamsr.native.from_rgb_ir import ENCODE
from streamsr.native.to_rgb_ir import DECODE

Rows = NDArray[np.uint8] | NDArray[np.uint16]

Call = Callable[[Sequence[NDArray[np.generic]], Sequence[int]], None]
"""Takes the arrays and sizes of one call, whose addresses and values become its words."""


def _to_rgb(call: Call, planes: Sequence[Rows], rgb: Rows, k: Mapping[str, float]) -> None:
    y, u, v = planes
    height, width = rgb.shape[:2]
    rows, sub_x, sub_y = u.shape[0], int(u.shape[1] < width), int(u.shape[0] < height)
    half = (width + sub_x) >> sub_x
    scratch = np.empty(half + 2 + 2 * (2 * half) + 3 * width, np.float32)
    sizes = (y.strides[0], u.strides[0], rgb.strides[0], width, height, half, rows, sub_x, sub_y)
    call((y, u, v, rgb, scratch, _constants(DECODE, k)), sizes)


def _from_rgb(call: Call, rgb: Rows, planes: Sequence[Rows], k: Mapping[str, float]) -> None:
    y, u, v = planes
    height, width = rgb.shape[:2]
    (lines, columns), (rows, half) = y.shape, u.shape
    sub_x, sub_y = int(half < columns), int(rows < lines)
    # A row of sums is first multiplied by 0, which NaN would survive.
    scratch = np.zeros(2 * (columns + 4) + 3 * width, np.float32)
    sizes = (
        y.strides[0],
        u.strides[0],
        rgb.strides[0],
        width,
        height,
        columns,
        lines,
        half,
        rows,
        sub_x,
        sub_y,
    )
    call((rgb, y, u, v, scratch, _constants(ENCODE, k)), sizes)


def _compare(
    call: Call, a: NDArray[np.uint8], b: NDArray[np.uint8], cells: NDArray[np.uint8]
) -> None:
    height, width = a.shape[:2]
    call((a, b, cells), (height, 3 * width, cells.shape[1]))


def _detail(
    call: Call,
    before: NDArray[np.uint8],
    now: NDArray[np.uint8],
    side: int,
    sums: NDArray[np.int64],
) -> None:
    height, width = now.shape[:2]
    call((before, now, sums), (width, height, side, sums.shape[1]))


def _consistent(
    call: Call,
    lr: NDArray[np.uint8],
    raw: NDArray[np.uint8],
    hr: NDArray[np.uint8],
    first: int,
    last: int,
) -> None:
    height, width = lr.shape[:2]
    scratch = np.empty(consistent_ir.scratch_size(width, hr.shape[0] // height), np.int16)
    call((lr, raw, hr, scratch), (width, height, first, last))


def _blend(call: Call, hr: NDArray[np.uint8], other: NDArray[np.uint8], share: int) -> None:
    call((hr, other), (hr.size, share))


def _sharpen(
    call: Call,
    soft: NDArray[np.uint8],
    share: int,
    out: NDArray[np.uint8],
    first: int,
    last: int,
) -> None:
    height, width = soft.shape[:2]
    scratch = np.empty(sharpen_ir.scratch_size(width), np.uint8)
    call((soft, out, scratch), (width, height, first, last, share))


def _constants(names: Sequence[str], k: Mapping[str, float]) -> NDArray[np.float32]:
    return np.array([k[name] for name in names], np.float32)


CALLS: Mapping[str, Callable[..., None]] = {
    "to_rgb": _to_rgb,
    "from_rgb": _from_rgb,
    "compare": _compare,
    "detail": _detail,
    "consistent": _consistent,
    "blend": _blend,
    "sharpen": _sharpen,
}
"""By the first word of a loop's name: takes a `Call` and what the loop takes."""
