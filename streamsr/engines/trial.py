"""Model files of strangers, tried in a process of their own: LiteRT follows some damaged ones into
memory it lacks.

It checks the offsets of a file, not whether an operation has the inputs and options that it needs,
and dies of those that have not (4 of 3,000 files with bits flipped outside the weights). Only its
own code knows what it needs, so that nothing short of letting it run is a check. The same trial
compares whole pictures with pictures computed in parts: what the graph says of its reach
(`tflite.reach`) is not taken on trust.
"""

import subprocess
import sys
from importlib.metadata import version

from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.native import cache
from xlsr_model import weights

SECONDS = 60
"""For loading LiteRT and a few small pictures; 0.5 s are usual."""

MEMORY_BYTES = 4 << 30
"""Of address space; a network of this kind takes a tenth."""

DAMAGED = 3
"""Exit status of the child that has said why the model is none."""

TRIAL = 2
"""Number of the trial: what passed another one is tried again."""

_CHILD = """
import runpy, sys
sys.path[:] = sys.argv[1:]
runpy.run_module("streamsr.engines.trial_child", run_name="__main__")
"""


def check(model: ModelFile) -> None:
    """Raise ModelError when LiteRT refuses the model, dies of it, takes unreasonable time or memory
    for it, or when a picture computed in parts shows seams.

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
