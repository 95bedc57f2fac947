"""A film made in segments, by whoever and in whatever order, and joined: what ``--resume`` and a cluster share."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from streamsr.errors import SinkError
from streamsr.frame import StreamInfo
from streamsr.ledger import Ledger, input_identity
from streamsr.segments import join, plan
from streamsr.sinks.containers import check_output
from streamsr.sinks.encode import Encoding
from streamsr.sinks.file import FileSink
from streamsr.sources.file import Span
from streamsr.sources.media import MAX_PIXELS
from streamsr.stats import Recorder, versions
from streamsr.upscaler import Upscaler

ENCODER_THREADS = 4
"""The encoder's bytes depend on their number, so it is not the machine's: the work may go on on another one."""

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
    """One film, its segments and its ledger. A context manager: within it the ledger is locked for this process.

    info        of the source
    begin, end  its span on the file's clock, in seconds; None for open
    spans       once entered: the segments. None are there, and nothing is left to do, when an earlier run published
                the output and only missed clearing up.

    Entering raises SinkError when the output cannot be made, or an earlier run had another input, model or setting.
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
        if target.exists() and target.samefile(source):
            raise SinkError(f"{target}: is the input")
        self.source, self.target, self.info, self.encoding = source, target, info, encoding
        self.begin, self.end, self.interlaced, self.max_pixels = begin, end, interlaced, max_pixels
        self.size = upscaler.size or (info.width * upscaler.scale, info.height * upscaler.scale)
        self.spans: list[Span] = []
        self.container = ""
        self._seconds, self._overwrite, self._strict, self._record = seconds, overwrite, strict, record
        self._stack = ExitStack()
        self.ledger = Ledger(
            target,
            {
                "input": input_identity(source),
                "model": upscaler.model.sha256,
                "engine": engine_class(upscaler.engine.name),
                "size": list(self.size),
                **{name: getattr(encoding, name) for name in ("codec", "crf", "preset")},
                "encoder threads": encoding.threads,
                "interlaced": interlaced,
                "container": target.suffix.lower(),
                "start": None if begin is None else str(begin),
                "end": None if end is None else str(end),
                "segment seconds": seconds,
                "versions": library_versions(),
            },
        )

    def __enter__(self) -> Self:
        if not self.ledger.folder.exists():
            check_output(self.target, overwrite=self._overwrite)
        with ExitStack() as stack:
            stack.enter_context(self.ledger)
            if self.ledger.published:
                self.ledger.clear()
                return self
            self.container = check_output(self.target, overwrite=self._overwrite)
            self.spans = plan(self.source, begin=self.begin, end=self.end, seconds=self._seconds)
            try:
                with self._sink():
                    pass  # what the container cannot hold is said now, not after hours
            except SinkError:
                if not self.ledger.finished:
                    self.ledger.clear()
                raise
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
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

    def finish(self) -> None:
        """Join the segments, which are all finished, into the output, and clear the ledger away."""
        if not self.spans:
            return
        with self._sink(quiet=True) as sink:
            paths = [self.ledger.path(number) for number in range(len(self.spans))]
            join(paths, sink, time_base=self.info.time_base)
            sink.commit()
        self.ledger.publish(sink.path)
        self.ledger.clear()

    def _sink(self, *, quiet: bool = False) -> FileSink:
        return FileSink(
            self.ledger.folder / f"joined{self.target.suffix}",
            self.info,
            self.size,
            codec=self.encoding.codec,
            crf=self.encoding.crf,
            preset=self.encoding.preset,
            encoder_threads=self.encoding.threads,
            overwrite=True,
            strict=self._strict,
            quiet=quiet,
            copy_from=self.source,
            begin=self.begin,
            end=self.end,
            record=self._record,
        )
