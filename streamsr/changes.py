"""Which parts of a frame differ from the one before, as regions worth computing.

Pictures are compared in cells of 8 x 8 pixels, the size of the blocks video codecs skip. A changed pixel changes the
output up to HALO pixels away, so the changed cells are grown by one cell. Everywhere else the output is exactly the
previous output.
"""

import numpy as np
from numpy.typing import NDArray

from streamsr.engines import Image
from streamsr.native.loops import compare
from streamsr.region import HALO, Region

CELL = 8
"""Pixels. At least HALO, so that growing by one cell covers what a change reaches."""
assert CELL >= HALO

Cells = NDArray[np.bool_]
"""One flag for each cell of a picture, [rows, columns]."""

WHOLE_ABOVE = 0.9
"""Share of affected cells above which the whole frame is computed: halos and copies would cost what is saved."""


def changed_regions(previous: Image, current: Image, *, region_cost: int) -> list[Region]:
    """Disjoint regions of ``current`` outside which its upscaled picture equals that of ``previous``.

    Both are [H, W, 3] uint8 of one size, C-contiguous. Empty when they are equal; the whole picture when nearly all
    of it changed. ``region_cost`` as for `regions_of`.
    """
    height, width = current.shape[:2]
    return regions_of(affected_cells(previous, current), width, height, region_cost=region_cost)


def affected_cells(previous: Image, current: Image) -> Cells:
    """The cells outside which the upscaled picture of ``current`` equals that of ``previous``."""
    height, width = current.shape[:2]
    cells = no_cells(width, height)
    compare(previous, current, cells)
    return _grown(cells) if cells.any() else cells


def no_cells(width: int, height: int) -> Cells:
    """The cells of a picture of this size, none of them set."""
    return np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)


def regions_of(cells: Cells, width: int, height: int, *, region_cost: int) -> list[Region]:
    """Disjoint regions that hold the true cells of a picture of this size; the whole where nearly all are true.

    ``region_cost`` is the engine's: what a region costs beside its area, in pixels; at 0 the regions follow the cells
    closely, above it they are merged and split as costs least.
    """
    count = np.count_nonzero(cells)
    if count == 0:
        return []
    if count >= WHOLE_ABOVE * cells.size:
        return [Region.of(width, height)]
    if region_cost:
        from streamsr.rectangles import rectangles  # numba, 0.3 s, only for engines that need it

        boxes = rectangles(cells, region_cost, CELL, HALO).tolist()
    else:
        boxes = _runs(cells)
    regions = []
    for x0, y0, x1, y1 in boxes:
        x, y = x0 * CELL, y0 * CELL
        regions.append(Region(x, y, min(x1 * CELL, width) - x, min(y1 * CELL, height) - y))
    return regions


def _runs(cells: Cells) -> list[tuple[int, int, int, int]]:
    """The true cells as one rectangle (x0, y0, x1, y1) for each run in each row of cells."""
    edges = np.diff(np.pad(cells, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    return [(x0, y, x1, y + 1) for y, x0, x1 in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)]


def _grown(cells: Cells) -> Cells:
    """Each true cell and its eight neighbours."""
    wide = cells.copy()
    wide[:, 1:] |= cells[:, :-1]
    wide[:, :-1] |= cells[:, 1:]
    grown = wide.copy()
    grown[1:] |= wide[:-1]
    grown[:-1] |= wide[1:]
    return grown
