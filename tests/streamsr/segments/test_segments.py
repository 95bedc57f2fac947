"""Work in segments: whatever happens in between, the same bytes come out. Kills are real ones."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from streamsr.errors import SinkError
from streamsr.frame import Span
from streamsr.model import find_model
from streamsr.options import DecodeOptions, Encoding
from streamsr.segments.ledger import LEDGER, Ledger
from streamsr.segments.plan import plan
from streamsr.segments.segment import SegmentWork, upscale_segment
from streamsr.sources.file import FileSource
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler
from tests.conftest import ROOT
from tests.support.acts import STATUS
from tests.support.command import Command, run, started, streamsr, with_engine
from tests.support.disk import enlarge, small_disk
from tests.support.engine import EXACT
from tests.support.media import look, make_video
from tests.support.processes import Helper, limited, running
from tests.support.processes import run as run_program
from tools.situations import SITUATIONS

SEGMENT_S = 0.5


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds with B-frames, a key frame every eight frames, a variable rate, and sound."""
    pts = [i * 512 + (i % 3) * 7 for i in range(75)]
    options = {"g": "8", "bf": "2", "preset": "ultrafast"}
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_video(
        path,
        pts=pts,
        time_base=Fraction(1, 12800),
        options=options,
        audio=["aac"],
        audio_frames=140,
    )


def arguments(film: Path, target: Path, model: Path | str, *more: object) -> list[str]:
    given = ["upscale", film, "-o", target, "--resume", "--segment", SEGMENT_S, "--model", model]
    return [*map(str, given), "--threads", "1", "--preset", "veryfast", *map(str, more)]


def acting(what: str, folder: Path, words: list[str], **how: Any) -> AbstractContextManager[Helper]:
    """The command, which counts its lasting acts in the folder, dies or waits at some: see
    `tests.support.acts`."""
    return running(
        [sys.executable, "-m", "tests.support.acts", folder, what, *with_engine(words)],
        cwd=ROOT,
        **how,
    )


def counted(folder: Path, words: list[str]) -> list[str]:
    """The acts of a run that nobody disturbs."""
    with (
        tempfile.TemporaryFile("w+") as file,
        acting("count", folder, words, stdout=file) as process,
    ):
        assert process.ended(timeout_s=120) == 0, process.told()
        file.seek(0)
        return [
            line for line in file.read().splitlines() if line.startswith(("open ", "os.", "fsync "))
        ]


def dies(before: int, folder: Path, words: list[str]) -> None:
    """Run the command and let it die just before its so-many-th act in the folder."""
    with acting(f"die:{before}", folder, words) as process:
        assert process.ended(timeout_s=120) == STATUS, (
            f"it did not die before act {before}; {process.told()}"
        )


def shown(folder: Path) -> list[str]:
    """The names in it, without the hidden ones of work that was killed."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def over(target: Path) -> bool:
    """Whether nothing is left to do: the output has its name, and the ledger, which goes last, has
    gone."""
    return target.exists() and not (Ledger.folder_of(target) / LEDGER).exists()


@pytest.fixture(scope="module")
def reference(film: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The output of a run that nobody disturbed."""
    target = tmp_path_factory.mktemp("reference") / "out.mkv"
    run(*arguments(film, target, model), check=True)
    assert [path.name for path in target.parent.iterdir()] == ["out.mkv"], (
        "the ledger is cleared away"
    )
    return target.read_bytes()


def test_plan_cuts_at_key_frames_and_leaves_nothing_out(film: Path) -> None:
    spans = plan(film, seconds=SEGMENT_S)
    assert len(spans) == 5
    assert [span.begin for span in spans[1:]] == [span.end for span in spans[:-1]]
    assert (spans[0].begin, spans[-1].end) == (None, None)
    with av.open(str(film)) as container:
        keys = {p.pts * p.time_base for p in container.demux(video=0) if p.is_keyframe and p.size}
    assert {span.begin for span in spans[1:]} <= keys


