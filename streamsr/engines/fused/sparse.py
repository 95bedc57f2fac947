"""Which vectors of which rows must be computed so that some cells of the output come out right."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamsr.engines import Cells
from streamsr.engines.fused.isa import Isa

UNIT = 4
"""Pixels, half a cell: the stages before the head see one to four pixels beyond the output, one unit on each side."""


class Mask(NamedTuple):
    """Two byte arrays [rows of cells + 2, vectors], the first and last row empty, for the whole width of a picture.

    want  output pixels of a vector: 0 none, 3 all; where a vector holds two cells, 1 its first and 2 its second
    need  not 0 where a vector of any stage before the head is read for a wanted pixel, rows apart
    """

    want: NDArray[np.uint8]
    need: NDArray[np.uint8]


def mask(cells: Cells, width: int, isa: Isa) -> Mask:
    """The mask for ``cells`` of a picture ``width`` pixels wide, which is at least two vectors."""
    vectors, units = -(-width // isa.lanes), isa.lanes // UNIT
    rows, columns = cells.shape
    # Units with one more on each side.
    wide = np.zeros((rows + 2, vectors * units + 2), np.bool_)
    inner = wide[1:-1, 1:-1]
    for half in (0, 1):
        inner[:, half : 2 * columns : 2] = cells[:, : -(-(inner.shape[1] - half) // 2)]
    if width % isa.lanes:
        # The last vector is written moved to the left, over pixels of the one before.
        inner[:, -2 * units :] |= inner[:, -units:].any(axis=1, keepdims=True)
    split = wide[:, 1:-1].reshape(rows + 2, vectors, units)
    any_unit = split.any(axis=2)
    need = any_unit | wide[:, :-2:units] | wide[:, units + 1 :: units]
    halves = (split[:, :, : units // 2], split[:, :, units // 2 :]) if units > 2 else (split, split)
    first, second = (half.any(axis=2) for half in halves)
    want: NDArray[np.uint8] = np.asarray(first + 2 * second, np.uint8)
    return Mask(want, need.astype(np.uint8))
