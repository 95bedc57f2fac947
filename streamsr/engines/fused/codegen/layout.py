"""What Python and the native code agree on: the rings of rows in a worker's memory and the records
it is given.

A line is one row of one plane: 64 bytes, of which the last four are the padding pixel at x = -1,
then 4 bytes for each pixel, rounded up to whole vectors, then the padding pixel at x = width and
room for loads that run over. A ring keeps the last few rows of one tensor; row ``r`` stands in slot
``r mod rows``.
"""

from dataclasses import dataclass
from typing import NamedTuple

HEAD = 64
"""Bytes before pixel 0 of a line: a cache line, so that the pixels are aligned."""

REACH = 5
"""Rows and columns around the output that the five 3x3 convolutions see."""

BEFORE = 12
"""More rows than any walk begins above the picture, so that counted from there none is negative."""

COLUMNS = 1024
"""Widest strip: its rows fill about 0.6 MB, and a core has 1 MB of cache to itself."""


class Ring(NamedTuple):
    """``planes`` lines for each of ``rows`` rows, from line ``first`` on."""

    first: int
    rows: int
    planes: int


@dataclass(frozen=True, slots=True)
class Rings:
    """The rings of one worker. A 3x3 convolution needs 3 rows; the side branch waits for 3 rows, so
    it keeps 4."""

    staging: Ring
    window: Ring
    corner: Ring
    middle: Ring
    joined: Ring
    side: Ring
    features: tuple[Ring, Ring, Ring, Ring]
    head: Ring
    lines: int

    @classmethod
    def of(cls, head_planes: int) -> "Rings":
        total = 0

        def ring(rows: int, planes: int) -> Ring:
            nonlocal total
            total += rows * planes
            return Ring(total - rows * planes, rows, planes)

        fixed = ring(1, 1), ring(3, 3), ring(1, 1), ring(1, 8), ring(1, 8), ring(4, 4)
        features = ring(3, 8), ring(3, 8), ring(3, 8), ring(3, 8)
        return cls(*fixed, features, ring(1, head_planes), total)


@dataclass(frozen=True, slots=True)
class BlockRings:
    """The rings of a worker that works by blocks of four rows: such a block of a 3x3 convolution
    sees six rows. A plane has four lines, pixel x standing in line x mod 4; but bytes of pixels and
    the head's results stand one after another over all lines."""

    staging: Ring
    side: Ring
    features: tuple[Ring, Ring, Ring, Ring]
    head: Ring
    lines: int

    @classmethod
    def of(cls, head_planes: int) -> "BlockRings":
        rings, total = [], 0
        for rows, planes in ((6, 1), (7, 4), (6, 8), (6, 8), (6, 8), (6, 8), (4, head_planes)):
            rings.append(Ring(total, rows, 4 * planes))
            total += rows * 4 * planes
        staging, side, a, b, c, d, head = rings
        return cls(staging, side, (a, b, c, d), head, total)


def stride(width: int, lanes: int) -> int:
    """Bytes from one line to the next for pictures ``width`` pixels wide.

    An odd number of cache lines: with a power of two all planes of a row would meet in the same few
    cache sets.
    """
    vectors = -(-width // lanes)
    return -(-(HEAD + 4 * lanes * vectors + 64) // 64) * 64 | 64


SEGMENTS = 4
"""Most runs of neighbouring planes that one convolution reads."""

TABLE = 24
"""Most planes that one convolution reads: the head, 3 rows of 8."""

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

STAGES = ((0, 3), (3, 5), (5, 7), (7, 10), (10, 11))
"""Operations of each row stage: stem + side + pointwise, two root blocks, root block + join,
head."""

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
of ``width`` are wanted. ``cells``: a byte for each cell with an empty row before and after, see
`wanted`; 0 when everything is wanted."""
