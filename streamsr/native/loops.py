"""The loops over every pixel, compiled for this machine: YUV to RGB and back, and which cells of two pictures differ.

Compiled in a tenth of a second and cached, where numba needs 0.3 s to be imported and seconds to compile them.
"""

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamsr.native.emit import DECODE, ENCODE, module
from streamsr.native.jit import Library, Machine

Rows = NDArray[np.uint8] | NDArray[np.uint16]


def to_rgb(planes: Sequence[Rows], rgb: Rows, k: Mapping[str, float]) -> None:
    """Y [H, >=W], U and V of all or half its rows and columns to ``rgb`` [H, W, 3]."""
    y, u, v = planes
    height, width = rgb.shape[:2]
    rows, sub_x, sub_y = u.shape[0], int(u.shape[1] < width), int(u.shape[0] < height)
    half = (width + sub_x) >> sub_x
    _check(rgb, y, u, v)
    if rows < -(-height // (1 + sub_y)) or not rgb.flags.writeable:
        raise ValueError(f"expected chroma for every row and a writable picture, got {u.shape} for {width}x{height}")
    scratch = np.empty(half + 2 + 2 * (2 * half) + 3 * width, np.float32)
    sizes = (y.strides[0], u.strides[0], rgb.strides[0], width, height, half, rows, sub_x, sub_y)
    _call(f"to_rgb_{8 * y.itemsize}_{8 * rgb.itemsize}", (y, u, v, rgb, scratch, _constants(DECODE, k)), sizes)


def from_rgb(rgb: Rows, planes: Sequence[Rows], k: Mapping[str, float]) -> None:
    """``rgb`` [H, W, 3] to Y, U and V, whose rows and columns may be more: the last is repeated."""
    y, u, v = planes
    height, width = rgb.shape[:2]
    (lines, columns), (rows, half) = y.shape, u.shape
    sub_x, sub_y = int(half < columns), int(rows < lines)
    _check(rgb, y, u, v)
    if (rows, half) != (-(-lines // (1 + sub_y)), -(-columns // (1 + sub_x))) or not y.flags.writeable:
        raise ValueError(f"expected chroma of all or half of luma's {y.shape}, writable, got {u.shape}")
    # A row of sums is first multiplied by 0, which NaN would survive.
    scratch = np.zeros(2 * (columns + 4) + 3 * width, np.float32)
    sizes = (y.strides[0], u.strides[0], rgb.strides[0], width, height, columns, lines, half, rows, sub_x, sub_y)
    _call(f"from_rgb_{8 * rgb.itemsize}_{8 * y.itemsize}", (rgb, y, u, v, scratch, _constants(ENCODE, k)), sizes)


def compare(a: NDArray[np.uint8], b: NDArray[np.uint8], cells: NDArray[np.uint8]) -> None:
    """Set the flags of `emit` for each cell of two dense pictures [H, W, 3]; flags that are set stay."""
    height, width = a.shape[:2]
    if a.shape != b.shape or a.shape[2:] != (3,) or not (a.flags.c_contiguous and b.flags.c_contiguous):
        raise ValueError(f"expected two dense pictures [H, W, 3], got {a.shape} and {b.shape}")
    if cells.shape != (-(-height // 8), -(-width // 8)) or cells.dtype != np.uint8 or not cells.flags.c_contiguous:
        raise ValueError(f"expected a byte for each cell of {width}x{height}, got {cells.shape} {cells.dtype}")
    _call("compare", (a, b, cells), (height, 3 * width, cells.shape[1]))


def _check(rgb: Rows, y: Rows, u: Rows, v: Rows) -> None:
    """What native code relies on."""
    height, width = rgb.shape[:2]
    if rgb.shape != (height, width, 3) or rgb.strides[1:] != (3 * rgb.itemsize, rgb.itemsize):
        raise ValueError(f"expected a picture [H, W, 3] with dense rows, got {rgb.shape}")
    if min(height, width) < 1 or y.shape[0] < height or y.shape[1] < width or u.size == 0:
        raise ValueError(f"expected luma of at least {width}x{height}, got {y.shape} and chroma {u.shape}")
    if u.shape != v.shape or u.strides != v.strides or not y.dtype == u.dtype == v.dtype:
        raise ValueError(f"expected U and V alike, got {u.shape} {u.dtype} and {v.shape} {v.dtype}")
    if any(plane.strides[1] != plane.itemsize for plane in (y, u, v)):
        raise ValueError("expected planes whose samples lie side by side")
    if any(array.dtype not in (np.uint8, np.uint16) or array.strides[0] <= 0 for array in (rgb, y, u, v)):
        raise ValueError("expected uint8 or uint16 samples, rows from top to bottom")


def _constants(names: Sequence[str], k: Mapping[str, float]) -> NDArray[np.float32]:
    return np.array([k[name] for name in names], np.float32)


def _call(name: str, arrays: Sequence[NDArray[np.generic]], sizes: Sequence[int]) -> None:
    """``arrays`` are kept alive by the caller's frame until this returns."""
    words = np.array([*(array.__array_interface__["data"][0] for array in arrays), *sizes], np.int64)
    _function(name)(words.__array_interface__["data"][0])


@functools.cache
def _function(name: str) -> Callable[[int], None]:
    library = Library(module(name), Machine.host(), name=name)
    function = library.function(name, ctypes.c_void_p)
    return lambda call, _library=library: function(call)  # type: ignore[misc]  # the library must outlive it
