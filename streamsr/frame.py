"""What travels down the line: pictures with their time, and what is known about the stream they come from."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from streamsr.color import ColorTags
from streamsr.engines import Image
from streamsr.hdr import HdrMetadata


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and its place in time. Nobody writes to ``rgb`` once the frame is made.

    rgb        [H, W, 3] uint8
    pts        presentation time in ticks of ``time_base`` (seconds per tick), exact, as the container had it
    duration   in ticks, 0 when the container did not say
    index      position among the frames of its source, from 0
    arrival_s  ``time.monotonic()`` when the frame was captured or decoded
    deep       the same picture [H, W, 3] uint16 over the full range, where the film has more than 8 bits
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
class StreamInfo:
    """What a source knows before its first frame.

    rate            frames per second as the container declares it, None when it does not
    sar             sample (pixel) aspect ratio, width : height
    display_matrix  nine 16.16/2.30 fixed point numbers of the rotation side data, None when there is none
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