def test_plan_of_a_part_stays_inside_it(film: Path) -> None:
    spans = plan(film, begin=Fraction(1, 2), end=Fraction(2), seconds=SEGMENT_S)
    assert (spans[0].begin, spans[-1].end) == (Fraction(1, 2), Fraction(2))
    assert all(Fraction(1, 2) < span.begin < 2 for span in spans[1:] if span.begin is not None)


def test_plan_of_times_out_of_order_is_one_segment(tmp_path: Path) -> None:
    """AVI keeps no presentation times."""
    film = make_video(tmp_path / "film.avi", pts=range(30), options={"g": "4"})
    assert plan(film, seconds=0.2) == [Span()]


def test_segments_hold_each_frame_once(film: Path) -> None:
    with FileSource(film) as source:
        info = source.info
        whole = [(frame.pts, frame.rgb.tobytes()) for frame in source]
    parts = []
    for span in plan(film, seconds=SEGMENT_S):
        with FileSource(film, span=span, info=info) as source:
            parts += [(frame.pts, frame.rgb.tobytes()) for frame in source]
    assert parts == whole


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1"])
def test_a_segment_is_the_same_whoever_makes_it_when(
    film: Path, model: Path, tmp_path: Path, codec: str
) -> None:
    with FileSource(film) as source:
        info = source.info
    size = info.width * 3, info.height * 3
    encoding = Encoding(codec, threads=2)
    work = SegmentWork(film, info, size, encoding, "matroska", DecodeOptions())
    spans = plan(film, seconds=1.0)
    made: list[list[bytes]] = []
    for threads, order in ((1, spans), (2, spans[::-1])):
        with Upscaler(model, engine=EXACT, threads=threads) as upscaler:
            for span in order:
                path = tmp_path / f"{threads}-{spans.index(span)}.segment"
                upscale_segment(work, span, path, upscaler=upscaler, record=Recorder())
        made.append([(tmp_path / f"{threads}-{i}.segment").read_bytes() for i in range(len(spans))])
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.ts"])
def test_joined_film_keeps_times_and_sound(
    film: Path, tmp_path: Path, upscale: Command, name: str
) -> None:
    done = upscale(
        film,
        tmp_path / name,
        "--resume",
        "--segment",
        SEGMENT_S,
        *(["--audit"] if name != "out.ts" else []),
    )
    assert done.status == 0, done.out + done.err
    before, after = look(film), look(tmp_path / name)
    assert len(after.times) == len(before.times)
    gaps = [b - a for a, b in zip(before.times, after.times, strict=True)]
    tick = {"out.mkv": Fraction(1, 1000), "out.mp4": Fraction(0), "out.ts": Fraction(1, 90000)}[
        name
    ]
    assert max(gaps) - min(gaps) <= tick
    assert [data for _, data in next(iter(after.packets.values()))] or name == "out.ts"


def test_a_part_of_a_film_resumes_too(film: Path, tmp_path: Path, upscale: Command) -> None:
    done = upscale(
        film,
        tmp_path / "o.mkv",
        "--resume",
        "--segment",
        "0.5",
        "--start",
        "1",
        "--duration",
        "1",
        "--audit",
    )
    assert done.status == 0, done.out + done.err


