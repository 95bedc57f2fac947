"""The sound of a capture device."""

import logging
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
from av.container.input import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from streamsr.errors import SourceError, reason_of
from streamsr.interrupt import Pause, wait_before
from streamsr.media.sound import SoundFormat, SoundPacket
from streamsr.sources.live_sound import SAME_PLACE_S, LiveSound
from streamsr.stats import Recorder

log = logging.getLogger("streamsr")

OLDEST_S = 1.0
"""Age at which a device hands its sound over at the latest; one that seems older has another
clock."""

EXACT_S = 0.001
"""Two clocks that are read within this time are compared."""

LEAVE_S = 2.0
"""Longest wait for a device that gives no sound; its thread ends with the process then."""


class Microphone:
    """The sound of a capture device, named as ALSA names it, such as ``default`` or ``hw:1``. See
    `streamsr.sources.Sound` for the contract.

    name    of the device
    record  where packets are counted
    pause   the wait before a device that was unplugged is tried again; another one in tests

    A thread of its own reads it, for as long as the ``with`` block lasts.
    """

    def __init__(
        self, name: str, *, record: Recorder | None = None, pause: Pause | None = None
    ) -> None:
        self._name = name
        self._record = record or Recorder()
        self._sound = LiveSound(f"microphone {name}", self._record)
        self._pause = pause or Pause()
        self._device: InputContainer | None = None
        self._ahead_s: float | None = None  # the system's clock, of `time.monotonic`
        self._thread = threading.Thread(
            target=self._listen, name="streamsr-microphone", daemon=True
        )

    def open(self) -> Self:
        """Open the device. Raises SourceError when it cannot be opened."""
        if self._device is None:
            self._device = _device(self._name)
            self._sound.begin(self._device.streams.audio[0])
            self._sound.open()
        return self

    @property
    def format(self) -> SoundFormat:
        return self._sound.format

    def place(self, place_s: Fraction) -> None:
        """See `LiveSound.place`; the connection's clock is `time.monotonic`."""
        self._sound.place(place_s)

    def until(self, time_s: Fraction | None) -> Iterator[SoundPacket]:
        return self._sound.until(time_s)

    def __enter__(self) -> Self:
        if self._thread.ident is None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pause.end()
        if self._thread.ident is not None:
            self._thread.join(LEAVE_S)
        self._sound.__exit__(kind, error, trace)

    def _listen(self) -> None:
        """Read the device, and open it again when it is lost, until told to stop."""
        attempt = 0
        while not self._pause.wait(0.0):
            try:
                if self._device is None:
                    self._device = _device(self._name)
                    log.warning("microphone %s: is back", self._name)
                    self._record.set_sound_lost("")
                for packet in self._device.demux(audio=0):
                    attempt = 0
                    self._take(packet)
                    if self._pause.wait(0.0):
                        break
            except (FFmpegError, OSError, SourceError) as error:
                if attempt == 0:
                    log.warning("microphone %s: %s; trying again", self._name, reason_of(error))
            if self._device is not None:
                self._device.close()
                self._device = None
                self._record.set_sound_lost(f"no sound: microphone {self._name} is lost")
            self._pause.wait(wait_before(attempt))
            attempt += 1

    def _take(self, packet: "Packet[Any]") -> None:
        """Take a packet; the device's times are those of the system's clock, less its delay."""
        if not packet.size or packet.pts is None or packet.time_base is None:
            return
        before_s, system_s, now_s = time.monotonic(), time.time(), time.monotonic()
        ahead_s = system_s - now_s
        is_exact = now_s - before_s < EXACT_S
        if self._ahead_s is None or (is_exact and abs(ahead_s - self._ahead_s) > SAME_PLACE_S):
            self._ahead_s = ahead_s
        duration_s = (packet.duration or 0) * packet.time_base
        time_s = float(packet.pts * packet.time_base) - self._ahead_s
        if abs(now_s - time_s) > OLDEST_S:
            time_s = now_s - float(duration_s)
        self._sound.add(bytes(packet), Fraction(round(time_s * 1e6), 1_000_000), duration_s)


def _device(name: str) -> InputContainer:
    """A capture device, opened. Raises SourceError."""
    try:
        return av.open(name, format="alsa")
    except (FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"microphone {name}: {reason_of(error)}") from error
