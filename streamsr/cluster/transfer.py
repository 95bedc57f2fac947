"""File transfer and progress for workers without a shared disk."""

import hashlib
import io
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xlsr_model import system

BLOCK = 1 << 20
"""Bytes of a file that travel at once."""

BLOCKS_KEPT = 8
"""Of a file that is read: players' files keep sound and picture some hundred kilobytes apart."""

SAMPLES, SAMPLE_BYTES = 16, 4096


def sampled_digest(path: Path) -> str:
    """BLAKE2b of a file's size and of pieces spread over it: whether two nodes see the same file.
    Raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(str(size).encode())
        for i in range(SAMPLES):
            file.seek(size * i // SAMPLES)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


class FileServer:
    """An actor on the driver's machine: serves blocks of its files to nodes, and keeps what they
    report of their progress."""

    def __init__(self) -> None:
        self._frames: dict[str, int] = {}

    def read(self, path: str, block: int) -> bytes:
        """The block of this number; shorter at the end of the file."""
        with open(path, "rb") as file:
            file.seek(block * BLOCK)
            return file.read(BLOCK)

    def write(self, path: str, block: int, content: bytes) -> None:
        """Write a block of a file; the first one creates it."""
        flags = os.O_WRONLY | system.NO_FOLLOW | (0 if block else os.O_CREAT | os.O_TRUNC)
        with open(system.open_file(path, flags, 0o666), "wb") as file:
            file.seek(block * BLOCK)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def report(self, key: str, frames: int) -> None:
        """Note that so many frames of this attempt are done; 0 when it begins."""
        self._frames[key] = frames

    def progress(self, forget: list[str]) -> dict[str, int]:
        """Return the frames of all reported attempts by key, without those to ``forget``."""
        for key in forget:
            self._frames.pop(key, None)
        return dict(self._frames)


class RemoteFile(io.RawIOBase):
    """A file read in blocks that ``fetch(number)`` brings; a few are kept. For one thread at a
    time."""

    def __init__(self, name: str, size: int, fetch: Callable[[int], bytes]) -> None:
        self.name = name
        self._size, self._fetch = size, fetch
        self._position = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def readinto(
        self, buffer: Any
    ) -> int:  # Any: typeshed's WriteableBuffer exists for type checkers only
        number, start = divmod(self._position, BLOCK)
        if self._position >= self._size:
            return 0
        if number not in self._kept:
            self._kept[number] = self._fetch(number)
            if len(self._kept) > BLOCKS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        part = self._kept[number][start : start + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)
