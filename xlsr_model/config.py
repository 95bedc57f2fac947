"""The settings of a training run, read from TOML. Every key has its meaning here; an unknown one is an error."""

import json
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Config:
    folders: tuple[
        str, ...
    ]  # of training images, relative to where the command runs; DIV2K as downloaded is one folder
    network: str = "xlsr"
    scale: int = 3
    steps: int = 500_000
    seed: int = 1
    held_out: int = 8  # images for choosing the best weights
    batch: int = 16
    patch: int = 32  # low-resolution pixels
    video: int = 0  # versions of each picture degraded as video is, in place of the clean one; 0 trains on clean pictures
    graphics: int = 0  # drawn pictures of flat, saturated colours beside the photographs
    sizes: tuple[
        float, ...
    ] = ()  # factors below 1: each photograph is trained on again, shrunk to each of these
    intensities: tuple[float, ...] = (1.0, 0.7, 0.5)
    clipped: bool = (
        True  # Clipped ReLU at the output; false is the linear variant of the paper's Table 2
    )
    variance_scale: float = 0.1  # of the He-normal initialisation
    loss: str = "charbonnier"  # or "psnr": the logarithm of each patch's mean squared error, as sets are measured
    luma: float = 0.0  # share of the error of luma, beside that of the colours, in the loss "psnr"
    epsilon: float = 0.1  # of the Charbonnier loss; 0 means mean squared error
    rate: tuple[tuple[int, float], ...] = (
        (0, 5e-5),
        (5_000, 2.5e-3),
        (500_000, 1e-4),
    )  # (step, learning rate) points
    curve: str = "linear"  # between the points; "cosine" eases in and out
    average: float = 0.0  # decay of the weight average (EMA) that is validated and exported; 0 takes the weights themselves
    start: str = ""  # a checkpoint to start from: its weights, and its optimiser state if that fits
    precision: str = "float32"  # of the convolutions in training; "bfloat16" is a third faster on CPUs that have it
    fused: bool = False  # PyTorch compiles the loss: a third of the time of a quantisation-aware step, nothing gained without
    quantise: bool = False  # quantisation-aware: trains the activation ranges too and validates the fake-quantised network
    equalise: bool = (
        False  # first finds factors of the channels that rounding harms least; ranges start anew
    )
    validate_every: int = 5_000
    checkpoint_every: int = 2_000

    def __post_init__(self) -> None:
        steps = [step for step, _ in self.rate]
        if not steps or steps != sorted(set(steps)):
            raise ValueError(
                f"rate: expected (step, learning rate) points in rising order of steps, got {self.rate}"
            )
        if self.curve not in ("linear", "cosine"):
            raise ValueError(f"curve: expected 'linear' or 'cosine', got {self.curve!r}")
        if self.loss not in ("charbonnier", "psnr"):
            raise ValueError(f"loss: expected 'charbonnier' or 'psnr', got {self.loss!r}")
        if self.equalise and not (self.quantise and self.start):
            raise ValueError(
                "equalise: is for a quantisation-aware run from a start; quantise or start is missing"
            )
        if min(self.steps, self.batch, self.patch, self.validate_every, self.checkpoint_every) < 1:
            raise ValueError(
                "steps, batch, patch, validate_every and checkpoint_every must be at least 1"
            )
        if not all(0 < size < 1 for size in self.sizes):
            raise ValueError(f"sizes: expected factors between 0 and 1, got {self.sizes}")
        if not 0 <= self.luma <= 1:
            raise ValueError(f"luma: expected 0 <= luma <= 1, got {self.luma}")
        if not 0 <= self.average < 1:
            raise ValueError(f"average: expected 0 <= average < 1, got {self.average}")


def read_config(file: Path) -> Config:
    """Raises ValueError, naming the file and the key, for what is not a configuration."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not TOML: {error}") from error
    return make_config(content, str(file))


def make_config(content: dict[str, Any], origin: str) -> Config:
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
    expected: Any = {bool: bool, int: int, float: (int, float), str: str}.get(annotation, list)
    if not isinstance(value, expected) or (annotation is not bool and isinstance(value, bool)):
        raise ValueError(
            f"{origin}: {key}: expected {getattr(annotation, '__name__', annotation)}, got {value!r}"
        )
    if isinstance(value, list):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value


def config_dict(config: Config) -> dict[str, Any]:
    """In JSON's terms, for saving beside the weights; `make_config` reads it back."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return content
