"""The weights of a 3x3 convolution for Winograd's F(4x4, 3x3) in integers, and whether it is exact.

The matrices are those of the method for the points 0, 1, -1, 2, -2 and infinity, all times what
makes them whole: together the result is 24 * 24 times the convolution.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamsr.engines.fused.graph import Conv, largest_sums

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

NINTH = pow(9, -1, 2**26)
"""What turns 576 times a sum, modulo 2**32, into 64 times the sum."""


class Transformed(NamedTuple):
    """``weights`` [O / 4, 36, I / 2, 4, 2] int16; ``bias`` [O] int64, FACTOR times what each sum
    begins with, modulo 2**32; whether all sums are ``narrow``, see `is_narrow`."""

    weights: NDArray[np.int16]
    bias: NDArray[np.int64]
    narrow: bool


def transform(conv: Conv) -> Transformed:
    """Transform the weights; exact for all that the reader of the graph lets pass, as the largest
    becomes 144 times 128, and 64 times a sum stays below 2**31."""
    weights = conv.weights.astype(np.int64)
    out, _, _, inputs = weights.shape
    moved = np.einsum("ia,oabc,jb->oijc", WEIGHTS, weights, WEIGHTS)
    # Channels 0, 2 and 1, 3 of each plane are pairs, as the inputs' transform makes them.
    pairs = moved.reshape(out, 36, inputs // 4, 4)[..., [0, 2, 1, 3]].reshape(out, 36, -1, 2)
    groups = pairs.reshape(out // 4, 4, 36, inputs // 2, 2).transpose(0, 2, 3, 1, 4)
    bias = conv.bias - conv.in_zero * weights.sum((1, 2, 3))
    narrow = is_narrow(int(largest_sums(conv).max()))
    return Transformed(np.ascontiguousarray(groups, np.int16), FACTOR * bias, narrow)


def is_narrow(largest: int) -> bool:
    """Tell whether FACTOR (9 * 64) times sums up to this is an int32, and exact as a float32."""
    return FACTOR * largest < 2**31 and 9 * largest <= 2**24
