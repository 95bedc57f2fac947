"""Measures what a job's parts take for a pixel on this machine now, in a tenth of a second each."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamsr.frame import Frame, Image, StreamInfo
from streamsr.machine import usable_cores
from streamsr.options import Encoding
from streamsr.sinks.file import FileSink
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

NETWORK_SIZE = 320, 180
"""Of the picture: larger ones take the same time for a pixel, smaller ones a little more."""

NETWORK_S, RUNS = 0.02, 5
"""The network runs until it has taken so long or so often, one run to get ready aside."""

ENCODED_SIZE, FRAMES = (480, 270), 24
"""Of what is encoded."""

FPS = 30


def network_s(upscaler: Upscaler) -> float:
    """Wall seconds for a pixel, the look included: the least of several runs, since other programs
    slow down the rest."""
    width, height = NETWORK_SIZE
    lr = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    alone = upscaler.for_size(None, record=Recorder())
    return least_s(lambda: alone(lr), within_s=NETWORK_S, runs=RUNS) / (width * height)


def least_s(work: Callable[[], object], *, within_s: float, runs: int) -> float:
    """The shortest of several runs in seconds, one to get ready aside: ``runs``, or as many as take
    ``within_s``."""
    work()
    seconds: list[float] = []
    while not seconds or (len(seconds) < runs and sum(seconds) < within_s):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def encoder_s(encoding: Encoding, pictures: Iterable[Image]) -> float:
    """Seconds for a pixel of the result, were all cores busy with it: a small picture keeps few.

    pictures  [H, W, 3] uint8, of one size. Raises SinkError.
    """
    coming = list(pictures)
    height, width = (int(side) for side in coming[0].shape[:2])
    info = StreamInfo(width, height, Fraction(1, FPS), rate=Fraction(FPS))
    with tempfile.TemporaryDirectory(prefix="streamsr-pace-") as folder:
        start = time.process_time()
        with FileSink(
            Path(folder) / "encoded.mkv", info, (width, height), encoding=encoding
        ) as sink:
            for i, picture in enumerate(coming):
                sink.write(Frame(picture, i, info.time_base, 1, i))
            sink.commit()
        seconds = time.process_time() - start
    return seconds / usable_cores() / (len(coming) * width * height)


def moving(frames: int = FRAMES, size: tuple[int, int] = ENCODED_SIZE) -> Iterator[Image]:
    """Pictures in which every pixel changes: noise, coarse and fine, slides along. Made without
    OpenCV, which films do without."""
    rng = np.random.default_rng(0)
    width, height = size[0] + 2 * frames, size[1] + frames
    noise = np.full((height, width, 3), 128.0, np.float32)
    for block in (1, 4, 16):
        coarse = rng.normal(0, 4.0 * block**0.5, (-(-height // block), -(-width // block), 3))
        grown = coarse.repeat(block, axis=0).repeat(block, axis=1)
        noise += grown[:height, :width].astype(np.float32)
    background = noise.clip(0, 255).astype(np.uint8)
    for i in range(frames):
        yield np.ascontiguousarray(background[i : i + size[1], 2 * i : 2 * i + size[0]])
