"""Model files of strangers, tried in a process of their own: LiteRT follows some damaged ones into memory it lacks.

It checks the offsets of a file, not whether an operation has the inputs and options that it needs, and dies of those
that have not (4 of 3,000 files with bits flipped outside the weights). Only its own code knows what it needs, so that
nothing short of letting it run is a check. The same trial compares whole pictures with pictures computed in parts: what
the graph says of its reach (`tflite.reach`) is not taken on trust.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from streamsr.engines import Engine, Tile
from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.native import cache
from streamsr.region import Region
from xlsr_model import weights

SECONDS = 60
"""For loading LiteRT and a few small pictures; 0.5 s are usual."""

MEMORY_BYTES = 4 << 30
"""Of address space; a network of this kind takes a tenth."""

DAMAGED = 3
"""Exit status of the child that has said why the model is none."""

TRIAL = 2
"""Number of the trial: what passed another one is tried again."""

SIDE = 160
"""Of the pictures that are cut, in pixels: several times what a network for real time sees."""

_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from streamsr.engines.probe import _try; _try()"


def check(model: ModelFile) -> None:
    """Raise ModelError when LiteRT refuses the model, dies of it, takes unreasonable time or memory for it, or when a
    picture computed in parts shows seams.

    Shipped models are not tried, others once: what passed is remembered with LiteRT's version.
    """
    name = f"probed{TRIAL}-{version('ai-edge-litert')}-{model.sha256[:32]}"
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
    """The child: pictures through the model on standard input."""
    import resource
    from pathlib import Path

    from streamsr.engines.litert import LiteRTEngine

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    model = ModelFile("probed", Path("model"), sys.stdin.buffer.read())
    try:
        with LiteRTEngine(model, threads=1, trusted=True) as engine:
            check_parts(engine)
    except ModelError as error:
        print(str(error).removeprefix("model: "), flush=True)
        sys.exit(DAMAGED)


def check_parts(engine: Engine) -> None:
    """Raise ModelError unless a picture computed in rows, in columns or in blocks has the bytes of the whole."""
    import numpy as np

    for seed in range(2):
        lr = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        if seed:  # flat parts too, whose borders differ otherwise than noise
            lr[40:120, 40:120] = 255
        hr = np.zeros((SIDE * engine.scale, SIDE * engine.scale, 3), np.uint8)
        engine.run([Tile(lr, hr, Region.of(SIDE, SIDE))])
        for kind, cuts in PARTS.items():
            parts = np.zeros_like(hr)
            engine.run([Tile(lr, parts, part) for part in cuts])
            wrong = int(np.count_nonzero(hr != parts))
            if wrong:
                raise ModelError(
                    f"cannot be computed in parts: {wrong} of {hr.size} bytes differ in {kind}, so it sees further "
                    f"than its graph tells ({engine.halo} pixels)"
                )


def _lines(at: Sequence[int]) -> Iterator[tuple[int, int]]:
    yield from zip((0, *at), (*at, SIDE), strict=True)


# Widths that LiteRT rounds up to what it prepares would hide a reach that is a little too small: cut at many places.
PARTS = {
    "rows": [Region(0, top, SIDE, end - top) for top, end in _lines((53, 110))],
    "columns": [Region(left, 0, end - left, SIDE) for left, end in _lines((22, 49, 73, 104, 131))],
    "blocks": [
        Region(left, top, end - left, bottom - top)
        for top, bottom in _lines((45, 99))
        for left, end in _lines((54, 108))
    ],
}
"""Ways to cut a picture of SIDE by SIDE."""
