"""XLSR, its family, and two networks it is compared with, each defined once, by its convolutions.

A network is ``network(conv, concat, x, scale)``: it calls ``conv(name, x, channels, kernel, groups,
activation)``. What ``conv`` does decides what comes out: the table of layers (`layers`), a forward
pass on any Keras backend (`backend.forward`), or a Keras model (`quantization.export`). All
convolutions have stride 1, "same" zero padding and a bias.

input     RGB/255 [N, H, W, 3]
output    packed [N, H, W, 3*s*s], which depth to space turns into [N, H*s, W*s, 3]
weights   {"name/kernel": [k, k, C_in/groups, C_out], "name/bias": [C_out]}
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any

import numpy as np

from xlsr_model.weights import SHAPES

CLIP_AT = 6.0
"""Clipped ReLU is deployed as RELU6 of six times the last convolution.

That is the same function, and one that XNNPACK has.
"""

Arrays = dict[str, np.ndarray]
Batch = tuple[np.ndarray, ...]
Gradient = Callable[[Arrays, Batch], tuple[float, Arrays]]
"""(weights, batch) -> (loss, gradient of each of the weights)."""

Tensor = Any  # of whichever Keras backend runs
Conv = Callable[[str, Tensor, int, int, int, str], Tensor]
Concat = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    """What tells the members of XLSR's family apart.

    `width` is the channels of every layer but the side branch, which has half of it, and the head.
    """

    width: int
    blocks: int


RUNGS = {rung: Shape(*shape) for rung, shape in SHAPES.items()}
"""The family from the least work to the most: XLSR is the paper's.

At x3 the others take 0.36, 3.0 and 6.9 times XLSR's multiply-accumulates.
"""


def family(shape: Shape, conv: Conv, concat: Concat, x: Tensor, scale: int) -> Tensor:
    """Build XLSR, here of any shape.

    Ayazoglu, 2021, "Extremely Lightweight Quantization Robust Real-Time Single-Image Super
    Resolution".
    """
    width = shape.width
    y = conv("stem", x, width, 3, 1, "relu")
    y = conv("stem_mix", y, width, 1, 1, "none")
    for block in range(1, shape.blocks + 1):
        y = conv(f"block{block}_grouped", y, width, 3, 4, "relu")
        y = conv(f"block{block}_mix", y, width, 1, 1, "none")
    side = conv("side", x, width // 2, 3, 1, "none")
    y = conv("merge", concat(y, side), width, 1, 1, "relu")
    return conv("head", y, 3 * scale**2, 3, 1, "clip")


def espcn(conv: Conv, _concat: Concat, x: Tensor, scale: int) -> Tensor:
    """Shi et al., 2016; here RGB and ReLU.

    "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel CNN".
    """
    y = conv("conv1", x, 64, 5, 1, "relu")
    y = conv("conv2", y, 32, 3, 1, "relu")
    return conv("head", y, 3 * scale**2, 3, 1, "clip")


def fsrcnn(conv: Conv, _concat: Concat, x: Tensor, scale: int) -> Tensor:
    """Dong et al., 2016; here RGB and ReLU.

    "Accelerating the Super-Resolution Convolutional Neural Network". Its 9x9 transposed convolution
    is written as a 3x3 convolution and depth to space: at x3 the same function and as many weights.
    """
    y = conv("extract", x, 56, 5, 1, "relu")
    y = conv("shrink", y, 12, 1, 1, "relu")
    for layer in (1, 2, 3, 4):
        y = conv(f"map{layer}", y, 12, 3, 1, "relu")
    y = conv("expand", y, 56, 1, 1, "relu")
    return conv("head", y, 3 * scale**2, 3, 1, "clip")


NETWORKS: dict[str, Callable[[Conv, Concat, Tensor, int], Tensor]] = {
    "espcn": espcn,
    "fsrcnn": fsrcnn,
    **{name: partial(family, shape) for name, shape in RUNGS.items()},
}


@dataclass(frozen=True)
class Layer:
    """One convolution.

    `activation` is "none", "relu" or "clip" (Clipped ReLU, max(0, min(x, 1))).
    """

    name: str
    channels_in: int
    channels: int
    kernel: int
    groups: int
    activation: str

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        return (self.kernel, self.kernel, self.channels_in // self.groups, self.channels)

    @property
    def parameters(self) -> int:
        return int(np.prod(self.kernel_shape)) + self.channels


def layers(network: str, scale: int) -> list[Layer]:
    """List the convolutions of a network in the order they run.

    Raises ValueError for an unknown network.
    """
    if network not in NETWORKS:
        raise ValueError(f"unknown network {network!r}; known: {', '.join(NETWORKS)}")
    if scale < 2:
        raise ValueError(f"expected a scale of 2 or more, got {scale}")
    table: list[Layer] = []

    def conv(
        name: str, channels_in: int, channels: int, kernel: int, groups: int, activation: str
    ) -> int:
        table.append(Layer(name, channels_in, channels, kernel, groups, activation))
        return channels  # here a "tensor" is just its number of channels

    NETWORKS[network](conv, lambda a, b: a + b, 3, scale)
    return table


def parameter_count(network: str, scale: int) -> int:
    return sum(layer.parameters for layer in layers(network, scale))


def macs_per_pixel(network: str, scale: int) -> int:
    """Count the multiply-accumulates for one low-resolution pixel."""
    return sum(layer.parameters - layer.channels for layer in layers(network, scale))


def initial_weights(
    network: str, scale: int, *, seed: int, variance_scale: float = 0.1, identity: bool = False
) -> Arrays:
    """Draw He-normal kernels with the variance scaled (0.1 in the paper), and zero biases.

    The small start matters: with plain He-normal a 20,000-step run ended 0.26 dB lower
    (docs/quality.md). `identity` lets every layer that has as many channels out as in pass them on
    too: through many small layers nothing else would come.
    """
    rng = np.random.default_rng(seed)
    weights: Arrays = {}
    for layer in layers(network, scale):
        fan_in = layer.kernel**2 * layer.channels_in // layer.groups
        deviation = sqrt(2 * variance_scale / fan_in)
        weights[f"{layer.name}/kernel"] = rng.normal(0, deviation, layer.kernel_shape).astype(
            np.float32
        )
        weights[f"{layer.name}/bias"] = np.zeros(layer.channels, np.float32)
        if identity and layer.channels_in == layer.channels:
            out, middle = np.arange(layer.channels), layer.kernel // 2
            of_group = out % (layer.channels // layer.groups)
            weights[f"{layer.name}/kernel"][middle, middle, of_group, out] += 1
    return weights


def check_weights(weights: Arrays, network: str, scale: int) -> None:
    """Raise ValueError, naming the first difference, unless the weights are of this network."""
    for layer in layers(network, scale):
        for part, shape in (("kernel", layer.kernel_shape), ("bias", (layer.channels,))):
            seen = weights.get(f"{layer.name}/{part}")
            if seen is None or seen.shape != shape:
                found = "nothing" if seen is None else str(seen.shape)
                raise ValueError(
                    f"not weights of {network} x{scale}: "
                    f"expected {layer.name}/{part} {shape}, got {found}"
                )
