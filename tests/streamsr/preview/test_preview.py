"""The window: what it draws, what its keys do, and the whole of it on a virtual screen."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from streamsr.engines import Image
from streamsr.frame import Frame
from streamsr.picture.files import read_image
from streamsr.picture.resize import resized
from streamsr.preview.preview import Overlay, has_display, state_of
from streamsr.preview.window import FONT, KEYS, LINE, MARGIN, TEXT, View, drawn, fit
from streamsr.stats import Recorder
from tests.support.command import Command, started
from tests.support.media import look, picture
from tests.support.processes import Helper, run
from tests.support.screen import desktop as desktop
from tests.support.screen import screen as screen
from tests.support.screen import seen

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
    record.set_budget(0.05)
    state = "lost: camera 0: has gone; next try in 0.5 s"
    overlay = Overlay(record, lambda: state)
    for i in range(10):
        overlay.add(i / 10, 0.02)
    lines = overlay.lines()
    assert lines[0] == state
    assert lines[1].startswith("10.0 fps   latency 20 of 50 ms")


def test_the_overlay_says_what_becomes_of_the_sound() -> None:
    record = Recorder()
    overlay = Overlay(record, lambda: "live")
    assert len(overlay.lines()) == 2
    record.set_sound("sound: aac 48000 Hz copied")
    assert overlay.lines()[-1] == "sound: aac 48000 Hz copied"
    record.set_sound_lost("sound left out: it is mp3 44100 Hz now, not aac 48000 Hz")
    assert overlay.lines()[-1].startswith("sound left out")
    record.set_sound_lost("")
    assert overlay.lines()[-1] == "sound: aac 48000 Hz copied"


LINES = [
    "lost: tcp://127.0.0.1:9: Connection refused; next try in 0.5 s",
    "25.0 fps   latency 20 of 100 ms   fused",
    "sound: microphone default, pcm_s16le 48000 Hz as aac",
    KEYS,
]


@pytest.mark.parametrize(
    "room", [(1920, 1080), (320, 240), (180, 320), (96, 700), (700, 64), (24, 16)]
)
@pytest.mark.parametrize("size", [0.35, 1.0, 3.0])
def test_text_fits_into_every_window(room: tuple[int, int], size: float) -> None:
    """Whole: every word is there, and nothing is beyond the picture's edge."""
    made, at = fit(LINES, room, size)
    assert " ".join(made).split() == " ".join(LINES).split()
    assert 0 < at <= size
    for i, line in enumerate(made):
        (width, _), below = cv2.getTextSize(line, FONT, TEXT * at, max(round(at), 1))
        assert MARGIN * at + width <= room[0]
        assert round((i + 1) * LINE * at) + below <= room[1]


def test_text_is_no_smaller_than_it_must_be() -> None:
    assert fit(LINES, (1920, 1080), 1.0) == (LINES, 1.0)
    made, at = fit(LINES, (300, 1000), 0.5)
    assert at == 0.5
    assert len(made) > len(LINES)
    assert made[-1] == KEYS


def test_the_state_is_that_of_the_ends_that_do_not_work() -> None:
    working = SimpleNamespace(state="live")
    lost = SimpleNamespace(state="lost: camera 0")
    unconnected = object()  # a file, say
    assert state_of([working, unconnected]) == "live"
    assert state_of([working, lost, unconnected]) == "lost: camera 0"
    assert state_of([lost, SimpleNamespace(state="connecting")]) == "lost: camera 0; connecting"


