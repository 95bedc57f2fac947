"""Rectangles: properties that hold for all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamsr.region import HALO, Region

SIDES = st.integers(1, 200)


@st.composite
def inside(draw: st.DrawFn) -> tuple[Region, int, int]:
    """A region and a picture that holds it."""
    width, height = draw(SIDES), draw(SIDES)
    x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (
        Region(x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y))),
        width,
        height,
    )


@given(inside(), st.integers(1, 300))
def test_strips_are_the_region_cut_once_each(case: tuple[Region, int, int], count: int) -> None:
    region, _, _ = case
    strips = list(region.strips(count))
    assert len(strips) == min(count, region.height)
    assert {(s.x, s.width) for s in strips} == {(region.x, region.width)}
    assert [s.y for s in strips] == [region.y, *(s.bottom for s in strips[:-1])]
    assert strips[-1].bottom == region.bottom
    heights = [s.height for s in strips]
    assert min(heights) >= 1
    assert max(heights) - min(heights) <= 1


@given(inside(), st.integers(0, 20))
def test_growing_stays_in_the_picture_and_holds_the_region(
    case: tuple[Region, int, int], margin: int
) -> None:
    region, width, height = case
    grown = region.grown(margin, width, height)
    assert grown.within(width, height)
    assert (grown.x, grown.y) == (max(region.x - margin, 0), max(region.y - margin, 0))
    assert (grown.right, grown.bottom) == (
        min(region.right + margin, width),
        min(region.bottom + margin, height),
    )


@given(inside(), st.integers(2, 4))
def test_scaling_scales_every_pixel(case: tuple[Region, int, int], scale: int) -> None:
    region, width, height = case
    mask = np.zeros((height, width), bool)
    mask[region.slices] = True
    large = np.zeros((height * scale, width * scale), bool)
    large[region.scaled(scale).slices] = True
    np.testing.assert_array_equal(mask.repeat(scale, 0).repeat(scale, 1), large)
    assert region.scaled(scale).area == region.area * scale**2


@given(inside())
def test_within_refuses_what_leaves_the_picture(case: tuple[Region, int, int]) -> None:
    region, width, height = case
    assert region.within(width, height)
    assert not Region(region.x - width, region.y, region.width, region.height).within(width, height)
    assert not Region(region.x, region.y, region.width, 0).within(width, height)
    assert not region.within(region.right - 1, height)
    assert not region.within(width, region.bottom - 1)


def test_the_halo_is_five_convolutions_wide() -> None:
    assert HALO == 5
