"""What is compared: a film or a picture, opened once, of which single frames are wanted."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from streamsr.errors import SourceError
from streamsr.frame import Frame, Span, StreamInfo
from streamsr.jobs.options import FileOptions
from streamsr.media.animation import as_film
from streamsr.media.input import main_video, open_input
from streamsr.media.timeline import TimeLine, time_line
from streamsr.picture.files import Picture, is_picture, read_content, read_image
from streamsr.picture.pages import pictures_in
from streamsr.picture.resize import fitted
from streamsr.sources.file import FileSource

TICK_S = Fraction(1, 1000)
"""Times are said in milliseconds, rounded down, so that ``--at`` finds the same frame again."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An opened film or picture.

    name      as the user calls it
    path      what is read: a copy, of a picture file that becomes a film
    info      of its pictures
    begin     when its first frame is shown, in seconds on the file's clock
    line      its clock
    options   how it is decoded
    picture   the still picture, None for a film
    """

    name: Path
    path: Path
    info: StreamInfo
    begin: Fraction
    line: TimeLine
    options: FileOptions
    picture: Picture | None = None

    @property
    def duration_s(self) -> float | None:
        """None where the file does not say how long it is."""
        info = self.info
        return float(info.frames / info.rate) if info.frames and info.rate else None

    def part(self, start_s: float, duration_s: float | None = None) -> FileSource:
        """The film from ``start_s`` on, in seconds from its first frame; for ``duration_s``."""
        begin = self.begin + Fraction(start_s).limit_denominator(1_000_000)
        sought = begin if start_s > 0 else None
        end = None if duration_s is None else begin + Fraction(duration_s).limit_denominator(10**6)
        return FileSource(
            self.path,
            span=Span(sought, end, sought),
            info=self.info,
            line=self.line,
            decode=self.options.decode,
        )

    def frame_at(self, time_s: float) -> Frame | None:
        """The first frame from this time on, in 8 bits; None where there is none, or none that can
        be decoded."""
        if self.picture is not None:
            return Frame(self.picture.rgb, 0, self.info.time_base)
        try:
            with self.part(time_s) as source:
                frame = next(iter(source), None)
                return None if frame is None else replace(frame, deep=None, alpha=None)
        except SourceError:
            return None

    def seconds_of(self, frame: Frame) -> float:
        """The frame's time from the first frame on, in seconds, as ``--at`` takes it."""
        seconds = frame.pts * frame.time_base - self.begin
        return float(max(seconds // TICK_S, 0) * TICK_S)

    def shown(self, frame: Frame) -> Frame:
        """The frame in the size that its stream has."""
        if frame.fit is None:
            return frame
        fit = frame.fit
        rgb = fitted(frame.rgb, (fit.width, fit.height), fit.stretch)
        return replace(frame, rgb=rgb, fit=None)

    def key_times(self, count: int) -> list[float]:
        """When key frames are shown, about evenly spread over the film: at most ``count`` times, in
        seconds from the first frame, rising."""
        if not self.line.indexed:
            keys = self.line.keys
            times = [
                keys[(2 * n + 1) * len(keys) // (2 * count)].time for n in range(count) if keys
            ]
        else:
            times = list(self._sought(count))
        return sorted({float(max(time - self.begin, Fraction(0))) for time in times})

    def _sought(self, count: int) -> Iterator[Fraction]:
        """As `key_times`, on the file's clock, by the container's index."""
        with open_input(self.path) as container:
            stream = main_video(container)
            if stream is None or stream.time_base is None:
                return
            start, length = container.start_time or 0, container.duration or 0
            for number in range(count):
                with contextlib.suppress(OSError):  # FFmpeg's errors too: damaged there
                    container.seek(start + length * (2 * number + 1) // (2 * count))
                    packet = next(container.demux(stream), None)
                    if packet is not None and packet.pts is not None:
                        yield packet.pts * stream.time_base


@contextlib.contextmanager
def opened(name: Path, options: FileOptions) -> Iterator[Subject]:
    """Open a film or a picture while the block lasts. Raises SourceError and SinkError."""
    limit = options.decode.max_pixels
    if not is_picture(name):
        yield _film(name, name, options)
        return
    content = read_content(name, limit)
    if pictures_in(name, content, limit) > 1:
        with as_film(name, content, options.decode) as film:
            yield _film(name, film, options)
        return
    picture = read_image(name, max_pixels=limit)
    height, width = picture.rgb.shape[:2]
    info = StreamInfo(width, height, Fraction(1), coded=picture.coded, frames=1)
    yield Subject(name, name, info, Fraction(0), TimeLine(), options, picture)


def _film(name: Path, path: Path, options: FileOptions) -> Subject:
    with FileSource(path, decode=options.decode) as film:
        return Subject(name, path, film.info, film.begin, time_line(path), options)
