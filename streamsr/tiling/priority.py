"""Which parts of a picture deserve the network most when it cannot take all of them."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamsr.engines import Engine, Tile
from streamsr.frame import Image
from streamsr.native.loops import detail
from streamsr.region import CELL, Cells, Region
from streamsr.tiling.changes import tiles_of

SMALL, LARGE = 4, 10
"""Cells along each side of a tile. An engine that is sparse computes little more than what it is
asked for, so 32 x 32 pixels; another computes the halo too, 42 x 42, so 80 x 80. With it that is 90
x 90, within the 96 x 96 that LiteRT and OpenVINO round up to: nearly all tiles have one shape, and
each new shape costs them a preparation as long as its work.
"""

REFINED_SHARE = 0.125
"""Of the tiles taken, those that go to parts which were resized earlier and have not changed since,
oldest first.

However busy the rest of the picture is, what stands still becomes sharp.
"""

STICKY = 1.5
"""How much more a tile counts that the network took in the last frame: quality should not jump
between neighbours."""

CHANGE_UNIT = 8.0
"""Mean difference of 8 bits that makes a change count as much as the detail itself."""

Scores = NDArray[np.float64]
"""One number for each tile, [rows, columns]."""


class Tiles(NamedTuple):
    """What is known of each tile, [rows, columns] each.

    score    detail and change, see `scores`
    changed  whether something changed in it
    age      for how many frames parts of it have stood still without being at full quality, 0 for
             none
    taken    whether the network took it in the last frame
    """

    score: Scores
    changed: Cells
    age: NDArray[np.int64]
    taken: Cells


def choose(tiles: Tiles, count: int) -> Cells:
    """The ``count`` tiles that deserve the network most, of those that changed or are not at full
    quality."""
    chosen = np.zeros(tiles.changed.shape, np.bool_)
    waiting = tiles.age > 0
    refined = math.ceil(count * REFINED_SHARE)
    _set_first(chosen, np.where(waiting, -tiles.age.astype(np.float64), np.inf), refined)
    wanted = tiles.changed & ~chosen
    merit = tiles.score * np.where(tiles.taken, STICKY, 1.0)
    _set_first(chosen, np.where(wanted, -merit, np.inf), count - int(chosen.sum()))
    left = waiting & ~chosen
    _set_first(
        chosen, np.where(left, -tiles.age.astype(np.float64), np.inf), count - int(chosen.sum())
    )
    return chosen


def _set_first(chosen: Cells, order: Scores, count: int) -> None:
    """Set the ``count`` tiles that come first in ``order``; infinite ones never."""
    if count <= 0:
        return
    flat = order.ravel()
    first = np.argsort(flat, kind="stable")[:count]
    chosen.ravel()[first[np.isfinite(flat[first])]] = True


def side_of(engine: Engine) -> int:
    """How many cells are along each side of this engine's tiles."""
    return SMALL if engine.sparse else LARGE


def tiles_with(cells: Cells, side: int) -> Cells:
    """Which tiles of ``side`` cells hold a true cell."""
    rows, columns = cells.shape
    padded = np.pad(cells, ((0, -rows % side), (0, -columns % side)))
    return np.asarray(
        padded.reshape(padded.shape[0] // side, side, -1, side).any(axis=(1, 3)), np.bool_
    )


def cells_of(tiles: Cells, side: int, like: Cells) -> Cells:
    """The cells of these tiles, in a picture with as many cells as ``like``."""
    rows, columns = like.shape
    return np.repeat(np.repeat(tiles, side, axis=0), side, axis=1)[:rows, :columns]


def cells_within(region: Region, width: int, height: int) -> tuple[slice, slice]:
    """The cells that lie wholly inside a region; one cut off by the picture's edge counts as
    whole."""
    right = -(-region.right // CELL) if region.right == width else region.right // CELL
    bottom = -(-region.bottom // CELL) if region.bottom == height else region.bottom // CELL
    return slice(-(-region.y // CELL), bottom), slice(-(-region.x // CELL), right)


def work_for(engine: Engine, lr: Image, cells: Cells) -> list[Tile]:
    """What the engine computes for these cells of a picture, into an output yet to be given."""
    if engine.sparse:
        return tiles_of(engine, lr, lr, cells)
    height, width = lr.shape[:2]
    parts = [Tile(lr, lr, region) for region in grid(tiles_with(cells, LARGE), width, height)]
    whole = [Tile(lr, lr, Region.of(width, height))]
    return parts if pixels_of(engine, parts) < pixels_of(engine, whole) else whole


def grid(tiles: Cells, width: int, height: int) -> Iterator[Region]:
    """The regions of LARGE tiles in a picture of this size."""
    side = LARGE * CELL
    for y, x in (np.argwhere(tiles) * side).tolist():
        yield Region(x, y, min(side, width - x), min(side, height - y))


def pixels_of(engine: Engine, tiles: Sequence[Tile]) -> int:
    """Pixels that the engine computes for these tiles, halos too, and its cost of each counted as
    pixels."""
    halo, pixels = 2 * engine.halo, len(tiles) * engine.region_cost
    for tile in tiles:
        if tile.cells is None:
            pixels += (tile.region.width + halo) * (tile.region.height + halo)
        else:
            pixels += wanted_pixels(tile)
    return pixels


def wanted_pixels(tile: Tile) -> int:
    """Pixels of a tile that were asked for."""
    if tile.cells is None:
        return tile.region.area
    return min(int(np.count_nonzero(tile.cells)) * CELL * CELL, tile.region.area)


def scores(previous: Image, current: Image, side: int) -> Scores:
    """Detail of each tile of ``side`` cells, the mean step between neighbouring pixels, weighed up
    by how it changed.

    Resizing loses where there is detail; a loss is seen where something moves.
    """
    side *= CELL
    height, width = current.shape[:2]
    sums = np.zeros((-(-height // side), -(-width // side), 2), np.int64)
    detail(previous, current, side, sums)
    lines = np.bincount(np.arange(0, height - 1, 2) // side, minlength=sums.shape[0])
    columns = np.bincount(np.arange(width - 1) // side, minlength=sums.shape[1])
    steps, change = np.moveaxis(sums / np.maximum(np.outer(lines, columns), 1)[..., None], 2, 0)
    return np.asarray((0.5 + steps) * (1 + change / CHANGE_UNIT))
