"""The first run of a kind of kernels on a processor, see `streamsr.native.first_run`."""

import numpy as np

from streamsr.engines import Tile
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.library import host_kinds, library, network_ir
from streamsr.engines.fused.graph import read_network
from streamsr.engines.fused.plan import plan
from streamsr.engines.fused.strip import Runner, wanted_cells
from streamsr.errors import ModelError
from streamsr.native.first_run import death
from streamsr.region import CELL, Region

SIZE = 133, 37
"""Of the picture: a full turn of the widest kernels, 128 pixels, and odd rests."""

CHILD = """
from streamsr.engines.fused.first_run import run
run(sys.stdin.buffer.read(), sys.argv[2])
"""


class KernelsDieError(ModelError):
    """Code of this kind ends the process that runs it."""


def check(isa: Isa, key: str, content: bytes) -> None:
    """Raise KernelsDieError where code with this ``key`` of `jit.Library` ends its process.

    content  a model file that the code was made for
    """
    signal = death(key, CHILD, isa.name, given=content)
    if signal is not None:
        raise KernelsDieError(f"{isa.name} kernels die on this processor ({signal})")


def run(content: bytes, kind: str) -> None:
    """What the child does: a picture, and some cells of it, through all of the code."""
    network, [isa] = read_network(content), host_kinds(kind)
    ready = plan(network, isa)
    runner = Runner(library(network_ir(isa, ready.shape), isa), ready)
    width, height = SIZE
    lr = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    hr = np.empty((height * network.scale, width * network.scale, 3), np.uint8)
    cells = np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)
    cells[1::2, ::3] = True
    for wanted in (None, wanted_cells(cells, width, ready)):
        runner.compute(Tile(lr, hr, Region.of(width, height)), wanted)
