"""The steps on a device compute what those in the host's memory do; here the device is the CPU."""

from dataclasses import replace

import numpy as np
import pytest

from xlsr_model.backend import checkpoint
from xlsr_model.config import Config
from xlsr_model.data.images import Pair, pack
from xlsr_model.network import initial_weights

torch = pytest.importorskip("torch", reason="needs PyTorch")
pytestmark = pytest.mark.usefixtures("tensorflow")

CONFIG = Config(folders=("",), steps=3, batch=2, patch=12, rate=((0, 1e-3),), average=0.9)
CHANGES = [
    {"loss": "psnr", "luma": 0.5, "margin": 2},
    {"loss": "psnr", "consistent": True, "floor": 1e-5},
    {"network": "plus", "scale": 2, "epsilon": 0.0},
    {"quantise": True, "consistent": True, "scale": 4},
    {"clipped": False},
]


@pytest.fixture(params=CHANGES, ids=lambda changes: ",".join(changes))
def config(request):
    return replace(CONFIG, **request.param)


@pytest.fixture
def batch(config):
    rng = np.random.default_rng(1)
    side = config.patch * config.scale
    return (
        rng.integers(0, 256, (2, config.patch, config.patch, 3), dtype=np.uint8),
        rng.integers(0, 256, (2, side, side, 3), dtype=np.uint8),
    )


@pytest.fixture
def weights(config, batch):
    from xlsr_model.quantization.fake_quant import with_ranges

    found = initial_weights(config.network, config.scale, seed=3, variance_scale=1.0)
    if not config.quantise:
        return found
    images = [batch[0].astype(np.float32) / 255]
    return with_ranges(config.network, config.scale, found, images)


def test_loss_and_gradient_are_those_of_the_host(config, batch, weights):
    from xlsr_model.backend.resident import Batch, loss_of
    from xlsr_model.train import _make_gradient

    lr, hr = batch
    gain = np.full((2, 1, 1, 1), 1 / 255, np.float32)
    loss, gradients = _make_gradient(config)(weights, (lr, pack(hr, config.scale), gain))
    tensors = {name: torch.from_numpy(value).requires_grad_() for name, value in weights.items()}
    planes = [torch.from_numpy(part / np.float32(255)).permute(0, 3, 1, 2) for part in batch]
    value = loss_of(config, tensors, Batch(*planes))
    assert value.item() == pytest.approx(loss, rel=1e-4)
    for name, gradient in zip(
        tensors, torch.autograd.grad(value, list(tensors.values())), strict=True
    ):
        scale = np.abs(gradients[name]).max() + 1e-9
        assert np.abs(gradient.numpy() - gradients[name]).max() / scale < 0.02, name


def test_a_step_is_that_of_the_host(monkeypatch):
    from xlsr_model.backend.optimizer import adam, learning_rate
    from xlsr_model.backend.resident import Batch, Pictures, Resident
    from xlsr_model.train import _make_gradient, _update_average

    rng = np.random.default_rng(2)
    pair = Pair(
        "",
        rng.integers(0, 256, (12, 12, 3), dtype=np.uint8),
        rng.integers(0, 256, (36, 36, 3), dtype=np.uint8),
    )
    planes = [torch.from_numpy(part[None] / np.float32(255)) for part in (pair.lr, pair.hr)]
    batch = Batch(*(part.permute(0, 3, 1, 2) for part in planes))
    monkeypatch.setattr(Pictures, "batch", lambda _: batch)
    here, there = (
        checkpoint.new_state(initial_weights("xlsr", 3, seed=3, variance_scale=1.0))
        for _ in range(2)
    )
    resident = Resident(CONFIG, there, [pair], "cpu")
    resident.advance(there, 3)
    resident.store(there)
    gradient = _make_gradient(CONFIG)
    for _ in range(3):
        gain = np.full((1, 1, 1, 1), 1 / 255, np.float32)
        loss, gradients = gradient(here.weights, (pair.lr[None], pack(pair.hr[None], 3), gain))
        adam(here, checkpoint.flatten(gradients), learning_rate(CONFIG.rate, "linear", here.step))
        _update_average(here, CONFIG.average)
        here.step += 1
        here.loss_sum += loss
    assert (there.step, there.updates, there.loss_count) == (3, 3, 3)
    assert there.loss_sum == pytest.approx(here.loss_sum, rel=1e-5)
    for name in ("vector", "momentum", "variance", "average"):
        seen, expected = getattr(there, name), getattr(here, name)
        assert np.abs(seen - expected).max() < 2e-4, name


def test_patches_are_pieces_of_one_pair_turned_alike():
    from xlsr_model.backend.resident import Pictures

    rng = np.random.default_rng(4)
    pairs = []
    for size in ((14, 20), (30, 16)):
        lr = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        pairs.append(Pair("", lr, lr.repeat(3, axis=0).repeat(3, axis=1)))
    torch.manual_seed(0)
    batch = Pictures(pairs, replace(CONFIG, batch=64, intensities=(1.0, 0.5)), "cpu").batch()
    assert batch.lr.shape == (64, 3, 12, 12)
    repeated = batch.lr.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert torch.equal(repeated, batch.hr)
    patch = batch.lr[0].permute(1, 2, 0).numpy()
    pieces = (
        np.rot90(flipped, times) * gain
        for pair in pairs
        for y in range(pair.lr.shape[0] - 11)
        for x in range(pair.lr.shape[1] - 11)
        for flipped in (pair.lr[y : y + 12, x : x + 12], pair.lr[y : y + 12, x : x + 12][::-1])
        for times in range(4)
        for gain in (1 / 255, 0.5 / 255)
    )
    assert any(np.allclose(piece, patch, atol=1e-5) for piece in pieces)
