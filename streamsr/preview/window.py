"""Shows the upscaled picture in a window, through OpenCV."""

import contextlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from streamsr.errors import SinkError
from streamsr.frame import Frame, Image
from streamsr.picture.files import write_image
from streamsr.picture.resize import resized
from streamsr.preview.preview import LIVE, Overlay, has_display
from streamsr.sinks import outside
from streamsr.stats import Recorder

log = logging.getLogger("streamsr")

TITLE = "streamsr"
FIRST_SIZE = 1280, 720
"""A window begins no larger than this; the picture keeps its shape when it is resized."""

FONT, TEXT = cv2.FONT_HERSHEY_SIMPLEX, 0.8
LINE, MARGIN = 34, 16
"""Pixels from one line to the next, and beside them, at a size of 1."""

READABLE = 0.5
"""Least size of text on the screen where there is room for it: lines of 17 pixels."""

KEYS = "s split   o overlay   p snapshot   q quit"


@dataclass(frozen=True, slots=True)
class View:
    """What the viewer chose.

    split     show bicubic interpolation left of the divider
    overlay   draw the lines about the run over the picture
    divider   its position as a share of the width
    snapshot  save the next picture shown
    closed    end the run
    """

    split: bool = False
    overlay: bool = True
    divider: float = 0.5
    snapshot: bool = False
    closed: bool = False

    def pressed(self, key: int) -> "View":
        """After a key, -1 for none."""
        match chr(key & 0xFF).lower() if key >= 0 else "":
            case "s":
                return replace(self, split=not self.split)
            case "o":
                return replace(self, overlay=not self.overlay)
            case "p":
                return replace(self, snapshot=True)
            case "q" | "\x1b":
                return replace(self, closed=True)
        return self


def drawn(frame: Frame, view: View, lines: list[str], *, shown: float = 1.0) -> Image:
    """The picture to show, [H, W, 3] BGR: the frame, left of the divider bicubic where the view is
    split, with the lines over it, wrapped and made smaller until they fit.

    shown  how many pixels of the screen a pixel of it has
    """
    height, width = frame.rgb.shape[:2]
    bgr: Image = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)  # type: ignore[assignment]  # uint8 stays uint8
    size = max(min(width, height) * shown / 720, READABLE) / shown
    if view.split and frame.lr is not None:
        x = min(max(round(view.divider * width), 0), width)
        bgr[:, :x] = resized(frame.lr, (width, height))[:, :x, ::-1]
        cv2.line(bgr, (x, 0), (x, height), (255, 255, 255), max(round(2 * size), 1))
        gap, foot = round(20 * size), height - round(20 * size)
        before, after = _width("bicubic", size) + gap, _width("network", size) + gap
        if x - before > 0:
            _write(bgr, "bicubic", (x - before, foot), size)
        if x + after < width:
            _write(bgr, "network", (x + gap, foot), size)
    if view.overlay:
        fitted, size = fit([*lines, KEYS], (width, height), size)
        for i, line in enumerate(fitted):
            _write(bgr, line, (round(MARGIN * size), round((i + 1) * LINE * size)), size)
    return bgr


def fit(lines: list[str], room: tuple[int, int], size: float) -> tuple[list[str], float]:
    """The lines as they fit into a picture of this (width, height), wrapped where that is needed,
    and the largest size at which they do, at most the given one."""
    width, height = room
    while True:
        space = width - 2 * MARGIN * size
        made = [part for line in lines for part in _wrapped(line, size, space)]
        widest = max(_width(line, size) for line in made)
        if (widest <= space and (len(made) + 0.5) * LINE * size <= height) or size < 0.01:
            return made, size
        size *= 0.9


def _wrapped(line: str, size: float, space: float) -> list[str]:
    """The line in as few as have this width, broken between its parts, which stand two or more
    spaces apart, or within them between words."""
    made, now = [], ""
    for part in re.split(" {2,}", line):
        words = [part] if _width(part, size) <= space else part.split(" ")
        for i, word in enumerate(words):
            longer = f"{now}{' ' if i else '   '}{word}" if now else word
            if now and _width(longer, size) > space:
                made.append(now)
                now = word
            else:
                now = longer
    return [*made, now]


def _width(text: str, size: float) -> int:
    return cv2.getTextSize(text, FONT, TEXT * size, max(round(size), 1))[0][0]


