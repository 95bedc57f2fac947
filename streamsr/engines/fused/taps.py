"""What every plan of a network is made of: its weights by planes of four channels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import GROUPS, Shape
from streamsr.engines.fused.graph import Conv, Network, largest_sums

FAR = 2**23
"""Sums up to this can be counted from 2**23 (see `instructions.requantise`)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``ops`` [operations, words] int64 holds addresses into ``data``: both must outlive the native
    calls.

    A worker needs memory for ``lines`` lines, and ``scratch`` bytes.
    """

    isa: Isa
    shape: Shape
    lines: int
    scratch: int
    ops: NDArray[np.int64]
    zero_points: NDArray[np.uint8]
    data: tuple[NDArray[np.uint8], ...]


def shape_of(network: Network) -> Shape:
    """What the code for a network depends on."""
    near = all(
        largest_sums(conv).max() < FAR
        for conv in (*(conv for conv, _ in network.blocks), network.head)
    )
    return Shape(network.scale, 16 * -(-network.width // 16), len(network.blocks), not near)


def padded(network: Network) -> Network:
    """The same with channels of zeros, so that each group's fill whole planes of four: with a width
    that is a multiple of 16."""
    own, wide = network.width // GROUPS, 4 * -(-network.width // 16)
    if own == wide:
        return network
    width = GROUPS * wide
    features = np.arange(width).reshape(GROUPS, wide)[:, :own].reshape(-1)
    side = np.arange(network.width // 2)
    joined = np.concatenate([features, width + side])
    pixel, group = np.arange(3), np.arange(own)
    colors = np.arange(len(network.head.weights))

    def wider(conv: Conv, out: Places, inputs: Places) -> Conv:
        (outs, o), (ins, i) = out, inputs
        weights = np.zeros((o, *conv.weights.shape[1:3], i), np.int8)
        weights[outs[:, None], ..., ins] = conv.weights.transpose(0, 3, 1, 2)
        bias, scale = np.zeros(o, np.int64), np.ones(o, np.float32)
        bias[outs], scale[outs] = conv.bias, conv.scale
        return Conv(weights, bias, scale, conv.groups, conv.in_zero, conv.out_zero)

    wides = features, width
    return Network(
        network.scale,
        wider(network.stem, wides, (pixel, 3)),
        wider(network.point, wides, wides),
        tuple((wider(a, wides, (group, wide)), wider(b, wides, wides)) for a, b in network.blocks),
        wider(network.side, (side, width // 2), (pixel, 3)),
        wider(network.join, wides, (joined, width + width // 2)),
        wider(network.head, (colors, len(colors)), wides),
    )


Places = tuple[NDArray[np.int64], int]
"""Where channels go, and among how many."""


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
    """A pixel, [4], of the zero point of what each stage reads, and one of zeros."""
    inputs = (network.stem, *(conv for conv, _ in network.blocks), network.head)
    return np.repeat(np.array([*(conv.in_zero for conv in inputs), 0], np.uint8), 4)
