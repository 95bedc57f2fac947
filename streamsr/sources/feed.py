"""Takes pictures from the embedding program or from a browser's camera, one call each."""

import time
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np

from streamsr.channel import Channel, ReaderGone
from streamsr.errors import SourceError
from streamsr.frame import Frame, Image, StreamInfo

WAITING = 2
"""Pictures that may wait for the pipeline."""

TIME_BASE = Fraction(1, 90000)


class FeedSource:
    """Gives the pictures that `put` was given. See `streamsr.sources.Source` for the contract.

    size       (width, height) of the pictures; without it, entering waits for the first picture and
               takes its size
    rate       pictures per second, None when unknown
    time_base  seconds per tick of ``pts``
    live       when the pipeline is busy, a newer picture replaces the oldest one that waits;
               otherwise ``put`` waits until there is room
    lossy      the pictures went through a lossy codec, see `StreamInfo`

    One thread puts, another iterates.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] | None = None,
        rate: Fraction | None = None,
        time_base: Fraction = TIME_BASE,
        live: bool = True,
        lossy: bool = False,
    ) -> None:
        self._size = size
        self._rate = rate
        self._time_base = time_base
        self._live = live
        self._lossy = lossy
        self._waits = size is None
        self._frames: Channel[Frame] = Channel(WAITING, newest=live)
        self._first: Frame | None = None
        self._index = 0
        self._begin_s: float | None = None
        self._last: int | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the pictures, once known."""
        return self._size

    def put(self, image: Image, pts: int | None = None) -> bool:
        """Hand over an RGB picture [H, W, 3] uint8; the caller must not write to it afterwards.

        pts  its presentation time in ticks; without it, the time since the first picture. One that
             is not later than that of the picture before becomes one tick later

        Returns False once the pipeline takes no more pictures. Raises ValueError for a picture of
        another type or size.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"expected an RGB picture [H, W, 3] uint8, got {image.shape} {image.dtype}"
            )
        if self._size is None:
            self._size = image.shape[1], image.shape[0]
        if image.shape[1::-1] != self._size:
            raise ValueError(
                f"expected {self._size[0]}x{self._size[1]}, got {image.shape[1]}x{image.shape[0]}"
            )
        now = time.monotonic()
        if self._begin_s is None:
            self._begin_s = now
        if pts is None:
            pts = round((now - self._begin_s) / self._time_base)
        if self._last is not None:
            pts = max(pts, self._last + 1)
        self._last = pts
        frame = Frame(np.ascontiguousarray(image), pts, self._time_base, 0, self._index, now)
        self._index += 1
        try:
            self._frames.put(frame)
        except (ReaderGone, RuntimeError):  # the latter after `stop` or `end`
            return False
        return True

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the first picture, unless the size was given. Returns False at the timeout.

        Raises SourceError when the feed ended without a picture.
        """
        if self._waits:
            try:
                self._first = self._frames.get(timeout_s)
            except TimeoutError:
                return False
            except EOFError:
                raise SourceError("no picture was put in") from None
            self._waits = False
        return True

    def end(self) -> None:
        """Say that no more pictures follow."""
        self._frames.end()

    def stop(self) -> None:
        """As `end`; see `streamsr.sources.Stoppable`."""
        self._frames.end()

    def __enter__(self) -> Self:
        self.wait()
        assert self._size is not None
        self.info = StreamInfo(
            *self._size,
            self._time_base,
            rate=self._rate,
            pixel_format="rgb24",
            live=self._live,
            lossy=self._lossy,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._frames.leave()

    def __iter__(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._frames
