"""Measures how sharply pictures were sampled, and how much is in them, from the steps between
neighbouring pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
"""Luma [H, W], uint8."""

MIDDLE = 512, 1024
"""Rows and columns of the middle that is looked at: 2 ms."""

LAGS = 4
_STEPS = np.arange(-255, 256)
_ROOTS = (np.sign(_STEPS) * np.sqrt(np.abs(_STEPS))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps from pixel to pixel along the rows of some pictures; pictures are joined by ``+``.

    Of each step the square root: a strong edge says no more of the sampling than a weak one. Along
    rows only, so that interlaced pictures are no other case.

    products  sums of a root's products with those 0, 1, 2 and 3 pixels on
    roots     sum of the roots without their sign
    count     of steps
    """

    products: tuple[float, ...] = (0.0,) * LAGS
    roots: float = 0.0
    count: int = 0

    def __add__(self, other: "Steps") -> "Steps":
        products = tuple(a + b for a, b in zip(self.products, other.products, strict=True))
        return Steps(products, self.roots + other.roots, self.count + other.count)

    @property
    def sharpness(self) -> float | None:
        """0.1 where each pixel is the mean over an area, 0.17 after bilinear, 0.2 after bicubic and
        0.25 after Lanczos shrinking (tools/measure/model_choice.py); None for flat pictures.

        A filter that shrinks sharply swings: steps one pixel apart are alike, those two apart are
        opposed, those three apart are alike again.
        """
        whole, one, two, three = self.products
        return (one / 2 - two + three) / whole if whole > 0 else None

    @property
    def detail(self) -> float | None:
        """The mean root of a step, of 255; None for flat pictures."""
        return self.roots / self.count if self.roots > 0 else None


def middle(picture: NDArray[Any]) -> NDArray[Any]:
    """The part of a picture, [H, W] or [H, W, C] of any type (so Any), that is measured; a view."""
    height, width = picture.shape[:2]
    rows, columns = min(height, MIDDLE[0]), min(width, MIDDLE[1])
    y, x = (height - rows) // 2, (width - columns) // 2
    return picture[y : y + rows, x : x + columns]


def steps(luma: Plane) -> Steps:
    """Measure the middle of a picture."""
    roots = _ROOTS[np.diff(middle(luma).astype(np.int16), axis=1) + 255]
    left = max(roots.shape[1] - LAGS + 1, 0)
    first = roots[:, :left]
    products = (np.vdot(first, roots[:, lag : lag + left]) for lag in range(LAGS))
    return Steps(tuple(map(float, products)), float(np.abs(first).sum()), first.size)
