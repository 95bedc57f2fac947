"""The desk's ASGI application: its page, its interface, and the work behind them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamsr.desk.api import Api
from streamsr.desk.routes import ROUTES
from streamsr.gate import said_once
from streamsr.web.door import HEADERS
from streamsr.web.files import PAGE as SHARED
from streamsr.web.files import page_text

log = logging.getLogger("streamsr")

HERE = Path(__file__).parent / "page"

PAGE = {
    "/": (HERE / "index.html", "text/html"),
    "/desk.js": (HERE / "desk.js", "text/javascript"),
    "/choose.js": (HERE / "choose.js", "text/javascript"),
    "/play.js": (HERE / "play.js", "text/javascript"),
    "/desk.css": (HERE / "desk.css", "text/css"),
    **SHARED,
}
"""All files that are served. A request's path is never used as a file's path."""

Work = Callable[[], Coroutine[Any, Any, None]]  # Any: what coroutines do not use here


def desk_app(api: Api, *, token: str, works: Sequence[Work]) -> Starlette:
    """The application, for behind a `streamsr.web.door.Door`; ``works`` go on while it is
    served."""

    async def page(request: Request) -> Response:
        path, kind = PAGE[request.scope["path"]]
        return Response(page_text(path, token=token), media_type=kind, headers=HEADERS)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(said_once())
        async with working(works):
            yield

    return Starlette(
        routes=[
            *(Route(path, page) for path in PAGE),
            *(Route(r.path, api.handler(r.name), methods=[r.method]) for r in ROUTES),
        ],
        lifespan=lifespan,
    )


@contextlib.asynccontextmanager
async def working(works: Sequence[Work]) -> AsyncIterator[None]:
    """Have all of these going while the block lasts."""
    tasks = [asyncio.create_task(work()) for work in works]
    for task in tasks:
        task.add_done_callback(_told)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _told(task: "asyncio.Task[None]") -> None:
    """Say why a part of the desk has stopped, which none should."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a part of the desk has stopped: %s: %s", type(error).__name__, error)
