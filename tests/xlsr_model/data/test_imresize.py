from fractions import Fraction

import numpy as np
import pytest

from xlsr_model.data.images import find_images, low_resolution_file, read_image
from xlsr_model.data.imresize import imresize


@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_no_pixel_differs_from_matlab(benchmarks, name):
    for file in find_images(benchmarks / name):
        twin = low_resolution_file(file, 3)
        assert twin is not None
        hr, lr = read_image(file), read_image(twin)
        height, width = lr.shape[0] * 3, lr.shape[1] * 3
        assert np.array_equal(imresize(hr[:height, :width], Fraction(1, 3)), lr), file.name


@pytest.mark.parametrize(
    "scale", [Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), 1, 2, 3]
)
def test_size_is_rounded_up_and_a_flat_image_stays_flat(scale):
    image = np.full((13, 17, 3), 77, np.uint8)
    resized = imresize(image, scale)
    assert resized.shape == (-(-13 * scale // 1), -(-17 * scale // 1), 3)
    assert (resized == 77).all()


def test_scale_one_changes_nothing():
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(imresize(image, 1), image)


def test_turned_images_resize_alike_up_to_the_rounding_between_passes():
    image = np.random.default_rng(2).integers(0, 256, (30, 36, 3), dtype=np.uint8)
    turned = imresize(image.transpose(1, 0, 2).copy(), Fraction(1, 3)).transpose(1, 0, 2)
    assert np.abs(turned.astype(int) - imresize(image, Fraction(1, 3))).max() <= 1


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match=r"expected \[H, W, C\] uint8, got"):
        imresize(image, 2)
