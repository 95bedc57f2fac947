"""The shipped models: ``NAME.tflite`` files with a model card ``NAME.json`` beside each.

Standard library only. Names are ``xlsr[-RUNG][-video]_x{scale}_{u8|f32}``: a rung of the family
other than XLSR itself is named (``xlsr-plus_x3_u8``), and so is training on decoded video instead
of clean images (``xlsr-plus-video_x3_u8``). A suffix names a variant (``xlsr_x3_u8_perchannel``).
A file of that name in this folder is all that shipping a rung takes.
"""

import json
import os
from pathlib import Path
from typing import Any

KINDS = ("clean", "video")
SHAPES = {"lite": (16, 3), "xlsr": (32, 3), "plus": (48, 6), "max": (64, 9)}
"""(width, blocks) of each rung of the family, from the least work to the most; XLSR is the
paper's."""

RUNGS = tuple(SHAPES)
DEFAULT_RUNG = "xlsr"
_FOLDER = Path(__file__).resolve().parent


def names() -> list[str]:
    """List the shipped model names, sorted."""
    return sorted(file.stem for file in _FOLDER.glob("*.tflite"))


def quantised() -> list[str]:
    """List those of the shipped models that an engine of streamsr runs: the uint8 ones."""
    return [name for name in names() if name.endswith("_u8")]


def path(name: str) -> Path:
    """Return the .tflite file of a shipped model.

    Raises KeyError, with the known names, for any other.
    """
    file = _FOLDER / f"{name}.tflite"
    if name not in names():
        raise KeyError(f"unknown model {name!r}; shipped models: {', '.join(names()) or 'none'}")
    return file


def card(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the card of a shipped model (by name) or of any .tflite file (by path).

    {} where there is none. Raises ValueError when a card is there but is not a JSON object.
    """
    # A card is read by people and programs alike and grows new keys, hence Any.
    is_name = isinstance(name_or_path, str) and name_or_path in names()
    file = (path(str(name_or_path)) if is_name else Path(name_or_path)).with_suffix(".json")
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"model card {file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"model card {file}: expected a JSON object, got {type(content).__name__}")
    return content


def default(scale: int, kind: str = "clean", rung: str = DEFAULT_RUNG) -> str:
    """Return the name of the shipped uint8 model at this scale.

    `kind` is ``clean`` for pictures or ``video`` for decoded video, `rung` one of RUNGS. Raises
    KeyError, with what there is, if there is none.
    """
    name = _name(scale, kind, rung)
    if name not in names():
        of_rung = "" if rung == DEFAULT_RUNG else f" of quality {rung}"
        raise KeyError(
            f"no shipped {kind} model{of_rung} upscales by {scale}; "
            f"shipped models: {', '.join(names()) or 'none'}"
        )
    return name


def scales(kind: str = "clean", rung: str = DEFAULT_RUNG) -> list[int]:
    """List the scales for which a model of this kind and rung is shipped, rising."""
    return [scale for scale in range(2, 9) if _name(scale, kind, rung) in names()]


def rungs(scale: int, kind: str = "clean") -> list[str]:
    """List the rungs of which a model of this kind is shipped at this scale, rising."""
    return [rung for rung in RUNGS if _name(scale, kind, rung) in names()]


def rung_named(name: str) -> str:
    """Return the rung that a shipped model's name says."""
    return next((rung for rung in RUNGS if rung in _words(name)), DEFAULT_RUNG)


def kind_named(name: str) -> str:
    """Return the kind that a shipped model's name says."""
    return "video" if "video" in _words(name) else "clean"


def _words(name: str) -> list[str]:
    return name.partition("_")[0].split("-")[1:]


def _name(scale: int, kind: str, rung: str) -> str:
    of_rung = "" if rung == DEFAULT_RUNG else f"-{rung}"
    return f"xlsr{of_rung}{'-video' if kind == 'video' else ''}_x{scale}_u8"
