"""Converts between planar YUV and the RGB that the network works on, by the matrix, the range and
the chroma position that the film's tags say.

FFmpeg's converter takes 11 ms for a 1080p picture, guesses BT.601 and places chroma between the
luma samples; this one takes a tenth and places it where MPEG video has it (H.264 figure E-1:
horizontally on the even luma samples, vertically between the lines). Arithmetic is float32, rounded
once at the end.
"""

import numpy as np
from numpy.typing import NDArray

from streamsr.color import FULL, ColorTags
from streamsr.native.from_rgb_ir import ENCODE
from streamsr.native.loops import from_rgb, to_rgb
from streamsr.native.to_rgb_ir import DECODE

Plane = NDArray[np.uint8] | NDArray[np.uint16]


class Converter:
    """Converts the pictures of one video. For one thread at a time.

    tags     resolved colour tags
    depth    bits of a YUV sample, 8 to 16
    centered  chroma lies between the luma samples horizontally too (JPEG, MPEG-1)
    """

    def __init__(self, tags: ColorTags, *, depth: int = 8, centered: bool = False) -> None:
        self._centered = centered
        unit = 2.0 ** (depth - 8)
        # Zero and span of luma and chroma in code values: H.273 equations 20 to 31.
        full = tags.range == FULL
        y0, y_span = (0.0, 2.0**depth - 1) if full else (16 * unit, 219 * unit)
        c0 = 128 * unit
        c_span = 2.0**depth - 1 if full else 224 * unit
        kr, kb = tags.luma
        kg = 1 - kr - kb
        cr = 2 * (1 - kr)  # R - Y = cr V
        cb = 2 * (1 - kb)  # B - Y = cb U
        self._decode = np.array([1, cr, -cb * kb / kg, -cr * kr / kg, cb])
        self._decode[0] /= y_span
        self._decode[1:] /= c_span
        self._encode = np.array(
            [[kr, kg, kb], [-kr / cb, -kg / cb, (1 - kb) / cb], [(1 - kr) / cr, -kg / cr, -kb / cr]]
        )
        self._encode *= np.array([[y_span], [c_span], [c_span]])
        self._zeros = y0, c0
        self._top = 2**depth - 1

    def to_rgb(self, planes: tuple[Plane, Plane, Plane], out: Plane) -> None:
        """Fill ``out`` [H, W, 3] uint8 or uint16, over the full range of its type, from Y
        [H, >=W], U and V [H / sy, >=W / sx].

        Rows may be padded on the right. The subsampling is read off the shapes: U and V have
        exactly ceil(H / sy) rows, and fewer columns than W when sx is 2. Raises ValueError for
        other shapes.
        """
        top = np.iinfo(out.dtype).max
        # Chroma between the luma samples is three parts of the near one; on the even ones, and half
        # way on the odd.
        even, odd = (0.75, 0.75) if self._centered else (1.0, 0.5)
        numbers = *self._decode * top, *self._zeros, top, even, odd
        to_rgb(planes, out, dict(zip(DECODE, numbers, strict=True)))

    def from_rgb(self, rgb: Plane, planes: tuple[Plane, Plane, Plane]) -> None:
        """Fill Y, U and V planes from RGB [H, W, 3], uint8 or uint16; the inverse of `to_rgb`.

        The planes may be larger than the picture (an encoder wants even sizes): its last row and
        column are repeated. Raises ValueError for shapes that do not fit each other.
        """
        y, u, _ = planes
        weights = (self._encode / np.iinfo(rgb.dtype).max).ravel()
        before, middle = (0, 1) if self._centered else (1, 2)
        columns = before + middle + 1 if u.shape[1] < y.shape[1] else 1
        lines = 2 if u.shape[0] < y.shape[0] else 1
        zeros = (zero + 0.5 for zero in self._zeros)
        numbers = *weights, *zeros, self._top, 1 / (columns * lines), before, middle
        from_rgb(rgb, planes, dict(zip(ENCODE, numbers, strict=True)))
