"""Exact reuse: what did not change is taken from the frame before, and nobody can tell."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.engines import Image, Tile
from streamsr.errors import ModelError
from streamsr.frame import Frame
from streamsr.live.stage import LiveStage
from streamsr.options import Look
from streamsr.picture.finish import finish_for
from streamsr.region import CELL, HALO, Cells, Region
from streamsr.stats import Recorder
from streamsr.tiling.changes import affected_cells, regions_of
from streamsr.tiling.rectangles import Price, Rectangle, rectangles
from streamsr.upscaler import Upscaler
from tests.support.engine import EXACT, WHY_NOT_FUSED
from tests.support.media import noise

REGION_COSTS = [200, 1024]


def with_spots(image: Image, count: int, seed: int) -> Image:
    """A copy with some small rectangles changed."""
    rng = np.random.default_rng(seed)
    changed = image.copy()
    for _ in range(count):
        y, x = rng.integers(0, image.shape[0]), rng.integers(0, image.shape[1])
        changed[y : y + rng.integers(1, 12), x : x + rng.integers(1, 12)] ^= np.uint8(
            rng.integers(1, 256)
        )
    return changed


def reached(before: Image, after: Image, covered: Image, halo: int = HALO) -> bool:
    """Whether ``covered`` holds all pixels that a change reaches."""
    return all(
        covered[max(y - halo, 0) : y + halo + 1, max(x - halo, 0) : x + halo + 1].all()
        for y, x in np.argwhere((before != after).any(axis=2))
    )


PICTURES = {
    "height": st.integers(1, 70),
    "width": st.integers(1, 90),
    "spots": st.integers(0, 12),
    "seed": st.integers(0, 1000),
}


@settings(deadline=None, max_examples=150)
@given(**PICTURES)
def test_cells_cover_all_that_a_change_reaches(
    height: int, width: int, spots: int, seed: int
) -> None:
    before = noise(width, height)
    after = with_spots(before, spots, seed)
    cells = affected_cells(before, after)
    assert reached(before, after, cells.repeat(CELL, 0).repeat(CELL, 1)[:height, :width])


@pytest.mark.parametrize("region_cost", REGION_COSTS)
@settings(deadline=None, max_examples=60)
@given(**PICTURES)
def test_regions_hold_their_cells_and_do_not_overlap(
    region_cost: int, height: int, width: int, spots: int, seed: int
) -> None:
    before = noise(width, height)
    after = with_spots(before, spots, seed)
    covered = np.zeros((height, width), np.int32)
    for region in regions_of(affected_cells(before, after), width, height, region_cost=region_cost):
        assert region.within(width, height)
        covered[region.slices] += 1
    assert covered.max() <= 1
    assert reached(before, after, covered)


def by_trying_every_cut(cells: Cells, price: Price) -> list[Rectangle]:
    """The same rectangles, found the slow way: both parts of each cut are looked at."""

    def shrunk(x0: int, y0: int, x1: int, y1: int) -> Rectangle:
        ys, xs = np.nonzero(cells[y0:y1, x0:x1])
        return x0 + xs.min(), y0 + ys.min(), x0 + xs.max() + 1, y0 + ys.max() + 1

    def cost(x0: int, y0: int, x1: int, y1: int) -> int:
        return price(x1 - x0, y1 - y0)

    def cut(part: Rectangle) -> list[Rectangle]:
        x0, y0, x1, y1 = part
        halves = [((x0, y0, x, y1), (x, y0, x1, y1)) for x in range(x1 - 1, x0, -1)]
        halves += [((x0, y0, x1, y), (x0, y, x1, y1)) for y in range(y1 - 1, y0, -1)]
        pairs = [(shrunk(*first), shrunk(*second)) for first, second in halves]
        first, second = min(
            pairs, key=lambda pair: cost(*pair[0]) + cost(*pair[1]), default=[part] * 2
        )
        if cost(*first) + cost(*second) >= cost(*part):
            return [part]
        return cut(second) + cut(first)

    return cut(shrunk(0, 0, cells.shape[1], cells.shape[0])) if cells.any() else []


@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    share=st.floats(0, 1),
    cost=st.sampled_from([0, 200, 1024, 5000]),
    halo=st.sampled_from([0, 5, 17]),
    seed=st.integers(0, 1000),
)
def test_rectangles_are_those_of_trying_every_cut(
    rows: int, columns: int, share: float, cost: int, halo: int, seed: int
) -> None:
    cells = np.random.default_rng(seed).random((rows, columns)) < share
    price = Price(cost, CELL, halo)
    assert rectangles(cells, price) == by_trying_every_cut(cells, price)


def test_equal_pictures_have_no_affected_cell() -> None:
    assert not affected_cells(noise(50, 40), noise(50, 40)).any()


def test_an_entirely_new_picture_is_one_region() -> None:
    cells = affected_cells(noise(50, 40), noise(50, 40, seed=1))
    assert regions_of(cells, 50, 40, region_cost=200) == [Region.of(50, 40)]


@pytest.mark.parametrize(
    ("y", "x", "cells"), [(64, 64, 4), (67, 67, 9), (71, 64, 4), (67, 71, 6), (0, 0, 1)]
)
def test_a_changed_pixel_affects_the_cells_within_its_reach_only(
    y: int, x: int, cells: int
) -> None:
    before = noise(128, 128)
    after = before.copy()
    after[y, x] ^= 1
    assert np.count_nonzero(affected_cells(before, after)) == cells


def frames(images: list[Image]) -> list[Frame]:
    return [Frame(image, i, Fraction(1, 25), index=i) for i, image in enumerate(images)]


def film() -> list[Image]:
    """Static, slightly changed, scattered changes, a cut, another size, and back."""
    first = noise(80, 48)
    images = [
        first,
        first.copy(),
        with_spots(first, 1, 1),
        with_spots(first, 5, 2),
        noise(80, 48, 3),
        noise(41, 33),
    ]
    return [*images, first, with_spots(first, 2, 4)]


def test_reuse_gives_the_bytes_of_full_computation(model: str) -> None:
    with (
        Upscaler(model, engine=EXACT, reuse=False, threads=1) as full,
        Upscaler(model, engine=EXACT, threads=1) as reusing,
    ):
        for frame in frames(film()):
            np.testing.assert_array_equal(
                reusing.frames([frame])[0].rgb, full.frames([frame])[0].rgb
            )


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
            np.testing.assert_array_equal(
                reusing.frames([frame])[0].rgb, full.frames([frame])[0].rgb
            )


class Far:
    """An engine whose output pixel is the sum of all input pixels up to ``halo`` away, times its
    place: 2x."""

    name, scale, threads, batch, region_cost = "far", 2, 1, 1, 200

    def __init__(self, halo: int, *, sparse: bool) -> None:
        self.halo, self.sparse = halo, sparse

    def run(self, tiles: Sequence[Tile]) -> None:
        for lr, hr, region, cells in tiles:
            large = self.whole(lr)
            part = large[region.scaled(2).slices]
            if cells is not None:
                wanted = cells.repeat(2 * CELL, 0).repeat(2 * CELL, 1)[
                    : len(large), : large.shape[1], None
                ]
                part = np.where(wanted, large, hr)
            hr[region.scaled(2).slices] = part

    def whole(self, lr: Image) -> Image:
        sums = lr.astype(np.int64)
        for axis in (0, 1):
            padded = np.pad(
                sums, [(self.halo + 1, self.halo) if i == axis else (0, 0) for i in range(3)]
            ).cumsum(axis)
            count, span = sums.shape[axis], 2 * self.halo + 1
            sums = np.take(padded, range(span, span + count), axis) - np.take(
                padded, range(count), axis
            )
        return (sums.repeat(2, 0).repeat(2, 1) * 37 % 251).astype(np.uint8)

    def close(self) -> None:
        pass

    def __enter__(self) -> "Far":
        return self

    def __exit__(self, *_: object) -> None:
        pass


HALOS = [0, 1, 5, 6, 7, 8, 9, 12, 16, 17, 40]


def small_changes() -> Iterator[Image]:
    """One pixel after the other, at every place in a cell."""
    image = noise(136, 104)
    yield image
    for i in range(16):
        image = image.copy()
        image[40 + i % 8, 60 + (i * 3 + i // 8) % 8] ^= np.uint8(1 + i)
        yield image
    for seed in range(4):
        image = with_spots(image, 3, seed)
        yield image


LOOKS = [Look(), Look(consistent=True), Look(consistent=True, sharpen=0.5, strength=0.5)]


def whole(engine: Far, look: Look, lr: Image) -> Image:
    """The picture as it is to be shown, of nothing but the source's."""
    raw = engine.whole(lr)
    finish = finish_for(look, scale=2, threads=1)
    if finish is None:
        return raw
    hr = np.empty_like(raw)
    finish(lr, raw, hr)
    return hr


