"""Finds a model file by name, kind or path, and reads it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from streamsr.errors import ModelError, quoted, reason_of
from streamsr.options import QUALITIES
from xlsr_model import weights

MAX_MODEL_BYTES = 64 << 20
"""Model files are untrusted. The shipped ones have 60 KB."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file as it was read. All engines work on these bytes: the file may change later."""

    name: str
    path: Path
    content: bytes
    consistent: bool = False
    """Whether its pictures are made consistent with the source by default, see `options.Look`."""

    rung: str = ""
    """Which of `weights.RUNGS` it is said to be: by its name where it is shipped, else by whoever
    named the file; empty where nobody says. `engines.family.check_rung` compares the graph."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


DEFAULT_SCALE = 3
"""Of a model that is chosen by its kind."""

CHOICES = ("auto", *weights.KINDS)
"""Kinds that may stand in place of a name; kind and scale together say which shipped model it
is."""


def find_model(
    model: str | Path = "auto",
    *,
    scale: int | None = None,
    lossy: bool = False,
    quality: str = "auto",
) -> ModelFile:
    """Read the model with this name, kind or path.

    model    name of a shipped model, path of a file, or one of CHOICES
    scale    of a model chosen by kind, default DEFAULT_SCALE
    lossy    the pictures went through a lossy codec
    quality  the rung of a model chosen by kind, a name of `options.QUALITIES`, ``auto`` being
             XLSR's; one that is chosen by name or path must be of it, ``auto`` being any

    ``auto`` takes the ``video`` model for lossy pictures where there is one at this scale and
    quality, else the ``clean`` one (docs/quality.md compares them). Raises ModelError; never gives
    another rung than the one that was said.
    """
    if quality not in QUALITIES:
        raise ModelError(f"expected a quality of {', '.join(QUALITIES)}, got {quoted(quality)}")
    rung = "" if quality == "auto" else quality
    try:
        if model in CHOICES:
            scale = scale or DEFAULT_SCALE
            rung = rung or weights.DEFAULT_RUNG
            video = model == "video" or (
                model == "auto" and lossy and scale in weights.scales("video", rung)
            )
            name = weights.default(scale, "video" if video else "clean", rung)
            path = weights.path(name)
        elif str(model) in weights.names():
            name, path = str(model), weights.path(str(model))
            if rung not in ("", weights.rung_named(name)):
                raise ModelError(f"{name} is of quality {weights.rung_named(name)}, not {rung}")
            rung = weights.rung_named(name)
        else:
            path = Path(model)
            name = path.stem
            if not path.is_file():
                known = ", ".join(weights.quantised()) or "none"
                raise ModelError(
                    f"no model file {str(model)!r}, and no shipped model of that name ({known})"
                )
    except KeyError as error:
        raise ModelError(str(error.args[0])) from None
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ModelError(
                f"{path}: larger than any model of this kind ({MAX_MODEL_BYTES >> 20} MiB)"
            )
        return ModelFile(name, path, path.read_bytes(), _is_consistent(path), rung)
    except OSError as error:
        raise ModelError(f"cannot read model {path}: {reason_of(error)}") from error


def _is_consistent(path: Path) -> bool:
    """What the model's card says of it; without a word, shipped models are, others are not."""
    try:
        said = weights.card(path).get("consistent")
    except (ValueError, OSError, RecursionError):  # a stranger's file, which may be anything
        said = None
    shipped = path.stem in weights.names() and path.resolve() == weights.path(path.stem)
    return said if isinstance(said, bool) else shipped
