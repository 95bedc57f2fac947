"""Rectangles and cells of a picture: geometry alone, without pixels.

Sizes and positions are in low-resolution (LR) pixels unless a name says otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HALO = 5
"""Receptive radius of XLSR: five 3x3 convolutions in a row each reach one pixel further."""

CELL = 8
"""Side of the squares (cells) in which pictures are compared: the blocks that video codecs skip. At
least HALO, so that the neighbours of a changed cell cover what it affects; for engines with a
larger halo see `streamsr.tiling.changes.affected_cells`."""

Cells = NDArray[np.bool_]
"""A flag for each cell of a picture, [ceil(H / CELL), ceil(W / CELL)] bool."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle: ``x``, ``y`` of its top left pixel, ``width`` and ``height`` in pixels, all at
    least 0."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def of(cls, width: int, height: int) -> "Region":
        """The whole of a picture of this size."""
        return cls(0, 0, width, height)

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle's pixels in an [H, W, ...] array."""
        return slice(self.y, self.bottom), slice(self.x, self.right)

    def scaled(self, scale: int) -> "Region":
        """The same rectangle in a picture ``scale`` times as large."""
        return Region(self.x * scale, self.y * scale, self.width * scale, self.height * scale)

    def grown(self, margin: int, width: int, height: int) -> "Region":
        """The rectangle with ``margin`` more pixels on each side, clipped to a picture of this
        size.

        Grown by the halo it is the network's input for the rectangle: at the picture's border the
        network has its zero padding, as in a run over the whole picture.
        """
        x, y = max(self.x - margin, 0), max(self.y - margin, 0)
        return Region(
            x, y, min(self.right + margin, width) - x, min(self.bottom + margin, height) - y
        )

    def within(self, width: int, height: int) -> bool:
        """Whether the rectangle is not empty and lies inside a picture of this size."""
        return (
            self.x >= 0
            and self.y >= 0
            and self.area > 0
            and self.right <= width
            and self.bottom <= height
        )

    def strips(self, count: int) -> Iterator["Region"]:
        """Cut into at most ``count`` horizontal strips, none empty, whose heights differ by at most
        one."""
        count = max(1, min(count, self.height))
        for i in range(count):
            top, end = self.height * i // count, self.height * (i + 1) // count
            yield Region(self.x, self.y + top, self.width, end - top)
