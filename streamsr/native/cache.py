"""Keeps small files in the user's cache directory, where they may vanish, be damaged or be written
by two processes at once.

What is read back is code that will run, or decides whether code is trusted. So this module alone
judges whether another user could have written a file.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from xlsr_model import system
from xlsr_model.files import Output

MOST_LINKS = 40
"""Symbolic links followed on the way to one file, as in Linux."""


def folder() -> Path | None:
    """The folder of the files, whether or not it exists; None where this user has none (no HOME, no
    passwd entry)."""
    try:
        path = Path(platformdirs.user_cache_dir("streamsr"))
    except (RuntimeError, KeyError, OSError):
        return None
    return path if path.is_absolute() else None


def private_folder(name: str = "") -> Path | None:
    """The folder, or the one of this name in it, made if it is missing; None where that fails or
    another user could write to it."""
    top = folder()
    if top is None:
        return None
    path = top / name
    try:
        # Folders above too, which mkdir(parents=True) would make as generous as the umask.
        missing = [place for place in (path, *path.parents) if not place.exists()]
        for place in reversed(missing):
            place.mkdir(mode=0o700, exist_ok=True)
    except OSError:  # no space, no permission, or something else of that name
        return None
    return path if is_private(path) else None


def is_private(path: Path) -> bool:
    """Whether only this user, or root, could have written this file or folder.

    The rule is that of OpenSSH's StrictModes: it belongs to this user or root, and nobody else may
    write to it, to any folder above it or to any link on the way. A folder above may let all users
    make files if it is sticky, as /tmp is: what is ours in it stays ours. On Windows the answer is
    yes: the cache is in the user's own profile.
    """
    if not hasattr(os, "getuid"):
        return True
    try:
        steps = list(_steps(path))
    except OSError:
        return False
    for step, status in steps:
        if status.st_uid not in (os.getuid(), 0):
            return False
        sticky = (
            step != steps[-1][0] and stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        )
        if not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o022 and not sticky:
            return False
    return True


def is_private_tree(path: Path) -> bool:
    """Whether `is_private` holds for a folder and all files and folders in it, none of them a link.

    Files that their group could write to, as some umasks make them, are accepted where nobody else
    can enter the folder.
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
    """Read what was stored under ``name``; None if that is missing, damaged or could be another
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
    """Keep ``body`` under ``name`` where that is possible. Readers see the old file or the whole
    new one."""
    top = private_folder()
    if top is None:
        return
    # A full or read-only disk costs the next start some time, nothing else.
    with contextlib.suppress(OSError), Output(top / name, overwrite=True, shared=True) as output:
        system.set_mode(output.fd, 0o600)
        output.write(hashlib.sha256(body).digest() + body)
        output.publish()


def _steps(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """List every folder and link on the way to ``path``, as the system follows them, and last the
    file itself. Raises OSError."""
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
