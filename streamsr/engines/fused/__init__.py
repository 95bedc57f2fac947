"""The fast CPU engine: the uint8 XLSR network as compiled integer kernels, with LiteRT's exact
bytes."""

from streamsr.engines.fused.engine import FusedEngine

__all__ = ["FusedEngine"]
