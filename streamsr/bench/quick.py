"""A first estimate of this machine's pace, in less than half a second."""

import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamsr.bench.clip import FPS, slide
from streamsr.bench.report import PRESET
from streamsr.engines import Engine, Tile
from streamsr.frame import Frame, StreamInfo
from streamsr.live.capacity import SPARE, Pace
from streamsr.machine import usable_cores
from streamsr.region import Region
from streamsr.sinks.file import FileSink

NETWORK_SIZE = 320, 180
"""Of the picture: larger ones take the same time for a pixel, smaller ones a little more."""

NETWORK_S, RUNS = 0.15, 9
"""The network runs until it has taken so long or so often, one run to get ready aside."""

ENCODED_SIZE, FRAMES = (480, 270), 12
"""Of what is encoded."""


def estimate(engine: Engine) -> Pace:
    """Measure the network with the engine's threads on one small picture, and the encoder on a few;
    larger ones take as long for a pixel."""
    network = _network_s(engine)
    encoder = _encoder_s() * engine.scale**2
    return Pace(network * SPARE, (network + encoder) * SPARE)


def _network_s(engine: Engine) -> float:
    """Wall seconds for a pixel, the least of several runs: other programs slow down the rest."""
    width, height = NETWORK_SIZE
    lr = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    hr = np.empty((height * engine.scale, width * engine.scale, 3), np.uint8)
    tiles = [Tile(lr, hr, Region.of(width, height))]
    engine.run(tiles)
    seconds: list[float] = []
    while len(seconds) < RUNS and sum(seconds) < NETWORK_S:
        start = time.perf_counter()
        engine.run(tiles)
        seconds.append(time.perf_counter() - start)
    return min(seconds) / (width * height)


def _encoder_s() -> float:
    """Seconds for a pixel of the result, were all cores busy with it: a small picture keeps few."""
    width, height = ENCODED_SIZE
    info = StreamInfo(width, height, Fraction(1, FPS), rate=Fraction(FPS))
    frames = [
        Frame(picture, i, info.time_base, 1, i)
        for i, picture in enumerate(slide(FRAMES, ENCODED_SIZE))
    ]
    with tempfile.TemporaryDirectory(prefix="streamsr-info-") as folder:
        start = time.process_time()
        with FileSink(Path(folder) / "encoded.mkv", info, ENCODED_SIZE, preset=PRESET) as sink:
            for frame in frames:
                sink.write(frame)
            sink.commit()
        seconds = time.process_time() - start
    return seconds / usable_cores() / (FRAMES * width * height)
