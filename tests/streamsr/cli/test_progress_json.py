"""``upscale --progress-json``: what another program reads of a run."""

import json
import os
from pathlib import Path
from typing import Any

from tests.support.command import Command, started
from tests.support.media import make_video


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_tells_its_beginning_progress_and_end(upscale: Command, tmp_path: Path) -> None:
    film, out = make_video(tmp_path / "in.mp4", pts=range(30)), tmp_path / "out.mp4"
    result = upscale(film, out, "--progress-json", "--audit")
    assert result.status == 0, result.err
    first, *between, last = lines(result.out)
    assert first["began"].pop("how").startswith("xlsr_x3_u8 on ")
    assert first == {"began": {"input": str(film), "output": str(out), "frames": 30}}
    assert last == {"done": {"output": str(out), "frames": 30}}
    assert between[-1]["progress"]["frames"] == between[-1]["progress"]["total"] == 30
    assert all(line["progress"]["seconds"] > 0 for line in between)
    assert "kept" in result.err, "tables of the audit are for people"


def test_the_frames_of_a_run_that_goes_on_are_those_left(upscale: Command, tmp_path: Path) -> None:
    film = make_video(tmp_path / "in.mp4", pts=range(30), options={"g": "10"})
    arguments = ("--resume", "--segment", "0.3", "--progress-json")
    (tmp_path / "out.mp4.resume").mkdir()
    with started(
        "upscale", film, "-o", tmp_path / "out.mp4", "--preset", "ultrafast", *arguments
    ) as process:
        assert process.ended() == 0
    told = lines(upscale(film, tmp_path / "again.mp4", *arguments).out)
    assert told[0]["began"]["frames"] == 30
    assert [line["done"]["frames"] for line in told if "done" in line] == [30]


def test_what_goes_wrong_is_the_line_of_the_command(upscale: Command, tmp_path: Path) -> None:
    name = os.fsdecode(b"in\xff\n.mp4")
    (tmp_path / name).write_bytes(b"no film")
    result = upscale(tmp_path / name, tmp_path / "out.mp4", "--progress-json")
    (line,) = lines(result.out)
    assert result.status == 1
    assert line["failed"].startswith("streamsr: ")
    assert line["failed"] == result.err.strip()


def test_each_of_several_files_is_told(upscale: Command, tmp_path: Path) -> None:
    good = make_video(tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    (tmp_path / "out").mkdir()
    result = upscale(tmp_path / "bad.mp4", tmp_path / "out", good, "--progress-json")
    kinds = [next(iter(line)) for line in lines(result.out)]
    assert kinds[0] == "failed"
    assert kinds[1] == "began"
    assert kinds[-1] == "done"
    assert result.status == 1


def test_a_reader_that_leaves_ends_the_run(tmp_path: Path, model: Path) -> None:
    """So does the death of the program that has started it."""
    film = make_video(tmp_path / "in.mp4", pts=range(3000), size=(160, 96))
    reads, writes = os.pipe()
    with started(
        "upscale", film, "-o", tmp_path / "out.mp4", "--model", model, "--progress-json",
        stdout=writes,
    ) as process:  # fmt: skip
        os.close(writes)
        assert os.read(reads, 10)
        os.close(reads)
        assert process.ended() == 1
        assert "Traceback" not in process.said()
    assert sorted(os.listdir(tmp_path)) == ["in.mp4"]
