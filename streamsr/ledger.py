"""What is finished of a long job, kept so that a kill or a power cut at any moment loses at most one segment.

A folder beside the output, ``NAME.resume``, holds one file for each finished segment and ``ledger.jsonl``: the first
line says what the job is, each further line that a segment is finished. A line is appended, and fsynced, only after
its segment is on the disk under its final name; a last line that was torn is dropped.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from streamsr.errors import SinkError, SourceError

FORMAT = 1
FOLDER_SUFFIX = ".resume"
LEDGER = "ledger.jsonl"

Settings = Mapping[str, Any]
"""JSON values by name: all that decides the bytes of the output."""


def file_digest(path: Path) -> str:
    """BLAKE2b of the contents. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def input_identity(path: Path) -> Settings:
    """What a file is, by its contents: its name and dates may change. Raises SourceError."""
    try:
        return {"bytes": path.stat().st_size, "blake2b": file_digest(path)}
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error


class Ledger:
    """The ledger of one output. A context manager that holds a lock, so that two runs cannot mix.

    settings  what the job is. Entering raises SinkError when a ledger with other settings is there already.

    ``finished`` maps segment numbers to their records once it is entered. Errors of the disk are SinkErrors.
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
        """Where the unfinished work of an output stands."""
        return target.with_name(target.name + FOLDER_SUFFIX)

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(exist_ok=True)
            self._file = open(self.folder / LEDGER, "a+b")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SinkError(f"{self.target}: another run is working on it") from None
            self._read(self._file)
        except OSError as error:
            self.__exit__(None, None, None)
            raise SinkError(f"{self.folder}: {error.strerror}") from error
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # a line that the disk had no room for, which was said; a torn one is dropped
                self._file.close()
            self._file = None

    def _read(self, file: IO[bytes]) -> None:
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        file.truncate(len(whole))
        try:
            lines = [_object(line) for line in whole.splitlines()]
        except ValueError:
            raise SinkError(f"{self.folder / LEDGER}: damaged; delete {self.folder} to start again") from None
        if not lines:
            self._append(self._settings)
            return
        if differences := list(_differences(lines[0], self._settings)):
            raise SinkError(
                f"{self.target}: cannot go on: {'; '.join(differences)}"
                f" (run it as before, or delete {self.folder} to start again)"
            )
        for line in lines[1:]:
            if "joined" in line:
                self.joined = line
            elif "segment" in line and self._is_sound(line):
                self.finished[line["segment"]] = line

    def _is_sound(self, line: Mapping[str, Any]) -> bool:
        """Whether a finished segment still is what it was: a power cut may have taken what the disk promised."""
        path = self.path(line["segment"])
        try:
            return bool(path.stat().st_size == line["bytes"] and file_digest(path) == line["blake2b"])
        except FileNotFoundError:
            return False

    def path(self, segment: int) -> Path:
        """Where a segment's file stands."""
        return self.folder / f"{segment:06d}.segment"

    def finish(self, segment: int, *, frames: int, made: Path | None = None, blake2b: str | None = None) -> None:
        """Record a segment whose file is complete and synced.

        made     where in the folder it is, when it has not its name yet: several may have been making it
        blake2b  what it must be; SinkError when it is not
        """
        path = self.path(segment)
        try:
            if blake2b is not None and file_digest(made or path) != blake2b:
                raise SinkError(f"{made or path}: arrived damaged")
            if made is not None:
                os.replace(made, path)
            sync_folder(self.folder)
            line = {
                "segment": segment,
                "frames": frames,
                "bytes": path.stat().st_size,
                "blake2b": file_digest(path),
            }
            self._append(line)
        except OSError as error:
            raise SinkError(f"{self.folder}: {error.strerror}") from error
        self.finished[segment] = line

    def publish(self, joined: Path) -> None:
        """Give the joined file the output's name. What it is stands in the ledger before that happens."""
        try:
            self._append({"joined": file_digest(joined)})
            os.replace(joined, self.target)
            sync_folder(self.target.parent)
        except OSError as error:
            raise SinkError(f"{self.target}: {error.strerror}") from error

    @property
    def published(self) -> bool:
        """Whether the output under its name is this job's: only the clearing up was missed."""
        try:
            return self.joined is not None and file_digest(self.target) == self.joined["joined"]
        except FileNotFoundError:
            return False

    def clear(self) -> None:
        """Remove the folder: the work is done. The ledger goes last, or what is left would look like new work."""
        for path in self.folder.iterdir():
            if path.name != LEDGER:
                path.unlink()
        shutil.rmtree(self.folder)

    def _append(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        sync_folder(self.folder)


def _object(line: bytes) -> dict[str, Any]:
    """A line of the ledger. Raises ValueError unless it is a JSON object whose known entries are of their kind."""
    try:
        entry = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    kinds = {"segment": int, "frames": int, "bytes": int, "blake2b": str, "joined": str}
    if not isinstance(entry, dict) or not all(type(entry[k]) is kind for k, kind in kinds.items() if k in entry):
        raise ValueError(f"expected a JSON object with its entries, got {line[:40]!r}")
    if "segment" in entry and not (entry.keys() >= {"frames", "bytes", "blake2b"} and entry["segment"] >= 0):
        raise ValueError(f"expected a finished segment, got {line[:40]!r}")
    return entry


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _differences(then: Settings, now: Settings, prefix: str = "") -> Iterator[str]:
    """In words, what differs between two settings."""
    for name in [*then, *(name for name in now if name not in then)]:
        a, b = then.get(name), now.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            if name == "input" and a != b:
                yield "the input has changed"
            else:
                yield from _differences(a, b, f"{name} " if name == "versions" else prefix)
        elif a != b:
            yield "the model is another" if name == "model" else f"{prefix}{name} was {a}, now {b}"
