"""The plain reference of the consistency operator."""

import numpy as np
import pytest

from xlsr_model.evaluation.consistency import (
    BINOMIAL,
    BOX_5,
    NO_BLUR,
    area_down,
    consistent,
    cubic_up,
    linear_up,
)

FORMS = [
    {},
    {"enlarge": cubic_up},
    {"blur": NO_BLUR},
    {"blur": BINOMIAL},
    {"blur": BOX_5},
    {"luma": True},
]


def picture(width=30, height=21, seed=1):
    coarse = np.random.default_rng(seed).integers(40, 200, (height // 3, width // 3, 3))
    return np.clip(cubic_up(coarse.astype(float), 3), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("enlarge", [linear_up, cubic_up])
def test_enlarging_has_pixel_centres_aligned(enlarge, scale):
    ramp = np.broadcast_to(np.arange(12.0)[None, :, None], (8, 12, 1)).copy()
    enlarged = enlarge(ramp, scale)
    expected = (np.arange(12 * scale) + 0.5) / scale - 0.5
    inner = slice(2 * scale, -2 * scale)
    np.testing.assert_allclose(enlarged[0, inner, 0], expected[inner], atol=1e-9)


def test_cubic_keeps_a_parabola_as_keys_kernel_does_for_this_a_alone():
    parabola = (np.arange(12.0) ** 2)[None, :, None].repeat(9, axis=0)
    expected = ((np.arange(36) + 0.5) / 3 - 0.5) ** 2
    np.testing.assert_allclose(cubic_up(parabola, 3)[0, 6:-6, 0], expected[6:-6], atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_what_agrees_already_stays_as_it_is(form):
    enlarged = np.repeat(np.repeat(picture(), 3, axis=0), 3, axis=1)
    assert np.array_equal(consistent(enlarged, picture(), **form), enlarged)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shift", [-7, 4])
def test_a_lighter_or_darker_picture_gets_its_colour_back(form, shift):
    lr = picture()
    right = np.repeat(np.repeat(lr, 3, axis=0), 3, axis=1)
    assert np.array_equal(
        consistent((right.astype(int) + shift).astype(np.uint8), lr, **form), right
    )


@pytest.mark.parametrize("form", FORMS)
def test_flat_stays_flat(form):
    flat = np.full((18, 24, 3), (7, 130, 250), np.uint8)
    made = consistent(np.full((54, 72, 3), (9, 128, 255), np.uint8), flat, **form)
    assert all(len(np.unique(made[..., channel])) == 1 for channel in range(3))


def test_the_picture_shrunk_again_comes_nearer_to_its_input():
    lr = picture()
    noise = np.random.default_rng(2).normal(0, 9, (63, 90, 3))
    enlarged = np.clip(np.rint(cubic_up(lr.astype(float), 3) + noise), 0, 255).astype(np.uint8)

    def error(image):
        return np.abs(area_down(image, 3) - lr).mean()

    assert error(consistent(enlarged, lr, blur=NO_BLUR)) < 0.6 * error(enlarged)
    assert error(consistent(enlarged, lr)) < error(enlarged)
