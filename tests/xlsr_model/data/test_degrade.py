from dataclasses import replace

import numpy as np
import pytest

from xlsr_model.data.degrade import (
    CODEC_SHARES,
    FIRST_CODEC_SHARES,
    KERNEL_SHARES,
    Degradation,
    Softness,
    make_pair,
    random_degradation,
    video_pairs,
)
from xlsr_model.data.images import find_images, load_pairs
from xlsr_model.data.imresize import KERNELS


@pytest.fixture
def hr(pictures):
    hr = load_pairs(find_images(pictures), 1)[0].hr[:72, :96].copy()
    hr[:, ::7] //= 2  # fine lines, which softness takes first
    return hr


def made(hr, **how):
    return make_pair("", hr, 3, Degradation(**how), np.random.default_rng(0))


def detail(image):
    """The mean difference of the differences: what a slope has none of."""
    return float(np.abs(np.diff(image.astype(float), 2, axis=1)).mean())


def test_the_target_keeps_what_was_done_before_shrinking(hr):
    assert np.array_equal(made(hr).hr, hr)
    assert detail(made(hr, softness=Softness(blur=1.5)).hr) < 0.8 * detail(hr)
    assert detail(made(hr, softness=Softness(wide=0.4)).hr) < 0.8 * detail(hr)
    assert detail(made(hr, softness=Softness(sharpen=1.0)).hr) > 1.2 * detail(hr)
    assert made(hr, gain=0.2, offset=10.0).hr.mean() == pytest.approx(hr.mean() * 0.2 + 10, abs=1)
    assert not np.array_equal(made(hr, first="libx264", first_quality=28).hr, hr)
    lines = made(hr, softness=Softness(fields=True)).hr.astype(int)
    assert np.abs(lines[1:-1:2] - (lines[:-2:2] + lines[2::2]) / 2).max() <= 0.5


def test_the_small_twin_alone_goes_through_the_last_codec(hr):
    fine, coarse = (made(hr, codec="libx264", quality=quality) for quality in (10, 40))
    assert np.array_equal(fine.hr, hr)
    assert np.array_equal(coarse.hr, hr)
    assert fine.lr.shape == coarse.lr.shape == (24, 32, 3)
    errors = [np.abs(pair.lr.astype(int) - made(hr).lr).mean() for pair in (fine, coarse)]
    assert errors[0] < errors[1]


def test_versions_differ_and_are_the_same_each_time_however_many_processes(pictures):
    pairs = load_pairs(find_images(pictures)[:2], 3, smallest=16)
    degraded = video_pairs(pairs, 3, 3, seed=1)
    assert [pair.name for pair in degraded] == ["0#0", "0#1", "0#2", "1#0", "1#1", "1#2"]
    assert len({pair.lr.tobytes() for pair in degraded}) == 6
    for job, (a, b) in enumerate(
        zip(degraded, video_pairs(pairs, 3, 3, seed=1, workers=2), strict=True)
    ):
        how = random_degradation(np.random.default_rng((1, *divmod(job, 3))))
        if not {how.first, how.codec} & {"libsvtav1", "libx265"}:  # theirs differ now and then
            assert np.array_equal(a.lr, b.lr)
            assert np.array_equal(a.hr, b.hr)


def test_random_degradations_use_every_kernel_and_codec():
    rng = np.random.default_rng(0)
    drawn = [random_degradation(rng) for _ in range(400)]
    assert {one.codec for one in drawn} == set(CODEC_SHARES)
    assert {one.first for one in drawn} == set(FIRST_CODEC_SHARES)
    assert {one.kernel for one in drawn} == set(KERNEL_SHARES) == set(KERNELS)
    assert any(one.softness == Softness() for one in drawn)
    assert {replace(one.softness, blur=0.0) != Softness() for one in drawn} == {True, False}
    assert any(one.gain < 0.3 for one in drawn)
