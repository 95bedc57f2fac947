"""Colours: what goes through YUV and back is what it was, and stays where it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.color import BT709, BT2020_NCL, FCC, FULL, LIMITED, SMPTE170M, SMPTE240M, ColorTags
from streamsr.engines import Image
from streamsr.picture.yuv import Converter

MATRICES = [BT709, FCC, SMPTE170M, SMPTE240M, BT2020_NCL]
BARS = np.array(
    [
        (255, 255, 255),
        (255, 255, 0),
        (0, 255, 255),
        (0, 255, 0),
        (255, 0, 255),
        (255, 0, 0),
        (0, 0, 255),
        (0, 0, 0),
        (191, 191, 191),
        (191, 0, 191),
        (16, 16, 16),
        (235, 235, 235),
        (128, 64, 32),
        (1, 2, 3),
    ],
    np.uint8,
)

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


def planes(width: int, height: int, sub_x: int, sub_y: int, dtype: type = np.uint8) -> Planes:
    """Y, U and V as an encoder would have them: whole chroma samples."""
    columns, rows = -(-width // (1 + sub_x)), -(-height // (1 + sub_y))
    return (
        np.zeros((rows * (1 + sub_y), columns * (1 + sub_x)), dtype),
        np.zeros((rows, columns), dtype),
        np.zeros((rows, columns), dtype),
    )


def tags(matrix: int, level: int) -> ColorTags:
    return ColorTags(matrix, 1, 1, level)


def there_and_back(rgb: Image, converter: Converter, sub_x: int, sub_y: int) -> Image:
    height, width = rgb.shape[:2]
    y, u, v = planes(width, height, sub_x, sub_y)
    converter.from_rgb(rgb, (y, u, v))
    out = np.zeros_like(rgb)
    converter.to_rgb((y[:height], u, v), out)
    return out


def colour_bars(width: int, height: int) -> Image:
    """Bars of one colour each, in areas of whole chroma samples."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = np.repeat(BARS, 8, axis=0)[np.arange(width) % (8 * len(BARS))]
    return rgb


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("level", [LIMITED, FULL])
@pytest.mark.parametrize(("sub_x", "sub_y"), [(1, 1), (1, 0), (0, 0)], ids=["420", "422", "444"])
def test_colour_bars_come_back(matrix: int, level: int, sub_x: int, sub_y: int) -> None:
    bars = colour_bars(8 * len(BARS), 16)
    back = there_and_back(bars, Converter(tags(matrix, level)), sub_x, sub_y)
    # The two columns beside an edge share chroma with the next bar.
    inner = (np.arange(bars.shape[1]) % 8 >= 2) & (np.arange(bars.shape[1]) % 8 < 6)
    difference = np.abs(back.astype(int) - bars.astype(int))[:, inner]
    # One step of Y and half a step of U and V, rounded to 8 bits on the way, are up to two levels
    # of blue.
    assert difference.max() <= 2
    assert difference.mean() <= 0.6


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("level", [LIMITED, FULL])
def test_grey_stays_grey_exactly(matrix: int, level: int) -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(4, axis=0)
    converter = Converter(tags(matrix, level))
    y, u, v = planes(256, 4, 1, 1)
    converter.from_rgb(grey, (y, u, v))
    assert (u == 128).all()
    assert (v == 128).all()
    low, high = (16, 235) if level == LIMITED else (0, 255)
    assert (y.min(), y.max()) == (low, high)
    back = np.zeros_like(grey)
    converter.to_rgb((y, u, v), back)
    assert (back == back[..., :1]).all()
    assert np.abs(back.astype(int) - grey).max() <= 1


@pytest.mark.parametrize(
    ("matrix", "red"),
    [(BT709, (63, 102, 240)), (SMPTE170M, (81, 90, 240)), (BT2020_NCL, (74, 97, 240))],
)
def test_red_has_the_numbers_of_the_standard(matrix: int, red: tuple[int, int, int]) -> None:
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[..., 0] = 255
    got = planes(2, 2, 1, 1)
    Converter(tags(matrix, LIMITED)).from_rgb(rgb, got)
    assert tuple(int(plane[0, 0]) for plane in got) == red


