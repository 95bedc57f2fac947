"""A film as a list of closed segments: each a pure function of (input, model, settings, span),
joined by remuxing.

A segment is decoded from a key frame of its own, encoded by an encoder of its own and starts with a
key frame, so that it does not matter who made it, when, or what was made before.
"""

import os
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import av
from av.codec.context import Flags
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from streamsr import interrupt
from streamsr.errors import SinkError, SourceError
from streamsr.frame import Frame, Span, StreamInfo
from streamsr.media.encode import Encoding
from streamsr.media.errors import sink_errors
from streamsr.media.input import MAX_PIXELS, main_video, open_input
from streamsr.media.timeline import time_line
from streamsr.pipeline import Pipeline
from streamsr.sinks.file import FileSink
from streamsr.sources.file import FileSource
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler
from xlsr_model.files import Output

SEGMENT_S = 10.0
"""Work lost at most to a kill, in seconds of film; shorter ones cost compression, each begins with
a key frame."""

_GLOBAL_HEADER = 0x40
"""AVFMT_GLOBALHEADER: the container wants the encoder's headers once, in its own."""

_MAGIC = b"streamsr segment 1\n"
_PACKET = struct.Struct("<qqBI")
"""pts and duration in ticks of the film's time base, 1 for a key frame, bytes that follow."""


def plan(
    path: Path,
    *,
    begin: Fraction | None = None,
    end: Fraction | None = None,
    seconds: float = SEGMENT_S,
) -> list[Span]:
    """Cut a film, or its part from ``begin`` to ``end``, at the first key frame after every
    ``seconds``.

    Depends on the input alone. A film whose times do not run in order is one segment: there is no
    telling where its frames belong. Raises SourceError when it cannot be read.
    """
    with open_input(path) as container:
        stream = main_video(container)
        if stream is None or stream.time_base is None:
            raise SourceError(f"{path}: has no video stream")
        base = stream.time_base
        # AVI has no presentation times of its own.
        packets = time_line(path).mended(container.demux(stream))
        keys = [] if container.format.name == "avi" else _key_times(packets)
        first = (stream.start_time or 0) * base if begin is None else begin
    cuts: list[Fraction] = []
    seeks: list[Fraction] = []
    last = first
    for before, key in pairwise([pts * base for pts in keys]):
        if end is not None and key >= end:
            break
        if key - last >= seconds:
            cuts.append(key)
            seeks.append(
                before
            )  # one group of pictures earlier: a container's index may point a little late
            last = key
    begins, ends = [begin, *cuts], [*cuts, end]
    first_seek = (
        None if begin is None else max((k * base for k in keys if k * base <= begin), default=None)
    )
    return [Span(b, e, s) for b, e, s in zip(begins, ends, [first_seek, *seeks], strict=True)]


def _key_times(packets: "Iterator[Packet[Any]]") -> list[int]:
    """pts of the key frames, in ticks; none when some picture's time is missing, twice there or out
    of order."""
    keys: list[int] = []
    highest: int | None = None
    seen: set[int] = (
        set()
    )  # of the pictures since the key frame before the last: later ones may not be earlier
    try:
        for packet in packets:
            interrupt.check()
            if packet.size == 0:
                continue
            if (
                packet.pts is None
                or packet.pts in seen
                or (len(keys) > 1 and packet.pts < keys[-2])
            ):
                return []
            seen.add(packet.pts)
            if packet.is_keyframe and (highest is None or packet.pts > highest):
                keys.append(packet.pts)
                seen = {pts for pts in seen if pts >= keys[max(len(keys) - 2, 0)]}
            highest = packet.pts if highest is None else max(highest, packet.pts)
    except (
        FFmpegError
    ):  # a damaged end: what comes before it is read by the source, or not, all the same
        return []
    return keys


def upscale_segment(
    source: Path,
    span: Span,
    target: Path,
    *,
    info: StreamInfo,
    upscaler: Upscaler,
    encoding: Encoding,
    container: str,
    interlaced: str = "deinterlace",
    max_pixels: int = MAX_PIXELS,
    reader: Callable[[], BinaryIO] | None = None,
    record: Recorder,
    progress: Callable[[Frame], None] | None = None,
) -> int:
    """Upscale one segment into the file ``target``, which appears when it is complete; returns its
    number of frames.

    info       of the whole film
    reader     what opens ``source``, where this machine does not see the path
    container  FFmpeg's name of the format it will be joined into, which decides where the encoder
               puts its headers
    """
    height, width = info.height * upscaler.scale, info.width * upscaler.scale
    film = FileSource(
        source,
        span=span,
        info=info,
        interlaced=interlaced,
        max_pixels=max_pixels,
        reader=reader,
        record=record,
    )
    sink = SegmentSink(target, info, upscaler.size or (width, height), encoding, container)
    with sink, Pipeline(film, upscaler, record=record) as pipeline:
        pipeline.run(sink, progress=progress)
    return sink.frames


