"""A live stage on several rungs: what it does with the pixels, on fake engines and a virtual
clock, and on the real ones."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr.engines import Image, Tile
from streamsr.engines.choose import open_engine
from streamsr.frame import Frame, StreamInfo
from streamsr.live.ladder import INTERPOLATED
from streamsr.live.stage import LiveStage
from streamsr.options import EngineChoice
from streamsr.region import CELL, Region
from streamsr.stats import Event, Fate, Recorder
from streamsr.tiling.priority import requested_pixels
from streamsr.upscaler import Upscaler
from tests.support.engine import EXACT_ENGINES
from tests.support.fakes import Clock
from tests.support.models import member
from xlsr_model.weights import RUNGS, SHAPES

SCALE = 3
WIDTH, HEIGHT = 160, 96
INFO = StreamInfo(WIDTH, HEIGHT, Fraction(1, 30), rate=Fraction(30), live=True)
TIMES = (0.36, 1.0, 3.0, 6.9)
"""What the rungs take, of XLSR's."""


def network(rung: int, lr: Image) -> Image:
    """What the fake engine of a rung gives. Bicubic never does that."""
    return np.repeat(np.repeat(255 - rung - lr, SCALE, axis=0), SCALE, axis=1)


class FakeEngine:
    """Gives `network` of a rung, also around the cells that are asked for, as an engine may; in
    ``whole_s`` seconds on the clock for a picture."""

    name, scale, halo, batch, threads = "fake", SCALE, 5, 1, 1

    def __init__(self, rung: int, clock: Clock, whole_s: float, *, sparse: bool) -> None:
        self.rung, self.clock, self.whole_s = rung, clock, whole_s
        self.sparse, self.region_cost = sparse, 0 if sparse else 200

    def run(self, tiles: Sequence[Tile]) -> None:
        for lr, hr, region, _ in tiles:
            hr[region.scaled(SCALE).slices] = network(self.rung, lr)[region.scaled(SCALE).slices]
        share = sum(map(requested_pixels, tiles)) / (WIDTH * HEIGHT)
        self.clock.now += self.whole_s * share


class Bench:
    """A stage on four rungs, fed at 30 frames a second. ``whole_s`` is XLSR's time."""

    def __init__(
        self,
        whole_s: float,
        *,
        budget_s: float = 0.05,
        sparse: bool = True,
        times: Sequence[float] = TIMES,
    ) -> None:
        self.clock = Clock()
        self.engines = [
            FakeEngine(rung, self.clock, whole_s * times[rung], sparse=sparse)
            for rung in range(len(times))
        ]
        self.record = Recorder()
        rungs = dict(zip(RUNGS, self.engines, strict=False))
        self.stage = LiveStage(
            self.engines[0],  # type: ignore[arg-type]  # it has what the stage asks for
            budget_s,
            rungs=rungs,  # type: ignore[arg-type]
            record=self.record,
            clock=self.clock,
        )
        self.stage.warm(INFO)
        self.index, self.next = 0, self.clock.now

    def show(self, lr: Image, *, late_s: float = 0.0) -> Image | None:
        self.next += 1 / 30
        self.clock.now = max(self.clock.now, self.next) + late_s
        self.record.count(Event.IN)
        arrival_s = self.next
        frame = Frame(lr, self.index, Fraction(1, 30), index=self.index, arrival_s=arrival_s)
        done = self.stage.frame(frame)
        self.index += 1
        return None if done is None else done.rgb

    def levels(self, lr: Image, hr: Image | None) -> set[int]:
        """The rungs that made this picture, cell by cell as the stage believes; each must be
        right."""
        assert hr is not None
        level = self.stage._level
        for rung in range(len(self.engines)):
            mask = np.kron(level == rung, np.ones((CELL * SCALE, CELL * SCALE), bool))
            assert (hr[mask] == network(rung, lr)[mask]).all(), rung
        return set(np.unique(level).tolist())


