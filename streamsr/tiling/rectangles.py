"""Cuts a mask of cells into the rectangles that cost least: for engines to which every region costs
extra."""

import numpy as np

from streamsr.tiling.numba_loops import compiled


@compiled()
def _cost(width, height, region_cost, cell, halo):  # type: ignore[no-untyped-def]  # numba infers
    """Of a rectangle of cells, in pixels the network must compute."""
    if width <= 0 or height <= 0:
        return 0
    return (width * cell + 2 * halo) * (height * cell + 2 * halo) + region_cost


@compiled()
def rectangles(cells, region_cost, cell, halo):  # type: ignore[no-untyped-def]  # numba infers
    """Cut a mask into disjoint rectangles [n, 4] (x0, y0, x1, y1) that hold all true cells.

    Starting from the whole, each rectangle is shrunk to what is set in it and cut in two wherever
    that saves most.
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
        best, best_axis, best_cut = (
            _cost(right - left, bottom - top, region_cost, cell, halo),
            -1,
            0,
        )
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
                cost = _cost(
                    before[cut, 2], before[cut, 1] - before[cut, 0], region_cost, cell, halo
                ) + _cost(end - after_begin, after_high - after_low, region_cost, cell, halo)
                if cost < best:
                    best, best_axis, best_cut = cost, axis, cut
        if best_axis < 0:
            found[count, 0], found[count, 1], found[count, 2], found[count, 3] = (
                left,
                top,
                right,
                bottom,
            )
            count += 1
        elif best_axis == 0:
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3] = (
                left,
                top,
                best_cut,
                bottom,
            )
            waiting += 1
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3] = (
                best_cut,
                top,
                right,
                bottom,
            )
            waiting += 1
        else:
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3] = (
                left,
                top,
                right,
                best_cut,
            )
            waiting += 1
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3] = (
                left,
                best_cut,
                right,
                bottom,
            )
            waiting += 1
    return found[:count]
