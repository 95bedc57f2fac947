"""Pictures in the memory of other programs, as YUV planes, and the arrays that the upscaler
takes."""

from collections.abc import Sequence

import numpy as np

from streamsr.color import ColorTags
from streamsr.frame import Frame, Image
from streamsr.picture.high_depth import Deep
from streamsr.picture.yuv import Converter, Plane


class YuvPlanes:
    """Reads and writes planes Y, U, V, or Y alone, [H, W] and of all or half its rows and columns.
    For one thread.

    tags     resolved colour tags
    depth    bits of a sample, 8 to 16; above 8 the planes are uint16
    centred  chroma lies between the luma samples also horizontally
    """

    def __init__(self, tags: ColorTags, *, depth: int = 8, centred: bool = False) -> None:
        self._depth = depth
        self._converter = Converter(tags, depth=depth, centred=centred)

    def read(self, planes: Sequence[Plane], rgb: Image) -> Deep | None:
        """Fill ``rgb`` [H, W, 3]; also gives the picture at its full depth where that is above 8
        bits."""
        if len(planes) == 1:
            grey = np.full_like(planes[0], 1 << self._depth - 1)
            planes = (planes[0], grey, grey)
        y, u, v = planes
        self._converter.to_rgb((y, u, v), rgb)
        if self._depth == 8:
            return None
        deep = np.empty(rgb.shape, np.uint16)
        self._converter.to_rgb((y, u, v), deep)
        return deep

    def write(self, frame: Frame, planes: Sequence[Plane]) -> None:
        """Fill the planes, of exactly the frame's size, from its deep picture where both have more
        than 8 bits."""
        if len(planes) == 1:
            planes = (planes[0], np.empty_like(planes[0]), np.empty_like(planes[0]))
        y, u, v = planes
        self._converter.from_rgb(
            frame.rgb if self._depth == 8 or frame.deep is None else frame.deep, (y, u, v)
        )
