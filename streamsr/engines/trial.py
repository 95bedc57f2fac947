"""Tries model files of strangers in a child process, because LiteRT crashes on some damaged ones.

LiteRT checks the offsets of a file, not whether an operation has the inputs and options that it
needs, and crashes where they are missing (4 of 3,000 files with bits flipped outside the weights).
Only its own code knows what it needs, so that nothing short of letting it run is a check. The same
trial compares whole pictures with pictures computed in parts: the receptive radius that the graph
tells (`tflite.receptive_radius`) is not taken on trust.
"""

import subprocess
import sys
from importlib.metadata import version

from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.native import cache
from xlsr_model import weights

SECONDS = 60
"""Time limit for loading LiteRT and computing a few small pictures, which usually takes 0.5 s."""

MEMORY_BYTES = 4 << 30
"""Limit of the child's address space; a network of this kind takes a tenth."""

DAMAGED = 3
"""Exit status when the child rejected the model and printed why."""

TRIAL = 2
"""Version of the trial: a model that passed another version is tried again."""

_CHILD = """
import runpy, sys
sys.path[:] = sys.argv[1:]
runpy.run_module("streamsr.engines.trial_child", run_name="__main__")
"""


def check(model: ModelFile) -> None:
    """Try a model. Raises ModelError when LiteRT refuses it, crashes, takes unreasonable time or
    memory, or when a picture computed in parts shows seams.

    Shipped models are not tried, others once: what passed is cached with LiteRT's version.
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
        raise ModelError(
            f"{model.path}: LiteRT takes more than {SECONDS} s for a small picture"
        ) from None
    except OSError as error:
        raise ModelError(f"{model.path}: cannot be tried: {error}") from error
    if done.returncode == 0:
        cache.store(name, b"")
        return
    said = (
        (done.stdout if done.returncode == DAMAGED else done.stderr)
        .decode(errors="replace")
        .strip()
    )
    reason = (said.splitlines() or ["no reason given"])[-1]
    if done.returncode != DAMAGED:
        reason = f"damaged: LiteRT dies of it (status {done.returncode})"
    raise ModelError(f"{model.path}: {reason}")


def _is_shipped(model: ModelFile) -> bool:
    return any(model.content == weights.path(name).read_bytes() for name in weights.names())
