"""Bicubic interpolation of parts of a picture, as the whole of it would be."""

from collections.abc import Sequence

from streamsr.frame import Image
from streamsr.region import Region
from streamsr.upscaler import resized

REACH = 2
"""LR pixels around a region that bicubic interpolation reads."""


def interpolate(lr: Image, hr: Image, regions: Sequence[Region]) -> None:
    """Write these regions of ``lr``, [H, W, 3] uint8, enlarged into the same places of ``hr``, [s*H, s*W, 3] uint8."""
    height, width = lr.shape[:2]
    scale = hr.shape[0] // height
    for region in regions:
        seen = region.grown(REACH, width, height)
        large = resized(lr[seen.slices], (seen.width * scale, seen.height * scale))
        inner = Region(region.x - seen.x, region.y - seen.y, region.width, region.height).scaled(scale)
        hr[region.scaled(scale).slices] = large[inner.slices]
