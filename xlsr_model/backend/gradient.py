"""Loss and gradient of a scalar function of named arrays, on the Keras backend that is set. Nothing else depends on
the backend."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from xlsr_model.network import Arrays

Loss = Callable[[Mapping[str, Any], tuple[Any, ...]], Any]


def value_and_gradient(
    loss: Loss, *, fused: bool = False
) -> Callable[[Arrays, tuple[np.ndarray, ...]], tuple[float, Arrays]]:
    """``f(weights, batch) -> (loss, gradients)`` in NumPy. `loss` takes the weights and the batch as backend tensors.

    `fused` lets PyTorch compile the loss (needs a C++ compiler, and half a minute once); TensorFlow and JAX always do.
    """
    if keras.backend.backend() == "torch":
        return _torch(loss, fused)
    return {"tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()](loss)


def _torch(loss: Loss, fused: bool) -> Callable[[Arrays, tuple[np.ndarray, ...]], tuple[float, Arrays]]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if fused:
        # Keras caches its dtype rules in functions that the compiler looks through; both see the same dtypes.
        warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`", UserWarning)
        loss = torch.compile(loss)

    def run(weights: Arrays, batch: tuple[np.ndarray, ...]) -> tuple[float, Arrays]:
        leaves = {name: torch.from_numpy(value).to(device).requires_grad_() for name, value in weights.items()}
        value = loss(leaves, tuple(torch.from_numpy(part).to(device) for part in batch))
        gradients = torch.autograd.grad(value, list(leaves.values()))
        return value.item(), {name: part.cpu().numpy() for name, part in zip(leaves, gradients, strict=True)}

    return run


def _tensorflow(loss: Loss) -> Callable[[Arrays, tuple[np.ndarray, ...]], tuple[float, Arrays]]:
    import tensorflow as tf

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def compiled(weights: dict[str, Any], batch: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(weights, batch)
        return value, tape.gradient(value, weights)

    def run(weights: Arrays, batch: tuple[np.ndarray, ...]) -> tuple[float, Arrays]:
        tensors = {name: tf.constant(value) for name, value in weights.items()}
        value, gradients = compiled(tensors, tuple(tf.constant(part) for part in batch))
        return float(value), {name: part.numpy() for name, part in gradients.items()}

    return run


def _jax(loss: Loss) -> Callable[[Arrays, tuple[np.ndarray, ...]], tuple[float, Arrays]]:
    import jax

    compiled = jax.jit(jax.value_and_grad(loss))

    def run(weights: Arrays, batch: tuple[np.ndarray, ...]) -> tuple[float, Arrays]:
        value, gradients = compiled(weights, batch)
        return float(value), {name: np.asarray(part) for name, part in gradients.items()}

    return run
