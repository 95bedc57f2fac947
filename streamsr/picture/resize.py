"""Resizes pictures, bicubic up and by averages down, whole or in parts with the same result."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from streamsr.frame import Image
from streamsr.region import Region

MARGIN = 2
"""LR pixels around a region that bicubic interpolation reads."""


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Resize a picture [H, W, C] uint8 to (width, height): averaged where it shrinks, bicubic where
    it grows; the picture itself where it has that size."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    import cv2  # imported here: 0.1 s, not needed where nothing is resized

    shrinks = size[0] <= width and size[1] <= height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


SAME_SHAPE = 2
"""Pixels by which a side may differ from what the shape asks for, and the picture still fills it:
sides are rounded to whole, often even, numbers."""


def fitted(image: Image, size: tuple[int, int], stretch: Fraction = Fraction(1)) -> Image:
    """Resize a picture to (width, height) in its own shape, black beside or above and below it.

    stretch  how much wider its pixels are than those of the result
    """
    height, width = image.shape[:2]
    shape = width * stretch / height
    inner = min(size[0], round(size[1] * shape)), min(size[1], round(size[0] / shape))
    if max(size[0] - inner[0], size[1] - inner[1]) <= SAME_SHAPE:
        return resized(image, size)
    inner = max(inner[0], 1), max(inner[1], 1)
    result = np.zeros((size[1], size[0], *image.shape[2:]), np.uint8)
    x = (size[0] - inner[0]) // 2
    y = (size[1] - inner[1]) // 2
    result[y : y + inner[1], x : x + inner[0]] = resized(image, inner)
    return result


def interpolate(lr: Image, hr: Image, regions: Sequence[Region]) -> None:
    """Enlarge these regions of ``lr``, [H, W, 3] uint8, into the same parts of ``hr``, [s*H, s*W,
    3] uint8, as a resize of the whole would."""
    height, width = lr.shape[:2]
    scale = hr.shape[0] // height
    for region in regions:
        seen = region.grown(MARGIN, width, height)
        large = resized(lr[seen.slices], (seen.width * scale, seen.height * scale))
        inside = Region(region.x - seen.x, region.y - seen.y, region.width, region.height)
        hr[region.scaled(scale).slices] = large[inside.scaled(scale).slices]
