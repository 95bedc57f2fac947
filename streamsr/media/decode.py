"""Decoded frames of one film, whatever state it is in."""

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

from streamsr.errors import SourceError
from streamsr.stats import Event, Recorder, Stage

DAMAGED_IN_A_ROW = 8
"""A decoder that fails this often without a picture in between will not recover."""


def decoded(
    container: InputContainer, stream: VideoStream, path: Path, record: Recorder
) -> Generator[VideoFrame]:
    """All frames the decoder gives. One generator for the life of the stream, or its buffered
    frames are lost.

    A frame that cannot be decoded is left out and counted as damaged in ``record``;
    DAMAGED_IN_A_ROW of them raise SourceError with the ``path``.
    """
    return in_line(_decoded(container, stream, path, record))


def _decoded(
    container: InputContainer, stream: VideoStream, path: Path, record: Recorder
) -> Generator[VideoFrame]:
    in_a_row = 0
    # AVI stores no presentation times, and what FFmpeg makes up for B-frames runs backwards: but
    # the pictures take, in the order shown, the very ticks that the packets have in the order
    # stored.
    ticks: deque[int] | None = deque() if container.format.name == "avi" else None
    packets = container.demux(stream)
    opaque = stream.metadata.get("alpha_mode") != "1"
    decoder = None if opaque else _decoder_with_alpha(stream)
    while True:
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
"""WebM keeps the opacity as a second picture in each packet, which FFmpeg's own decoders leave
out."""


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
    """The same frames. A first one that says it comes after the second is put before it.

    Cut transport streams begin with a picture whose time belongs to a lost one; all others would
    pile up behind it.
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
    del first  # the decoder's memory may go while the rest is read
    if second is not None:
        yield second
        del second
    yield from frames


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers of the rotation side data (FFmpeg's libavutil/display.h), None where there
    is none."""
    for data in frame.side_data:
        if str(getattr(data, "type", "")).endswith("DISPLAYMATRIX"):
            return tuple(int(x) for x in np.frombuffer(bytes(data), np.int32))  # type: ignore[arg-type]
    return None