def _write(bgr: Image, text: str, at: tuple[int, int], size: float) -> None:
    """Draw white text on a darkened strip, readable on any picture. ``at``: the left end of its
    base line."""
    thickness = max(round(size), 1)
    (width, height), below = cv2.getTextSize(text, FONT, TEXT * size, thickness)
    (x, y), margin = at, round(6 * size)
    strip = bgr[
        max(y - height - margin, 0) : y + below + margin,
        max(x - margin, 0) : max(x + width + margin, 0),
    ]
    strip //= 3
    cv2.putText(bgr, text, at, FONT, TEXT * size, (255, 255, 255), thickness, cv2.LINE_AA)


def _visible() -> bool:
    """Whether the window is still there."""
    try:
        return cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # Qt's answer once its last window is closed
        return False


def _shown(size: tuple[int, ...]) -> float:
    """How many pixels of the screen a pixel of a picture of this (width, height) has."""
    try:
        _, _, width, height = cv2.getWindowImageRect(TITLE)
    except cv2.error:  # as above
        return 1.0
    return min(width / size[0], height / size[1]) if min(width, height) > 0 else 1.0


class WindowSink:
    """A preview window; see `streamsr.preview.preview.Preview` for the contract. For the main
    thread.

    state   gives the state of the sources and sinks, for the overlay
    folder  where snapshots are saved, the working directory by default

    Keys: see KEYS. The divider follows the mouse while its button is held. Entering raises
    SinkError where there is no display.
    """

    def __init__(
        self,
        record: Recorder,
        *,
        state: Callable[[], str] = lambda: LIVE,
        folder: Path | None = None,
    ) -> None:
        self._overlay = Overlay(record, state)
        self._folder = folder or Path.cwd()
        self._view = View(split=True)
        self._frame: Frame | None = None
        self._open = False

    @property
    def closed(self) -> bool:
        return self._view.closed

    def __enter__(self) -> Self:
        if not has_display():
            raise SinkError("there is no display for a window; use --preview web or --preview none")
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._open = True
        cv2.setMouseCallback(TITLE, self._moved)
        self._show(np.zeros((FIRST_SIZE[1], FIRST_SIZE[0], 3), np.uint8))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(cv2.error):  # the viewer has closed it
                cv2.destroyWindow(TITLE)

    def write(self, frame: Frame) -> None:
        if not self._open:
            raise outside("write()")
        if self._frame is None:
            height, width = frame.rgb.shape[:2]
            fit = min(FIRST_SIZE[0] / width, FIRST_SIZE[1] / height, 1.0)
            cv2.resizeWindow(TITLE, round(width * fit), round(height * fit))
        self._frame = frame
        now = time.monotonic()
        self._overlay.add(now, now - frame.arrival_s)
        self.idle()

    def idle(self) -> None:
        """Draw again and handle keys and the mouse."""
        if self._frame is None:
            blank = Frame(np.zeros((FIRST_SIZE[1], FIRST_SIZE[0], 3), np.uint8), 0, Fraction(1))
            self._draw(blank)
            return
        self._draw(self._frame)
        if self._view.snapshot:
            self._view = replace(self._view, snapshot=False)
            name = (
                self._folder / f"streamsr-{time.strftime('%Y%m%d-%H%M%S')}-{self._frame.index}.png"
            )
            try:
                write_image(name, self._frame.rgb, None, overwrite=False)
            except SinkError as error:  # a full disk must not end what is shown and recorded
                log.warning("%s", error)

    def commit(self) -> None:
        if not self._open:
            raise outside("commit()")

    def _draw(self, frame: Frame) -> None:
        lines = self._overlay.lines()
        self._show(drawn(frame, self._view, lines, shown=_shown(frame.rgb.shape[1::-1])))

    def _show(self, bgr: Image) -> None:
        cv2.imshow(TITLE, bgr)
        key = cv2.waitKey(1)  # also calls _moved, which changes the view
        self._view = self._view.pressed(key)
        if not _visible():
            self._view = replace(self._view, closed=True)

    def _moved(self, event: int, x: int, _y: int, flags: int, _param: object) -> None:
        if self._frame is not None and (
            event == cv2.EVENT_LBUTTONDOWN or flags & cv2.EVENT_FLAG_LBUTTON
        ):
            self._view = replace(self._view, divider=x / self._frame.rgb.shape[1])
