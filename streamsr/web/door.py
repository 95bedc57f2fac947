"""Who may see a page of this machine: whoever has its token, and no other site's page."""

import secrets
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from streamsr.gate import is_foreign

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the token is in the address
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of everything that is answered to whoever has the token."""

REFUSAL = "forbidden: open the address that streamsr printed"


class Door:
    """An ASGI application that passes on what has the token, and answers all else itself, whatever
    its path and headers.

    token  as ``?token=`` or ``Authorization: Bearer``
    local  the server listens on a loopback address only
    """

    def __init__(self, inside: ASGIApp, *, token: str, local: bool) -> None:
        self._inside = inside
        self._token = token
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._refused(HTTPConnection(scope)):
            # Not kept open: a stranger gets one answer.
            refusal = Response(REFUSAL, 403, headers={"Connection": "close"})
            await refusal(scope, receive, send)
        elif scope["type"] == "websocket" and self._refused(HTTPConnection(scope)):
            await WebSocket(scope, receive, send).close()
        else:
            await self._inside(scope, receive, send)

    def _refused(self, connection: HTTPConnection) -> bool:
        """Whether a request must not be answered: it has no token, or comes from another site's
        page in the viewer's browser.

        Browsers let any page open WebSockets to any host, so Origin must be this host. A foreign
        name may resolve to this machine, so Host must be a loopback name where no other machine
        can come.
        """
        host = connection.headers.get("host", "")
        origin = connection.headers.get("origin")
        try:
            foreign = origin is not None and urlsplit(origin).netloc != host
        except ValueError:  # no browser sends such a name
            return True
        if foreign or (self._local and is_foreign(host)):
            return True
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = connection.query_params.get("token", "")
        return not secrets.compare_digest(given.encode(), self._token.encode())
