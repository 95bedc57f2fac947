"""YUV4MPEG2 and raw video from a pipe. Format: the yuv4mpeg(5) manual of mjpegtools, and FFmpeg's yuv4mpegdec.c."""

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
from streamsr.errors import SourceError
from streamsr.frame import Frame, StreamInfo
from streamsr.sources.media import MAX_PIXELS
from streamsr.stats import Recorder

LONGEST_LINE = 1024
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
        try:
            width, height = int(values["W"]), int(values["H"])
        except (KeyError, ValueError):
            raise ValueError("its header gives no width and height") from None
        if width < 1 or height < 1 or width * height > MAX_PIXELS:
            raise ValueError(f"a picture of {width}x{height} is outside what can be handled")
        match = re.fullmatch(r"(420|422|444|mono)(jpeg|mpeg2|paldv)?(?:p?(9|10|12|14|16))?", values.get("C", "420jpeg"))
        if match is None:
            raise ValueError(f"its pixel format C{values['C']} is not supported")
        rate = _ratio(values.get("F", "25:1"))
        if rate <= 0:
            raise ValueError(f"its rate F{values['F']} is none")
        sar = _ratio(values.get("A", "1:1"))
        return cls(
            width, height, rate, sar if sar > 0 else Fraction(1), match[1], match[2] or "", int(match[3] or 8), full
        )

    @classmethod
    def raw(cls, size: tuple[int, int], pixel_format: str, rate: Fraction) -> "Y4mFormat":
        """Of raw video with FFmpeg's name of its format. Raises ValueError for one that is not supported."""
        match = _RAW.fullmatch(pixel_format)
        if match is None:
            raise ValueError(
                f"expected a format such as yuv420p, yuv422p10le, gray, rgb24 or bgr24, got {pixel_format!r}"
            )
        chroma = match[1] or {"gray": "mono", "rgb24": "rgb", "bgr24": "bgr"}[match[3]]
        full = True if pixel_format.startswith("yuvj") else None
        return cls(
            *size, rate, chroma=chroma, siting="mpeg2" if chroma == "420" else "", depth=int(match[2] or 8), full=full
        )

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
    """

    def __init__(
        self, stream: BinaryIO, *, format: Y4mFormat | None = None, live: bool = False, record: Recorder | None = None
    ) -> None:
        self._stream, self._raw = stream, format is not None
        self._format, self._live = format, live
        self._record = record or Recorder()
        self._pool = BufferPool()

    @property
    def format(self) -> Y4mFormat:
        """Once entered."""
        assert self._format is not None
        return self._format

    def __enter__(self) -> Self:
        if self._format is None:
            line = self._line()
            if line is None:
                raise SourceError("standard input: is empty")
            try:
                self._format = Y4mFormat.parse(line)
            except ValueError as error:
                raise SourceError(f"standard input: {error}") from None
        f = self._format
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
        index = 0
        while (content := self._content()) is not None:
            with self._record.stage("convert"):
                rgb = self._pool.take((self.format.height, self.format.width, 3))
                self._read(content, rgb)
            yield Frame(rgb, index, self.info.time_base, 1, index, time.monotonic())
            index += 1

    def _content(self) -> bytes | None:
        """The bytes of the next frame, None at the end."""
        if not self._raw:
            line = self._line()
            if line is None:
                return None
            if line.split(" ")[0] != "FRAME":
                raise SourceError(f"standard input: expected a frame, got {line[:20]!r}")
        content = self._stream.read(self.format.frame_bytes)
        if len(content) == self.format.frame_bytes:
            return content
        if self._raw and not content:
            return None
        raise SourceError("standard input: ends in the middle of a frame")

    def _line(self) -> str | None:
        line = self._stream.readline(LONGEST_LINE)
        if line and not line.endswith(b"\n"):
            raise SourceError("standard input: not YUV4MPEG2")
        return line[:-1].decode("ascii", "replace") if line else None

    def _read(self, content: bytes, rgb: "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]") -> None:
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
    match = re.fullmatch(r"(\d{1,10}):(\d{1,10})", text)
    if match is None:
        raise ValueError(f"{text!r} is not a ratio")
    return Fraction(int(match[1]), int(match[2])) if int(match[2]) else Fraction(0)
