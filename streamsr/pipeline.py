"""Runs a source, an upscaler and a sink together: decoding and upscaling in a thread each, the rest
in the caller's."""

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamsr import interrupt
from streamsr.channel import Channel, ReaderGone
from streamsr.frame import Frame, StreamInfo
from streamsr.sinks import Sink
from streamsr.sources import Source, Stoppable
from streamsr.stats import Event, Fate, Recorder, Stats
from streamsr.upscaler import Upscaler

if TYPE_CHECKING:
    from streamsr.live.stage import LiveStage

WAITING = 2
"""Frames that may wait between two stages: enough to bridge a short delay; more would cost memory
and latency."""


class Pipeline:
    """Gives the upscaled frames of a source: ``for frame in Pipeline(source, upscaler): ...``, or
    ``async for``, or `get`.

    A context manager, which a loop outside of it enters by itself, and an iterator. The pipeline
    enters and leaves the source; the caller closes the upscaler. Leaving the ``with`` block or the
    loop for any reason stops the threads and waits for them. An exception of a stage is raised in
    the caller's loop.

    budget_s  for live sources: the age in seconds at which a frame leaves the upscaler at the
              latest, in lower quality where time is short; only the newest frame waits. See
              `streamsr.live`. Without it every frame is upscaled in full, however long it takes
    record    where to count what happens, the upscaler's by default
    """

    def __init__(
        self,
        source: Source,
        upscaler: Upscaler,
        *,
        budget_s: float | None = None,
        record: Recorder | None = None,
    ) -> None:
        self._source = source
        self._upscaler = upscaler
        self.record = record or upscaler.record
        self._stack: ExitStack | None = None
        self._entered = False
        self._live = None if budget_s is None else _live_stage(upscaler, budget_s)
        self._too_large: str | None = None
        self._decoded: Channel[Frame] = Channel(
            1 if self._live else max(WAITING, upscaler.engine.batch), newest=self._live is not None
        )
        self._upscaled: Channel[Frame] = Channel(1 if self._live else WAITING)

    @property
    def info(self) -> StreamInfo:
        """What is known of the source, once entered."""
        return self._source.info

    @property
    def too_large(self) -> str | None:
        """A line that says so where a live source has too many pixels a second to be upscaled in
        full, and what size would fit; once entered."""
        return self._too_large

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a pipeline runs once; make a new one")
        self._entered = True
        with ExitStack() as stack:
            stack.enter_context(self._source)
            stack.callback(self._account)
            if self._live is not None:
                self._live.warm(self._source.info)
                self._too_large = self._live.too_large(self._source.info)
            threads: list[threading.Thread] = []
            # Before they start: a Ctrl-C between two of these lines must find all that ends them.
            # Last in, first out: every reader leaves, so that every writer wakes, before the
            # threads are waited for.
            stack.callback(_join, threads)
            stack.callback(self._decoded.leave)
            stack.callback(self._upscaled.leave)
            if isinstance(self._source, Stoppable):
                stack.callback(self._source.stop)
            for name, work, reads, writes in (
                ("decode", self._decode, None, self._decoded),
                ("upscale", self._upscale, self._decoded, self._upscaled),
            ):
                args = (work, reads, writes)
                threads.append(
                    threading.Thread(target=_closing_both_ends, args=args, name=f"streamsr-{name}")
                )
                threads[-1].start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stack is not None:
            stack, self._stack = self._stack, None
            stack.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Frame]:
        if self._stack is None:
            with self:
                yield from self
            return
        while (frame := self.get()) is not None:
            yield frame

    async def __aiter__(self) -> AsyncIterator[Frame]:
        """For ``async for``: the event loop runs on while no frame is there."""
        if self._stack is None:
            with self:
                async for frame in self:
                    yield frame
            return
        import asyncio  # here: 0.05 s, not needed for other loops

        while True:
            upscaled = await asyncio.to_thread(self.get)
            if upscaled is None:
                return
            yield upscaled

    def get(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame, None after the last one. For use in the ``with`` block. Raises
        TimeoutError when none comes in time."""
        try:
            frame = self._upscaled.get(timeout_s)
        except EOFError:
            return None
        self.record.latency(time.monotonic() - frame.arrival_s)
        self.record.count(Event.OUT)
        return frame

    def _decode(self) -> None:
        for frame in self._source:
            self.record.count(Event.IN)
            self._decoded.put(frame)

    def _upscale(self) -> None:
        if self._live is not None:
            self._upscale_live(self._live)
            return
        for frames in self._decoded.groups(self._upscaler.engine.batch):
            for frame in self._upscaler.frames(frames):
                self._upscaled.put(frame)

    def _upscale_live(self, stage: "LiveStage") -> None:
        frames, lost = iter(self._decoded), 0
        while True:
            # Only once the sink has taken the last one: a frame upscaled earlier would age
            # meanwhile.
            self._upscaled.wait_for_room()
            frame = next(frames, None)
            self.record.count(Fate.DROPPED, self._decoded.dropped - lost)
            lost = self._decoded.dropped
            if frame is None:
                return
            done = stage.frame(frame, waiting=self._decoded.waiting)
            if done is not None:
                self._upscaled.put(done)

    def _account(self) -> None:
        """Count the frames of a live source that were not upscaled any more as dropped, after the
        threads have ended."""
        if self._live is not None:
            self.record.count(Fate.DROPPED, self.record.unaccounted)

    def run(self, sink: Sink, *, progress: Callable[[Frame], None] | None = None) -> Stats:
        """Write every frame into the entered ``sink`` and commit it. Returns the numbers of the
        run.

        progress  called with each frame after it was written
        """
        for frame in self:
            interrupt.check()
            sink.write(frame)
            if progress is not None:
                progress(frame)
        sink.commit()
        return self.record.snapshot()


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        with suppress(RuntimeError):  # a Ctrl-C came before it was started
            thread.join()


def _live_stage(upscaler: Upscaler, budget_s: float) -> "LiveStage":
    from streamsr.live.stage import LiveStage  # here: its compiled loops, for live sources only

    return LiveStage(
        upscaler.engine,
        budget_s,
        rungs=upscaler.rungs(),
        finish=upscaler.finish,
        record=upscaler.record,
        size=upscaler.size,
        reuse=upscaler.reuse,
    )


def _closing_both_ends(
    work: Callable[[], None], reads: Channel[Frame] | None, writes: Channel[Frame]
) -> None:
    """Run a stage. However it ends, the next stage gets the end or the error, and the one before
    learns that nobody reads."""
    try:
        work()
    except ReaderGone:
        pass
    except BaseException as error:  # noqa: BLE001 - the thread wrapper: the error surfaces in the caller's loop
        writes.end(error)
    finally:
        writes.end()
        if reads is not None:
            reads.leave()