def noise(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 100, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize(
    ("whole_s", "rung"), [(0.003, "max"), (0.008, "plus"), (0.02, "xlsr"), (0.06, "lite")]
)
def test_the_highest_rung_that_holds_the_rate_is_begun_on(whole_s: float, rung: str) -> None:
    bench = Bench(whole_s)
    assert bench.record.quality == rung
    assert bench.record.quality_reason.startswith(f"{rung} to begin with, of lite, xlsr, plus, max")
    for seed in range(5):
        assert bench.levels(noise(seed), bench.show(noise(seed))) == {RUNGS.index(rung)}
    assert bench.record.rungs == {rung: 5}
    assert bench.record.frames["network"] == 5


def test_rungs_too_slow_to_be_measured_are_left_out() -> None:
    bench = Bench(0.5)
    bench.show(noise(0))
    assert bench.record.model == "lite, xlsr"
    assert Bench(20.0).record.model == "lite"


def test_a_machine_on_which_no_rung_keeps_up_is_told_so_with_what_there_is() -> None:
    said = Bench(0.12).stage.too_large(INFO)
    assert said is not None
    assert "ms a frame on lite, the fastest of lite, xlsr, plus, 33 ms are there" in said
    assert Bench(0.05).stage.too_large(INFO) is None


def test_under_load_a_lower_rung_comes_before_tiles_and_interpolation() -> None:
    bench = Bench(0.008)
    for seed in range(10):
        bench.show(noise(seed))
    for engine in bench.engines:
        engine.whole_s *= 4
    for seed in range(10, 40):
        bench.show(noise(seed))
    assert bench.levels(noise(40), bench.show(noise(40))) == {0}
    assert bench.record.frames["resized"] <= 3
    assert bench.record.snapshot().live.rungs["lite"] > 25  # type: ignore[union-attr]  # it is live


def test_free_again_it_climbs_back_rung_by_rung() -> None:
    bench = Bench(0.008)
    for engine in bench.engines:
        engine.whole_s *= 5
    for seed in range(30):
        bench.show(noise(seed))
    for engine in bench.engines:
        engine.whole_s /= 5
    seen = []
    for seed in range(120):
        bench.show(noise(seed))
        seen.append(bench.record.quality)
    assert list(dict.fromkeys(seen)) == ["lite", "xlsr", "plus"]
    assert seen == sorted(seen, key=RUNGS.index)


@pytest.mark.parametrize(("whole_s", "sparse"), [(0.02, True), (0.005, False)])
def test_a_picture_that_stands_still_ends_on_the_top_rung(whole_s: float, sparse: bool) -> None:
    bench = Bench(whole_s, sparse=sparse)
    for seed in range(5):
        bench.show(noise(seed))
    seen = [bench.levels(noise(9), bench.show(noise(9))) for _ in range(90)]
    begun = 1 if sparse else 2
    assert seen[0] == {begun}
    assert {begun, 3} in seen
    assert seen[-1] == {3}
    assert bench.record.snapshot().live.late == 0  # type: ignore[union-attr]  # it is live
    assert bench.record.frames["reused"] > 20


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("whole_s", [0.01, 0.05, 0.2])
def test_every_cell_is_one_rungs_whatever_happens(whole_s: float, sparse: bool) -> None:
    rng = np.random.default_rng(0)
    bench = Bench(whole_s, sparse=sparse)
    normal = [engine.whole_s for engine in bench.engines]
    lr, kinds = noise(0), set()
    for i in range(300):
        slow = 5 if 100 <= i < 130 else 1
        for engine, usual_s in zip(bench.engines, normal, strict=True):
            engine.whole_s = usual_s * slow
        if rng.random() < 0.5:
            lr = lr.copy()
            y, x = rng.integers(0, 80), rng.integers(0, 130)
            lr[y : y + 10, x : x + 20] = rng.integers(0, 100, (10, min(20, WIDTH - x), 3))
        elif rng.random() < 0.02:
            lr = noise(i)
        shown = bench.show(lr, late_s=float(rng.choice([0] * 20 + [0.02, 0.2])))
        if shown is not None:
            kinds |= bench.levels(lr, shown)
    # The parts that an engine computes that is not sparse are a third of this picture.
    assert len(kinds - {INTERPOLATED}) >= (2 if sparse or whole_s < 0.05 else 1)
    frames = bench.record.frames
    assert sum(frames[fate] for fate in Fate) == frames["in"] == 300
    share = bench.record.snapshot().live.pixel_share  # type: ignore[union-attr]  # it is live
    assert sum(share.values()) == pytest.approx(1, abs=1e-3)
    assert min(share.values()) >= 0


def test_what_moves_beside_it_leaves_the_top_rungs_parts_alone() -> None:
    bench = Bench(0.018, times=(0.36, 1.0, 2.5))
    still = noise(0)
    for seed in range(200):
        lr = noise(seed)
        lr[:, 96:] = still[:, 96:]
        shown = bench.show(lr)
    bench.levels(lr, shown)
    assert (bench.stage._level[:, 13:] == 2).all()
    assert (bench.stage._level[:, :12] == 1).all()


@pytest.mark.parametrize("engine", EXACT_ENGINES)
def test_real_rungs_end_with_the_bytes_of_the_top_one(model: Path, engine: str) -> None:
    """On engines that see farther the higher they stand, with changes that come and go."""
    rng = np.random.default_rng(0)
    choice = EngineChoice(engine, threads=1)
    with (
        Upscaler(model, engine=choice) as low,
        open_engine(member(*SHAPES["plus"], SCALE), choice)[0] as high,
    ):
        # Without a limit of time but for the rate: nothing here depends on the machine's speed.
        stage = LiveStage(low.engine, 1e9, rungs={"xlsr": low.engine, "plus": high})
        lr = noise(0)
        for i in range(80):
            if i < 30:
                lr = lr.copy()
                y, x = rng.integers(0, HEIGHT - 20), rng.integers(0, WIDTH - 60)
                lr[y : y + 20, x : x + 60] = rng.integers(0, 256, (20, 60, 3))
            done = stage.frame(Frame(lr, i, Fraction(1, 30), index=0))
        assert done is not None
        expected = np.empty_like(done.rgb)
        high.run([Tile(lr, expected, Region.of(WIDTH, HEIGHT))])
        np.testing.assert_array_equal(done.rgb, expected)
