"""Reads bytes from a stream whose sender may pause, with waits that another thread can end."""

import io
import math
import os
import socket
import time
from typing import BinaryIO

from streamsr import interrupt
from xlsr_model import system

CHUNK = 1 << 16
"""Bytes that a pipe holds on Linux: one call reads all of them."""

LOOK_MS = 50
"""Milliseconds between two looks of a wait at whether it is to stop. Costs nothing while bytes
come."""


class Stopped(Exception):  # noqa: N818 - a notice, not a failure
    """Raised to the reader: `ByteStream.stop` was called."""


class ByteStream:
    """Reads ``stream``, which the caller closes and which nobody else reads meanwhile. For one
    thread.

    A pipe, a socket, a terminal or a file opened by Python is read by its descriptor, after the
    bytes in Python's buffer, and only once it has bytes: no lock of the stream is held while the
    sender pauses. Any other object (BytesIO, gzip) is read through its own methods; a wait in them
    ends only with its bytes.

    Reading raises OSError, Stopped after `stop`, and TimeoutError at ``end_s`` of time.monotonic();
    bytes that came before are kept for the next call of `line`.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._stopped = False
        self._held = b""
        self._number = _descriptor(stream)
        self._begun = False

    def stop(self) -> None:
        """End this wait and all later ones. Any thread may call it, more than once."""
        self._stopped = True

    @property
    def stopped(self) -> bool:
        return self._stopped

    def line(self, limit: int, *, end_s: float = math.inf) -> bytes:
        """The next line with its line end; its first ``limit`` bytes where it is longer, what is
        left where the stream ends before."""
        self._begin()
        if self._number is None:
            self._go_on(end_s)
            return self._stream.readline(limit)
        while b"\n" not in self._held[:limit] and len(self._held) < limit:
            self._wait(end_s)
            try:
                more = os.read(self._number, CHUNK)
            except BlockingIOError:  # another process took it first
                continue
            if not more:
                break
            self._held += more
        end = self._held.find(b"\n", 0, limit) + 1 or limit
        line = self._held[:end]
        self._held = self._held[end:]
        return line

    def fill(self, view: memoryview) -> int:
        """Read into ``view`` (bytes) until it is full or the stream ends. Returns how many bytes it
        has."""
        self._begin()
        at = min(len(self._held), len(view))
        view[:at], self._held = self._held[:at], self._held[at:]
        while at < len(view):
            if self._number is None:
                self._go_on()
                more = self._stream.read(len(view) - at)
                view[at : at + len(more)] = more
                count = len(more)
            else:
                self._wait()
                try:
                    count = system.read_into(self._number, view[at:])
                except BlockingIOError:  # as above
                    continue
            if not count:
                break
            at += count
        return at

    def _begin(self) -> None:
        """Prepare reading, before the first byte."""
        if self._number is not None and not self._begun:
            self._held = _held_by_python(self._stream, self._number)
        self._begun = True

    def _wait(self, end_s: float = math.inf) -> None:
        """Wait until there are bytes to read, or the end of the stream."""
        assert self._number is not None
        self._go_on(end_s)
        while not system.has_bytes(self._number, LOOK_MS):
            self._go_on(end_s)

    def _go_on(self, end_s: float = math.inf) -> None:
        interrupt.check()
        if self._stopped:
            raise Stopped
        if time.monotonic() >= end_s:
            raise TimeoutError


def _descriptor(stream: BinaryIO) -> int | None:
    """The descriptor of a stream that is read by it; None for one that is read by its methods.

    A gzip.GzipFile has a descriptor too, but of the compressed file: so the raw stream is looked
    at.
    """
    if not system.READS_BY_DESCRIPTOR:
        return None
    raw = stream.raw if isinstance(stream, io.BufferedReader) else stream
    return raw.fileno() if isinstance(raw, io.FileIO | socket.SocketIO) else None


def _held_by_python(stream: BinaryIO, number: int) -> bytes:
    """The bytes in Python's buffer, which an earlier reader left there; without waiting for
    more."""
    if not isinstance(stream, io.BufferedReader):
        return b""
    with system.not_waiting(number):
        try:
            return stream.read(len(stream.peek()))
        except BlockingIOError:
            return b""
