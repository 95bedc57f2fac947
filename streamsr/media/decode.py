"""Decodes a video stream, also where it is damaged or its first timestamps are wrong."""

import logging
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path

import av
import numpy as np
from av.container.input import InputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsr import interrupt
from streamsr.errors import SourceError
from streamsr.media.packets import readable
from streamsr.media.timeline import TimeLine
from streamsr.stats import Event, Recorder, Stage

DAMAGED_IN_A_ROW = 8
"""So many packets that cannot be decoded, without a picture in between, are a hole of the film."""

PACKETS_BEFORE_A_PICTURE = 3000
"""A film that gives no picture for so long is encrypted or no film: the longest recordings between
two key frames have a few hundred."""

BORDER_PIXELS = 1 << 20
"""Decoders count a border and whole blocks with a picture."""

log = logging.getLogger("streamsr")


def bounded(codec: VideoCodecContext, max_pixels: int) -> None:
    """Have a decoder that is not yet open refuse a picture well above ``max_pixels`` before it
    takes memory for it: a stream may change its size. Whoever gets its frames checks them
    exactly."""
    codec.options = {**codec.options, "max_pixels": str(2 * max_pixels + BORDER_PIXELS)}


def decoded(
    container: InputContainer,
    stream: VideoStream,
    path: Path,
    record: Recorder,
    *,
    line: TimeLine | None = None,
    position: int = 0,
    whole: bool = False,
) -> Generator[VideoFrame]:
    """All frames of the stream. Use one generator for all: it holds the decoder's buffered frames.

    A frame that cannot be decoded is left out and counted as damaged in ``record``. Behind a hole
    the film goes on with the next key frame, and the log says where it was. Raises SourceError with
    the ``path`` when nothing can be decoded, and, with ``whole``, at a hole.

    line      the film's clock, on which the frames' times are
    position  where in the file, in bytes, reading begins
    """
    return in_line(_decoded(container, stream, path, record, line or TimeLine(), position, whole))


class Damage:
    """Counts what cannot be decoded, and says where the holes are.

    name    of the film or stream, for messages
    whole   a hole raises SourceError instead
    joined  a stream that was running already: until its first picture nothing is damage, since
            what is missing was sent before
    """

    def __init__(
        self, name: object, record: Recorder, *, whole: bool = False, joined: bool = False
    ) -> None:
        self._name = name
        self._record = record
        self._whole = whole
        self._joined = joined
        self._in_a_row = 0
        self._pictures = 0
        self._last_s: float | None = None

    def failed(self, error: FFmpegError) -> None:
        """A packet cannot be decoded. Raises SourceError where there is no going on."""
        begins = not self._pictures
        if not (begins and self._joined):
            self._record.count(Event.DAMAGED)
        self._in_a_row += 1
        is_late = self._is_hole and not (begins and self._joined)
        if (is_late and self._whole) or (begins and self._in_a_row >= PACKETS_BEFORE_A_PICTURE):
            raise self._refusal from error

    def decoded(self, frame: VideoFrame) -> None:
        """A frame was decoded."""
        if self._is_hole and self._pictures:
            self._say("later" if frame.time is None else f"{frame.time:.1f} s")
        self._in_a_row = 0
        self._pictures += 1
        self._last_s = frame.time

    def ended(self) -> None:
        """Raise SourceError for a film of which less can be decoded than not: it is encrypted from
        there on."""
        if self._is_hole and self._pictures:
            if self._in_a_row > self._pictures:
                raise self._refusal
            self._say("the end")

    @property
    def _is_hole(self) -> bool:
        return self._in_a_row >= DAMAGED_IN_A_ROW

    @property
    def _refusal(self) -> SourceError:
        reason = f"{self._in_a_row} frames in a row cannot be decoded: damaged or encrypted"
        return SourceError(f"{self._name}: {reason}")

    def _say(self, end: str) -> None:
        begin = "the beginning" if self._last_s is None else f"{self._last_s:.1f} s"
        log.warning(
            "%s: %d frames in a row cannot be decoded, from %s to %s",
            self._name,
            self._in_a_row,
            begin,
            end,
        )


def _decoded(
    container: InputContainer,
    stream: VideoStream,
    path: Path,
    record: Recorder,
    line: TimeLine,
    position: int,
    whole: bool,
) -> Generator[VideoFrame]:
    damage = Damage(path, record, whole=whole)
    # AVI stores no presentation times, and those that FFmpeg makes up for B-frames run backwards.
    # The frames in order of presentation have the times of the packets in order of storage.
    ticks: deque[int] | None = deque() if container.format.name == "avi" else None
    packets = line.mended(readable(container, [stream], damage.failed), position=position)
    opaque = stream.metadata.get("alpha_mode") != "1"
    decoder = None if opaque else _decoder_with_alpha(stream)
    while True:
        interrupt.check()  # the first frame may be far behind the place that was sought
        try:
            with record.stage(Stage.DECODE):
                packet = next(packets, None)
                if packet is None:
                    damage.ended()
                    return
                if ticks is not None and packet.size and packet.dts is not None:
                    ticks.append(packet.dts)
                frames = (
                    packet.decode()
                    if decoder is None
                    else decoder.decode(packet if packet.size else None)
                )
        except FFmpegError as error:
            damage.failed(error)
            continue
        for frame in frames:
            if ticks:
                frame.pts = ticks.popleft()
            damage.decoded(frame)
            yield frame


ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""WebM has the alpha plane as a second picture in each packet. FFmpeg's own decoders drop it, these
do not."""


def _decoder_with_alpha(stream: VideoStream) -> VideoCodecContext | None:
    name = ALPHA_DECODERS.get(stream.codec_context.codec.canonical_name)
    if name is None:
        return None
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = stream.codec_context.extradata
    decoder.thread_type = "AUTO"
    return decoder


def in_line(frames: Iterator[VideoFrame]) -> Generator[VideoFrame]:
    """The same frames. If the first one's PTS is after the second's, it is moved before that.

    A transport stream that was cut begins with such a frame: its PTS is that of a lost one.
    """
    first = next(frames, None)
    if first is None:
        return
    second = next(frames, None)
    if (
        second is not None
        and first.pts is not None
        and second.pts is not None
        and first.pts > second.pts
    ):
        first.pts = second.pts - max(first.duration or second.duration, 1)
    yield first
    del first  # lets go of the decoder's memory while the rest is read
    if second is not None:
        yield second
        del second
    yield from frames


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers of the rotation side data (FFmpeg's libavutil/display.h); None where there
    is none."""
    for data in frame.side_data:
        if str(getattr(data, "type", "")).endswith("DISPLAYMATRIX"):
            return tuple(int(x) for x in np.frombuffer(bytes(data), np.int32))  # type: ignore[arg-type]
    return None
