"""Frames of a video file, each with its own timestamp."""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import av
import numpy as np
from av.container.input import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsr.buffers import BufferPool
from streamsr.errors import SourceError
from streamsr.frame import Frame, StreamInfo
from streamsr.hdr import hdr_of
from streamsr.pixels import FrameReader, depth_of, has_alpha, tags_of
from streamsr.sources.deinterlace import CHOICES, Deinterlacer
from streamsr.stats import Recorder

log = logging.getLogger("streamsr")

DAMAGED_IN_A_ROW = 8
"""A decoder that fails this often without a picture in between will not recover."""

MAX_PIXELS = 1 << 26
"""8192 x 8192. A header may claim any size; memory is asked for what it claims."""

MAX_STREAMS = 200
"""Each one costs memory in the demuxer, in the copy and in the output; films with all languages have 80."""

NO_FILMS = {"tty": "text", "concat": "a play list", "hls": "a play list", "dash": "a play list", "imf": "a play list",
            "sdp": "a session description", "lavfi": "a filter", "image2": "a picture"}  # fmt: skip
"""Formats that are read as ANSI art, or that name other files to open."""


def open_input(path: str | os.PathLike[str], *, reader: Callable[[], BinaryIO] | None = None) -> InputContainer:
    """Open a local media file for reading. Raises SourceError with the reason in words.

    reader  what opens it instead, where this machine does not see the path
    """
    file = Path(path)
    try:
        if reader is None and file.is_dir():
            raise SourceError(f"{file}: is a directory")
        if reader is None and file.stat().st_size == 0 and file.is_file():
            raise SourceError(f"{file}: the file is empty")
        # A local file may not make FFmpeg fetch anything from elsewhere.
        options = {"protocol_whitelist": "file"}
        container = av.open(reader() if reader else str(file), "r", options=options, metadata_errors="replace")
    except FFmpegError as error:
        raise SourceError(f"{file}: {_reason(error)}") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: {getattr(error, 'strerror', None) or error}") from error
    kind, streams = container.format.name, len(container.streams)
    if kind in NO_FILMS or streams > MAX_STREAMS:
        container.close()
        reason = f"not a video file ({NO_FILMS[kind]})" if kind in NO_FILMS else f"has {streams} streams"
        raise SourceError(f"{file}: {reason}" + ("" if kind in NO_FILMS else f"; at most {MAX_STREAMS} are taken"))
    return container


def in_line(frames: Iterator[VideoFrame]) -> Generator[VideoFrame]:
    """The same frames. A first one that says it comes after the second is put before it.

    Cut transport streams begin with a picture whose time belongs to a lost one; all others would pile up behind it.
    """
    first = next(frames, None)
    if first is None:
        return
    second = next(frames, None)
    if second is not None and first.pts is not None and second.pts is not None and first.pts > second.pts:
        first.pts = second.pts - max(first.duration or second.duration, 1)
    yield first
    del first  # the decoder's memory may go while the rest is read
    if second is not None:
        yield second
        del second
    yield from frames