@pytest.fixture(scope="module")
def acts(
    film: Path, model: Path, reference: bytes, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """All that a run does to last, in its order, which is always the same."""
    folder = tmp_path_factory.mktemp("acts")
    found = counted(folder, arguments(film, folder / "out.mkv", model))
    assert (folder / "out.mkv").read_bytes() == reference
    assert len(found) > 20, found
    return found


@pytest.mark.parametrize("part", [i / 9 for i in range(10)], ids="{:.0%}".format)
def test_dying_before_anything_is_made_to_last_changes_nothing(
    film: Path, model: Path, reference: bytes, acts: list[str], tmp_path: Path, part: float
) -> None:
    target = tmp_path / "out.mkv"
    words = arguments(film, target, model)
    dies(1 + round(part * (len(acts) - 1)), tmp_path, words)
    if not over(target):
        run(*words, check=True)
    assert target.read_bytes() == reference
    left = Ledger.folder_of(target)
    assert shown(tmp_path) == ["out.mkv", *([left.name] if left.exists() else [])]
    assert not left.exists() or list(left.iterdir()) == [], (
        "killed between the ledger and its folder"
    )


def killed_until_done(words: list[str], target: Path, delays: Iterator[float], kills: int) -> int:
    """Kill the command after each of the delays, at most ``kills`` times, then let it finish;
    returns the kills."""
    done = 0
    while done < kills:
        with started(*words) as process:
            try:
                process.process.wait(next(delays))
            except subprocess.TimeoutExpired:
                process.kill()
                done += process.returncode == -signal.SIGKILL
        if over(target):
            return done  # it was killed after its last act, or not at all
    if not over(target):
        run(*words, check=True)
    return done


def kill(film: Path, model: Path, reference: bytes, folder: Path, kills: int, *, seed: int) -> int:
    """Kill the command so many times at random moments, over as many outputs as that takes; returns
    the outputs."""
    chance = random.Random(seed)
    done = outputs = 0
    begun = time.monotonic()
    run(*arguments(film, folder / "timed.mkv", model), check=True)
    longest = (
        time.monotonic() - begun
    )  # so that the kills fall on the work, however busy the machine is
    while done < kills:
        delays = iter([chance.uniform(0.2, longest) for _ in range(2 * kills)])
        target = folder / f"{outputs}.mkv"
        killed = killed_until_done(arguments(film, target, model), target, delays, kills - done)
        assert target.read_bytes() == reference, (
            f"output {outputs} differs after {done + killed} kills"
        )
        if killed == 0:
            longest *= 0.8  # the machine is quicker than thought
        assert outputs < 5 * kills, f"only {done} kills of {kills} met a run at work"
        done, outputs = done + killed, outputs + 1
    return outputs


def test_killed_at_random_the_output_is_the_same(
    film: Path, model: Path, reference: bytes, tmp_path: Path
) -> None:
    assert kill(film, model, reference, tmp_path, 3, seed=5) >= 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_a_hundred_times_at_random_the_output_is_the_same(
    film: Path, model: Path, reference: bytes, tmp_path: Path
) -> None:
    outputs = kill(
        film, model, reference, tmp_path, 120, seed=int(os.environ.get("STREAMSR_TEST_SEED", "1"))
    )
    print(f"120 kills, {outputs} outputs, none differs")


MADE_BY = {
    "joined": "joined.ts to out.mkv: two recordings in one file",
    "late": "tv.ts to out.mkv: the clock stands at 11.11 hours",
    "damaged": "picture: three packets lost of a transport stream, to out.mkv",
}
"""Situations whose inputs are killed on too."""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", MADE_BY)
def test_recordings_with_faults_survive_kills_too(kind: str, model: Path, tmp_path: Path) -> None:
    (situation,) = [one for one in SITUATIONS if one.name == MADE_BY[kind]]
    source = situation.make(tmp_path)
    whole = tmp_path / "whole.mkv"
    run(*arguments(source, whole, model), check=True)
    outputs = kill(source, model, whole.read_bytes(), tmp_path, 35, seed=3)
    print(f"{kind}: 35 kills, {outputs} outputs, none differs")


def middle(acts: list[str]) -> int:
    """The number of the act that begins a segment in the middle: frames follow it, and other
    segments."""
    begun = [number for number, act in enumerate(acts, 1) if act.startswith("open ")]
    return begun[len(begun) // 2]


def test_ctrl_c_finishes_the_segment_and_says_how_to_go_on(
    film: Path, model: Path, reference: bytes, acts: list[str], tmp_path: Path
) -> None:
    target, begins = tmp_path / "out.mkv", middle(acts)
    words = arguments(film, target, model)
    with acting(f"hold:{begins}", tmp_path, words, stdin=subprocess.PIPE) as process:
        process.says(f"^holding {begins}$")
        process.send(signal.SIGINT)
        go_on(process)
        assert process.ended() == 130, process.told()
        said = process.said()
    assert "finishing this segment" in said
    assert "run the same command again to go on" in said.splitlines()[-1]
    assert not target.exists()
    run(*words, check=True)
    assert target.read_bytes() == reference


def test_a_second_ctrl_c_stops_at_once(
    film: Path, model: Path, reference: bytes, acts: list[str], tmp_path: Path
) -> None:
    target, begins = tmp_path / "out.mkv", middle(acts)
    words = arguments(film, target, model)
    with acting(f"hold:{begins},{begins + 1}", tmp_path, words, stdin=subprocess.PIPE) as process:
        process.says(f"^holding {begins}$")
        process.send(signal.SIGINT)
        go_on(process)
        process.says(f"^holding {begins + 1}$")  # so the first has been heard
        process.send(signal.SIGINT)
        go_on(process)
        assert process.ended() == 130, process.told()
        assert "Traceback" not in process.said()
    assert not target.exists()
    run(*words, check=True)
    assert target.read_bytes() == reference


def go_on(process: Helper) -> None:
    with suppress(BrokenPipeError):  # a second Ctrl-C has ended it
        process.stdin.write(b".")
        process.stdin.flush()


@pytest.fixture
def unfinished(film: Path, model: Path, acts: list[str], tmp_path: Path) -> Path:
    """The target of a run that died after its first segments."""
    target = tmp_path / "out.mkv"
    dies(middle(acts), tmp_path, arguments(film, target, model))
    lines = (Ledger.folder_of(target) / LEDGER).read_text().splitlines()
    assert sum('"segment":' in line for line in lines[1:]) >= 1, lines
    return target


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (("--crf", "30"), "crf was None, now 30"),
        (("--no-consistency",), "consistency was True, now False"),
        (("--sharpen", "0.5"), "sharpen was 0.0, now 0.5"),
        (("--strength", "0.5"), "strength was 1.0, now 0.5"),
    ],
)
def test_changed_settings_are_named_and_refused(
    film: Path, model: Path, unfinished: Path, words: tuple[str, ...], change: str
) -> None:
    refused = run(*arguments(film, unfinished, model, *words))
    assert refused.returncode == 1
    assert f"cannot go on: {change}" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_changed_input_is_refused(
    film: Path, model: Path, unfinished: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.mp4"
    shutil.copy(film, changed)
    with open(changed, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    refused = run(*arguments(changed, unfinished, model))
    assert refused.returncode == 1
    assert "cannot go on: the input has changed" in refused.stderr


def test_a_renamed_input_goes_on(
    film: Path, model: Path, unfinished: Path, reference: bytes, tmp_path: Path
) -> None:
    renamed = tmp_path / "renamed.mp4"
    shutil.copy(film, renamed)
    done = run(*arguments(renamed, unfinished, model))
    assert done.returncode == 0, done.stderr
    assert "going on" in done.stderr
    assert unfinished.read_bytes() == reference


def test_a_torn_line_and_a_damaged_segment_are_made_again(
    film: Path, model: Path, unfinished: Path, reference: bytes
) -> None:
    folder = Ledger.folder_of(unfinished)
    with open(folder / LEDGER, "ab") as ledger:
        ledger.write(b'{"segment": 3, "fra')
    with open(folder / "000000.segment", "r+b") as segment:
        segment.seek(200)
        segment.write(b"damaged")
    done = run(*arguments(film, unfinished, model))
    assert done.returncode == 0, done.stderr
    assert unfinished.read_bytes() == reference


def test_a_full_disk_is_an_error_that_can_be_resumed(
    film: Path, model: Path, reference: bytes, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk: the segments fit, the joined film does
    not."""
    target = tmp_path / "out.mkv"
    words = arguments(film, target, model)
    limit = len(reference) // 2
    full = run_program(limited(streamsr(*words), file_bytes=limit))
    assert full.returncode == 1, full.stderr
    assert "run the same command again" in full.stderr.splitlines()[-1]
    assert "Traceback" not in full.stderr
    assert not target.exists()
    used = sum(path.stat().st_size for path in Ledger.folder_of(target).iterdir())
    assert used <= len(reference) * 1.1
    run(*words, check=True)
    assert target.read_bytes() == reference


@pytest.mark.parametrize("part", [0.4, 0.9, 1.5], ids=["a segment", "all segments", "half joined"])
def test_a_really_full_disk_costs_nothing_that_was_done(
    film: Path, model: Path, reference: bytes, tmp_path: Path, part: float
) -> None:
    with small_disk(tmp_path / "disk", 4 + int(part * len(reference)) // 1024) as disk:
        target = disk / "out.mkv"
        words = arguments(film, target, model)
        full = run(*words)
        assert full.returncode == 1
        assert len(full.stderr.splitlines()) == 2, full.stderr
        assert full.stderr.rstrip().endswith(
            "No space left on device; what is finished is kept: run the same command again to go on"
        )
        assert [path.name for path in disk.iterdir()] == ["out.mkv.resume"]
        enlarge(disk)
        done = run(*words)
        assert done.returncode == 0, done.stderr
        assert "going on" in done.stderr
        assert target.read_bytes() == reference
        assert [path.name for path in disk.iterdir()] == ["out.mkv"]


def test_a_disk_without_room_for_anything_is_an_error_at_once(
    film: Path, model: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        full = run(*arguments(film, disk / "out.mkv", model))
        assert full.returncode == 1
        assert len(full.stderr.splitlines()) == 1
        assert "No space left" in full.stderr
        assert list(disk.iterdir()) == []


def test_a_ledger_that_no_longer_fits_keeps_what_it_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        said = []
        with Ledger(disk / "out.mkv", {"a": 1}) as ledger:
            for number in range(100):
                ledger.path(number).touch()
            with suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
                for _ in range(64):
                    filler.write(bytes(1 << 20))
            with pytest.raises(SinkError, match="No space left"):  # noqa: PT012 - some calls are to succeed
                for number in range(100):
                    ledger.finish(number, frames=1)
                    said.append(number)
        assert 0 < len(said) < 100
        (disk / "filler").unlink()
        with Ledger(disk / "out.mkv", {"a": 1}) as ledger:
            assert list(ledger.finished) == said
            ledger.finish(99, frames=1)
        with Ledger(disk / "out.mkv", {"a": 1}) as ledger:
            assert list(ledger.finished) == [*said, 99]


def test_two_runs_on_one_output_do_not_mix(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path / "out.mkv", {"a": 1}),
        pytest.raises(SinkError, match="another run"),
        Ledger(tmp_path / "out.mkv", {"a": 1}),
    ):
        pass


def test_ledger_names_every_difference(tmp_path: Path) -> None:
    then = {"input": {"bytes": 1}, "model": "x", "size": (1, 2), "versions": {"av": "18"}}
    with Ledger(tmp_path / "out.mkv", then):
        pass
    with Ledger(tmp_path / "out.mkv", then):
        pass
    now = {"input": {"bytes": 2}, "model": "y", "size": (1, 3), "versions": {"av": "19"}}
    with pytest.raises(SinkError) as refused, Ledger(tmp_path / "out.mkv", now):
        pass
    for words in (
        "the input has changed",
        "the model has changed",
        "size was [1, 2], now [1, 3]",
        "versions av was 18",
    ):
        assert words in str(refused.value)


def test_a_container_that_cannot_hold_the_film_is_refused_before_the_work(
    film: Path, tmp_path: Path, upscale: Command
) -> None:
    refused = upscale(film, tmp_path / "out.webm", "--resume", "--strict")
    assert refused.status == 1
    assert "webm cannot hold h264 video" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_the_input_is_never_its_own_output(film: Path, tmp_path: Path, upscale: Command) -> None:
    copy = shutil.copy(film, tmp_path / "film.mp4")
    assert "is the input" in upscale(copy, copy, "--resume", "--overwrite").err
    assert copy.read_bytes() == film.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_an_existing_output_is_refused(film: Path, tmp_path: Path, upscale: Command) -> None:
    target = tmp_path / "out.mkv"
    target.write_bytes(b"mine")
    assert "exists already" in upscale(film, target, "--resume").err
    assert target.read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


def test_the_ledger_is_readable(unfinished: Path) -> None:
    lines = (Ledger.folder_of(unfinished) / LEDGER).read_text().splitlines()
    assert {"input", "model", "codec", "versions", "encoder threads"} <= set(json.loads(lines[0]))
    assert all(
        {"segment", "frames", "bytes", "blake2b"} == set(json.loads(line)) for line in lines[1:]
    )


def with_a_font(path: Path) -> Path:
    def prepare(container: Any, _video: Any) -> None:
        container.add_attachment("a.ttf", "font/ttf", b"font")

    return make_video(path, pts=range(50), options={"g": "5"}, prepare=prepare)


def test_what_the_container_cannot_hold_is_said_once(tmp_path: Path, upscale: Command) -> None:
    done = upscale(with_a_font(tmp_path / "in.mkv"), tmp_path / "out.mp4", "--resume")
    assert done.status == 0
    assert done.err.count("mp4 cannot hold attachment stream 1 (a.ttf): all goes into") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", "out.mkv"}


def test_an_output_that_went_into_matroska_is_resumed_by_the_same_command(
    tmp_path: Path, model: Path
) -> None:
    film = with_a_font(tmp_path / "in.mkv")
    run(*arguments(film, tmp_path / "whole.mp4", model), check=True)
    words = arguments(film, tmp_path / "out.mp4", model)
    (tmp_path / "counted").mkdir()
    acts = counted(tmp_path / "counted", arguments(film, tmp_path / "counted" / "out.mp4", model))
    dies(middle(acts), tmp_path, words)
    assert (tmp_path / "out.mkv.resume" / LEDGER).exists()
    shutil.copytree(tmp_path / "out.mkv.resume", tmp_path / "counted" / "out.mkv.resume")
    (tmp_path / "counted" / "out.mkv").unlink()
    rest = counted(tmp_path / "counted", arguments(film, tmp_path / "counted" / "out.mp4", model))
    published = max(
        i for i, act in enumerate(rest, 1) if not act.startswith(("os.remove", "os.rmdir"))
    )
    dies(published, tmp_path, words)  # all is made, and nothing cleared away
    assert (tmp_path / "out.mkv.resume" / LEDGER).exists()
    shutil.rmtree(tmp_path / "counted")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", "out.mkv", "whole.mkv"}
    again = run(*words, "--overwrite")
    assert again.returncode == 1
    assert "out.mkv exists already; name a .mkv output" in again.stderr


def test_the_model_that_an_earlier_run_chose_is_kept(
    film: Path, acts: list[str], tmp_path: Path
) -> None:
    target = tmp_path / "out.mkv"
    fresh = run(*arguments(film, tmp_path / "fresh.mkv", "auto"), check=True)
    assert "; model: video (h264, quantiser " in fresh.stderr
    dies(middle(acts), tmp_path, arguments(film, target, "clean"))
    assert Ledger.model_of(target) == find_model("clean").sha256
    done = run(*arguments(film, target, "auto"))
    assert done.returncode == 0, done.stderr
    assert "; model: clean (as this work was begun)" in done.stderr
    whole = tmp_path / "whole.mkv"
    run(*arguments(film, whole, "clean"), check=True)
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("content", [b"", b"not JSON\n", b"[1]\n", b'{"model": 7}\n'])
def test_a_ledger_without_a_model_chooses_none(tmp_path: Path, content: bytes) -> None:
    assert Ledger.model_of(tmp_path / "out.mkv") is None
    folder = Ledger.folder_of(tmp_path / "out.mkv")
    folder.mkdir()
    (folder / LEDGER).write_bytes(content)
    assert Ledger.model_of(tmp_path / "out.mkv") is None
