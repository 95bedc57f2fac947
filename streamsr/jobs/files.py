"""Upscaling files: what was asked for becomes source, upscaler and sink."""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamsr.errors import ModelError, SinkError, SourceError
from streamsr.frame import Frame
from streamsr.jobs.options import MAX_SIDE, UpscaleOptions, target_size
from streamsr.media.containers import FORMATS, better_in_matroska, check_output
from streamsr.media.encode import Encoding
from streamsr.media.input import MAX_DURATION_S, MAX_PIXELS, open_input, watched
from streamsr.model import CHOICES
from streamsr.picture.files import is_image, read_image, upscale_image
from streamsr.pipeline import Pipeline
from streamsr.segments.film import ENCODER_THREADS, SegmentedFilm
from streamsr.segments.ledger import Ledger
from streamsr.segments.resume import upscale_resumable
from streamsr.segments.segment import SEGMENT_S
from streamsr.sinks.file import FileSink
from streamsr.sources.file import FileSource
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler
from xlsr_model import weights

if TYPE_CHECKING:
    from streamsr.audit.check import Check

log = logging.getLogger("streamsr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(UpscaleOptions):
    """What the command line or a pipeline file asks for; see ``streamsr upscale --help``.

    start_s, duration_s  the span of the film, in seconds
    keep_partial  an input that breaks off leaves the output as far as it came; the error is raised
                  all the same
    """

    codec: str = "h264"
    crf: int | None = None
    preset: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    overwrite: bool = False
    audit: bool = False
    strict: bool = False
    interlaced: str = "deinterlace"
    max_pixels: int = MAX_PIXELS
    max_duration_s: float = MAX_DURATION_S
    dry_run: bool = False
    resume: bool = False
    segment_s: float = SEGMENT_S
    keep_partial: bool = False


Progress = Callable[[Frame], None]


class Job:
    """Upscales files one after the other with the same options; keeps the engine between them. A
    context manager."""

    def __init__(self, options: Options, *, record: Recorder | None = None) -> None:
        self.options = options
        self.record = record or Recorder()
        self._upscalers: dict[tuple[int | None, bool], Upscaler] = {}
        self._taken: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for upscaler in self._upscalers.values():
            upscaler.close()
        self._upscalers = {}

    def place(self, source: Path, target: Path) -> Path:
        """Where the output of ``source`` goes: ``target``, or a .mkv beside it when only that holds
        all of the film.

        The latter is logged in one line, or raises SinkError with ``strict``. A file under the new
        name, which nobody said to replace, is never replaced: SinkError, as for a second output of
        that name.
        """
        o = self.options
        container = FORMATS.get(target.suffix.lower(), "matroska")
        if not is_image(source) and container != "matroska":
            with open_input(source) as film:
                missing = ", ".join(
                    better_in_matroska(container, film, Encoding(o.codec).encoder).values()
                )
            if missing:
                better = target.with_suffix(".mkv")
                if o.strict:
                    raise SinkError(
                        f"{target}: {container} cannot hold {missing}; a .mkv output would; "
                        "refused by --strict"
                    )
                if os.path.lexists(better) and not (o.resume and Ledger.begun(better)):
                    raise SinkError(
                        f"{target}: {container} cannot hold {missing}, and {better} exists "
                        f"already; "
                        "name a .mkv output"
                    )
                log.warning("%s cannot hold %s: all goes into %s", container, missing, better)
                target = better
        if target.resolve() in self._taken:
            raise SinkError(f"{target}: another input of this run becomes it")
        self._taken.add(target.resolve())
        return target

    def run(
        self,
        source: Path,
        target: Path,
        *,
        begun: Callable[[Upscaler, int | None], Progress | None],
    ) -> "list[Check]":
        """Upscale ``source`` into ``target``. Returns what the audit found, nothing when it was not
        asked for.

        ``begun(upscaler, frames)`` is called once all is known and open; what it returns is called
        after each frame.
        """
        o = self.options
        if is_image(source):
            if not is_image(target):
                raise SinkError(
                    f"{target}: a picture becomes a picture; name it .png, .jpg or .webp"
                )
            with watched(source) as unchanged:
                picture = read_image(source, max_pixels=o.max_pixels)
                height, width = picture[0].shape[:2]
                upscaler = self._upscaler(width, height, source)
                begun(upscaler, 1)
                if not o.dry_run:
                    upscale_image(
                        picture, target, upscaler, overwrite=o.overwrite, unchanged=unchanged
                    )
            return []
        if not o.resume or o.dry_run:
            check_output(target, overwrite=o.overwrite)
        with ExitStack() as stack:
            unchanged = stack.enter_context(watched(source))
            film = stack.enter_context(self._source(source))
            info = film.info
            upscaler, size = self._fitting(film, source, target)
            begin = self._begin(film)
            if o.resume and not o.dry_run:
                segmented = self._segmented(source, target, film, upscaler)
                upscale_resumable(segmented, upscaler, record=self.record, begun=begun)
                return self.audit(source, target, begin=begin, end=film.end)
            sink = FileSink(
                target,
                info,
                size,
                codec=o.codec,
                crf=o.crf,
                preset=o.preset,
                overwrite=o.overwrite,
                strict=o.strict,
                copy_from=source,
                begin=begin,
                end=film.end,
                unchanged=unchanged,
                record=self.record,
            )
            stack.enter_context(sink)
            if o.dry_run:
                begun(upscaler, info.frames)
                return []
            # The pipeline enters the source again and leaves it first: both are harmless.
            pipeline = stack.enter_context(Pipeline(film, upscaler, record=self.record))
            try:
                pipeline.run(sink, progress=begun(upscaler, info.frames))
            except SourceError:
                if o.keep_partial and sink.frames:
                    sink.commit(whole=False)
                raise
        return self.audit(source, target, begin=begin, end=film.end)

    def segmented(self, source: Path, target: Path) -> tuple[SegmentedFilm, Upscaler]:
        """The film in segments, to be entered, and what upscales it."""
        with self._source(source) as film:
            upscaler, _ = self._fitting(film, source, target)
            return self._segmented(source, target, film, upscaler), upscaler

    def _segmented(
        self, source: Path, target: Path, film: FileSource, upscaler: Upscaler
    ) -> SegmentedFilm:
        o = self.options
        return SegmentedFilm(
            source,
            target,
            film.info,
            upscaler,
            Encoding(o.codec, o.crf, o.preset, ENCODER_THREADS),
            begin=self._begin(film),
            end=film.end,
            seconds=o.segment_s,
            overwrite=o.overwrite,
            strict=o.strict,
            interlaced=o.interlaced,
            max_pixels=o.max_pixels,
            record=self.record,
        )

    def _source(self, source: Path) -> FileSource:
        o = self.options
        return FileSource(
            source,
            start_s=o.start_s,
            duration_s=o.duration_s,
            interlaced=o.interlaced,
            max_pixels=o.max_pixels,
            max_duration_s=o.max_duration_s,
            record=self.record,
        )

    def _begin(self, film: FileSource) -> Fraction | None:
        """Where the span asked for begins; None for the whole film."""
        return (
            film.begin if self.options.start_s > 0 or self.options.duration_s is not None else None
        )

    def _fitting(
        self, film: FileSource, source: Path, target: Path
    ) -> tuple[Upscaler, tuple[int, int]]:
        """The upscaler for the entered ``film``, and the (width, height) it makes."""
        info = film.info
        upscaler = self._upscaler(info.width, info.height, source, lossy=info.lossy)
        size = upscaler.size or (info.width * upscaler.scale, info.height * upscaler.scale)
        if max(size) > MAX_SIDE:
            raise SinkError(
                f"{target}: {size[0]}x{size[1]} is larger than video codecs take ({MAX_SIDE})"
            )
        return upscaler, size

    def audit(
        self, source: Path, target: Path, *, begin: Fraction | None, end: Fraction | None
    ) -> "list[Check]":
        """What the audit of a finished output finds; nothing when it was not asked for."""
        if not self.options.audit:
            return []
        from streamsr.audit.compare import (
            audit,
        )  # OpenCV: 0.1 s, and system libraries that films can do without

        return audit(source, target, begin=begin, end=end)

    def _upscaler(self, width: int, height: int, source: Path, *, lossy: bool = False) -> Upscaler:
        """The upscaler for pictures of this size, with its final size set. `lossy` as in
        `StreamInfo`."""
        o = self.options
        size = None if o.to is None else target_size(o.to, width, height)
        scale = o.scale
        if size is not None:
            if size[0] <= width and size[1] <= height:
                raise SourceError(
                    f"{source}: is {width}x{height} already; --to {o.to} would not enlarge it"
                )
            if max(size) > MAX_SIDE:
                raise SinkError(
                    f"{source}: would become {size[0]}x{size[1]}; the longest side may have "
                    f"{MAX_SIDE}"
                )
            if o.model in CHOICES:
                scale = _scale_for(
                    max(Fraction(size[0], width), Fraction(size[1], height)), o.model
                )
        if (scale, lossy) not in self._upscalers:
            self._upscalers[scale, lossy] = o.open(scale=scale, lossy=lossy, record=self.record)
        upscaler = self._upscalers[scale, lossy]
        upscaler.size = size
        return upscaler


def output_name(source: Path) -> str:
    """The name of its output in a directory: its own, with .mkv where no such files are made."""
    made = is_image(source) or source.suffix.lower() in FORMATS
    return source.name if made else source.with_suffix(".mkv").name


def _scale_for(factor: Fraction, model: str) -> int:
    """The smallest shipped scale that reaches this factor, else the largest there is: the rest is
    resized."""
    scales = weights.scales("video" if model == "video" else "clean")
    if not scales:
        raise ModelError("no model is shipped with this installation; give --model FILE")
    return next((scale for scale in scales if scale >= factor), scales[-1])
