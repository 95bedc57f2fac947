"""A first estimate of this machine's pace, in less than half a second."""

import numpy as np

from streamsr.bench.clip import slide
from streamsr.bench.report import PRESET
from streamsr.engines import Engine, Tile
from streamsr.jobs.pace import NETWORK_SIZE, encoder_s, least_s
from streamsr.live.capacity import SPARE, Pace
from streamsr.options import Encoding
from streamsr.region import Region

NETWORK_S, RUNS = 0.15, 9
"""The network runs until it has taken so long or so often, one run to get ready aside."""

ENCODED_SIZE, FRAMES = (480, 270), 12
"""Of what is encoded."""


def estimate(engine: Engine) -> Pace:
    """Measure the network with the engine's threads on one small picture, and the encoder on a few;
    larger ones take as long for a pixel."""
    network = _network_s(engine)
    encoder = encoder_s(Encoding(preset=PRESET), slide(FRAMES, ENCODED_SIZE)) * engine.scale**2
    return Pace(network * SPARE, (network + encoder) * SPARE)


def _network_s(engine: Engine) -> float:
    """Wall seconds for a pixel, the least of several runs: other programs slow down the rest."""
    width, height = NETWORK_SIZE
    lr = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    hr = np.empty((height * engine.scale, width * engine.scale, 3), np.uint8)
    tiles = [Tile(lr, hr, Region.of(width, height))]
    seconds = least_s(lambda: engine.run(tiles), within_s=NETWORK_S, runs=RUNS)
    return seconds / (width * height)
