"""Tiny runs on the TensorFlow backend: what a run leaves, and that stopping it changes nothing."""

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import ROOT
from xlsr_model.backend import checkpoint
from xlsr_model.config import Config, read_config

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture
def config(pictures) -> Config:
    return Config(
        folders=(str(pictures),),
        steps=6,
        held_out=1,
        batch=2,
        patch=12,
        rate=((0, 1e-3),),
        average=0.9,
        validate_every=2,
        checkpoint_every=2,
    )


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(config, tmp_path):
    from xlsr_model.train import train

    whole = train(config, tmp_path / "whole")
    train(replace(config, steps=4), tmp_path / "parts")
    parts = train(config, tmp_path / "parts")
    assert [row for row in parts.history if "psnr" in row] == [
        row for row in whole.history if "psnr" in row
    ]
    for name in ("vector", "momentum", "variance", "average", "best"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name)), name
    rows = (tmp_path / "whole" / "history.csv").read_text().splitlines()
    assert rows[0] == "step,loss,rate,psnr"
    assert len(rows) == 1 + len(whole.history)


@pytest.mark.parametrize(("loss", "luma"), [("charbonnier", 0.0), ("psnr", 0.0), ("psnr", 0.5)])
def test_training_lowers_the_loss_and_keeps_the_best_weights(config, tmp_path, loss, luma):
    from xlsr_model.train import train

    changes = {"loss": loss, "luma": luma, "steps": 40, "rate": ((0, 2e-3),), "variance_scale": 1.0}
    state = train(replace(config, **changes, validate_every=10), tmp_path)
    curve = [row["psnr"] for row in state.history if "psnr" in row]
    assert curve[-1] > curve[0] + 3
    assert state.best_psnr == pytest.approx(max(curve), abs=1e-3)


def test_quantization_aware_run_starts_from_a_float_one_and_at_another_scale(config, tmp_path):
    from xlsr_model.train import train

    train(replace(config, steps=2), tmp_path / "float")
    start = str(tmp_path / "float" / "checkpoint.npz")
    state = train(replace(config, steps=2, quantise=True, start=start), tmp_path / "aware")
    assert state.updates == 4
    assert {"range/stem", "range/concat", "kernel_range/head"} <= set(state.shapes)
    assert "range/side" not in state.shapes  # shares the range of the concatenation
    other = train(replace(config, steps=1, scale=2, start=start), tmp_path / "x2")
    assert other.weights["head/bias"].shape == (12,)


def test_resuming_with_other_settings_is_refused(config, tmp_path):
    from xlsr_model.train import train

    train(replace(config, steps=1), tmp_path)
    with pytest.raises(
        ValueError, match=r"was trained with epsilon = 0\.1, the configuration says 0\.0"
    ):
        train(replace(config, epsilon=0.0), tmp_path)


def test_the_state_that_the_repository_keeps_goes_on_by_its_configuration():
    from xlsr_model.start import resume

    folder = ROOT / "xlsr_model"
    config = read_config(folder / "configs" / "trunk_3_long.toml", data="elsewhere")
    assert resume(folder / "checkpoints" / "trunk_3_long.npz", config).step == 37_900


def test_checkpoint_of_another_architecture_is_refused(config, tmp_path):
    from xlsr_model.train import train

    train(replace(config, steps=1), tmp_path)
    with pytest.raises(ValueError, match=r"not weights of espcn x3: expected conv1/kernel"):
        train(replace(config, network="espcn"), tmp_path)


def test_adam_follows_its_paper():
    from xlsr_model.backend.optimizer import adam

    state = checkpoint.new_state({"w": np.array([1.0, -2.0], np.float32)})
    adam(state, np.array([0.5, -0.1], np.float32), 0.01)
    assert state.vector == pytest.approx(
        [0.99, -1.99], abs=1e-6
    )  # the first step is the rate, whatever the gradient
    adam(state, np.array([0.0, 0.0], np.float32), 0.01)
    assert state.vector[0] == pytest.approx(
        0.99 - 0.01 * (0.045 / 0.19) / np.sqrt(0.25 * 0.000999 / 0.001999), rel=1e-4
    )
