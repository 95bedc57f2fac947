"""Parses and writes YUV4MPEG2 headers, and describes the layout of raw video frames.

Format: the yuv4mpeg(5) manual of mjpegtools, and FFmpeg's yuv4mpegdec.c.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from streamsr.color import FULL, LIMITED, ColorTags
from streamsr.errors import quoted
from streamsr.options import MAX_PIXELS

MAX_TERM = (1 << 31) - 1
"""Largest numerator or denominator: FFmpeg, which writes and reads most of these streams, has 32
bits for each."""

MAX_RATE = 1_000_000
"""Frames per second, above that of the fastest cameras. A file without a rate may claim its
clock's."""

_RAW = re.compile(r"yuvj?(420|422|444)p(?:(9|10|12|14|16)(?:le)?)?|(gray|rgb24|bgr24)")


@dataclass(frozen=True, slots=True)
class Y4mFormat:
    """The layout of a frame's bytes: plane after plane, samples above 8 bits little-endian.

    rate     frames per second
    sar      sample (pixel) aspect ratio, width : height
    chroma   ``420``, ``422``, ``444``, ``mono``; ``rgb`` or ``bgr`` for raw packed pixels
    siting   position of chroma samples in the header's tag, such as ``mpeg2`` in ``C420mpeg2``
    depth    bits of a sample
    full     full range; None when the header does not say
    fields   the header's tag: ``p`` progressive, ``t`` or ``b`` interlaced with the top or the
             bottom field first, ``m`` mixed, ``?`` unknown
    """

    width: int
    height: int
    rate: Fraction
    sar: Fraction = Fraction(1)
    chroma: str = "420"
    siting: str = ""
    depth: int = 8
    full: bool | None = None
    fields: str = "p"

    @classmethod
    def parse(cls, line: str) -> "Y4mFormat":
        """Parse a header line. Raises ValueError that says what is wrong with it."""
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
        match = re.fullmatch(
            r"(420|422|444|mono)(jpeg|mpeg2|paldv)?(?:p?(9|10|12|14|16))?",
            values.get("C", "420jpeg"),
        )
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
            fields if (fields := values.get("I", "p")) in ("p", "t", "b", "m") else "?",
        )._checked()

    @classmethod
    def raw(cls, size: tuple[int, int], pixel_format: str, rate: Fraction) -> "Y4mFormat":
        """The layout of raw video in FFmpeg's ``pixel_format``. Raises ValueError for one that is
        not supported."""
        match = _RAW.fullmatch(pixel_format)
        if match is None:
            raise ValueError(
                f"expected a format such as yuv420p, yuv422p10le, gray, rgb24 or bgr24, got "
                f"{quoted(pixel_format)}"
            )
        chroma = match[1] or {"gray": "mono", "rgb24": "rgb", "bgr24": "bgr"}[match[3]]
        full = True if pixel_format.startswith("yuvj") else None
        return cls(
            *size,
            rate,
            chroma=chroma,
            siting="mpeg2" if chroma == "420" else "",
            depth=int(match[2] or 8),
            full=full,
        )._checked()

    def _checked(self) -> "Y4mFormat":
        """Itself. Raises ValueError for a size, a rate or a ratio that cannot be handled."""
        if min(self.width, self.height) < 1 or self.width * self.height > MAX_PIXELS:
            size = f"{quoted(self.width)}x{quoted(self.height)}"
            raise ValueError(
                f"a picture of {size} is outside what can be handled ({MAX_PIXELS} pixels)"
            )
        for name, ratio in (("rate", self.rate), ("pixel shape", self.sar)):
            if not 0 < ratio.numerator <= MAX_TERM or ratio.denominator > MAX_TERM:
                raise ValueError(f"a {name} of {quoted(ratio)} is outside what can be handled")
        if self.rate > MAX_RATE:
            raise ValueError(
                f"a rate of {quoted(self.rate)} is outside what can be handled ({MAX_RATE} a "
                f"second)"
            )
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
    def pixel_format(self) -> str:
        """FFmpeg's name for it."""
        deep = "" if self.depth == 8 else f"{self.depth}le"
        packed = {"mono": f"gray{deep}", "rgb": "rgb24", "bgr": "bgr24"}
        return packed.get(self.chroma, f"yuv{self.chroma}p{deep}")

    @property
    def dtype(self) -> "np.dtype[np.uint8] | np.dtype[np.uint16]":
        """Of a sample."""
        return np.dtype(np.uint8) if self.depth == 8 else np.dtype("<u2")

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return sum(rows * columns for rows, columns in self.shapes) * self.dtype.itemsize

    @property
    def centered(self) -> bool:
        """Whether chroma samples lie between the luma samples, as those of plain 4:2:0 do."""
        return self.chroma == "420" and self.siting in ("", "jpeg")

    @property
    def tags(self) -> ColorTags:
        """The colour tags. The format has no matrix: it is what a player would guess by the
        size."""
        level = {True: FULL, False: LIMITED, None: 0}[self.full]
        return ColorTags(range=level).resolved(self.width, self.height)

    def __str__(self) -> str:
        """The header line."""
        range_ = "" if self.full is None else f" XCOLORRANGE={'FULL' if self.full else 'LIMITED'}"
        depth = "" if self.depth == 8 else ("p" if self.chroma != "mono" else "") + str(self.depth)
        rate, sar = self.rate, self.sar
        return (
            f"YUV4MPEG2 W{self.width} H{self.height} F{rate.numerator}:{rate.denominator} "
            f"I{self.fields} A{sar.numerator}:{sar.denominator} "
            f"C{self.chroma}{self.siting}{depth}{range_}"
        )


def output_format(
    source: Y4mFormat, size: tuple[int, int], *, fields: str | None = None
) -> Y4mFormat:
    """The layout for upscaled frames of ``source``: 8 bits, with its chroma resolution, siting,
    range and matrix; ``fields`` where they are no longer its own.

    The format cannot name a matrix, so the input's is kept: the next program knows it, if it knew
    the input's.
    """
    chroma = "444" if source.chroma in ("rgb", "bgr") else source.chroma
    return replace(
        source,
        width=size[0],
        height=size[1],
        chroma=chroma,
        depth=8,
        fields=fields or source.fields,
    )


def _ratio(text: str) -> Fraction:
    """A ratio such as ``30000:1001``; 0 where the denominator is 0. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,10}):([0-9]{1,10})", text)
    if match is None:
        raise ValueError(f"{quoted(text)} is not a ratio")
    return Fraction(int(match[1]), int(match[2])) if int(match[2]) else Fraction(0)
