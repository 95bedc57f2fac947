from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from xlsr_model.data.images import find_images, low_resolution_file, read_image
from xlsr_model.data.imresize import KERNELS, _taps, imresize, stretch


@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_no_pixel_differs_from_matlab(benchmarks, name):
    for file in find_images(benchmarks / name):
        twin = low_resolution_file(file, 3)
        assert twin is not None
        hr, lr = read_image(file), read_image(twin)
        height, width = lr.shape[0] * 3, lr.shape[1] * 3
        assert np.array_equal(imresize(hr[:height, :width], Fraction(1, 3)), lr), file.name


def by_numpy(image, scale):
    """The same sums, one operation of NumPy after the other; rows first."""
    for _ in range(2):
        indices, weights = _taps(len(image), ceil(len(image) * scale), Fraction(scale), "bicubic")
        total = np.zeros((len(indices), *image.shape[1:]))
        for tap in range(weights.shape[1]):
            total += weights[:, tap, None, None] * image[indices[:, tap]]
        image = np.clip(np.floor(total + 0.5), 0, 255).astype(np.uint8).transpose(1, 0, 2)
    return image


@pytest.mark.parametrize("scale", [Fraction(1, 3), Fraction(7, 10), Fraction(1, 2), 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 70), (48, 33)])
def test_compiled_and_numpy_give_the_same_bytes(scale, size):
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    image[: size[0] // 2] = image[: size[0] // 2] // 128 * 255  # beyond the range between edges
    assert np.array_equal(imresize(image, scale), by_numpy(image, scale))
    assert np.array_equal(imresize(image[::-1, ::2], scale), by_numpy(image[::-1, ::2], scale))


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


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_keeps_what_is_flat_and_the_place_of_what_is_not(kernel):
    image = np.full((24, 36, 3), 50, np.uint8)
    image[9:15, 15:21] = 200
    small = imresize(image, Fraction(1, 3), kernel)
    assert small.shape == (8, 12, 3)
    assert (small[0, 0] == 50).all()
    assert np.array_equal(small, small[::-1, ::-1])  # centred: no kernel shifts the picture
    assert np.array_equal(stretch(image, 8, 12, kernel), small)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_area_is_the_mean_of_the_pixels_inside(factor):
    image = np.random.default_rng(5).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    blocks = image.reshape(24 // factor, factor, 36 // factor, factor, 3)
    mean = blocks.mean(axis=(1, 3))
    assert np.abs(imresize(image, Fraction(1, factor), "area") - mean).max() <= 1


def test_stretched_pictures_have_the_asked_size():
    image = np.random.default_rng(6).integers(0, 256, (21, 30, 3), dtype=np.uint8)
    assert stretch(image, 21, 19, "lanczos").shape == (21, 19, 3)
    assert np.array_equal(stretch(image, 21, 30), image)
