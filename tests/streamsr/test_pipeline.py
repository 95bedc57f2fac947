"""The pipeline with fakes: whatever fails, wherever: the right exception, no thread left, no output
left."""

import gc
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np
import pytest

from streamsr import Cancelled, Frame, ModelError, Pipeline, SinkError, SourceError, StreamInfo
from streamsr.stats import Fate, Recorder

TICK = Fraction(1, 25)


class Failing:
    """Raises ``error`` at the call number ``at``, if there is one."""

    def __init__(self, error: BaseException | None = None, at: int = 0) -> None:
        self.error, self.at, self.calls = error, at, 0

    def call(self) -> None:
        self.calls += 1
        if self.error is not None and self.calls > self.at:
            raise self.error


class FakeSource:
    """Frames out of nothing; may fail on entry, on the way or at the end."""

    def __init__(
        self, frames: int = 20, *, enter: Failing | None = None, read: Failing | None = None
    ) -> None:
        self._frames, self._enter, self._read = frames, enter or Failing(), read or Failing()
        self.entered = 0
        self.info = StreamInfo(4, 4, TICK)

    def __enter__(self) -> Self:
        self._enter.call()
        self.entered += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.entered -= 1

    def __iter__(self) -> Iterator[Frame]:
        for i in range(self._frames):
            self._read.call()
            yield Frame(np.zeros((4, 4, 3), np.uint8), i, TICK, 1, i)
        self._read.call()


class FakeUpscaler:
    """Frames through; may fail."""

    def __init__(self, *, batch: int = 1, work: Failing | None = None) -> None:
        self.engine = SimpleNamespace(batch=batch, scale=2)
        self.record = Recorder()
        self._work = work or Failing()

    def frames(self, frames: Sequence[Frame]) -> list[Frame]:
        self._work.call()
        self.record.count(Fate.NETWORK, len(frames))
        return [replace(frame, rgb=np.zeros((8, 8, 3), np.uint8)) for frame in frames]


class FakeSink:
    """Writes ``path`` + ``.part`` and renames it on commit."""

    def __init__(
        self, path: Path, *, write: Failing | None = None, commit: Failing | None = None
    ) -> None:
        self._path, self._write, self._commit = path, write or Failing(), commit or Failing()
        self._part = path.with_name(path.name + ".part")

    def __enter__(self) -> Self:
        self._part.touch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._part.unlink(missing_ok=True)

    def write(self, frame: Frame) -> None:
        self._write.call()
        with open(self._part, "a", encoding="utf-8") as file:
            file.write(f"{frame.pts}\n")

    def commit(self) -> None:
        self._commit.call()
        self._part.rename(self._path)


def pipeline(source: Any, upscaler: Any) -> Pipeline:  # Any: fakes of our protocols
    return Pipeline(source, upscaler)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert {t for t in threading.enumerate() if t.is_alive()} <= before


def test_frames_come_in_order_and_all() -> None:
    source = FakeSource(30)
    frames = list(pipeline(source, FakeUpscaler()))
    assert [frame.pts for frame in frames] == list(range(30))
    assert {frame.rgb.shape for frame in frames} == {(8, 8, 3)}
    assert source.entered == 0


def test_a_source_without_frames_is_an_empty_loop() -> None:
    assert list(pipeline(FakeSource(0), FakeUpscaler())) == []


def test_a_batching_engine_gets_all_frames_too() -> None:
    assert [f.pts for f in pipeline(FakeSource(31), FakeUpscaler(batch=4))] == list(range(31))


def test_every_frame_has_one_fate(tmp_path: Path) -> None:
    upscaler = FakeUpscaler()
    with FakeSink(tmp_path / "out") as sink, pipeline(FakeSource(12), upscaler) as line:
        stats = line.run(sink)
    assert stats.frames["in"] == stats.frames["network"] == 12
    assert (tmp_path / "out").read_text().split() == [str(i) for i in range(12)]


def test_progress_is_told_after_every_frame(tmp_path: Path) -> None:
    seen: list[int] = []
    with FakeSink(tmp_path / "out") as sink, pipeline(FakeSource(5), FakeUpscaler()) as line:
        line.run(sink, progress=lambda frame: seen.append(frame.pts))
    assert seen == list(range(5))


