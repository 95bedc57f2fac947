"""The settings that determine the bytes of a film's segments, as its ledger records them."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from streamsr import interrupt
from streamsr.machine import versions
from xlsr_model.inputs import Input

Settings = Mapping[str, Any]
"""JSON values by name."""

READ_BYTES = 1 << 20

EXACT_ENGINES = frozenset({"litert", "fused"})
"""These give the same bytes: one may continue the work of the other."""


def library_versions() -> dict[str, str]:
    """Versions of all libraries on which the output's bytes depend."""
    return {name: value for name, value in versions().items() if name != "python"}


def engine_class(name: str) -> str:
    """``exact`` for all engines that give the same bytes, else the engine's name."""
    return "exact" if name in EXACT_ENGINES else name


def digest_of(file: BinaryIO) -> str:
    """BLAKE2b of what is left to read. Raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    while content := file.read(READ_BYTES):
        digest.update(content)
        interrupt.check()
    return digest.hexdigest()


def input_identity(source: Input) -> Settings:
    """Identify a file by its contents; its name and dates may change. Raises OSError, also when it
    changes meanwhile."""
    with open(source.fd, "rb", closefd=False) as file:
        digest = digest_of(file)
    source.check()
    return {"bytes": source.size, "blake2b": digest}


def differences(then: Settings, now: Settings, prefix: str = "") -> Iterator[str]:
    """Say what differs between two settings."""
    for name in [*then, *(name for name in now if name not in then)]:
        a, b = then.get(name), now.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            if name == "input" and a != b:
                yield "the input has changed"
            else:
                yield from differences(a, b, f"{name} " if name == "versions" else prefix)
        elif a != b:
            yield "the model has changed" if name == "model" else f"{prefix}{name} was {a}, now {b}"
