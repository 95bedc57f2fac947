"""Arranges a network for the kernels that work by blocks, see `blocks`.

Pointwise convolutions, and the stem and the side branch, which read a window of 27 bytes as seven
planes, get a schedule; the other 3x3 convolutions are transformed for `winograd`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamsr.engines.fused.codegen import layout, scheduled
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import BlockRings, Shape
from streamsr.engines.fused.codegen.scratch import PLANE, places
from streamsr.engines.fused.graph import Conv, Network
from streamsr.engines.fused.schedule import Entry, schedule
from streamsr.engines.fused.taps import Plan, pixels_of_zero, rows_of_taps, window_of_taps
from streamsr.engines.fused.transform import transform

Bytes = NDArray[np.uint8]


class Layer(NamedTuple):
    """The words of one convolution; arrays where there is an address."""

    kind: int
    quads: int
    weights: Bytes
    params: Bytes
    runs: Bytes
    counts: Bytes


def plan_blocks(network: Network, shape: Shape, isa: Isa) -> Plan:
    """Lay ``network``, which is padded, out for ``isa``."""
    rings = BlockRings.of(shape, len(isa.head_order(network.scale)) // 4)
    layers = [pointwise(conv, window_of_taps(conv)) for conv in (network.stem, network.side)]
    layers.append(pointwise(network.point, rows_of_taps(network.point)))
    for conv, point in network.blocks:
        layers += [_convolution(conv), pointwise(point, rows_of_taps(point))]
    layers.append(pointwise(network.join, rows_of_taps(network.join)))
    layers.append(_convolution(ordered(network.head, isa.head_order(network.scale))))
    words = np.zeros((len(layers), len(layout.LAYER)), np.int64)
    data: list[Bytes] = []
    for record, layer in zip(words, layers, strict=True):
        addresses = [part.ctypes.data for part in layer[2:]]
        record[:] = layer.kind, layer.quads, *addresses
        data += layer[2:]
    zeros = pixels_of_zero(network)
    scratch = places(shape.width)["end"]
    return Plan(isa, shape, rings.lines, scratch, words, zeros, tuple(data))


def ordered(conv: Conv, order: list[int]) -> Conv:
    """Put a convolution's output channels in this order; -1 is a channel of zeros."""
    places = np.array(order)
    weights, bias, scale = conv.weights[places], conv.bias[places], conv.scale[places]
    weights[places < 0] = 0
    bias[places < 0] = 0
    return Conv(weights, bias, scale, conv.groups, conv.in_zero, conv.out_zero)


def _convolution(conv: Conv) -> Layer:
    made, quads = transform(conv), len(conv.weights) // 4
    bias = (made.bias % 2**32).astype(np.uint32)
    scale = conv.scale if made.narrow else conv.scale / np.float32(64)
    numbers = np.stack([bias, scale.astype(np.float32).view(np.uint32)])
    params = numbers.reshape(2, quads, 4).swapaxes(0, 1)
    kind = layout.NARROW if made.narrow else layout.WIDE
    nothing = np.zeros(1, np.uint8)
    return Layer(kind, quads, _bytes(made.weights), _bytes(params), nothing, nothing)


def pointwise(conv: Conv, taps: NDArray[np.int8]) -> Layer:
    """``taps`` [O, planes, 1, 4]."""
    channels = schedule(taps[:, :, 0], longest=scheduled.LONGEST)
    bias = conv.bias - conv.in_zero * conv.weights.astype(np.int64).sum((1, 2, 3))
    quads = len(channels) // 4
    runs, entries, counts = [], [], np.zeros(quads, np.int32)
    for channel, groups in enumerate(channels):
        counts[channel // 4] += len(groups)
        for k, group in enumerate(groups):
            kernel = len(group) - 1 + (scheduled.LONGEST if k else 0)
            runs.append((kernel, channel % 4 * PLANE, 0 if k else bias[channel], 0))
            entries += group
    params = np.zeros((quads, 5), np.uint32)
    params[:, :4] = conv.scale.astype(np.float32).reshape(quads, 4).view(np.uint32)
    params[:, 4] = conv.out_zero
    return Layer(
        layout.POINTWISE,
        quads,
        _entries(entries),
        _bytes(params),
        _bytes(np.array(runs, np.int32)),
        _bytes(counts),
    )


def _entries(entries: list[Entry]) -> Bytes:
    places = PLANE * np.array([entry.plane for entry in entries], np.int32)
    weights = np.array([entry.weights for entry in entries], np.int8).view(np.int32)[:, 0]
    return _bytes(np.stack([places, weights], 1))


def _bytes(array: NDArray[np.generic]) -> Bytes:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
