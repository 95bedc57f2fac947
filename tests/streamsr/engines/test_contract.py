"""The engine contract, held by every engine: the same bytes however a picture is cut, and nothing
outside."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr import ModelError
from streamsr.engines import Engine, Image, Tile
from streamsr.engines.choose import open_engine
from streamsr.engines.difference import bound_of, difference_of
from streamsr.engines.fused import FusedEngine
from streamsr.engines.litert import LiteRTEngine
from streamsr.engines.openvino import OpenVINOEngine
from streamsr.model import ModelFile, find_model
from streamsr.options import EngineChoice
from streamsr.region import Region
from tests.support.engine import WHY_NOT_FUSED
from tests.support.media import noise

ENGINES: dict[str, Callable[[ModelFile], Engine]] = {
    "litert-1": lambda model: LiteRTEngine(model, threads=1),
    "litert-2": lambda model: LiteRTEngine(model, threads=2),
    "litert-3": lambda model: LiteRTEngine(model, threads=3),
    "fused": lambda model: FusedEngine(model, threads=2),
    "openvino": lambda model: OpenVINOEngine(model, threads=2),
}
MISSING = {
    "fused": WHY_NOT_FUSED or None,
    "openvino": None if find_spec("openvino") else "OpenVINO is not installed",
}
"""Why an engine does not run here."""


def opened(name: str, model: Path) -> Engine:
    if MISSING.get(name):
        pytest.skip(f"no {name} engine here: {MISSING[name]}")
    return ENGINES[name](find_model(model))


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
def engine(request: pytest.FixtureRequest, model: Path) -> Iterator[Engine]:
    with opened(request.param, model) as engine:
        yield engine


@pytest.fixture(scope="module")
def reference(model: Path) -> Iterator[Engine]:
    with LiteRTEngine(find_model(model), threads=1) as engine:
        yield engine


class TestEveryEngine:
    def whole(self, engine: Engine, lr: Image) -> Image:
        height, width = lr.shape[:2]
        hr = np.zeros((height * engine.scale, width * engine.scale, 3), np.uint8)
        engine.run([Tile(lr, hr, Region.of(width, height))])
        return hr

    def test_it_says_what_it_is(self, engine: Engine) -> None:
        assert engine.scale == 3
        assert engine.halo == 5
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
        hr = np.full((150, 180, 3), 77, np.uint8)
        engine.run([Tile(lr, hr, region)])
        np.testing.assert_array_equal(
            hr[region.scaled(3).slices], self.whole(engine, lr)[region.scaled(3).slices]
        )
        hr[region.scaled(3).slices] = 77
        assert (hr == 77).all()

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
        pictures = [noise(30, 20, 1), noise(30, 20, 2), noise(17, 9, 3)]
        results = [np.zeros((3 * p.shape[0], 3 * p.shape[1], 3), np.uint8) for p in pictures]
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
        with pytest.raises(ValueError, match="expected"):
            engine.run([Tile(lr, hr, Region(*region))])

    @pytest.mark.parametrize("name", ENGINES)
    def test_closing_twice_is_harmless_and_running_then_is_an_error(
        self, name: str, model: Path
    ) -> None:
        engine = opened(name, model)
        engine.close()
        engine.close()
        with pytest.raises(ModelError, match="closed"):
            engine.run([Tile(noise(4, 4), np.zeros((12, 12, 3), np.uint8), Region.of(4, 4))])


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
    import subprocess
    import sys

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
    done = subprocess.run(
        [sys.executable, "-c", script, str(model), "0", "200"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_than_one_thread_is_refused(model: Path, threads: int) -> None:
    with pytest.raises(ValueError, match="at least 1 thread"):
        LiteRTEngine(find_model(model), threads=threads)


def test_a_float_model_is_refused_in_words() -> None:
    from xlsr_model import weights

    floats = [name for name in weights.names() if name.endswith("_f32")]
    if not floats:
        pytest.skip("no float model is shipped")
    with pytest.raises(ModelError, match="not a uint8 super-resolution model"):
        open_engine(find_model(floats[0]), EngineChoice())
