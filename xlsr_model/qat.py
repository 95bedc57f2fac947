"""Quantisation-aware training (in the making)."""
from typing import Any
from xlsr_model.forward import keep
def fake_quantisers(weights: Any, *, enabled: bool) -> Any:
    return keep, keep, (lambda x: x)
