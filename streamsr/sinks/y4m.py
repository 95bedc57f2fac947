"""Writes YUV4MPEG2 into a pipe, for another program to read."""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from streamsr.errors import SinkError, reason_of
from streamsr.frame import Frame
from streamsr.media.y4m import Y4mFormat
from streamsr.picture.yuv import Converter, Plane
from streamsr.sinks import check_size, outside
from streamsr.stats import Recorder, Stage


class Y4mSink:
    """Writes frames into a binary stream, which the caller closes. See `streamsr.sinks.Sink` for
    the contract.

    format  8-bit YUV of the frames' size; ValueError for another one

    Each frame is flushed, so that the reader has it while the next one is computed. The stream may
    be unbuffered. BrokenPipeError is passed on: the reader wants no more, which is not a failure.
    """

    def __init__(
        self, stream: BinaryIO, format: Y4mFormat, *, record: Recorder | None = None
    ) -> None:
        if format.depth != 8 or format.chroma in ("rgb", "bgr"):
            raise ValueError(f"expected 8-bit YUV, got {format}")
        self._stream = stream
        self._format = format
        self._record = record or Recorder()
        self._converter = Converter(format.tags, centered=format.centered)
        self._planes: list[Plane] = [np.empty(shape, np.uint8) for shape in format.shapes]
        if format.chroma == "mono":  # the converter fills chroma too, which is not written
            self._planes += [np.empty(format.shapes[0], np.uint8) for _ in range(2)]
        self._written = len(format.shapes)
        self._taking = False

    def __enter__(self) -> Self:
        if not self._taking:
            self._put(f"{self._format}\n".encode())
            self._flush()
            self._taking = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._taking = False

    def write(self, frame: Frame) -> None:
        if not self._taking:
            raise outside("write()")
        check_size(frame, (self._format.width, self._format.height))
        y, u, v = self._planes
        with self._record.stage(Stage.CONVERT):
            self._converter.from_rgb(frame.rgb, (y, u, v))
        with self._record.stage(Stage.WRITE):
            self._put(b"FRAME\n")
            for plane in self._planes[: self._written]:
                self._put(plane.data.cast("B"))
            self._flush()

    def _put(self, content: bytes | memoryview) -> None:
        """Write all of these bytes: a raw stream may take fewer, and none where it does not
        block."""
        at = 0
        with _errors():
            while at < len(content):
                taken: int | None = self._stream.write(content[at:])
                if taken is None:
                    select.select([], [self._stream], [])
                at += taken or 0

    def _flush(self) -> None:
        with _errors():
            self._stream.flush()

    def commit(self) -> None:
        if not self._taking:
            raise outside("commit()")
        self._flush()
        self._taking = False


@contextmanager
def _errors() -> Iterator[None]:
    """Within it what the system says of the stream is a SinkError, unless nobody reads any more."""
    try:
        yield
    except (BrokenPipeError, ConnectionResetError):
        raise
    except OSError as error:
        raise SinkError(f"standard output: {reason_of(error)}") from error
