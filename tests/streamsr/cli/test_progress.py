"""What is printed of upscaling files, on one machine and on a cluster."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamsr.audit.check import KEPT, LOST, Check
from streamsr.cli.progress import Display
from streamsr.errors import SourceError
from streamsr.jobs.observer import Progress
from streamsr.stats import Event, Recorder

SOURCE, TARGET = Path("a.mkv"), Path("b.mkv")
UPSCALER: Any = SimpleNamespace(
    model=SimpleNamespace(name="net"),
    engine=SimpleNamespace(name="fused", threads=1),
    engine_reason="asked",
    model_reason="video (h264)",
    quality_reason="",
    record=SimpleNamespace(model="net"),
)


def test_a_file_has_a_line_where_it_begins_and_one_where_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = Recorder()
    with Display(record) as display:
        display.began(SOURCE, TARGET, UPSCALER, frames=3)
        display.progress(Progress(3, 3))
        record.count(Event.DAMAGED)
        display.done(TARGET, 3, [])
    first, last = capsys.readouterr().err.splitlines()
    assert first == "a.mkv -> b.mkv: net on fused, 1 thread (asked); model: video (h264)"
    assert last.startswith("b.mkv: 3 frames in 0.")
    assert last.endswith("fps), 1 damaged and left out")


def test_files_of_a_cluster_share_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(Recorder(), files=2, together=True) as display:
        display.began(SOURCE, TARGET, UPSCALER, frames=30, segments=3)
        display.progress(Progress(10, 40, workers=4, nodes=2))
        display.done(TARGET, 30, [])
        display.progress(Progress(40, 40, workers=1, nodes=3))
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "a.mkv -> b.mkv: net, 3 segments; model: video (h264)"
    assert second == "b.mkv: 30 frames"
    assert last.startswith("40 frames in ")
    assert last.endswith(", up to 4 workers on 3 nodes")


@pytest.mark.parametrize("files", [1, 2])
def test_errors_are_kept_and_among_several_files_printed_as_they_come(
    capsys: pytest.CaptureFixture[str], files: int
) -> None:
    error = SourceError("a.mkv: no film")
    with Display(Recorder(), files=files) as display:
        display.failed(error)
    assert display.errors == [error]
    assert capsys.readouterr().err == ("streamsr: a.mkv: no film\n" if files > 1 else "")


def test_a_loss_that_the_audit_found_is_an_error_of_its_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Display(Recorder(), together=True) as display:
        display.done(TARGET, 3, [Check("times", KEPT, "3 equal"), Check("audio 1", LOST, "gone")])
    assert [str(error) for error in display.errors] == ["b.mkv: 1 of 2 checks failed: audio 1"]
    said = capsys.readouterr()
    assert said.out == "kept  times    3 equal\nLOST  audio 1  gone\n"
    assert said.err == "b.mkv: 3 frames\n"
