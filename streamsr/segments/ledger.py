"""The finished segments of a long job, kept so that a kill or a power cut at any moment loses at
most one.

A folder beside the output, ``NAME.resume``, holds one file for each finished segment and
``ledger.jsonl``: the first line says what the job is, each further line that a segment is finished.
A line is appended, and fsynced, only after its segment is on the disk under its final name; a last
line that was torn is dropped. The ledger itself appears with its first line whole, so that a folder
without one is not ours, and nothing in it is touched.
"""

import errno
import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Container, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from streamsr.errors import SinkError, reason_of
from streamsr.segments.settings import Settings, differences, digest_of
from xlsr_model import system
from xlsr_model.files import NAME_BYTES, fitting_name, is_unfinished, sync_folder, write_file

log = logging.getLogger("streamsr")

FORMAT = 1
FOLDER_SUFFIX = ".resume"
LEDGER = "ledger.jsonl"
ELSEWHERE = "move it, or name another output"


def file_digest(path: Path) -> str:
    """BLAKE2b of the contents. Raises OSError."""
    with open(path, "rb") as file:
        return digest_of(file)


_OURS = re.compile(r"\d{6,}\.segment|\d{6,}\.[0-9a-f]{32}\.made|here-[0-9a-f]{32}", re.ASCII)
"""Names of finished segments, of segments from a cluster's workers, and of the file by which these
recognize the folder."""


def is_ours(name: str) -> bool:
    """Whether a file of this name in a ledger's folder was made by one of its runs."""
    return bool(_OURS.fullmatch(name)) or is_unfinished(name)


