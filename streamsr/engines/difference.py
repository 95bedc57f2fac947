"""How far two pictures are from each other, and how far an engine's may be from LiteRT's."""

import math
from dataclasses import dataclass

import numpy as np

from streamsr.engines import Engine
from streamsr.errors import ModelError
from streamsr.frame import Image


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two pictures, or the worst of several: the largest in levels of 8 bits, the PSNR, how many
    bytes differ."""

    levels: int
    psnr_db: float
    different: int
    size: int

    def worst(self, other: "Difference") -> "Difference":
        """Both together: each picture counts by itself, or a small wrong one would drown in the
        mean."""
        levels, psnr_db = max(self.levels, other.levels), min(self.psnr_db, other.psnr_db)
        return Difference(levels, psnr_db, self.different + other.different, self.size + other.size)

    def __str__(self) -> str:
        if not self.different:
            return "the same bytes"
        return (
            f"up to {self.levels} levels, {self.psnr_db:.1f} dB, {self.different} of {self.size} "
            f"bytes different"
        )


NONE = Difference(0, math.inf, 0, 0)


@dataclass(frozen=True, slots=True)
class Bound:
    """What an engine promises for every picture: at most ``levels`` from LiteRT's, at least
    ``psnr_db``."""

    levels: int
    psnr_db: float

    def allows(self, difference: Difference) -> bool:
        return difference.levels <= self.levels and difference.psnr_db >= self.psnr_db

    def __str__(self) -> str:
        return f"{self.levels} levels, {self.psnr_db:.0f} dB" if self.levels else "none"


EXACT = Bound(0, math.inf)

CLOSE = Bound(3, 60.0)
"""What may be, where each layer rounds otherwise: OpenVINO on a processor with VNNI, NPUs that
compute right. A wrong operator, scale or layout is off by tens of levels."""


def bound_of(engine: Engine) -> Bound:
    """What a built-in engine promises; another one nothing but its own contract, so that it has to
    be exact."""
    return getattr(engine, "bound", EXACT)


class WrongResults(ModelError):  # noqa: N818 - what it gave
    """An engine is further from LiteRT than its bound allows; the message says how far."""


def difference_of(a: Image, b: Image) -> Difference:
    """Of two pictures of one shape."""
    if np.array_equal(a, b):
        return Difference(0, math.inf, 0, a.size)
    apart = np.abs(a.astype(np.int16) - b)
    mse = float(np.square(apart, dtype=np.int32).mean())
    return Difference(
        int(apart.max()), 10 * math.log10(255**2 / mse), int(np.count_nonzero(apart)), a.size
    )
