"""Memory does not grow with the length of the film."""

import subprocess
import sys
from pathlib import Path

from tests.streamsr.media import make_video

GROWTH_ALLOWED_MIB = 15
"""The allocator's own scatter between two runs; ten times as many frames held would be 60 MiB more."""


def peak_mib(source: Path, target: Path, model: Path) -> float:
    """The peak resident memory of upscaling this file, measured from inside."""
    script = (
        "import resource, sys\nfrom streamsr.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    words = ["upscale", source, "-o", target, "--model", model, "--preset", "ultrafast", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=True, timeout=200
    )
    return int(done.stdout) / 1024


def test_a_film_ten_times_as_long_takes_no_more_memory(tmp_path: Path, model: Path) -> None:
    short = make_video(tmp_path / "short.mp4", pts=range(50), audio=["aac"], audio_frames=90)
    long = make_video(tmp_path / "long.mp4", pts=range(500), audio=["aac"], audio_frames=900)
    peak_mib(short, tmp_path / "warm.mp4", model)  # compiles what is not stored yet
    before = peak_mib(short, tmp_path / "a.mp4", model)
    after = peak_mib(long, tmp_path / "b.mp4", model)
    assert after - before < GROWTH_ALLOWED_MIB, f"{before:.0f} MiB, then {after:.0f} MiB"
