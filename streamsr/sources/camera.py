"""Captures pictures from a camera, through OpenCV."""

import re
from collections.abc import Iterator
from fractions import Fraction

import cv2

from streamsr.errors import SourceError
from streamsr.frame import Image, StreamInfo
from streamsr.interrupt import Waits
from streamsr.options import MAX_PIXELS
from streamsr.sources.microphone import Microphone
from streamsr.sources.reconnect import TIME_BASE, Picture, ReconnectingSource
from streamsr.stats import Recorder

EMPTY_IN_A_ROW = 5
"""Reads without a picture after which the camera counts as unplugged."""


def is_camera(spec: str) -> bool:
    """Whether it names a camera: an index such as ``0``, or a device such as ``/dev/video0``."""
    return re.fullmatch(r"\d{1,2}|/dev/video\d+", spec) is not None


def camera(
    spec: str,
    *,
    size: tuple[int, int] | None = None,
    rate: float | None = None,
    microphone: str | None = None,
    record: Recorder | None = None,
    pause: Waits | None = None,
) -> ReconnectingSource:
    """A source for the camera with this index or device path.

    size, rate  (width, height) and frames per second to ask for; ``info`` says what the camera
                gives
    microphone  the device whose sound goes with the pictures; see `streamsr.sources.microphone`

    A frame's ``arrival_s`` is when the driver handed it over. A camera that is unplugged is tried
    again until it is back.
    """
    name = f"camera {spec}"
    sound = None if microphone is None else Microphone(microphone, record=record)
    return ReconnectingSource(
        name, lambda: _Camera(spec, size, rate), record=record, sound=sound, pause=pause
    )


class _Camera:
    """An opened camera; see `streamsr.sources.reconnect.Session` for the contract."""

    fetched = False

    def __init__(self, spec: str, size: tuple[int, int] | None, rate: float | None) -> None:
        self._spec = spec
        self._capture = cv2.VideoCapture(int(spec)) if spec.isdecimal() else cv2.VideoCapture(spec)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(f"camera {spec}: cannot be opened; is it there, and free?")
        # Over USB, uncompressed pictures of the larger sizes come at a few frames a second only.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        if size is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if rate is not None:
            self._capture.set(cv2.CAP_PROP_FPS, rate)
        # The newest picture, not the oldest of a queue.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._check_size(
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        self._first = self._read()
        if self._first is None:
            self._capture.release()
            raise SourceError(f"camera {spec}: gives no picture")
        height, width = self._first.shape[:2]
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.info = StreamInfo(
            width,
            height,
            TIME_BASE,
            rate=Fraction(fps).limit_denominator(1001) if 1 <= fps <= 1000 else None,
            pixel_format="rgb24",
            live=True,
            lossy=True,
        )

    def _check_size(self, width: int, height: int) -> None:
        """Raise SourceError for a size that is too large: the driver's word, before the first
        picture."""
        if width * height > MAX_PIXELS:
            self._capture.release()
            raise SourceError(f"camera {self._spec}: a picture of {width}x{height} is too large")

    def _read(self) -> Image | None:
        """The next picture, [H, W, 3] RGB; None where the camera gives none."""
        try:
            found, bgr = self._capture.read()
        except cv2.error:
            return None
        if not found or bgr is None:
            return None
        self._check_size(bgr.shape[1], bgr.shape[0])
        rgb: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]  # uint8 stays uint8
        return rgb

    def pictures(self) -> Iterator[Picture]:
        missing = 0
        while missing < EMPTY_IN_A_ROW:
            rgb = self._read() if self._first is None else self._first
            self._first = None
            if rgb is None:
                missing += 1
                continue
            missing = 0
            yield Picture(rgb)
        raise SourceError(f"camera {self._spec}: has gone")

    def close(self) -> None:
        self._capture.release()
