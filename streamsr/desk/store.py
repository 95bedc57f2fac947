"""What the desk keeps on the disk: its queue, its token, and what was dropped into its page."""

import errno
import json
import os
import shutil
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from streamsr.desk.queue import Jobs, job_from
from streamsr.errors import SinkError, reason_of
from streamsr.web.token import TOKEN_LETTERS, new_token
from xlsr_model import system
from xlsr_model.files import Output, write_file

FORMAT = 1
QUEUE, TOKEN, DROPPED, LOCK, WORK = "queue.json", "token", "dropped", "lock", "work"

LARGEST_QUEUE = 64 << 20
"""Bytes of the file: some 100,000 jobs."""

KEPT_S = 24 * 3600.0
"""How long a dropped file is kept that no job asks for."""


class Store:
    """A folder of the desk's own. A context manager that holds a lock: two programs cannot share a
    queue. Entering raises SinkError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dropped = folder / DROPPED
        self._lock = -1

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.dropped.mkdir(exist_ok=True)
            self._lock = _opened(self.folder / LOCK)
            system.lock(self._lock)
        except BlockingIOError:
            self.__exit__(None, None, None)
            raise SinkError(f"{self.folder}: another run is working with this queue") from None
        except OSError as error:
            self.__exit__(None, None, None)
            raise SinkError(f"{self.folder}: {reason_of(error)}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        fd, self._lock = self._lock, -1
        if fd >= 0:
            os.close(fd)

    def work_lock(self) -> int | None:
        """A file handle whose lock says that a job is being worked on, to be inherited by its
        process; None while the process of an earlier program still has it. Raises OSError."""
        fd = _opened(self.folder / WORK)
        try:
            system.lock(fd)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def token(self) -> str:
        """The page's token, the same at each start, so that a page that was left open goes on.
        Raises SinkError."""
        path = self.folder / TOKEN
        try:
            with open(system.open_file(path, _READ), encoding="ascii") as file:
                token = file.read(100)
                ours = os.fstat(file.fileno())
            if (
                stat.S_ISREG(ours.st_mode)
                and system.is_secret(ours)
                and len(token) >= 20
                and set(token) <= TOKEN_LETTERS
            ):
                return token
        except (OSError, ValueError):  # there is none, or none of ours
            pass
        token = new_token()
        try:
            with suppress(FileNotFoundError):
                path.unlink()
            with Output(path) as output:
                system.set_mode(output.fd, 0o600)
                output.write(token.encode())
                output.publish()
        except OSError as error:
            raise SinkError(f"{path}: {reason_of(error)}") from error
        return token

    def read(self) -> tuple[Jobs, int]:
        """The queue and the number of the next job. Raises SinkError for a damaged one."""
        path = self.folder / QUEUE
        try:
            with open(system.open_file(path, _READ), "rb") as file:
                content = file.read(LARGEST_QUEUE + 1)
        except FileNotFoundError:
            return (), 1
        except OSError as error:
            raise SinkError(f"{path}: {reason_of(error)}") from error
        try:
            found = json.loads(content)
            if found["format"] != FORMAT or type(found["next"]) is not int:
                raise ValueError("another format")
            jobs = tuple(job_from(entry) for entry in found["jobs"])
            if len({job.number for job in jobs} | {found["next"]}) != len(jobs) + 1:
                raise ValueError("a number twice")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise SinkError(
                f"{path}: damaged, or of another version; move it to start with an empty queue"
            ) from None
        return jobs, found["next"]

    def write(self, jobs: Jobs, next_number: int) -> None:
        """Keep the queue. Raises SinkError, and what was kept before is still there."""
        path = self.folder / QUEUE
        content = {"format": FORMAT, "next": next_number, "jobs": [job.json() for job in jobs]}
        try:
            write_file(path, json.dumps(content).encode(), overwrite=True)
        except OSError as error:
            raise SinkError(f"{path}: {reason_of(error)}") from error

    def forget(self, source: Path) -> None:
        """Remove a dropped file."""
        folder = source.parent
        if folder.parent == self.dropped:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, jobs: Jobs, *, now_s: float | None = None) -> None:
        """Remove dropped files that no job asks for, once they are KEPT_S old."""
        asked = {Path(job.source).parent for job in jobs if job.ours}
        limit_s = (time.time() if now_s is None else now_s) - KEPT_S
        for folder in _inside(self.dropped):
            with suppress(OSError):
                if folder not in asked and folder.lstat().st_mtime < limit_s:
                    shutil.rmtree(folder, ignore_errors=True)


_READ = os.O_RDONLY | system.NO_FOLLOW | system.NO_WAIT


def _opened(path: Path) -> int:
    """A file to be locked. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | system.NO_FOLLOW | system.NO_WAIT
    fd = system.open_file(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EEXIST, f"its {path.name} is not a regular file")
    return fd


def _inside(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return ()
