"""Large arrays used again, because fresh memory costs more than the copy into it (3 ms of page faults at 1080p)."""

import sys
from math import prod

import numpy as np

from streamsr.engines import Image

_UNUSED = 3
"""References to an array that only the pool holds: the pool's list, the loop variable, getrefcount's argument."""


class BufferPool:
    """Hands out [H, W, 3] uint8 arrays; one comes back by itself when its last view is gone. For one thread."""

    def __init__(self, spare: int = 8) -> None:
        self._bases: list[Image] = []
        self._spare = spare

    def take(self, shape: tuple[int, int, int]) -> Image:
        """An array with undefined contents. numpy keeps the base alive for as long as any view of it lives."""
        size = prod(shape)
        for base in self._bases:
            if base.size == size and sys.getrefcount(base) == _UNUSED:
                return base.reshape(shape)
        base = np.empty(size, np.uint8)
        same = [b for b in self._bases if b.size == size]
        self._bases = [base, *same[: self._spare - 1]]
        return base.reshape(shape)
