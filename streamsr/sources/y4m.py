"""YUV4MPEG2 and raw video from a pipe. Format: the yuv4mpeg(5) manual of mjpegtools, and FFmpeg's
yuv4mpegdec.c."""

import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from streamsr.errors import SourceError, reason_of
from streamsr.frame import Frame, Image, StreamInfo
from streamsr.media.y4m import Y4mFormat
from streamsr.picture.buffers import BufferPool
from streamsr.picture.yuv import Converter, Plane
from streamsr.sources.byte_stream import ByteStream, Stopped
from streamsr.stats import Recorder, Stage

LONGEST_LINE = 1024

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]


class Y4mSource:
    """Frames from a binary stream, which stays the caller's. See `streamsr.sources.Source` for the
    contract.

    format  of raw video; without it the stream begins with its YUV4MPEG2 header

    Stoppable, whatever the sender does, where the stream is one of the system's: see `ByteStream`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        format: Y4mFormat | None = None,
        live: bool = False,
        record: Recorder | None = None,
    ) -> None:
        self._stream, self._raw = ByteStream(stream), format is not None
        self._format, self._live = format, live
        self._record = record or Recorder()
        self._pool = BufferPool()

    @property
    def format(self) -> Y4mFormat:
        """Once entered."""
        assert self._format is not None
        return self._format

    def stop(self) -> None:
        self._stream.stop()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the header; False when it has not come in time. Raises SourceError when none
        will come."""
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
        f = self.format
        name = {"mono": "gray", "rgb": "rgb24", "bgr": "bgr24"}.get(f.chroma, f"yuv{f.chroma}p")
        self.info = StreamInfo(
            f.width,
            f.height,
            1 / f.rate,
            rate=f.rate,
            sar=f.sar,
            color=f.tags,
            pixel_format=name,
            live=self._live,
        )
        self._converter = Converter(f.tags, depth=f.depth, centred=f.centred)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        content = np.empty(self.format.frame_bytes, np.uint8)  # of one frame after the other
        index = 0
        while self._fill(content):
            with self._record.stage(Stage.CONVERT):
                rgb = self._pool.take((self.format.height, self.format.width, 3))
                self._read(content, rgb)
            yield Frame(rgb, index, self.info.time_base, 1, index, time.monotonic())
            index += 1

    def _fill(self, content: Bytes) -> bool:
        """Read the bytes of the next frame; False at the end."""
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
        except (OSError, EOFError) as error:  # the latter from gzip and its like
            raise SourceError(f"standard input: {reason_of(error)}") from error
        if count == len(content):
            return True
        if self._raw and not count:
            return False
        raise SourceError("standard input: ends in the middle of a frame")

    def _line(self, end_s: float = math.inf) -> str | None:
        try:
            line = self._stream.line(LONGEST_LINE, end_s=end_s)
        except TimeoutError:
            raise
        except (OSError, EOFError) as error:  # the latter from gzip and its like
            raise SourceError(f"standard input: {reason_of(error)}") from error
        if line and not line.endswith(b"\n"):
            raise SourceError("standard input: not YUV4MPEG2")
        return line[:-1].decode("ascii", "replace") if line else None

    def _read(self, content: Bytes, rgb: Image) -> None:
        f = self.format
        planes: list[Plane] = []
        at = 0
        for rows, columns in f.shapes:
            plane: Plane = np.frombuffer(content, f.dtype, rows * columns, at).reshape(
                rows, columns
            )  # type: ignore[assignment]  # of either type
            planes.append(plane)
            at += rows * columns * f.dtype.itemsize
        if f.chroma in ("rgb", "bgr"):
            pixels = planes[0].reshape(rgb.shape)
            rgb[:] = pixels if f.chroma == "rgb" else pixels[..., ::-1]
            return
        if f.chroma == "mono":
            planes += [np.full(planes[0].shape, 1 << (f.depth - 1), f.dtype)] * 2
        self._converter.to_rgb((planes[0], planes[1], planes[2]), rgb)
