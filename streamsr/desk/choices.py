"""What may be chosen for a job from outside, and the words of the command line that mean it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamsr.errors import quoted
from streamsr.model import CHOICES
from streamsr.options import CODECS, INTERLACED, QUALITIES, SCALES
from xlsr_model import weights

Schema = dict[str, Any]
"""JSON schema, as OpenAPI has it."""

SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
TEXT: Schema = {"type": "string", "maxLength": 100}

LOOK: dict[str, Schema] = {
    "model": {"type": "string", "enum": list(dict.fromkeys((*CHOICES, *weights.quantised())))},
    "quality": {"type": "string", "enum": list(QUALITIES)},
    "scale": {"type": "integer", "enum": list(SCALES)},
    "to": TEXT,
    "sharpen": SHARE,
    "strength": SHARE,
    "consistency": {"type": "boolean"},
}
"""Options of the picture, by their names on the command line."""

OPTIONS: dict[str, Schema] = {
    **LOOK,
    "codec": {"type": "string", "enum": list(CODECS)},
    "crf": {"type": "integer"},
    "preset": TEXT,
    "pixel-format": TEXT,
    "interlaced": {"type": "string", "enum": list(INTERLACED)},
    "at-least": {"type": "number", "exclusiveMinimum": 0},
    "start": {"type": "number", "minimum": 0},
    "duration": {"type": "number", "exclusiveMinimum": 0},
    "audit": {"type": "boolean"},
    "strict": {"type": "boolean"},
}
"""Those of a whole job. None names a file, a library or an address: whoever sends jobs reads and
writes in the desk's folders only."""

CONTAINERS = ("mkv", "mp4", "mov", "webm")
"""Kinds of films that may be asked for in place of the input's own."""

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def qualities() -> list[str]:
    """The rungs of which there is a model at some scale, rising."""
    return [r for r in weights.RUNGS if any(r in weights.rungs(scale) for scale in SCALES)]


def words(chosen: Any, allowed: Mapping[str, Schema]) -> tuple[str, ...]:
    """The words for a JSON object of options. Raises ValueError for what is not among those that
    are allowed, or not of its type; whether a value makes sense says the command."""
    if not isinstance(chosen, dict):
        raise ValueError(f"options: expected an object, got {quoted(chosen)}")
    found = []
    for name, value in chosen.items():
        schema = allowed.get(name)
        if schema is None:
            known = ", ".join(allowed)
            raise ValueError(f"{quoted(name)} is no option here; there are {known}")
        if type(value) not in TYPES[schema["type"]]:
            raise ValueError(f"{name}: expected a {schema['type']}, got {quoted(value)}")
        if "enum" in schema and value not in schema["enum"]:
            expected = ", ".join(map(str, schema["enum"]))
            raise ValueError(f"{name}: {quoted(value)} is not one of {expected}")
        if isinstance(value, bool):
            found += [f"--{name}"] if value else ["--no-consistency"] * (name == "consistency")
        else:
            found.append(f"--{name}={value}")
    return tuple(found)


KINDS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",  # the same format, by a name that browsers know
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
}
"""What a browser may show. Anything else is for downloading only: a page in our name would have our
token."""


def kind_of(path: str) -> str:
    """The media type of a file by its name, empty for what browsers do not show."""
    return KINDS.get(Path(path).suffix.lower(), "")
