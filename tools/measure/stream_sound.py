"""How far a recording moves sound from pictures: by a film that flashes and beeps at once.

ffmpeg makes it and ffprobe reads the recording; nothing of streamsr's measures streamsr.
"""

import itertools
from bisect import bisect
from pathlib import Path

from tests.support.beeps import RATE, beeps_of, luma_of
from tests.support.command import run
from tests.support.processes import run as run_program
from tests.support.servers import needs_ffmpeg

BEGIN_S, END_S = 0.4, 0.6
"""Of the flash and the beep, within each second: away from key frames and cuts at full seconds."""

WHITE = 180
"""A brighter picture is a flash; the others have about 110."""

NEAR_S = 0.45


def signal(path: Path, seconds: float, *, gop: int) -> Path:
    """A film of 160x96, whose picture is white and whose sound a tone, both for a fifth of each
    second; AAC at 48 kHz."""
    early = 0.5 / RATE  # a picture stands for the time from half a step before it on
    white = f"between(mod(t,1),{BEGIN_S - early},{END_S - early})"
    loud = f"between(mod(t,1),{BEGIN_S},{END_S})"
    pictures = f"testsrc=s=160x96:r={RATE},drawbox=color=white:t=fill:enable='{white}'"
    words = ["-f", "lavfi", "-i", pictures]
    words += ["-f", "lavfi", "-i", f"aevalsrc='0.5*sin(2*PI*1000*t)*{loud}':s=48000"]
    words += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", str(gop)]
    words += ["-c:a", "aac", "-t", str(seconds), str(path)]
    run_program([needs_ffmpeg(), "-v", "error", *words], check=True)
    return path


def recorded_offsets(url: str, path: Path, seconds: float, *, budget_s: float) -> list[float]:
    """`offsets_ms` of a recording of this stream by the command; empty where it has no sound."""
    words = ["--record", path, "--duration", seconds, "--scale", 2, "--budget-ms", budget_s * 1e3]
    done = run("live", url, *words)
    assert done.returncode == 0, done.stderr
    return offsets_ms(path) if "; sound: " in done.stderr else []


def offsets_ms(path: Path) -> list[float]:
    """For each beep, how much later it begins than the flash beside it. Flashes whose beginning is
    not in the film, because a picture was dropped there, count for nothing."""
    flashes = [
        now
        for (before, dark), (now, light) in itertools.pairwise(luma_of(path))
        if dark <= WHITE < light and now - before < 1.5 / RATE
    ]
    found = []
    for beep in beeps_of(path):
        at = bisect(flashes, beep)
        offsets = [beep - flash for flash in flashes[max(at - 1, 0) : at + 1]]
        if offsets and abs(nearest := min(offsets, key=abs)) < NEAR_S:
            found.append(1000 * nearest)
    return found
