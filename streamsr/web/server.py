"""An HTTP server in a thread of its own, behind the gate and the door. HTTP and WebSockets come to
one port."""

import asyncio
import socket
import threading
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from streamsr.errors import SinkError, reason_of, shortened
from streamsr.gate import BACKLOG, LOOPBACK, Gate, listening, queued
from streamsr.web.door import Door

LONGEST_MESSAGE = 2 << 20
"""Bytes of a message from a browser, which is a picture of its camera."""

QUIET = "critical"
"""What strangers send is no news: uvicorn would log each request that is none."""


class Server:
    """Serves an ASGI application, its lifespan included, while it is entered.

    host   address to listen on. A visitor needs the token in ``url``, also from this machine, which
           may have other users
    port   0 for any free one
    token  that a request must have

    Entering raises SinkError when the port cannot be used. Entering and leaving twice is harmless.
    """

    def __init__(self, inside: ASGIApp, *, host: str, port: int, token: str) -> None:
        self._host = host.removeprefix("[").removesuffix("]")
        self._port = port
        self._token = token
        self._app = Door(inside, token=token, local=self._host in LOOPBACK)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The page's address: one that other machines can reach where all of them may."""
        host = _own_address() if self._host in ("0.0.0.0", "::") else self._host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._port}/?token={self._token}"

    @property
    def serves(self) -> bool:
        """Whether it is entered."""
        return self._thread is not None

    def __enter__(self) -> Self:
        if self._thread is not None:
            return self
        listens = self._listening()
        self._port = listens.getsockname()[1]
        gate = Gate()

        def protocol(**made: Any) -> asyncio.Protocol:  # Any: uvicorn's own
            def passed(link: asyncio.Transport, content: bytes) -> None:
                served = H11Protocol(**made)
                link.set_protocol(served)
                served.connection_made(link)
                served.data_received(content)

            return gate.connection(passed)

        self._server = _Gated(
            uvicorn.Config(
                self._app,
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


class _Gated(uvicorn.Server):
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