@pytest.mark.parametrize("look", LOOKS, ids=str)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("halo", HALOS)
def test_reuse_follows_the_reach_of_the_engine(halo: int, sparse: bool, look: Look) -> None:
    engine = Far(halo, sparse=sparse)
    partial = 0
    with Upscaler(
        engine=lambda _: engine,
        consistency=look.consistent,
        sharpen=look.sharpen,
        strength=look.strength,
        verify_reuse=True,
    ) as upscaler:
        for frame in frames(list(small_changes())):
            (shown,) = upscaler.frames([frame])
            np.testing.assert_array_equal(shown.rgb, whole(engine, look, frame.rgb))
        partial = upscaler.record.snapshot().frames["partial"]
    assert partial > 0 or halo == 40, "otherwise nothing was reused"


@pytest.mark.parametrize("look", LOOKS, ids=str)
@pytest.mark.parametrize("halo", HALOS)
def test_a_live_picture_at_full_quality_follows_it_too(halo: int, look: Look) -> None:
    engine = Far(halo, sparse=True)
    now = [0.0]
    with Upscaler(
        engine=lambda _: engine,
        consistency=look.consistent,
        sharpen=look.sharpen,
        strength=look.strength,
    ) as upscaler:
        stage = LiveStage(upscaler.engine, 1e9, finish=upscaler.finish, clock=lambda: now[0])
        for i, image in enumerate(small_changes()):
            now[0] += 0.04
            shown = stage.frame(Frame(image, i, Fraction(1, 25), index=i, arrival_s=now[0]))
            assert shown is not None
            np.testing.assert_array_equal(shown.rgb, whole(engine, look, image))


