"""What a picture's file says of its codec, and what its pixels say of their sampling."""

import io

import av
import numpy as np
import pytest
from PIL import Image as PillowImage

from streamsr.picture.coded import coded_of
from streamsr.picture.sharpness import Steps, steps
from tests.support.media import noise, picture

RGB = picture(0, 160, 120)


def content(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(RGB).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_a_jpeg_has_the_mean_of_its_luma_table(quality: int) -> None:
    file = content("JPEG", quality=quality)
    with PillowImage.open(io.BytesIO(file)) as image:
        tables = image.quantization  # type: ignore[attr-defined]  # of JPEG only
    found = coded_of(file, RGB)
    assert found is not None
    assert found.codec == "jpeg"
    assert found.quantiser == pytest.approx(np.mean(tables[0]))


def test_other_lossy_pictures_have_their_bits() -> None:
    for kind, codec in (("WEBP", "webp"), ("AVIF", "av1")):
        file = content(kind, quality=60)
        found = coded_of(file, RGB)
        assert found is not None
        assert (found.codec, found.quantiser) == (codec, None)
        assert found.bits == pytest.approx(8 * len(file) / (160 * 120))


def test_lossless_pictures_have_nothing() -> None:
    for file in (content("PNG"), content("WEBP", lossless=True), content("BMP"), content("TIFF")):
        assert coded_of(file, RGB) is None


def test_a_cut_off_jpeg_has_no_quantiser() -> None:
    file = content("JPEG")
    at = file.index(b"\xff\xdb")
    found = coded_of(file[: at + 20], RGB)
    assert found is not None
    assert found.quantiser is None


def shrunk(how: str) -> np.ndarray:
    """The luma of rectangles of all sizes, shrunk to a third."""
    chance = np.random.default_rng(4)
    large = np.full((720, 960), 128, np.uint8)
    for _ in range(400):
        y, x = chance.integers(0, 700), chance.integers(0, 940)
        height, width = chance.integers(3, 90, 2)
        large[y : y + height, x : x + width] = chance.integers(0, 256)
    frame = av.VideoFrame.from_ndarray(large, format="gray")
    return frame.reformat(width=320, height=240, interpolation=how).to_ndarray()


def test_sharper_filters_are_told_by_their_swings() -> None:
    found = [steps(shrunk(how)).sharpness for how in ("AREA", "BICUBIC", "LANCZOS")]
    assert None not in found
    assert found == sorted(found)  # type: ignore[type-var]  # none is None
    assert found[2] - found[0] > 0.1  # type: ignore[operator]


def test_the_order_of_lines_does_not_matter() -> None:
    luma = noise(64, 48)[..., 0]
    fields = np.concatenate((luma[::2], luma[1::2]))
    assert steps(fields).sharpness == pytest.approx(steps(luma).sharpness)
    assert steps(fields).detail == pytest.approx(steps(luma).detail)


def test_pictures_are_joined_by_what_is_in_them() -> None:
    one, flat = steps(noise(64, 48)[..., 0]), steps(np.zeros((48, 64), np.uint8))
    assert (flat.sharpness, flat.detail) == (None, None)
    assert (one + flat).sharpness == one.sharpness
    assert one + Steps() == one


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 4), (3, 5)])
def test_the_smallest_pictures_are_measured_too(size: tuple[int, int]) -> None:
    steps(noise(size[1], size[0])[..., 0])
