"""Pictures of more than 8 bits: the network sees 8 bits, its detail is added to the full depth."""

import numpy as np
from numpy.typing import NDArray

from streamsr.frame import Image

Image16 = NDArray[np.uint16]
"""RGB picture [H, W, 3] uint16 over the full range, whatever the depth it came from."""

WIDEN = 257
"""What a level of 8 bits is in 16: 255 becomes 65535."""

ROUNDING = 2 * WIDEN
"""Two levels of 8 bits, in 16: what the network makes of the rounding of the picture it saw, and
its own."""

_ROWS = 64
"""Rows worked on at a time, so that the numbers stay in the cache."""


def add_detail(source: Image16, lr: Image, hr: Image) -> Image16:
    """Enlarge a picture of high depth and add what the network found in its 8 bits.

    source  [H, W, 3] uint16, the picture at its full depth
    lr      [H, W, 3] uint8, the same picture as the network saw it
    hr      [s H, s W, 3] uint8, the network's picture, or that at any other size

    Returns a picture of the size of ``hr``: a bicubic resize of ``source``, and the detail by which
    ``hr`` differs from a bicubic resize of ``lr``. Differences within ROUNDING leave the bicubic as
    it is, so that a smooth gradient stays without bands; those of twice as much or more are added
    in full; in between they fade in ("firm" shrinkage, Gao and Bruce 1997).
    """
    import cv2  # imported here: 0.1 s, not needed for films of 8 bits

    size = hr.shape[1], hr.shape[0]
    result = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_CUBIC), np.uint16)
    smooth = np.asarray(
        cv2.resize(lr.astype(np.uint16) * WIDEN, size, interpolation=cv2.INTER_CUBIC), np.uint16
    )
    for top in range(0, size[1], _ROWS):
        rows = slice(top, top + _ROWS)
        detail = hr[rows].astype(np.int32) * WIDEN - smooth[rows]
        beyond = 2 * (detail - np.clip(detail, -ROUNDING, ROUNDING))
        detail = np.clip(beyond, np.minimum(detail, 0), np.maximum(detail, 0)) + result[rows]
        result[rows] = np.clip(detail, 0, 65535)
    return result


def enlarge_16(
    plane: NDArray[np.uint8] | NDArray[np.uint16], size: tuple[int, int]
) -> NDArray[np.uint16]:
    """Resize a plane [H, W] over the full range of its type, such as alpha, to (width, height),
    bicubic, as uint16."""
    import cv2  # imported here: 0.1 s, not needed for films without opacity

    wide = plane.astype(np.uint16) * WIDEN if plane.dtype == np.uint8 else plane
    return np.asarray(cv2.resize(wide, size, interpolation=cv2.INTER_CUBIC), np.uint16)