@settings(max_examples=40)
@given(
    width=st.integers(1, 33),
    height=st.integers(1, 17),
    sub=st.sampled_from([(1, 1), (1, 0), (0, 0)]),
)
def test_every_size_is_filled_to_its_edges(width: int, height: int, sub: tuple[int, int]) -> None:
    rgb = np.full((height, width, 3), (200, 100, 50), np.uint8)
    y, u, v = planes(width, height, *sub)
    converter = Converter(tags(BT709, LIMITED))
    converter.from_rgb(rgb, (y, u, v))
    assert all((plane == plane[0, 0]).all() for plane in (y, u, v))
    back = np.zeros_like(rgb)
    converter.to_rgb((y, u, v), back)
    assert np.abs(back.astype(int) - rgb).max() <= 2


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize(("sub_x", "sub_y"), [(1, 1), (1, 0)], ids=["420", "422"])
def test_a_smooth_ramp_does_not_move(centered: bool, sub_x: int, sub_y: int) -> None:
    """A shift by a quarter of a pixel would change this ramp of 4 levels a pixel by one, on
    average."""
    ramp = np.zeros((48, 56, 3), np.uint8)
    ramp[..., 0] = np.arange(56) * 4
    ramp[..., 2] = 255 - np.arange(48)[:, None] * 4
    ramp[..., 1] = 90
    back = there_and_back(ramp, Converter(tags(BT709, FULL), centered=centered), sub_x, sub_y)
    shift = (back.astype(float) - ramp)[4:-4, 4:-4].mean(axis=(0, 1))
    assert np.abs(shift).max() < 0.35


def test_chroma_left_of_the_pair_is_read_at_the_even_column() -> None:
    """Left-sited chroma belongs to the even column itself; centered chroma to a point half way to
    the odd one."""
    y = np.full((2, 8), 128, np.uint8)
    u, v = np.full((1, 4), 128, np.uint8), np.array([[100, 110, 120, 130]], np.uint8)
    left, centered = (np.zeros((2, 8, 3), np.uint8) for _ in range(2))
    Converter(tags(SMPTE170M, FULL)).to_rgb((y, u, v), left)
    Converter(tags(SMPTE170M, FULL), centered=True).to_rgb((y, u, v), centered)
    red = 128 + 1.402 * (np.interp(np.arange(8), np.arange(0, 8, 2), v[0]) - 128)
    np.testing.assert_allclose(left[0, :7, 0], red[:7], atol=0.51)
    red = 128 + 1.402 * (np.interp(np.arange(8), np.arange(0.5, 8, 2), v[0]) - 128)
    np.testing.assert_allclose(centered[0, :, 0], red, atol=0.51)


@pytest.mark.parametrize("depth", [9, 10, 12, 16])
def test_deep_pictures_are_read_at_their_depth(depth: int) -> None:
    y8, u8, v8 = 120, 90, 170
    shift = depth - 8
    deep = [np.full((4, 4), value << shift, np.uint16) for value in (y8, u8, v8)]
    flat = [np.full((4, 4), value, np.uint8) for value in (y8, u8, v8)]
    got, expected = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    Converter(tags(BT709, LIMITED), depth=depth).to_rgb((deep[0], deep[1], deep[2]), got)
    Converter(tags(BT709, LIMITED)).to_rgb((flat[0], flat[1], flat[2]), expected)
    assert np.abs(got.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("sub_y", [0, 1])
def test_values_outside_the_range_are_clipped_not_wrapped(sub_y: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(np.array([0, 255], np.uint8), (8, 8))
    u, v = (rng.choice(np.array([0, 255], np.uint8), (8 >> sub_y, 4)) for _ in range(2))
    out = np.zeros((8, 8, 3), np.uint8)
    Converter(tags(BT709, LIMITED)).to_rgb((y, u, v), out)
    bright = out[y == 255]
    dark = out[y == 0]
    assert bright.mean() > dark.mean()
    white = np.zeros((2, 2, 3), np.uint8)
    Converter(tags(BT709, LIMITED)).to_rgb(
        (np.full((2, 2), 255, np.uint8), *(np.full((1, 1), 128, np.uint8),) * 2), white
    )
    assert (white == 255).all()


@pytest.mark.parametrize(
    ("size", "matrix", "primaries"),
    [
        ((640, 360), 6, 1),
        ((720, 576), 6, 5),
        ((720, 480), 6, 6),
        ((1280, 720), 1, 1),
        ((1920, 1080), 1, 1),
        ((1280, 4), 1, 1),
        ((4, 577), 1, 1),
        ((4, 576), 6, 5),
    ],
)
def test_untagged_videos_are_read_as_players_do(
    size: tuple[int, int], matrix: int, primaries: int
) -> None:
    got = ColorTags().resolved(*size)
    assert (got.matrix, got.primaries, got.transfer, got.range) == (
        matrix,
        primaries,
        BT709,
        LIMITED,
    )


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 3))
def test_resolved_tags_are_whole_and_stay_as_they_are(
    matrix: int, primaries: int, transfer: int, level: int
) -> None:
    asked = ColorTags(matrix, primaries, transfer, level)
    got = asked.resolved(640, 360)
    assert got.resolved(1920, 1080) == got
    assert got.range in (LIMITED, FULL)
    assert sum(got.luma) < 1
    known = {1, 4, 5, 6, 7, 9}  # of H.273 those with a Kr and Kb of their own
    assert got.matrix == (matrix if matrix in known else SMPTE170M)