def test_a_machine_without_display_is_one_clear_line(
    streamsr: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for display in ("", ":99999", "127.0.0.1:59999"):
        monkeypatch.setenv("DISPLAY", display)
        assert not has_display()
    result = streamsr("live", "test:160x96", "--preview", "window", "--model", model)
    assert result.status == 1
    assert "--preview web" in result.err


class Window:
    """``streamsr live --preview window`` on a virtual screen, and a viewer's hands."""

    def __init__(self, process: Helper, screen: str, folder: Path) -> None:
        self.process, self.screen, self.folder = process, screen, folder

    def do(self, *words: str) -> str:
        tool = shutil.which("xdotool")
        if tool is None:
            pytest.skip("xdotool is not installed")
        environment = os.environ | {"DISPLAY": self.screen}
        done = run([tool, *words], env=environment, check=True)
        return str(done.stdout)

    def until(self, condition: Callable[[], object], what: Callable[[], object]) -> None:
        self.process.until(condition, seen=what)

    def size(self) -> list[int]:
        """Width and height of the window's inside."""
        found = dict(
            line.split("=")
            for line in self.do("getwindowgeometry", "--shell", self.number()).splitlines()
        )
        return [int(found["WIDTH"]), int(found["HEIGHT"])]

    def number(self) -> str:
        return self.do("search", "--onlyvisible", "--name", "^streamsr$").split()[-1]

    def point(self, x: int, y: int) -> tuple[int, int]:
        """Move the mouse to this place of the picture; returns where on the screen that is."""
        self.do("mousemove", "--window", self.number(), "--", str(x), str(y))
        found = dict(
            line.split("=") for line in self.do("getmouselocation", "--shell").splitlines()
        )
        return int(found["X"]), int(found["Y"])

    def seen(self) -> Image:
        return seen(self.screen, self.folder / "screen.png")

    def ended(self) -> str:
        """What it said, once it has ended well."""
        status = self.process.ended()
        said = self.process.said()
        assert status == 0, said
        assert "Traceback" not in said
        return said


@contextmanager
def window(screen: str, folder: Path, model: Path, *options: str) -> Iterator[Window]:
    """Once it shows the picture."""
    words = [
        "live",
        "test:160x96@10",
        "--preview",
        "window",
        *options,
        "--model",
        model,
        "--threads",
        "1",
    ]
    with started(*words, env=os.environ | {"DISPLAY": screen}, cwd=folder) as process:
        shown = Window(process, screen, folder)
        shown.until(
            lambda: shown.seen().std() > 30,
            lambda: f"a screen with a spread of {shown.seen().std():.1f}",
        )
        yield shown


def test_a_window_shows_the_picture_and_closes_on_q(
    desktop: str, tmp_path: Path, model: Path
) -> None:
    with window(desktop, tmp_path, model) as shown:

        def snapshot() -> bool:
            shown.point(100, 100)
            shown.do("key", "p")
            return bool(list(tmp_path.glob("streamsr-*.png")))

        shown.until(snapshot, lambda: f"files: {sorted(path.name for path in tmp_path.iterdir())}")
        shown.do("key", "q")
        shown.ended()
    assert read_image(next(tmp_path.glob("streamsr-*.png"))).rgb.shape == (288, 480, 3)


def test_the_divider_follows_the_mouse_and_the_close_button_ends_the_run(
    desktop: str, tmp_path: Path, model: Path
) -> None:
    with window(desktop, tmp_path, model, "--record", str(tmp_path / "a.mkv")) as shown:
        shown.until(lambda: shown.size() == [480, 288], lambda: f"size {shown.size()}")

        def divider() -> int:
            """The column that is white all the way, between the texts."""
            x, y = shown.point(0, 0)  # each time: the window manager may have moved the window
            return int(shown.seen()[y + 60 : y + 180, x : x + 480].min(axis=(0, 2)).argmax())

        def dragged() -> bool:
            shown.point(240, 150)
            shown.do("mousedown", "1")
            for at in (220, 200, 180, 150):
                shown.point(at, 150)
            shown.do("mouseup", "1")
            return abs(divider() - 150) < 4

        shown.until(dragged, lambda: f"the divider at {divider()}")
        shown.point(470, -10)
        shown.do("click", "1")
        assert "frames in" in shown.ended()
    assert len(look(tmp_path / "a.mkv").times) > 3
