"""What travels down the line: pictures with their time, and what is known about the stream they
come from."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from streamsr.color import ColorTags

Image = NDArray[np.uint8]
"""RGB picture [H, W, 3] uint8."""

CHROMATICITY, LUMINANCE = 50_000, 10_000
"""Units of SMPTE ST 2086 in H.265 annex D.3.28: parts of 1, parts of a candela per square metre."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and its place in time. Nobody writes to ``rgb`` once the frame is made.

    rgb        [H, W, 3] uint8
    pts        presentation time in ticks of ``time_base`` (seconds per tick), exact, as the
               container had it
    duration   in ticks, 0 when the container did not say
    index      position among the frames of its source, from 0
    arrival_s  ``time.monotonic()`` when the frame was captured or decoded
    deep       the same picture [H, W, 3] uint16 over the full range, where the film has more than 8
               bits
    alpha      its opacity [H, W], over the full range of its type, where the film has one
    lr         of an upscaled live frame, the picture it was made from
    """

    rgb: Image
    pts: int
    time_base: Fraction
    duration: int = 0
    index: int = 0
    arrival_s: float = 0.0
    deep: NDArray[np.uint16] | None = None
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    lr: Image | None = None

    @property
    def time_s(self) -> float:
        return float(self.pts * self.time_base)


@dataclass(frozen=True, slots=True)
class HdrMetadata:
    """Static metadata (HDR10), None where the film has none.

    mastering  ten numbers: x, y of red, green, blue and white in 1/50000, lowest and highest
               luminance in 1/10000 candela per square metre
    light      greatest content and frame-average light level, candela per square metre
    dynamic    names of the per-scene kinds that it has besides, which belong to its own pixels and
               are not carried
    """

    mastering: tuple[int, ...] | None = None
    light: tuple[int, int] | None = None
    dynamic: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a source knows before its first frame.

    rate            frames per second as the container declares it, None when it does not
    sar             sample (pixel) aspect ratio, width : height
    display_matrix  nine 16.16/2.30 fixed point numbers of the rotation side data, None when there
                    is none
    hdr             mastering display and light levels, as far as the film has them
    frames          how many frames to expect, None when unknown; only for progress
    pixel_format    the decoder's format in FFmpeg's naming, such as ``yuv420p``
    lossy           the pictures went through a lossy codec on their way here, or through a camera
    """

    width: int
    height: int
    time_base: Fraction
    rate: Fraction | None = None
    sar: Fraction = Fraction(1)
    color: ColorTags = field(default_factory=ColorTags)
    pixel_format: str = "yuv420p"
    display_matrix: tuple[int, ...] | None = None
    hdr: HdrMetadata = field(default_factory=HdrMetadata)
    frames: int | None = None
    live: bool = False
    lossy: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a film on the file's own clock, in seconds.

    begin, end  first time inside and first time behind; None for open
    seek        where decoding starts, a key frame some way before ``begin``; None for the file's
                start
    """

    begin: Fraction | None = None
    end: Fraction | None = None
    seek: Fraction | None = None
