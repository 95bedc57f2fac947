"""Memory does not grow with the length of the film."""

import json
from pathlib import Path

from tests.support.command import run
from tests.support.media import make_video

SIZE = 192, 128
FRAMES = 50
GROWTH_ALLOWED_MIB = 25
"""The allocator's own, which with LiteRT takes one step of 13 MiB after 200 frames and no other up
to 1500; 18 seen. Were frames held, the film's own would be 32 MiB more, upscaled 290."""


def peak_mib(source: Path, target: Path, model: Path) -> float:
    """The peak resident memory of upscaling this file, as the kernel counts it for that process
    alone.

    Not ``ru_maxrss``, which begins with what the parent had when it started the process: with
    pytest's own size.
    """
    stats = target.with_suffix(".json")
    words = [
        "upscale",
        source,
        "-o",
        target,
        "--model",
        model,
        "--preset",
        "ultrafast",
        "--threads",
        1,
    ]
    run(*words, "--stats-json", stats, timeout_s=200, check=True)
    return float(json.loads(stats.read_text())["peak_memory_mib"])


def test_a_film_ten_times_as_long_takes_no_more_memory(tmp_path: Path, model: Path) -> None:
    short = make_video(
        tmp_path / "short.mp4", size=SIZE, pts=range(FRAMES), audio=["aac"], audio_frames=90
    )
    long = make_video(
        tmp_path / "long.mp4", size=SIZE, pts=range(10 * FRAMES), audio=["aac"], audio_frames=900
    )
    peak_mib(short, tmp_path / "warm.mp4", model)  # compiles what is not stored yet
    before = peak_mib(short, tmp_path / "a.mp4", model)
    after = peak_mib(long, tmp_path / "b.mp4", model)
    assert after - before < GROWTH_ALLOWED_MIB, f"{before:.0f} MiB, then {after:.0f} MiB"
