"""Converts between YUV planes in the memory of other programs and the arrays that the upscaler
takes."""

from collections.abc import Sequence

import numpy as np

from streamsr.color import ColorTags
from streamsr.frame import Frame, Image
from streamsr.picture.high_depth import Image16
from streamsr.picture.yuv import Converter, Plane


class YuvPlanes:
    """Reads and writes planes Y, U and V, or Y alone. For one thread.

    Y is [H, W]; U and V have all or half of its rows and columns.

    tags     resolved colour tags
    depth    bits of a sample, 8 to 16; above 8 the planes are uint16
    centered  chroma lies between the luma samples horizontally too
    """

    def __init__(self, tags: ColorTags, *, depth: int = 8, centered: bool = False) -> None:
        self._depth = depth
        self._converter = Converter(tags, depth=depth, centered=centered)

    def read(self, planes: Sequence[Plane], rgb: Image) -> Image16 | None:
        """Fill ``rgb`` [H, W, 3] uint8. Returns the same picture at its full depth, uint16, where
        that is above 8 bits, else None."""
        if len(planes) == 1:
            gray = np.full_like(planes[0], 1 << self._depth - 1)
            planes = (planes[0], gray, gray)
        y, u, v = planes
        self._converter.to_rgb((y, u, v), rgb)
        if self._depth == 8:
            return None
        full_depth = np.empty(rgb.shape, np.uint16)
        self._converter.to_rgb((y, u, v), full_depth)
        return full_depth

    def write(self, frame: Frame, planes: Sequence[Plane]) -> None:
        """Fill the planes, of exactly the frame's size, from its ``deep`` picture where both have
        more than 8 bits."""
        if len(planes) == 1:
            planes = (planes[0], np.empty_like(planes[0]), np.empty_like(planes[0]))
        y, u, v = planes
        picture = frame.rgb if self._depth == 8 or frame.deep is None else frame.deep
        self._converter.from_rgb(picture, (y, u, v))
