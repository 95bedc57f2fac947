"""Makes the video on which a benchmark runs where the user gives none."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from streamsr.color import ColorTags
from streamsr.frame import Frame, StreamInfo
from streamsr.sinks.file import FileSink

FPS = 30


def make_clip(path: Path, seconds: int = 4, size: tuple[int, int] = (640, 360)) -> None:
    """Encode a video in which every pixel changes: noise with a natural spectrum slides under a
    moving disc.

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
    tags = ColorTags().resolved(width, height)
    info = StreamInfo(width, height, Fraction(1, FPS), rate=Fraction(FPS), color=tags)
    with FileSink(path, info, size, preset="ultrafast") as sink:
        for i in range(seconds * FPS):
            picture = np.ascontiguousarray(background[i : i + height, 2 * i : 2 * i + width])
            cv2.circle(picture, (i * 5 % width, height // 2), 40, (230, 180, 40), -1, cv2.LINE_AA)
            sink.write(Frame(picture, i, info.time_base, 1, i))
        sink.commit()
