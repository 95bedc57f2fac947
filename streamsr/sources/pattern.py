"""Draws a moving test picture that carries the time, for viewers and for programs to read."""

import re
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from streamsr.errors import SourceError
from streamsr.frame import Frame, Image, StreamInfo
from streamsr.interrupt import Pause, Waits

COLUMNS, ROWS = 28, 2
"""Black and white fields along the lower edge: 48 bits of time and a checksum of 8 bits."""

BAND = 1 / 8
"""Height of all fields as a share of the picture's."""

MIN_SIZE = 112, 64
"""(width, height): a field has at least 4 x 4 pixels and survives encoding and interpolation."""


class PatternSource:
    """Draws a test picture in real time. See `streamsr.sources.Source` for the contract.

    spec          ``test:``, ``test:640x360`` or ``test:640x360@30`` (frames per second)
    clock, pause  time and waiting; others in tests

    A detailed background stands still and a ball moves. The time of ``clock`` is drawn in digits,
    and in fields that `read_time` reads back, also from an enlarged or encoded picture.
    """

    def __init__(
        self,
        spec: str = "test:",
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Waits | None = None,
    ) -> None:
        match = re.fullmatch(r"test:(?:(\d{1,4})x(\d{1,4}))?(?:@(\d{1,3}))?", spec)
        if match is None:
            raise SourceError(
                f"{spec}: expected test:, test:WIDTHxHEIGHT or test:WIDTHxHEIGHT@RATE"
            )
        width, height, rate = (
            int(value or default)
            for value, default in zip(match.groups(), (640, 360, 30), strict=True)
        )
        if width < MIN_SIZE[0] or height < MIN_SIZE[1] or rate < 1:
            raise SourceError(
                f"{spec}: the test picture has at least {MIN_SIZE[0]}x{MIN_SIZE[1]} pixels, 1 a "
                f"second"
            )
        self.info = StreamInfo(
            width, height, Fraction(1, 90000), rate=Fraction(rate), pixel_format="rgb24", live=True
        )
        self._clock = clock
        self._pause = pause or Pause()
        self._background = _background(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pause.end()

    def __iter__(self) -> Iterator[Frame]:
        info = self.info
        assert info.rate is not None
        ticks = round(1 / (info.rate * info.time_base))
        begin_s = self._clock()
        index = 0
        while not self._pause.wait(begin_s + index / float(info.rate) - self._clock()):
            now = self._clock()
            yield Frame(self._draw(index, now), index * ticks, info.time_base, ticks, index, now)
            # Frames whose time has passed are skipped, as a camera would.
            index = max(index + 1, int((self._clock() - begin_s) * info.rate))

    def stop(self) -> None:
        self._pause.end()

    def _draw(self, index: int, now: float) -> Image:
        rgb = self._background.copy()
        height, width = rgb.shape[:2]
        radius = height // 10
        x, y = (_swing(index * 7 / 640, width - 2 * radius), _swing(index * 3 / 640, height // 2))
        cv2.circle(rgb, (x + radius, y + radius), radius, (250, 200, 40), -1, cv2.LINE_AA)
        words = f"{int(now) // 3600 % 24:02}:{int(now) // 60 % 60:02}:{now % 60:06.3f}"
        size = height / 360
        cv2.putText(
            rgb,
            words,
            (width // 20, height * 3 // 4),
            cv2.FONT_HERSHEY_SIMPLEX,
            size,
            (255, 255, 255),
            2,
            cv2.LINE_AA,
        )
        write_time(rgb, now)
        return rgb


def write_time(rgb: Image, seconds: float) -> None:
    """Draw a time into the fields along the lower edge, in milliseconds modulo 2^48."""
    value = int(seconds * 1000) % (1 << 48)
    bits = [value >> i & 1 for i in range(48)]
    bits += [_check(value) >> i & 1 for i in range(8)]
    for field, bit in zip(_fields(*rgb.shape[1::-1]), bits, strict=True):
        rgb[field] = 235 * bit + 16 * (1 - bit)


def read_time(rgb: Image) -> float | None:
    """Read the seconds that `write_time` drew, to the millisecond; None when the checksum is
    wrong."""
    width, height = rgb.shape[1], rgb.shape[0]
    if width < MIN_SIZE[0] or height < MIN_SIZE[1]:
        return None
    bits = []
    for rows, columns in _fields(width, height):
        margin_y, margin_x = (rows.stop - rows.start) // 4, (columns.stop - columns.start) // 4
        inner = rgb[
            rows.start + margin_y : rows.stop - margin_y,
            columns.start + margin_x : columns.stop - margin_x,
        ]
        bits.append(int(inner.mean() > 127))
    value = sum(bit << i for i, bit in enumerate(bits[:48]))
    if _check(value) != sum(bit << i for i, bit in enumerate(bits[48:])):
        return None
    return value / 1000


def _check(value: int) -> int:
    """A checksum of 8 bits. That of 0 is not 0, so that a black picture is not read as a time."""
    return (
        sum(byte * (2 * i + 3) for i, byte in enumerate(value.to_bytes(6, "little"))) + 0x5A
    ) % 256


def _fields(width: int, height: int) -> Iterator[tuple[slice, slice]]:
    top = height - round(height * BAND)
    for row in range(ROWS):
        y0, y1 = (top + (height - top) * (row + i) // ROWS for i in (0, 1))
        for column in range(COLUMNS):
            yield slice(y0, y1), slice(width * column // COLUMNS, width * (column + 1) // COLUMNS)


def _swing(phase: float, length: int) -> int:
    """A position that moves back and forth between 0 and ``length``, once each time ``phase`` grows
    by 2."""
    return round(abs((phase % 2) - 1) * length)


def _background(width: int, height: int) -> Image:
    """A picture with fine and coarse structure: rings, a ramp and noise."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    rings = 60 * np.sin(((x - width * 0.7) ** 2 + (y - height * 0.35) ** 2) / (width * 1.5))
    ramp = x * 90 / width
    noise = cv2.GaussianBlur(
        np.random.default_rng(0).normal(0, 40, (height, width)).astype(np.float32), (0, 0), 0.8
    )
    grey = 90 + rings + noise
    rgb = np.stack((grey + ramp - 40, grey, grey - ramp + 30), axis=2)
    return np.ascontiguousarray(rgb.clip(0, 255), np.uint8)
