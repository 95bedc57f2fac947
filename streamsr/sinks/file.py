"""Encodes frames into a video file, with the other streams and the metadata of the input."""

import contextlib
import logging
import os
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container.output import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from streamsr.errors import SinkError
from streamsr.frame import Frame, StreamInfo
from streamsr.media.codecs import canonical_name
from streamsr.media.containers import PLAIN, check_output
from streamsr.media.encode import Encoder
from streamsr.media.encoder_trial import tried
from streamsr.media.errors import sink_errors
from streamsr.media.input import watched
from streamsr.media.losses import hard_to_play, lost
from streamsr.media.muxer import muxer_options
from streamsr.media.packets import PACKET_ERRORS
from streamsr.media.stream_copy import StreamCopy
from streamsr.options import Encoding
from streamsr.sinks import check_size, outside
from streamsr.stats import Recorder, Stage
from xlsr_model import system
from xlsr_model.files import Output

log = logging.getLogger("streamsr")

REFUSED_IN_A_ROW = 8
"""A muxer that takes no packet so often has failed for good."""

APPLE_HEVC = "hvc1"
"""Tag of HEVC in MP4 and MOV: Apple's players take no other."""

LEAST_BYTES = 4096
"""Space that the disk must have before anything is written: FFmpeg does not close a file whose
header does not fit."""


