"""A virtual X display, and what stands on it: the fixtures a test file imports by name."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamsr.frame import Image
from streamsr.picture.files import read_image
from tests.support.processes import run, running
from tests.support.servers import needs_ffmpeg


@pytest.fixture
def screen() -> Iterator[str]:
    """A virtual X display."""
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("Xvfb is not installed")
    # Of a number of this process's own: two servers that look for a free one at once may both take
    # it.
    display = f":{1000 + os.getpid() % 50_000}"
    words = [server, display, "-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"]
    with running(words) as process:
        process.until(lambda: reached(display))
        yield display


@pytest.fixture
def desktop(screen: str) -> Iterator[str]:
    """The display with a window manager, as people have: without one, Qt at times misses that its
    window is shown."""
    manager = shutil.which("openbox")
    if manager is None or shutil.which("xdotool") is None:
        pytest.skip("openbox or xdotool is not installed")
    environment = os.environ | {"DISPLAY": screen}
    with running([manager], env=environment) as openbox:
        # A window opened before openbox manages has its button off the screen.
        openbox.until(lambda: run(["xdotool", "get_num_desktops"], env=environment).returncode == 0)
        yield screen


def reached(display: str) -> bool:
    """Whether an X server answers there."""
    with socket.socket(socket.AF_UNIX) as local:
        return local.connect_ex(f"/tmp/.X11-unix/X{display[1:]}") == 0


def seen(display: str, path: Path) -> Image:
    words = [
        "-y",
        "-loglevel",
        "error",
        "-f",
        "x11grab",
        "-draw_mouse",
        "0",
        "-video_size",
        "800x600",
        "-i",
        display,
    ]
    run([needs_ffmpeg(), *words, "-frames:v", "1", str(path)], check=True)
    return read_image(path).rgb
