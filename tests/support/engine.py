"""The engine that tests name where the engine is not what they try."""

import pytest

from streamsr.engines.fused.codegen.library import host_kinds
from streamsr.errors import ModelError


def _why_not_fused() -> str:
    try:
        host_kinds()
    except ModelError as error:
        return str(error)
    return ""


WHY_NOT_FUSED = _why_not_fused()
"""Empty where our own engine runs."""

EXACT = "litert" if WHY_NOT_FUSED else "fused"
"""The fastest that gives LiteRT's bytes: both do, so that a test's verdict is the same on every
machine."""

EXACT_ENGINES = [
    "litert",
    pytest.param(
        "fused",
        marks=pytest.mark.skipif(bool(WHY_NOT_FUSED), reason=f"no fused engine: {WHY_NOT_FUSED}"),
    ),
]
"""All that give these bytes, to parametrize a test with."""