class FileSink:
    """Encodes frames into a new file that gets the name ``path``. See `streamsr.sinks.Sink` for the
    contract.

    info        of the source: time base, pixel aspect, rotation and colours carry over
    size        (width, height) of the frames
    codec, crf, preset, encoder_threads  see `streamsr.options.Encoding`
    encoding    these four and all else of the encoder as one value, which then goes before them
    overwrite   replace a file that is there
    strict      raise SinkError when the output cannot hold everything of ``copy_from`` as it is
    quiet       do not log what the output cannot hold
    copy_from   file whose other streams, chapters and metadata are carried over
    begin, end  part of ``copy_from``, in seconds on its clock; ``begin`` becomes the output's zero,
                also for the frames
    unchanged   called with every frame and at the end: raises when the input was changed. Without
                it, ``copy_from`` must stay as it is
    output      the unfinished file, entered by the caller, who publishes it after `finish` and
                leaves it
    lost        attribute: what the output cannot hold, in words, once entered
    frames      attribute: how many were written
    origin_s    attribute: the time on the input's clock that is the output's zero

    Constructing it checks what can be checked without writing; entering creates the unfinished
    file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        info: StreamInfo,
        size: tuple[int, int],
        *,
        codec: str = "h264",
        crf: int | None = None,
        preset: str | None = None,
        encoder_threads: int | None = None,
        encoding: Encoding | None = None,
        overwrite: bool = False,
        strict: bool = False,
        quiet: bool = False,
        copy_from: str | os.PathLike[str] | None = None,
        begin: Fraction | None = None,
        end: Fraction | None = None,
        unchanged: Callable[[], None] | None = None,
        output: Output | None = None,
        record: Recorder | None = None,
    ) -> None:
        self.path = Path(path)
        self._encoder = Encoder(encoding or Encoding(codec, crf, preset, encoder_threads))
        self._container_format = check_output(self.path, overwrite=overwrite or output is not None)
        self._info = info
        self._size = size
        self._strict = strict
        self._quiet = quiet
        self._unchanged = unchanged
        self._file = output or Output(self.path, overwrite=overwrite)
        self._file_is_ours = output is None
        self._stack = contextlib.ExitStack()
        self._copy_from = copy_from
        self._begin = begin
        self._end = end
        self._record = record or Recorder()
        self._output: OutputContainer | None = None
        self._copy: StreamCopy | None = None
        self.origin_s = begin or Fraction(0)
        self.lost: list[str] = []
        self.frames = 0
        self._refused = 0
        self._refused_in_a_row = 0
        self._last_s = Fraction(0)

    def __enter__(self) -> Self:
        try:
            with sink_errors(self.path):
                self._open()
        except BaseException:
            self._close()
            raise
        return self

    def _open(self) -> None:
        """Open the input and the output, and write the header."""
        if self._copy_from is not None:
            if self._unchanged is None:
                self._unchanged = self._stack.enter_context(watched(self._copy_from))
            self._copy = StreamCopy(
                self._copy_from, begin=self._begin, end=self._end, quiet=self._quiet
            )
            self._stack.enter_context(self._copy)
            self.origin_s = self._copy.origin_s
        source = self._copy.input if self._copy is not None else None
        options = muxer_options(self._container_format, self._info.time_base, source)
        try:
            self._coded = tried(self._encoder, self._info, self._size, self._container_format)
        except SinkError as error:
            raise SinkError(f"{self.path}: {error}") from error
        if self._file_is_ours:
            self._stack.enter_context(self._file)
        self._file.write(bytes(LEAST_BYTES))
        path = str(self._file.path)
        self._output = av.open(path, "w", format=self._container_format, container_options=options)
        self.lost = lost(self._encoder, self._info, self._size, self._coded)
        if self._info.display_matrix is not None and self._container_format in PLAIN:
            self.lost.append(
                f"{self._container_format} cannot say that the picture is to be turned"
            )
        for line in self.lost if not self._quiet else ():
            log.warning("%s", line)
        hint = hard_to_play(self._encoder, self._container_format, self._coded)
        if hint is not None and not self._quiet:
            log.warning("%s: %s", self.path, hint)
        if self._copy is not None:
            self._stream = self._copy.prepare(self._output, partial(self._add_video, self._output))
            self.lost += self._copy.lost
            if self._strict and (kept_from := self.lost + self._copy.changed):
                raise SinkError(f"{self.path}: {kept_from[0]}; refused by --strict")
        else:
            self._stream = self._add_video(self._output)
        with system.ordinary_threads():
            self._output.start_encoding()

    def _opened(self, call: str) -> OutputContainer:
        """The output. Raises ValueError for a ``call`` while there is none."""
        if self._output is None:
            raise outside(call)
        return self._output

    def _add_video(self, output: OutputContainer) -> VideoStream:
        """Add the encoder's stream to the output."""
        info = self._info
        name = self._encoder.name
        rate = info.rate.limit_denominator(1_000_000) if info.rate else None
        try:
            stream = output.add_stream(name, rate=rate, options=self._encoder.options(info.hdr))
        except ValueError as error:
            kind = output.format.name
            raise SinkError(
                f"{self.path}: {kind} cannot hold {canonical_name(name)} video; use .mkv"
            ) from error
        assert isinstance(stream, VideoStream)
        self._frames = self._encoder.prepare(stream.codec_context, info, self._size, self._coded)
        stream.time_base = info.time_base
        if self._container_format in ("mp4", "mov") and canonical_name(name) == "hevc":
            stream.codec_context.codec_tag = APPLE_HEVC
        if info.display_matrix is not None:
            stream.set_display_matrix(info.display_matrix)
        return stream

    def write(self, frame: Frame) -> None:
        self._opened("write()")
        check_size(frame, self._size)
        if self._unchanged is not None:
            self._unchanged()
        if self.frames == 0:
            self.start_at(frame.pts * frame.time_base)
        with self._record.stage(Stage.CONVERT):
            picture = self._frames.writer.of(frame)
        pts = frame.pts - round(self.origin_s / frame.time_base)
        with self._record.stage(Stage.ENCODE), sink_errors(self.path):
            for packet in self._frames.encode(picture, pts, frame.time_base, frame.duration):
                self.put(packet)
        self._last_s = pts * frame.time_base
        self.frames += 1

    def start_at(self, time_s: Fraction) -> None:
        """Give the first frame's time on the input's clock, before anything is written.

        A video that begins before zero is moved to zero as a whole: MP4 would hide its first frames
        and Matroska lose their times.
        """
        if self._begin is None and time_s < self.origin_s:
            self.origin_s = time_s
            if self._copy is not None:
                self._copy.start_at(time_s)

    def put(self, packet: "Packet[VideoStream]") -> None:
        """Write a packet of an encoder with the same settings, in place of a frame.

        Its pts, dts, duration and time base must be set, on the output's clock.
        """
        output = self._opened("put()")
        packet.stream = self._stream
        with sink_errors(self.path):
            if self._copy is not None and packet.dts is not None:
                self._copy.until(packet.dts * packet.time_base, output)
            try:
                output.mux_one(packet)
                self._refused_in_a_row = 0
            except PACKET_ERRORS:
                # It may mean another packet, which the muxer had kept back until this one.
                self._refused += 1
                self._refused_in_a_row += 1
                if self._refused_in_a_row >= REFUSED_IN_A_ROW:
                    raise

    @property
    def extradata(self) -> bytes:
        """The encoder's global headers, as in the file's header."""
        return bytes(self._stream.codec_context.extradata or b"")

    def commit(self, *, whole: bool = True) -> None:
        """Make the result final. ``whole``: copy the other streams to their end, else up to the
        last frame written."""
        self.finish(whole=whole)
        with sink_errors(self.path):
            self._file.publish()

    def finish(self, *, whole: bool = True) -> None:
        """Complete the file without publishing it: as `commit`, but it does not get its name."""
        output = self._opened("commit()")
        with self._record.stage(Stage.ENCODE), sink_errors(self.path):
            for packet in self._frames.flush():
                self.put(packet)
            if self._copy is not None:
                self._copy.until(None if whole else self._last_s, output)
            self._output = None
            output.close()
        if self._copy is not None:
            self._copy.say()
        if self._refused:
            log.warning("%s: the container refused %d packets", self.path, self._refused)
        if self._unchanged is not None:
            self._unchanged()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        output = self._output
        self._output = None
        if output is not None:
            with contextlib.suppress(FFmpegError, OSError):  # the file is removed anyway
                output.close()
        self._copy = None
        with contextlib.suppress(OSError):  # the disk failed: that error is raised already
            self._stack.close()
