"""The settings of a training run, read from TOML. An unknown key is an error."""

import json
import os
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Config:
    """The settings of one run. They are saved in its checkpoint and in the model card.

    `folders` alone has no default. Lengths and rates count optimiser steps.

    folders           of training pictures (DIV2K as downloaded is one), below ``--data``
    network           a name of `network.NETWORKS`
    scale             output pixels for one input pixel, in each direction
    steps             length of the run
    seed              of the first weights, the batches, and what is drawn or degraded
    held_out          pictures kept out of training, which choose the best weights
    batch             patches in a step
    patch             side of a patch, in low-resolution pixels
    video             degraded versions of each picture, instead of the clean one; 0: clean
    uncoded           versions as a film's, but never coded, beside each picture
    consistent        the loss sees the output after `forward.consistent`, as `streamsr` shows it
    graphics          drawn pictures of flat, saturated colours, beside the photographs
    sizes             factors below 1: each photograph is used again, shrunk to each of these
    intensities       factors of brightness, of which each patch gets one at random
    clipped           ends in Clipped ReLU; false is the linear variant of the paper's Table 2
    variance_scale    of the He-normal initialisation
    identity          added to the square kernels at the start; more than three blocks need it
    loss              "charbonnier", or "psnr": the log of each patch's mean squared error
    luma              share of the luma error in the loss "psnr"; the rest is that of the colours
    floor             of the loss "psnr": mean squared error below which a patch gains no weight
    margin            low-resolution pixels at each side of a patch that the loss does not see
    epsilon           of the Charbonnier loss; 0 is the mean squared error
    rate              (step, learning rate) points
    curve             between those points: "linear", or "cosine", which eases in and out
    average           decay of the weight average that is validated and exported; 0: the weights
    start             checkpoint to start from: its weights, and its optimiser state where it fits
    precision         of the convolutions; "bfloat16" is a third faster on CPUs that have it
    fused             PyTorch compiles the loss: a quantisation-aware step then takes a third
    quantise          quantisation-aware: trains activation ranges too, validates with rounding
    equalise          first rescales the channels so that rounding harms least; ranges start anew
    validate_every    steps between two measurements on the held-out pictures
    checkpoint_every  steps between two checkpoints

    (`quantise` and `equalise` are spelled as in the checkpoints and model cards that exist.)
    """

    folders: tuple[str, ...]
    network: str = "xlsr"
    scale: int = 3
    steps: int = 500_000
    seed: int = 1
    held_out: int = 8
    batch: int = 16
    patch: int = 32
    video: int = 0
    uncoded: int = 0
    consistent: bool = False
    graphics: int = 0
    sizes: tuple[float, ...] = ()
    intensities: tuple[float, ...] = (1.0, 0.7, 0.5)
    clipped: bool = True
    variance_scale: float = 0.1
    identity: bool = False
    loss: str = "charbonnier"
    luma: float = 0.0
    floor: float = 3e-4
    margin: int = 0
    epsilon: float = 0.1
    rate: tuple[tuple[int, float], ...] = ((0, 5e-5), (5_000, 2.5e-3), (500_000, 1e-4))
    curve: str = "linear"
    average: float = 0.0
    start: str = ""
    precision: str = "float32"
    fused: bool = False
    quantise: bool = False
    equalise: bool = False
    validate_every: int = 5_000
    checkpoint_every: int = 2_000

    def __post_init__(self) -> None:
        steps = [step for step, _ in self.rate]
        if not steps or steps != sorted(set(steps)):
            raise ValueError(
                "rate: expected (step, learning rate) points in rising order of steps, "
                f"got {self.rate}"
            )
        if self.curve not in ("linear", "cosine"):
            raise ValueError(f"curve: expected 'linear' or 'cosine', got {self.curve!r}")
        if self.loss not in ("charbonnier", "psnr"):
            raise ValueError(f"loss: expected 'charbonnier' or 'psnr', got {self.loss!r}")
        if self.equalise and not (self.quantise and self.start):
            raise ValueError(
                "equalise: is for a quantisation-aware run from a start; "
                "quantise or start is missing"
            )
        counts = (self.steps, self.batch, self.patch, self.validate_every, self.checkpoint_every)
        if min(counts) < 1:
            raise ValueError(
                "steps, batch, patch, validate_every and checkpoint_every must be at least 1"
            )
        if not all(0 < size < 1 for size in self.sizes):
            raise ValueError(f"sizes: expected factors between 0 and 1, got {self.sizes}")
        if not 0 <= self.luma <= 1:
            raise ValueError(f"luma: expected 0 <= luma <= 1, got {self.luma}")
        if not 0 < self.floor < 1:
            raise ValueError(f"floor: expected 0 < floor < 1, got {self.floor}")
        if not 0 <= 2 * self.margin < self.patch:
            raise ValueError(
                f"margin: expected less than half of patch ({self.patch}), got {self.margin}"
            )
        if not 0 <= self.average < 1:
            raise ValueError(f"average: expected 0 <= average < 1, got {self.average}")


def read_config(file: Path, *, data: str = "") -> Config:
    """Read a TOML file; its key ``base`` names one beside it, which has the keys that are not here.

    `folders` that are relative are looked for in the folder `data`; "" is the current one.
    Raises ValueError, naming the file and the key, for what is not a configuration.
    """
    content = _read_toml(file)
    if "base" in content:
        content = _read_toml(file.with_name(str(content.pop("base")))) | content
    folders = content.get("folders")
    if isinstance(folders, list):
        content["folders"] = [
            os.path.join(data, folder) if isinstance(folder, str) else folder for folder in folders
        ]
    return make_config(content, str(file))


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not TOML: {error}") from error
    return content


def make_config(content: dict[str, Any], origin: str) -> Config:
    """Check keys and types. Raises ValueError that begins with `origin`."""
    known = {field.name: field for field in fields(Config)}
    for key in content:
        if key not in known:
            raise ValueError(f"{origin}: unknown key {key!r}; known: {', '.join(known)}")
    if "folders" not in content:
        raise ValueError(f"{origin}: the key 'folders' is missing")
    values = {key: _checked(key, value, known[key].type, origin) for key, value in content.items()}
    try:
        return Config(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{origin}: {error}") from error


def _checked(key: str, value: Any, annotation: Any, origin: str) -> Any:
    scalars = {bool: bool, int: int, float: (int, float), str: str}
    expected: Any = scalars.get(annotation, list)
    if not isinstance(value, expected) or (annotation is not bool and isinstance(value, bool)):
        name = getattr(annotation, "__name__", annotation)
        raise ValueError(f"{origin}: {key}: expected {name}, got {value!r}")
    if isinstance(value, list):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value


def config_dict(config: Config) -> dict[str, Any]:
    """Return it in JSON's terms, for saving beside the weights; `make_config` reads it back."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return content