def test_the_info_is_the_sources() -> None:
    source = FakeSource()
    with pipeline(source, FakeUpscaler()) as line:
        assert line.info is source.info


def test_frames_before_a_failure_still_arrive() -> None:
    error = SourceError("broke off")
    seen = []
    with pytest.raises(SourceError) as raised:  # noqa: PT012 - the loop is what is tested
        for frame in pipeline(FakeSource(20, read=Failing(error, 10)), FakeUpscaler()):
            seen += [frame.pts]
    assert raised.value is error
    assert seen == list(range(10))


def test_an_early_break_stops_the_threads() -> None:
    source = FakeSource(10_000)
    with pipeline(source, FakeUpscaler()) as line:
        for frame in line:
            if frame.pts == 3:
                break
    assert source.entered == 0


def test_a_loop_that_is_dropped_stops_the_threads() -> None:
    source = FakeSource(10_000)
    frames = iter(pipeline(source, FakeUpscaler()))
    next(frames)
    del frames
    gc.collect()
    assert source.entered == 0


def test_leaving_without_reading_stops_the_threads() -> None:
    source = FakeSource(10_000)
    with pipeline(source, FakeUpscaler()):
        pass
    assert source.entered == 0


def test_leaving_twice_is_harmless() -> None:
    line = pipeline(FakeSource(), FakeUpscaler())
    with line:
        pass
    line.__exit__(None, None, None)


def test_a_pipeline_runs_once() -> None:
    line = pipeline(FakeSource(3), FakeUpscaler())
    assert len(list(line)) == 3
    with pytest.raises(RuntimeError, match="runs once"):
        list(line)


def test_an_error_of_the_caller_is_the_callers() -> None:
    error = ZeroDivisionError("mine")
    line = pipeline(FakeSource(1000), FakeUpscaler())
    with pytest.raises(ZeroDivisionError) as raised, line:  # noqa: PT012 - its loop raises
        for _ in line:
            raise error
    assert raised.value is error


ERRORS = [
    SourceError,
    SinkError,
    ModelError,
    OSError,
    ValueError,
    KeyboardInterrupt,
    Cancelled,
    MemoryError,
]


@pytest.mark.parametrize("seed", range(300))
def test_a_failure_anywhere_surfaces_itself_and_leaves_nothing(seed: int, tmp_path: Path) -> None:
    """One fault at a random place after a random number of calls, in a run of random length."""
    chance = random.Random(seed)
    frames, batch = chance.choice([0, 1, 2, 5, 40]), chance.choice([1, 1, 2, 4])
    where = chance.choice(["enter", "read", "work", "write", "commit", "progress", "nowhere"])
    error = chance.choice(ERRORS)("injected")
    fault = Failing(error, chance.randint(0, max(frames, 1)) if where != "enter" else 0)
    if where == "commit":
        fault.at = 0
    failing = {where: fault}
    source = FakeSource(frames, enter=failing.get("enter"), read=failing.get("read"))
    upscaler = FakeUpscaler(batch=batch, work=failing.get("work"))
    told = failing.get("progress", Failing())
    raised: BaseException | None = None
    try:
        with (
            FakeSink(
                tmp_path / "out", write=failing.get("write"), commit=failing.get("commit")
            ) as sink,
            pipeline(source, upscaler) as line,
        ):
            line.run(sink, progress=lambda _: told.call())
    except BaseException as seen:  # noqa: BLE001 - whatever was injected
        raised = seen
    struck = fault.calls > fault.at
    assert raised is (error if struck and where != "nowhere" else None)
    assert source.entered == 0
    assert [path.name for path in tmp_path.iterdir()] == ([] if raised else ["out"])
    if raised is None:
        assert (tmp_path / "out").read_text().split() == [str(i) for i in range(frames)]


@pytest.mark.parametrize("seed", range(60))
def test_two_failures_at_once_surface_one_of_them(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    first, second = SourceError("of the source"), ModelError("of the upscaler")
    source = FakeSource(20, read=Failing(first, chance.randint(0, 20)))
    upscaler = FakeUpscaler(work=Failing(second, chance.randint(0, 20)))
    with (
        pytest.raises((SourceError, ModelError)) as raised,
        FakeSink(tmp_path / "out") as sink,
        pipeline(source, upscaler) as line,
    ):
        line.run(sink)
    assert raised.value in (first, second)
    assert not list(tmp_path.iterdir())
