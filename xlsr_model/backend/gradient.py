"""Computes a scalar loss and its gradient on the Keras backend that is set: TensorFlow or PyTorch.

Nothing else in training depends on the backend.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras

from xlsr_model.network import Arrays, Batch, Gradient

Loss = Callable[[Mapping[str, Any], tuple[Any, ...]], Any]


def on_gpu() -> bool:
    """Tell whether PyTorch is the backend and has a GPU."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    return bool(torch.cuda.is_available())


def value_and_gradient(loss: Loss, *, fused: bool = False) -> Gradient:
    """Return ``f(weights, batch) -> (loss, gradients)``, which takes and gives NumPy arrays.

    `loss` takes the weights and the batch as backend tensors. `fused` lets PyTorch compile it,
    which needs a C++ compiler, and half a minute once; TensorFlow always compiles.
    Raises ValueError for any other backend.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return _torch(loss, fused)
    if backend == "tensorflow":
        return _tensorflow(loss)
    raise ValueError(f"KERAS_BACKEND is {backend}: training needs tensorflow or torch")


def _torch(loss: Loss, fused: bool) -> Gradient:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if fused:
        # Keras caches its dtype rules in functions that the compiler traces; both see the same
        # dtypes.
        warnings.filterwarnings(
            "ignore", "Dynamo detected a call to a `functools.lru_cache`", UserWarning
        )
        loss = torch.compile(loss)

    def run(weights: Arrays, batch: Batch) -> tuple[float, Arrays]:
        leaves = {
            name: torch.from_numpy(value).to(device).requires_grad_()
            for name, value in weights.items()
        }
        value = loss(leaves, tuple(torch.from_numpy(part).to(device) for part in batch))
        gradients = torch.autograd.grad(value, list(leaves.values()))
        named = zip(leaves, gradients, strict=True)
        return value.item(), {name: part.cpu().numpy() for name, part in named}

    return run


def _tensorflow(loss: Loss) -> Gradient:
    import tensorflow as tf

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def compiled(weights: dict[str, Any], batch: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(weights, batch)
        return value, tape.gradient(value, weights)

    def run(weights: Arrays, batch: Batch) -> tuple[float, Arrays]:
        tensors = {name: tf.constant(value) for name, value in weights.items()}
        value, gradients = compiled(tensors, tuple(tf.constant(part) for part in batch))
        return float(value), {name: part.numpy() for name, part in gradients.items()}

    return run
