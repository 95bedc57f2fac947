"""Decodes a video stream, also where it is damaged or its first timestamps are wrong."""

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
from streamsr.stats import Event, Recorder, Stage

DAMAGED_IN_A_ROW = 8
"""After so many failures without a picture in between the decoder will not recover."""


def decoded(
    container: InputContainer, stream: VideoStream, path: Path, record: Recorder
) -> Generator[VideoFrame]:
    """All frames of the stream. Use one generator for all: it holds the decoder's buffered frames.

    A frame that cannot be decoded is left out and counted as damaged in ``record``; after
    DAMAGED_IN_A_ROW of them in a row SourceError is raised, with ``path``.
    """
    return in_line(_decoded(container, stream, path, record))


def _decoded(
    container: InputContainer, stream: VideoStream, path: Path, record: Recorder
) -> Generator[VideoFrame]:
    in_a_row = 0
    # AVI stores no presentation times, and those that FFmpeg makes up for B-frames run backwards.
    # The frames in order of presentation have the times of the packets in order of storage.
    ticks: deque[int] | None = deque() if container.format.name == "avi" else None
    packets = container.demux(stream)
    opaque = stream.metadata.get("alpha_mode") != "1"
    decoder = None if opaque else _decoder_with_alpha(stream)
    while True:
        interrupt.check()  # the first frame may be far behind the place that was sought
        try:
            with record.stage(Stage.DECODE):
                packet = next(packets, None)
                if packet is None:
                    return
                if ticks is not None and packet.size and packet.dts is not None:
                    ticks.append(packet.dts)
                frames = (
                    packet.decode()
                    if decoder is None
                    else decoder.decode(packet if packet.size else None)
                )
        except FFmpegError as error:
            record.count(Event.DAMAGED)
            in_a_row += 1
            if in_a_row >= DAMAGED_IN_A_ROW:
                reason = f"{in_a_row} frames in a row cannot be decoded: damaged or encrypted"
                raise SourceError(f"{path}: {reason}") from error
            continue
        if frames:
            in_a_row = 0
        for frame in frames:
            if ticks:
                frame.pts = ticks.popleft()
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
