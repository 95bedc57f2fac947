"""Resizing: bicubic up, averages down, of whole pictures and of parts as the whole of them would
be."""

from collections.abc import Sequence

import numpy as np

from streamsr.frame import Image
from streamsr.region import Region

REACH = 2
"""LR pixels around a region that bicubic interpolation reads."""


def resized(image: Image, size: tuple[int, int]) -> Image:
    """The picture at (width, height): averaged where it shrinks, bicubic where it grows; itself if
    it fits already."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    import cv2  # 0.1 s: only for who resizes

    shrinks = size[0] <= width and size[1] <= height
    return np.asarray(
        cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC),
        np.uint8,
    )


def interpolate(lr: Image, hr: Image, regions: Sequence[Region]) -> None:
    """Write these regions of ``lr``, [H, W, 3] uint8, enlarged into the same places of ``hr``,
    [s*H, s*W, 3] uint8."""
    height, width = lr.shape[:2]
    scale = hr.shape[0] // height
    for region in regions:
        seen = region.grown(REACH, width, height)
        large = resized(lr[seen.slices], (seen.width * scale, seen.height * scale))
        inner = Region(region.x - seen.x, region.y - seen.y, region.width, region.height).scaled(
            scale
        )
        hr[region.scaled(scale).slices] = large[inner.slices]
