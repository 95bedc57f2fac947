"""Arranges a network for the kernels that work row by row, see `walk`: weights in the order they
are read, and one record for each convolution."""

import itertools

import numpy as np
from numpy.typing import NDArray

from streamsr.engines.fused.codegen import layout
from streamsr.engines.fused.codegen.convolution import ONE_APART, kinds
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import Ring, Rings, Shape
from streamsr.engines.fused.graph import Conv, Network
from streamsr.engines.fused.taps import Plan, pixels_of_zero, rows_of_taps, window_of_taps

Segment = tuple[Ring, int, int]
"""A ring, the row offset and how many of its planes, from plane 0 on."""


def plan_rows(network: Network, shape: Shape, isa: Isa) -> Plan:
    """Lay ``network``, which is padded, out for ``isa``."""
    rings = Rings.of(shape, len(isa.head_order(network.scale)) // 4)
    planes, around = shape.planes, (-1, 0, 1)
    *features, last = rings.features
    window: list[Segment] = [*((rings.window, dy, 2) for dy in around), (rings.corner, 0, 1)]
    middle = [(rings.middle, 0, planes)]
    joined = [(rings.joined, 0, planes), (rings.side, 0, shape.side_planes)]
    blocks = itertools.pairwise([*features, rings.joined])
    root: list[tuple[Conv, Ring, list[Segment]]] = []
    for (conv, point), (source, target) in zip(network.blocks, blocks, strict=True):
        root += [
            (conv, rings.middle, [(source, dy, shape.group_planes) for dy in around]),
            (point, target, middle),
        ]
    ops = [
        (network.stem, rings.middle, window),
        (network.side, rings.side, window),
        (network.point, features[0], middle),
        *root,
        (network.join, last, joined),
        (network.head, rings.head, [(last, dy, planes) for dy in around]),
    ]
    words, data = np.zeros((len(ops), layout.OP_WORDS), np.int64), []
    for record, (conv, target, segments) in zip(words, ops, strict=True):
        head = conv is network.head
        taps = window_of_taps(conv) if segments is window else rows_of_taps(conv)
        kind = 2 if head else int(taps.shape[2] == 3)
        channels = kinds(isa, shape)[kind][0]
        weights, params = _weights(taps, channels), _params(conv, channels, isa, shape)
        data += [weights, params]
        step = channels // 4 if conv.groups > 1 else 0
        record[: len(layout.OP)] = (
            kind,
            len(weights),
            step,
            weights.ctypes.data,
            params.ctypes.data,
            *target,
            len(segments),
        )
        for k, (ring, dy, count) in enumerate(segments):
            at = len(layout.OP) + len(layout.SEGMENT) * k
            record[at : at + len(layout.SEGMENT)] = *ring, dy, count
    zeros = pixels_of_zero(network)
    # The head reads most planes of all.
    table = 8 * 3 * planes
    return Plan(isa, shape, rings.lines, table, words, zeros, tuple(data))


def _weights(taps: NDArray[np.int8], channels: int) -> NDArray[np.uint8]:
    """[O, n, kw, 4] to [groups, bytes], each group in the order [n][kw][channels][4]."""
    groups = taps.reshape(-1, channels, *taps.shape[1:]).transpose(0, 2, 3, 1, 4)
    return np.ascontiguousarray(groups).reshape(len(groups), -1).view(np.uint8)


def _params(conv: Conv, channels: int, isa: Isa, shape: Shape) -> NDArray[np.uint8]:
    """[groups, bytes]: int32 biases with the input's zero point folded in, float32 scales, zero
    point and limits."""
    zero = conv.in_zero - (128 if isa.signed else 0)
    bias = conv.bias - zero * conv.weights.astype(np.int64).sum((1, 2, 3))
    if not shape.far and conv.weights.shape[1] == 3 and conv.weights.shape[3] > 3:
        bias += ONE_APART
    shift = np.float32(-(2.0**23)) * conv.scale
    numbers = np.stack(
        [bias.astype(np.int32).view(np.uint32), conv.scale.view(np.uint32), shift.view(np.uint32)]
    )
    groups = numbers.reshape(3, -1, channels).transpose(1, 0, 2).reshape(-1, 3 * channels)
    tail = np.array([conv.out_zero, 0, 0, 0], np.uint8)
    return np.concatenate(
        [np.ascontiguousarray(groups).view(np.uint8), np.tile(tail, (len(groups), 1))], 1
    )
