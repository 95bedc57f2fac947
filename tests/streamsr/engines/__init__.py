"""Tests of the engines, and what their files ask of the machine."""

from streamsr.engines.fused.compile import host_isa
from streamsr.errors import ModelError


def no_fused_engine() -> str | None:
    """Why the fused engine does not run here; None where it does."""
    try:
        host_isa()
    except ModelError as error:
        return str(error)
    return None
