"""Servers and senders on loopback addresses, which the tests start and stop themselves."""

import functools
import http.server
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import Helper, running
from tests.support.until import PATIENCE_S


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def needs_ffmpeg() -> str:
    """The path of Debian's ffmpeg; the test is skipped where there is none."""
    found = shutil.which("ffmpeg")
    if found is None:
        pytest.skip("ffmpeg is not installed")
    return found


@contextmanager
def ffmpeg(*words: str) -> Iterator[Helper]:
    """Debian's ffmpeg with these arguments, killed at the end of the block."""
    with running(
        [needs_ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin", *words]
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def listening(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Whether a server has come up there: its port is taken. (One that takes a single viewer must
    not be tried.)"""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """The address of a web server that gives what is in this folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


PICTURES = ("-re", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=25")
"""A moving picture at its own rate, as input arguments."""

H264 = (
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-g",
    "10",
    "-pix_fmt",
    "yuv420p",
)
"""An encoder without delay that can be joined every 0.4 s."""
