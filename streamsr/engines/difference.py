"""Measures how far two pictures are apart, and says how far an engine's may be from LiteRT's."""

import math
from dataclasses import dataclass

import numpy as np

from streamsr.engines import Engine
from streamsr.errors import ModelError
from streamsr.frame import Image


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two pictures, or the worst of several pairs.

    levels     the largest, in levels of 8 bits
    psnr_db    the peak signal-to-noise ratio, infinite where they are equal
    different  how many of the ``size`` bytes differ
    """

    levels: int
    psnr_db: float
    different: int
    size: int

    def worst(self, other: "Difference") -> "Difference":
        """Combine both. Each picture counts by itself, or a small wrong one would drown in the
        mean."""
        return Difference(
            max(self.levels, other.levels),
            min(self.psnr_db, other.psnr_db),
            self.different + other.different,
            self.size + other.size,
        )

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
"""For engines in which each layer rounds otherwise: OpenVINO on a processor with VNNI, NPUs that
compute right. A wrong operator, scale or layout is off by tens of levels."""


def bound_of(engine: Engine) -> Bound:
    """What an engine promises: a built-in one its ``bound``, any other to be exact."""
    return getattr(engine, "bound", EXACT)


class WrongResults(ModelError):  # noqa: N818 - named for what the engine gave
    """An engine is further from LiteRT than its bound allows; the message says how far."""


def difference_of(a: Image, b: Image) -> Difference:
    """Measure the difference of two pictures of one shape, uint8."""
    if np.array_equal(a, b):
        return Difference(0, math.inf, 0, a.size)
    apart = np.abs(a.astype(np.int16) - b)
    mse = float(np.square(apart, dtype=np.int32).mean())
    return Difference(
        int(apart.max()), 10 * math.log10(255**2 / mse), int(np.count_nonzero(apart)), a.size
    )
