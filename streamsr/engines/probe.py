"""Model files of strangers, tried in a process of their own: LiteRT follows some damaged ones into memory it lacks.

It checks the offsets of a file, not whether an operation has the inputs and options that it needs, and dies of those
that have not (4 of 3,000 files with bits flipped outside the weights). Only its own code knows what it needs, so that
nothing short of letting it run is a check.
"""

import subprocess
import sys
from importlib.metadata import version

from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.native import cache
from xlsr_model import weights

SECONDS = 60
"""For loading LiteRT and one picture of 83 x 29; 0.4 s are usual."""

MEMORY_BYTES = 4 << 30
"""Of address space; a network of this kind takes a tenth."""

DAMAGED = 3
"""Exit status of the child that has said why the model is none."""

_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from streamsr.engines.probe import _try; _try()"


def check(model: ModelFile) -> None:
    """Raise ModelError when LiteRT refuses the model, dies of it, or takes unreasonable time or memory for it.

    Shipped models are not tried, others once: what passed is remembered with LiteRT's version.
    """
    name = f"probed-{version('ai-edge-litert')}-{model.sha256[:32]}"
    if _is_shipped(model) or cache.load(name) is not None:
        return
    try:
        done = subprocess.run(
            [sys.executable or "python3", "-c", _CHILD, *sys.path],
            input=model.content,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{model.path}: LiteRT takes more than {SECONDS} s for a small picture") from None
    except OSError as error:
        raise ModelError(f"{model.path}: cannot be tried: {error}") from error
    if done.returncode == 0:
        cache.store(name, b"")
        return
    said = (done.stdout if done.returncode == DAMAGED else done.stderr).decode(errors="replace").strip()
    reason = (said.splitlines() or ["no reason given"])[-1]
    if done.returncode != DAMAGED:
        reason = f"damaged: LiteRT dies of it (status {done.returncode})"
    raise ModelError(f"{model.path}: {reason}")


def _is_shipped(model: ModelFile) -> bool:
    return any(model.content == weights.path(name).read_bytes() for name in weights.names())


def _try() -> None:
    """The child: one picture through the model on standard input."""
    import resource
    from pathlib import Path

    import numpy as np

    from streamsr.engines import Tile
    from streamsr.engines.litert import LiteRTEngine
    from streamsr.region import Region

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    model = ModelFile("probed", Path("model"), sys.stdin.buffer.read())
    try:
        with LiteRTEngine(model, threads=1, trusted=True) as engine:
            lr = np.random.default_rng(0).integers(0, 256, (29, 83, 3), np.uint8)
            hr = np.empty((29 * engine.scale, 83 * engine.scale, 3), np.uint8)
            engine.run([Tile(lr, hr, Region.of(83, 29))])
    except ModelError as error:
        print(str(error).removeprefix("model: "), flush=True)
        sys.exit(DAMAGED)
