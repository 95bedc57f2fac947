"""Makes the video on which a benchmark runs where the user gives none."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from streamsr.color import ColorTags
from streamsr.frame import Frame, Image, StreamInfo
from streamsr.sinks.file import FileSink

FPS = 30


def make_clip(path: Path, seconds: int = 4, size: tuple[int, int] = (640, 360)) -> None:
    """Encode a video of `slide`."""
    width, height = size
    tags = ColorTags().resolved(width, height)
    info = StreamInfo(width, height, Fraction(1, FPS), rate=Fraction(FPS), color=tags)
    with FileSink(path, info, size, preset="ultrafast") as sink:
        for i, picture in enumerate(slide(seconds * FPS, size)):
            sink.write(Frame(picture, i, info.time_base, 1, i))
        sink.commit()


def slide(frames: int, size: tuple[int, int]) -> Iterator[Image]:
    """Pictures in which every pixel changes: noise with a natural spectrum slides under a moving
    disc.

    A test pattern stands still in most parts, which makes decoding and encoding too cheap.
    """
    rng = np.random.default_rng(0)
    width, height = size
    noise = np.zeros((height * 2, width * 2, 3), np.float32)
    for octave in range(1, 7):
        shape = (height * 2 >> 6 - octave, width * 2 >> 6 - octave, 3)
        coarse = rng.normal(0, 2.0 ** (6 - octave), shape).astype(np.float32)
        noise += cv2.resize(coarse, (width * 2, height * 2), interpolation=cv2.INTER_CUBIC)
    background = np.clip(noise + 128, 0, 255).astype(np.uint8)
    for i in range(frames):
        picture = np.ascontiguousarray(background[i : i + height, 2 * i : 2 * i + width])
        cv2.circle(picture, (i * 5 % width, height // 2), 40, (230, 180, 40), -1, cv2.LINE_AA)
        yield picture
