"""The first run of a kind of kernels on a processor, in a process of its own.

What the processor says of itself may be wrong: emulators and virtual machines name features that
they do not have, and one illegal instruction ends a program. So code that has not run here before
is first run by a child. What came of it is kept for this code on this processor.
"""

import hashlib
import signal
import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np

from streamsr.engines import Tile
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.library import host_kinds, library, network_ir
from streamsr.engines.fused.graph import read_network
from streamsr.engines.fused.plan import plan
from streamsr.engines.fused.strip import Runner, wanted_cells
from streamsr.errors import ModelError
from streamsr.machine import processor_name
from streamsr.native import cache
from streamsr.region import CELL, Region

SECONDS = 60
"""For a child that takes half a second, on a machine with much else to do."""

DEATHS = signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE
"""Signals that say that the code does not run: others come from outside."""

RUNS = b"runs"
KEPT = RUNS, b"SIGILL"
"""Answers that the next start can rely on."""

SIZE = 101, 37
"""Of the picture: two full turns of the widest kernels and odd rests."""

CHILD = """
import sys
kind, sys.path[:] = sys.argv[1], sys.argv[2:]
from streamsr.engines.fused.first_run import run
run(sys.stdin.buffer.read(), kind)
"""


class KernelsDieError(ModelError):
    """Code of this kind ends the process that runs it."""


def check(isa: Isa, key: str, content: bytes) -> None:
    """Raise KernelsDieError where code with this ``key`` of `jit.Library` ends its process.

    content  a model file that the code was made for

    A child that cannot be started, or ends by itself, is no answer: then all is as without it.
    """
    processor = f"{processor_name()} {llvm.get_host_cpu_name()} {isa.name} {key}"
    name = f"first-run-{hashlib.sha256(processor.encode()).hexdigest()[:32]}"
    answer = cache.load(name)
    if answer is None:
        answer = _answer(isa, content)
        if answer in KEPT:
            cache.store(name, answer)
    if answer not in (RUNS, b""):
        raise KernelsDieError(f"{isa.name} kernels die on this processor ({answer.decode()})")


def _answer(isa: Isa, content: bytes) -> bytes:
    """RUNS, or the name of the signal it died of; nothing where there is no telling."""
    try:
        done = subprocess.run(
            [sys.executable or "python3", "-c", CHILD, isa.name, *sys.path],
            input=content,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    if done.returncode == 0:
        return RUNS
    if -done.returncode in DEATHS:
        return signal.Signals(-done.returncode).name.encode()
    return b""


def run(content: bytes, kind: str) -> None:
    """What the child does: a picture, and some cells of it, through all of the code."""
    network, [isa] = read_network(content), host_kinds(kind)
    runner = Runner(library(network_ir(isa, network.scale), isa), plan(network, isa))
    width, height = SIZE
    lr = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    hr = np.empty((height * network.scale, width * network.scale, 3), np.uint8)
    cells = np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)
    cells[1::2, ::3] = True
    for wanted in (None, wanted_cells(cells, width, isa)):
        runner.compute(Tile(lr, hr, Region.of(width, height)), wanted)
