"""What every plan of a network is made of: its weights by planes of four channels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.graph import Conv, Network


@dataclass(frozen=True, slots=True)
class Plan:
    """``ops`` [11, words] int64 holds addresses into ``data``: both must outlive the native calls.

    A worker needs memory for ``lines`` lines, and ``scratch`` bytes.
    """

    isa: Isa
    scale: int
    lines: int
    scratch: int
    ops: NDArray[np.int64]
    zero_points: NDArray[np.uint8]
    data: tuple[NDArray[np.uint8], ...]


def window_of_taps(conv: Conv) -> NDArray[np.int8]:
    """[O, 3, 3, 3] to [O, 7, 1, 4]: bytes 0..7 of each row's nine in two planes, the ninth ones in
    a last plane."""
    rows = conv.weights.reshape(len(conv.weights), 3, 9)
    corner = np.pad(rows[:, :, 8], ((0, 0), (0, 1)))
    return np.concatenate([rows[:, :, :8].reshape(-1, 24), corner], 1).reshape(-1, 7, 1, 4)


def rows_of_taps(conv: Conv) -> NDArray[np.int8]:
    """[O, kh, kw, I] to [O, kh * planes, kw, 4]."""
    out, height, width, inputs = conv.weights.shape
    split = conv.weights.reshape(out, height, width, inputs // 4, 4).transpose(0, 1, 3, 2, 4)
    return split.reshape(out, height * inputs // 4, width, 4)


def pixels_of_zero(network: Network) -> NDArray[np.uint8]:
    """[24]: a pixel of the zero point of what the first and each following stage reads."""
    inputs = (network.stem, *(conv for conv, _ in network.blocks), network.head)
    return np.repeat(np.array([*(conv.in_zero for conv in inputs), 0], np.uint8), 4)
