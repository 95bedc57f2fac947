"""`streamsr bench` measures what it says, on any clip."""

import json
import math
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from streamsr import bench
from streamsr.bench.clip import make_clip
from streamsr.engines.fused.codegen.library import host_kinds
from tests.support.media import make_video
from tests.support.processes import run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> bench.Report:
    clip = make_video(tmp_path_factory.mktemp("bench") / "clip.mp4")
    return bench.measure(clip, repetitions=1)


def test_every_engine_and_stage_is_timed(report: bench.Report) -> None:
    names = [stage.name for stage in report.stages]
    expected = {"decode and to RGB", "to YUV", "network: litert, 1 thread", "consistency, 1 thread"}
    assert expected <= set(names)
    assert all(0 < stage.minimum <= stage.median for stage in report.stages)


def test_every_kind_of_instructions_is_timed(report: bench.Report) -> None:
    names = {stage.name for stage in report.stages}
    if report.kind is None:
        pytest.skip("no fused engine here")
    kinds = {f"network: fused as {isa.name}, 1 thread" for isa in host_kinds()}
    fastest = f"network: fused as {report.kind}, 1 thread"
    assert {name for name in names if "fused as" in name} == kinds - {fastest}
    assert "network: fused, 1 thread" in names


def test_the_whole_command_is_set_against_its_bound(report: bench.Report) -> None:
    assert report.command.frames > 0
    assert report.command.bound_s > 0
    assert report.command.steady_s <= report.command.wall_s


def test_people_and_programs_read_the_same_numbers(report: bench.Report) -> None:
    numbers = json.loads(report.json())
    lines = list(report.lines())
    assert numbers["source"] in lines[0]
    assert (
        f"{numbers['command']['frames']} frames in {numbers['command']['wall_s']:.2f} s"
        in lines[-3]
    )
    assert "in real time at" in lines[-2]
    assert (numbers["kind"] or "without the fused engine") in lines[-1]
    assert lines[-1].endswith(f"at {report.pace.line()}")


def test_the_pace_is_that_of_the_command_and_of_the_fastest_network(report: bench.Report) -> None:
    pixels = math.prod(int(side) for side in report.source.split("x"))
    command = report.command
    assert report.pace.encoded == pytest.approx(command.steady_s / command.frames / pixels)
    network = [s.median for s in report.stages if s.name.startswith("network")]
    assert report.pace.live * pixels * 1e3 > min(network)


def test_each_engine_is_compared_with_litert_or_refused_with_its_reason(
    report: bench.Report,
) -> None:
    by_name = {compared.engine: compared for compared in report.engines}
    assert len(by_name) == 3
    timed = {
        stage.name.split()[1].rstrip(",")
        for stage in report.stages
        if stage.name.startswith("network: ")
    }
    assert timed == {name for name, compared in by_name.items() if compared.refused is None}
    assert by_name["litert"].different == 0
    lines = list(report.lines())
    for compared in report.engines:
        assert compared.line() in lines
        if compared.refused is None:
            assert compared.levels <= 3
            assert compared.psnr_db is None or compared.psnr_db >= 60
    assert json.loads(report.json())["engines"][-1]["engine"] == "litert"


WRONG = """
import sys
from pathlib import Path
from streamsr import bench
from streamsr.engines import openvino

openvino.NO_INT8.clear()
report = bench.measure(Path(sys.argv[1]), repetitions=1)
print(report.json())
print(*report.lines(), sep="\\n")
"""


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="pretends to be an x86 processor without VNNI"
)
def test_an_engine_that_computes_wrongly_has_no_figure(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    done = run(
        [sys.executable, "-c", WRONG, clip],
        timeout_s=200,
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "STREAMSR_FUSED": "none"},
    )
    assert done.returncode == 0, done.stderr
    assert "network: openvino" not in done.stdout
    assert "engine openvino is not used here: " in done.stdout
    assert "allowed 3 levels, 60 dB" in done.stdout
    assert "engine fused is not used here: switched off" in done.stdout


def test_a_film_is_made_where_none_is_given(tmp_path: Path) -> None:
    from streamsr import FileSource

    make_clip(tmp_path / "made.mp4", seconds=1, size=(64, 48))
    with FileSource(tmp_path / "made.mp4") as source:
        assert (source.info.width, source.info.height, len(list(source))) == (64, 48, 30)
