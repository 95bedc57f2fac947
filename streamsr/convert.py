"""Between planar YUV and the RGB the network works on, with the matrix, range and chroma position that are meant.

FFmpeg's converter takes 11 ms for a 1080p picture, guesses BT.601 and places chroma between the luma samples; these
loops take about a tenth and place it where MPEG video has it (H.264 figure E-1: horizontally on the even luma samples,
vertically between the lines). Arithmetic is float32, rounded once at the end. OpenCV takes the interleaving of R, G and
B, which LLVM does not vectorise (8.5 ms against 0.2).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.color import FULL, ColorTags
from streamsr.compiled import compiled

Plane = NDArray[np.uint8] | NDArray[np.uint16]


class Converter:
    """Conversions of one video: its tags, its depth, its chroma position. For one thread at a time.

    tags     resolved colour tags
    depth    bits of a YUV sample, 8 to 16
    centred  chroma lies between the luma samples also horizontally (JPEG, MPEG-1)

    Scratch planes are kept from call to call: fresh memory costs more than the arithmetic (6 ms of page faults at
    1080p).
    """

    def __init__(self, tags: ColorTags, *, depth: int = 8, centred: bool = False) -> None:
        self._centred = centred
        self._scratch: NDArray[np.uint8] | NDArray[np.uint16] = np.empty((3, 0, 0), np.uint8)
        unit = 2.0 ** (depth - 8)
        # Zero and span of luma and chroma in code values: H.273 equations 20 to 31.
        full = tags.range == FULL
        y0, y_span = (0.0, 2.0**depth - 1) if full else (16 * unit, 219 * unit)
        c0, c_span = 128 * unit, (2.0**depth - 1 if full else 224 * unit)
        kr, kb = tags.luma
        kg = 1 - kr - kb
        cr, cb = 2 * (1 - kr), 2 * (1 - kb)  # R - Y = cr V, B - Y = cb U
        self._decode = np.array([1, cr, -cb * kb / kg, -cr * kr / kg, cb])
        self._decode[0] /= y_span
        self._decode[1:] /= c_span
        self._encode = np.array(
            [[kr, kg, kb], [-kr / cb, -kg / cb, (1 - kb) / cb], [(1 - kr) / cr, -kg / cr, -kb / cr]]
        )
        self._encode *= np.array([[y_span], [c_span], [c_span]])
        self._zeros = y0, c0
        self._top = 2**depth - 1

    def _planes(self, height: int, width: int, dtype: "np.dtype[np.generic]") -> Plane:
        if self._scratch.shape != (3, height, width) or self._scratch.dtype != dtype:
            self._scratch = np.empty((3, height, width), dtype)
        return self._scratch

    def to_rgb(self, planes: tuple[Plane, Plane, Plane], out: Plane) -> None:
        """Fill ``out`` [H, W, 3], over the full range of its type, from Y [H, >=W], U and V [H / sy, >=W / sx].

        Rows may be padded on the right. The subsampling is read off the shapes: U and V have exactly
        ceil(H / sy) rows, and fewer columns than W when sx is 2.
        """
        y, u, v = planes
        height, width = out.shape[:2]
        top = np.iinfo(out.dtype).max
        k = np.array([*self._decode * top, *self._zeros, top], np.float32)
        rgb = self._planes(height, width, out.dtype)
        _to_rgb_planes(y, u, v, rgb, int(u.shape[1] < width), int(u.shape[0] < height), self._centred, k)
        cv2.merge(list(rgb), out)

    def from_rgb(self, rgb: Plane, planes: tuple[Plane, Plane, Plane]) -> None:
        """Fill Y, U and V planes from [H, W, 3]; the inverse of `to_rgb`.

        The planes may be larger than the picture (an encoder wants even sizes): its last row and column are repeated.
        """
        y, u, v = planes
        weights = self._encode / np.iinfo(rgb.dtype).max
        k = np.array([*weights.ravel(), self._zeros[0] + 0.5, self._zeros[1] + 0.5, self._top], np.float32)
        split = self._planes(rgb.shape[0], rgb.shape[1], rgb.dtype)
        cv2.split(rgb, list(split))
        sub_x, sub_y = int(u.shape[1] < y.shape[1]), int(u.shape[0] < y.shape[0])
        _from_rgb_planes(split[0], split[1], split[2], y, u, v, sub_x, sub_y, self._centred, k)


# Loops touch few arrays each, so that LLVM can prove them apart and vectorise; no NaN comes in.
_jit = compiled(error_model="numpy", fastmath={"nnan", "nsz", "contract"})


@_jit
def _to_rgb_planes(y, u, v, rgb, sub_x, sub_y, centred, k):  # type: ignore[no-untyped-def]  # numba infers
    height, width = rgb.shape[1], rgb.shape[2]
    half = (width + sub_x) >> sub_x
    row = np.empty(half + 2, np.float32)
    full = np.empty((2, 2 * half + 2), np.float32)
    ky, rv, gu, gv, bu, luma_zero, chroma_zero, top = k[0], k[1], k[2], k[3], k[4], k[5], k[6], np.int32(k[7])
    even = np.float32(0.75) if centred else np.float32(1.0)
    odd = np.float32(0.75) if centred else np.float32(0.5)
    for j in range(height):
        # One row of chroma at this line: lines 2c and 2c+1 lie a quarter above and below chroma line c.
        c = j >> sub_y
        other = min(max(c - 1 + 2 * (j & 1), 0), u.shape[0] - 1) if sub_y else c
        for plane in range(2):
            near, far, wide = (u[c], u[other], full[0]) if plane == 0 else (v[c], v[other], full[1])
            for x in range(half):
                row[x + 1] = (
                    np.float32(near[x]) * np.float32(0.75) + np.float32(far[x]) * np.float32(0.25) - chroma_zero
                )
            row[0], row[half + 1] = row[1], row[half]
            if sub_x:
                for x in range(half):
                    wide[2 * x] = row[x + 1] * even + row[x] * (1 - even)
                    wide[2 * x + 1] = row[x + 1] * odd + row[x + 2] * (1 - odd)
            else:
                wide[:half] = row[1 : half + 1]
        luma, fu, fv = y[j], full[0], full[1]
        r, g, b = rgb[0, j], rgb[1, j], rgb[2, j]
        for x in range(width):
            level = (np.float32(luma[x]) - luma_zero) * ky + np.float32(0.5)
            r[x] = min(max(np.int32(level + rv * fv[x]), np.int32(0)), top)
            b[x] = min(max(np.int32(level + bu * fu[x]), np.int32(0)), top)
        for x in range(width):
            level = (np.float32(luma[x]) - luma_zero) * ky + np.float32(0.5)
            g[x] = min(max(np.int32(level + gu * fu[x] + gv * fv[x]), np.int32(0)), top)


@_jit
def _from_rgb_planes(r, g, b, y, u, v, sub_x, sub_y, centred, k):  # type: ignore[no-untyped-def]  # numba infers
    height, width = r.shape
    rows = y.shape[0]
    # U or V before subsampling, summed down one or two lines, with one more column on each side.
    row = np.zeros(y.shape[1] + 3, np.float32)
    for j in range(rows):
        source = min(j, height - 1)
        _weigh(r[source], g[source], b[source], k[0], k[1], k[2], k[9], np.int32(k[11]), y[j])
        y[j, width:] = y[j, width - 1]
    lines = 1 + sub_y
    scale = np.float32(1 / (lines * ((4 - 2 * centred) if sub_x else 1)))
    for c in range(u.shape[0]):
        for plane in range(2):
            for n in range(lines):
                source = min(c * lines + n, height - 1)
                i = 3 + 3 * plane
                _add(r[source], g[source], b[source], k[i], k[i + 1], k[i + 2], np.float32(n), row)
            row[0] = row[1]
            row[width + 1 :] = row[width]
            _subsample(row, sub_x, centred, scale, k[10], np.int32(k[11]), u[c] if plane == 0 else v[c])


@_jit
def _weigh(r, g, b, cr, cg, cb, zero, top, out):  # type: ignore[no-untyped-def]  # numba infers
    for x in range(r.shape[0]):
        out[x] = min(np.int32(np.float32(r[x]) * cr + np.float32(g[x]) * cg + np.float32(b[x]) * cb + zero), top)


@_jit
def _add(r, g, b, cr, cg, cb, kept, row):  # type: ignore[no-untyped-def]  # numba infers
    for x in range(r.shape[0]):
        row[x + 1] = row[x + 1] * kept + np.float32(r[x]) * cr + np.float32(g[x]) * cg + np.float32(b[x]) * cb


@_jit
def _subsample(row, sub_x, centred, scale, zero, top, out):  # type: ignore[no-untyped-def]  # numba infers
    before = np.float32(0 if centred else 1)
    middle = np.float32(1 if centred else 2)
    if sub_x:
        for x in range(out.shape[0]):
            mean = (before * row[2 * x] + middle * row[2 * x + 1] + row[2 * x + 2]) * scale
            out[x] = min(max(np.int32(mean + zero), np.int32(0)), top)
    else:
        for x in range(out.shape[0]):
            out[x] = min(max(np.int32(row[x + 1] * scale + zero), np.int32(0)), top)
