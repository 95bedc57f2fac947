"""Protects files while they are read: no output of this process takes their place.

A change of theirs is seen. Standard library only. What is refused is an OSError whose ``strerror``
says why in words.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from xlsr_model import system

_reading: dict[tuple[int, int], int] = {}
"""Device and inode of every file that is protected now, and how often."""


@contextlib.contextmanager
def protected(paths: Iterable[str | os.PathLike[str]]) -> Iterator[None]:
    """Keep every `Output` of this process from taking the place of any of these files.

    Whatever name it has.
    """
    keys = []
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # missing: whoever opens it will say so
            keys.append(_key(os.stat(path)))
    _protect(keys, +1)
    try:
        yield
    finally:
        _protect(keys, -1)


def _protect(keys: Iterable[tuple[int, int]], by: int) -> None:
    for key in keys:
        _reading[key] = _reading.get(key, 0) + by
        if not _reading[key]:
            del _reading[key]


def is_protected(status: os.stat_result) -> bool:
    """Whether this is a file that is read now: nothing may take its place."""
    return _key(status) in _reading


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class Input:
    """A file as it was when this was made: a context manager that protects and watches it.

    ``fd`` is open for reading. Raises OSError when there is no regular file: what comes through a
    pipe cannot be read twice.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.fd = -1
        try:
            fd = system.open_file(self.path, os.O_RDONLY | system.NO_WAIT)
        except ValueError:
            raise OSError(errno.EINVAL, "no file can have this name") from None
        try:
            self._was = os.fstat(fd)
            if stat.S_ISDIR(self._was.st_mode):
                raise IsADirectoryError(errno.EISDIR, "is a directory")
            if not stat.S_ISREG(self._was.st_mode):
                raise OSError(
                    errno.ESPIPE, "is not a file that can be read twice; save it to a disk first"
                )
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd
        _protect([_key(self._was)], +1)

    @property
    def size(self) -> int:
        """In bytes, when it was opened."""
        return self._was.st_size

    def check(self) -> None:
        """Raise OSError when the file was changed or replaced since.

        One that was only deleted is as it was.
        """
        now = os.fstat(self.fd)
        if (now.st_size, now.st_mtime_ns) != (self._was.st_size, self._was.st_mtime_ns):
            raise OSError(errno.ESTALE, "changed while it was read")
        with contextlib.suppress(FileNotFoundError):
            if _key(os.stat(self.path)) != _key(self._was):
                raise OSError(errno.ESTALE, "was replaced while it was read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
            _protect([_key(self._was)], -1)
