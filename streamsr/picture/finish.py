"""What is done to the network's picture before it is shown: consistency, strength, sharpening.

Each is a function of the source's picture and the network's, reaching a few pixels far, so that a
picture is the same however the network was run over it.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from streamsr.frame import Image
from streamsr.native.loops import blend, consistent, sharpen
from streamsr.options import SCALES, Look
from streamsr.picture.resize import resized

REACH = 2
"""LR pixels around a pixel that consistency reads, source's and network's; bicubic interpolation
reads as many of the source's."""

SHARPEN_REACH = 1
"""Enlarged pixels that sharpening reads around one."""

SHARES = 256
"""Steps in which strength and sharpening are applied, from none to all."""

ROWS = 16
"""LR rows below which a strip is not worth waking another thread."""


def finish_for(look: Look, *, scale: int, threads: int) -> "Finish | None":
    """What does to pictures what ``look`` says; None where that is nothing. Raises ValueError for
    consistency at a scale for which it is not made."""
    if look.consistent and scale not in SCALES:
        raise ValueError(
            f"expected no consistency with a model that upscales by {scale}: it is made for "
            f"{', '.join(map(str, SCALES))}"
        )
    return None if look == Look() else Finish(look, threads=threads)


class Finish:
    """Makes the picture that is shown of the network's. For one thread at a time, any one.

    threads  cores that work in parallel

    `close` ends its threads. Closing twice is harmless.
    """

    def __init__(self, look: Look, *, threads: int = 1) -> None:
        self.look = look
        self._threads = threads
        self._soft = np.empty(0, np.uint8)  # what is sharpened
        # The caller's thread is one of the workers; the others start with the first picture.
        self._pool = ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="streamsr-finish")

    def __call__(self, lr: Image, raw: Image, hr: Image) -> None:
        """Write the finished picture.

        lr   [H, W, 3] uint8, the source's picture
        raw  [s*H, s*W, 3] uint8, what the network made of it; only read
        hr   the same size, to be written; all three C-contiguous, none overlapping
        """
        look, height = self.look, lr.shape[0]
        if look.sharpen > 0 and self._soft.shape != hr.shape:
            self._soft = np.empty_like(hr)
        soft = self._soft if look.sharpen > 0 else hr
        if look.consistent:
            self._in_strips(height, lambda first, last: consistent(lr, raw, soft, first, last))
        else:
            np.copyto(soft, raw)
        if look.strength < 1:
            share = round(look.strength * SHARES)
            smooth = resized(lr, (hr.shape[1], hr.shape[0]))
            self._in_strips(
                hr.shape[0],
                lambda first, last: blend(soft[first:last], smooth[first:last], share),
            )
        if look.sharpen > 0:
            amount = round(look.sharpen * SHARES)
            self._in_strips(hr.shape[0], lambda first, last: sharpen(soft, amount, hr, first, last))

    def _in_strips(self, height: int, work: Callable[[int, int], None]) -> None:
        """Call ``work(first, last)`` for strips of rows that make up ``height``, in parallel."""
        count = max(1, min(self._threads, height // ROWS))
        ends = np.linspace(0, height, count + 1).astype(int).tolist()
        others = [
            self._pool.submit(work, first, last) for first, last in itertools.pairwise(ends[1:])
        ]
        try:
            work(0, ends[1])
        finally:
            for other in others:
                other.exception()  # wait: what it writes to must not be used before
        for other in others:
            other.result()

    def close(self) -> None:
        self._pool.shutdown()
