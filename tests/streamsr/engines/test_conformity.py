"""No engine that computes otherwise than LiteRT gets a user's picture: what the one test for all of
them catches."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from streamsr import ModelError
from streamsr.engines import Engine, Image, Tile, conformity
from streamsr.engines.choose import Opener, open_engine
from streamsr.engines.difference import CLOSE, EXACT, Bound, Difference, WrongResults, difference_of
from streamsr.engines.litert import LiteRTEngine
from streamsr.model import ModelFile, find_model
from streamsr.options import EngineChoice
from streamsr.region import CELL, Region

MODEL = find_model("xlsr_x3_u8")
Fault = Callable[[Sequence[Tile]], None]


class Made:
    """LiteRT, followed by a fault: what an engine may do wrong."""

    name = "made"
    region_cost = 1000

    def __init__(
        self,
        model: ModelFile,
        fault: Fault,
        *,
        bound: Bound = CLOSE,
        batch: int = 1,
        sparse: bool = False,
    ) -> None:
        self._litert = LiteRTEngine(model, threads=1)
        self.scale, self.halo, self.threads = self._litert.scale, self._litert.halo, 1
        self.bound, self.batch, self.sparse, self._fault = bound, batch, sparse, fault
        self.closed = False
        try:
            self.difference = conformity.check(self, model)
        except ModelError:
            self.close()
            raise

    def run(self, tiles: Sequence[Tile]) -> None:
        self._litert.run(tiles)
        self._fault(tiles)

    def close(self) -> None:
        self.closed = True
        self._litert.close()

    def __enter__(self) -> "Made":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def right(_tiles: Sequence[Tile]) -> None:
    pass


def one_byte(tiles: Sequence[Tile]) -> None:
    """In the last pixel of what was asked for."""
    inner = tiles[0].region.scaled(3)
    tiles[0].hr[inner.bottom - 1, inner.right - 1, 2] ^= 1


def some_by_one(tiles: Sequence[Tile]) -> None:
    """One pixel of a hundred, the same ones however the picture is cut."""
    for tile in tiles:
        part = tile.hr[tile.region.scaled(3).slices]
        y, x = np.mgrid[
            tile.region.y * 3 : tile.region.bottom * 3, tile.region.x * 3 : tile.region.right * 3
        ]
        part[(x + 37 * y) % 101 == 0] ^= 1


def one_byte_far(tiles: Sequence[Tile]) -> None:
    inner = tiles[0].region.scaled(3)
    tiles[0].hr[inner.y, inner.x, 0] ^= 4


def everything_by_one(tiles: Sequence[Tile]) -> None:
    for tile in tiles:
        part = tile.hr[tile.region.scaled(3).slices]
        part[:] = np.where(part > 127, part - 1, part + 1)


def saturated(tiles: Sequence[Tile]) -> None:
    """White, as eight bits times eight bits in sixteen make it."""
    for tile in tiles:
        part = tile.hr[tile.region.scaled(3).slices]
        part[part == 255] = 141


def beside_the_part(tiles: Sequence[Tile]) -> None:
    for tile in tiles:
        if tile.region.x > 0:
            tile.hr[:, 0] = 1


def parts_without_their_surroundings(tiles: Sequence[Tile]) -> None:
    for tile in tiles:
        if tile.region.width < tile.lr.shape[1]:
            inner = tile.region.scaled(3)
            tile.hr[inner.y : inner.bottom, inner.x] ^= 1


def scattered_cells(tiles: Sequence[Tile]) -> None:
    for tile in tiles:
        if tile.cells is not None:
            y, x = np.argwhere(tile.cells)[-1] * CELL * 3
            tile.hr[y, x] ^= 64


def other_cells(tiles: Sequence[Tile]) -> None:
    for tile in tiles:
        if tile.cells is not None:
            y, x = np.argwhere(~tile.cells)[0] * CELL * 3
            tile.hr[y, x] ^= 64


def the_first_only(tiles: Sequence[Tile]) -> None:
    for tile in tiles[1:]:
        tile.hr[:] = 0


def the_last_left_out(tiles: Sequence[Tile]) -> None:
    if len(tiles) > 1:
        tiles[-1].hr[:] = tiles[0].hr


def half_copied(tiles: Sequence[Tile]) -> None:
    half = len(tiles) // 2
    if half:
        for to, source in zip(tiles[-half:], tiles[:half], strict=True):
            to.hr[:] = source.hr


class _Left:
    """A device that computes the first half of a batch; the rest is what it computed in that place
    before."""

    def __init__(self) -> None:
        self.before: dict[int, Image] = {}

    def __call__(self, tiles: Sequence[Tile]) -> None:
        for place, tile in enumerate(tiles):
            now = tile.hr.copy()
            if len(tiles) > 1 and place >= len(tiles) // 2 and place in self.before:
                tile.hr[:] = self.before[place]
            if len(tiles) > 1:
                self.before[place] = now


WRONG: dict[str, tuple[Fault, dict[str, object]]] = {
    "a byte, exact": (one_byte, {"bound": EXACT}),
    "a byte by four": (one_byte_far, {}),
    "all by one": (everything_by_one, {}),
    "saturated": (saturated, {}),
    "beside the part": (beside_the_part, {}),
    "seams": (parts_without_their_surroundings, {}),
    "cells": (scattered_cells, {"sparse": True}),
    "other cells": (other_cells, {"sparse": True}),
    "first only": (the_first_only, {}),
    "last left out": (the_last_left_out, {"batch": 7}),
    "half copied": (half_copied, {"batch": 10}),
    "half copied, 16": (half_copied, {"batch": 16}),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_computes_otherwise_is_refused(kind: str) -> None:
    fault, how = WRONG[kind]
    with pytest.raises(WrongResults, match=r"computes otherwise .*; allowed ") as raised:
        Made(MODEL, fault, **how)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("batch", [1, 2, 5, 8, 32])
def test_a_device_that_leaves_old_results_in_a_batch_is_refused(batch: int) -> None:
    with pytest.raises(WrongResults, match="pictures at once"):
        Made(MODEL, _Left(), batch=batch)


@pytest.mark.parametrize("how", [{}, {"sparse": True}, {"batch": 7}, {"bound": EXACT}], ids=str)
@pytest.mark.parametrize("name", ["xlsr_x2_u8", "xlsr_x3_u8", "xlsr_x4_u8"])
def test_what_computes_as_litert_passes(name: str, how: dict[str, object]) -> None:
    with Made(find_model(name), right, **how) as engine:  # type: ignore[arg-type]
        assert engine.difference.different == 0


def test_a_small_difference_passes_where_it_is_allowed_and_is_told() -> None:
    with Made(MODEL, some_by_one) as engine:
        assert engine.difference.levels == 1
        assert 60 < engine.difference.psnr_db < math.inf


def test_the_message_says_how_far_and_what_is_allowed() -> None:
    with pytest.raises(
        WrongResults,
        match=r"white: up to 114 levels, 8\.0 dB, .* bytes different; allowed 3 levels, 60 dB",
    ):
        Made(MODEL, saturated)


def test_each_picture_counts_by_itself() -> None:
    small, large = Difference(2, 50.0, 10, 100), Difference(1, 90.0, 1, 100_000)
    assert small.worst(large) == Difference(2, 50.0, 11, 100_100)
    assert not CLOSE.allows(small.worst(large))
    a = np.zeros((4, 4, 3), np.uint8)
    assert EXACT.allows(difference_of(a, a))
    assert difference_of(a, a + np.uint8(255)).levels == 255


def test_a_tampered_answer_in_the_cache_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Made(MODEL, right).close()
    (kept,) = tmp_path.glob("streamsr/conformity-*")
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    Made(MODEL, right, bound=EXACT).close()
    kept.chmod(0o666)
    Made(MODEL, right, bound=EXACT).close()


# Which engine is taken: `auto` among engines made for it.


def opener(fault: Fault, opened: list[Made] | None = None) -> Opener:
    def make(model: ModelFile, _choice: EngineChoice) -> Engine:
        engine = Made(model, fault)
        if opened is not None:
            opened.append(engine)
        return engine

    return make


def raises(error: Exception) -> Opener:
    def make(_model: ModelFile, _choice: EngineChoice) -> Engine:
        raise error

    return make


def litert(model: ModelFile, _choice: EngineChoice) -> Engine:
    return LiteRTEngine(model, threads=1)


FAILING = {
    "computes wrongly": (opener(saturated), "computes otherwise than LiteRT"),
    "dies": (raises(RuntimeError("LLVM ERROR: no such target\nmore")), "no such target"),
    "cannot be loaded": (raises(OSError("libtbb.so.12: cannot open shared object file")), "libtbb"),
    "missing": (raises(ImportError("No module named 'fast'")), "No module named"),
    "refuses": (raises(ModelError("no such network")), "no such network"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_auto_goes_on_to_the_next_engine_and_says_why_once(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    failing, reason = FAILING[kind]
    with caplog.at_level(logging.INFO, "streamsr"):
        engine, why = open_engine(
            MODEL,
            EngineChoice(),
            openers={"fast": failing, "next": opener(right), "litert": litert},
            delegates=(),
        )
    with engine:
        assert engine.name == "made"
        assert why.startswith("fastest here; not fast: ")
        assert reason in why
    lines = [record.getMessage() for record in caplog.records if "not fast" in record.getMessage()]
    assert len(lines) == 1
    assert reason in lines[0]
    assert "\n" not in why


@pytest.mark.parametrize("kind", FAILING)
def test_auto_ends_at_the_reference(kind: str) -> None:
    failing, reason = FAILING[kind]
    engine, why = open_engine(
        MODEL, EngineChoice(), openers={"a": failing, "b": failing, "litert": litert}, delegates=()
    )
    with engine:
        assert engine.name == "litert"
        assert why.count(reason) == 2


@pytest.mark.parametrize("kind", FAILING)
def test_an_engine_that_was_named_must_work(kind: str) -> None:
    failing, reason = FAILING[kind]
    with pytest.raises(ModelError, match=reason):
        open_engine(MODEL, EngineChoice("fused"), openers={"fused": failing, "litert": litert})


def test_auto_takes_the_first_that_conforms_and_opens_no_other() -> None:
    opened: list[Made] = []
    engine, why = open_engine(
        MODEL,
        EngineChoice(),
        openers={"a": opener(right, opened), "b": opener(right, opened), "litert": litert},
        delegates=(),
    )
    with engine:
        assert opened == [engine]
        assert why == "fastest here"


def test_what_was_refused_is_closed() -> None:
    closed = []

    class Noted(Made):
        def close(self) -> None:
            super().close()
            closed.append(self)

    with pytest.raises(WrongResults):
        Noted(MODEL, saturated)
    assert len(closed) == 1


def test_whole_pictures_of_a_run_are_judged_too() -> None:
    lr = conformity.natural(40, 30)
    with Made(MODEL, some_by_one) as engine:
        judge = conformity.Judge(engine, MODEL)
        hr = np.zeros((90, 120, 3), np.uint8)
        engine.run([Tile(lr, hr, Region.of(40, 30))])
        assert judge.check(lr, hr).levels == 1
        hr[:9, :9] = 255 - hr[:9, :9]
        with pytest.raises(WrongResults, match="gave other pixels than LiteRT"):
            judge.check(lr, hr)
        judge.close()


def test_a_ctrl_c_while_a_native_library_is_loaded_is_one() -> None:
    """pybind11 makes an ImportError of whatever is raised meanwhile."""

    def interrupted(_model: ModelFile, _choice: EngineChoice) -> Engine:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as stopped:
            raise ImportError("initialization failed") from stopped

    for choice in (EngineChoice(), EngineChoice("fused")):
        with pytest.raises(KeyboardInterrupt):
            open_engine(
                MODEL, choice, openers={"fused": interrupted, "litert": litert}, delegates=()
            )
