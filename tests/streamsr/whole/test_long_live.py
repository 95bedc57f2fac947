"""A loopback stream with sound that is cut again and again, for minutes: ``-m slow``."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.support.beeps import make_beeping, offsets_ms
from tests.support.command import started
from tests.support.servers import ffmpeg, free_port, listening, needs_ffmpeg

CUTS = 12
BETWEEN_S = 15.0

GROWN_MIB = 40
"""Ages are kept for the percentiles, and the recording's muxer keeps an index."""


@pytest.mark.slow
def test_a_stream_that_is_cut_for_minutes_stays_in_sync_and_small(
    tmp_path: Path, model: Path
) -> None:
    needs_ffmpeg()
    film, out = make_beeping(tmp_path / "in.mkv", 60), tmp_path / "a.mkv"
    stats = tmp_path / "stats.json"
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    serving = ["-re", "-i", str(film), "-c", "copy", "-f", "mpegts", f"{url}?listen=1"]
    seen: list[tuple[float, int, int]] = []
    with ExitStack() as stack:
        lives = [stack.enter_context(ffmpeg(*serving))]
        lives[0].until(lambda: listening(port))
        options = ("--record", out, "--stats-json", stats, "--model", model)
        process = stack.enter_context(started("live", url, *options))
        process.says("Ctrl-C stops")
        for cut in range(CUTS):
            process.until(lambda cut=cut: process.said().count("connected again") == cut)  # type: ignore[misc]
            time.sleep(BETWEEN_S)  # so long it is to run, whatever happens
            seen.append(taken_by(process.pid))
            lives.pop().kill()
            lives.append(stack.enter_context(ffmpeg(*serving)))
        process.send(signal.SIGINT)
        assert process.ended() == 0
    early, late = seen[1], seen[-1]
    assert late[0] - early[0] < GROWN_MIB, seen
    assert late[1:] == early[1:], seen
    offsets = offsets_ms(out)
    assert len(offsets) > CUTS * BETWEEN_S / 2
    assert max(map(abs, offsets)) <= 20, offsets


def taken_by(pid: int) -> tuple[float, int, int]:
    """Resident memory in MiB, descriptors and threads of a process."""
    process = psutil.Process(pid)
    return process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()
