"""Exact reuse: what did not change is taken from the frame before, and nobody can tell."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.changes import affected_cells, regions_of
from streamsr.engines import Image
from streamsr.frame import Frame
from streamsr.region import CELL, HALO, Region
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler
from tests.support.engine import EXACT

REGION_COSTS = [200, 1024]


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def with_spots(image: Image, count: int, seed: int) -> Image:
    """A copy with some small rectangles changed."""
    rng = np.random.default_rng(seed)
    changed = image.copy()
    for _ in range(count):
        y, x = rng.integers(0, image.shape[0]), rng.integers(0, image.shape[1])
        changed[y : y + rng.integers(1, 12), x : x + rng.integers(1, 12)] ^= np.uint8(rng.integers(1, 256))
    return changed


def reached(before: Image, after: Image, covered: Image) -> bool:
    """Whether ``covered`` holds all pixels that a change reaches."""
    return all(
        covered[max(y - HALO, 0) : y + HALO + 1, max(x - HALO, 0) : x + HALO + 1].all()
        for y, x in np.argwhere((before != after).any(axis=2))
    )


PICTURES = {
    "height": st.integers(1, 70), "width": st.integers(1, 90), "spots": st.integers(0, 12), "seed": st.integers(0, 1000)
}  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(**PICTURES)
def test_cells_cover_all_that_a_change_reaches(height: int, width: int, spots: int, seed: int) -> None:
    before = noise(height, width)
    after = with_spots(before, spots, seed)
    cells = affected_cells(before, after)
    assert reached(before, after, cells.repeat(CELL, 0).repeat(CELL, 1)[:height, :width])


@pytest.mark.parametrize("region_cost", REGION_COSTS)
@settings(deadline=None, max_examples=60)
@given(**PICTURES)
def test_regions_hold_their_cells_and_do_not_overlap(
    region_cost: int, height: int, width: int, spots: int, seed: int
) -> None:
    before = noise(height, width)
    after = with_spots(before, spots, seed)
    covered = np.zeros((height, width), np.int32)
    for region in regions_of(affected_cells(before, after), width, height, region_cost=region_cost):
        assert region.within(width, height)
        covered[region.slices] += 1
    assert covered.max() <= 1
    assert reached(before, after, covered)


def test_equal_pictures_have_no_affected_cell() -> None:
    assert not affected_cells(noise(40, 50), noise(40, 50)).any()


def test_an_entirely_new_picture_is_one_region() -> None:
    cells = affected_cells(noise(40, 50), noise(40, 50, seed=1))
    assert regions_of(cells, 50, 40, region_cost=200) == [Region.of(50, 40)]


@pytest.mark.parametrize(("y", "x", "cells"), [(64, 64, 4), (67, 67, 9), (71, 64, 4), (67, 71, 6), (0, 0, 1)])
def test_a_changed_pixel_affects_the_cells_within_its_reach_only(y: int, x: int, cells: int) -> None:
    before = noise(128, 128)
    after = before.copy()
    after[y, x] ^= 1
    assert np.count_nonzero(affected_cells(before, after)) == cells


def frames(images: list[Image]) -> list[Frame]:
    return [Frame(image, i, Fraction(1, 25), index=i) for i, image in enumerate(images)]


def film() -> list[Image]:
    """Static, slightly changed, scattered changes, a cut, another size, and back."""
    first = noise(48, 80)
    images = [first, first.copy(), with_spots(first, 1, 1), with_spots(first, 5, 2), noise(48, 80, 3), noise(33, 41)]
    return [*images, first, with_spots(first, 2, 4)]


def test_reuse_gives_the_bytes_of_full_computation(model: str) -> None:
    with (
        Upscaler(model, engine=EXACT, reuse=False, threads=1) as full,
        Upscaler(model, engine=EXACT, threads=1) as reusing,
    ):
        for frame in frames(film()):
            np.testing.assert_array_equal(reusing.frames([frame])[0].rgb, full.frames([frame])[0].rgb)


def test_every_frame_has_one_fate_and_the_reused_share_is_counted(model: str) -> None:
    record = Recorder()
    with Upscaler(model, engine=EXACT, threads=1, record=record) as upscaler:
        for frame in frames(film()):
            upscaler.frames([frame])
    stats = record.snapshot()
    assert (stats.frames["reused"], stats.frames["partial"], stats.frames["network"]) == (1, 3, 4)
    assert 0.1 < stats.reuse_share < 0.9


def test_reuse_holds_at_a_resized_output_too(model: str) -> None:
    with (
        Upscaler(model, engine=EXACT, reuse=False, size=(200, 130), threads=1) as full,
        Upscaler(model, engine=EXACT, size=(200, 130), threads=1) as reusing,
    ):
        for frame in frames(film()[:5]):
            np.testing.assert_array_equal(reusing.frames([frame])[0].rgb, full.frames([frame])[0].rgb)


def test_verify_reuse_accepts_a_correct_engine(model: str) -> None:
    with Upscaler(model, engine=EXACT, threads=1, verify_reuse=True) as upscaler:
        for frame in frames(film()):
            upscaler.frames([frame])


def test_a_picture_written_to_after_a_single_call_is_not_taken_for_unchanged(model: str) -> None:
    image = noise(16, 16)
    with Upscaler(model, engine=EXACT, threads=1) as upscaler:
        before = upscaler(image)
        image[:] = 255 - image
        assert not np.array_equal(upscaler(image), before)
