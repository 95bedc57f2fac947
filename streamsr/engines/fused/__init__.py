"""The fast CPU engine: uint8 networks of XLSR's family as compiled integer kernels, with the exact
bytes of LiteRT."""

from streamsr.engines.fused.engine import FusedEngine

__all__ = ["FusedEngine"]
