"""A loopback stream with sound that is cut again and again, for an hour: ``-m slow``."""

import itertools
import json
import signal
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.support.beeps import RATE, make_beeping, offsets_ms, pictures_of
from tests.support.command import started
from tests.support.servers import ffmpeg, free_port, listening, needs_ffmpeg

HOUR_S = 3600.0
CUTS = 20
BETWEEN_S = HOUR_S / (CUTS + 1)

GROWN_MIB = 40
"""Ages are kept for the percentiles, and the recording's muxer keeps an index."""

READ_S = 1500.0
"""Longest wait for ffprobe to read an hour."""

CUT_S = 0.2
"""A longer step from one picture to the next is a cut, or pictures that were dropped. A cut may be
shorter: the sender sends its first half second at once."""

NEAR_S = 3.0
"""How far from when the sender was killed the step is."""


@pytest.mark.slow
@pytest.mark.timeout(HOUR_S + 3 * READ_S)
def test_a_stream_that_is_cut_for_an_hour_stays_in_sync_and_small(
    tmp_path: Path, model: Path
) -> None:
    needs_ffmpeg()
    film = make_beeping(tmp_path / "in.mkv", int(BETWEEN_S) + 90, size=(320, 180))
    out, stats = tmp_path / "a.mkv", tmp_path / "stats.json"
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    serving = ["-re", "-i", str(film), "-c", "copy", "-f", "mpegts", f"{url}?listen=1"]
    seen: list[tuple[float, int, int]] = []
    killed: list[float] = []
    with ExitStack() as stack:
        lives = [stack.enter_context(ffmpeg(*serving))]
        lives[0].until(lambda: listening(port))
        options = ("--record", out, "--stats-json", stats, "--model", model)
        process = stack.enter_context(started("live", url, *options))
        process.says("Ctrl-C stops")
        begun = time.monotonic()
        for cut in range(CUTS + 1):
            process.until(lambda cut=cut: process.said().count("connected again") >= cut)  # type: ignore[misc]
            time.sleep(BETWEEN_S)  # so long it is to run, whatever happens
            seen.append(taken_by(process.pid))
            print(f"{time.monotonic() - begun:.0f} s: {seen[-1]}", flush=True)
            if cut < CUTS:
                killed.append(time.monotonic() - begun)
                lives.pop().kill()
                lives.append(stack.enter_context(ffmpeg(*serving)))
        ran_s = time.monotonic() - begun
        process.send(signal.SIGINT)
        assert process.ended() == 0
    counts = json.loads(stats.read_text())
    frames = counts["frames"]
    times = [time_s for time_s, _ in pictures_of(out, timeout_s=READ_S)]
    longer = [(a - times[0], b - a) for a, b in itertools.pairwise(times) if b - a > CUT_S]
    cuts = [
        max((step for at, step in longer if abs(at - when) < NEAR_S), default=0.0)
        for when in killed
    ]
    span_s = times[-1] - times[0]
    offsets = offsets_ms(out, timeout_s=READ_S)
    told = {
        "ran_s": round(ran_s, 1),
        "recorded_s": round(span_s, 1),
        "cuts_s": [round(cut, 2) for cut in cuts],
        "frames": frames,
        "sound": counts["sound"],
        "live": counts["live"],
        "pictures": len(times),
        "mib_descriptors_threads": [(round(mib, 1), *rest) for mib, *rest in seen],
        "beeps": len(offsets),
        "offset_median_ms": round(statistics.median(offsets), 1),
        "offset_worst_ms": round(max(offsets, key=abs), 1),
        "offsets_last_minute_ms": [round(offset, 1) for offset in offsets[-60:]],
    }
    print(json.dumps(told, indent=1))
    early, late = seen[1], seen[-1]
    assert late[0] - early[0] < GROWN_MIB, seen
    assert late[1:] == early[1:], seen
    assert len(offsets) > HOUR_S / 2
    assert max(map(abs, offsets)) <= 20, offsets
    # Every second of our clock is accounted for: it has its pictures, which are recorded or counted
    # as dropped, or belongs to one of the cuts.
    assert counts["live"]["reconnects"] == CUTS
    # A second's pictures came before the first line, and the sender is half a second ahead.
    assert abs(ran_s - span_s) < 3, (ran_s, span_s)
    assert 0 <= frames["out"] - len(times) <= 1, frames
    # One may be on its way when the run ends.
    assert 0 <= frames["in"] - frames["out"] - frames["dropped"] <= 1, frames
    others = len(longer) - sum(cut > 0 for cut in cuts)
    assert others <= frames["dropped"] / (CUT_S * RATE - 1), (longer, frames)
    there = (span_s - sum(cuts)) * RATE + sum(cut > 0 for cut in cuts) + 1
    assert abs(frames["in"] - there) < RATE, (frames, span_s, cuts)


def taken_by(pid: int) -> tuple[float, int, int]:
    """Resident memory in MiB, descriptors and threads of a process."""
    process = psutil.Process(pid)
    return process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()
