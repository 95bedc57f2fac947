"""Finds what changed between two frames, and makes the tiles that an engine computes of it.

Pictures are compared in cells of 8 x 8 pixels, the size of the blocks that video codecs skip. A
changed pixel changes the output as far away as the engine's halo says: in its own cell, and in the
neighbours that it is near enough to. Everywhere else the output is exactly the previous output.
"""

import numpy as np

from streamsr.engines import Engine, Tile
from streamsr.frame import Image
from streamsr.native import compare_ir
from streamsr.native.loops import compare
from streamsr.region import CELL, HALO, Cells, Region
from streamsr.tiling.rectangles import Price, rectangles

WHOLE_ABOVE = 0.8
"""Share of affected cells above which the whole frame is computed: halos and copies would cost more
than is saved."""


def affected_cells(previous: Image, current: Image, *, halo: int = HALO) -> Cells:
    """Find the cells outside which an engine of this ``halo`` makes the same of both pictures.

    The pictures are [H, W, 3] uint8 of one size, C-contiguous.
    """
    flags = np.zeros(_cells_shape(current.shape[1], current.shape[0]), np.uint8)
    compare(previous, current, flags)
    cells: Cells = flags != 0
    if halo > HALO:  # further than the flags tell
        return _grown(cells, -(-halo // CELL))
    if cells.any():
        rows, columns = cells.shape
        for flag, dy, dx in _REACHES:
            here = flags[max(-dy, 0) : rows - max(dy, 0), max(-dx, 0) : columns - max(dx, 0)]
            there = cells[max(dy, 0) : rows - max(-dy, 0), max(dx, 0) : columns - max(-dx, 0)]
            there |= here & flag != 0
    return cells


def _grown(cells: Cells, steps: int) -> Cells:
    """Add to the true cells all others at most ``steps`` away, also over corners."""
    for axis in (0, 1):
        count = cells.shape[axis]
        sums = np.cumsum(np.insert(cells, 0, 0, axis=axis), axis=axis, dtype=np.int64)
        after, before = (np.clip(np.arange(count) + n, 0, count) for n in (steps + 1, -steps))
        cells = np.take(sums, after, axis=axis) > np.take(sums, before, axis=axis)
    return cells


_REACHES = (
    (compare_ir.LEFT, 0, -1),
    (compare_ir.RIGHT, 0, 1),
    (compare_ir.TOP, -1, 0),
    (compare_ir.BOTTOM, 1, 0),
    (compare_ir.TOP_LEFT, -1, -1),
    (compare_ir.TOP_RIGHT, -1, 1),
    (compare_ir.BOTTOM_LEFT, 1, -1),
    (compare_ir.BOTTOM_RIGHT, 1, 1),
)
"""For each flag, how many rows and columns away the neighbour is that the change reaches."""


def no_cells(width: int, height: int) -> Cells:
    """A mask of the cells of a picture of this size, none of them true."""
    return np.zeros(_cells_shape(width, height), np.bool_)


def tiles_for(engine: Engine, lr: Image, hr: Image, cells: Cells) -> list[Tile]:
    """The tiles that ``engine`` must compute so that these cells of ``hr`` become right; one for
    the whole picture where nearly all cells are true."""
    height, width = lr.shape[:2]
    if engine.sparse and 0 < np.count_nonzero(cells) < WHOLE_ABOVE * cells.size:
        return [Tile(lr, hr, Region.of(width, height), cells)]
    regions = regions_of(cells, width, height, region_cost=engine.region_cost, halo=engine.halo)
    return [Tile(lr, hr, region) for region in regions]


def regions_of(
    cells: Cells, width: int, height: int, *, region_cost: int, halo: int = HALO
) -> list[Region]:
    """Cut the true cells of a picture of this size into disjoint regions, as costs least.

    ``region_cost`` is what a region costs beside its area and halo, in pixels. Gives no region
    where no cell is true, the whole picture where nearly all are.
    """
    count = np.count_nonzero(cells)
    if count == 0:
        return []
    if count >= WHOLE_ABOVE * cells.size:
        return [Region.of(width, height)]
    regions = []
    for x0, y0, x1, y1 in rectangles(cells, Price(region_cost, CELL, halo)):
        x = x0 * CELL
        y = y0 * CELL
        regions.append(Region(x, y, min(x1 * CELL, width) - x, min(y1 * CELL, height) - y))
    return regions


def _cells_shape(width: int, height: int) -> tuple[int, int]:
    """(rows, columns) of the cells of a picture of this size."""
    return -(-height // CELL), -(-width // CELL)
