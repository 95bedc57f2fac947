"""The web preview's ASGI application: the page, its viewers, and one browser's camera.

All of it runs in the server's thread.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from streamsr.frame import Frame
from streamsr.gate import said_once
from streamsr.picture.resize import resized
from streamsr.preview.web.jpeg import decoded, encoded
from streamsr.sources.feed import FeedSource
from streamsr.web.door import HEADERS
from streamsr.web.files import PAGE as SHARED
from streamsr.web.files import page_text

MAX_VIEWERS = 8
"""Browsers that may watch at the same time."""

STATS_EVERY_S = 0.5

HERE = Path(__file__).parent / "page"

PAGE = {
    "/": (HERE / "index.html", "text/html"),
    "/page.js": (HERE / "page.js", "text/javascript"),
    "/page.css": (HERE / "page.css", "text/css"),
    **SHARED,
}
"""All files that are served. A request's path is never used as a file's path."""


@dataclass(eq=False)
class _Viewer:
    """A browser that watches. It gets the newest picture once it has taken the last one.

    fresh    set when there may be a picture that it has not got
    counted  set when there are new numbers
    wants    False while its page is hidden
    """

    fresh: asyncio.Event = field(default_factory=asyncio.Event)
    counted: asyncio.Event = field(default_factory=asyncio.Event)
    wants: bool = True


class WebApp:
    """The part of `streamsr.preview.web.sink.WebSink` that runs in the server's event loop.

    token    that the page's own requests have
    newest   gives the frame to show, None before the first
    numbers  gives the numbers to show; asked while somebody watches, once for all
    feed     takes the camera's pictures; None for a page without a camera
    unshown  attribute: why the newest picture is not in the page; empty when it is
    """

    def __init__(
        self,
        *,
        token: str,
        newest: Callable[[], Frame | None],
        numbers: Callable[[], dict[str, Any]],  # Any: JSON
        feed: FeedSource | None,
    ) -> None:
        self._token = token
        self._newest = newest
        self._numbers = numbers
        self._feed = feed
        self.viewers: set[_Viewer] = set()
        self.camera_taken = False
        self.unshown = ""
        self._shown = b""
        self._encoded: Frame | None = None
        self._told = ""
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app = Starlette(
            routes=[
                *(Route(path, self._page) for path in PAGE),
                WebSocketRoute("/view", self._view),
                WebSocketRoute("/camera", self._camera),
            ],
            lifespan=self._lifespan,
        )

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application, for behind a `streamsr.web.door.Door`."""
        await self._app(scope, receive, send)

    def wake(self) -> None:
        """Say that there is a new frame. Any thread may call it at any time."""
        loop = self._loop
        if self.viewers and loop is not None:
            with contextlib.suppress(RuntimeError):  # the server is closing
                loop.call_soon_threadsafe(self._wake.set)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(said_once())
        tasks = [asyncio.create_task(work) for work in (self._encode(), self._count())]
        try:
            yield
        finally:
            self._loop = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _encode(self) -> None:
        """Encode each newest frame once, for all viewers."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            frame = self._newest()
            if frame is None or not any(viewer.wants for viewer in self.viewers):
                continue
            if frame is not self._encoded:
                self._encoded = frame
                try:
                    self._shown = await asyncio.to_thread(encoded, frame)
                except (ValueError, MemoryError) as error:  # the next one may be smaller
                    self.unshown = str(error) or "not enough memory for a picture"
                    continue
                self.unshown = ""
            for viewer in self.viewers:
                viewer.fresh.set()

    async def _count(self) -> None:
        """Write the numbers down, for all viewers."""
        while True:
            if self.viewers:
                self._told = json.dumps(self._numbers())
            for viewer in self.viewers:
                viewer.counted.set()
            await asyncio.sleep(STATS_EVERY_S)

    async def _page(self, request: Request) -> Response:
        path, kind = PAGE[request.scope["path"]]
        camera = "yes" if self._feed is not None else "no"
        content = page_text(path, token=self._token, camera=camera)
        return Response(content, media_type=kind, headers=HEADERS)

    async def _view(self, link: WebSocket) -> None:
        """Send pictures and numbers to one browser."""
        if len(self.viewers) >= MAX_VIEWERS:
            await link.close()
            return
        viewer = _Viewer()
        self.viewers.add(viewer)  # before anything is awaited, so that the limit holds
        tasks: list[asyncio.Task[None]] = []
        try:
            await link.accept()
            self._wake.set()  # show the last picture at once, also while no new one comes
            work = (
                self._send_pictures(link, viewer),
                self._send_numbers(link, viewer),
                self._listen(link, viewer),
            )
            tasks = [asyncio.create_task(each) for each in work]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.viewers.discard(viewer)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_pictures(self, link: WebSocket, viewer: _Viewer) -> None:
        sent = b""
        while True:
            await viewer.fresh.wait()
            viewer.fresh.clear()
            if viewer.wants and sent is not self._shown:  # not again, however often it asks
                sent = self._shown
                await link.send_bytes(sent)

    async def _send_numbers(self, link: WebSocket, viewer: _Viewer) -> None:
        while True:
            await viewer.counted.wait()
            viewer.counted.clear()
            await link.send_text(self._told)

    async def _listen(self, link: WebSocket, viewer: _Viewer) -> None:
        """Take the page's messages until it closes."""
        while (message := await link.receive())["type"] == "websocket.receive":
            viewer.wants = message.get("text") != "stop"
            self._wake.set()

    async def _camera(self, link: WebSocket) -> None:
        """Take pictures from one browser. Each is answered, so that it sends the next; anything but
        a picture ends the connection."""
        if self._feed is None or self.camera_taken:
            await link.close()
            return
        self.camera_taken = True
        try:
            await link.accept()
            while (message := await link.receive())["type"] == "websocket.receive":
                image = await asyncio.to_thread(decoded, message.get("bytes") or b"")
                # A camera that is turned changes its size, the stream must not.
                if image is None or not self._feed.put(
                    resized(image, self._feed.size or image.shape[1::-1])
                ):
                    await link.close()
                    break
                await link.send_text("next")
        finally:
            self.camera_taken = False
