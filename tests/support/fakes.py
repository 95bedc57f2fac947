"""Stand-ins for what is not there, or cannot be waited for: time, cameras, windows."""

from types import ModuleType, SimpleNamespace
from typing import Any

import cv2

from streamsr.frame import Image
from streamsr.interrupt import Pause


class Clock:
    """Virtual seconds, and the pause that moves them: a `streamsr.interrupt.Waits`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ended = False
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += max(seconds, 0.0)
        return self.ended

    def end(self) -> None:
        self.ended = True


class VirtualCameras(ModuleType):
    """The module pyvirtualcam, with one free device that keeps what it is sent."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__("pyvirtualcam")
        self.sent: list[Image] = []
        self.open = 0
        self._fails = fails

    def Camera(self, *_: object) -> Any:  # noqa: N802 - its name
        if self._fails:
            raise RuntimeError("no device")
        self.open += 1

        def close() -> None:
            self.open -= 1

        return SimpleNamespace(send=self.sent.append, close=close)


class Windows:
    """The module cv2 on a screen that nobody sees: what is drawn is kept, nothing is pressed."""

    def __init__(self) -> None:
        self.shown: list[Image] = []
        self.open: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(cv2, name)

    def namedWindow(self, title: str, _flags: int) -> None:  # noqa: N802 - as the next ones
        self.open.add(title)

    def destroyWindow(self, title: str) -> None:  # noqa: N802
        self.open.remove(title)

    def resizeWindow(self, *_: object) -> None: ...  # noqa: N802

    def setMouseCallback(self, *_: object) -> None: ...  # noqa: N802

    def getWindowProperty(self, title: str, _property: int) -> float:  # noqa: N802
        return float(title in self.open)

    def imshow(self, title: str, bgr: Image) -> None:
        assert title in self.open
        self.shown.append(bgr)

    def waitKey(self, _ms: int) -> int:  # noqa: N802
        return -1


class Hurried(Pause):
    """A pause that waits a fiftieth of what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return super().wait(seconds / 50)
