"""One segment of a film: a pure function of (input, model, settings, span), and its file.

It is decoded from its own key frame and encoded by its own encoder, beginning with a key frame, so
that any process can make it, in any order.
"""

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import av
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from streamsr.errors import SinkError
from streamsr.frame import Frame, Span, StreamInfo
from streamsr.media.encode import Encoder
from streamsr.media.encoder_trial import tried
from streamsr.media.errors import sink_errors
from streamsr.media.timeline import TimeLine
from streamsr.options import DecodeOptions, Encoding
from streamsr.pipeline import Pipeline
from streamsr.sinks import check_size, outside
from streamsr.sources.file import FileSource
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler
from xlsr_model import system
from xlsr_model.files import Output

_GLOBAL_HEADER = 0x40
"""AVFMT_GLOBALHEADER: the container stores the encoder's headers once, in its own header."""

MAGIC = b"streamsr segment 1\n"
PACKET = struct.Struct("<qqBI")
"""pts and duration in ticks of the film's time base, 1 for a key frame, bytes that follow."""


@dataclass(frozen=True, slots=True)
class SegmentWork:
    """All that the segments of one film have in common.

    info       of the whole film
    size       (width, height) of the output
    line       the film's clock
    container  FFmpeg's name of the format that the segments will be joined into; it decides where
               the encoder puts its headers
    """

    source: Path
    info: StreamInfo
    size: tuple[int, int]
    encoding: Encoding
    container: str
    decode: DecodeOptions
    line: TimeLine = field(default_factory=TimeLine)


def upscale_segment(
    work: SegmentWork,
    span: Span,
    target: Path,
    *,
    upscaler: Upscaler,
    record: Recorder,
    reader: Callable[[], BinaryIO] | None = None,
    progress: Callable[[Frame], None] | None = None,
) -> int:
    """Upscale one segment into the file ``target``, which appears when it is complete; return its
    number of frames.

    reader    opens the source where this machine does not see its path
    progress  called after each frame
    """
    film = FileSource(
        work.source,
        span=span,
        info=work.info,
        decode=work.decode,
        reader=reader,
        line=work.line,
        record=record,
    )
    with SegmentSink(target, work) as sink, Pipeline(film, upscaler, record=record) as pipeline:
        pipeline.run(sink, progress=progress)
    return sink.frames


class SegmentSink:
    """Encodes frames into a segment file. See `streamsr.sinks.Sink` for the contract."""

    def __init__(self, path: Path, work: SegmentWork) -> None:
        self._path = path
        self._work = work
        self._encoder = Encoder(work.encoding)
        container = av.format.ContainerFormat(work.container, "w")
        self._headers = bool(container.flags & _GLOBAL_HEADER)
        self._stack = ExitStack()
        self._taking = False
        self.frames = 0

    def __enter__(self) -> Self:
        with sink_errors(self._path), ExitStack() as stack:
            info = self._work.info
            context = av.CodecContext.create(self._encoder.name, "w")
            assert isinstance(context, VideoCodecContext)
            context.options = self._encoder.options(info.hdr)
            if self._headers:
                context.flags |= Flags.global_header
            work = self._work
            coded = tried(self._encoder, info, work.size, work.container)
            self._frames = self._encoder.prepare(context, info, work.size, coded)
            if info.rate:
                context.framerate = info.rate.limit_denominator(1_000_000)
            with system.ordinary_threads():
                context.open()
            self._output = stack.enter_context(Output(self._path, overwrite=True))
            self._file = stack.enter_context(open(self._output.fd, "wb", closefd=False))
            headers = bytes(context.extradata or b"")
            self._file.write(MAGIC + struct.pack("<I", len(headers)) + headers)
            self._stack = stack.pop_all()
            self._taking = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._taking = False
        with suppress(
            OSError
        ):  # the disk is full: that was reported already, and the file is removed
            self._stack.__exit__(kind, error, trace)

    def write(self, frame: Frame) -> None:
        if not self._taking:
            raise outside("write()")
        check_size(frame, self._work.size)
        picture = self._frames.writer.of(frame)
        with sink_errors(self._path):
            self._store(self._frames.encode(picture, frame.pts, frame.time_base, frame.duration))
        self.frames += 1

    def commit(self) -> None:
        if not self._taking:
            raise outside("commit()")
        self._taking = False
        with sink_errors(self._path):
            if self.frames:
                self._store(self._frames.flush())
            self._file.flush()
            self._output.publish()

    def _store(self, packets: "Sequence[Packet[Any]]") -> None:
        for packet in packets:
            self._file.write(
                PACKET.pack(packet.pts, packet.duration, packet.is_keyframe, packet.size)
            )
            self._file.write(bytes(packet))


def packets(
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
                raise SinkError(f"{path}: is truncated; delete it and run again")
            if skip:
                file.seek(size, os.SEEK_CUR)
            return b"" if skip else file.read(size)

        if file.read(len(MAGIC)) != MAGIC:
            raise SinkError(f"{path}: not a segment of this version")
        left -= len(MAGIC)
        written = take(struct.unpack("<I", take(4))[0])
        if headers is not None and written != headers:
            raise SinkError(f"{path}: was made by an encoder with other settings")
        while left:
            pts, duration, key, size = PACKET.unpack(take(PACKET.size))
            yield pts, duration, key, take(size, skip=not contents)
