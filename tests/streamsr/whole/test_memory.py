"""Memory does not grow with the length of the film."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.command import STREAMSR, with_engine
from tests.support.media import make_video
from tests.support.processes import run

SIZE = 192, 128
FRAMES = 50
GROWTH_ALLOWED_MIB = 25
"""The allocator's own, which with LiteRT takes one step of 13 MiB after 200 frames and no other up
to 1500; 18 seen. Were frames held, the film's own would be 32 MiB more, upscaled 290."""

LEAKING = """
import sys
from streamsr.cli import main
from streamsr.sources.file import FileSource

held, frames = [], FileSource.__iter__
FileSource.__iter__ = lambda source: (held.append(frame) or frame for frame in frames(source))
sys.argv[0] = "streamsr"
main()
"""
"""The command, which never lets a frame of the film go."""


def peak_mib(
    source: Path, target: Path, model: Path, *, program: Sequence[str] = STREAMSR
) -> float:
    """The peak resident memory of upscaling this file, as the kernel counts it for that process
    alone.

    Not ``ru_maxrss``, which begins with what the parent had when it started the process: with
    pytest's own size.
    """
    stats = target.with_suffix(".json")
    words = ["upscale", source, "-o", target, "--model", model, "--preset", "ultrafast"]
    words += ["--threads", 1, "--stats-json", stats]
    run([*program, *with_engine(words)], timeout_s=200, check=True)
    return float(json.loads(stats.read_text())["peak_memory_mib"])


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A film, and one ten times as long."""
    folder = tmp_path_factory.mktemp("films")
    short, long = (
        make_video(
            folder / f"{frames}.mp4",
            size=SIZE,
            pts=range(frames),
            audio=["aac"],
            audio_frames=frames * 9 // 5,
        )
        for frames in (FRAMES, 10 * FRAMES)
    )
    return short, long


def growth_mib(
    films: tuple[Path, Path], folder: Path, model: Path, program: Sequence[str] = STREAMSR
) -> float:
    """How much more the longer one takes."""
    before, after = (
        peak_mib(film, folder / f"{film.stem}.mkv", model, program=program) for film in films
    )
    return after - before


def test_a_film_ten_times_as_long_takes_no_more_memory(
    films: tuple[Path, Path], tmp_path: Path, model: Path
) -> None:
    peak_mib(films[0], tmp_path / "warm.mkv", model)  # compiles what is not stored yet
    assert growth_mib(films, tmp_path, model) < GROWTH_ALLOWED_MIB


def test_frames_that_were_held_would_be_seen(
    films: tuple[Path, Path], tmp_path: Path, model: Path
) -> None:
    leaking = [sys.executable, "-c", LEAKING]
    assert growth_mib(films, tmp_path, model, leaking) > GROWTH_ALLOWED_MIB
