"""Keeps strangers' connections from holding a server up: silent, half-sent and flooding ones.

A server whose protocol is a `Gate`'s hears of a connection only once the head of its first request
is there. Until then it costs a place among few, for a short time, whoever it is.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit
from weakref import WeakSet

log = logging.getLogger("streamsr")

HEAD_S = 5.0
"""Longest wait for the head of a request; a browser sends it at once."""

HEAD_BYTES = 32 << 10
"""Longest head: cookies of other servers on this machine come along."""

PLACES = 16
"""Connections that may wait for their head at a time. A browser opens six at once."""

BACKLOG = 8
"""Connections that asyncio accepts before any of them is looked at, each with a file handle. It
takes that number for the kernel's queue too: see `queued`."""

QUEUE = 128
"""Connections that the kernel holds for us; beyond that a client tries again after a second."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Names of this machine that reach no other."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there, for IPv4 too where ``host`` is ``::``. Raises OSError, and
    OverflowError or ValueError for what is no port or name."""
    try:
        return socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=BACKLOG,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno is None:
            raise
        # Python adds the address, which the caller names.
        raise OSError(error.errno, os.strerror(error.errno)) from error


def queued(listens: socket.socket) -> None:
    """Have the kernel hold QUEUE connections, once asyncio serves the socket."""
    listens.listen(QUEUE)


def is_foreign(host: str) -> bool:
    """Whether a request's Host is another machine's name: one that a stranger's page gave to this
    machine's address (DNS rebinding)."""
    try:
        return urlsplit(f"//{host}").hostname not in LOOPBACK
    except ValueError:  # no browser sends such a name
        return True


class Passed(Protocol):
    """Takes a connection over, with what it has sent: a whole head, and perhaps more."""

    def __call__(self, link: asyncio.Transport, content: bytes, /) -> None: ...


class Gate:
    """The connections of one server, above all those that have not yet sent a whole head. For the
    thread of its event loop.

    When there is no place left the one that has waited longest goes: who means it has sent its
    head by then.
    """

    def __init__(self) -> None:
        self.waiting: dict[_Waiting, None] = {}  # in the order of their coming
        self.links: WeakSet[asyncio.Transport] = WeakSet()
        self.closed = False

    def connection(self, passed: Passed) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _Waiting(self, passed)

    async def close(self, listens: socket.socket) -> None:
        """Take nobody any more, and hang up on all that wait for their head. Before the server
        closes: asyncio would leave open what it has just accepted."""
        asyncio.get_running_loop().remove_reader(listens)
        self.closed = True
        for waiting in list(self.waiting):
            waiting.hang_up()
        await _settled()

    async def end(self) -> None:
        """Hang up on everybody, also who does not read what was sent, before the event loop
        ends."""
        for link in list(self.links):
            link.abort()
        await _settled()


async def _settled() -> None:
    """Let asyncio finish with connections: accepted, made, lost."""
    for _ in range(3):
        await asyncio.sleep(0)


class _Waiting(asyncio.Protocol):
    """A connection until its first head is there."""

    def __init__(self, gate: Gate, passed: Passed) -> None:
        self._gate = gate
        self._passed = passed
        self._content = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._link = transport
        gate = self._gate
        gate.links.add(transport)
        self._timer = asyncio.get_running_loop().call_later(HEAD_S, self.hang_up)
        if gate.closed:
            self.hang_up()
            return
        while len(gate.waiting) >= PLACES:
            next(iter(gate.waiting)).hang_up()
        gate.waiting[self] = None

    def data_received(self, data: bytes) -> None:
        if self not in self._gate.waiting:  # hung up on
            return
        self._content += data
        end = self._content.find(b"\r\n\r\n")
        if end > HEAD_BYTES or (end < 0 and len(self._content) > HEAD_BYTES):
            self.hang_up()
        elif end >= 0:
            self._leave()
            self._passed(self._link, self._content)

    def connection_lost(self, _error: Exception | None) -> None:
        self._leave()

    def hang_up(self) -> None:
        """Give the place and the file handle back, without an answer."""
        self._leave()
        self._link.abort()

    def _leave(self) -> None:
        self._gate.waiting.pop(self, None)
        self._timer.cancel()


def said_once() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:  # Any: asyncio's
    """An exception handler for an event loop, which says each thing that fails once: strangers
    could fill a log."""
    said: set[str] = set()

    def failed(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        what = f"{context['message']}: {context.get('exception') or 'no reason'}"
        if context["message"] not in said:
            said.add(context["message"])
            log.warning("the server: %s", what)

    return failed
