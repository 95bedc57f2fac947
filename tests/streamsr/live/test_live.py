"""The live stage: what it does with the pixels, on a fake engine and a virtual clock; and the same
bytes as a file."""

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamsr import FileSink, FileSource
from streamsr.engines import Engine, Image, Tile
from streamsr.frame import Frame, StreamInfo
from streamsr.live.stage import LiveStage
from streamsr.picture.finish import Finish
from streamsr.picture.resize import interpolate, resized
from streamsr.pipeline import Pipeline
from streamsr.region import CELL, Region
from streamsr.stats import Event, Fate, Recorder
from streamsr.tiling.priority import requested_pixels
from streamsr.upscaler import Upscaler
from tests.support.engine import EXACT_ENGINES
from tests.support.fakes import Clock
from tests.support.media import make_video

SCALE = 3
WIDTH, HEIGHT = 160, 96
INFO = StreamInfo(WIDTH, HEIGHT, Fraction(1, 30), rate=Fraction(30), live=True)


def network(lr: Image) -> Image:
    """What the fake engine gives: each pixel inverted and repeated. Bicubic never does that."""
    return np.repeat(np.repeat(255 - lr, SCALE, axis=0), SCALE, axis=1)


class FakeEngine:
    """Gives `network` of the pixels that are asked for, in no time."""

    name, scale, halo, batch, threads = "fake", SCALE, 5, 1, 1

    def __init__(self, region_cost: int) -> None:
        self.region_cost, self.sparse = region_cost, region_cost == 0

    def run(self, tiles: Sequence[Tile]) -> None:
        for lr, hr, region, cells in tiles:
            mask = np.ones((HEIGHT // CELL, WIDTH // CELL), bool) if cells is None else cells
            wanted = np.zeros((HEIGHT, WIDTH), bool)
            wanted[region.slices] = np.kron(mask, np.ones((CELL, CELL), bool))[region.slices]
            into = np.kron(wanted, np.ones((SCALE, SCALE), bool))
            hr[into] = network(lr)[into]


class Slowed:
    """An engine that takes ``whole_s`` for a whole picture on the clock, and in proportion for
    less."""

    def __init__(self, engine: Engine, clock: Clock, whole_s: float) -> None:
        self._engine, self._clock, self.whole_s = engine, clock, whole_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self, tiles: Sequence[Tile]) -> None:
        self._engine.run(tiles)
        self._clock.now += self.whole_s * sum(map(requested_pixels, tiles)) / (WIDTH * HEIGHT)


class Bench:
    """A stage on an engine, a fake one if none is given, fed at 30 frames a second."""

    def __init__(
        self,
        *,
        whole_s: float,
        budget_s: float = 0.05,
        region_cost: int = 0,
        reuse: bool = True,
        engine: Engine | None = None,
        finish: Finish | None = None,
    ) -> None:
        self.clock = Clock()
        faked: Any = FakeEngine(region_cost)  # Any: it has what the stage asks for
        self.engine = Slowed(engine or faked, self.clock, whole_s)
        self.record = Recorder()
        self.stage = LiveStage(
            self.engine,
            budget_s,
            finish=finish,
            record=self.record,
            reuse=reuse,
            clock=self.clock,
        )
        self.stage.warm(INFO)
        self.index = 0
        self.next = self.clock.now

    def show(self, lr: Image, *, late_s: float = 0.0, waiting: int = 0) -> Image | None:
        self.next += 1 / 30
        arrival_s = self.next
        self.clock.now = max(self.clock.now, arrival_s) + late_s
        self.record.count(Event.IN)
        frame = self.stage.frame(
            Frame(lr, self.index, Fraction(1, 30), index=self.index, arrival_s=arrival_s),
            waiting=waiting,
        )
        self.index += 1
        return None if frame is None else frame.rgb

    def sharp(self, lr: Image, hr: Image | None) -> float:
        """Share of the picture that is the network's."""
        assert hr is not None
        return float((hr == network(lr)).all(axis=2).mean())


def noise(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 100, (HEIGHT, WIDTH, 3), np.uint8)


def test_a_fast_engine_computes_every_pixel() -> None:
    bench = Bench(whole_s=0.01)
    for seed in range(10):
        assert bench.sharp(noise(seed), bench.show(noise(seed))) == 1
    assert bench.record.frames["network"] == 10
    assert bench.record.counted(Event.SHARP) == 10


def test_an_unchanged_picture_costs_nothing_and_a_small_change_little() -> None:
    bench = Bench(whole_s=0.01)
    first = noise(1)
    bench.show(first)
    bench.show(first.copy())
    changed = first.copy()
    changed[50:53, 70:73] += 1
    assert bench.sharp(changed, bench.show(changed)) == 1
    assert [bench.record.frames[fate] for fate in ("network", "reused", "partial")] == [1, 1, 1]


def test_without_reuse_every_pixel_is_computed_again() -> None:
    bench = Bench(whole_s=0.01, reuse=False)
    for _ in range(3):
        bench.show(noise(1))
    assert [bench.record.frames[fate] for fate in ("network", "reused")] == [3, 0]


@pytest.mark.parametrize("region_cost", [0, 200])
def test_a_slow_engine_computes_a_part_and_keeps_the_budget(region_cost: int) -> None:
    bench = Bench(whole_s=0.08, region_cost=region_cost)
    shares = [bench.sharp(noise(seed), bench.show(noise(seed))) for seed in range(30)]
    assert 0.1 < np.mean(shares[10:]) < 0.6
    stats = bench.record.snapshot()
    assert stats.live is not None
    assert stats.live.late == 0
    assert stats.live.stages_ms["upscaled"]["max"] <= 50  # type: ignore[operator]  # there are ages
    assert stats.frames["partial"] == 30


@pytest.mark.parametrize(("whole_s", "region_cost"), [(0.15, 0), (0.07, 200)])
def test_a_picture_that_stands_still_becomes_sharp_and_stays_so(
    whole_s: float, region_cost: int
) -> None:
    bench = Bench(whole_s=whole_s, region_cost=region_cost)
    for seed in range(5):
        bench.show(noise(seed))
    shares = [bench.sharp(noise(9), bench.show(noise(9))) for _ in range(30)]
    assert shares[0] < 0.5
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert bench.record.frames["reused"] > 10


def test_what_stands_still_becomes_sharp_beside_what_always_moves() -> None:
    bench = Bench(whole_s=0.15)
    still = noise(1)
    for seed in range(200):
        lr = noise(seed)
        lr[:, 64:] = still[:, 64:]
        hr = bench.show(lr)
    assert hr is not None
    assert (hr[:, 72 * SCALE :] == network(still)[:, 72 * SCALE :]).all()


def test_an_engine_that_prepares_each_shape_is_asked_for_few() -> None:
    """Parts that come and go all over the picture are of one size, but for the last column and
    row."""
    bench = Bench(whole_s=0.05, region_cost=200)
    seen = set()
    run = bench.engine.run

    def watched(tiles: Sequence[Tile]) -> None:
        seen.update((tile.region.width, tile.region.height) for tile in tiles)
        run(tiles)

    bench.engine.run = watched  # type: ignore[method-assign]  # a spy on our own fake
    rng = np.random.default_rng(0)
    lr = noise(0)
    for i in range(60):
        lr = lr.copy()
        y, x = rng.integers(0, HEIGHT - 10), rng.integers(0, WIDTH - 10)
        lr[y : y + 10 + i % 40, x : x + 10 + i] = rng.integers(0, 100)
        bench.show(lr)
    assert {(80, 80)} < seen <= {(WIDTH, HEIGHT), (80, 80), (80, 16)}


def test_detail_that_moves_is_preferred_to_flat_parts() -> None:
    bench = Bench(whole_s=0.08)
    for seed in range(10):
        lr = np.full((HEIGHT, WIDTH, 3), seed, np.uint8)
        lr[32:64, 32:128] = noise(seed)[32:64, 32:128]
        hr = bench.show(lr)
    assert hr is not None
    detailed = np.s_[32 * SCALE : 64 * SCALE, 32 * SCALE : 128 * SCALE]
    assert (hr[detailed] == network(lr)[detailed]).all()


def test_an_old_frame_is_resized_and_a_too_old_one_dropped() -> None:
    bench = Bench(whole_s=0.03)
    bench.show(noise(0))
    assert bench.sharp(noise(1), bench.show(noise(1), late_s=0.0499)) < 0.1
    assert bench.show(noise(2), late_s=0.06) is None
    assert bench.record.frames["resized"] == bench.record.frames["dropped"] == 1


def test_every_frame_has_one_fate_through_spikes_and_stalls() -> None:
    rng = np.random.default_rng(5)
    for _ in range(10):
        bench = Bench(whole_s=float(rng.uniform(0.01, 0.2)), region_cost=int(rng.choice([0, 200])))
        normal_s = bench.engine.whole_s
        image = noise(0)
        for i in range(60):
            bench.engine.whole_s = normal_s * (5 if 20 <= i < 30 else 1)
            if rng.random() < 0.5:
                y, x = rng.integers(0, 80), rng.integers(0, 130)
                image = image.copy()
                image[y : y + 20, x : x + 40] = rng.integers(0, 100)
            bench.show(
                image,
                late_s=float(rng.choice([0, 0, 0, 0.02, 0.2])),
                waiting=int(rng.random() < 0.1),
            )
        frames = bench.record.frames
        assert sum(frames[fate] for fate in Fate) == frames["in"] == 60
        share = bench.record.snapshot().live.pixel_share  # type: ignore[union-attr]  # it is live
        assert sum(share.values()) == pytest.approx(1, abs=1e-3)
        assert min(share.values()) >= 0


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_picture_interpolated_in_parts_is_the_picture_interpolated(scale: int) -> None:
    lr = noise(4)
    parts = [
        Region(0, 0, 40, 96),
        Region(40, 0, 120, 8),
        Region(40, 8, 8, 88),
        Region(48, 8, 112, 88),
    ]
    hr = np.zeros((HEIGHT * scale, WIDTH * scale, 3), np.uint8)
    interpolate(lr, hr, parts)
    np.testing.assert_array_equal(hr, resized(lr, (WIDTH * scale, HEIGHT * scale)))


@pytest.mark.parametrize("engine", EXACT_ENGINES)
def test_a_refined_picture_has_the_bytes_of_full_computation(model: str, engine: str) -> None:
    """On the real engine, with a clock that leaves no time at first."""
    clock = Clock()
    with Upscaler(model, engine=engine, threads=1) as upscaler:
        stage = LiveStage(
            upscaler.engine, 0.05, finish=upscaler.finish, record=upscaler.record, clock=clock
        )
        lr = noise(3)
        expected = upscaler(lr)
        blurred = stage.frame(Frame(lr, 0, Fraction(1, 30), 0, 0, clock.now - 0.0499))
        assert blurred is not None
        assert upscaler.record.frames["network"] == 1  # nothing was measured yet: it is tried
        for i in range(1, 40):
            clock.now += 1 / 30
            lr = noise(i % 2)
            stage.frame(Frame(lr, i, Fraction(1, 30), 0, i, clock.now - (0.0499 if i < 10 else 0)))
        done = stage.frame(Frame(lr, 40, Fraction(1, 30), 0, 40, clock.now))
        assert done is not None
        expected = upscaler(lr)
        np.testing.assert_array_equal(done.rgb, expected)


class Frames:
    """A source that gives all its frames at once."""

    def __init__(self, images: list[Image]) -> None:
        self.info = INFO
        self.images = images

    def __enter__(self) -> "Frames":
        return self

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        for i, image in enumerate(self.images):
            yield Frame(image, i, Fraction(1, 30), index=i, arrival_s=time.monotonic())


@pytest.mark.parametrize("engine", EXACT_ENGINES)
def test_parts_computed_here_and_there_have_the_bytes_of_full_computation(
    model: str, engine: str
) -> None:
    """The time between two frames fits only parts; changes come and go."""
    rng = np.random.default_rng(0)
    with Upscaler(model, engine=engine, threads=1) as upscaler:
        bench = Bench(whole_s=2 / 30, budget_s=10.0, engine=upscaler.engine, finish=upscaler.finish)
        lr = noise(0)
        for i in range(60):
            if i < 30:
                lr = lr.copy()
                y, x = rng.integers(0, HEIGHT - 20), rng.integers(0, WIDTH - 60)
                lr[y : y + 20, x : x + 60] = rng.integers(0, 256, (20, 60, 3))
            shown = bench.show(lr)
        assert shown is not None
        assert bench.record.frames["partial"] > 0
        np.testing.assert_array_equal(shown, upscaler(lr))


def test_a_live_pipeline_accounts_for_every_frame(model: str) -> None:
    with Upscaler(model, engine="litert", threads=1) as upscaler:
        shown = list(Pipeline(Frames([noise(i % 3) for i in range(50)]), upscaler, budget_s=10.0))
        frames = upscaler.record.frames
        assert frames["in"] == 50 == sum(frames[fate] for fate in Fate)
        assert len(shown) == 50 - frames["dropped"] > 0
        assert shown[-1].pts == 49
        assert shown[-1].lr is not None


def test_a_live_pipeline_left_early_accounts_for_every_frame(model: str) -> None:
    with Upscaler(model, engine="litert", threads=1) as upscaler:
        with Pipeline(Frames([noise(i) for i in range(50)]), upscaler, budget_s=10.0) as pipeline:
            next(iter(pipeline))
        frames = upscaler.record.frames
        assert frames["in"] == sum(frames[fate] for fate in Fate) > 0


def test_a_live_film_of_more_than_8_bits_is_written_at_its_size(model: str, tmp_path: Path) -> None:
    """One frame, since a live pipeline may drop others; a picture of the wrong size would be
    repeated at its edges."""
    film = make_video(tmp_path / "film.mkv", codec="ffv1", pix_fmt="yuv420p10le", pts=[0])
    written = tmp_path / "live.mkv"
    with Upscaler(model, engine="litert", threads=1) as upscaler, FileSource(film) as source:
        size = source.info.width * upscaler.scale, source.info.height * upscaler.scale
        with FileSink(written, source.info, size, codec="ffv1") as sink:
            Pipeline(source, upscaler, budget_s=60.0).run(sink)
        with FileSource(film) as before, FileSource(written) as after:
            for lr, hr in zip(before, after, strict=True):
                # The edges of the square lie in chroma of half the size.
                assert np.abs(hr.rgb.astype(int) - upscaler(lr.rgb)).mean() < 2
