"""What a person at a terminal sees."""

import os
import pty
import select
from pathlib import Path

from tests.support.command import streamsr
from tests.support.media import make_video
from tests.support.processes import running
from tests.support.until import until


def test_a_terminal_shows_a_progress_bar_with_the_rate(tmp_path: Path, model: Path) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(60))
    ours, theirs = pty.openpty()
    words = [
        "upscale",
        source,
        "-o",
        tmp_path / "out.mp4",
        "--model",
        model,
        "--preset",
        "ultrafast",
    ]
    shown = bytearray()

    def at_its_end() -> bool:
        """Takes what has come; the end is an error in Linux, once the other side has been
        closed."""
        while select.select([ours], [], [], 0)[0]:
            try:
                shown.extend(os.read(ours, 4096))
            except OSError:
                return True
        return False

    # Its standard error is the terminal too, behind the file that a helper has for it.
    at_a_terminal = ["bash", "-c", 'exec "$@" 2>&1', "bash", *streamsr(*words)]
    with running(
        at_a_terminal, stdout=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    ) as process:
        os.close(theirs)
        until(at_its_end, seen=lambda: bytes(shown))
        assert process.ended() == 0, shown.decode()
    os.close(ours)
    text = shown.decode()
    assert "60/60" in text
    assert "out.mp4: 60 frames in" in text
    assert "Traceback" not in text
    assert "XNNPACK" not in text
