"""What is done to the network's picture: its properties, however the work is cut."""

import itertools
import threading
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.engines.conformity import natural
from streamsr.frame import Image
from streamsr.options import SCALES, Look
from streamsr.picture.finish import Finish, finish_for
from streamsr.picture.resize import resized
from tests.support.media import noise

CONSISTENT = Look(consistent=True)
LOOKS = [
    CONSISTENT,
    Look(sharpen=0.7),
    Look(strength=0.4),
    Look(consistent=True, sharpen=1.0, strength=0.8),
]


def finished(look: Look, lr: Image, raw: Image, *, threads: int = 1) -> Image:
    hr = np.full_like(raw, 77)
    finish = Finish(look, threads=threads)
    try:
        finish(lr, raw, hr)
    finally:
        finish.close()
    return hr


def smaller(picture: Image, scale: int) -> "np.ndarray":  # type: ignore[type-arg]
    height, width = picture.shape[0] // scale, picture.shape[1] // scale
    return picture.reshape(height, scale, width, scale, 3).mean((1, 3))


def test_where_nothing_is_to_be_done_there_is_nothing_that_does_it() -> None:
    for scale in (3, 8):
        assert finish_for(Look(), scale=scale, threads=1) is None
        assert finish_for(Look(False, sharpen=0.0, strength=1.0), scale=scale, threads=1) is None


def test_consistency_at_other_scales_is_refused() -> None:
    with pytest.raises(ValueError, match="upscales by 8: it is made for 2, 3, 4"):
        finish_for(CONSISTENT, scale=8, threads=1)


@pytest.mark.parametrize("look", LOOKS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (5, 7), (61, 90)])
def test_the_number_of_threads_changes_nothing(look: Look, size: tuple[int, int]) -> None:
    lr, raw = noise(*size), noise(3 * size[0], 3 * size[1], 1)
    before = lr.copy(), raw.copy()
    expected = finished(look, lr, raw)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(finished(look, lr, raw, threads=threads), expected)
    np.testing.assert_array_equal(lr, before[0])
    np.testing.assert_array_equal(raw, before[1])


def test_one_finish_serves_pictures_of_several_sizes_and_closing_ends_its_threads() -> None:
    before = {thread.ident for thread in threading.enumerate()}
    look = LOOKS[-1]
    finish = Finish(look, threads=3)
    for size in ((20, 60), (30, 90), (20, 60)):
        lr, raw = noise(*size), noise(2 * size[0], 2 * size[1], 1)
        hr = np.zeros_like(raw)
        finish(lr, raw, hr)
        np.testing.assert_array_equal(hr, finished(look, lr, raw))
    finish.close()
    finish.close()
    assert {thread.ident for thread in threading.enumerate()} <= before


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("level", [0, 1, 100, 254, 255])
@pytest.mark.parametrize("off", [-255, -60, -1, 0, 1, 2, 128])
def test_a_flat_picture_becomes_exactly_its_level(scale: int, level: int, off: int) -> None:
    lr = np.full((6, 9, 3), level, np.uint8)
    raw = np.full((6 * scale, 9 * scale, 3), np.clip(level + off, 0, 255), np.uint8)
    for look in LOOKS:
        if look.consistent:
            assert (finished(look, lr, raw) == level).all()


@pytest.mark.parametrize("scale", SCALES)
def test_the_enlarged_picture_made_small_comes_nearer_to_its_source(scale: int) -> None:
    lr = natural(80, 60)
    large = resized(lr, (80 * scale, 60 * scale)).astype(np.int16)
    raw = np.clip(large + np.array([9, -6, 3]), 0, 255).astype(np.uint8)  # colours that are off
    before, after = (
        smaller(picture, scale) - lr for picture in (raw, finished(CONSISTENT, lr, raw))
    )
    assert np.abs(after).mean() < 0.4 * np.abs(before).mean()
    assert np.abs(after.mean((0, 1))).max() < 0.15 < np.abs(before.mean((0, 1))).max()


