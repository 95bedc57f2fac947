"""Reads YUV4MPEG2 and raw video from a pipe.

Format: the yuv4mpeg(5) manual of mjpegtools, and FFmpeg's yuv4mpegdec.c.
"""

import logging
import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from streamsr.errors import SourceError, reason_of
from streamsr.frame import Frame, Image, StreamInfo
from streamsr.media.y4m import Y4mFormat
from streamsr.options import INTERLACED
from streamsr.picture.buffers import BufferPool
from streamsr.picture.yuv import Converter, Plane
from streamsr.sources.byte_stream import ByteStream, Stopped
from streamsr.stats import Recorder, Stage

LONGEST_LINE = 1024
"""Bytes of a header line; a longer one is not YUV4MPEG2."""

FIELDS = {"t": "force-tff", "b": "force-bff"}
"""By the header's tag, the word of `streamsr.options.INTERLACED` that says it of every frame."""

log = logging.getLogger("streamsr")

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]


class Y4mSource:
    """Reads frames from a binary stream, which the caller closes. See `streamsr.sources.Source` for
    the contract.

    format      of raw video; without it the stream begins with its YUV4MPEG2 header
    live        the sender writes in real time
    interlaced  what to do with interlaced frames, one of `streamsr.options.INTERLACED`

    `stop` works also while the sender pauses where the stream is a pipe, a socket or a file: see
    `ByteStream`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        format: Y4mFormat | None = None,
        live: bool = False,
        interlaced: str = INTERLACED[0],
        record: Recorder | None = None,
    ) -> None:
        self._stream = ByteStream(stream)
        self._raw = format is not None
        self._format = format
        self._live = live
        self._interlaced = interlaced
        self._record = record or Recorder()
        self._pool = BufferPool()

    @property
    def format(self) -> Y4mFormat:
        """The layout of the frames, once entered."""
        assert self._format is not None
        return self._format

    @property
    def fields(self) -> str:
        """The interlacing of the frames given, in YUV4MPEG2's letters, once entered."""
        return "p" if self._forced else self.format.fields

    def stop(self) -> None:
        self._stream.stop()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the header. Returns False at the timeout. Raises SourceError for a stream
        without one."""
        if self._format is None:
            end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
            try:
                line = self._line(end_s)
            except TimeoutError:
                return False
            except Stopped:
                raise SourceError("standard input: stopped before its header came") from None
            if line is None:
                raise SourceError("standard input: is empty")
            try:
                self._format = Y4mFormat.parse(line)
            except ValueError as error:
                raise SourceError(f"standard input: {error}") from None
        return True

    def __enter__(self) -> Self:
        self.wait()
        layout = self.format
        if self._interlaced == "error" and layout.fields in FIELDS:
            raise SourceError("standard input: is interlaced")
        if self._interlaced == "deinterlace" and layout.fields == "m":
            log.warning("standard input: is interlaced in part, and kept as it is")
        self.info = StreamInfo(
            layout.width,
            layout.height,
            1 / layout.rate,
            rate=layout.rate,
            sar=layout.sar,
            color=layout.tags,
            pixel_format=layout.pixel_format,
            live=self._live,
        )
        self._converter = Converter(layout.tags, depth=layout.depth, centered=layout.centered)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.stop()

    def __iter__(self) -> Iterator[Frame]:
        for index, content in enumerate(self._progressive() if self._forced else self._contents()):
            with self._record.stage(Stage.CONVERT):
                rgb = self._pool.take((self.format.height, self.format.width, 3))
                self._read(content, rgb)
            rgb.flags.writeable = False
            yield Frame(rgb, index, self.info.time_base, 1, index, time.monotonic())

    @property
    def _forced(self) -> str | None:
        """The word for `streamsr.media.deinterlace` by which all frames are deinterlaced; None for
        none."""
        if self._interlaced == "deinterlace":
            return FIELDS.get(self.format.fields)
        return self._interlaced if self._interlaced in FIELDS.values() else None

    def _contents(self) -> Iterator[Bytes]:
        """The bytes of each frame, until the next one is asked for."""
        content = np.empty(self.format.frame_bytes, np.uint8)  # used for every frame
        while self._fill(content):
            yield content

    def _progressive(self) -> Iterator[Bytes]:
        """The same, deinterlaced."""
        # Here: FFmpeg is not needed otherwise.
        from streamsr.media.deinterlace import progressive
        from streamsr.media.y4m_frames import frame_of, read_frame

        assert self._forced is not None
        content = np.empty(self.format.frame_bytes, np.uint8)
        frames = (frame_of(raw, self.format, i) for i, raw in enumerate(self._contents()))
        for frame in progressive(frames, self._forced, name="standard input"):
            read_frame(frame, self.format, content)
            yield content

    def _fill(self, content: Bytes) -> bool:
        """Read the bytes of the next frame; False at the end."""
        if self._stream.stopped:  # what has come already is not shown either
            return False
        try:
            if not self._raw:
                line = self._line()
                if line is None:
                    return False
                if line.split(" ")[0] != "FRAME":
                    raise SourceError(f"standard input: expected a frame, got {line[:20]!r}")
            count = self._stream.fill(content.data)
        except Stopped:  # also in the middle of a frame
            return False
        except (OSError, EOFError) as error:  # the latter from gzip and the like
            raise SourceError(f"standard input: {reason_of(error)}") from error
        if count == len(content):
            return True
        if self._raw and not count:
            return False
        raise SourceError("standard input: ends in the middle of a frame")

    def _line(self, end_s: float = math.inf) -> str | None:
        """The next header line without its end, None at the end of the stream."""
        try:
            line = self._stream.line(LONGEST_LINE, end_s=end_s)
        except TimeoutError:
            raise
        except (OSError, EOFError) as error:  # the latter from gzip and the like
            raise SourceError(f"standard input: {reason_of(error)}") from error
        if line and not line.endswith(b"\n"):
            raise SourceError("standard input: not YUV4MPEG2")
        return line[:-1].decode("ascii", "replace") if line else None

    def _read(self, content: Bytes, rgb: Image) -> None:
        """Convert the bytes of a frame into ``rgb``."""
        layout = self.format
        planes: list[Plane] = []
        at = 0
        for rows, columns in layout.shapes:
            samples: Plane = np.frombuffer(content, layout.dtype, rows * columns, at)  # type: ignore[assignment]  # of either type
            planes.append(samples.reshape(rows, columns))
            at += samples.nbytes
        if layout.chroma in ("rgb", "bgr"):
            pixels = planes[0].reshape(rgb.shape)
            rgb[:] = pixels if layout.chroma == "rgb" else pixels[..., ::-1]
            return
        if layout.chroma == "mono":
            planes += [np.full(planes[0].shape, 1 << (layout.depth - 1), layout.dtype)] * 2
        self._converter.to_rgb((planes[0], planes[1], planes[2]), rgb)
