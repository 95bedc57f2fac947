"""The engine that tests name where the engine is not what they try."""

import pytest

from streamsr.engines.fused.codegen.isa import KINDS
from streamsr.engines.fused.codegen.library import host_kinds
from streamsr.errors import ModelError


def why_not_fused(kind: str = "") -> str:
    """Why our own engine, or this kind of it, does not run here; empty where it does."""
    try:
        host_kinds(kind)
    except ModelError as error:
        return str(error)
    return ""


WHY_NOT_FUSED = why_not_fused()
"""Empty where our own engine runs."""

EVERY_KIND = [
    pytest.param(
        isa.name,
        marks=pytest.mark.skipif(
            bool(WHY_NOT_FUSED or why_not_fused(isa.name)), reason=f"this machine has no {isa.name}"
        ),
    )
    for isa in KINDS
]
"""The kinds of our engine's kernels, to parametrize a test with."""

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
