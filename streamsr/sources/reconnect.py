"""A source that connects again when its camera is unplugged or its network stream breaks."""

import gc
import logging
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self

from streamsr.errors import SourceError
from streamsr.frame import Frame, Image, StreamInfo
from streamsr.interrupt import Pause, Waits, wait_before
from streamsr.sources import Sound
from streamsr.stats import Event, Recorder

log = logging.getLogger("streamsr")

TIME_BASE = Fraction(1, 90000)


class Session(Protocol):
    """One connection. For one thread at a time.

    `pictures` gives [H, W, 3] uint8 RGB, each with its time on the stream's own clock in seconds,
    None where it has none. It raises SourceError when the connection breaks and ends at the end of
    the stream.
    """

    @property
    def info(self) -> StreamInfo: ...

    def pictures(self) -> Iterator[tuple[Image, float | None]]: ...

    def close(self) -> None: ...


class SessionSound(Protocol):
    """The sound of all sessions; see `streamsr.sources.audio.LiveSound`."""

    def open(self) -> Sound:
        """See `streamsr.sources.Sounding`."""

    def place(self, place_s: Fraction) -> None:
        """Say how much later a picture is on the frames' clock than on its session's, or on that of
        `time.monotonic` where it had no time."""


class ReconnectingSource:
    """Gives the frames of one session after the other. See `streamsr.sources.Source` for the
    contract.

    name          for messages
    open          connects, or raises SourceError. Entering passes the first failure on; later it is
                  called again after growing waits until it succeeds
    record        where reconnections are counted
    sound         of the sessions, None where they have none
    clock, pause  time and waiting; others in tests

    Timestamps go on during an interruption. All frames get the size of the first session.
    """

    def __init__(
        self,
        name: str,
        open: Callable[[], Session],
        *,
        record: Recorder | None = None,
        sound: SessionSound | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Waits | None = None,
    ) -> None:
        self.name = name
        self.state = "connecting"
        """``connecting``, ``live``, or why no frames come; see `streamsr.preview`."""
        self.connections = 0
        self._open = open
        self._clock = clock
        self._pause = pause or Pause()
        self._record = record or Recorder()
        self._sound = sound
        self._stopped = False
        self._session: Session | None = None

    def __enter__(self) -> Self:
        if self._session is None:
            self._session = self._connected()
            self.info = self._session.info
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def open_sound(self) -> Sound:
        """See `streamsr.sources.Sounding`."""
        if self._sound is None:
            raise SourceError("the source has none")
        return self._sound.open()

    def stop(self) -> None:
        self._stopped = True
        self._pause.end()

    def __iter__(self) -> Iterator[Frame]:
        begin_s = self._clock()
        index = 0
        last = -1
        while self._session is not None:
            offset_s: float | None = None
            try:
                for rgb, time_s in self._session.pictures():
                    now = self._clock()
                    if offset_s is None or time_s is None:
                        offset_s = now - begin_s - (time_s or 0.0)
                    pts = max(round((offset_s + (time_s or 0.0)) / TIME_BASE), last + 1)
                    last = pts
                    if self._sound is not None:
                        own_s = Fraction(now if time_s is None else time_s)
                        self._sound.place(pts * TIME_BASE - own_s)
                    if self._stopped:
                        return
                    self.state = "live"
                    yield Frame(self._fitting(rgb), pts, TIME_BASE, 0, index, now)
                    index += 1
                return
            except SourceError as error:
                reason = str(error)
            # Not above: the generators of a session that is opened while an error is handled hold
            # that error, and so the session before it.
            if not self._again(reason):
                return

    def _again(self, reason: str) -> bool:
        """Connect again, however long it takes; False when told to stop."""
        assert self._session is not None
        log.warning("%s; connecting again", reason)
        self._session.close()
        self._session = None
        # PyAV's containers and streams hold each other: until they are found, a decoder's threads
        # go on.
        gc.collect()
        attempt = 0
        while self._session is None:
            wait_s = wait_before(attempt)
            self.state = f"lost: {reason}; next try in {wait_s:.1f} s"
            if self._pause.wait(wait_s):
                return False
            self.state = "connecting"
            try:
                self._session = self._connected()
            except SourceError as error:
                reason = str(error)
                attempt += 1
        self._record.count(Event.RECONNECT)
        log.warning("%s: connected again", self.name)
        return True

    def _connected(self) -> Session:
        session = self._open()
        self.connections += 1
        return session

    def _fitting(self, rgb: Image) -> Image:
        """The picture at the size of the first session."""
        if rgb.shape[1::-1] == (self.info.width, self.info.height):
            return rgb
        from streamsr.picture.resize import resized

        return resized(rgb, (self.info.width, self.info.height))
