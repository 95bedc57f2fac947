"""Gives the frames of a file at the pace of their timestamps, as a camera would."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from streamsr.errors import SourceError
from streamsr.frame import Frame, StreamInfo
from streamsr.interrupt import Pause, Waits
from streamsr.sources import Sound, Sounding, Source, Stoppable
from streamsr.stats import Recorder


class PacedSource:
    """Gives the frames of another source in real time. See `streamsr.sources.Source` for the
    contract.

    record        where it is counted how much too late frames come
    clock, pause  time and waiting; others in tests

    The first frame comes at once, each other one as much later as its timestamp says. A frame that
    is decoded too late comes at once and delays no other. ``arrival_s`` is when a frame came.
    """

    def __init__(
        self,
        source: Source,
        *,
        record: Recorder | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Waits | None = None,
    ) -> None:
        self._source = source
        self._record = record or Recorder()
        self._clock = clock
        self._pause = pause or Pause()

    @property
    def info(self) -> StreamInfo:
        return replace(self._source.info, live=True)

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def open_sound(self) -> Sound:
        """See `streamsr.sources.Sounding`."""
        if not isinstance(self._source, Sounding):
            raise SourceError("the source has none")
        return self._source.open_sound()

    def __iter__(self) -> Iterator[Frame]:
        begin_s: float | None = None
        for frame in self._source:
            if begin_s is None:
                begin_s = self._clock() - frame.time_s
            due_s = begin_s + frame.time_s
            if self._pause.wait(due_s - self._clock()):
                return
            now_s = self._clock()
            self._record.pace(now_s - due_s)
            yield replace(frame, arrival_s=now_s)

    def stop(self) -> None:
        self._pause.end()
        if isinstance(self._source, Stoppable):
            self._source.stop()
