"""The weights of a 3x3 convolution for Winograd's F(4x4, 3x3) in integers, and whether it is exact.

The matrices are those of the method for the points 0, 1, -1, 2, -2 and infinity, all times what
makes them whole: together the result is 24 * 24 times the convolution.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamsr.engines.fused.graph import Conv

INPUTS = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
"""B^T."""

WEIGHTS = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 6]])
"""G."""

OUTPUTS = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 4],
    ]
)
"""A^T."""

FACTOR = 576
"""Of the result to the sum."""

_WORD = 2**15
_REAL = 2**24
"""Above it not every whole number is a float32."""

_OFFSETS = (0, *(sign * 2**k for k in range(12, 23) for sign in (1, -1)))
"""Added to a sum to bring it into the range; powers of two, so that times a float32 they are exact."""


class Exact(NamedTuple):
    """``weights`` [O / 4, 36, I / 2, 4, 2] int16, for each output channel the ``offset`` of its
    products, [O] int64, and the ``shift`` of its requantised sums, [O] float64."""

    weights: NDArray[np.int16]
    offset: NDArray[np.int64]
    shift: NDArray[np.float64]


def transform(conv: Conv) -> Exact | None:
    """The transformed weights; None where a number could leave its range, or the ReLU is missing
    that makes sums far out all the same."""
    weights = conv.weights.astype(np.int64)
    out, _, _, inputs = weights.shape
    moved = np.einsum("ia,oabc,jb->oijc", WEIGHTS, weights, WEIGHTS)
    if conv.out_zero or moved.min() < -_WORD or moved.max() >= _WORD:
        return None
    flat = weights.reshape(out, -1)
    bias = conv.bias - conv.in_zero * flat.sum(1)
    least, most = bias + 255 * flat.clip(max=0).sum(1), bias + 255 * flat.clip(0).sum(1)
    added = np.zeros(out, np.int64)
    for channel in range(out):
        found = _offset(int(least[channel]), int(most[channel]), float(conv.scale[channel]))
        if found is None:
            return None
        added[channel] = found
    # Channels 0, 2 and 1, 3 of each plane are pairs, as the inputs' transform makes them.
    pairs = moved.reshape(out, 36, inputs // 4, 4)[..., [0, 2, 1, 3]].reshape(out, 36, -1, 2)
    groups = pairs.reshape(out // 4, 4, 36, inputs // 2, 2).transpose(0, 2, 3, 1, 4)
    shift = -added * conv.scale.astype(np.float64)
    return Exact(groups.astype(np.int16), FACTOR * (bias + added), shift)


def _offset(least: int, most: int, scale: float) -> int | None:
    """What to add to sums between ``least`` and ``most`` so that 576 times each is an int32, and a
    float32 wherever the result is not 0 or 255 anyway; None if there is nothing."""
    # One more than what is cut off: sums that are not exact are off by one at most.
    first, last = max(least, -2), min(most, int(256 / scale) + 2 if scale > 0 else most)
    for added in _OFFSETS:
        held = FACTOR * (least + added) >= -(2**31) and FACTOR * (most + added) < 2**31
        # 576 is 9 * 64.
        if held and 9 * max(abs(first + added), abs(last + added), 1) <= _REAL:
            return added
    return None
