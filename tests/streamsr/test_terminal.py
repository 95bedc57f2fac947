"""What a person at a terminal sees."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.streamsr.media import make_video


def test_a_terminal_shows_a_progress_bar_with_the_rate(tmp_path: Path, model: Path) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(60))
    ours, theirs = pty.openpty()
    words = ["upscale", source, "-o", tmp_path / "out.mp4", "--model", model, "--preset", "ultrafast"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamsr.cli", *map(str, words)], stderr=theirs, stdout=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how Linux says that the other end was closed
        pass
    os.close(ours)
    assert process.wait(60) == 0, shown.decode()
    text = shown.decode()
    assert "60/60" in text
    assert "out.mp4: 60 frames in" in text
    assert "Traceback" not in text
    assert "XNNPACK" not in text
