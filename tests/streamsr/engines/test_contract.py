"""The engine contract, held by every engine: the same bytes however a picture is cut, and nothing
outside."""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr import ModelError
from streamsr.engines import Engine, Image, Tile
from streamsr.engines.choose import open_engine
from streamsr.engines.delegate import open_delegate
from streamsr.engines.difference import bound_of, difference_of
from streamsr.engines.fused import FusedEngine
from streamsr.engines.fused.codegen.isa import KINDS
from streamsr.engines.litert import LiteRTEngine
from streamsr.engines.openvino import OpenVINOEngine
from streamsr.model import ModelFile, find_model
from streamsr.options import EngineChoice, Look
from streamsr.region import CELL, Region
from tests.support.delegate import build
from tests.support.engine import WHY_NOT_FUSED, why_not_fused
from tests.support.finished import Finished
from tests.support.implementations import classes_with, makers_of, name_of
from tests.support.media import noise
from tests.support.processes import run
from tests.support.until import PATIENCE_S

Maker = Callable[[ModelFile, Path], Engine]
"""Opens an engine; the folder is for what it needs besides."""


@dataclass(frozen=True)
class Row:
    """One kind of engine: its class or what opens one, and the model that it is tried with."""

    of: object
    make: Maker
    model: str = "xlsr_x3_u8"
    missing: str = ""
    """Why it does not run here."""
    look: Look = Look()  # noqa: RUF009 - it is frozen
    """What is done to its pictures, and to the reference's."""
    halo: int = 5


def litert(threads: int, batch: int = 1) -> Row:
    return Row(LiteRTEngine, lambda model, _: LiteRTEngine(model, threads=threads, batch=batch))


def fused(threads: int, model: str = "xlsr_x3_u8", kind: str = "") -> Row:
    return Row(
        FusedEngine,
        lambda model, _: FusedEngine(model, threads=threads, kind=kind),
        model,
        WHY_NOT_FUSED or why_not_fused(kind),
    )


def finished(look: Look, model: str = "xlsr_x3_u8", halo: int = 7) -> Row:
    return replace(fused(2, model), look=look, halo=halo)


def delegate(batch: int) -> Row:
    """A device that computes the last operation itself, of so many pictures at once."""

    def make(model: ModelFile, folder: Path) -> Engine:
        library = str(build(folder / "libtest_delegate.so"))
        return open_delegate(model, library, {"mode": "right"}, batch=batch)

    return Row(open_delegate, make, missing="" if shutil.which("gcc") else "gcc builds its library")


ENGINES = {
    "litert-1": litert(1),
    "litert-2": litert(2),
    "litert-3": litert(3),
    "litert, in batches": litert(2, batch=2),
    **{f"fused {isa.name}": fused(2, kind=isa.name) for isa in KINDS},
    "fused, one thread": fused(1),
    "fused x2": fused(2, "xlsr_x2_u8"),
    "fused x4": fused(2, "xlsr_x4_u8"),
    "openvino": Row(
        OpenVINOEngine,
        lambda model, _: OpenVINOEngine(model, threads=2),
        missing="" if find_spec("openvino") else "OpenVINO is not installed",
    ),
    "consistent": finished(Look(consistent=True)),
    "consistent x2": finished(Look(consistent=True), "xlsr_x2_u8"),
    "consistent x4": finished(Look(consistent=True), "xlsr_x4_u8"),
    "all that is done": finished(Look(consistent=True, sharpen=0.6, strength=0.7), halo=8),
    "delegate": delegate(1),
    "delegate, in batches": delegate(2),
}


def opened(name: str, folder: Path) -> Engine:
    row = ENGINES[name]
    if row.missing:
        pytest.skip(f"no {name} engine here: {row.missing}")
    return shown(row.make(find_model(row.model), folder), row.look)


def shown(engine: Engine, look: Look) -> Engine:
    return engine if look == Look() else Finished(engine, look)


@st.composite
def partitions(draw: st.DrawFn, width: int, height: int) -> list[Region]:
    """The picture cut by straight lines again and again; every pixel in exactly one region."""
    regions = [Region.of(width, height)]
    for _ in range(draw(st.integers(0, 5))):
        cut = regions.pop(draw(st.integers(0, len(regions) - 1)))
        if draw(st.booleans()) and cut.width > 1:
            left = draw(st.integers(1, cut.width - 1))
            regions += [
                Region(cut.x, cut.y, left, cut.height),
                Region(cut.x + left, cut.y, cut.width - left, cut.height),
            ]
        elif cut.height > 1:
            top = draw(st.integers(1, cut.height - 1))
            regions += [
                Region(cut.x, cut.y, cut.width, top),
                Region(cut.x, cut.y + top, cut.width, cut.height - top),
            ]
        else:
            regions.append(cut)
    return regions


