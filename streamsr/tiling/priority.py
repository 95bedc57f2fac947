"""Chooses which blocks of a picture the network computes when it cannot compute all of it.

A block is a square of cells, about which detail, change and age are known; a tile is what an engine
is given (`streamsr.engines.Tile`), made of the blocks that were chosen. Masks and numbers of blocks
are arrays [rows, columns].
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamsr.engines import Engine, Tile
from streamsr.frame import Image
from streamsr.native.loops import detail
from streamsr.region import CELL, Cells, Region
from streamsr.tiling.changes import tiles_for

SMALL, LARGE = 4, 10
"""Cells along each side of a block. An engine that is sparse computes little more than what it is
asked for, so 32 x 32 pixels; another computes the halo too, 42 x 42, so 80 x 80. With it that is 90
x 90, within the 96 x 96 that LiteRT and OpenVINO round up to: nearly all tiles have one shape, and
each new shape costs them a preparation as long as its work.
"""

REFINED_SHARE = 0.125
"""Of the blocks chosen, those that go to parts which were resized earlier and have not changed
since, oldest first.

However busy the rest of the picture is, what stands still becomes sharp.
"""

STICKY = 1.5
"""How much more a block counts that the network computed in the last frame: quality should not jump
between neighbours."""

CHANGE_UNIT = 8.0
"""Mean difference of 8 bits that makes a change count as much as the detail itself."""

Mask = NDArray[np.bool_]
"""A flag for each block."""

Scores = NDArray[np.float64]
"""A number for each block."""


class Blocks(NamedTuple):
    """What is known of each block.

    score    detail and change, see `block_scores`
    changed  whether something changed in it
    age      for how many frames parts of it have stood still without being at full quality, 0 for
             none
    taken    whether the network computed it in the last frame
    """

    score: Scores
    changed: Mask
    age: NDArray[np.int64]
    taken: Mask


def choose_blocks(blocks: Blocks, count: int) -> Mask:
    """Choose the ``count`` blocks that deserve the network most, of those that changed or are not
    at full quality."""
    chosen = np.zeros(blocks.changed.shape, np.bool_)
    waiting = blocks.age > 0
    oldest_first = -blocks.age.astype(np.float64)
    refined = math.ceil(count * REFINED_SHARE)
    _set_first(chosen, np.where(waiting, oldest_first, np.inf), refined)
    wanted = blocks.changed & ~chosen
    merit = blocks.score * np.where(blocks.taken, STICKY, 1.0)
    _set_first(chosen, np.where(wanted, -merit, np.inf), count - int(chosen.sum()))
    left = waiting & ~chosen
    _set_first(chosen, np.where(left, oldest_first, np.inf), count - int(chosen.sum()))
    return chosen


def _set_first(chosen: Mask, order: Scores, count: int) -> None:
    """Set the ``count`` blocks that come first in ``order``; infinite ones never."""
    if count <= 0:
        return
    flat = order.ravel()
    first = np.argsort(flat, kind="stable")[:count]
    chosen.ravel()[first[np.isfinite(flat[first])]] = True


def block_side(engine: Engine) -> int:
    """How many cells are along each side of a block for this engine."""
    return SMALL if engine.sparse else LARGE


def blocks_with(cells: Cells, side: int) -> Mask:
    """Which blocks of ``side`` x ``side`` cells hold a true cell."""
    rows, columns = cells.shape
    padded = np.pad(cells, ((0, -rows % side), (0, -columns % side)))
    squares = padded.reshape(padded.shape[0] // side, side, -1, side)
    return np.asarray(squares.any(axis=(1, 3)), np.bool_)


def cells_of_blocks(blocks: Mask, side: int, like: Cells) -> Cells:
    """The cells of the true blocks, in a picture with as many cells as ``like``."""
    rows, columns = like.shape
    return np.repeat(np.repeat(blocks, side, axis=0), side, axis=1)[:rows, :columns]


def cells_within(region: Region, width: int, height: int) -> tuple[slice, slice]:
    """Index, in a mask of cells, of those that lie wholly inside a region of a picture of this
    size; one that the picture's edge cuts off counts as whole."""
    right = -(-region.right // CELL) if region.right == width else region.right // CELL
    bottom = -(-region.bottom // CELL) if region.bottom == height else region.bottom // CELL
    return slice(-(-region.y // CELL), bottom), slice(-(-region.x // CELL), right)


def live_tiles(engine: Engine, lr: Image, cells: Cells) -> list[Tile]:
    """The tiles that compute these cells of ``lr``, their ``hr`` yet to be given: whole blocks of
    one shape, unless the whole picture costs less."""
    if engine.sparse:
        return tiles_for(engine, lr, lr, cells)
    height, width = lr.shape[:2]
    blocks = blocks_with(cells, LARGE)
    parts = [Tile(lr, lr, region) for region in block_regions(blocks, width, height)]
    whole = [Tile(lr, lr, Region.of(width, height))]
    return parts if cost_pixels(engine, parts) < cost_pixels(engine, whole) else whole


def block_regions(blocks: Mask, width: int, height: int) -> Iterator[Region]:
    """The regions of the true LARGE blocks in a picture of this size."""
    side = LARGE * CELL
    for y, x in (np.argwhere(blocks) * side).tolist():
        yield Region(x, y, min(side, width - x), min(side, height - y))


def cost_pixels(engine: Engine, tiles: Sequence[Tile]) -> int:
    """What these tiles cost the engine, in pixels: those it computes, halos too, and what each tile
    costs besides."""
    halo = 2 * engine.halo
    pixels = len(tiles) * engine.region_cost
    for tile in tiles:
        if tile.cells is None:
            pixels += (tile.region.width + halo) * (tile.region.height + halo)
        else:
            pixels += requested_pixels(tile)
    return pixels


def requested_pixels(tile: Tile) -> int:
    """How many pixels of a tile were asked for."""
    if tile.cells is None:
        return tile.region.area
    return min(int(np.count_nonzero(tile.cells)) * CELL * CELL, tile.region.area)


def block_scores(previous: Image, current: Image, side: int) -> Scores:
    """Score each block of ``side`` x ``side`` cells: its detail, the mean step between neighbouring
    pixels, times how it changed.

    Resizing loses where there is detail; a loss is seen where something moves. Both pictures are
    [H, W, 3] uint8 of one size, C-contiguous.
    """
    side *= CELL
    height, width = current.shape[:2]
    sums = np.zeros((-(-height // side), -(-width // side), 2), np.int64)
    detail(previous, current, side, sums)
    lines = np.bincount(np.arange(0, height - 1, 2) // side, minlength=sums.shape[0])
    columns = np.bincount(np.arange(width - 1) // side, minlength=sums.shape[1])
    pixels = np.maximum(np.outer(lines, columns), 1)
    step = sums[..., 0] / pixels
    change = sums[..., 1] / pixels
    return np.asarray((0.5 + step) * (1 + change / CHANGE_UNIT))
