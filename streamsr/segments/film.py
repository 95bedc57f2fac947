"""A film made in segments, by whoever and in whatever order, and joined: what ``--resume`` and a
cluster share."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from streamsr.errors import SinkError
from streamsr.frame import Span, StreamInfo
from streamsr.media.containers import check_output
from streamsr.media.encode import Encoding
from streamsr.media.errors import sink_errors
from streamsr.media.input import MAX_PIXELS, source_errors
from streamsr.segments.ledger import Ledger, Settings, input_identity
from streamsr.segments.segment import join, plan
from streamsr.sinks.file import FileSink
from streamsr.stats import Recorder, versions
from streamsr.upscaler import Upscaler
from xlsr_model.files import Output, clear_dead
from xlsr_model.inputs import Input

ENCODER_THREADS = 4
"""The encoder's bytes depend on their number, so it is not the machine's: the work may go on on
another one."""

EXACT_ENGINES = frozenset({"litert", "fused"})
"""They give the same bytes, so that work begun with one may go on with the other."""

KEPT = "what is finished is kept: run the same command again to go on"


def library_versions() -> dict[str, str]:
    """Of all that decides the bytes of the output."""
    return {name: value for name, value in versions().items() if name != "python"}


def engine_class(name: str) -> str:
    """``exact`` for all engines that give the same bytes, else the engine's name."""
    return "exact" if name in EXACT_ENGINES else name


class SegmentedFilm:
    """One film, its segments and its ledger. A context manager: within it the ledger is locked for
    this process.

    info        of the source
    begin, end  its span on the file's clock, in seconds; None for open
    spans       once entered: the segments. None are there, and nothing is left to do, when an
                earlier run published the output and only missed clearing up.

    Entering raises SinkError when the output cannot be made, or an earlier run had another input,
    model or setting.
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        info: StreamInfo,
        upscaler: Upscaler,
        encoding: Encoding,
        *,
        begin: Fraction | None,
        end: Fraction | None,
        seconds: float,
        overwrite: bool,
        strict: bool = False,
        interlaced: str = "deinterlace",
        max_pixels: int = MAX_PIXELS,
        record: Recorder,
    ) -> None:
        self.source, self.target, self.info, self.encoding = source, target, info, encoding
        self.begin, self.end, self.interlaced, self.max_pixels = begin, end, interlaced, max_pixels
        self.size = upscaler.size or (info.width * upscaler.scale, info.height * upscaler.scale)
        self.spans: list[Span] = []
        self.container = ""
        self._seconds, self._overwrite, self._strict, self._record = (
            seconds,
            overwrite,
            strict,
            record,
        )
        self._model, self._engine = upscaler.model.sha256, engine_class(upscaler.engine.name)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if not Ledger.begun(self.target):
            check_output(self.target, overwrite=self._overwrite)
        with ExitStack() as stack:
            with source_errors(self.source):
                self._input = stack.enter_context(Input(self.source))
                settings = self._settings()
            self.ledger = stack.enter_context(Ledger(self.target, settings))
            if self.ledger.published:
                clear_dead(self.target)
                self.ledger.clear()
                return self
            try:
                self.container = check_output(self.target, overwrite=self._overwrite)
                self._output = stack.enter_context(self._claimed())
                self.spans = plan(
                    self.source, begin=self.begin, end=self.end, seconds=self._seconds
                )
                with self._sink():
                    pass  # what the container cannot hold is said now, not after hours
            except SinkError:
                if not self.ledger.finished:
                    self.ledger.clear()
                raise
            self._stack = stack.pop_all()
        return self

    def _settings(self) -> Settings:
        encoding = self.encoding
        return {
            "input": input_identity(self._input),
            "model": self._model,
            "engine": self._engine,
            "size": list(self.size),
            **{name: getattr(encoding, name) for name in ("codec", "crf", "preset")},
            "encoder threads": encoding.threads,
            "interlaced": self.interlaced,
            "container": self.target.suffix.lower(),
            "start": None if self.begin is None else str(self.begin),
            "end": None if self.end is None else str(self.end),
            "segment seconds": self._seconds,
            "versions": library_versions(),
        }

    @contextmanager
    def _claimed(self) -> Iterator[Output]:
        """The output in the making, for as long as the work lasts: no other run may begin the
        same."""
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
        """Numbers of the segments that are not finished."""
        return [number for number in range(len(self.spans)) if number not in self.ledger.finished]

    @property
    def frames_done(self) -> int:
        """Frames of the finished segments."""
        return sum(line["frames"] for line in self.ledger.finished.values())

    @property
    def frames_left(self) -> int | None:
        """As the container counts them; None when it does not tell."""
        return None if self.info.frames is None else max(self.info.frames - self.frames_done, 0)

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
            join(paths, sink, time_base=self.info.time_base)
            sink.finish()
            self.ledger.join(self._output.path)
        with sink_errors(self.target):
            self._output.publish()
        self.ledger.clear()

    def _unchanged(self) -> None:
        with source_errors(self.source):
            self._input.check()

    def _sink(self, *, quiet: bool = False) -> FileSink:
        return FileSink(
            self.target,
            self.info,
            self.size,
            codec=self.encoding.codec,
            crf=self.encoding.crf,
            preset=self.encoding.preset,
            encoder_threads=self.encoding.threads,
            strict=self._strict,
            quiet=quiet,
            copy_from=self.source,
            begin=self.begin,
            end=self.end,
            unchanged=self._unchanged,
            output=self._output,
            record=self._record,
        )
