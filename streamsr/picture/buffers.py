"""Reuses large arrays: fresh memory costs more than the copy into it (3 ms of page faults at
1080p)."""

import weakref
from math import prod
from typing import Any

import numpy as np

from streamsr.frame import Image


class BufferPool:
    """Lends arrays [H, W, 3] uint8; one comes back by itself when its last view is gone. For one
    thread.

    spare  how many unused arrays, of one size, are kept for the next time
    """

    def __init__(self, spare: int = 8) -> None:
        self._free: list[Image] = []
        self._spare = spare

    def take(self, shape: tuple[int, int, int]) -> Image:
        """Lend an array of this shape; its contents are undefined."""
        size = prod(shape)
        memory = next((spare for spare in self._free if spare.size == size), None)
        if memory is None:
            memory = np.empty(size, np.uint8)
            self._free = [spare for spare in self._free if spare.size == size]
        else:
            self._free = [spare for spare in self._free if spare is not memory]
        # Every view's chain of bases ends at the array over this owner, so that the owner goes with
        # the last of them.
        owner = _Owner(memory)
        weakref.finalize(owner, self._take_back, memory).atexit = False
        return np.asarray(owner).reshape(shape)

    def _take_back(self, memory: Image) -> None:
        """Keep returned memory. Called in whatever thread drops the last view, so nothing here is
        more than one step."""
        if len(self._free) < self._spare:
            self._free.append(memory)


class _Owner:
    """Lends its memory to one array and to all views of that."""

    def __init__(self, memory: Image) -> None:
        self.__array_interface__: dict[str, Any] = memory.__array_interface__
