"""Cuts a mask of cells into the rectangles that cost least, for work in which every region costs
extra."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streamsr.region import Cells

Rectangle = tuple[int, int, int, int]
"""Cells from (x0, y0) up to, not including, (x1, y1)."""

Count = TypeVar("Count", int, NDArray[np.int64])
"""One number or many."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a rectangle costs, in pixels: its own and ``halo`` more on every side, and ``region``
    for being one. ``cell`` pixels are along each side of a cell."""

    region: int
    cell: int
    halo: int

    def __call__(self, width: Count, height: Count) -> Count:
        """Price rectangles of so many cells."""
        border = 2 * self.halo
        return (width * self.cell + border) * (height * self.cell + border) + self.region


def rectangles(cells: Cells, price: Price) -> list[Rectangle]:
    """Cut a mask [rows, columns] into disjoint rectangles that hold all its true cells.

    Starting from the whole, each rectangle is shrunk to what is set in it and cut in two wherever
    that saves most.
    """
    waiting = [(0, 0, cells.shape[1], cells.shape[0])]
    found = []
    while waiting:
        part = _shrunk(cells, waiting.pop())
        if part is None:
            continue
        x0, y0, x1, y1 = part
        axis, cut = _best_cut(cells[y0:y1, x0:x1], price)
        if cut == 0:
            found.append(part)
        elif axis == 0:
            waiting += [(x0, y0, x0 + cut, y1), (x0 + cut, y0, x1, y1)]
        else:
            waiting += [(x0, y0, x1, y0 + cut), (x0, y0 + cut, x1, y1)]
    return found


def _shrunk(cells: Cells, part: Rectangle) -> Rectangle | None:
    """The least rectangle that holds all true cells of ``part``; None where there are none."""
    x0, y0, x1, y1 = part
    inside = cells[y0:y1, x0:x1]
    columns = np.flatnonzero(inside.any(axis=0))
    rows = np.flatnonzero(inside.any(axis=1))
    if not len(columns):
        return None
    left, right = int(columns[0]), int(columns[-1]) + 1
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return x0 + left, y0 + top, x0 + right, y0 + bottom


def _best_cut(cells: Cells, price: Price) -> tuple[int, int]:
    """The axis (0 between columns) and the line before which to cut, as costs least; line 0 where
    no cut saves anything."""
    if cells.all():
        return 0, 0
    height, width = cells.shape
    least = price(width, height)
    best = 0, 0
    for axis, lines in enumerate((cells.T, cells)):
        costs = _costs_of_cuts(lines, price)
        if len(costs) and costs.min() < least:
            least = int(costs.min())
            best = axis, len(costs) - int(costs[::-1].argmin())
    return best


def _costs_of_cuts(lines: Cells, price: Price) -> NDArray[np.int64]:
    """What the parts before and after line 1, 2, ... cost together, each shrunk to what is set.

    ``lines`` is [n, breadth]; the first line and the last are not empty.
    """
    count, breadth = lines.shape
    full = lines.any(axis=1)
    ends = np.empty((3, count), np.int64)  # of each line: -first, last + 1, how far it is
    ends[0] = np.where(full, -lines.argmax(axis=1), -breadth)
    ends[1] = np.where(full, breadth - lines[:, ::-1].argmax(axis=1), 0)
    ends[2] = np.where(full, np.arange(1, count + 1), 0)
    before = np.maximum.accumulate(ends, axis=1)[:, :-1]
    ends[2] = np.where(full, np.arange(count, 0, -1), 0)
    after = np.maximum.accumulate(ends[:, ::-1], axis=1)[:, -2::-1]
    costs: NDArray[np.int64] = price(before[2], before[0] + before[1])
    costs += price(after[2], after[0] + after[1])
    return costs
