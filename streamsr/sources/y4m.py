"""YUV4MPEG2 and raw video from a pipe. Format: the yuv4mpeg(5) manual of mjpegtools, and FFmpeg's yuv4mpegdec.c."""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from streamsr.buffers import BufferPool
from streamsr.color import FULL, LIMITED, ColorTags
from streamsr.convert import Converter, Plane
from streamsr.errors import SourceError, quoted
from streamsr.frame import Frame, Image, StreamInfo
from streamsr.sources.byte_stream import ByteStream, Stopped
from streamsr.sources.media import MAX_PIXELS
from streamsr.stats import Recorder

LONGEST_LINE = 1024

MAX_TERM = (1 << 31) - 1
"""Of a ratio above or below the line: FFmpeg, which writes and reads most of these streams, keeps both in 32 bits."""

MAX_RATE = 1_000_000
"""Frames a second. The fastest cameras stay below; files without a rate of their own may claim their clock's."""

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

_RAW = re.compile(r"yuvj?(420|422|444)p(?:(9|10|12|14|16)(?:le)?)?|(gray|rgb24|bgr24)")


@dataclass(frozen=True, slots=True)
class Y4mFormat:
    """How the bytes of a frame are laid out: planes one after the other, samples above 8 bits little-endian.

    chroma   ``420``, ``422``, ``444``, ``mono``; ``rgb`` or ``bgr`` for raw packed pixels
    siting   of the chroma tag, such as ``mpeg2`` in ``C420mpeg2``
    full     full range; None when the header does not say
    """

    width: int
    height: int
    rate: Fraction
    sar: Fraction = Fraction(1)
    chroma: str = "420"
    siting: str = ""
    depth: int = 8
    full: bool | None = None

    @classmethod
    def parse(cls, line: str) -> "Y4mFormat":
        """From the header line. Raises ValueError saying what is wrong with it."""
        words = line.split(" ")
        if words[0] != "YUV4MPEG2":
            raise ValueError("not YUV4MPEG2")
        values: dict[str, str] = {}
        full = None
        for word in words[1:]:
            if word.startswith("XCOLORRANGE="):
                full = word.endswith("=FULL")
            elif word and word[0] != "X":
                values[word[0]] = word[1:]
        sides = [re.fullmatch(r"[0-9]{1,10}", values.get(side, "")) for side in "WH"]
        if None in sides:
            raise ValueError("its header gives no width and height to work with")
        match = re.fullmatch(r"(420|422|444|mono)(jpeg|mpeg2|paldv)?(?:p?(9|10|12|14|16))?", values.get("C", "420jpeg"))
        if match is None:
            raise ValueError(f"its pixel format {quoted('C' + values['C'])} is not supported")
        width, height = (int(side[0]) for side in sides if side is not None)
        sar = _ratio(values.get("A", "1:1"))
        return cls(
            width,
            height,
            _ratio(values.get("F", "25:1")),
            sar if sar > 0 else Fraction(1),
            match[1],
            match[2] or "",
            int(match[3] or 8),
            full,
        )._checked()

    @classmethod
    def raw(cls, size: tuple[int, int], pixel_format: str, rate: Fraction) -> "Y4mFormat":
        """Of raw video with FFmpeg's name of its format. Raises ValueError for what is not supported."""
        match = _RAW.fullmatch(pixel_format)
        if match is None:
            raise ValueError(
                f"expected a format such as yuv420p, yuv422p10le, gray, rgb24 or bgr24, got {quoted(pixel_format)}"
            )
        chroma = match[1] or {"gray": "mono", "rgb24": "rgb", "bgr24": "bgr"}[match[3]]
        full = True if pixel_format.startswith("yuvj") else None
        return cls(
            *size, rate, chroma=chroma, siting="mpeg2" if chroma == "420" else "", depth=int(match[2] or 8), full=full
        )._checked()

    def _checked(self) -> "Y4mFormat":
        """Itself, unless a number that came from outside is none to work with: then ValueError."""
        if min(self.width, self.height) < 1 or self.width * self.height > MAX_PIXELS:
            size = f"{quoted(self.width)}x{quoted(self.height)}"
            raise ValueError(f"a picture of {size} is outside what can be handled ({MAX_PIXELS} pixels)")
        for name, ratio in (("rate", self.rate), ("pixel shape", self.sar)):
            if not 0 < ratio.numerator <= MAX_TERM or ratio.denominator > MAX_TERM:
                raise ValueError(f"a {name} of {quoted(ratio)} is outside what can be handled")
        if self.rate > MAX_RATE:
            raise ValueError(f"a rate of {quoted(self.rate)} is outside what can be handled ({MAX_RATE} a second)")
        return self

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(rows, columns) of each plane."""
        if self.chroma in ("rgb", "bgr"):
            return [(self.height, 3 * self.width)]
        if self.chroma == "mono":
            return [(self.height, self.width)]
        columns = self.width if self.chroma == "444" else -(-self.width // 2)
        rows = -(-self.height // 2) if self.chroma == "420" else self.height
        return [(self.height, self.width), (rows, columns), (rows, columns)]

    @property
    def dtype(self) -> "np.dtype[np.uint8] | np.dtype[np.uint16]":
        return np.dtype(np.uint8) if self.depth == 8 else np.dtype("<u2")

    @property
    def frame_bytes(self) -> int:
        return sum(rows * columns for rows, columns in self.shapes) * self.dtype.itemsize

    @property
    def centred(self) -> bool:
        """Chroma lies between the luma samples: plain 4:2:0 does by definition."""
        return self.chroma == "420" and self.siting in ("", "jpeg")

    @property
    def tags(self) -> ColorTags:
        """The format has no matrix, so it is what a player would take for this size."""
        level = {True: FULL, False: LIMITED, None: 0}[self.full]
        return ColorTags(range=level).resolved(self.width, self.height)

    def __str__(self) -> str:
        """The header line."""
        range_ = "" if self.full is None else f" XCOLORRANGE={'FULL' if self.full else 'LIMITED'}"
        depth = "" if self.depth == 8 else ("p" if self.chroma != "mono" else "") + str(self.depth)
        rate, sar = self.rate, self.sar
        return (
            f"YUV4MPEG2 W{self.width} H{self.height} F{rate.numerator}:{rate.denominator} Ip "
            f"A{sar.numerator}:{sar.denominator} C{self.chroma}{self.siting}{depth}{range_}"
        )


class Y4mSource:
    """Frames from a binary stream, which stays the caller's. See `streamsr.sources.Source` for the contract.

    format  of raw video; without it the stream begins with its YUV4MPEG2 header

    Stoppable, whatever the sender does, where the stream is one of the system's: see `ByteStream`.
    """

    def __init__(
        self, stream: BinaryIO, *, format: Y4mFormat | None = None, live: bool = False, record: Recorder | None = None
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
        """Wait for the header; False when it has not come in time. Raises SourceError when none will come."""
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
            f.width, f.height, 1 / f.rate, rate=f.rate, sar=f.sar, color=f.tags, pixel_format=name, live=self._live
        )
        self._converter = Converter(f.tags, depth=f.depth, centred=f.centred)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        content = np.empty(self.format.frame_bytes, np.uint8)  # of one frame after the other
        index = 0
        while self._fill(content):
            with self._record.stage("convert"):
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
            raise SourceError(f"standard input: {getattr(error, 'strerror', None) or error}") from error
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
            raise SourceError(f"standard input: {getattr(error, 'strerror', None) or error}") from error
        if line and not line.endswith(b"\n"):
            raise SourceError("standard input: not YUV4MPEG2")
        return line[:-1].decode("ascii", "replace") if line else None

    def _read(self, content: Bytes, rgb: Image) -> None:
        f = self.format
        planes: list[Plane] = []
        at = 0
        for rows, columns in f.shapes:
            plane: Plane = np.frombuffer(content, f.dtype, rows * columns, at).reshape(rows, columns)  # type: ignore[assignment]  # of either type
            planes.append(plane)
            at += rows * columns * f.dtype.itemsize
        if f.chroma in ("rgb", "bgr"):
            pixels = planes[0].reshape(rgb.shape)
            rgb[:] = pixels if f.chroma == "rgb" else pixels[..., ::-1]
            return
        if f.chroma == "mono":
            planes += [np.full(planes[0].shape, 1 << (f.depth - 1), f.dtype)] * 2
        self._converter.to_rgb((planes[0], planes[1], planes[2]), rgb)


def output_format(source: Y4mFormat, size: tuple[int, int]) -> Y4mFormat:
    """How upscaled frames of ``source`` are written: 8 bits, in its chroma resolution, siting, range and matrix.

    The format cannot name a matrix, so the colours keep the one they came in: whoever knows it for the input knows it
    for the output.
    """
    chroma = "444" if source.chroma in ("rgb", "bgr") else source.chroma
    return replace(source, width=size[0], height=size[1], chroma=chroma, depth=8)


def _ratio(text: str) -> Fraction:
    match = re.fullmatch(r"([0-9]{1,10}):([0-9]{1,10})", text)
    if match is None:
        raise ValueError(f"{quoted(text)} is not a ratio")
    return Fraction(int(match[1]), int(match[2])) if int(match[2]) else Fraction(0)
