"""Which parts of a frame differ from the one before, as regions worth computing.

Pictures are compared in cells of 8 x 8 pixels, the size of the blocks video codecs skip. A changed pixel changes the
output up to HALO pixels away, so the changed cells are grown by one cell. Everywhere else the output is exactly the
previous output.
"""

import numpy as np
from numpy.typing import NDArray

from streamsr.compiled import compiled
from streamsr.engines import Image
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
    _compare(previous.reshape(height, -1), current.reshape(height, -1), cells)
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
    regions = []
    for x0, y0, x1, y1 in _rectangles(cells, region_cost).tolist() if region_cost else _runs(cells):
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


@compiled()
def _compare(a, b, cells):  # type: ignore[no-untyped-def]  # numba infers
    """Mark the cells in which two [H, 3 W] pictures differ."""
    height, width = a.shape
    step = 3 * CELL
    whole = width // step
    for y in range(height):
        row, left, right = cells[y // CELL], a[y], b[y]
        for c in range(whole):
            # An OR of differences without a branch: LLVM turns it into wide vector operations.
            difference = np.uint8(0)
            for i in range(c * step, c * step + step):
                difference |= left[i] ^ right[i]
            row[c] |= difference != 0
        for i in range(whole * step, width):
            row[whole] |= left[i] != right[i]


@compiled()
def _cost(width, height, region_cost):  # type: ignore[no-untyped-def]  # numba infers
    """Of a rectangle of cells, in pixels the network must compute."""
    if width <= 0 or height <= 0:
        return 0
    return (width * CELL + 2 * HALO) * (height * CELL + 2 * HALO) + region_cost


@compiled()
def _rectangles(cells, region_cost):  # type: ignore[no-untyped-def]  # numba infers
    """Cut a mask into disjoint rectangles [n, 4] (x0, y0, x1, y1) that hold all true cells.

    Starting from the whole, each rectangle is shrunk to what is set in it and cut in two wherever that saves most.
    """
    rows, columns = cells.shape
    stack = np.empty((rows * columns + 1, 4), np.int64)
    found = np.empty((rows * columns, 4), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, 0, columns, rows
    waiting, count = 1, 0
    longest = max(rows, columns)
    first, last = np.empty(longest, np.int64), np.empty(longest, np.int64)
    before = np.empty((longest + 1, 3), np.int64)
    while waiting:
        waiting -= 1
        x0, y0, x1, y1 = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3]
        left, top, right, bottom = x1, y1, x0, y0
        for y in range(y0, y1):
            for x in range(x0, x1):
                if cells[y, x]:
                    left, right = min(left, x), max(right, x + 1)
                    top, bottom = min(top, y), max(bottom, y + 1)
        if right <= left:
            continue
        best, best_axis, best_cut = _cost(right - left, bottom - top, region_cost), -1, 0
        for axis in range(2):
            # Extent across the axis of each line, then of all lines before and after a cut.
            begin, end = (left, right) if axis == 0 else (top, bottom)
            low, high = (top, bottom) if axis == 0 else (left, right)
            for i in range(begin, end):
                first[i], last[i] = high, low
                for j in range(low, high):
                    if cells[j, i] if axis == 0 else cells[i, j]:
                        first[i], last[i] = min(first[i], j), j + 1
            # before: lowest, highest, length up to the last line that is not empty
            before[begin, 0], before[begin, 1], before[begin, 2] = high, low, 0
            for i in range(begin, end):
                filled = last[i] > first[i]
                before[i + 1, 0] = min(before[i, 0], first[i])
                before[i + 1, 1] = max(before[i, 1], last[i])
                before[i + 1, 2] = i + 1 - begin if filled else before[i, 2]
            after_low, after_high, after_begin = high, low, end
            for cut in range(end - 1, begin, -1):
                after_low, after_high = min(after_low, first[cut]), max(after_high, last[cut])
                if last[cut] > first[cut]:
                    after_begin = cut
                cost = _cost(before[cut, 2], before[cut, 1] - before[cut, 0], region_cost) + _cost(
                    end - after_begin, after_high - after_low, region_cost
                )
                if cost < best:
                    best, best_axis, best_cut = cost, axis, cut
        if best_axis < 0:
            found[count, 0], found[count, 1], found[count, 2], found[count, 3] = left, top, right, bottom
            count += 1
        elif best_axis == 0:
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3] = left, top, best_cut, bottom
            waiting += 1
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3] = best_cut, top, right, bottom
            waiting += 1
        else:
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3] = left, top, right, best_cut
            waiting += 1
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3] = left, best_cut, right, bottom
            waiting += 1
    return found[:count]
