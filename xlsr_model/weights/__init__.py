"""The shipped models: ``NAME.tflite`` files with a model card ``NAME.json`` beside each.

Standard library only. Names are ``xlsr_x{scale}_{u8|f32}`` for models trained on clean images and
``xlsr-video_x{scale}_u8`` for those trained on decoded video; a suffix names a variant
(``xlsr_x3_u8_perchannel``).
"""

import json
import os
from pathlib import Path
from typing import Any

KINDS = ("clean", "video")
_FAMILIES = {"clean": "xlsr", "video": "xlsr-video"}
_FOLDER = Path(__file__).resolve().parent


def names() -> list[str]:
    """List the shipped model names, sorted."""
    return sorted(file.stem for file in _FOLDER.glob("*.tflite"))


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


def default(scale: int, kind: str = "clean") -> str:
    """Return the name of the shipped uint8 model at this scale.

    `kind` is ``clean`` for pictures or ``video`` for decoded video. Raises KeyError, with the known
    names, if there is none.
    """
    name = f"{_FAMILIES[kind]}_x{scale}_u8"
    if name not in names():
        raise KeyError(
            f"no shipped {kind} model upscales by {scale}; "
            f"shipped models: {', '.join(names()) or 'none'}"
        )
    return name


def scales(kind: str = "clean") -> list[int]:
    """List the scales for which a model of this kind is shipped, rising."""
    return [scale for scale in range(2, 9) if f"{_FAMILIES[kind]}_x{scale}_u8" in names()]
