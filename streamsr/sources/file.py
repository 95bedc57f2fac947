"""Frames of a video file, each with its own timestamp."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import av
import numpy as np
from av.container.input import InputContainer
from av.video.frame import VideoFrame

from streamsr.errors import SourceError
from streamsr.frame import Frame, Span, StreamInfo
from streamsr.media.decode import decoded, display_matrix
from streamsr.media.deinterlace import Deinterlacer
from streamsr.media.frames import FrameReader, depth_of, has_alpha, tags_of
from streamsr.media.hdr import has_no_base_layer, hdr_of
from streamsr.media.input import clock, main_video, open_input
from streamsr.options import MAX_DURATION_S, MAX_PIXELS, DecodeOptions
from streamsr.picture.buffers import BufferPool
from streamsr.stats import Recorder
from xlsr_model.inputs import protected


class FileSource:
    """Decodes the main video stream of a file. See `streamsr.sources.Source` for the contract.

    start_s, duration_s  only the frames of this span of the film, in seconds from its first frame
    span, info           one segment of a film instead, and what is known of the whole film, so that
                         all segments agree; ValueError for one without the other, or beside
                         start_s and duration_s
    max_pixels           of a picture; larger ones raise SourceError before memory is asked for them
    max_duration_s       of the film or the span that is wanted; longer ones raise SourceError: on
                         entering where the file says so, else at the first frame that comes later
    interlaced           ``deinterlace``, ``keep`` (as if it were not) or ``error``: what to do with
                         an interlaced film
    decode               these three as one value, which then goes before them
    begin, end           once entered: that span on the file's clock, in seconds; ``end`` None for
                         all
    reader               what opens the file, where this machine does not see the path
    record               where damaged frames are counted: a frame that cannot be decoded is left
                         out; after DAMAGED_IN_A_ROW of them the iteration ends with a SourceError
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
        max_duration_s: float = MAX_DURATION_S,
        decode: DecodeOptions | None = None,
        reader: Callable[[], BinaryIO] | None = None,
        record: Recorder | None = None,
    ) -> None:
        if start_s < 0 or (duration_s is not None and duration_s <= 0):
            raise ValueError(
                f"expected a start of at least 0 and a duration above 0, got {start_s} and "
                f"{duration_s}"
            )
        if (span is None) != (info is None):
            raise ValueError("expected a span and the info of the whole film together")
        if span is not None and (start_s > 0 or duration_s is not None):
            raise ValueError("expected either a span, or start_s and duration_s")
        self.path = Path(path)
        self._opens = reader
        self._limits = decode or DecodeOptions(interlaced, max_pixels, max_duration_s)
        if span is not None:  # a segment is as long as it was cut
            self._limits = replace(self._limits, max_duration_s=float("inf"))
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
        self._protected = protected([self.path] if self._opens is None else [])
        self._protected.__enter__()
        return self

    def _prepare(self, container: InputContainer) -> None:
        stream = main_video(container)
        if stream is None:
            kinds = sorted({s.type for s in container.streams})
            raise SourceError(
                f"{self.path}: has no video stream (only {', '.join(kinds) or 'nothing'})"
            )
        codec = stream.codec_context
        if codec is None:
            raise SourceError(f"{self.path}: its video codec is unknown to this build of FFmpeg")
        self._check_size(codec.width, codec.height)
        claimed_s = (container.duration or 0) / av.time_base - self._start_s
        self._check_length(min(claimed_s, self._duration_s or claimed_s))
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
            self.begin, self.end = (
                first_s if self._span.begin is None else self._span.begin,
                self._span.end,
            )
            seek = self._span.seek
        if seek is not None:
            container.seek(int(seek / stream.time_base), stream=stream)
        # Tags, size and rotation are only certain on a decoded frame; and a file without one is
        # refused here, before anybody has made an output.
        self._decoded = decoded(container, stream, self.path, self._record)
        first = next(self._decoded, None)
        if self._span is not None and seek is not None and not self._precedes(first):
            # Seeking is only as good as the container's index. Without it the whole film is decoded
            # up to the span.
            container.close()
            self._span = Span(self._span.begin, self._span.end)
            self._container = open_input(self.path, reader=self._opens)
            self._prepare(self._container)
            return
        if first is None:
            raise SourceError(
                f"{self.path}: no frame could be decoded"
                + (" after the start" if self._start_s else "")
            )
        self._first: VideoFrame | None = first
        self._check_size(first.width, first.height)
        if has_no_base_layer(first):
            raise SourceError(
                f"{self.path}: Dolby Vision profile 5, which has no base layer whose colours can "
                f"be read"
            )
        if (
            seek is None
            and self._span is None
            and first.pts is not None
            and first.pts * stream.time_base < self.begin
        ):
            moved = self.begin - first.pts * stream.time_base
            self.begin, self.end = (
                self.begin - moved,
                None if self.end is None else self.end - moved,
            )
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
            frames = (
                left
                if self._duration_s is None
                else min(left, round(self._duration_s * stream.average_rate))
            )
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
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._container is not None:
            self._decoded.close()
            self._first = None
            self._container.close()
            self._container = None
            self._protected.__exit__(None, None, None)

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
                # Two frames cannot be shown at once; broken files say so. The next tick keeps order
                # and count.
                pts = last + 1
            last = pts
            self._check_length(float(when - self.begin))
            self._check_size(frame.width, frame.height)
            with self._record.stage("convert"):
                rgb = self._pool.take((frame.height, frame.width, 3))
                self._reader.read(frame, rgb)
                if (frame.width, frame.height) != (info.width, info.height):
                    # A stream may change its size on the way; the output cannot.
                    from streamsr.picture.resize import resized

                    rgb = resized(rgb, (info.width, info.height))
                deep = alpha = None
                if depth > 8 and rgb.shape[:2] == (frame.height, frame.width):
                    deep = np.empty((frame.height, frame.width, 3), np.uint16)
                    self._reader.read(frame, deep)
                if opacity and rgb.shape[:2] == (frame.height, frame.width):
                    alpha = self._reader.alpha(frame)
            yield Frame(
                rgb,
                pts,
                self._time_base,
                frame.duration or 0,
                index,
                time.monotonic(),
                deep=deep,
                alpha=alpha,
            )
            index += 1
        if index == 0 and self._span is None:
            raise SourceError(f"{self.path}: has no frame in the span that was asked for")

    def _check_size(self, width: int, height: int) -> None:
        """Before memory is asked for a picture of this size; 0 is not known yet."""
        if width < 0 or height < 0 or width * height > self._limits.max_pixels:
            limit = f"{self._limits.max_pixels} pixels"
            raise SourceError(
                f"{self.path}: a picture of {width}x{height} is larger than {limit} (--max-pixels)"
            )

    def _check_length(self, seconds: float) -> None:
        if seconds > self._limits.max_duration_s:
            limit = clock(self._limits.max_duration_s)
            raise SourceError(
                f"{self.path}: is {clock(seconds)} long; at most {limit} is taken (--max-duration)"
            )

    def _precedes(self, first: VideoFrame | None) -> bool:
        """Whether decoding began early enough to give every frame of the span."""
        return (
            first is not None
            and first.pts is not None
            and first.pts * self._time_base <= self.begin
        )

    def _from(self, first: VideoFrame | None) -> Iterator[VideoFrame]:
        if first is not None:
            yield first
            del first  # the decoder's memory may go while the rest is read
        yield from self._decoded

    def _whole(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """The frames, none of them interlaced unless that was asked for."""
        graph: Deinterlacer | None = None
        for frame in frames:
            if frame.interlaced_frame and self._limits.interlaced == "error":
                raise SourceError(f"{self.path}: is interlaced")
            if (
                graph is None
                and frame.interlaced_frame
                and self._limits.interlaced == "deinterlace"
            ):
                graph = Deinterlacer(frame)
            if graph is None or not graph.takes(frame):
                yield frame
            else:
                yield from graph.push(frame)
        if graph is not None:
            yield from graph.push(None)
