"""Only some cells of a picture: they come out as from the whole, and nothing else gets a wrong
value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.engines import Image, Tile
from streamsr.engines.fused import FusedEngine
from streamsr.model import find_model
from streamsr.region import CELL, Region
from tests.support.engine import EVERY_KIND, WHY_NOT_FUSED
from tests.support.media import noise
from xlsr_model import weights

MODELS = [name for name in weights.names() if "_u8" in name]
UNTOUCHED = 77
pytestmark = pytest.mark.skipif(
    bool(WHY_NOT_FUSED), reason=f"no fused engine here: {WHY_NOT_FUSED}"
)


def check(computed: Image, whole: Image, cells: np.ndarray, scale: int) -> None:
    height, width = whole.shape[:2]
    wanted = cells.repeat(CELL * scale, 0).repeat(CELL * scale, 1)[:height, :width]
    assert np.array_equal(computed[wanted], whole[wanted])
    right = (computed == whole).all(axis=2)
    untouched = (computed == UNTOUCHED).all(axis=2)
    assert (right | untouched).all()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("threads", [1, 3])
def test_cells_come_out_as_from_the_whole(name: str, threads: int, kind: str) -> None:
    model = find_model(name)
    with FusedEngine(model, threads=threads, kind=kind) as engine:

        @settings(deadline=None, max_examples=40)
        @given(
            st.integers(1, 150),
            st.integers(1, 60),
            st.sampled_from([0.02, 0.2, 0.7, 1.0]),
            st.integers(0, 99),
        )
        def matches(width: int, height: int, share: float, seed: int) -> None:
            lr, scale = noise(width, height, seed=1), engine.scale
            cells = (
                np.random.default_rng(seed).random((-(-height // CELL), -(-width // CELL))) < share
            )
            whole = np.zeros((height * scale, width * scale, 3), np.uint8)
            engine.run([Tile(lr, whole, Region.of(width, height))])
            computed = np.full_like(whole, UNTOUCHED)
            engine.run([Tile(lr, computed, Region.of(width, height), cells)])
            check(computed, whole, cells, scale)

        matches()


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_pictures_wider_than_the_cache_allows_come_out_too(kind: str) -> None:
    with FusedEngine(find_model("xlsr_x3_u8"), threads=2, kind=kind) as engine:
        lr = noise(2100, 24, seed=1)
        cells = np.zeros((3, 263), np.bool_)
        cells[1, ::7] = True
        whole = np.zeros((72, 6300, 3), np.uint8)
        engine.run([Tile(lr, whole, Region.of(2100, 24))])
        computed = np.full_like(whole, UNTOUCHED)
        engine.run([Tile(lr, computed, Region.of(2100, 24), cells)])
        check(computed, whole, cells, 3)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_no_cell_writes_nothing(kind: str) -> None:
    with FusedEngine(find_model("xlsr_x3_u8"), threads=1, kind=kind) as engine:
        hr = np.full((72, 144, 3), UNTOUCHED, np.uint8)
        engine.run([Tile(noise(48, 24, seed=1), hr, Region.of(48, 24), np.zeros((3, 6), np.bool_))])
        assert (hr == UNTOUCHED).all()


def test_cells_of_another_picture_are_refused() -> None:
    hr, cells = np.zeros((72, 144, 3), np.uint8), np.zeros((3, 7), np.bool_)
    with FusedEngine(find_model("xlsr_x3_u8"), threads=1) as engine:
        tile = Tile(noise(48, 24, seed=1), hr, Region.of(48, 24), cells)
        with pytest.raises(ValueError, match="flag for each cell"):
            engine.run([tile])
