"""The fused engine on networks of any width and number of blocks: LiteRT's bytes on every kind of
instructions."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from streamsr.engines import Tile
from streamsr.engines.fused import FusedEngine, strip
from streamsr.engines.fused.graph import read_network
from streamsr.engines.fused.taps import padded, shape_of
from streamsr.engines.litert import LiteRTEngine
from streamsr.engines.tflite import receptive_radius
from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.region import CELL, Region
from tests.streamsr.engines.test_fused_engine import Fences, linux, litert, natural, whole
from tests.support.engine import EVERY_KIND, WHY_NOT_FUSED
from tests.support.media import noise
from tests.support.models import member
from xlsr_model.network import RUNGS, macs_per_pixel

pytestmark = pytest.mark.skipif(
    bool(WHY_NOT_FUSED), reason=f"no fused engine here: {WHY_NOT_FUSED}"
)

LADDER = {
    f"{rung} x{scale}": member(shape.width, shape.blocks, scale)
    for rung, shape in RUNGS.items()
    if rung != "xlsr"
    for scale in (2, 3)
}
OTHERS = {
    "narrowest, one block, x4": member(8, 1, 4),
    "24 channels, per channel": member(24, 2, 3, per_channel=True),
    "80 channels, per channel": member(80, 1, 2, per_channel=True),
    "deep": member(16, 11, 2),
    "far sums": member(64, 2, 3, far=True),
    "far sums, per channel": member(40, 1, 4, per_channel=True, far=True),
}
FAMILY = LADDER | OTHERS
SIZES = [(1, 1), (2, 1), (1, 2), (5, 3), (17, 9), (50, 8), (97, 41), (131, 25)]


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@cache
def expected(model: ModelFile, width: int, height: int) -> np.ndarray:
    return litert(model, noise(width, height))


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("name", FAMILY)
def test_every_member_gives_litert_bytes(name: str, kind: str) -> None:
    """Whole pictures, a part and scattered cells of each size."""
    model, rng = FAMILY[name], np.random.default_rng(0)
    with FusedEngine(model, threads=2, kind=kind) as engine:
        assert engine.kind == kind
        scale = engine.scale
        for width, height in SIZES:
            lr, right = noise(width, height), expected(model, width, height)
            assert np.array_equal(whole(engine, lr), right), (width, height)
            part = Region(width // 3, height // 3, -(-width // 2), -(-height // 2))
            hr = np.full_like(right, 77)
            engine.run([Tile(lr, hr, part)])
            inner = part.scaled(scale).slices
            assert np.array_equal(hr[inner], right[inner]), (width, height)
            cells = rng.random((-(-height // CELL), -(-width // CELL))) < 0.2
            hr = np.full_like(right, 77)
            engine.run([Tile(lr, hr, Region.of(width, height), cells)])
            side = CELL * scale
            wanted = cells.repeat(side, 0).repeat(side, 1)[: len(right), : right.shape[1]]
            assert np.array_equal(hr[wanted], right[wanted]), (width, height)
            assert ((hr == right).all(2) | (hr == 77).all(2)).all()
        for lr in (natural(83, 57), noise(61, 47) // 128 * 255):
            assert np.array_equal(whole(engine, lr), litert(model, lr))


@pytest.mark.parametrize("name", FAMILY)
def test_the_pictures_of_the_test_are_no_flat_ones(name: str) -> None:
    assert expected(FAMILY[name], 97, 41).std() > 20


@pytest.mark.parametrize("name", FAMILY)
def test_the_halo_is_that_of_the_graph(name: str) -> None:
    model = FAMILY[name]
    assert shape_of(read_network(model.content)).reach == receptive_radius(model)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_engine_says_how_far_it_sees_and_what_it_costs(kind: str) -> None:
    model = FAMILY["plus x3"]
    with FusedEngine(model, threads=1, kind=kind) as engine:
        assert engine.halo == receptive_radius(model) == 8
        assert engine.macs == macs_per_pixel("plus", 3)


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("name", ["max x2", "deep"])
def test_a_picture_wider_than_a_strip_has_no_seams(name: str, kind: str) -> None:
    model, lr = FAMILY[name], noise(1100, 26)
    with FusedEngine(model, threads=2, kind=kind) as engine:
        right = litert(model, lr)
        assert np.array_equal(whole(engine, lr), right)
        cells = np.zeros((4, 138), np.bool_)
        cells[0, 5] = cells[3, 130] = True
        hr = np.full_like(right, 77)
        engine.run([Tile(lr, hr, Region.of(1100, 26), cells)])
        wanted = cells.repeat(CELL * 2, 0).repeat(CELL * 2, 1)[: len(right), : right.shape[1]]
        assert np.array_equal(hr[wanted], right[wanted])


@linux
@pytest.mark.parametrize("flush", ["start", "end"])
@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("name", ["lite x3", "max x2", "narrowest, one block, x4", "deep"])
def test_no_byte_around_a_workers_own_memory_is_touched(
    name: str, kind: str, flush: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fences, model = Fences(), FAMILY[name]

    def aligned(size: int) -> np.ndarray:
        return fences.memory(-(-size // 64) * 64, flush)

    monkeypatch.setattr(strip, "aligned", aligned)
    for width, height in ((1, 1), (17, 9), (97, 41)):
        with FusedEngine(model, threads=1, kind=kind) as engine:
            lr = noise(width, height)
            assert np.array_equal(whole(engine, lr), expected(model, width, height))
            cells = np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)
            cells[-1, -1] = cells[0, 0] = True
            hr = np.zeros((height * engine.scale, width * engine.scale, 3), np.uint8)
            engine.run([Tile(lr, hr, Region.of(width, height), cells)])


@pytest.mark.parametrize("name", ["far sums", "far sums, per channel"])
def test_far_sums_are_beyond_the_shorter_requantisation(name: str) -> None:
    assert shape_of(read_network(FAMILY[name].content)).far
    assert not shape_of(read_network(LADDER["max x3"].content)).far


def test_padding_adds_zeros_alone() -> None:
    network = read_network(FAMILY["24 channels, per channel"].content)
    wide = padded(network)
    assert wide.width == 32
    for conv, other in zip(network.convolutions, wide.convolutions, strict=True):
        assert np.count_nonzero(other.weights) == np.count_nonzero(conv.weights)
        assert np.count_nonzero(other.bias) == np.count_nonzero(conv.bias)
    assert padded(wide) is wide


def test_sums_that_no_kernel_computes_exactly_are_refused() -> None:
    with pytest.raises(ModelError, match="too large to be exact"):
        read_network(member(136, 1, 2, far=True).content)


@pytest.mark.parametrize("width", [12, 264])
def test_a_width_that_the_kernels_do_not_know_is_refused(width: int) -> None:
    with pytest.raises(ModelError, match=f"a multiple of 8, at most 256, got {width}"):
        read_network(member(width, 1, 2).content)


def test_litert_runs_what_the_fused_engine_refuses() -> None:
    with LiteRTEngine(member(12, 1, 2), threads=1) as engine:
        assert whole(engine, noise(9, 7)).shape == (14, 18, 3)