class Ledger:
    """The ledger of one output. A context manager that holds a lock, so that two runs cannot mix.

    settings  what the job is. Entering raises SinkError when a ledger with other settings is there
              already.

    ``finished`` maps segment numbers to their records once it is entered. Errors of the disk are
    SinkErrors.
    """

    def __init__(self, target: Path, settings: Settings) -> None:
        self.target = target
        self.folder = self.folder_of(target)
        self.finished: dict[int, dict[str, Any]] = {}
        self.joined: dict[str, Any] | None = None
        # As they will be read back: tuples become lists.
        self._settings: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **settings}))
        self._file: IO[bytes] | None = None

    @staticmethod
    def folder_of(target: Path) -> Path:
        """The folder for the unfinished work of an output."""
        name = target.name + FOLDER_SUFFIX
        if len(os.fsencode(name)) > NAME_BYTES:  # cut, and told from others that begin alike
            digest = hashlib.blake2b(os.fsencode(target.name), digest_size=6).hexdigest()
            name = fitting_name(target.name, f"~{digest}{FOLDER_SUFFIX}")
        return target.with_name(name)

    def __enter__(self) -> Self:
        try:
            self._file = self._opened()
            self._read(self._file)
        except OSError as error:
            self.__exit__(None, None, None)
            raise SinkError(f"{self.folder}: {error.strerror}") from error
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    @staticmethod
    def begun(target: Path) -> bool:
        """Whether there is a ledger for this output."""
        return os.path.lexists(Ledger.folder_of(target) / LEDGER)

    @staticmethod
    def model_of(target: Path) -> str | None:
        """SHA-256 of the model with which an earlier run began this output; None where there is no
        sound ledger, which entering tells."""
        path = Ledger.folder_of(target) / LEDGER
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):  # a pipe would wait for a writer
                return None
            with open(path, "rb") as file:
                model = _object(file.readline()).get("model")
        except (OSError, ValueError):
            return None
        return model if isinstance(model, str) else None

    @staticmethod
    def discard(target: Path) -> None:
        """Remove the unfinished work for this output, whatever its settings; nothing where there is
        none. Raises SinkError, also while a run is working on it."""
        if Ledger.begun(target):
            ledger = Ledger(target, {})
            try:
                with ledger._opened():
                    ledger.clear()
            except OSError as error:
                raise SinkError(f"{ledger.folder}: {reason_of(error)}") from error

    def _opened(self) -> IO[bytes]:
        """Open and lock the ledger; create it if there is none. Raises OSError, also for a folder
        that is not ours."""
        made = True
        try:
            self.folder.mkdir()
        except FileExistsError:
            made = False
        if not stat.S_ISDIR(os.lstat(self.folder).st_mode):
            raise FileExistsError(errno.EEXIST, f"is not a folder of unfinished work; {ELSEWHERE}")
        path = self.folder / LEDGER
        while True:
            if not os.path.lexists(path):
                if others := [name for name in os.listdir(self.folder) if not is_ours(name)]:
                    raise FileExistsError(
                        errno.EEXIST,
                        f"holds files that do not belong to unfinished work ({min(others)}); "
                        f"{ELSEWHERE}",
                    )
                try:
                    write_file(path, json.dumps(self._settings).encode() + b"\n")
                except FileExistsError:  # another run was as fast
                    pass
                except OSError:
                    if made:
                        with suppress(OSError):
                            self.folder.rmdir()
                    raise
            flags = os.O_RDWR | os.O_APPEND | system.NO_FOLLOW | system.NO_WAIT
            fd = system.open_file(path, flags)
            file = open(fd, "r+b", buffering=0)  # noqa: SIM115 - it is kept
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise FileExistsError(
                        errno.EEXIST, f"its {LEDGER} is not a regular file; {ELSEWHERE}"
                    )
                try:
                    system.lock(fd)
                except BlockingIOError:
                    raise SinkError(f"{self.target}: another run is working on it") from None
                # The holder of the lock may have finished and removed the ledger.
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(fd), os.lstat(path)):
                        return file
            except BaseException:
                file.close()
                raise
            file.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, file: IO[bytes]) -> None:
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            lines = [_object(line) for line in whole.splitlines()]
            then = lines[0]
            then["format"]
        except (ValueError, LookupError):
            reason = f"damaged, or not made by streamsr; move {self.folder} to start again"
            raise SinkError(f"{self.folder / LEDGER}: {reason}") from None
        if changes := list(differences(then, self._settings)):
            raise SinkError(
                f"{self.target}: cannot go on: {'; '.join(changes)}"
                f" (run it as before, or delete {self.folder} to start again)"
            )
        file.truncate(len(whole))
        for line in lines[1:]:
            if "joined" in line:
                self.joined = line
            elif "segment" in line and self._is_sound(line):
                self.finished[line["segment"]] = line

    def _is_sound(self, line: Mapping[str, Any]) -> bool:
        """Whether a finished segment still has its digest: after a power cut a disk may have lost
        what it confirmed."""
        path = self.path(line["segment"])
        try:
            status = os.lstat(path)
            size = status.st_size if stat.S_ISREG(status.st_mode) else -1
            return bool(size == line["bytes"] and file_digest(path) == line["blake2b"])
        except FileNotFoundError:
            return False

    def path(self, segment: int) -> Path:
        """The path of a segment's file."""
        return self.folder / f"{segment:06d}.segment"

    def finish(
        self, segment: int, *, frames: int, made: Path | None = None, blake2b: str | None = None
    ) -> None:
        """Record a segment whose file is complete and synced.

        made     its path in the folder when it does not have its final name yet, because several
                 attempts may have made it
        blake2b  expected digest; SinkError for another one
        """
        path = self.path(segment)
        try:
            digest = file_digest(made or path)
            if blake2b is not None and digest != blake2b:
                raise SinkError(f"{made or path}: arrived damaged")
            if made is not None:
                os.replace(made, path)
            sync_folder(self.folder)
            line = {
                "segment": segment,
                "frames": frames,
                "bytes": path.stat().st_size,
                "blake2b": digest,
            }
            self._append(line)
        except OSError as error:
            raise SinkError(f"{self.folder}: {error.strerror}") from error
        self.finished[segment] = line

    def join(self, joined: Path) -> None:
        """Record the digest of the joined file, before it gets the output's name."""
        try:
            self._append({"joined": file_digest(joined)})
        except OSError as error:
            raise SinkError(f"{self.target}: {error.strerror}") from error

    @property
    def published(self) -> bool:
        """Whether the output already is this job's: an earlier run only missed clearing up."""
        try:
            return self.joined is not None and file_digest(self.target) == self.joined["joined"]
        except FileNotFoundError:
            return False

    def clear(self) -> None:
        """Remove our files once the work is done. The ledger goes last: without it the rest would
        look like new work."""
        try:
            self.sweep(())
            (self.folder / LEDGER).unlink()
            try:
                self.folder.rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                log.warning("%s: kept, for it holds files that are not of this work", self.folder)
        except OSError as error:
            raise SinkError(f"{self.folder}: {error.strerror}") from error

    def sweep(self, kept: Container[Path]) -> None:
        """Remove our files that workers of an earlier run left, but not the ledger and those
        ``kept``."""
        for path in self.folder.iterdir():
            if is_ours(path.name) and path not in kept:
                with suppress(IsADirectoryError, PermissionError):
                    # A folder of such a name is not ours.
                    path.unlink(missing_ok=True)

    def _append(self, line: Mapping[str, Any]) -> None:
        """Append a whole line and fsync it, or leave the ledger as it was."""
        assert self._file is not None
        end = os.fstat(self._file.fileno()).st_size
        content = json.dumps(line).encode() + b"\n"
        try:
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):
                self._file.truncate(end)
            raise


def _object(line: bytes) -> dict[str, Any]:
    """Parse a line of the ledger. Raises ValueError unless it is a JSON object whose known entries
    have the right types."""
    try:
        entry = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    kinds = {"segment": int, "frames": int, "bytes": int, "blake2b": str, "joined": str}
    if not isinstance(entry, dict) or not all(
        type(entry[k]) is kind for k, kind in kinds.items() if k in entry
    ):
        raise ValueError(f"expected a JSON object with its entries, got {line[:40]!r}")
    if "segment" in entry and not (
        entry.keys() >= {"frames", "bytes", "blake2b"} and entry["segment"] >= 0
    ):
        raise ValueError(f"expected a finished segment, got {line[:40]!r}")
    return entry
