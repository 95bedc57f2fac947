"""A film as independent segments and their ledger; ``--resume`` and ``--cluster`` both use it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from streamsr.errors import SinkError
from streamsr.frame import Span
from streamsr.media.containers import check_output
from streamsr.media.errors import sink_errors
from streamsr.media.input import source_errors
from streamsr.segments.join import join
from streamsr.segments.ledger import Ledger
from streamsr.segments.plan import plan
from streamsr.segments.segment import SegmentWork
from streamsr.segments.settings import (
    Settings,
    engine_class,
    input_identity,
    library_versions,
)
from streamsr.sinks.file import FileSink
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler
from xlsr_model.files import Output, clear_dead
from xlsr_model.inputs import Input

ENCODER_THREADS = 4
"""The encoder's bytes depend on the number of its threads, so it is fixed: another machine may
continue the work."""

KEPT = "what is finished is kept: run the same command again to go on"


class SegmentedJob:
    """One film, its segments and its ledger. A context manager: within it the ledger is locked for
    this process.

    work        what all segments have in common; its container is that of ``target``
    upscaler    what upscales them: its model and the class of its engine go into the ledger
    begin, end  the span of the film on the file's clock, in seconds; None for open
    seconds     length of a segment, at least
    spans       once entered: the segments. Empty when nothing is left to do, because an earlier run
                published the output and only missed clearing up

    Entering raises SinkError when the output cannot be made, or an earlier run had another input,
    model or setting.
    """

    def __init__(
        self,
        work: SegmentWork,
        target: Path,
        upscaler: Upscaler,
        *,
        begin: Fraction | None,
        end: Fraction | None,
        seconds: float,
        overwrite: bool,
        strict: bool = False,
        record: Recorder,
    ) -> None:
        self.work = work
        self.target = target
        self.begin = begin
        self.end = end
        self.spans: list[Span] = []
        self._seconds = seconds
        self._overwrite = overwrite
        self._strict = strict
        self._record = record
        self._model = upscaler.model.sha256
        self._engine = engine_class(upscaler.engine.name)
        self._look = upscaler.look
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if not Ledger.begun(self.target):
            check_output(self.target, overwrite=self._overwrite)
        with ExitStack() as stack:
            with source_errors(self.work.source):
                self._input = stack.enter_context(Input(self.work.source))
                settings = self._settings()
            self.ledger = stack.enter_context(Ledger(self.target, settings))
            if self.ledger.published:
                clear_dead(self.target)
                self.ledger.clear()
                return self
            try:
                check_output(self.target, overwrite=self._overwrite)
                self._output = stack.enter_context(self._claimed())
                self.spans = plan(
                    self.work.source, begin=self.begin, end=self.end, seconds=self._seconds
                )
                with self._sink():
                    pass  # so that what the container cannot hold is said now, not after hours
            except SinkError:
                if not self.ledger.finished:
                    self.ledger.clear()
                raise
            self._stack = stack.pop_all()
        return self

    def _settings(self) -> Settings:
        encoding = self.work.encoding
        return {
            "input": input_identity(self._input),
            "model": self._model,
            "engine": self._engine,
            "consistency": self._look.consistent,
            "sharpen": self._look.sharpen,
            "strength": self._look.strength,
            "size": list(self.work.size),
            **{name: getattr(encoding, name) for name in ("codec", "crf", "preset")},
            "pixel format": encoding.pixel_format,
            "encoder": encoding.encoder,
            "encoder options": dict(encoding.encoder_options) or None,
            "encoder threads": encoding.threads,
            "interlaced": self.work.decode.interlaced,
            "container": self.target.suffix.lower(),
            "start": None if self.begin is None else str(self.begin),
            "end": None if self.end is None else str(self.end),
            "segment seconds": self._seconds,
            "versions": library_versions(),
        }

    @contextmanager
    def _claimed(self) -> Iterator[Output]:
        """Hold the unfinished output while the work lasts, so that no other run begins it too."""
        with sink_errors(self.target), Output(self.target, overwrite=self._overwrite) as output:
            yield output

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def left(self) -> list[int]:
        """Numbers of the unfinished segments."""
        return [number for number in range(len(self.spans)) if number not in self.ledger.finished]

    @property
    def frames_done(self) -> int:
        """Frames of the finished segments."""
        return sum(line["frames"] for line in self.ledger.finished.values())

    @property
    def frames_left(self) -> int | None:
        """Frames that are left by the container's count; None when it does not tell."""
        frames = self.work.info.frames
        return None if frames is None else max(frames - self.frames_done, 0)

    def finished(
        self, number: int, *, frames: int, made: Path | None = None, blake2b: str | None = None
    ) -> None:
        """Record a finished segment, as `Ledger.finish` does. Raises SourceError when the input was
        changed."""
        self._unchanged()
        self.ledger.finish(number, frames=frames, made=made, blake2b=blake2b)

    def finish(self) -> None:
        """Join the segments, which are all finished, into the output, and clear the ledger away."""
        if not self.spans:
            return
        with self._sink(quiet=True) as sink:
            paths = [self.ledger.path(number) for number in range(len(self.spans))]
            join(paths, sink, time_base=self.work.info.time_base)
            sink.finish()
            self.ledger.join(self._output.path)
        with sink_errors(self.target):
            self._output.publish()
        self.ledger.clear()

    def _unchanged(self) -> None:
        with source_errors(self.work.source):
            self._input.check()

    def _sink(self, *, quiet: bool = False) -> FileSink:
        return FileSink(
            self.target,
            self.work.info,
            self.work.size,
            encoding=self.work.encoding,
            strict=self._strict,
            quiet=quiet,
            copy_from=self.work.source,
            begin=self.begin,
            end=self.end,
            unchanged=self._unchanged,
            output=self._output,
            record=self._record,
        )