@settings(max_examples=30)
@given(
    scale=st.sampled_from(SCALES),
    width=st.integers(1, 20),
    height=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_consistency_is_what_other_arithmetic_gives_within_a_level(
    scale: int, width: int, height: int, seed: int
) -> None:
    """In floating point, by OpenCV: its blur, and its linear enlargement between centres."""
    lr, raw = noise(width, height, seed), noise(scale * width, scale * height, seed + 1)
    lost = (lr - smaller(raw, scale)).astype(np.float32)
    kernel = np.array([1, 2, 1], np.float32) / 4
    soft = cv2.sepFilter2D(lost, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    size = scale * width, scale * height
    large = cv2.resize(soft.reshape(lost.shape), size, interpolation=cv2.INTER_LINEAR)
    expected = np.clip(raw + large.reshape(raw.shape), 0, 255)
    assert np.abs(finished(CONSISTENT, lr, raw) - expected).max() <= 0.65


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("changed", ["source", "network"])
def test_a_pixel_reaches_no_further_than_two(scale: int, changed: str) -> None:
    lr, raw = noise(15, 15), noise(15 * scale, 15 * scale, 1)
    lr_2, raw_2 = lr.copy(), raw.copy()
    if changed == "source":
        lr_2[7, 7] ^= 255
    else:
        raw_2[7 * scale : 8 * scale, 7 * scale : 8 * scale] ^= 255
    differs = (finished(CONSISTENT, lr, raw) != finished(CONSISTENT, lr_2, raw_2)).any(2)
    rows, columns = np.nonzero(differs)
    for places in (rows, columns):
        assert places.min() >= 5 * scale
        assert places.max() < 10 * scale


def around(picture: Image, which: Callable[..., Image]) -> Image:
    return which(picture, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)


@settings(max_examples=40)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    span=st.integers(1, 256),
    amounts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 99),
)
def test_sharpening_overshoots_nowhere_and_grows_with_its_amount(
    width: int, height: int, span: int, amounts: tuple[float, float], seed: int
) -> None:
    least = (256 - span) * (seed % 3) // 2
    raw = np.random.default_rng(seed).integers(least, least + span, (height, width, 3), np.uint8)
    less, more = sorted(amounts)
    lr = raw  # which sharpening does not look at
    softer, sharper = (
        finished(Look(sharpen=amount), lr, raw) if amount else raw for amount in (less, more)
    )
    # The edge of a picture is repeated, so that it counts itself; that adds no level.
    assert (sharper >= around(raw, cv2.erode).reshape(raw.shape)).all()
    assert (sharper <= around(raw, cv2.dilate).reshape(raw.shape)).all()
    change, larger = softer.astype(int) - raw, sharper.astype(int) - raw
    assert (np.abs(larger) >= np.abs(change)).all()
    assert (change * larger >= 0).all()


def test_sharpening_sharpens_soft_edges_and_more_than_hard_ones() -> None:
    """The steepest step of a slow edge grows; an edge from black to white has no room."""
    x = np.linspace(-3, 3, 40)
    row = 128 + 60 * np.tanh(x)
    raw = np.repeat(np.repeat(row[None, :, None], 20, 0), 3, 2).astype(np.uint8)
    sharp = finished(Look(sharpen=1.0), raw, raw)
    assert np.diff(sharp[10, :, 0].astype(int)).max() > np.diff(raw[10, :, 0].astype(int)).max()
    hard = np.zeros_like(raw)
    hard[:, 20:] = 255
    np.testing.assert_array_equal(finished(Look(sharpen=1.0), hard, hard), hard)


def test_a_smallest_amount_changes_no_byte() -> None:
    raw = noise(30, 30)
    np.testing.assert_array_equal(finished(Look(sharpen=1e-9), raw, raw), raw)
    lr = noise(10, 10)
    np.testing.assert_array_equal(finished(Look(strength=1 - 1e-9), lr, raw), raw)


def test_strength_runs_from_bicubic_to_the_network() -> None:
    lr, raw = natural(40, 30), noise(120, 90)
    smooth = resized(lr, (120, 90)).astype(int)
    np.testing.assert_array_equal(finished(Look(strength=0.0), lr, raw), smooth)
    apart = [np.abs(finished(Look(strength=s), lr, raw) - smooth) for s in (0, 0.2, 0.5, 0.9, 1)]
    assert all((more >= less).all() for less, more in itertools.pairwise(apart))
    half = finished(Look(strength=0.5), lr, raw)
    assert np.abs(half - (smooth + raw) / 2).max() <= 0.5


@pytest.mark.parametrize("strength", [0.25, 0.5, 0.875])
def test_strength_makes_nothing_lighter_or_darker(strength: float) -> None:
    lr, raw = natural(80, 60), natural(240, 180)
    smooth = finished(Look(strength=0.0), lr, raw)
    exact = raw * strength + smooth.astype(float) * (1 - strength)
    assert abs(finished(Look(strength=strength), lr, raw).mean() - exact.mean()) < 0.02


@pytest.mark.parametrize("values", [{"sharpen": 1.1}, {"sharpen": -0.1}, {"strength": 2.0}])
@pytest.mark.parametrize("nan", [False, True])
def test_amounts_outside_their_range_are_refused(values: dict[str, float], nan: bool) -> None:
    if nan:
        values = dict.fromkeys(values, float("nan"))
    with pytest.raises(ValueError, match="from 0 to 1, got"):
        Look(**values)
