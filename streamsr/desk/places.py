"""Which files the desk may touch: those in its folders, by where a path really leads."""

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from streamsr.errors import SourceError, reason_of
from streamsr.media.containers import FORMATS
from streamsr.picture.files import is_picture
from xlsr_model import system

FILMS = frozenset(FORMATS) | {
    ".3gp", ".asf", ".divx", ".dv", ".f4v", ".flv", ".gif", ".mpeg", ".mpg", ".mts", ".mxf",
    ".ogm", ".ogv", ".vob", ".wmv", ".y4m",
}  # fmt: skip
"""Endings of the names of films, as people have them; the command takes whatever FFmpeg reads."""

MOST_ENTRIES = 5000
"""Of a folder that are shown."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder has: another folder, or a film or picture of so many bytes."""

    path: Path
    folder: bool
    bytes: int = 0


class Places:
    """The folders that files may be read from. Links count as what they lead to.

    roots  existing folders; SourceError for others
    """

    def __init__(self, roots: Iterable[Path]) -> None:
        self.roots: list[Path] = []
        for root in roots:
            try:
                resolved = root.resolve(strict=True)
            except (OSError, RuntimeError, ValueError) as error:
                raise SourceError(f"{root}: {reason_of(error)}") from error
            if not resolved.is_dir():
                raise SourceError(f"{root}: is not a directory")
            if resolved not in self.roots:
                self.roots.append(resolved)

    def resolved(self, path: str | Path) -> Path:
        """Where an absolute path leads, when that is in one of the folders. Raises SourceError,
        which for paths that lead outside says nothing of what is there."""
        refused = SourceError(f"{path}: is not in a folder of this desk")
        try:
            if not os.path.isabs(path):
                raise refused
            found = Path(os.path.realpath(path))
            if not self._within(found):
                raise refused
            return found.resolve(strict=True)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceError(f"{path}: {reason_of(error)}") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise refused from error

    def opened(self, path: str | Path) -> int:
        """A handle of a regular file in one of the folders, for reading. What is opened is what was
        checked, also where a link changes meanwhile. Raises SourceError."""
        found = self.resolved(path)
        try:
            fd = system.open_file(found, os.O_RDONLY | system.NO_FOLLOW | system.NO_WAIT)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise OSError(errno.EINVAL, "is not a file")
                # A folder above may have become a link after `resolved`.
                if not os.path.samestat(os.fstat(fd), os.stat(self.resolved(found))):
                    raise OSError(errno.ESTALE, "changed meanwhile")
            except BaseException:
                os.close(fd)
                raise
            return fd
        except OSError as error:
            raise SourceError(f"{path}: {reason_of(error)}") from error

    def check(self, path: str | Path) -> None:
        """Raise SourceError as `opened` does."""
        os.close(self.opened(path))

    def entries(self, folder: str | Path) -> list[Entry]:
        """Folders, then films and pictures of a folder, by name; links that lead outside and hidden
        names are left out. Raises SourceError."""
        found = self.resolved(folder)
        entries: list[Entry] = []
        try:
            with os.scandir(found) as scan:
                for item in scan:
                    if len(entries) == MOST_ENTRIES:
                        break
                    if not item.name.startswith(".") and (entry := self._entry(Path(item.path))):
                        entries.append(entry)
        except OSError as error:
            raise SourceError(f"{folder}: {reason_of(error)}") from error
        return sorted(entries, key=lambda entry: (not entry.folder, entry.path.name.casefold()))

    def _entry(self, path: Path) -> Entry | None:
        try:
            status = os.stat(self.resolved(path))
        except (SourceError, OSError, ValueError):
            return None
        if stat.S_ISDIR(status.st_mode):
            return Entry(path, folder=True)
        if stat.S_ISREG(status.st_mode) and is_film(path):
            return Entry(path, folder=False, bytes=status.st_size)
        return None

    def _within(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in self.roots)


def is_film(path: Path) -> bool:
    """Whether a name is one of a film or a picture."""
    return path.suffix.lower() in FILMS or is_picture(path)