def main_video(container: InputContainer) -> VideoStream | None:
    """The stream a player would show, None when there is only sound (a cover picture is not a video)."""
    films = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    best = container.streams.best("video")
    return best if best in films else (films[0] if films else None)


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a film on the file's own clock, in seconds.

    begin, end  first time inside and first time behind; None for open
    seek        where decoding starts, a key frame some way before ``begin``; None for the file's start
    """

    begin: Fraction | None = None
    end: Fraction | None = None
    seek: Fraction | None = None


class FileSource:
    """Decodes the main video stream of a file. See `streamsr.sources.Source` for the contract.

    start_s, duration_s  only the frames of this span of the film, in seconds from its first frame
    span, info           one segment of a film instead, and what is known of the whole film: so all segments agree
    max_pixels           of a picture; larger ones raise SourceError before memory is asked for them
    interlaced           ``deinterlace``, ``keep`` (as if it were not) or ``error``: what to do with an interlaced film
    begin, end           once entered: that span on the file's clock, in seconds; ``end`` None for all
    reader               what opens the file, where this machine does not see the path
    record               where damaged frames are counted: a frame that cannot be decoded is left out; after
                         DAMAGED_IN_A_ROW of them the iteration ends with a SourceError
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
        span: Span | None = None,
        info: StreamInfo | None = None,
        interlaced: str = "deinterlace",
        max_pixels: int = MAX_PIXELS,
        reader: Callable[[], BinaryIO] | None = None,
        record: Recorder | None = None,
    ) -> None:
        if start_s < 0 or (duration_s is not None and duration_s <= 0):
            raise ValueError(f"expected a start of at least 0 and a duration above 0, got {start_s} and {duration_s}")
        if interlaced not in CHOICES:
            raise ValueError(f"expected interlaced to be one of {', '.join(CHOICES)}, got {interlaced!r}")
        self.path = Path(path)
        self._opens = reader
        self._interlaced, self._max_pixels = interlaced, max_pixels
        self._start_s = start_s
        self._duration_s = duration_s
        self._span, self._known = span, info
        self._record = record or Recorder()
        self._container: InputContainer | None = None
        self._pool = BufferPool()

    def __enter__(self) -> Self:
        if self._container is not None:
            return self
        self._container = open_input(self.path, reader=self._opens)
        try:
            self._prepare(self._container)
        except BaseException:
            self._container.close()
            self._container = None
            raise
        return self

    def _prepare(self, container: InputContainer) -> None:
        stream = main_video(container)
        if stream is None:
            kinds = sorted({s.type for s in container.streams})
            raise SourceError(f"{self.path}: has no video stream (only {', '.join(kinds) or 'nothing'})")
        codec = stream.codec_context
        if codec is None:
            raise SourceError(f"{self.path}: its video codec is unknown to this build of FFmpeg")
        self._check_size(codec.width, codec.height)
        stream.thread_type = "AUTO"
        self._stream = stream
        assert stream.time_base is not None
        self._time_base = stream.time_base
        # The film's zero is the first frame shown, which a cut or an edit list can put anywhere.
        first_s = Fraction(stream.start_time or 0) * stream.time_base
        self.begin = first_s + Fraction(self._start_s).limit_denominator(1_000_000)
        self.end: Fraction | None = None
        if self._duration_s is not None:
            self.end = self.begin + Fraction(self._duration_s).limit_denominator(1_000_000)
        seek = self.begin if self._start_s > 0 else None
        if self._span is not None:
            self.begin, self.end = first_s if self._span.begin is None else self._span.begin, self._span.end
            seek = self._span.seek
        if seek is not None:
            container.seek(int(seek / stream.time_base), stream=stream)
        # Tags, size and rotation are only certain on a decoded frame; and a file without one is refused here, before
        # anybody has made an output.
        self._decoded = in_line(self._decode())
        first = next(self._decoded, None)
        if self._span is not None and seek is not None and not self._precedes(first):
            # Seeking is only as good as the container's index. Without it the whole film is decoded up to the span.
            container.close()
            self._span = Span(self._span.begin, self._span.end)
            self._container = open_input(self.path, reader=self._opens)
            self._prepare(self._container)
            return
        if first is None:
            raise SourceError(f"{self.path}: no frame could be decoded" + (" after the start" if self._start_s else ""))
        self._first: VideoFrame | None = first
        self._check_size(first.width, first.height)
        if seek is None and self._span is None and first.pts is not None and first.pts * stream.time_base < self.begin:
            moved = self.begin - first.pts * stream.time_base
            self.begin, self.end = self.begin - moved, None if self.end is None else self.end - moved
        if self._known is not None:
            self._reader = FrameReader(self._known.color, codec=codec.name)
            self.info = self._known
            return
        tags = tags_of(first)
        resolved = tags.resolved(first.width, first.height)
        self._reader = FrameReader(resolved, codec=codec.name)
        sar = codec.sample_aspect_ratio or stream.sample_aspect_ratio or Fraction(1)
        frames = stream.frames or None
        if frames is None and container.duration and stream.average_rate:
            frames = round(container.duration / av.time_base * stream.average_rate)
        if frames and stream.average_rate and (self._start_s or self._duration_s):
            left = max(frames - int(self._start_s * stream.average_rate), 0)
            frames = left if self._duration_s is None else min(left, round(self._duration_s * stream.average_rate))
        self.info = StreamInfo(
            first.width,
            first.height,
            self._time_base,
            rate=stream.average_rate or stream.guessed_rate,
            sar=sar if sar > 0 else Fraction(1),
            color=resolved,
            pixel_format=first.format.name,
            display_matrix=display_matrix(first),
            hdr=hdr_of(first),
            frames=frames,
            lossy=codec.codec.lossy,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is not None:
            self._decoded.close()
            self._first = None
            self._container.close()
            self._container = None

    def __iter__(self) -> Iterator[Frame]:
        info = self.info
        depth, opacity = depth_of(info.pixel_format), has_alpha(info.pixel_format)
        skips = self._start_s > 0 or (self._span is not None and self._span.begin is not None)
        last: int | None = None
        index = 0
        first, self._first = self._first, None
        for frame in self._whole(self._from(first)):
            pts = frame.pts if frame.pts is not None else frame.dts
            if pts is None:
                pts = 0 if last is None else last + 1
            when = pts * self._time_base
            if skips and when < self.begin:
                continue
            if self.end is not None and when >= self.end:
                break
            if last is not None and pts <= last:
                # Two frames cannot be shown at once; broken files say so. The next tick keeps order and count.
                pts = last + 1
            last = pts
            self._check_size(frame.width, frame.height)
            with self._record.stage("convert"):
                rgb = self._pool.take((frame.height, frame.width, 3))
                self._reader.read(frame, rgb)
                if (frame.width, frame.height) != (info.width, info.height):
                    # A stream may change its size on the way; the output cannot.
                    from streamsr.upscaler import resized

                    rgb = resized(rgb, (info.width, info.height))
                deep = alpha = None
                if depth > 8 and rgb.shape[:2] == (frame.height, frame.width):
                    deep = np.empty((frame.height, frame.width, 3), np.uint16)
                    self._reader.read(frame, deep)
                if opacity and rgb.shape[:2] == (frame.height, frame.width):
                    alpha = self._reader.alpha(frame)
            yield Frame(rgb, pts, self._time_base, frame.duration or 0, index, time.monotonic(), deep=deep, alpha=alpha)
            index += 1
        if index == 0 and self._span is None:
            raise SourceError(f"{self.path}: has no frame in the span that was asked for")

    def _check_size(self, width: int, height: int) -> None:
        """Before memory is asked for a picture of this size; 0 is not known yet."""
        if width < 0 or height < 0 or width * height > self._max_pixels:
            limit = f"{self._max_pixels} pixels"
            raise SourceError(f"{self.path}: a picture of {width}x{height} is larger than {limit} (--max-pixels)")

    def _precedes(self, first: VideoFrame | None) -> bool:
        """Whether decoding began early enough to give every frame of the span."""
        return first is not None and first.pts is not None and first.pts * self._time_base <= self.begin

    def _from(self, first: VideoFrame | None) -> Iterator[VideoFrame]:
        if first is not None:
            yield first
            del first  # the decoder's memory may go while the rest is read
        yield from self._decoded

    def _whole(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """The frames, none of them interlaced unless that was asked for."""
        graph: Deinterlacer | None = None
        for frame in frames:
            if frame.interlaced_frame and self._interlaced == "error":
                raise SourceError(f"{self.path}: is interlaced")
            if graph is None and frame.interlaced_frame and self._interlaced == "deinterlace":
                graph = Deinterlacer(frame)
            if graph is None or not graph.takes(frame):
                yield frame
            else:
                yield from graph.push(frame)
        if graph is not None:
            yield from graph.push(None)

    def _decode(self) -> Generator[VideoFrame]:
        """All frames the decoder gives. One generator for the life of the stream, or its buffered frames are lost."""
        assert self._container is not None
        in_a_row = 0
        # AVI stores no presentation times, and what FFmpeg makes up for B-frames runs backwards: but the pictures
        # take, in the order shown, the very ticks that the packets have in the order stored.
        ticks: deque[int] | None = deque() if self._container.format.name == "avi" else None
        packets = self._container.demux(self._stream)
        while True:
            try:
                with self._record.stage("decode"):
                    packet = next(packets, None)
                    if packet is None:
                        return
                    if ticks is not None and packet.size and packet.dts is not None:
                        ticks.append(packet.dts)
                    frames = packet.decode()
            except FFmpegError as error:
                self._record.count("damaged")
                in_a_row += 1
                if in_a_row >= DAMAGED_IN_A_ROW:
                    raise SourceError(
                        f"{self.path}: {in_a_row} frames in a row cannot be decoded: damaged or encrypted"
                    ) from error
                continue
            if frames:
                in_a_row = 0
            for frame in frames:
                if ticks:
                    frame.pts = ticks.popleft()
                yield frame


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers of the rotation side data (FFmpeg's libavutil/display.h), None where there is none."""
    for data in frame.side_data:
        if str(getattr(data, "type", "")).endswith("DISPLAYMATRIX"):
            return tuple(int(x) for x in np.frombuffer(bytes(data), np.int32))  # type: ignore[arg-type]
    return None


def _reason(error: FFmpegError) -> str:
    """FFmpeg's reason, in words a user knows."""
    if isinstance(error, av.error.InvalidDataError):
        return "not a media file, or damaged"
    return str(getattr(error, "strerror", None) or error).split("\n")[0]
