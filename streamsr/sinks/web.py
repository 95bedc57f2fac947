"""The upscaled picture in a web page, and the browser's camera as a source: one port, HTTP and WebSockets."""

import asyncio
import contextlib
import secrets
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import cv2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from streamsr.engines import Image
from streamsr.errors import SinkError
from streamsr.frame import Frame
from streamsr.sinks.preview import Overlay
from streamsr.sources.feed import FeedSource
from streamsr.stats import Recorder

MAX_VIEWERS = 8
LONGEST_MESSAGE = 2 << 20
"""Bytes a browser may send at once: a picture of its camera."""

MAX_CAMERA = 1920, 1080
QUALITY = 85
"""JPEG, of what is shown: 5 ms and 300 KB at 1080p."""

STATS_EVERY_S = 0.5
AGES_KEPT = 200
"""More frames than come between two of these messages."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
PAGE = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
"""All there is: no path of a request ever becomes a path of a file."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self'; img-src 'self' data:",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the token is in the address
    "X-Content-Type-Options": "nosniff",
}


@dataclass(eq=False)
class _Viewer:
    """A browser that watches. It gets the newest picture when it has taken the last one, none in between."""

    fresh: asyncio.Event = field(default_factory=asyncio.Event)
    wants: bool = True


class WebSink:
    """A `streamsr.sinks.preview.Preview`: serves the page at ``url`` from its entering to its leaving.

    host   other than a loopback address: whoever comes must know the token in ``url``
    port   0 for any free one
    feed   takes the pictures of one browser's camera
    state  of the source, shown in the page
    opened is called with ``url`` once the page can be visited

    ``write`` only leaves the frame for the server's thread, which encodes it if anybody watches: no viewer, however
    slow, holds the pipeline up. Entering raises SinkError when the port cannot be had.
    """

    closed = False

    def __init__(
        self,
        record: Recorder,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        feed: FeedSource | None = None,
        state: Callable[[], str] = lambda: "live",
        opened: Callable[[str], None] = lambda _url: None,
    ) -> None:
        self._record, self._state, self._feed, self._opened = record, state, feed, opened
        self._overlay = Overlay(record, state)
        self._host, self._port = host, port
        self.token = None if host in LOOPBACK else secrets.token_urlsafe(16)
        self._viewers: set[_Viewer] = set()
        self._camera_taken = False
        self._newest: Frame | None = None
        self._shown = b""
        self._ages: deque[tuple[int, float]] = deque(maxlen=AGES_KEPT)
        self._written = 0
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/" + (f"?token={self.token}" if self.token else "")

    def __enter__(self) -> Self:
        if self._thread is not None:
            return self
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listening = socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            raise SinkError(f"cannot serve at {self._host} port {self._port}: {error.strerror}") from error
        self._port = listening.getsockname()[1]
        routes = [Route(path, self._page) for path in PAGE]
        sockets = [WebSocketRoute("/view", self._view), WebSocketRoute("/camera", self._camera)]
        self._server = uvicorn.Server(
            uvicorn.Config(
                Starlette(routes=[*routes, *sockets], lifespan=self._lifespan),
                ws="websockets-sansio",
                ws_max_size=LONGEST_MESSAGE,
                limit_concurrency=4 * MAX_VIEWERS,
                timeout_graceful_shutdown=1,
                log_config=None,
                access_log=False,
                server_header=False,
            )
        )
        self._thread = threading.Thread(target=self._serve, args=(listening,), name="streamsr-web")
        self._thread.start()
        self._opened(self.url)
        return self

    def _serve(self, listening: socket.socket) -> None:
        with listening:
            self._server.run(sockets=[listening])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._server.should_exit = True
            thread.join()

    def write(self, frame: Frame) -> None:
        now = time.monotonic()
        age_s = now - frame.arrival_s
        self._overlay.saw(now, age_s)
        self._written += 1
        self._ages.append((self._written, age_s))
        self._newest = frame
        loop = self._loop
        if self._viewers and loop is not None:
            with contextlib.suppress(RuntimeError):  # the server is closing
                loop.call_soon_threadsafe(self._wake.set)

    def idle(self) -> None: ...

    def commit(self) -> None: ...

    # From here on everything runs in the server's thread.

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        encoding = asyncio.create_task(self._encode())
        try:
            yield
        finally:
            self._loop = None
            encoding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await encoding

    async def _encode(self) -> None:
        """Each newest frame once, for all viewers."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            frame = self._newest
            if frame is not None and any(viewer.wants for viewer in self._viewers):
                self._shown = await asyncio.to_thread(encoded, frame)
                for viewer in self._viewers:
                    viewer.fresh.set()

    def _refused(self, connection: HTTPConnection) -> bool:
        """Whether a request must not be answered: no token, or another site's page in the viewer's browser.

        Browsers let any page open WebSockets to any host, so that Origin must be ours; and a foreign name that resolves
        to this machine must not pass for us (DNS rebinding), so that Host must be.
        """
        host = connection.headers.get("host", "")
        origin = connection.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return True
        if self.token is None:
            return urlsplit(f"//{host}").hostname not in LOOPBACK
        given = connection.query_params.get("token", "")
        return not secrets.compare_digest(given.encode(), self.token.encode())

    async def _page(self, request: Request) -> Response:
        if self._refused(request):
            return Response("forbidden: open the address that streamsr printed", 403)
        name, kind = PAGE[request.url.path]
        content = (Path(__file__).parent / "page" / name).read_text(encoding="utf-8")
        content = content.replace("@TOKEN@", f"?token={self.token}" if self.token else "")
        content = content.replace("@CAMERA@", "yes" if self._feed is not None else "no")
        return Response(content, media_type=kind, headers=HEADERS)

    async def _view(self, link: WebSocket) -> None:
        """Pictures and numbers to one browser."""
        if self._refused(link) or len(self._viewers) >= MAX_VIEWERS:
            await link.close()
            return
        await link.accept()
        viewer = _Viewer()
        self._viewers.add(viewer)
        self._wake.set()  # show the last picture at once, also of a source that stands still
        tasks = [asyncio.create_task(work) for work in
                 (self._send_pictures(link, viewer), self._send_numbers(link), self._listen(link, viewer))]  # fmt: skip
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._viewers.discard(viewer)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_pictures(self, link: WebSocket, viewer: _Viewer) -> None:
        while True:
            await viewer.fresh.wait()
            viewer.fresh.clear()
            if viewer.wants:
                await link.send_bytes(self._shown)

    async def _send_numbers(self, link: WebSocket) -> None:
        sent = self._written
        while True:
            ages = [age_s for number, age_s in list(self._ages) if number > sent]
            sent = self._written
            await link.send_json(self._numbers(ages))
            await asyncio.sleep(STATS_EVERY_S)

    def _numbers(self, ages: list[float]) -> dict[str, Any]:
        record = self._record
        live = None if record.budget_s is None else record.snapshot().live
        return {
            "state": self._state(),
            "lines": self._overlay.lines(),
            "frames": record.frames,
            "budget_ms": None if record.budget_s is None else record.budget_s * 1e3,
            "share": None if live is None else live.pixel_share,
            "ages_ms": [round(age * 1e3, 1) for age in ages],
        }

    async def _listen(self, link: WebSocket, viewer: _Viewer) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                viewer.wants = await link.receive_text() != "stop"
                self._wake.set()

    async def _camera(self, link: WebSocket) -> None:
        """Pictures from one browser, each answered so that the next is sent."""
        feed = self._feed
        if self._refused(link) or feed is None or self._camera_taken:
            await link.close()
            return
        await link.accept()
        self._camera_taken = True
        try:
            while True:
                image = await asyncio.to_thread(decoded, await link.receive_bytes())
                if image is None or not feed.put(_fitting(image, feed)):
                    break
                await link.send_text("next")
            await link.close()
        except WebSocketDisconnect:
            pass
        finally:
            self._camera_taken = False


def encoded(frame: Frame) -> bytes:
    """For the page: the length of the first JPEG, the picture before upscaling as JPEG, then after."""
    after = _jpeg(frame.rgb)
    before = _jpeg(frame.lr) if frame.lr is not None else after
    return struct.pack("<I", len(before)) + before + after


def _jpeg(rgb: Image) -> bytes:
    _, content = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return content.tobytes()


def decoded(content: bytes) -> Image | None:
    """A JPEG from a browser as RGB; None for anything else, or one that is too large."""
    size = _jpeg_size(content)
    if size is None or min(size) < 1 or size[0] > MAX_CAMERA[0] or size[1] > MAX_CAMERA[1]:
        return None
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if bgr is None else np.ascontiguousarray(bgr[..., ::-1], np.uint8)


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """(width, height) from the header, before anything is allocated for it. ITU-T T.81, B.2.2."""
    at = 2
    if content[:2] != b"\xff\xd8":
        return None
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        at += 2 + length
    return None


def _fitting(image: Image, feed: FeedSource) -> Image:
    """A camera that is turned changes its size; the stream's stays."""
    size = feed.size
    if size is None or image.shape[1::-1] == size:
        return image
    from streamsr.upscaler import resized

    return resized(image, size)
