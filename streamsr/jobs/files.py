"""Upscaling files: makes source, upscaler and sink from the options."""

import itertools
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamsr import interrupt
from streamsr.errors import Cancelled, SinkError, SourceError
from streamsr.frame import Frame, StreamInfo
from streamsr.jobs.observer import Observer, Progress
from streamsr.jobs.options import FileOptions
from streamsr.jobs.outputs import container_of, output_for
from streamsr.jobs.pictures import lost, upscale_image
from streamsr.jobs.upscaler import Upscalers
from streamsr.media.animation import as_film
from streamsr.media.containers import check_output
from streamsr.media.encode import Encoder
from streamsr.media.input import watched
from streamsr.media.timeline import time_line
from streamsr.options import MAX_SIDE
from streamsr.picture.files import is_image, is_picture, read_content, read_image
from streamsr.picture.pages import pictures_in
from streamsr.pipeline import Pipeline
from streamsr.segments.film import ENCODER_THREADS, SegmentedJob
from streamsr.segments.ledger import Ledger
from streamsr.segments.resume import upscale_resumable
from streamsr.segments.segment import SegmentWork
from streamsr.sinks.file import FileSink
from streamsr.sources.file import FileSource
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

if TYPE_CHECKING:
    from streamsr.audit.check import Check

log = logging.getLogger("streamsr")


def upscale_files(
    pairs: Iterable[tuple[Path, Path]], job: "FileJob", *, observer: Observer
) -> None:
    """Upscale each input into its output, one after the other. Raises Cancelled; what is wrong with
    one file is told to the observer."""
    for source, target in pairs:
        before = job.record.frames["out"]
        try:
            output = job.output_for(source, target)
            checks = job.run(source, output, observer=observer)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, the others go on
            interrupt.check()  # it may be what the signal cut short
            observer.failed(error)
        else:
            observer.done(output, job.record.frames["out"] - before, checks)


