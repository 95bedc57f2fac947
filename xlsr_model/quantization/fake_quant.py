"""Quantisation-aware training: computes as the per-tensor int8 graph does, with learned ranges.

Beside the float weights stand logarithms of ranges, trained by the same optimiser. Rounding passes
gradients straight through, so a range learns from what it clips and what it coarsens (Esser et al.,
"Learned Step Size Quantization", 2020).

kernel_range/NAME [1]   log(max |w|) of a kernel: symmetric, -127..127
range/NAME [1]          log(max) of a stored tensor after ReLU
range/NAME [2]          log(-min) and log(max) of a signed one: 256 levels, zero on a level

The tensors that a concatenation joins share its range, as in the file; input and output are fixed
to bytes.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from keras import ops

from xlsr_model.backend.forward import Tap, forward, keep
from xlsr_model.network import NETWORKS, Arrays, Tensor, layers

KERNEL_LEVELS = 127
LEVELS = 255
CALIBRATION_BATCHES = 50
SMALLEST_END = 1e-3  # of a first range


def stored_tensors(network: str, scale: int) -> dict[str, bool]:
    """List the tensors with a range of their own: name to whether it is signed.

    Input and head are fixed to bytes; what a concatenation joins takes its range.
    """
    signed: dict[str, bool] = {}

    def conv(
        name: str, _x: str, _channels: int, _kernel: int, _groups: int, activation: str
    ) -> str:
        if activation != "clip":
            signed[name] = activation == "none"
        return name

    def concat(a: str, b: str) -> str:
        signed["concat"] = any([signed.pop(a), signed.pop(b)])
        return "concat"

    NETWORKS[network](conv, concat, "input", scale)
    return signed


def has_ranges(weights: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("range/") for name in weights)


def without_ranges(weights: Arrays) -> Arrays:
    return {name: value for name, value in weights.items() if "range/" not in name}


def channel_extremes(
    network: str, scale: int, weights: Arrays, images: Sequence[np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (lowest, highest) value of each channel [C] of the stored tensors.

    `images` are RGB/255 batches [N, H, W, 3].
    """
    extremes: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    stored = stored_tensors(network, scale)

    def note(name: str, value: Tensor) -> Tensor:
        if name in stored:
            low, high = (
                ops.convert_to_numpy(reduce(value, axis=(0, 1, 2))) for reduce in (ops.min, ops.max)
            )
            before = extremes.get(name, (low, high))
            extremes[name] = np.minimum(before[0], low), np.maximum(before[1], high)
        return value

    tensors = {name: ops.convert_to_tensor(value) for name, value in weights.items()}
    for image in images:
        forward(network, scale, tensors, ops.convert_to_tensor(image), activation_tap=note)
    return extremes


def with_ranges(network: str, scale: int, weights: Arrays, images: Sequence[np.ndarray]) -> Arrays:
    """Return the weights with first ranges beside them.

    These are the largest |w|, and the extremes over `images`, RGB/255 batches [N, H, W, 3].
    """
    extremes = channel_extremes(network, scale, weights, images)
    ranges: Arrays = {}
    for layer in layers(network, scale):
        ranges[f"kernel_range/{layer.name}"] = _log([np.abs(weights[f"{layer.name}/kernel"]).max()])
    for name, is_signed in stored_tensors(network, scale).items():
        lowest, highest = extremes[name][0].min(), extremes[name][1].max()
        ranges[f"range/{name}"] = _log([-lowest, highest] if is_signed else [highest])
    return {**weights, **ranges}


def _log(values: Sequence[float]) -> np.ndarray:
    # A tensor that is never negative still has a range.
    return np.log(np.maximum(values, SMALLEST_END)).astype(np.float32)


def fake_quantizers(weights: dict[str, Tensor]) -> tuple[Tap, Tap]:
    """Return (kernel tap, activation tap) for `forward`.

    Both change nothing where the weights have no ranges.
    """
    if not has_ranges(weights):
        return keep, keep
    return partial(_kernel, weights), partial(_activation, weights)


def _kernel(weights: dict[str, Tensor], name: str, kernel: Tensor) -> Tensor:
    step = ops.exp(weights[f"kernel_range/{name}"]) / KERNEL_LEVELS
    return _round(ops.clip(kernel / step, -KERNEL_LEVELS, KERNEL_LEVELS)) * step


def _activation(weights: dict[str, Tensor], name: str, value: Tensor) -> Tensor:
    ends = weights.get(f"range/{name}")
    if ends is None:
        return value
    ends = ops.exp(ends)
    step = ops.sum(ends) / LEVELS
    if ends.shape[0] == 1:
        return _round(ops.minimum(value / step, LEVELS)) * step  # after ReLU: never negative
    zero = _round(ends[0] / step)
    return _round(ops.clip(value / step, -zero, LEVELS - zero)) * step


def _round(x: Tensor) -> Tensor:
    """Round to the nearest integer, halves to even as XNNPACK does.

    The gradient passes straight through.
    """
    return x + ops.stop_gradient(ops.round(x) - x)


Scale = tuple[float, int]  # (step, zero point of int8)


def kernel_step(weights: Arrays, name: str) -> float:
    return float(np.exp(weights[f"kernel_range/{name}"][0])) / KERNEL_LEVELS


def activation_scales(weights: Arrays, network: str, scale: int) -> dict[str, Scale]:
    """Return what `_activation` does, as (step, int8 zero point) of every stored tensor."""
    scales: dict[str, Scale] = {}
    for name in stored_tensors(network, scale):
        ends = np.exp(weights[f"range/{name}"])
        step = float(ends.sum()) / LEVELS
        zero = int(np.rint(ends[0] / step)) if len(ends) == 2 else 0
        scales[name] = (step, zero - 128)
    return scales
