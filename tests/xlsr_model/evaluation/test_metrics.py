import numpy as np
import pytest

from xlsr_model.evaluation.metrics import compare, luma


def test_luma_spans_16_to_235():
    assert luma(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8))[0, :, 0] == pytest.approx(
        [16, 235]
    )


def test_one_level_everywhere_is_48_db():
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    values = compare(image + 1, image, 3)
    assert values["psnr_rgb"] == pytest.approx(20 * np.log10(255))
    assert values["psnr_y"] == pytest.approx(20 * np.log10(255 / (219 / 255)))
    assert values["ssim_rgb"] > 0.99


def test_border_is_not_counted():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    other = image.copy()
    other[:3] = 255 - other[:3]
    assert compare(image, other, 3)["psnr_rgb"] == np.inf
    assert compare(image, other, 2)["psnr_rgb"] < 40


def test_ssim_of_noise_against_itself_is_one_and_against_other_noise_near_zero():
    first, second = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert compare(first, first, 0)["ssim_y"] == pytest.approx(1)
    assert abs(compare(first, second, 0)["ssim_y"]) < 0.1


def test_unlike_or_tiny_images_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        compare(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 21, 3), np.uint8), 3)
    with pytest.raises(ValueError, match="too small"):
        compare(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16, 3), np.uint8), 3)
