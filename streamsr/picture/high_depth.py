"""Pictures of more than 8 bits: the network sees 8 bits, its detail is added to the full depth."""

import numpy as np
from numpy.typing import NDArray

from streamsr.frame import Image

Deep = NDArray[np.uint16]
"""RGB picture [H, W, 3] uint16 over the full range, whatever the depth it came from."""

ROUNDING = 2 * 257
"""Two levels of 8 bits, in 16: what the network makes of the rounding of the picture it saw, and
its own."""

_ROWS = 64
"""Rows worked on at a time, so that the numbers stay in the cache."""


def deepened(deep: Deep, lr: Image, hr: Image) -> Deep:
    """``deep`` [H, W, 3] at the size of ``hr``, with the detail that ``hr`` has over a bicubic
    resize of ``lr``.

    lr  the same picture in 8 bits, as the network saw it
    hr  the network's picture, 8 bits

    Differences within ROUNDING leave the bicubic as it is, so that a smooth gradient stays without
    bands; those of twice as much or more are detail and added in full; in between they fade in
    ("firm" shrinkage, Gao and Bruce 1997).
    """
    import cv2  # 0.1 s: only for who has such a film

    size = hr.shape[1], hr.shape[0]
    result = np.asarray(cv2.resize(deep, size, interpolation=cv2.INTER_CUBIC), np.uint16)
    seen = np.asarray(
        cv2.resize(lr.astype(np.uint16) * 257, size, interpolation=cv2.INTER_CUBIC), np.uint16
    )
    for top in range(0, size[1], _ROWS):
        rows = slice(top, top + _ROWS)
        detail = hr[rows].astype(np.int32) * 257 - seen[rows]
        beyond = 2 * (detail - np.clip(detail, -ROUNDING, ROUNDING))
        detail = np.clip(beyond, np.minimum(detail, 0), np.maximum(detail, 0)) + result[rows]
        result[rows] = np.clip(detail, 0, 65535)
    return result


def enlarged(
    plane: NDArray[np.uint8] | NDArray[np.uint16], size: tuple[int, int]
) -> NDArray[np.uint16]:
    """A plane [H, W] over the full range of its type, such as alpha, as uint16 at (width, height),
    bicubic."""
    import cv2

    wide = plane.astype(np.uint16) * 257 if plane.dtype == np.uint8 else plane
    return np.asarray(cv2.resize(wide, size, interpolation=cv2.INTER_CUBIC), np.uint16)
