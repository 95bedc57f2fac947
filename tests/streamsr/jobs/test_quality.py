"""Which rung of the family a job takes: by what is asked, what is installed and what this machine
has time for."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from streamsr import Upscaler
from streamsr.errors import ModelError
from streamsr.frame import StreamInfo
from streamsr.jobs import quality, upscaler
from streamsr.jobs.files import FileJob
from streamsr.jobs.options import FileOptions, UpscaleOptions
from streamsr.jobs.pace import encoder_s, moving
from streamsr.jobs.quality import Speeds, best
from streamsr.options import QUALITIES, Encoding, EngineChoice
from streamsr.stats import Recorder
from tests.support.command import Command
from tests.support.engine import EXACT
from tests.support.media import make_video, picture
from tests.support.rungs import installed
from xlsr_model import weights

FAMILY = ["xlsr-lite_x3_u8", "xlsr-plus_x3_u8", "xlsr-plus-video_x3_u8", "xlsr-max_x3_u8"]
SPEEDS = [("lite", 80.0), ("xlsr", 40.0), ("plus", 15.0), ("max", 7.0)]


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path / "weights", monkeypatch, FAMILY)


def paces(monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    """A machine on which XLSR alone makes so many frames a second of 64x48, and the encoder takes
    nothing."""
    xlsr_s = 1 / fps / (64 * 48) / 1.2

    def network_s(of: Upscaler) -> float:
        return xlsr_s * {"lite": 0.36, "xlsr": 1, "plus": 3, "max": 6.9}[of.quality]

    monkeypatch.setattr(quality, "network_s", network_s)
    monkeypatch.setattr(quality, "encoder_s", lambda *_: 0.0)


@pytest.mark.parametrize(
    ("wanted_fps", "rung", "line"),
    [
        (5.0, "max", "max, about 7 fps"),
        (15.0, "plus", "plus, about 15 fps; max would make it about 7"),
        (25.0, "xlsr", "xlsr, about 40 fps; plus would make it about 15"),
        (60.0, "lite", "lite, about 80 fps; xlsr would make it about 40"),
        (
            100.0,
            "xlsr",
            "xlsr, since none makes 100 fps here (lite about 80, xlsr about 40, plus about 15, "
            "max about 7)",
        ),
    ],
)
def test_the_best_rung_that_is_fast_enough(wanted_fps: float, rung: str, line: str) -> None:
    assert best(SPEEDS, wanted_fps, asked=False) == (rung, line)
    if wanted_fps < 100:
        assert best(SPEEDS, wanted_fps, asked=True) == (rung, line)


def test_a_rate_that_was_asked_for_and_no_rung_makes_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(ModelError, match=r"no quality makes 100 fps here \(lite about 80, xlsr"):
        best(SPEEDS, 100, asked=True)


@pytest.mark.usefixtures("family")
def test_rungs_that_would_be_far_too_slow_are_estimated_and_not_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paces(monkeypatch, 30)
    opened = []

    def open_(rung: str) -> Upscaler:
        opened.append(rung)
        return Upscaler("clean", quality=rung, engine=EngineChoice(EXACT, threads=1))

    info = StreamInfo(64, 48, Fraction(1, 25), rate=Fraction(25))
    speeds = Speeds(Encoding()).of(list(weights.RUNGS), open_, info, 25, encoded=True)
    assert opened == ["lite", "xlsr"]
    assert [rung for rung, _ in speeds] == list(weights.RUNGS)
    assert dict(speeds)["xlsr"] == pytest.approx(30)
    assert dict(speeds)["plus"] == pytest.approx(10, rel=0.1)
    assert dict(speeds)["max"] == pytest.approx(4.3, rel=0.1)


def test_what_encoding_takes_counts() -> None:
    slow = Encoding(preset="medium")
    assert encoder_s(slow, moving(3, (96, 64))) > 0
    frames = list(moving(3, (97, 65)))
    assert [frame.shape for frame in frames] == [(65, 97, 3)] * 3
    assert all((a != b).mean() > 0.5 for a, b in pairwise(frames))


def upscaled(
    streamsr: Command, source: Path, target: Path, *words: object
) -> tuple[dict[str, Any], list[str]]:
    stats = target.with_suffix(".json")
    preset = () if target.suffix == ".png" else ("--preset", "ultrafast")
    done = streamsr("upscale", source, "-o", target, "--stats-json", stats, *preset, *words)
    assert done.status == 0, done.err
    return json.loads(stats.read_text()), done.lines


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize(
    ("fps", "model"),
    [
        (200, "xlsr-max_x3_u8"),
        (80, "xlsr-plus_x3_u8"),
        (30, "xlsr_x3_u8"),
        (12, "xlsr-lite_x3_u8"),
        (6, "xlsr_x3_u8"),
    ],
)
def test_auto_takes_the_best_that_keeps_the_films_rate(
    streamsr: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fps: int,
    model: str,
) -> None:
    paces(monkeypatch, fps)
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(3))
    said, lines = upscaled(streamsr, film, tmp_path / "out.mkv")
    assert (said["model"], said["quality"]) == (model, weights.rung_named(model))
    assert said["quality_reason"].startswith(f"{said['quality']}, ")
    assert lines[0].endswith(f"; quality: {said['quality_reason']}")


@pytest.mark.usefixtures("family")
def test_what_is_asked_for_at_least_is_kept(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces(monkeypatch, 30)
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(3))
    said, _ = upscaled(streamsr, film, tmp_path / "a.mkv", "--at-least", 60)
    assert said["quality"] == "lite"
    said, _ = upscaled(streamsr, film, tmp_path / "b.mkv", "--at-least", 8)
    assert said["quality"] == "plus"
    done = streamsr("upscale", film, "-o", tmp_path / "c.mkv", "--at-least", 1000)
    assert done.status == 1
    assert len(done.lines) == 1
    assert (
        "no quality makes 1000 fps here (lite about 83, xlsr about 30, plus about 9.9" in done.err
    )
    assert not (tmp_path / "c.mkv").exists()


@pytest.mark.usefixtures("family")
def test_a_picture_has_a_second(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces(monkeypatch, 4)
    PillowImage.fromarray(picture(0, 64, 48)).save(tmp_path / "in.png")
    said, _ = upscaled(streamsr, tmp_path / "in.png", tmp_path / "out.png")
    assert said["quality"] == "plus"


@pytest.mark.usefixtures("family")
def test_measured_on_this_machine_a_small_film_gets_the_best(
    streamsr: Command, tmp_path: Path
) -> None:
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(3))
    said, _ = upscaled(streamsr, film, tmp_path / "out.mkv", "--at-least", 0.01)
    assert said["quality"] == "max"


def test_where_only_xlsr_is_shipped_nothing_is_measured_or_said(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "weights", monkeypatch, [])

    class MeasuredError(Exception): ...

    def measured(*_: object) -> float:
        raise MeasuredError

    monkeypatch.setattr(quality, "network_s", measured)
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(3))
    said, lines = upscaled(streamsr, film, tmp_path / "out.mkv")
    assert (said["model"], said["quality"], said["quality_reason"]) == ("xlsr_x3_u8", "xlsr", "")
    assert not any("quality" in line for line in lines)


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize("rung", ["lite", "xlsr", "plus", "max"])
def test_a_rung_that_is_named_is_taken_by_every_command_and_the_library(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rung: str
) -> None:
    monkeypatch.setattr(quality, "network_s", None)
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(3))
    said, lines = upscaled(streamsr, film, tmp_path / "out.mkv", "--quality", rung)
    assert said["model"] == weights.default(3, "clean", rung)
    assert "quality" not in lines[0]
    asked = UpscaleOptions(quality=rung, choice=EngineChoice(EXACT, threads=1))
    with upscaler.open_upscaler(asked, record=Recorder()) as of_rung:  # pipes and live sources
        assert (of_rung.model.name, of_rung.record.quality) == (said["model"], rung)
    with Upscaler(quality=rung, engine=EXACT, threads=1) as of_rung:
        assert (of_rung.model.name, of_rung.quality) == (said["model"], rung)
        assert of_rung.rungs() == {rung: of_rung.engine}
        assert of_rung(np.zeros((8, 9, 3), np.uint8)).shape == (24, 27, 3)


@pytest.mark.usefixtures("family")
def test_the_kind_follows_where_the_rung_has_it(streamsr: Command, tmp_path: Path) -> None:
    film = make_video(tmp_path / "in.mp4", options={"qp": "30", "x264-params": "ipratio=1"})
    said, _ = upscaled(streamsr, film, tmp_path / "a.mp4", "--quality", "plus")
    assert said["model"] == "xlsr-plus-video_x3_u8"
    said, _ = upscaled(streamsr, film, tmp_path / "b.mp4", "--quality", "max")
    assert said["model"] == "xlsr-max_x3_u8"
    assert said["model_reason"] == "clean (no video model of quality max is shipped)"
    done = streamsr(
        "upscale", film, "-o", tmp_path / "c.mp4", "--quality", "max", "--model", "video"
    )
    assert done.status == 1
    assert "no shipped video model of quality max upscales by 3; shipped models: " in done.err


@pytest.mark.usefixtures("family")
def test_a_resumed_film_keeps_its_rung(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(30))
    target = tmp_path / "out.mkv"
    options = FileOptions(
        quality="plus", resume=True, encoding=Encoding(preset="ultrafast"), segment_s=0.2,
        choice=EngineChoice(EXACT),
    )  # fmt: skip
    with FileJob(options) as job, job.segmented(film, target)[0]:
        pass  # begun, and stopped before its first segment
    paces(monkeypatch, 1000)
    said, lines = upscaled(streamsr, film, target, "--resume", "--segment", "0.2")
    assert (said["model"], said["quality"]) == ("xlsr-plus_x3_u8", "plus")
    assert "; quality: plus, as this work was begun" in lines[0]
    plain, _ = upscaled(
        streamsr, film, tmp_path / "plain.mkv", "--resume", "--segment", "0.2", "--quality", "plus"
    )
    assert plain["quality_reason"] == ""
    assert target.read_bytes() == (tmp_path / "plain.mkv").read_bytes()


@pytest.mark.usefixtures("family")
def test_work_begun_on_one_rung_is_not_gone_on_with_on_another(
    streamsr: Command, tmp_path: Path
) -> None:
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(30))
    options = FileOptions(quality="plus", resume=True, choice=EngineChoice(EXACT))
    with FileJob(options) as job, job.segmented(film, tmp_path / "out.mkv")[0]:
        pass
    done = streamsr("upscale", film, "-o", tmp_path / "out.mkv", "--resume", "--quality", "max")
    assert done.status == 1
    assert "the model has changed" in done.err


@pytest.mark.usefixtures("family")
def test_the_speeds_are_measured_once_for_many_files(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces(monkeypatch, 60)
    asked: list[str] = []
    pace = quality.network_s
    monkeypatch.setattr(quality, "network_s", lambda of: asked.append(of.quality) or pace(of))
    for name in ("a", "b"):
        make_video(tmp_path / f"{name}.mkv", codec="ffv1", pts=range(2))
    (tmp_path / "out").mkdir()
    sources = tmp_path / "a.mkv", tmp_path / "b.mkv"
    done = streamsr("upscale", *sources, "-o", tmp_path / "out", "--preset", "ultrafast")
    assert done.status == 0, done.err
    assert len(asked) == len(set(asked))


@pytest.mark.usefixtures("family")
def test_live_begins_on_a_rung_and_counts_them(streamsr: Command, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    asked = "live", "test:112x64@10", "--duration", 1, "--budget-ms", 5000, "--stats-json", stats
    done = streamsr(*asked)
    assert done.status == 0, done.err
    said = json.loads(stats.read_text())
    assert said["model"] == "lite, xlsr, plus, max"
    assert said["quality"] in weights.RUNGS
    assert f"; quality: {said['quality_reason']}; Ctrl-C stops" in done.lines[0]
    assert " to begin with, of lite, xlsr, plus, max" in said["quality_reason"]
    fates = said["frames"]
    assert sum(said["live"]["rungs"].values()) == fates["in"] - fates["dropped"]
    done = streamsr(*asked, "--quality", "xlsr")
    said = json.loads(stats.read_text())
    assert (said["model"], said["quality_reason"]) == ("xlsr_x3_u8", "")
    assert set(said["live"]["rungs"]) <= {"xlsr"}


@pytest.mark.parametrize("command", ["upscale", "live", "pipe"])
def test_an_unknown_rung_is_answered_with_those_that_there_are(
    streamsr: Command, command: str
) -> None:
    words = {"upscale": ["a.mp4", "-o", "b.mp4"], "live": ["0"], "pipe": []}[command]
    done = streamsr(command, *words, "--quality", "ultra")
    assert done.status == 2
    assert all(name in done.err for name in QUALITIES)
    with pytest.raises(ModelError, match="expected a quality of auto, lite, xlsr, plus, max, got"):
        Upscaler(quality="ultra")


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--quality", "plus", "--scale", "4"],
            "no shipped clean model of quality plus upscales by 4",
        ),
        (
            ["--quality", "lite", "--scale", "2"],
            "no shipped clean model of quality lite upscales by 2",
        ),
        (["--quality", "plus", "--model", "xlsr_x3_u8"], "xlsr_x3_u8 is of quality xlsr, not plus"),
        (["--quality", "plus", "--at-least", "5"], "it goes with --quality auto alone"),
        (["--model", "xlsr_x3_u8", "--at-least", "5"], "chooses among auto, clean, video"),
    ],
)
def test_a_rung_that_there_is_not_is_said_in_one_line_and_no_other_taken(
    streamsr: Command, tmp_path: Path, words: list[str], said: str
) -> None:
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(2))
    done = streamsr("upscale", film, "-o", tmp_path / "out.mkv", *words)
    assert done.status in (1, 2)
    assert said in done.lines[-1]
    assert not (tmp_path / "out.mkv").exists()


def test_a_rung_that_is_missing_from_the_installation_is_named_with_what_there_is(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "weights", monkeypatch, ["xlsr-lite_x3_u8"])
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(2))
    for size in ([], ["--to", "128x96"]):
        done = streamsr("upscale", film, "-o", tmp_path / "out.mkv", "--quality", "max", *size)
        assert done.status == 1
        assert len(done.lines) == 1
        assert "quality max" in done.err
        assert "xlsr-lite_x3_u8" in done.err


def test_a_file_of_another_width_than_was_said_is_refused(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(2))
    installed(tmp_path / "weights", monkeypatch, ["xlsr-plus_x3_u8"], shape_of="lite")
    said = "not of quality plus, which has 48 channels and 6 blocks: its graph is "
    for words in (
        ["--quality", "plus"],
        ["--model", "xlsr-plus_x3_u8"],
        ["--model", tmp_path / "weights" / "xlsr-plus_x3_u8.tflite", "--quality", "plus"],
    ):
        done = streamsr("upscale", film, "-o", tmp_path / "out.mkv", *words)
        assert done.status == 1
        assert len(done.lines) == 1
        assert f"{said}16 channels and 3 blocks, that is lite" in done.err
    done = streamsr(
        "upscale", film, "-o", tmp_path / "out.mkv", "--model", model, "--quality", "max"
    )
    assert "which has 64 channels and 9 blocks: its graph is 32 channels and 3 blocks" in done.err


def test_a_file_that_is_of_the_rung_that_was_said_is_taken(
    streamsr: Command, tmp_path: Path, model: Path
) -> None:
    own = tmp_path / "own.tflite"
    own.write_bytes(model.read_bytes())
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(2))
    for words in (["--quality", "xlsr"], []):
        said, _ = upscaled(
            streamsr, film, tmp_path / "out.mkv", "--overwrite", "--model", own, *words
        )
        assert (said["model"], said["quality"]) == ("own", "xlsr")


@pytest.mark.usefixtures("family")
def test_films_beside_each_other_choose_by_their_own_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces(monkeypatch, 80)
    upscalers = upscaler.Upscalers(FileOptions(choice=EngineChoice(EXACT)), Recorder())
    try:
        found = [
            upscalers.fitting(
                StreamInfo(64, height, Fraction(1, 25), rate=Fraction(25)), tmp_path / "in.mkv"
            ).quality
            for height in (16, 48, 96, 480)
        ]
    finally:
        upscalers.close()
    assert found == ["max", "plus", "xlsr", "xlsr"]