@pytest.fixture(scope="module", params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with opened(name, tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def reference(name: str) -> Iterator[Engine]:
    row = ENGINES[name]
    with shown(LiteRTEngine(find_model(row.model), threads=1), row.look) as engine:
        yield engine


def test_every_engine_has_its_row() -> None:
    there = classes_with("run", "close", "scale", "halo", "batch", "sparse")
    there |= makers_of("Engine", under="streamsr.engines")
    assert there == {name_of(row.of) for row in ENGINES.values()}


class TestEveryEngine:
    def whole(self, engine: Engine, lr: Image) -> Image:
        height, width = lr.shape[:2]
        hr = np.zeros((height * engine.scale, width * engine.scale, 3), np.uint8)
        engine.run([Tile(lr, hr, Region.of(width, height))])
        return hr

    def test_it_says_what_it_is(self, engine: Engine, name: str) -> None:
        assert engine.scale in (2, 3, 4)
        assert engine.halo == ENGINES[name].halo
        assert engine.region_cost > 0
        assert engine.threads >= 1
        assert engine.batch >= 1
        assert engine.name

    @settings(max_examples=25)
    @given(data=st.data(), width=st.integers(1, 70), height=st.integers(1, 50))
    def test_any_partition_equals_the_whole_picture(
        self, engine: Engine, reference: Engine, data: st.DataObject, width: int, height: int
    ) -> None:
        lr = noise(width, height, width * 100 + height)
        expected = self.whole(engine, lr)
        assert difference_of(expected, self.whole(reference, lr)).levels <= bound_of(engine).levels
        regions = data.draw(partitions(width, height))
        hr = np.zeros_like(expected)
        engine.run([Tile(lr, hr, region) for region in data.draw(st.permutations(regions))])
        np.testing.assert_array_equal(hr, expected)

    @settings(max_examples=15)
    @given(
        x=st.integers(0, 39),
        y=st.integers(0, 29),
        width=st.integers(1, 20),
        height=st.integers(1, 20),
    )
    def test_nothing_is_written_outside_the_region(
        self, engine: Engine, x: int, y: int, width: int, height: int
    ) -> None:
        lr = noise(60, 50)
        region = Region(x, y, width, height)
        whole = self.whole(engine, lr)
        inside = region.scaled(engine.scale).slices
        hr = np.full_like(whole, 77)
        engine.run([Tile(lr, hr, region)])
        np.testing.assert_array_equal(hr[inside], whole[inside])
        hr[inside] = 77
        assert (hr == 77).all()

    @settings(max_examples=15)
    @given(
        chance=st.integers(0, 2**32 - 1),
        share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
        y=st.integers(0, 2),
        height=st.integers(1, 2),
    )
    def test_of_some_cells_these_are_computed_and_nothing_else_is_wrong(
        self, engine: Engine, chance: int, share: float, y: int, height: int
    ) -> None:
        lr = noise(60, 50)
        whole = self.whole(engine, lr)
        region = Region(0, y * CELL, 60, height * CELL)
        cells = np.random.default_rng(chance).random((-(-50 // CELL), -(-60 // CELL))) < share
        hr = np.full_like(whole, 77)
        engine.run([Tile(lr, hr, region, cells)])
        inside = region.scaled(engine.scale).slices
        side = CELL * engine.scale
        wanted = cells.repeat(side, 0).repeat(side, 1)[: hr.shape[0], : hr.shape[1]][inside]
        assert (hr[inside][wanted] == whole[inside][wanted]).all()
        assert ((hr[inside] == whole[inside]) | (hr[inside] == 77)).all()
        hr[inside] = 77
        assert (hr == 77).all()

    def test_a_pixel_changes_nothing_farther_away_than_the_halo(self, engine: Engine) -> None:
        lr = noise(60, 50)
        changed = lr.copy()
        changed[25, 30] = 255 - lr[25, 30]
        differs = (self.whole(engine, lr) != self.whole(engine, changed)).any(axis=2)
        assert differs.any()
        near = Region(30, 25, 1, 1).grown(engine.halo, 60, 50).scaled(engine.scale)
        differs[near.slices] = False
        assert not differs.any()

    @pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (5, 5), (11, 11), (129, 3)])
    def test_every_size_from_one_pixel(
        self, engine: Engine, reference: Engine, size: tuple[int, int]
    ) -> None:
        lr = noise(*size)
        assert (
            difference_of(self.whole(engine, lr), self.whole(reference, lr)).levels
            <= bound_of(engine).levels
        )

    def test_tiles_of_several_pictures_at_once(self, engine: Engine) -> None:
        pictures = [*(noise(30, 20, seed) for seed in range(5)), noise(17, 9, 5)]
        results = [np.zeros_like(self.whole(engine, picture)) for picture in pictures]
        engine.run(
            [
                Tile(p, r, Region.of(p.shape[1], p.shape[0]))
                for p, r in zip(pictures, results, strict=True)
            ]
        )
        for picture, result in zip(pictures, results, strict=True):
            np.testing.assert_array_equal(result, self.whole(engine, picture))

    def test_no_tiles_are_no_work(self, engine: Engine) -> None:
        engine.run([])

    def test_the_input_is_only_read(self, engine: Engine) -> None:
        lr = noise(20, 20)
        before = lr.copy()
        lr.flags.writeable = False
        self.whole(engine, lr)
        np.testing.assert_array_equal(lr, before)

    @pytest.mark.parametrize(
        ("lr", "hr", "region"),
        [
            pytest.param(
                np.zeros((8, 8, 3), np.float32),
                np.zeros((24, 24, 3), np.uint8),
                (0, 0, 8, 8),
                id="float",
            ),
            pytest.param(
                np.zeros((8, 8), np.uint8), np.zeros((24, 24, 3), np.uint8), (0, 0, 8, 8), id="gray"
            ),
            pytest.param(
                np.zeros((8, 8, 4), np.uint8),
                np.zeros((24, 24, 3), np.uint8),
                (0, 0, 8, 8),
                id="rgba",
            ),
            pytest.param(
                np.zeros((8, 16, 3), np.uint8)[:, ::2],
                np.zeros((24, 24, 3), np.uint8),
                (0, 0, 8, 8),
                id="strided",
            ),
            pytest.param(
                np.zeros((8, 8, 3), np.uint8),
                np.zeros((16, 16, 3), np.uint8),
                (0, 0, 8, 8),
                id="small-out",
            ),
            pytest.param(
                np.zeros((8, 8, 3), np.uint8),
                np.zeros((24, 24, 3), np.int8),
                (0, 0, 8, 8),
                id="signed-out",
            ),
            pytest.param(
                np.zeros((8, 8, 3), np.uint8),
                np.zeros((24, 48, 3), np.uint8)[:, ::2],
                (0, 0, 8, 8),
                id="strided-out",
            ),
            pytest.param(
                np.zeros((8, 8, 3), np.uint8),
                np.broadcast_to(np.zeros(3, np.uint8), (24, 24, 3)),
                (0, 0, 8, 8),
                id="read-only-out",
            ),
            pytest.param(
                np.zeros((8, 8, 3), np.uint8),
                np.zeros((24, 24, 3), np.uint8),
                (4, 0, 5, 8),
                id="outside",
            ),
            pytest.param(
                np.zeros((8, 8, 3), np.uint8),
                np.zeros((24, 24, 3), np.uint8),
                (-1, 0, 5, 8),
                id="negative",
            ),
            pytest.param(
                np.zeros((8, 8, 3), np.uint8),
                np.zeros((24, 24, 3), np.uint8),
                (0, 0, 0, 8),
                id="nothing",
            ),
            pytest.param(
                np.zeros((0, 8, 3), np.uint8),
                np.zeros((0, 24, 3), np.uint8),
                (0, 0, 8, 0),
                id="empty",
            ),
        ],
    )
    def test_arrays_and_regions_that_do_not_fit_are_refused(
        self, engine: Engine, lr: Image, hr: Image, region: tuple[int, int, int, int]
    ) -> None:
        if engine.scale != 3:
            pytest.skip("made for a scale of 3")
        with pytest.raises(ValueError, match="expected"):
            engine.run([Tile(lr, hr, Region(*region))])

    def test_flags_of_another_picture_are_refused(self, engine: Engine) -> None:
        lr = noise(60, 50)
        hr = np.zeros_like(self.whole(engine, lr))
        for cells in (np.ones((7, 7), np.bool_), np.ones((7, 8), np.uint8)):
            with pytest.raises(ValueError, match="expected a flag for each cell"):
                engine.run([Tile(lr, hr, Region.of(60, 50), cells)])

    def test_after_what_was_refused_it_goes_on(self, engine: Engine) -> None:
        lr = noise(20, 20)
        with pytest.raises(ValueError, match="expected"):
            engine.run([Tile(lr, lr, Region.of(20, 20))])
        np.testing.assert_array_equal(self.whole(engine, lr), self.whole(engine, lr))

    def test_another_thread_than_the_one_that_opened_it_may_run_it(self, engine: Engine) -> None:
        lr = noise(40, 30)
        with ThreadPoolExecutor(1) as other:
            got = other.submit(self.whole, engine, lr).result(PATIENCE_S)
        np.testing.assert_array_equal(got, self.whole(engine, lr))

    def test_closing_ends_its_threads_twice_is_harmless_and_running_then_is_an_error(
        self, name: str, tmp_path: Path
    ) -> None:
        before = {thread.ident for thread in threading.enumerate()}
        with opened(name, tmp_path) as engine:
            lr = noise(40, 30)
            hr = self.whole(engine, lr)
        engine.close()
        assert {thread.ident for thread in threading.enumerate()} <= before
        with pytest.raises(ModelError, match="closed"):
            engine.run([Tile(lr, hr, Region.of(40, 30))])
        with pytest.raises(ModelError, match="closed"):
            engine.run([])

    def test_an_error_in_the_block_passes_through_and_closes_it(
        self, name: str, tmp_path: Path
    ) -> None:
        with pytest.raises(KeyError, match="mine"), opened(name, tmp_path) as engine:
            raise KeyError("mine")
        with pytest.raises(ModelError, match="closed"):
            engine.run([])


def _variant(model: Path, tmp_path: Path, change: Callable[[bytes], bytes]) -> ModelFile:
    (tmp_path / "variant.tflite").write_bytes(change(model.read_bytes()))
    return find_model(tmp_path / "variant.tflite")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"no model\n" * 100, id="text"),
        pytest.param(lambda good: good[:100], id="header-only"),
        pytest.param(lambda good: good[: len(good) // 2], id="first-half"),
        pytest.param(lambda good: good[:-1000], id="tail-cut"),
        pytest.param(lambda good: bytes(len(good)), id="zeros"),
        pytest.param(lambda good: good[:8] + bytes(64) + good[72:], id="root-zeroed"),
        pytest.param(lambda good: good.replace(b"TFL3", b"TFL9"), id="other-format"),
    ],
)
def test_a_corrupt_model_is_a_model_error_in_one_line(
    model: Path, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    for name in ("auto", "litert"):
        with pytest.raises(ModelError) as raised:
            open_engine(_variant(model, tmp_path, change), EngineChoice(name))
        assert "\n" not in str(raised.value)


def test_bytes_changed_anywhere_never_crash(model: Path) -> None:
    """Weights may change unnoticed; the structure may not bring the process down."""
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from streamsr import ModelError\n"
        "from streamsr.engines.litert import LiteRTEngine\n"
        "from streamsr.model import ModelFile\n"
        "good = Path(sys.argv[1]).read_bytes()\n"
        "rng = np.random.default_rng(int(sys.argv[2]))\n"
        "for _ in range(int(sys.argv[3])):\n"
        "    bad = bytearray(good)\n"
        "    bad[int(rng.integers(8, len(good)))] ^= int(rng.integers(1, 256))\n"
        "    try:\n"
        "        LiteRTEngine(ModelFile('bad', Path('bad'), bytes(bad)), threads=1).close()\n"
        "    except ModelError:\n"
        "        pass\n"
    )
    done = run([sys.executable, "-c", script, model, "0", "200"], timeout_s=280)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"


@pytest.mark.parametrize("threads", [0, -1])
@pytest.mark.parametrize("kind", [LiteRTEngine, FusedEngine, OpenVINOEngine])
def test_fewer_than_one_thread_is_refused(
    model: Path, kind: type[LiteRTEngine | FusedEngine | OpenVINOEngine], threads: int
) -> None:
    if kind is OpenVINOEngine:
        pytest.importorskip("openvino")
    with pytest.raises(ValueError, match="at least 1 thread"):
        kind(find_model(model), threads=threads)


def test_a_float_model_is_refused_in_words() -> None:
    from xlsr_model import weights

    floats = [name for name in weights.names() if name.endswith("_f32")]
    if not floats:
        pytest.skip("no float model is shipped")
    with pytest.raises(ModelError, match="not a uint8 super-resolution model"):
        open_engine(find_model(floats[0]), EngineChoice())
