import resource
import subprocess

import numpy as np
import pytest

from tests.conftest import ROOT
from xlsr_model.backend import checkpoint


def state_of(seed: int) -> checkpoint.State:
    rng = np.random.default_rng(seed)
    return checkpoint.new_state(
        {"a": rng.random((2, 3), np.float32), "b": rng.random(40_000, np.float32)}
    )


def test_a_checkpoint_brings_back_everything(tmp_path):
    state = state_of(1)
    state.step, state.updates, state.best_psnr, state.loss_sum = 7, 9, 28.5, 0.25
    state.momentum += 1
    state.history.append({"step": 7, "loss": 0.1})
    checkpoint.save(tmp_path / "c.npz", state, {"config": {"scale": 3}})
    loaded, about = checkpoint.load(tmp_path / "c.npz")
    assert about == {"config": {"scale": 3}}
    assert (loaded.step, loaded.updates, loaded.best_psnr, loaded.loss_sum) == (7, 9, 28.5, 0.25)
    assert loaded.history == state.history
    assert np.array_equal(loaded.momentum, state.momentum)
    assert np.array_equal(loaded.weights["a"], state.weights["a"])


def test_named_weights_are_views_of_the_vector():
    state = state_of(1)
    state.vector[0] = 5
    assert state.weights["a"][0, 0] == 5


def test_full_disk_leaves_the_previous_checkpoint_intact(tmp_path):
    file = tmp_path / "c.npz"
    checkpoint.save(file, state_of(1), {})
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (10_000, limits[1])
    )  # a real write then fails as on a full disk
    try:
        with pytest.raises(OSError, match="too large"):
            checkpoint.save(file, state_of(2), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.npz"]


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04 not really a zip"])
def test_what_is_not_a_checkpoint_is_refused(tmp_path, content):
    file = tmp_path / "c.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"c\.npz: (no such file|not a checkpoint)"):
        checkpoint.load(file)


def test_code_version_is_the_commit_and_whether_anything_of_the_package_was_changed():
    words = ["git", "status", "--porcelain", "--", "xlsr_model"]
    changes = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if changes.returncode:
        pytest.skip("not a checkout")
    assert checkpoint.code_version().endswith("-dirty") == bool(changes.stdout)
