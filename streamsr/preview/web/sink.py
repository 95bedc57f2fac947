"""Shows the upscaled picture in a web page, and takes pictures of the browser's camera."""

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from streamsr.frame import Frame
from streamsr.preview.preview import LIVE, Overlay
from streamsr.preview.web.app import WebApp
from streamsr.sinks import outside
from streamsr.sources.feed import FeedSource
from streamsr.stats import Recorder
from streamsr.web.server import Server
from streamsr.web.token import new_token

AGES_KEPT = 200
"""Frames whose ages are kept: more than come between two messages with numbers."""


class WebSink:
    """A preview in a web page, which is served while it is entered; see
    `streamsr.preview.preview.Preview` for the contract.

    host    address to listen on. A visitor needs the token in ``url``, also from this machine,
            which may have other users
    port    0 for any free one
    feed    takes the pictures of one browser's camera
    state   gives the state of the sources and sinks, shown in the page
    opened  called with ``url`` once the page can be visited

    `write` leaves the frame to the server's thread, which encodes it when somebody watches: a slow
    viewer does not hold the pipeline up. Entering raises SinkError when the port cannot be used.
    """

    closed = False

    def __init__(
        self,
        record: Recorder,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        feed: FeedSource | None = None,
        state: Callable[[], str] = lambda: LIVE,
        opened: Callable[[str], None] = lambda _url: None,
    ) -> None:
        self._record = record
        self._state = state
        self._feed = feed
        self._opened = opened
        self._overlay = Overlay(record, state)
        self.token = new_token()
        self._newest: Frame | None = None
        self._ages: deque[float] = deque(maxlen=AGES_KEPT)  # not yet shown
        self.app = WebApp(
            token=self.token,
            newest=lambda: self._newest,
            numbers=self._numbers,
            feed=feed,
        )
        self._server = Server(self.app.asgi, host=host, port=port, token=self.token)

    @property
    def url(self) -> str:
        """The page's address: one that other machines can reach where all of them may."""
        return self._server.url

    def __enter__(self) -> Self:
        if self._server.serves:
            return self
        self._server.__enter__()
        try:
            self._opened(self.url)
        except BaseException:  # such as Ctrl-C: nobody else would end the thread
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def write(self, frame: Frame) -> None:
        if not self._server.serves:
            raise outside("write()")
        now = time.monotonic()
        age_s = now - frame.arrival_s
        self._overlay.add(now, age_s)
        self._ages.append(age_s)
        self._newest = frame
        self.app.wake()

    def idle(self) -> None: ...

    def commit(self) -> None:
        if not self._server.serves:
            raise outside("commit()")

    def _shown_state(self) -> str:
        states = [state for state in (self._state(), self.app.unshown) if state not in ("", LIVE)]
        return "; ".join(states) or LIVE

    def _numbers(self) -> dict[str, Any]:  # Any: JSON
        """The numbers that the page shows, with the ages of the frames since the last call. Called
        in the server's thread."""
        record = self._record
        waiting = self._feed is not None and not self.app.camera_taken
        ages = [self._ages.popleft() for _ in range(len(self._ages))]
        return {
            "state": "waiting for the camera of a browser" if waiting else self._shown_state(),
            "fps": round(self._overlay.fps, 1),
            "quality": record.quality,
            "sound": record.sound_state,
            "frames": record.frames,
            "budget_ms": None if record.budget_s is None else record.budget_s * 1e3,
            "share": None if record.budget_s is None else record.pixel_share,
            "ages_ms": [round(age_s * 1e3, 1) for age_s in ages],
        }
