"""The window: what it draws, what its keys do, and the whole of it on a virtual screen."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr.frame import Frame
from streamsr.images import read_image
from streamsr.sinks.preview import Overlay, has_display
from streamsr.sinks.window import View, drawn
from streamsr.stats import Recorder
from streamsr.upscaler import resized
from tests.streamsr.conftest import Command
from tests.streamsr.media import picture
from tests.streamsr.servers import needs_ffmpeg

LR = picture(1, 64, 48)
HR = np.full((144, 192, 3), (200, 100, 50), np.uint8)
FRAME = Frame(HR, 0, Fraction(1, 25), lr=LR)


def test_an_unsplit_view_is_the_picture() -> None:
    np.testing.assert_array_equal(drawn(FRAME, View(overlay=False), ["x"]), HR[..., ::-1])


def test_left_of_the_divider_is_bicubic() -> None:
    shown = drawn(FRAME, View(split=True, overlay=False, divider=0.5), [])[..., ::-1]
    np.testing.assert_array_equal(shown[:40, :94], resized(LR, (192, 144))[:40, :94])
    np.testing.assert_array_equal(shown[:40, 98:], HR[:40, 98:])


@pytest.mark.parametrize("divider", [-1.0, 0.0, 1.0, 7.0])
def test_the_divider_may_be_anywhere(divider: float) -> None:
    drawn(FRAME, View(split=True, divider=divider), ["line"])


def test_keys_change_the_view() -> None:
    view = View()
    assert view.pressed(-1) == view.pressed(ord("x")) == view
    assert view.pressed(ord("s")).split
    assert not view.pressed(ord("o")).overlay
    assert view.pressed(ord("P")).snapshot
    assert view.pressed(ord("q")).closed
    assert view.pressed(27).closed


def test_the_overlay_says_when_nothing_comes() -> None:
    record = Recorder()
    record.budget_s = 0.05
    state = "lost: camera 0: has gone; next try in 0.5 s"
    overlay = Overlay(record, lambda: state)
    for i in range(10):
        overlay.saw(i / 10, 0.02)
    lines = overlay.lines()
    assert lines[0] == state
    assert lines[1].startswith("10.0 fps   age 20 of 50 ms")


def test_a_machine_without_display_is_one_clear_line(
    streamsr: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for display in ("", ":99999", "127.0.0.1:59999"):
        monkeypatch.setenv("DISPLAY", display)
        assert not has_display()
    result = streamsr("live", "test:160x96", "--preview", "window", "--model", model)
    assert result.status == 1
    assert "--preview web" in result.err


@pytest.fixture
def screen() -> Iterator[str]:
    """A virtual X display."""
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("Xvfb is not installed")
    read, write = os.pipe()
    words = [server, "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(words, pass_fds=[write], stderr=subprocess.DEVNULL) as process:
        os.close(write)
        with os.fdopen(read) as number:
            yield f":{number.readline().strip()}"
        process.terminate()


def seen(display: str, path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    words = ["-y", "-loglevel", "error", "-f", "x11grab", "-video_size", "800x600", "-i", display]
    subprocess.run([needs_ffmpeg(), *words, "-frames:v", "1", str(path)], check=True)
    return read_image(path)[0]


def test_a_window_shows_the_picture_and_closes_on_q(screen: str, tmp_path: Path, model: Path) -> None:
    keys = shutil.which("xdotool")
    if keys is None:
        pytest.skip("xdotool is not installed")
    words = [sys.executable, "-m", "streamsr.cli", "live", "test:160x96@10", "--preview", "window"]
    environment = os.environ | {"DISPLAY": screen}
    with subprocess.Popen(
        [*words, "--model", str(model), "--threads", "1"],
        env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            while process.poll() is None and seen(screen, tmp_path / "screen.png").std() < 30:
                threading.Event().wait(0.2)  # another process gives no other sign
            while process.poll() is None and not list(tmp_path.glob("streamsr-*.png")):
                subprocess.run([keys, "mousemove", "100", "100", "key", "p"], env=environment, check=True)
                threading.Event().wait(0.2)
            subprocess.run([keys, "key", "q"], env=environment, check=True)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, err
    snapshot = read_image(next(tmp_path.glob("streamsr-*.png")))[0]
    assert snapshot.shape == (288, 480, 3)
