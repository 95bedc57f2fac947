"""A network's forward pass on whichever Keras backend is set: pure functions of arrays."""

from collections.abc import Callable, Mapping

import keras
from keras import ops

from xlsr_model.network import NETWORKS, Tensor

Tap = Callable[[str, Tensor], Tensor]


def keep(name: str, value: Tensor) -> Tensor:  # noqa: ARG001 (the signature of a Tap)
    """Return the value: the tap that changes nothing."""
    return value


def forward(
    network: str,
    scale: int,
    weights: Mapping[str, Tensor],
    lr: Tensor,
    *,
    kernel_tap: Tap = keep,
    activation_tap: Tap = keep,
    precision: str = "float32",
) -> Tensor:
    """Compute the packed output [N, H, W, 3*s*s], before its Clipped ReLU, float32.

    `lr` is RGB/255 [N, H, W, 3]. `kernel_tap` sees each kernel before its use, and `activation_tap`
    the tensors that the exported graph stores: "input", each layer's output after its activation
    ("head": before the clip) and "concat". Quantisation-aware training puts its fake quantisers
    there.
    """

    def conv(
        name: str, x: Tensor, _channels: int, _kernel: int, groups: int, activation: str
    ) -> Tensor:
        weight = ops.cast(kernel_tap(name, weights[f"{name}/kernel"]), precision)
        y = _conv(x, weight, ops.cast(weights[f"{name}/bias"], precision), groups)
        return activation_tap(name, ops.relu(y) if activation == "relu" else y)

    def concat(a: Tensor, b: Tensor) -> Tensor:
        return activation_tap("concat", ops.concatenate([a, b], axis=-1))

    x = ops.cast(activation_tap("input", lr), precision)
    return ops.cast(NETWORKS[network](conv, concat, x, scale), "float32")


def clipped_relu(x: Tensor) -> Tensor:
    return ops.clip(x, 0.0, 1.0)


def _conv(x: Tensor, kernel: Tensor, bias: Tensor, groups: int) -> Tensor:
    if keras.backend.backend() == "torch":
        return _conv_torch(x, kernel, bias, groups)
    if groups == 1:
        return ops.conv(x, kernel, padding="same", data_format="channels_last") + bias
    # Split: TensorFlow's gradient of a grouped convolution takes 1.1 s a step on a CPU against 50
    # ms.
    parts = zip(ops.split(x, groups, axis=-1), ops.split(kernel, groups, axis=-1), strict=True)
    y = [
        ops.conv(part, weight, padding="same", data_format="channels_last")
        for part, weight in parts
    ]
    return ops.concatenate(y, axis=-1) + bias


def _conv_torch(x: Tensor, kernel: Tensor, bias: Tensor, groups: int) -> Tensor:
    """Go straight to oneDNN on views.

    keras.ops.conv copies every activation; a step then takes 24 ms instead of 13.
    """
    from torch.nn.functional import conv2d

    y = conv2d(
        x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, padding="same", groups=groups
    )
    return y.permute(0, 2, 3, 1)
