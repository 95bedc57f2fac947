"""Small files in the user's cache directory, that may vanish, be damaged or be written by two
processes at once.

What is read back is code that will run, or decides whether code is trusted. So this module is the
one judge of whether another user could have written a file.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from xlsr_model.files import Output

MOST_LINKS = 40
"""Symbolic links followed on the way to one file, as in Linux."""


def folder() -> Path | None:
    """Where the files are, whether or not it exists; None where this user has no place (no HOME, no
    passwd entry)."""
    try:
        path = Path(platformdirs.user_cache_dir("streamsr"))
    except (RuntimeError, KeyError, OSError):
        return None
    return path if path.is_absolute() else None


def private_folder(name: str = "") -> Path | None:
    """The folder, or one in it, made if it is missing; None where that fails or another user could
    write to it."""
    top = folder()
    if top is None:
        return None
    path = top / name
    try:
        # Folders above too, which mkdir(parents=True) would make as generous as the umask.
        for missing in reversed([place for place in (path, *path.parents) if not place.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
    except OSError:  # no space, no permission, or something else of that name
        return None
    return path if is_private(path) else None


def is_private(path: Path) -> bool:
    """Whether only this user, or root, could have written this file or folder.

    As OpenSSH's StrictModes asks it: it belongs to them, and nobody else may write to it, nor to
    the folder it is in, nor to any folder above or to any link on the way. A folder above may let
    all users make files if it is sticky, as /tmp is: what is ours in it stays ours. Windows keeps
    the cache in the user's own profile.
    """
    if not hasattr(os, "getuid"):
        return True
    try:
        places = list(_places(path))
    except OSError:
        return False
    for place, status in places:
        if status.st_uid not in (os.getuid(), 0):
            return False
        sticky = (
            place != places[-1][0]
            and stat.S_ISDIR(status.st_mode)
            and status.st_mode & stat.S_ISVTX
        )
        if not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o022 and not sticky:
            return False
    return True


def is_private_tree(path: Path) -> bool:
    """Whether that holds for a folder and all that is in it, which has no links.

    Files that their group could write to, as some umasks make them, count where nobody else can
    enter the folder.
    """
    if not is_private(path):
        return False
    if not hasattr(os, "getuid"):
        return True
    forbidden = 0o022 if path.stat().st_mode & 0o077 else 0
    try:
        found = [entry.lstat() for entry in path.rglob("*")]
    except OSError:
        return False
    return all(
        status.st_uid in (os.getuid(), 0)
        and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
        and not status.st_mode & forbidden
        for status in found
    )


def load(name: str) -> bytes | None:
    """What was stored under ``name``, None if that is missing, damaged or not surely this
    user's."""
    top = folder()
    if top is None or not is_private(top / name):
        return None
    try:
        content = (top / name).read_bytes()
    except OSError:
        return None
    digest, body = content[:32], content[32:]
    return body if hashlib.sha256(body).digest() == digest else None


def store(name: str, body: bytes) -> None:
    """Keep ``body`` under ``name`` if that is possible: readers see the old file or the whole new
    one."""
    place = private_folder()
    if place is None:
        return
    # A full or read-only disk costs the next start some time, nothing else.
    with contextlib.suppress(OSError), Output(place / name, overwrite=True, shared=True) as output:
        os.fchmod(output.fd, 0o600)
        output.write(hashlib.sha256(body).digest() + body)
        output.publish()


def _places(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every folder and link on the way to ``path``, as the system follows them, and at last the
    file itself."""
    links, here = 0, Path(path.anchor or "/")
    todo = list(path.absolute().parts[1:])
    yield here, here.lstat()
    while todo:
        part = todo.pop(0)
        if part == "..":
            here = here.parent
            continue
        status = (here / part).lstat()
        yield here / part, status
        if not stat.S_ISLNK(status.st_mode):
            here /= part
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(f"{path}: too many links")
        target = Path(os.readlink(here / part))
        if target.is_absolute():
            here = Path(target.anchor)
            todo[:0] = target.parts[1:]
        else:
            todo[:0] = target.parts
