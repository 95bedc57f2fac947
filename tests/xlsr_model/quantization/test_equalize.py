"""Equalised weights are the same function, and rounding harms them less."""

from dataclasses import replace

import numpy as np
import pytest

from xlsr_model.config import Config
from xlsr_model.network import initial_weights

pytestmark = pytest.mark.usefixtures("tensorflow")

IMAGES = np.random.default_rng(2).random((4, 2, 16, 16, 3), np.float32)


def images(step: int) -> np.ndarray:
    return IMAGES[step % len(IMAGES)]


@pytest.fixture
def weights():
    """One channel of the stem is large and of the next layer small, as the other way round before
    the concatenation.
    """
    weights = initial_weights("xlsr", 3, seed=4, variance_scale=1.0)
    weights["head/bias"] += 0.5  # inside the clip
    for producer, consumer, factor in (("stem", "stem_mix", 30.0), ("side", "merge", 0.05)):
        channel = 32 if producer == "side" else 0
        weights[f"{producer}/kernel"][..., 0] *= factor
        weights[f"{consumer}/kernel"][:, :, channel] /= factor
    return weights


def output(weights: dict[str, np.ndarray], *, rounded: bool) -> np.ndarray:
    from keras import ops

    from xlsr_model.backend.forward import forward
    from xlsr_model.quantization.fake_quant import fake_quantizers, with_ranges

    ranged = {
        name: ops.convert_to_tensor(value)
        for name, value in with_ranges("xlsr", 3, weights, IMAGES).items()
    }
    kernel, activation = fake_quantizers(ranged if rounded else {})
    return np.stack(
        [
            ops.convert_to_numpy(
                forward(
                    "xlsr",
                    3,
                    ranged,
                    ops.convert_to_tensor(image),
                    kernel_tap=kernel,
                    activation_tap=activation,
                )
            )
            for image in IMAGES
        ]
    )


def test_equalized_weights_are_the_same_function_and_lose_less_to_rounding(weights):
    from xlsr_model.quantization.equalize import equalizing_factors

    factors = equalizing_factors("xlsr", 3, weights, images, steps=60)
    equalized = {name: value * factors[name] for name, value in weights.items()}
    before = output(weights, rounded=False)
    np.testing.assert_allclose(output(equalized, rounded=False), before, atol=1e-4)
    assert factors["stem/bias"][0] < 0.7 * np.median(factors["stem/bias"])
    lost, still_lost = (
        np.sqrt(np.mean(np.square(output(w, rounded=True) - before))) for w in (weights, equalized)
    )
    assert still_lost < 0.7 * lost


def test_a_run_from_equalized_weights_starts_where_the_float_run_ended(
    pictures, tmp_path, monkeypatch
):
    from xlsr_model.quantization.equalize import equalizing_factors
    from xlsr_model.quantization.fake_quant import without_ranges
    from xlsr_model.train import train

    monkeypatch.setitem(
        equalizing_factors.__kwdefaults__, "steps", 5
    )  # of 600: how good they are is another test
    config = Config(
        folders=(str(pictures),), steps=3, held_out=1, batch=2, patch=12, rate=((0, 1e-3),)
    )
    ended = train(config, tmp_path / "float")
    start = str(tmp_path / "float" / "checkpoint.npz")
    aware = replace(config, start=start, quantise=True, equalise=True, steps=1, rate=((0, 1e-9),))
    state = train(aware, tmp_path / "aware")
    assert state.updates == 4
    assert not np.allclose(state.weights["stem/kernel"], ended.weights["stem/kernel"])
    same = output(without_ranges(state.weights), rounded=False)
    np.testing.assert_allclose(same, output(ended.weights, rounded=False), atol=1e-4)
    again = train(
        replace(aware, start=str(tmp_path / "aware" / "checkpoint.npz"), seed=2), tmp_path / "again"
    )
    assert not np.array_equal(
        again.weights["range/stem"], state.weights["range/stem"]
    )  # ranges start anew
