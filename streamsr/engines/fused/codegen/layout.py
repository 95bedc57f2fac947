"""What Python and the native code agree on: the rings of rows in a worker's memory and the records
it is given.

A line is one row of one plane: 64 bytes, of which the last four are the padding pixel at x = -1,
then 4 bytes for each pixel, rounded up to whole vectors, then the padding pixel at x = width and
room for loads that run over. A ring keeps the last few rows of one tensor; row ``r`` stands in slot
``r mod rows``.
"""

from dataclasses import dataclass
from typing import NamedTuple

from streamsr.region import CELL

HEAD = 64
"""Bytes before pixel 0 of a line: a cache line, so that the pixels are aligned."""

COLUMNS = 1024
"""Widest strip. XLSR's rows then fill about 0.6 MB, `max`'s 2.5 MB; a core has 1 MB of cache to
itself, but narrower strips of `max` are slower all the same (4 % at 320 columns, 10 % at 214)."""

GROUPS = 4
"""Of the 3x3 convolutions of the root blocks."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A network of XLSR's family, as far as the code depends on it.

    ``width`` is the channels of every layer but the head and the side branch, which has half of it:
    a multiple of 16 (see `taps.padded`), so that each of the GROUPS fills planes of four. With
    ``far`` the sums of a 3x3 convolution may lie so far out that all of these take the longer
    requantisation (see `instructions.requantise`).
    """

    scale: int
    width: int
    blocks: int
    far: bool = False

    @property
    def planes(self) -> int:
        return self.width // 4

    @property
    def side_planes(self) -> int:
        return self.width // 8

    @property
    def group_planes(self) -> int:
        return self.width // 4 // GROUPS

    @property
    def reach(self) -> int:
        """Rows and columns around the output that the 3x3 convolutions see: stem, blocks, head."""
        return self.blocks + 2

    @property
    def before(self) -> int:
        """More rows than any walk begins above the picture: counted from there none is negative."""
        return self.reach + 7

    @property
    def cells_before(self) -> int:
        """Empty rows of cells above and below the picture's: as far as a stage looks for wanted
        ones."""
        return -(-(self.reach - 1) // CELL)

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Operations of each row stage: stem + side + pointwise, root blocks, of which the last has
        the join with it, head."""
        blocks = [(3 + 2 * k, 5 + 2 * k) for k in range(self.blocks)]
        first, end = blocks.pop()
        return (0, 3), *blocks, (first, end + 1), (end + 1, end + 2)


class Ring(NamedTuple):
    """``planes`` lines for each of ``rows`` rows, from line ``first`` on."""

    first: int
    rows: int
    planes: int


@dataclass(frozen=True, slots=True)
class Rings:
    """The rings of one worker. A 3x3 convolution needs 3 rows; the side branch waits for a row of
    each root block, so it keeps one more. ``features`` are what the first stage, each root block
    but the last, and the join make."""

    staging: Ring
    window: Ring
    corner: Ring
    middle: Ring
    joined: Ring
    side: Ring
    features: tuple[Ring, ...]
    head: Ring
    lines: int

    @classmethod
    def of(cls, shape: Shape, head_planes: int) -> "Rings":
        total, planes = 0, shape.planes

        def ring(rows: int, planes: int) -> Ring:
            nonlocal total
            total += rows * planes
            return Ring(total - rows * planes, rows, planes)

        fixed = ring(1, 1), ring(3, 3), ring(1, 1), ring(1, planes), ring(1, planes)
        side = ring(shape.blocks + 1, shape.side_planes)
        features = tuple(ring(3, planes) for _ in range(shape.blocks + 1))
        return cls(*fixed, side, features, ring(1, head_planes), total)


@dataclass(frozen=True, slots=True)
class BlockRings:
    """The rings of a worker that works by blocks of four rows: such a block of a 3x3 convolution
    sees six rows. A plane has four lines, pixel x standing in line x mod 4; but bytes of pixels and
    the head's results stand one after another over all lines."""

    staging: Ring
    side: Ring
    features: tuple[Ring, ...]
    head: Ring
    lines: int

    @classmethod
    def of(cls, shape: Shape, head_planes: int) -> "BlockRings":
        rings, total = [], 0
        features = [(6, shape.planes)] * (shape.blocks + 1)
        side = shape.blocks + 4, shape.side_planes
        for rows, planes in ((6, 1), side, *features, (4, head_planes)):
            rings.append(Ring(total, rows, 4 * planes))
            total += rows * 4 * planes
        return cls(rings[0], rings[1], tuple(rings[2:-1]), rings[-1], total)


def stride(width: int, lanes: int) -> int:
    """Bytes from one line to the next for pictures ``width`` pixels wide.

    An odd number of cache lines: with a power of two all planes of a row would meet in the same few
    cache sets.
    """
    vectors = -(-width // lanes)
    return -(-(HEAD + 4 * lanes * vectors + 64) // 64) * 64 | 64


SEGMENTS = 4
"""Most runs of neighbouring planes that one convolution reads."""

SEGMENT = "first", "rows", "planes", "dy", "count"
"""int64 words of a run of planes: its ring, the row's distance from the output's, how many planes
from the first."""

OP = "kernel", "groups", "step", "weights", "params", "first", "rows", "planes", "segments"
"""int64 words of an operation: number of its kernel, groups of channels, planes from one group's
inputs to the next's, two addresses, its output's ring, and how many segments it reads. The
segments' words follow."""

OP_WORDS = len(OP) + len(SEGMENT) * SEGMENTS

LAYER = "kind", "quads", "weights", "params", "runs", "counts"
"""int64 words of a convolution by blocks: one of the kinds below, groups of four output channels,
and addresses, see `winograd` and `scheduled`. The order of the layers is that of the network's
operations."""

POINTWISE, NARROW, WIDE = range(3)
"""Kinds of layers: pointwise, and 3x3 with sums that are narrow or wide (see `winograd`)."""

CALL = (
    "lr",
    "lr_stride",
    "hr",
    "hr_stride",
    "height",
    "top",
    "bottom",
    "width",
    "offset",
    "columns",
    "arena",
    "line",
    "ops",
    "scratch",
    "zero_points",
    "cells",
)
"""int64 words of one call. ``lr``: pixel (left, 0) of the picture, ``hr``: first output pixel; the
picture has ``height`` rows; output rows ``top``..``bottom`` and ``columns`` columns from ``offset``
of ``width`` are wanted. ``cells``: a byte for each cell with empty rows before and after, see
`strip.wanted_cells`; 0 when everything is wanted."""
