"""Clients that mean no good, without a token: silent, half-sent, slow, flooding and lying ones."""

import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.support.until import PATIENCE_S

HOST = b"Host: 127.0.0.1\r\n"
UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)

KINDS: dict[str, bytes] = {
    "silent": b"",
    "half a line": b"GET /met",
    "half a head": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: ",
    "no token": b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "wrong token": b"GET /?token=x HTTP/1.1\r\n" + HOST + b"\r\n",
    "another host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "another site": b"GET / HTTP/1.1\r\n" + HOST + b"Origin: http://evil.example\r\n\r\n",
    "many requests at once": (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 500,
    "a huge header": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 2_000_000,
    "many headers": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: a\r\n" * 200_000,
    "a body without end": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9999999999\r\n\r\n",
    "a chunked body": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n",
    "a view": b"GET /view HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\n",
    "a camera": b"GET /camera?token=x HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\n" + b"\x82\xff" * 99,
    "a view of another site": b"GET /view HTTP/1.1\r\n"
    + HOST
    + b"Origin: http://evil.example\r\n"
    + UPGRADE
    + b"\r\n",
    "half an upgrade": b"GET /view HTTP/1.0\r\n" + HOST + b"Upgrade: websocket\r\n\r\n",
    "no key": b"GET /view HTTP/1.1\r\n"
    + HOST
    + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "encryption": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "the next protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
    "no text": bytes(range(128, 256)) * 20 + b"\r\n\r\n",
    "line ends": b"\r\n" * 5000,
}
"""What each of them sends before it falls silent."""


def sent(link: socket.socket, content: bytes) -> None:
    """Send what the server takes, and never read."""
    link.settimeout(2)
    with suppress(OSError):
        link.sendall(content)


def hung_up(link: socket.socket) -> bool:
    """Whether the server has ended this connection."""
    link.settimeout(0.01)
    try:
        while link.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def rude(link: socket.socket) -> None:
    """Close with a reset instead of a goodbye."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


@contextmanager
def crowd(port: int, count: int, *, seed: int = 1) -> Iterator[list[socket.socket]]:
    """So many connections at once, each of a kind by chance, that stay."""
    rng = random.Random(seed)
    with ExitStack() as stack:
        links = []
        for _ in range(count):
            link = stack.enter_context(socket.socket())
            link.settimeout(PATIENCE_S)
            link.connect(("127.0.0.1", port))
            sent(link, rng.choice(list(KINDS.values())))
            links.append(link)
        yield links


@contextmanager
def flood(port: int, *, seed: int = 1) -> Iterator[Callable[[], int]]:
    """New connections one after the other, in two threads, while the block lasts; gives how many
    there were. Half of them are kept until a hundred are open."""
    ended = threading.Event()
    made = [0, 0]

    def work(number: int) -> None:
        rng = random.Random(seed + number)
        kept: list[socket.socket] = []
        while not ended.is_set():
            with suppress(OSError):
                link = socket.create_connection(("127.0.0.1", port), timeout=2)
                sent(link, rng.choice(list(KINDS.values())))
                made[number] += 1
                kept.append(link)
                if rng.random() < 0.5 or len(kept) > 50:
                    rude(kept.pop(0))
        for link in kept:
            link.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(made)
    finally:
        ended.set()
        for thread in threads:
            thread.join(PATIENCE_S)
