"""Decodes the frames of a video file, each with its own timestamp."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import av
from av.container.input import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsr.errors import SourceError
from streamsr.frame import Frame, Span, StreamInfo
from streamsr.media.containers import is_cover
from streamsr.media.decode import bounded, decoded
from streamsr.media.deinterlace import progressive
from streamsr.media.hdr import has_no_base_layer
from streamsr.media.input import clock, main_video, open_input, source_errors
from streamsr.media.pictures import PictureReader
from streamsr.media.timeline import TimeLine, time_line
from streamsr.media.video import DecodedVideo, info_of, look_through, sar_of
from streamsr.options import MAX_DURATION_S, MAX_PIXELS, DecodeOptions
from streamsr.sources import Sound
from streamsr.stats import Event, Recorder, Stage
from xlsr_model.inputs import protected


class FileSource:
    """Decodes the main video stream of a file. See `streamsr.sources.Source` for the contract.

    start_s, duration_s  only the frames of this part of the video, in seconds from its first frame
    span, info           one segment of a video instead, and the info of the whole video, so that
                         all segments agree; ValueError for one without the other, or beside
                         start_s and duration_s
    max_pixels           of a picture; a larger one raises SourceError before memory is allocated
    max_duration_s       of the video or of the part wanted; a longer one raises SourceError: on
                         entering where the header says so, else at the first frame that is later
    interlaced           what to do with interlaced frames: ``deinterlace`` them, ``keep`` them as
                         they are, or raise SourceError (``error``); ``force-tff`` and ``force-bff``
                         deinterlace all, with the top or the bottom field first, also those that
                         are not flagged
    decode               these three as one value, which then goes before them
    reader               opens the file, on a machine that does not see the path
    line                 the film's clock, read from the file where it is not given; with a
                         ``reader``, the container's own
    record               where damaged frames are counted: a frame that cannot be decoded is left
                         out. Behind a hole the film goes on with the next key frame, and the log
                         says where; with ``decode.whole`` it raises SourceError
    begin, end           attributes, set on entering: the part that is decoded, in seconds on the
                         file's clock; ``end`` is None where the file is decoded to its end
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
        line: TimeLine | None = None,
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
        self.begin = Fraction(0)
        self.end: Fraction | None = None
        self._open_file = reader
        self._line = line or (TimeLine() if reader else None)
        self._limits = decode or DecodeOptions(interlaced, max_pixels, max_duration_s)
        if span is not None:  # a segment is as long as it was cut
            self._limits = replace(self._limits, max_duration_s=math.inf)
        self._start_s = start_s
        self._duration_s = duration_s
        self._span = span
        self._known = info
        self._info = info
        self._record = record or Recorder()
        self._video: DecodedVideo | None = None
        self._stack = ExitStack()

    @property
    def info(self) -> StreamInfo:
        """What is known of the main video, once entered. Raises ValueError before."""
        if self._info is None:
            raise ValueError("a source knows its info once it is entered")
        return self._info

    def __enter__(self) -> Self:
        if self._video is None:
            with ExitStack() as stack:
                video = self._open()
                stack.callback(video.close)
                self._info = self._known or self._described(video)
                codec = video.stream.codec_context.name
                quiet = self._known is not None
                self._pictures = PictureReader(self.path, self._info, codec=codec, quiet=quiet)
                stack.enter_context(protected([self.path] if self._open_file is None else []))
                self._stack = stack.pop_all()
            self._video = video
        return self

    def _described(self, video: DecodedVideo) -> StreamInfo:
        """The info of the film, whose pictures may grow on the way: recordings of calls do. Single
        pictures tell that, and how it was coded."""
        info = info_of(video, start_s=self._start_s, duration_s=self._duration_s)
        if self._open_file is not None or self._line is None:
            return info
        seen = look_through(self.path, self._line)
        if seen is None:
            return info
        info = replace(info, coded=seen.coded)
        found = seen.largest
        if found.area <= info.width * info.height:
            return info
        self._check_size(found.width, found.height)
        return replace(info, width=found.width, height=found.height, sar=found.sar)

    def _open(self) -> DecodedVideo:
        """Open the file, decoded up to the first frame. Raises SourceError for a video that cannot
        be upscaled, before an output is made."""
        if self._line is None:
            with source_errors(self.path):
                self._line = time_line(self.path)
        video, sought = self._open_at(self._line, seek=True)
        if sought and (video.first_s is None or video.first_s > self.begin):
            # Seeking is only as good as the container's index. Without it the video is decoded from
            # its start.
            video.close()
            video, _ = self._open_at(self._line, seek=False)
        try:
            self._check_first(video.first)
        except BaseException:
            video.close()
            raise
        return video

    def _open_at(self, line: TimeLine, *, seek: bool) -> tuple[DecodedVideo, bool]:
        """Open the file and decode one frame; with ``seek``, from a key frame before the part
        wanted. Also whether it was sought: a file without an index and times does not allow it."""
        container = open_input(self.path, reader=self._open_file)
        try:
            stream = self._main_video(container)
            stream.thread_type = "AUTO"
            bounded(stream.codec_context, self._limits.max_pixels)
            start = self._set_span(stream)
            position = 0
            seek = seek and start is not None
            if seek and not line.indexed:
                position = line.position_before(self.begin)
                seek = position > 0
            if seek and position:
                container.seek(position, unsupported_byte_offset=True)
            elif seek and start is not None:
                container.seek(start, stream=stream)
            frames = decoded(
                container,
                stream,
                self.path,
                self._record,
                line=line,
                position=position,
                whole=self._limits.whole,
            )
            video = DecodedVideo(container, stream, frames)
        except BaseException:
            container.close()
            raise
        if video.first_s is not None and self._span is None and not seek:
            late_s = self.begin - _seconds(self._start_s) - video.first_s
            # Bare pictures do not say before they are decoded where they begin.
            if (start is None and late_s > 0) or stream.start_time is None:
                self.begin -= late_s
                self.end = None if self.end is None else self.end - late_s
        return video, seek

    def _main_video(self, container: InputContainer) -> VideoStream:
        """The stream to decode. Raises SourceError when there is none, or when it is too large or
        too long by the file's header."""
        stream = main_video(container)
        if stream is None:
            kinds = sorted({"a cover" if is_cover(s) else s.type for s in container.streams})
            raise SourceError(
                f"{self.path}: has no video stream (only {', '.join(kinds) or 'nothing'})"
            )
        codec = stream.codec_context
        if codec is None:
            raise SourceError(f"{self.path}: its video codec is unknown to this build of FFmpeg")
        self._check_size(codec.width, codec.height)
        claimed_s = (container.duration or 0) / av.time_base - self._start_s
        self._check_length(min(claimed_s, self._duration_s or claimed_s))
        return stream

    def _set_span(self, stream: VideoStream) -> int | None:
        """Set ``begin`` and ``end``; returns the pts to seek to, None to decode from the start."""
        assert stream.time_base is not None
        # ``start_s`` counts from the first frame shown, which an edit list can put anywhere.
        zero_s = Fraction(stream.start_time or 0) * stream.time_base
        if self._span is not None:
            self.begin = zero_s if self._span.begin is None else self._span.begin
            self.end = self._span.end
            seek_s = self._span.seek
        else:
            self.begin = zero_s + _seconds(self._start_s)
            if self._duration_s is not None:
                self.end = self.begin + _seconds(self._duration_s)
            seek_s = self.begin if self._start_s > 0 else None
        return None if seek_s is None else int(seek_s / stream.time_base)

    def _check_first(self, first: VideoFrame | None) -> None:
        """Raise SourceError for a video that cannot be upscaled, by its first frame."""
        if first is None:
            where = " after the start" if self._start_s else ""
            why = ": damaged or encrypted" if self._record.counted(Event.DAMAGED) else ""
            raise SourceError(f"{self.path}: no frame could be decoded{where}{why}")
        self._check_size(first.width, first.height)
        if has_no_base_layer(first):
            raise SourceError(
                f"{self.path}: Dolby Vision profile 5, which has no base layer whose colours can "
                f"be read"
            )

    def open_sound(self) -> Sound:
        """See `streamsr.sources.Sounding`."""
        from streamsr.sources.file_sound import FileSound  # here: for live runs only

        return FileSound(self.path, line=self._line, record=self._record)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._video = None
        self._stack.close()

    def __iter__(self) -> Iterator[Frame]:
        video = self._video
        if video is None or video.first is None:  # left, or iterated before
            return
        index = 0
        for frame, pts in self._within_span(video):
            self._check_size(frame.width, frame.height)
            with self._record.stage(Stage.CONVERT):
                rgb, deep, alpha, fit = self._pictures.read(frame, sar_of(video.stream))
            duration = frame.duration or 0
            now_s = time.monotonic()
            yield Frame(rgb, pts, video.time_base, duration, index, now_s, deep, alpha, fit=fit)
            index += 1
        if index == 0 and self._span is None:
            raise SourceError(f"{self.path}: has no frame in the span that was asked for")

    def _within_span(self, video: DecodedVideo) -> Iterator[tuple[VideoFrame, int]]:
        """The frames from ``begin`` to ``end`` with their pts, each larger than the one before."""
        skips = self._start_s > 0 or (self._span is not None and self._span.begin is not None)
        last: int | None = None
        frames = progressive(video.frames(), self._limits.interlaced, name=self.path)
        for frame in frames:
            pts = frame.pts if frame.pts is not None else frame.dts
            if pts is None:  # bare pictures have no times, but a rate
                pts = 0 if last is None else last + max(frame.duration or 0, 1)
            time_s = pts * video.time_base
            if self.end is not None and time_s >= self.end:
                break
            if last is not None and pts <= last:
                # Two frames cannot be shown at once; broken files say so. The next tick keeps order
                # and count.
                pts = last + 1
            last = pts
            if skips and time_s < self.begin:
                continue
            self._check_length(float(time_s - self.begin))
            yield frame, pts

    def _check_size(self, width: int, height: int) -> None:
        """Raise SourceError for a picture of more than ``max_pixels``. A size of 0 is unknown."""
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


def _seconds(value: float) -> Fraction:
    """Seconds as they were meant: 2.6 is 13/5."""
    return Fraction(value).limit_denominator(1_000_000)
