"""Cross-layer equalisation: rescales channels so that per-tensor rounding harms less.

The function stays the same. Every activation but the last is linear or a ReLU, so a channel may be
multiplied by any positive factor when what reads it is divided by it (Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", 2019). There the factors have a
closed form for one pair of layers; here all of them are found together, by gradient descent on how
far uniform noise as large as the rounding of kernels and stored tensors moves the output.
"""

from collections.abc import Callable, Mapping

import numpy as np
from keras import ops

from xlsr_model.backend.checkpoint import flatten, new_state
from xlsr_model.backend.forward import clipped_relu, forward
from xlsr_model.backend.gradient import Loss, value_and_gradient
from xlsr_model.backend.optimizer import adam, learning_rate
from xlsr_model.network import NETWORKS, Arrays, Tensor, layers
from xlsr_model.quantization.fake_quant import (
    CALIBRATION_BATCHES,
    KERNEL_LEVELS,
    LEVELS,
    channel_extremes,
    stored_tensors,
)

STEPS = 600  # more gain nothing (docs/quality.md)
RATE = 0.03  # of the logarithms of the factors, falling to nothing


def factors(
    network: str, scale: int, logs: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the factors that follow from multiplying each layer's output by exp(`logs`) [C].

    (Factor of each kernel [1, 1, C_in/groups, C_out] and bias [C_out], log of the factors of each
    tensor [C]).
    """
    of_weights: dict[str, Tensor] = {}
    of_tensors: dict[str, Tensor] = {}

    def conv(
        name: str, x: Tensor, channels: int, _kernel: int, groups: int, _activation: str
    ) -> Tensor:
        out = logs[name] if name in logs else ops.zeros(channels)
        of_groups = ops.reshape(x, (groups, -1))
        read = ops.repeat(of_groups, channels // groups, axis=0)  # [C_out, C_in/groups]
        of_weights[f"{name}/kernel"] = ops.exp(out - ops.transpose(read))[None, None]
        of_weights[f"{name}/bias"] = ops.exp(out)
        of_tensors[name] = out
        return out

    def concat(a: Tensor, b: Tensor) -> Tensor:
        of_tensors["concat"] = ops.concatenate([a, b])
        return of_tensors["concat"]

    NETWORKS[network](conv, concat, ops.zeros(3), scale)
    return of_weights, of_tensors


def equalizing_factors(
    network: str,
    scale: int,
    weights: Arrays,
    images: Callable[[int], np.ndarray],
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> Arrays:
    """Find what to multiply each of the float weights by.

    ``images(step)`` is a batch of RGB/255 [N, H, W, 3].
    """
    rng = np.random.default_rng(seed)
    table = layers(network, scale)
    calibration = [images(step) for step in range(CALIBRATION_BATCHES)]
    extremes = channel_extremes(network, scale, weights, calibration)
    stored = stored_tensors(network, scale)

    def uniform(shape: tuple[int, ...]) -> np.ndarray:
        return rng.random(shape, np.float32) - np.float32(0.5)

    free = [layer for layer in table if layer.activation != "clip"]
    state = new_state({layer.name: np.zeros(layer.channels, np.float32) for layer in free})
    gradient = value_and_gradient(_noise_loss(network, scale, weights, extremes))
    for step in range(steps):
        image = images(step)
        kernels = [uniform(layer.kernel_shape) for layer in table]
        tensors = [uniform((*image.shape[:3], len(extremes[name][0]))) for name in stored]
        _, gradients = gradient(state.weights, (image, *kernels, *tensors))
        adam(state, flatten(gradients), learning_rate([(0, RATE), (steps, 0.0)], "linear", step))
    logs = {name: ops.convert_to_tensor(log) for name, log in state.weights.items()}
    found, _ = factors(network, scale, logs)
    return {
        name: np.broadcast_to(ops.convert_to_numpy(found[name]), value.shape).astype(np.float32)
        for name, value in weights.items()
    }


def _noise_loss(
    network: str,
    scale: int,
    weights: Arrays,
    extremes: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Loss:
    """Return the function of the logs of the factors that is to be small.

    It is the log of the mean squared change of the output by noise as large as rounding. Its batch
    is (image, noise of each layer's kernel, noise of each stored tensor), noise in -0.5..0.5.
    """
    names = [layer.name for layer in layers(network, scale)]
    stored = stored_tensors(network, scale)
    fixed = {name: ops.convert_to_tensor(value) for name, value in weights.items()}

    def loss(logs: Mapping[str, Tensor], batch: tuple[Tensor, ...]) -> Tensor:
        image, *noise = batch
        of_kernels = dict(zip(names, noise[: len(names)], strict=True))
        of_stored = dict(zip(stored, noise[len(names) :], strict=True))
        of_weights, of_tensors = factors(network, scale, logs)

        def kernel(name: str, value: Tensor) -> Tensor:
            factor = of_weights[f"{name}/kernel"]
            step = ops.max(ops.abs(value) * factor) / KERNEL_LEVELS
            return value + of_kernels[name] * step / factor

        def activation(name: str, value: Tensor) -> Tensor:
            if name not in stored:
                return value
            factor = ops.exp(of_tensors[name])
            lowest, highest = (ops.convert_to_tensor(ends) for ends in extremes[name])
            step = (ops.max(factor * highest) - ops.minimum(ops.min(factor * lowest), 0.0)) / LEVELS
            return value + of_stored[name] * step / factor

        clean = clipped_relu(forward(network, scale, fixed, image))
        noisy = forward(network, scale, fixed, image, kernel_tap=kernel, activation_tap=activation)
        return ops.log(ops.mean(ops.square(clipped_relu(noisy) - clean)))

    return loss