class FileJob:
    """Upscales files one after the other with the same options; keeps the engine between them. A
    context manager. Making one raises SinkError for an encoder that there is not."""

    def __init__(self, options: FileOptions, *, record: Recorder | None = None) -> None:
        Encoder(options.encoding)
        self.options = options
        self.record = record or Recorder()
        self._upscalers = Upscalers(options, self.record)
        self._taken: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._upscalers.close()

    def output_for(self, source: Path, target: Path) -> Path:
        """As `streamsr.jobs.outputs.output_for`. Raises SinkError also for a second output of that
        name."""
        output = output_for(source, target, self.options)
        if output.resolve() in self._taken:
            raise SinkError(f"{output}: is already the output of another input of this run")
        self._taken.add(output.resolve())
        return output

    def run(self, source: Path, target: Path, *, observer: Observer) -> "list[Check]":
        """Upscale ``source`` into ``target``, or only check that it can be done. Return what the
        audit found, nothing when it was not asked for."""
        if is_image(target) and (is_picture(source) or source.suffix.lower() == ".gif"):
            self._picture(source, target, observer)
            return []
        if not is_picture(source):
            return self._upscale_film(source, source, target, observer)
        return self._pictures(source, target, observer)

    def _upscale_film(
        self, name: Path, source: Path, target: Path, observer: Observer
    ) -> "list[Check]":
        """Upscale the film ``source``, which the user knows as ``name``. Return what the audit
        found."""
        options = self.options
        if not options.resume or options.dry_run:
            check_output(target, overwrite=options.overwrite)
        with watched(source) as unchanged, self._source(source) as film:
            upscaler = self._upscaler_for(film.info, source, target)
            if options.resume and not options.dry_run:

                def begun(frames: int | None) -> Callable[[Frame], None]:
                    observer.began(name, target, upscaler, frames=frames)
                    return _after_each_frame(observer, frames)

                segmented = self._segmented(source, target, film, upscaler)
                upscale_resumable(segmented, upscaler, record=self.record, begun=begun)
            else:
                self._film(name, film, target, upscaler, unchanged, observer)
        if options.dry_run:
            return []
        return self.audit(source, target, begin=self._begin(film), end=film.end)

    def _picture(self, source: Path, target: Path, observer: Observer) -> None:
        """Upscale a still picture."""
        options = self.options
        with watched(source) as unchanged:
            picture = read_image(source, max_pixels=options.decode.max_pixels)
            for line in lost(picture, source, target):
                if options.strict:
                    raise SinkError(f"{line}; refused by --strict")
                log.warning("%s", line)
            height, width = picture.rgb.shape[:2]
            info = StreamInfo(width, height, Fraction(1), coded=picture.coded, frames=1)
            upscaler = self._upscalers.fitting(info, source)
            observer.began(source, target, upscaler, frames=1)
            if not options.dry_run:
                upscale_image(
                    picture, target, upscaler, overwrite=options.overwrite, unchanged=unchanged
                )

    def _pictures(self, source: Path, target: Path, observer: Observer) -> "list[Check]":
        """Upscale a file of several pictures into a film. Return what the audit found."""
        options = self.options
        with watched(source) as unchanged:
            content = read_content(source, options.decode.max_pixels)
            if pictures_in(source, content, options.decode.max_pixels) < 2:
                raise SinkError(
                    f"{target}: the output of a picture is a picture; name it .png, .jpg or .webp"
                )
            check_output(target, overwrite=options.overwrite or options.resume)
            with as_film(source, content, options.decode) as film:
                checks = self._upscale_film(source, film, target, observer)
            unchanged()
        return checks

    def _film(
        self,
        name: Path,
        film: FileSource,
        target: Path,
        upscaler: Upscaler,
        unchanged: Callable[[], None],
        observer: Observer,
    ) -> None:
        """Upscale an entered film into a file, at once; with ``dry_run`` only open all."""
        options = self.options
        info = film.info
        sink = FileSink(
            target,
            info,
            upscaler.output_size(info.width, info.height),
            encoding=options.encoding,
            overwrite=options.overwrite,
            strict=options.strict,
            copy_from=film.path,
            begin=self._begin(film),
            end=film.end,
            unchanged=unchanged,
            record=self.record,
        )
        with sink:
            observer.began(name, target, upscaler, frames=info.frames)
            if options.dry_run:
                return
            # The pipeline enters the source again and leaves it first: both are harmless.
            with Pipeline(film, upscaler, record=self.record) as pipeline:
                try:
                    pipeline.run(sink, progress=_after_each_frame(observer, info.frames))
                except SourceError:
                    if options.keep_partial and sink.frames:
                        sink.commit(whole=False)
                    raise

    def segmented(self, source: Path, target: Path) -> tuple[SegmentedJob, Upscaler]:
        """The film as segments, to be entered, and what upscales it."""
        with self._source(source) as film:
            upscaler = self._upscaler_for(film.info, source, target)
            return self._segmented(source, target, film, upscaler), upscaler

    def _segmented(
        self, source: Path, target: Path, film: FileSource, upscaler: Upscaler
    ) -> SegmentedJob:
        options = self.options
        work = SegmentWork(
            source,
            film.info,
            upscaler.output_size(film.info.width, film.info.height),
            replace(options.encoding, threads=ENCODER_THREADS),
            container_of(target),
            options.decode,
            time_line(source),
        )
        return SegmentedJob(
            work,
            target,
            upscaler,
            begin=self._begin(film),
            end=film.end,
            seconds=options.segment_s,
            overwrite=options.overwrite,
            strict=options.strict,
            record=self.record,
        )

    def _source(self, source: Path) -> FileSource:
        options = self.options
        return FileSource(
            source,
            start_s=options.start_s,
            duration_s=options.duration_s,
            decode=options.decode,
            record=self.record,
        )

    def _begin(self, film: FileSource) -> Fraction | None:
        """Where the requested span begins on the file's clock; None for the whole film."""
        options = self.options
        return film.begin if options.start_s > 0 or options.duration_s is not None else None

    def _upscaler_for(self, info: StreamInfo, source: Path, target: Path) -> Upscaler:
        """The upscaler for a film. Raises SinkError when its output is too large for video
        codecs."""
        begun_with = Ledger.model_of(target) if self.options.resume else None
        upscaler = self._upscalers.fitting(info, source, begun_with=begun_with)
        width, height = upscaler.output_size(info.width, info.height)
        if max(width, height) > MAX_SIDE:
            raise SinkError(
                f"{target}: {width}x{height} is larger than video codecs take ({MAX_SIDE})"
            )
        return upscaler

    def audit(
        self, source: Path, target: Path, *, begin: Fraction | None, end: Fraction | None
    ) -> "list[Check]":
        """Compare a finished output with its input; nothing when that was not asked for."""
        if not self.options.audit:
            return []
        # Imported here: OpenCV costs 0.1 s and needs system libraries that films can do without.
        from streamsr.audit.compare import audit

        return audit(source, target, begin=begin, end=end)


def _after_each_frame(observer: Observer, total: int | None) -> Callable[[Frame], None]:
    """Make a callback that reports the progress of one file."""
    frames = itertools.count(1)
    return lambda _frame: observer.progress(Progress(next(frames), total))
