"""What travels down the line: pictures with their time, and what is known about the stream they come from."""

from dataclasses import dataclass, field
from fractions import Fraction

from streamsr.color import ColorTags
from streamsr.engines import Image


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and its place in time. Nobody writes to ``rgb`` once the frame is made.

    rgb        [H, W, 3] uint8
    pts        presentation time in ticks of ``time_base`` (seconds per tick), exact, as the container had it
    duration   in ticks, 0 when the container did not say
    index      position among the frames of its source, from 0
    arrival_s  ``time.monotonic()`` when the frame was captured or decoded
    lr         of an upscaled live frame, the picture it was made from
    """

    rgb: Image
    pts: int
    time_base: Fraction
    duration: int = 0
    index: int = 0
    arrival_s: float = 0.0
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
    frames          how many frames to expect, None when unknown; only for progress
    pixel_format    the decoder's format in FFmpeg's naming, such as ``yuv420p``
    """

    width: int
    height: int
    time_base: Fraction
    rate: Fraction | None = None
    sar: Fraction = Fraction(1)
    color: ColorTags = field(default_factory=ColorTags)
    pixel_format: str = "yuv420p"
    display_matrix: tuple[int, ...] | None = None
    frames: int | None = None
    live: bool = False
