"""A source that connects again when its camera is unplugged or its network stream breaks."""

import gc
import logging
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from streamsr.errors import SourceError
from streamsr.frame import Fit, Frame, Image, StreamInfo
from streamsr.interrupt import Pause, Waits, wait_before
from streamsr.sources import Sound
from streamsr.sources.pacing import Pacer
from streamsr.stats import Event, Recorder

log = logging.getLogger("streamsr")

TIME_BASE = Fraction(1, 90000)


class Picture(NamedTuple):
    """What a session gives.

    rgb        [H, W, 3] uint8
    time_s     on the sender's clock, None where it has none: then it is when it came
    arrival_s  when its data came, on our clock; None for now
    """

    rgb: Image
    time_s: float | None = None
    arrival_s: float | None = None


class Session(Protocol):
    """One connection. For one thread at a time.

    `pictures` raises SourceError when the connection breaks and ends at the end of the stream.
    ``fetched`` says whether it comes as fast as we ask for it.
    """

    @property
    def info(self) -> StreamInfo: ...

    @property
    def fetched(self) -> bool: ...

    def pictures(self) -> Iterator[Picture]: ...

    def close(self) -> None: ...


class SessionSound(Protocol):
    """The sound of all sessions; see `streamsr.sources.live_sound.LiveSound`."""

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

    Each frame leaves at its own time, which `Pacer` knows; its ``arrival_s`` is when it was due.
    Timestamps go on during an interruption, and where the sender's clock jumps. A frame whose
    size is not that of the first session says how it is shown.
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
        """``connecting``, ``live``, or why no frames come; see `streamsr.preview`. Whoever opens
        sessions may write it meanwhile."""
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
        pacer = Pacer()
        index = 0
        last = -1
        while self._session is not None:
            pacer.connected(fetched=self._session.fetched)
            try:
                for rgb, time_s, came_s in self._session.pictures():
                    now_s = self._clock()
                    arrival_s = now_s if came_s is None else came_s
                    sent_s = arrival_s if time_s is None else time_s
                    place = pacer.place(sent_s, arrival_s, now_s=now_s)
                    wait_s = place.due_s - now_s
                    if self._stopped or (wait_s > 0 and self._pause.wait(wait_s)):
                        return
                    now_s = self._clock()
                    pacer.left(now_s)
                    if time_s is not None:
                        error_s = place.late_s + now_s - place.due_s
                        self._record.pace(error_s, buffer_s=pacer.buffer_s)
                    pts = max(round(place.time_s / TIME_BASE), last + 1)
                    last = pts
                    if self._sound is not None:
                        self._sound.place(pts * TIME_BASE - Fraction(sent_s))
                    self.state = "live"
                    fit = self._fit(rgb)
                    yield Frame(rgb, pts, TIME_BASE, 0, index, place.due_s, fit=fit)
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

    def _fit(self, rgb: Image) -> Fit | None:
        """How a picture is shown whose size or shape is not that of the first session."""
        info = self.info
        sar = info.sar if self._session is None else self._session.info.sar
        if rgb.shape[1::-1] == (info.width, info.height) and sar == info.sar:
            return None
        return Fit(info.width, info.height, sar / info.sar)
