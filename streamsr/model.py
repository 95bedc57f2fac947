"""Which model file to use, and what it says about itself."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from streamsr.errors import ModelError, reason_of
from xlsr_model import weights

MAX_MODEL_BYTES = 64 << 20
"""Model files are untrusted; the shipped ones have 60 KB."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file as it was read: the engines all work on these bytes, not on whatever the path
    holds later."""

    name: str
    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


CHOICES = ("auto", *weights.KINDS)
"""In place of a name: the kind that fits the pictures, or one kind; the scale then says which model
it is."""


def find_model(
    model: str | Path = "auto", *, scale: int | None = None, lossy: bool = False
) -> ModelFile:
    """The model of this shipped name or file, or the shipped one of a kind for ``scale`` (default
    3).

    ``auto`` is the ``video`` model for pictures that went through a lossy codec, where there is one
    at this scale, else the ``clean`` one (docs/quality.md has the comparison). Raises ModelError.
    """
    try:
        if model in CHOICES:
            scale = scale or 3
            video = model == "video" or (
                model == "auto" and lossy and scale in weights.scales("video")
            )
            name = weights.default(scale, "video" if video else "clean")
            path = weights.path(name)
        elif str(model) in weights.names():
            name, path = str(model), weights.path(str(model))
        else:
            path = Path(model)
            name = path.stem
            if not path.is_file():
                known = ", ".join(weights.names()) or "none"
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
        return ModelFile(name, path, path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read model {path}: {reason_of(error)}") from error
