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


def consistent(packed: Tensor, lr: Tensor, scale: int) -> Tensor:
    """Add what the enlarged picture, shrunk again, lacks of the input; packed [N, H, W, 3*s*s].

    `lr` is RGB/255 [N, H, W, 3]. What is missing of each pixel's mean is blurred by [1 2 1]/4 both
    ways and interpolated linearly between the centres of the pixels, edges repeated: what
    ``streamsr`` does in integers.
    """
    means = ops.mean(ops.reshape(packed, (*packed.shape[:3], scale * scale, 3)), axis=3)
    missing = lr - means
    for axis in (1, 2):
        before, after = _neighbours(missing, axis)
        missing = (before + 2 * missing + after) / 4
    return packed + _enlarged(missing, scale)


def _enlarged(x: Tensor, scale: int) -> Tensor:
    """Interpolate [N, H, W, 3] linearly by the scale; packed."""
    rows = [_between(x, scale, row, axis=1) for row in range(scale)]
    places = [_between(row, scale, column, axis=2) for row in rows for column in range(scale)]
    return ops.concatenate(places, axis=-1)


def _between(x: Tensor, scale: int, phase: int, *, axis: int) -> Tensor:
    distance = (phase + 0.5) / scale - 0.5  # of the output pixel's centre from the input pixel's
    before, after = _neighbours(x, axis)
    other = before if distance < 0 else after
    return x + abs(distance) * (other - x)


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the values one before and one after, along an axis, edges repeated."""
    first, last = [slice(None)] * 4, [slice(None)] * 4
    first[axis], last[axis] = slice(0, 1), slice(-1, None)
    most, rest = [slice(None)] * 4, [slice(None)] * 4
    most[axis], rest[axis] = slice(0, -1), slice(1, None)
    before = ops.concatenate([x[tuple(first)], x[tuple(most)]], axis=axis)
    return before, ops.concatenate([x[tuple(rest)], x[tuple(last)]], axis=axis)


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
