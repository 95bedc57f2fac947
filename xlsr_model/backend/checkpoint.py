"""The whole state of a training run in one .npz file under 1 MB.

It is enough to go on as if the run had never stopped. Written beside its name first and renamed, so
that a kill or a full disk leaves the previous file intact.
"""

import json
import subprocess
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_model.files import Output
from xlsr_model.network import Arrays


@dataclass
class State:
    """The state of a run, owned and changed by the training loop alone.

    All vectors are float32 and as long as all weights together. `weights` is a dict of views into
    `vector`, so that the optimiser works on one vector and the network on named arrays.

    step        of this run
    updates     of the optimiser since its moments were zero; more than `step` where a run went on
                from another
    loss_sum    since the last row of the history, over `loss_count` steps
    history     rows of "step" and "psnr", or "loss" and "rate"
    """

    vector: np.ndarray
    shapes: dict[str, tuple[int, ...]]
    step: int = 0
    updates: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_psnr: float = -np.inf
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.momentum = np.zeros_like(self.vector)
        self.variance = np.zeros_like(self.vector)
        self.average = self.vector.copy()
        self.best = self.vector.copy()

    @property
    def weights(self) -> Arrays:
        return self.named(self.vector)

    def named(self, vector: np.ndarray) -> Arrays:
        """Cut a vector as long as all weights into named arrays, which are views of it."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])
        parts = np.split(vector, ends[:-1])
        return {
            name: part.reshape(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def new_state(weights: Arrays) -> State:
    return State(flatten(weights), {name: value.shape for name, value in weights.items()})


def flatten(arrays: Arrays) -> np.ndarray:
    """Join arrays, in their order, into one float32 vector."""
    return np.concatenate([np.ravel(value) for value in arrays.values()]).astype(np.float32)


_VECTORS = ("vector", "momentum", "variance", "average", "best")


def save(file: Path, state: State, about: dict[str, Any]) -> None:
    """Write the state, and `about` (configuration, code version) beside the numbers.

    Raises OSError, with the old file intact.
    """
    numbers = {
        "step": state.step,
        "updates": state.updates,
        "loss_sum": state.loss_sum,
        "loss_count": state.loss_count,
        "best_psnr": state.best_psnr,
    }
    text = json.dumps(
        {"shapes": state.shapes, "numbers": numbers, "history": state.history, "about": about}
    )
    vectors = {name: getattr(state, name) for name in _VECTORS}
    with Output(file, overwrite=True) as output:
        with open(output.fd, "wb", closefd=False) as stream:
            np.savez_compressed(stream, meta=np.array(text), **vectors)
        output.publish()


def load(file: Path) -> tuple[State, dict[str, Any]]:
    """Return (state, about). Raises ValueError if the file is missing or not a checkpoint."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            meta = json.loads(str(content["meta"]))
            vectors = {name: content[name] for name in _VECTORS}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = (
            "no such file"
            if isinstance(error, FileNotFoundError)
            else f"not a checkpoint ({error})"
        )
        raise ValueError(f"{file}: {reason}") from error
    state = State(vectors["vector"], {name: tuple(shape) for name, shape in meta["shapes"].items()})
    for name, value in {**vectors, "updates": meta["numbers"]["step"], **meta["numbers"]}.items():
        setattr(state, name, value)
    state.history = meta["history"]
    return state, meta["about"]


def code_version() -> str:
    """Return the commit of this checkout, with "-dirty" if the package was changed since.

    "unknown" where there is no checkout.
    """
    folder = Path(__file__).parents[1]  # the package: changes anywhere else trained nothing
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain", "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")
