"""The basic types: a frame, what is known of its stream, HDR metadata, a span of a file."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from streamsr.color import ColorTags

Image = NDArray[np.uint8]
"""RGB picture [H, W, 3] uint8."""

CHROMATICITY, LUMINANCE = 50_000, 10_000
"""Units of SMPTE ST 2086 in H.265 annex D.3.28: 1/50000 in x and y, 1/10000 candela per square
metre."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture of another size or shape than its stream is shown in it: as large as it fits,
    in its own shape, on black.

    width, height  of the stream's pictures, as its info says
    stretch        how much wider the picture's pixels are than the stream's
    """

    width: int
    height: int
    stretch: Fraction = Fraction(1)

    def scaled(self, scale: int) -> "Fit":
        return Fit(self.width * scale, self.height * scale, self.stretch)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and its place in time. Nobody writes to ``rgb`` once the frame is made.

    rgb        [H, W, 3] uint8
    pts        presentation time in ticks of ``time_base`` (seconds per tick), exact, as the
               container had it
    duration   in ticks, 0 when the container did not say
    index      position among the frames of its source, from 0
    arrival_s  ``time.monotonic()`` when the frame was captured or decoded
    deep       the same picture [H, W, 3] uint16, 0 to 65535, where the video has more than 8 bits a
               sample
    alpha      its opacity [H, W] uint8 or uint16, over the full range of its type, where the video
               has an alpha plane
    lr         of an upscaled live frame, the picture before upscaling
    fit        of a picture whose size or shape is not its stream's, how it is shown there; None for
               all others, and for upscaled ones
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
    fit: Fit | None = None

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True, slots=True)
class HdrMetadata:
    """Static HDR10 metadata of a video.

    mastering  of the mastering display: x, y of red, green, blue and white in 1/CHROMATICITY, then
               the lowest and the highest luminance in 1/LUMINANCE candela per square metre; None
               where the video has none
    light      maximum content and maximum frame-average light level (MaxCLL, MaxFALL), candela per
               square metre; None where the video has none
    dynamic    names of its dynamic metadata, such as ``HDR10+``: these describe the input's own
               pixels and are not carried over
    """

    mastering: tuple[int, ...] | None = None
    light: tuple[int, int] | None = None
    dynamic: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coded:
    """How a codec has compressed pictures, as far as that can be seen.

    codec      FFmpeg's name, such as ``h264``
    lossy      it is a lossy one, though perhaps without loss at this quantiser
    quantiser  mean of the key frames that were looked at, on the codec's own scale; None where the
               decoder does not tell
    bits       of a key frame for each pixel; None where unknown
    sharpness, detail  see `streamsr.picture.sharpness`; None where nothing is to be seen
    """

    codec: str
    lossy: bool = True
    quantiser: float | None = None
    bits: float | None = None
    sharpness: float | None = None
    detail: float | None = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What is known of a stream before its first frame.

    width, height   of the frames, in pixels
    time_base       seconds per tick of the frames' ``pts``
    rate            frames per second as the container declares it, None when it does not
    sar             sample (pixel) aspect ratio, width : height
    pixel_format    the decoder's format in FFmpeg's naming, such as ``yuv420p``
    display_matrix  nine 16.16 and 2.30 fixed point numbers of the rotation side data, None when
                    there is none
    frames          how many frames to expect, None when unknown; for progress only
    live            frames come in real time and cannot be waited for
    lossy           the pictures went through a lossy codec or a camera before
    coded           how the codec has compressed them; None where nothing is known but ``lossy``
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
    coded: Coded | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a video, in seconds on the file's own clock.

    begin, end  frames with begin <= time < end belong to it; None for no limit
    seek        time of a key frame before ``begin`` where decoding starts; None for the start of
                the file
    """

    begin: Fraction | None = None
    end: Fraction | None = None
    seek: Fraction | None = None
