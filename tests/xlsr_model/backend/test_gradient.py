"""Loss and gradient are the same on TensorFlow and PyTorch, each in a process of its own."""

import json
import os
import sys
from importlib.util import find_spec

import pytest

from tests.support.processes import run

CODE = """
import json
import numpy as np
from xlsr_model.config import Config
from xlsr_model.quantization.equalize import equalizing_factors
from xlsr_model.network import initial_weights
from xlsr_model.quantization.fake_quant import with_ranges
from xlsr_model.train import _make_gradient

rng = np.random.default_rng(1)
lr = rng.integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
hr = rng.integers(0, 256, (2, 12, 12, 27), dtype=np.uint8)
batch = lr, hr, np.full((2, 1, 1, 1), 1 / 255, np.float32)
image = lr.astype(np.float32) / 255
weights = initial_weights("xlsr", 3, seed=1, variance_scale=1.0)
weights["head/bias"] += 0.5
result = {}
for kind, values in {"float": weights, "aware": with_ranges("xlsr", 3, weights, [image])}.items():
    loss, gradients = _make_gradient(Config(folders=("x",)))(values, batch)
    names = ("stem/kernel", "head/bias", "block2_mix/kernel")
    result[kind] = [loss, *(float(np.abs(gradients[name]).sum()) for name in names)]
    if kind == "aware":
        names = ("range/concat", "kernel_range/merge")
        result["ranges"] = [float(gradients[name].sum()) for name in names]
factors = equalizing_factors("xlsr", 3, weights, lambda step: image, steps=3)
logs = [np.log(factors[f"{name}/bias"]) for name in ("stem", "merge", "side")]
result["equalized"] = [float(np.abs(log).max()) for log in logs]
print(json.dumps(result))
"""


def computed(backend: str) -> dict[str, list[float]]:
    environment = os.environ | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""}
    result = run([sys.executable, "-c", CODE], env=environment, timeout_s=200, check=True)
    values: dict[str, list[float]] = json.loads(result.stdout.splitlines()[-1])
    return values


def test_pytorch_agrees_with_tensorflow():
    """TensorFlow's values are the reference."""
    missing = [name for name in ("torch", "keras", "tensorflow") if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    reference, theirs = computed("tensorflow"), computed("torch")
    assert theirs["float"] == pytest.approx(reference["float"], rel=1e-3)
    # A value on the edge between two levels may fall to either side.
    assert theirs["aware"] == pytest.approx(reference["aware"], rel=0.05)
    assert theirs["ranges"] == pytest.approx(reference["ranges"], rel=0.2, abs=2e-3)
    assert theirs["equalized"] == pytest.approx(
        reference["equalized"], rel=0.05
    )  # the longest way of Adam's 3 steps


def test_a_backend_that_training_does_not_know_is_named():
    if find_spec("keras") is None:
        pytest.skip("keras is not installed")
    code = (
        "import keras\nfrom xlsr_model.backend.gradient import value_and_gradient\n"
        "keras.backend.backend = lambda: 'jax'\nvalue_and_gradient(None)"
    )
    result = run([sys.executable, "-c", code], timeout_s=200)
    assert "KERAS_BACKEND is jax: training needs tensorflow or torch" in result.stderr
