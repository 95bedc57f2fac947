"""`streamsr bench` measures what it says, on any clip."""

import json
from pathlib import Path

import pytest

from streamsr import bench
from tests.streamsr.media import make_video


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> bench.Report:
    clip = make_video(tmp_path_factory.mktemp("bench") / "clip.mp4")
    return bench.measure(clip, repetitions=1)


def test_every_engine_and_stage_is_timed(report: bench.Report) -> None:
    names = [stage.name for stage in report.stages]
    assert {"decode and to RGB", "to YUV", "network: litert, 1 thread"} <= set(names)
    assert all(0 < stage.minimum <= stage.median for stage in report.stages)


def test_the_whole_command_is_set_against_its_bound(report: bench.Report) -> None:
    assert report.command.frames > 0
    assert report.command.bound_s > 0
    assert report.command.steady_s <= report.command.wall_s


def test_people_and_programs_read_the_same_numbers(report: bench.Report) -> None:
    numbers = json.loads(report.json())
    lines = list(report.lines())
    assert numbers["source"] in lines[0]
    assert f"{numbers['command']['frames']} frames in {numbers['command']['wall_s']:.2f} s" in lines[-2]
    assert "in real time at" in lines[-1]


def test_a_film_is_made_where_none_is_given(tmp_path: Path) -> None:
    from streamsr import FileSource

    bench._make_clip(tmp_path / "made.mp4", seconds=1, size=(64, 48))
    with FileSource(tmp_path / "made.mp4") as source:
        assert (source.info.width, source.info.height, len(list(source))) == (64, 48, 30)
