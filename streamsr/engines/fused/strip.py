"""Runs the native code on one strip of a picture. All that it will read or write is checked here,
right before."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from streamsr.engines import Tile
from streamsr.engines.fused.codegen import layout
from streamsr.engines.fused.taps import Plan
from streamsr.frame import Image
from streamsr.native.jit import Library
from streamsr.region import CELL, Cells, Region


def wanted_cells(cells: Cells, width: int, plan: Plan) -> NDArray[np.uint8]:
    """``cells`` of a picture of this width as the native code reads them, with empty rows before
    and after."""
    beyond = plan.shape.cells_before
    wanted = np.zeros((cells.shape[0] + 2 * beyond, cells.shape[1]), np.uint8)
    wanted[beyond:-beyond] = cells
    if not plan.isa.by_blocks:
        # Gaps of one or two cells are computed too: single vectors cost half as much again as three
        # together.
        wanted[:, 1:-1] |= wanted[:, :-2] & wanted[:, 2:]
        gaps = wanted[:, :-3] & wanted[:, 3:]
        wanted[:, 1:-2] |= gaps
        wanted[:, 2:-1] |= gaps
    if width % CELL:
        # The last vector of a row is written moved to the left, over pixels of the one before: up
        # to 16.
        wanted[:, -3:] |= wanted[:, -1:]
    return wanted


class Runner:
    """One worker's memory and its way into the native code. One thread at a time."""

    def __init__(self, library: Library, plan: Plan) -> None:
        self._plan = plan
        self._library = library  # whose end would be that of the function
        self._run = library.function("run", ctypes.c_void_p)
        self._call = np.zeros(len(layout.CALL), np.int64)
        self._scratch = aligned(plan.scratch)
        self._arena = np.empty(0, np.uint8)

    def compute(self, tile: Tile, wanted: NDArray[np.uint8] | None = None) -> None:
        """Write the output pixels of ``tile.region``, at most COLUMNS wide. The tile has passed
        check_tiles.

        ``wanted`` (see `wanted_cells`) limits them to some of the picture's cells; then the region
        is as wide as the picture, two vectors at least, and begins with a row of cells.
        """
        lr, hr, region, _ = tile
        place, lanes, scale = (
            region.scaled(self._plan.shape.scale),
            self._plan.isa.lanes,
            self._plan.shape.scale,
        )
        if region.width >= lanes:
            self._strip(lr, region, hr, place, wanted)
        else:  # the code writes whole vectors
            wide = np.empty((place.height, lanes * scale, 3), np.uint8)
            self._strip(lr, region, wide, Region.of(lanes * scale, place.height))
            hr[place.slices] = wide[:, : place.width]

    def _strip(
        self,
        lr: Image,
        region: Region,
        hr: Image,
        place: Region,
        wanted: NDArray[np.uint8] | None = None,
    ) -> None:
        """``place`` is where in ``hr`` the output goes; it is wider than the region where that is
        narrow."""
        plan, (height, width) = self._plan, lr.shape[:2]
        scale, reach, lanes = plan.shape.scale, plan.shape.reach, plan.isa.lanes
        seen, columns = region.grown(reach, width, height), max(region.width, lanes)
        line = layout.stride(-(-seen.width // plan.isa.phases), lanes)
        arena = self._memory(plan.lines * line)
        ok = (
            lr.dtype == hr.dtype == np.uint8
            and lr.flags.c_contiguous
            and hr.flags.c_contiguous
            and hr.flags.writeable
            and lr.shape == (height, width, 3)
            and hr.shape == (*hr.shape[:2], 3)
            and region.within(width, height)
            and seen.width <= layout.COLUMNS + 2 * reach
            and place.within(hr.shape[1], hr.shape[0])
            and (place.width, place.height) == (columns * scale, region.height * scale)
        )
        if wanted is not None:
            ok = (
                ok
                and region.width == width >= 2 * lanes
                and region.y % CELL == 0
                and wanted.shape
                == (-(-height // CELL) + 2 * plan.shape.cells_before, -(-width // CELL))
                and wanted.dtype == np.uint8
                and wanted.flags.c_contiguous
            )
        if not ok:
            raise ValueError(f"cannot compute {region} of {lr.shape} into {place} of {hr.shape}")
        self._call[:] = (
            _address(lr) + 3 * seen.x,
            3 * width,
            _address(hr) + 3 * (place.y * hr.shape[1] + place.x),
            3 * hr.shape[1],
            height,
            region.y,
            region.bottom,
            seen.width,
            region.x - seen.x,
            columns,
            _address(arena),
            line,
            _address(plan.ops),
            _address(self._scratch),
            _address(plan.zero_points),
            0 if wanted is None else _address(wanted),
        )
        self._run(_address(self._call))

    def _memory(self, size: int) -> NDArray[np.uint8]:
        """At least ``size`` bytes from a cache line on, kept for the next call."""
        if self._arena.size < size:
            self._arena = aligned(size)
        return self._arena


def aligned(size: int) -> NDArray[np.uint8]:
    """At least ``size`` bytes from a cache line on."""
    memory = np.empty(size + 64, np.uint8)
    return memory[-_address(memory) % 64 :]


def _address(array: NDArray[np.generic]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