@settings(deadline=None, max_examples=80)
@given(halo=st.integers(0, 30), **PICTURES)
def test_cells_cover_what_a_change_reaches_at_any_halo(
    halo: int, height: int, width: int, spots: int, seed: int
) -> None:
    before = noise(width, height)
    after = with_spots(before, spots, seed)
    cells = affected_cells(before, after, halo=halo)
    assert reached(before, after, cells.repeat(CELL, 0).repeat(CELL, 1)[:height, :width], halo)


def test_verify_reuse_compares_with_litert(model: str) -> None:
    """Also where the engine is consistent in what it does: only its own bound may be between the
    two."""
    with Upscaler(model, engine="litert", threads=1, verify_reuse=True) as upscaler:
        assert upscaler._judge is None
    if not WHY_NOT_FUSED:
        with Upscaler(model, engine="fused", threads=1, verify_reuse=True) as upscaler:
            for frame in frames(film()[:3]):
                upscaler.frames([frame])
            right = upscaler.engine.run

            def wrong(tiles: Sequence[Tile]) -> None:
                right(tiles)
                for tile in tiles:
                    tile.hr[:] ^= 1

            upscaler.engine.run = wrong  # type: ignore[method-assign]  # an engine that went wrong after its test
            with pytest.raises(
                ModelError, match=r"gave other pixels than LiteRT: up to 1 levels, .* allowed none"
            ):
                upscaler.frames(frames([noise(80, 48, 9)]))


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
