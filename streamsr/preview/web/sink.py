"""Shows the upscaled picture in a web page, and takes pictures of the browser's camera.

One port serves HTTP and WebSockets.
"""

import asyncio
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from streamsr.errors import SinkError, reason_of, shortened
from streamsr.frame import Frame
from streamsr.gate import BACKLOG, LOOPBACK, Gate, listening, queued
from streamsr.preview.preview import LIVE, Overlay
from streamsr.preview.web.app import WebApp
from streamsr.sinks import outside
from streamsr.sources.feed import FeedSource
from streamsr.stats import Recorder

LONGEST_MESSAGE = 2 << 20
"""Bytes of a message from a browser, which is a picture of its camera."""

AGES_KEPT = 200
"""Frames whose ages are kept: more than come between two messages with numbers."""

QUIET = "critical"
"""What strangers send is no news: uvicorn would log each request that is none."""


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
        self._host = host.removeprefix("[").removesuffix("]")
        self._port = port
        self.token = secrets.token_urlsafe(16)
        self._newest: Frame | None = None
        self._ages: deque[float] = deque(maxlen=AGES_KEPT)  # not yet shown
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The page's address: one that other machines can reach where all of them may."""
        host = _own_address() if self._host in ("0.0.0.0", "::") else self._host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._port}/?token={self.token}"

    def __enter__(self) -> Self:
        if self._thread is not None:
            return self
        listens = self._listening()
        self._port = listens.getsockname()[1]
        self.app = WebApp(
            token=self.token,
            local=self._host in LOOPBACK,
            newest=lambda: self._newest,
            numbers=self._numbers,
            feed=self._feed,
        )
        gate = Gate()

        def protocol(**made: Any) -> asyncio.Protocol:  # Any: uvicorn's own
            def passed(link: asyncio.Transport, content: bytes) -> None:
                served = H11Protocol(**made)
                link.set_protocol(served)
                served.connection_made(link)
                served.data_received(content)

            return gate.connection(passed)

        self._server = _Server(
            uvicorn.Config(
                self.app.asgi,
                interface="asgi3",
                http=protocol,  # type: ignore[arg-type]  # it is called as the class would be
                ws="websockets-sansio",
                ws_max_size=LONGEST_MESSAGE,
                backlog=BACKLOG,
                timeout_graceful_shutdown=1,
                log_config=None,
                log_level=QUIET,
                access_log=False,
                server_header=False,
            ),
            gate,
        )
        self._thread = threading.Thread(target=self._serve, args=(listens,), name="streamsr-web")
        self._thread.start()
        try:
            self._opened(self.url)
        except BaseException:  # such as Ctrl-C: nobody else would end the thread
            self.__exit__(None, None, None)
            raise
        return self

    def _listening(self) -> socket.socket:
        """The socket of the server. Raises SinkError when the address or the port cannot be
        used."""
        try:
            return listening(self._host, self._port)
        # the last two: not a port, not a name
        except (OSError, OverflowError, ValueError) as error:
            raise SinkError(
                f"cannot serve at {shortened(self._host)} port {self._port}: {reason_of(error)}"
            ) from error

    def _serve(self, listens: socket.socket) -> None:
        with listens:
            self._server.run(sockets=[listens])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        thread = self._thread
        self._thread = None
        if thread is not None:
            self._server.should_exit = True
            thread.join()

    def write(self, frame: Frame) -> None:
        if self._thread is None:
            raise outside("write()")
        now = time.monotonic()
        age_s = now - frame.arrival_s
        self._overlay.add(now, age_s)
        self._ages.append(age_s)
        self._newest = frame
        self.app.wake()

    def idle(self) -> None: ...

    def commit(self) -> None:
        if self._thread is None:
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


class _Server(uvicorn.Server):
    """uvicorn's, with a gate that ends with it."""

    def __init__(self, config: uvicorn.Config, gate: Gate) -> None:
        super().__init__(config)
        self._gate = gate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listens in sockets or ():
            queued(listens)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listens in sockets or ():
            await self._gate.close(listens)
        await super().shutdown(sockets)
        await self._gate.end()


def _own_address() -> str:
    """This machine's address in its network. Nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation, RFC 5737
        except OSError:  # no network
            return "127.0.0.1"
        return str(probe.getsockname()[0])
