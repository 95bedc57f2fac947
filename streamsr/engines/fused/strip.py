"""Runs the native code on one strip of a picture. All that it will read or write is checked here, right before."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from streamsr.engines import Image, Tile
from streamsr.engines.fused import layout
from streamsr.engines.fused.compile import Library
from streamsr.engines.fused.plan import Plan
from streamsr.region import Region


class Runner:
    """One worker's memory and its way into the native code. One thread at a time."""

    def __init__(self, library: Library, plan: Plan) -> None:
        self._plan = plan
        self._run = library.function("run", ctypes.c_void_p)
        self._call = np.zeros(len(layout.CALL), np.int64)
        self._table = np.zeros(layout.TABLE, np.int64)
        self._arena = np.empty(0, np.uint8)

    def compute(self, tile: Tile) -> None:
        """Write the output pixels of ``tile.region``, at most COLUMNS wide. The tile has passed check_tiles."""
        lr, hr, region = tile
        if region.width >= self._plan.isa.lanes:
            corner = region.scaled(self._plan.scale)
            self._strip(lr, region, hr[corner.y : corner.bottom, corner.x : corner.right])
        else:  # the code writes whole vectors
            narrow = region.scaled(self._plan.scale)
            wide = np.empty((narrow.height, self._plan.isa.lanes * self._plan.scale, 3), np.uint8)
            self._strip(lr, region, wide)
            hr[narrow.slices] = wide[:, : narrow.width]

    def _strip(self, lr: Image, region: Region, hr: Image) -> None:
        plan, (height, width) = self._plan, lr.shape[:2]
        seen = region.grown(layout.REACH, width, height)
        columns = hr.shape[1] // plan.scale
        line = layout.stride(seen.width, plan.isa.lanes)
        arena = self._memory(plan.rings.lines * line)
        ok = (
            region.within(width, height)
            and seen.width <= layout.COLUMNS + 2 * layout.REACH
            and lr.dtype == hr.dtype == np.uint8
            and lr.shape == (height, width, 3)
            and lr.strides[1:] == hr.strides[1:] == (3, 1)
            and lr.strides[0] >= 3 * width
            and hr.strides[0] >= 3 * hr.shape[1]
            and hr.flags.writeable
            and hr.shape == (region.height * plan.scale, columns * plan.scale, 3)
            and columns == max(region.width, plan.isa.lanes)
            and plan.ops.shape == (11, layout.OP_WORDS)
        )
        if not ok:
            raise ValueError(f"cannot compute {region} of {lr.shape}{lr.strides} into {hr.shape}{hr.strides}")
        self._call[:] = (
            _address(lr) + 3 * seen.x, lr.strides[0], _address(hr), hr.strides[0], height, region.y, region.bottom,
            seen.width, region.x - seen.x, columns, _address(arena), line, _address(plan.ops), _address(self._table),
            _address(plan.zero_points),
        )  # fmt: skip
        self._run(_address(self._call))

    def _memory(self, size: int) -> NDArray[np.uint8]:
        """At least ``size`` bytes from a cache line on, kept for the next call."""
        if self._arena.size < size:
            memory = np.empty(size + 64, np.uint8)
            self._arena = memory[-_address(memory) % 64 :]
        return self._arena


def _address(array: NDArray[np.generic]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
