"""Small files in the user's cache directory, that may vanish, be damaged or be written by two processes at once.

What is read back is code that will run, so the folder must belong to this user alone.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import platformdirs


def folder() -> Path:
    return Path(platformdirs.user_cache_dir("streamsr"))


def load(name: str) -> bytes | None:
    """What was stored under ``name``, None if that is missing, damaged or not surely this user's."""
    path = folder() / name
    try:
        if not _is_private(path.parent) or not _is_private(path):
            return None
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:32], content[32:]
    return body if hashlib.sha256(body).digest() == digest else None


def store(name: str, body: bytes) -> None:
    """Keep ``body`` under ``name`` if that is possible: readers see the old file or the whole new one."""
    target, temporary = folder() / name, None
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=target.parent)
        with open(descriptor, "wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
        os.replace(temporary, target)
    except OSError:  # a full or read-only disk costs the next start some time, nothing else
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _is_private(path: Path) -> bool:
    """Whether only this user, or root, could have written it. Windows keeps the cache in the user's own profile."""
    if not hasattr(os, "getuid"):
        return True
    status = path.stat()
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & 0o022