class SegmentSink:
    """Encodes frames into a segment file. See `streamsr.sinks.Sink` for the contract."""

    def __init__(
        self,
        path: Path,
        info: StreamInfo,
        size: tuple[int, int],
        encoding: Encoding,
        container: str,
    ) -> None:
        self._path = path
        self._info, self._size, self._encoding = info, size, encoding
        self._headers = bool(av.format.ContainerFormat(container, "w").flags & _GLOBAL_HEADER)
        self._stack = ExitStack()
        self._durations: dict[int, int] = {}
        self.frames = 0

    def __enter__(self) -> Self:
        with sink_errors(self._path), ExitStack() as stack:
            context = av.CodecContext.create(self._encoding.encoder, "w")
            assert isinstance(context, VideoCodecContext)
            context.options = self._encoding.options(self._info.hdr)
            if self._headers:
                context.flags |= Flags.global_header
            self._writer = self._encoding.prepare(context, self._info, self._size)
            if self._info.rate:
                context.framerate = self._info.rate.limit_denominator(1_000_000)
            context.open()
            self._context = context
            self._output = stack.enter_context(Output(self._path, overwrite=True))
            self._file = stack.enter_context(open(self._output.fd, "wb", closefd=False))
            headers = bytes(context.extradata or b"")
            self._file.write(_MAGIC + struct.pack("<I", len(headers)) + headers)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # the disk is full: that was said already, and the file goes
            self._stack.__exit__(kind, error, trace)

    def write(self, frame: Frame) -> None:
        picture = self._writer.of(frame)
        picture.pts, picture.time_base = frame.pts, frame.time_base
        if frame.duration:
            self._durations[frame.pts] = frame.duration
        with sink_errors(self._path):
            self._store(self._context.encode(picture))
        self.frames += 1

    def commit(self) -> None:
        with sink_errors(self._path):
            if self.frames:
                self._store(self._context.encode(None))
            self._file.flush()
            self._output.publish()

    def _store(self, packets: "Sequence[Packet[Any]]") -> None:
        for packet in packets:
            assert packet.pts is not None
            duration = self._durations.pop(packet.pts, 0)
            self._file.write(_PACKET.pack(packet.pts, duration, packet.is_keyframe, packet.size))
            self._file.write(bytes(packet))


def join(segments: Sequence[Path], sink: FileSink, *, time_base: Fraction) -> None:
    """Write the packets of all segments, in order, into the entered ``sink``. The caller commits
    it.

    Decoding times are made anew for the whole film: each encoder counted them from its own start,
    and where frames come at a variable rate those of two neighbours may overlap.
    """
    shown = array("q")
    delay = 0
    for path in segments:
        start = len(shown)
        shown.extend(pts for pts, *_ in _packets(path, contents=False))
        coded = shown[start:]
        shown[start:] = array("q", sorted(coded))
        delay = max(
            [delay, *(i - bisect_left(shown, pts, start) + start for i, pts in enumerate(coded))]
        )
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    if shown:
        sink.start_at(shown[0] * time_base)
    shift = round(sink.origin_s / time_base)
    position = 0
    for path in segments:
        for pts, duration, key, content in _packets(path, headers=sink.extradata):
            packet: Packet[Any] = av.Packet(content)
            packet.time_base = time_base
            packet.pts, packet.duration = pts - shift, duration
            early = delay - position
            packet.dts = (
                shown[position - delay] if early <= 0 else shown[0] - early * step
            ) - shift
            packet.is_keyframe = bool(key)
            sink.put(packet)
            position += 1


def _packets(
    path: Path, *, contents: bool = True, headers: bytes | None = None
) -> Iterator[tuple[int, int, int, bytes]]:
    """(pts, duration, key, bytes) of a segment file's packets; without ``contents`` the bytes are
    empty."""
    with open(path, "rb") as file:
        left = os.fstat(file.fileno()).st_size

        def take(size: int, *, skip: bool = False) -> bytes:
            nonlocal left
            left -= size
            if left < 0:
                raise SinkError(f"{path}: ends in the middle; delete it to have it made again")
            if skip:
                file.seek(size, os.SEEK_CUR)
            return b"" if skip else file.read(size)

        if file.read(len(_MAGIC)) != _MAGIC:
            raise SinkError(f"{path}: not a segment of this version")
        left -= len(_MAGIC)
        written = take(struct.unpack("<I", take(4))[0])
        if headers is not None and written != headers:
            raise SinkError(f"{path}: was made by an encoder with other settings")
        while left:
            pts, duration, key, size = _PACKET.unpack(take(_PACKET.size))
            yield pts, duration, key, take(size, skip=not contents)
